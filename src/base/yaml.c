/* SPDX-License-Identifier: Apache-2.0
 *
 * yaml.c: the YAML that program sources use, through libyaml's events:
 * scalars, maps and lists.  Everything else that YAML has (anchors, aliases,
 * tags, directives, merge keys, keys that are not scalars) is refused with
 * name:line:column, and so is what a reader could take in two ways (duplicate
 * keys) or what costs too much (size, depth, number of nodes).  A scalar
 * stays text: whoever reads it knows the type it must have.
 */
#include "base.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define SIZE_LIMIT ((size_t)1 << 20)
#define NODE_LIMIT 20000
#define DEPTH_LIMIT 32

/* An open map or list. */
struct frame {
	nnr__ynode *node;
	nnr__ynode **tail;	/* where the next child is linked */
	yaml_event_t key;	/* a map's key that waits for its value */
	bool has_key;
};

struct parse {
	nnr__yaml *y;
	const char *name;
	nnr_error *err;
	yaml_parser_t lib;
	struct frame stack[DEPTH_LIMIT];
	int depth;
	int nodes;
	size_t doc_cap;
};

static int fail(struct parse *s, size_t line, size_t col, const char *fmt,
		...) NNR__PRINTF(4, 5);

/* Lines and columns count from 1. */
static int fail(struct parse *s, size_t line, size_t col, const char *fmt,
		...)
{
	char what[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return nnr__fail(s->err, NNR_E_INPUT, "%.120s:%zu:%zu: %s", s->name,
			 line, col, what);
}

static int fail_mark(struct parse *s, yaml_mark_t m, const char *what)
{
	return fail(s, m.line + 1, m.column + 1, "%s", what);
}

/* Line and column (in characters) of a byte offset. */
static int fail_offset(struct parse *s, const char *text, size_t offset,
		       const char *what)
{
	size_t line = 1, col = 1, len;

	for (size_t i = 0; i < offset; i += len) {
		nnr__utf8_next(text + i, offset - i, &len);
		col++;
		if (text[i] == '\n') {
			line++;
			col = 1;
		}
	}
	return fail(s, line, col, "%s", what);
}

static int fail_lib(struct parse *s, const char *text, size_t n)
{
	const yaml_parser_t *p = &s->lib;
	const char *what = p->problem ? p->problem : "not YAML";

	if (p->error == YAML_MEMORY_ERROR)
		return nnr__fail_memory(s->err, s->name, n);
	if (p->error == YAML_READER_ERROR)
		return fail_offset(s, text,
				   p->problem_offset < n ? p->problem_offset
							 : n, what);
	if (p->context)
		return fail(s, p->problem_mark.line + 1,
			    p->problem_mark.column + 1, "%s, %s", p->context,
			    what);
	return fail_mark(s, p->problem_mark, what);
}

/* ---- building ---- */

static int set_key(struct parse *s, nnr__ynode *node, const yaml_event_t *key)
{
	node->key = nnr__arena_strndup(&s->y->arena,
				       (char *)key->data.scalar.value,
				       key->data.scalar.length);
	node->key_line = (uint32_t)key->start_mark.line + 1;
	node->key_col = (uint32_t)key->start_mark.column + 1;
	return node->key ? 0 : nnr__fail_memory(s->err, s->name, 1);
}

static int add_document(struct parse *s, nnr__ynode *node)
{
	nnr__yaml *y = s->y;

	if (!nnr__grow(&y->doc, &s->doc_cap, (size_t)y->count,
		       sizeof(*y->doc)))
		return nnr__fail_memory(s->err, s->name, sizeof(*y->doc));
	y->doc[y->count++] = node;
	return 0;
}

/* A new node at its place: a document's root, a list's item, or the value
 * of the key that waits. */
static int add_node(struct parse *s, nnr__ykind kind, yaml_mark_t at,
		    nnr__ynode **out)
{
	nnr__ynode *node;
	struct frame *top = s->depth ? &s->stack[s->depth - 1] : NULL;
	int rc = 0;

	if (++s->nodes > NODE_LIMIT)
		return fail(s, at.line + 1, at.column + 1,
			    "more than %d values", NODE_LIMIT);
	node = nnr__arena_alloc(&s->y->arena, sizeof(*node));
	if (!node)
		return nnr__fail_memory(s->err, s->name, sizeof(*node));
	node->kind = kind;
	node->line = (uint32_t)at.line + 1;
	node->col = (uint32_t)at.column + 1;
	*out = node;
	if (!top)
		return add_document(s, node);
	if (top->has_key) {
		rc = set_key(s, node, &top->key);
		yaml_event_delete(&top->key);
		top->has_key = false;
	}
	*top->tail = node;
	top->tail = &node->next;
	top->node->count++;
	return rc;
}

static int open_node(struct parse *s, nnr__ykind kind, yaml_mark_t at)
{
	nnr__ynode *node = NULL;
	struct frame *top;
	int rc;

	if (s->depth && s->stack[s->depth - 1].node->kind == NNR__Y_MAP &&
	    !s->stack[s->depth - 1].has_key)
		return fail_mark(s, at, "a key must be plain text, not a map "
				 "or a list");
	if (s->depth == DEPTH_LIMIT)
		return fail(s, at.line + 1, at.column + 1,
			    "nested deeper than %d", DEPTH_LIMIT);
	rc = add_node(s, kind, at, &node);
	if (rc)
		return rc;
	top = &s->stack[s->depth++];
	memset(top, 0, sizeof(*top));
	top->node = node;
	top->tail = &node->child;
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const nnr__ynode *x = *(nnr__ynode *const *)a;
	const nnr__ynode *y = *(nnr__ynode *const *)b;
	int c = strcmp(x->key, y->key);

	if (c)
		return c;
	if (x->key_line != y->key_line)
		return x->key_line < y->key_line ? -1 : 1;
	return x->key_col < y->key_col ? -1 : x->key_col > y->key_col;
}

static int refuse_duplicates(struct parse *s, const nnr__ynode *map)
{
	const nnr__ynode *first = NULL, *again = NULL;
	const nnr__ynode **all;
	uint32_t n = 0;

	if (map->count < 2)
		return 0;
	all = nnr__calloc(map->count, sizeof(*all));
	if (!all)
		return nnr__fail_memory(s->err, s->name, map->count);
	for (const nnr__ynode *c = map->child; c; c = c->next)
		all[n++] = c;
	qsort(all, n, sizeof(*all), by_key);
	for (uint32_t i = 1; i < n && !again; i++) {
		if (strcmp(all[i - 1]->key, all[i]->key) == 0) {
			first = all[i - 1];
			again = all[i];
		}
	}
	free(all);
	if (!again)
		return 0;
	return fail(s, again->key_line, again->key_col,
		    "key '%.80s' is there twice (first in line %u)",
		    again->key, (unsigned)first->key_line);
}

static int close_node(struct parse *s)
{
	const nnr__ynode *node = s->stack[--s->depth].node;

	return node->kind == NNR__Y_MAP ? refuse_duplicates(s, node) : 0;
}

/* Takes the event over when it becomes a waiting key. */
static int add_scalar(struct parse *s, yaml_event_t *e, bool *kept)
{
	struct frame *top = s->depth ? &s->stack[s->depth - 1] : NULL;
	const char *text = (const char *)e->data.scalar.value;
	size_t n = e->data.scalar.length;
	bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	nnr__ynode *node = NULL;
	int rc;

	if (n && memchr(text, 0, n))
		return fail_mark(s, e->start_mark, "a NUL in a text");
	if (top && top->node->kind == NNR__Y_MAP && !top->has_key) {
		if (plain && n == 0)
			return fail_mark(s, e->start_mark, "an empty key");
		if (plain && strcmp(text, "<<") == 0)
			return fail_mark(s, e->start_mark, "merge keys are "
					 "not part of the format");
		top->key = *e;
		top->has_key = *kept = true;
		return 0;
	}
	rc = add_node(s, NNR__Y_SCALAR, e->start_mark, &node);
	if (rc)
		return rc;
	node->text = nnr__arena_strndup(&s->y->arena, text, n);
	node->len = n;
	node->quoted = !plain;
	return node->text ? 0 : nnr__fail_memory(s->err, s->name, n);
}

/* ---- events ---- */

/* What an event holds that the format does not have, or NULL. */
static const char *foreign(const yaml_event_t *e)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return "aliases (*name) are not part of the format";
	case YAML_DOCUMENT_START_EVENT:
		if (e->data.document_start.version_directive ||
		    e->data.document_start.tag_directives.start !=
			    e->data.document_start.tag_directives.end)
			return "directives (%NAME) are not part of the format";
		return NULL;
	case YAML_SCALAR_EVENT:
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
		break;
	default:
		break;
	}
	if (anchor)
		return "anchors (&name) are not part of the format";
	return tag ? "tags (!name) are not part of the format; quote a text "
		     "that starts with !" : NULL;
}

