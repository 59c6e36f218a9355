/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_yaml.c: any bytes as YAML.  What is taken must keep its promises: the
 * tree is linked right, texts are UTF-8 without NUL, keys are unique.
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

static uint32_t walk(const nnr__ynode *node, int depth)
{
	uint32_t nodes = 1, count = 0;

	must(depth <= 33 && node->line >= 1 && node->col >= 1);
	if (node->kind == NNR__Y_SCALAR) {
		must(!node->child && strlen(node->text) == node->len);
		must(nnr__utf8_valid(node->text, node->len) == node->len);
		return 1;
	}
	for (const nnr__ynode *c = node->child; c; c = c->next, count++) {
		must((c->key != NULL) == (node->kind == NNR__Y_MAP));
		if (c->key && node->count < 100)
			must(nnr__yaml_get(node, c->key) == c);
		nodes += walk(c, depth + 1);
	}
	must(count == node->count);
	return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	nnr_error err;
	nnr__yaml y;
	uint32_t nodes = 0;

	if (nnr__yaml_parse(&y, "fuzz", (const char *)data, size, &err)) {
		must(err.code == NNR_E_INPUT && !y.doc);
		must(strncmp(err.message, "fuzz:", 5) == 0);
		return 0;
	}
	for (int i = 0; i < y.count; i++)
		nodes += walk(y.doc[i], 1);
	must(nodes <= 20000);
	nnr__yaml_release(&y);
	return 0;
}
