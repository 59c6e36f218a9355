/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr tokenize: {"tokens":[...]} a line per text, without BOS.
 */
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>

static int print(const nnr_model *m, nnr_text text)
{
	int32_t *token = NULL;
	size_t n = 0;
	nnr_error err;

	if (nnr_model_tokenize(m, text, &token, &n, &err))
		return say_error(&err);
	fputs("{\"tokens\":[", stdout);
	for (size_t i = 0; i < n; i++)
		printf("%s%" PRId32, i ? "," : "", token[i]);
	fputs("]}\n", stdout);
	nnr_free(token);
	return 0;
}

int cmd_tokenize(const args *a)
{
	nnr_text *text = NULL;
	nnr_model *m = NULL;
	nnr_error err;
	int n = 0, rc = texts_open(a, &text, &n);

	if (rc)
		return rc;
	if (nnr_model_open(&m, a->operand[0], NULL, &err))
		rc = say_error(&err);
	for (int i = 0; i < n && !rc; i++)
		rc = print(m, text[i]);
	nnr_model_close(m);
	nnr_free(text);
	return rc;
}
