/* SPDX-License-Identifier: Apache-2.0
 *
 * Sixteen floats as one value: a zmm register, or two ymm.  Every function
 * does to each lane what the specification does to a number, so code written
 * on it gives the same bits on both.  Included by *_avx512.c, *_avx2.c.
 */
#ifndef NNR_KERNEL_V16_H
#define NNR_KERNEL_V16_H

#include <immintrin.h>

#include "isa.h"


#ifdef __AVX512F__

typedef __m512 v16;
#define V16_EACH1(name, op) \
	INLINE v16 name(v16 a) { return _mm512_##op(a); }
#define V16_EACH2(name, op) \
	INLINE v16 name(v16 a, v16 b) { return _mm512_##op(a, b); }
#define V16_EACH3(name, op) \
	INLINE v16 name(v16 a, v16 b, v16 c) \
	{ return _mm512_##op(a, b, c); }

INLINE v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void v16_store(float *p, v16 a) { _mm512_storeu_ps(p, a); }
INLINE v16 v16_set(float x) { return _mm512_set1_ps(x); }

/* 2^(low bits of t) times p, added to the exponent field. */
INLINE v16 v16_scale(v16 p, v16 t)
{
	return _mm512_castsi512_ps(_mm512_add_epi32(
		_mm512_castps_si512(p),
		_mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}

/* x < lo: 0;  not x <= hi: x + inf;  else y. */
INLINE v16 v16_exp_ends(v16 x, v16 y)
{
	__mmask16 low = _mm512_cmp_ps_mask(x, v16_set(NNR__EXP_MIN),
					   _CMP_LT_OQ);
	__mmask16 high = _mm512_cmp_ps_mask(x, v16_set(NNR__EXP_MAX),
					    _CMP_NLE_UQ);

	y = _mm512_mask_add_ps(y, high, x, v16_set(__builtin_inff()));
	return _mm512_maskz_mov_ps((__mmask16)~low, y);
}

/* Lanes from n on become -inf; n may be anything. */
INLINE v16 v16_first(v16 a, int n)
{
	__mmask16 keep = (__mmask16)(n >= 16 ? 0xffff : n <= 0 ? 0 :
				     (1u << n) - 1);

	return _mm512_mask_blend_ps(keep, v16_set(-__builtin_inff()), a);
}

/* Index of the first lane equal to b, or 16. */
INLINE int v16_find(v16 a, v16 b)
{
	unsigned m = _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);

	return m ? __builtin_ctz(m) : 16;
}

/* 16 int32 of 16 int8, of v rounded to nearest even, and back. */
typedef __m512i i16;
INLINE i16 i16_of_i8(__m128i b) { return _mm512_cvtepi8_epi32(b); }
INLINE i16 i16_round(v16 a) { return _mm512_cvtps_epi32(a); }
INLINE v16 v16_of_int(i16 a) { return _mm512_cvtepi32_ps(a); }
INLINE __m128i i16_to_i8(i16 a) { return _mm512_cvtepi32_epi8(a); }
INLINE i16 i16_add(i16 a, i16 b) { return _mm512_add_epi32(a, b); }
INLINE __m256i i16_low(i16 a) { return _mm512_castsi512_si256(a); }
INLINE __m256i i16_high(i16 a) { return _mm512_extracti64x4_epi64(a, 1); }

INLINE __m256 v16_low(v16 a) { return _mm512_castps512_ps256(a); }
INLINE __m256 v16_high(v16 a) { return _mm512_extractf32x8_ps(a, 1); }
#define V16_PAIRS(a) _mm512_permute_ps(a, 0xb1)
V16_EACH1(v16_even, moveldup_ps)
V16_EACH1(v16_odd, movehdup_ps)

#else	/* AVX2 */

typedef struct { __m256 l, h; } v16;
#define V16_EACH1(name, op) \
	INLINE v16 name(v16 a) \
	{ return (v16){ _mm256_##op(a.l), _mm256_##op(a.h) }; }
#define V16_EACH2(name, op) \
	INLINE v16 name(v16 a, v16 b) \
	{ return (v16){ _mm256_##op(a.l, b.l), _mm256_##op(a.h, b.h) }; }
#define V16_EACH3(name, op) \
	INLINE v16 name(v16 a, v16 b, v16 c) \
	{ return (v16){ _mm256_##op(a.l, b.l, c.l), \
			_mm256_##op(a.h, b.h, c.h) }; }

INLINE v16 v16_load(const float *p)
{
	return (v16){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) };
}

INLINE void v16_store(float *p, v16 a)
{
	_mm256_storeu_ps(p, a.l);
	_mm256_storeu_ps(p + 8, a.h);
}

INLINE v16 v16_set(float x)
{
	return (v16){ _mm256_set1_ps(x), _mm256_set1_ps(x) };
}

INLINE __m256 v16_scale8(__m256 p, __m256 t)
{
	return _mm256_castsi256_ps(_mm256_add_epi32(
		_mm256_castps_si256(p),
		_mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}

INLINE v16 v16_scale(v16 p, v16 t)
{
	return (v16){ v16_scale8(p.l, t.l), v16_scale8(p.h, t.h) };
}

INLINE __m256 v16_exp_ends8(__m256 x, __m256 y)
{
	__m256 low = _mm256_cmp_ps(x, _mm256_set1_ps(NNR__EXP_MIN),
				   _CMP_LT_OQ);
	__m256 high = _mm256_cmp_ps(x, _mm256_set1_ps(NNR__EXP_MAX),
				    _CMP_NLE_UQ);
	__m256 inf = _mm256_set1_ps(__builtin_inff());

	y = _mm256_blendv_ps(y, _mm256_add_ps(x, inf), high);
	return _mm256_andnot_ps(low, y);
}

INLINE v16 v16_exp_ends(v16 x, v16 y)
{
	return (v16){ v16_exp_ends8(x.l, y.l), v16_exp_ends8(x.h, y.h) };
}

INLINE __m256 v16_first8(__m256 a, int n)
{
	__m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	__m256i keep = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);

	return _mm256_blendv_ps(_mm256_set1_ps(-__builtin_inff()), a,
				_mm256_castsi256_ps(keep));
}

INLINE v16 v16_first(v16 a, int n)
{
	return (v16){ v16_first8(a.l, n), v16_first8(a.h, n - 8) };
}

INLINE int v16_find(v16 a, v16 b)
{
	unsigned l = (unsigned)_mm256_movemask_ps(
		_mm256_cmp_ps(a.l, b.l, _CMP_EQ_OQ));
	unsigned h = (unsigned)_mm256_movemask_ps(
		_mm256_cmp_ps(a.h, b.h, _CMP_EQ_OQ));
	unsigned m = l | h << 8;

	return m ? __builtin_ctz(m) : 16;
}

typedef struct { __m256i l, h; } i16;
INLINE i16 i16_of_i8(__m128i b)
{
	return (i16){ _mm256_cvtepi8_epi32(b),
		      _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(b, b)) };
}

INLINE i16 i16_round(v16 a)
{
	return (i16){ _mm256_cvtps_epi32(a.l), _mm256_cvtps_epi32(a.h) };
}

INLINE v16 v16_of_int(i16 a)
{
	return (v16){ _mm256_cvtepi32_ps(a.l), _mm256_cvtepi32_ps(a.h) };
}

INLINE __m128i i16_to_i8(i16 a)	/* values of -128..127 */
{
	__m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.l, a.h),
					     0xd8);
	return _mm_packs_epi16(_mm256_castsi256_si128(w),
			       _mm256_extracti128_si256(w, 1));
}

INLINE i16 i16_add(i16 a, i16 b)
{
	return (i16){ _mm256_add_epi32(a.l, b.l), _mm256_add_epi32(a.h, b.h) };
}

INLINE __m256i i16_low(i16 a) { return a.l; }
INLINE __m256i i16_high(i16 a) { return a.h; }

INLINE __m256 v16_low(v16 a) { return a.l; }
INLINE __m256 v16_high(v16 a) { return a.h; }
#define V16_PAIRS(a) ((v16){ _mm256_permute_ps((a).l, 0xb1), \
			     _mm256_permute_ps((a).h, 0xb1) })
V16_EACH1(v16_even, moveldup_ps)
V16_EACH1(v16_odd, movehdup_ps)

#endif

V16_EACH2(v16_add, add_ps)
V16_EACH2(v16_sub, sub_ps)
V16_EACH2(v16_mul, mul_ps)
V16_EACH2(v16_div, div_ps)
/* a > b ? a : b, so a NaN in a is passed over */
V16_EACH2(v16_max, max_ps)
V16_EACH3(v16_fma, fmadd_ps)
/* even lanes a b - c, odd lanes a b + c */
V16_EACH3(v16_fmaddsub, fmaddsub_ps)

/* nnr__sum16 */
INLINE float v16_sum(v16 a)
{
	__m256 t = _mm256_add_ps(v16_low(a), v16_high(a));
	__m128 u = _mm_add_ps(_mm256_castps256_ps128(t),
			      _mm256_extractf128_ps(t, 1));

	u = _mm_add_ps(u, _mm_movehl_ps(u, u));
	return _mm_cvtss_f32(_mm_add_ss(u, _mm_movehdup_ps(u)));
}

INLINE float v16_top(v16 a)
{
	__m256 t = _mm256_max_ps(v16_low(a), v16_high(a));
	__m128 u = _mm_max_ps(_mm256_castps256_ps128(t),
			      _mm256_extractf128_ps(t, 1));

	u = _mm_max_ps(u, _mm_movehl_ps(u, u));
	return _mm_cvtss_f32(_mm_max_ss(u, _mm_movehdup_ps(u)));
}

INLINE int i16_sum(i16 a)
{
	__m256i t = _mm256_add_epi32(i16_low(a), i16_high(a));
	__m128i u = _mm_add_epi32(_mm256_castsi256_si128(t),
				  _mm256_extracti128_si256(t, 1));

	u = _mm_add_epi32(u, _mm_unpackhi_epi64(u, u));
	return _mm_cvtsi128_si32(_mm_add_epi32(u, _mm_srli_epi64(u, 32)));
}

/* The largest bits of |a| and |b|; with inf or NaN 0x7f800000 or more. */
INLINE uint32_t v16_top_bits(v16 a, v16 b)
{
	const __m256i abs = _mm256_set1_epi32(0x7fffffff);
	__m256i x = _mm256_max_epi32(
		_mm256_and_si256(_mm256_castps_si256(v16_low(a)), abs),
		_mm256_and_si256(_mm256_castps_si256(v16_high(a)), abs));
	__m256i y = _mm256_max_epi32(
		_mm256_and_si256(_mm256_castps_si256(v16_low(b)), abs),
		_mm256_and_si256(_mm256_castps_si256(v16_high(b)), abs));
	x = _mm256_max_epi32(x, y);
	__m128i u = _mm_max_epi32(_mm256_castsi256_si128(x),
				  _mm256_extracti128_si256(x, 1));

	u = _mm_max_epi32(u, _mm_unpackhi_epi64(u, u));
	u = _mm_max_epi32(u, _mm_srli_epi64(u, 32));
	return (uint32_t)_mm_cvtsi128_si32(u);
}

/* nnr__exp */
INLINE v16 v16_exp(v16 x)
{
	v16 one = v16_set(1.0f), rint = v16_set(NNR__RINT), n, r, p;
	v16 t = v16_fma(x, v16_set(NNR__EXP_LOG2E), rint);

	n = v16_sub(t, rint);
	r = v16_fma(n, v16_set(-NNR__EXP_LN2_HI), x);
	r = v16_fma(n, v16_set(-NNR__EXP_LN2_LO), r);
	p = v16_fma(v16_set(NNR__EXP_Q4), r, v16_set(NNR__EXP_Q3));
	p = v16_fma(p, r, v16_set(NNR__EXP_Q2));
	p = v16_fma(p, r, v16_set(NNR__EXP_Q1));
	p = v16_fma(p, r, v16_set(NNR__EXP_Q0));
	p = v16_fma(p, r, one);
	p = v16_fma(p, r, one);
	return v16_exp_ends(x, v16_scale(p, t));
}

#endif
