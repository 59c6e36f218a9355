/* SPDX-License-Identifier: Apache-2.0
 *
 * form.c: how rows are made of the tensors that are learned.
 *
 *   free            the rows themselves
 *   {low_rank: R}   init + A B
 *   {mlp: M}        tanh(E W1 + b1) W2 + b2
 *   {residual: M}   P + relu(P W1 + b1) W2 + b2
 *
 * All of them start at the initial rows.  low_rank: A is uniform within
 * 1 / sqrt(R), B zero.  residual: P is init, W1 uniform within 1 / sqrt of
 * its inputs, the rest zero.  mlp: E is normal with deviation 1, W1 as there,
 * b2 the mean row, and W2 the matrix of least norm that gives what is left.
 *
 * Sums are fp32 in a fixed order: over inputs or rows ascending, or, where a
 * row meets a row, in 16 lanes.
 */
#include "program/learn.h"
#include "step.h"

#include <math.h>	/* sqrt: exact by definition */
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_ 65536.0
#define STRIP 512	/* columns of a product that stay in the cache */
#define DAMP 1e-6	/* of least squares, beside the mean square */

static const char *const kinds[] = { "free", "low_rank", "mlp", "residual",
				     NULL };

/* ---- reading ---- */

static int read_size(nnr__src *s, const nnr__ynode *c, nnr__form *f)
{
	char hint[120], *end = NULL;
	double v;

	for (f->kind = 1; kinds[f->kind]; f->kind++)
		if (strcmp(kinds[f->kind], c->key) == 0)
			break;
	if (!kinds[f->kind])
		return nnr__fail_key(s, c, "unknown key `%.60s` of `form`%s",
				     c->key, nnr__hint(hint, sizeof(hint),
						       c->key, kinds + 1));
	v = c->kind == NNR__Y_SCALAR ? strtod(c->text, &end) : 0;
	if (!(v >= 1) || v > SIZE_MAX_ || v != (double)(int)v || *end)
		return nnr__fail_node(s, c, "`%s` is an integer from 1 to "
				      "%.0f", c->key, SIZE_MAX_);
	f->size = (size_t)v;
	return 0;
}

static int read_form(nnr__src *s, const nnr__ynode *n, void *at)
{
	nnr__form *f = nnr__src_alloc(s, 1, sizeof(*f));

	if (!f)
		return NNR_E_MEMORY;
	*(nnr__form **)at = f;
	if (n->kind == NNR__Y_MAP && n->count == 1)
		return read_size(s, n->child, f);
	if (n->kind != NNR__Y_SCALAR || strcmp(n->text, "free") != 0)
		return nnr__fail_node(s, n, "`form` is free, {low_rank: R}, "
				      "{mlp: M} or {residual: M}");
	return 0;
}

static void json_form(const void *at, nnr__buf *out)
{
	const nnr__form *f = *(nnr__form *const *)at;

	if (f->kind == NNR__FORM_FREE)
		nnr__buf_adds(out, "\"free\"");
	else
		nnr__buf_addf(out, "{\"%s\":%zu}", kinds[f->kind], f->size);
}

const nnr__own nnr__form_type = {
	.text = "free, {low_rank: R}, {mlp: M} or {residual: M}",
	.schema = "\"type\":[\"string\",\"object\"]",
	.read = read_form, .json = json_form
};

/* ---- products ---- */

/* y += x w, with x [n][in] and w [in][cols]. */
static void times(const float *x, size_t n, size_t in, const float *w,
		  size_t cols, float *y)
{
	for (size_t c0 = 0; c0 < cols; c0 += STRIP) {
		size_t end = cols - c0 < STRIP ? cols - c0 : STRIP;

		for (size_t k = 0; k < in; k++)
			for (size_t r = 0; r < n; r++) {
				const float *from = w + k * cols + c0;
				float *restrict to = y + r * cols + c0;
				float a = x[r * in + k];

				for (size_t c = 0; c < end; c++)
					to[c] += a * from[c];
			}
	}
}

