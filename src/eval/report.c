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

void nnr__json_key(nnr__buf *b, const char *name)
{
	char last = b->len ? b->p[b->len - 1] : '{';

	if (last != '{')
		nnr__buf_addc(b, ',');
	nnr__buf_add_json(b, name, strlen(name));
	nnr__buf_addc(b, ':');
}

void nnr__json_text(nnr__buf *b, const char *name, const char *s)
{
	nnr__json_key(b, name);
	nnr__buf_add_json(b, s, strlen(s));
}

void nnr__json_number(nnr__buf *b, const char *name, double v)
{
	nnr__json_key(b, name);
	nnr__buf_add_num(b, v);
}

void nnr__json_integer(nnr__buf *b, const char *name, int64_t v)
{
	nnr__json_key(b, name);
	nnr__buf_addf(b, "%lld", (long long)v);
}

void nnr__json_open(nnr__buf *b, const char *name)
{
	nnr__json_key(b, name);
	nnr__buf_addc(b, '{');
}

void nnr__json_shut(nnr__buf *b)
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
		nnr__json_number(out, f->labels.s[c], score[c]);
	nnr__buf_addc(out, '}');
}

void nnr__prediction_line(int item, const nnr__field *f,
			  const nnr__strings *target, bool list,
			  const nnr__answer *a, nnr__buf *out)
{
	nnr__buf_addf(out, "{\"item\":%d,\"target\":%s", item,
		      list ? "[" : "");
	for (int i = 0; i < target->n && (list || !i); i++) {
		nnr__buf_adds(out, i ? "," : "");
		nnr__value_json(f->type, target->s[i], out);
	}
	nnr__buf_adds(out, list ? "]" : "");
	nnr__buf_adds(out, ",\"prediction\":");
	nnr__value_json(f->type, a->value, out);
	if (a->scores > 0) {
		nnr__buf_adds(out, ",\"scores\":");
		nnr__scores_json(f, a->score, a->scores, out);
	}
	nnr__buf_adds(out, "}\n");
}

void nnr__json_rate(nnr__buf *b, const char *name, nnr__rate r)
{
	nnr__json_open(b, name);
	nnr__json_number(b, "value", r.value);
	nnr__json_number(b, "low", r.low);
	nnr__json_number(b, "high", r.high);
	nnr__json_integer(b, "hits", r.hits);
	nnr__json_integer(b, "n", r.n);
	nnr__json_shut(b);
}

void nnr__json_list(nnr__buf *b, const char *name, const char *const *s,
		    int n)
{
	nnr__json_key(b, name);
	nnr__buf_addc(b, '[');
	for (int i = 0; i < n; i++) {
		nnr__buf_adds(b, i ? "," : "");
		nnr__buf_add_json(b, s[i], strlen(s[i]));
	}
	nnr__buf_addc(b, ']');
}

static void put_program(const nnr__report *r, nnr__buf *b)
{
	nnr__json_open(b, "program");
	nnr__json_text(b, "name", r->program);
	nnr__json_text(b, "hash", r->program_hash);
	nnr__json_list(b, "set", (const char *const *)r->set->s, r->set->n);
	if (r->rebound)
		nnr__json_text(b, "rebound", r->rebound);
	if (r->untrained) {
		nnr__json_key(b, "untrained");
		nnr__buf_adds(b, "true");
	}
	nnr__json_shut(b);
}

static void put_data(const nnr__report *r, nnr__buf *b)
{
	nnr__json_open(b, "data");
	nnr__json_text(b, "file", r->data);
	nnr__json_text(b, "hash", r->data_hash);
	nnr__json_integer(b, "items", r->tally->items);
	if (r->columns)
		nnr__json_text(b, "columns", r->columns);
	if (r->wheres)
		nnr__json_list(b, "where", r->where, r->wheres);
	if (r->limit)
		nnr__json_integer(b, "limit", r->limit);
	if (r->sample) {
		nnr__json_integer(b, "sample", r->sample);
		nnr__json_integer(b, "sample_seed", r->sample_seed);
	}
	nnr__json_shut(b);
}

