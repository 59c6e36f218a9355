/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention with AVX-512: 24 accumulators of 32 registers.
 */
#define ISA(name) nnr__##name##_avx512
#define QT 6
#define KV 4
#include "attn_tmpl.h"
