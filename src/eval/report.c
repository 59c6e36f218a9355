/* SPDX-License-Identifier: Apache-2.0
 *
 * report.c: an evaluation as JSON: the report of `nnr eval --json`, which is
 * the run record too, and the lines of a predictions file.  Keys stand in a
 * fixed order; nothing in it depends on the place or the hour of the run
 * except seconds and memory.
 */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

static void key(nnr__buf *b, const char *name)
{
	char last = b->len ? b->p[b->len - 1] : '{';

	if (last != '{')
		nnr__buf_addc(b, ',');
	nnr__buf_add_json(b, name, strlen(name));
	nnr__buf_addc(b, ':');
}

static void text(nnr__buf *b, const char *name, const char *s)
{
	key(b, name);
	nnr__buf_add_json(b, s, strlen(s));
}

static void number(nnr__buf *b, const char *name, double v)
{
	key(b, name);
	nnr__buf_add_num(b, v);
}

static void integer(nnr__buf *b, const char *name, int64_t v)
{
	key(b, name);
	nnr__buf_addf(b, "%lld", (long long)v);
}

static void open(nnr__buf *b, const char *name)
{
	key(b, name);
	nnr__buf_addc(b, '{');
}

static void shut(nnr__buf *b)
{
	nnr__buf_addc(b, '}');
}

void nnr__value_json(nnr__type type, const char *value, nnr__buf *out)
{
	double v;

	if (!value)
		nnr__buf_adds(out, "null");
	else if ((type == NNR__T_INT || type == NNR__T_NUMBER) &&
		 nnr__number_of(value, &v) && isfinite(v))
		nnr__buf_add_num(out, v);
	else if (type == NNR__T_BOOL && strcmp(value, "yes") == 0)
		nnr__buf_adds(out, "true");
	else if (type == NNR__T_BOOL && strcmp(value, "no") == 0)
		nnr__buf_adds(out, "false");
	else
		nnr__buf_add_json(out, value, strlen(value));
}

void nnr__scores_json(const nnr__field *f, const double *score, int n,
		      nnr__buf *out)
{
	nnr__buf_addc(out, '{');
	for (int c = 0; c < n && c < f->labels.n; c++)
		number(out, f->labels.s[c], score[c]);
	nnr__buf_addc(out, '}');
}

void nnr__prediction_line(int item, const nnr__field *f, const char *target,
			  const nnr__answer *a, nnr__buf *out)
{
	nnr__buf_addf(out, "{\"item\":%d,\"target\":", item);
	nnr__value_json(f->type, target, out);
	nnr__buf_adds(out, ",\"prediction\":");
	nnr__value_json(f->type, a->value, out);
	if (a->scores > 0) {
		nnr__buf_adds(out, ",\"scores\":");
		nnr__scores_json(f, a->score, a->scores, out);
	}
	nnr__buf_adds(out, "}\n");
}

static void rate(nnr__buf *b, const char *name, nnr__rate r)
{
	open(b, name);
	number(b, "value", r.value);
	number(b, "low", r.low);
	number(b, "high", r.high);
	integer(b, "hits", r.hits);
	integer(b, "n", r.n);
	shut(b);
}

static void put_list(nnr__buf *b, const char *name, const char *const *s,
		     int n)
{
	key(b, name);
	nnr__buf_addc(b, '[');
	for (int i = 0; i < n; i++) {
		nnr__buf_adds(b, i ? "," : "");
		nnr__buf_add_json(b, s[i], strlen(s[i]));
	}
	nnr__buf_addc(b, ']');
}

static void put_program(const nnr__report *r, nnr__buf *b)
{
	open(b, "program");
	text(b, "name", r->program);
	text(b, "hash", r->program_hash);
	put_list(b, "set", (const char *const *)r->set->s, r->set->n);
	shut(b);
}

static void put_data(const nnr__report *r, nnr__buf *b)
{
	open(b, "data");
	text(b, "file", r->data);
	text(b, "hash", r->data_hash);
	integer(b, "items", r->tally->items);
	if (r->columns)
		text(b, "columns", r->columns);
	if (r->wheres)
		put_list(b, "where", r->where, r->wheres);
	if (r->limit)
		integer(b, "limit", r->limit);
	if (r->sample) {
		integer(b, "sample", r->sample);
		integer(b, "sample_seed", r->sample_seed);
	}
	shut(b);
}

static void put_confusion(const nnr__report *r, nnr__buf *b)
{
	int n = r->tally->labels;

	open(b, "confusion");
	key(b, "labels");
	for (int c = 0; c < n; c++) {
		const char *name = r->output->labels.s[c];
		nnr__buf_addc(b, c ? ',' : '[');
		nnr__buf_add_json(b, name, strlen(name));
	}
	nnr__buf_addc(b, ']');
	key(b, "rows");		/* targets; the last column: no answer */
	for (int c = 0; c < n; c++) {
		nnr__buf_addc(b, c ? ',' : '[');
		for (int o = 0; o <= n; o++)
			nnr__buf_addf(b, "%c%d", o ? ',' : '[',
				      r->tally->confusion[c * (n + 1) + o]);
		nnr__buf_addc(b, ']');
	}
	nnr__buf_addc(b, ']');
	shut(b);
}

static void put_results(const nnr__report *r, nnr__buf *b)
{
	const nnr__tally *t = r->tally;

	open(b, "results");
	rate(b, nnr__report_measure(r), nnr__rate_of(t->hits, t->items));
	open(b, "majority");
	key(b, "answer");
	nnr__value_json(r->output->type, r->majority, b);
	rate(b, nnr__report_measure(r),
	     nnr__rate_of(r->majority_hits, t->items));
	shut(b);
	if (t->samples)
		rate(b, "parse_failures",
		     nnr__rate_of(t->unread, t->samples));
	if (t->agreed)
		number(b, "agreement", nnr__agreement(t));
	if (t->labels) {
		number(b, "macro_f1", nnr__macro_f1(t));
		if (t->scored) {
			number(b, "nll", nnr__nll(t));
			number(b, "brier", nnr__brier(t));
			number(b, "ece", nnr__ece(t));
		}
		put_confusion(r, b);
	}
	shut(b);
}

const char *nnr__report_measure(const nnr__report *r)
{
	return r->tally->labels || r->output->type == NNR__T_BOOL ? "accuracy"
							   : "exact_match";
}

void nnr__report_json(const nnr__report *r, nnr__buf *b)
{
	nnr__buf_addc(b, '{');
	text(b, "nnr", NNR_VERSION);
	put_program(r, b);
	open(b, "model");
	text(b, "name", r->model);
	text(b, "hash", r->model_hash);
	shut(b);
	put_data(r, b);
	put_results(r, b);
	open(b, "machine");
	text(b, "mode", r->mode);
	text(b, "cpu", r->cpu);
	text(b, "features", r->features);
	text(b, "kernel", r->kernel);
	integer(b, "threads", r->threads);
	shut(b);
	open(b, "cost");
	integer(b, "prompt_tokens", (int64_t)r->prompt_tokens);
	integer(b, "shared_tokens", (int64_t)r->shared_tokens);
	integer(b, "made_tokens", (int64_t)r->made_tokens);
	number(b, "seconds", r->seconds);
	integer(b, "peak_bytes", (int64_t)r->peak_bytes);
	shut(b);
	nnr__buf_adds(b, "}\n");
}
