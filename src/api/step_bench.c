/* SPDX-License-Identifier: Apache-2.0
 *
 * step_bench.c: seconds of a training step: loss, gradient and update on
 * batches as `train` makes them.
 */
#include "api/api.h"
#include "optim/optim.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_LEAST 5

typedef struct step_bench {
	nnr_program *p;
	nnr__data data;
	nnr__lesson *lesson;
	nnr__training *training;
	double *at;		/* when each step was done */
	double loss;
} step_bench;

static int gradient(void *ctx, const int *item, int n, double *loss,
		    nnr_error *err)
{
	step_bench *b = ctx;

	return nnr__lesson_gradient(b->lesson, item, n, loss, err);
}

static void on_step(void *ctx, const nnr__training *t)
{
	step_bench *b = ctx;

	b->at[t->step] = nnr__now();
	b->loss = (double)t->loss[t->step - 1];
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int report(const step_bench *b, int64_t steps, char **json,
		  nnr_error *err)
{
	const nnr__engine_stats *stats = nnr__engine_stats_of(b->p->engine);
	char *cpu = nnr__cpu_name();
	nnr__buf out = { 0 };

	/* from the first, which is not counted, to differences */
	for (int64_t i = 0; i < steps; i++)
		b->at[i] = b->at[i + 2] - b->at[i + 1];
	qsort(b->at, (size_t)steps, sizeof(*b->at), by_value);
	nnr__buf_addf(&out, "{\"step_s\":%.6g,\"step_min_s\":%.6g,"
		      "\"step_q1_s\":%.6g,\"step_max_s\":%.6g,"
		      "\"steps\":%lld,\"loss\":%.9g,"
		      "\"peak_bytes\":%zu,\"mode\":\"%s\",\"threads\":%d,"
		      "\"cpu\":", b->at[steps / 2], b->at[0],
		      b->at[steps / 4], b->at[steps - 1], (long long)steps,
		      b->loss,
		      nnr__peak_rss(), nnr__mode_name(b->p->precision),
		      stats->threads);
	nnr__buf_add_json(&out, cpu ? cpu : "unknown",
			  strlen(cpu ? cpu : "unknown"));
	nnr__buf_addf(&out, ",\"kernel\":\"%s\",\"features\":\"%s\"}",
		      stats->kernel, nnr__cpu_features());
	free(cpu);
	return nnr__hand_out(&out, json, err);
}

static int measure(step_bench *b, int64_t steps, nnr_error *err)
{
	nnr__train_plan plan = *b->p->train;
	nnr__objective o = {
		.tensor = b->p->tensor, .tensors = b->p->tensors,
		.items = nnr__lesson_items(b->lesson),
		.length = nnr__lesson_lengths(b->lesson), .ctx = b,
		.gradient = gradient,
	};
	nnr__run_io io = { .on_step = on_step, .ctx = b };
	int rc;

	plan.steps = steps + 1;
	plan.epochs = 0;
	plan.patience = 0;
	b->at = nnr__calloc((size_t)steps + 2, sizeof(*b->at));
	if (!b->at)
		return nnr__fail_memory(err, "bench", (size_t)steps);
	rc = nnr__training_new(&b->training, &o, &plan, err);
	return rc ? rc : nnr__training_run(b->training, &io, err);
}

int nnr_program_step_bench(nnr_program *p, const nnr_step_opts *o,
			   char **json, nnr_error *err)
{
	nnr__records_opts with = { .limit = o->limit };
	step_bench b = { .p = p };
	int64_t steps = o->steps ? o->steps : p->train->steps;
	int rc;

	*json = NULL;
	steps = steps < STEPS_LEAST ? STEPS_LEAST : steps;
	rc = nnr__data_read(&b.data, p, o->data, &with, true, err);
	rc = rc ? rc : nnr__data_each(&b.data, err);
	rc = rc ? rc : nnr__lesson_new(&b.lesson, p, &b.data, o->memory, err);
	if (!rc && o->plain)
		nnr__lesson_plain(b.lesson);
	rc = rc ? rc : measure(&b, steps, err);
	rc = rc ? rc : report(&b, steps, json, err);
	nnr__training_free(b.training);
	nnr__lesson_free(b.lesson);
	nnr__data_release(&b.data);
	free(b.at);
	return rc;
}
