/* SPDX-License-Identifier: Apache-2.0
 *
 * train_report.c: what is said of a training run: lines before and during
 * it, the run record, and the results for people.
 */
#include "train_int.h"

#include <math.h>
#include <string.h>

#define WIDTH 66		/* of a line, without what the caller adds */

void nnr__trainer_say(const nnr__trainer *r, const char *fmt, ...)
{
	nnr__buf line = { 0 };
	char text[400];
	va_list ap;

	if (!r->o->say)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text[nnr__utf8_whole(text, strlen(text))] = '\0';
	if (r->runs > 1)
		nnr__buf_addf(&line, "%d of %d: ", r->number, r->runs);
	nnr__buf_adds(&line, text);
	if (!line.bad)
		r->o->say(r->o->ctx, line.p);
	nnr__buf_release(&line);
}

/* ---- figures ---- */

const char *nnr__trainer_measure(const nnr_program *p)
{
	return p->output.type == NNR__T_LABEL ||
	       p->output.type == NNR__T_BOOL ? "accuracy" : "exact_match";
}

nnr__rate nnr__trainer_rate(const nnr__trainer *r, const nnr__validation *v)
{
	int n = r->val.n;

	return nnr__rate_of((int)((double)v->score * n + 0.5), n);
}

static int64_t learned(const nnr_program *p)
{
	int64_t n = 0;

	for (int i = 0; i < p->tensors; i++)
		if (p->tensor[i]->grad)
			n += (int64_t)p->tensor[i]->n;
	return n;
}

static int64_t total(const nnr_program *p)
{
	int64_t n = (int64_t)p->model->bb->parameters;

	for (int i = 0; i < p->tensors; i++)
		n += (int64_t)p->tensor[i]->n;
	return n;
}

double nnr__trainer_left(const nnr__trainer *r)
{
	const nnr__training *t = r->t;
	double steps = (double)(t->steps - t->step), s = 0;
	double tokens = r->mean_tokens * r->data.n /
			(double)t->batches.steps;
	int64_t every = t->plan->every ? t->plan->every : t->batches.steps;

	if (r->tokens)
		s += r->gradient_s / (double)r->tokens * steps * tokens;
	if (r->validated)
		s += r->validate_s / r->validated *
		     ceil(steps / (double)every);
	return s;
}

/* ---- before and during ---- */

static void shape_text(const nnr__ptensor *t, nnr__buf *out)
{
	nnr__buf_addf(out, "%.40s ", t->name);
	for (int d = 0; d < t->dims; d++)
		nnr__buf_addf(out, "%s%lld", d ? "x" : "",
			      (long long)t->dim[d]);
}

static void say_list(const nnr__trainer *r, nnr__buf *line)
{
	size_t n = line->len > WIDTH ? nnr__utf8_whole(line->p, WIDTH - 3)
				     : line->len;

	if (!line->bad)
		nnr__trainer_say(r, "%.*s%s", (int)n, line->p,
				 n < line->len ? "..." : "");
	nnr__buf_release(line);
}

static void say_learned(const nnr__trainer *r)
{
	const nnr_program *p = r->p;
	nnr__buf line = { 0 };

	nnr__trainer_say(r, "learns %lld of %lld values (%.2g %%)",
			 (long long)learned(p), (long long)total(p),
			 100 * (double)learned(p) / (double)total(p));
	nnr__buf_adds(&line, "learned:");
	for (int i = 0; i < p->tensors; i++) {
		if (!p->tensor[i]->grad)
			continue;
		nnr__buf_adds(&line, line.len > 8 ? ", " : " ");
		shape_text(p->tensor[i], &line);
	}
	say_list(r, &line);
}

static bool step_learns(const nnr_program *p, const nnr__step *s)
{
	for (int i = 0; i < p->tensors; i++)
		if (p->tensor[i]->step == s && p->tensor[i]->grad)
			return true;
	return false;
}

