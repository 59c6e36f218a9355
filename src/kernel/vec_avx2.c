/* SPDX-License-Identifier: Apache-2.0
 *
 * The row-wise kernels with AVX2.
 */
#define ISA(name) nnr__##name##_avx2
#include "vec_tmpl.h"
