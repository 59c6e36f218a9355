/* SPDX-License-Identifier: Apache-2.0
 *
 * chain.c: a program is valid iff the kinds of its steps chain:
 *
 *   in    item -> text          out   logits -> scores
 *   f     text -> logits              logits -> texts -> value
 *
 * An `in` step that takes the item can stand anywhere in `in`.  What is open
 * at the end must be the output type's axis: `label` for a list of labels,
 * nothing for the others.  Also: fields of templates exist, f gives what the
 * steps need.
 */
#include "step.h"

#include <string.h>

static const char *const kind_names[] = {
	[NNR__K_ITEM] = "the item",	[NNR__K_TEXT] = "text",
	[NNR__K_ROWS] = "rows",		[NNR__K_LOGITS] = "logits",
	[NNR__K_SCORES] = "scores",	[NNR__K_TEXTS] = "texts",
	[NNR__K_VALUE] = "values"
};

const char *nnr__kind_name(nnr__kind k)
{
	return kind_names[k];
}

/* ---- templates ---- */

/* The template a step's parameter holds, or NULL. */
static nnr__template *template_of(const nnr__step *s, const nnr__param *q)
{
	nnr__template *t;

	if (q->type != NNR__P_TEMPLATE)
		return NULL;
	memcpy(&t, (const char *)s->args + q->at, sizeof(t));
	return t;
}

static int fail_field(const nnr_program *p, const nnr__step *s,
		      const char *param, const char *name, int before,
		      nnr_error *err)
{
	const char *names[128];
	char hint[200];
	int n = 0;

	for (int i = 0; i < p->inputs && n < 100; i++)
		names[n++] = p->input[i].name;
	for (int i = 0; i < before && n < 127; i++)
		names[n++] = p->in[i].id;
	names[n] = NULL;
	for (int i = before; i < p->ins; i++)
		if (strcmp(p->in[i].id, name) == 0)
			return nnr__fail_step(p, s, param, err, "`{%s}` is "
					      "%s; a template can name "
					      "earlier parts only", name,
					      i == before ? "this step itself"
							  : "a later part");
	return nnr__fail_step(p, s, param, err, "`{%s}` is neither an input "
			      "field nor an earlier part%s", name,
			      nnr__hint(hint, sizeof(hint), name, names));
}

/* A field of template step `at`: an input or an earlier part. */
static int check_field(nnr_program *p, int at, const char *param,
		       const char *name, nnr_error *err)
{
	const nnr__field *f = nnr__program_input(p, name);

	if (f && f->type == NNR__T_LIST)
		return nnr__fail_step(p, &p->in[at], param, err, "`{%s}` is a "
				      "list: a `join` before makes a text of "
				      "it", name);
	if (f)
		return 0;
	for (int i = 0; i < at; i++) {
		nnr__step *part = &p->in[i];
		if (strcmp(part->id, name) != 0)
			continue;
		if (part->row->takes != NNR__K_ITEM)
			return nnr__fail_step(p, &p->in[at], param, err,
					      "`{%s}` is `%s`, which is not a "
					      "part of the prompt", name,
					      part->row->name);
		part->placed = true;
		return 0;
	}
	return fail_field(p, &p->in[at], param, name, at, err);
}

static int check_templates(nnr_program *p, nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < p->ins && !rc; i++) {
		nnr__step *s = &p->in[i];
		if (strcmp(s->row->name, "template") != 0)
			continue;
		for (const nnr__param *q = s->row->param; q->name; q++) {
			nnr__template *t = template_of(s, q);
			for (int j = 0; t && j < t->n && !rc; j++)
				if (t->part[j].field)
					rc = check_field(p, i, q->name,
							 t->part[j].text,
							 err);
		}
	}
	return rc;
}

/* ---- kinds ---- */

/* What could stand between, for the message. */
static const char *advice(nnr__kind have, nnr__kind want)
{
	if (want == NNR__K_TEXT)
		return ": a `template` must come first";
	if (have == NNR__K_LOGITS && want == NNR__K_SCORES)
		return ": `score` must come first";
	if (have == NNR__K_LOGITS)
		return ": `generate` must come first";
	if (have == NNR__K_TEXTS && want == NNR__K_VALUE)
		return ": put `parse` between them";
	return "";
}

