/* SPDX-License-Identifier: Apache-2.0
 *
 * The gradient of attention on sixteen lanes; the same bits as
 * back_generic.c.  Included by back_avx512.c and back_avx2.c with ISA(name)
 * defined.
 *
 * The query rows are numbered through as in attn_tmpl.h.  A CHUNK of them is
 * copied side by side; with each page, whose keys and values are transposed
 * for it, BLOCKs of rows make p and ds anew (16 x 64 floats in L1), which
 * then meet keys for dq and rows for dk and dv.  Every sum goes on in memory
 * from page to page or block to block, so its order is the specification's.
 */
#include "tile16.h"

#include <assert.h>

#define BLOCK (8 * MUL_ROWS)
#define CHUNK 256		/* rows at most, and */
#define CHUNK_FLOATS 16384	/* floats of them */

typedef struct {
	const nnr__attn_back *a;
	int i0, i1;		/* rows of the chunk */
	float *q, *dout, *dq;	/* [i - i0][dim] */
	float *lse, *delta;	/* [i - i0] */
	int page;
	float *k, *vt;		/* its keys [64][dim], its values [dim][64] */
	float *p, *ds;		/* [row of the block][64] */
} work;

/* How many keys of the page row i sees; below 1: none. */
static int keys_of(const work *w, int i)
{
	int n = w->a->pos0 + i / w->a->heads + 1 - w->page * NNR__PAGE;

	return n < NNR__PAGE ? n : NNR__PAGE;
}

/* The first row that sees key j of the page. */
static int first_row(const work *w, int j)
{
	int r = w->page * NNR__PAGE + j - w->a->pos0;

	return r > 0 ? r * w->a->heads : 0;
}

/* to[j][i] = from[i][j], sizes multiples of 4. */
static void transpose(const float *from, int rows, int cols, float *to)
{
	for (int i = 0; i < rows; i += 4)
		for (int j = 0; j < cols; j += 4) {
			const float *f = from + i * cols + j;
			float *t = to + j * rows + i;
			__m128 a = _mm_loadu_ps(f);
			__m128 b = _mm_loadu_ps(f + cols);
			__m128 c = _mm_loadu_ps(f + 2 * cols);
			__m128 d = _mm_loadu_ps(f + 3 * cols);
			_MM_TRANSPOSE4_PS(a, b, c, d);
			_mm_storeu_ps(t, a);
			_mm_storeu_ps(t + rows, b);
			_mm_storeu_ps(t + 2 * rows, c);
			_mm_storeu_ps(t + 3 * rows, d);
		}
}

/* ---- rows of a chunk ---- */

static void chunk_in(const work *w)
{
	const nnr__attn_back *a = w->a;
	const size_t dim = (size_t)a->dim;

	for (int i = w->i0; i < w->i1; i++) {
		size_t r = (size_t)(i / a->heads), h = (size_t)(i % a->heads);
		size_t n = (size_t)(i - w->i0), to = n * dim;
		const float *q = a->q + r * a->ldq + h * dim;
		const float *o = a->o + r * a->ldo + h * dim;
		const float *g = a->dout + r * a->lddout + h * dim;
		v16 sum = v16_set(0);
		for (size_t d = 0; d < dim; d += 16) {
			v16 v = v16_load(g + d);
			sum = v16_fma(v, v16_load(o + d), sum);
			v16_store(w->q + to + d, v16_load(q + d));
			v16_store(w->dout + to + d, v);
			v16_store(w->dq + to + d, v16_set(0));
		}
		w->delta[n] = v16_sum(sum);
		w->lse[n] = a->lse[r * a->ldlse + h];
	}
}

static void chunk_out(const work *w)
{
	const nnr__attn_back *a = w->a;
	const size_t dim = (size_t)a->dim;

	for (int i = w->i0; i < w->i1; i++)
		memcpy(a->dq + (size_t)(i / a->heads) * a->lddq +
		       (size_t)(i % a->heads) * dim,
		       w->dq + (size_t)(i - w->i0) * dim, dim * 4);
}

/* ---- one page ---- */

/* p and ds from s (in p) and dp (in ds), of one row. */
static void row_ds(const work *w, int i, float *p, float *ds)
{
	const v16 scale = v16_set(w->a->scale);
	const v16 lse = v16_set(w->lse[i - w->i0]);
	const v16 delta = v16_set(w->delta[i - w->i0]);

	for (int j = 0; j < keys_of(w, i); j += 16) {
		v16 s = v16_mul(v16_load(p + j), scale);
		v16 e = v16_exp(v16_sub(s, lse));
		v16 d = v16_mul(e, v16_sub(v16_load(ds + j), delta));
		v16_store(p + j, e);
		v16_store(ds + j, v16_mul(d, scale));
	}
}

/* dq += ds k.  Keys that only some of the rows see come last, row by row. */
static void tile_dq(const work *w, int i, int rows, const float *ds)
{
	const int dim = w->a->dim, n = keys_of(w, i);
	mul t = {
		.a = ds, .row = NNR__PAGE, .step = 1, .b = w->k,
		.ldb = (size_t)dim, .n = n, .ldc = (size_t)dim, .on = true,
		.c = w->dq + (size_t)(i - w->i0) * (size_t)dim,
	};

	mul_cols(t, rows, dim);
	t.a += n;
	t.b += n * dim;
	for (int r = 0; r < rows; r++, t.a += NNR__PAGE, t.c += dim) {
		t.n = keys_of(w, i + r) - n;
		if (t.n > 0)
			mul_cols(t, 1, dim);
	}
}

