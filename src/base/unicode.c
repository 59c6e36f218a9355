/* SPDX-License-Identifier: Apache-2.0
 *
 * unicode.c: UTF-8 and the few character classes that tokenizers need,
 * through utf8proc.  Strict: no overlong forms, no surrogates, nothing above
 * U+10FFFF.
 */
#include "base.h"

#include <utf8proc.h>

int32_t nnr__utf8_next(const char *s, size_t n, size_t *len)
{
	utf8proc_int32_t cp;
	utf8proc_ssize_t got;

	*len = 1;
	if (n == 0)
		return -1;
	if ((unsigned char)s[0] < 0x80)
		return (unsigned char)s[0];
	got = utf8proc_iterate((const utf8proc_uint8_t *)s,
			       n < 4 ? (utf8proc_ssize_t)n : 4, &cp);
	if (got <= 0)
		return -1;
	*len = (size_t)got;
	return cp;
}

int nnr__utf8_put(int32_t cp, char out[4])
{
	if (cp < 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		cp = 0xfffd;
	return (int)utf8proc_encode_char(cp, (utf8proc_uint8_t *)out);
}

size_t nnr__utf8_valid(const char *s, size_t n)
{
	size_t i = 0, len;

	while (i < n) {
		if ((unsigned char)s[i] < 0x80) {
			i++;
			continue;
		}
		if (nnr__utf8_next(s + i, n - i, &len) < 0)
			return i;
		i += len;
	}
	return n;
}

/* Could the n bytes at s (1..3) be the start of a longer code point? */
static bool is_start(const unsigned char *s, size_t n)
{
	size_t len = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
		   : s[0] >= 0xe0 && s[0] < 0xf0  ? 3
		   : s[0] >= 0xc2 && s[0] < 0xe0  ? 2
						  : 0;

	if (n >= len)
		return false;
	if (n > 1 && ((s[0] == 0xe0 && s[1] < 0xa0) ||
		      (s[0] == 0xed && s[1] > 0x9f) ||
		      (s[0] == 0xf0 && s[1] < 0x90) ||
		      (s[0] == 0xf4 && s[1] > 0x8f)))
		return false;
	return true;
}

size_t nnr__utf8_whole(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	for (size_t back = 1; back <= 3 && back <= n; back++) {
		unsigned char c = u[n - back];
		if ((c & 0xc0) == 0x80)
			continue;	/* a continuation: look further back */
		return is_start(u + n - back, back) ? n - back : n;
	}
	return n;
}

bool nnr__is_letter(int32_t cp)
{
	switch (utf8proc_category(cp)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
		return true;
	default:
		return false;
	}
}

bool nnr__is_number(int32_t cp)
{
	switch (utf8proc_category(cp)) {
	case UTF8PROC_CATEGORY_ND:
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO:
		return true;
	default:
		return false;
	}
}

bool nnr__is_space(int32_t cp)
{
	return (cp >= 0x09 && cp <= 0x0d) || cp == 0x20 || cp == 0x85 ||
	       cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
	       cp == 0x2028 || cp == 0x2029 || cp == 0x202f ||
	       cp == 0x205f || cp == 0x3000;
}
