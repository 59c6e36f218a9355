/* SPDX-License-Identifier: Apache-2.0
 *
 * fp32 products with AVX-512: 24 accumulators of 32 registers.
 */
#include "rows_avx512.h"

#define ISA(name) nnr__##name##_avx512
#define TILE 12		/* rows of x, by 2 groups */
#define TILE_LIST(X) X(1) X(2) X(3) X(4) X(5) X(6) \
	X(7) X(8) X(9) X(10) X(11) X(12)
#define GROUPS 6	/* in a panel */
#define WIDE 6		/* at a time for few rows */
#include "linear_tmpl.h"
#include "linear_back_tmpl.h"