static void say_constant(const nnr__trainer *r)
{
	const nnr_program *p = r->p;
	nnr__buf line = { 0 };

	nnr__buf_addf(&line, "constant: %.40s (%lld values)",
		      nnr__base_name(p->model_ref),
		      (long long)p->model->bb->parameters);
	for (int i = 0; i < p->ins + p->outs; i++) {
		const nnr__step *s = i < p->ins ? &p->in[i]
						: &p->out[i - p->ins];
		if (!step_learns(p, s))
			nnr__buf_addf(&line, ", %.40s", s->id);
	}
	say_list(r, &line);
}

static void say_data(const nnr__trainer *r)
{
	const int *length = nnr__lesson_lengths(r->lesson);
	int least = length[0], most = length[0];

	for (int i = 1; i < r->data.n; i++) {
		least = length[i] < least ? length[i] : least;
		most = length[i] > most ? length[i] : most;
	}
	nnr__trainer_say(r, "%d items of %.40s; each passes once forward and "
			 "once back", r->data.n,
			 nnr__base_name(r->o->data));
	nnr__trainer_say(r, "tokens that run in a pass: %d to %d an item, "
			 "mean %.1f", least, most, r->mean_tokens);
	if (nnr__lesson_teacher_passes(r->lesson))
		nnr__trainer_say(r, "teachers answer %lld items first",
				 (long long)
				 nnr__lesson_teacher_passes(r->lesson));
	if (r->o->validation)
		nnr__trainer_say(r, "%d items of %.40s to choose on",
				 r->val.n, nnr__base_name(r->o->validation));
	else
		nnr__trainer_say(r, "no validation data: the last step is "
				 "kept");
}

void nnr__trainer_announce(const nnr__trainer *r)
{
	static const char *const schedules[] = {
		[NNR__LR_CONSTANT] = "constant", [NNR__LR_COSINE] = "cosine",
		[NNR__LR_LINEAR] = "linear",
		[NNR__LR_MILESTONES] = "milestones"
	};
	const nnr__train_plan *plan = r->t->plan;
	const nnr__batches *b = &r->t->batches;

	say_learned(r);
	say_constant(r);
	say_data(r);
	nnr__trainer_say(r, "%lld steps of %lld items, %lld an epoch; seed "
			 "%lld", (long long)r->t->steps,
			 (long long)b->size * b->accumulate,
			 (long long)b->steps, (long long)plan->seed);
	nnr__trainer_say(r, "%s, rate %g %s, warm-up %lld steps",
			 r->t->how->name, plan->lr,
			 schedules[plan->schedule], (long long)plan->warmup);
}

static const char *start_name(const nnr__trainer *r)
{
	return r->warm ? "as it was" : "untrained";
}

static void say_chance(const nnr__trainer *r, double loss)
{
	int n = r->p->output.labels.n;

	if (r->p->output.type == NNR__T_LABEL)
		nnr__trainer_say(r, "loss at step 0: %.4f; chance, ln %d, is "
				 "%.4f", loss, n, log(n));
	else
		nnr__trainer_say(r, "loss at step 0: %.4f", loss);
}

void nnr__trainer_tell(nnr__trainer *r)
{
	const nnr__training *t = r->t;

	if (t->vals && !r->said_untrained && !t->resumed) {
		const nnr__validation *v = &t->val[0];
		nnr__rate rate = nnr__trainer_rate(r, v);
		nnr__trainer_say(r, "%s: %s %.4f (%d of %d), loss %.4f",
				 start_name(r), nnr__trainer_measure(r->p),
				 rate.value, rate.hits, rate.n,
				 (double)v->loss);
	}
	r->said_untrained = true;
	if (r->said_first || t->step == t->resumed)
		return;
	r->said_first = true;
	if (t->step == 1)
		say_chance(r, (double)t->loss[0]);
	nnr__trainer_say(r, "a step took %.2f s: about %.0f s to go; peak "
			 "memory %.0f MB", r->gradient_s,
			 nnr__trainer_left(r), (double)nnr__peak_rss() / 1e6);
}

/* ---- the record ---- */

