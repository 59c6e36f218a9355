/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer products with AVX-512 VNNI.  Lane = row of W.  Blocks of 16 or 32
 * rows of W are laid out in scratch as
 *   u8 w[8][groups][64]   (dword j of 16 rows: 4 consecutive k)
 *   float d[groups][16], m[groups][16]
 * Up to FUSED rows of x a tile takes all of them and lays out two blocks at
 * a time, just before it uses them (decoding: memory speed); above, tiles of
 * TILE rows run over a panel of 32 whole rows of W.
 */
#include "rows_avx512.h"

#include <assert.h>

#define FUSED 12	/* rows of x, times 16 of W */
#define TILE 6		/* rows of x, times 32 of W */
#define BLOCK_BYTES 640	/* of a block of 16 rows of W, laid out */

/* ---- laying out ---- */

/* 8 vectors of unsigned codes: dword j = k 4j..4j+3; int8 gets + 128. */
INLINE void codes8(nnr__dtype type, const block *b, __m512i w[8])
{
	const __m512i low = _mm512_set1_epi8(15);
	const __m512i flip = _mm512_set1_epi8((char)-128);

	UNROLL for (int j = 0; j < 4; j++)
		if (type == NNR__Q8_0) {
			w[j] = _mm512_xor_si512(b->q[j], flip);
			w[j + 4] = _mm512_xor_si512(b->q[j + 4], flip);
		} else {
			w[j] = _mm512_and_si512(b->q[j], low);
			w[j + 4] = _mm512_and_si512(
				_mm512_srli_epi16(b->q[j], 4), low);
		}
}

INLINE void lay_block(nnr__dtype type, const block *b, uint8_t *dst,
		      int groups)
{
	__m512i w[8];
	float *scale = (float *)(dst + 512 * groups);

	codes8(type, b, w);
	UNROLL for (int j = 0; j < 8; j++)
		_mm512_store_si512(dst + 64 * groups * j, w[j]);
	_mm512_store_ps(scale, b->d);
	if (type != NNR__Q8_0)
		_mm512_store_ps(scale + 16 * groups, b->m);
}

/* Lays out `blocks` (1 or 2) of 16 rows at p for a panel of `groups`. */
typedef void lay_fn(const uint8_t *p, const uint8_t *next, size_t rb,
		    int blocks, uint8_t *dst, int groups);

INLINE void lay(nnr__dtype type, const uint8_t *p, const uint8_t *next,
		size_t rb, int blocks, uint8_t *dst, int groups)
{
	block b[2];

	if (blocks == 1) {
		read1(type, p, rb, b);
		lay_block(type, b, dst, groups);
		return;
	}
	read_ahead(type, p, next, rb, b);
	lay_block(type, &b[0], dst, groups);
	lay_block(type, &b[1], dst + BLOCK_BYTES * groups, groups);
}

#define LAY_FN(type) \
	static void lay_##type(const uint8_t *p, const uint8_t *next, \
			       size_t rb, int blocks, uint8_t *dst, \
			       int groups) \
	{ \
		lay(NNR__##type, p, next, rb, blocks, dst, groups); \
	}
LAY_FN(Q4_0)
LAY_FN(Q4_1)
LAY_FN(Q8_0)

static lay_fn *lay_of(nnr__dtype type)
{
	return type == NNR__Q4_0 ? lay_Q4_0 :
		type == NNR__Q4_1 ? lay_Q4_1 : lay_Q8_0;
}

/* 16 rows of W from n on, group g of the panel. */
static void lay_rows(const nnr__mat *w, int n, uint8_t *panel, int groups)
{
	const int nb = w->cols / 32, bytes = nnr__dtypes[w->type].bytes;
	const uint8_t *p = nnr__row(w, n), *next = p + 16 * w->row_bytes;
	lay_fn *fn = lay_of(w->type);

	for (int b = 0; b < nb; b += 2, p += 2 * bytes) {
		fn(p, next, w->row_bytes, nb - b > 1 ? 2 : 1, panel, groups);
		next += 32 * bytes;
		panel += 2 * BLOCK_BYTES * groups;
	}
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

/* Broadcasts dword j of block b. */
INLINE __m512i dword(const int8_t *codes, int b, int j)
{
	int32_t v;
	memcpy(&v, codes + 32 * b + 4 * j, 4);
	return _mm512_set1_epi32(v);
}

/* Where the last accumulator starts: 128 x for codes stored + 128. */
INLINE __m512i start(nnr__dtype type, int terms, const xrow *x, int b)
{
	if (type != NNR__Q8_0)
		return _mm512_setzero_si512();
	int32_t s = x->isum[b];
	if (terms == 2)
		s = 254 * s + x->isum_lo[b];
	return _mm512_set1_epi32(-128 * s);
}

/* The chain of the contract for one block: s is its integer dot.  Q4_0 goes
 * as Q4_1, its offset stands in the layout. */
INLINE __m512 chain(nnr__dtype type, int terms, const xrow *x, int b,
		    __m512i s, __m512 d, __m512 m, __m512 c)
{
	float dx = terms == 2 ? x->d[b] * NNR__INV254 : x->d[b];

	c = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s),
			    _mm512_mul_ps(d, _mm512_set1_ps(dx)), c);
	if (type != NNR__Q8_0)
		c = _mm512_fmadd_ps(m, _mm512_set1_ps(x->sum[b]), c);
	return c;
}

