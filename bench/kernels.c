/* SPDX-License-Identifier: Apache-2.0
 *
 * Speed of the kernels beside what the machine can do.
 *   cc -O3 -std=c11 -D_POSIX_C_SOURCE=200809L -Isrc bench/kernels.c \
 *      build/release/libnnr.a -lm -lpthread -o kernels
 *   kernels [-c CPU] [-t THREADS] [NAME] ...
 * with names of peak linear i8 i82 decode attention vec back; none: all.
 * GFLOP/s counts 2 rows K N; at one row GB/s of weight bytes is shown too.
 * Weights rotate through 96 MB, so they come from memory as in a model.
 * The machine is shared: a time is the CPU time of the slower thread, and
 * every figure is the best of many short calls.
 */
#include "kernel/kernel.h"
#include "team.h"

#define POOL ((size_t)112 << 20)	/* bytes of weights */
#define MAX_ROWS 512
#define MAX_N 49152

static const nnr__kernels *k;
static uint8_t *pool;
static float *x, *y;
static nnr__codes codes;
static void *scratch[THREADS];

static void setup(void)
{
	uint64_t s = 1;
	size_t n = (size_t)MAX_ROWS * 1536, b = n / 32 * 4;

	pool = room(POOL);
	for (size_t i = 0; i < POOL; i += 2) {	/* as halves: 0.01..0.1 */
		s = s * 6364136223846793005u + 1442695040888963407u;
		pool[i] = (uint8_t)(s >> 40);
		pool[i + 1] = (uint8_t)(0x20 | (s >> 50 & 0x8f));
	}
	x = room(2 * n * 4);	/* 1024 rows, for gradients */
	y = room((size_t)MAX_ROWS * MAX_N * 4);
	memset(y, 0, (size_t)MAX_ROWS * MAX_N * 4);
	for (size_t i = 0; i < 2 * n; i++)
		x[i] = (float)(int)(i * 2654435761u % 2001) / 1000 - 1;
	codes = (nnr__codes){ room(n), room(n), room(b), room(b), room(b),
			      room(b), room(b), 0 };
	for (int i = 0; i < THREADS; i++)
		scratch[i] = room(nnr__kernel_scratch(1536));
}

static void codes_for(int cols)
{
	codes.ld = cols;
	for (int r = 0; r < MAX_ROWS; r++)
		k->encode(x + (size_t)r * (size_t)cols, cols, &codes, r, 0);
}

/* ---- limits of the machine ---- */

static void reader(void *ctx, int id)	/* 4 streams */
{
	size_t part = POOL / (size_t)threads / 4 / 64 * 64, s = 0;
	const uint8_t *p = pool + (size_t)id * 4 * part;
	uint64_t v[8] = { 0 };

	for (size_t i = 0; i < part; i += 64)
		for (s = 0; s < 4; s++)
			for (int j = 0; j < 8; j++) {
				uint64_t u;
				memcpy(&u, p + s * part + i + 8 * j, 8);
				v[j] ^= u;
			}
	for (int j = 1; j < 8; j++)
		v[0] ^= v[j];
	((volatile uint64_t *)ctx)[8 * id] = v[0];
}

#define FMAS 200000

#if defined(__x86_64__)
#define FMA(w, i) "vfmadd231ps %%" w "14,%%" w "15,%%" w #i "\n"
#define FMA10(w) FMA(w, 0) FMA(w, 1) FMA(w, 2) FMA(w, 3) FMA(w, 4) \
	FMA(w, 5) FMA(w, 6) FMA(w, 7) FMA(w, 8) FMA(w, 9)
#define CLOBBER "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", \
	"xmm7", "xmm8", "xmm9"

static void fma_zmm(void *ctx, int id)
{
	(void)ctx;
	(void)id;
	for (int i = 0; i < FMAS; i++)
		__asm__ volatile(FMA10("zmm") ::: CLOBBER);
}

static void fma_ymm(void *ctx, int id)
{
	(void)ctx;
	(void)id;
	for (int i = 0; i < FMAS; i++)
		__asm__ volatile(FMA10("ymm") ::: CLOBBER);
}
#endif

