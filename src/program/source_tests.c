/* SPDX-License-Identifier: Apache-2.0
 *
 * source_tests.c: the `tests` of a source: records with the answers that are
 * expected of them.
 */
#include "step.h"

#include <string.h>

#define TESTS_MAX 1000

/* A list, as YAML has it. */
static int set_list(nnr__src *s, const nnr__field *f, const nnr__ynode *n,
		    nnr__record *out)
{
	nnr__buf text = { 0 };
	char where[200];
	int rc;

	nnr__yaml_as_json(n, &text);
	snprintf(where, sizeof(where), "%.160s:%u", s->p->path, n->line);
	rc = text.bad ? nnr__fail_memory(s->err, f->name, text.len)
		      : nnr__list_check(f, text.p, text.len, where, s->err);
	rc = rc ? rc : nnr__record_set(out, f->name, text.p, text.len,
				       s->err);
	nnr__buf_release(&text);
	return rc;
}

static int read_values(nnr__src *s, const nnr__ynode *map,
		       const nnr__field *field, int n, nnr__record *out)
{
	const char *names[64];
	char hint[200], text[80], want[160];
	nnr__buf value = { 0 };
	int rc = 0;

	for (int i = 0; i < n && i < 63; i++)
		names[i] = field[i].name;
	names[n < 63 ? n : 63] = NULL;
	if (map->kind != NNR__Y_MAP)
		return nnr__fail_node(s, map, "a map of fields was expected");
	for (const nnr__ynode *c = map->child; c && !rc; c = c->next) {
		const nnr__field *f = NULL;
		for (int i = 0; i < n; i++)
			if (strcmp(field[i].name, c->key) == 0)
				f = &field[i];
		nnr__buf_clear(&value);
		if (!f)
			rc = nnr__fail_key(s, c, "unknown field `%.60s`%s",
					   c->key,
					   nnr__hint(hint, sizeof(hint),
						     c->key, names));
		else if (c->kind == NNR__Y_LIST && f->type == NNR__T_LIST)
			rc = set_list(s, f, c, out);
		else if (c->kind != NNR__Y_SCALAR ||
			 !nnr__type_canon(f, c->text, c->len, &value))
			rc = nnr__fail_node(s, c, "`%s` is %s; %s was "
					    "expected", f->name,
					    nnr__node_text(c, text,
							   sizeof(text)),
					    nnr__type_text(f, want,
							   sizeof(want)));
		else
			rc = nnr__record_set(out, f->name,
					     value.p ? value.p : "",
					     value.len, s->err);
	}
	nnr__buf_release(&value);
	return rc;
}

static int read_test(nnr__src *s, const nnr__ynode *n, int at)
{
	static const char *const keys[] = { "in", "out", NULL };
	const nnr__ynode *in = nnr__yaml_get(n, "in");
	const nnr__ynode *out = nnr__yaml_get(n, "out");
	nnr_program *p = s->p;
	char hint[200];
	int rc;

	if (n->kind != NNR__Y_MAP || !in)
		return nnr__fail_node(s, n, "a test is a map with `in` and "
				      "perhaps `out`");
	for (const nnr__ynode *c = n->child; c; c = c->next)
		if (c != in && c != out)
			return nnr__fail_key(s, c, "unknown key `%.60s` of a "
					     "test%s", c->key,
					     nnr__hint(hint, sizeof(hint),
						       c->key, keys));
	rc = read_values(s, in, p->input, p->inputs, &p->test_in[at]);
	if (!rc && out)
		rc = read_values(s, out, &p->output, 1, &p->test_out[at]);
	for (int i = 0; i < p->inputs && !rc; i++)
		if (!p->input[i].optional &&
		    !nnr__record_get(&p->test_in[at], p->input[i].name))
			rc = nnr__fail_node(s, in, "the field `%s` is missing",
					    p->input[i].name);
	return rc;
}

int nnr__tests_read(nnr__src *s, const nnr__ynode *top)
{
	const nnr__ynode *list = nnr__yaml_get(top, "tests");
	nnr_program *p = s->p;
	int rc = 0;

	if (!list)
		return 0;
	if (list->kind != NNR__Y_LIST || list->count > TESTS_MAX)
		return nnr__fail_node(s, list, "`tests` must be a list of at "
				      "most %d tests", TESTS_MAX);
	p->test_in = nnr__src_alloc(s, list->count, sizeof(*p->test_in));
	p->test_out = nnr__src_alloc(s, list->count, sizeof(*p->test_out));
	if (!p->test_in || !p->test_out)
		return NNR_E_MEMORY;
	for (const nnr__ynode *c = list->child; c && !rc; c = c->next)
		rc = read_test(s, c, p->tests++);
	return rc;
}
