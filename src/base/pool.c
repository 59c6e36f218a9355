/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.c: one team of threads that runs one function at a time.  The caller
 * is thread 0.  Whoever waits (a worker for the next run, the caller for the
 * last worker, anyone at a barrier) spins for some tens of microseconds, as
 * long as most waits between kernels last, then sleeps, so that a core that
 * is lent to another process does not burn the others.
 *
 * The pool splits no work and orders nothing: which thread computes what is
 * the kernel's business, and its results must not depend on it.
 */
#define _GNU_SOURCE	/* sched_getaffinity */
#include "base.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS_MAX 1024
#define SPIN_SECONDS 40e-6
#define SPIN_CROWDED 2e-6	/* more threads than CPUs */

/* A number that only grows.  One side opens it, the other waits for it to
 * pass what it saw.  Nobody sleeps past an opening: the waiter announces
 * itself before it looks again, the opener looks after it has opened. */
struct gate {
	_Alignas(64) atomic_uint count;
	atomic_uint sleepers;
	pthread_mutex_t lock;
	pthread_cond_t opened;
};

struct nnr__pool {
	struct gate start, done, turn;
	_Alignas(64) atomic_int running;	/* workers not yet done */
	_Alignas(64) atomic_int arrived;	/* threads at the barrier */
	void (*fn)(void *ctx, int id);
	void *ctx;
	int threads;
	int born;		/* workers that exist */
	double spin;
	struct worker *worker;
};

struct worker {
	nnr__pool *pool;
	pthread_t thread;
	int id;
};

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

#define GATE { .lock = PTHREAD_MUTEX_INITIALIZER, \
	       .opened = PTHREAD_COND_INITIALIZER }

static void gate_release(struct gate *g)
{
	pthread_cond_destroy(&g->opened);
	pthread_mutex_destroy(&g->lock);
}

static void gate_open(struct gate *g)
{
	atomic_fetch_add(&g->count, 1);
	if (atomic_load(&g->sleepers) > 0) {
		pthread_mutex_lock(&g->lock);
		pthread_cond_broadcast(&g->opened);
		pthread_mutex_unlock(&g->lock);
	}
}

/* Until the gate's count is no longer `seen`. */
static void gate_wait(struct gate *g, unsigned seen, double spin)
{
	double until = 0;

	for (unsigned i = 0;; i++) {
		if (atomic_load_explicit(&g->count,
					 memory_order_acquire) != seen)
			return;
		pause_cpu();
		if (i % 32 != 31)
			continue;
		if (until == 0)
			until = nnr__now() + spin;
		else if (nnr__now() > until)
			break;
	}
	pthread_mutex_lock(&g->lock);
	atomic_fetch_add(&g->sleepers, 1);
	while (atomic_load(&g->count) == seen)
		pthread_cond_wait(&g->opened, &g->lock);
	atomic_fetch_sub(&g->sleepers, 1);
	pthread_mutex_unlock(&g->lock);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	nnr__pool *p = w->pool;
	unsigned seen = 0;

	for (;;) {
		gate_wait(&p->start, seen, p->spin);
		seen++;
		if (!p->fn)
			return NULL;
		p->fn(p->ctx, w->id);
		if (atomic_fetch_sub(&p->running, 1) == 1)
			gate_open(&p->done);
	}
}

/* The CPUs this process may use: its affinity, not the machine. */
static int cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __linux__
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
#endif
	return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (int)n;
}

/* Workers take no signals: those are the program's. */
static int start_workers(nnr__pool *p, nnr_error *err)
{
	sigset_t all, old;
	int failed = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (int i = 1; i < p->threads && !failed; i++) {
		struct worker *w = &p->worker[i - 1];
		w->pool = p;
		w->id = i;
		failed = pthread_create(&w->thread, NULL, work, w);
		if (!failed)
			p->born++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (failed)
		return nnr__fail(err, NNR_E_MEMORY, "cannot start thread %d "
				 "of %d", p->born + 2, p->threads);
	return 0;
}

int nnr__pool_new(nnr__pool **out, int threads, nnr_error *err)
{
	int have = cpus(), rc;
	nnr__pool *p;

	*out = NULL;
	if (threads <= 0)
		threads = have;
	if (threads > THREADS_MAX)
		return nnr__fail(err, NNR_E_INPUT, "%d threads: at most %d",
				 threads, THREADS_MAX);
	p = nnr__aligned(sizeof(*p));
	if (!p)
		return nnr__fail_memory(err, "threads", sizeof(*p));
	*p = (nnr__pool){
		.start = GATE, .done = GATE, .turn = GATE,
		.threads = threads,
		.spin = threads > have ? SPIN_CROWDED : SPIN_SECONDS,
		.worker = nnr__calloc((size_t)threads, sizeof(*p->worker)),
	};
	rc = p->worker ? start_workers(p, err)
		       : nnr__fail_memory(err, "threads", sizeof(*p));
	if (rc)
		nnr__pool_free(p);
	else
		*out = p;
	return rc;
}

void nnr__pool_free(nnr__pool *p)
{
	if (!p)
		return;
	p->fn = NULL;
	gate_open(&p->start);
	for (int i = 0; i < p->born; i++)
		pthread_join(p->worker[i].thread, NULL);
	gate_release(&p->start);
	gate_release(&p->done);
	gate_release(&p->turn);
	free(p->worker);
	nnr__aligned_free(p);
}

int nnr__pool_threads(const nnr__pool *p)
{
	return p->threads;
}

void nnr__pool_run(nnr__pool *p, void (*fn)(void *ctx, int id), void *ctx)
{
	unsigned seen;

	if (p->threads == 1) {
		fn(ctx, 0);
		return;
	}
	p->fn = fn;
	p->ctx = ctx;
	atomic_store(&p->running, p->threads - 1);
	seen = atomic_load(&p->done.count);
	gate_open(&p->start);
	fn(ctx, 0);
	gate_wait(&p->done, seen, p->spin);
}

void nnr__pool_barrier(nnr__pool *p, int id)
{
	unsigned seen = atomic_load(&p->turn.count);

	(void)id;
	if (p->threads == 1)
		return;
	if (atomic_fetch_add(&p->arrived, 1) == p->threads - 1) {
		atomic_store(&p->arrived, 0);
		gate_open(&p->turn);
	} else {
		gate_wait(&p->turn, seen, p->spin);
	}
}
