/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a safetensors file.  What is accepted is written again: that
 * must read as the same tensors and texts, and write as the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "load/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void same(const nnr__st *a, const nnr__st *b)
{
	must(a->tensors == b->tensors && a->texts == b->texts);
	for (int i = 0; i < a->tensors; i++) {
		const nnr__st_tensor *x = &a->tensor[i], *y = &b->tensor[i];
		must(!strcmp(x->name, y->name) && x->type == y->type &&
		     x->dims == y->dims &&
		     !memcmp(x->dim, y->dim, sizeof(x->dim)) &&
		     !memcmp(x->data, y->data, nnr__st_bytes(x)));
	}
	for (int i = 0; i < a->texts; i++)
		must(!strcmp(a->text[i].key, b->text[i].key) &&
		     a->text[i].len == b->text[i].len &&
		     !memcmp(a->text[i].text, b->text[i].text,
			     a->text[i].len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	nnr__buf once = { 0 }, twice = { 0 };
	nnr_error err = { 0 };
	nnr__st *st, *again;

	if (nnr__st_parse(&st, "fuzz", data, size, &err)) {
		must(err.code < 0 && err.message[0]);
		return 0;
	}
	must(!nnr__st_bytes_of(&once, st->tensor, st->tensors, st->text,
			       st->texts, &err));
	must(!nnr__st_parse(&again, "again", once.p, once.len, &err));
	same(st, again);
	must(!nnr__st_bytes_of(&twice, again->tensor, again->tensors,
			       again->text, again->texts, &err));
	must(once.len == twice.len && !memcmp(once.p, twice.p, once.len));
	nnr__st_close(st);
	nnr__st_close(again);
	nnr__buf_release(&once);
	nnr__buf_release(&twice);
	return 0;
}
