/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes GGUF bytes for tests: single pieces, so that damaged files can be
 * made by hand, and synth_tiny, a whole Llama model of less than 8 kB with a
 * tokenizer: one block, hidden 32, two heads of 16 that share one key/value
 * head, feed-forward 32, 24 tokens, every tensor type this build reads.
 * Weights are random numbers of a fixed seed: the same bytes everywhere.
 */
#ifndef SYNTH_GGUF_H
#define SYNTH_GGUF_H

#include <string.h>

#include "base/base.h"
#include "load/load.h"

enum {
	SYNTH_HIDDEN = 32, SYNTH_HEADS = 2, SYNTH_KV_HEADS = 1,
	SYNTH_DIM = 16, SYNTH_FFN = 32, SYNTH_VOCAB = 24, SYNTH_CONTEXT = 256,
	SYNTH_ALIGN = 32, SYNTH_MAX_TENSORS = 16
};

typedef struct synth {
	nnr__buf head, data;
	uint64_t kvs, tensors;
} synth;

/* ---- pieces ---- */

static inline void synth_bits(nnr__buf *b, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		nnr__buf_addc(b, (char)(unsigned char)(v >> (8 * i)));
}

static inline void synth_str(nnr__buf *b, const char *s)
{
	synth_bits(b, strlen(s), 8);
	nnr__buf_adds(b, s);
}

static inline void synth_key(synth *s, const char *key, nnr__gtype type)
{
	synth_str(&s->head, key);
	synth_bits(&s->head, (uint64_t)type, 4);
	s->kvs++;
}

static inline void synth_u32(synth *s, const char *key, uint32_t v)
{
	synth_key(s, key, NNR__G_U32);
	synth_bits(&s->head, v, 4);
}

static inline void synth_f32(synth *s, const char *key, float v)
{
	uint32_t bits;

	memcpy(&bits, &v, 4);
	synth_key(s, key, NNR__G_F32);
	synth_bits(&s->head, bits, 4);
}

static inline void synth_text(synth *s, const char *key, const char *v)
{
	synth_key(s, key, NNR__G_STRING);
	synth_str(&s->head, v);
}

static inline void synth_array(synth *s, const char *key, nnr__gtype elem,
			       uint64_t count)
{
	synth_key(s, key, NNR__G_ARRAY);
	synth_bits(&s->head, (uint64_t)elem, 4);
	synth_bits(&s->head, count, 8);
}

/* A tensor's description with any numbers; no data. */
static inline void synth_info(synth *s, const char *name, int ndims,
			      const uint64_t *dim, uint32_t type,
			      uint64_t offset)
{
	synth_str(&s->head, name);
	synth_bits(&s->head, (uint64_t)ndims, 4);
	for (int i = 0; i < ndims; i++)
		synth_bits(&s->head, dim[i], 8);
	synth_bits(&s->head, type, 4);
	synth_bits(&s->head, offset, 8);
	s->tensors++;
}

static inline void synth_pad(nnr__buf *b, size_t align)
{
	while (b->len % align)
		nnr__buf_addc(b, 0);
}

/* The file: header, keys and tensors, padding, data.  Clears s. */
static inline void synth_end(synth *s, nnr__buf *out)
{
	nnr__buf_adds(out, "GGUF");
	synth_bits(out, 3, 4);
	synth_bits(out, s->tensors, 8);
	synth_bits(out, s->kvs, 8);
	nnr__buf_add(out, s->head.p, s->head.len);
	synth_pad(out, SYNTH_ALIGN);
	nnr__buf_add(out, s->data.p, s->data.len);
	nnr__buf_release(&s->head);
	nnr__buf_release(&s->data);
	*s = (synth){ 0 };
}

/* ---- weights ---- */

/* ggml's number of a type. */
static inline uint32_t synth_type_id(nnr__dtype t)
{
	static const uint32_t id[NNR__DTYPES] = {
		[NNR__F32] = 0, [NNR__F16] = 1, [NNR__BF16] = 30,
		[NNR__Q4_0] = 2, [NNR__Q4_1] = 3, [NNR__Q8_0] = 8
	};

	return id[t];
}

/* One block of random values of about -1/4 to 1/4. */
static inline void synth_block(nnr__buf *b, nnr__dtype type, uint64_t r,
			       uint64_t stream, uint64_t index)
{
	const int bytes = nnr__dtypes[type].bytes;
	uint64_t scale = r & 0xff;	/* low bits of a mantissa */
	float f = 0.5f + (float)(r % 1024) / 1024;
	uint32_t bits;
	int at = 0;

	switch (type) {
	case NNR__F32:			/* norms: around 1 */
		memcpy(&bits, &f, 4);
		synth_bits(b, bits, 4);
		return;
	case NNR__F16:			/* 2^-4 to 2^-3, either sign */
		synth_bits(b, 0x2c00 | (r & 0x83ff), 2);
		return;
	case NNR__BF16:
		synth_bits(b, 0x3d80 | (r & 0x807f), 2);
		return;
	case NNR__Q4_1:			/* d about 1/32, m -1/4 */
		synth_bits(b, 0x2800 | scale, 2);
		synth_bits(b, 0xb400, 2);
		at = 4;
		break;
	default:			/* Q4_0: d 1/32; Q8_0: 1/512 */
		synth_bits(b, (type == NNR__Q4_0 ? 0x2800u : 0x1800u) | scale,
			   2);
		at = 2;
	}
	for (; at < bytes; at++)
		synth_bits(b, nnr__rng_u64(2, stream, index * 64 +
					   (uint64_t)at), 1);
}