static int on_event(struct parse *s, yaml_event_t *e, bool *kept)
{
	const char *why = foreign(e);

	if (why)
		return fail_mark(s, e->start_mark, why);
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return add_scalar(s, e, kept);
	case YAML_SEQUENCE_START_EVENT:
		return open_node(s, NNR__Y_LIST, e->start_mark);
	case YAML_MAPPING_START_EVENT:
		return open_node(s, NNR__Y_MAP, e->start_mark);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return close_node(s);
	default:
		return 0;
	}
}

static int run(struct parse *s, const char *text, size_t n)
{
	bool end = false;
	int rc = 0;

	while (!rc && !end) {
		yaml_event_t e;
		bool kept = false;
		if (!yaml_parser_parse(&s->lib, &e))
			return fail_lib(s, text, n);
		end = e.type == YAML_STREAM_END_EVENT;
		rc = on_event(s, &e, &kept);
		if (!kept)
			yaml_event_delete(&e);
	}
	return rc;
}

/* Our limits, before libyaml sees a byte. */
static int precheck(struct parse *s, const char *text, size_t n)
{
	size_t bad;
	const char *nul;

	if (n > SIZE_LIMIT)
		return nnr__fail(s->err, NNR_E_INPUT, "%.120s: %zu bytes, "
				 "at most %zu", s->name, n, SIZE_LIMIT);
	bad = nnr__utf8_valid(text, n);
	nul = n ? memchr(text, 0, n) : NULL;
	if (nul && (size_t)(nul - text) < bad)
		return fail_offset(s, text, (size_t)(nul - text), "a NUL byte");
	if (bad < n)
		return fail_offset(s, text, bad, "not valid UTF-8");
	return 0;
}

