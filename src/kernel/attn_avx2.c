/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention with AVX2: 12 accumulators of 16 registers.
 */
#define ISA(name) nnr__##name##_avx2
#define QT 3
#define KV 2
#include "attn_tmpl.h"
