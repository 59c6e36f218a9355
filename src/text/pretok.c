/* SPDX-License-Identifier: Apache-2.0
 *
 * pretok.c: cutting text into the pre-tokens that BPE then works on alone.
 *
 *   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+
 *           |\s+(?!\S)|\s+
 *   smollm  every number character by itself; then gpt2 on each stretch
 *           between them, which therefore ends there: " 1" is " " and "1"
 *
 * Scanned by hand, each byte once or twice, so no text is slow.  An invalid
 * byte is one symbol.  The classes are those of the tokenizers library for
 * every code point (classes.def), not those of the installed utf8proc.
 */
#include <string.h>

#include "text/tok.h"

enum class {
	P,	/* a symbol: nothing of the below */
	L,	/* \p{L} */
	N,	/* \p{N} */
	S,	/* \s */
	D	/* a number that only smollm's first cut knows as one */
};

static const struct {
	int32_t first, last;
	uint8_t class;
} ranges[] = {
#define R(first, last, class) { first, last, class },
#include "text/classes.def"
#undef R
};

static enum class class_of(int32_t cp)
{
	size_t low = 0, high = sizeof ranges / sizeof ranges[0];

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (cp > ranges[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == sizeof ranges / sizeof ranges[0] || cp < ranges[low].first)
		return P;
	return (enum class)ranges[low].class;
}

static enum class class_of_ascii(unsigned char c)
{
	if ((unsigned char)((c | 0x20) - 'a') < 26)
		return L;
	if ((unsigned char)(c - '0') < 10)
		return N;
	return c == ' ' || (c >= '\t' && c <= '\r') ? S : P;
}

/* Class and length of what stands at s, n > 0. */
static enum class class_at(const char *s, size_t n, bool smollm, size_t *len)
{
	enum class c;
	int32_t cp;

	if ((unsigned char)*s < 0x80) {
		*len = 1;
		return class_of_ascii((unsigned char)*s);
	}
	cp = nnr__utf8_next(s, n, len);
	c = cp < 0 ? P : class_of(cp);
	return c != D ? c : smollm ? N : P;
}

/* Where the run of a class that holds from 0 to `at` ends. */
static size_t run(const char *s, size_t n, size_t at, enum class c,
		  bool smollm)
{
	size_t len;

	while (at < n && class_at(s + at, n - at, smollm, &len) == c)
		at += len;
	return at;
}

/* Length of 's 't 'm 'd 're 've 'll at s, else 0. */
static size_t contraction(const char *s, size_t n)
{
	if (n < 2 || *s != '\'')
		return 0;
	if (s[1] && strchr("stmd", s[1]))
		return 2;
	if (n < 3)
		return 0;
	return (s[1] == 'r' && s[2] == 'e') || (s[1] == 'v' && s[2] == 'e') ||
	       (s[1] == 'l' && s[2] == 'l') ? 3 : 0;
}

/* White space from the start: \s+(?!\S)|\s+ */
static size_t space(const char *s, size_t n, bool smollm)
{
	size_t at = 0, last = 0, len;

	while (at < n) {
		enum class c = class_at(s + at, n - at, smollm, &len);

		if (c != S) {
			/* Followed by something in the same stretch: leave it
			 * the last white space, unless that is all. */
			return last && !(smollm && c == N) ? last : at;
		}
		last = at;
		at += len;
	}
	return at;
}

static size_t next(const char *s, size_t n, bool smollm)
{
	size_t len, more;
	enum class c = class_at(s, n, smollm, &len);

	if (smollm && c == N)
		return len;
	more = contraction(s, n);
	if (more)
		return more;
	if (*s == ' ' && n > 1) {
		c = class_at(s + 1, n - 1, smollm, &more);
		len += more;
	}
	if (c == S || (smollm && c == N))
		return space(s, n, smollm);
	return run(s, n, len, c, smollm);
}

static size_t next_gpt2(const char *s, size_t n)
{
	return next(s, n, false);
}

static size_t next_smollm(const char *s, size_t n)
{
	return next(s, n, true);
}

static const nnr__pretok pretoks[] = {
	{ "gpt2", "gpt-2", next_gpt2 },
	{ "smollm", "smollm", next_smollm },
};

const nnr__pretok *nnr__pretok_find(nnr__str name, nnr_error *err)
{
	char show[48];
	nnr__buf have = { 0 };

	for (size_t i = 0; i < sizeof pretoks / sizeof pretoks[0]; i++) {
		const nnr__pretok *p = &pretoks[i];

		if (nnr__str_is(name, p->name) ||
		    nnr__str_is(name, p->in_file)) {
			nnr__buf_release(&have);
			return p;
		}
		nnr__buf_addf(&have, "%s%s", i ? ", " : "", p->name);
	}
	nnr__fail(err, NNR_E_UNSUPPORTED, "tokenizer.ggml.pre is \"%s\"; this "
		  "build knows the pre-tokenizers %s",
		  nnr__show(name, show, sizeof show), have.p ? have.p : "");
	nnr__buf_release(&have);
	return NULL;
}
