/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr export: what a program begins with, as a PEFT folder.
 */
#include "cli.h"

#include <stddef.h>

int cmd_export(const args *a)
{
	char *json = NULL;
	nnr_error err;
	opened o;
	int rc;

	if (!a->output)
		return say_usage("export wants -o FOLDER");
	rc = opened_open(&o, a, false);
	if (rc)
		return rc;
	if (nnr_program_export(o.program, a->output, &json, &err)) {
		rc = say_error(&err);
	} else {
		if (a->json)
			put_line(json);
		say("%s: a PEFT folder holds its rows only, not what follows",
		    nnr_program_name(o.program));
		rc = say_json(json);
	}
	opened_close(&o);
	return rc;
}
