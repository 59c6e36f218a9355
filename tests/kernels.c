/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels: every path this CPU runs against the generic one, bit for bit,
 * on random shapes and special values; that neither the number of rows nor
 * a split of the columns changes a result; and the generic one against
 * doubles, so that the specification is tested too.
 */
#define _DEFAULT_SOURCE	/* MAP_ANONYMOUS */
#include "kernels.h"

/* ---- products ---- */

static nnr__codes codes_new(int rows, int cols)
{
	size_t n = (size_t)rows * (size_t)cols, b = n / 32 * 4;

	return (nnr__codes){ room(n), room(n), room(b), room(b), room(b),
			     room(b), room(b), cols };
}

static void codes_free(nnr__codes *c)
{
	free(c->hi);
	free(c->lo);
	free(c->d);
	free(c->sum1);
	free(c->sum2);
	free(c->isum);
	free(c->isum_lo);
}

static void test_unpack(const nnr__kernels *k, nnr__dtype type)
{
	nnr__mat w;
	float a[1600], b[1600];
	bool ok = true;
	char what[48];

	for (int i = 0; i < 30; i++) {
		int n = 32 * between(1, 50);
		if (!nnr__dtypes[type].coded)
			n = between(1, 1600);
		guarded g = matrix(&w, type, 1, n);
		memset(a, 0x55, sizeof a);
		memset(b, 0x55, sizeof b);
		ref->unpack(type, g.p, n, a);
		k->unpack(type, g.p, n, b);
		ok = ok && memcmp(a, b, sizeof a) == 0;
		guarded_free(&g);
	}
	snprintf(what, sizeof what, "%s, 30 rows", nnr__dtypes[type].name);
	report("unpack", what, k->name, 0, ok);
}

typedef struct {		/* one product, fp32 or codes */
	nnr__mat w;
	const float *x;
	const nnr__codes *codes;
	int row0, rows, terms;	/* terms 0: fp32 */
	size_t ldx, ldy;
	bool add;
} product;

static void run(const nnr__kernels *k, const product *p, int n0, int n1,
		int r0, int rows, float *y)
{
	if (p->terms)
		k->linear_i8(&p->w, n0, n1, p->codes, p->row0 + r0, rows,
			     p->terms, y, p->ldy, p->add, scratch);
	else
		k->linear(&p->w, n0, n1, p->x + (size_t)r0 * p->ldx, p->ldx,
			  rows, y, p->ldy, p->add, scratch);
}

/* Generic on everything; the path on everything and in pieces. */
static bool product_same(const nnr__kernels *k, const product *p)
{
	size_t n = p->ldy * (size_t)p->rows;
	float *a = room(n * 4), *b = room(n * 4), *c = room(n * 4);
	int n0 = 16 * between(0, p->w.rows / 16 - 1), n1 = p->w.rows;
	int cut = n0 + 16 * between(0, (n1 - n0) / 16), r = 0;

	fill(a, n, 1);
	memcpy(b, a, n * 4);
	memcpy(c, a, n * 4);
	run(ref, p, n0, n1, 0, p->rows, a);
	run(k, p, n0, n1, 0, p->rows, b);
	while (r < p->rows) {
		int h = between(1, p->rows - r);
		float *y = c + (size_t)r * p->ldy;
		if (cut > n0)
			run(k, p, n0, cut, r, h, y);
		if (n1 > cut)
			run(k, p, cut, n1, r, h, y);
		r += h;
	}
	bool ok = same(a, b, n) && same(a, c, n);
	free(a);
	free(b);
	free(c);
	return ok;
}

static double product_ratio(const nnr__kernels *k, const product *p)
{
	float *y = room(p->ldy * (size_t)p->rows * 4);
	double slow, fast;

	BEST(slow, run(ref, p, 0, p->w.rows, 0, p->rows, y));
	BEST(fast, run(k, p, 0, p->w.rows, 0, p->rows, y));
	free(y);
	return slow / fast;
}

