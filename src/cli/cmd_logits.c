/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr logits: logits of every token of texts, as a safetensors file.
 */
#include "cli.h"

#include <stddef.h>

int cmd_logits(const args *a)
{
	nnr_run_opts how = run_opts(a, NNR_EXACT);
	char *json = NULL;
	nnr_text *text = NULL;
	nnr_model *m = NULL;
	nnr_error err;
	int n = 0, rc;

	if (!a->output)
		return say_usage("logits wants -o FILE.safetensors");
	rc = texts_open(a, &text, &n);
	if (rc)
		return rc;
	if (nnr_model_open(&m, a->operand[0], NULL, &err) ||
	    nnr_model_logits(m, text, n, a->output, &how, say_progress, NULL,
			     &json, &err))
		rc = say_error(&err);
	else if (a->json)
		put_line(json);
	nnr_free(json);
	nnr_model_close(m);
	nnr_free(text);
	return rc;
}