float nnr__dot(const float *a, const float *b, size_t n)
{
	float lane[16] = { 0 };
	double sum = 0;
	size_t i = 0;

	for (; i + 16 <= n; i += 16)
		for (size_t l = 0; l < 16; l++)
			lane[l] += a[i + l] * b[i + l];
	for (size_t l = 0; i + l < n; l++)
		lane[l] += a[i + l] * b[i + l];
	for (size_t l = 0; l < 16; l++)
		sum += (double)lane[l];
	return (float)sum;
}

/* dx += dy w^T. */
static void times_back(const float *dy, size_t n, size_t cols,
		       const float *w, size_t in, float *dx)
{
	for (size_t k = 0; k < in; k++)
		for (size_t r = 0; r < n; r++)
			dx[r * in + k] += nnr__dot(dy + r * cols,
						   w + k * cols, cols);
}

/* dw += x^T dy. */
static void weight_back(const float *x, size_t n, size_t in, const float *dy,
			size_t cols, float *dw)
{
	nnr__kernels_best()->outer(x, in, (int)in, dy, cols, (int)cols,
				   (int)n, dw, cols);
}

/* y[r] += b, or b += sum over r of y[r]. */
static void add_row(const float *b, size_t n, size_t cols, float *y)
{
	for (size_t r = 0; r < n; r++)
		for (size_t c = 0; c < cols; c++)
			y[r * cols + c] += b[c];
}

static void sum_rows(const float *y, size_t n, size_t cols, float *b)
{
	for (size_t r = 0; r < n; r++)
		for (size_t c = 0; c < cols; c++)
			b[c] += y[r * cols + c];
}

/* ---- the layer between ---- */

/* Below 0.625 a polynomial (Cephes), for 1 - 2 / (e + 1) has few digits
 * there. */
static float tanh_of(float x)
{
	float a = x < 0 ? -x : x, z = x * x, p;

	if (a >= 0.625f) {
		p = 1 - 2 / (nnr__exp(2 * a) + 1);
		return x < 0 ? -p : p;
	}
	p = -5.70498872745e-3f;
	p = p * z + 2.06390887954e-2f;
	p = p * z - 5.37397155531e-2f;
	p = p * z + 1.33314422036e-1f;
	p = p * z - 3.33332819422e-1f;
	return p * z * x + x;
}

static void hidden_rows(nnr__made *m)
{
	size_t size = m->form->size;

	memset(m->h, 0, m->n * size * sizeof(*m->h));
	times(m->rows->value, m->n, m->in, m->w1->value, size, m->h);
	add_row(m->b1->value, m->n, size, m->h);
	for (size_t i = 0; i < m->n * size; i++)
		if (m->form->kind == NNR__FORM_MLP)
			m->h[i] = tanh_of(m->h[i]);
		else
			m->h[i] = m->h[i] > 0 ? m->h[i] : 0;
}

static void hidden_back(nnr__made *m, const float *grad)
{
	size_t size = m->form->size;

	memset(m->dh, 0, m->n * size * sizeof(*m->dh));
	times_back(grad, m->n, m->cols, m->w2->value, size, m->dh);
	for (size_t i = 0; i < m->n * size; i++)
		if (m->form->kind == NNR__FORM_MLP)
			m->dh[i] *= 1 - m->h[i] * m->h[i];
		else
			m->dh[i] = m->h[i] > 0 ? m->dh[i] : 0;
	weight_back(m->rows->value, m->n, m->in, m->dh, size, m->w1->grad);
	sum_rows(m->dh, m->n, size, m->b1->grad);
	times_back(m->dh, m->n, size, m->w1->value, m->in, m->rows->grad);
}

/* ---- rows, and back ---- */

static void add_to(float *to, const float *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] += from[i];
}

void nnr__made_rows(nnr__made *m, float *out)
{
	const nnr__form *f = m->form;
	size_t values = m->n * m->cols;
	const float *start = f->kind == NNR__FORM_LOW_RANK ? m->base :
			     f->kind == NNR__FORM_MLP ? NULL :
			     m->rows->value;

	if (start)
		memcpy(out, start, values * sizeof(*out));
	else
		memset(out, 0, values * sizeof(*out));
	if (f->kind == NNR__FORM_LOW_RANK)
		times(m->w1->value, m->n, f->size, m->w2->value, m->cols,
		      out);
	if (!m->h)
		return;
	hidden_rows(m);
	times(m->h, m->n, f->size, m->w2->value, m->cols, out);
	add_row(m->b2->value, m->n, m->cols, out);
}

