/* SPDX-License-Identifier: Apache-2.0
 *
 * A small byte-level BPE vocabulary as a GGUF file, for the tests and the
 * fuzz target of the tokenizer: three control tokens, two user-defined ones,
 * all 256 bytes and the tokens that the merges make.  Some merges cut code
 * points on purpose.
 */
#ifndef SYNTH_VOCAB_H
#define SYNTH_VOCAB_H

#include "synth_gguf.h"

/* GPT-2's alphabet: G = c4 a0 is a space, c3 83 and c2 a9 are the bytes c3
 * and a9 of an e acute, c3 b0 and c5 81 are f0 9f, where emoji begin. */
#define VOCAB_G "\xc4\xa0"
#define VOCAB_EMOJI "\xc3\xb0 \xc5\x81"

enum {
	VOCAB_CONTROL = 3, VOCAB_TOOL = 3, VOCAB_TOOLS = 4, VOCAB_BYTES = 5,
	VOCAB_FIRST = VOCAB_BYTES + 256,	/* what merge 0 makes */
	VOCAB_MERGES = 16, VOCAB_COUNT = VOCAB_FIRST + VOCAB_MERGES
};

static const char *const vocab_head[VOCAB_BYTES] = {
	"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>", "<tools>"
};

static const char *const vocab_merges[VOCAB_MERGES] = {
	VOCAB_G " t", "h e", VOCAB_G "t he", "l l", "a a", "he ll", "o o",
	"aa aa", VOCAB_G " " VOCAB_G, "hell o", VOCAB_EMOJI,
	"\xc3\x83 \xc2\xa9", "< |", "| >", "aaaa aaaa", "l a"
};

/* How byte b is written in the alphabet. */
static inline size_t vocab_byte(int b, char out[4])
{
	int32_t cp = b;

	if (b <= 0x20)
		cp = 0x100 + b;
	else if (b >= 0x7f && b <= 0xa0)
		cp = 0x100 + 0x21 + b - 0x7f;
	else if (b == 0xad)
		cp = 0x143;
	return (size_t)nnr__utf8_put(cp, out);
}

static inline void vocab_tokens(synth *s)
{
	synth_array(s, "tokenizer.ggml.tokens", NNR__G_STRING, VOCAB_COUNT);
	for (int i = 0; i < VOCAB_BYTES; i++)
		synth_str(&s->head, vocab_head[i]);
	for (int b = 0; b < 256; b++) {
		char out[4];
		size_t n = vocab_byte(b, out);

		synth_bits(&s->head, n, 8);
		nnr__buf_add(&s->head, out, n);
	}
	for (int i = 0; i < VOCAB_MERGES; i++) {
		const char *m = vocab_merges[i], *cut = strchr(m, ' ');

		synth_bits(&s->head, strlen(m) - 1, 8);
		nnr__buf_add(&s->head, m, (size_t)(cut - m));
		nnr__buf_adds(&s->head, cut + 1);
	}
}

/* The file; pre is "smollm" or "gpt-2".  More keys may stand in s. */
static inline void synth_vocab(synth *s, const char *pre, nnr__buf *out)
{
	synth_text(s, "tokenizer.ggml.model", "gpt2");
	synth_text(s, "tokenizer.ggml.pre", pre);
	vocab_tokens(s);
	synth_array(s, "tokenizer.ggml.token_type", NNR__G_I32, VOCAB_COUNT);
	for (int i = 0; i < VOCAB_COUNT; i++)
		synth_bits(&s->head, i < VOCAB_CONTROL ? 3 :
			   i < VOCAB_BYTES ? 4 : 1, 4);
	synth_array(s, "tokenizer.ggml.merges", NNR__G_STRING, VOCAB_MERGES);
	for (int i = 0; i < VOCAB_MERGES; i++)
		synth_str(&s->head, vocab_merges[i]);
	synth_end(s, out);
}

#endif
