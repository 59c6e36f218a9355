/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr import: a PEFT folder as an artifact.
 */
#include "cli.h"

#include <stddef.h>

int cmd_import(const args *a)
{
	nnr_import_opts o = { .model = a->model, .program = a->program,
			      .run = run_opts(a, NNR_FAST) };
	char *json = NULL;
	nnr_error err;

	if (!a->output)
		return say_usage("import wants -o FILE.nnr");
	if (!a->model && !a->program)
		return say_usage("import wants --model REF, the model that the "
				 "folder was trained on");
	if (nnr_peft_import(a->operand[0], &o, a->output, &json, &err))
		return say_error(&err);
	if (!a->json)
		return say_json(json);
	put(json);
	return 0;
}
