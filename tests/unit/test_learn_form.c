/* SPDX-License-Identifier: Apache-2.0
 *
 * test_learn_form.c: rows made of tensors (form.c) against the same formulas
 * written here plainly, in doubles, their gradients against central
 * differences of those, and what they start from.
 *
 * A difference over STEP = 1e-5 is off by STEP^2 f''' and 2^-52 f / STEP,
 * both below 1e-8 of the largest slope here.  What remains is fp32: the
 * longest way goes through three sums of at most 23 terms, each rounded by
 * 2^-24 of a partial sum within a few times the largest slope, and tanh
 * (5 ulp at most); LIMIT is 32 such roundings.
 */
#include "test.h"

#include <math.h>

#include "program/learn.h"

#define STEP 1e-5
#define LIMIT (32 * 0x1p-24)

enum { N = 5, IN = 7, COLS = 23, SIZE = 6, TENSORS = 5 };

static const struct { const char *name; nnr__form form; } forms[] = {
	{ "free", { NNR__FORM_FREE, 0 } },
	{ "low_rank", { NNR__FORM_LOW_RANK, SIZE } },
	{ "mlp", { NNR__FORM_MLP, SIZE } },
	{ "residual", { NNR__FORM_RESIDUAL, SIZE } },
};
#define FORMS (sizeof(forms) / sizeof(*forms))

static uint64_t seed = 3;

static float uniform(void)		/* -1 .. 1 */
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (float)((int)(seed >> 40) - (1 << 23)) * 0x1p-23f;
}

/* Rows of a form with its tensors, outside of a real program. */
struct one {
	nnr_program p;
	nnr__step s;
	char id[8];
	nnr__made made;
};

static void open_form(struct one *o, const nnr__form *form, size_t n,
		      size_t cols, bool learn)
{
	memset(o, 0, sizeof(*o));
	memcpy(o->id, "rows", 5);
	o->s.id = o->id;
	o->made.form = form;
	o->made.learn = learn;
	o->made.n = n;
	o->made.cols = cols;
	o->made.in = IN;
	o->made.dims = 2;
	o->made.dim[0] = (int64_t)n;
	o->made.dim[1] = (int64_t)cols;
	assert_int_equal(nnr__made_new(&o->made, &o->p, &o->s, NULL), 0);
}

static void close_form(struct one *o)
{
	nnr__made_release(&o->made);
	nnr__tensors_free(&o->p);
}

/* ---- the formulas in doubles ---- */

/* f = sum of d * rows, with the values of the tensors one after another in
 * v, in their order. */
struct formula {
	const struct one *o;
	const double *d;	/* [n][cols] */
	double *rows;
};

static double at(const double *w, size_t i, size_t cols, size_t k)
{
	return w[i * cols + k];
}

/* What rows and tensors rows, w1, b1, w2, b2 give at (r, c). */
static double layer(const nnr__made *m, const double *v, size_t r, size_t c)
{
	const size_t size = m->form->size, in = m->in;
	const double *w1 = v + m->n * in, *b1 = w1 + in * size;
	const double *w2 = b1 + size, *b2 = w2 + size * m->cols;
	double out = b2[c];

	for (size_t k = 0; k < size; k++) {
		double h = b1[k];
		for (size_t i = 0; i < in; i++)
			h += at(v, r, in, i) * at(w1, i, size, k);
		h = m->form->kind == NNR__FORM_MLP ? tanh(h) : fmax(h, 0);
		out += h * at(w2, k, m->cols, c);
	}
	if (m->form->kind == NNR__FORM_RESIDUAL)
		out += at(v, r, in, c);
	return out;
}

static double element(const nnr__made *m, const double *v, size_t r, size_t c)
{
	const size_t size = m->form->size;
	const double *b = v + m->n * size;
	double out;

	if (m->form->kind == NNR__FORM_FREE)
		return at(v, r, m->cols, c);
	if (m->form->kind != NNR__FORM_LOW_RANK)
		return layer(m, v, r, c);
	out = (double)m->base[r * m->cols + c];
	for (size_t k = 0; k < size; k++)
		out += at(v, r, size, k) * at(b, k, m->cols, c);
	return out;
}

static double value_of(const struct formula *f, const double *v)
{
	const nnr__made *m = &f->o->made;
	double sum = 0;

	for (size_t r = 0; r < m->n; r++)
		for (size_t c = 0; c < m->cols; c++) {
			size_t i = r * m->cols + c;
			f->rows[i] = element(m, v, r, c);
			sum += f->d[i] * f->rows[i];
		}
	return sum;
}

