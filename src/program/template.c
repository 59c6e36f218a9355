/* SPDX-License-Identifier: Apache-2.0
 *
 * template.c: "Review: {text}\n" -> texts and fields.  One pass; "{{" and
 * "}}" are literal braces; nothing else is special.
 */
#include "step.h"

#include <string.h>

#define PARTS_MAX 10000

static bool name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool name_char(char c)
{
	return name_start(c) || (c >= '0' && c <= '9') || c == '-';
}

bool nnr__is_name(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > 64 || !name_start(s[0]))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!name_char(s[i]))
			return false;
	return true;
}

/* Characters before byte `at`, plus 1. */
static size_t character(const char *text, size_t at)
{
	size_t count = 1, len;

	for (size_t i = 0; i < at; i += len) {
		nnr__utf8_next(text + i, at - i, &len);
		count++;
	}
	return count;
}

/* What is being built: first counted, then filled. */
struct build {
	nnr__arena *a;
	nnr__template *t;	/* NULL while counting */
	nnr__buf text;		/* literal text so far */
	int n;
};

static int add_part(struct build *b, const char *s, size_t len, bool field,
		    nnr_error *err)
{
	if (b->t) {
		nnr__tpart *part = &b->t->part[b->n];
		part->text = nnr__arena_strndup(b->a, s, len);
		part->len = len;
		part->field = field;
		if (!part->text)
			return nnr__fail_memory(err, "template", len);
	}
	if (++b->n > PARTS_MAX)
		return nnr__fail(err, NNR_E_INPUT, "more than %d parts",
				 PARTS_MAX);
	return 0;
}

static int flush(struct build *b, nnr_error *err)
{
	int rc = 0;

	if (b->text.bad)
		return nnr__fail_memory(err, "template", b->text.len);
	if (b->text.len)
		rc = add_part(b, b->text.p, b->text.len, false, err);
	nnr__buf_clear(&b->text);
	return rc;
}

/* A field at text[at] = '{'; *end is the byte after its '}'. */
static int add_field(struct build *b, const char *text, size_t n, size_t at,
		     size_t *end, nnr_error *err)
{
	const char *close = memchr(text + at, '}', n - at);
	size_t len = 0;
	int rc;

	if (!close)
		return nnr__fail(err, NNR_E_INPUT, "`{` at character %zu is "
				 "not closed; a literal brace is `{{`",
				 character(text, at));
	*end = (size_t)(close - text) + 1;
	len = *end - at - 2;
	if (!len || len > 64 || !name_start(text[at + 1]))
		goto bad;
	for (size_t i = 1; i < len; i++)
		if (!name_char(text[at + 1 + i]))
			goto bad;
	rc = flush(b, err);
	return rc ? rc : add_part(b, text + at + 1, len, true, err);
bad:
	return nnr__fail(err, NNR_E_INPUT, "`{%.*s}` at character %zu is not "
			 "a field name; literal braces are `{{` and `}}`",
			 (int)(len > 40 ? nnr__utf8_whole(text + at + 1, 40)
					: len), text + at + 1,
			 character(text, at));
}

static int walk(struct build *b, const char *text, size_t n, nnr_error *err)
{
	for (size_t i = 0; i < n;) {
		char c = text[i];
		bool twice = i + 1 < n && text[i + 1] == c;
		if ((c == '{' || c == '}') && twice) {
			nnr__buf_addc(&b->text, c);
			i += 2;
		} else if (c == '{') {
			int rc = add_field(b, text, n, i, &i, err);
			if (rc)
				return rc;
		} else if (c == '}') {
			return nnr__fail(err, NNR_E_INPUT, "`}` at character "
					 "%zu closes nothing; a literal brace "
					 "is `}}`", character(text, i));
		} else {
			size_t run = i;
			while (run < n && text[run] != '{' &&
			       text[run] != '}')
				run++;
			nnr__buf_add(&b->text, text + i, run - i);
			i = run;
		}
	}
	return flush(b, err);
}

int nnr__template_parse(nnr__template **t, nnr__arena *a, const char *text,
			size_t n, nnr_error *err)
{
	struct build b = { .a = a };
	nnr__template *made = NULL;
	int rc;

	*t = NULL;
	rc = walk(&b, text, n, err);
	if (!rc) {
		made = nnr__arena_alloc(a, sizeof(*made));
		if (made)
			made->part = nnr__arena_alloc(a, (size_t)b.n *
						      sizeof(*made->part));
		if (!made || !made->part)
			rc = nnr__fail_memory(err, "template", n);
	}
	if (!rc) {
		made->n = b.n;
		b.t = made;
		b.n = 0;
		rc = walk(&b, text, n, err);
	}
	nnr__buf_release(&b.text);
	if (!rc)
		*t = made;
	return rc;
}

void nnr__template_fill(const nnr__template *t, const nnr__record *r,
			nnr__buf *out)
{
	for (int i = 0; i < t->n; i++) {
		const nnr__tpart *part = &t->part[i];
		const nnr__value *v;
		if (!part->field) {
			nnr__buf_add(out, part->text, part->len);
			continue;
		}
		v = nnr__record_get(r, part->text);
		if (v)
			nnr__buf_add(out, v->text, v->len);
	}
}
