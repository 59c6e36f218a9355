/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention on sixteen lanes; the same bits as attn_generic.c.  Included
 * once by each of attn_avx512.c and attn_avx2.c with ISA(name), QT and KV
 * defined: tiles of QT queries by KV vectors.
 *
 * The query rows (row by row, their heads side by side) are numbered through
 * and worked on in tiles of QT; a BLOCK of tiles goes through one
 * page before the next, so that keys and values come from L1.  o holds the
 * unscaled sums between pages.
 */
#include "v16.h"

#include <math.h>	/* fmaf: one instruction */

#define BLOCK (8 * QT)

/* Some query rows and their share of one page. */
typedef struct {
	const nnr__attn *a;
	const float *kt, *v;
	const float *q[QT];
	float *o[QT];
	int keys[QT];	/* of this page, 1..64, never fewer later */
	float *m, *l;		/* maximum and sum so far, of each row */
	bool first;
	float p[QT][NNR__PAGE];
	float alpha[16];
} tile;

/* p = scale q k for 16 * vecs keys from key j on, used or not. */
INLINE void scores(tile *t, int rows, int vecs, int j)
{
	const float *k = t->kt + j;
	v16 s[QT][KV];

	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int i = 0; i < vecs; i++)
			s[r][i] = v16_set(0);
	for (int d = 0; d < t->a->dim; d++, k += NNR__PAGE) {
		v16 key[KV];
		UNROLL for (int i = 0; i < vecs; i++)
			key[i] = v16_load(k + 16 * i);
		UNROLL for (int r = 0; r < rows; r++) {
			v16 q = v16_set(t->q[r][d]);
			UNROLL for (int i = 0; i < vecs; i++)
				s[r][i] = v16_fma(q, key[i], s[r][i]);
		}
	}
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int i = 0; i < vecs; i++)
			v16_store(t->p[r] + j + 16 * i,
				v16_mul(s[r][i], v16_set(t->a->scale)));
}

/* The new maximum of row r; unused keys become -inf. */
INLINE float row_max(tile *t, int r)
{
	const int n = t->keys[r];
	v16 top = v16_set(t->m[r]);

	for (int j = 0; j < n; j += 16) {
		v16 s = v16_load(t->p[r] + j);
		if (n - j < 16) {
			s = v16_first(s, n - j);
			v16_store(t->p[r] + j, s);
		}
		top = v16_max(s, top);
	}
	return v16_top(top);
}

/* p = exp(p - m), and m, l, alpha. */
INLINE void softmax(tile *t, int rows)
{
	float top[QT];

	for (int r = 0; r < rows; r++) {
		top[r] = row_max(t, r);
		t->alpha[r] = t->m[r] - top[r];
	}
	v16_store(t->alpha, t->first ? v16_set(0) :
		  v16_exp(v16_load(t->alpha)));
	for (int r = 0; r < rows; r++) {
		v16 lane = v16_set(0);
		for (int j = 0; j < t->keys[r]; j += 16) {
			v16 e = v16_exp(v16_sub(v16_load(t->p[r] + j),
					    v16_set(top[r])));
			v16_store(t->p[r] + j, e);
			lane = v16_add(lane, e);
		}
		t->m[r] = top[r];
		t->l[r] = fmaf(t->l[r], t->alpha[r], v16_sum(lane));
	}
}

