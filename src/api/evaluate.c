/* SPDX-License-Identifier: Apache-2.0
 *
 * evaluate.c: a program over a data file: answers beside targets, then the
 * predictions, the report and the run record.
 */
#include "api/api.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct evaluation {
	nnr_program *p;
	const nnr_eval_opts *o;
	nnr__data data;
	nnr__tally tally;
	nnr__buf lines;		/* predictions */
	double start;
	nnr__engine_stats before;
} evaluation;

/* ---- options ---- */

static int split_columns(const char *list, nnr__strings *out, nnr_error *err)
{
	size_t most = 1;

	memset(out, 0, sizeof(*out));
	if (!list)
		return 0;
	for (const char *s = list; *s; s++)
		most += *s == ',';
	out->s = nnr__calloc(most, sizeof(*out->s));
	if (!out->s)
		return nnr__fail_memory(err, "columns", most);
	for (const char *s = list, *end; s; s = *end ? end + 1 : NULL) {
		end = s + strcspn(s, ",");
		if (end == s)
			return nnr__fail(err, NNR_E_USAGE, "--columns %s: a "
					 "name is empty", list);
		out->s[out->n] = nnr__strndup(s, (size_t)(end - s));
		if (!out->s[out->n++])
			return nnr__fail_memory(err, "columns", most);
	}
	return 0;
}

static int split_where(const nnr_eval_opts *o, nnr__pairs *out,
		       nnr_error *err)
{
	memset(out, 0, sizeof(*out));
	if (!o->wheres)
		return 0;
	out->p = nnr__calloc((size_t)o->wheres, sizeof(*out->p));
	if (!out->p)
		return nnr__fail_memory(err, "where", 0);
	for (int i = 0; i < o->wheres; i++) {
		const char *eq = strchr(o->where[i], '=');
		nnr__pair *pair = &out->p[out->n];
		if (!eq || eq == o->where[i])
			return nnr__fail(err, NNR_E_USAGE, "--where %s: "
					 "FIELD=VALUE was expected",
					 o->where[i]);
		out->n++;
		pair->key = nnr__strndup(o->where[i],
					 (size_t)(eq - o->where[i]));
		pair->value = nnr__strdup(eq + 1);
		if (!pair->key || !pair->value)
			return nnr__fail_memory(err, "where", 0);
	}
	return 0;
}

static int read_data(evaluation *e, nnr_error *err)
{
	const nnr_eval_opts *o = e->o;
	nnr__records_opts with = { .limit = o->limit, .sample = o->sample,
				   .seed = (uint64_t)o->seed };
	int rc = split_columns(o->columns, &with.columns, err);

	if (!rc)
		rc = split_where(o, &with.where, err);
	if (!rc)
		rc = nnr__data_read(&e->data, e->p, o->data, &with, true,
				    err);
	for (int i = 0; i < with.columns.n; i++)
		free(with.columns.s[i]);
	for (int i = 0; i < with.where.n; i++) {
		free(with.where.p[i].key);
		free(with.where.p[i].value);
	}
	free(with.columns.s);
	free(with.where.p);
	return rc;
}

/* A file that cannot be written is better known before the answers are. */
static int check_writable(const char *path, nnr_error *err)
{
	char *dir = path ? nnr__path_dir(path) : NULL;
	int rc = 0;

	if (dir && access(dir, W_OK) != 0)
		rc = nnr__fail_write(err, path);
	free(dir);
	return rc;
}

/* ---- answers ---- */

static void progress(const evaluation *e, int done)
{
	const nnr__engine_stats *now = nnr__engine_stats_of(e->p->engine);
	nnr_progress at = { .done = done, .total = e->data.n };

	if (!e->o->progress)
		return;
	at.seconds = nnr__now() - e->start;
	at.tokens = now->prompt_tokens + now->made_tokens -
		    e->before.prompt_tokens - e->before.made_tokens;
	e->o->progress(e->o->ctx, &at);
}

