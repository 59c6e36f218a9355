/* SPDX-License-Identifier: Apache-2.0
 *
 * resolved.c: every parameter of a program's steps with its value and where
 * it came from: a line of the source, a --set, or the table's default.
 */
#include "program/learn.h"
#include "step.h"

#include <string.h>

/* ---- values ---- */

static void template_value(const nnr__template *t, nnr__buf *out)
{
	nnr__buf text = { 0 };

	for (int i = 0; i < t->n; i++) {
		const nnr__tpart *part = &t->part[i];
		if (part->field) {
			nnr__buf_addf(&text, "{%s}", part->text);
			continue;
		}
		for (size_t k = 0; k < part->len; k++) {
			char c = part->text[k];
			nnr__buf_addc(&text, c);
			if (c == '{' || c == '}')
				nnr__buf_addc(&text, c);
		}
	}
	nnr__buf_add_json(out, text.p ? text.p : "", text.len);
	nnr__buf_release(&text);
}

static void text_value(const char *s, nnr__buf *out)
{
	if (s)
		nnr__buf_add_json(out, s, strlen(s));
	else
		nnr__buf_adds(out, "null");
}

static void strings_value(const nnr__strings *v, nnr__buf *out)
{
	nnr__buf_addc(out, '[');
	for (int i = 0; i < v->n; i++) {
		nnr__buf_adds(out, i ? ", " : "");
		text_value(v->s[i], out);
	}
	nnr__buf_addc(out, ']');
}

static void pairs_value(const nnr__pairs *v, nnr__buf *out)
{
	nnr__buf_addc(out, '{');
	for (int i = 0; i < v->n; i++) {
		nnr__buf_adds(out, i ? ", " : "");
		text_value(v->p[i].key, out);
		nnr__buf_adds(out, ": ");
		text_value(v->p[i].value, out);
	}
	nnr__buf_addc(out, '}');
}

/* A value as JSON; null: not given and no default. */
static void value_json(const nnr__step *s, const nnr__param *q, nnr__buf *out)
{
	const void *at = (const char *)s->args + q->at;
	int e;

	switch (q->type) {
	case NNR__P_STRING:
	case NNR__P_FILE:
		text_value(*(char *const *)at, out);
		break;
	case NNR__P_TEMPLATE:
		if (*(nnr__template *const *)at)
			template_value(*(nnr__template *const *)at, out);
		else
			nnr__buf_adds(out, "null");
		break;
	case NNR__P_INT:
		nnr__buf_addf(out, "%lld", (long long)*(const int64_t *)at);
		break;
	case NNR__P_NUMBER:
		nnr__buf_add_num(out, *(const double *)at);
		break;
	case NNR__P_BOOL:
		nnr__buf_adds(out, *(const bool *)at ? "true" : "false");
		break;
	case NNR__P_ENUM:
		e = *(const int *)at;
		text_value(e < 0 ? NULL : q->names[e], out);
		break;
	case NNR__P_STRINGS:
		strings_value(at, out);
		break;
	case NNR__P_MAP:
		pairs_value(at, out);
		break;
	case NNR__P_OWN:
		q->own->json(at, out);
		break;
	}
}

static void origin(const nnr_program *p, nnr__place at, nnr__buf *out)
{
	if (at.line)
		nnr__buf_addf(out, "line %u", at.line);
	else if (at.col && (int)at.col <= p->set.n)
		nnr__buf_adds(out, "--set");
	else
		nnr__buf_adds(out, "default");
}

/* ---- the lists ---- */

#define VALUE_WIDTH 45

/* At most VALUE_WIDTH columns of a value, then "...". */
static void cut_value(const nnr__buf *v, nnr__buf *out)
{
	size_t at = 0, len, cols = 0;

	while (at < v->len && cols < VALUE_WIDTH) {
		nnr__utf8_next(v->p + at, v->len - at, &len);
		at += len;
		cols++;
	}
	if (at < v->len) {
		for (; cols > VALUE_WIDTH - 3; cols--)
			do
				at--;
			while (at && (v->p[at] & 0xc0) == 0x80);
		nnr__buf_add(out, v->p, at);
		nnr__buf_adds(out, "...");
		cols += 3;
	} else {
		nnr__buf_add(out, v->p ? v->p : "", v->len);
	}
	for (; cols < VALUE_WIDTH; cols++)
		nnr__buf_addc(out, ' ');
}

