/* SPDX-License-Identifier: Apache-2.0
 *
 * fit_affine.c: per-class scale a and shift b on log-probabilities l,
 *
 *   z_ic = a_c l_ic + b_c,   loss = mean_i -log softmax(z_i)[y_i]
 *                                   + l2/2 (sum (a_c - 1)^2 + sum b_c^2)
 *
 * by Newton's method from a = 1, b = 0.  The loss is convex in (a, b) and l2
 * makes its Hessian positive definite, so a halved step always descends.
 * One thread, fixed order: the same bits every time.
 *
 * And one temperature t for all classes: z_ic = b l_ic with b = 1 / t, the
 * loss with l2/2 (b - 1)^2, which is convex in b.
 */
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 100
#define CLASSES_MAX 256

struct fit {
	const double *l;	/* n x c */
	const int *label;
	int n, c;
	double l2;
	double *x;		/* 2c: a, then b */
	double *grad;		/* 2c */
	double *hess;		/* 2c x 2c, lower triangle */
	double *step, *next;	/* 2c */
	double *p;		/* c */
};

/* Probabilities of row i at x, into f->p; the row's loss. */
static double row_loss(struct fit *f, const double *x, int i)
{
	const double *l = f->l + (size_t)i * (size_t)f->c;

	for (int c = 0; c < f->c; c++)
		f->p[c] = x[c] * l[c] + x[f->c + c];
	nnr__log_softmax(f->p, f->c);
	return -f->p[f->label[i]];
}

static double loss_at(struct fit *f, const double *x)
{
	double sum = 0, pull = 0;

	for (int i = 0; i < f->n; i++)
		sum += row_loss(f, x, i);
	for (int c = 0; c < f->c; c++)
		pull += (x[c] - 1) * (x[c] - 1) +
			x[f->c + c] * x[f->c + c];
	return sum / f->n + f->l2 / 2 * pull;
}

/* Adds a row's second derivatives: H_uv = dz_u (p_c [c=d] - p_c p_d) dz_v,
 * with dz = l for a scale and 1 for a shift. */
static void add_row(struct fit *f, int i)
{
	const double *l = f->l + (size_t)i * (size_t)f->c;
	int c2 = 2 * f->c;

	row_loss(f, f->x, i);
	for (int c = 0; c < f->c; c++)
		f->p[c] = exp(f->p[c]);
	for (int u = 0; u < c2; u++) {
		int c = u % f->c;
		double du = u < f->c ? l[c] : 1;
		double g = f->p[c] - (c == f->label[i]);
		f->grad[u] += du * g / f->n;
		for (int v = 0; v <= u; v++) {
			int d = v % f->c;
			double dv = v < f->c ? l[d] : 1;
			double h = (c == d ? f->p[c] : 0) - f->p[c] * f->p[d];
			f->hess[(size_t)u * (size_t)c2 + (size_t)v] +=
				du * h * dv / f->n;
		}
	}
}

static void derivatives(struct fit *f)
{
	size_t c2 = 2 * (size_t)f->c;

	memset(f->grad, 0, c2 * sizeof(*f->grad));
	memset(f->hess, 0, c2 * c2 * sizeof(*f->hess));
	for (int i = 0; i < f->n; i++)
		add_row(f, i);
	for (size_t u = 0; u < c2; u++) {
		double from = u < (size_t)f->c ? 1 : 0;
		f->grad[u] += f->l2 * (f->x[u] - from);
		f->hess[u * c2 + u] += f->l2;
	}
}

/* Cholesky in place, then step = -H^-1 grad.  False: not positive. */
static bool solve(struct fit *f)
{
	size_t n = 2 * (size_t)f->c;
	double *h = f->hess, *x = f->step;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j <= i; j++) {
			double sum = h[i * n + j];
			for (size_t k = 0; k < j; k++)
				sum -= h[i * n + k] * h[j * n + k];
			if (i == j && !(sum > 0))
				return false;
			h[i * n + j] = i == j ? sqrt(sum)
					      : sum / h[j * n + j];
		}
	}
	for (size_t i = 0; i < n; i++) {
		double sum = -f->grad[i];
		for (size_t k = 0; k < i; k++)
			sum -= h[i * n + k] * x[k];
		x[i] = sum / h[i * n + i];
	}
	for (size_t i = n; i-- > 0;) {
		double sum = x[i];
		for (size_t k = i + 1; k < n; k++)
			sum -= h[k * n + i] * x[k];
		x[i] = sum / h[i * n + i];
	}
	return true;
}

