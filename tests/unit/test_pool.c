/* SPDX-License-Identifier: Apache-2.0
 *
 * test_pool.c: the team of threads.  Runs under ThreadSanitizer in ./check;
 * plain data is passed between threads on purpose, so that a missing order
 * is a race it can see.
 */
#define _XOPEN_SOURCE 700
#include "test.h"

#include <time.h>

#include "base/base.h"

#define WIDEST 9

struct job {
	nnr__pool *pool;
	int threads;
	int rounds;
	long cell[WIDEST];	/* written by its own thread only */
	long sum[WIDEST];
};

static void count_one(void *ctx, int id)
{
	struct job *j = ctx;
	j->cell[id]++;
}

/* Every round: write own cell, wait, read all cells, wait. */
static void exchange(void *ctx, int id)
{
	struct job *j = ctx;

	for (int r = 0; r < j->rounds; r++) {
		long sum = 0;
		j->cell[id] = (long)r * (id + 1);
		nnr__pool_barrier(j->pool, id);
		for (int i = 0; i < j->threads; i++)
			sum += j->cell[i];
		j->sum[id] += sum;
		nnr__pool_barrier(j->pool, id);
	}
}

static void test_runs(void **state)
{
	static const int widths[] = { 1, 2, 3, 4, WIDEST };
	nnr_error err;

	(void)state;
	for (size_t w = 0; w < sizeof(widths) / sizeof(*widths); w++) {
		struct job j = { .threads = widths[w], .rounds = 200 };
		long want = 0, all = (long)j.threads * (j.threads + 1) / 2;
		int runs = w < 2 ? 3000 : 300;

		assert_int_equal(nnr__pool_new(&j.pool, j.threads, &err), 0);
		assert_int_equal(nnr__pool_threads(j.pool), j.threads);
		for (int i = 0; i < runs; i++)
			nnr__pool_run(j.pool, count_one, &j);
		for (int i = 0; i < j.threads; i++)
			assert_int_equal(j.cell[i], runs);

		nnr__pool_run(j.pool, exchange, &j);
		for (int r = 0; r < j.rounds; r++)
			want += r * all;
		for (int i = 0; i < j.threads; i++)
			assert_int_equal(j.sum[i], want);
		nnr__pool_free(j.pool);
	}
}

static void nap(void *ctx, int id)
{
	struct timespec t = { .tv_nsec = 2000000 };
	struct job *j = ctx;

	if (id % 2)
		nanosleep(&t, NULL);
	nnr__pool_barrier(j->pool, id);
	if (id % 2 == 0)
		nanosleep(&t, NULL);
	j->cell[id]++;
}

/* Waits longer than anyone spins: all three kinds of sleep, and waking. */
static void test_sleeps(void **state)
{
	struct timespec t = { .tv_nsec = 2000000 };
	struct job j = { .threads = 3 };
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__pool_new(&j.pool, 3, &err), 0);
	for (int i = 0; i < 20; i++) {
		nnr__pool_run(j.pool, nap, &j);
		nanosleep(&t, NULL);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(j.cell[i], 20);
	nnr__pool_free(j.pool);
}

static void test_lifetimes(void **state)
{
	nnr__pool *p;
	nnr_error err;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(nnr__pool_new(&p, 1 + i % 4, &err), 0);
		nnr__pool_free(p);	/* some workers never ran */
	}
	assert_int_equal(nnr__pool_new(&p, 0, &err), 0);
	assert_true(nnr__pool_threads(p) >= 1);
	nnr__pool_free(p);
	nnr__pool_free(NULL);
	assert_int_equal(nnr__pool_new(&p, 100000, &err), NNR_E_INPUT);
	assert_null(p);
}

/* Time of an empty run, for the curious; no limit, machines differ. */
static void test_cost(void **state)
{
	struct job j = { .threads = 2 };
	nnr_error err;
	double t;

	(void)state;
	assert_int_equal(nnr__pool_new(&j.pool, 2, &err), 0);
	nnr__pool_run(j.pool, count_one, &j);
	t = nnr__now();
	for (int i = 0; i < 2000; i++)
		nnr__pool_run(j.pool, count_one, &j);
	t = (nnr__now() - t) / 2000;
	printf("an empty run of 2 threads: %.2f us\n", t * 1e6);
	nnr__pool_free(j.pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_sleeps),
		cmocka_unit_test(test_lifetimes),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
