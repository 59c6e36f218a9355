/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer products with AVX-512 VNNI.  Lane = row of W.  Up to FUSED rows of
 * x the codes go from the file's blocks through registers into the dots
 * (decoding: memory speed); above, 32 rows of W are laid out once in scratch
 * as
 *   per block: u8 w[8][groups][64]  (dword j of 16 rows: 4 consecutive k)
 *              float d[groups][16], m[groups][16]
 * and tiles of 6 rows of x run over them.
 */
#include "rows_avx512.h"

#include <assert.h>

#define FUSED 4

/* 8 vectors of unsigned codes: dword j = k 4j..4j+3; int8 gets + 128. */
INLINE void codes8(nnr__dtype type, const block16 *b, __m512i w[8])
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

/* The chain of the contract for one block: s is its integer dot. */
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

/* ---- few rows: registers only ---- */

INLINE void fused_block(nnr__dtype type, int terms, int rows,
			const block16 *blk, const xrow *x, int b, __m512 *c)
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
		c[r] = chain(type, terms, &x[r], b, s1, blk->d, blk->m, c[r]);
	}
}

INLINE void put(float *y, __m512 c, bool add)
{
	if (add)
		c = _mm512_add_ps(_mm512_loadu_ps(y), c);
	_mm512_storeu_ps(y, c);
}

INLINE void fused(nnr__dtype type, int terms, int rows, const nnr__mat *w,
		  int n0, int n1, const nnr__codes *x, int row0, float *y,
		  size_t ldy, bool add)
{
	const int nb = w->cols / 32, bytes = nnr__dtypes[type].bytes;
	const size_t rb = w->row_bytes;
	xrow xr[FUSED];

	UNROLL for (int r = 0; r < rows; r++)
		xr[r] = xrow_at(x, row0 + r, terms);
	for (int n = n0; n < n1; n += 16) {
		const uint8_t *p = nnr__row(w, n), *next = p + 16 * rb;
		block16 blk[2];
		__m512 c[FUSED];
		int b = 0;
		UNROLL for (int r = 0; r < rows; r++)
			c[r] = _mm512_setzero_ps();
		for (; b + 2 <= nb; b += 2, p += 2 * bytes) {
			for (int i = 0; i < 32 * bytes; i += 64)
				_mm_prefetch((const char *)next + i,
					     _MM_HINT_T0);
			next += 32 * bytes;
			read2(type, p, rb, blk);
			fused_block(type, terms, rows, &blk[0], xr, b, c);
			fused_block(type, terms, rows, &blk[1], xr, b + 1, c);
		}
		if (b < nb) {
			read1(type, p, rb, blk);
			fused_block(type, terms, rows, blk, xr, b, c);
		}
		UNROLL for (int r = 0; r < rows; r++)
			put(y + (size_t)r * ldy + n, c[r], add);
	}
}
/* ---- many rows: panels of 16 or 32 rows of W ---- */

#define TILE 6		/* rows of x; fewer at the end, but at least 3 */
#define BLOCK_BYTES 640	/* of one block of 16 rows in a panel */

INLINE void pack_block(nnr__dtype type, const block16 *b, uint8_t *dst,
		       int groups, int g)
{
	__m512i w[8];
	float *scale = (float *)(dst + 512 * groups);

	codes8(type, b, w);
	UNROLL for (int j = 0; j < 8; j++)
		_mm512_store_si512(dst + 64 * (groups * j + g), w[j]);
	_mm512_store_ps(scale + 16 * g, b->d);
	if (type != NNR__Q8_0)
		_mm512_store_ps(scale + 16 * (groups + g), b->m);
}

INLINE void pack(nnr__dtype type, const nnr__mat *w, int n, int groups,
		 uint8_t *panel)
{
	const int nb = w->cols / 32, bytes = nnr__dtypes[type].bytes;
	const int step = BLOCK_BYTES * groups;

	for (int g = 0; g < groups; g++) {
		const uint8_t *p = nnr__row(w, n + 16 * g);
		uint8_t *dst = panel;
		block16 blk[2];
		int b = 0;
		for (; b + 2 <= nb; b += 2, p += 2 * bytes, dst += 2 * step) {
			read2(type, p, w->row_bytes, blk);
			pack_block(type, &blk[0], dst, groups, g);
			pack_block(type, &blk[1], dst + step, groups, g);
		}
		if (b < nb) {
			read1(type, p, w->row_bytes, blk);
			pack_block(type, blk, dst, groups, g);
		}
	}
}

static void pack_any(const nnr__mat *w, int n, int groups, uint8_t *panel)
{
	if (w->type == NNR__Q4_1)
		pack(NNR__Q4_1, w, n, groups, panel);
	else if (w->type == NNR__Q4_0)
		pack(NNR__Q4_0, w, n, groups, panel);
	else
		pack(NNR__Q8_0, w, n, groups, panel);
}

