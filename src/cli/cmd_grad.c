/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr grad: the gradient of the mean loss of a data file.
 */
#include "cli.h"

#include <stddef.h>

int cmd_grad(const args *a)
{
	nnr_program_opts with = program_opts(a);
	nnr_run_opts how = run_opts(a, NNR_EXACT);
	nnr_grad_opts g = { .data = a->data,
			    .limit = a->limit > 0 ? a->limit : 0,
			    .plain = a->plain };
	nnr_program *p = NULL;
	nnr_model *m = NULL;
	char *json = NULL;
	nnr_error err;
	int rc = 0;

	if (!a->data || !a->output)
		return say_usage("grad wants --data FILE and -o "
				 "FILE.safetensors");
	if (nnr_program_open(&p, a->operand[0], &with, &err) ||
	    nnr_program_model(p, &m, &err) ||
	    nnr_program_bind(p, m, &how, &err) ||
	    nnr_program_grad(p, &g, a->output, &json, &err))
		rc = say_error(&err);
	else if (a->json)
		put_line(json);
	else
		rc = say_json(json);
	if (a->json)
		nnr_free(json);
	nnr_program_close(p);
	nnr_model_close(m);
	return rc;
}
