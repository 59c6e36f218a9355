/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c: records as JSON -> answers as JSON.
 */
#include "api/api.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one answer as JSON ---- */

static void put_samples(const nnr_program *p, const nnr__answer *a,
			nnr__buf *out)
{
	nnr__buf_adds(out, ",\"samples\":[");
	for (int i = 0; i < a->samples; i++) {
		const nnr__sample *s = &a->sample[i];
		const char *text = s->text ? s->text : "";
		nnr__buf_adds(out, i ? ",{\"text\":" : "{\"text\":");
		nnr__buf_add_json(out, text, strlen(text));
		nnr__buf_adds(out, ",\"value\":");
		nnr__value_json(p->output.type, s->value, out);
		nnr__buf_addf(out, ",\"tokens\":%d}", s->tokens);
	}
	nnr__buf_addc(out, ']');
}

void nnr__answer_json(const nnr_program *p, const nnr__answer *a,
		      const char *explain, nnr__buf *out)
{
	nnr__buf_adds(out, "{\"out\":{");
	nnr__buf_add_json(out, p->output.name, strlen(p->output.name));
	nnr__buf_addc(out, ':');
	nnr__value_json(p->output.type, a->value, out);
	nnr__buf_addc(out, '}');
	if (a->scores) {
		nnr__buf_adds(out, ",\"scores\":");
		nnr__scores_json(&p->output, a->score, a->scores, out);
	}
	if (a->samples > 1 && !isnan(a->agreement)) {
		nnr__buf_adds(out, ",\"agreement\":");
		nnr__buf_add_num(out, a->agreement);
	}
	if (explain) {
		if (a->samples)
			put_samples(p, a, out);
		nnr__buf_addf(out, ",\"explain\":%s", explain);
	}
	nnr__buf_addc(out, '}');
}

/* ---- inputs ---- */

/* The field a bare text stands for: the only one that must be given. */
static const nnr__field *text_field(const nnr_program *p)
{
	const nnr__field *found = NULL;

	for (int i = 0; i < p->inputs; i++) {
		const nnr__field *f = &p->input[i];
		if (f->optional && p->inputs > 1)
			continue;
		if (found || f->type != NNR__T_STRING)
			return NULL;
		found = f;
	}
	return found;
}

int nnr_program_input(const nnr_program *p, nnr_text text, char **json,
		      nnr_error *err)
{
	const nnr__field *f = text_field(p);
	size_t valid = nnr__utf8_valid(text.s, text.n);
	nnr__buf b = { 0 };

	*json = NULL;
	if (!f)
		return nnr__fail(err, NNR_E_USAGE, "%s has other inputs than "
				 "one text; give a JSON record", p->name);
	if (valid < text.n)
		return nnr__fail(err, NNR_E_INPUT, "the text is not valid "
				 "UTF-8 at byte %zu", valid);
	nnr__buf_addc(&b, '{');
	nnr__buf_add_json(&b, f->name, strlen(f->name));
	nnr__buf_addc(&b, ':');
	nnr__buf_add_json(&b, text.s, text.n);
	nnr__buf_addc(&b, '}');
	return nnr__hand_out(&b, json, err);
}

/* What messages call input i. */
static void name_input(const nnr_inputs *in, int i, char *out, size_t n)
{
	const char *name = in->name ? in->name : "input";

	if (in->line)
		snprintf(out, n, "%.80s:%lld", name, (long long)in->line[i]);
	else
		snprintf(out, n, "%.80s", name);
}

/* "item 3: ..." of the program folder, in the caller's words. */
static void rename_item(const nnr_inputs *in, nnr_error *err)
{
	nnr_error was = *err;
	char where[120], *rest;
	long i;

	if (strncmp(was.message, "item ", 5) != 0)
		return;
	i = strtol(was.message + 5, &rest, 10);
	if (*rest != ':' || i < 0 || i >= in->n)
		return;
	name_input(in, (int)i, where, sizeof(where));
	nnr__fail(err, was.code, "%s%s", where, rest);
}

/* Parses inputs up to the first bad one, whose error is in *bad. */
static int parse(const nnr_program *p, const nnr_inputs *in,
		 nnr__record *item, int *good, nnr_error *bad)
{
	for (*good = 0; *good < in->n; (*good)++) {
		const char *text = in->json[*good];
		char where[120];
		int rc;
		name_input(in, *good, where, sizeof(where));
		rc = nnr__item_from_json(p, where, text, strlen(text),
					 &item[*good], bad);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- answers ---- */

typedef struct teller {
	nnr_program *p;
	const nnr__record *item;
	bool explain;
	nnr_on_answer done;
	void *ctx;
} teller;

static int tell(void *ctx, int i, const nnr__answer *a, nnr_error *err)
{
	teller *t = ctx;
	char *json = NULL, *text = NULL;
	nnr__buf b = { 0 };
	int rc = 0;

	if (t->explain)
		rc = nnr__explain(t->p, &t->item[i], a, &json, &text, err);
	if (!rc) {
		nnr__answer_json(t->p, a, json, &b);
		if (b.bad)
			rc = nnr__fail_memory(err, "answer", b.len);
	}
	if (!rc) {
		nnr_answer ans = { a->value, b.p, text };
		rc = t->done(t->ctx, i, &ans);
		if (rc)
			nnr__fail(err, rc, "stopped at answer %d", i);
	}
	nnr__buf_release(&b);
	free(json);
	free(text);
	return rc;
}

int nnr_program_answer(nnr_program *p, const nnr_inputs *in, int explain,
		       nnr_on_answer done, void *ctx, nnr_error *err)
{
	teller t = { .p = p, .explain = explain != 0, .done = done,
		     .ctx = ctx };
	nnr__record *item = nnr__calloc((size_t)in->n, sizeof(*item));
	nnr_error bad = { 0 };
	int good = 0, rc = 0, parsed;

	if (!item)
		return nnr__fail_memory(err, "records", (size_t)in->n);
	parsed = parse(p, in, item, &good, &bad);
	t.item = item;
	if (good)
		rc = nnr__program_answers(p, item, good, tell, &t, err);
	if (rc && err)
		rename_item(in, err);
	if (!rc && parsed) {
		rc = parsed;
		if (err)
			*err = bad;
	}
	for (int i = 0; i < good; i++)
		nnr__record_release(&item[i]);
	free(item);
	return rc;
}

static int keep(void *ctx, int item, const nnr_answer *a)
{
	char **out = ctx;

	(void)item;
	*out = nnr__strdup(a->json);
	return *out ? 0 : NNR_E_MEMORY;
}

int nnr_program_run(nnr_program *p, const char *input, char **answer,
		    nnr_error *err)
{
	nnr_inputs in = { .json = &input, .n = 1 };

	*answer = NULL;
	return nnr_program_answer(p, &in, 0, keep, answer, err);
}
