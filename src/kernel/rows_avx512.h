/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors whose lane is a row of W, 16 of them: AVX-512.  rows_avx2.h is the
 * same with 8; rows_tmpl.h, linear_tmpl.h, linear_back_tmpl.h and i8_tmpl.h are
 * written in these terms.
 */
#ifndef NNR_KERNEL_ROWS_H
#define NNR_KERNEL_ROWS_H

#include <immintrin.h>

#include "isa.h"


#define LANES 16
#define MM(op) _mm512_##op
typedef __m512 vf;
typedef __m512i vi;		/* 16 int32 or 64 bytes */

INLINE vf vf_bits(vi a) { return _mm512_castsi512_ps(a); }
INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
INLINE vi vi_load(const void *p) { return _mm512_load_si512(p); }
INLINE void vi_store(void *p, vi a) { _mm512_store_si512(p, a); }

/* 16 bytes at p and at every fourth row behind it. */
INLINE vi fourth_rows(const uint8_t *p, size_t rb)
{
	vi v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)p));

	v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 4 * rb)),
			       1);
	v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 8 * rb)),
			       2);
	return _mm512_inserti32x4(
		v, _mm_loadu_si128((const void *)(p + 12 * rb)), 3);
}

/* The low halves of the dwords as binary16. */
INLINE vf half_of(vi v)
{
	return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
}

/* LANES bytes or halves as dwords. */
INLINE vi of_u8(const uint8_t *p)
{
	return _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
}

INLINE vi of_i8(const uint8_t *p)
{
	return _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p));
}

INLINE vi of_u16(const uint8_t *p)
{
	return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p));
}

/* LANES binary16. */
INLINE vf of_half(const uint8_t *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}

/* High half of a, low half of b: the dword two bytes after a's start. */
INLINE vi straddle(vi a, vi b)
{
	return _mm512_rol_epi32(_mm512_mask_blend_epi16(0x55555555, a, b),
				16);
}

/* Bytes i of each dword as table says, the same in every 16 bytes. */
INLINE vi shuffle(vi a, __m128i table)
{
	return _mm512_shuffle_epi8(a, _mm512_broadcast_i32x4(table));
}

#include "rows_tmpl.h"

#endif
