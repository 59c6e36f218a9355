/* SPDX-License-Identifier: Apache-2.0
 *
 * eval: answers beside their targets -> figures -> a report.
 *
 * A tally takes one outcome an item, in any order, and keeps counts and
 * sums only.  Figures that are not defined for a task (no scores, no labels)
 * are NaN and become null in JSON.  Definitions stand in metric.c.
 */
#ifndef NNR_EVAL_H
#define NNR_EVAL_H

#include "base/base.h"
#include "eval/texts.h"
#include "program/program.h"

#define NNR__ECE_BINS 15

/* ---- figures (metric.c) ---- */

/* hits of n, with the Wilson interval at 95 %. */
typedef struct nnr__rate {
	int hits, n;
	double value, low, high;	/* NaN when n is 0 */
} nnr__rate;
nnr__rate nnr__rate_of(int hits, int n);

typedef struct nnr__outcome {
	int target, label;	/* label indices; -1: none */
	bool right;
	int samples, unread;	/* generated; without a value to be read */
	double agreement;	/* NaN: one answer only */
	const double *score;	/* natural-log score per label, or NULL */
} nnr__outcome;

typedef struct nnr__tally {
	int labels;		/* 0: the output is not a label */
	int items, hits, scored, agreed;
	int samples, unread;
	double nll, brier, agreement;
	int *confusion;		/* target x (prediction, then none) */
	struct {
		int items, hits;
		double confidence;
	} bin[NNR__ECE_BINS];
} nnr__tally;
int nnr__tally_init(nnr__tally *t, int labels, nnr_error *err);
void nnr__tally_add(nnr__tally *t, const nnr__outcome *o);
void nnr__tally_release(nnr__tally *t);

double nnr__macro_f1(const nnr__tally *t);
double nnr__nll(const nnr__tally *t);
double nnr__brier(const nnr__tally *t);
double nnr__ece(const nnr__tally *t);
double nnr__agreement(const nnr__tally *t);

/* Reads all of s as a number; commas in it are passed over. */
bool nnr__number_of(const char *s, double *v);
/* True when an answer gives the target: labels and strings by their text
 * (spaces around it aside), numbers by value, "70,000" being 70000. */
bool nnr__same_value(nnr__type type, const char *a, const char *b);
/* The same for any of several targets; answer NULL is none. */
bool nnr__same_any(nnr__type type, const nnr__strings *target,
		   const char *answer);
/* The value that most of the n texts have (the first met among equals), by
 * nnr__same_value's text rule; its count in *count.  NULL when n is 0. */
const char *nnr__most_common(const char *const *text, int n, int *count);

/* ---- two programs on the same items (paired.c) ---- */
typedef struct nnr__paired {
	int n, only_a, only_b;	/* right in one of them only */
	double p;		/* exact McNemar, two-sided */
	double difference, low, high;	/* b less a; 95 % */
} nnr__paired;
nnr__paired nnr__paired_of(const bool *a, const bool *b, int n);

/* ---- the report: also the run record (report.c, table.c) ---- */
typedef struct nnr__report {
	const char *program, *program_hash;
	const char *rebound;		/* hash of the backbone it was made on,
					   if it ran on another; or NULL */
	bool untrained;			/* with tensors as they begin */
	const nnr__strings *set;	/* overrides */
	const char *model, *model_hash;	/* reference as written, SHA-256 */
	const char *data, *data_hash;	/* file name without folder */
	const char *const *where;	/* FIELD=VALUE */
	int wheres;
	const char *columns;		/* NULL: not given */
	int64_t limit, sample;		/* 0: not given */
	int64_t sample_seed;
	const char *mode, *cpu, *features, *kernel;
	int threads;
	const nnr__field *output;
	const nnr__tally *tally;
	const nnr__text_scores *texts;	/* output a text; else NULL */
	int references;
	const char *majority;		/* the most common target; of a list
					   its first counts */
	int majority_hits;
	uint64_t prompt_tokens, shared_tokens, made_tokens;
	double seconds;
	size_t peak_bytes;
} nnr__report;

/* What its main figure is called: "accuracy" or "exact_match". */
const char *nnr__report_measure(const nnr__report *r);
/* One JSON document.  No absolute path, no time stamp. */
void nnr__report_json(const nnr__report *r, nnr__buf *out);
/* The same for people, at most 80 columns wide. */
void nnr__report_text(const nnr__report *r, nnr__buf *out);

/* ---- members of a JSON object that is being written (report.c) ---- */
void nnr__json_key(nnr__buf *b, const char *name);
void nnr__json_text(nnr__buf *b, const char *name, const char *s);
void nnr__json_number(nnr__buf *b, const char *name, double v);
void nnr__json_integer(nnr__buf *b, const char *name, int64_t v);
void nnr__json_list(nnr__buf *b, const char *name, const char *const *s,
		    int n);
/* {"value","low","high","hits","n"} */
void nnr__json_rate(nnr__buf *b, const char *name, nnr__rate r);
void nnr__json_open(nnr__buf *b, const char *name);
void nnr__json_shut(nnr__buf *b);

/* One line of a predictions file.  list: the targets are written as one. */
void nnr__prediction_line(int item, const nnr__field *f,
			  const nnr__strings *target, bool list,
			  const nnr__answer *a, nnr__buf *out);
/* {LABEL: score, ...} in the order of the field's labels. */
void nnr__scores_json(const nnr__field *f, const double *score, int n,
		      nnr__buf *out);
/* A value of the field's type as JSON; NULL gives null. */
void nnr__value_json(nnr__type type, const char *text, nnr__buf *out);

#endif
