/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer products with AVX-512 VNNI.  int8 weights are kept + 128, since
 * vpdpbusd wants one unsigned side; sums start at -128 sum(x).
 */
#include "rows_avx512.h"

#define ISA(name) nnr__##name##_avx512
#define FUSED 24	/* rows of x by one group */
#define TILE 6		/* rows of x by two groups */
#define TILE_LOW 5	/* the lowest tile that occurs */
#define TILE_LIST(X, type, terms) X(type, terms, 5) X(type, terms, 6)

INLINE void codes8(nnr__dtype type, const block *b, vi w[8])
{
	const vi low = _mm512_set1_epi8(15);
	const vi flip = _mm512_set1_epi8((char)-128);

	UNROLL for (int j = 0; j < 4; j++)
		if (type == NNR__Q8_0) {
			w[j] = _mm512_xor_si512(b->q[j], flip);
			w[j + 4] = _mm512_xor_si512(b->q[j + 4], flip);
		} else {
			w[j] = vi_and(b->q[j], low);
			w[j + 4] = vi_and(_mm512_srli_epi16(b->q[j], 4), low);
		}
}

/* What a sum must start from when the codes of x sum to isum. */
INLINE vi dot_bias(nnr__dtype type, int isum)
{
	return _mm512_set1_epi32(type == NNR__Q8_0 ? -128 * isum : 0);
}

INLINE vi dot_begin(nnr__dtype type, vi s)
{
	(void)type;
	return s;
}

INLINE vi dot_step(nnr__dtype type, vi a, vi w, vi x)
{
	(void)type;
	return _mm512_dpbusd_epi32(a, w, x);
}

INLINE vi dot_end(nnr__dtype type, vi s, vi a)
{
	(void)type;
	(void)s;
	return a;
}

#include "i8_tmpl.h"