/* Rows from i on with the page: p, ds, dq. */
static void tile_rows(const work *w, int i, int rows, float *p, float *ds)
{
	const size_t dim = (size_t)w->a->dim, at = (size_t)(i - w->i0) * dim;
	const int cols = (keys_of(w, i + rows - 1) + 15) & ~15;
	mul t = {
		.a = w->q + at, .row = dim, .step = 1,
		.b = w->a->kt[w->page], .ldb = NNR__PAGE, .n = (int)dim,
		.c = p, .ldc = NNR__PAGE,
	};

	mul_cols(t, rows, cols);
	t.a = w->dout + at;
	t.b = w->vt;
	t.c = ds;
	mul_cols(t, rows, cols);
	for (int r = 0; r < rows; r++)
		row_ds(w, i + r, p + r * NNR__PAGE, ds + r * NNR__PAGE);
	tile_dq(w, i, rows, ds);
}

/* sums of keys j.. += coef^T x over the rows b0..b1 that see them; rows that
 * see only some of the keys come first, key by key. */
static void tile_keys(const work *w, int b0, int b1, int j, int keys,
		      const float *coef, const float *x, float *sums)
{
	const size_t dim = (size_t)w->a->dim;
	int all = first_row(w, j + keys - 1), from;
	mul t = { .row = 1, .step = NNR__PAGE, .ldb = dim, .ldc = dim,
		  .on = true };

	all = all < b0 ? b0 : all < b1 ? all : b1;
	for (int i = 0; i <= keys; i++) {
		from = i < keys ? first_row(w, j + i) : all;
		from = from < b0 ? b0 : from;
		t.n = (i < keys ? all : b1) - from;
		t.a = coef + (from - b0) * NNR__PAGE + (i < keys ? j + i : j);
		t.b = x + (size_t)(from - w->i0) * dim;
		t.c = sums + (i < keys ? (size_t)i * dim : 0);
		if (t.n > 0)
			mul_cols(t, i < keys ? 1 : keys, (int)dim);
	}
}

static void run_block(const work *w, int b0, int b1)
{
	const nnr__attn_back *a = w->a;
	const int start = w->page * NNR__PAGE, keys = keys_of(w, b1 - 1);
	int j = a->from - start;

	for (int i = b0; i < b1; i += MUL_ROWS)
		tile_rows(w, i, b1 - i < MUL_ROWS ? b1 - i : MUL_ROWS,
			  w->p + (i - b0) * NNR__PAGE,
			  w->ds + (i - b0) * NNR__PAGE);
	for (j = j > 0 ? j : 0; j < keys; j += MUL_ROWS) {
		int n = keys - j < MUL_ROWS ? keys - j : MUL_ROWS;
		size_t at = (size_t)(start + j - a->from) * (size_t)a->dim;
		tile_keys(w, b0, b1, j, n, w->ds, w->q, a->dk + at);
		tile_keys(w, b0, b1, j, n, w->p, w->dout, a->dv + at);
	}
}

static void run_chunk(work *w)
{
	const nnr__attn_back *a = w->a;
	const int last = a->pos0 + (w->i1 - 1) / a->heads;

	chunk_in(w);
	for (w->page = 0; w->page * NNR__PAGE <= last; w->page++) {
		int i = first_row(w, 0);
		transpose(a->kt[w->page], a->dim, NNR__PAGE, w->k);
		transpose(a->v[w->page], NNR__PAGE, a->dim, w->vt);
		for (i = i < w->i0 ? w->i0 : i; i < w->i1; i += BLOCK)
			run_block(w, i, w->i1 - i < BLOCK ? w->i1 : i + BLOCK);
	}
	chunk_out(w);
}

void ISA(attention_back)(const nnr__attn_back *a, void *scratch)
{
	const int total = a->rows * a->heads;
	const size_t dim = (size_t)a->dim, page = dim * NNR__PAGE;
	const int fit = CHUNK_FLOATS / a->dim;
	const int chunk = fit < CHUNK ? fit : CHUNK;
	const size_t block = BLOCK * NNR__PAGE, rows = (size_t)chunk * dim;
	size_t keys = (size_t)(a->pos0 + a->rows - a->from) * dim;
	float *s = scratch;
	work w = {
		.a = a, .k = s, .vt = s + page, .p = s + 2 * page,
		.ds = s + 2 * page + block,
	};

	s += 2 * (page + block);
	w.q = s;
	w.dout = s + rows;
	w.dq = s + 2 * rows;
	w.lse = s + 3 * rows;
	w.delta = w.lse + chunk;
	assert((2 * (page + block) + 3 * rows + 2 * (size_t)chunk) * 4 <=
	       NNR__PANEL_MAX);
	memset(a->dk, 0, keys * 4);
	memset(a->dv, 0, keys * 4);
	for (int i = 0; i < total; i += chunk) {
		w.i0 = i;
		w.i1 = total - i < chunk ? total : i + chunk;
		run_chunk(&w);
	}
}