INLINE __m512i times254(__m512i s)
{
	return _mm512_mullo_epi32(s, _mm512_set1_epi32(254));
}

/* Adds the dots of one block of codes to s. */
INLINE void dots(int rows, int groups, const uint8_t *panel,
		 const int8_t *const *codes, int b, __m512i s[FUSED][2])
{
	UNROLL for (int j = 0; j < 8; j++) {
		__m512i w[2];
		UNROLL for (int g = 0; g < groups; g++)
			w[g] = _mm512_load_si512(panel +
						 64 * (groups * j + g));
		UNROLL for (int r = 0; r < rows; r++) {
			__m512i v = dword(codes[r], b, j);
			UNROLL for (int g = 0; g < groups; g++)
				s[r][g] = _mm512_dpbusd_epi32(s[r][g], w[g],
							      v);
		}
	}
}

/* The integer dots of one block with 254 hi + lo in place of hi if terms is
 * 2. */
INLINE void block_dots(nnr__dtype type, int terms, int rows, int groups,
		      const uint8_t *panel, const xrow *x, int b,
		      __m512i s[FUSED][2])
{
	const int8_t *codes[FUSED];

	UNROLL for (int r = 0; r < rows; r++) {
		codes[r] = x[r].hi;
		UNROLL for (int g = 0; g < groups; g++)
			s[r][g] = terms == 1 ? start(type, 1, &x[r], b) :
				_mm512_setzero_si512();
	}
	dots(rows, groups, panel, codes, b, s);
	if (terms == 1)
		return;
	UNROLL for (int r = 0; r < rows; r++) {
		codes[r] = x[r].lo;
		UNROLL for (int g = 0; g < groups; g++) {
			s[r][g] = times254(s[r][g]);
			if (type == NNR__Q8_0)
				s[r][g] = _mm512_add_epi32(
					s[r][g], start(type, 2, &x[r], b));
		}
	}
	dots(rows, groups, panel, codes, b, s);
}

/* One block of all columns: c is the chain of each row and column. */
INLINE void tile_block(nnr__dtype type, int terms, int rows, int groups,
		  const uint8_t *panel, const xrow *x, int b,
		  __m512 c[FUSED][2])
{
	const float *d = (const float *)(panel + 512 * groups);
	__m512i s[FUSED][2];

	block_dots(type, terms, rows, groups, panel, x, b, s);
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < groups; g++)
			c[r][g] = chain(type, terms, &x[r], b, s[r][g],
					_mm512_load_ps(d + 16 * g),
					_mm512_load_ps(d + 16 * (groups + g)),
					c[r][g]);
}

INLINE void clear(int rows, int groups, __m512 c[FUSED][2])
{
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < groups; g++)
			c[r][g] = _mm512_setzero_ps();
}

INLINE void put(int rows, int groups, __m512 c[FUSED][2], float *y,
		size_t ldy, bool add)
{
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < groups; g++) {
			float *p = y + (size_t)r * ldy + 16 * g;
			if (add)
				c[r][g] = _mm512_add_ps(_mm512_loadu_ps(p),
							c[r][g]);
			_mm512_storeu_ps(p, c[r][g]);
		}
}

