/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.h: what the tests of the kernels share: random rows and files of
 * weights, attention jobs, comparing and printing.
 *
 * Weights end at an unreadable page: a read past them is a crash.
 * Two NaNs count as the same bits (their payload is nobody's promise).
 */
#ifndef TESTS_KERNELS_H
#define TESTS_KERNELS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kernel/kernel.h"

enum { MAX_COLS = 8192 };

static int failures;
static const nnr__kernels *ref;		/* generic */
static void *scratch;

/* ---- random data ---- */

static uint64_t state = 1;

static inline uint32_t rnd(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 32);
}

static inline int between(int lo, int hi)
{
	return lo + (int)(rnd() % (uint32_t)(hi - lo + 1));
}

static inline float uniform(void)		/* -1 .. 1 */
{
	return (float)((int)(rnd() >> 8) - (1 << 23)) * 0x1p-23f;
}

static inline void fill(float *x, size_t n, float scale)
{
	for (size_t i = 0; i < n; i++)
		x[i] = uniform() * scale;
}

/* A few of the values that break things. */
static inline void spoil(float *x, size_t n)
{
	static const float odd[] = {
		0, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -1e-40f, 3e38f,
		-88, 88.5f, -87.33655f, 1e30f, 0x1p-101f,
	};
	for (size_t i = 0; i < n; i++)
		if (rnd() % 40 == 0)
			x[i] = odd[rnd() % (sizeof odd / sizeof odd[0])];
}

static inline void *need(void *p)
{
	if (!p || p == MAP_FAILED) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return p;
}

static inline void *room(size_t bytes)		/* 64-byte aligned */
{
	return need(aligned_alloc(64, (bytes + 127) / 64 * 64));
}

/* n bytes whose end touches a page that cannot be read. */
typedef struct {
	uint8_t *base, *p;
	size_t all;
} guarded;

static inline guarded guarded_new(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t body = (n + page - 1) / page * page;
	guarded g = { .all = body + page };

	g.base = need(mmap(NULL, g.all, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	if (mprotect(g.base + body, page, PROT_NONE) != 0)
		need(NULL);
	g.p = g.base + body - n;
	return g;
}

static inline void guarded_free(guarded *g)
{
	munmap(g->base, g->all);
}

/* binary16 bits of moderate size: 2^-12 .. 2^-3, both signs, now and then
 * zero or subnormal. */
static inline uint16_t random_half(void)
{
	uint32_t r = rnd();

	if (r % 64 == 0)
		return (uint16_t)(r >> 8 & 0x83ff);
	return (uint16_t)((r >> 8 & 0x83ff) | (uint32_t)between(3, 12) << 10);
}

static inline void random_row(nnr__dtype type, uint8_t *p, int k)
{
	int bytes = nnr__dtypes[type].bytes;

	for (int i = 0; i < k; i += nnr__dtypes[type].block, p += bytes) {
		uint16_t h = random_half(), m = random_half();
		float f = uniform();
		if (type == NNR__F32) {
			memcpy(p, &f, 4);
			continue;
		}
		for (int j = 0; j < bytes; j++)
			p[j] = (uint8_t)rnd();
		if (type == NNR__BF16)
			h = (uint16_t)((h & 0x807f) | 0x3d00);
		memcpy(p, &h, 2);
		if (type == NNR__Q4_1)
			memcpy(p + 2, &m, 2);
	}
}

static inline guarded matrix(nnr__mat *w, nnr__dtype type, int rows, int cols)
{
	const nnr__dtype_info *t = &nnr__dtypes[type];
	size_t rb = (size_t)(cols / t->block * t->bytes);
	guarded g = guarded_new(rb * (size_t)rows);

	for (int r = 0; r < rows; r++)
		random_row(type, g.p + (size_t)r * rb, cols);
	*w = (nnr__mat){ type, rows, cols, rb, g.p };
	return g;
}

/* ---- comparing and printing ---- */

static inline bool same(const float *a, const float *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(&a[i], &b[i], 4) != 0 &&
		    !(isnan(a[i]) && isnan(b[i])))
			return false;
	return true;
}

static inline double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void report(const char *kernel, const char *what,
			  const char *path, double ratio, bool ok)
{
	char speed[16] = "";

	if (ratio > 0)
		snprintf(speed, sizeof speed, "%.1fx", ratio);
	printf("%-10s %-38s %-8s %9s  %s\n", kernel, what, path, speed,
	       ok ? "yes" : "NO");
	failures += !ok;
}

static inline void accuracy(const char *what, double got, double limit)
{
	bool ok = got <= limit;		/* a NaN fails */

	printf("%-50s %9.2e <= %8.1e  %s\n", what, got, limit,
	       ok ? "yes" : "NO");
	failures += !ok;
}

/* Seconds of one call, best of a few. */
#define BEST(seconds, call) do { \
	(seconds) = 1e9; \
	for (int rep_ = 0; rep_ < 3; rep_++) { \
		double t_ = now(); \
		call; \
		t_ = now() - t_; \
		(seconds) = t_ < (seconds) ? t_ : (seconds); \
	} \
} while (0)

