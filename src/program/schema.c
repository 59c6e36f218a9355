/* SPDX-License-Identifier: Apache-2.0
 *
 * schema.c: filling a step's args struct from YAML by the row's table of
 * parameters: types, ranges, defaults, and what was expected when it fails.
 */
#include "step.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 10000

static char *field(const nnr__step *st, const nnr__param *q)
{
	return (char *)st->args + q->at;
}

/* "`samples` is `ten`; an integer from 1 to 1000 was expected" */
static int fail_value(nnr__src *s, const nnr__ynode *n, const nnr__param *q,
		      const char *kind)
{
	char text[80];

	nnr__node_text(n, text, sizeof(text));
	if (q->min < q->max && q->max >= 1e15)
		return nnr__fail_node(s, n, "`%s` is %s; %s of at least %.15g "
				      "was expected", q->name, text, kind,
				      q->min);
	if (q->min < q->max)
		return nnr__fail_node(s, n, "`%s` is %s; %s from %.15g to "
				      "%.15g was expected", q->name, text,
				      kind, q->min, q->max);
	return nnr__fail_node(s, n, "`%s` is %s; %s was expected", q->name,
			      text, kind);
}

static int read_int(nnr__src *s, const nnr__ynode *n, const nnr__param *q,
		    int64_t *out)
{
	char *end = NULL;
	long long v = 0;
	bool ok = n->kind == NNR__Y_SCALAR && n->len > 0 && n->len < 20 &&
		  strspn(n->text, "-0123456789") == n->len;

	if (ok) {
		errno = 0;
		v = strtoll(n->text, &end, 10);
		ok = errno == 0 && !*end && (double)v >= q->min &&
		     (double)v <= q->max;
	}
	if (!ok)
		return fail_value(s, n, q, "an integer");
	*out = v;
	return 0;
}

static int read_number(nnr__src *s, const nnr__ynode *n, const nnr__param *q,
		       double *out)
{
	char *end = NULL;
	double v = 0;
	bool ok = n->kind == NNR__Y_SCALAR && n->len > 0 && n->len < 40 &&
		  strspn(n->text, "+-.0123456789eE") == n->len;

	if (ok) {
		v = strtod(n->text, &end);
		ok = !*end && isfinite(v) && v >= q->min && v <= q->max;
	}
	if (!ok)
		return fail_value(s, n, q, "a number");
	*out = v;
	return 0;
}

static int read_bool(nnr__src *s, const nnr__ynode *n, const nnr__param *q,
		     bool *out)
{
	if (n->kind != NNR__Y_SCALAR || (strcmp(n->text, "yes") != 0 &&
					 strcmp(n->text, "no") != 0))
		return fail_value(s, n, q, "yes or no");
	*out = n->text[0] == 'y';
	return 0;
}