static int check_in(nnr_program *p, nnr__kind *have, nnr_error *err)
{
	bool apart = false;	/* a part before or after all else */

	*have = NNR__K_ITEM;
	for (int i = 0; i < p->ins; i++) {
		nnr__step *s = &p->in[i];
		if (s->when == NNR__WHEN_TRAIN || s->placed)
			continue;
		if (nnr__step_at(s) != NNR__AT_HERE) {
			apart = true;
			continue;
		}
		if (s->row->takes != NNR__K_ITEM && s->row->takes != *have)
			return nnr__fail_step(p, s, NULL, err, "takes %s, but "
					      "nothing before it gives "
					      "any%s",
					      nnr__kind_name(s->row->takes),
					      advice(*have, s->row->takes));
		*have = s->row->gives;
	}
	if (*have != NNR__K_TEXT && !apart)
		return nnr__fail_place(p, p->ins ? p->in[0].place
						 : (nnr__place){ 0, 0 },
				       NNR_E_INPUT, err, "`in` gives no "
				       "prompt: a `template` is missing");
	return 0;
}

static int check_out(nnr_program *p, nnr__kind *have, nnr_error *err)
{
	const char *giver = NULL;

	*have = NNR__K_LOGITS;
	for (int i = 0; i < p->outs; i++) {
		nnr__step *s = &p->out[i];
		if (s->when == NNR__WHEN_TRAIN)
			continue;
		if (s->row->takes != *have)
			return nnr__fail_step(p, s, NULL, err, "takes %s, but "
					      "%s%s%s gives %s%s",
					      nnr__kind_name(s->row->takes),
					      giver ? "`" : "",
					      giver ? giver : "the model",
					      giver ? "`" : "",
					      nnr__kind_name(*have),
					      advice(*have, s->row->takes));
		*have = s->row->gives;
		giver = s->row->name;
	}
	return 0;
}

/* ---- the end ---- */

/* Axes that are open after the last step: bit 0 label, bit 1 sample. */
static const nnr__step *open_axis(const nnr_program *p, const char *axis)
{
	const nnr__step *open = NULL;

	for (int i = 0; i < p->outs; i++) {
		const nnr__step *s = &p->out[i];
		if (s->when == NNR__WHEN_TRAIN)
			continue;
		if (s->row->axis && strcmp(s->row->axis, axis) == 0 &&
		    s->row->ways(p, s) > 1)
			open = s;
		if (strcmp(s->row->name, "reduce") == 0)
			open = NULL;
	}
	return open;
}

static int check_end(const nnr_program *p, nnr__kind have, nnr_error *err)
{
	const nnr__step *last = &p->out[p->outs - 1];
	const nnr__step *sample = open_axis(p, "sample");
	bool label = p->output.type == NNR__T_LABEL;
	char want[160];

	nnr__type_text(&p->output, want, sizeof(want));
	if (have == NNR__K_LOGITS)
		return nnr__fail_step(p, last, NULL, err, "nothing reads the "
				      "model: `score` or `generate` is "
				      "missing");
	if (have == NNR__K_SCORES && !label)
		return nnr__fail_step(p, last, NULL, err, "gives scores of "
				      "labels, but the output `%s` is %s",
				      p->output.name, want);
	if (have == NNR__K_TEXTS && p->output.type != NNR__T_STRING)
		return nnr__fail_step(p, last, NULL, err, "gives texts, but "
				      "the output `%s` is %s: add `parse`",
				      p->output.name, want);
	if (sample)
		return nnr__fail_step(p, sample, NULL, err, "makes %lld "
				      "samples and nothing joins them: add "
				      "`reduce: {over: sample}` at the end",
				      (long long)sample->row->ways(p,
								   sample));
	return 0;
}

/* ---- access ---- */

static int check_need(const nnr_program *p, const nnr__step *s,
		      nnr_error *err)
{
	if (!s->row->needs || !p->access.n)
		return 0;
	for (int i = 0; i < p->access.n; i++)
		if (strcmp(p->access.s[i], s->row->needs) == 0)
			return 0;
	return nnr__fail_step(p, s, NULL, err, "needs `%s` of the model, "
			      "which `access` does not promise",
			      s->row->needs);
}

int nnr__chain_check(nnr_program *p, nnr_error *err)
{
	nnr__kind have = NNR__K_ITEM;
	int rc = check_templates(p, err);

	rc = rc ? rc : check_in(p, &have, err);
	rc = rc ? rc : check_out(p, &have, err);
	rc = rc ? rc : check_end(p, have, err);
	for (int i = 0; i < p->outs && !rc; i++)
		rc = check_need(p, &p->out[i], err);
	return rc;
}
