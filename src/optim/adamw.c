/* SPDX-License-Identifier: Apache-2.0
 *
 * adamw.c: Adam with decoupled weight decay (Loshchilov and Hutter, 2019),
 * bias correction and eps as PyTorch has them:
 *
 *   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2
 *   x = x (1 - lr wd) - lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps)
 *
 * The state is float; what is between two roundings to it is double.
 */
#include "optim/optimiser.h"

#include <math.h>

/* By squaring: the same bits wherever the run was resumed. */
static double power(double x, int64_t n)
{
	double p = 1;

	for (; n > 0; n /= 2, x *= x)
		if (n & 1)
			p *= x;
	return p;
}

static void update(const nnr__train_plan *plan, const nnr__update *u)
{
	const double b1 = plan->beta1, b2 = plan->beta2;
	const double rate = u->lr / (1 - power(b1, u->step));
	const double root = sqrt(1 - power(b2, u->step));
	const double keep = 1 - u->lr * u->weight_decay;
	float *m = u->moment[0], *v = u->moment[1];

	for (size_t i = 0; i < u->n; i++) {
		double g = (double)u->grad[i] * u->scale;
		m[i] = (float)(m[i] + (g - m[i]) * (1 - b1));
		v[i] = (float)(b2 * v[i] + (1 - b2) * g * g);
		u->value[i] = (float)(u->value[i] * keep -
				      rate * m[i] / (sqrt(v[i]) / root +
						     plan->eps));
	}
}

const nnr__optimiser nnr__optimiser_adamw = { "adamw", 2, update };
