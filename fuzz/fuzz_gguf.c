/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a model file: parsed, built into a backbone, described, its
 * tokenizer and chat markup read and used.
 */
#include <stdlib.h>
#include <string.h>

#include "load/load.h"
#include "text/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_tokenizer(const nnr__gguf *g)
{
	nnr__ids ids = { 0 };
	nnr__chat *chat;
	nnr__tok *tok;

	if (nnr__tok_new(&tok, g, NULL))
		return;
	if (!nnr__tok_encode(tok, "a positive <|im_end|>\xff", 22, &ids,
			     NULL))
		free(nnr__tok_decode(tok, ids.id, ids.n));
	if (!nnr__chat_new(&chat, g, tok, NULL))
		nnr__chat_free(chat);
	nnr__ids_release(&ids);
	nnr__tok_free(tok);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	nnr_error err = { 0 };
	nnr__backbone *b;
	nnr__gguf *g;

	if (nnr__gguf_parse(&g, data, size, &err))
		return 0;
	use_tokenizer(g);
	if (nnr__backbone_new(&b, g, &err))
		return 0;
	free(nnr__backbone_info(b));
	if (!nnr__backbone_site(b, "features"))
		abort();
	nnr__backbone_close(b);
	return 0;
}
