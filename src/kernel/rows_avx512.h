/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of 16 rows of a file's matrix as vectors whose lane r is row r.
 * Included by the *_avx512.c files only.
 *
 * The rows' bytes are loaded 16 at a time and their dwords transposed, so a
 * pair of blocks comes as consecutive dwords D0, D1, ...
 *   Q4_1  40 bytes: D0 = d|m<<16, D1..4 nibbles; D5, D6..9
 *   Q4_0  36 bytes: D0 = d|q<<16, nibbles from byte 2; D4 = q|d<<16, D5..8
 *   Q8_0  68 bytes: D0 = d|q<<16, codes from byte 2; D8 = q|d<<16, D9..16
 * Loads that would run past the pair start earlier and overlap: nothing
 * outside the pair's bytes is read.
 */
#ifndef NNR_ROWS_AVX512_H
#define NNR_ROWS_AVX512_H

#include <immintrin.h>

#include "isa.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

/* One block of 16 rows: q[0..3] nibbles (byte b of dword j: k = 4j+b in the
 * low, 16+4j+b in the high nibble) or q[0..7] int8 (k = 4j+b). */
typedef struct {
	__m512i q[8];
	__m512 d, m;		/* m: Q4_1 as stored, Q4_0 -8 d */
} block16;

INLINE __m512i insert4(const uint8_t *p, size_t rb)
{
	__m512i v = _mm512_castsi128_si512(
		_mm_loadu_si128((const void *)p));
	v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 4 * rb)),
			       1);
	v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 8 * rb)),
			       2);
	return _mm512_inserti32x4(
		v, _mm_loadu_si128((const void *)(p + 12 * rb)), 3);
}

/* 16 bytes of each of 16 rows as 4 vectors of dwords. */
INLINE void dwords4(const uint8_t *p, size_t rb, __m512i out[4])
{
	__m512i a = insert4(p, rb), b = insert4(p + rb, rb);
	__m512i c = insert4(p + 2 * rb, rb), d = insert4(p + 3 * rb, rb);
	__m512i ab = _mm512_unpacklo_epi32(a, b);
	__m512i ab2 = _mm512_unpackhi_epi32(a, b);
	__m512i cd = _mm512_unpacklo_epi32(c, d);
	__m512i cd2 = _mm512_unpackhi_epi32(c, d);

	out[0] = _mm512_unpacklo_epi64(ab, cd);
	out[1] = _mm512_unpackhi_epi64(ab, cd);
	out[2] = _mm512_unpacklo_epi64(ab2, cd2);
	out[3] = _mm512_unpackhi_epi64(ab2, cd2);
}

/* The low halves of 16 dwords as binary16. */
INLINE __m512 half16(__m512i v)
{
	return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
}

/* High half of a, low half of b: the dword two bytes after a's start. */
INLINE __m512i straddle(__m512i a, __m512i b)
{
	return _mm512_rol_epi32(_mm512_mask_blend_epi16(0x55555555, a, b),
				16);
}

INLINE void scales(nnr__dtype type, __m512i low, __m512i high, block16 *b)
{
	b->d = half16(low);
	if (type == NNR__Q4_1)
		b->m = half16(high);
	else if (type == NNR__Q4_0)
		b->m = _mm512_mul_ps(b->d, _mm512_set1_ps(-8));
}

/* Two consecutive blocks from p, rows rb bytes apart. */
INLINE void read2(nnr__dtype type, const uint8_t *p, size_t rb, block16 b[2])
{
	__m512i t[20];

	if (type == NNR__Q4_1) {
		dwords4(p, rb, t);
		dwords4(p + 16, rb, t + 4);
		dwords4(p + 24, rb, t + 8);	/* D6..9 */
		UNROLL for (int j = 0; j < 4; j++) {
			b[0].q[j] = t[j + 1];
			b[1].q[j] = t[j + 8];
		}
		scales(type, t[0], _mm512_srli_epi32(t[0], 16), &b[0]);
		scales(type, t[5], _mm512_srli_epi32(t[5], 16), &b[1]);
		return;
	}
	int n = type == NNR__Q4_0 ? 4 : 8;	/* dwords of codes */
	UNROLL for (int j = 0; j <= n; j += 4)
		dwords4(p + 4 * j, rb, t + j);
	UNROLL for (int j = 0; j < n; j += 4)
		dwords4(p + 4 * n + 4 + 4 * j, rb, b[1].q + j);
	UNROLL for (int j = 0; j < n; j++)
		b[0].q[j] = straddle(t[j], t[j + 1]);
	scales(type, t[0], t[0], &b[0]);
	__m512i d1 = _mm512_srli_epi32(t[n], 16);
	scales(type, d1, d1, &b[1]);
}

/* The next 16 rows lie right behind these; while a pair of blocks is worked
 * on, its share of them is fetched, in the order of addresses.  (The rows by
 * themselves are 16 streams, too many for the hardware's prefetchers.) */
INLINE void prefetch(const uint8_t *next, int lines)
{
	UNROLL for (int i = 0; i < lines; i++)
		_mm_prefetch((const char *)next + 64 * i, _MM_HINT_T0);
}

/* read2, and the share of the next rows that lies at `next`. */
INLINE void read_ahead(nnr__dtype type, const uint8_t *p, const uint8_t *next,
		       size_t rb, block16 b[2])
{
	prefetch(next, type == NNR__Q8_0 ? 17 : 10);
	read2(type, p, rb, b);
}

/* The last block of a row with an odd number of them. */
INLINE void read1(nnr__dtype type, const uint8_t *p, size_t rb, block16 *b)
{
	__m512i t[4];
	int head = type == NNR__Q4_1 ? 4 : 2;

	dwords4(p, rb, t);
	scales(type, t[0], _mm512_srli_epi32(t[0], 16), b);
	dwords4(p + head, rb, b->q);
	if (type == NNR__Q8_0)
		dwords4(p + head + 16, rb, b->q + 4);
}

#endif
