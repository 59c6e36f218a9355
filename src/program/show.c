/* SPDX-License-Identifier: Apache-2.0
 *
 * show.c: what a program is, for people (80 columns) and as JSON: its steps
 * on the four axes, its paradigm, passes of f per item, and the prompt of an
 * example with the part each token comes from.
 */
#include "step.h"

#include <stdlib.h>
#include <string.h>

#define WIDTH 80
#define LINES_MAX 24		/* of a part, for people */
#define WORKED 8		/* words that make an answer a worked one */

/* ---- paradigm ---- */

static int words_in(const char *s)
{
	int n = 0;

	for (bool in = false; *s; s++) {
		bool blank = *s == ' ' || *s == '\n' || *s == '\t';
		n += !blank && !in;
		in = !blank;
	}
	return n;
}

/* Demonstrations whose answers are worked: longer than a label. */
static bool worked(const nnr_program *p)
{
	const nnr__step *s = nnr__program_step(p, "demos");
	const char *column = p->data_target.n ? p->data_target.p[0].key
					      : p->output.name;
	const struct nnr__a_demos *a = s ? s->args : NULL;
	int words = 0;

	for (int i = 0; a && i < a->rec.n; i++) {
		const nnr__value *v = nnr__record_get(&a->rec.row[i],
						      column);
		words += v ? words_in(v->text) : 0;
	}
	return a && a->rec.n && words >= WORKED * a->rec.n;
}

static bool step_by_step(const nnr_program *p)
{
	for (int i = 0; i < p->ins; i++) {
		const struct nnr__a_template *a = p->in[i].args;
		if (strcmp(p->in[i].row->name, "template") != 0)
			continue;
		for (int k = 0; k < a->text->n; k++)
			if (!a->text->part[k].field &&
			    strstr(a->text->part[k].text, "step by step"))
				return true;
	}
	return false;
}

/* A linear head on what f gives, and nothing that is learned before it. */
static bool linear_probe(const nnr_program *p)
{
	for (int i = 0; i < p->ins; i++)
		if (strcmp(p->in[i].row->adapt, "learnable") == 0)
			return false;
	return nnr__program_step(p, "linear") != NULL;
}

bool nnr__program_pca(const nnr_program *p)
{
	for (int i = 0; i < p->ins; i++) {
		const char *name = p->in[i].row->paradigm;

		if (name && strcmp(name, "PCA") == 0)
			return true;
	}
	return linear_probe(p);
}

#define PARADIGMS 8

/* What learnable steps are called; PCA: parameter-centric adaptation. */
static int learned(const nnr_program *p, const char *out[PARADIGMS], int n)
{
	for (int i = 0; i < p->ins + p->outs && n < PARADIGMS - 4; i++) {
		const nnr__step_row *row = i < p->ins ? p->in[i].row :
					   p->out[i - p->ins].row;
		bool there = !row->paradigm || !row->adapt ||
			     strcmp(row->adapt, "learnable") != 0;

		if (row->paradigm && strcmp(row->paradigm, "PCA") == 0)
			there = false;
		for (int k = 0; k < n && !there; k++)
			there = strcmp(out[k], row->paradigm) == 0;
		if (!there)
			out[n++] = row->paradigm;
	}
	return n;
}

/* Most specific first; a program can be several. */
static int paradigms(const nnr_program *p, const char *out[PARADIGMS])
{
	bool demos = nnr__program_step(p, "demos") != NULL;
	const nnr__step *gen = nnr__program_step(p, "generate");
	int n = learned(p, out, 0);

	if (linear_probe(p))
		out[n++] = "PCA (linear probe)";
	if (gen && gen->row->ways(p, gen) > 1)
		out[n++] = "stochastic program execution (self-consistency)";
	if (nnr__program_step(p, "parse") && (worked(p) || step_by_step(p)))
		out[n++] = "chain-of-thought";
	if (demos)
		out[n++] = "in-context learning";
	if (!n)
		out[n++] = "prompt instruction";
	return n;
}

/* ---- passes ---- */

static int64_t ways(const nnr_program *p, const char *name)
{
	const nnr__step *s = nnr__program_step(p, name);

	return s ? s->row->ways(p, s) : 0;
}

static void passes_text(const nnr_program *p, nnr__buf *out)
{
	int64_t choices = ways(p, "score"), samples = ways(p, "generate");
	const nnr__step *gen = nnr__program_step(p, "generate");

	nnr__buf_adds(out, "passes per item   1 prompt");
	if (choices)
		nnr__buf_addf(out, ", %lld choices after it",
			      (long long)choices);
	if (samples) {
		const struct nnr__a_generate *a = gen->args;
		nnr__buf_addf(out, ", %lld sample%s of at most %lld tokens",
			      (long long)samples, samples == 1 ? "" : "s",
			      (long long)a->max_tokens);
	}
	nnr__buf_addc(out, '\n');
}

/* ---- the example and its prompt ---- */

