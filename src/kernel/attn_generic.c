/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of attention: the running softmax over pages of 64 keys.
 */
#include "isa.h"

#include <math.h>	/* fmaf only */

/* p[j] = scale * chain over d ascending of q_d k_jd, for n keys; returns
 * their maximum or m, what is larger. */
static float scores(const float *q, const float *kt, int dim, int n,
		    float scale, float m, float *p)
{
	for (int j = 0; j < n; j++) {
		float s = 0;
		for (int d = 0; d < dim; d++)
			s = fmaf(q[d], kt[d * NNR__PAGE + j], s);
		p[j] = s * scale;
		m = p[j] > m ? p[j] : m;
	}
	return m;
}

/* One query over `keys` keys; returns m + log l.  Keys beyond it do not
 * exist: nothing of them is used, and they add +0 to the lanes of the sum. */
static float query(const nnr__attn *a, const float *q, float *o, int keys)
{
	float m = -INFINITY, l = 0;

	for (int d = 0; d < a->dim; d++)
		o[d] = 0;
	for (int page = 0; page * NNR__PAGE < keys; page++) {
		float p[NNR__PAGE], lane[16] = { 0 };
		int n = keys - page * NNR__PAGE;
		n = n < NNR__PAGE ? n : NNR__PAGE;

		float top = scores(q, a->kt[page], a->dim, n, a->scale, m, p);
		float alpha = page ? nnr__exp(m - top) : 0.0f;
		m = top;
		for (int j = 0; j < n; j++) {
			p[j] = nnr__exp(p[j] - m);
			lane[j % 16] += p[j];
		}
		l = fmaf(l, alpha, nnr__sum16(lane));
		for (int d = 0; d < a->dim; d++) {
			float c = page ? o[d] * alpha : 0.0f;
			for (int j = 0; j < n; j++)
				c = fmaf(p[j], a->v[page][j * a->dim + d], c);
			o[d] = c;
		}
	}
	float inv = 1.0f / l;
	for (int d = 0; d < a->dim; d++)
		o[d] *= inv;
	return m + nnr__log(l);
}

void nnr__attention_generic(const nnr__attn *a, void *scratch)
{
	(void)scratch;
	for (int r = 0; r < a->rows; r++)
		for (int h = 0; h < a->heads; h++) {
			float lse = query(
				a, a->q + (size_t)r * a->ldq + h * a->dim,
				a->o + (size_t)r * a->ldo + h * a->dim,
				a->pos0 + r + 1);
			if (a->lse)
				a->lse[(size_t)r * a->ldlse + h] = lse;
		}
}
