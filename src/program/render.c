/* SPDX-License-Identifier: Apache-2.0
 *
 * render.c: an item -> its prompt, as pieces that know the step they came
 * from and whether they vary.  Parts stand in list order; those with `at`
 * start or end stand before or after everything, chat markup included; a
 * part that a later template names stands there and not in its own place.
 */
#include "step.h"

#include <string.h>

/* ---- the place of a part ---- */

int nnr__step_at(const nnr__step *s)
{
	const nnr__param *q = s->row->param;
	int at = s->row->at;

	for (; q->name; q++)
		if (strcmp(q->name, "at") == 0 && q->type == NNR__P_ENUM)
			memcpy(&at, (const char *)s->args + q->at,
			       sizeof(at));
	return at;
}

void nnr__prompt_join(nnr__prompt *to, const nnr__prompt *from)
{
	for (size_t i = 0; i < from->n; i++)
		nnr__prompt_copy(to, from, i);
	to->bad = to->bad || from->bad;
}

/* ---- parts ---- */

/* A part may be named many times by parts that are named many times. */
#define VISITS_MAX 100000

static int render_step(nnr__render *r, const nnr__step *s, nnr_error *err)
{
	int rc;

	if (++r->visits > VISITS_MAX)
		return nnr__fail_step(r->p, s, NULL, err, "the prompt has "
				      "more than %d parts", VISITS_MAX);
	rc = s->row->render(r, s, err);
	if (rc)
		return rc;
	if (r->out->bad)
		return nnr__fail_memory(err, "a prompt", r->out->text.len);
	if (r->out->text.len > NNR__PROMPT_MAX)
		return nnr__fail_step(r->p, s, NULL, err, "the prompt is "
				      "longer than %zu MiB",
				      NNR__PROMPT_MAX >> 20);
	return 0;
}

static const nnr__step *part_named(const nnr_program *p, const char *name)
{
	for (int i = 0; i < p->ins; i++)
		if (strcmp(p->in[i].id, name) == 0)
			return &p->in[i];
	return NULL;
}

static int render_field(nnr__render *r, const char *name, const nnr__step *s,
			nnr_error *err)
{
	const nnr__value *v = nnr__record_get(r->item, name);
	const nnr__field *f = nnr__program_input(r->p, name);
	const nnr__step *part;

	if (f && v) {
		nnr__prompt_text(r->out, v->text, v->len, s->id, true);
		return 0;
	}
	if (f && f->optional)
		return 0;
	part = f ? NULL : part_named(r->p, name);
	if (!part)
		return nnr__fail(err, NNR_E_INPUT, "the item has no field "
				 "`%s`", name);
	return render_step(r, part, err);
}

int nnr__render_template(nnr__render *r, const nnr__template *t,
			 const nnr__step *s, nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < t->n && !rc; i++) {
		const nnr__tpart *part = &t->part[i];
		if (part->field)
			rc = render_field(r, part->text, s, err);
		else
			nnr__prompt_text(r->out, part->text, part->len,
					 s->id, false);
		if (!rc && r->out->text.len > NNR__PROMPT_MAX)
			rc = nnr__fail_step(r->p, s, NULL, err, "the prompt "
					    "is longer than %zu MiB",
					    NNR__PROMPT_MAX >> 20);
	}
	return rc;
}

/* Steps with the given `at`, in list order. */
static int render_at(nnr__render *r, int at, nnr_error *err)
{
	const nnr_program *p = r->p;
	int rc = 0;

	for (int i = 0; i < p->ins && !rc; i++) {
		const nnr__step *s = &p->in[i];
		if (s->when == NNR__WHEN_TRAIN || s->placed ||
		    nnr__step_at(s) != at)
			continue;
		rc = render_step(r, s, err);
	}
	return rc;
}

int nnr__program_render(nnr_program *p, const nnr__record *item,
			nnr__prompt *out, nnr_error *err)
{
	nnr__prompt middle = { 0 };
	nnr__render r = { .p = p, .item = item, .out = out };
	int rc;

	nnr__prompt_clear(out);
	rc = render_at(&r, NNR__AT_START, err);
	r.out = &middle;
	rc = rc ? rc : render_at(&r, NNR__AT_HERE, err);
	nnr__prompt_join(out, &middle);
	nnr__prompt_release(&middle);
	r.out = out;
	rc = rc ? rc : render_at(&r, NNR__AT_END, err);
	if (!rc && out->bad)
		rc = nnr__fail_memory(err, "a prompt", out->text.len);
	return rc;
}

/* ---- the form of demonstrations ---- */

static bool reads_input(const nnr_program *p, const nnr__template *t)
{
	for (int i = 0; i < t->n; i++)
		if (t->part[i].field && nnr__program_input(p,
							   t->part[i].text))
			return true;
	return false;
}

static bool is_form(const nnr_program *p, const nnr__step *s)
{
	const struct nnr__a_template *a = s->args;

	return s->row->render && strcmp(s->row->name, "template") == 0 &&
	       s->when != NNR__WHEN_TRAIN && !s->placed &&
	       reads_input(p, a->text);
}

nnr__template *nnr__program_form(nnr_program *p, const nnr__step *demos,
				 nnr_error *err)
{
	nnr__template *form = nnr__arena_alloc(&p->arena, sizeof(*form));
	size_t n = 0;

	for (int i = 0; i < p->ins; i++) {
		const struct nnr__a_template *a = p->in[i].args;
		if (!is_form(p, &p->in[i]))
			continue;
		n += (size_t)a->text->n;
		for (int j = 0; j < a->text->n; j++)
			if (a->text->part[j].field &&
			    !nnr__program_input(p, a->text->part[j].text))
				return nnr__fail_step(p, demos, NULL, err,
					"give it a `template` of its own: the "
					"program's has another part, `{%s}`, "
					"in it", a->text->part[j].text),
				       NULL;
	}
	if (!n)
		return nnr__fail_step(p, demos, NULL, err, "give it a "
				      "`template` of its own: the program has "
				      "none with an input field"), NULL;
	if (form)
		form->part = nnr__arena_alloc(&p->arena,
					      n * sizeof(*form->part));
	if (!form || !form->part)
		return nnr__fail_memory(err, "demos", n), NULL;
	for (int i = 0; i < p->ins; i++) {
		const struct nnr__a_template *a = p->in[i].args;
		if (!is_form(p, &p->in[i]))
			continue;
		memcpy(form->part + form->n, a->text->part,
		       (size_t)a->text->n * sizeof(*form->part));
		form->n += a->text->n;
	}
	return form;
}
