/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of the gradients.  Like the forward kernels: one chain of
 * fma per output, in the order kernel.h gives.
 */
#include "isa.h"

#include <math.h>	/* fmaf and sqrtf only: exact by definition */

void nnr__linear_back_generic(const nnr__mat *w, int k0, int k1,
			      const float *dy, size_t ldy, int rows,
			      float *dx, size_t ldx, bool add, void *scratch)
{
	float *wrow = scratch;

	for (int r = 0; r < rows && !add; r++)
		for (int k = k0; k < k1; k++)
			dx[(size_t)r * ldx + k] = 0;
	for (int n = 0; n < w->rows; n++) {
		nnr__unpack_generic(w->type, nnr__row(w, n), w->cols, wrow);
		for (int r = 0; r < rows; r++) {
			float d = dy[(size_t)r * ldy + n];
			float *out = dx + (size_t)r * ldx;
			for (int k = k0; k < k1; k++)
				out[k] = fmaf(d, wrow[k], out[k]);
		}
	}
}

/* One query row: its part of dq, and what it adds to dk and dv. */
typedef struct {
	const float *q, *dout;
	float *dq;
	float lse, delta;
} query;

/* Key j, whose page is kt and v, and its rows of dk and dv (or NULL). */
static void one_key(const nnr__attn_back *a, const query *i, const float *kt,
		    const float *v, float *dk, float *dv)
{
	float s = 0, dp = 0;

	for (int d = 0; d < a->dim; d++)
		s = fmaf(i->q[d], kt[d * NNR__PAGE], s);
	for (int d = 0; d < a->dim; d++)
		dp = fmaf(i->dout[d], v[d], dp);
	float p = nnr__exp(s * a->scale - i->lse);
	float ds = p * (dp - i->delta) * a->scale;
	for (int d = 0; d < a->dim; d++)
		i->dq[d] = fmaf(ds, kt[d * NNR__PAGE], i->dq[d]);
	for (int d = 0; dk && d < a->dim; d++) {
		dk[d] = fmaf(ds, i->q[d], dk[d]);
		dv[d] = fmaf(p, i->dout[d], dv[d]);
	}
}

static void one_query(const nnr__attn_back *a, int r, int h)
{
	const size_t dim = (size_t)a->dim, at = (size_t)h * dim;
	const float *o = a->o + (size_t)r * a->ldo + at;
	float lane[16] = { 0 };
	query i = {
		.q = a->q + (size_t)r * a->ldq + at,
		.dout = a->dout + (size_t)r * a->lddout + at,
		.dq = a->dq + (size_t)r * a->lddq + at,
		.lse = a->lse[(size_t)r * a->ldlse + h],
	};

	for (size_t d = 0; d < dim; d++) {
		lane[d % 16] = fmaf(i.dout[d], o[d], lane[d % 16]);
		i.dq[d] = 0;
	}
	i.delta = nnr__sum16(lane);
	for (int j = 0; j <= a->pos0 + r; j++) {
		size_t page = (size_t)j / NNR__PAGE, s = (size_t)j % NNR__PAGE;
		size_t row = (size_t)(j - a->from) * dim;
		bool free = j >= a->from;
		one_key(a, &i, a->kt[page] + s, a->v[page] + s * dim,
			free ? a->dk + row : NULL, free ? a->dv + row : NULL);
	}
}

void nnr__attention_back_generic(const nnr__attn_back *a, void *scratch)
{
	size_t n = (size_t)(a->pos0 + a->rows - a->from) * (size_t)a->dim;

	(void)scratch;
	for (size_t i = 0; i < n; i++)
		a->dk[i] = a->dv[i] = 0;
	for (int r = 0; r < a->rows; r++)
		for (int h = 0; h < a->heads; h++)
			one_query(a, r, h);
}

void nnr__rmsnorm_back_generic(const float *x, const float *w,
			       const float *dy, int n, float eps, bool add,
			       float *dx)
{
	float square[16] = { 0 }, lane[16] = { 0 };

	for (int i = 0; i < n; i++) {
		square[i % 16] = fmaf(x[i], x[i], square[i % 16]);
		lane[i % 16] = fmaf(dy[i] * w[i], x[i], lane[i % 16]);
	}
	float inv = 1.0f / sqrtf(nnr__sum16(square) / (float)n + eps);
	float c = nnr__sum16(lane) * inv * inv * inv / (float)n;
	for (int i = 0; i < n; i++) {
		float d = fmaf(-c, x[i], dy[i] * w[i] * inv);
		dx[i] = add ? dx[i] + d : d;
	}
}

void nnr__swiglu_back_generic(const float *g, const float *u, const float *dy,
			      int n, float *dg, float *du)
{
	for (int i = 0; i < n; i++) {
		float a = g[i], b = u[i], s = 1.0f / (1.0f + nnr__exp(-a));
		du[i] = dy[i] * (a * s);
		dg[i] = dy[i] * b * (s * fmaf(a, 1.0f - s, 1.0f));
	}
}

void nnr__softmax_generic(const float *x, int n, float shift, float scale,
			  float *y)
{
	for (int i = 0; i < n; i++)
		y[i] = scale * nnr__exp(x[i] - shift);
}

void nnr__outer_generic(const float *dy, size_t ldy, int n, const float *x,
			size_t ldx, int k, int rows, float *dw, size_t ldw)
{
	for (int m = 0; m < rows; m++, dy += ldy, x += ldx)
		for (int i = 0; i < n; i++) {
			float *out = dw + (size_t)i * ldw;
			for (int j = 0; j < k; j++)
				out[j] = fmaf(dy[i], x[j], out[j]);
		}
}
