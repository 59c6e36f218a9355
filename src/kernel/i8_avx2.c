/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer products with AVX2.  Nibbles: eight products of a nibble and an
 * int8 fit 16 bits (8 * 2 * 15 * 127 = 30480), so one widening ends a block.
 * int8: |w| as the unsigned side, its sign on x; 2 * 128 * 127 fits once.
 */
#include "rows_avx2.h"

#define ISA(name) nnr__##name##_avx2
#define FUSED 12		/* rows of x by one group */
#define TILE 4		/* rows of x by two groups */
#define TILE_LOW 3	/* the lowest tile that occurs */
#define TILE_LIST(X, type, terms) X(type, terms, 3) X(type, terms, 4)

INLINE void codes8(nnr__dtype type, const block *b, vi w[8])
{
	const vi low = _mm256_set1_epi8(15);

	UNROLL for (int j = 0; j < 4; j++)
		if (type == NNR__Q8_0) {
			w[j] = b->q[j];
			w[j + 4] = b->q[j + 4];
		} else {
			w[j] = vi_and(b->q[j], low);
			w[j + 4] = vi_and(_mm256_srli_epi16(b->q[j], 4), low);
		}
}

INLINE vi dot_bias(nnr__dtype type, int isum)
{
	(void)type;
	(void)isum;
	return _mm256_setzero_si256();
}

INLINE vi dot_begin(nnr__dtype type, vi s)
{
	return type == NNR__Q8_0 ? s : _mm256_setzero_si256();
}

INLINE vi dot_step(nnr__dtype type, vi a, vi w, vi x)
{
	if (type == NNR__Q8_0) {
		vi p = _mm256_maddubs_epi16(_mm256_abs_epi8(w),
					    _mm256_sign_epi8(x, w));
		p = _mm256_madd_epi16(p, _mm256_set1_epi16(1));
		return _mm256_add_epi32(a, p);
	}
	a = _mm256_add_epi16(a, _mm256_maddubs_epi16(w, x));
	__asm__("" : "+x"(a));	/* or GCC reorders the sums and spills */
	return a;
}

INLINE vi dot_end(nnr__dtype type, vi s, vi a)
{
	return type == NNR__Q8_0 ? a :
		_mm256_add_epi32(s, _mm256_madd_epi16(a,
						      _mm256_set1_epi16(1)));
}

#include "i8_tmpl.h"
