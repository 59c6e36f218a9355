/* SPDX-License-Identifier: Apache-2.0
 *
 * list.c: fields that are lists, {list: [subject, predicate, object]}.  A
 * record has such a value as JSON text, as it came; an element is a list of
 * one text, number or bool for every part, or, where there is one part only,
 * that alone.
 */
#include "step.h"

#include <math.h>
#include <string.h>

#define PARTS_MAX 16

/* ---- the type ---- */

int nnr__parts_read(nnr__src *s, const nnr__ynode *n, nnr__field *f)
{
	char what[100];
	int rc;

	snprintf(what, sizeof(what), "the list `%.60s`", f->name);
	rc = nnr__src_strings(s, n, what, &f->parts);
	if (rc)
		return rc;
	f->type = NNR__T_LIST;
	if (f->parts.n < 1 || f->parts.n > PARTS_MAX)
		return nnr__fail_node(s, n, "an element of %s has %d parts; 1 "
				      "to %d were expected", what, f->parts.n,
				      PARTS_MAX);
	for (int i = 0; i < f->parts.n; i++) {
		if (!nnr__is_name(f->parts.s[i]))
			return nnr__fail_node(s, n, "`%.60s` cannot name a "
					      "part: letters, digits, _ and - "
					      "only", f->parts.s[i]);
		for (int j = 0; j < i; j++)
			if (strcmp(f->parts.s[i], f->parts.s[j]) == 0)
				return nnr__fail_node(s, n, "the part `%.60s` "
						      "is there twice",
						      f->parts.s[i]);
	}
	return 0;
}

void nnr__list_made_up(const nnr__field *f, const char *text,
		       const char *around, nnr__buf *out)
{
	nnr__buf_adds(out, "[[");
	for (int i = 0; i < f->parts.n; i++) {
		nnr__buf one = { 0 };

		nnr__buf_addf(&one, "%.1s%s%s", around,
			      text ? text : f->parts.s[i],
			      *around ? around + 1 : "");
		nnr__buf_adds(out, i ? "," : "");
		nnr__buf_add_json(out, one.p ? one.p : "", one.len);
		out->bad = out->bad || one.bad;
		nnr__buf_release(&one);
	}
	nnr__buf_adds(out, "]]");
}

/* ---- values ---- */

bool nnr__json_plain(const nnr__jnode *n, nnr__buf *out)
{
	if (n->kind == NNR__J_STRING)
		nnr__buf_add(out, n->text, n->len);
	else if (n->kind == NNR__J_BOOL)
		nnr__buf_adds(out, n->num != 0 ? "true" : "false");
	else if (n->kind == NNR__J_NUMBER && n->integer &&
		 fabs(n->num) < 9e15)
		nnr__buf_addf(out, "%.0f", n->num);
	else if (n->kind == NNR__J_NUMBER)
		nnr__buf_add_num(out, n->num);
	else
		return false;
	return true;
}

const char *nnr__json_kind(const nnr__jnode *n)
{
	static const char *const names[] = {
		[NNR__J_NULL] = "null", [NNR__J_BOOL] = "true or false",
		[NNR__J_NUMBER] = "a number", [NNR__J_STRING] = "a text",
		[NNR__J_ARRAY] = "a list", [NNR__J_OBJECT] = "an object"
	};

	return names[n->kind];
}

/* Nested as deep as the JSON was: that is limited. */
void nnr__json_again(const nnr__jnode *n, nnr__buf *out)
{
	bool object = n->kind == NNR__J_OBJECT;

	if (n->kind == NNR__J_STRING) {
		nnr__buf_add_json(out, n->text, n->len);
	} else if (n->kind == NNR__J_NULL) {
		nnr__buf_adds(out, "null");
	} else if (!nnr__json_plain(n, out)) {
		nnr__buf_addc(out, object ? '{' : '[');
		for (const nnr__jnode *c = n->child; c; c = c->next) {
			if (c != n->child)
				nnr__buf_addc(out, ',');
			if (object) {
				nnr__buf_add_json(out, c->key,
						  strlen(c->key));
				nnr__buf_addc(out, ':');
			}
			nnr__json_again(c, out);
		}
		nnr__buf_addc(out, object ? '}' : ']');
	}
}