/* "<text>", or a list of one such element. */
static void place_holder(const nnr_program *p, const nnr__field *f,
			 nnr__buf *out)
{
	const char *symbol = nnr__symbol_example(p, f->name, 0);

	nnr__buf_clear(out);
	if (f->type == NNR__T_LIST)
		nnr__list_made_up(f, NULL, "<>", out);
	else
		nnr__buf_addf(out, symbol ? "%s" : "<%s>",
			      symbol ? symbol : f->name);
}

static int example(const nnr_program *p, nnr__record *item, nnr_error *err)
{
	nnr__buf text = { 0 };
	int rc = 0;

	for (int i = 0; i < p->inputs && !rc; i++) {
		const char *name = p->input[i].name;
		const nnr__value *v = p->tests ? nnr__record_get(&p->test_in[0],
								 name) : NULL;
		place_holder(p, &p->input[i], &text);
		if (v)
			rc = nnr__record_set(item, name, v->text, v->len, err);
		else if (!p->tests && !text.bad)
			rc = nnr__record_set(item, name, text.p, text.len,
					     err);
	}
	if (!rc && text.bad)
		rc = nnr__fail_memory(err, "an example", text.len);
	nnr__buf_release(&text);
	return rc;
}

static int view_make(nnr__parts *v, nnr_program *p, nnr_error *err)
{
	nnr__record item = { 0 };
	int rc = example(p, &item, err);

	rc = rc ? rc : nnr__parts_of(v, p, &item, err);
	nnr__record_release(&item);
	return rc;
}

/* ---- for people ---- */

static void wrapped(nnr__buf *out, const char *head, const char *indent,
		    const char *const *item, int n)
{
	size_t col = strlen(head);

	nnr__buf_adds(out, head);
	for (int i = 0; i < n; i++) {
		size_t len = strlen(item[i]) + (i + 1 < n ? 1 : 0);
		if (i && col + 1 + len > WIDTH) {
			nnr__buf_addf(out, "\n%s", indent);
			col = strlen(indent);
		} else if (i) {
			nnr__buf_addc(out, ' ');
			col++;
		}
		nnr__buf_addf(out, "%s%s", item[i], i + 1 < n ? "," : "");
		col += len;
	}
	nnr__buf_addc(out, '\n');
}

static void field_text(nnr__buf *out, const char *head, const nnr__field *f)
{
	static const char *const types[] = { "string", "int", "number",
					     "bool" };
	nnr__buf line = { 0 };
	char list[160];

	nnr__buf_addf(&line, "%-10s%.40s: ", head, f->name);
	if (f->type == NNR__T_LABEL)
		wrapped(out, line.p ? line.p : "", "          ",
			(const char *const *)f->labels.s, f->labels.n);
	else if (f->type == NNR__T_LIST)
		nnr__buf_addf(out, "%s%s\n", line.p ? line.p : "",
			      nnr__type_text(f, list, sizeof(list)));
	else
		nnr__buf_addf(out, "%s%s%s\n", line.p ? line.p : "",
			      types[f->type], f->optional ? "?" : "");
	nnr__buf_release(&line);
}

