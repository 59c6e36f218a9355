/* SPDX-License-Identifier: Apache-2.0
 *
 * train_seeds.c: the same training with several seeds, to see how much of a
 * score is luck.  Each run opens the program anew with its seed.  Their
 * checkpoints stay until all are done: a resumed call passes over the runs
 * that had ended.
 */
#include "train_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct outcome {
	int64_t seed;
	double score, loss;	/* of what is kept; score NaN: no validation */
	char *output;
	nnr__buf record;
} outcome;

typedef struct seeds {
	nnr_program *p;
	const nnr_train_opts *o;
	int n, best;
	outcome *run;
	const char *measure;
} seeds;

/* "DIR/OUT.nnr" -> "DIR/OUT-seed3.nnr"; malloc'd. */
static char *numbered(const char *path, int64_t seed)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
	size_t stem = dot && dot > (slash ? slash + 1 : path)
			      ? (size_t)(dot - path) : strlen(path);
	nnr__buf b = { 0 };

	nnr__buf_add(&b, path, stem);
	nnr__buf_addf(&b, "-seed%lld%s", (long long)seed, path + stem);
	return nnr__buf_take(&b);
}

static int open_again(const nnr_program *p, int64_t seed, nnr_program **q,
		      nnr_error *err)
{
	const nnr_program_opts with = {
		.set = (const char *const *)p->set.s + p->seed_sets,
		.sets = p->set.n - p->seed_sets,
		.seeded = 1, .seed = seed };
	const nnr_run_opts how = {
		.threads = nnr__engine_stats_of(p->engine)->threads,
		.precision = p->precision, .no_cache = p->no_cache };
	int rc = nnr_program_open(q, p->path, &with, err);

	return rc ? rc : nnr_program_bind(*q, p->model, &how, err);
}

static void take_result(outcome *out, const nnr__trainer *r)
{
	const nnr__training *t = r->t;

	out->score = NAN;
	out->loss = t->step ? (double)t->loss[t->step - 1] : NAN;
	if (t->best) {
		out->score = (double)t->val[t->best].score;
		out->loss = (double)t->val[t->best].loss;
	}
	nnr__trainer_record_json(r, &out->record);
}

static int one(seeds *s, int i, nnr_error *err)
{
	outcome *out = &s->run[i];
	char *curve = s->o->curve ? numbered(s->o->curve, out->seed) : NULL;
	nnr__trainer r = { .o = s->o, .output = out->output, .curve = curve,
			   .number = i + 1, .runs = s->n,
			   .keep_checkpoint = true };
	nnr_program *q = NULL;
	int rc = 0;

	if (s->o->curve && !curve)
		rc = nnr__fail_memory(err, "a path", 0);
	rc = rc ? rc : open_again(s->p, out->seed, &q, err);
	r.p = q;
	rc = rc ? rc : nnr__trainer_run(&r, err);
	if (!rc)
		take_result(out, &r);
	if (!rc && out->record.bad)
		rc = nnr__fail_memory(err, "record", out->record.len);
	nnr__trainer_release(&r);
	nnr_program_close(q);
	free(curve);
	return rc;
}

/* ---- the best, and all together ---- */

static bool better(const outcome *a, const outcome *b)
{
	if (isnan(a->score))
		return false;	/* without validation: the first */
	return a->score > b->score ||
	       (a->score == b->score && a->loss < b->loss);
}

static int copy_best(seeds *s, nnr_error *err)
{
	nnr__buf bytes = { 0 };
	int rc;

	for (int i = 1; i < s->n; i++)
		if (better(&s->run[i], &s->run[s->best]))
			s->best = i;
	rc = nnr__file_read(&bytes, s->run[s->best].output, SIZE_MAX, err);
	if (!rc)
		rc = nnr__file_write(s->o->output, bytes.p, bytes.len, err);
	nnr__buf_release(&bytes);
	return rc;
}

/* Mean and sample standard deviation of scores, or of losses. */
static void spread(const seeds *s, bool loss, double *mean, double *sd)
{
	double sum = 0, square = 0;

	for (int i = 0; i < s->n; i++)
		sum += loss ? s->run[i].loss : s->run[i].score;
	*mean = sum / s->n;
	for (int i = 0; i < s->n; i++) {
		double v = loss ? s->run[i].loss : s->run[i].score;
		square += (v - *mean) * (v - *mean);
	}
	*sd = sqrt(square / (s->n - 1));
}

static void put_spread(const seeds *s, const char *name, bool loss,
		       nnr__buf *b)
{
	double mean, sd;

	spread(s, loss, &mean, &sd);
	nnr__json_open(b, name);
	nnr__json_number(b, "mean", mean);
	nnr__json_number(b, "sd", sd);
	nnr__json_integer(b, "n", s->n);
	nnr__json_shut(b);
}

