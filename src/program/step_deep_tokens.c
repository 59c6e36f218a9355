/* SPDX-License-Identifier: Apache-2.0
 *
 * deep_tokens: virtual tokens whose rows are given anew at the input of every
 * block (VPT-deep; Jia et al. 2022, and the hidden-state form of P-tuning v2).
 * What a block makes of them is dropped; the text attends to them.
 */
#include "program/learn.h"
#include "step.h"

#include <stdlib.h>
#include <string.h>

typedef struct args {
	int64_t count, seed;
	nnr__init *init;
	nnr__form *form;
	char *site;
	bool tie, learn;
	/* bound: [layers][count][hidden], tied [count][hidden]; and room for
	 * all of them */
	nnr__made made;
	float *flat;
} args;

static const nnr__param params[] = {
	{ .name = "count", .type = NNR__P_INT, .required = true,
	  .at = offsetof(args, count), .min = 1, .max = 4096,
	  .help = "how many" },
	{ .name = "init", .type = NNR__P_OWN, .own = &nnr__init_type,
	  .at = offsetof(args, init), .fallback = "{vocab: 5000}",
	  .help = "where the rows start from: what the blocks take in of "
		  "tokens; tied, their embedding" },
	{ .name = "site", .type = NNR__P_STRING, .at = offsetof(args, site),
	  .fallback = "block.*.in", .help = "which blocks have them" },
	{ .name = "tie", .type = NNR__P_BOOL, .at = offsetof(args, tie),
	  .fallback = "no", .help = "the same rows for all blocks" },
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

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;

	return nnr__site_check(p, s, a->site, "in", err);
}

static int load(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;

	return nnr__init_load(p, s, a->init, a->form, err);
}

static void shape(args *a, const nnr__backbone *b)
{
	nnr__made *m = &a->made;
	int64_t dim[] = { b->layers, a->count, b->hidden };

	m->form = a->form;
	m->learn = a->learn;
	m->n = (size_t)a->count * (size_t)(a->tie ? 1 : b->layers);
	m->cols = m->in = (size_t)b->hidden;
	m->dims = a->tie ? 2 : 3;
	memcpy(m->dim, dim + a->tie, (size_t)m->dims * sizeof(*dim));
}

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	nnr__made *m = &a->made;
	uint64_t seed = (uint64_t)a->seed;
	int n = (int)a->count, rc;

	shape(a, p->model->bb);
	rc = nnr__made_new(m, p, s, err);
	rc = rc ? rc : nnr__claim_deep(p, s, n, a->learn, err);
	if (rc)
		return rc;
	free(a->flat);
	a->flat = nnr__calloc(m->n * m->cols, sizeof(*a->flat));
	if (!a->flat)
		return nnr__fail_memory(err, "initial rows", m->n);
	rc = a->tie ? nnr__init_rows(p, s, a->init, seed, n, a->flat, err) :
	     nnr__init_inside(p, s, a->init, seed, n, NULL, a->flat, err);
	return rc ? rc : nnr__made_start(m, a->flat, seed, err);
}

/* The rows of the first block stand at the embedding, those of the others
 * behind one another. */
static int lower(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	const nnr__lowered *w = p->lowered;
	size_t each = (size_t)a->count * a->made.cols;

	(void)err;
	nnr__made_rows(&a->made, a->flat);
	memcpy(nnr__soft_rows(p, s), a->flat, each * sizeof(float));
	for (int l = 1; l < w->layers; l++)
		memcpy(w->deep + (size_t)(l - 1) * each, a->flat +
		       (a->tie ? 0 : (size_t)l * each), each * sizeof(float));
	return 0;
}

static int lower_back(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	const nnr__lowered *w = p->lowered;
	size_t each = (size_t)a->count * a->made.cols;

	(void)err;
	if (!a->learn)
		return 0;
	memcpy(a->flat, nnr__soft_grads(p, s), each * sizeof(float));
	for (int l = 1; l < w->layers; l++) {
		const float *from = w->grads.deep + (size_t)(l - 1) * each;

		if (!a->tie)
			memcpy(a->flat + (size_t)l * each, from,
			       each * sizeof(float));
		for (size_t i = 0; a->tie && i < each; i++)
			a->flat[i] += from[i];
	}
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

const nnr__step_row nnr__step_deep_tokens = {
	.name = "deep_tokens",
	.help = "virtual tokens whose rows are given at the input of every "
		"block",
	.input = true, .takes = NNR__K_ITEM, .gives = NNR__K_TEXT,
	.location = "hidden", .adapt = "learnable",
	.operation = "concatenative", .paradigm = "deep prompt tuning",
	.needs = "hidden", .param = params, .args = sizeof(args),
	.check = check, .load = load, .tensors = tensors, .lower = lower,
	.lower_back = lower_back, .render = render, .release = release
};
