/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr eval: a program over a data file, compared with its targets.
 */
#include "cli.h"

#include <stddef.h>

int cmd_eval(const args *a)
{
	nnr_eval_opts e = {
		.data = a->data, .columns = a->columns,
		.where = a->where.s, .wheres = a->where.n,
		.limit = a->limit > 0 ? a->limit : 0,
		.sample = a->sample > 0 ? a->sample : 0,
		.predictions = a->predictions, .record = a->record,
		.progress = a->quiet ? NULL : say_progress,
	};
	char *json = NULL, *text = NULL;
	nnr_error err;
	opened o;
	int rc;

	if (!a->data)
		return say_usage("eval wants --data FILE");
	rc = opened_open(&o, a, false);
	if (rc)
		return rc;
	e.seeded = a->seed >= 0;
	e.seed = a->seed;
	rc = nnr_program_eval(o.program, &e, &json, &text, &err);
	if (rc) {
		rc = say_error(&err);
	} else {
		if (a->json)
			put_line(json);
		say_text(text);
	}
	nnr_free(json);
	nnr_free(text);
	opened_close(&o);
	return rc;
}
