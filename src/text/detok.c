/* SPDX-License-Identifier: Apache-2.0
 *
 * detok.c: tokens back to bytes and to text.  Text is always valid UTF-8:
 * what a code point cannot begin with or go on with becomes U+FFFD, one for
 * each longest start of a code point, as Rust's and Python's decoders do it.
 */
#include "text/tok.h"

const char *nnr__tok_bytes(const nnr__tok *t, int32_t id, bool special,
			   size_t *n)
{
	*n = 0;
	if (id < 0 || id >= t->count ||
	    (nnr__type_special(t->type[id]) && !special))
		return "";
	*n = t->bytes[id].n;
	return t->bytes[id].p;
}

/* Can s, 1 to 4 bytes, be a code point or the start of one?  0 no, 1 as a
 * start, 2 as a whole one. */
static int judge(const char *s, size_t n)
{
	unsigned char c = (unsigned char)s[0], d;
	size_t want = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 :
		      c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (!want)
		return 0;
	for (size_t i = 1; i < n; i++)
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
	d = n > 1 ? (unsigned char)s[1] : 0;
	if (n > 1 && ((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) ||
		      (c == 0xf0 && d < 0x90) || (c == 0xf4 && d > 0x8f)))
		return 0;
	return n == want ? 2 : 1;
}

static void add_unknown(nnr__buf *out)
{
	nnr__buf_adds(out, "\xef\xbf\xbd");
}

static void add_byte(nnr__stream *s, char c, nnr__buf *out)
{
	int verdict;

	s->held[s->n++] = c;
	verdict = judge(s->held, s->n);
	if (!verdict && s->n > 1) {
		/* What was held is cut off; c may begin another. */
		add_unknown(out);
		s->held[0] = c;
		s->n = 1;
		verdict = judge(s->held, 1);
	}
	if (verdict == 1)
		return;
	if (verdict)
		nnr__buf_add(out, s->held, s->n);
	else
		add_unknown(out);
	s->n = 0;
}

void nnr__stream_add(const nnr__tok *t, nnr__stream *s, int32_t id,
		     nnr__buf *out)
{
	size_t n;
	const char *p = nnr__tok_bytes(t, id, false, &n);

	for (size_t i = 0; i < n; i++)
		add_byte(s, p[i], out);
}

void nnr__stream_flush(nnr__stream *s, nnr__buf *out)
{
	if (s->n)
		add_unknown(out);
	s->n = 0;
}

char *nnr__tok_decode(const nnr__tok *t, const int32_t *id, size_t n)
{
	nnr__stream s = { 0 };
	nnr__buf out = { 0 };

	for (size_t i = 0; i < n; i++)
		nnr__stream_add(t, &s, id[i], &out);
	nnr__stream_flush(&s, &out);
	return nnr__buf_take(&out);
}