/* One random case with `rows` rows; measures instead if ratio. */
static bool product_case(const nnr__kernels *k, nnr__dtype type, int terms,
			 int rows, bool odd, double *ratio)
{
	int unit = nnr__dtypes[type].coded || terms ? 32 : 1;
	int cols = unit * between(1, 320 / unit), n = 16 * between(1, 9);
	product p = { .rows = rows, .terms = terms, .add = rnd() & 1 };

	if (ratio) {
		cols = 576;
		n = 192;
	}
	guarded g = matrix(&p.w, type, n, cols);
	p.ldx = (size_t)(cols + between(0, 9));
	p.ldy = (size_t)(n + between(0, 9));
	p.row0 = between(0, 3);
	float *x = room(p.ldx * (size_t)(rows + 3) * 4);
	nnr__codes c = codes_new(rows + 3, cols / 32 * 32);
	fill(x, p.ldx * (size_t)(rows + 3), 3);
	if (odd)
		spoil(x, p.ldx * (size_t)(rows + 3));
	if (terms)
		for (int r = 0; r < rows + 3; r++)
			ref->encode(x + (size_t)r * p.ldx, cols, &c, r, 0);
	p.x = x;
	p.codes = &c;
	bool ok = true;
	if (ratio)
		*ratio = product_ratio(k, &p);
	else
		ok = product_same(k, &p);
	codes_free(&c);
	free(x);
	guarded_free(&g);
	return ok;
}

static void test_product(const nnr__kernels *k, nnr__dtype type, int terms)
{
	double ratio;
	bool ok = true;
	char what[48];

	for (int rows = 1; rows <= 40; rows++)
		ok = product_case(k, type, terms, rows, rows % 8 == 7, NULL)
			&& ok;
	product_case(k, type, terms, 32, false, &ratio);
	snprintf(what, sizeof what, terms ? "%s, 1..40 rows, terms %d" :
		 "%s, 1..40 rows", nnr__dtypes[type].name, terms);
	report(terms ? "linear_i8" : "linear", what, k->name, ratio, ok);
}

static void test_shape(const nnr__kernels *k, const char *what, int terms,
		       int rows, int cols, int n, int ldy)
{
	product p = { .rows = rows, .terms = terms, .ldx = (size_t)cols,
		      .ldy = (size_t)ldy };
	guarded g = matrix(&p.w, NNR__Q8_0, n, cols);
	nnr__codes c = codes_new(rows, cols);
	float *x = room((size_t)(rows * cols) * 4);

	fill(x, (size_t)(rows * cols), 3);
	for (int r = 0; r < rows; r++)
		ref->encode(x + r * cols, cols, &c, r, 0);
	p.x = x;
	p.codes = &c;
	report(terms ? "linear_i8" : "linear", what, k->name, 0,
	       product_same(k, &p));
	codes_free(&c);
	free(x);
	guarded_free(&g);
}

static void test_encode(const nnr__kernels *k)
{
	enum { N = 1600 };
	float *x = room(N * 4);
	nnr__codes a = codes_new(3, N), b = codes_new(3, N);
	bool ok = true;
	double slow, fast;

	for (int i = 0; i < 40; i++) {
		int n = 32 * between(1, N / 32);
		int c0 = 32 * between(0, (N - n) / 32), row = i % 3;
		fill(x, N, i % 5 ? 10.0f : 1e-29f);
		if (i % 4 == 3)
			spoil(x, N);
		if (i % 7 == 0)
			memset(x, 0, 128);
		ref->encode(x, n, &a, row, c0);
		k->encode(x, n, &b, row, c0);
		size_t at = (size_t)(row * N + c0), s = at / 32;
		size_t len = (size_t)n, m = len / 32;
		ok = ok && !memcmp(a.hi + at, b.hi + at, len) &&
			!memcmp(a.lo + at, b.lo + at, len) &&
			!memcmp(a.isum + s, b.isum + s, m * 4) &&
			!memcmp(a.isum_lo + s, b.isum_lo + s, m * 4) &&
			same(a.d + s, b.d + s, m) &&
			same(a.sum1 + s, b.sum1 + s, m) &&
			same(a.sum2 + s, b.sum2 + s, m);
	}
	fill(x, N, 1);
	BEST(slow, ref->encode(x, N, &a, 0, 0));
	BEST(fast, k->encode(x, N, &b, 0, 0));
	report("encode", "40 rows, zeros, tiny, inf, nan", k->name,
	       slow / fast, ok);
	codes_free(&a);
	codes_free(&b);
	free(x);
}

/* ---- row-wise ---- */

enum { VEC = 3000 };

