/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as an artifact.  Where there are digits of a SHA-256 they are
 * put right first, so that what lies below them is read too.  What is taken
 * is shown.
 */
#include <stdlib.h>
#include <string.h>

#include "program/artifact_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void show(nnr_program *p)
{
	nnr__buf out = { 0 }, again = { 0 };
	nnr__arena a = { NULL };
	const nnr__jnode *n;
	nnr_error err;
	int rc;

	/* Its record has one spelling, which reads as itself. */
	rc = nnr__json_canonical(&out, p->artifact->top, &err);
	if (!rc) {
		must(!nnr__json_parse(&a, &n, "j", out.p, out.len, &err));
		must(!nnr__json_canonical(&again, n, &err));
		must(out.len == again.len &&
		     !memcmp(out.p, again.p, out.len));
	}
	nnr__buf_clear(&out);
	rc = nnr__program_show(p, true, &out, &err);
	must(!rc || err.message[0]);
	nnr__buf_release(&out);
	nnr__buf_release(&again);
	nnr__arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = nnr__artifact_digits(data, size);
	char *bytes = malloc(size ? size : 1), hex[65];
	nnr_error err = { 0 };
	nnr_program *p;

	must(bytes != NULL);
	if (size)
		memcpy(bytes, data, size);
	if (at) {
		nnr__artifact_sha(bytes, size, at, hex);
		memcpy(bytes + at, hex, 64);
	}
	if (nnr__artifact_parse(&p, "fuzz.nnr", NULL, bytes, size, NULL,
				&err))
		must(!p && err.code < 0 && err.message[0]);
	else
		show(p);
	nnr__program_close(p);
	free(bytes);
	return 0;
}
