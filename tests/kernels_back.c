/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradient kernels: every path this CPU runs against the generic one, bit
 * for bit.  (tests/unit/test_gradients.c compares that with differences.)
 */
#define _DEFAULT_SOURCE	/* MAP_ANONYMOUS */
#include "kernels.h"

/* ---- dx = dy W ---- */

typedef struct {
	nnr__mat w;
	const float *dy;
	size_t ldy, ldx;
	int rows;
	bool add;
} product;

static void run(const nnr__kernels *k, const product *p, int k0, int k1,
		int r0, int rows, float *dx)
{
	k->linear_back(&p->w, k0, k1, p->dy + (size_t)r0 * p->ldy, p->ldy,
		       rows, dx + (size_t)r0 * p->ldx, p->ldx, p->add,
		       scratch);
}

/* Generic on everything; the path on everything and in pieces. */
static bool product_same(const nnr__kernels *k, const product *p)
{
	const int cols = p->w.cols, units = (cols + 31) / 32;
	size_t n = p->ldx * (size_t)p->rows;
	float *a = room(n * 4), *b = room(n * 4), *c = room(n * 4);
	int k0 = 32 * between(0, units - 1), cut = 32 * between(0, units);

	cut = cut < k0 ? k0 : cut < cols ? cut : cols;
	fill(a, n, 1);
	memcpy(b, a, n * 4);
	memcpy(c, a, n * 4);
	run(ref, p, k0, cols, 0, p->rows, a);
	run(k, p, k0, cols, 0, p->rows, b);
	for (int r = 0, high; r < p->rows; r += high) {
		high = between(1, p->rows - r);
		if (cut > k0)
			run(k, p, k0, cut, r, high, c);
		if (cols > cut)
			run(k, p, cut, cols, r, high, c);
	}
	bool ok = same(a, b, n) && same(a, c, n);
	free(a);
	free(b);
	free(c);
	return ok;
}

static double product_ratio(const nnr__kernels *k, const product *p)
{
	float *dx = room(p->ldx * (size_t)p->rows * 4);
	double slow, fast;

	BEST(slow, run(ref, p, 0, p->w.cols, 0, p->rows, dx));
	BEST(fast, run(k, p, 0, p->w.cols, 0, p->rows, dx));
	free(dx);
	return slow / fast;
}

static bool product_case(const nnr__kernels *k, nnr__dtype type, int n,
			 int cols, int rows, bool odd, double *ratio)
{
	product p = { .rows = rows, .add = rnd() & 1 };
	guarded g = matrix(&p.w, type, n, cols);
	bool ok = true;

	p.ldy = (size_t)(n + between(0, 9));
	p.ldx = (size_t)(cols + between(0, 9));
	float *dy = room(p.ldy * (size_t)rows * 4);
	fill(dy, p.ldy * (size_t)rows, 3);
	if (odd)
		spoil(dy, p.ldy * (size_t)rows);
	p.dy = dy;
	if (ratio)
		*ratio = product_ratio(k, &p);
	else
		ok = product_same(k, &p);
	free(dy);
	guarded_free(&g);
	return ok;
}

static void test_linear_back(const nnr__kernels *k, nnr__dtype type)
{
	const int unit = nnr__dtypes[type].coded ? 32 : 1;
	double ratio;
	bool ok = true;
	char what[48];

	for (int rows = 1; rows <= 40; rows++)
		ok = product_case(k, type, between(1, 99),
				  unit * between(1, 700 / unit), rows,
				  rows % 8 == 7, NULL) && ok;
	for (int i = 0; i < 6; i++)	/* chains across panels */
		ok = product_case(k, type, between(350, 800),
				  unit * between(300 / unit, 640 / unit),
				  between(1, 9), false, NULL) && ok;
	ok = product_case(k, type, 400, 320, 260, false, NULL) && ok;
	product_case(k, type, 192, 576, 32, false, &ratio);
	snprintf(what, sizeof what, "%s, 47 shapes", nnr__dtypes[type].name);
	report("linear_b", what, k->name, ratio, ok);
}