static double fma_peak(void)
{
#if defined(__x86_64__)
	if (strcmp(k->name, "avx512") == 0)
		return FMAS * 320.0 * threads / best_of(fma_zmm, NULL, 0.05);
	if (strcmp(k->name, "avx2") == 0)
		return FMAS * 160.0 * threads / best_of(fma_ymm, NULL, 0.05);
#endif
	return 0;
}

static void bench_peak(void)
{
	static uint64_t sink[8 * THREADS];

	printf("fp32 FMA, registers only  %7.1f GFLOP/s\n", fma_peak() / 1e9);
	printf("plain read, 4 streams     %7.1f GB/s\n",
	       (double)POOL / best_of(reader, sink, 0.3) / 1e9);
}

/* ---- products ---- */

typedef struct {
	nnr__mat w;
	int rows, terms;	/* terms 0: fp32, BACK: its gradient */
	size_t at;		/* where in the pool the next weights lie */
} product;

#define BACK (-1)

static void next_weights(product *p)
{
	size_t bytes = p->w.row_bytes * (size_t)p->w.rows;

	p->at = p->at + 2 * bytes > POOL ? 0 : p->at + bytes;
	p->w.data = pool + p->at / 64 * 64;
}

static void product_part(void *ctx, int id)
{
	product *p = ctx;
	int groups = p->w.rows / 16;
	int n0 = groups * id / threads * 16;
	int n1 = groups * (id + 1) / threads * 16;
	size_t cols = (size_t)p->w.cols, ldy = (size_t)p->w.rows;
	int k0 = p->w.cols / 32 * id / threads * 32;
	int k1 = p->w.cols / 32 * (id + 1) / threads * 32;
	bool wide = ldy > 1536;		/* more than x has a row */

	if (p->terms == BACK)
		k->linear_back(&p->w, k0, k1, wide ? y : x, ldy, p->rows,
			       wide ? y + (size_t)p->rows * ldy : y, cols,
			       false, scratch[id]);
	else if (p->terms)
		k->linear_i8(&p->w, n0, n1, &codes, 0, p->rows, p->terms, y,
			     ldy, false, scratch[id]);
	else
		k->linear(&p->w, n0, n1, x, cols, p->rows, y, ldy, false,
			  scratch[id]);
}

static double product_time(product *p, double limit)
{
	double best = 1e9, end = now() + limit;

	for (int i = 0; i < 3 || now() < end; i++) {
		next_weights(p);
		double t = together(product_part, p);
		best = t < best ? t : best;
	}
	return best;
}

static product product_of(nnr__dtype type, int cols, int rows, int terms,
			  int m)
{
	const nnr__dtype_info *t = &nnr__dtypes[type];

	return (product){
		{ type, rows, cols, (size_t)(cols / t->block * t->bytes),
		  pool }, m, terms, 0
	};
}

static const int shapes[][2] = {
	{ 576, 576 }, { 576, 1536 }, { 1536, 576 }, { 576, 49152 },
};
static const int heights[] = { 1, 2, 4, 10, 32, 128, 512 };

static void bench_product(int terms)
{
	double peak = fma_peak();

	printf("\n%s, terms %d: GFLOP/s (peak fp32 %.0f); GB/s at 1 row\n",
	       terms ? "linear_i8" : "linear", terms, peak / 1e9);
	printf("%-5s %5s %6s %6s", "type", "K", "N", "GB/s");
	for (size_t i = 0; i < sizeof heights / sizeof heights[0]; i++)
		printf(" %6d", heights[i]);
	printf("\n");
	for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
		nnr__dtype type = s == 3 ? NNR__Q8_0 : NNR__Q4_1;
		int cols = shapes[s][0], n = shapes[s][1];
		if (terms)
			codes_for(cols);
		for (size_t i = 0; i < sizeof heights / sizeof heights[0];
		     i++) {
			product p = product_of(type, cols, n, terms,
					       heights[i]);
			double t = product_time(&p, 0.08);
			if (i == 0)
				printf("%-5s %5d %6d %6.1f",
				       nnr__dtypes[type].name, cols, n,
				       (double)p.w.row_bytes * n / t / 1e9);
			printf(" %6.1f", 2.0 * heights[i] * cols * n / t /
			       1e9);
			fflush(stdout);
		}
		printf("\n");
	}
}