static int take_answer(void *ctx, int item, const nnr__answer *a,
		       nnr_error *err)
{
	evaluation *e = ctx;
	const nnr__field *f = &e->p->output;
	const char *target = e->data.target[item];
	nnr__outcome o = {
		.target = e->data.label[item], .label = a->label,
		.right = a->value && nnr__same_value(f->type, target,
						     a->value),
		.samples = a->samples, .agreement = NAN,
		.score = a->scores ? a->score : NULL };

	for (int i = 0; i < a->samples; i++)
		o.unread += !a->sample[i].value;
	if (a->samples > 1)
		o.agreement = a->agreement;
	nnr__tally_add(&e->tally, &o);
	if (e->o->predictions)
		nnr__prediction_line(item, f, target, a, &e->lines);
	progress(e, item + 1);
	return e->lines.bad ? nnr__fail_memory(err, "predictions",
					       e->lines.len) : 0;
}

/* ---- results ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int write_results(evaluation *e, char **json, char **text,
			 nnr_error *err)
{
	const nnr__engine_stats *now = nnr__engine_stats_of(e->p->engine);
	nnr_program *p = e->p;
	char *cpu = nnr__cpu_name();
	nnr__buf doc = { 0 }, table = { 0 };
	int rc = 0;
	nnr__report r = {
		.program = p->name, .program_hash = p->hash,
		.set = &p->set,
		.model = base_name(p->model_ref),
		.model_hash = p->model->bb->hash,
		.data = base_name(e->o->data), .data_hash = e->data.rec.hash,
		.where = e->o->where, .wheres = e->o->wheres,
		.columns = e->o->columns, .limit = e->o->limit,
		.sample = e->o->sample, .sample_seed = e->o->seed,
		.mode = nnr__mode_name(p->precision),
		.cpu = cpu ? cpu : "unknown",
		.features = nnr__cpu_features(), .kernel = now->kernel,
		.threads = now->threads, .output = &p->output,
		.tally = &e->tally, .seconds = nnr__now() - e->start,
		.peak_bytes = nnr__peak_rss(),
		.prompt_tokens = now->prompt_tokens - e->before.prompt_tokens,
		.shared_tokens = now->shared_tokens - e->before.shared_tokens,
		.made_tokens = now->made_tokens - e->before.made_tokens,
	};

	r.majority = nnr__most_common((const char *const *)e->data.target,
				      e->data.n, &r.majority_hits);
	nnr__report_json(&r, &doc);
	nnr__report_text(&r, &table);
	if (doc.bad || table.bad)
		rc = nnr__fail_memory(err, "report", doc.len);
	if (!rc && e->o->predictions)
		rc = nnr__file_write(e->o->predictions, e->lines.p,
				     e->lines.len, err);
	if (!rc && e->o->record)
		rc = nnr__file_write(e->o->record, doc.p, doc.len, err);
	if (!rc && json)
		rc = nnr__hand_out(&doc, json, err);
	if (!rc && text)
		rc = nnr__hand_out(&table, text, err);
	nnr__buf_release(&doc);
	nnr__buf_release(&table);
	free(cpu);
	return rc;
}

int nnr_program_eval(nnr_program *p, const nnr_eval_opts *o, char **json,
		     char **text, nnr_error *err)
{
	evaluation e = { .p = p, .o = o };
	int labels = p->output.type == NNR__T_LABEL ? p->output.labels.n : 0;
	int rc;

	if (json)
		*json = NULL;
	if (text)
		*text = NULL;
	if (!p->engine)
		return nnr__fail(err, NNR_E_USAGE, "%s is not bound to a "
				 "model", p->name);
	rc = check_writable(o->predictions, err);
	rc = rc ? rc : check_writable(o->record, err);
	rc = rc ? rc : read_data(&e, err);
	if (rc)
		return rc;
	rc = nnr__tally_init(&e.tally, labels, err);
	if (!rc)
		rc = nnr__program_fit(p, err);
	e.before = *nnr__engine_stats_of(p->engine);
	e.start = nnr__now();
	if (!rc)
		rc = nnr__program_answers(p, e.data.item, e.data.n,
					  take_answer, &e, err);
	if (!rc)
		rc = write_results(&e, json, text, err);
	nnr__buf_release(&e.lines);
	nnr__tally_release(&e.tally);
	nnr__data_release(&e.data);
	return rc;
}
