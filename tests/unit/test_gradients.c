/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gradients.c: each gradient of the specification (the generic kernels)
 * against central differences of the forward op, written here once more,
 * plainly, in doubles.  tests/kernels.c compares the other paths with the
 * generic one bit by bit.
 *
 * With f the sum of dout * op(in), a difference over STEP = 1e-5 is off by
 * STEP^2 f''' and 2^-52 f / STEP, both below 1e-7 of the largest slope here.
 * What remains is the rounding of the fp32 kernel: its chains have at most
 * some hundred terms, each rounded by 2^-24 of a partial sum that is within
 * a few times the largest slope; LIMIT is 32 such roundings.
 */
#include "test.h"

#include <math.h>

#include "kernel/kernel.h"

#define STEP 1e-5
#define LIMIT (32 * 0x1p-24)

static const nnr__kernels *ref;
static void *scratch;
static uint64_t seed = 7;

static float uniform(void)		/* -1 .. 1 */
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (float)((int)(seed >> 40) - (1 << 23)) * 0x1p-23f;
}

static void fill(float *x, size_t n, float scale)
{
	for (size_t i = 0; i < n; i++)
		x[i] = uniform() * scale;
}

static void widen(double *to, const float *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (double)from[i];
}

/* The op's result, weighted: a number, as a function of what `in` holds. */
typedef double loss_fn(const void *ctx, const double *in);

/* got[i] is the slope of f along in[i], for all i < n. */
static void slopes(const char *what, loss_fn *f, const void *ctx, double *in,
		   const float *got, size_t n)
{
	double worst = 0, largest = 0;

	for (size_t i = 0; i < n; i++) {
		double at = in[i], up, down;
		in[i] = at + STEP;
		up = f(ctx, in);
		in[i] = at - STEP;
		down = f(ctx, in);
		in[i] = at;
		double want = (up - down) / (2 * STEP);
		largest = fmax(largest, fabs(want));
		worst = fmax(worst, fabs((double)got[i] - want));
		assert_false(isnan(got[i]));
	}
	assert_true(largest > 0);
	if (worst > LIMIT * largest)
		fail_msg("%s: off by %g of %g", what, worst, largest);
}

/* ---- y = x W^T, in x and in W ---- */

enum { ROWS = 5, N = 33, K = 96 };

struct product {
	double w[N * K], x[ROWS * K], dy[ROWS * N];
};

static double product_of(const double *w, const double *x, const double *dy)
{
	double f = 0;

	for (int m = 0; m < ROWS; m++)
		for (int n = 0; n < N; n++)
			for (int k = 0; k < K; k++)
				f += dy[m * N + n] * x[m * K + k] *
					w[n * K + k];
	return f;
}

static double product_in_x(const void *ctx, const double *x)
{
	const struct product *p = ctx;
	return product_of(p->w, x, p->dy);
}

static double product_in_w(const void *ctx, const double *w)
{
	const struct product *p = ctx;
	return product_of(w, p->x, p->dy);
}

/* Random bytes of a file with scales of about 2^-5. */
static void weights(nnr__mat *w, nnr__dtype type, uint8_t *data)
{
	const nnr__dtype_info *t = &nnr__dtypes[type];
	size_t rb = (size_t)(K / t->block * t->bytes);

	for (size_t i = 0; i < rb * N; i++)
		data[i] = (uint8_t)(uniform() * 127);
	for (int i = 0; i < N * K / t->block; i++) {
		uint8_t *p = data + i * t->bytes;
		float f = uniform();
		if (type == NNR__F32)
			memcpy(p, &f, 4);
		else if (type == NNR__BF16)
			p[1] = 0x3d;
		else
			p[1] = (uint8_t)(p[1] & 0x83) | 0x28;
		if (type == NNR__Q4_1)
			p[3] = (uint8_t)(p[3] & 0x83) | 0x30;
	}
	*w = (nnr__mat){ type, N, K, rb, data };
}

static void test_linear_back(void **state)
{
	static struct product p;
	static uint8_t data[N * K * 4];
	float w[K], x[ROWS * K], dy[ROWS * N], dx[ROWS * K];
	nnr__mat mat;

	(void)state;
	for (int t = 0; t < NNR__DTYPES; t++) {
		weights(&mat, (nnr__dtype)t, data);
		for (int n = 0; n < N; n++) {
			ref->unpack(mat.type, data + n * mat.row_bytes, K, w);
			widen(p.w + n * K, w, K);
		}
		fill(x, ROWS * K, 1);
		fill(dy, ROWS * N, 1);
		widen(p.x, x, ROWS * K);
		widen(p.dy, dy, ROWS * N);
		ref->linear_back(&mat, 0, 32, dy, N, ROWS, dx, K, false,
				 scratch);
		ref->linear_back(&mat, 32, K, dy, N, ROWS, dx, K, false,
				 scratch);
		slopes(nnr__dtypes[t].name, product_in_x, &p, p.x, dx,
		       ROWS * K);
	}
}

static void test_outer(void **state)
{
	static struct product p;
	static float x[ROWS * K], dy[ROWS * N], w[N * K], dw[N * K];

	(void)state;
	fill(x, ROWS * K, 1);
	fill(dy, ROWS * N, 1);
	fill(w, N * K, 1);
	widen(p.x, x, ROWS * K);
	widen(p.dy, dy, ROWS * N);
	widen(p.w, w, N * K);
	ref->outer(dy, N, N, x, K, K, ROWS, dw, K);
	slopes("outer", product_in_w, &p, p.w, dw, N * K);
}

/* ---- attention, in q, k and v ---- */

enum { DIM = 16, HEADS = 2, QROWS = 5, KEYS_MAX = 70, PAGES = 2 };

struct attention {
	int pos0;
	double q[QROWS * HEADS * DIM], dout[QROWS * HEADS * DIM];
	double k[KEYS_MAX * DIM], v[KEYS_MAX * DIM];
};

/* dout . softmax(scale q k) v, for a query that sees `keys` keys; *lse the
 * logarithm of its sum. */
static double one_query(const double *q, const double *dout, const double *k,
			const double *v, int keys, double *lse)
{
	double p[KEYS_MAX], sum = 0, f = 0;

	for (int j = 0; j < keys; j++) {
		double s = 0;
		for (int d = 0; d < DIM; d++)
			s += q[d] * k[j * DIM + d];
		sum += p[j] = exp(s / sqrt(DIM));
	}
	for (int j = 0; j < keys; j++)
		for (int d = 0; d < DIM; d++)
			f += dout[d] * p[j] / sum * v[j * DIM + d];
	*lse = log(sum);
	return f;
}

static double attention_of(const struct attention *a, const double *q,
			   const double *k, const double *v)
{
	double f = 0, lse;

	for (int i = 0; i < QROWS * HEADS; i++)
		f += one_query(q + i * DIM, a->dout + i * DIM, k, v,
			       a->pos0 + i / HEADS + 1, &lse);
	return f;
}

static double attention_in_q(const void *ctx, const double *q)
{
	const struct attention *a = ctx;
	return attention_of(a, q, a->k, a->v);
}

static double attention_in_k(const void *ctx, const double *k)
{
	const struct attention *a = ctx;
	return attention_of(a, a->q, k, a->v);
}

static double attention_in_v(const void *ctx, const double *v)
{
	const struct attention *a = ctx;
	return attention_of(a, a->q, a->k, v);
}

/* The difference along keys from..end only: the rest is frozen. */
struct part {
	loss_fn *f;
	const struct attention *a;
	double *all;
	size_t at, n;
};

static double part_of(const void *ctx, const double *in)
{
	const struct part *p = ctx;

	memcpy(p->all + p->at, in, p->n * sizeof *in);
	return p->f(p->a, p->all);
}

static void check_keys(const char *what, loss_fn *f, const struct attention *a,
		       const double *all, int from, const float *got)
{
	static double copy[KEYS_MAX * DIM], in[KEYS_MAX * DIM];
	size_t at = (size_t)(from * DIM);
	size_t n = (size_t)((a->pos0 + QROWS) * DIM) - at;
	struct part p = { f, a, copy, at, n };

	memcpy(copy, all, sizeof copy);
	memcpy(in, all + at, n * sizeof *in);
	slopes(what, part_of, &p, in, got, n);
}

/* Pages of the keys; slots nobody may see hold NaN. */
static void put_pages(const float *k, const float *v, int keys,
		      float kt[][DIM * NNR__PAGE], float vp[][DIM * NNR__PAGE])
{
	for (int j = 0; j < PAGES * NNR__PAGE; j++)
		for (int d = 0; d < DIM; d++) {
			int p = j / NNR__PAGE, s = j % NNR__PAGE;
			kt[p][d * NNR__PAGE + s] = j < keys ?
				k[j * DIM + d] : NAN;
			vp[p][s * DIM + d] = j < keys ? v[j * DIM + d] : NAN;
		}
}

static void check_lse(const struct attention *a, const float *lse)
{
	for (int i = 0; i < QROWS * HEADS; i++) {
		double want;
		one_query(a->q + i * DIM, a->dout + i * DIM, a->k, a->v,
			  a->pos0 + i / HEADS + 1, &want);
		assert_true(fabs((double)lse[i] - want) <=
			    LIMIT * fmax(1, fabs(want)));
	}
}

static void check_attention(int pos0, int from)
{
	enum { SIZE = QROWS * HEADS * DIM };
	static float k[KEYS_MAX * DIM], v[KEYS_MAX * DIM];
	static float kt[PAGES][DIM * NNR__PAGE], vp[PAGES][DIM * NNR__PAGE];
	static float dk[KEYS_MAX * DIM], dv[KEYS_MAX * DIM];
	float q[SIZE], o[SIZE], dout[SIZE], dq[SIZE], lse[QROWS * HEADS];
	const float *kts[] = { kt[0], kt[1] }, *vs[] = { vp[0], vp[1] };
	static struct attention a;

	a.pos0 = pos0;
	fill(q, SIZE, 2);
	fill(dout, SIZE, 1);
	fill(k, KEYS_MAX * DIM, 2);
	fill(v, KEYS_MAX * DIM, 1);
	widen(a.q, q, SIZE);
	widen(a.dout, dout, SIZE);
	widen(a.k, k, KEYS_MAX * DIM);
	widen(a.v, v, KEYS_MAX * DIM);
	put_pages(k, v, pos0 + QROWS, kt, vp);
	ref->attention(&(nnr__attn){
		.q = q, .o = o, .lse = lse, .ldq = HEADS * DIM,
		.ldo = HEADS * DIM, .ldlse = HEADS, .rows = QROWS,
		.heads = HEADS, .dim = DIM, .pos0 = pos0, .scale = 0.25f,
		.kt = kts, .v = vs }, scratch);
	check_lse(&a, lse);
	ref->attention_back(&(nnr__attn_back){
		.q = q, .o = o, .dout = dout, .lse = lse, .dq = dq,
		.ldq = HEADS * DIM, .ldo = HEADS * DIM, .lddout = HEADS * DIM,
		.ldlse = HEADS, .lddq = HEADS * DIM, .rows = QROWS,
		.heads = HEADS, .dim = DIM, .pos0 = pos0, .from = from,
		.scale = 0.25f, .kt = kts, .v = vs, .dk = dk, .dv = dv,
	}, scratch);
	slopes("dq", attention_in_q, &a, a.q, dq, SIZE);
	check_keys("dk", attention_in_k, &a, a.k, from, dk);
	check_keys("dv", attention_in_v, &a, a.v, from, dv);
}

static void test_attention_back(void **state)
{
	(void)state;
	check_attention(0, 0);
	check_attention(3, 1);
	check_attention(62, 62);	/* into a second page */
	check_attention(64, 20);
}

/* ---- row-wise ---- */

enum { VEC = 147 };

struct row {
	double w[VEC], dy[VEC];
};

static double rmsnorm_of(const void *ctx, const double *x)
{
	const struct row *r = ctx;
	double ss = 0, f = 0;

	for (int i = 0; i < VEC; i++)
		ss += x[i] * x[i];
	for (int i = 0; i < VEC; i++)
		f += r->dy[i] * x[i] / sqrt(ss / VEC + 1e-5) * r->w[i];
	return f;
}

static void test_rmsnorm_back(void **state)
{
	static struct row r;
	float x[VEC], w[VEC], dy[VEC], dx[VEC], sum[VEC];
	double in[VEC];

	(void)state;
	for (int big = 0; big < 2; big++) {
		/* at 1e-2 eps is a third of the mean square */
		fill(x, VEC, big ? 3.0f : 1e-2f);
		fill(w, VEC, 2);
		fill(dy, VEC, 1);
		widen(r.w, w, VEC);
		widen(r.dy, dy, VEC);
		widen(in, x, VEC);
		ref->rmsnorm_back(x, w, dy, VEC, 1e-5f, false, dx);
		slopes("rmsnorm", rmsnorm_of, &r, in, dx, VEC);
		fill(sum, VEC, 1);
		for (int i = 0; i < VEC; i++)
			dx[i] += sum[i];
		ref->rmsnorm_back(x, w, dy, VEC, 1e-5f, true, sum);
		assert_memory_equal(sum, dx, sizeof sum);
	}
}

static double swiglu_of(const void *ctx, const double *gu)
{
	const struct row *r = ctx;
	double f = 0;

	for (int i = 0; i < VEC; i++)
		f += r->dy[i] * gu[i] / (1 + exp(-gu[i])) * gu[VEC + i];
	return f;
}

static void test_swiglu_back(void **state)
{
	static struct row r;
	float gu[2 * VEC], d[2 * VEC], dy[VEC];
	double in[2 * VEC];

	(void)state;
	fill(gu, 2 * VEC, 6);
	fill(dy, VEC, 1);
	widen(r.dy, dy, VEC);
	widen(in, gu, 2 * VEC);
	ref->swiglu_back(gu, gu + VEC, dy, VEC, d, d + VEC);
	slopes("swiglu", swiglu_of, &r, in, d, 2 * VEC);
	ref->swiglu_back(gu, gu + VEC, dy, VEC, gu, gu + VEC);
	assert_memory_equal(gu, d, sizeof d);
}

/* Of log(sum(exp)): its slopes are the softmax. */
static double logsumexp_of(const void *ctx, const double *x)
{
	double sum = 0;

	for (int i = 0; i < VEC; i++)
		sum += exp(x[i]);
	return *(const double *)ctx * log(sum);
}

static void test_softmax(void **state)
{
	const double weight = 0.75;
	float x[VEC], y[VEC];
	double in[VEC];
	int best;

	(void)state;
	fill(x, VEC, 5);
	widen(in, x, VEC);
	ref->softmax(x, VEC, ref->logsumexp(x, VEC, &best), (float)weight, y);
	slopes("softmax", logsumexp_of, &weight, in, y, VEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linear_back),
		cmocka_unit_test(test_outer),
		cmocka_unit_test(test_attention_back),
		cmocka_unit_test(test_rmsnorm_back),
		cmocka_unit_test(test_swiglu_back),
		cmocka_unit_test(test_softmax),
	};

	ref = nnr__kernels_named("generic");
	scratch = aligned_alloc(64, nnr__kernel_scratch(K));
	int failed = !scratch || cmocka_run_group_tests(tests, NULL, NULL);
	free(scratch);
	return failed;
}