/* ---- attention ---- */

/* The inputs of a job's gradient, and two sets of results. */
typedef struct {
	nnr__attn_back a;
	float *dout, *lse, *dq[2], *dk[2], *dv[2];
	size_t nq, nk;		/* floats of dq, of dk */
} back;

static void back_new(back *b, job *j, int from)
{
	nnr__attn a = j->a;
	size_t row = (size_t)(a.heads * a.dim), rows = (size_t)a.rows;
	size_t lddq = row + (size_t)between(0, 20), lddout = row + 5;
	size_t ldlse = (size_t)a.heads + 1;

	b->nq = lddq * rows;
	b->nk = (size_t)((a.pos0 + a.rows - from) * a.dim);
	b->dout = room(lddout * rows * 4);
	b->lse = room(ldlse * rows * 4);
	fill(b->dout, lddout * rows, 1);
	for (int i = 0; i < 2; i++) {
		b->dq[i] = room(b->nq * 4);
		b->dk[i] = room(b->nk * 4);
		b->dv[i] = room(b->nk * 4);
		memset(b->dq[i], 0x11, b->nq * 4);
		memset(b->dk[i], 0x11, b->nk * 4);
		memset(b->dv[i], 0x11, b->nk * 4);
	}
	a.lse = b->lse;
	a.ldlse = ldlse;
	ref->attention(&a, scratch);
	b->a = (nnr__attn_back){
		.q = a.q, .o = a.o, .dout = b->dout, .lse = b->lse,
		.ldq = a.ldq, .ldo = a.ldo, .lddout = lddout,
		.ldlse = ldlse, .lddq = lddq, .rows = a.rows,
		.heads = a.heads, .dim = a.dim, .pos0 = a.pos0, .from = from,
		.scale = a.scale, .kt = a.kt, .v = a.v,
	};
}

static void back_free(back *b)
{
	free(b->dout);
	free(b->lse);
	for (int i = 0; i < 2; i++) {
		free(b->dq[i]);
		free(b->dk[i]);
		free(b->dv[i]);
	}
}

static void back_run(const nnr__kernels *k, const back *b, int set)
{
	nnr__attn_back a = b->a;

	a.dq = b->dq[set];
	a.dk = b->dk[set];
	a.dv = b->dv[set];
	k->attention_back(&a, scratch);
}

static bool back_same(const nnr__kernels *k, const back *b)
{
	back_run(ref, b, 0);
	back_run(k, b, 1);
	return same(b->dq[0], b->dq[1], b->nq) &&
		same(b->dk[0], b->dk[1], b->nk) &&
		same(b->dv[0], b->dv[1], b->nk);
}

/* One key of the job's own rows is no number: earlier rows must not see it. */
static void spoil_key(job *j)
{
	int pos = j->a.pos0 + between(0, j->a.rows - 1), s = pos % NNR__PAGE;
	float *kt = j->kt[pos / NNR__PAGE], *v = j->v[pos / NNR__PAGE];

	for (int d = 0; d < j->a.dim; d++) {
		kt[d * NNR__PAGE + s] = d & 1 ? NAN : INFINITY;
		v[s * j->a.dim + d] = d & 1 ? -INFINITY : NAN;
	}
}

static void test_attention_back(const nnr__kernels *k)
{
	double slow, fast;
	bool ok = true;
	job j;
	back b;

	for (int i = 0; i < 40; i++) {
		int rows = i % 10 == 9 ? between(100, 300) :
			i % 4 ? between(1, 70) : between(1, 3);
		int dim = 16 * between(1, i % 8 ? 6 : 16);
		int pos0 = i % 3 ? between(0, 130) : 64 * between(0, 2);
		job_new(&j, rows, between(1, 5), dim, pos0);
		if (i % 5 == 4)
			spoil_key(&j);
		back_new(&b, &j, i & 1 ? pos0 : between(0, pos0));
		if (i % 13 == 12)
			spoil(b.dout, b.a.lddout * (size_t)rows);
		ok = back_same(k, &b) && ok;
		back_free(&b);
		job_free(&j);
	}
	job_new(&j, 64, 3, 64, 192);
	back_new(&b, &j, 192);
	BEST(slow, back_run(ref, &b, 0));
	BEST(fast, back_run(k, &b, 1));
	back_free(&b);
	job_free(&j);
	report("attn_b", "40 jobs, NaN in unused slots", k->name,
	       slow / fast, ok);
}

