/* SPDX-License-Identifier: Apache-2.0
 *
 * source.c: the top level of a source: YAML -> nnr_program.  Its strings and
 * args live in the program's arena; the YAML tree is gone afterwards.
 */
#include "program/learn.h"
#include "program/artifact.h"
#include "step.h"

#include <stdlib.h>
#include <string.h>

#define SOURCE_MAX ((size_t)1 << 20)
#define STEPS_MAX 1000

static const char *const top_keys[] = {
	"nnr", "name", "model", "input", "output", "data", "use", "access",
	"in", "out", "train", "tests", NULL
};
static const char *const access_names[] = {
	"text", "top_logprobs", "logits", "embed", "hidden", "gradient", NULL
};

char *nnr__src_copy(nnr__src *s, const char *text, size_t n)
{
	char *copy = nnr__arena_strndup(&s->p->arena, text, n);

	if (!copy)
		nnr__fail_memory(s->err, s->p->path, n);
	return copy;
}

void *nnr__src_alloc(nnr__src *s, size_t n, size_t size)
{
	size_t bytes;
	void *p = NULL;

	if (nnr__mul_ok(n, size, &bytes))
		p = nnr__arena_alloc(&s->p->arena, bytes);
	if (!p)
		nnr__fail_memory(s->err, s->p->path, n * size);
	return p;
}

/* ---- single keys ---- */

static int need(nnr__src *s, const nnr__ynode *top, const char *key,
		const nnr__ynode **out)
{
	*out = nnr__yaml_get(top, key);
	if (*out)
		return 0;
	return nnr__fail_node(s, top, "`%s` is missing", key);
}

static int need_text(nnr__src *s, const nnr__ynode *top, const char *key,
		     char **out)
{
	const nnr__ynode *n;
	char text[80];
	int rc = need(s, top, key, &n);

	if (rc)
		return rc;
	if (n->kind != NNR__Y_SCALAR || !n->len)
		return nnr__fail_node(s, n, "`%s` is %s; a text was expected",
				      key, nnr__node_text(n, text,
							  sizeof(text)));
	*out = nnr__src_copy(s, n->text, n->len);
	return *out ? 0 : NNR_E_MEMORY;
}

static int read_version(nnr__src *s, const nnr__ynode *top)
{
	const nnr__ynode *n;
	char text[80];
	int rc = need(s, top, "nnr", &n);

	if (rc)
		return rc;
	if (n->kind == NNR__Y_SCALAR && strcmp(n->text, "1") == 0)
		return 0;
	return nnr__fail_place(s->p, nnr__place_of(n), NNR_E_UNSUPPORTED,
			       s->err, "format version %s; this nnr reads 1",
			       nnr__node_text(n, text, sizeof(text)));
}

static int read_name(nnr__src *s, const nnr__ynode *top)
{
	int rc = need_text(s, top, "name", &s->p->name);
	const nnr__ynode *n = nnr__yaml_get(top, "name");

	if (rc)
		return rc;
	for (const char *c = s->p->name; *c; c++)
		if ((unsigned char)*c < ' ' || *c == '/' || *c == 0x7f)
			return nnr__fail_node(s, n, "`name` holds a `/` or a "
					      "control character");
	if (strlen(s->p->name) > 100)
		return nnr__fail_node(s, n, "`name` is longer than 100 bytes");
	return 0;
}

static int read_data(nnr__src *s, const nnr__ynode *top)
{
	static const char *const keys[] = { "labels", "target", NULL };
	const nnr__ynode *n = nnr__yaml_get(top, "data");
	char hint[200], text[80];
	int rc = 0;

	if (!n)
		return 0;
	if (n->kind != NNR__Y_MAP)
		return nnr__fail_node(s, n, "`data` is %s; a map was expected",
				      nnr__node_text(n, text, sizeof(text)));
	for (const nnr__ynode *c = n->child; c && !rc; c = c->next) {
		if (strcmp(c->key, "labels") == 0)
			rc = nnr__src_pairs(s, c, "`data.labels`",
					    &s->p->data_labels);
		else if (strcmp(c->key, "target") == 0)
			rc = nnr__src_pairs(s, c, "`data.target`",
					    &s->p->data_target);
		else
			rc = nnr__fail_key(s, c, "unknown key `%.60s` of "
					   "`data`%s", c->key,
					   nnr__hint(hint, sizeof(hint),
						     c->key, keys));
	}
	return rc;
}