/* Every path but the generic one; which some CPUs lack. */
static inline void each_path(void (*test)(const nnr__kernels *k))
{
	printf("CPU: %s\n", nnr__cpu_features());
	printf("%-10s %-38s %-8s %9s  %s\n", "kernel", "cases", "path",
	       "speed", "same bits");
	for (int i = 1; nnr__kernel_names[i]; i++) {
		const nnr__kernels *k =
			nnr__kernels_named(nnr__kernel_names[i]);
		if (k)
			test(k);
		else
			printf("%-10s %-38s %-8s   skipped\n", "all",
			       "this CPU lacks it", nnr__kernel_names[i]);
	}
}

/* ---- attention jobs ---- */

enum { MAX_PAGES = 12 };

typedef struct {
	nnr__attn a;
	float *q, *o, *kt[MAX_PAGES], *v[MAX_PAGES];
	const float *ktp[MAX_PAGES], *vp[MAX_PAGES];
	size_t size;		/* floats of q and of o */
} job;

/* Keys after the last position are NaN, pages after it do not exist. */
static inline void job_new(job *j, int rows, int heads, int dim, int pos0)
{
	int last = pos0 + rows - 1;
	size_t ld = (size_t)(heads * dim + between(0, 2) * 8);
	size_t bytes = (size_t)dim * NNR__PAGE * 4;

	memset(j, 0, sizeof *j);
	j->size = ld * (size_t)rows;
	j->q = room(j->size * 4);
	j->o = room(j->size * 4);
	fill(j->q, j->size, 3);
	for (int p = 0; p * NNR__PAGE <= last; p++) {
		j->kt[p] = room(bytes);
		j->v[p] = room(bytes);
		fill(j->kt[p], bytes / 4, 1);
		fill(j->v[p], bytes / 4, 1);
		for (int s = 0; s < NNR__PAGE; s++)
			for (int d = 0; d < dim; d++)
				if (p * NNR__PAGE + s > last) {
					j->kt[p][d * NNR__PAGE + s] = NAN;
					j->v[p][s * dim + d] = NAN;
				}
		j->ktp[p] = j->kt[p];
		j->vp[p] = j->v[p];
	}
	j->a = (nnr__attn){
		.q = j->q, .o = j->o, .ldq = ld, .ldo = ld, .rows = rows,
		.heads = heads, .dim = dim, .pos0 = pos0,
		.scale = 1 / sqrtf((float)dim), .kt = j->ktp, .v = j->vp,
	};
}

static inline void job_free(job *j)
{
	free(j->q);
	free(j->o);
	for (int p = 0; p < MAX_PAGES; p++) {
		free(j->kt[p]);
		free(j->v[p]);
	}
}

#endif
