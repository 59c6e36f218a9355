/* SPDX-License-Identifier: Apache-2.0
 *
 * The types a weight may have in a file, and binary16.
 */
#include "isa.h"

const nnr__dtype_info nnr__dtypes[NNR__DTYPES] = {
	[NNR__F32] = { "F32", 1, 4, false },
	[NNR__F16] = { "F16", 1, 2, false },
	[NNR__BF16] = { "BF16", 1, 2, false },
	[NNR__Q4_0] = { "Q4_0", 32, 18, true },	/* f16 d, 16 x 2 nibbles */
	[NNR__Q4_1] = { "Q4_1", 32, 20, true },	/* f16 d, f16 m, nibbles */
	[NNR__Q8_0] = { "Q8_0", 32, 34, true },	/* f16 d, 32 x int8 */
};

float nnr__half(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31;
	uint32_t f = h & 1023;

	if (e == 31)		/* inf; a NaN becomes quiet, as vcvtph2ps */
		return nnr__float(sign | 0x7f800000 | f << 13 |
				  (f ? 0x400000u : 0));
	if (e)
		return nnr__float(sign | (e + 112) << 23 | f << 13);
	return (sign ? -1.0f : 1.0f) * ((float)f * 0x1p-24f);
}