static int check_labels(nnr__src *s, const nnr__ynode *top)
{
	const nnr__ynode *data = nnr__yaml_get(top, "data");
	const nnr__ynode *n = nnr__yaml_get(data, "labels");
	const nnr__field *out = &s->p->output;
	char want[160];

	if (!n)
		return 0;
	if (out->type != NNR__T_LABEL)
		return nnr__fail_key(s, n, "`data.labels` needs an output "
				     "that is a list of labels");
	for (const nnr__ynode *c = n->child; c; c = c->next)
		if (nnr__type_label(out, c->text) < 0)
			return nnr__fail_node(s, c, "`%.60s` is not %s",
					      c->text,
					      nnr__type_text(out, want,
							     sizeof(want)));
	return 0;
}

static int check_target(nnr__src *s, const nnr__ynode *top)
{
	const nnr__ynode *data = nnr__yaml_get(top, "data");
	const nnr__ynode *n = nnr__yaml_get(data, "target");
	nnr_error err;
	int rc;

	if (!n)
		return 0;
	if (n->count != 1)
		return nnr__fail_node(s, n, "`data.target` names %u columns; "
				      "one was expected", n->count);
	rc = nnr__regex_new(&s->p->target, n->child->text, &err);
	return rc ? nnr__fail_node(s, n->child, "%s", err.message) : 0;
}

static int read_access(nnr__src *s, const nnr__ynode *top)
{
	const nnr__ynode *n = nnr__yaml_get(top, "access");
	nnr__strings *got = &s->p->access;
	char hint[200];
	int rc;

	if (!n)
		return 0;
	rc = nnr__src_strings(s, n, "`access`", got);
	for (int i = 0; !rc && i < got->n; i++) {
		bool known = false;
		for (int j = 0; access_names[j]; j++)
			known |= strcmp(access_names[j], got->s[i]) == 0;
		if (!known)
			rc = nnr__fail_node(s, n, "`access` names `%.60s`%s",
					    got->s[i],
					    nnr__hint(hint, sizeof(hint),
						      got->s[i],
						      access_names));
	}
	return rc;
}

/* What the format has and this version does not. */
static int check_later(nnr__src *s, const nnr__ynode *top)
{
	const nnr__ynode *use = nnr__yaml_get(top, "use");

	if (use)
		return nnr__fail_place(s->p, nnr__place_of_key(use),
				       NNR_E_UNSUPPORTED, s->err,
				       "`use` is not in this version of nnr "
				       "yet: no step can name a resource");
	return 0;
}

/* ---- steps ---- */

static int read_steps(nnr__src *s, const nnr__ynode *top, const char *key,
		      nnr__step **out, int *n)
{
	bool input = strcmp(key, "in") == 0;
	const nnr__ynode *list;
	char text[80];
	int rc = need(s, top, key, &list);

	if (rc)
		return rc;
	if (list->kind != NNR__Y_LIST || !list->count)
		return nnr__fail_node(s, list, "`%s` is %s; a list of steps "
				      "was expected", key,
				      list->kind == NNR__Y_LIST
					      ? "an empty list"
					      : nnr__node_text(list, text,
							       sizeof(text)));
	if (list->count > STEPS_MAX)
		return nnr__fail_node(s, list, "`%s` has more than %d steps",
				      key, STEPS_MAX);
	*out = nnr__src_alloc(s, list->count, sizeof(**out));
	if (!*out)
		return NNR_E_MEMORY;
	for (const nnr__ynode *c = list->child; c && !rc; c = c->next)
		rc = nnr__step_read(s, c, input, &(*out)[(*n)++]);
	return rc;
}

static int check_ids(nnr__src *s)
{
	const nnr_program *p = s->p;

	for (int i = 0; i < p->ins + p->outs; i++) {
		nnr__step *a = nnr__program_step_at(p, i);
		if (nnr__program_input(p, a->id))
			return nnr__fail_step(p, a, NULL, s->err, "its id "
					      "`%s` is also an input field; "
					      "give it another `id`", a->id);
		for (int j = 0; j < i; j++)
			if (strcmp(nnr__program_step_at(p, j)->id, a->id) == 0)
				return nnr__fail_step(p, a, NULL, s->err,
						      "a second step with the "
						      "id `%s`; give it an "
						      "`id` of its own",
						      a->id);
	}
	return 0;
}

static int run_hooks(nnr__src *s, bool load)
{
	nnr_program *p = s->p;
	int rc = 0;

	for (int i = 0; i < p->ins + p->outs && !rc; i++) {
		nnr__step *st = nnr__program_step_at(p, i);
		int (*hook)(nnr_program *, nnr__step *, nnr_error *) =
			load ? st->row->load : st->row->check;
		if (hook)
			rc = hook(p, st, s->err);
	}
	return rc;
}

/* ---- the whole ---- */

