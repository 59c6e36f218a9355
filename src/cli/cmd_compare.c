/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr compare: programs beside each other on the same items.
 */
#include "cli.h"

#include <stddef.h>

int cmd_compare(const args *a)
{
	nnr_run_opts how = run_opts(a, NNR_FAST);
	nnr_compare_opts c = {
		.program = a->operand, .programs = a->operands,
		.data = a->data, .columns = a->columns,
		.where = a->where.s, .wheres = a->where.n,
		.limit = a->limit > 0 ? a->limit : 0,
		.sample = a->sample > 0 ? a->sample : 0,
		.seed = a->seed > 0 ? a->seed : 0,
		.untrained = a->untrained,
		.progress = a->quiet ? NULL : say_progress,
	};
	char *json = NULL, *text = NULL;
	nnr_error err;
	int rc = 0;

	if (!a->data)
		return say_usage("compare wants --data FILE");
	if (nnr_compare(&c, &how, &json, &text, &err))
		rc = say_error(&err);
	else if (a->json)
		put_line(json);
	else
		put(text);
	nnr_free(json);
	if (a->json || rc)
		nnr_free(text);
	return rc;
}
