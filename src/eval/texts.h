/* SPDX-License-Identifier: Apache-2.0
 *
 * texts.h: texts beside their references: BLEU and ROUGE-L, of a corpus with
 * intervals.  Definitions stand in text_metric.c and text_tokens.c.
 */
#ifndef NNR_TEXTS_H
#define NNR_TEXTS_H

#include "base/base.h"
#include "program/program.h"

#define NNR__BLEU_N 4

/* Words as each cuts them, appended, one space between (text_tokens.c). */
void nnr__tokens_13a(const char *s, nnr__buf *out);
void nnr__tokens_rouge(const char *s, nnr__buf *out);

/* What BLEU is made of; those of a corpus are the sums of its items'. */
typedef struct nnr__bleu_counts {
	int64_t correct[NNR__BLEU_N], total[NNR__BLEU_N];
	int64_t words, reference;	/* lengths */
} nnr__bleu_counts;
typedef struct nnr__bleu {
	double score;			/* 0 to 100, as the precisions */
	double precision[NNR__BLEU_N], brevity;
} nnr__bleu;
nnr__bleu nnr__bleu_of(const nnr__bleu_counts *c);

/* F of the best reference. */
int nnr__rouge_l(const char *said, const nnr__strings *ref, double *f,
		 nnr_error *err);

/* ---- a corpus ---- */
typedef struct nnr__text_item {
	nnr__bleu_counts bleu;
	double rouge_l;
} nnr__text_item;
typedef struct nnr__texts {
	nnr__text_item *item;
	int n, references;
	size_t cap;
} nnr__texts;
/* An item: what was said ("": nothing), and at least one reference. */
int nnr__texts_add(nnr__texts *t, const char *said, const nnr__strings *ref,
		   nnr_error *err);
void nnr__texts_release(nnr__texts *t);

typedef struct nnr__interval { double value, low, high; } nnr__interval;
typedef struct nnr__text_scores {
	nnr__interval bleu, rouge_l;
	nnr__bleu_counts counts;
	nnr__bleu parts;
	int resamples;
} nnr__text_scores;
/* Without items everything is 0. */
int nnr__texts_scores(const nnr__texts *t, nnr__text_scores *out,
		      nnr_error *err);

#endif