static inline void synth_tensor(synth *s, const char *name, nnr__dtype type,
				int cols, int rows)
{
	uint64_t dim[2] = { (uint64_t)cols, (uint64_t)rows };
	uint64_t stream = s->tensors;
	int blocks = cols * rows / nnr__dtypes[type].block;

	synth_pad(&s->data, SYNTH_ALIGN);
	synth_info(s, name, rows > 1 ? 2 : 1, dim, synth_type_id(type),
		   s->data.len);
	for (int i = 0; i < blocks; i++)
		synth_block(&s->data, type,
			    nnr__rng_u64(1, stream, (uint64_t)i), stream,
			    (uint64_t)i);
}

/* ---- the tiny model ---- */

/* "Ġ" (c4 a0) is a space in GPT-2's alphabet. */
static const char *const synth_tokens[SYNTH_VOCAB] = {
	"<|endoftext|>", "<|im_start|>", "<|im_end|>", "\xc4\xa0", "a", "b",
	"c", "d", "e", "g", "i", "n", "o", "p", "s", "t", "v", "0", "1", ".",
	"\xc4\xa0" "p", "os", "\xc4\xa0" "pos", "ne"
};

static inline void synth_block_keys(synth *s, int blocks)
{
	synth_text(s, "general.architecture", "llama");
	synth_u32(s, "llama.block_count", (uint32_t)blocks);
	synth_u32(s, "llama.context_length", SYNTH_CONTEXT);
	synth_u32(s, "llama.embedding_length", SYNTH_HIDDEN);
	synth_u32(s, "llama.feed_forward_length", SYNTH_FFN);
	synth_u32(s, "llama.attention.head_count", SYNTH_HEADS);
	synth_u32(s, "llama.attention.head_count_kv", SYNTH_KV_HEADS);
	synth_f32(s, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	synth_f32(s, "llama.rope.freq_base", 10000);
}

static inline void synth_llama_keys(synth *s)
{
	synth_block_keys(s, 1);
}

static inline void synth_tokenizer_keys(synth *s)
{
	static const char *const merges[] = {
		"\xc4\xa0 p", "o s", "\xc4\xa0p os", "n e"
	};
	const uint64_t n = sizeof merges / sizeof merges[0];

	synth_text(s, "tokenizer.ggml.model", "gpt2");
	synth_text(s, "tokenizer.ggml.pre", "smollm");
	synth_array(s, "tokenizer.ggml.tokens", NNR__G_STRING, SYNTH_VOCAB);
	for (int i = 0; i < SYNTH_VOCAB; i++)
		synth_str(&s->head, synth_tokens[i]);
	synth_array(s, "tokenizer.ggml.token_type", NNR__G_I32, SYNTH_VOCAB);
	for (int i = 0; i < SYNTH_VOCAB; i++)
		synth_bits(&s->head, i < 3 ? 3 : 1, 4);
	synth_array(s, "tokenizer.ggml.merges", NNR__G_STRING, n);
	for (uint64_t i = 0; i < n; i++)
		synth_str(&s->head, merges[i]);
	synth_u32(s, "tokenizer.ggml.bos_token_id", 1);
	synth_u32(s, "tokenizer.ggml.eos_token_id", 2);
}

static inline void synth_block_tensors(synth *s, int block)
{
	static const struct {
		const char *name;
		nnr__dtype type;
		int cols, rows;
	} tensor[] = {
		{ "attn_norm", NNR__F32, SYNTH_HIDDEN, 1 },
		{ "attn_q", NNR__Q4_1, SYNTH_HIDDEN, SYNTH_HIDDEN },
		{ "attn_k", NNR__BF16, SYNTH_HIDDEN,
		  SYNTH_KV_HEADS * SYNTH_DIM },
		{ "attn_v", NNR__F16, SYNTH_HIDDEN,
		  SYNTH_KV_HEADS * SYNTH_DIM },
		{ "attn_output", NNR__Q4_0, SYNTH_HIDDEN, SYNTH_HIDDEN },
		{ "ffn_norm", NNR__F32, SYNTH_HIDDEN, 1 },
		{ "ffn_gate", NNR__Q4_0, SYNTH_HIDDEN, SYNTH_FFN },
		{ "ffn_up", NNR__Q4_0, SYNTH_HIDDEN, SYNTH_FFN },
		{ "ffn_down", NNR__Q4_0, SYNTH_FFN, SYNTH_HIDDEN },
	};
	char name[64];

	for (size_t i = 0; i < sizeof(tensor) / sizeof(*tensor); i++) {
		snprintf(name, sizeof(name), "blk.%d.%s.weight", block,
			 tensor[i].name);
		synth_tensor(s, name, tensor[i].type, tensor[i].cols,
			     tensor[i].rows);
	}
}

static inline void synth_tensors(synth *s, int vocab, int blocks)
{
	synth_tensor(s, "token_embd.weight", NNR__Q8_0, SYNTH_HIDDEN, vocab);
	for (int i = 0; i < blocks; i++)
		synth_block_tensors(s, i);
	synth_tensor(s, "output_norm.weight", NNR__F32, SYNTH_HIDDEN, 1);
}

static inline void synth_tiny_tensors(synth *s)
{
	synth_tensors(s, SYNTH_VOCAB, 1);
}

static inline void synth_tiny(nnr__buf *out)
{
	synth s = { 0 };

	synth_llama_keys(&s);
	synth_tokenizer_keys(&s);
	synth_tiny_tensors(&s);
	synth_end(&s, out);
}

#endif
