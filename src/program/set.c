/* SPDX-License-Identifier: Apache-2.0
 *
 * set.c: overrides KEY=VALUE on the YAML tree of a source, before it is
 * checked.  A key is a dotted path; below `in` and `out` its second part is
 * the id or the name of a step:
 *
 *   name=x   out.generate.samples=5   in.demos.count=8   train.lr=1e-3
 *
 * A first part that is no key of the source but a step stands for the step:
 * generate.samples=5.
 * A value that starts with [ { " or ' is YAML, any other is a text.
 */
#include "step.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_MAX 8

struct override {
	nnr__src *s;
	uint32_t number;	/* of the --set, from 1 */
	char *part[PARTS_MAX];	/* of the key */
	int parts;
	const nnr__ynode *value;
};

static int fail_set(struct override *o, const char *fmt, ...)
	NNR__PRINTF(2, 3);

static int fail_set(struct override *o, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return nnr__fail_place(o->s->p, (nnr__place){ 0, o->number },
			       NNR_E_INPUT, o->s->err, "%s", what);
}

static nnr__ynode *new_node(struct override *o, nnr__ykind kind,
			    const char *key)
{
	nnr__ynode *n = nnr__src_alloc(o->s, 1, sizeof(*n));

	if (!n)
		return NULL;
	n->kind = kind;
	n->col = n->key_col = o->number;	/* line 0: from a --set */
	n->key = key;
	return n;
}

static void append(nnr__ynode *map, nnr__ynode *child)
{
	nnr__ynode **tail = &map->child;

	while (*tail)
		tail = &(*tail)->next;
	*tail = child;
	map->count++;
}

static nnr__ynode *child_of(nnr__ynode *map, const char *key)
{
	for (nnr__ynode *c = map->child; c; c = c->next)
		if (strcmp(c->key, key) == 0)
			return c;
	return NULL;
}

/* Makes the whole value come from this --set, for messages. */
static void stamp(nnr__ynode *n, uint32_t number)
{
	n->line = n->key_line = 0;
	n->col = n->key_col = number;
	for (nnr__ynode *c = n->child; c; c = c->next)
		stamp(c, number);
}

/* n becomes the value; its key and neighbours stay. */
static void replace(nnr__ynode *n, const nnr__ynode *value)
{
	n->kind = value->kind;
	n->line = value->line;
	n->col = value->col;
	n->text = value->text;
	n->len = value->len;
	n->quoted = value->quoted;
	n->child = value->child;
	n->count = value->count;
}

/* The value a step's parameters are in: made a map if it is not. */
static int open_step(struct override *o, nnr__ynode *n,
		     const nnr__step_row *row)
{
	nnr__ynode *bare;

	if (n->kind == NNR__Y_MAP)
		return 0;
	if (n->kind == NNR__Y_SCALAR && !n->len && !n->quoted) {
		n->kind = NNR__Y_MAP;
		return 0;
	}
	if (!row->bare)
		return fail_set(o, "`%s` takes no parameters", row->name);
	bare = new_node(o, n->kind, row->bare);
	if (!bare)
		return NNR_E_MEMORY;
	replace(bare, n);
	n->kind = NNR__Y_MAP;
	n->child = NULL;
	n->count = 0;
	n->text = NULL;
	n->len = 0;
	append(n, bare);
	return 0;
}

/* A bare name becomes a map of the step and no parameters. */
static nnr__ynode *open_name(struct override *o, nnr__ynode *e,
			     const char *name)
{
	nnr__ynode *own = new_node(o, NNR__Y_MAP, name);

	if (!own)
		return NULL;
	own->line = own->key_line = e->line;
	own->col = own->key_col = e->col;
	e->kind = NNR__Y_MAP;
	e->child = own;
	e->count = 1;
	return own;
}

/* The step of a list entry if its id (or else its name) is this. */
static nnr__ynode *match_entry(nnr__ynode *e, const char *name, bool by_name)
{
	nnr__ynode *own = NULL, *id;

	if (e->kind != NNR__Y_MAP)
		return NULL;
	for (nnr__ynode *c = e->child; c && !own; c = c->next)
		if (nnr__step_row_find(c->key))
			own = c;
	if (by_name)
		return own && strcmp(own->key, name) == 0 ? own : NULL;
	id = child_of(e, "id");
	return id && id->kind == NNR__Y_SCALAR && strcmp(id->text, name) == 0
		       ? own : NULL;
}

/* A step of a list, by id or else by name. */
static nnr__ynode *find_entry(struct override *o, nnr__ynode *list,
			      const char *name, const nnr__step_row **row)
{
	nnr__ynode *own = NULL, *e;

	for (e = list->child; e && !own; e = e->next)
		own = match_entry(e, name, false);
	for (e = list->child; e && !own; e = e->next) {
		own = match_entry(e, name, true);
		*row = e->kind == NNR__Y_SCALAR ? nnr__step_row_find(e->text)
						: NULL;
		if (*row && strcmp(e->text, name) == 0)
			own = open_name(o, e, (*row)->name);
	}
	if (own)
		*row = nnr__step_row_find(own->key);
	return own;
}

