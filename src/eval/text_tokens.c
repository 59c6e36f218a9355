/* SPDX-License-Identifier: Apache-2.0
 *
 * text_tokens.c: how BLEU and ROUGE cut texts into words.
 *
 *   13a    of mteval-v13a, as sacreBLEU has it: a few replacements, then
 *          four passes, each over what the one before has made.
 *   rouge  as rouge-score without a stemmer: lower case, and what is not
 *          a-z or 0-9 stands between words.
 *
 * A pass never matches what it has put out, and what two matches would share
 * belongs to the first: so do the regular expressions they stand for.  Bytes
 * do for code points: all that is asked for is ASCII.
 */
#include "eval/texts.h"

#include <string.h>

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool stop(char c)
{
	return c == '.' || c == ',';
}

/* What Python's split takes for a space. */
static bool space(int32_t cp)
{
	return nnr__is_space(cp) || (cp >= 0x1c && cp <= 0x1f);
}

/* Bytes of s without the spaces at its end. */
static size_t without_end(const char *s)
{
	size_t n = strlen(s), keep = 0, len;

	for (size_t i = 0; i < n; i += len)
		if (!space(nnr__utf8_next(s + i, n - i, &len)))
			keep = i + len;
	return keep;
}

/* Every `from` in b becomes `to`. */
static void replace(nnr__buf *b, const char *from, const char *to)
{
	size_t n = strlen(from);
	nnr__buf out = { 0 };

	for (size_t i = 0; i < b->len;) {
		if (b->len - i >= n && memcmp(b->p + i, from, n) == 0) {
			nnr__buf_adds(&out, to);
			i += n;
		} else {
			nnr__buf_addc(&out, b->p[i++]);
		}
	}
	out.bad = out.bad || b->bad;
	nnr__buf_release(b);
	*b = out;
}

/* ASCII signs but for ' , - . and digits, and the space. */
static bool sign(char c)
{
	return c && strchr("{|}~[\\]^_` !\"#$%&()*+:;<=>?@/", c);
}

/* A pass: what stands at s, n bytes of them left; how many it has taken, 0
 * if nothing matches. */
typedef size_t pass(const char *s, size_t n, nnr__buf *out);

static size_t signs(const char *s, size_t n, nnr__buf *out)
{
	(void)n;
	if (!sign(s[0]))
		return 0;
	nnr__buf_addf(out, " %c ", s[0]);
	return 1;
}

static size_t after_no_digit(const char *s, size_t n, nnr__buf *out)
{
	if (n < 2 || digit(s[0]) || !stop(s[1]))
		return 0;
	nnr__buf_addf(out, "%c %c ", s[0], s[1]);
	return 2;
}

static size_t before_no_digit(const char *s, size_t n, nnr__buf *out)
{
	if (n < 2 || !stop(s[0]) || digit(s[1]))
		return 0;
	nnr__buf_addf(out, " %c %c", s[0], s[1]);
	return 2;
}

static size_t dash_after_digit(const char *s, size_t n, nnr__buf *out)
{
	if (n < 2 || !digit(s[0]) || s[1] != '-')
		return 0;
	nnr__buf_addf(out, "%c - ", s[0]);
	return 2;
}

static void run(nnr__buf *b, pass *f)
{
	nnr__buf out = { 0 };

	for (size_t i = 0; i < b->len;) {
		size_t taken = f(b->p + i, b->len - i, &out);
		if (!taken)
			nnr__buf_addc(&out, b->p[i++]);
		i += taken;
	}
	out.bad = out.bad || b->bad;
	nnr__buf_release(b);
	*b = out;
}

/* One space between the words of b, none around them. */
static void join_words(const nnr__buf *b, nnr__buf *out)
{
	size_t len, from = out->len;
	bool gap = false;

	for (size_t i = 0; i < b->len; i += len) {
		if (space(nnr__utf8_next(b->p + i, b->len - i, &len))) {
			gap = true;
			continue;
		}
		if (gap && out->len > from)
			nnr__buf_addc(out, ' ');
		gap = false;
		nnr__buf_add(out, b->p + i, len);
	}
	out->bad = out->bad || b->bad;
}

void nnr__tokens_13a(const char *s, nnr__buf *out)
{
	static const char *const entity[][2] = {
		{ "<skipped>", "" }, { "-\n", "" }, { "\n", " " },
		{ "&quot;", "\"" }, { "&amp;", "&" }, { "&lt;", "<" },
		{ "&gt;", ">" }
	};
	static pass *const passes[] = { signs, after_no_digit,
					before_no_digit, dash_after_digit };
	nnr__buf b = { 0 };

	nnr__buf_add(&b, s, without_end(s));
	for (size_t i = 0; i < sizeof(entity) / sizeof(*entity); i++)
		if (b.len && strstr(b.p, entity[i][0]))
			replace(&b, entity[i][0], entity[i][1]);
	if (b.len) {
		nnr__buf inner = b;
		b = (nnr__buf){ 0 };
		nnr__buf_addc(&b, ' ');
		nnr__buf_add(&b, inner.p, inner.len);
		nnr__buf_addc(&b, ' ');
		b.bad = b.bad || inner.bad;
		nnr__buf_release(&inner);
	}
	for (size_t i = 0; i < sizeof(passes) / sizeof(*passes); i++)
		run(&b, passes[i]);
	join_words(&b, out);
	nnr__buf_release(&b);
}

/* The letter or digit a code point is in lower case; 0: it stands between
 * words.  Two that are not ASCII have one that is. */
static char letter(int32_t cp)
{
	if (cp >= 'A' && cp <= 'Z')
		return (char)(cp - 'A' + 'a');
	if ((cp >= 'a' && cp <= 'z') || (cp >= '0' && cp <= '9'))
		return (char)cp;
	return cp == 0x212a ? 'k' : cp == 0x130 ? 'i' : 0;
}

void nnr__tokens_rouge(const char *s, nnr__buf *out)
{
	size_t n = strlen(s), len, from = out->len;
	bool gap = false;

	for (size_t i = 0; i < n; i += len) {
		int32_t cp = nnr__utf8_next(s + i, n - i, &len);
		char c = letter(cp);

		if (c && gap && out->len > from)
			nnr__buf_addc(out, ' ');
		if (c)
			nnr__buf_addc(out, c);
		/* U+0130 in lower case is an i and a dot apart */
		gap = !c || cp == 0x130;
	}
}
