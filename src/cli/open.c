/* SPDX-License-Identifier: Apache-2.0
 *
 * open.c: what several commands begin with: options for the library, a
 * program with its model, texts.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

nnr_run_opts run_opts(const args *a, nnr_precision fallback)
{
	nnr_run_opts o = { .precision = fallback };

	if (a->threads > 0)
		o.threads = (int)a->threads;
	if (a->precision)
		o.precision = strcmp(a->precision, "exact") == 0 ? NNR_EXACT
								 : NNR_FAST;
	o.no_cache = a->no_cache;
	return o;
}

nnr_program_opts program_opts(const args *a)
{
	return (nnr_program_opts){ .set = a->set.s, .sets = a->set.n,
				   .seeded = a->seed >= 0,
				   .seed = a->seed,
				   .rebind = a->rebind,
				   .untrained = a->untrained };
}

int opened_open(opened *o, const args *a, bool lenient)
{
	nnr_program_opts with = program_opts(a);
	nnr_run_opts how = run_opts(a, NNR_FAST);
	double start = now();
	nnr_error err;
	int rc;

	memset(o, 0, sizeof(*o));
	rc = nnr_program_open(&o->program, a->operand[0], &with, &err);
	if (rc)
		return say_error(&err);
	rc = nnr_program_model(o->program, &o->model, &err);
	if (rc == NNR_E_INPUT && lenient) {
		say("without its model: %s", err.message);
		return 0;
	}
	if (!rc)
		rc = nnr_program_bind(o->program, o->model, &how, &err);
	if (!rc && nnr_program_rebound(o->program))
		say("%s: rebound; it was made on the backbone %s",
		    nnr_program_name(o->program),
		    nnr_program_rebound(o->program));
	if (!rc && a->verbose)
		say("%s: program and model ready after %.3f s",
		    nnr_program_name(o->program), now() - start);
	if (!rc)
		return 0;
	opened_close(o);
	return say_error(&err);
}

void opened_close(opened *o)
{
	nnr_program_close(o->program);
	nnr_model_close(o->model);
	memset(o, 0, sizeof(*o));
}

int texts_open(const args *a, nnr_text **text, int *n)
{
	nnr_error err;

	if (!a->text == !a->data)
		return say_usage("one of --text T and --data FILE, please");
	if (a->data) {
		if (nnr_texts_read(text, n, a->data, &err))
			return say_error(&err);
		if (a->limit > 0 && a->limit < *n)
			*n = (int)a->limit;
		return 0;
	}
	*text = malloc(sizeof(**text));
	if (!*text) {
		err = (nnr_error){ .code = NNR_E_MEMORY,
				   .message = "out of memory" };
		return say_error(&err);
	}
	**text = (nnr_text){ a->text, strlen(a->text) };
	*n = 1;
	return 0;
}
