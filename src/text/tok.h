/* SPDX-License-Identifier: Apache-2.0
 *
 * tok.h: what tok.c, bpe.c and detok.c share; nobody else includes it.
 */
#ifndef NNR_TOK_H
#define NNR_TOK_H

#include <string.h>

#include "text/text.h"

/* tokenizer.ggml.token_type */
enum {
	NNR__T_NORMAL = 1, NNR__T_UNKNOWN, NNR__T_CONTROL, NNR__T_USER,
	NNR__T_UNUSED, NNR__T_BYTE
};

/* Byte-level BPE: which two tokens become which, and in what order. */
typedef struct nnr__bpe {
	int32_t byte[256];		/* token of a byte, or -1 */
	struct nnr__merge *merge;	/* by rank */
	uint32_t *slot;			/* rank + 1 by pair; 0: free */
	unsigned log;			/* slots, as a power of two */
	char *pool;			/* decoded bytes of tokens */
} nnr__bpe;

/* Scratch of one nnr__tok_encode call. */
typedef struct nnr__bpe_work {
	struct nnr__symbol *sym;
	uint64_t *heap;
	size_t syms, heaps;
} nnr__bpe_work;

struct nnr__tok {
	nnr__str *bytes;	/* of each token; special: as written */
	uint8_t *type;
	int count;
	int32_t bos, eos;
	bool add_bos;
	char kind[32];
	const nnr__pretok *pre;
	nnr__bpe bpe;
	int32_t *added;		/* when there are user-defined tokens: */
	uint32_t added_at[257];	/* these and the special ones by first byte */
};

/* Reads the merges; t->bytes holds the tokens as they stand in the file and
 * is decoded in place. */
int nnr__bpe_init(nnr__bpe *b, const nnr__gguf *g, nnr__tok *t,
		  nnr_error *err);
void nnr__bpe_release(nnr__bpe *b);
int nnr__bpe_encode(const nnr__bpe *b, const nnr__pretok *pre, const char *s,
		    size_t n, nnr__bpe_work *w, nnr__ids *out, nnr_error *err);
void nnr__bpe_work_release(nnr__bpe_work *w);

static inline bool nnr__str_is(nnr__str s, const char *lit)
{
	return s.n == strlen(lit) && !memcmp(s.p, lit, s.n);
}

static inline bool nnr__type_special(uint8_t type)
{
	return type == NNR__T_CONTROL || type == NNR__T_UNKNOWN;
}

#endif