static void test_rmsnorm(const nnr__kernels *k, float *x, float *u, float *a,
			 float *b)
{
	double slow, fast;
	bool ok = true;

	for (int i = 0; i < 60; i++) {
		int n = between(1, VEC);
		fill(x, VEC, i % 2 ? 3.0f : 1e-3f);
		fill(u, VEC, 2);
		if (i % 6 == 5)
			spoil(x, VEC);
		ref->rmsnorm(x, u, n, 1e-5f, a);
		k->rmsnorm(x, u, n, 1e-5f, b);
		ok = ok && same(a, b, VEC);
	}
	BEST(slow, ref->rmsnorm(x, u, 2048, 1e-5f, a));
	BEST(fast, k->rmsnorm(x, u, 2048, 1e-5f, b));
	report("rmsnorm", "60 rows of 1..3000", k->name, slow / fast, ok);
}

static void test_rope(const nnr__kernels *k, float *x, float *a, float *b)
{
	double slow, fast;
	bool ok = true;
	float inv[128], cs[256];

	for (int i = 0; i < 60; i++) {
		int dim = 2 * between(1, 128), heads = between(1, 11);
		nnr__rope_freqs(inv, dim, 10000);
		nnr__rope_row(cs, inv, dim, between(0, 100000));
		fill(x, VEC, 3);
		if (i % 6 == 5)
			spoil(x, VEC);
		memcpy(a, x, VEC * 4);
		memcpy(b, x, VEC * 4);
		ref->rope(a, heads, dim, cs);
		k->rope(b, heads, dim, cs);
		ok = ok && same(a, b, VEC);
	}
	BEST(slow, ref->rope(a, 9, 64, cs));
	BEST(fast, k->rope(b, 9, 64, cs));
	report("rope", "60 rows, dim 2..256", k->name, slow / fast, ok);
}

static void test_swiglu(const nnr__kernels *k, float *x, float *u, float *a,
			float *b)
{
	double slow, fast;
	bool ok = true;

	for (int i = 0; i < 60; i++) {
		int n = between(1, VEC);
		fill(x, VEC, i % 3 ? 8.0f : 100.0f);
		fill(u, VEC, 2);
		if (i % 6 == 5)
			spoil(x, VEC);
		ref->swiglu(x, u, n, a);
		k->swiglu(x, u, n, b);
		ok = ok && same(a, b, VEC);
	}
	fill(x, VEC, 8);
	BEST(slow, ref->swiglu(x, u, VEC, a));
	BEST(fast, k->swiglu(x, u, VEC, b));
	report("swiglu", "60 rows of 1..3000", k->name, slow / fast, ok);
}

static void test_logsumexp(const nnr__kernels *k, float *x)
{
	double slow, fast;
	bool ok = true;
	int i1, i2;

	for (int i = 0; i < 100; i++) {
		int n = i < 40 ? i + 1 : between(1, VEC);
		fill(x, VEC, i % 3 ? 20.0f : 200.0f);
		if (i % 10 == 9)
			spoil(x, VEC);
		for (int j = 0; i % 5 == 4 && j < VEC; j++)
			x[j] = floorf(x[j] / 8);	/* ties */
		float a = ref->logsumexp(x, n, &i1);
		float b = k->logsumexp(x, n, &i2);
		ok = ok && same(&a, &b, 1) && i1 == i2;
	}
	fill(x, VEC, 8);
	BEST(slow, ref->logsumexp(x, VEC, &i1));
	BEST(fast, k->logsumexp(x, VEC, &i2));
	report("logsumexp", "100 rows of 1..3000, ties", k->name,
	       slow / fast, ok);
}

static void test_vec(const nnr__kernels *k)
{
	float *v[4];

	for (int i = 0; i < 4; i++) {
		v[i] = room(VEC * 4);
		memset(v[i], 0, VEC * 4);
	}
	test_rmsnorm(k, v[0], v[1], v[2], v[3]);
	test_rope(k, v[0], v[2], v[3]);
	test_swiglu(k, v[0], v[1], v[2], v[3]);
	test_logsumexp(k, v[0]);
	for (int i = 0; i < 4; i++)
		free(v[i]);
}

/* ---- attention ---- */

/* Generic on all; the path on all and in runs of rows. */
static bool job_same(const nnr__kernels *k, const job *j)
{
	nnr__attn a = j->a;
	float *want = room(j->size * 4), *got = room(j->size * 4);
	float lse[2][40 * 7];
	size_t lses = (size_t)(a.rows * (a.heads + 2));
	bool ok;

	memset(want, 0, j->size * 4);
	memset(got, 0, j->size * 4);
	memset(lse, 0, sizeof lse);
	a.ldlse = (size_t)(a.heads + 2);
	a.o = want;
	a.lse = lse[0];
	ref->attention(&a, scratch);
	a.o = got;
	a.lse = lse[1];
	k->attention(&a, scratch);
	ok = same(want, got, j->size) && same(lse[0], lse[1], lses);
	a.lse = NULL;
	memset(got, 0, j->size * 4);
	for (int r = 0; r < j->a.rows; r += a.rows) {
		a.rows = between(1, j->a.rows - r);
		a.q = j->a.q + (size_t)r * a.ldq;
		a.o = got + (size_t)r * a.ldo;
		a.pos0 = j->a.pos0 + r;
		k->attention(&a, scratch);
	}
	ok = ok && same(want, got, j->size);
	free(want);
	free(got);
	return ok;
}

