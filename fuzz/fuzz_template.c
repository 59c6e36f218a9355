/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_template.c: any text as a template.  Written out again from its parts
 * it is the same template; filled with nothing it is its literal text.
 */
#include <stdlib.h>
#include <string.h>

#include "program/step.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void write_out(const nnr__template *t, nnr__buf *out)
{
	for (int i = 0; i < t->n; i++) {
		const nnr__tpart *part = &t->part[i];
		must(part->len == strlen(part->text) || !part->field);
		if (part->field) {
			must(nnr__is_name(part->text));
			nnr__buf_addf(out, "{%s}", part->text);
			continue;
		}
		must(part->len && (!i || part[-1].field));
		for (size_t k = 0; k < part->len; k++) {
			nnr__buf_addc(out, part->text[k]);
			if (part->text[k] == '{' || part->text[k] == '}')
				nnr__buf_addc(out, part->text[k]);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	nnr__buf out = { 0 }, filled = { 0 };
	nnr__arena a = { NULL };
	nnr__record none = { 0 };
	nnr__template *t = NULL;
	nnr_error err;
	int rc = nnr__template_parse(&t, &a, (const char *)data, size, &err);

	must(!rc == (t != NULL));
	if (t) {
		write_out(t, &out);
		must(out.len == size);
		must(!size || !memcmp(out.p, data, size));
		nnr__template_fill(t, &none, &filled);
		must(filled.len <= size);
	} else {
		must(rc == NNR_E_INPUT && err.message[0]);
	}
	nnr__buf_release(&out);
	nnr__buf_release(&filled);
	nnr__arena_release(&a);
	return 0;
}