/* The products of one token of SmolLM2-135M; codes are made beforehand.
 * Returns the bytes of its weights. */
static size_t token(int terms, int rows, double *time)
{
	static const int shape[][2] = {
		{ 576, 960 }, { 576, 576 }, { 576, 3072 }, { 1536, 576 },
	};
	size_t at = 0;

	*time = 0;
	for (int i = 0; i <= 30 * 4; i++) {
		product p = i < 30 * 4 ?
			product_of(NNR__Q4_1, shape[i % 4][0], shape[i % 4][1],
				   terms, rows) :
			product_of(NNR__Q8_0, 576, 49152, terms, rows);
		codes.ld = p.w.cols;
		p.w.data = pool + at;
		at += p.w.row_bytes * (size_t)p.w.rows;
		*time += together(product_part, &p);
	}
	return at;
}

static void bench_decode(void)
{
	static uint64_t sink[8 * THREADS];
	double best[3][2] = { { 1e9, 1e9 }, { 1e9, 1e9 }, { 1e9, 1e9 } };
	double read = 1e9;
	size_t bytes = 0;

	codes_for(1536);
	for (int rep = 0; rep < 60; rep++) {
		int terms = rep % 3, many = rep / 3 % 2;
		double t;
		bytes = token(terms, many ? 10 : 1, &t);
		if (t < best[terms][many])
			best[terms][many] = t;
		t = together(reader, sink);
		read = t < read ? t : read;
	}
	printf("\nproducts of a token, %.1f MB of weights\n",
	       (double)bytes / 1e6);
	printf("  %-15s %5.1f GB/s\n", "plain read",
	       (double)POOL / read / 1e9);
	for (int i = 0; i <= 2; i++)
		printf("  %-15s %5.1f GB/s %5.0f tokens/s; of 10 rows %5.0f\n",
		       i == 0 ? "fp32" : i == 1 ? "codes, terms 1" :
		       "codes, terms 2", (double)bytes / best[i][0] / 1e9,
		       1 / best[i][0], 10 / best[i][1]);
}

/* ---- attention and vectors: one thread ---- */

#define ATTN_REPEAT 4

static void attention_job(void *ctx, int id)
{
	for (int i = 0; id == 0 && i < ATTN_REPEAT; i++)
		k->attention(ctx, scratch[0]);
}

/* 3 query heads of dim 64 on pages that lie behind x. */
static void bench_attention(void)
{
	static const int cases[][2] = {	/* rows, pos0 */
		{ 128, 0 }, { 512, 0 }, { 64, 448 }, { 1, 127 }, { 1, 511 },
		{ 1, 2047 }, { 10, 511 },
	};
	const float *kt[32], *v[32];

	printf("\nattention, 3 heads of dim 64 on one key/value head\n");
	printf("%6s %6s %10s %10s\n", "rows", "pos0", "us", "GFLOP/s");
	for (int i = 0; i < 32; i++) {
		kt[i] = x + 8192 * i;
		v[i] = kt[i] + 4096;
	}
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		double rows = cases[i][0], pos0 = cases[i][1];
		nnr__attn a = {
			.q = x + 300000, .o = y, .ldq = 192, .ldo = 192,
			.rows = cases[i][0], .heads = 3, .dim = 64,
			.pos0 = cases[i][1], .scale = 0.125f, .kt = kt, .v = v,
		};
		double flop = 4.0 * 64 * 3 * rows *
			(pos0 + (rows + 1) / 2);
		double t = best_of(attention_job, &a, 0.05) /
			ATTN_REPEAT;
		printf("%6d %6d %10.1f %10.1f\n", cases[i][0], cases[i][1],
		       t * 1e6, flop / t / 1e9);
	}
}

#define VEC_REPEAT 50	/* the clock itself takes half a microsecond */
enum { ENCODE, RMSNORM, ROPE, SWIGLU, LOGSUMEXP, VECS };

