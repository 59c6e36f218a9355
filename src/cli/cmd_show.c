/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr show: what a program is.  Without its model here, the prompt is shown
 * without positions.
 */
#include "cli.h"

#include <stddef.h>

int cmd_show(const args *a)
{
	int flags = (a->json ? NNR_SHOW_JSON : 0) |
		    (a->resolved ? NNR_SHOW_RESOLVED : 0);
	char *out = NULL;
	nnr_error err;
	opened o;
	int rc = opened_open(&o, a, true);

	if (rc)
		return rc;
	rc = nnr_program_show(o.program, flags, &out, &err);
	if (rc)
		rc = say_error(&err);
	else if (a->json)
		put_line(out);
	else
		say_text(out);
	nnr_free(out);
	opened_close(&o);
	return rc;
}
