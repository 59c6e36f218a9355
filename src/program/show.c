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

/* Most specific first; a program can be several. */
static int paradigms(const nnr_program *p, const char *out[4])
{
	bool demos = nnr__program_step(p, "demos") != NULL;
	const nnr__step *gen = nnr__program_step(p, "generate");
	int n = 0;

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

static int example(const nnr_program *p, nnr__record *item, nnr_error *err)
{
	char text[80];
	int rc = 0;

	for (int i = 0; i < p->inputs && !rc; i++) {
		const char *name = p->input[i].name;
		const nnr__value *v = p->tests ? nnr__record_get(&p->test_in[0],
								 name) : NULL;
		snprintf(text, sizeof(text), "<%s>", name);
		if (v)
			rc = nnr__record_set(item, name, v->text, v->len, err);
		else if (!p->tests)
			rc = nnr__record_set(item, name, text, strlen(text),
					     err);
	}
	return rc;
}

/* A run of pieces of one step, and its tokens when they are known. */
struct part {
	const char *id;
	nnr__buf text;
	int from, to;		/* token positions, [from, to) */
	bool varies;
};

struct view {
	nnr_program *p;
	nnr__prompt prompt;
	nnr__ids ids;
	struct part *part;
	size_t n, cap;
	bool bound;
};

static struct part *last_part(struct view *v, const char *id)
{
	if (v->n && strcmp(v->part[v->n - 1].id, id) == 0)
		return &v->part[v->n - 1];
	if (!nnr__grow(&v->part, &v->cap, v->n, sizeof(*v->part)))
		return NULL;
	v->part[v->n].id = id;
	return &v->part[v->n++];
}

static bool gather(struct view *v)
{
	for (size_t i = 0; i < v->prompt.n; i++) {
		const nnr__piece_of *o = &v->prompt.piece[i];
		struct part *part = last_part(v, o->part ? o->part : "");
		const char *s;
		size_t n = o->len;
		if (!part)
			return false;
		if (o->token >= 0)
			s = nnr__tok_bytes(v->p->model->tok, o->token, true,
					   &n);
		else
			s = v->prompt.text.p ? v->prompt.text.p + o->start
					     : "";
		nnr__buf_add(&part->text, s, n);
		part->varies = part->varies || o->varies;
	}
	return true;
}

/* A token belongs to the part that its first byte comes from. */
static void place_tokens(struct view *v)
{
	const nnr__tok *tok = v->p->model->tok;
	size_t at = nnr__tok_add_bos(tok) ? 1 : 0, in = 0, n;
	size_t left = v->n ? v->part[0].text.len : 0;

	for (size_t i = 0; i < v->n; i++)
		v->part[i].from = v->part[i].to = -1;
	for (; at < v->ids.n && in < v->n; at++) {
		struct part *part;
		while (!left && in + 1 < v->n)
			left = v->part[++in].text.len;
		part = &v->part[in];
		if (part->from < 0)
			part->from = (int)at;
		part->to = (int)at + 1;
		nnr__tok_bytes(tok, v->ids.id[at], true, &n);
		while (n > left && in + 1 < v->n) {
			n -= left;
			left = v->part[++in].text.len;
		}
		left -= n < left ? n : left;
	}
}

static void view_release(struct view *v)
{
	for (size_t i = 0; i < v->n; i++)
		nnr__buf_release(&v->part[i].text);
	free(v->part);
	nnr__ids_release(&v->ids);
	nnr__prompt_release(&v->prompt);
}

static int view_make(struct view *v, nnr_program *p, nnr_error *err)
{
	nnr__record item = { 0 };
	int rc = example(p, &item, err);

	v->p = p;
	v->bound = p->engine != NULL;
	rc = rc ? rc : nnr__program_render(p, &item, &v->prompt, err);
	if (!rc && v->bound)
		rc = nnr__prompt_encode(p->model->tok, &v->prompt, &v->ids,
					err);
	if (!rc && !gather(v))
		rc = nnr__fail_memory(err, "a prompt", v->prompt.n);
	if (!rc && v->bound)
		place_tokens(v);
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

	nnr__buf_addf(&line, "%-10s%.40s: ", head, f->name);
	if (f->type == NNR__T_LABEL)
		wrapped(out, line.p ? line.p : "", "          ",
			(const char *const *)f->labels.s, f->labels.n);
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
static size_t fit_columns(const char *s, size_t n, size_t width)
{
	size_t i = 0, len, cols = 0;

	while (i < n && s[i] != '\n' && cols < width) {
		nnr__utf8_next(s + i, n - i, &len);
		i += len;
		cols++;
	}
	return i;
}

static void lines_text(nnr__buf *out, const char *s, size_t n)
{
	size_t at = 0;
	int lines = 0;

	while (at < n && lines < LINES_MAX) {
		size_t take = fit_columns(s + at, n - at, WIDTH - 4);
		nnr__buf_adds(out, take ? "  | " : "  |");
		for (size_t i = at; i < at + take; i++)
			nnr__buf_addc(out, (unsigned char)s[i] < ' ' ? ' '
								     : s[i]);
		at += take;
		if (at < n && s[at] == '\n') {
			at++;
			if (at == n)
				nnr__buf_adds(out, "\n  |");
		}
		nnr__buf_addc(out, '\n');
		lines++;
	}
	if (at < n && strspn(s + at, "\n") < n - at)
		nnr__buf_addf(out, "  | ... %zu more bytes\n", n - at);
}

static void prompt_text(const struct view *v, nnr__buf *out)
{
	nnr__buf_addf(out, "\nprompt of %s",
		      v->p->tests ? "the first test" : "an example");
	if (v->bound)
		nnr__buf_addf(out, ": %zu tokens", v->ids.n);
	nnr__buf_addc(out, '\n');
	for (size_t i = 0; i < v->n; i++) {
		const struct part *part = &v->part[i];
		nnr__buf_addf(out, "  %.40s", part->id);
		if (v->bound && part->from >= 0)
			nnr__buf_addf(out, ", tokens %d to %d", part->from,
				      part->to - 1);
		nnr__buf_adds(out, part->varies ? ", with the item\n"
						: ", constant\n");
		lines_text(out, or_empty(part->text.p), part->text.len);
	}
}

static void show_text(const struct view *v, nnr__buf *out)
{
	const nnr_program *p = v->p;
	const char *name[4];
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

static void json_field(nnr__buf *out, const nnr__field *f)
{
	static const char *const types[] = { "string", "int", "number",
					     "bool" };

	nnr__buf_add_json(out, f->name, strlen(f->name));
	nnr__buf_addc(out, ':');
	if (f->type != NNR__T_LABEL) {
		nnr__buf_addf(out, "\"%s%s\"", types[f->type],
			      f->optional ? "?" : "");
		return;
	}
	for (int i = 0; i < f->labels.n; i++) {
		nnr__buf_addc(out, i ? ',' : '[');
		nnr__buf_add_json(out, f->labels.s[i],
				  strlen(f->labels.s[i]));
	}
	nnr__buf_addc(out, ']');
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

static void json_prompt(const struct view *v, nnr__buf *out)
{
	nnr__buf_adds(out, ",\"prompt\":{");
	if (v->bound)
		nnr__buf_addf(out, "\"tokens\":%zu,\"constant_tokens\":%d,",
			      v->ids.n, v->p->prefix_tokens);
	nnr__buf_adds(out, "\"parts\":[");
	for (size_t i = 0; i < v->n; i++) {
		const struct part *part = &v->part[i];
		nnr__buf_adds(out, i ? ",{" : "{");
		json_text(out, "part", part->id);
		if (v->bound && part->from >= 0)
			nnr__buf_addf(out, ",\"from\":%d,\"to\":%d",
				      part->from, part->to);
		nnr__buf_addf(out, ",\"varies\":%s,\"text\":",
			      part->varies ? "true" : "false");
		nnr__buf_add_json(out, or_empty(part->text.p),
				  part->text.len);
		nnr__buf_addc(out, '}');
	}
	nnr__buf_adds(out, "]}");
}

static void show_json(const struct view *v, nnr__buf *out)
{
	const nnr_program *p = v->p;
	const char *name[4];
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
	json_prompt(v, out);
	nnr__buf_addc(out, '}');
}

int nnr__program_show(nnr_program *p, bool json, nnr__buf *out,
		      nnr_error *err)
{
	struct view v = { 0 };
	nnr_error local;
	int rc = view_make(&v, p, err ? err : &local);

	if (!rc && json)
		show_json(&v, out);
	else if (!rc)
		show_text(&v, out);
	view_release(&v);
	if (!rc && out->bad)
		rc = nnr__fail_memory(err, "show", out->len);
	return rc;
}
