/* SPDX-License-Identifier: Apache-2.0
 *
 * lesson_int.h: shared by lesson.c (items, memory), pass.c (rows through f),
 * frozen.c (the same, once), loss*.c (what comes out, against the targets)
 * and teacher.c.
 *
 * A row of text is live when something learnable comes before it, at it or
 * is it; rows before the first live one never change and are run once.  The
 * beginning that all items share is run once per pass when it is live.
 */
#ifndef NNR_LESSON_INT_H
#define NNR_LESSON_INT_H

#include "program/engine_int.h"
#include "program/learn.h"
#include "step.h"

typedef struct nnr__lesson_item {
	nnr__ids ids;		/* prompt, then the target's text if any */
	int prompt;		/* tokens of the prompt */
	int live;		/* first position that runs in every pass */
	int label;		/* -1: none */
	nnr__seq *frozen;	/* rows before `live`; NULL: not at hand */
} nnr__lesson_item;

/* The program a loss `distill` learns from. */
typedef struct nnr__teacher {
	nnr_program *p;		/* until it has answered; NULL: no teacher */
	double *score;		/* [items][labels], by the lesson's labels */
} nnr__teacher;

struct nnr__lesson {
	nnr_program *p;
	nnr__engine *e;
	const nnr__data *d;
	nnr__lesson_item *item;
	int items;
	int *length;
	bool texts;		/* targets are texts, not labels */
	bool plain;		/* one copy of the beginning per item */
	/* rows [0, base_n) of every item: frozen, or key/value rows */
	nnr__seq *base;
	int base_n;
	int shared;		/* live rows [base_n, shared) are common */
	int longest;		/* positions of an item with its choices */
	int widest;		/* live rows of one with them */
	size_t memory, frozen_bytes;
	/* f with gradients; NULL graph: nothing in f is learned */
	nnr__graph *graph;
	nnr__exec *exec;
	int max_rows;
	int planned;		/* items of a batch it was made for */
	/* when nothing is: what was read of items (frozen.c) */
	char *kept;
	bool *has;		/* [items] */
	int keeps;		/* items there is room for */
	/* the pass at hand (pass.c) */
	nnr__chunk chunk;
	int room;		/* rows the following have room for */
	int32_t *token, *want;
	nnr__run *run;
	const float *features;
	/* its items, and where their rows are among the wanted ones */
	const int *pick;
	int picks;
	int *read;		/* [pass items] row read first */
	/* what comes out (loss.c) */
	nnr__small_head head;
	nnr__reading out;	/* of the pass; its arrays grow with it */
	size_t out_cap;
	int *label;		/* [pass items] */
	float *near, *dnear;	/* [pass items][head rows]: words' logits */
	double *word, *dword;	/* [pass items][words] their scores */
	double *before;		/* [outs][pass items][labels] */
	float *logz, *picked;	/* [wants] */
	int32_t *target;	/* [wants] token after each row, or 0 */
	float *coef;		/* [wants] dL / d log p(target) */
	size_t want_cap;
	float *logit;		/* [NNR__VOCAB_ROWS][vocab] */
	double *balance;	/* [labels] focal: weight of a class */
	nnr__teacher *teacher;	/* [losses] */
};

#define NNR__VOCAB_ROWS 32

/* The step of `out` that makes scores of f while training; NULL: none, what
 * is learned from are texts (loss.c). */
nnr__step *nnr__reading_step(const nnr_program *p);

/* Builds f with gradients and an executor for passes of up to `rows` rows
 * (lesson.c). */
int nnr__lesson_exec(nnr__lesson *l, int rows, nnr_error *err);
/* Whether something in f is learned. */
bool nnr__lesson_learns_f(const nnr__lesson *l);
/* Live rows of an item in a pass, beside the shared ones. */
int nnr__lesson_rows(const nnr__lesson *l, int item);

/* Runs rows of n items forward; from there nnr__pass_back (pass.c). */
int nnr__pass_forward(nnr__lesson *l, const int *item, int n,
		      nnr_error *err);
int nnr__pass_back(nnr__lesson *l, nnr_error *err);
void nnr__pass_end(nnr__lesson *l);

/* Instead of a pass, when nothing in f is learned: features, or scores of
 * words, of its items (frozen.c). */
int nnr__frozen_gather(nnr__lesson *l, nnr_error *err);
void nnr__frozen_free(nnr__lesson *l);

/* Reads the features of the pass: adds its loss and writes its gradient to
 * the seed, both times weight, and the gradients of out steps' tensors
 * (loss.c). */
int nnr__pass_loss(nnr__lesson *l, double weight, double *loss,
		   nnr_error *err);
int nnr__loss_open(nnr__lesson *l, nnr_error *err);
void nnr__loss_close(nnr__lesson *l);
void nnr__loss_close_out(nnr__lesson *l);
/* Log-normalisers of the wanted rows, and the logits of their targets. */
int nnr__vocab_forward(nnr__lesson *l, nnr_error *err);
/* Adds to their seed what their coefficients say. */
int nnr__vocab_back(nnr__lesson *l, nnr_error *err);
/* What the loss is divided by: items, or target tokens. */
double nnr__loss_count(const nnr__lesson *l, const int *item, int n);

/* ---- losses of one item (loss_terms.c) ----
 * From log-probabilities of n labels; each adds w times its gradient in the
 * scores to ds and returns w times its value. */
double nnr__cross_entropy(const double *logp, int n, int y, double w,
			  double *ds);
/* Lin et al. 2017: -(1 - p)^gamma log p. */
double nnr__focal(const double *logp, int n, int y, double gamma, double w,
		  double *ds);
/* Hinton et al. 2015: T^2 KL(teacher || student) at temperature t, from
 * scores; room for 2n values. */
double nnr__distill(const double *score, const double *teacher, int n,
		    double t, double w, double *ds, double *room);
/* The program's loss of item i of the pass; room for 2 labels' values. */
double nnr__item_loss(nnr__lesson *l, int i, double weight, double *room);

/* ---- teachers (teacher.c) ---- */
/* Opens the programs that losses name; refuses what cannot teach p. */
int nnr__teachers_open(nnr__lesson *l, nnr_error *err);
/* Their scores of all items, once. */
int nnr__teachers_answer(nnr__lesson *l, nnr_error *err);
void nnr__teachers_free(nnr__lesson *l);

#endif