static int fail_entry(struct override *o, const nnr__ynode *list)
{
	const char *names[64];
	char hint[200];
	int n = 0;

	for (const nnr__ynode *e = list->child; e && n < 63; e = e->next) {
		if (e->kind == NNR__Y_SCALAR)
			names[n++] = e->text;
		for (const nnr__ynode *c = e->child; c && n < 63; c = c->next)
			if (c->key && nnr__step_row_find(c->key))
				names[n++] = c->key;
			else if (c->key && strcmp(c->key, "id") == 0 &&
				 c->kind == NNR__Y_SCALAR)
				names[n++] = c->text;
	}
	names[n] = NULL;
	return fail_set(o, "`%s` has no step `%.60s`%s", o->part[0],
			o->part[1], nnr__hint(hint, sizeof(hint), o->part[1],
					      names));
}

/* Puts the value at the path below `map`, from part `at` on. */
static int put(struct override *o, nnr__ynode *map, int at)
{
	nnr__ynode *n = map;

	for (; at < o->parts; at++) {
		nnr__ynode *next;
		if (n->kind != NNR__Y_MAP)
			return fail_set(o, "`%.60s` holds no `%.60s`",
					o->part[at - 1], o->part[at]);
		next = child_of(n, o->part[at]);
		if (!next) {
			next = new_node(o, NNR__Y_MAP, o->part[at]);
			if (!next)
				return NNR_E_MEMORY;
			append(n, next);
		}
		n = next;
	}
	replace(n, o->value);
	return 0;
}

static int apply_step(struct override *o, nnr__ynode *list)
{
	const nnr__step_row *row = NULL;
	nnr__ynode *own;
	int rc;

	if (list->kind != NNR__Y_LIST)
		return fail_set(o, "`%s` is not a list of steps", o->part[0]);
	if (o->parts < 2)
		return fail_set(o, "name a step, like `%s.template`",
				o->part[0]);
	own = find_entry(o, list, o->part[1], &row);
	if (!own)
		return fail_entry(o, list);
	if (o->parts == 2) {
		replace(own, o->value);
		return 0;
	}
	rc = open_step(o, own, row);
	return rc ? rc : put(o, own, 2);
}

/* ---- KEY=VALUE ---- */

static int split(struct override *o, const char *text, const char **value)
{
	const char *eq = strchr(text, '=');
	char *key, *dot;

	if (!eq || eq == text)
		return fail_set(o, "KEY=VALUE was expected");
	*value = eq + 1;
	key = nnr__src_copy(o->s, text, (size_t)(eq - text));
	if (!key)
		return NNR_E_MEMORY;
	for (; key; key = dot) {
		dot = strchr(key, '.');
		if (dot)
			*dot++ = '\0';
		if (!*key)
			return fail_set(o, "an empty name in the key");
		if (o->parts == PARTS_MAX)
			return fail_set(o, "more than %d names in the key",
					PARTS_MAX);
		o->part[o->parts++] = key;
	}
	return 0;
}

static int parse_value(struct override *o, const char *text)
{
	size_t n = strlen(text), bad = nnr__utf8_valid(text, n);
	nnr__yaml *y = &o->s->set[o->number - 1];
	nnr__ynode *node;
	nnr_error err;

	if (bad < n)
		return fail_set(o, "not valid UTF-8");
	if (!n || !strchr("[{\"'", text[0])) {
		node = new_node(o, NNR__Y_SCALAR, NULL);
		if (!node)
			return NNR_E_MEMORY;
		node->text = text;
		node->len = n;
		node->quoted = true;
		o->value = node;
		return 0;
	}
	if (nnr__yaml_parse(y, "value", text, n, &err))
		return fail_set(o, "%s", err.message);
	if (y->count != 1)
		return fail_set(o, "one value was expected");
	stamp(y->doc[0], o->number);
	o->value = y->doc[0];
	return 0;
}

/* Puts "in" or "out" before the id of a step. */
static void complete(struct override *o, nnr__ynode *top)
{
	static char sides[][4] = { "in", "out" };
	const nnr__step_row *row;

	if (o->parts == PARTS_MAX || child_of(top, o->part[0]))
		return;
	for (int i = 0; i < 2; i++) {
		nnr__ynode *list = child_of(top, sides[i]);
		if (!list || list->kind != NNR__Y_LIST ||
		    !find_entry(o, list, o->part[0], &row))
			continue;
		memmove(o->part + 1, o->part,
			(size_t)o->parts * sizeof(*o->part));
		o->part[0] = sides[i];
		o->parts++;
		return;
	}
}

int nnr__set_apply(nnr__src *s, nnr__ynode *top, const nnr__strings *set)
{
	int rc = 0;

	if (!set->n)
		return 0;
	s->set = nnr__calloc((size_t)set->n, sizeof(*s->set));
	if (!s->set)
		return nnr__fail_memory(s->err, "overrides", 0);
	s->sets = set->n;
	for (int i = 0; i < set->n && !rc; i++) {
		struct override o = { .s = s, .number = (uint32_t)i + 1 };
		const char *value = NULL;
		nnr__ynode *n;
		rc = split(&o, s->p->set.s[i], &value);
		rc = rc ? rc : parse_value(&o, value);
		if (rc)
			break;
		if (top->kind != NNR__Y_MAP)
			return fail_set(&o, "the source is not a map");
		complete(&o, top);
		n = child_of(top, o.part[0]);
		if (n && (strcmp(o.part[0], "in") == 0 ||
			  strcmp(o.part[0], "out") == 0))
			rc = apply_step(&o, n);
		else
			rc = put(&o, top, 0);
	}
	return rc;
}
