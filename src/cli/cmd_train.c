/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr train: learns the tensors of a program from data and writes it as an
 * artifact.
 */
#include "cli.h"

#include <stddef.h>

static void say_line(void *ctx, const char *line)
{
	(void)ctx;
	say("%s", line);
}

static int64_t or_zero(int64_t v)
{
	return v > 0 ? v : 0;
}

static nnr_train_opts train_opts(const args *a)
{
	nnr_train_opts o = {
		.data = a->data, .validation = a->val, .output = a->output,
		.columns = a->columns, .where = a->where.s,
		.wheres = a->where.n, .limit = or_zero(a->limit),
		.sample = or_zero(a->sample), .seed = or_zero(a->seed),
		.seeds = (int)or_zero(a->seeds), .resume = a->resume,
		.dry_run = a->dry_run, .curve = a->curve,
		.record = a->record, .say = say_line,
		.progress = a->quiet ? NULL : say_training,
	};

	if (a->checkpoint >= 0)
		o.interval = a->checkpoint ? (double)a->checkpoint : -1;
	return o;
}

int cmd_train(const args *a)
{
	nnr_train_opts t = train_opts(a);
	char *json = NULL, *text = NULL;
	nnr_error err;
	opened o;
	int rc;

	if (!a->data)
		return say_usage("train wants --data FILE");
	if (!a->output && !a->dry_run)
		return say_usage("train wants -o FILE.nnr (or --dry-run)");
	rc = opened_open(&o, a, false);
	if (rc)
		return rc;
	rc = nnr_program_train(o.program, &t, &json, &text, &err);
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