/* ---- gradients ---- */

/* Every value random, so that nothing hides behind a zero. */
static size_t shake(struct one *o, double *v)
{
	size_t n = 0;

	for (int t = 0; t < o->p.tensors; t++)
		for (size_t i = 0; i < o->p.tensor[t]->n; i++) {
			o->p.tensor[t]->value[i] = uniform();
			v[n++] = (double)o->p.tensor[t]->value[i];
		}
	return n;
}

static void check_rows(const char *name, const float *got,
		       const double *want, size_t n, double limit)
{
	double largest = 0, worst = 0;

	for (size_t i = 0; i < n; i++) {
		largest = fmax(largest, fabs(want[i]));
		worst = fmax(worst, fabs((double)got[i] - want[i]));
		assert_false(isnan(got[i]));
	}
	assert_true(largest > 0);
	if (worst > limit * largest)
		fail_msg("%s: off by %g of %g", name, worst, largest);
}

static void check_slopes(const char *name, const struct formula *f, double *v,
			 const nnr__ptensor *t, size_t first)
{
	double want[N * COLS + IN * COLS + COLS * COLS];

	for (size_t i = 0; i < t->n; i++) {
		double *x = &v[first + i], mid = *x, up, down;
		*x = mid + STEP;
		up = value_of(f, v);
		*x = mid - STEP;
		down = value_of(f, v);
		*x = mid;
		want[i] = (up - down) / (2 * STEP);
	}
	check_rows(name, t->grad, want, t->n, LIMIT);
}

static void gradients_are_slopes(void **state)
{
	double v[2000], d[N * COLS], rows[N * COLS];
	float made[N * COLS], grad[N * COLS], init[N * COLS];
	struct one o;

	(void)state;
	for (size_t k = 0; k < FORMS; k++) {
		struct formula f = { &o, d, rows };
		size_t first = 0;

		open_form(&o, &forms[k].form, N, COLS, true);
		for (size_t i = 0; i < N * COLS; i++) {
			init[i] = uniform();
			grad[i] = uniform();
			d[i] = (double)grad[i];
		}
		assert_int_equal(nnr__made_start(&o.made, init, 1, NULL), 0);
		assert_true(shake(&o, v) <= sizeof(v) / sizeof(*v));
		nnr__made_rows(&o.made, made);
		value_of(&f, v);
		check_rows(forms[k].name, made, rows, N * COLS, LIMIT);
		nnr__made_back(&o.made, grad);
		for (int t = 0; t < o.p.tensors; t++) {
			nnr__ptensor *one = o.p.tensor[t];
			check_slopes(one->name, &f, v, one, first);
			first += one->n;
		}
		close_form(&o);
	}
}

/* A second call adds; a form that is not learned has no gradient. */
static void gradients_add_up(void **state)
{
	float rows[N * COLS], grad[N * COLS], init[N * COLS];
	struct one o;

	(void)state;
	for (size_t k = 0; k < FORMS; k++) {
		double v[2000];
		float *once;

		open_form(&o, &forms[k].form, N, COLS, true);
		for (size_t i = 0; i < N * COLS; i++)
			init[i] = grad[i] = uniform();
		assert_int_equal(nnr__made_start(&o.made, init, 1, NULL), 0);
		shake(&o, v);
		nnr__made_rows(&o.made, rows);
		nnr__made_back(&o.made, grad);
		once = nnr__calloc(o.p.tensor[0]->n, sizeof(*once));
		memcpy(once, o.p.tensor[0]->grad,
		       o.p.tensor[0]->n * sizeof(*once));
		nnr__made_back(&o.made, grad);
		for (size_t i = 0; i < o.p.tensor[0]->n; i++)
			assert_true(fabsf(o.p.tensor[0]->grad[i] -
					  2 * once[i]) <=
				    1e-6f * (1 + fabsf(once[i])));
		free(once);
		close_form(&o);
		open_form(&o, &forms[k].form, N, COLS, false);
		assert_int_equal(nnr__made_start(&o.made, init, 1, NULL), 0);
		for (int t = 0; t < o.p.tensors; t++)
			assert_null(o.p.tensor[t]->grad);
		nnr__made_rows(&o.made, rows);
		nnr__made_back(&o.made, grad);
		close_form(&o);
	}
}

