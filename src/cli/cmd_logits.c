/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr logits: logits of every token of texts, by themselves or in a
 * program's prompt, as a safetensors file.
 */
#include "cli.h"

#include <stddef.h>
#include <string.h>

/* Models are aliases, or files with another ending. */
static bool is_program(const char *name)
{
	static const char *const ends[] = { ".nnr", ".yaml", ".yml" };
	size_t n = strlen(name);

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		size_t m = strlen(ends[i]);
		if (n > m && strcmp(name + n - m, ends[i]) == 0)
			return true;
	}
	return false;
}

static int in_program(const args *a, const nnr_text *text, int n,
		      char **json, nnr_error *err)
{
	nnr_program_opts with = program_opts(a);
	nnr_run_opts how = run_opts(a, NNR_EXACT);
	nnr_program *p = NULL;
	nnr_model *m = NULL;
	int rc = nnr_program_open(&p, a->operand[0], &with, err);

	rc = rc ? rc : nnr_program_model(p, &m, err);
	rc = rc ? rc : nnr_program_bind(p, m, &how, err);
	rc = rc ? rc : nnr_program_logits(p, text, n, a->output, say_progress,
					  NULL, json, err);
	nnr_program_close(p);
	nnr_model_close(m);
	return rc;
}

static int by_itself(const args *a, const nnr_text *text, int n,
		     char **json, nnr_error *err)
{
	nnr_run_opts how = run_opts(a, NNR_EXACT);
	nnr_model *m = NULL;
	int rc = nnr_model_open(&m, a->operand[0], NULL, err);

	rc = rc ? rc : nnr_model_logits(m, text, n, a->output, &how,
					say_progress, NULL, json, err);
	nnr_model_close(m);
	return rc;
}

int cmd_logits(const args *a)
{
	char *json = NULL;
	nnr_text *text = NULL;
	nnr_error err;
	int n = 0, rc;

	if (!a->output)
		return say_usage("logits wants -o FILE.safetensors");
	rc = texts_open(a, &text, &n);
	if (rc)
		return rc;
	rc = is_program(a->operand[0]) ? in_program(a, text, n, &json, &err)
				       : by_itself(a, text, n, &json, &err);
	if (rc)
		rc = say_error(&err);
	else if (a->json)
		put_line(json);
	nnr_free(json);
	nnr_free(text);
	return rc;
}