static void put_items(const nnr__trainer *r, const char *name,
		      const char *path, const nnr__data *d, bool chosen,
		      nnr__buf *b)
{
	const nnr_train_opts *o = r->o;

	nnr__json_open(b, name);
	nnr__json_text(b, "file", nnr__base_name(path));
	nnr__json_text(b, "hash", d->rec.hash);
	nnr__json_integer(b, "items", d->n);
	if (o->columns)
		nnr__json_text(b, "columns", o->columns);
	if (chosen && o->wheres)
		nnr__json_list(b, "where", o->where, o->wheres);
	if (chosen && o->limit)
		nnr__json_integer(b, "limit", o->limit);
	if (chosen && o->sample) {
		nnr__json_integer(b, "sample", o->sample);
		nnr__json_integer(b, "sample_seed", o->seed);
	}
	nnr__json_shut(b);
}

static void put_parameters(const nnr__trainer *r, nnr__buf *b)
{
	const nnr_program *p = r->p;

	nnr__json_open(b, "parameters");
	nnr__json_integer(b, "learned", learned(p));
	nnr__json_integer(b, "total", total(p));
	nnr__json_open(b, "tensors");
	for (int i = 0; i < p->tensors; i++) {
		const nnr__ptensor *t = p->tensor[i];
		if (!t->grad)
			continue;
		nnr__json_key(b, t->name);
		for (int d = 0; d < t->dims; d++)
			nnr__buf_addf(b, "%c%lld", d ? ',' : '[',
				      (long long)t->dim[d]);
		nnr__buf_adds(b, t->dims ? "]" : "[]");
	}
	nnr__json_shut(b);
	nnr__json_shut(b);
}

static void put_validation(const nnr__trainer *r, const char *name,
			   const nnr__validation *v, nnr__buf *b)
{
	nnr__json_open(b, name);
	nnr__json_integer(b, "step", v->step);
	nnr__json_rate(b, nnr__trainer_measure(r->p),
		       nnr__trainer_rate(r, v));
	nnr__json_number(b, "loss", (double)v->loss);
	nnr__json_shut(b);
}

static void put_results(const nnr__trainer *r, nnr__buf *b)
{
	const nnr__training *t = r->t;

	nnr__json_open(b, "results");
	nnr__json_integer(b, "steps", t->step);
	nnr__json_integer(b, "planned", t->steps);
	if (r->warm)
		nnr__json_text(b, "start", "trained");
	nnr__json_text(b, "ended", t->ended ? "patience" : "steps");
	if (t->step) {
		nnr__json_number(b, "first_loss", (double)t->loss[0]);
		nnr__json_number(b, "last_loss",
				 (double)t->loss[t->step - 1]);
	}
	if (r->p->output.type == NNR__T_LABEL)
		nnr__json_number(b, "chance_loss",
				 log(r->p->output.labels.n));
	if (t->vals)
		put_validation(r, r->warm ? "before" : "untrained",
			       &t->val[0], b);
	if (t->best)
		put_validation(r, "best", &t->val[t->best], b);
	nnr__json_shut(b);
}

static void put_run(const nnr__trainer *r, nnr__buf *b)
{
	const nnr_program *p = r->p;

	put_items(r, "data", r->o->data, &r->data, true, b);
	if (r->o->validation)
		put_items(r, "validation", r->o->validation, &r->val, false,
			  b);
	nnr__json_key(b, "plan");
	nnr__step_json(&p->train->key, b);
	put_parameters(r, b);
	if (!r->o->dry_run)
		put_results(r, b);
	nnr__json_text(b, "arithmetic", nnr__engine_arithmetic(p->engine));
}

void nnr__trainer_training_json(const nnr__trainer *r, nnr__buf *b)
{
	nnr__buf_addc(b, '{');
	put_run(r, b);
	nnr__json_text(b, "backbone_before", r->before);
	nnr__json_text(b, "backbone_after", r->after);
	nnr__json_shut(b);
}

static void put_machine(const nnr__trainer *r, nnr__buf *b)
{
	const nnr__engine_stats *now = nnr__engine_stats_of(r->p->engine);
	char *cpu = nnr__cpu_name();

	nnr__json_open(b, "machine");
	nnr__json_text(b, "mode", nnr__mode_name(r->p->precision));
	nnr__json_text(b, "cpu", cpu ? cpu : "unknown");
	nnr__json_text(b, "features", nnr__cpu_features());
	nnr__json_text(b, "kernel", now->kernel);
	nnr__json_integer(b, "threads", now->threads);
	nnr__json_shut(b);
	nnr_free(cpu);
}

