/* SPDX-License-Identifier: Apache-2.0
 *
 * product.c: y = x W^T for any number of rows of W.
 */
#include "graph/graph_int.h"

#include <string.h>

#define LANES 16
#define STRIP 32	/* rows of a tail at a time */

int nnr__tail_make(nnr__tail *t, const nnr__mat *w, nnr_error *err)
{
	uint8_t *copy;

	memset(t, 0, sizeof(*t));
	if (w->rows % LANES == 0)
		return 0;
	copy = nnr__aligned(LANES * w->row_bytes);
	if (!copy)
		return nnr__fail_memory(err, "padded rows",
					LANES * w->row_bytes);
	t->used = w->rows % LANES;
	t->at = w->rows - t->used;
	memset(copy, 0, LANES * w->row_bytes);
	memcpy(copy, w->data + (size_t)t->at * w->row_bytes,
	       (size_t)t->used * w->row_bytes);
	t->mat = *w;
	t->mat.rows = LANES;
	t->mat.data = copy;
	return 0;
}

void nnr__tail_release(nnr__tail *t)
{
	nnr__aligned_free((void *)(uintptr_t)t->mat.data);
	memset(t, 0, sizeof(*t));
}

static void kernel(const nnr__product *p, const nnr__mat *w, int c0, int c1,
		   int r, int rows, float *y, size_t ldy)
{
	if (p->terms)
		p->k->linear_i8(w, c0, c1, p->codes, p->row0 + r, rows,
				p->terms, y, ldy, p->add, p->scratch);
	else
		p->k->linear(w, c0, c1, p->x + (size_t)r * p->ldx, p->ldx,
			     rows, y, ldy, p->add, p->scratch);
}

static void run_tail(const nnr__product *p)
{
	float part[STRIP * LANES];
	size_t used = (size_t)p->tail->used * sizeof(float);

	for (int r = 0; r < p->rows; r += STRIP) {
		int n = p->rows - r < STRIP ? p->rows - r : STRIP;
		float *y = p->y + (size_t)r * p->ldy + p->tail->at;

		memset(part, 0, sizeof(part));
		for (int i = 0; p->add && i < n; i++)
			memcpy(part + i * LANES, y + (size_t)i * p->ldy, used);
		kernel(p, &p->tail->mat, 0, LANES, r, n, part, LANES);
		for (int i = 0; i < n; i++)
			memcpy(y + (size_t)i * p->ldy, part + i * LANES, used);
	}
}

void nnr__product_run(const nnr__product *p, int c0, int c1)
{
	int whole = c1;

	if (p->rows <= 0)
		return;
	if (p->tail->mat.data && c1 > p->tail->at) {
		whole = p->tail->at;
		run_tail(p);
	}
	if (c0 < whole)
		kernel(p, p->w, c0, whole, 0, p->rows, p->y, p->ldy);
}