static int check_keys(nnr__src *s, const nnr__ynode *top)
{
	char hint[200];

	if (top->kind != NNR__Y_MAP)
		return nnr__fail_node(s, top, "a program is a map with keys "
				      "like `nnr`, `name`, `in`, `out`");
	for (const nnr__ynode *c = top->child; c; c = c->next) {
		bool known = false;
		for (int i = 0; top_keys[i]; i++)
			known |= strcmp(top_keys[i], c->key) == 0;
		if (!known && nnr__step_row_find(c->key))
			return nnr__fail_key(s, c, "`%s` is a step; it "
					     "belongs in the list `%s`",
					     c->key,
					     nnr__step_row_find(c->key)->input
						     ? "in" : "out");
		if (!known)
			return nnr__fail_key(s, c, "unknown key `%.60s`%s",
					     c->key,
					     nnr__hint(hint, sizeof(hint),
						       c->key, top_keys));
	}
	return 0;
}

static int read_output(nnr__src *s, const nnr__ynode *top)
{
	const nnr__ynode *n;
	nnr__field *field = NULL;
	int count = 0, rc = need(s, top, "output", &n);

	if (!rc)
		rc = nnr__fields_read(s, n, "output", &field, &count);
	if (rc)
		return rc;
	if (count != 1)
		return nnr__fail_place(s->p, nnr__place_of_key(n),
				       NNR_E_UNSUPPORTED, s->err,
				       "`output` has %d fields; this version "
				       "of nnr takes one", count);
	if (field->optional)
		return nnr__fail_node(s, n->child, "the output cannot be "
				      "optional");
	if (nnr__program_input(s->p, field->name))
		return nnr__fail_key(s, n->child, "`%s` is also an input "
				     "field", field->name);
	s->p->output = *field;
	return 0;
}

static int read_top(nnr__src *s, const nnr__ynode *top)
{
	nnr_program *p = s->p;
	const nnr__ynode *n = NULL;
	int rc = check_keys(s, top);

	rc = rc ? rc : read_version(s, top);
	rc = rc ? rc : read_name(s, top);
	rc = rc ? rc : need_text(s, top, "model", &p->model_ref);
	rc = rc ? rc : need(s, top, "input", &n);
	rc = rc ? rc : nnr__fields_read(s, n, "input", &p->input, &p->inputs);
	rc = rc ? rc : read_output(s, top);
	rc = rc ? rc : read_data(s, top);
	rc = rc ? rc : check_labels(s, top);
	rc = rc ? rc : check_target(s, top);
	rc = rc ? rc : check_later(s, top);
	rc = rc ? rc : read_access(s, top);
	rc = rc ? rc : read_steps(s, top, "in", &p->in, &p->ins);
	rc = rc ? rc : read_steps(s, top, "out", &p->out, &p->outs);
	rc = rc ? rc : check_ids(s);
	rc = rc ? rc : nnr__tests_read(s, top);
	rc = rc ? rc : nnr__chain_check(p, s->err);
	rc = rc ? rc : nnr__train_plan_read(s, top);
	rc = rc ? rc : run_hooks(s, false);
	return rc ? rc : run_hooks(s, true);
}

/* Checks and loads a tree, which is then the program's. */
static int read_tree(nnr__src *s, const char *text, size_t n,
		     const nnr__ynode *top)
{
	int rc = read_top(s, top);

	return rc ? rc : nnr__source_keep(s, text, n, top);
}

static int read_source(nnr__src *s, const char *text, size_t n,
		       const nnr__strings *set)
{
	nnr_program *p = s->p;
	nnr__place start = { 1, 1 };
	int rc = nnr__yaml_parse(&s->yaml, p->path, text, n, s->err);

	if (rc)
		return rc;
	if (s->yaml.count != 1)
		return nnr__fail_place(p, start, NNR_E_INPUT, s->err,
				       s->yaml.count
					       ? "%d programs in one file; "
						 "one was expected"
					       : "empty: %d programs in it",
				       s->yaml.count);
	rc = set ? nnr__set_apply(s, s->yaml.doc[0], set) : 0;
	return rc ? rc : read_tree(s, text, n, s->yaml.doc[0]);
}

/* The bytes that make a program what it is: its source and its overrides;
 * the files join as they are read. */
static void hash_source(nnr_program *p, const char *text, size_t n)
{
	nnr__buf head = { 0 };

	nnr__buf_addf(&head, "nnr program 1\nsource %zu\n", n);
	nnr__sha_init(&p->sha);
	nnr__sha_add(&p->sha, head.p, head.len);
	nnr__sha_add(&p->sha, text, n);
	for (int i = 0; i < p->set.n; i++) {
		nnr__buf_clear(&head);
		nnr__buf_addf(&head, "\nset %s", p->set.s[i]);
		nnr__sha_add(&p->sha, head.p, head.len);
	}
	nnr__buf_release(&head);
}

