/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of the row-wise kernels.  fmaf is a call into libm here:
 * this file is for tests and for CPUs without FMA vectors.
 */
#include "isa.h"

#include <math.h>	/* fmaf and sqrtf only: exact by definition */

/* Sum of squares over lanes i mod 16, s = 1 / sqrt(sum / n + eps),
 * y = (x s) w. */
void nnr__rmsnorm_generic(const float *x, const float *w, int n, float eps,
			  float *y)
{
	float lane[16] = { 0 };

	for (int i = 0; i < n; i++)
		lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
	float s = 1.0f / sqrtf(nnr__sum16(lane) / (float)n + eps);
	for (int i = 0; i < n; i++)
		y[i] = x[i] * s * w[i];
}

void nnr__rope_generic(float *x, int heads, int dim, const float *cs)
{
	for (int h = 0; h < heads; h++, x += dim)
		for (int i = 0; i < dim; i += 2) {
			float a = x[i], b = x[i + 1];
			float c = cs[i], s = cs[i + 1];
			x[i] = fmaf(a, c, -(b * s));
			x[i + 1] = fmaf(b, c, a * s);
		}
}

void nnr__swiglu_generic(const float *g, const float *u, int n, float *y)
{
	for (int i = 0; i < n; i++)
		y[i] = g[i] / (1.0f + nnr__exp(-g[i])) * u[i];
}

/* Two passes: the maximum m, then lanes i mod 16 of exp(x - m). */
float nnr__logsumexp_generic(const float *x, int n, int *argmax)
{
	float lane[16] = { 0 };
	int best = 0;

	for (int i = 1; i < n; i++)
		if (x[i] > x[best])
			best = i;
	for (int i = 0; i < n; i++)
		lane[i % 16] += nnr__exp(x[i] - x[best]);
	*argmax = best;
	return nnr__log(nnr__sum16(lane)) + x[best];
}
