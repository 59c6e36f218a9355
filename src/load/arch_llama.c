/* SPDX-License-Identifier: Apache-2.0
 *
 * The Llama architecture (SmolLM2, TinyLlama, ...): token rows, blocks of
 * grouped-query attention and a gated feed-forward part, RMS norms, rotary
 * positions on adjacent pairs, a head that may be the embedding.  No biases,
 * no rope scaling, no experts: files that have them are refused.
 */
#include <stdlib.h>
#include <string.h>

#include "load/arch.h"

enum {
	MAX_LAYERS = 1024,
	MAX_HIDDEN = 1 << 16,	/* also heads * dim */
	MAX_FFN = 1 << 20,
	MAX_HEADS = 1024,
	MAX_DIM = 256,	/* of a head; what attention kernels take */
	DIM_STEP = 16,
	MAX_VOCAB = 1 << 24,
	MAX_CONTEXT = 1 << 24,	/* positions are exact as floats */
	CODE_BLOCK = 32		/* activations are coded in blocks of 32 */
};

/* Weights of one block. */
struct layer {
	const float *attn_norm, *ffn_norm;
	nnr__mat q, k, v, o, gate, up, down;
	char attn[24], out[24];		/* site names */
};

static const char *const known_keys[] = {
	"attention.head_count", "attention.head_count_kv",
	"attention.key_length", "attention.layer_norm_rms_epsilon",
	"attention.value_length", "block_count", "context_length",
	"embedding_length", "expert_count", "expert_used_count",
	"feed_forward_length", "rope.dimension_count", "rope.freq_base",
	"rope.scaling.type", "tensor_data_layout", "vocab_size", NULL
};

/* ---- hyper-parameters ---- */

/* Keys that are understood with one value only. */
static int check_plain(const nnr__backbone *b, nnr_error *err)
{
	nnr__str scaling = { .p = "none", .n = 4 };
	char shown[40];
	int experts = 0;
	int r = nnr__hyper_only(b, known_keys, err);

	if (!r)
		r = nnr__hyper_int(b, "expert_count", 0, 1 << 16, 0, &experts,
				   err);
	if (r)
		return r;
	if (experts)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "a mixture of %d "
				 "experts; this build runs dense models",
				 experts);
	r = nnr__gguf_str(b->file, "llama.rope.scaling.type", &scaling, err);
	if (r < 0)
		return r;
	if (scaling.n != 4 || memcmp(scaling.p, "none", 4))
		return nnr__fail(err, NNR_E_UNSUPPORTED, "rope scaling \"%s\"; "
				 "this build runs models without",
				 nnr__show(scaling, shown, sizeof shown));
	return 0;
}

/* Sizes of a head: dim, the same for keys, values and rotation. */
static int read_heads(nnr__backbone *b, nnr_error *err)
{
	int value = 0, rope = 0, dim;
	int r = nnr__hyper_int(b, "attention.head_count", 1, MAX_HEADS, -1,
			       &b->heads, err);

	if (!r)
		r = nnr__hyper_int(b, "attention.head_count_kv", 1, MAX_HEADS,
				   b->heads, &b->kv_heads, err);
	if (r)
		return r;
	dim = b->hidden / b->heads;
	r = nnr__hyper_int(b, "attention.key_length", 1, MAX_DIM, dim,
			   &b->dim, err);
	if (!r)
		r = nnr__hyper_int(b, "attention.value_length", 1, MAX_DIM,
				   b->dim, &value, err);
	if (!r)
		r = nnr__hyper_int(b, "rope.dimension_count", 1, MAX_DIM,
				   b->dim, &rope, err);
	if (r)
		return r;
	if (b->heads % b->kv_heads)
		return nnr__fail(err, NNR_E_FORMAT, "%d heads do not share %d "
				 "key/value heads evenly", b->heads,
				 b->kv_heads);
	if (value != b->dim || rope != b->dim)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "keys of %d, values "
				 "of %d and rotation of %d values; this build "
				 "expects the same", b->dim, value, rope);
	if (b->dim % DIM_STEP || b->dim > MAX_DIM || b->dim < 1)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "heads of %d values; "
				 "a multiple of %d up to %d expected", b->dim,
				 DIM_STEP, MAX_DIM);
	return 0;
}