static void put_confusion(const nnr__report *r, nnr__buf *b)
{
	int n = r->tally->labels;

	nnr__json_open(b, "confusion");
	nnr__json_key(b, "labels");
	for (int c = 0; c < n; c++) {
		const char *name = r->output->labels.s[c];
		nnr__buf_addc(b, c ? ',' : '[');
		nnr__buf_add_json(b, name, strlen(name));
	}
	nnr__buf_addc(b, ']');
	nnr__json_key(b, "rows");	/* targets; last column: no answer */
	for (int c = 0; c < n; c++) {
		nnr__buf_addc(b, c ? ',' : '[');
		for (int o = 0; o <= n; o++)
			nnr__buf_addf(b, "%c%d", o ? ',' : '[',
				      r->tally->confusion[c * (n + 1) + o]);
		nnr__buf_addc(b, ']');
	}
	nnr__buf_addc(b, ']');
	nnr__json_shut(b);
}

static void put_interval(nnr__buf *b, const nnr__interval *v)
{
	nnr__json_number(b, "value", v->value);
	nnr__json_number(b, "low", v->low);
	nnr__json_number(b, "high", v->high);
}

static void put_texts(const nnr__report *r, nnr__buf *b)
{
	const nnr__text_scores *s = r->texts;

	nnr__json_open(b, "bleu");
	put_interval(b, &s->bleu);
	nnr__json_key(b, "precisions");
	for (int n = 0; n < NNR__BLEU_N; n++) {
		nnr__buf_addc(b, n ? ',' : '[');
		nnr__buf_add_num(b, s->parts.precision[n]);
	}
	nnr__buf_addc(b, ']');
	nnr__json_number(b, "brevity_penalty", s->parts.brevity);
	nnr__json_integer(b, "words", s->counts.words);
	nnr__json_integer(b, "reference_words", s->counts.reference);
	nnr__json_shut(b);
	nnr__json_open(b, "rouge_l");
	put_interval(b, &s->rouge_l);
	nnr__json_shut(b);
	nnr__json_integer(b, "references", r->references);
	nnr__json_integer(b, "resamples", s->resamples);
}

static void put_results(const nnr__report *r, nnr__buf *b)
{
	const nnr__tally *t = r->tally;

	nnr__json_open(b, "results");
	nnr__json_rate(b, nnr__report_measure(r),
		       nnr__rate_of(t->hits, t->items));
	nnr__json_open(b, "majority");
	nnr__json_key(b, "answer");
	nnr__value_json(r->output->type, r->majority, b);
	nnr__json_rate(b, nnr__report_measure(r),
		       nnr__rate_of(r->majority_hits, t->items));
	nnr__json_shut(b);
	if (t->samples)
		nnr__json_rate(b, "parse_failures",
			       nnr__rate_of(t->unread, t->samples));
	if (t->agreed)
		nnr__json_number(b, "agreement", nnr__agreement(t));
	if (t->labels) {
		nnr__json_number(b, "macro_f1", nnr__macro_f1(t));
		if (t->scored) {
			nnr__json_number(b, "nll", nnr__nll(t));
			nnr__json_number(b, "brier", nnr__brier(t));
			nnr__json_number(b, "ece", nnr__ece(t));
		}
		put_confusion(r, b);
	}
	if (r->texts)
		put_texts(r, b);
	nnr__json_shut(b);
}

const char *nnr__report_measure(const nnr__report *r)
{
	return r->tally->labels || r->output->type == NNR__T_BOOL ? "accuracy"
							   : "exact_match";
}

void nnr__report_json(const nnr__report *r, nnr__buf *b)
{
	nnr__buf_addc(b, '{');
	nnr__json_text(b, "nnr", NNR_VERSION);
	put_program(r, b);
	nnr__json_open(b, "model");
	nnr__json_text(b, "name", r->model);
	nnr__json_text(b, "hash", r->model_hash);
	nnr__json_shut(b);
	put_data(r, b);
	put_results(r, b);
	nnr__json_open(b, "machine");
	nnr__json_text(b, "mode", r->mode);
	nnr__json_text(b, "cpu", r->cpu);
	nnr__json_text(b, "features", r->features);
	nnr__json_text(b, "kernel", r->kernel);
	nnr__json_integer(b, "threads", r->threads);
	nnr__json_shut(b);
	nnr__json_open(b, "cost");
	nnr__json_integer(b, "prompt_tokens", (int64_t)r->prompt_tokens);
	nnr__json_integer(b, "shared_tokens", (int64_t)r->shared_tokens);
	nnr__json_integer(b, "made_tokens", (int64_t)r->made_tokens);
	nnr__json_number(b, "seconds", r->seconds);
	nnr__json_integer(b, "peak_bytes", (int64_t)r->peak_bytes);
	nnr__json_shut(b);
	nnr__buf_adds(b, "}\n");
}