/* What later positions hold, NaN and inf included, must not show. */
static bool job_causal(const nnr__kernels *k, job *j)
{
	nnr__attn a = j->a;
	size_t n = a.ldo * (size_t)(a.rows / 2), dim = (size_t)a.dim;
	float *want = room(j->size * 4);
	int from = a.pos0 + a.rows / 2;

	k->attention(&a, scratch);
	memcpy(want, a.o, j->size * 4);
	for (int pos = from; pos < a.pos0 + a.rows; pos++)
		for (size_t d = 0; d < dim; d++) {
			size_t s = (size_t)pos % NNR__PAGE;
			int p = pos / NNR__PAGE;
			j->kt[p][d * NNR__PAGE + s] = d & 1 ? NAN : INFINITY;
			j->v[p][s * dim + d] = d & 1 ? -INFINITY : NAN;
		}
	k->attention(&a, scratch);
	bool ok = memcmp(want, a.o, n * 4) == 0;
	free(want);
	return ok;
}

static void test_attention(const nnr__kernels *k)
{
	double slow, fast;
	bool ok = true;
	job j;

	for (int i = 0; i < 40; i++) {
		int rows = i % 4 ? between(1, 40) : 1;
		int dim = 16 * between(1, i % 8 ? 6 : 16);
		int pos0 = i % 3 ? between(0, 130) : 64 * between(0, 2);
		job_new(&j, rows, between(1, 5), dim, pos0);
		if (i % 9 == 8)
			spoil(j.q, j.size);
		ok = job_same(k, &j) && ok;
		ok = job_causal(k, &j) && ok;
		job_free(&j);
	}
	job_new(&j, 64, 3, 64, 192);
	BEST(slow, ref->attention(&j.a, scratch));
	BEST(fast, k->attention(&j.a, scratch));
	job_free(&j);
	report("attention", "40 jobs, NaN in unused slots", k->name,
	       slow / fast, ok);
}

/* ---- the specification against doubles ---- */

static void accuracy_math(void)
{
	double worst = 0, worst_log = 0;
	float e;

	for (float x = -87; x < 88; x += 0.00037f) {
		double want = exp((double)x);
		double ulp = ldexp(1, ilogb(want) - 23);
		worst = fmax(worst, fabs((double)nnr__exp(x) - want) / ulp);
	}
	accuracy("exp over [-87, 88], ulp", worst, 2);
	for (float x = 1e-38f; x < 1e38f; x *= 1.0007f) {
		double want = log((double)x);
		worst_log = fmax(worst_log, fabs((double)nnr__log(x) - want) /
				 fmax(fabs(want), 1e-7));
	}
	accuracy("log, relative (rounding: 6e-8)", worst_log, 6.1e-8);
	e = nnr__exp(-1000);
	bool edges = e == 0 && nnr__exp(89) == INFINITY && nnr__exp(0) == 1 &&
		isnan(nnr__exp(NAN)) && nnr__log(0) == -INFINITY &&
		isnan(nnr__log(-1)) && nnr__log(1) == 0;
	accuracy("exp and log at 0, 1, -1, inf, nan: wrong", !edges, 0);
}

static void accuracy_half(void)
{
	int wrong = 0;

	for (int h = 0; h < 0x7c00; h++) {
		int e = h >> 10, f = h & 1023;
		double want = e ? ldexp(1024 + f, e - 25) : ldexp(f, -24);
		wrong += (double)nnr__half((uint16_t)h) != want;
		wrong += (double)nnr__half((uint16_t)(h | 0x8000)) != -want;
	}
	wrong += nnr__half(0x7c00) != INFINITY || !isnan(nnr__half(0x7e00));
	accuracy("half, wrong of 63488", wrong, 0);
}

