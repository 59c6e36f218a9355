/* SPDX-License-Identifier: Apache-2.0
 *
 * label_map_count.c: which classes of the vocabulary items show at their last
 * token.
 */
#include "label_map.h"
#include "program/engine_int.h"

#include <math.h>
#include <stdlib.h>

#define GROUP 64
#define BLOCK 32		/* rows against the whole vocabulary */

typedef struct counting {
	const nnr__backbone *b;
	const nnr__engine *e;
	nnr__counts *counts;
	float *row;		/* [GROUP][hidden] */
	float *logit;		/* [BLOCK][vocab] */
	float *logz;		/* [GROUP] */
	int *best;		/* [GROUP] */
	int *top;		/* [k] */
	int k;
} counting;

/* The best class of every row counts 1. */
static int count_best(counting *c, const int *label, int n, nnr_error *err)
{
	int rc = nnr__exec_logz(c->e->exec, c->row, n, &c->b->head,
				(nnr__logz){ .out = c->logz,
					     .best = c->best }, err);

	for (int i = 0; i < n && !rc; i++)
		rc = nnr__counts_add(c->counts, c->best[i], label[i], 1, err);
	return rc;
}

/* The best k classes of a row count their probabilities. */
static int count_row(counting *c, const float *z, int label, nnr_error *err)
{
	int best, rc = 0;
	double sum = (double)c->e->k->logsumexp(z, c->b->vocab, &best);

	nnr__top(z, c->b->vocab, c->k, c->top);
	for (int j = 0; j < c->k && !rc; j++)
		rc = nnr__counts_add(c->counts, c->top[j], label,
				     exp((double)z[c->top[j]] - sum), err);
	return rc;
}

static int count_top(counting *c, const int *label, int n, nnr_error *err)
{
	size_t vocab = (size_t)c->b->vocab, hidden = (size_t)c->b->hidden;
	int rc = 0;

	for (int i = 0; i < n && !rc; i += BLOCK) {
		int some = n - i < BLOCK ? n - i : BLOCK;

		rc = nnr__exec_head(c->e->exec, c->row + (size_t)i * hidden,
				    some, &c->b->head, c->logit, vocab, err);
		for (int r = 0; r < some && !rc; r++)
			rc = count_row(c, c->logit + (size_t)r * vocab,
				       label[i + r], err);
	}
	return rc;
}

static int count_all(counting *c, const nnr__examples *x, nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < x->n && !rc; i += GROUP) {
		int n = x->n - i < GROUP ? x->n - i : GROUP;

		rc = x->rows(x->ctx, i, n, c->row, err);
		if (!rc)
			rc = c->k ? count_top(c, x->label + i, n, err)
				  : count_best(c, x->label + i, n, err);
		if (!rc && nnr__interrupted())
			rc = nnr__fail(err, NNR_E_INTERRUPTED, "interrupted");
	}
	return rc;
}

int nnr__count_classes(nnr__counts *counts, const nnr_program *p,
		       const nnr__examples *x, int k, nnr_error *err)
{
	const nnr__backbone *b = p->model->bb;
	size_t vocab = (size_t)b->vocab, hidden = (size_t)b->hidden;
	counting c = { .b = b, .e = p->engine, .counts = counts, .k = k };
	int rc = 0;

	c.row = nnr__aligned(GROUP * hidden * sizeof(float));
	c.logz = nnr__calloc(GROUP, sizeof(float));
	c.best = nnr__calloc(GROUP, sizeof(int));
	c.top = nnr__calloc((size_t)k + 1, sizeof(int));
	if (k)
		c.logit = nnr__aligned(BLOCK * vocab * sizeof(float));
	if (!c.row || !c.logz || !c.best || !c.top || (k && !c.logit))
		rc = nnr__fail_memory(err, "counts", vocab);
	rc = rc ? rc : count_all(&c, x, err);
	nnr__aligned_free(c.row);
	nnr__aligned_free(c.logit);
	free(c.logz);
	free(c.best);
	free(c.top);
	return rc;
}
