/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr check: reads a program, its files and (where it is here) its model;
 * with --run its tests too.
 */
#include "cli.h"

#include <stddef.h>

static int run_tests(const args *a, opened *o)
{
	char *json = NULL;
	nnr_error err;
	int tests = 0, failed = 0;

	if (nnr_program_test(o->program, &tests, &failed, &json, &err))
		return say_error(&err);
	if (a->json)
		put(json);
	else if (failed || a->verbose)
		say_json(json);
	else
		nnr_free(json);
	if (failed)
		say("%s: %d of %d tests failed", a->operand[0], failed,
		    tests);
	else
		say("%s: ok, %d tests passed", a->operand[0], tests);
	return failed ? 1 : 0;
}

int cmd_check(const args *a)
{
	opened o;
	int rc = opened_open(&o, a, !a->run);

	if (rc)
		return rc;
	if (a->run) {
		rc = run_tests(a, &o);
	} else {
		if (a->json)
			put_line(o.model ? "{\"ok\":true,\"model\":true}"
					 : "{\"ok\":true,\"model\":false}");
		say("%s: ok", a->operand[0]);
	}
	opened_close(&o);
	return rc;
}
