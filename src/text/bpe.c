/* SPDX-License-Identifier: Apache-2.0
 *
 * bpe.c: byte-level BPE ("gpt2" in GGUF).
 *
 * In the file each byte of a token is written as one printable character
 * (GPT-2's alphabet: the printable bytes of Latin-1 are themselves, the other
 * 68 are U+0100 on, in order).  A merge "left right" says that these two
 * neighbours become the token leftright; its index is its rank.  Encoding
 * starts from the tokens of single bytes and applies, as long as there is
 * one, the merge of the lowest rank, the leftmost first.
 *
 * A byte that the vocabulary has no token for gives none, as in transformers
 * and llama.cpp (SmolLM2 lacks 04 06 13 14 16 1d f1 f2 and the 13 bytes that
 * UTF-8 does not use).
 */
#include <stdlib.h>

#include "text/tok.h"

#define NONE UINT32_MAX
#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

typedef struct nnr__merge {
	int32_t left, right, into;
} nnr__merge;

typedef struct nnr__symbol {
	int32_t id;
	uint32_t rank;		/* of the merge with the next, or NONE */
	uint32_t prev, next;
} nnr__symbol;

/* Tokens by their written form, while loading. */
struct vocab {
	const nnr__str *tok;
	struct slot { uint32_t tag, id; } *slot;	/* id + 1; 0: free */
	uint32_t mask;
};

static uint64_t offset_of(const nnr__gguf *g, nnr__str s)
{
	return (uint64_t)((const uint8_t *)s.p - g->map.data);
}

/* A power of two above n * 4 / 3, as its exponent. */
static unsigned slots_for(size_t n)
{
	unsigned log = 4;

	while ((size_t)3 << log <= 4 * n)
		log++;
	return log;
}

/* ---- the vocabulary, while loading ---- */

/* FNV-1a: the hash of a concatenation goes on from that of its head. */
static uint64_t hash(uint64_t h, nnr__str s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * FNV_PRIME;
	return h;
}

/* The slot of the token that is a and b together, or the free one. */
static struct slot *find(const struct vocab *v, uint64_t h, nnr__str a,
			 nnr__str b)
{
	uint32_t tag = (uint32_t)(h >> 32), at = (uint32_t)(h ^ h >> 29);

	for (at &= v->mask; v->slot[at].id; at = (at + 1) & v->mask) {
		const nnr__str *t = &v->tok[v->slot[at].id - 1];

		if (v->slot[at].tag == tag && t->n == a.n + b.n &&
		    !memcmp(t->p, a.p, a.n) &&
		    (!b.n || !memcmp(t->p + a.n, b.p, b.n)))
			break;
	}
	return &v->slot[at];
}

static int vocab_init(struct vocab *v, const nnr__gguf *g, const nnr__tok *t,
		      nnr_error *err)
{
	size_t cap = (size_t)1 << slots_for((size_t)t->count);
	char show[48];

	v->tok = t->bytes;
	v->mask = (uint32_t)cap - 1;
	v->slot = nnr__calloc(cap, sizeof *v->slot);
	if (!v->slot)
		return nnr__fail_memory(err, "the vocabulary",
					cap * sizeof *v->slot);
	for (int i = 0; i < t->count; i++) {
		nnr__str s = t->bytes[i];
		uint64_t h = hash(FNV_START, s);
		struct slot *slot = find(v, h, s, (nnr__str){ s.p, 0 });

		if (slot->id)
			return nnr__fail_at(err, NNR_E_FORMAT,
					    offset_of(g, s), "tokenizer.ggml."
					    "tokens: tokens %u and %d are "
					    "both \"%s\"", slot->id - 1, i,
					    nnr__show(s, show, sizeof show));
		*slot = (struct slot){ (uint32_t)(h >> 32), (uint32_t)i + 1 };
	}
	return 0;
}

/* ---- merges ---- */

/* The slot of the merge of left and right, or the free one. */
static uint32_t *pair_slot(const nnr__bpe *b, int32_t left, int32_t right)
{
	uint64_t key = (uint64_t)left << 32 | (uint32_t)right;
	size_t mask = ((size_t)1 << b->log) - 1;
	size_t at = (size_t)(key * 0x9e3779b97f4a7c15u >> (64 - b->log));

	for (; b->slot[at]; at = (at + 1) & mask) {
		const nnr__merge *m = &b->merge[b->slot[at] - 1];

		if (m->left == left && m->right == right)
			break;
	}
	return &b->slot[at];
}

static int bad_merge(const nnr__gguf *g, nnr__str m, size_t i,
		     const char *why, nnr_error *err)
{
	char show[64];

	return nnr__fail_at(err, NNR_E_FORMAT, offset_of(g, m),
			    "tokenizer.ggml.merges: merge %zu, \"%s\", %s", i,
			    nnr__show(m, show, sizeof show), why);
}

/* The token that left and right make, + 1; 0 if none.  Trained vocabularies
 * list them in the order of the merges, so the one after `last` is tried. */
