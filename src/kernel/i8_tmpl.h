/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer products.  Included once by each of i8_avx512.c and i8_avx2.c,
 * which say how codes are kept (codes8) and how dots are made (dot_*).
 *
 * Up to FUSED rows of x, blocks of LANES rows of W go from the file through
 * registers into the dots: decoding at memory speed.  Above, 2 * LANES rows of
 * W are laid out in scratch, which stays in L1 or L2, block by block as
 *   w[8][2]             dword j of each row: k = 4j..4j+3
 *   float d[2][LANES], m[2][LANES]
 * and tiles of TILE rows of x run over them.
 */
#include <assert.h>

#define VEC (4 * LANES)			/* bytes */
#define BLOCK_BYTES (20 * VEC)		/* of a laid out block */

/* ---- laying out ---- */

/* dst: of the first or second group of a panel. */
INLINE void lay_block(nnr__dtype type, const block *b, uint8_t *dst)
{
	vi w[8];
	float *scale = (float *)(dst + 16 * VEC);

	codes8(type, b, w);
	UNROLL for (int j = 0; j < 8; j++)
		vi_store(dst + 2 * VEC * j, w[j]);
	MM(store_ps)(scale, b->d);
	if (type != NNR__Q8_0)
		MM(store_ps)(scale + 2 * LANES, b->m);
}

INLINE void lay_rows(nnr__dtype type, const nnr__mat *w, int n, uint8_t *dst)
{
	const int bytes = nnr__dtypes[type].bytes;
	const size_t rb = w->row_bytes;
	const uint8_t *p = nnr__row(w, n), *next = p + LANES * rb;
	block b[2];
	int k = 0;

	for (; k + 64 <= w->cols; k += 64, p += 2 * bytes) {
		read_ahead(type, p, next, rb, b);
		lay_block(type, &b[0], dst);
		lay_block(type, &b[1], dst + BLOCK_BYTES);
		next += 2 * LANES * bytes;
		dst += 2 * BLOCK_BYTES;
	}
	if (k < w->cols) {
		read1(type, p, rb, b);
		lay_block(type, b, dst);
	}
}

/* LANES rows of W from n on. */
static void lay(const nnr__mat *w, int n, uint8_t *dst)
{
	if (w->type == NNR__Q4_0)
		lay_rows(NNR__Q4_0, w, n, dst);
	else if (w->type == NNR__Q4_1)
		lay_rows(NNR__Q4_1, w, n, dst);
	else
		lay_rows(NNR__Q8_0, w, n, dst);
}

/* ---- one block ---- */

/* Where the codes of a row of x lie, at its block 0. */
typedef struct {
	const int8_t *hi, *lo;
	const float *d, *sum;
	const int32_t *isum, *isum_lo;
} xrow;

INLINE xrow xrow_at(const nnr__codes *x, int row, int terms)
{
	size_t b = (size_t)row * (size_t)(x->ld / 32);

	return (xrow){ x->hi + b * 32, x->lo + b * 32, x->d + b,
		       (terms == 2 ? x->sum2 : x->sum1) + b,
		       x->isum + b, x->isum_lo + b };
}

INLINE xrow xrow_add(xrow x, size_t b)
{
	return (xrow){ x.hi + b * 32, x.lo + b * 32, x.d + b, x.sum + b,
		       x.isum + b, x.isum_lo + b };
}

/* Broadcasts dword j of block b. */
INLINE vi dword(const int8_t *codes, int b, int j)
{
	int32_t v;
	memcpy(&v, codes + 32 * b + 4 * j, 4);
	return MM(set1_epi32)(v);
}

/* The chain of the contract for one block: s is its integer dot.  Q4_0 goes
 * as Q4_1, its offset stands in the layout. */
INLINE vf chain(nnr__dtype type, int terms, const xrow *x, int b,
		    vi s, vf d, vf m, vf c)
{
	float dx = terms == 2 ? x->d[b] * NNR__INV254 : x->d[b];

	c = MM(fmadd_ps)(MM(cvtepi32_ps)(s),
			    MM(mul_ps)(d, MM(set1_ps)(dx)), c);
	if (type != NNR__Q8_0)
		c = MM(fmadd_ps)(m, MM(set1_ps)(x->sum[b]), c);
	return c;
}

/* Adds the dots of one block of codes to s. */
INLINE void dots(nnr__dtype type, int rows, const uint8_t *panel,
		 const int8_t *const *codes, int b, vi s[TILE][2])
{
	vi a[TILE][2];

	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < 2; g++)
			a[r][g] = dot_begin(type, s[r][g]);
	UNROLL for (int j = 0; j < 8; j++) {
		vi w[2];
		UNROLL for (int g = 0; g < 2; g++)
			w[g] = vi_load(panel + VEC * (2 * j + g));
		UNROLL for (int r = 0; r < rows; r++) {
			vi v = dword(codes[r], b, j);
			UNROLL for (int g = 0; g < 2; g++)
				a[r][g] = dot_step(type, a[r][g], w[g], v);
		}
	}
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < 2; g++)
			s[r][g] = dot_end(type, s[r][g], a[r][g]);
}

