/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients with AVX-512; that of a product is in linear_avx512.c.
 */
#define ISA(name) nnr__##name##_avx512
#include "attn_back_tmpl.h"
#include "vec_back_tmpl.h"
