/* SPDX-License-Identifier: Apache-2.0
 *
 * loss_choices.c: `score` while training.  The score of a word, one of a
 * label's choices, is the sum of its tokens' log-probabilities; the normaliser
 * of the first token, which all words share, is left out where it cancels.
 * When nothing in f is learned the words' scores are what inference gave
 * (frozen.c).
 */
#include "lesson_int.h"

#include <string.h>

typedef struct nnr__a_score score_args;

/* What a word's sum is multiplied by. */
static double word_factor(const nnr_program *p, const score_args *a, int c)
{
	if (a->normalize == NNR__NORM_LENGTH)
		return 1 / (double)p->choice[c].n;
	if (a->normalize == NNR__NORM_BYTES)
		return 1 / (double)strlen(a->word[c]);
	return 1;
}

static bool relative(const score_args *a)
{
	return a->normalize == NNR__NORM_SUM ||
	       a->normalize == NNR__NORM_UNCONDITIONAL;
}

static bool whole_vocabulary(const nnr__lesson *l, const score_args *a)
{
	return l->chunk.wants > l->picks || !relative(a);
}

/* Targets of words' later tokens; coefficients, when dword is given. */
static void word_rows(nnr__lesson *l, const score_args *a,
		      const double *dword)
{
	const nnr_program *p = l->p;

	for (int i = 0; i < l->picks; i++) {
		int r = l->read[i] + 1;

		for (int c = 0; c < p->choices; c++)
			for (size_t t = 1; t < p->choice[c].n; t++, r++) {
				l->target[r] = p->choice[c].id[t];
				if (dword)
					l->coef[r] = (float)
						(dword[i * p->choices + c] *
						 word_factor(p, a, c));
			}
	}
}

/* Sum of the later tokens' log-probabilities of every word of item i. */
static double later(const nnr__lesson *l, int i, int c)
{
	int r = l->read[i] + 1;
	double sum = 0;

	for (int k = 0; k < c; k++)
		r += (int)l->p->choice[k].n - 1;
	for (size_t t = 1; t < l->p->choice[c].n; t++, r++)
		sum += (double)l->picked[r] - (double)l->logz[r];
	return sum;
}

/* Their scores as inference has them: see normalise of step_score.c. */
static void read_words(nnr__lesson *l, const score_args *a, int i)
{
	const nnr_program *p = l->p;
	const float *near = l->near + (size_t)i * (size_t)l->head.mat.rows;

	for (int c = 0; c < p->choices; c++) {
		int at = nnr__head_index(&l->head, p->choice[c].id[0]);
		double v = (double)near[at];

		if (p->choice[c].n > 1)
			v += later(l, i, c);
		if (!relative(a))
			v -= (double)l->logz[l->read[i]];
		v *= word_factor(p, a, c);
		if (a->normalize == NNR__NORM_UNCONDITIONAL)
			v -= a->prior[c];
		l->word[i * p->choices + c] = v;
	}
}

int nnr__choices_read(nnr_program *p, nnr__step *s, nnr__reading *r,
		      nnr_error *err)
{
	const score_args *a = s->args;
	nnr__lesson *l = r->lesson;
	int rc = 0;

	if (l->exec)
		rc = nnr__exec_head(l->exec, r->row, r->n, &l->head.mat,
				    l->near, (size_t)l->head.mat.rows, err);
	if (!rc && l->exec && whole_vocabulary(l, a)) {
		word_rows(l, a, NULL);
		rc = nnr__vocab_forward(l, err);
	}
	for (int i = 0; i < r->n && !rc; i++) {
		if (l->exec)
			read_words(l, a, i);
		nnr__score_labels(p, s, l->word + i * p->choices, l->dword,
				  r->score + i * r->labels);
	}
	return rc;
}

/* The first row's normaliser. */
static void first_rows(nnr__lesson *l, const score_args *a)
{
	const nnr_program *p = l->p;

	for (int i = 0; i < l->picks && !relative(a); i++) {
		double sum = 0;

		for (int c = 0; c < p->choices; c++)
			sum += l->dword[i * p->choices + c] *
			       word_factor(p, a, c);
		l->coef[l->read[i]] = (float)sum;
		l->target[l->read[i]] = -1;
	}
}

static void word_logits(nnr__lesson *l, const score_args *a)
{
	const nnr_program *p = l->p;
	size_t ld = (size_t)l->head.mat.rows;

	memset(l->dnear, 0, (size_t)l->picks * ld * sizeof(*l->dnear));
	for (int i = 0; i < l->picks; i++)
		for (int c = 0; c < p->choices; c++) {
			int at = nnr__head_index(&l->head, p->choice[c].id[0]);

			l->dnear[(size_t)i * ld + (size_t)at] += (float)
				(l->dword[i * p->choices + c] *
				 word_factor(p, a, c));
		}
}

int nnr__choices_read_back(nnr_program *p, nnr__step *s, nnr__reading *r,
			   nnr_error *err)
{
	const score_args *a = s->args;
	nnr__lesson *l = r->lesson;

	for (int i = 0; i < r->n; i++)
		nnr__score_labels_back(p, s, l->word + i * p->choices,
				       r->score + i * r->labels,
				       r->dscore + i * r->labels,
				       l->dword + i * p->choices);
	if (!l->exec)
		return 0;
	word_logits(l, a);
	nnr__exec_head_back(l->exec, l->dnear, (size_t)l->head.mat.rows, r->n,
			    &l->head.mat, r->drow, true);
	if (!whole_vocabulary(l, a))
		return 0;
	word_rows(l, a, l->dword);
	first_rows(l, a);
	return nnr__vocab_back(l, err);
}
