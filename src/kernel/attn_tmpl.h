/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention on sixteen lanes.  Included once by each of attn_avx512.c and
 * attn_avx2.c with ISA(name), QT and KV defined: both products run on tiles
 * of QT queries and KV vectors, C (QT x 16 KV) = A (QT x k) B (k x 16 KV),
 *   scores:  A = queries,        B = kt  [dim][64]
 *   output:  A = probabilities,  B = v   [64][dim]
 * so the heads that share keys, and neighbouring rows, share every load of
 * B; a page stays in the first-level cache while all queries pass over it.
 */
#include "v16.h"

#define QUERIES 48	/* at a time: rows x heads of a job */
#define PAGE NNR__PAGE

typedef struct {
	const float *q[QUERIES];
	float *o[QUERIES];
	int keys[QUERIES];
	float m[QUERIES], l[QUERIES];
	float p[QUERIES][PAGE];
	int n;
} state;

/* c[i] (+)= sum over k ascending of a[i][k] b[k][..] for nq <= QT rows;
 * with `alpha`, c starts at c * alpha[i], else at 0. */
INLINE16 void tile(int nq, int nv, const float *const *a, int k,
		   const float *b, int ldb, float *const *c,
		   const float *alpha)
{
	v16 acc[QT][KV];

	UNROLL16 for (int i = 0; i < nq; i++)
		UNROLL16 for (int v = 0; v < nv; v++)
			acc[i][v] = !alpha ? v16_set(0) :
				v16_mul(v16_load(c[i] + 16 * v),
					v16_set(alpha[i]));
	for (int j = 0; j < k; j++, b += ldb) {
		v16 w[KV];
		UNROLL16 for (int v = 0; v < nv; v++)
			w[v] = v16_load(b + 16 * v);
		UNROLL16 for (int i = 0; i < nq; i++) {
			v16 x = v16_set(a[i][j]);
			UNROLL16 for (int v = 0; v < nv; v++)
				acc[i][v] = v16_fma(x, w[v], acc[i][v]);
		}
	}
	UNROLL16 for (int i = 0; i < nq; i++)
		UNROLL16 for (int v = 0; v < nv; v++)
			v16_store(c[i] + 16 * v, acc[i][v]);
}

/* Columns col..col+16 nv of tile(), for any number of queries up to QT. */
#define TILE_CASE(n) case n: \
	if (nv == KV) \
		tile(n, KV, a, k, b, ldb, c, alpha); \
	else \
		tile(n, 1, a, k, b, ldb, c, alpha); \
	break

static void any_tile(int nq, int nv, const float *const *a, int k,
		     const float *b, int ldb, float *const *c,
		     const float *alpha)
{
	switch (nq) {
	TILE_CASE(1);
	TILE_CASE(2);
	TILE_CASE(3);
#if QT > 3
	TILE_CASE(4);
	TILE_CASE(5);
	TILE_CASE(6);
#endif
	default: break;
	}
}

/* All columns of a product: as many vectors as go at a time, then one. */
static void product(int nq, const float *const *a, int k, const float *b,
		    int cols, float *const *c, const float *alpha)
{
	float *at[QT];
	int col = 0;

	while (col < cols) {
		int nv = cols - col >= 16 * KV ? KV : 1;

		for (int i = 0; i < nq; i++)
			at[i] = c[i] + col;
		any_tile(nq, nv, a, k, b + col, cols, at, alpha);
		col += 16 * nv;
	}
}

/* Scores of n keys to probabilities relative to the new maximum; returns
 * the factor for what was summed before. */
static float soften(float *p, int n, float scale, bool first, float *m,
		    float *l)
{
	v16 s[PAGE / 16], top = v16_set(*m), sum, sc = v16_set(scale);

	UNROLL16 for (int v = 0; v < PAGE / 16; v++) {
		s[v] = v16_first(v16_mul(v16_load(p + 16 * v), sc),
				 n - 16 * v);
		top = v16_max(s[v], top);
	}
	float was = *m, now = v16_top(top);
	float alpha = first ? 0.0f : nnr__exp(was - now);
	top = v16_set(now);
	UNROLL16 for (int v = 0; v < PAGE / 16; v++) {
		s[v] = v16_exp(v16_sub(s[v], top));
		v16_store(p + 16 * v, s[v]);
		sum = v ? v16_add(sum, s[v]) : s[v];
	}
	*m = now;
	*l = __builtin_fmaf(*l, alpha, v16_sum(sum));
	return alpha;
}

/* Keys from `common` on that only some queries of a tile see. */
static void add_rest(const state *s, int q, int common, int n, const float *v,
		     int dim)
{
	for (int j = common; j < n; j++) {
		v16 p = v16_set(s->p[q][j]);
		for (int d = 0; d < dim; d += 16)
			v16_store(s->o[q] + d,
				  v16_fma(p, v16_load(v + j * dim + d),
					  v16_load(s->o[q] + d)));
	}
}

/* Queries q..q+nq, all of which see some key of the page. */
static void pass(const nnr__attn *a, state *s, int q, int nq, int page)
{
	const float *p[QT];
	float *out[QT], alpha[QT];
	int n[QT], common = PAGE;

	for (int i = 0; i < nq; i++) {
		p[i] = out[i] = s->p[q + i];
		n[i] = s->keys[q + i] - page * PAGE;
		n[i] = n[i] < PAGE ? n[i] : PAGE;
		common = n[i] < common ? n[i] : common;
	}
	product(nq, s->q + q, a->dim, a->kt[page], PAGE, out, NULL);
	for (int i = 0; i < nq; i++)
		alpha[i] = soften(s->p[q + i], n[i], a->scale, page == 0,
				  &s->m[q + i], &s->l[q + i]);
	product(nq, p, common, a->v[page], a->dim, s->o + q,
		page ? alpha : NULL);
	for (int i = 0; i < nq; i++)
		if (n[i] > common)
			add_rest(s, q + i, common, n[i], a->v[page], a->dim);
}

static void run(const nnr__attn *a, state *s)
{
	int last = s->keys[s->n - 1];

	for (int page = 0; page * PAGE < last; page++) {
		int q = 0;

		/* keys grow with the row: the first queries may be done */
		while (s->keys[q] <= page * PAGE)
			q++;
		for (; q < s->n; q += QT)
			pass(a, s, q, s->n - q < QT ? s->n - q : QT, page);
	}
	for (int q = 0; q < s->n; q++) {
		v16 inv = v16_set(1.0f / s->l[q]);
		for (int d = 0; d < a->dim; d += 16)
			v16_store(s->o[q] + d,
				  v16_mul(v16_load(s->o[q] + d), inv));
	}
}

void ISA(attention)(const nnr__attn *a, void *scratch)
{
	state s;

	(void)scratch;
	s.n = 0;
	for (int r = 0; r < a->rows; r++)
		for (int h = 0; h < a->heads; h++) {
			s.q[s.n] = a->q + (size_t)r * a->ldq + h * a->dim;
			s.o[s.n] = a->o + (size_t)r * a->ldo + h * a->dim;
			s.keys[s.n] = a->pos0 + r + 1;
			s.m[s.n] = -__builtin_inff();
			s.l[s.n++] = 0;
			if (s.n == QUERIES || (r == a->rows - 1 &&
					       h == a->heads - 1)) {
				run(a, &s);
				s.n = 0;
			}
		}
}
