/* SPDX-License-Identifier: Apache-2.0
 *
 * tok.c: a model's tokenizer as a whole: the keys tokenizer.ggml.*, what
 * each token is, and which tokens text may give.
 *
 * Special tokens (control, unknown) never come out of text.  User-defined
 * tokens do, wherever they are written, before anything else is cut: what
 * transformers does with split_special_tokens.
 */
#include <stdlib.h>

#include "text/tok.h"

bool nnr__ids_add(nnr__ids *v, int32_t id)
{
	if (v->n >= v->cap &&
	    !nnr__grow(&v->id, &v->cap, v->n, sizeof *v->id))
		return false;
	v->id[v->n++] = id;
	return true;
}

void nnr__ids_release(nnr__ids *v)
{
	free(v->id);
	memset(v, 0, sizeof *v);
}

/* ---- loading ---- */

static int missing(const char *key, const char *what, nnr_error *err)
{
	return nnr__fail(err, NNR_E_FORMAT, "no %s (%s)", key, what);
}

static int read_kind(nnr__tok *t, const nnr__gguf *g, nnr_error *err)
{
	nnr__str model, pre;
	char show[48];
	int r = nnr__gguf_str(g, "tokenizer.ggml.model", &model, err);

	if (r < 0)
		return r;
	if (!r)
		return nnr__fail(err, NNR_E_FORMAT, "the file has no tokenizer"
				 ": no tokenizer.ggml.model (a string)");
	if (!nnr__str_is(model, "gpt2"))
		return nnr__fail(err, NNR_E_UNSUPPORTED, "tokenizer.ggml.model"
				 " is \"%s\"; this build knows gpt2 "
				 "(byte-level BPE)",
				 nnr__show(model, show, sizeof show));
	r = nnr__gguf_str(g, "tokenizer.ggml.pre", &pre, err);
	if (r < 0)
		return r;
	if (!r)
		return missing("tokenizer.ggml.pre", "how text is cut into "
			       "words: \"smollm\", \"gpt-2\"", err);
	t->pre = nnr__pretok_find(pre, err);
	if (!t->pre)
		return NNR_E_UNSUPPORTED;
	snprintf(t->kind, sizeof t->kind, "gpt2/%s", t->pre->name);
	return 0;
}

static int read_types(nnr__tok *t, const nnr__gguf *g, nnr_error *err)
{
	static const char key[] = "tokenizer.ggml.token_type";
	const nnr__gkv *kv = nnr__gguf_kv(g, key);
	nnr__cur c;

	if (!kv)
		return missing(key, "one number per token", err);
	if (kv->type != NNR__G_ARRAY ||
	    (kv->elem != NNR__G_I32 && kv->elem != NNR__G_U32))
		return nnr__fail(err, NNR_E_FORMAT, "key %s is not a list of "
				 "32-bit integers", key);
	if (kv->count != (uint64_t)t->count)
		return nnr__fail(err, NNR_E_FORMAT, "%s has %llu entries, but "
				 "tokenizer.ggml.tokens %d", key,
				 (unsigned long long)kv->count, t->count);
	t->type = nnr__calloc((size_t)t->count, 1);
	if (!t->type)
		return nnr__fail_memory(err, key, (size_t)t->count);
	c = nnr__cur_init(kv->raw, kv->raw_bytes);
	for (int i = 0; i < t->count; i++) {
		uint32_t type = nnr__take_u32(&c);

		if (type < NNR__T_NORMAL || type > NNR__T_BYTE)
			return nnr__fail(err, NNR_E_FORMAT, "%s: token %d has "
					 "type %u; 1 to 6 expected", key, i,
					 type);
		t->type[i] = (uint8_t)type;
	}
	return 0;
}

static int read_tokens(nnr__tok *t, const nnr__gguf *g, nnr_error *err)
{
	static const char key[] = "tokenizer.ggml.tokens";
	size_t n;
	int r = nnr__gguf_strings(g, key, &t->bytes, &n, err);

	if (r < 0)
		return r;
	if (!n)
		return missing(key, "a list of strings", err);
	if (n > INT32_MAX / 2)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "%s has %zu entries",
				 key, n);
	t->count = (int)n;
	return read_types(t, g, err);
}

/* A key with a token id; -1 when it is not there. */
static int read_id(const nnr__tok *t, const nnr__gguf *g, const char *key,
		   int32_t *id, nnr_error *err)
{
	uint64_t v;
	int r = nnr__gguf_uint(g, key, &v, err);

	*id = -1;
	if (r <= 0)
		return r;
	if (v >= (uint64_t)t->count)
		return nnr__fail(err, NNR_E_FORMAT, "%s is %llu; the "
				 "vocabulary has %d tokens", key,
				 (unsigned long long)v, t->count);
	*id = (int32_t)v;
	return 0;
}

static int read_ids(nnr__tok *t, const nnr__gguf *g, nnr_error *err)
{
	int r = read_id(t, g, "tokenizer.ggml.bos_token_id", &t->bos, err);

	if (!r)
		r = read_id(t, g, "tokenizer.ggml.eos_token_id", &t->eos, err);
	if (!r)
		r = nnr__gguf_bool(g, "tokenizer.ggml.add_bos_token",
				   &t->add_bos, err);
	if (r < 0)
		return r;
	if (t->add_bos && t->bos < 0)
		return missing("tokenizer.ggml.bos_token_id", "needed as "
			       "tokenizer.ggml.add_bos_token is true", err);
	return 0;
}

