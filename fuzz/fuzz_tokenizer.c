/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as text: the first byte chooses the pre-tokenizer, the rest is
 * encoded; the tokens must give the same bytes again, none may be special,
 * and what streams out must be valid UTF-8 at every step.
 */
#include <stdlib.h>

#include "../tests/synth_vocab.h"
#include "text/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static nnr__tok *open_vocab(const char *pre)
{
	static nnr__buf file[2];
	nnr__buf *f = &file[*pre == 'g'];
	synth s = { 0 };
	nnr__gguf *g;
	nnr__tok *t;

	synth_vocab(&s, pre, f);	/* t points into it */
	must(!nnr__gguf_parse(&g, f->p, f->len, NULL));
	must(!nnr__tok_new(&t, g, NULL));
	nnr__gguf_close(g);
	return t;
}

static void check_bytes(const nnr__tok *t, const nnr__ids *ids,
			const char *s, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < ids->n; i++) {
		size_t len;
		const char *p = nnr__tok_bytes(t, ids->id[i], false, &len);

		must(!nnr__tok_is_special(t, ids->id[i]));
		must(len && len <= n - at && !memcmp(p, s + at, len));
		at += len;
	}
	must(at == n);
}

static void check_stream(const nnr__tok *t, const nnr__ids *ids,
			 const char *s, size_t n)
{
	nnr__stream stream = { 0 };
	nnr__buf out = { 0 };
	size_t seen = 0;

	for (size_t i = 0; i < ids->n; i++) {
		nnr__stream_add(t, &stream, ids->id[i], &out);
		must(out.len == seen ||
		     nnr__utf8_valid(out.p + seen, out.len - seen) ==
		     out.len - seen);
		seen = out.len;
	}
	nnr__stream_flush(&stream, &out);
	must(nnr__utf8_valid(out.p, out.len) == out.len);
	if (nnr__utf8_valid(s, n) == n)
		must(out.len == n && !memcmp(out.p, s, n));
	nnr__buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static nnr__tok *tok[2];
	const nnr__tok *t;
	const char *s = (const char *)data + 1;
	nnr__ids ids = { 0 };

	if (!tok[0]) {
		tok[0] = open_vocab("smollm");
		tok[1] = open_vocab("gpt-2");
	}
	if (size < 2)
		return 0;
	t = tok[data[0] & 1];
	must(!nnr__tok_encode(t, s, size - 1, &ids, NULL));
	check_bytes(t, &ids, s, size - 1);
	check_stream(t, &ids, s, size - 1);
	nnr__ids_release(&ids);
	return 0;
}