/* ---- tiles ---- */

/* x from row `row`; y points at that row's first output. */
typedef struct {
	const nnr__mat *w;
	const nnr__codes *x;
	uint8_t *panel;
	float *y;
	size_t ldy;
	int row, n0, n1;	/* n0, n1: of W, for fused tiles */
	bool add;
} job;
typedef void tile_fn(const job *t);

INLINE void rows_of(const job *t, int terms, int rows, xrow *x)
{
	UNROLL for (int r = 0; r < rows; r++)
		x[r] = xrow_at(t->x, t->row + r, terms);
}

/* Over a panel of whole rows. */
INLINE void tile(nnr__dtype type, int terms, int rows, int groups,
		 const job *t)
{
	const int nb = t->w->cols / 32;
	const uint8_t *panel = t->panel;
	xrow x[FUSED];
	__m512 c[FUSED][2];

	rows_of(t, terms, rows, x);
	clear(rows, groups, c);
	for (int b = 0; b < nb; b++, panel += BLOCK_BYTES * groups)
		tile_block(type, terms, rows, groups, panel, x, b, c);
	put(rows, groups, c, t->y, t->ldy, t->add);
}

/* One block of 16 columns out of registers. */
INLINE void fused_block(nnr__dtype type, int terms, int rows,
			const block *blk, const xrow *x, int b,
			__m512 c[FUSED][2])
{
	__m512i w[8];

	codes8(type, blk, w);
	UNROLL for (int r = 0; r < rows; r++) {
		__m512i s = start(type, terms, &x[r], b);
		__m512i s1 = terms == 2 ? _mm512_setzero_si512() : s;
		UNROLL for (int j = 0; j < 8; j++) {
			s1 = _mm512_dpbusd_epi32(s1, w[j],
						 dword(x[r].hi, b, j));
			if (terms == 2)
				s = _mm512_dpbusd_epi32(
					s, w[j], dword(x[r].lo, b, j));
		}
		if (terms == 2)
			s1 = _mm512_add_epi32(times254(s1), s);
		c[r][0] = chain(type, terms, &x[r], b, s1, blk->d, blk->m,
				c[r][0]);
	}
}

/* The last block of rows with an odd number of blocks: rare, so small. */
static __attribute__((noinline)) void last_block(
	nnr__dtype type, int terms, int rows, const uint8_t *p, size_t rb,
	const xrow *x, int b, __m512 c[FUSED][2])
{
	block blk = { .m = _mm512_setzero_ps() };

	if (type == NNR__Q8_0)
		read1(NNR__Q8_0, p, rb, &blk);
	else if (type == NNR__Q4_0)
		read1(NNR__Q4_0, p, rb, &blk);
	else
		read1(NNR__Q4_1, p, rb, &blk);
	for (int r = 0; r < rows; r++)
		fused_block(type, terms, 1, &blk, x + r, b, c + r);
}

/* From the file's blocks straight through registers; y points at column
 * 0. */
INLINE void fused(nnr__dtype type, int terms, int rows, const job *t)
{
	const nnr__mat *w = t->w;
	const int nb = w->cols / 32, bytes = nnr__dtypes[w->type].bytes;
	const size_t rb = w->row_bytes;
	xrow x[FUSED];

	rows_of(t, terms, rows, x);
	for (int n = t->n0; n < t->n1; n += 16) {
		const uint8_t *p = nnr__row(w, n), *next = p + 16 * rb;
		block blk[2];
		__m512 c[FUSED][2];
		clear(rows, 1, c);
		for (int b = 0; b + 2 <= nb; b += 2) {
			if (type == NNR__Q8_0)
				read_ahead(NNR__Q8_0, p, next, rb, blk);
			else if (w->type == NNR__Q4_1)
				read_ahead(NNR__Q4_1, p, next, rb, blk);
			else
				read_ahead(NNR__Q4_0, p, next, rb, blk);
			p += 2 * bytes;
			next += 32 * bytes;
			fused_block(type, terms, rows, &blk[0], x, b, c);
			fused_block(type, terms, rows, &blk[1], x, b + 1, c);
		}
		if (nb % 2) {
			__m512 tail[FUSED][2];
			UNROLL for (int r = 0; r < rows; r++)
				tail[r][0] = c[r][0];
			last_block(w->type, terms, rows, p, rb, x, nb - 1,
				   tail);
			UNROLL for (int r = 0; r < rows; r++)
				c[r][0] = tail[r][0];
		}
		put(rows, 1, c, t->y + n, t->ldy, t->add);
	}
}