static void accuracy_rope(void)
{
	float inv[64], cs[128];
	double worst = 0, worst_freq = 0;

	nnr__rope_freqs(inv, 128, 1e6);
	for (int i = 0; i < 64; i++) {
		double want = pow(1e6, -i / 64.0);
		worst_freq = fmax(worst_freq,
				  fabs((double)inv[i] - want) / want);
	}
	accuracy("rope frequencies, relative (rounding: 6e-8)", worst_freq,
		 6.1e-8);
	for (int pos = 0; pos < 1000000; pos += 997) {
		nnr__rope_row(cs, inv, 128, pos);
		for (int i = 0; i < 64; i++) {
			double a = (double)((float)pos * inv[i]);
			worst = fmax(worst, fabs((double)cs[2 * i] - cos(a)));
			worst = fmax(worst,
				     fabs((double)cs[2 * i + 1] - sin(a)));
		}
	}
	accuracy("rope table, absolute (rounding: 3e-8)", worst, 3.1e-8);
}

/* Error of y against doubles, over sum |x||w|: each of K roundings is at
 * most 2^-24 of a partial sum, so K 2^-24 bounds it; they go either way, so
 * sqrt(K) 2^-24 is a generous limit of what to expect. */
static void accuracy_linear(nnr__dtype type)
{
	enum { K = 576, N = 64 };
	nnr__mat w;
	guarded g = matrix(&w, type, N, K);
	float x[K], row[K], y[N], yi[2][N];
	nnr__codes c = codes_new(1, K);
	double worst = 0, coded[2] = { 0, 0 };
	char what[64];
	const char *name = nnr__dtypes[type].name;

	fill(x, K, 1);
	ref->encode(x, K, &c, 0, 0);
	ref->linear(&w, 0, N, x, K, 1, y, N, false, scratch);
	for (int t = 0; t < 2 && nnr__dtypes[type].coded; t++)
		ref->linear_i8(&w, 0, N, &c, 0, 1, t + 1, yi[t], N, false,
			       scratch);
	for (int n = 0; n < N; n++) {
		double s = 0, size = 0, s2[2] = { 0, 0 };
		ref->unpack(type, g.p + (size_t)n * w.row_bytes, K, row);
		for (int k = 0; k < K; k++) {
			double d = c.d[k / 32], r = row[k];
			s += r * x[k];
			size += fabs(r * x[k]);
			s2[0] += r * d * c.hi[k];
			s2[1] += r * d * (c.hi[k] + c.lo[k] / 254.0);
		}
		worst = fmax(worst, fabs((double)y[n] - s) / size);
		for (int t = 0; t < 2 && nnr__dtypes[type].coded; t++)
			coded[t] = fmax(coded[t], fabs((double)yi[t][n] -
						       s2[t]) / size);
	}
	snprintf(what, sizeof what, "linear %s / sum |x||w|", name);
	accuracy(what, worst, sqrt(K) * 0x1p-24);
	for (int t = 0; t < 2 && nnr__dtypes[type].coded; t++) {
		snprintf(what, sizeof what,
			 "linear_i8 %s, terms %d, of the coded x", name,
			 t + 1);
		accuracy(what, coded[t], sqrt(K) * 0x1p-24);
	}
	codes_free(&c);
	guarded_free(&g);
}

/* Half a step of the code, and the roundings of t and d. */
static void accuracy_encode(void)
{
	enum { N = 3200 };
	float *x = room(N * 4);
	nnr__codes c = codes_new(1, N);
	double one = 0, two = 0, sums = 0;

	fill(x, N, 5);
	ref->encode(x, N, &c, 0, 0);
	for (int b = 0; b < N / 32; b++) {
		double d = c.d[b], v1 = 0, v2 = 0;
		for (int i = 32 * b; i < 32 * b + 32; i++) {
			double h = c.hi[i], l = c.lo[i], v = x[i];
			one = fmax(one, fabs(v - d * h) / d);
			two = fmax(two, fabs(v - d * (h + l / 254)) / d);
			v1 += d * h;
			v2 += d * (h + l / 254);
		}
		d *= 32 * 127;
		sums = fmax(sums, fabs((double)c.sum1[b] - v1) / d);
		sums = fmax(sums, fabs((double)c.sum2[b] - v2) / d);
	}
	accuracy("encode, one term, in steps d", one, 0.5 + 127 * 0x1p-22);
	accuracy("encode, two terms, in steps d", two,
		 0.5 / 254 + 127 * 0x1p-22);
	accuracy("encode, sums, relative", sums, 0x1p-22);
	codes_free(&c);
	free(x);
}