/* ---- the start ---- */

/* Initial rows around 3 and how far the rows are from them at the start:
 * root of the mean square, and the same of their mean row. */
static double start_error(const nnr__form *form, size_t n, double *mean_error)
{
	struct one o;
	float init[40 * COLS], rows[40 * COLS];
	double sum = 0, mean_sum = 0, count = (double)(n * COLS);

	open_form(&o, form, n, COLS, true);
	for (size_t i = 0; i < n * COLS; i++)
		init[i] = uniform() * 20 + 3;
	assert_int_equal(nnr__made_start(&o.made, init, 1, NULL), 0);
	nnr__made_rows(&o.made, rows);
	for (size_t c = 0; c < COLS; c++) {
		double mean = 0;
		for (size_t r = 0; r < n; r++)
			mean += (double)init[r * COLS + c] / (double)n;
		for (size_t r = 0; r < n; r++) {
			double v = (double)init[r * COLS + c];
			double off = (double)rows[r * COLS + c] - v;
			sum += off * off;
			mean_sum += (mean - v) * (mean - v);
		}
	}
	close_form(&o);
	if (mean_error)
		*mean_error = sqrt(mean_sum / count);
	return sqrt(sum / count);
}

/* Everything but the mlp starts at the rows' own bits.  The mlp solves for
 * them in doubles with 1e-6 of the mean eigenvalue added; the smallest of 5
 * eigenvalues of 64 random features is above a tenth of the mean, which is
 * 1e-5 of rows of 12, and fp32 has its share.  With fewer features than rows
 * it cannot give them all, but is nearer than their mean row. */
static void forms_start_at_init(void **state)
{
	const nnr__form wide = { NNR__FORM_MLP, 64 };
	const nnr__form few = { NNR__FORM_MLP, SIZE };
	double mean;

	(void)state;
	for (size_t k = 0; k < FORMS; k++)
		if (forms[k].form.kind != NNR__FORM_MLP)
			assert_true(start_error(&forms[k].form, N, NULL) ==
				    0);
	assert_true(start_error(&wide, N, NULL) < 2e-4);
	assert_true(start_error(&few, 40, &mean) < mean);
	assert_true(mean > 5);
	assert_true(start_error(&wide, 1, NULL) < 1e-6);  /* the mean row */
}

/* Without initial rows they are zeros, but learn: something of the first
 * gradient is not zero. */
static void forms_start_at_zero(void **state)
{
	float rows[N * COLS], grad[N * COLS];
	struct one o;

	(void)state;
	for (size_t k = 0; k < FORMS; k++) {
		double sum = 0;

		open_form(&o, &forms[k].form, N, COLS, true);
		assert_int_equal(nnr__made_start(&o.made, NULL, 1, NULL), 0);
		nnr__made_rows(&o.made, rows);
		for (size_t i = 0; i < N * COLS; i++) {
			assert_true(rows[i] == 0);
			grad[i] = 1;
		}
		nnr__made_back(&o.made, grad);
		for (int t = 0; t < o.p.tensors; t++)
			for (size_t i = 0; i < o.p.tensor[t]->n; i++)
				sum += fabs((double)o.p.tensor[t]->grad[i]);
		assert_true(sum > 0);
		close_form(&o);
	}
}

/* Seeds differ, names differ, the same is the same. */
static void starts_depend_on_the_seed(void **state)
{
	struct one a, b, c;
	float init[N * COLS] = { 1 };
	size_t bytes;

	(void)state;
	open_form(&a, &forms[1].form, N, COLS, true);
	open_form(&b, &forms[1].form, N, COLS, true);
	open_form(&c, &forms[1].form, N, COLS, true);
	nnr__made_start(&a.made, init, 1, NULL);
	nnr__made_start(&b.made, init, 1, NULL);
	nnr__made_start(&c.made, init, 2, NULL);
	bytes = a.made.w1->n * sizeof(float);
	assert_string_equal(a.made.w1->name, "rows.a");
	assert_memory_equal(a.made.w1->value, b.made.w1->value, bytes);
	assert_memory_not_equal(a.made.w1->value, c.made.w1->value, bytes);
	close_form(&a);
	close_form(&b);
	close_form(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gradients_are_slopes),
		cmocka_unit_test(gradients_add_up),
		cmocka_unit_test(forms_start_at_init),
		cmocka_unit_test(forms_start_at_zero),
		cmocka_unit_test(starts_depend_on_the_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