static const char *alignment(const nnr__step *s)
{
	const char *a = s->row->alignment_of ? s->row->alignment_of(s)
					     : s->row->alignment;
	return a ? a : "";
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static void step_text(nnr__buf *out, const nnr__step *s)
{
	static const char *const whens[] = { "", " (train)", " (run)" };
	const nnr__step_row *r = s->row;
	nnr__buf name = { 0 };

	nnr__buf_adds(&name, s->id);
	if (strcmp(s->id, r->name) != 0)
		nnr__buf_addf(&name, " = %s", r->name);
	nnr__buf_adds(&name, whens[s->when]);
	if (r->input)
		nnr__buf_addf(out, "  %-24.60s  %-10s%-12s%s\n",
			      or_empty(name.p), or_empty(r->location),
			      or_empty(r->adapt), or_empty(r->operation));
	else
		nnr__buf_addf(out, "  %-24.60s  alignment %s\n",
			      or_empty(name.p), alignment(s));
	nnr__buf_release(&name);
}

static void steps_text(const nnr_program *p, nnr__buf *out)
{
	nnr__buf_addf(out, "\n%-28s%-10s%-12s%s\n", "g_in", "location",
		      "adaptation", "operation");
	for (int i = 0; i < p->ins; i++)
		step_text(out, &p->in[i]);
	nnr__buf_addf(out, "f\n  %.70s, frozen\ng_out\n", p->model_ref);
	for (int i = 0; i < p->outs; i++)
		step_text(out, &p->out[i]);
}

/* Columns of the first bytes of s that fit in `width`, and their count. */
static void prompt_text(const nnr__parts *v, nnr__buf *out)
{
	nnr__buf_addf(out, "\nprompt of %s",
		      v->p->tests ? "the first test" : "an example");
	if (v->bound)
		nnr__buf_addf(out, ": %zu tokens", v->ids.n);
	nnr__buf_addc(out, '\n');
	nnr__parts_text(v, LINES_MAX, out);
}

static void show_text(const nnr__parts *v, nnr__buf *out)
{
	const nnr_program *p = v->p;
	const char *name[PARADIGMS];
	int n = paradigms(p, name);

	nnr__buf_addf(out, "%.70s\n", p->name);
	wrapped(out, "paradigm  ", "          ", name, n);
	for (int i = 0; i < p->inputs; i++)
		field_text(out, i ? "" : "input", &p->input[i]);
	field_text(out, "output", &p->output);
	steps_text(p, out);
	nnr__buf_addc(out, '\n');
	passes_text(p, out);
	if (v->bound)
		nnr__buf_addf(out, "constant tokens   the first %d of every "
			      "prompt, compiled once\n", p->prefix_tokens);
	nnr__buf_addf(out, "program hash      %.16s...\n", p->hash);
	prompt_text(v, out);
}

/* ---- JSON ---- */

static void json_text(nnr__buf *out, const char *key, const char *value)
{
	nnr__buf_addf(out, "\"%s\":", key);
	if (value && *value)
		nnr__buf_add_json(out, value, strlen(value));
	else
		nnr__buf_adds(out, "null");
}

static void json_names(nnr__buf *out, const nnr__strings *v)
{
	nnr__buf_addc(out, '[');
	for (int i = 0; i < v->n; i++) {
		nnr__buf_adds(out, i ? "," : "");
		nnr__buf_add_json(out, v->s[i], strlen(v->s[i]));
	}
	nnr__buf_addc(out, ']');
}

static void json_field(nnr__buf *out, const nnr__field *f)
{
	static const char *const types[] = { "string", "int", "number",
					     "bool" };

	nnr__buf_add_json(out, f->name, strlen(f->name));
	nnr__buf_addc(out, ':');
	if (f->type == NNR__T_LABEL) {
		json_names(out, &f->labels);
	} else if (f->type == NNR__T_LIST) {
		nnr__buf_adds(out, "{\"list\":");
		json_names(out, &f->parts);
		nnr__buf_addc(out, '}');
	} else {
		nnr__buf_addf(out, "\"%s%s\"", types[f->type],
			      f->optional ? "?" : "");
	}
}

static void json_step(nnr__buf *out, const nnr__step *s)
{
	static const char *const whens[] = { "always", "train", "run" };
	const nnr__step_row *r = s->row;

	nnr__buf_addc(out, '{');
	json_text(out, "id", s->id);
	nnr__buf_addc(out, ',');
	json_text(out, "step", r->name);
	nnr__buf_addf(out, ",\"side\":\"%s\",\"when\":\"%s\",",
		      r->input ? "in" : "out", whens[s->when]);
	json_text(out, "location", r->location);
	nnr__buf_addc(out, ',');
	json_text(out, "adaptation", r->adapt);
	nnr__buf_addc(out, ',');
	json_text(out, "operation", r->operation);
	nnr__buf_addc(out, ',');
	json_text(out, "alignment", alignment(s));
	nnr__buf_addc(out, ',');
	json_text(out, "needs", r->needs);
	nnr__buf_addc(out, '}');
}

static void show_json(const nnr__parts *v, nnr__buf *out)
{
	const nnr_program *p = v->p;
	const char *name[PARADIGMS];
	int n = paradigms(p, name);

	nnr__buf_addc(out, '{');
	json_text(out, "name", p->name);
	nnr__buf_addc(out, ',');
	json_text(out, "model", p->model_ref);
	nnr__buf_addc(out, ',');
	json_text(out, "hash", p->hash);
	nnr__buf_adds(out, ",\"paradigm\":[");
	for (int i = 0; i < n; i++)
		nnr__buf_addf(out, "%s\"%s\"", i ? "," : "", name[i]);
	nnr__buf_adds(out, "],\"input\":{");
	for (int i = 0; i < p->inputs; i++) {
		nnr__buf_adds(out, i ? "," : "");
		json_field(out, &p->input[i]);
	}
	nnr__buf_adds(out, "},\"output\":{");
	json_field(out, &p->output);
	nnr__buf_adds(out, "},\"steps\":[");
	for (int i = 0; i < p->ins + p->outs; i++) {
		nnr__buf_adds(out, i ? "," : "");
		json_step(out, i < p->ins ? &p->in[i] : &p->out[i - p->ins]);
	}
	nnr__buf_addf(out, "],\"passes\":{\"prompt\":1,\"choices\":%lld,"
		      "\"samples\":%lld}", (long long)ways(p, "score"),
		      (long long)ways(p, "generate"));
	nnr__buf_adds(out, ",\"prompt\":");
	nnr__parts_json(v, out);
	nnr__buf_addc(out, '}');
}

int nnr__program_show(nnr_program *p, bool json, nnr__buf *out,
		      nnr_error *err)
{
	nnr__parts v = { 0 };
	nnr_error local;
	int rc = view_make(&v, p, err ? err : &local);

	if (!rc && json)
		show_json(&v, out);
	else if (!rc)
		show_text(&v, out);
	nnr__parts_release(&v);
	if (!rc && out->bad)
		rc = nnr__fail_memory(err, "show", out->len);
	return rc;
}
