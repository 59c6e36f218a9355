/* SPDX-License-Identifier: Apache-2.0
 *
 * optim_objective.h: what the tests of src/optim minimise: a plan from the
 * text of a `train`, tensors without a program, and a logistic regression
 * whose gradient is written out.
 */
#ifndef OPTIM_OBJECTIVE_H
#define OPTIM_OBJECTIVE_H

#include <math.h>

#include "optim/optim.h"

#define HEAD \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [neg, pos]}\nin: [template: \"{text}:\"]\n" \
	"out: [score: {choices: {neg: \" bad\", pos: \" good\"}}]\ntrain: "

/* The plan is p->train; close p when it is no longer needed. */
static nnr_program *plan_of(const char *train)
{
	nnr__buf source = { 0 };
	nnr_program *p = NULL;
	nnr_error err;

	nnr__buf_addf(&source, HEAD "%s\n", train);
	if (nnr__program_parse(&p, "p.yaml", NULL, source.p, source.len,
			       NULL, &err))
		fail_msg("%s", err.message);
	nnr__buf_release(&source);
	return p;
}

static void tensor_set_up(nnr__ptensor *t, const char *name, size_t n,
			  bool learn)
{
	memset(t, 0, sizeof(*t));
	t->name = nnr__strdup(name);
	t->dims = 1;
	t->dim[0] = (int64_t)n;
	t->n = n;
	t->value = nnr__aligned(n * sizeof(float));
	memset(t->value, 0, n * sizeof(float));
	if (learn) {
		t->grad = nnr__aligned(n * sizeof(float));
		memset(t->grad, 0, n * sizeof(float));
	}
}

static void tensor_tear_down(nnr__ptensor *t)
{
	free(t->name);
	nnr__aligned_free(t->value);
	nnr__aligned_free(t->grad);
}

/* ---- logistic regression: weights w and bias b; the tensor `counts` is
 * fitted at every epoch and learned by nobody ---- */
enum { FEATURES = 3, ITEMS = 37, CALLS_MAX = 1 << 20 };

typedef struct logistic {
	nnr__ptensor w, b, counts, *list[3];
	double x[ITEMS][FEATURES];
	int y[ITEMS];
	int length[ITEMS];
	/* the call that fails, counted over all functions; -1: none */
	int calls, stop_at, stop_code;
	double poison;		/* added to the loss of item 5 */
	float poison_grad;	/* and to its gradient */
	int validations;
	double target;
	const double *scores;	/* what validations say; NULL: the truth */
	nnr__objective o;
} logistic;

static int stops(logistic *l, nnr_error *err)
{
	if (l->calls++ == l->stop_at)
		return nnr__fail(err, l->stop_code, "stopped");
	return 0;
}

static double margin(const logistic *l, int i)
{
	double z = l->b.value[0];

	for (int k = 0; k < FEATURES; k++)
		z += l->w.value[k] * l->x[i][k];
	return l->y[i] ? z : -z;
}

static int logistic_gradient(void *ctx, const int *item, int n, double *loss,
			     nnr_error *err)
{
	logistic *l = ctx;
	double g[FEATURES + 1] = { 0 };

	*loss = 0;
	if (stops(l, err))
		return l->stop_code;
	for (int j = 0; j < n; j++) {
		int i = item[j];
		double m = margin(l, i), p = 1 / (1 + exp(m));
		double d = (l->y[i] ? -p : p) / n;
		*loss += log1p(exp(-m)) / n;
		if (i == 5)
			*loss += l->poison;
		for (int k = 0; k < FEATURES; k++)
			g[k] += d * l->x[i][k];
		g[FEATURES] += d + (i == 5 ? l->poison_grad : 0);
	}
	for (int k = 0; k < FEATURES; k++)
		l->w.grad[k] = (float)g[k];
	l->b.grad[0] = (float)g[FEATURES];
	return 0;
}

static int logistic_epoch(void *ctx, int epoch, nnr_error *err)
{
	logistic *l = ctx;

	if (stops(l, err))
		return l->stop_code;
	l->counts.value[0] = (float)epoch;
	l->counts.value[1] = l->w.value[0];
	l->counts.set = true;
	return 0;
}

static int logistic_validate(void *ctx, double *score, double *loss,
			     nnr_error *err)
{
	logistic *l = ctx;
	int right = 0;

	if (stops(l, err))
		return l->stop_code;
	*loss = 0;
	for (int i = 0; i < ITEMS; i++) {
		right += margin(l, i) > 0;
		*loss += log1p(exp(-margin(l, i))) / ITEMS;
	}
	*score = (double)right / ITEMS;
	if (l->target)		/* best in the middle of a run */
		*score = -fabs(l->w.value[0] - l->target);
	if (l->scores)
		*score = l->scores[l->validations];
	l->validations++;
	return 0;
}

static void logistic_set_up(logistic *l, bool validate)
{
	memset(l, 0, sizeof(*l));
	tensor_set_up(&l->w, "shift.w", FEATURES, true);
	tensor_set_up(&l->b, "shift.b", 1, true);
	tensor_set_up(&l->counts, "counts", 2, false);
	for (int i = 0; i < ITEMS; i++) {
		double z = -0.3;
		for (int k = 0; k < FEATURES; k++) {
			l->x[i][k] = 2 * nnr__rng_uniform(7, (uint64_t)k,
							  (uint64_t)i) - 1;
			z += (k + 1) * l->x[i][k];
		}
		/* one item in nine is labelled wrong */
		l->y[i] = (z > 0) != (i % 9 == 0);
		l->length[i] = 5 + i % 11;
	}
	l->stop_at = -1;
	l->list[0] = &l->w;
	l->list[1] = &l->counts;
	l->list[2] = &l->b;
	l->o = (nnr__objective){
		.tensor = l->list, .tensors = 3, .items = ITEMS,
		.length = l->length, .ctx = l,
		.gradient = logistic_gradient, .epoch = logistic_epoch,
		.validate = validate ? logistic_validate : NULL };
}

static void logistic_tear_down(logistic *l)
{
	tensor_tear_down(&l->w);
	tensor_tear_down(&l->b);
	tensor_tear_down(&l->counts);
}

#endif
