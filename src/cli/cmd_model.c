/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr model: info, pull, list, verify.
 */
#include "cli.h"

#include <stddef.h>
#include <string.h>

static int show(const args *a, int rc, char *json, const nnr_error *err)
{
	if (rc)
		return say_error(err);
	if (!a->json)
		return say_json(json);
	put(json);
	return 0;
}

static int info(const args *a)
{
	char *json = NULL;
	nnr_model *m;
	nnr_error err;
	int rc = nnr_model_open(&m, a->operand[1], NULL, &err);

	if (rc)
		return say_error(&err);
	rc = nnr_model_info(m, &json, &err);
	rc = show(a, rc, json, &err);
	nnr_model_close(m);
	return rc;
}

static int pull(const args *a)
{
	char *json = NULL;
	nnr_error err;
	int rc;

	say("%s: fetching it unless it is here", a->operand[1]);
	rc = nnr_model_pull(a->operand[1], &json, &err);
	return show(a, rc, json, &err);
}

static int list_models(const args *a)
{
	char *json = NULL;
	nnr_error err;
	int rc = nnr_model_list(&json, &err);

	return show(a, rc, json, &err);
}

static int verify(const args *a)
{
	char *json = NULL;
	nnr_error err;
	int same = 0;
	int rc = nnr_model_verify(a->operand[1], &same, &json, &err);

	rc = show(a, rc, json, &err);
	if (rc)
		return rc;
	if (same < 0)
		say("nothing to compare the hash with");
	else
		say(same ? "the hash is the stated one"
			 : "the hash is NOT the stated one");
	return same == 0 ? 1 : 0;
}

int cmd_model(const args *a)
{
	static const struct {
		const char *name;
		int operands;
		int (*run)(const args *a);
	} verbs[] = {
		{ "info", 2, info }, { "pull", 2, pull },
		{ "list", 1, list_models }, { "verify", 2, verify },
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, a->operand[0]) != 0)
			continue;
		if (a->operands != verbs[i].operands)
			return say_usage("model %s takes %s", verbs[i].name,
					 verbs[i].operands == 1 ? "no model"
								: "a model");
		return verbs[i].run(a);
	}
	return say_usage("model '%s'? use nnr model %s", a->operand[0],
			 commands[CMD_model].operands);
}