void nnr__yaml_as_json(const nnr__ynode *n, nnr__buf *out)
{
	if (n->kind == NNR__Y_SCALAR) {
		nnr__buf_add_json(out, n->text, n->len);
		return;
	}
	nnr__buf_addc(out, n->kind == NNR__Y_MAP ? '{' : '[');
	for (const nnr__ynode *c = n->child; c; c = c->next) {
		if (c != n->child)
			nnr__buf_addc(out, ',');
		if (n->kind == NNR__Y_MAP) {
			nnr__buf_add_json(out, c->key, strlen(c->key));
			nnr__buf_addc(out, ':');
		}
		nnr__yaml_as_json(c, out);
	}
	nnr__buf_addc(out, n->kind == NNR__Y_MAP ? '}' : ']');
}

static int check_plain(const nnr__field *f, int part, int at,
		       const nnr__jnode *n, const char *where, nnr_error *err)
{
	if (n->kind != NNR__J_ARRAY && n->kind != NNR__J_OBJECT &&
	    n->kind != NNR__J_NULL)
		return 0;
	return nnr__fail(err, NNR_E_INPUT, "%s: `%.60s` of element %d of `%s` "
			 "is %s; a text or a number was expected", where,
			 f->parts.s[part], at, f->name, nnr__json_kind(n));
}

/* Element `at`, from 1. */
static int check_element(const nnr__field *f, int at, const nnr__jnode *n,
			 const char *where, nnr_error *err)
{
	char want[160];
	int part = 0, rc = 0;

	if (n->kind != NNR__J_ARRAY && f->parts.n == 1)
		return check_plain(f, 0, at, n, where, err);
	nnr__type_text(f, want, sizeof(want));
	if (n->kind != NNR__J_ARRAY)
		return nnr__fail(err, NNR_E_INPUT, "%s: element %d of `%s` is "
				 "%s; %s was expected", where, at, f->name,
				 nnr__json_kind(n), want);
	if (n->count != (uint32_t)f->parts.n)
		return nnr__fail(err, NNR_E_INPUT, "%s: element %d of `%s` "
				 "has %u part%s; %s was expected", where, at,
				 f->name, n->count, n->count == 1 ? "" : "s",
				 want);
	for (const nnr__jnode *c = n->child; c && !rc; c = c->next)
		rc = check_plain(f, part++, at, c, where, err);
	return rc;
}

int nnr__list_read(nnr__arena *a, const nnr__field *f, const char *s,
		   size_t n, const nnr__jnode **list, const char *where,
		   nnr_error *err)
{
	nnr_error why;
	char want[160];
	int at = 0, rc = nnr__json_parse(a, list, f->name, s, n, &why);

	nnr__type_text(f, want, sizeof(want));
	if (rc == NNR_E_MEMORY)
		return nnr__fail_memory(err, f->name, n);
	if (rc)
		return nnr__fail(err, NNR_E_INPUT, "%s: `%s` is not JSON; %s "
				 "was expected", where, f->name, want);
	if ((*list)->kind != NNR__J_ARRAY)
		return nnr__fail(err, NNR_E_INPUT, "%s: `%s` is %s; %s was "
				 "expected", where, f->name,
				 nnr__json_kind(*list), want);
	for (const nnr__jnode *c = (*list)->child; c && !rc; c = c->next)
		rc = check_element(f, ++at, c, where, err);
	return rc;
}

int nnr__list_check(const nnr__field *f, const char *s, size_t n,
		    const char *where, nnr_error *err)
{
	nnr__arena a = { NULL };
	const nnr__jnode *list;
	int rc = nnr__list_read(&a, f, s, n, &list, where, err);

	nnr__arena_release(&a);
	return rc;
}