#define TILE_FN(type, terms, rows) \
	static void one_##type##_##terms##_##rows(const job *t) \
	{ \
		tile(NNR__##type, terms, rows, 1, t); \
	} \
	static void two_##type##_##terms##_##rows(const job *t) \
	{ \
		tile(NNR__##type, terms, rows, 2, t); \
	}
#define FUSED_FN(type, terms, rows) \
	static void fused_##type##_##terms##_##rows(const job *t) \
	{ \
		fused(NNR__##type, terms, rows, t); \
	}
#define TILE_ROWS(X, type, terms) \
	X(type, terms, 4) X(type, terms, 5) X(type, terms, 6)
#define FUSED_ROWS(X, type, terms) \
	X(type, terms, 1) X(type, terms, 2) X(type, terms, 3) \
	TILE_ROWS(X, type, terms) X(type, terms, 7) X(type, terms, 8) \
	X(type, terms, 9) X(type, terms, 10) X(type, terms, 11) \
	X(type, terms, 12)
#define ALL(ROWS, X) ROWS(X, Q4_1, 1) ROWS(X, Q4_1, 2) \
	ROWS(X, Q8_0, 1) ROWS(X, Q8_0, 2)
ALL(TILE_ROWS, TILE_FN)
ALL(FUSED_ROWS, FUSED_FN)

#define NAME_ONE(type, terms, rows) one_##type##_##terms##_##rows,
#define NAME_TWO(type, terms, rows) two_##type##_##terms##_##rows,
#define NAME_FUSED(type, terms, rows) fused_##type##_##terms##_##rows,
#define TABLE(ROWS, X) { \
	{ { ROWS(X, Q4_1, 1) }, { ROWS(X, Q4_1, 2) } }, \
	{ { ROWS(X, Q8_0, 1) }, { ROWS(X, Q8_0, 2) } } }

/* By Q8_0 or not, terms - 1, rows - 4 (fused: rows - 1). */
static tile_fn *const one_group[2][2][TILE - 3] = TABLE(TILE_ROWS, NAME_ONE);
static tile_fn *const two_groups[2][2][TILE - 3] =
	TABLE(TILE_ROWS, NAME_TWO);
static tile_fn *const fused_rows[2][2][FUSED] =
	TABLE(FUSED_ROWS, NAME_FUSED);

/* As few tiles as can be, of nearly equal height: more than FUSED
 * rows give 4 at least. */
static void tiles(job *t, int rows, int terms, int groups)
{
	const int count = (rows + TILE - 1) / TILE;
	const int q8 = t->w->type == NNR__Q8_0;

	for (int i = 0; i < count; i++) {
		int high = rows / count + (i < rows % count);
		(groups == 2 ? two_groups : one_group)
			[q8][terms - 1][high - 4](t);
		t->row += high;
		t->y += (size_t)high * t->ldy;
	}
}

void nnr__linear_i8_avx512(const nnr__mat *w, int n0, int n1,
			   const nnr__codes *x, int row0, int rows,
			   int terms, float *y, size_t ldy, bool add,
			   void *scratch)
{
	job t = { w, x, scratch, y, ldy, row0, n0, n1, add };

	assert(n0 % 16 == 0 && n1 % 16 == 0 && w->cols % 32 == 0);
	if (rows < 1)
		return;
	if (rows <= FUSED) {
		fused_rows[w->type == NNR__Q8_0][terms - 1][rows - 1](&t);
		return;
	}
	for (int n = n0; n < n1; n += 32) {
		int groups = n1 - n >= 32 ? 2 : 1;
		for (int g = 0; g < groups; g++)
			lay_rows(w, n + 16 * g,
				 t.panel + g * 64, groups);
		t.row = row0;
		t.y = y + n;
		tiles(&t, rows, terms, groups);
	}
}