void nnr__trainer_record_json(const nnr__trainer *r, nnr__buf *b)
{
	const nnr_program *p = r->p;

	nnr__buf_addc(b, '{');
	nnr__json_text(b, "nnr", NNR_VERSION);
	nnr__json_open(b, "program");
	nnr__json_text(b, "name", p->name);
	nnr__json_text(b, "hash", p->hash);
	nnr__json_list(b, "set", (const char *const *)p->set.s, p->set.n);
	nnr__json_shut(b);
	nnr__json_open(b, "model");
	nnr__json_text(b, "name", nnr__base_name(p->model_ref));
	nnr__json_text(b, "hash", r->before);
	if (*r->after)
		nnr__json_text(b, "hash_after", r->after);
	nnr__json_shut(b);
	put_run(r, b);
	put_machine(r, b);
	nnr__json_open(b, "cost");
	nnr__json_number(b, "seconds", r->t->seconds);
	if (r->o->dry_run)
		nnr__json_number(b, "expected_seconds",
				 nnr__trainer_left(r));
	nnr__json_integer(b, "resumed_at", r->t->resumed);
	nnr__json_integer(b, "tokens", r->tokens);
	nnr__json_integer(b, "peak_bytes", (int64_t)nnr__peak_rss());
	if (r->artifact_bytes)
		nnr__json_integer(b, "artifact_bytes",
				  (int64_t)r->artifact_bytes);
	nnr__json_shut(b);
	nnr__buf_adds(b, "}\n");
}

/* ---- for people ---- */

static void rate_line(const nnr__trainer *r, const char *name,
		      const nnr__validation *v, nnr__buf *b)
{
	nnr__rate rate = nnr__trainer_rate(r, v);

	nnr__buf_addf(b, "  %-12s%6.2f %%   %6.2f .. %6.2f   %d of %d", name,
		      100 * rate.value, 100 * rate.low, 100 * rate.high,
		      rate.hits, rate.n);
	if (isfinite(v->loss))
		nnr__buf_addf(b, "   loss %.4f", (double)v->loss);
	nnr__buf_addc(b, '\n');
}

void nnr__trainer_text(const nnr__trainer *r, nnr__buf *b)
{
	const nnr__training *t = r->t;

	if (!t->step)
		return;
	nnr__curve_text(t, b);
	nnr__buf_addf(b, "%.40s: %lld steps%s in %.1f s, peak %.0f MB\n",
		      r->p->name, (long long)t->step,
		      t->ended ? " (patience)" : "", t->seconds,
		      (double)nnr__peak_rss() / 1e6);
	nnr__buf_addf(b, "  %-12s%.4f at step 0, %.4f at step %lld", "loss",
		      (double)t->loss[0], (double)t->loss[t->step - 1],
		      (long long)t->step - 1);
	if (r->p->output.type == NNR__T_LABEL)
		nnr__buf_addf(b, "; chance %.4f",
			      log(r->p->output.labels.n));
	nnr__buf_addc(b, '\n');
	if (t->vals) {
		nnr__buf_addf(b, "  %-12s%s on %.40s, the best of %d\n",
			      "validation",
			      nnr__trainer_measure(r->p),
			      nnr__base_name(r->o->validation), t->vals - 1);
		rate_line(r, start_name(r), &t->val[0], b);
	}
	if (t->best) {
		const nnr__validation *v = &t->val[t->best];
		rate_line(r, "trained", v, b);
		nnr__buf_addf(b, "  %-12sthe values after step %lld%s\n",
			      "kept", (long long)v->step,
			      v->score > t->val[0].score ? "" :
			      "; no better score than before training");
	}
	if (r->output)
		nnr__buf_addf(b, "  %-12s%.40s, %zu bytes\n", "written",
			      nnr__base_name(r->output), r->artifact_bytes);
}
