/* SPDX-License-Identifier: Apache-2.0
 *
 * fp32 products with AVX2: 12 accumulators of 16 registers.
 */
#include "rows_avx2.h"

#define ISA(name) nnr__##name##_avx2
#define TILE 6		/* rows of x, by 2 groups */
#define TILE_LIST(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define GROUPS 12	/* in a panel */
#define WIDE 4		/* at a time for few rows */
#include "linear_tmpl.h"
#include "linear_back_tmpl.h"