static void put_json(const seeds *s, nnr__buf *b)
{
	nnr__buf_addc(b, '{');
	nnr__json_text(b, "nnr", NNR_VERSION);
	nnr__json_integer(b, "best_seed", s->run[s->best].seed);
	if (s->o->validation)
		put_spread(s, s->measure, false, b);
	put_spread(s, "loss", true, b);
	nnr__json_key(b, "runs");
	for (int i = 0; i < s->n; i++) {
		const nnr__buf *r = &s->run[i].record;
		nnr__buf_addc(b, i ? ',' : '[');
		nnr__buf_add(b, r->p, r->len - 1);	/* its line end */
	}
	nnr__buf_adds(b, "]}\n");
}

static void put_text(const seeds *s, nnr__buf *b)
{
	double mean, sd;

	nnr__buf_addf(b, "  %-12s%12s%12s\n", "seed", s->o->validation
		      ? s->measure : "", "loss");
	for (int i = 0; i < s->n; i++) {
		const outcome *r = &s->run[i];
		nnr__buf_addf(b, "  %-12lld", (long long)r->seed);
		if (s->o->validation)
			nnr__buf_addf(b, "%10.2f %%", 100 * r->score);
		else
			nnr__buf_addf(b, "%12s", "");
		nnr__buf_addf(b, "%12.4f%s\n", r->loss,
			      i == s->best ? "  kept" : "");
	}
	spread(s, !s->o->validation, &mean, &sd);
	if (s->o->validation)
		nnr__buf_addf(b, "  mean %.2f %%, standard deviation %.2f "
			      "points, of %d seeds\n", 100 * mean, 100 * sd,
			      s->n);
	else
		nnr__buf_addf(b, "  mean %.4f, standard deviation %.4f, of "
			      "%d seeds\n", mean, sd, s->n);
	nnr__buf_addf(b, "  written %.40s and one file a seed\n",
		      nnr__base_name(s->o->output));
}

static int hand_out(const seeds *s, char **json, char **text, nnr_error *err)
{
	nnr__buf record = { 0 }, table = { 0 };
	int rc = 0;

	put_json(s, &record);
	put_text(s, &table);
	if (record.bad || table.bad)
		rc = nnr__fail_memory(err, "report", record.len);
	if (!rc && s->o->record)
		rc = nnr__file_write(s->o->record, record.p, record.len, err);
	if (!rc && json)
		rc = nnr__hand_out(&record, json, err);
	if (!rc && text)
		rc = nnr__hand_out(&table, text, err);
	nnr__buf_release(&record);
	nnr__buf_release(&table);
	return rc;
}

/* ---- all of it ---- */

static int check(const nnr_program *p, const nnr_train_opts *o,
		 nnr_error *err)
{
	if (!p->engine)
		return nnr__fail(err, NNR_E_USAGE, "%s is not bound to a "
				 "model", p->name);
	if (!p->dir)
		return nnr__fail(err, NNR_E_USAGE, "several seeds want a "
				 "program that was opened from a file");
	if (o->dry_run)
		return nnr__fail(err, NNR_E_USAGE, "a dry run is of one seed");
	if (!o->output)
		return nnr__fail(err, NNR_E_USAGE, "training wants a file to "
				 "write");
	return nnr__check_writable(o->output, err);
}

static int run_all(seeds *s, nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < s->n && !rc; i++) {
		s->run[i].seed = s->p->train->seed + i;
		s->run[i].output = numbered(s->o->output, s->run[i].seed);
		if (!s->run[i].output)
			rc = nnr__fail_memory(err, "a path", 0);
		rc = rc ? rc : one(s, i, err);
	}
	rc = rc ? rc : copy_best(s, err);
	for (int i = 0; i < s->n && !rc; i++) {
		nnr__buf name = { 0 };
		nnr__buf_addf(&name, "%s.ckpt", s->run[i].output);
		if (!name.bad)
			nnr__checkpoint_remove(name.p);
		nnr__buf_release(&name);
	}
	return rc;
}

int nnr__train_seeds(nnr_program *p, const nnr_train_opts *o, char **json,
		     char **text, nnr_error *err)
{
	seeds s = { .p = p, .o = o, .n = o->seeds,
		    .measure = nnr__trainer_measure(p) };
	int rc = check(p, o, err);

	if (rc)
		return rc;
	s.run = nnr__calloc((size_t)s.n, sizeof(*s.run));
	if (!s.run)
		return nnr__fail_memory(err, "runs", (size_t)s.n);
	rc = run_all(&s, err);
	rc = rc ? rc : hand_out(&s, json, text, err);
	for (int i = 0; i < s.n; i++) {
		free(s.run[i].output);
		nnr__buf_release(&s.run[i].record);
	}
	free(s.run);
	return rc;
}