static int read_enum(nnr__src *s, const nnr__ynode *n, const nnr__param *q,
		     int *out)
{
	char text[80], hint[200];

	for (int i = 0; n->kind == NNR__Y_SCALAR && q->names[i]; i++) {
		if (strcmp(n->text, q->names[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	nnr__node_text(n, text, sizeof(text));
	nnr__hint(hint, sizeof(hint),
		  n->kind == NNR__Y_SCALAR ? n->text : "", q->names);
	return nnr__fail_node(s, n, "`%s` is %s%s", q->name, text, hint);
}

static int read_string(nnr__src *s, const nnr__ynode *n, const nnr__param *q,
		       char **out)
{
	if (n->kind != NNR__Y_SCALAR)
		return fail_value(s, n, q, "a text");
	if (q->type == NNR__P_FILE && !n->len)
		return fail_value(s, n, q, "the path of a file");
	*out = nnr__src_copy(s, n->text, n->len);
	return *out ? 0 : NNR_E_MEMORY;
}

static int read_template(nnr__src *s, const nnr__ynode *n,
			 const nnr__param *q, nnr__template **out)
{
	nnr_error err;
	int rc;

	if (n->kind != NNR__Y_SCALAR)
		return fail_value(s, n, q, "a text");
	rc = nnr__template_parse(out, &s->p->arena, n->text, n->len, &err);
	if (rc == NNR_E_MEMORY)
		return nnr__fail_memory(s->err, "template", n->len);
	return rc ? nnr__fail_node(s, n, "`%s`: %s", q->name, err.message)
		  : 0;
}

int nnr__src_strings(nnr__src *s, const nnr__ynode *node, const char *what,
		     nnr__strings *out)
{
	const nnr__ynode *c = node;
	uint32_t n = 1;

	if (node->kind == NNR__Y_MAP)
		return nnr__fail_node(s, node, "%s is a map; a text or a list "
				      "of texts was expected", what);
	if (node->kind == NNR__Y_LIST) {
		c = node->child;
		n = node->count;
	}
	if (n > LIST_MAX)
		return nnr__fail_node(s, node, "%s has %u entries; at most %d",
				      what, n, LIST_MAX);
	out->s = nnr__src_alloc(s, n, sizeof(*out->s));
	out->n = 0;
	if (!out->s)
		return NNR_E_MEMORY;
	for (; n-- > 0; c = c->next) {
		if (c->kind != NNR__Y_SCALAR)
			return nnr__fail_node(s, c, "%s holds a %s; texts "
					      "were expected", what,
					      c->kind == NNR__Y_MAP ? "map"
								    : "list");
		out->s[out->n] = nnr__src_copy(s, c->text, c->len);
		if (!out->s[out->n++])
			return NNR_E_MEMORY;
	}
	return 0;
}

int nnr__src_pairs(nnr__src *s, const nnr__ynode *map, const char *what,
		   nnr__pairs *out)
{
	char text[80];

	if (map->kind != NNR__Y_MAP)
		return nnr__fail_node(s, map, "%s is %s; a map was expected",
				      what, nnr__node_text(map, text,
							   sizeof(text)));
	if (map->count > LIST_MAX)
		return nnr__fail_node(s, map, "%s has %u entries; at most %d",
				      what, map->count, LIST_MAX);
	out->p = nnr__src_alloc(s, map->count, sizeof(*out->p));
	out->n = 0;
	if (!out->p)
		return NNR_E_MEMORY;
	for (const nnr__ynode *c = map->child; c; c = c->next) {
		nnr__pair *pair = &out->p[out->n++];
		if (c->kind != NNR__Y_SCALAR)
			return nnr__fail_node(s, c, "`%.60s` of %s is %s; a "
					      "text was expected", c->key,
					      what,
					      nnr__node_text(c, text,
							     sizeof(text)));
		pair->key = nnr__src_copy(s, c->key, strlen(c->key));
		pair->value = nnr__src_copy(s, c->text, c->len);
		if (!pair->key || !pair->value)
			return NNR_E_MEMORY;
	}
	return 0;
}

int nnr__param_read(nnr__src *s, const nnr__ynode *n, const nnr__param *q,
		    void *at)
{
	char what[48];

	snprintf(what, sizeof(what), "`%s`", q->name);
	switch (q->type) {
	case NNR__P_STRING:
	case NNR__P_FILE:
		return read_string(s, n, q, at);
	case NNR__P_TEMPLATE:
		return read_template(s, n, q, at);
	case NNR__P_INT:
		return read_int(s, n, q, at);
	case NNR__P_NUMBER:
		return read_number(s, n, q, at);
	case NNR__P_BOOL:
		return read_bool(s, n, q, at);
	case NNR__P_ENUM:
		return read_enum(s, n, q, at);
	case NNR__P_STRINGS:
		return nnr__src_strings(s, n, what, at);
	case NNR__P_MAP:
		return nnr__src_pairs(s, n, what, at);
	case NNR__P_OWN:
		return q->own->read(s, n, at);
	}
	return nnr__fail_node(s, n, "%s has no type", what);
}

static const nnr__param *find_param(const nnr__step_row *row,
				    const char *name)
{
	for (const nnr__param *q = row->param; q->name; q++)
		if (strcmp(q->name, name) == 0)
			return q;
	return NULL;
}

static int fail_param(nnr__src *s, const nnr__ynode *n,
		      const nnr__step_row *row)
{
	const char *names[32];
	char hint[200];
	int count = 0;

	for (const nnr__param *q = row->param; q->name && count < 31; q++)
		names[count++] = q->name;
	names[count] = NULL;
	if (!count)
		return nnr__fail_key(s, n, "unknown key `%.60s`; `%s` has no "
				     "parameters", n->key, row->name);
	return nnr__fail_key(s, n, "unknown key `%.60s` of `%s`%s", n->key,
			     row->name, nnr__hint(hint, sizeof(hint), n->key,
						  names));
}

static int give(nnr__src *s, const nnr__ynode *n, const nnr__param *q,
		nnr__step *st)
{
	st->given[q - st->row->param] = nnr__place_of(n);
	return nnr__param_read(s, n, q, field(st, q));
}

/* The value of a step that is not a map stands for its bare parameter. */
static int fill_bare(nnr__src *s, const nnr__ynode *node, nnr__step *st)
{
	const nnr__step_row *row = st->row;
	const nnr__param *q = row->bare ? find_param(row, row->bare) : NULL;
	char text[80];

	if (node->kind == NNR__Y_SCALAR && !node->len && !node->quoted)
		return 0;	/* "- chat:" */
	if (!q || (q->type == NNR__P_MAP) ||
	    (node->kind == NNR__Y_LIST && q->type != NNR__P_STRINGS &&
	     q->type != NNR__P_OWN))
		return nnr__fail_node(s, node, "`%s` is %s; a map of its "
				      "parameters was expected", row->name,
				      nnr__node_text(node, text,
						     sizeof(text)));
	return give(s, node, q, st);
}

static int fill_map(nnr__src *s, const nnr__ynode *map, nnr__step *st)
{
	int rc = 0;

	for (const nnr__ynode *c = map->child; c && !rc; c = c->next) {
		const nnr__param *q = find_param(st->row, c->key);
		rc = q ? give(s, c, q, st) : fail_param(s, c, st->row);
	}
	return rc;
}

/* A default, as YAML has it: a list in brackets, else a text. */
static int fill_default(nnr__src *s, nnr__step *st, const nnr__param *q)
{
	nnr__ynode n = { .kind = NNR__Y_SCALAR, .text = q->fallback,
			 .len = strlen(q->fallback) };
	nnr__yaml y;
	int rc;

	if (q->type != NNR__P_STRINGS && q->type != NNR__P_OWN)
		return nnr__param_read(s, &n, q, field(st, q));
	rc = nnr__yaml_parse(&y, q->name, n.text, n.len, s->err);
	if (rc)
		return rc;
	rc = nnr__param_read(s, y.doc[0], q, field(st, q));
	nnr__yaml_release(&y);
	return rc;
}

/* What was not given: the default, or an error. */
static int fill_rest(nnr__src *s, nnr__step *st, const bool *given)
{
	for (const nnr__param *q = st->row->param; q->name; q++) {
		int rc;
		if (given[q - st->row->param])
			continue;
		if (q->required)
			return nnr__fail_step(s->p, st, NULL, s->err,
					      "`%s` is missing: %s", q->name,
					      q->help);
		if (q->type == NNR__P_ENUM)
			*(int *)(void *)field(st, q) = -1;
		if (!q->fallback)
			continue;
		rc = fill_default(s, st, q);
		if (rc)
			return rc;
	}
	return 0;
}

int nnr__args_fill(nnr__src *s, nnr__step *st, const nnr__ynode *node)
{
	bool given[32] = { false };
	size_t params = 0;
	int rc = 0;

	while (st->row->param[params].name)
		params++;
	st->args = nnr__src_alloc(s, 1, st->row->args);
	st->given = nnr__src_alloc(s, params, sizeof(*st->given));
	if (!st->args || !st->given)
		return NNR_E_MEMORY;
	if (node)
		rc = node->kind == NNR__Y_MAP ? fill_map(s, node, st)
					      : fill_bare(s, node, st);
	for (size_t i = 0; i < params && i < 32; i++)
		given[i] = st->given[i].line || st->given[i].col;
	return rc ? rc : fill_rest(s, st, given);
}