/* The exact softmax of one query and head. */
static void softmax_row(const nnr__attn *a, const float *q, int keys,
			double *out, double *size)
{
	double s[MAX_PAGES * NNR__PAGE], top = -INFINITY, sum = 0;

	for (int j = 0; j < keys; j++) {
		s[j] = 0;
		for (int d = 0; d < a->dim; d++)
			s[j] += (double)q[d] * (double)
				a->kt[j / 64][d * NNR__PAGE + j % 64];
		s[j] *= (double)a->scale;
		top = fmax(top, s[j]);
	}
	for (int j = 0; j < keys; j++)
		sum += s[j] = exp(s[j] - top);
	for (int d = 0; d < a->dim; d++) {
		out[d] = size[d] = 0;
		for (int j = 0; j < keys; j++) {
			double v = a->v[j / 64][j % 64 * a->dim + d];
			out[d] += s[j] / sum * v;
			size[d] += s[j] / sum * fabs(v);
		}
	}
}

/* Scores of about 8 carry an error of a few 2^-24 * 8, which exp passes on
 * as a relative error of p. */
static void accuracy_attention(void)
{
	double worst = 0, out[64], size[64];
	job j;

	job_new(&j, 20, 2, 64, 290);
	ref->attention(&j.a, scratch);
	for (int r = 0; r < 20; r++)
		for (int h = 0; h < 2; h++) {
			size_t at = (size_t)r * j.a.ldq + (size_t)h * 64;
			softmax_row(&j.a, j.q + at, 290 + r + 1, out, size);
			for (int d = 0; d < 64; d++)
				worst = fmax(worst, fabs((double)j.o[at +
					(size_t)d] - out[d]) / size[d]);
		}
	job_free(&j);
	accuracy("attention / sum p|v|", worst, 40 * 0x1p-24);
}

static void accuracy_vec(void)
{
	enum { N = 576 };
	float x[N], u[N], y[N], z[N];
	double ss = 0, sum = 0, worst = 0, worst_glu = 0;
	int best;

	fill(x, N, 20);
	fill(u, N, 1);
	ref->rmsnorm(x, u, N, 1e-5f, y);
	ref->swiglu(x, u, N, z);
	for (int i = 0; i < N; i++) {
		ss += (double)x[i] * x[i];
		sum += exp((double)x[i]);
	}
	for (int i = 0; i < N; i++) {
		double want = x[i] / sqrt(ss / N + 1e-5) * u[i];
		worst = fmax(worst, fabs(((double)y[i] - want) / want));
		want = x[i] / (1 + exp(-(double)x[i])) * u[i];
		worst_glu = fmax(worst_glu, fabs(((double)z[i] - want) / want));
	}
	accuracy("rmsnorm, relative (sum of 36 a lane)", worst, 8 * 0x1p-24);
	accuracy("swiglu, relative", worst_glu, 8 * 0x1p-24);
	accuracy("logsumexp, absolute (value near 20)",
		 fabs((double)ref->logsumexp(x, N, &best) - log(sum)),
		 20 * 0x1p-23);
}

static void test_accuracy(void)
{
	printf("\n%-50s %22s  ok\n", "specification against doubles",
	       "error <= limit");
	accuracy_math();
	accuracy_half();
	accuracy_rope();
	accuracy_vec();
	accuracy_encode();
	for (int t = 0; t < NNR__DTYPES; t++)
		accuracy_linear((nnr__dtype)t);
	accuracy_attention();
}

static void test_path(const nnr__kernels *k)
{
	for (int t = 0; t < NNR__DTYPES; t++)
		test_unpack(k, (nnr__dtype)t);
	for (int t = 0; t < NNR__DTYPES; t++)
		test_product(k, (nnr__dtype)t, 0);
	for (int t = 0; t < NNR__DTYPES; t++)
		for (int n = 1; nnr__dtypes[t].coded && n <= 2; n++)
			test_product(k, (nnr__dtype)t, n);
	for (int n = 0; n <= 2; n += 2) {
		test_shape(k, "results past the caches (17 MB)", n, 41, 64,
			   48, 16 * 6600);
		test_shape(k, "K = 8192, 29 rows", n, 29, MAX_COLS, 48, 48);
	}
	test_encode(k);
	test_vec(k);
	test_attention(k);
}

int main(void)
{
	ref = nnr__kernels_named("generic");
	scratch = room(nnr__kernel_scratch(MAX_COLS));
	each_path(test_path);
	test_accuracy();
	free(scratch);
	printf("%s\n", failures ? "FAILED" : "all equal");
	return failures != 0;
}
