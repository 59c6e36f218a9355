/* SPDX-License-Identifier: Apache-2.0
 *
 * sgd.c: gradient descent with momentum as PyTorch has it, without dampening:
 *
 *   d = g + wd x,  m = momentum m + d,  x = x - lr m
 */
#include "optim/optimiser.h"

static void update(const nnr__train_plan *plan, const nnr__update *u)
{
	float *m = u->moment[0];

	for (size_t i = 0; i < u->n; i++) {
		double g = (double)u->grad[i] * u->scale +
			   u->weight_decay * u->value[i];
		m[i] = (float)(plan->momentum * m[i] + g);
		u->value[i] = (float)(u->value[i] - u->lr * m[i]);
	}
}

const nnr__optimiser nnr__optimiser_sgd = { "sgd", 1, update };
