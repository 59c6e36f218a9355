/* SPDX-License-Identifier: Apache-2.0
 *
 * The row-wise gradients and the gradient of a matrix, on sixteen lanes.
 * Included by back_avx512.c and back_avx2.c with ISA(name) defined.  What
 * does not fill sixteen lanes at a row's end goes by the specification's own
 * lines.
 */
#include "tile16.h"

#include <math.h>	/* fmaf and sqrtf: one instruction here */

void ISA(rmsnorm_back)(const float *x, const float *w, const float *dy, int n,
		       float eps, bool add, float *dx)
{
	const int whole = n & ~15;
	float square[16], lane[16];
	v16 a = v16_set(0), b = v16_set(0);

	for (int i = 0; i < whole; i += 16) {
		v16 v = v16_load(x + i);
		v16 g = v16_mul(v16_load(dy + i), v16_load(w + i));
		a = v16_fma(v, v, a);
		b = v16_fma(g, v, b);
	}
	v16_store(square, a);
	v16_store(lane, b);
	for (int i = whole; i < n; i++) {
		square[i % 16] = fmaf(x[i], x[i], square[i % 16]);
		lane[i % 16] = fmaf(dy[i] * w[i], x[i], lane[i % 16]);
	}
	float inv = 1.0f / sqrtf(nnr__sum16(square) / (float)n + eps);
	float c = nnr__sum16(lane) * inv * inv * inv / (float)n;
	v16 c16 = v16_set(-c), inv16 = v16_set(inv);
	for (int i = 0; i < whole; i += 16) {
		v16 g = v16_mul(v16_load(dy + i), v16_load(w + i));
		v16 d = v16_fma(c16, v16_load(x + i), v16_mul(g, inv16));
		v16_store(dx + i, add ? v16_add(v16_load(dx + i), d) : d);
	}
	for (int i = whole; i < n; i++) {
		float d = fmaf(-c, x[i], dy[i] * w[i] * inv);
		dx[i] = add ? dx[i] + d : d;
	}
}

void ISA(swiglu_back)(const float *g, const float *u, const float *dy, int n,
		      float *dg, float *du)
{
	const v16 zero = v16_set(0), one = v16_set(1);
	int i = 0;

	for (; i + 16 <= n; i += 16) {
		v16 a = v16_load(g + i), b = v16_load(u + i);
		v16 d = v16_load(dy + i);
		v16 s = v16_div(one, v16_add(one, v16_exp(v16_sub(zero, a))));
		v16 slope = v16_mul(s, v16_fma(a, v16_sub(one, s), one));
		v16_store(du + i, v16_mul(d, v16_mul(a, s)));
		v16_store(dg + i, v16_mul(v16_mul(d, b), slope));
	}
	for (; i < n; i++) {
		float a = g[i], b = u[i], s = 1.0f / (1.0f + nnr__exp(-a));
		du[i] = dy[i] * (a * s);
		dg[i] = dy[i] * b * (s * fmaf(a, 1.0f - s, 1.0f));
	}
}

void ISA(softmax)(const float *x, int n, float shift, float scale, float *y)
{
	const v16 m = v16_set(shift), c = v16_set(scale);
	int i = 0;

	for (; i + 16 <= n; i += 16)
		v16_store(y + i, v16_mul(c, v16_exp(
			v16_sub(v16_load(x + i), m))));
	for (; i < n; i++)
		y[i] = scale * nnr__exp(x[i] - shift);
}

/* ---- dw += dy^T x ---- */

/* The last columns, fewer than 16: by way of copies, some rows at a time. */
static void outer_edge(mul t, int rows, int width)
{
	enum { SOME = 64 };
	const size_t size = (size_t)width * 4;
	float x[SOME * 16] = { 0 }, dw[MUL_ROWS * 16] = { 0 };
	mul e = t;

	e.b = x;
	e.ldb = 16;
	e.c = dw;
	e.ldc = 16;
	for (int r = 0; r < rows; r++)
		memcpy(dw + 16 * r, t.c + (size_t)r * t.ldc, size);
	for (int m = 0; m < t.n; m += SOME) {
		e.n = t.n - m < SOME ? t.n - m : SOME;
		e.a = t.a + (size_t)m * t.step;
		for (int k = 0; k < e.n; k++)
			memcpy(x + 16 * k, t.b + (size_t)(m + k) * t.ldb,
			       size);
		mul_cols(e, rows, 16);
	}
	for (int r = 0; r < rows; r++)
		memcpy(t.c + (size_t)r * t.ldc, dw + 16 * r, size);
}

void ISA(outer)(const float *dy, size_t ldy, int n, const float *x,
		size_t ldx, int k, int rows, float *dw, size_t ldw)
{
	const int whole = k & ~15;
	mul t = { .row = 1, .step = ldy, .ldb = ldx, .n = rows, .ldc = ldw,
		  .on = true };

	for (int i = 0; i < n; i += MUL_ROWS) {
		int high = n - i < MUL_ROWS ? n - i : MUL_ROWS;
		t.a = dy + i;
		t.b = x;
		t.c = dw + (size_t)i * ldw;
		mul_cols(t, high, whole);
		t.b += whole;
		t.c += whole;
		if (whole < k)
			outer_edge(t, high, k - whole);
	}
}