/* The same for one row of x, with the codes of W in registers. */
INLINE vi dots1(nnr__dtype type, const vi w[8], const int8_t *codes, int b,
		vi s)
{
	vi a = dot_begin(type, s);

	UNROLL for (int j = 0; j < 8; j++)
		a = dot_step(type, a, w[j], dword(codes, b, j));
	return dot_end(type, s, a);
}

/* What the sum of one row starts from, and 254 times what it has of hi,
 * where that of lo goes on. */
INLINE vi begin_hi(nnr__dtype type, int terms, const xrow *x, int b)
{
	return terms == 1 ? dot_bias(type, x->isum[b]) : MM(set1_epi32)(0);
}

INLINE vi begin_lo(nnr__dtype type, const xrow *x, int b, vi s)
{
	s = MM(mullo_epi32)(s, MM(set1_epi32)(254));
	return MM(add_epi32)(s, dot_bias(type, 254 * x->isum[b] +
					 x->isum_lo[b]));
}

/* One block of all columns: c is the chain of each row and column. */
INLINE void tile_block(nnr__dtype type, int terms, int rows,
		       const uint8_t *panel, const xrow *x, int b,
		       vf c[TILE][2])
{
	const float *d = (const float *)(panel + 16 * VEC);
	const int8_t *codes[TILE];
	vi s[TILE][2];

	UNROLL for (int r = 0; r < rows; r++) {
		codes[r] = x[r].hi;
		UNROLL for (int g = 0; g < 2; g++)
			s[r][g] = begin_hi(type, terms, &x[r], b);
	}
	dots(type, rows, panel, codes, b, s);
	if (terms == 2) {
		UNROLL for (int r = 0; r < rows; r++) {
			codes[r] = x[r].lo;
			UNROLL for (int g = 0; g < 2; g++)
				s[r][g] = begin_lo(type, &x[r], b, s[r][g]);
		}
		dots(type, rows, panel, codes, b, s);
	}
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < 2; g++)
			c[r][g] = chain(type, terms, &x[r], b, s[r][g],
					MM(load_ps)(d + LANES * g),
					MM(load_ps)(d + LANES * (2 + g)),
					c[r][g]);
}

/* ---- tiles ---- */

/* x from row `row` on; y points at that row's first output, for columns n0
 * to n1 at its column 0. */
typedef struct {
	const nnr__mat *w;
	const nnr__codes *x;
	uint8_t *panel;
	float *y;
	size_t ldy;
	int row, rows, n0, n1;
	enum put how;
} job;
typedef void job_fn(const job *t);

/* Over a panel. */
INLINE void tile(nnr__dtype type, int terms, int rows, const job *t)
{
	const int nb = t->w->cols / 32;
	const uint8_t *panel = t->panel;
	xrow x[TILE];
	vf c[TILE][2];

	UNROLL for (int r = 0; r < rows; r++) {
		x[r] = xrow_at(t->x, t->row + r, terms);
		c[r][0] = c[r][1] = MM(setzero_ps)();
	}
	for (int b = 0; b < nb; b++, panel += BLOCK_BYTES)
		tile_block(type, terms, rows, panel, x, b, c);
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < 2; g++)
			put(t->y + (size_t)r * t->ldy + LANES * g, c[r][g],
			    t->how);
}

/* One block of LANES columns, its codes in registers, with one row of x. */
INLINE vf fused_block(nnr__dtype type, int terms, const vi w[8],
		      const block *blk, const xrow *x, int b, vf c)
{
	vi s = begin_hi(type, terms, x, b);

	s = dots1(type, w, x->hi, b, s);
	if (terms == 2)		/* apart: shorter chains */
		s = MM(add_epi32)(begin_lo(type, x, b, s),
				  dots1(type, w, x->lo, b,
					MM(set1_epi32)(0)));
	return chain(type, terms, x, b, s, blk->d, blk->m, c);
}

/* The same for `count` blocks from block b on and all rows; the chains pass
 * through memory, which a few dots hide. */
INLINE void fused_rows(nnr__dtype type, int terms, int count,
		       const block blk[2], xrow x, size_t ld, int rows,
		       vf *c)
{
	vi w[2][8];

	UNROLL for (int i = 0; i < count; i++)
		codes8(type, &blk[i], w[i]);
	for (int r = 0; r < rows; r++) {
		vf v = c[r];
		UNROLL for (int i = 0; i < count; i++)
			v = fused_block(type, terms, w[i], &blk[i], &x, i, v);
		c[r] = v;
		x = xrow_add(x, ld);
	}
}

/* From the file's blocks straight through registers; y points at column
 * 0. */
