/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of the matrix products: how a block of a file becomes
 * numbers, the fp32 chain, activations as codes, the integer dots.
 */
#include "isa.h"

#include <math.h>	/* fmaf only: exact by definition */

/* The 32 codes of a block as the file has them (nibbles 0..15 or int8), its
 * scale, and its offset m (Q4_0: -8 d). */
typedef struct {
	int q[32];
	float d, m;
} block;

static void block_read(nnr__dtype type, const uint8_t *p, block *b)
{
	int head = type == NNR__Q4_1 ? 4 : 2;

	b->d = nnr__half(nnr__u16(p));
	b->m = type == NNR__Q4_1 ? nnr__half(nnr__u16(p + 2)) : -8 * b->d;
	p += head;
	for (int i = 0; i < 32; i++)
		if (type == NNR__Q8_0)
			b->q[i] = (int8_t)p[i];
		else
			b->q[i] = p[i % 16] >> (i / 16 * 4) & 15;
}

static void unpack_coded(nnr__dtype type, const uint8_t *src, int n,
			 float *dst)
{
	block b;

	for (int k = 0; k < n; k += 32, src += nnr__dtypes[type].bytes) {
		block_read(type, src, &b);
		for (int i = 0; i < 32; i++)
			dst[k + i] = type == NNR__Q8_0 ?
				b.d * (float)b.q[i] :
				fmaf(b.d, (float)b.q[i], b.m);
	}
}

void nnr__unpack_generic(nnr__dtype type, const uint8_t *src, int n,
			 float *dst)
{
	if (nnr__dtypes[type].coded)
		unpack_coded(type, src, n, dst);
	else if (type == NNR__F32)
		memcpy(dst, src, (size_t)n * 4);
	else
		for (int i = 0; i < n; i++) {
			uint16_t u = nnr__u16(src + 2 * i);
			dst[i] = type == NNR__F16 ? nnr__half(u) :
				nnr__float((uint32_t)u << 16);
		}
}

void nnr__linear_generic(const nnr__mat *w, int n0, int n1, const float *x,
			 size_t ldx, int rows, float *y, size_t ldy, bool add,
			 void *scratch)
{
	float *wrow = scratch;

	for (int n = n0; n < n1; n++) {
		nnr__unpack_generic(w->type, nnr__row(w, n), w->cols, wrow);
		for (int r = 0; r < rows; r++) {
			const float *xr = x + (size_t)r * ldx;
			float *out = y + (size_t)r * ldy + n, c = 0;
			for (int k = 0; k < w->cols; k++)
				c = fmaf(xr[k], wrow[k], c);
			*out = add ? *out + c : c;
		}
	}
}

/* What one block adds to the chain c. */
static float block_dot(nnr__dtype type, const block *w, const nnr__codes *x,
		       size_t at, int terms, float c)
{
	const int8_t *hi = x->hi + at * 32, *lo = x->lo + at * 32;
	int s = 0, s2 = 0;

	for (int i = 0; i < 32; i++) {
		s += w->q[i] * hi[i];
		s2 += terms == 2 ? w->q[i] * lo[i] : 0;
	}
	float dx = x->d[at], sum = x->sum1[at];
	if (terms == 2) {
		s = 254 * s + s2;
		dx *= NNR__INV254;
		sum = x->sum2[at];
	}
	c = fmaf((float)s, w->d * dx, c);
	return type == NNR__Q8_0 ? c : fmaf(w->m, sum, c);
}

void nnr__linear_i8_generic(const nnr__mat *w, int n0, int n1,
			    const nnr__codes *x, int row0, int rows,
			    int terms, float *y, size_t ldy, bool add,
			    void *scratch)
{
	int nb = w->cols / 32, bytes = nnr__dtypes[w->type].bytes;
	block b;

	(void)scratch;
	for (int n = n0; n < n1; n++)
		for (int r = 0; r < rows; r++) {
			const uint8_t *p = nnr__row(w, n);
			size_t at = (size_t)(row0 + r) * (size_t)(x->ld / 32);
			float *out = y + (size_t)r * ldy + n, c = 0;
			for (int i = 0; i < nb; i++, p += bytes) {
				block_read(w->type, p, &b);
				c = block_dot(w->type, &b, x, at + (size_t)i,
					      terms, c);
			}
			*out = add ? *out + c : c;
		}
}

static float round_even(float x)
{
	return (x + NNR__RINT) - NNR__RINT;
}

/* Codes of one block.  A block that holds inf or NaN gets codes 0 and
 * d = NaN, so that it surfaces. */
static void encode_block(const float *x, const nnr__codes *c, size_t at)
{
	int8_t *hi = c->hi + at * 32, *lo = c->lo + at * 32;
	uint32_t top = 0;

	for (int i = 0; i < 32; i++) {
		uint32_t u = nnr__bits(x[i]) & 0x7fffffff;
		top = u > top ? u : top;
	}
	float amax = nnr__float(top), d = amax / 127.0f, inv = 127.0f / amax;
	bool finite = top < 0x7f800000;
	if (!finite || amax < NNR__CODE_MIN) {
		inv = 0;
		d = finite ? 0 : nnr__float(0x7fc00000);
	}
	int sum = 0, sum_lo = 0;
	for (int i = 0; i < 32; i++) {
		float t = finite ? x[i] * inv : 0.0f, h = round_even(t);
		float l = round_even((t - h) * 254.0f);
		hi[i] = (int8_t)h;
		lo[i] = (int8_t)l;
		sum += hi[i];
		sum_lo += lo[i];
	}
	c->d[at] = d;
	c->isum[at] = sum;
	c->isum_lo[at] = sum_lo;
	c->sum1[at] = d * (float)sum;
	c->sum2[at] = d * NNR__INV254 * (float)(254 * sum + sum_lo);
}

void nnr__encode_generic(const float *x, int n, const nnr__codes *c, int row,
			 int c0)
{
	size_t at = (size_t)row * (size_t)(c->ld / 32) + (size_t)c0 / 32;

	for (int k = 0; k < n; k += 32)
		encode_block(x + k, c, at++);
}
