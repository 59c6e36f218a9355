/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of small matrices on sixteen lanes: c = a b, or c + a b, in tiles
 * of MUL_ROWS rows by MUL_VECS vectors of c.  Gradients are made of them.
 */
#ifndef NNR_KERNEL_TILE16_H
#define NNR_KERNEL_TILE16_H

#include "v16.h"

#ifdef __AVX512F__
#define MUL_ROWS 6		/* 24 accumulators of 32 registers */
#define MUL_VECS 4
#else
#define MUL_ROWS 3		/* 12 of 16, a vector being two */
#define MUL_VECS 2
#endif

/* c[r][i] is a chain over k < n of fma(a[r][k], b[k][i]), ascending, that
 * starts at 0, or with `on` at c[r][i]. */
typedef struct {
	const float *a;		/* a[r][k] = a[r * row + k * step] */
	size_t row, step;
	const float *b;
	size_t ldb;
	int n;
	float *c;
	size_t ldc;
	bool on;
} mul;

INLINE void mul_tile(int rows, int vecs, const mul *t)
{
	const float *a = t->a, *b = t->b;
	v16 c[MUL_ROWS][MUL_VECS];

	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int i = 0; i < vecs; i++)
			c[r][i] = v16_set(0);
	if (t->on)
		UNROLL for (int r = 0; r < rows; r++)
			UNROLL for (int i = 0; i < vecs; i++)
				c[r][i] = v16_load(t->c + (size_t)r * t->ldc +
						   16 * i);
	for (int k = 0; k < t->n; k++, a += t->step, b += t->ldb) {
		v16 v[MUL_VECS];
		UNROLL for (int i = 0; i < vecs; i++)
			v[i] = v16_load(b + 16 * i);
		UNROLL for (int r = 0; r < rows; r++) {
			v16 x = v16_set(a[(size_t)r * t->row]);
			UNROLL for (int i = 0; i < vecs; i++)
				c[r][i] = v16_fma(x, v[i], c[r][i]);
		}
	}
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int i = 0; i < vecs; i++)
			v16_store(t->c + (size_t)r * t->ldc + 16 * i,
				  c[r][i]);
}

typedef void mul_fn(const mul *t);
#define MUL_FN(rows) \
	static void mul_##rows##_1(const mul *t) { mul_tile(rows, 1, t); } \
	static void mul_##rows##_n(const mul *t) \
	{ mul_tile(rows, MUL_VECS, t); }
#define MUL_ENTRY(rows) { mul_##rows##_1, mul_##rows##_n },
#if MUL_ROWS == 6
#define MUL_LIST(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#define MUL_LIST(X) X(1) X(2) X(3)
#endif
MUL_LIST(MUL_FN)
static mul_fn *const mul_fns[MUL_ROWS][2] = { MUL_LIST(MUL_ENTRY) };

/* `rows` <= MUL_ROWS rows by `cols` columns, a multiple of 16. */
static void mul_cols(mul t, int rows, int cols)
{
	for (int step; cols > 0; cols -= step) {
		bool wide = cols >= 16 * MUL_VECS;
		mul_fns[rows - 1][wide](&t);
		step = wide ? 16 * MUL_VECS : 16;
		t.b += step;
		t.c += step;
	}
}

#endif