static void vec_job(void *ctx, int id)
{
	int best;

	for (int i = 0; id == 0 && i < VEC_REPEAT; i++)
		switch (*(int *)ctx) {
		case ENCODE: k->encode(x, 1536, &codes, 0, 0); break;
		case RMSNORM: k->rmsnorm(x, x + 2048, 576, 1e-5f, y); break;
		case ROPE: k->rope(y, 12, 64, x); break;
		case SWIGLU: k->swiglu(x, x + 2048, 1536, y); break;
		case LOGSUMEXP: k->logsumexp(x, 49152, &best); break;
		}
}

static void bench_vec(void)
{
	static const struct { const char *name; double n; } v[VECS] = {
		{ "encode 1536", 1536 }, { "rmsnorm 576", 576 },
		{ "rope 12 x 64", 768 }, { "swiglu 1536", 1536 },
		{ "logsumexp 49152", 49152 },
	};

	printf("\nrow-wise, one thread\n");
	codes.ld = 1536;
	memset(y, 0, 4096);
	for (int i = 0; i < VECS; i++) {
		double t = best_of(vec_job, &i, 0.02) / VEC_REPEAT;
		printf("%-18s %8.2f us %6.2f values/ns\n", v[i].name, t * 1e6,
		       v[i].n / t / 1e9);
	}
}

/* ---- gradients ---- */

static void bench_linear_back(void)
{
	static const struct { nnr__dtype type; int cols, n; } shape[] = {
		{ NNR__Q4_1, 1536, 576 }, { NNR__Q4_1, 576, 1536 },
		{ NNR__Q4_1, 576, 576 }, { NNR__Q4_1, 576, 192 },
		{ NNR__Q8_0, 576, 49152 },
	};
	static const int rows[] = { 1, 8, 20, 32, 64, 128, 512, 1024 };

	printf("\nlinear_back, GFLOP/s (linear)\n%-5s %5s %6s", "type", "K",
	       "N");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		printf(" %11d", rows[i]);
	for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
		int cols = shape[s].cols, n = shape[s].n;
		printf("\n%-5s %5d %6d", nnr__dtypes[shape[s].type].name,
		       cols, n);
		for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
			if (n > 1536 && rows[i] > 128)
				continue;
			product p = product_of(shape[s].type, cols, n, BACK,
					       rows[i]);
			product q = p;
			double flop = 2e-9 * rows[i] * cols * n, t[2];
			q.terms = 0;
			t[0] = t[1] = 1e9;
			for (int rep = 0; rep < 4; rep++) {
				double b = product_time(&p, 0.02);
				double f = product_time(&q, 0.02);
				t[0] = b < t[0] ? b : t[0];
				t[1] = f < t[1] ? f : t[1];
			}
			printf(" %5.0f (%3.0f)", flop / t[0], flop / t[1]);
			fflush(stdout);
		}
	}
	printf("\n");
}

static void attention_back_job(void *ctx, int id)
{
	if (id == 0)
		k->attention_back(ctx, scratch[0]);
}

