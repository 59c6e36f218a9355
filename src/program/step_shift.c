/* SPDX-License-Identifier: Apache-2.0
 *
 * shift: rows added to the embeddings of the first tokens of the prompt, one
 * per position behind the virtual tokens that lead; beside soft_tokens and
 * with a low-rank form it is DePT (Shi and Lipani 2024).  Starts at zero.
 */
#include "program/learn.h"
#include "step.h"

#include <stdlib.h>
#include <string.h>

typedef struct args {
	int64_t length, seed;
	double scale;
	nnr__form *form;
	int site;
	bool learn;
	nnr__made made;		/* bound: [length][hidden], before `scale` */
	float *flat;
} args;

static const char *const sites[] = { "embed", NULL };

static const nnr__param params[] = {
	{ .name = "length", .type = NNR__P_INT, .required = true,
	  .at = offsetof(args, length), .min = 1, .max = 65536,
	  .help = "how many positions; later tokens are as they are" },
	{ .name = "form", .type = NNR__P_OWN, .own = &nnr__form_type,
	  .at = offsetof(args, form), .fallback = "free",
	  .help = "what the rows are made of" },
	{ .name = "scale", .type = NNR__P_NUMBER, .at = offsetof(args, scale),
	  .fallback = "1", .min = 1e-6, .max = 1e6,
	  .help = "factor of the rows" },
	{ .name = "site", .type = NNR__P_ENUM, .names = sites,
	  .at = offsetof(args, site), .fallback = "embed",
	  .help = "where they are added" },
	{ .name = "learn", .type = NNR__P_BOOL, .at = offsetof(args, learn),
	  .fallback = "yes", .help = "whether training changes them" },
	{ .name = "seed", .type = NNR__P_INT, .at = offsetof(args, seed),
	  .fallback = "1", .min = 0, .max = 9e15,
	  .help = "of what starts at random" },
	{ .name = NULL }
};

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	if (s->when != NNR__WHEN_ALWAYS)
		return nnr__fail_step(p, s, NULL, err, "it has no `when`: "
				      "what is learned with it must run with "
				      "it");
	return 0;
}

/* Positions of the virtual tokens that every prompt begins with. */
static int leading(nnr_program *p, int *n, nnr_error *err)
{
	nnr__prompt prompt = { 0 };
	int rc = nnr__program_probe(p, 0, &prompt, err);

	*n = 0;
	for (size_t i = 0; i < prompt.n && !rc; i++) {
		const nnr__piece_of *o = &prompt.piece[i];

		if (!o->rows || o->varies)
			break;
		*n += o->rows;
	}
	nnr__prompt_release(&prompt);
	return rc;
}

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	nnr__made *m = &a->made;
	int from, rc = leading(p, &from, err);

	if (rc)
		return rc;
	m->form = a->form;
	m->learn = a->learn;
	m->n = (size_t)a->length;
	m->cols = m->in = (size_t)p->model->bb->hidden;
	m->dims = 2;
	m->dim[0] = a->length;
	m->dim[1] = p->model->bb->hidden;
	rc = nnr__made_new(m, p, s, err);
	rc = rc ? rc : nnr__claim_shift(p, s, (int)a->length, from, a->learn,
					err);
	if (rc)
		return rc;
	free(a->flat);
	a->flat = nnr__calloc(m->n * m->cols, sizeof(*a->flat));
	if (!a->flat)
		return nnr__fail_memory(err, "rows", m->n);
	return nnr__made_start(m, NULL, (uint64_t)a->seed, err);
}

static int lower(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	float *rows = p->lowered->shift, scale = (float)a->scale;

	(void)err;
	nnr__made_rows(&a->made, rows);
	for (size_t i = 0; i < a->made.n * a->made.cols; i++)
		rows[i] *= scale;
	return 0;
}

static int lower_back(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	const float *from = p->lowered->grads.shift;
	float scale = (float)a->scale;

	(void)err;
	if (!a->learn)
		return 0;
	for (size_t i = 0; i < a->made.n * a->made.cols; i++)
		a->flat[i] = from[i] * scale;
	nnr__made_back(&a->made, a->flat);
	return 0;
}

/* It is no part of the prompt. */
static int render(nnr__render *r, const nnr__step *s, nnr_error *err)
{
	(void)r;
	(void)s;
	(void)err;
	return 0;
}

static void release(nnr__step *s)
{
	args *a = s->args;

	nnr__made_release(&a->made);
	free(a->flat);
}

const nnr__step_row nnr__step_shift = {
	.name = "shift",
	.help = "rows added to the embeddings of the first tokens",
	.input = true, .takes = NNR__K_TEXT, .gives = NNR__K_TEXT,
	.location = "embedding", .adapt = "learnable",
	.operation = "additive", .paradigm = "prompt tuning",
	.needs = "embed", .param = params, .args = sizeof(args),
	.check = check, .tensors = tensors, .lower = lower,
	.lower_back = lower_back, .render = render, .release = release
};
