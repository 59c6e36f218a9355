/* SPDX-License-Identifier: Apache-2.0
 *
 * team.h: threads that start and end each piece together, and its time.
 */
#ifndef BENCH_TEAM_H
#define BENCH_TEAM_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADS 16

static int threads = 1;

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef void work_fn(void *ctx, int id);

static struct {
	pthread_t thread[THREADS];
	atomic_int turn, done;
	work_fn *fn;
	void *ctx;
	double cpu[THREADS];	/* seconds of this piece */
} team;

static void work(int id)
{
	double t = seconds(CLOCK_THREAD_CPUTIME_ID);

	team.fn(team.ctx, id);
	team.cpu[id] = seconds(CLOCK_THREAD_CPUTIME_ID) - t;
}

static void *worker(void *arg)
{
	int id = (int)(intptr_t)arg;

	for (int turn = 1; ; turn++) {
		while (atomic_load(&team.turn) < turn)
			sched_yield();
		if (!team.fn)
			return NULL;
		work(id);
		atomic_fetch_add(&team.done, 1);
	}
}

/* Returns the CPU seconds of the slowest thread. */
static double together(work_fn *fn, void *ctx)
{
	double most = 0;

	team.fn = fn;
	team.ctx = ctx;
	atomic_store(&team.done, 0);
	atomic_fetch_add(&team.turn, 1);
	if (!fn)
		return 0;
	work(0);
	while (atomic_load(&team.done) < threads - 1)
		sched_yield();
	for (int i = 0; i < threads; i++)
		most = team.cpu[i] > most ? team.cpu[i] : most;
	return most;
}

static void team_start(void)
{
	for (int i = 1; i < threads; i++)
		pthread_create(&team.thread[i], NULL, worker,
			       (void *)(intptr_t)i);
}

static void team_stop(void)
{
	together(NULL, NULL);
	for (int i = 1; i < threads; i++)
		pthread_join(team.thread[i], NULL);
}

static double now(void)
{
	return seconds(CLOCK_MONOTONIC);
}

static void *room(size_t bytes)
{
	void *p = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(4);
	}
	return p;
}

/* Best seconds of a call over about `limit` seconds, at least 3 calls. */
static double best_of(work_fn *fn, void *ctx, double limit)
{
	double best = 1e9, end = now() + limit;

	for (int i = 0; i < 3 || now() < end; i++) {
		double t = together(fn, ctx);
		best = t < best ? t : best;
	}
	return best;
}

#endif
