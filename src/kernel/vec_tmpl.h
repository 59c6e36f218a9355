/* SPDX-License-Identifier: Apache-2.0
 *
 * The row-wise kernels on sixteen lanes.  Included once by each of
 * vec_avx512.c and vec_avx2.c with ISA(name) defined.  What does not fill
 * sixteen lanes at a row's end goes by the specification's own lines.
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
