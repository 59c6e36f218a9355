/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share: the three sets of functions that
 * cpu.c puts into tables, and the few lines of arithmetic that all paths
 * must do alike.  Nobody outside src/kernel includes this.
 */
#ifndef NNR_KERNEL_ISA_H
#define NNR_KERNEL_ISA_H

#include <string.h>

#include "kernel.h"

#if defined(__x86_64__)
#define NNR__X86 1
#else
#define NNR__X86 0
#endif

/* For the vector files: accumulators in arrays are registers only if every
 * loop over them is unrolled.  (clang with sanitizers needs minutes for
 * that, and there speed does not matter.) */
#define INLINE static inline __attribute__((always_inline))
#if !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 32")
#elif __has_feature(address_sanitizer)
#define UNROLL
#else
#define UNROLL _Pragma("unroll")
#endif

#define NNR__KERNEL_SET(isa) \
	void nnr__unpack_##isa(nnr__dtype type, const uint8_t *src, int n, \
			       float *dst); \
	void nnr__linear_##isa(const nnr__mat *w, int n0, int n1, \
			       const float *x, size_t ldx, int rows, \
			       float *y, size_t ldy, bool add, \
			       void *scratch); \
	void nnr__linear_i8_##isa(const nnr__mat *w, int n0, int n1, \
				  const nnr__codes *x, int row0, int rows, \
				  int terms, float *y, size_t ldy, bool add, \
				  void *scratch); \
	void nnr__encode_##isa(const float *x, int n, const nnr__codes *c, \
			       int row, int c0); \
	void nnr__rmsnorm_##isa(const float *x, const float *w, int n, \
				float eps, float *y); \
	void nnr__rope_##isa(float *x, int heads, int dim, const float *cs); \
	void nnr__swiglu_##isa(const float *g, const float *u, int n, \
			       float *y); \
	void nnr__attention_##isa(const nnr__attn *a, void *scratch); \
	float nnr__logsumexp_##isa(const float *x, int n, int *argmax); \
	void nnr__linear_back_##isa(const nnr__mat *w, int k0, int k1, \
				    const float *dy, size_t ldy, int rows, \
				    float *dx, size_t ldx, bool add, \
				    void *scratch); \
	void nnr__attention_back_##isa(const nnr__attn_back *a, \
				       void *scratch); \
	void nnr__rmsnorm_back_##isa(const float *x, const float *w, \
				     const float *dy, int n, float eps, \
				     bool add, float *dx); \
	void nnr__swiglu_back_##isa(const float *g, const float *u, \
				    const float *dy, int n, float *dg, \
				    float *du); \
	void nnr__softmax_##isa(const float *x, int n, float shift, \
				float scale, float *y); \
	void nnr__outer_##isa(const float *dy, size_t ldy, int n, \
			      const float *x, size_t ldx, int k, int rows, \
			      float *dw, size_t ldw);

/* Bytes of fp32 panel that stay in a core's L2. */
#define NNR__PANEL_MAX ((size_t)384 << 10)

NNR__KERNEL_SET(generic)
NNR__KERNEL_SET(avx2)
NNR__KERNEL_SET(avx512)

/* exp: n = rint(x log2 e) by the 1.5 * 2^23 trick, r = x - n ln 2 in two
 * steps, 1 + r + r^2 Q(r) by Horner with fma, n added to the exponent.
 * Below EXP_MIN (where the result would leave the normal range) 0; above
 * EXP_MAX x + inf, which also keeps a NaN. */
#define NNR__EXP_MIN (-0x1.5d589ep+6f)
#define NNR__EXP_MAX 0x1.62e42ep+6f
#define NNR__EXP_LOG2E 0x1.715476p+0f
#define NNR__EXP_LN2_HI 0x1.62e430p-1f
#define NNR__EXP_LN2_LO (-0x1.05c610p-29f)
#define NNR__EXP_Q0 0.5f
#define NNR__EXP_Q1 0x1.5554dcp-3f
#define NNR__EXP_Q2 0x1.55551ap-5f
#define NNR__EXP_Q3 0x1.120b6ep-7f
#define NNR__EXP_Q4 0x1.6d110ap-10f
/* Added and subtracted: rounds |x| < 2^22 to the nearest even integer. */
#define NNR__RINT 0x1.8p+23f

/* Blocks of activations with max|x| below this are coded as zero: 127/max
 * must stay finite. */
#define NNR__CODE_MIN 0x1p-100f
#define NNR__INV254 (1.0f / 254.0f)

static inline uint32_t nnr__bits(float x)
{
	uint32_t u;
	memcpy(&u, &x, 4);
	return u;
}

static inline float nnr__float(uint32_t u)
{
	float x;
	memcpy(&x, &u, 4);
	return x;
}

static inline uint16_t nnr__u16(const uint8_t *p)
{
	uint16_t u;
	memcpy(&u, p, 2);
	return u;
}

/* Row n of a matrix in its file. */
static inline const uint8_t *nnr__row(const nnr__mat *w, int n)
{
	return w->data + (size_t)n * w->row_bytes;
}

/* The sum of 16 lanes: halves are added until one value is left. */
static inline float nnr__sum16(const float l[16])
{
	float t[8];
	for (int i = 0; i < 8; i++)
		t[i] = l[i] + l[i + 8];
	for (int i = 0; i < 4; i++)
		t[i] += t[i + 4];
	return (t[0] + t[2]) + (t[1] + t[3]);
}

#endif
