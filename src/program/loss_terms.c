/* SPDX-License-Identifier: Apache-2.0
 *
 * loss_terms.c: the losses of one item, from scores of its labels.  Each adds
 * w times its gradient to ds and returns w times its value.
 */
#include "lesson_int.h"

#include <math.h>
#include <string.h>

double nnr__cross_entropy(const double *logp, int n, int y, double w,
			  double *ds)
{
	for (int c = 0; c < n; c++)
		ds[c] += w * (exp(logp[c]) - (c == y ? 1 : 0));
	return -w * logp[y];
}

double nnr__focal(const double *logp, int n, int y, double gamma, double w,
		  double *ds)
{
	double p = exp(logp[y]), q = -expm1(logp[y]), power = pow(q, gamma);
	/* p dL/dp; at p = 1 the loss has its least value, 0 */
	double dp = q > 0 ? gamma * power / q * logp[y] * p - power : 0;

	for (int c = 0; c < n; c++)
		ds[c] += w * dp * ((c == y ? 1 : 0) - exp(logp[c]));
	return -w * power * logp[y];
}

double nnr__distill(const double *score, const double *teacher, int n,
		    double t, double w, double *ds, double *room)
{
	double *logp = room, *logq = room + n, loss = 0;

	for (int c = 0; c < n; c++) {
		logp[c] = score[c] / t;
		logq[c] = teacher[c] / t;
	}
	nnr__log_softmax(logp, n);
	nnr__log_softmax(logq, n);
	for (int c = 0; c < n; c++) {
		double q = exp(logq[c]);

		loss += q > 0 ? w * t * t * q * (logq[c] - logp[c]) : 0;
		ds[c] += w * t * (exp(logp[c]) - q);
	}
	return loss;
}

double nnr__item_loss(nnr__lesson *l, int i, double weight, double *room)
{
	const nnr__train_plan *plan = l->p->train;
	int n = l->out.labels, y = l->label[i];
	const double *score = l->out.score + i * n;
	double *ds = l->out.dscore + i * n, loss = 0;

	for (int t = 0; t < plan->losses; t++) {
		const nnr__loss_term *term = &plan->loss[t];
		double w = weight * term->weight;

		memcpy(room, score, (size_t)n * sizeof(*room));
		nnr__log_softmax(room, n);
		if (term->loss == NNR__LOSS_FOCAL)
			loss += nnr__focal(room, n, y, term->gamma, w *
					   (term->balance ? l->balance[y] : 1),
					   ds);
		else if (term->loss == NNR__LOSS_DISTILL)
			loss += nnr__distill(score, l->teacher[t].score +
					     l->pick[i] * n, n,
					     term->temperature, w, ds, room);
		else
			loss += nnr__cross_entropy(room, n, y, w, ds);
	}
	return loss;
}