/* ---- row-wise, and the gradient of a matrix ---- */

enum { VEC = 3000, ROWS_IN = 3 };

typedef struct {
	float *in[ROWS_IN], *want[2], *got[2];
} vectors;

static void test_rmsnorm_back(const nnr__kernels *k, vectors *v)
{
	double slow, fast;
	bool ok = true;
	float *x = v->in[0], *w = v->in[1], *dy = v->in[2];
	float *a = v->want[0], *b = v->got[0];

	for (int i = 0; i < 60; i++) {
		int n = between(1, VEC);
		bool add = i & 1;
		fill(x, VEC, i % 3 ? 3.0f : 1e-3f);
		fill(w, VEC, 2);
		fill(dy, VEC, 1);
		fill(a, VEC, 1);
		if (i % 6 == 5)
			spoil(i % 4 ? x : dy, VEC);
		memcpy(b, a, VEC * 4);
		ref->rmsnorm_back(x, w, dy, n, 1e-5f, add, a);
		k->rmsnorm_back(x, w, dy, n, 1e-5f, add, b);
		ok = ok && same(a, b, VEC);
	}
	BEST(slow, ref->rmsnorm_back(x, w, dy, 2048, 1e-5f, true, a));
	BEST(fast, k->rmsnorm_back(x, w, dy, 2048, 1e-5f, true, b));
	report("rmsnorm_b", "60 rows of 1..3000", k->name, slow / fast, ok);
}

static void test_swiglu_back(const nnr__kernels *k, vectors *v)
{
	double slow, fast;
	bool ok = true;
	float *g = v->in[0], *u = v->in[1], *dy = v->in[2];
	float *dg = v->want[0], *du = v->want[1];

	for (int i = 0; i < 60; i++) {
		int n = between(1, VEC);
		fill(g, VEC, i % 3 ? 8.0f : 100.0f);
		fill(u, VEC, 2);
		fill(dy, VEC, 1);
		if (i % 6 == 5)
			spoil(i % 4 ? g : dy, VEC);
		memcpy(dg, g, VEC * 4);
		memcpy(du, u, VEC * 4);
		memcpy(v->got[0], g, VEC * 4);
		memcpy(v->got[1], u, VEC * 4);
		ref->swiglu_back(g, u, dy, n, dg, du);
		k->swiglu_back(v->got[0], v->got[1], dy, n, v->got[0],
			       v->got[1]);
		ok = ok && same(dg, v->got[0], VEC) &&
			same(du, v->got[1], VEC);
	}
	fill(g, VEC, 8);
	BEST(slow, ref->swiglu_back(g, u, dy, VEC, dg, du));
	BEST(fast, k->swiglu_back(g, u, dy, VEC, dg, du));
	report("swiglu_b", "60 rows of 1..3000, in place", k->name,
	       slow / fast, ok);
}

static void test_softmax(const nnr__kernels *k, vectors *v)
{
	double slow, fast;
	bool ok = true;
	float *x = v->in[0], *a = v->want[0], *b = v->got[0];

	for (int i = 0; i < 60; i++) {
		int n = between(1, VEC);
		float shift = uniform() * 20, scale = uniform();
		fill(x, VEC, i % 3 ? 20.0f : 200.0f);
		if (i % 6 == 5)
			spoil(x, VEC);
		memcpy(a, x, VEC * 4);
		memcpy(b, x, VEC * 4);
		ref->softmax(x, n, shift, scale, a);
		k->softmax(b, n, shift, scale, b);
		ok = ok && same(a, b, VEC);
	}
	fill(x, VEC, 8);
	BEST(slow, ref->softmax(x, VEC, 8, 1, a));
	BEST(fast, k->softmax(x, VEC, 8, 1, b));
	report("softmax", "60 rows of 1..3000, in place", k->name,
	       slow / fast, ok);
}