static int copy_set(nnr__src *s, const nnr__strings *set)
{
	nnr_program *p = s->p;

	if (!set || !set->n)
		return 0;
	p->set.s = nnr__src_alloc(s, (size_t)set->n, sizeof(*p->set.s));
	if (!p->set.s)
		return NNR_E_MEMORY;
	for (int i = 0; i < set->n; i++) {
		p->set.s[i] = nnr__src_copy(s, set->s[i], strlen(set->s[i]));
		if (!p->set.s[p->set.n++])
			return NNR_E_MEMORY;
	}
	return 0;
}

int nnr__program_read(nnr_program **out, const char *name, const char *dir,
		      const char *text, size_t n, const nnr__strings *set,
		      struct nnr__artifact *from, nnr_error *err)
{
	nnr_error local;
	nnr__src s = { .err = err ? err : &local };
	nnr_program *p = nnr__calloc(1, sizeof(*p));
	int rc = 0;

	*out = NULL;
	if (!p) {
		nnr__artifact_free(from);
		return nnr__fail_memory(err, name, sizeof(*p));
	}
	s.p = p;
	p->artifact = from;
	p->path = nnr__strdup(name);
	p->dir = dir ? nnr__strdup(dir) : NULL;
	if (!p->path || (dir && !p->dir))
		rc = nnr__fail_memory(err, name, strlen(name));
	rc = rc ? rc : copy_set(&s, set);
	if (!rc) {
		hash_source(p, text, n);
		rc = read_source(&s, text, n, set);
	}
	if (!rc)
		nnr__sha_end(&p->sha, p->hash);
	rc = rc ? rc : nnr__program_keep_notes(p, s.err);
	nnr__yaml_release(&s.yaml);
	for (int i = 0; i < s.sets; i++)
		nnr__yaml_release(&s.set[i]);
	free(s.set);
	if (rc)
		nnr__program_close(p);
	else
		*out = p;
	return rc;
}

int nnr__program_parse(nnr_program **p, const char *name, const char *dir,
		       const char *text, size_t n, const nnr__strings *set,
		       nnr_error *err)
{
	return nnr__program_read(p, name, dir, text, n, set, NULL, err);
}

int nnr__program_open(nnr_program **p, const char *path,
		      const nnr__strings *set, nnr_error *err)
{
	nnr__buf text = { 0 };
	char *dir;
	int rc;

	if (nnr__artifact_is(path))
		return nnr__artifact_open(p, path, set, err);
	dir = nnr__path_dir(path);
	rc = dir ? nnr__file_read(&text, path, SOURCE_MAX, err)
		 : nnr__fail_memory(err, path, strlen(path));
	*p = NULL;
	if (!rc)
		rc = nnr__program_parse(p, path, dir, text.p ? text.p : "",
					text.len, set, err);
	nnr__buf_release(&text);
	free(dir);
	return rc;
}

void nnr__program_close(nnr_program *p)
{
	if (!p)
		return;
	nnr__program_unbind(p);
	for (int i = 0; i < p->ins + p->outs; i++) {
		nnr__step *st = nnr__program_step_at(p, i);
		if (st->row && st->row->release && st->args)
			st->row->release(st);
	}
	for (int i = 0; i < p->tests; i++) {
		nnr__record_release(&p->test_in[i]);
		nnr__record_release(&p->test_out[i]);
	}
	nnr__regex_free(p->target);
	nnr__program_forget_files(p);
	nnr__artifact_free(p->artifact);
	nnr__arena_release(&p->arena);
	free(p->path);
	free(p->dir);
	free(p);
}

nnr__step *nnr__program_step(const nnr_program *p, const char *row)
{
	for (int i = 0; i < p->ins + p->outs; i++)
		if (strcmp(nnr__program_step_at(p, i)->row->name, row) == 0)
			return nnr__program_step_at(p, i);
	return NULL;
}

const nnr__field *nnr__program_input(const nnr_program *p, const char *name)
{
	for (int i = 0; i < p->inputs; i++)
		if (strcmp(p->input[i].name, name) == 0)
			return &p->input[i];
	return NULL;
}

const char *nnr__pairs_get(const nnr__pairs *p, const char *key)
{
	for (int i = 0; i < p->n; i++)
		if (strcmp(p->p[i].key, key) == 0)
			return p->p[i].value;
	return NULL;
}
