/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr bench: tokens a second of a model.
 */
#include "cli.h"

#include <stddef.h>

static int count(int64_t v)
{
	return v > 0 ? (int)v : 0;
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
