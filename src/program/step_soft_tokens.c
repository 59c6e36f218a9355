/* SPDX-License-Identifier: Apache-2.0
 *
 * soft_tokens: virtual tokens whose embedding rows are learned (prompt
 * tuning; Lester, Al-Rfou and Constant 2021).  They may stand anywhere in the
 * prompt and cut its text there; leading, they take positions 0 to count - 1.
 */
#include "program/learn.h"
#include "step.h"

#include <stdlib.h>
#include <string.h>

typedef struct args {
	int64_t count, seed;
	nnr__init *init;
	nnr__form *form;
	bool learn;
	nnr__made made;		/* bound: [count][hidden] */
} args;

static const nnr__param params[] = {
	{ .name = "count", .type = NNR__P_INT, .required = true,
	  .at = offsetof(args, count), .min = 1, .max = 4096,
	  .help = "how many" },
	{ .name = "init", .type = NNR__P_OWN, .own = &nnr__init_type,
	  .at = offsetof(args, init), .fallback = "{vocab: 5000}",
	  .help = "where the rows start from" },
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

static int load(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;

	return nnr__init_load(p, s, a->init, a->form, err);
}

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	nnr__made *m = &a->made;
	uint64_t seed = (uint64_t)a->seed;
	float *start;
	int rc;

	m->form = a->form;
	m->learn = a->learn;
	m->n = (size_t)a->count;
	m->cols = m->in = (size_t)p->model->bb->hidden;
	m->dims = 2;
	m->dim[0] = a->count;
	m->dim[1] = p->model->bb->hidden;
	rc = nnr__made_new(m, p, s, err);
	if (rc)
		return rc;
	nnr__claim_soft(p, s, (int)a->count, a->learn);
	start = nnr__calloc(m->n * m->cols, sizeof(*start));
	if (!start)
		return nnr__fail_memory(err, "initial rows", m->n);
	rc = nnr__init_rows(p, s, a->init, seed, (int)a->count, start, err);
	rc = rc ? rc : nnr__made_start(m, start, seed, err);
	free(start);
	return rc;
}

static int lower(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;

	(void)err;
	nnr__made_rows(&a->made, nnr__soft_rows(p, s));
	return 0;
}

static int lower_back(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;

	(void)err;
	if (a->learn)
		nnr__made_back(&a->made, nnr__soft_grads(p, s));
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
	nnr__made_release(&((args *)s->args)->made);
}

const nnr__step_row nnr__step_soft_tokens = {
	.name = "soft_tokens",
	.help = "virtual tokens whose embedding rows are learned",
	.input = true, .takes = NNR__K_ITEM, .gives = NNR__K_TEXT,
	.location = "embedding", .adapt = "learnable",
	.operation = "concatenative", .paradigm = "prompt tuning",
	.needs = "embed", .param = params, .args = sizeof(args),
	.load = load, .tensors = tensors, .lower = lower,
	.lower_back = lower_back, .render = render, .release = release
};
