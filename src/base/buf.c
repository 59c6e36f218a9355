/* SPDX-License-Identifier: Apache-2.0
 *
 * buf.c: a growing byte buffer that is always NUL-terminated, and the JSON
 * literals written into it.  A failed allocation is sticky: the caller asks
 * once, at the end.
 */
#include "base.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Room for n more bytes and the NUL. */
static bool reserve(nnr__buf *b, size_t n)
{
	size_t need, cap;
	char *p;

	if (b->bad)
		return false;
	if (n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4) {
		b->bad = true;
		return false;
	}
	need = b->len + n + 1;
	if (need <= b->cap)
		return true;
	cap = b->cap ? b->cap * 2 : 64;
	if (cap < need)
		cap = need;
	p = realloc(b->p, cap);
	if (!p) {
		b->bad = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void nnr__buf_add(nnr__buf *b, const void *bytes, size_t n)
{
	if (!reserve(b, n))
		return;
	if (n)
		memcpy(b->p + b->len, bytes, n);
	b->len += n;
	b->p[b->len] = '\0';
}

void nnr__buf_adds(nnr__buf *b, const char *s)
{
	nnr__buf_add(b, s, strlen(s));
}

void nnr__buf_addc(nnr__buf *b, char c)
{
	nnr__buf_add(b, &c, 1);
}

void nnr__buf_addf(nnr__buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		b->bad = true;
	else if (reserve(b, (size_t)n)) {
		vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

static void add_escaped(nnr__buf *b, unsigned char c)
{
	static const char plain[] = "\b\f\n\r\t\"\\";
	static const char named[] = "bfnrt\"\\";
	const char *at = c ? strchr(plain, c) : NULL;

	if (at) {
		nnr__buf_addc(b, '\\');
		nnr__buf_addc(b, named[at - plain]);
	} else {
		nnr__buf_addf(b, "\\u%04x", c);
	}
}

void nnr__buf_add_json(nnr__buf *b, const char *s, size_t n)
{
	nnr__buf_addc(b, '"');
	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char)s[i];
		size_t len = 1, from = i;

		while (i < n && (c = (unsigned char)s[i]) >= 0x20 &&
		       c < 0x7f && c != '"' && c != '\\')
			i++;
		nnr__buf_add(b, s + from, i - from);
		if (i == n)
			break;
		if (c < 0x80)
			add_escaped(b, c);
		else if (nnr__utf8_next(s + i, n - i, &len) < 0)
			nnr__buf_adds(b, "\xef\xbf\xbd");
		else
			nnr__buf_add(b, s + i, len);
		i += len;
	}
	nnr__buf_addc(b, '"');
}

/* The C locale's point, whatever the program around us has set. */
static void use_point(char *text)
{
	const char *point = localeconv()->decimal_point;
	size_t n = strlen(point);
	char *at;

	if (n == 0 || strcmp(point, ".") == 0)
		return;
	at = strstr(text, point);
	if (at) {
		*at = '.';
		memmove(at + 1, at + n, strlen(at + n) + 1);
	}
}

void nnr__buf_add_num(nnr__buf *b, double v)
{
	/* A subnormal has few digits; elsewhere 15 are always exact in. */
	int digits = fabs(v) < DBL_MIN ? 1 : 15;
	char text[64];

	if (!isfinite(v)) {
		nnr__buf_adds(b, "null");
		return;
	}
	if (v == 0) {	/* "-0" would read back as an integer, +0 */
		nnr__buf_adds(b, signbit(v) ? "-0.0" : "0");
		return;
	}
	for (; digits <= 17; digits++) {
		double back;
		snprintf(text, sizeof(text), "%.*g", digits, v);
		back = strtod(text, NULL);
		if (memcmp(&back, &v, sizeof(v)) == 0)
			break;
	}
	use_point(text);
	nnr__buf_adds(b, text);
}

void nnr__buf_clear(nnr__buf *b)
{
	b->len = 0;
	b->bad = false;
	if (b->p)
		b->p[0] = '\0';
}

void nnr__buf_release(nnr__buf *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

char *nnr__buf_take(nnr__buf *b)
{
	char *p = b->p;

	if (b->bad) {
		nnr__buf_release(b);
		return NULL;
	}
	if (!p)
		p = nnr__strdup("");
	memset(b, 0, sizeof(*b));
	return p;
}