/* Halves the step until the loss falls; false: it does not any more. */
static bool descend(struct fit *f, double *loss)
{
	int n = 2 * f->c;

	for (double rate = 1; rate > 1e-9; rate /= 2) {
		double next;
		for (int u = 0; u < n; u++)
			f->next[u] = f->x[u] + rate * f->step[u];
		next = loss_at(f, f->next);
		if (next < *loss) {
			bool done = *loss - next < 1e-13;
			memcpy(f->x, f->next, (size_t)n * sizeof(*f->x));
			*loss = next;
			return !done;
		}
	}
	return false;
}

static void run(struct fit *f)
{
	double loss;

	for (int c = 0; c < f->c; c++) {
		f->x[c] = 1;
		f->x[f->c + c] = 0;
	}
	loss = loss_at(f, f->x);
	for (int round = 0; round < ROUNDS; round++) {
		derivatives(f);
		if (!solve(f) || !descend(f, &loss))
			return;
	}
}

int nnr__fit_affine(const double *l, const int *label, int n, int classes,
		    double l2, double *scale, double *shift, nnr_error *err)
{
	size_t c2 = 2 * (size_t)classes;
	struct fit f = { .l = l, .label = label, .n = n, .c = classes,
			 .l2 = l2 };
	double *all;

	if (classes > CLASSES_MAX)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "an affine fit of "
				 "%d labels; at most %d", classes,
				 CLASSES_MAX);
	all = nnr__calloc(c2 * c2 + 5 * c2, sizeof(*all));
	if (!all)
		return nnr__fail_memory(err, "a fit", c2 * c2);
	f.hess = all;
	f.x = all + c2 * c2;
	f.grad = f.x + c2;
	f.step = f.grad + c2;
	f.next = f.step + c2;
	f.p = f.next + c2;
	run(&f);
	memcpy(scale, f.x, (size_t)classes * sizeof(*scale));
	memcpy(shift, f.x + classes, (size_t)classes * sizeof(*shift));
	free(all);
	return 0;
}

/* ---- temperature ---- */

#define COLD 1e-3		/* least 1 / t: t is at most 1000 */

/* Slope and curvature of the loss in b, times n. */
static void slope_at(const double *l, const int *label, int n, int classes,
		     double l2, double b, double out[2])
{
	out[0] = l2 * (b - 1) * n;
	out[1] = l2 * n;
	for (int i = 0; i < n; i++, l += classes) {
		double most = l[0], sum = 0, mean = 0, square = 0;

		for (int c = 1; c < classes; c++)
			most = l[c] > most ? l[c] : most;
		for (int c = 0; c < classes; c++) {
			double e = exp(b * (l[c] - most));

			sum += e;
			mean += e * l[c];
			square += e * l[c] * l[c];
		}
		mean /= sum;
		out[0] += mean - l[label[i]];
		out[1] += square / sum - mean * mean;
	}
}

/* The slope grows with b: where a step of Newton leaves the bracket it is
 * halved instead. */
double nnr__fit_temperature(const double *l, const int *label, int n,
			    int classes, double l2)
{
	double low = COLD, high = 1 / COLD, b = 1, d[2];

	for (int round = 0; round < ROUNDS; round++) {
		double next;

		slope_at(l, label, n, classes, l2, b, d);
		if (d[0] > 0)
			high = b;
		else
			low = b;
		next = b - d[0] / d[1];
		if (!(next > low && next < high))
			next = sqrt(low * high);
		if (fabs(next - b) <= 1e-12 * b)
			break;
		b = next;
	}
	return -log(b);
}
