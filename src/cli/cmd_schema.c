/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr schema: JSON Schema of a program's source.
 */
#include "cli.h"

#include <stddef.h>

int cmd_schema(const args *a)
{
	char *json = NULL;
	nnr_error err;

	(void)a;
	if (nnr_schema(&json, &err))
		return say_error(&err);
	put(json);
	return 0;
}