int nnr__yaml_parse(nnr__yaml *y, const char *name, const char *text,
		    size_t n, nnr_error *err)
{
	struct parse s = { .y = y, .name = name, .err = err };
	int rc;

	memset(y, 0, sizeof(*y));
	rc = precheck(&s, text, n);
	if (rc)
		return rc;
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;	/* a byte order mark says nothing in UTF-8 */
		n -= 3;
	}
	if (!yaml_parser_initialize(&s.lib))
		return nnr__fail_memory(err, name, sizeof(s.lib));
	yaml_parser_set_encoding(&s.lib, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&s.lib,
				     (const unsigned char *)(n ? text : ""),
				     n);
	rc = run(&s, text, n);
	while (s.depth > 0)
		if (s.stack[--s.depth].has_key)
			yaml_event_delete(&s.stack[s.depth].key);
	yaml_parser_delete(&s.lib);
	if (rc)
		nnr__yaml_release(y);
	return rc;
}

void nnr__yaml_release(nnr__yaml *y)
{
	nnr__arena_release(&y->arena);
	free(y->doc);
	y->doc = NULL;
	y->count = 0;
}

const nnr__ynode *nnr__yaml_get(const nnr__ynode *map, const char *key)
{
	if (!map || map->kind != NNR__Y_MAP)
		return NULL;
	for (const nnr__ynode *c = map->child; c; c = c->next)
		if (strcmp(c->key, key) == 0)
			return c;
	return NULL;
}
