/* SPDX-License-Identifier: Apache-2.0
 *
 * text: bytes <-> tokens, and a model's chat markup.
 * A tokenizer kind is one file (bpe.c), a pre-tokenizer one row in pretok.c.
 * Encoding never yields special tokens: those are placed by the program.
 */
#ifndef NNR_TEXT_H
#define NNR_TEXT_H

#include "base/base.h"
#include "load/load.h"

typedef struct nnr__tok nnr__tok;

typedef struct nnr__ids {
	int32_t *id;
	size_t n, cap;
} nnr__ids;
bool nnr__ids_add(nnr__ids *v, int32_t id);	/* false: no memory */
void nnr__ids_release(nnr__ids *v);

/* Reads tokenizer.ggml.*; the strings stay in the mapped file. */
int nnr__tok_new(nnr__tok **t, const nnr__gguf *g, nnr_error *err);
void nnr__tok_free(nnr__tok *t);
/* Appends the tokens of any bytes; special tokens written out in the text
 * are ordinary text, user-defined ones are themselves.  A byte the
 * vocabulary has no token for gives none.  No BOS. */
int nnr__tok_encode(const nnr__tok *t, const char *s, size_t n,
		    nnr__ids *out, nnr_error *err);
/* Bytes of a token (not NUL-terminated).  Control tokens give n = 0 unless
 * `special`, which gives their written form. */
const char *nnr__tok_bytes(const nnr__tok *t, int32_t id, bool special,
			   size_t *n);
int32_t nnr__tok_special(const nnr__tok *t, const char *name);	/* or -1 */
bool nnr__tok_is_special(const nnr__tok *t, int32_t id);
int nnr__tok_count(const nnr__tok *t);
int32_t nnr__tok_bos(const nnr__tok *t);		/* -1: none */
int32_t nnr__tok_eos(const nnr__tok *t);		/* -1: none */
bool nnr__tok_add_bos(const nnr__tok *t);
const char *nnr__tok_kind(const nnr__tok *t);	/* "gpt2/smollm" */
/* As streaming does it: text without control tokens, always valid UTF-8;
 * malloc'd, NULL when there is no memory. */
char *nnr__tok_decode(const nnr__tok *t, const int32_t *id, size_t n);

/* Streaming decode: appends to out only whole code points; call with flush
 * at the end (a cut code point then becomes U+FFFD, as bytes that are no
 * UTF-8 do at once). */
typedef struct nnr__stream { char held[8]; size_t n; } nnr__stream;
void nnr__stream_add(const nnr__tok *t, nnr__stream *s, int32_t id,
		     nnr__buf *out);
void nnr__stream_flush(nnr__stream *s, nnr__buf *out);

/* ---- pre-tokenizers (pretok.c) ---- */
typedef struct nnr__pretok {
	const char *name;
	const char *in_file;	/* how llama.cpp's converter spells it */
	/* Length of the pre-token at s, where one begins; n > 0. */
	size_t (*next)(const char *s, size_t n);
} nnr__pretok;
/* NULL and *err when this build does not have it. */
const nnr__pretok *nnr__pretok_find(nnr__str name, nnr_error *err);

/* ---- a prompt: text, special tokens and virtual ones in order (prompt.c)
 * Neighbouring text pieces are tokenised as one string.  A virtual token
 * stands for a row that a program gives, and is a negative number: the first
 * is -1.  Those that lead stand before BOS. */
typedef struct nnr__piece_of {
	int32_t token;		/* >= 0: this special token; -1: text */
	/* rows > 0: so many virtual tokens, from -1 - row0 */
	int32_t rows, row0;
	size_t start, len;	/* text: bytes of nnr__prompt.text, in order */
	const char *part;	/* id of the step it came from */
	bool varies;		/* false: the same for every item */
} nnr__piece_of;

typedef struct nnr__prompt {
	nnr__buf text;
	nnr__piece_of *piece;
	size_t n, cap;
	bool bad;
} nnr__prompt;
void nnr__prompt_text(nnr__prompt *p, const char *s, size_t n,
		      const char *part, bool varies);
void nnr__prompt_token(nnr__prompt *p, int32_t id, const char *part);
void nnr__prompt_rows(nnr__prompt *p, int32_t row0, int32_t rows,
		      const char *part, bool varies);
/* Adds a piece of another prompt. */
void nnr__prompt_copy(nnr__prompt *to, const nnr__prompt *from, size_t i);
void nnr__prompt_clear(nnr__prompt *p);
void nnr__prompt_release(nnr__prompt *p);
/* Tokens of the whole prompt (BOS first if the model's metadata says so). */
int nnr__prompt_encode(const nnr__tok *t, const nnr__prompt *p,
		       nnr__ids *out, nnr_error *err);

/* ---- chat markup (chat.c) ---- */
typedef struct nnr__chat nnr__chat;
/* Recognises the model's tokenizer.chat_template among the known ones (the
 * row "chatml-smollm2" has its default system message); another template is
 * NNR_E_UNSUPPORTED with its first characters quoted. */
int nnr__chat_new(nnr__chat **c, const nnr__gguf *g, const nnr__tok *t,
		  nnr_error *err);
void nnr__chat_free(nnr__chat *c);
const char *nnr__chat_name(const nnr__chat *c);
/* Wraps what stands in *p as the user's message: system message before
 * (NULL: the template's default; "": none, NNR_E_INPUT if the template
 * insists on one) and the beginning of the assistant's turn after. */
int nnr__chat_wrap(const nnr__chat *c, nnr__prompt *p, const char *system,
		   const char *part, nnr_error *err);

#endif