/* Sizes to 110 x 110; all rows at once, and in two calls. */
static bool outer_same(const nnr__kernels *k, int n, int cols, int rows,
		       bool odd)
{
	size_t ldy = (size_t)(n + between(0, 5));
	size_t ldx = (size_t)(cols + between(0, 5));
	size_t ldw = (size_t)(cols + between(0, 5)), size = ldw * (size_t)n;
	guarded gy = guarded_new((ldy * (size_t)rows + 1) * 4);
	guarded gx = guarded_new((ldx * (size_t)rows + 1) * 4);
	float *dy = (float *)(void *)gy.p + 1, *x = (float *)(void *)gx.p + 1;
	float *a = room(size * 4), *b = room(size * 4), *c = room(size * 4);
	int cut = between(0, rows);

	fill(dy, ldy * (size_t)rows, 1);
	fill(x, ldx * (size_t)rows, 1);
	if (odd)
		spoil(x, ldx * (size_t)rows);
	fill(a, size, 1);
	memcpy(b, a, size * 4);
	memcpy(c, a, size * 4);
	ref->outer(dy, ldy, n, x, ldx, cols, rows, a, ldw);
	k->outer(dy, ldy, n, x, ldx, cols, rows, b, ldw);
	k->outer(dy, ldy, n, x, ldx, cols, cut, c, ldw);
	k->outer(dy + (size_t)cut * ldy, ldy, n, x + (size_t)cut * ldx, ldx,
		 cols, rows - cut, c, ldw);
	bool ok = same(a, b, size) && same(a, c, size);
	guarded_free(&gy);
	guarded_free(&gx);
	free(a);
	free(b);
	free(c);
	return ok;
}

static void test_outer(const nnr__kernels *k, const vectors *v)
{
	enum { N = 96, K = 96, ROWS = 30 };
	static float dw[N * K];
	double slow, fast;
	bool ok = true;

	for (int i = 0; i < 60; i++)
		ok = outer_same(k, between(1, i % 4 ? 110 : 8),
				between(1, i % 3 ? 110 : 20), between(0, 200),
				i % 8 == 7) && ok;
	fill(v->in[0], VEC, 1);
	fill(v->in[1], VEC, 1);
	BEST(slow, ref->outer(v->in[0], N, N, v->in[1], K, K, ROWS, dw, K));
	BEST(fast, k->outer(v->in[0], N, N, v->in[1], K, K, ROWS, dw, K));
	report("outer", "60 of 1..110 x 1..110", k->name, slow / fast, ok);
}

static void test_path(const nnr__kernels *k)
{
	vectors v;
	float **all[] = { &v.in[0], &v.in[1], &v.in[2], &v.want[0],
			  &v.want[1], &v.got[0], &v.got[1] };
	const size_t count = sizeof all / sizeof all[0];

	for (size_t i = 0; i < count; i++)
		*all[i] = room(VEC * 4);
	for (int t = 0; t < NNR__DTYPES; t++)
		test_linear_back(k, (nnr__dtype)t);
	test_attention_back(k);
	test_rmsnorm_back(k, &v);
	test_swiglu_back(k, &v);
	test_softmax(k, &v);
	test_outer(k, &v);
	for (size_t i = 0; i < count; i++)
		free(*all[i]);
}

int main(void)
{
	ref = nnr__kernels_named("generic");
	scratch = room(nnr__kernel_scratch(MAX_COLS));
	each_path(test_path);
	free(scratch);
	printf("%s\n", failures ? "FAILED" : "all equal");
	return failures != 0;
}
