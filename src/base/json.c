/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c: one JSON document into an arena, through jansson.  Count, depth and
 * UTF-8 are checked before jansson sees the bytes; it refuses duplicate keys
 * and NUL in texts.  Objects keep the order of the file.  Writing JSON is in
 * buf.c.
 */
#include "base.h"

#include <jansson.h>
#include <string.h>

#define DEPTH_LIMIT 64
#define MARKS_LIMIT (1 << 22)	/* , : [ and {: a value has at least one */

static int fail_at(nnr_error *err, const char *name, const char *text,
		   size_t offset, const char *what)
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
	return nnr__fail(err, NNR_E_INPUT, "%.120s:%zu:%zu: %s", name, line,
			 col, what);
}

/* UTF-8, depth, and how many nodes it would make: they take more memory than
 * the text.  What is inside texts does not count. */
static int precheck(const char *name, const char *text, size_t n,
		    nnr_error *err)
{
	size_t bad = nnr__utf8_valid(text, n);
	bool in_text = false;
	int depth = 0, marks = 0;

	if (bad < n)
		return fail_at(err, name, text, bad, "not valid UTF-8");
	for (size_t i = 0; i < n; i++) {
		char c = text[i];
		if (in_text && c == '\\')
			i++;
		else if (c == '"')
			in_text = !in_text;
		else if (in_text)
			continue;
		else if (c == ']' || c == '}')
			depth--;
		else if (c == '[' || c == '{')
			depth++;
		marks += !in_text && (c == '[' || c == '{' || c == ',' ||
				      c == ':');
		if (depth > DEPTH_LIMIT)
			return fail_at(err, name, text, i,
				       "nested deeper than 64");
		if (marks > MARKS_LIMIT)
			return fail_at(err, name, text, i, "too many values");
	}
	return 0;
}

static bool convert(nnr__arena *a, nnr__jnode *node, json_t *j);

static nnr__jnode *add_child(nnr__arena *a, nnr__jnode *node,
			     nnr__jnode **last, json_t *j)
{
	nnr__jnode *child = nnr__arena_alloc(a, sizeof(*child));

	if (!child || !convert(a, child, j))
		return NULL;
	if (*last)
		(*last)->next = child;
	else
		node->child = child;
	*last = child;
	node->count++;
	return child;
}

static bool convert_array(nnr__arena *a, nnr__jnode *node, json_t *j)
{
	nnr__jnode *last = NULL;
	size_t n = json_array_size(j);

	node->kind = NNR__J_ARRAY;
	for (size_t i = 0; i < n; i++)
		if (!add_child(a, node, &last, json_array_get(j, i)))
			return false;
	return true;
}

static bool convert_object(nnr__arena *a, nnr__jnode *node, json_t *j)
{
	nnr__jnode *last = NULL;
	void *it = json_object_iter(j);

	node->kind = NNR__J_OBJECT;
	for (; it; it = json_object_iter_next(j, it)) {
		const char *key = json_object_iter_key(it);
		nnr__jnode *child = add_child(a, node, &last,
					      json_object_iter_value(it));
		if (!child)
			return false;
		child->key = nnr__arena_strndup(a, key, strlen(key));
		if (!child->key)
			return false;
	}
	return true;
}

/* Depth was checked before: at most DEPTH_LIMIT calls deep. */
static bool convert(nnr__arena *a, nnr__jnode *node, json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return convert_object(a, node, j);
	case JSON_ARRAY:
		return convert_array(a, node, j);
	case JSON_STRING:
		node->kind = NNR__J_STRING;
		node->len = json_string_length(j);
		node->text = nnr__arena_strndup(a, json_string_value(j),
						node->len);
		return node->text != NULL;
	case JSON_INTEGER:
	case JSON_REAL:
		node->kind = NNR__J_NUMBER;
		node->num = json_number_value(j);
		node->integer = json_is_integer(j);
		return true;
	case JSON_TRUE:
	case JSON_FALSE:
		node->kind = NNR__J_BOOL;
		node->num = json_is_true(j);
		return true;
	default:
		node->kind = NNR__J_NULL;
		return true;
	}
}

int nnr__json_parse(nnr__arena *a, const nnr__jnode **out, const char *name,
		    const char *text, size_t n, nnr_error *err)
{
	json_error_t why;
	nnr__jnode *root;
	json_t *j;
	int rc = precheck(name, text, n, err);

	*out = NULL;
	if (rc)
		return rc;
	j = json_loadb(n ? text : "", n,
		       JSON_REJECT_DUPLICATES | JSON_DECODE_ANY |
		       JSON_ALLOW_NUL, &why);
	if (!j)
		return nnr__fail(err, NNR_E_INPUT, "%.120s:%d:%d: %s", name,
				 why.line > 0 ? why.line : 1,
				 why.column > 0 ? why.column : 1, why.text);
	root = nnr__arena_alloc(a, sizeof(*root));
	if (root && convert(a, root, j))
		*out = root;
	else
		rc = nnr__fail_memory(err, name, n);
	json_decref(j);
	return rc;
}

const nnr__jnode *nnr__json_get(const nnr__jnode *obj, const char *key)
{
	if (!obj || obj->kind != NNR__J_OBJECT)
		return NULL;
	for (const nnr__jnode *c = obj->child; c; c = c->next)
		if (strcmp(c->key, key) == 0)
			return c;
	return NULL;
}
