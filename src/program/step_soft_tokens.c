/* SPDX-License-Identifier: Apache-2.0
 *
 * soft_tokens: virtual tokens whose embedding rows are learned (prompt
 * tuning; Lester, Al-Rfou and Constant 2021).  They may stand anywhere in the
 * prompt and cut its text there; leading, they take positions 0 to count - 1.
 */
#include "program/learn.h"
#include "step.h"

#include <string.h>

typedef struct nnr__a_soft_tokens args;

static const nnr__param params[] = {
	{ .name = "count", .type = NNR__P_INT, .required = true,
	  .at = offsetof(args, count), .min = 1, .max = 4096,
	  .help = "how many" },
	{ .name = "init", .type = NNR__P_OWN, .own = &nnr__init_type,
	  .at = offsetof(args, init), .fallback = "{vocab: 5000}",
	  .help = "where the rows start from" },
	{ .name = "learn", .type = NNR__P_BOOL, .at = offsetof(args, learn),
	  .fallback = "yes", .help = "whether training changes them" },
	{ .name = "seed", .type = NNR__P_INT, .at = offsetof(args, seed),
	  .fallback = "1", .min = 0, .max = 9e15,
	  .help = "of a random start" },
	{ .name = NULL }
};

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	int64_t dim[] = { a->count, p->model->bb->hidden };

	a->rows = nnr__tensor_add(p, s, NULL, 2, dim, a->learn, err);
	if (!a->rows)
		return NNR_E_MEMORY;
	nnr__claim_soft(p, s, (int)a->count, a->learn);
	return nnr__init_rows(p, s, a->init, (uint64_t)a->seed,
			      (int)a->count, a->rows->value, err);
}

static int lower(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;

	(void)err;
	memcpy(nnr__soft_rows(p, s), a->rows->value,
	       a->rows->n * sizeof(float));
	return 0;
}

static int lower_back(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	const float *from = nnr__soft_grads(p, s);

	(void)err;
	for (size_t i = 0; a->learn && i < a->rows->n; i++)
		a->rows->grad[i] += from[i];
	return 0;
}

static int render(nnr__render *r, const nnr__step *s, nnr_error *err)
{
	const args *a = s->args;

	(void)err;
	nnr__prompt_rows(r->out, s->row0, (int32_t)a->count, s->id);
	return 0;
}

const nnr__step_row nnr__step_soft_tokens = {
	.name = "soft_tokens",
	.help = "virtual tokens whose embedding rows are learned",
	.input = true, .takes = NNR__K_ITEM, .gives = NNR__K_TEXT,
	.location = "embedding", .adapt = "learnable",
	.operation = "concatenative", .paradigm = "prompt tuning",
	.needs = "embed", .param = params, .args = sizeof(args),
	.tensors = tensors, .lower = lower, .lower_back = lower_back,
	.render = render
};
