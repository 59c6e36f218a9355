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

/* The tiny model's layers below a vocabulary of all bytes. */
static inline void synth_model_tensors(synth *s)
{
	const int h = SYNTH_HIDDEN, kv = SYNTH_KV_HEADS * SYNTH_DIM;

	synth_tensor(s, "token_embd.weight", NNR__Q8_0, h, VOCAB_COUNT);
	synth_tensor(s, "blk.0.attn_norm.weight", NNR__F32, h, 1);
	synth_tensor(s, "blk.0.attn_q.weight", NNR__Q4_1, h, h);
	synth_tensor(s, "blk.0.attn_k.weight", NNR__BF16, h, kv);
	synth_tensor(s, "blk.0.attn_v.weight", NNR__F16, h, kv);
	synth_tensor(s, "blk.0.attn_output.weight", NNR__Q4_0, h, h);
	synth_tensor(s, "blk.0.ffn_norm.weight", NNR__F32, h, 1);
	synth_tensor(s, "blk.0.ffn_gate.weight", NNR__Q4_0, h, SYNTH_FFN);
	synth_tensor(s, "blk.0.ffn_up.weight", NNR__Q4_0, h, SYNTH_FFN);
	synth_tensor(s, "blk.0.ffn_down.weight", NNR__Q4_0, SYNTH_FFN, h);
	synth_tensor(s, "output_norm.weight", NNR__F32, h, 1);
}

/* synth_vocab ends the head; the tensors must be described after its keys,
 * so it is done by hand in the same order: keys, then tensors. */
static inline void synth_model(nnr__buf *file)
{
	nnr__buf vocab = { 0 };
	synth s = { 0 };
	size_t keys;

	synth_llama_keys(&s);
	synth_text(&s, "tokenizer.chat_template", SYNTH_CHATML);
	synth_u32(&s, "tokenizer.ggml.eos_token_id", 2);
	synth_vocab(&s, "smollm", &vocab);
	/* the header is 24 bytes; padding before the (empty) data is zeros */
	keys = vocab.len;
	while (keys && vocab.p[keys - 1] == 0)
		keys--;
	memcpy(&s.kvs, vocab.p + 16, 8);
	nnr__buf_add(&s.head, vocab.p + 24, keys - 24);
	synth_model_tensors(&s);
	synth_end(&s, file);
	nnr__buf_release(&vocab);
}

#endif