/* Adds the dots of one block of codes to s. */
INLINE void dots(int rows, int groups, const uint8_t *panel,
		 const int8_t *const *codes, int b, __m512i s[TILE][2])
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
INLINE void tile_dots(nnr__dtype type, int terms, int rows, int groups,
		      const uint8_t *panel, const xrow *x, int b,
		      __m512i s[TILE][2])
{
	const int8_t *codes[TILE];

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

INLINE void tile(nnr__dtype type, int terms, int rows, int groups,
		 const uint8_t *panel, int nb, const nnr__codes *x, int row,
		 float *y, size_t ldy, bool add)
{
	xrow xr[TILE];
	__m512 c[TILE][2];

	UNROLL for (int r = 0; r < rows; r++) {
		xr[r] = xrow_at(x, row + r, terms);
		UNROLL for (int g = 0; g < groups; g++)
			c[r][g] = _mm512_setzero_ps();
	}
	for (int b = 0; b < nb; b++, panel += BLOCK_BYTES * groups) {
		const float *d = (const float *)(panel + 512 * groups);
		__m512i s[TILE][2];
		tile_dots(type, terms, rows, groups, panel, xr, b, s);
		UNROLL for (int r = 0; r < rows; r++)
			UNROLL for (int g = 0; g < groups; g++)
				c[r][g] = chain(
					type, terms, &xr[r], b, s[r][g],
					_mm512_load_ps(d + 16 * g),
					_mm512_load_ps(d + 16 * (groups + g)),
					c[r][g]);
	}
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < groups; g++)
			put(y + (size_t)r * ldy + 16 * g, c[r][g], add);
}

typedef void tile_fn(const uint8_t *panel, int nb, const nnr__codes *x,
		     int row, float *y, size_t ldy, bool add);

#define TILE_FN(type, terms, rows, groups) \
	static void tile_##type##_##terms##_##rows##_##groups( \
		const uint8_t *panel, int nb, const nnr__codes *x, int row, \
		float *y, size_t ldy, bool add) \
	{ \
		tile(NNR__##type, terms, rows, groups, panel, nb, x, row, y, \
		     ldy, add); \
	}
#define TILE_FNS(type, terms) \
	TILE_FN(type, terms, 3, 1) TILE_FN(type, terms, 3, 2) \
	TILE_FN(type, terms, 4, 1) TILE_FN(type, terms, 4, 2) \
	TILE_FN(type, terms, 5, 1) TILE_FN(type, terms, 5, 2) \
	TILE_FN(type, terms, 6, 1) TILE_FN(type, terms, 6, 2)
TILE_FNS(Q4_1, 1)
TILE_FNS(Q4_1, 2)
TILE_FNS(Q8_0, 1)
TILE_FNS(Q8_0, 2)
#define TILE_ROW(type, terms, rows) { \
	tile_##type##_##terms##_##rows##_1, \
	tile_##type##_##terms##_##rows##_2 }
#define TILE_TABLE(type, terms) { \
	TILE_ROW(type, terms, 3), TILE_ROW(type, terms, 4), \
	TILE_ROW(type, terms, 5), TILE_ROW(type, terms, 6) }

/* Q4_0 is Q4_1 once its offset stands in the panel. */
static tile_fn *const tiles[2][2][4][2] = {
	{ TILE_TABLE(Q4_1, 1), TILE_TABLE(Q4_1, 2) },
	{ TILE_TABLE(Q8_0, 1), TILE_TABLE(Q8_0, 2) },
};

/* rows >= 5: as few tiles as can be, of nearly equal height. */
static void panels(const nnr__mat *w, int n0, int n1, const nnr__codes *x,
		   int row0, int rows, int terms, float *y, size_t ldy,
		   bool add, uint8_t *panel)
{
	const int count = (rows + TILE - 1) / TILE;
	tile_fn *const (*fn)[2] = tiles[w->type == NNR__Q8_0][terms - 1];

	for (int n = n0; n < n1; n += 32) {
		int groups = n1 - n >= 32 ? 2 : 1;
		pack_any(w, n, groups, panel);
		for (int t = 0, r = 0; t < count; t++) {
			int high = rows / count + (t < rows % count);
			fn[high - 3][groups - 1](
				panel, w->cols / 32, x, row0 + r,
				y + (size_t)r * ldy + n, ldy, add);
			r += high;
		}
	}
}

/* ---- entry ---- */

#define FUSED_CASE(type, terms, rows) case rows: \
	fused(type, terms, rows, w, n0, n1, x, row0, y, ldy, add); \
	break
#define FUSED_FN(type, terms) \
	static void fused_##type##_##terms( \
		const nnr__mat *w, int n0, int n1, const nnr__codes *x, \
		int row0, int rows, float *y, size_t ldy, bool add) \
	{ \
		switch (rows) { \
		FUSED_CASE(NNR__##type, terms, 1); \
		FUSED_CASE(NNR__##type, terms, 2); \
		FUSED_CASE(NNR__##type, terms, 3); \
		FUSED_CASE(NNR__##type, terms, 4); \
		} \
	}
FUSED_FN(Q4_0, 1)
FUSED_FN(Q4_0, 2)
FUSED_FN(Q4_1, 1)
FUSED_FN(Q4_1, 2)
FUSED_FN(Q8_0, 1)
FUSED_FN(Q8_0, 2)

void nnr__linear_i8_avx512(const nnr__mat *w, int n0, int n1,
			   const nnr__codes *x, int row0, int rows,
			   int terms, float *y, size_t ldy, bool add,
			   void *scratch)
{
	assert(n0 % 16 == 0 && n1 % 16 == 0 && w->cols % 32 == 0);
	if (rows > FUSED) {
		panels(w, n0, n1, x, row0, rows, terms, y, ldy, add, scratch);
		return;
	}
	if (w->type == NNR__Q4_1)
		(terms == 1 ? fused_Q4_1_1 : fused_Q4_1_2)(
			w, n0, n1, x, row0, rows, y, ldy, add);
	else if (w->type == NNR__Q4_0)
		(terms == 1 ? fused_Q4_0_1 : fused_Q4_0_2)(
			w, n0, n1, x, row0, rows, y, ldy, add);
	else
		(terms == 1 ? fused_Q8_0_1 : fused_Q8_0_2)(
			w, n0, n1, x, row0, rows, y, ldy, add);
}
