/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizers.h: the tokenizers under test: a small vocabulary made here with
 * either pre-tokenizer, and the real model's where it is (NNR_TEST_MODEL,
 * else the cache folder).
 */
#ifndef TOKENIZERS_H
#define TOKENIZERS_H

#include "test.h"

#include "../synth_vocab.h"
#include "text/text.h"

#define REAL_MODEL "smollm2-135m-instruct"

struct side {
	nnr__buf bytes;
	nnr__gguf *g;
	nnr__tok *t;
};

static struct side small, plain, real;	/* smollm, gpt2, the model */

static inline void open_side(struct side *s, synth *more, const char *pre)
{
	nnr_error err;

	synth_vocab(more, pre, &s->bytes);
	if (nnr__gguf_parse(&s->g, s->bytes.p, s->bytes.len, &err) ||
	    nnr__tok_new(&s->t, s->g, &err))
		fail_msg("%s", err.message);
}

static inline void close_side(struct side *s)
{
	nnr__tok_free(s->t);
	nnr__gguf_close(s->g);
	nnr__buf_release(&s->bytes);
}

static inline int open_all(void **state)
{
	const char *path = getenv("NNR_TEST_MODEL");
	char *found = NULL;
	nnr_error err = { 0 };

	(void)state;
	open_side(&small, &(synth){ 0 }, "smollm");
	open_side(&plain, &(synth){ 0 }, "gpt-2");
	if (!path && !nnr__model_resolve(&found, REAL_MODEL, NULL, &err))
		path = found;
	if (!path)
		print_message("no real model: %s\n", err.message);
	else if (nnr__gguf_open(&real.g, path, &err) ||
		 nnr__tok_new(&real.t, real.g, &err))
		fail_msg("%s", err.message);
	free(found);
	return 0;
}

static inline int close_all(void **state)
{
	(void)state;
	close_side(&small);
	close_side(&plain);
	close_side(&real);
	return 0;
}

static inline void need_real(void)
{
	if (real.t)
		return;
	print_message("skipped: needs the real model\n");
	skip();
}

static inline nnr__ids encode(const nnr__tok *t, const char *s, size_t n)
{
	nnr__ids ids = { 0 };
	nnr_error err;

	if (nnr__tok_encode(t, s, n, &ids, &err))
		fail_msg("%s", err.message);
	return ids;
}

static inline void expect_ids(const nnr__ids *ids, const int32_t *want,
			      size_t n, const char *what)
{
	bool same = ids->n == n;

	for (size_t i = 0; same && i < n; i++)
		same = ids->id[i] == want[i];
	if (same)
		return;
	for (size_t i = 0; i < ids->n || i < n; i++)
		print_message("%d want %d\n", i < ids->n ? ids->id[i] : -1,
			      i < n ? want[i] : -1);
	fail_msg("tokens differ: %s", what);
}

#endif