/* o = o alpha + p v for 16 * vecs columns from d on. */
INLINE void values(tile *t, int rows, int vecs, int d)
{
	const size_t dim = (size_t)t->a->dim;
	const float *v = t->v + d;
	v16 c[QT][KV];
	int j = 0;

	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int i = 0; i < vecs; i++)
			c[r][i] = t->first ? v16_set(0) :
				v16_mul(v16_load(t->o[r] + d + 16 * i),
				      v16_set(t->alpha[r]));
	for (; j < t->keys[0]; j++, v += dim) {
		v16 value[KV];
		UNROLL for (int i = 0; i < vecs; i++)
			value[i] = v16_load(v + 16 * i);
		UNROLL for (int r = 0; r < rows; r++) {
			v16 p = v16_set(t->p[r][j]);
			UNROLL for (int i = 0; i < vecs; i++)
				c[r][i] = v16_fma(p, value[i], c[r][i]);
		}
	}
	UNROLL for (int r = 0; r < rows; r++) {
		const float *more = v;	/* keys row 0 does not see */
		for (int k = j; k < t->keys[r]; k++, more += dim)
			UNROLL for (int i = 0; i < vecs; i++)
				c[r][i] = v16_fma(v16_set(t->p[r][k]),
						v16_load(more + 16 * i),
						c[r][i]);
		UNROLL for (int i = 0; i < vecs; i++)
			v16_store(t->o[r] + d + 16 * i, c[r][i]);
	}
}

INLINE void tile_page(tile *t, int rows)
{
	int d = 0;

	for (int j = 0; j < t->keys[rows - 1]; j += 16 * KV)
		scores(t, rows, KV, j);
	softmax(t, rows);
	for (; d + 16 * KV <= t->a->dim; d += 16 * KV)
		values(t, rows, KV, d);
	for (; d < t->a->dim; d += 16)
		values(t, rows, 1, d);
}

static void any_page(tile *t, int rows)
{
	switch (rows) {
	case 1: tile_page(t, 1); break;
	case 2: tile_page(t, 2); break;
	case 3: tile_page(t, 3); break;
#if QT > 3
	case 4: tile_page(t, 4); break;
	case 5: tile_page(t, 5); break;
	case 6: tile_page(t, 6); break;
#endif
	}
}

/* Query rows i0..i1-1 with one page, as far as they see it. */
static void run_page(const nnr__attn *a, int page, int i0, int i1, float *m,
		     float *l)
{
	const int start = page * NNR__PAGE - a->pos0;	/* row that sees it */
	tile t = { .a = a, .kt = a->kt[page], .v = a->v[page],
		   .m = m, .l = l, .first = page == 0 };
	int n = 0;

	for (int i = i0; i < i1; i++) {
		int r = i / a->heads, h = i % a->heads;
		if (r < start) {
			t.m++;
			t.l++;
			continue;
		}
		int keys = r - start + 1;
		t.keys[n] = keys < NNR__PAGE ? keys : NNR__PAGE;
		t.q[n] = a->q + (size_t)r * a->ldq + h * a->dim;
		t.o[n++] = a->o + (size_t)r * a->ldo + h * a->dim;
	}
	any_page(&t, n);
}

static void run_block(const nnr__attn *a, int i0, int i1)
{
	const int last = a->pos0 + (i1 - 1) / a->heads;
	float m[BLOCK], l[BLOCK];

	for (int i = 0; i < i1 - i0; i++) {
		m[i] = -INFINITY;
		l[i] = 0;
	}
	for (int page = 0; page <= last / NNR__PAGE; page++)
		for (int i = i0; i < i1; i += QT)
			run_page(a, page, i,
				 i1 - i < QT ? i1 : i + QT,
				 m + i - i0, l + i - i0);
	for (int i = i0; i < i1; i++) {
		size_t r = (size_t)(i / a->heads);
		int h = i % a->heads;
		float *o = a->o + r * a->ldo + h * a->dim;
		v16 inv = v16_set(1.0f / l[i - i0]);
		if (a->lse)
			a->lse[r * a->ldlse + h] = m[i - i0] +
				nnr__log(l[i - i0]);
		for (int d = 0; d < a->dim; d += 16)
			v16_store(o + d, v16_mul(v16_load(o + d), inv));
	}
}

void ISA(attention)(const nnr__attn *a, void *scratch)
{
	const int total = a->rows * a->heads;

	(void)scratch;
	for (int i = 0; i < total; i += BLOCK)
		run_block(a, i, total - i < BLOCK ? total : i + BLOCK);
}