void nnr__made_back(nnr__made *m, const float *grad)
{
	const nnr__form *f = m->form;

	if (!m->learn)
		return;
	if (f->kind == NNR__FORM_FREE || f->kind == NNR__FORM_RESIDUAL)
		add_to(m->rows->grad, grad, m->n * m->cols);
	if (f->kind == NNR__FORM_LOW_RANK) {
		times_back(grad, m->n, m->cols, m->w2->value, f->size,
			   m->w1->grad);
		weight_back(m->w1->value, m->n, f->size, grad, m->cols,
			    m->w2->grad);
	}
	if (!m->h)
		return;
	weight_back(m->h, m->n, f->size, grad, m->cols, m->w2->grad);
	sum_rows(grad, m->n, m->cols, m->b2->grad);
	hidden_back(m, grad);
}

/* ---- the tensors ---- */

static bool matrix(nnr__made *m, nnr_program *p, nnr__step *s,
		   const char *part, size_t rows, size_t cols,
		   nnr__ptensor **t, nnr_error *err)
{
	int64_t dim[] = { (int64_t)rows, (int64_t)cols };

	*t = nnr__tensor_add(p, s, part, rows ? 2 : 1, rows ? dim : dim + 1,
			     m->learn, err);
	return *t != NULL;
}

static bool layer_tensors(nnr__made *m, nnr_program *p, nnr__step *s,
			  nnr_error *err)
{
	size_t size = m->form->size;

	return matrix(m, p, s, "rows", m->n, m->in, &m->rows, err) &&
	       matrix(m, p, s, "w1", m->in, size, &m->w1, err) &&
	       matrix(m, p, s, "b1", 0, size, &m->b1, err) &&
	       matrix(m, p, s, "w2", size, m->cols, &m->w2, err) &&
	       matrix(m, p, s, "b2", 0, m->cols, &m->b2, err);
}

int nnr__made_new(nnr__made *m, nnr_program *p, nnr__step *s, nnr_error *err)
{
	const nnr__form *f = m->form;
	size_t hidden = m->n * f->size;
	bool ok;

	nnr__made_release(m);
	if (f->kind == NNR__FORM_FREE) {
		m->rows = nnr__tensor_add(p, s, NULL, m->dims, m->dim,
					  m->learn, err);
		return m->rows ? 0 : NNR_E_MEMORY;
	}
	if (f->kind == NNR__FORM_RESIDUAL)
		m->in = m->cols;
	if (f->kind == NNR__FORM_LOW_RANK) {
		m->base = nnr__calloc(m->n * m->cols, sizeof(*m->base));
		ok = m->base &&
		     matrix(m, p, s, "a", m->n, f->size, &m->w1, err) &&
		     matrix(m, p, s, "b", f->size, m->cols, &m->w2, err);
	} else {
		m->h = nnr__calloc(hidden, sizeof(*m->h));
		m->dh = nnr__calloc(hidden, sizeof(*m->dh));
		ok = m->h && m->dh && layer_tensors(m, p, s, err);
	}
	return ok ? 0 : nnr__fail_memory(err, "rows", m->n * m->cols);
}

void nnr__made_release(nnr__made *m)
{
	free(m->base);
	free(m->h);
	free(m->dh);
	m->base = m->h = m->dh = NULL;
}

/* ---- the start ---- */

static void uniform(nnr__ptensor *t, uint64_t seed, size_t inputs)
{
	uint64_t stream = nnr__hash64(t->name, strlen(t->name), 0);
	double bound = 1 / sqrt((double)inputs);

	for (size_t i = 0; i < t->n; i++)
		t->value[i] = (float)(bound * (2 * nnr__rng_uniform(seed,
				      stream, i) - 1));
}