static int check_widths(const nnr__backbone *b, nnr_error *err)
{
	const struct { const char *what; int n; } width[] = {
		{ "embedding_length", b->hidden },
		{ "feed_forward_length", b->ffn },
		{ "heads x head size", b->heads * b->dim },
	};

	for (size_t i = 0; i < sizeof width / sizeof width[0]; i++) {
		if (width[i].n > MAX_FFN)
			return nnr__fail(err, NNR_E_FORMAT, "%s is %d; at most "
					 "%d expected", width[i].what,
					 width[i].n, MAX_FFN);
		if (width[i].n % CODE_BLOCK)
			return nnr__fail(err, NNR_E_UNSUPPORTED, "%s is %d; a "
					 "multiple of %d expected",
					 width[i].what, width[i].n,
					 CODE_BLOCK);
	}
	return 0;
}

static int read_hyper(nnr__backbone *b, nnr_error *err)
{
	double eps = 0;
	int r = check_plain(b, err);

	if (!r)
		r = nnr__hyper_int(b, "block_count", 1, MAX_LAYERS, -1,
				   &b->layers, err);
	if (!r)
		r = nnr__hyper_int(b, "embedding_length", 1, MAX_HIDDEN, -1,
				   &b->hidden, err);
	if (!r)
		r = nnr__hyper_int(b, "feed_forward_length", 1, MAX_FFN, -1,
				   &b->ffn, err);
	if (!r)
		r = nnr__hyper_int(b, "context_length", 1, MAX_CONTEXT, -1,
				   &b->context, err);
	if (!r)
		r = nnr__hyper_num(b, "attention.layer_norm_rms_epsilon", 0,
				   1, 0, &eps, err);
	if (!r)
		r = nnr__hyper_num(b, "rope.freq_base", 1, 1e12, 10000,
				   &b->rope_base, err);
	if (!r)
		r = read_heads(b, err);
	if (!r)
		r = check_widths(b, err);
	b->eps = (float)eps;
	return r;
}

/* The number of rows of the embedding, as every place that states it says. */
static int read_vocab(nnr__backbone *b, nnr_error *err)
{
	const nnr__tensor *t = nnr__gguf_tensor(b->file, "token_embd.weight");
	const nnr__gkv *tokens = nnr__gguf_kv(b->file,
					      "tokenizer.ggml.tokens");
	int stated, r;

	if (!t)
		return nnr__fail(err, NNR_E_FORMAT,
				 "tensor token_embd.weight is missing");
	if (t->dim[1] > MAX_VOCAB)
		return nnr__fail(err, NNR_E_FORMAT, "tensor token_embd.weight "
				 "has %llu rows; at most %d expected",
				 (unsigned long long)t->dim[1], MAX_VOCAB);
	b->vocab = (int)t->dim[1];
	r = nnr__hyper_int(b, "vocab_size", 1, MAX_VOCAB, b->vocab, &stated,
			   err);
	if (r)
		return r;
	if (stated != b->vocab)
		return nnr__fail(err, NNR_E_FORMAT, "vocab_size is %d, but "
				 "token_embd.weight has %d rows", stated,
				 b->vocab);
	if (tokens && tokens->type == NNR__G_ARRAY &&
	    tokens->count != t->dim[1])
		return nnr__fail(err, NNR_E_FORMAT, "the tokenizer has %llu "
				 "tokens, but token_embd.weight has %d rows",
				 (unsigned long long)tokens->count, b->vocab);
	return 0;
}

/* ---- weights ---- */

static void name_of(char out[48], int layer, const char *what)
{
	snprintf(out, 48, "blk.%d.%s.weight", layer, what);
}

static void layer_mat(nnr__weights *w, nnr__mat *m, int layer,
		      const char *what, int rows, int cols)
{
	char name[48];

	name_of(name, layer, what);
	nnr__weights_mat(w, m, rows, cols, name);
}

static const float *layer_vec(nnr__weights *w, int layer, const char *what,
			      int n)
{
	char name[48];

	name_of(name, layer, what);
	return nnr__weights_vec(w, n, name);
}

static void read_layer(nnr__weights *w, const nnr__backbone *b,
		       struct layer *l, int i)
{
	int q = b->heads * b->dim, kv = b->kv_heads * b->dim;

	l->attn_norm = layer_vec(w, i, "attn_norm", b->hidden);
	layer_mat(w, &l->q, i, "attn_q", q, b->hidden);
	layer_mat(w, &l->k, i, "attn_k", kv, b->hidden);
	layer_mat(w, &l->v, i, "attn_v", kv, b->hidden);
	layer_mat(w, &l->o, i, "attn_output", b->hidden, q);
	l->ffn_norm = layer_vec(w, i, "ffn_norm", b->hidden);
	layer_mat(w, &l->gate, i, "ffn_gate", b->ffn, b->hidden);
	layer_mat(w, &l->up, i, "ffn_up", b->ffn, b->hidden);
	layer_mat(w, &l->down, i, "ffn_down", b->hidden, b->ffn);
	snprintf(l->attn, sizeof l->attn, "block.%d.attn", i);
	snprintf(l->out, sizeof l->out, "block.%d.out", i);
}

