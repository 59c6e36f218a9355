/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_json.c: any bytes as JSON.  What is taken is written again with the
 * functions of buf.c and must read back as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void write_node(nnr__buf *b, const nnr__jnode *n)
{
	const nnr__jnode *c = n->child;
	bool object = n->kind == NNR__J_OBJECT;
	uint32_t count = 0;

	switch (n->kind) {
	case NNR__J_NULL:
		nnr__buf_adds(b, "null");
		return;
	case NNR__J_BOOL:
		nnr__buf_adds(b, n->num != 0 ? "true" : "false");
		return;
	case NNR__J_NUMBER:
		nnr__buf_add_num(b, n->num);
		return;
	case NNR__J_STRING:
		must(strlen(n->text) <= n->len);	/* it may hold a NUL */
		nnr__buf_add_json(b, n->text, n->len);
		return;
	default:
		break;
	}
	nnr__buf_addc(b, object ? '{' : '[');
	for (; c; c = c->next) {
		if (count++)
			nnr__buf_addc(b, ',');
		must((c->key != NULL) == object);
		if (object) {
			nnr__buf_add_json(b, c->key, strlen(c->key));
			nnr__buf_addc(b, ':');
		}
		write_node(b, c);
	}
	must(count == n->count);
	nnr__buf_addc(b, object ? '}' : ']');
}

static bool has_big_integer(const nnr__jnode *n)
{
	if (n->integer && (n->num > 9e15 || n->num < -9e15))
		return true;
	for (const nnr__jnode *c = n->child; c; c = c->next)
		if (has_big_integer(c))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	nnr__buf one = { 0 }, two = { 0 };
	const nnr__jnode *root;
	nnr__arena a = { 0 };
	nnr_error err;

	if (nnr__json_parse(&a, &root, "fuzz", (const char *)data, size,
			    &err)) {
		must(err.code == NNR_E_INPUT && !root);
		must(strncmp(err.message, "fuzz:", 5) == 0);
	} else if (!has_big_integer(root)) {
		write_node(&one, root);
		must(nnr__json_parse(&a, &root, "again", one.p, one.len,
				     &err) == 0);
		write_node(&two, root);
		must(one.len == two.len && !memcmp(one.p, two.p, one.len));
	}
	nnr__buf_release(&one);
	nnr__buf_release(&two);
	nnr__arena_release(&a);
	return 0;
}