static uint32_t joined(const struct vocab *v, nnr__str left, nnr__str right,
		       uint64_t left_hash, uint32_t last, int count)
{
	if (last && last < (uint32_t)count) {
		nnr__str t = v->tok[last];

		if (t.n == left.n + right.n && !memcmp(t.p, left.p, left.n) &&
		    !memcmp(t.p + left.n, right.p, right.n))
			return last + 1;
	}
	return find(v, hash(left_hash, right), left, right)->id;
}

static int add_merge(nnr__bpe *b, const nnr__gguf *g, const struct vocab *v,
		     const nnr__tok *t, nnr__str m, size_t rank,
		     uint32_t *last, nnr_error *err)
{
	/* From the second byte on: the left token is not empty. */
	const char *cut = m.n > 2 ? memchr(m.p + 1, ' ', m.n - 2) : NULL;
	nnr__str left, right, none = { m.p, 0 };
	uint32_t l, r, into;
	uint64_t h;
	uint32_t *slot;

	if (!cut)
		return bad_merge(g, m, rank, "is not two tokens with a space "
				 "between them", err);
	left = (nnr__str){ m.p, (size_t)(cut - m.p) };
	right = (nnr__str){ cut + 1, m.n - left.n - 1 };
	h = hash(FNV_START, left);
	l = find(v, h, left, none)->id;
	into = joined(v, left, right, h, *last, t->count);
	r = find(v, hash(FNV_START, right), right, none)->id;
	if (!l || !r || !into)
		return bad_merge(g, m, rank, !l ? "begins with no token" :
				 !r ? "ends with no token" :
				 "makes no token", err);
	if (nnr__type_special(t->type[into - 1]))
		return bad_merge(g, m, rank, "makes a control token, which "
				 "text must not", err);
	slot = pair_slot(b, (int32_t)l - 1, (int32_t)r - 1);
	if (*slot)
		return bad_merge(g, m, rank, "is there twice", err);
	*slot = (uint32_t)rank + 1;
	b->merge[rank] = (nnr__merge){ (int32_t)l - 1, (int32_t)r - 1,
				       (int32_t)into - 1 };
	*last = into;
	return 0;
}

static int read_merges(nnr__bpe *b, const nnr__gguf *g, const struct vocab *v,
		       const nnr__tok *t, nnr_error *err)
{
	static const char key[] = "tokenizer.ggml.merges";
	const nnr__gkv *kv = nnr__gguf_kv(g, key);
	uint32_t last = 0;
	nnr__cur c;
	int r = 0;

	if (!kv)
		return nnr__fail(err, NNR_E_FORMAT, "no %s (a list of \"left "
				 "right\")", key);
	if (kv->type != NNR__G_ARRAY || kv->elem != NNR__G_STRING)
		return nnr__fail(err, NNR_E_FORMAT, "key %s is not a list of "
				 "strings", key);
	if (kv->count > INT32_MAX / 2)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "%s has %llu entries",
				 key, (unsigned long long)kv->count);
	/* At most half full: most look-ups are of pairs that are not there. */
	b->log = slots_for((size_t)kv->count) + 1;
	b->slot = nnr__calloc((size_t)1 << b->log, sizeof *b->slot);
	b->merge = nnr__calloc((size_t)kv->count, sizeof *b->merge);
	if (!b->slot || !b->merge)
		return nnr__fail_memory(err, "the merges", (size_t)kv->count *
					sizeof *b->merge);
	/* Read in place: an array of them would cost more than the rest. */
	c = nnr__cur_init(kv->raw, kv->raw_bytes);
	for (size_t i = 0; i < kv->count && !r; i++) {
		nnr__str m = { .n = (size_t)nnr__take_u64(&c) };

		m.p = (const char *)nnr__take_bytes(&c, m.n);
		r = add_merge(b, g, v, t, m, i, &last, err);
	}
	return r;
}

/* ---- bytes of the tokens ---- */

/* The byte that a character of the alphabet stands for, or -1. */
static int byte_of(int32_t cp)
{
	if ((cp >= 0x21 && cp <= 0x7e) || (cp >= 0xa1 && cp <= 0xff))
		return cp == 0xad ? -1 : cp;
	if (cp < 0x100 || cp > 0x143)
		return -1;
	cp -= 0x100;
	return cp <= 0x20 ? cp : cp < 0x43 ? cp - 0x21 + 0x7f : 0xad;
}

/* Decodes s to out, which has room for s.n bytes; -1 when a character is not
 * of the alphabet. */
static int decode(nnr__str s, char *out)
{
	size_t len;
	int n = 0;

	for (size_t i = 0; i < s.n; i += len) {
		int c = (unsigned char)s.p[i];

		len = 1;
		if (c > 0x7f)
			c = nnr__utf8_next(s.p + i, s.n - i, &len);
		c = byte_of(c);
		if (c < 0)
			return -1;
		out[n++] = (char)c;
	}
	return n;
}

/* From here on t->bytes are bytes; a token that is not written in the
 * alphabet stands for itself, as do special and user-defined ones. */
