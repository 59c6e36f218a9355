/* SPDX-License-Identifier: Apache-2.0
 *
 * join: a list of the item as text: every element by a template, something
 * between them.  What the elements hold is text and nothing else, as with
 * any field.
 */
#include "step.h"

#include <string.h>

typedef struct args {
	char *field;
	nnr__template *form;	/* YAML key `template` */
	char *between;
} args;

static const nnr__param params[] = {
	{ .name = "field", .type = NNR__P_STRING, .required = true,
	  .at = offsetof(args, field),
	  .help = "the input field, a list, that it reads" },
	{ .name = "template", .type = NNR__P_TEMPLATE, .required = true,
	  .at = offsetof(args, form),
	  .help = "an element's text; {name} is a part of the element" },
	{ .name = "between", .type = NNR__P_STRING, .fallback = "\n",
	  .at = offsetof(args, between),
	  .help = "the text between two elements" },
	{ .name = NULL }
};

static int check_field(const nnr_program *p, const nnr__step *s,
		       const nnr__field **field, nnr_error *err)
{
	const args *a = s->args;
	const char *names[65];
	char hint[200];
	int n = 0;

	*field = nnr__program_input(p, a->field);
	if (*field && (*field)->type == NNR__T_LIST)
		return 0;
	if (*field)
		return nnr__fail_step(p, s, "field", err, "`%.60s` is no "
				      "list; its type would be like {list: "
				      "[NAME, NAME]}", a->field);
	for (int i = 0; i < p->inputs && n < 64; i++)
		if (p->input[i].type == NNR__T_LIST)
			names[n++] = p->input[i].name;
	names[n] = NULL;
	return nnr__fail_step(p, s, "field", err, "`%.60s` is not an input "
			      "field%s", a->field,
			      nnr__hint(hint, sizeof(hint), a->field, names));
}

static int part_of(const nnr__field *f, const char *name)
{
	for (int i = 0; i < f->parts.n; i++)
		if (strcmp(f->parts.s[i], name) == 0)
			return i;
	return -1;
}

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	const nnr__field *f;
	const char *names[20];
	char hint[200];
	int n = 0, rc = check_field(p, s, &f, err);

	for (int i = 0; i < a->form->n && !rc; i++) {
		const nnr__tpart *part = &a->form->part[i];

		if (!part->field || part_of(f, part->text) >= 0)
			continue;
		while (n < f->parts.n && n < 19) {
			names[n] = f->parts.s[n];
			n++;
		}
		names[n] = NULL;
		rc = nnr__fail_step(p, s, "template", err, "`{%s}` is no part "
				    "of an element of `%s`%s", part->text,
				    f->name,
				    nnr__hint(hint, sizeof(hint), part->text,
					      names));
	}
	return rc;
}

static void add_element(const args *a, const nnr__field *f,
			const nnr__jnode *element, nnr__buf *out)
{
	for (int i = 0; i < a->form->n && out->len <= NNR__PROMPT_MAX; i++) {
		const nnr__tpart *part = &a->form->part[i];
		const nnr__jnode *c = element;

		if (!part->field) {
			nnr__buf_add(out, part->text, part->len);
			continue;
		}
		if (element->kind == NNR__J_ARRAY) {
			c = element->child;
			for (int k = part_of(f, part->text); k > 0; k--)
				c = c->next;
		}
		nnr__json_plain(c, out);
	}
}

/* Stops where a prompt would be too long anyhow. */
static void add_list(const args *a, const nnr__field *f,
		     const nnr__jnode *list, nnr__buf *out)
{
	for (const nnr__jnode *c = list->child;
	     c && out->len <= NNR__PROMPT_MAX; c = c->next) {
		if (c != list->child)
			nnr__buf_adds(out, a->between);
		add_element(a, f, c, out);
	}
}

static int render(nnr__render *r, const nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	const nnr__field *f = nnr__program_input(r->p, a->field);
	const nnr__value *v = nnr__record_get(r->item, a->field);
	nnr__arena arena = { NULL };
	nnr__buf text = { 0 };
	const nnr__jnode *list;
	int rc;

	if (!v)
		return nnr__fail(err, NNR_E_INPUT, "the item has no field "
				 "`%s`", a->field);
	rc = nnr__list_read(&arena, f, v->text, v->len, &list, "the item",
			    err);
	if (!rc)
		add_list(a, f, list, &text);
	if (!rc && text.bad)
		rc = nnr__fail_memory(err, "a list", text.len);
	if (!rc)
		nnr__prompt_text(r->out, text.p ? text.p : "", text.len,
				 s->id, true);
	nnr__buf_release(&text);
	nnr__arena_release(&arena);
	return rc;
}

const nnr__step_row nnr__step_join = {
	.name = "join",
	.help = "a list as text, every element by a template",
	.input = true, .takes = NNR__K_ITEM, .gives = NNR__K_TEXT,
	.location = "input", .adapt = "fixed", .operation = "concatenative",
	.paradigm = "prompt instruction",
	.param = params, .args = sizeof(args), .check = check,
	.render = render
};