static int read_weights(nnr__backbone *b, struct layer *layer,
			const float **norm, nnr_error *err)
{
	nnr__weights w;
	int r = nnr__weights_init(&w, b->file, err);

	if (r)
		return r;
	nnr__weights_mat(&w, &b->embed, b->vocab, b->hidden,
			 "token_embd.weight");
	for (int i = 0; i < b->layers; i++)
		read_layer(&w, b, &layer[i], i);
	*norm = nnr__weights_vec(&w, b->hidden, "output_norm.weight");
	b->tied = !nnr__gguf_tensor(b->file, "output.weight");
	if (b->tied)
		b->head = b->embed;
	else
		nnr__weights_mat(&w, &b->head, b->vocab, b->hidden,
				 "output.weight");
	return nnr__weights_end(&w, err);
}

/* ---- the graph ---- */

/* One block, x: (R, hidden).  In the last one only keys and values are
 * needed of every row; from the queries on, only the wanted rows. */
static nnr__id block(nnr__graph *g, const nnr__backbone *b,
		     const struct layer *l, nnr__id x, int i)
{
	nnr__id n = nnr__rmsnorm(g, x, l->attn_norm, b->eps);
	nnr__id k = nnr__linear(g, n, &l->k, 0, false);
	nnr__id v = nnr__linear(g, n, &l->v, 0, true);
	nnr__id q, a, gate, up;

	nnr__weight(g, k, "attn_k", i);
	nnr__weight(g, v, "attn_v", i);
	k = nnr__rope(g, k, b->dim, b->rope_inv);
	if (i == b->layers - 1) {
		x = nnr__wanted(g, x);
		n = nnr__wanted(g, n);
	}
	q = nnr__linear(g, n, &l->q, 0, false);
	nnr__weight(g, q, "attn_q", i);
	q = nnr__rope(g, q, b->dim, b->rope_inv);
	a = nnr__attention(g, q, k, v, b->heads, b->kv_heads, i);
	x = nnr__linear(g, a, &l->o, x, false);
	nnr__weight(g, x, "attn_output", i);
	nnr__site(g, x, l->attn);

	n = nnr__rmsnorm(g, x, l->ffn_norm, b->eps);
	gate = nnr__linear(g, n, &l->gate, 0, false);
	up = nnr__linear(g, n, &l->up, 0, false);
	nnr__weight(g, gate, "ffn_gate", i);
	nnr__weight(g, up, "ffn_up", i);
	x = nnr__linear(g, nnr__swiglu(g, gate, up), &l->down, x, true);
	nnr__weight(g, x, "ffn_down", i);
	nnr__site(g, x, l->out);
	return x;
}

static int build_graph(nnr__backbone *b, const struct layer *layer,
		       const float *norm, nnr_error *err)
{
	nnr__graph *g = b->graph = nnr__graph_new();
	nnr__id x;

	if (!g)
		return nnr__fail_memory(err, "the graph", sizeof *g);
	x = nnr__embed(g, &b->embed);
	nnr__site(g, x, "embed");
	for (int i = 0; i < b->layers; i++)
		x = block(g, b, &layer[i], x, i);
	x = nnr__rmsnorm(g, x, norm, b->eps);
	nnr__site(g, x, "features");
	return nnr__graph_finish(g, err);
}

int nnr__build_llama(nnr__backbone *b, nnr_error *err)
{
	const float *norm = NULL;
	struct layer *layer;
	int r = read_hyper(b, err);

	if (!r)
		r = read_vocab(b, err);
	if (r)
		return r;
	layer = nnr__arena_alloc(&b->arena, (size_t)b->layers *
				 sizeof *layer);
	b->rope_inv = nnr__calloc((size_t)b->dim / 2, sizeof *b->rope_inv);
	if (!layer || !b->rope_inv)
		return nnr__fail_memory(err, "the layers", (size_t)b->layers *
					sizeof *layer);
	nnr__rope_freqs(b->rope_inv, b->dim, b->rope_base);
	r = read_weights(b, layer, &norm, err);
	if (!r)
		r = build_graph(b, layer, norm, err);
	return r;
}
