/* SPDX-License-Identifier: Apache-2.0
 *
 * evaluate.c: a program over a data file: answers beside targets, then the
 * predictions, the report and the run record.
 */
#include "api/api.h"
#include "program/artifact.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct evaluation {
	nnr_program *p;
	const nnr_eval_opts *o;
	nnr__data data;
	nnr__tally tally;
	nnr__texts texts;	/* where the output is a text */
	nnr__buf lines;		/* predictions */
	double start;
	nnr__engine_stats before;
} evaluation;

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
	const nnr__strings *target = &e->data.all[item];
	int rc = 0;
	nnr__outcome o = {
		.target = e->data.label[item], .label = a->label,
		.right = nnr__same_any(f->type, target, a->value),
		.samples = a->samples, .agreement = NAN,
		.score = a->scores ? a->score : NULL };

	for (int i = 0; i < a->samples; i++)
		o.unread += !a->sample[i].value;
	if (a->samples > 1)
		o.agreement = a->agreement;
	nnr__tally_add(&e->tally, &o);
	if (f->type == NNR__T_STRING)
		rc = nnr__texts_add(&e->texts, a->value ? a->value : "",
				    target, err);
	if (e->o->predictions)
		nnr__prediction_line(item, f, target, e->data.lists, a,
				     &e->lines);
	progress(e, item + 1);
	if (!rc && e->lines.bad)
		rc = nnr__fail_memory(err, "predictions", e->lines.len);
	return rc;
}

/* ---- results ---- */

static int write_results(evaluation *e, char **json, char **text,
			 nnr_error *err)
{
	const nnr__engine_stats *now = nnr__engine_stats_of(e->p->engine);
	nnr_program *p = e->p;
	char *cpu = nnr__cpu_name();
	nnr__text_scores texts;
	nnr__buf doc = { 0 }, table = { 0 };
	int rc = nnr__texts_scores(&e->texts, &texts, err);
	nnr__report r = {
		.program = p->name, .program_hash = p->hash,
		.set = &p->set, .rebound = nnr_program_rebound(p),
		.untrained = nnr__untrained(p) != NULL,
		.model = nnr__base_name(p->model_ref),
		.model_hash = p->model->bb->hash,
		.data = nnr__base_name(e->o->data),
		.data_hash = e->data.rec.hash,
		.where = e->o->where, .wheres = e->o->wheres,
		.columns = e->o->columns, .limit = e->o->limit,
		.sample = e->o->sample, .sample_seed = e->o->seed,
		.mode = nnr__mode_name(p->precision),
		.cpu = cpu ? cpu : "unknown",
		.features = nnr__cpu_features(), .kernel = now->kernel,
		.threads = now->threads, .output = &p->output,
		.tally = &e->tally, .texts = e->texts.n ? &texts : NULL,
		.references = e->texts.references,
		.seconds = nnr__now() - e->start,
		.peak_bytes = nnr__peak_rss(),
		.prompt_tokens = now->prompt_tokens - e->before.prompt_tokens,
		.shared_tokens = now->shared_tokens - e->before.shared_tokens,
		.made_tokens = now->made_tokens - e->before.made_tokens,
	};

	r.majority = nnr__most_common((const char *const *)e->data.target,
				      e->data.n, &r.majority_hits);
	nnr__report_json(&r, &doc);
	nnr__report_text(&r, &table);
	if (!rc && (doc.bad || table.bad))
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
	const nnr__items_opts items = {
		.path = o->data, .columns = o->columns, .where = o->where,
		.wheres = o->wheres, .limit = o->limit, .sample = o->sample,
		.seed = o->seed };
	int labels = p->output.type == NNR__T_LABEL ? p->output.labels.n : 0;
	int rc;

	if (json)
		*json = NULL;
	if (text)
		*text = NULL;
	if (!p->engine)
		return nnr__fail(err, NNR_E_USAGE, "%s is not bound to a "
				 "model", p->name);
	rc = nnr__check_writable(o->predictions, err);
	rc = rc ? rc : nnr__check_writable(o->record, err);
	rc = rc ? rc : nnr__items_read(&e.data, p, &items, err);
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
	nnr__texts_release(&e.texts);
	nnr__data_release(&e.data);
	return rc;
}