static void step_params(const nnr_program *p, const nnr__step *s, bool json,
			nnr__buf *out)
{
	const nnr__param *list = s->row->param;

	for (int i = 0; list[i].name; i++) {
		nnr__buf value = { 0 };
		value_json(s, &list[i], &value);
		if (json) {
			nnr__buf_addf(out, "%s\"%s\":{\"value\":%s,"
				      "\"from\":\"", i ? "," : "",
				      list[i].name, value.p);
			origin(p, s->given[i], out);
			nnr__buf_adds(out, "\"}");
		} else {
			nnr__buf_addf(out, "  %-14s ", list[i].name);
			cut_value(&value, out);
			nnr__buf_addc(out, ' ');
			origin(p, s->given[i], out);
			nnr__buf_addc(out, '\n');
		}
		nnr__buf_release(&value);
	}
}

void nnr__step_json(const nnr__step *s, nnr__buf *out)
{
	nnr__buf_addc(out, '{');
	for (int i = 0; s->row->param[i].name; i++) {
		nnr__buf_addf(out, "%s\"%s\":", i ? "," : "",
			      s->row->param[i].name);
		value_json(s, &s->row->param[i], out);
	}
	nnr__buf_addc(out, '}');
}

/* It has tensors that are learned, as far as its parameters say. */
static bool may_learn(const nnr__step *s)
{
	if (!s->row->tensors)
		return false;
	for (const nnr__param *q = s->row->param; q->name; q++)
		if (strcmp(q->name, "learn") == 0 && q->type == NNR__P_BOOL)
			return *(const bool *)((const char *)s->args + q->at);
	return true;
}

bool nnr__program_trains(const nnr_program *p)
{
	for (int i = 0; i < p->ins + p->outs; i++) {
		const nnr__step *s = i < p->ins ? &p->in[i]
						: &p->out[i - p->ins];
		if (may_learn(s))
			return true;
	}
	return p->train->key.place.line || p->train->key.place.col;
}

static void resolved_json(const nnr_program *p, nnr__buf *out)
{
	nnr__buf_adds(out, "{\"name\":");
	text_value(p->name, out);
	nnr__buf_adds(out, ",\"steps\":[");
	for (int i = 0; i < p->ins + p->outs; i++) {
		const nnr__step *s = i < p->ins ? &p->in[i]
						: &p->out[i - p->ins];
		nnr__buf_addf(out, "%s{\"id\":", i ? "," : "");
		text_value(s->id, out);
		nnr__buf_addf(out, ",\"step\":\"%s\",\"params\":{",
			      s->row->name);
		step_params(p, s, true, out);
		nnr__buf_adds(out, "}}");
	}
	nnr__buf_adds(out, "],\"train\":{");
	step_params(p, &p->train->key, true, out);
	nnr__buf_adds(out, "},\"set\":");
	strings_value(&p->set, out);
	nnr__buf_addc(out, '}');
}

static void resolved_text(const nnr_program *p, nnr__buf *out)
{
	nnr__buf_addf(out, "%.70s\n", p->name);
	for (int i = 0; i < p->ins + p->outs; i++) {
		const nnr__step *s = i < p->ins ? &p->in[i]
						: &p->out[i - p->ins];
		nnr__buf_addf(out, "%s.%.60s\n", s->row->input ? "in" : "out",
			      s->id);
		step_params(p, s, false, out);
	}
	if (nnr__program_trains(p)) {
		nnr__buf_adds(out, "train\n");
		step_params(p, &p->train->key, false, out);
	}
	for (int i = 0; i < p->set.n; i++)
		nnr__buf_addf(out, "--set %.70s\n", p->set.s[i]);
}

int nnr__program_resolved(nnr_program *p, bool json, nnr__buf *out,
			  nnr_error *err)
{
	if (json)
		resolved_json(p, out);
	else
		resolved_text(p, out);
	return out->bad ? nnr__fail_memory(err, "show", out->len) : 0;
}