INLINE void fused(nnr__dtype type, int terms, const job *t)
{
	const nnr__mat *w = t->w;
	const int nb = w->cols / 32, bytes = nnr__dtypes[type].bytes;
	const int rows = t->rows;
	const size_t rb = w->row_bytes, ld = (size_t)t->x->ld / 32;
	const xrow x0 = xrow_at(t->x, t->row, terms);

	/* 8 to 16 KiB ahead, or a whole group if that is more */
	const int ahead = LANES * (1 + (int)(8192 / (LANES * rb)));
	for (size_t i = 0; i < (size_t)ahead * rb; i += 64)
		prefetch(nnr__row(w, t->n0) + i, 64);
	for (int n = t->n0; n < t->n1; n += LANES) {
		const uint8_t *p = nnr__row(w, n), *next = p;
		xrow x = x0;
		block blk[2];
		vf c[FUSED];
		int b = 0;
		if (n + ahead < t->n1)
			next += (size_t)ahead * rb;
		for (int r = 0; r < rows; r++)
			c[r] = MM(setzero_ps)();
		for (; b + 2 <= nb; b += 2) {
			read_ahead(type, p, next, rb, blk);
			fused_rows(type, terms, 2, blk, x, ld, rows, c);
			p += 2 * bytes;
			next += 2 * LANES * bytes;
			x = xrow_add(x, 2);
		}
		if (b < nb) {
			read1(type, p, rb, blk);
			fused_rows(type, terms, 1, blk, x, ld, rows, c);
		}
		for (int r = 0; r < rows; r++)
			put(t->y + (size_t)r * t->ldy + n, c[r], t->how);
	}
}

#define FUSED_FN(type) \
	static void fused_##type##_1(const job *t) \
	{ \
		fused(NNR__##type, 1, t); \
	} \
	static void fused_##type##_2(const job *t) \
	{ \
		fused(NNR__##type, 2, t); \
	}
FUSED_FN(Q4_0)
FUSED_FN(Q4_1)
FUSED_FN(Q8_0)
static job_fn *const fused_fns[NNR__DTYPES][2] = {
	[NNR__Q4_0] = { fused_Q4_0_1, fused_Q4_0_2 },
	[NNR__Q4_1] = { fused_Q4_1_1, fused_Q4_1_2 },
	[NNR__Q8_0] = { fused_Q8_0_1, fused_Q8_0_2 },
};

#define TILE_FN(type, terms, rows) \
	static void tile_##type##_##terms##_##rows(const job *t) \
	{ \
		tile(NNR__##type, terms, rows, t); \
	}
#define TILE_ENTRY(type, terms, rows) tile_##type##_##terms##_##rows,
TILE_LIST(TILE_FN, Q4_1, 1)
TILE_LIST(TILE_FN, Q4_1, 2)
TILE_LIST(TILE_FN, Q8_0, 1)
TILE_LIST(TILE_FN, Q8_0, 2)
/* By Q8_0 or not (Q4_0 is Q4_1 once laid out), terms - 1, rows - TILE_LOW. */
static job_fn *const tile_fns[2][2][TILE - TILE_LOW + 1] = {
	{ { TILE_LIST(TILE_ENTRY, Q4_1, 1) },
	  { TILE_LIST(TILE_ENTRY, Q4_1, 2) } },
	{ { TILE_LIST(TILE_ENTRY, Q8_0, 1) },
	  { TILE_LIST(TILE_ENTRY, Q8_0, 2) } },
};

/* Columns n..n + 2 LANES, in as few tiles as can be of nearly equal
 * height. */
static void panel(job t, int n, int terms)
{
	const int rows = t.rows, count = (rows + TILE - 1) / TILE;
	job_fn *const *fn = tile_fns[t.w->type == NNR__Q8_0][terms - 1];

	lay(t.w, n, t.panel);
	lay(t.w, n + LANES, t.panel + VEC);
	t.y += n;
	for (int i = 0; i < count; i++) {
		int high = rows / count + (i < rows % count);
		fn[high - TILE_LOW](&t);
		t.row += high;
		t.y += (size_t)high * t.ldy;
	}
}

/* Columns n0..n1 with any number of rows, FUSED at a time. */
static void columns(job t, int terms)
{
	for (int left = t.rows; left > 0; left -= t.rows) {
		t.rows = left < FUSED ? left : FUSED;
		fused_fns[t.w->type][terms - 1](&t);
		t.row += t.rows;
		t.y += (size_t)t.rows * t.ldy;
	}
}

void ISA(linear_i8)(const nnr__mat *w, int n0, int n1, const nnr__codes *x,
		    int row0, int rows, int terms, float *y, size_t ldy,
		    bool add, void *scratch)
{
	job t = { w, x, scratch, y, ldy, row0, rows, n0, n1,
		  put_how(y, ldy, rows, add) };

	assert(n0 % 16 == 0 && n1 % 16 == 0 && w->cols % 32 == 0);
	for (; rows > FUSED && t.n0 + 2 * LANES <= n1; t.n0 += 2 * LANES)
		panel(t, t.n0, terms);
	columns(t, terms);
	put_end(t.how);
}
