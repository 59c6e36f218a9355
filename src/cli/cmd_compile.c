/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr compile: a program as an artifact, without training it.
 */
#include "cli.h"

#include <stddef.h>

int cmd_compile(const args *a)
{
	char *json = NULL;
	nnr_error err;
	opened o;
	int rc;

	if (!a->output)
		return say_usage("compile wants -o FILE.nnr");
	rc = opened_open(&o, a, false);
	if (rc)
		return rc;
	if (nnr_program_save(o.program, a->output, &json, &err))
		rc = say_error(&err);
	else if (a->json)
		put(json);
	else
		rc = say_json(json);
	opened_close(&o);
	return rc;
}