/* g = L L^T, in place below the diagonal; g is positive. */
static void cholesky(double *g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++) {
			double v = g[i * n + j];

			for (size_t k = 0; k < j; k++)
				v -= g[i * n + k] * g[j * n + k];
			g[i * n + j] = i == j ? sqrt(v) : v / g[j * n + j];
		}
}

/* z = g^-1 z, by the factor of cholesky; z has `cols` columns. */
static void solve(const double *g, size_t n, double *z, size_t cols)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			for (size_t c = 0; c < cols; c++)
				z[i * cols + c] -= g[i * n + k] *
						   z[k * cols + c];
		for (size_t c = 0; c < cols; c++)
			z[i * cols + c] /= g[i * n + i];
	}
	for (size_t i = n; i-- > 0; ) {
		for (size_t k = i + 1; k < n; k++)
			for (size_t c = 0; c < cols; c++)
				z[i * cols + c] -= g[k * n + i] *
						   z[k * cols + c];
		for (size_t c = 0; c < cols; c++)
			z[i * cols + c] /= g[i * n + i];
	}
}

/* h h^T, with its diagonal a little larger. */
static void gram(const nnr__made *m, double *g)
{
	size_t n = m->n, size = m->form->size;
	double trace = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++) {
			double sum = 0;

			for (size_t k = 0; k < size; k++)
				sum += (double)m->h[i * size + k] *
				       (double)m->h[j * size + k];
			g[i * n + j] = sum;
			trace += i == j ? sum : 0;
		}
	for (size_t i = 0; i < n; i++)
		g[i * n + i] += DAMP * trace / (double)n;
}

static void mean_row(nnr__made *m, const float *init, double *z)
{
	for (size_t c = 0; c < m->cols; c++) {
		double sum = 0;

		for (size_t r = 0; r < m->n; r++)
			sum += (double)init[r * m->cols + c];
		m->b2->value[c] = (float)(sum / (double)m->n);
		for (size_t r = 0; r < m->n; r++)
			z[r * m->cols + c] = (double)init[r * m->cols + c] -
					     (double)m->b2->value[c];
	}
}

/* b2 + h W2 = init, with the W2 of least norm: h^T (h h^T)^-1 (init - b2). */
static int fit_layer(nnr__made *m, const float *init, nnr_error *err)
{
	size_t n = m->n, cols = m->cols, size = m->form->size;
	double *g = nnr__calloc(n * n + (n + 1) * cols, sizeof(*g));
	double *z, *sum;

	if (!g)
		return nnr__fail_memory(err, "initial rows", n * n);
	z = g + n * n;
	sum = z + n * cols;
	mean_row(m, init, z);
	gram(m, g);
	cholesky(g, n);
	solve(g, n, z, cols);
	for (size_t k = 0; k < size; k++) {
		memset(sum, 0, cols * sizeof(*sum));
		for (size_t r = 0; r < n; r++)
			for (size_t c = 0; c < cols; c++)
				sum[c] += (double)m->h[r * size + k] *
					  z[r * cols + c];
		for (size_t c = 0; c < cols; c++)
			m->w2->value[k * cols + c] = (float)sum[c];
	}
	free(g);
	return 0;
}

int nnr__made_start(nnr__made *m, const float *init, uint64_t seed,
		    nnr_error *err)
{
	size_t bytes = m->n * m->cols * sizeof(*init);

	switch (m->form->kind) {
	case NNR__FORM_LOW_RANK:
		if (init)
			memcpy(m->base, init, bytes);
		uniform(m->w1, seed, m->form->size);
		return 0;
	case NNR__FORM_MLP:
		nnr__normal_rows(1, seed, nnr__hash64(m->rows->name,
				 strlen(m->rows->name), 0), m->rows->n,
				 m->rows->value);
		uniform(m->w1, seed, m->in);
		hidden_rows(m);
		return init ? fit_layer(m, init, err) : 0;
	case NNR__FORM_RESIDUAL:
		uniform(m->w1, seed, m->in);
		break;
	default:
		break;
	}
	if (init)
		memcpy(m->rows->value, init, bytes);
	return 0;
}
