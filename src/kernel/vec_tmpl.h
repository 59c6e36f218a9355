/* SPDX-License-Identifier: Apache-2.0
 *
 * The row-wise kernels, codes and rows of weights on sixteen lanes.  Included
 * once by each of vec_avx512.c and vec_avx2.c with ISA(name) defined.  What
 * does not fill sixteen lanes at a row's end goes by the specification's own
 * lines.
 */
#include "v16.h"

#include <math.h>	/* fmaf and sqrtf: one instruction here */

void ISA(rmsnorm)(const float *x, const float *w, int n, float eps, float *y)
{
	int whole = n & ~15;
	float lane[16];
	v16 sum = v16_set(0);

	for (int i = 0; i < whole; i += 16) {
		v16 v = v16_load(x + i);
		sum = v16_fma(v, v, sum);
	}
	v16_store(lane, sum);
	for (int i = whole; i < n; i++)
		lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
	float s = 1.0f / sqrtf(nnr__sum16(lane) / (float)n + eps);
	v16 s16 = v16_set(s);
	for (int i = 0; i < whole; i += 16)
		v16_store(y + i, v16_mul(v16_mul(v16_load(x + i), s16),
					 v16_load(w + i)));
	for (int i = whole; i < n; i++)
		y[i] = x[i] * s * w[i];
}

static void rope_head(float *x, int dim, const float *cs)
{
	int i = 0;

	for (; i + 16 <= dim; i += 16) {
		v16 v = v16_load(x + i), c = v16_load(cs + i);
		v16 t = v16_mul(V16_PAIRS(v), v16_odd(c));
		v16_store(x + i, v16_fmaddsub(v, v16_even(c), t));
	}
	for (; i < dim; i += 2) {
		float a = x[i], b = x[i + 1];
		x[i] = fmaf(a, cs[i], -(b * cs[i + 1]));
		x[i + 1] = fmaf(b, cs[i], a * cs[i + 1]);
	}
}

void ISA(rope)(float *x, int heads, int dim, const float *cs)
{
	for (int h = 0; h < heads; h++)
		rope_head(x + h * dim, dim, cs);
}

void ISA(swiglu)(const float *g, const float *u, int n, float *y)
{
	v16 zero = v16_set(0), one = v16_set(1);
	int i = 0;

	for (; i + 16 <= n; i += 16) {
		v16 a = v16_load(g + i);
		v16 d = v16_add(one, v16_exp(v16_sub(zero, a)));
		v16_store(y + i, v16_mul(v16_div(a, d), v16_load(u + i)));
	}
	for (; i < n; i++)
		y[i] = g[i] / (1.0f + nnr__exp(-g[i])) * u[i];
}

/* The lowest index of the largest value, comparing as x[i] > x[best]. */
static int arg_max(const float *x, int n)
{
	v16 top = v16_set(x[0]);
	int i = 0;

	for (; i + 16 <= n; i += 16)
		top = v16_max(v16_load(x + i), top);
	float m = v16_top(top);
	for (; i < n; i++)
		m = x[i] > m ? x[i] : m;
	v16 want = v16_set(m);
	for (i = 0; i + 16 <= n; i += 16) {
		int lane = v16_find(v16_load(x + i), want);
		if (lane < 16)
			return i + lane;
	}
	for (; i < n; i++)
		if (x[i] == m)
			return i;
	return 0;	/* x[0] is NaN */
}

float ISA(logsumexp)(const float *x, int n, int *argmax)
{
	int best = arg_max(x, n), i = 0;
	v16 sum = v16_set(0), m = v16_set(x[best]);
	float lane[16];

	for (; i + 16 <= n; i += 16)
		sum = v16_add(sum, v16_exp(v16_sub(v16_load(x + i), m)));
	v16_store(lane, sum);
	for (; i < n; i++)
		lane[i % 16] += nnr__exp(x[i] - x[best]);
	*argmax = best;
	return nnr__log(nnr__sum16(lane)) + x[best];
}

/* ---- codes ---- */

static void encode_block(const float *x, const nnr__codes *c, size_t at)
{
	v16 v[2] = { v16_load(x), v16_load(x + 16) };
	uint32_t top = v16_top_bits(v[0], v[1]);
	float amax = nnr__float(top), d = amax / 127.0f, inv = 127.0f / amax;
	bool finite = top < 0x7f800000;
	i16 hi[2], lo[2];

	if (!finite || amax < NNR__CODE_MIN) {
		inv = 0;
		d = finite ? 0 : nnr__float(0x7fc00000);
		v[0] = v[1] = v16_set(0);
	}
	for (int i = 0; i < 2; i++) {
		__m128i *p = (__m128i *)(c->hi + at * 32) + i;
		__m128i *q = (__m128i *)(c->lo + at * 32) + i;
		v16 t = v16_mul(v[i], v16_set(inv));
		hi[i] = i16_round(t);
		t = v16_mul(v16_sub(t, v16_of_int(hi[i])), v16_set(254));
		lo[i] = i16_round(t);
		_mm_storeu_si128(p, i16_to_i8(hi[i]));
		_mm_storeu_si128(q, i16_to_i8(lo[i]));
	}
	int sum = i16_sum(i16_add(hi[0], hi[1]));
	int sum_lo = i16_sum(i16_add(lo[0], lo[1]));
	c->d[at] = d;
	c->isum[at] = sum;
	c->isum_lo[at] = sum_lo;
	c->sum1[at] = d * (float)sum;
	c->sum2[at] = d * NNR__INV254 * (float)(254 * sum + sum_lo);
}

void ISA(encode)(const float *x, int n, const nnr__codes *c, int row, int c0)
{
	size_t at = (size_t)row * (size_t)(c->ld / 32) + (size_t)c0 / 32;

	for (int k = 0; k < n; k += 32)
		encode_block(x + k, c, at++);
}

/* ---- one row of weights ---- */

static void unpack_block(nnr__dtype type, const uint8_t *p, float *dst)
{
	const __m128i *q = (const __m128i *)(p + (type == NNR__Q4_1 ? 4 : 2));
	const __m128i low = _mm_set1_epi8(15), a = _mm_loadu_si128(q);
	const v16 d = v16_set(nnr__half(nnr__u16(p)));

	if (type == NNR__Q8_0) {
		__m128i b = _mm_loadu_si128(q + 1);
		v16_store(dst, v16_mul(d, v16_of_int(i16_of_i8(a))));
		v16_store(dst + 16, v16_mul(d, v16_of_int(i16_of_i8(b))));
		return;
	}
	v16 m = type == NNR__Q4_1 ? v16_set(nnr__half(nnr__u16(p + 2))) :
		v16_mul(d, v16_set(-8));
	i16 first = i16_of_i8(_mm_and_si128(a, low));
	i16 second = i16_of_i8(_mm_and_si128(_mm_srli_epi16(a, 4), low));
	v16_store(dst, v16_fma(d, v16_of_int(first), m));
	v16_store(dst + 16, v16_fma(d, v16_of_int(second), m));
}

void ISA(unpack)(nnr__dtype type, const uint8_t *src, int n, float *dst)
{
	const int bytes = nnr__dtypes[type].bytes;

	if (!nnr__dtypes[type].coded) {
		nnr__unpack_generic(type, src, n, dst);
		return;
	}
	for (int k = 0; k < n; k += 32, src += bytes)
		unpack_block(type, src, dst + k);
}
