/* SPDX-License-Identifier: Apache-2.0
 *
 * emit.c: the source that an artifact holds.  It is the text as it was read;
 * where overrides changed its tree, or where the model is an absolute path,
 * the tree is written again, as block YAML.  What is written is read back
 * and compared before anybody relies on it.
 */
#include "step.h"

#include <string.h>

/* Words that need no quotes: no YAML reads them as anything but text. */
static bool is_plain(const nnr__ynode *n)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_./-+";

	return n->len && n->text[0] != '-' && n->text[0] != '.' &&
	       strspn(n->text, safe) == n->len;
}

/* Code points that a YAML stream may not hold as they are, or that its
 * reader takes for a line's end. */
static bool must_escape(int32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || cp == 0x2028 ||
	       cp == 0x2029 || cp == 0xfeff || cp == 0xfffe || cp == 0xffff;
}

static void add_quoted(nnr__buf *out, const char *s, size_t n)
{
	nnr__buf_addc(out, '"');
	for (size_t i = 0, len; i < n; i += len) {
		int32_t cp = nnr__utf8_next(s + i, n - i, &len);
		if (cp == '"' || cp == '\\')
			nnr__buf_addf(out, "\\%c", (char)cp);
		else if (cp == '\n')
			nnr__buf_adds(out, "\\n");
		else if (must_escape(cp))
			nnr__buf_addf(out, "\\u%04x", (unsigned)cp);
		else
			nnr__buf_add(out, s + i, len);
	}
	nnr__buf_addc(out, '"');
}

static void add_scalar(nnr__buf *out, const nnr__ynode *n)
{
	if (!n->len && !n->quoted)
		return;		/* nothing was given */
	nnr__buf_addc(out, ' ');
	if (is_plain(n))
		nnr__buf_add(out, n->text, n->len);
	else
		add_quoted(out, n->text, n->len);
}

/* The part of a path behind its last slash. */
static nnr__ynode file_name(const nnr__ynode *n)
{
	const char *slash = n->len ? strrchr(n->text, '/') : NULL;
	nnr__ynode out = *n;

	if (n->len && n->text[0] == '/' && slash[1]) {
		out.text = slash + 1;
		out.len = strlen(out.text);
	}
	return out;
}

/* A value on the line of its key or dash; false: it has lines of its own. */
static bool add_short(nnr__buf *out, const nnr__ynode *n)
{
	if (n->kind != NNR__Y_SCALAR && n->count)
		return false;
	if (n->kind == NNR__Y_SCALAR)
		add_scalar(out, n);
	else
		nnr__buf_adds(out, n->kind == NNR__Y_MAP ? " {}" : " []");
	nnr__buf_addc(out, '\n');
	return true;
}

static void add_key(nnr__buf *out, const char *text)
{
	nnr__ynode key = { .text = text, .len = strlen(text) };

	if (is_plain(&key))
		nnr__buf_adds(out, text);
	else
		add_quoted(out, text, key.len);
	nnr__buf_addc(out, ':');
}

/* The lines of a map or list; `begun`: the first one has its indentation. */
static void add_lines(nnr__buf *out, const nnr__ynode *n, int depth,
		      bool begun)
{
	for (const nnr__ynode *c = n->child; c; c = c->next) {
		bool list = n->kind == NNR__Y_LIST;
		nnr__ynode one = *c;
		if (!begun || c != n->child)
			nnr__buf_addf(out, "%*s", 2 * depth, "");
		if (list)
			nnr__buf_addc(out, '-');
		else
			add_key(out, c->key);
		if (!list && !depth && strcmp(c->key, "model") == 0)
			one = file_name(c);
		if (add_short(out, &one))
			continue;
		nnr__buf_addc(out, list ? ' ' : '\n');
		add_lines(out, c, depth + 1, list);
	}
}

static bool same_key(const char *a, const char *b)
{
	return !a == !b && (!a || strcmp(a, b) == 0);
}

static bool same_tree(const nnr__ynode *a, const nnr__ynode *b, int depth)
{
	const nnr__ynode *x = a->child, *y = b->child;

	if (a->kind != b->kind || a->count != b->count ||
	    !same_key(a->key, b->key))
		return false;
	if (a->kind == NNR__Y_SCALAR) {
		bool model = depth == 1 && a->key && !strcmp(a->key, "model");
		nnr__ynode want = model ? file_name(a) : *a;
		return want.len == b->len &&
		       (!want.len || !memcmp(want.text, b->text, b->len)) &&
		       (want.len || a->quoted == b->quoted);
	}
	for (; x && y; x = x->next, y = y->next)
		if (!same_tree(x, y, depth + 1))
			return false;
	return !x && !y;
}

static int write_tree(nnr__src *s, const nnr__ynode *top, nnr__buf *out)
{
	nnr__yaml again = { 0 };
	int rc;

	add_lines(out, top, 0, false);
	if (out->bad)
		return nnr__fail_memory(s->err, s->p->path, out->len);
	rc = nnr__yaml_parse(&again, "the source with its overrides",
			     out->p, out->len, s->err);
	if (rc)
		return rc;
	if (again.count != 1 || !same_tree(top, again.doc[0], 0))
		rc = nnr__fail(s->err, NNR_E_UNSUPPORTED, "%.200s: the source "
			       "with its overrides cannot be written as YAML",
			       s->p->path);
	nnr__yaml_release(&again);
	return rc;
}

int nnr__source_keep(nnr__src *s, const char *text, size_t n,
		     const nnr__ynode *top)
{
	nnr_program *p = s->p;
	nnr__buf out = { 0 };
	int rc = 0;

	if (p->set.n || p->model_ref[0] == '/') {
		rc = write_tree(s, top, &out);
		text = out.p;
		n = out.len;
	}
	if (!rc) {
		p->source = nnr__src_copy(s, text, n);
		p->source_len = n;
		rc = p->source ? 0 : NNR_E_MEMORY;
	}
	nnr__buf_release(&out);
	return rc;
}
