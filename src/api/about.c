/* SPDX-License-Identifier: Apache-2.0
 *
 * about.c: the small calls of nnr.h, and what several of them share.
 */
#include "api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *nnr_version(void)
{
	return NNR_VERSION;
}

const char *nnr_nearest(const char *word, const char *const *names)
{
	return nnr__nearest(word, names);
}

int nnr_schema(char **json, nnr_error *err)
{
	*json = nnr__steps_schema();
	return *json ? 0 : nnr__fail_memory(err, "schema", 0);
}

int nnr__hand_out(nnr__buf *b, char **out, nnr_error *err)
{
	size_t n = b->len;

	*out = nnr__buf_take(b);
	return *out ? 0 : nnr__fail_memory(err, "result", n);
}

int nnr__fail_write(nnr_error *err, const char *path)
{
	bool place = errno == ENOENT || errno == ENOTDIR || errno == EISDIR;

	return nnr__fail(err, place ? NNR_E_INPUT : NNR_E_IO,
			 "cannot write '%.300s': %s", path, strerror(errno));
}

const char *nnr__mode_name(nnr_precision p)
{
	return p == NNR_EXACT ? "exact" : "fast";
}

nnr__engine_opts nnr__engine_opts_of(const nnr_run_opts *o)
{
	nnr__engine_opts e = { 0 };

	if (o) {
		e.threads = o->threads;
		e.precision = o->precision;
		e.max_store = o->max_store;
		e.no_cache = o->no_cache;
	}
	return e;
}

char *nnr__cpu_name(void)
{
	static const char label[] = "model name";
	nnr__buf b = { 0 };
	char *name = NULL, *at = NULL, *end;

	if (nnr__file_read(&b, "/proc/cpuinfo", (size_t)16 << 20, NULL) == 0)
		at = b.p ? strstr(b.p, label) : NULL;
	at = at ? strchr(at, ':') : NULL;
	end = at ? strchr(at, '\n') : NULL;
	if (end) {
		at += strspn(at, ": \t");
		if (at < end)
			name = nnr__strndup(at, (size_t)(end - at));
	}
	nnr__buf_release(&b);
	return name ? name : nnr__strdup("unknown");
}

/* ---- JSON for people ---- */

static void put_value(const nnr__jnode *n, nnr__buf *out);

static bool is_leaf(const nnr__jnode *n)
{
	return n->kind != NNR__J_ARRAY && n->kind != NNR__J_OBJECT;
}

/* True when n stands on one line: a leaf, or a short list of leaves. */
static bool is_short(const nnr__jnode *n)
{
	if (n->kind != NNR__J_ARRAY)
		return is_leaf(n);
	for (const nnr__jnode *c = n->child; c; c = c->next)
		if (!is_leaf(c))
			return false;
	return true;
}

static void put_value(const nnr__jnode *n, nnr__buf *out)
{
	switch (n->kind) {
	case NNR__J_NULL:
		nnr__buf_adds(out, "none");
		break;
	case NNR__J_BOOL:
		nnr__buf_adds(out, n->num != 0 ? "yes" : "no");
		break;
	case NNR__J_NUMBER:
		nnr__buf_add_num(out, n->num);
		break;
	case NNR__J_STRING:
		nnr__buf_add(out, n->text, n->len);
		break;
	case NNR__J_ARRAY:
		for (const nnr__jnode *c = n->child; c; c = c->next) {
			put_value(c, out);
			nnr__buf_adds(out, c->next ? ", " : "");
		}
		break;
	case NNR__J_OBJECT:
		break;
	}
}

static void put_node(const nnr__jnode *n, int depth, nnr__buf *out)
{
	for (int i = 0; i < depth; i++)
		nnr__buf_adds(out, "  ");
	if (n->key)
		nnr__buf_addf(out, "%s%s", n->key, is_short(n) ? ": " : ":");
	else
		nnr__buf_adds(out, is_short(n) ? "- " : "-");
	if (is_short(n))
		put_value(n, out);
	nnr__buf_addc(out, '\n');
	if (!is_short(n))
		for (const nnr__jnode *c = n->child; c; c = c->next)
			put_node(c, depth + 1, out);
}

int nnr_json_text(const char *json, char **text, nnr_error *err)
{
	const nnr__jnode *root;
	nnr__arena a = { 0 };
	nnr__buf out = { 0 };
	int rc;

	*text = NULL;
	rc = nnr__json_parse(&a, &root, "JSON", json, strlen(json), err);
	if (!rc && is_short(root)) {
		put_value(root, &out);
		nnr__buf_addc(&out, '\n');
	} else if (!rc) {
		for (const nnr__jnode *c = root->child; c; c = c->next)
			put_node(c, 0, &out);
	}
	nnr__arena_release(&a);
	return rc ? rc : nnr__hand_out(&out, text, err);
}
