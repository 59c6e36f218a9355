/* SPDX-License-Identifier: Apache-2.0
 *
 * message.c: errors that say where in a source (or in which --set) they are,
 * and the hint with the nearest known name.
 */
#include "step.h"

#include <string.h>

static void place_text(const nnr_program *p, nnr__place at, char *out,
		       size_t n)
{
	if (at.line)
		snprintf(out, n, "%.160s:%u:%u", p->path, at.line, at.col);
	else if (at.col && (int)at.col <= p->set.n)
		snprintf(out, n, "--set %.160s", p->set.s[at.col - 1]);
	else
		snprintf(out, n, "%.160s", p->path);
	out[nnr__utf8_whole(out, strlen(out))] = '\0';
}

int nnr__fail_place(const nnr_program *p, nnr__place at, int code,
		    nnr_error *err, const char *fmt, ...)
{
	char what[420], where[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	place_text(p, at, where, sizeof(where));
	return nnr__fail(err, code, "%s: %s", where, what);
}

/* Where a parameter was written; the step's place if it was not. */
static nnr__place place_of_param(const nnr__step *s, const char *param)
{
	if (!param || !s->given)
		return s->place;
	for (int i = 0; s->row->param[i].name; i++)
		if (strcmp(s->row->param[i].name, param) == 0 &&
		    (s->given[i].line || s->given[i].col))
			return s->given[i];
	return s->place;
}

int nnr__fail_step(const nnr_program *p, const nnr__step *s,
		   const char *param, nnr_error *err, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return nnr__fail_place(p, place_of_param(s, param), NNR_E_INPUT, err,
			       "`%s`: %s", s->row->name, what);
}

int nnr__place_prefix(const nnr_program *p, const nnr__step *s,
		      const char *param, nnr_error *err)
{
	char where[200];

	place_text(p, place_of_param(s, param), where, sizeof(where));
	return nnr__err_prefix(err, "%s: `%s`", where, s->row->name);
}

nnr__place nnr__place_of(const nnr__ynode *n)
{
	return (nnr__place){ n->line, n->col };
}

nnr__place nnr__place_of_key(const nnr__ynode *n)
{
	if (!n->key || !n->line)
		return nnr__place_of(n);
	return (nnr__place){ n->key_line, n->key_col };
}

int nnr__fail_node(nnr__src *s, const nnr__ynode *n, const char *fmt, ...)
{
	char what[420];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return nnr__fail_place(s->p, nnr__place_of(n), NNR_E_INPUT, s->err,
			       "%s", what);
}

int nnr__fail_key(nnr__src *s, const nnr__ynode *n, const char *fmt, ...)
{
	char what[420];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return nnr__fail_place(s->p, nnr__place_of_key(n), NNR_E_INPUT,
			       s->err, "%s", what);
}

const char *nnr__node_text(const nnr__ynode *n, char *out, size_t size)
{
	if (n->kind == NNR__Y_MAP) {
		snprintf(out, size, "a map");
	} else if (n->kind == NNR__Y_LIST) {
		snprintf(out, size, "a list");
	} else if (!n->len && !n->quoted) {
		snprintf(out, size, "empty");
	} else {
		char text[60];
		size_t len = n->len < 48 ? n->len
					 : nnr__utf8_whole(n->text, 48);
		for (size_t i = 0; i < len; i++)
			text[i] = (unsigned char)n->text[i] < ' '
					  ? ' ' : n->text[i];
		snprintf(out, size, "`%.*s%s`", (int)len, text,
			 len < n->len ? "..." : "");
	}
	return out;
}

#define FEW 12	/* that many names are listed */

const char *nnr__hint(char *out, size_t n, const char *word,
		      const char *const *names)
{
	const char *near = nnr__nearest(word, names);
	size_t at = 0;
	int count = 0;

	out[0] = '\0';
	while (names[count])
		count++;
	if (near) {
		snprintf(out, n, "; did you mean `%s`?", near);
		return out;
	}
	if (!count || count > FEW)
		return out;
	for (int i = 0; i < count && at < n; i++) {
		int k = snprintf(out + at, n - at, "%s%.40s",
				 i ? ", " : "; known: ", names[i]);
		at += k > 0 ? (size_t)k : 0;
	}
	out[nnr__utf8_whole(out, strlen(out))] = '\0';
	return out;
}
