/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr bench: tokens a second of a model, or seconds of a training step.
 */
#include "cli.h"

#include <stddef.h>

static int count(int64_t v)
{
	return v > 0 ? (int)v : 0;
}

static int bench_step(const args *a)
{
	nnr_step_opts s = { .data = a->data, .limit = count(a->limit),
			    .steps = count(a->repetitions),
			    .plain = a->plain };
	char *json = NULL;
	nnr_error err;
	opened o;
	int rc;

	if (!a->data)
		return say_usage("bench --step wants --data FILE");
	rc = opened_open(&o, a, false);
	if (rc)
		return rc;
	if (nnr_program_step_bench(o.program, &s, &json, &err))
		rc = say_error(&err);
	else if (a->json)
		put(json);
	else
		rc = say_json(json);
	opened_close(&o);
	return rc;
}

int cmd_bench(const args *a)
{
	nnr_run_opts how = run_opts(a, NNR_FAST);
	nnr_bench_opts b = { .prompt = count(a->prompt),
			     .generate = count(a->generate),
			     .repetitions = count(a->repetitions) };
	char *json = NULL;
	nnr_model *m = NULL;
	nnr_error err;
	int rc = 0;

	if (a->step)
		return bench_step(a);
	if (nnr_model_open(&m, a->operand[0], NULL, &err) ||
	    nnr_model_bench(m, &b, &how, &json, &err))
		rc = say_error(&err);
	else if (a->json)
		put(json);
	else
		rc = say_json(json);
	nnr_model_close(m);
	return rc;
}
