/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors whose lane is a row of W, 8 of them: AVX2.  See rows_avx512.h.
 */
#ifndef NNR_KERNEL_ROWS_H
#define NNR_KERNEL_ROWS_H

#include <immintrin.h>

#include "isa.h"


#define LANES 8
#define MM(op) _mm256_##op
typedef __m256 vf;
typedef __m256i vi;		/* 8 int32 or 32 bytes */

INLINE vf vf_bits(vi a) { return _mm256_castsi256_ps(a); }
INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
INLINE vi vi_load(const void *p) { return _mm256_load_si256(p); }
INLINE void vi_store(void *p, vi a) { _mm256_store_si256(p, a); }

INLINE vi fourth_rows(const uint8_t *p, size_t rb)
{
	vi v = _mm256_castsi128_si256(_mm_loadu_si128((const void *)p));

	return _mm256_inserti128_si256(
		v, _mm_loadu_si128((const void *)(p + 4 * rb)), 1);
}

INLINE vf half_of(vi v)
{
	v = _mm256_and_si256(v, _mm256_set1_epi32(0xffff));
	v = _mm256_permute4x64_epi64(_mm256_packus_epi32(v, v), 0xd8);
	return _mm256_cvtph_ps(_mm256_castsi256_si128(v));
}

INLINE vi of_u8(const uint8_t *p)
{
	return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));
}

INLINE vi of_i8(const uint8_t *p)
{
	return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p));
}

INLINE vi of_u16(const uint8_t *p)
{
	return _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p));
}

INLINE vf of_half(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
}

INLINE vi shuffle(vi a, __m128i table)
{
	return _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(table));
}

INLINE vi straddle(vi a, vi b)
{
	return shuffle(_mm256_blend_epi16(a, b, 0x55), _mm_setr_epi8(
		2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
}

#include "rows_tmpl.h"

#endif