/* Is this one of the tokens that are looked for in text as a whole? */
static bool is_added(const nnr__tok *t, int i)
{
	return t->bytes[i].n && (nnr__type_special(t->type[i]) ||
				 t->type[i] == NNR__T_USER);
}

/* Sorts the added tokens by first byte (t->added_at), if any is
 * user-defined; otherwise nothing in a text can be one. */
static int index_added(nnr__tok *t, nnr_error *err)
{
	size_t n = 0;
	uint32_t at[256];

	if (!memchr(t->type, NNR__T_USER, (size_t)t->count))
		return 0;
	for (int i = 0; i < t->count; i++) {
		if (!is_added(t, i))
			continue;
		n++;
		t->added_at[(unsigned char)t->bytes[i].p[0] + 1]++;
	}
	t->added = nnr__calloc(n, sizeof *t->added);
	if (!t->added)
		return nnr__fail_memory(err, "added tokens",
					n * sizeof *t->added);
	for (int c = 0; c < 256; c++)
		t->added_at[c + 1] += t->added_at[c];
	memcpy(at, t->added_at, sizeof at);
	for (int i = 0; i < t->count; i++)
		if (is_added(t, i))
			t->added[at[(unsigned char)t->bytes[i].p[0]]++] = i;
	return 0;
}

int nnr__tok_new(nnr__tok **out, const nnr__gguf *g, nnr_error *err)
{
	nnr__tok *t = nnr__calloc(1, sizeof *t);
	int r;

	*out = NULL;
	if (!t)
		return nnr__fail_memory(err, "a tokenizer", sizeof *t);
	r = read_kind(t, g, err);
	if (!r)
		r = read_tokens(t, g, err);
	if (!r)
		r = read_ids(t, g, err);
	if (!r)
		r = nnr__bpe_init(&t->bpe, g, t, err);
	if (!r)
		r = index_added(t, err);
	if (r)
		nnr__tok_free(t);
	else
		*out = t;
	return r;
}

void nnr__tok_free(nnr__tok *t)
{
	if (!t)
		return;
	nnr__bpe_release(&t->bpe);
	free(t->bytes);
	free(t->type);
	free(t->added);
	free(t);
}

/* ---- what a token is ---- */

bool nnr__tok_is_special(const nnr__tok *t, int32_t id)
{
	return id >= 0 && id < t->count && nnr__type_special(t->type[id]);
}

int32_t nnr__tok_special(const nnr__tok *t, const char *name)
{
	for (int i = 0; i < t->count; i++)
		if (nnr__type_special(t->type[i]) &&
		    nnr__str_is(t->bytes[i], name))
			return i;
	return -1;
}

int nnr__tok_count(const nnr__tok *t)
{
	return t->count;
}

int32_t nnr__tok_bos(const nnr__tok *t)
{
	return t->bos;
}

int32_t nnr__tok_eos(const nnr__tok *t)
{
	return t->eos;
}

bool nnr__tok_add_bos(const nnr__tok *t)
{
	return t->add_bos;
}

const char *nnr__tok_kind(const nnr__tok *t)
{
	return t->kind;
}

/* ---- encoding ---- */

/* The longest added token at s, or -1. */
static int32_t added_at(const nnr__tok *t, const char *s, size_t n)
{
	unsigned char c = (unsigned char)*s;
	int32_t best = -1;

	for (uint32_t i = t->added_at[c]; i < t->added_at[c + 1]; i++) {
		int32_t id = t->added[i];
		const nnr__str *b = &t->bytes[id];

		if (b->n <= n && !memcmp(b->p, s, b->n) &&
		    (best < 0 || b->n > t->bytes[best].n))
			best = id;
	}
	return best;
}

/* Where the first user-defined token in s begins, and which; n if none.
 * A special token written out is passed over as a whole. */
static size_t next_user(const nnr__tok *t, const char *s, size_t n,
			int32_t *id)
{
	size_t at = 0;

	*id = -1;
	while (t->added && at < n) {
		int32_t found = added_at(t, s + at, n - at);

		if (found >= 0 && t->type[found] == NNR__T_USER) {
			*id = found;
			return at;
		}
		at += found >= 0 ? t->bytes[found].n : 1;
	}
	return n;
}

int nnr__tok_encode(const nnr__tok *t, const char *s, size_t n,
		    nnr__ids *out, nnr_error *err)
{
	nnr__bpe_work w = { 0 };
	int r = 0;

	while (n && !r) {
		int32_t id;
		size_t text = next_user(t, s, n, &id);

		r = nnr__bpe_encode(&t->bpe, t->pre, s, text, &w, out, err);
		if (!r && id >= 0) {
			if (!nnr__ids_add(out, id))
				r = nnr__fail_memory(err, "tokens", out->n);
			text += t->bytes[id].n;
		}
		s += text;
		n -= text;
	}
	nnr__bpe_work_release(&w);
	return r;
}