static void bench_attention_back(void)
{
	static const int cases[][3] = {	/* rows, pos0, dim */
		{ 148, 0, 64 }, { 148, 20, 64 }, { 512, 0, 64 },
		{ 20, 128, 64 }, { 148, 0, 16 }, { 148, 0, 128 },
	};
	const float *kt[32], *v[32];
	float *out = y + 2000000;

	printf("\nattention_back, 3 heads on one key/value head, beside "
	       "attention\n%6s %6s %6s %10s %10s %10s\n", "rows", "pos0",
	       "dim", "us", "GFLOP/s", "forward");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int rows = cases[i][0], pos0 = cases[i][1], dim = cases[i][2];
		size_t ld = (size_t)dim * 3;
		for (int j = 0; j < 32; j++) {
			kt[j] = x + 2 * 64 * dim * j;
			v[j] = kt[j] + 64 * dim;
		}
		nnr__attn a = {
			.q = x + 300000, .o = y, .lse = y + 1000000,
			.ldq = ld, .ldo = ld, .ldlse = 3, .rows = rows,
			.heads = 3, .dim = dim, .pos0 = pos0, .scale = 0.125f,
			.kt = kt, .v = v,
		};
		nnr__attn_back b = {
			.q = a.q, .o = y, .dout = x + 400000, .lse = a.lse,
			.dq = out, .ldq = ld, .ldo = ld, .lddout = ld,
			.ldlse = 3, .lddq = ld, .rows = rows, .heads = 3,
			.dim = dim, .pos0 = pos0, .scale = 0.125f, .kt = kt,
			.v = v, .dk = out + 1000000, .dv = out + 2000000,
		};
		double flop = 4e-9 * dim * 3 * rows * (pos0 + (rows + 1) / 2.0);
		double f = best_of(attention_job, &a, 0.05) / ATTN_REPEAT;
		double t = best_of(attention_back_job, &b, 0.1);
		printf("%6d %6d %6d %10.1f %10.1f %10.1f\n", rows, pos0, dim,
		       t * 1e6, 2.5 * flop / t, flop / f);
	}
}

enum { RMSNORM_BACK, SWIGLU_BACK, SOFTMAX, OUTER, ROW_BACKS };

static void row_back_job(void *ctx, int id)
{
	float *dw = y + 100000;

	for (int i = 0; id == 0 && i < VEC_REPEAT; i++)
		switch (*(int *)ctx) {
		case RMSNORM_BACK:
			k->rmsnorm_back(x, x + 2048, x + 4096, 576, 1e-5f,
					true, y);
			break;
		case SWIGLU_BACK:
			k->swiglu_back(x, x + 2048, x + 4096, 1536, y,
				       y + 2048);
			break;
		case SOFTMAX: k->softmax(x, 49152, 1, 1, y); break;
		case OUTER:
			k->outer(x, 100, 100, x, 100, 100, 100, dw, 100);
			break;
		}
}

static void bench_row_back(void)
{
	static const struct { const char *name; double n; } v[ROW_BACKS] = {
		{ "rmsnorm_back 576", 576 }, { "swiglu_back 1536", 1536 },
		{ "softmax 49152", 49152 }, { "outer 100^3 (FMAs)", 1e6 },
	};

	printf("\nrow-wise, one thread\n");
	memset(y, 0, 4096);
	for (int i = 0; i < ROW_BACKS; i++) {
		double t = best_of(row_back_job, &i, 0.03) / VEC_REPEAT;
		printf("%-18s %8.2f us %6.2f values/ns\n", v[i].name, t * 1e6,
		       v[i].n / t / 1e9);
	}
}

static bool wanted(int argc, char **argv, int from, const char *name)
{
	for (int i = from; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return from >= argc;
}

int main(int argc, char **argv)
{
	int i = 1;

	k = nnr__kernels_best();
	for (; i + 1 < argc && argv[i][0] == '-'; i += 2)
		if (argv[i][1] == 'c')
			k = nnr__kernels_named(argv[i + 1]);
		else
			threads = atoi(argv[i + 1]);
	if (!k || threads < 1 || threads > THREADS) {
		fprintf(stderr, "kernels: no such CPU path or threads\n");
		return 2;
	}
	setup();
	team_start();
	printf("path %s, %d thread%s\n", k->name, threads,
	       threads > 1 ? "s" : "");
	if (wanted(argc, argv, i, "peak"))
		bench_peak();
	if (wanted(argc, argv, i, "linear"))
		bench_product(0);
	if (wanted(argc, argv, i, "i8"))
		bench_product(1);
	if (wanted(argc, argv, i, "i8") || wanted(argc, argv, i, "i82"))
		bench_product(2);
	if (wanted(argc, argv, i, "decode"))
		bench_decode();
	if (wanted(argc, argv, i, "attention"))
		bench_attention();
	if (wanted(argc, argv, i, "vec"))
		bench_vec();
	if (wanted(argc, argv, i, "back")) {
		bench_linear_back();
		bench_attention_back();
		bench_row_back();
	}
	team_stop();
	return 0;
}
