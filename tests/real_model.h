/* SPDX-License-Identifier: Apache-2.0
 *
 * real_model.h: where tests find SmolLM2-135M-Instruct: the file that
 * NNR_TEST_MODEL names, else what `nnr model pull` has put into the cache.
 */
#ifndef REAL_MODEL_H
#define REAL_MODEL_H

#include <stdio.h>
#include <stdlib.h>

#include "load/load.h"

#define REAL_MODEL_SKIPPED 77	/* CTest: SKIP_RETURN_CODE */

/* malloc'd path, or NULL. */
static inline char *real_model(void)
{
	const char *given = getenv("NNR_TEST_MODEL");
	char *path = NULL;

	if (given)
		return nnr__strdup(given);
	if (nnr__model_resolve(&path, "smollm2-135m-instruct", NULL, NULL))
		return NULL;
	return path;
}

static inline int real_model_skip(void)
{
	printf("skipped: no model; `nnr model pull smollm2-135m-instruct` or "
	       "NNR_TEST_MODEL\n");
	return REAL_MODEL_SKIPPED;
}

#endif
