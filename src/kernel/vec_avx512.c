/* SPDX-License-Identifier: Apache-2.0
 *
 * The row-wise kernels with AVX-512.
 */
#define ISA(name) nnr__##name##_avx512
#include "vec_tmpl.h"
