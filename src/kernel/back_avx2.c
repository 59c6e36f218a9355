/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients with AVX2; that of a product is in linear_avx2.c.
 */
#define ISA(name) nnr__##name##_avx2
#include "attn_back_tmpl.h"
#include "vec_back_tmpl.h"
