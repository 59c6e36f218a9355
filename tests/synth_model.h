/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_model.h: a whole model in memory that needs no file: the layers of
 * the tiny GGUF below a vocabulary of all bytes, with chat markup.
 */
#ifndef SYNTH_MODEL_H
#define SYNTH_MODEL_H

#include "synth_vocab.h"

#define SYNTH_CHATML \
	"{% for message in messages %}" \
	"{{'<|im_start|>' + message['role'] + '\n' + message['content'] + " \
	"'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}" \
	"{{ '<|im_start|>assistant\n' }}{% endif %}"

/* synth_vocab ends the head; the tensors must be described after its keys,
 * so it is done by hand in the same order: keys, then tensors. */
static inline void synth_model_of(nnr__buf *file, int blocks)
{
	nnr__buf vocab = { 0 };
	synth s = { 0 };
	size_t keys;

	synth_block_keys(&s, blocks);
	synth_text(&s, "tokenizer.chat_template", SYNTH_CHATML);
	synth_u32(&s, "tokenizer.ggml.eos_token_id", 2);
	synth_vocab(&s, "smollm", &vocab);
	/* the header is 24 bytes; padding before the (empty) data is zeros */
	keys = vocab.len;
	while (keys && vocab.p[keys - 1] == 0)
		keys--;
	memcpy(&s.kvs, vocab.p + 16, 8);
	nnr__buf_add(&s.head, vocab.p + 24, keys - 24);
	synth_tensors(&s, VOCAB_COUNT, blocks);
	synth_end(&s, file);
	nnr__buf_release(&vocab);
}

static inline void synth_model(nnr__buf *file)
{
	synth_model_of(file, 1);
}

#endif
