/* SPDX-License-Identifier: Apache-2.0
 *
 * steps.c: the table of steps, and reading one step of a source by it.
 */
#include "step.h"

#include <string.h>

#define STEP(name) extern const nnr__step_row nnr__step_##name;
#define LATER(name)
#include "steps.def"
#undef STEP
#undef LATER

#define LATER(name)
#define STEP(name) &nnr__step_##name,
const nnr__step_row *const nnr__step_table[] = {
#include "steps.def"
	NULL
};
#undef STEP
#undef LATER

#define LATER(name)
#define STEP(name) #name,
static const char *const known[] = {
#include "steps.def"
	NULL
};
#undef STEP
#undef LATER

#define STEP(name)
#define LATER(name) #name,
static const char *const later[] = {
#include "steps.def"
	NULL
};
#undef STEP
#undef LATER

static const char *const beside[] = { "id", "when", NULL };
static const char *const whens[] = { "always", "train", "run", NULL };

const nnr__step_row *nnr__step_row_find(const char *name)
{
	for (int i = 0; nnr__step_table[i]; i++)
		if (strcmp(nnr__step_table[i]->name, name) == 0)
			return nnr__step_table[i];
	return NULL;
}

static bool among(const char *word, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(word, *names) == 0)
			return true;
	return false;
}

static int fail_unknown(nnr__src *s, const nnr__ynode *at, const char *name)
{
	char hint[200];

	if (among(name, later)) {
		nnr__place place = at->key ? nnr__place_of_key(at)
					   : nnr__place_of(at);
		return nnr__fail_place(s->p, place, NNR_E_UNSUPPORTED, s->err,
				       "step `%s` is not in this version of "
				       "nnr yet", name);
	}
	nnr__hint(hint, sizeof(hint), name, known);
	if (at->key)
		return nnr__fail_key(s, at, "unknown step `%.60s`%s", name,
				     hint);
	return nnr__fail_node(s, at, "unknown step `%.60s`%s", name, hint);
}

/* A key of a step's map that is neither the step, `id` nor `when`. */
static int fail_beside(nnr__src *s, const nnr__ynode *extra,
		       const nnr__step_row *row)
{
	char hint[200];

	if (nnr__step_row_find(extra->key))
		return nnr__fail_key(s, extra, "two steps in one list entry, "
				     "`%s` and `%s`; start each with `- `",
				     row->name, extra->key);
	for (const nnr__param *q = row->param; q->name; q++)
		if (strcmp(q->name, extra->key) == 0)
			return nnr__fail_key(s, extra, "`%s` is a parameter "
					     "of `%s`; indent it below",
					     extra->key, row->name);
	return nnr__fail_key(s, extra, "unknown key `%.60s` beside `%s`%s",
			     extra->key, row->name,
			     nnr__hint(hint, sizeof(hint), extra->key,
				       beside));
}

static int read_id(nnr__src *s, const nnr__ynode *node, nnr__step *st)
{
	char text[80];

	if (node->kind != NNR__Y_SCALAR || !nnr__is_name(node->text))
		return nnr__fail_node(s, node, "`id` is %s; a name (letters, "
				      "digits, _ and -) was expected",
				      nnr__node_text(node, text,
						     sizeof(text)));
	st->id = nnr__src_copy(s, node->text, node->len);
	return st->id ? 0 : NNR_E_MEMORY;
}

static int read_when(nnr__src *s, const nnr__ynode *node, nnr__step *st)
{
	char hint[200], text[80];

	for (int i = 0; node->kind == NNR__Y_SCALAR && whens[i]; i++) {
		if (strcmp(node->text, whens[i]) == 0) {
			st->when = (nnr__when)i;
			return 0;
		}
	}
	nnr__node_text(node, text, sizeof(text));
	return nnr__fail_node(s, node, "`when` is %s%s", text,
			      nnr__hint(hint, sizeof(hint), text, whens));
}

/* The entry of a step's map that is the step itself. */
static const nnr__ynode *find_step(nnr__src *s, const nnr__ynode *map,
				   const nnr__ynode **unknown)
{
	const nnr__ynode *first = NULL;

	(void)s;
	*unknown = NULL;
	for (const nnr__ynode *c = map->child; c; c = c->next) {
		if (among(c->key, beside))
			continue;
		if (nnr__step_row_find(c->key)) {
			if (!first)
				first = c;
		} else if (!*unknown) {
			*unknown = c;
		}
	}
	return first;
}

static int read_map(nnr__src *s, const nnr__ynode *map, nnr__step *st,
		    const nnr__ynode **value)
{
	const nnr__ynode *unknown, *own = find_step(s, map, &unknown);
	int rc = 0;

	if (!own && unknown)
		return fail_unknown(s, unknown, unknown->key);
	if (!own)
		return nnr__fail_node(s, map, "a step was expected, like "
				      "`template: ...`");
	st->row = nnr__step_row_find(own->key);
	st->place = nnr__place_of_key(own);
	*value = own;
	for (const nnr__ynode *c = map->child; c && !rc; c = c->next) {
		if (c == own)
			continue;
		if (strcmp(c->key, "id") == 0)
			rc = read_id(s, c, st);
		else if (strcmp(c->key, "when") == 0)
			rc = read_when(s, c, st);
		else
			rc = fail_beside(s, c, st->row);
	}
	return rc;
}

int nnr__step_read(nnr__src *s, const nnr__ynode *node, bool input,
		   nnr__step *st)
{
	const nnr__ynode *value = NULL;
	int rc = 0;

	if (node->kind == NNR__Y_LIST)
		return nnr__fail_node(s, node, "a step was expected, not a "
				      "list");
	if (node->kind == NNR__Y_MAP) {
		rc = read_map(s, node, st, &value);
	} else {
		st->row = nnr__step_row_find(node->text);
		st->place = nnr__place_of(node);
		if (!st->row)
			rc = fail_unknown(s, node, node->text);
	}
	if (rc)
		return rc;
	if (st->row->input != input)
		return nnr__fail_place(s->p, st->place, NNR_E_INPUT, s->err,
				       "`%s` belongs to `%s`", st->row->name,
				       input ? "out" : "in");
	if (!st->id)
		st->id = nnr__src_copy(s, st->row->name,
				       strlen(st->row->name));
	return st->id ? nnr__args_fill(s, st, value) : NNR_E_MEMORY;
}