static int decode_all(nnr__bpe *b, nnr__tok *t, nnr_error *err)
{
	size_t room = 1;
	char *out;

	for (int i = 0; i < t->count; i++)
		room += t->bytes[i].n;	/* they lie in the file side by side */
	out = b->pool = malloc(room);
	if (!out)
		return nnr__fail_memory(err, "the vocabulary", room);
	for (int i = 0; i < t->count; i++) {
		nnr__str *s = &t->bytes[i];
		int n;

		if (nnr__type_special(t->type[i]) || t->type[i] == NNR__T_USER)
			continue;
		n = decode(*s, out);
		if (n < 0)
			continue;
		if (n == 1)
			b->byte[(unsigned char)*out] = i;
		*s = (nnr__str){ out, (size_t)n };
		out += n;
	}
	return 0;
}

int nnr__bpe_init(nnr__bpe *b, const nnr__gguf *g, nnr__tok *t,
		  nnr_error *err)
{
	struct vocab v = { 0 };
	int r = vocab_init(&v, g, t, err);

	memset(b->byte, -1, sizeof b->byte);
	if (!r)
		r = read_merges(b, g, &v, t, err);
	if (!r)
		r = decode_all(b, t, err);
	free(v.slot);
	return r;
}

void nnr__bpe_release(nnr__bpe *b)
{
	free(b->slot);
	free(b->merge);
	free(b->pool);
}

/* ---- encoding ---- */

/* A heap of rank << 32 | position, so that the smallest is the next merge. */
static void push(uint64_t *heap, size_t *n, uint64_t key)
{
	size_t at = (*n)++;

	while (at && heap[(at - 1) / 2] > key) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = key;
}

static uint64_t pop(uint64_t *heap, size_t *n)
{
	uint64_t top = heap[0], key = heap[--*n];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < *n) {
		child += child + 1 < *n && heap[child + 1] < heap[child];
		if (heap[child] >= key)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = key;
	return top;
}

/* Looks up the merge of symbol i with the next one; queues it. */
static void look(const nnr__bpe *b, nnr__bpe_work *w, size_t *heaps,
		 uint32_t i)
{
	nnr__symbol *s = &w->sym[i];

	s->rank = NONE;
	if (s->next == NONE)
		return;
	s->rank = *pair_slot(b, s->id, w->sym[s->next].id) - 1;
	if (s->rank == NONE)
		return;
	push(w->heap, heaps, (uint64_t)s->rank << 32 | i);
}

static void merge_all(const nnr__bpe *b, nnr__bpe_work *w, uint32_t n)
{
	size_t heaps = 0;

	for (uint32_t i = 0; i + 1 < n; i++)
		look(b, w, &heaps, i);
	while (heaps) {
		uint64_t top = pop(w->heap, &heaps);
		uint32_t i = (uint32_t)top;
		nnr__symbol *s = &w->sym[i], *gone;

		if (s->rank != top >> 32)
			continue;	/* one of the two is another by now */
		gone = &w->sym[s->next];
		s->id = b->merge[s->rank].into;
		s->next = gone->next;
		gone->rank = NONE;
		if (s->next != NONE)
			w->sym[s->next].prev = i;
		look(b, w, &heaps, i);
		if (s->prev != NONE)
			look(b, w, &heaps, s->prev);
	}
}

static int encode_word(const nnr__bpe *b, const char *s, size_t n,
		       nnr__bpe_work *w, nnr__ids *out, nnr_error *err)
{
	uint32_t m = 0;

	/* Each merge takes one from the queue and adds at most two. */
	if (n > NONE / 2 ||
	    !nnr__grow(&w->sym, &w->syms, n, sizeof *w->sym) ||
	    !nnr__grow(&w->heap, &w->heaps, 2 * n, sizeof *w->heap))
		return nnr__fail_memory(err, "a word", n);
	for (size_t i = 0; i < n; i++) {
		int32_t id = b->byte[(unsigned char)s[i]];

		if (id < 0)
			continue;
		w->sym[m] = (nnr__symbol){ .id = id, .prev = m - 1,
					   .next = m + 1 };
		m++;
	}
	if (!m)
		return 0;
	w->sym[m - 1].next = NONE;
	merge_all(b, w, m);
	for (uint32_t i = 0; i != NONE; i = w->sym[i].next)
		if (!nnr__ids_add(out, w->sym[i].id))
			return nnr__fail_memory(err, "tokens", out->n);
	return 0;
}

int nnr__bpe_encode(const nnr__bpe *b, const nnr__pretok *pre, const char *s,
		    size_t n, nnr__bpe_work *w, nnr__ids *out, nnr_error *err)
{
	int r = 0;

	while (n && !r) {
		size_t len = pre->next(s, n);

		r = encode_word(b, s, len, w, out, err);
		s += len;
		n -= len;
	}
	return r;
}

void nnr__bpe_work_release(nnr__bpe_work *w)
{
	free(w->sym);
	free(w->heap);
}
