/* SPDX-License-Identifier: Apache-2.0
 *
 * prefix: key and value rows that every block attends to, at positions 0 to
 * rows - 1 (prefix tuning; Li and Liang 2021, P-tuning v2; Liu et al. 2021).
 * Keys are as rope leaves them.  No row runs through f, so they cost nothing
 * but attention.
 */
#include "program/learn.h"
#include "step.h"

#include <stdlib.h>
#include <string.h>

typedef struct args {
	int64_t count, seed;		/* YAML key `rows` */
	nnr__init *init;
	nnr__form *form;
	char *site;
	bool learn;
	/* bound: free [layers][2][count][cols], else one row per position,
	 * [count][layers][2][cols], which then lie in flat */
	nnr__made made;
	float *flat;
} args;

static const nnr__param params[] = {
	{ .name = "rows", .type = NNR__P_INT, .required = true,
	  .at = offsetof(args, count), .min = 1, .max = 4096,
	  .help = "how many positions" },
	{ .name = "init", .type = NNR__P_OWN, .own = &nnr__init_type,
	  .at = offsetof(args, init), .fallback = "{vocab: 5000}",
	  .help = "what they start from: the rows of tokens that ran through "
		  "the model" },
	{ .name = "site", .type = NNR__P_STRING, .at = offsetof(args, site),
	  .fallback = "block.*.kv", .help = "which blocks have them" },
	{ .name = "form", .type = NNR__P_OWN, .own = &nnr__form_type,
	  .at = offsetof(args, form), .fallback = "free",
	  .help = "what the rows are made of" },
	{ .name = "learn", .type = NNR__P_BOOL, .at = offsetof(args, learn),
	  .fallback = "yes", .help = "whether training changes them" },
	{ .name = "seed", .type = NNR__P_INT, .at = offsetof(args, seed),
	  .fallback = "1", .min = 0, .max = 9e15,
	  .help = "of a random start" },
	{ .name = NULL }
};

/* Its rows stand at position 0, before all text and markup. */
static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;

	if (s != &p->in[0])
		return nnr__fail_step(p, s, NULL, err, "its rows stand before "
				      "all else in the prompt: it must be the "
				      "first step of `in`, not behind `%s`",
				      p->in[0].id);
	if (s->placed)
		return nnr__fail_step(p, s, NULL, err, "its rows stand before "
				      "all else in the prompt: a template "
				      "cannot name it");
	if (s->when != NNR__WHEN_ALWAYS)
		return nnr__fail_step(p, s, NULL, err, "it has no `when`: "
				      "what is learned with it must run with "
				      "it");
	return nnr__site_check(p, s, a->site, "kv", err);
}

static int load(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;

	return nnr__init_load(p, s, a->init, a->form, err);
}

/* ---- positions beside layers, and back ---- */

/* part[l2 * count + i][..] of the engine is row[i * parts + l2][..] of the
 * form, with l2 one of the 2 * layers parts. */
static void turn(const args *a, float *rows, float *parts, bool to_parts)
{
	size_t n = (size_t)a->count, both = a->made.cols;
	size_t cols = (size_t)a->made.dim[3], bytes = cols * sizeof(float);

	for (size_t part = 0; part < both / cols; part++)
		for (size_t i = 0; i < n; i++) {
			float *row = rows + i * both + part * cols;
			float *at = parts + (part * n + i) * cols;

			memcpy(to_parts ? at : row, to_parts ? row : at,
			       bytes);
		}
}

/* ---- tensors ---- */

static int start(nnr_program *p, nnr__step *s, float *kv, nnr_error *err)
{
	args *a = s->args;
	nnr__made *m = &a->made;
	uint64_t seed = (uint64_t)a->seed;
	int rc = nnr__init_inside(p, s, a->init, seed, (int)a->count, kv,
				  NULL, err);

	if (rc || m->form->kind == NNR__FORM_FREE)
		return rc ? rc : nnr__made_start(m, kv, seed, err);
	turn(a, a->flat, kv, false);
	return nnr__made_start(m, a->flat, seed, err);
}

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	nnr__made *m = &a->made;
	const nnr__backbone *b = p->model->bb;
	int64_t cols = b->kv_heads * b->dim;
	int64_t dim[] = { b->layers, 2, a->count, cols };
	size_t values = (size_t)(2 * b->layers * a->count * cols);
	float *kv;
	int rc;

	m->form = a->form;
	m->learn = a->learn;
	m->n = (size_t)a->count;
	m->cols = values / m->n;
	m->in = (size_t)b->hidden;
	m->dims = 4;
	memcpy(m->dim, dim, sizeof(dim));
	rc = nnr__made_new(m, p, s, err);
	rc = rc ? rc : nnr__claim_kv(p, s, (int)a->count, a->learn, err);
	if (rc)
		return rc;
	free(a->flat);
	a->flat = nnr__calloc(values, sizeof(*a->flat));
	kv = nnr__calloc(values, sizeof(*kv));
	rc = a->flat && kv ? start(p, s, kv, err) :
	     nnr__fail_memory(err, "initial rows", values);
	free(kv);
	return rc;
}

static int lower(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;

	(void)err;
	if (a->form->kind == NNR__FORM_FREE) {
		nnr__made_rows(&a->made, p->lowered->kv);
		return 0;
	}
	nnr__made_rows(&a->made, a->flat);
	turn(a, a->flat, p->lowered->kv, true);
	return 0;
}

static int lower_back(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;

	(void)err;
	if (!a->learn)
		return 0;
	if (a->form->kind == NNR__FORM_FREE) {
		nnr__made_back(&a->made, p->lowered->grads.kv);
		return 0;
	}
	turn(a, a->flat, p->lowered->grads.kv, false);
	nnr__made_back(&a->made, a->flat);
	return 0;
}

static int render(nnr__render *r, const nnr__step *s, nnr_error *err)
{
	const args *a = s->args;

	(void)err;
	nnr__prompt_rows(r->out, s->row0, (int32_t)a->count, s->id, false);
	return 0;
}

static void release(nnr__step *s)
{
	args *a = s->args;

	nnr__made_release(&a->made);
	free(a->flat);
}

const nnr__step_row nnr__step_prefix = {
	.name = "prefix",
	.help = "key and value rows before the prompt, in every block",
	.input = true, .takes = NNR__K_ITEM, .gives = NNR__K_TEXT,
	.at = NNR__AT_START, .location = "hidden", .adapt = "learnable",
	.operation = "concatenative", .paradigm = "prefix tuning",
	.needs = "hidden", .param = params, .args = sizeof(args),
	.check = check, .load = load, .tensors = tensors, .lower = lower,
	.lower_back = lower_back, .render = render, .release = release
};
