/* SPDX-License-Identifier: Apache-2.0
 *
 * learn.h: the tensors of a program, and their gradient through f.
 *
 * A tensor belongs to a step and is named "ID" (its only one) or "ID.PART".
 * Learnable ones have room for a gradient.  Tensors are declared when the
 * program is bound, in step order, so that equal sources and models give
 * equal lists; values come from `init`, an artifact or a checkpoint.
 */
#ifndef NNR_LEARN_H
#define NNR_LEARN_H

#include "program/program.h"

struct nnr__src;

#define NNR__DIMS 4

typedef struct nnr__ptensor {
	char *name;
	const nnr__step *step;
	int dims;
	int64_t dim[NNR__DIMS];
	size_t n;		/* values */
	float *value;		/* row major, 64-byte aligned */
	float *grad;		/* the same; NULL: it is not learned */
	bool set;		/* trained, loaded or fitted; else as `init` */
} nnr__ptensor;

/* Declares a tensor of a step (part NULL: its only one); zeros, to be filled
 * by the caller.  Stays at its address until the program is unbound. */
nnr__ptensor *nnr__tensor_add(nnr_program *p, nnr__step *s, const char *part,
			     int dims, const int64_t *dim, bool learn,
			     nnr_error *err);
/* The i-th tensor, i < nnr__tensors(p). */
int nnr__tensors(const nnr_program *p);
nnr__ptensor *nnr__tensor_at(nnr_program *p, int i);
nnr__ptensor *nnr__tensor_find(nnr_program *p, const char *name);
void nnr__tensors_free(nnr_program *p);		/* part of unbind */

/* ---- what the steps of `in` give f (lowered.c) ---- */
/* Rows at sites of f, made from tensors; the arrays hold the rows of every
 * step behind one another. */
typedef struct nnr__lowered {
	int hidden, layers, kv_cols;
	nnr__given given;	/* its arrays are the following */
	float *soft, *deep, *shift, *kv;
	nnr__site_grads grads;	/* NULL where nothing is learned */
	nnr__learns learns;
} nnr__lowered;
/* For hooks `tensors`: n virtual tokens for step s; s->row0 says which.
 * learn: their rows get a gradient. */
void nnr__claim_soft(nnr_program *p, nnr__step *s, int n, bool learn);
/* The same for key/value rows, for virtual tokens with rows at the input of
 * every block, and for n rows added to the embedding of tokens from position
 * `from` on: of each there may be one step. */
int nnr__claim_kv(nnr_program *p, nnr__step *s, int n, bool learn,
		  nnr_error *err);
int nnr__claim_deep(nnr_program *p, nnr__step *s, int n, bool learn,
		    nnr_error *err);
int nnr__claim_shift(nnr_program *p, nnr__step *s, int n, int from,
		     bool learn, nnr_error *err);
/* f with matrices of the step's own: a graph of nnr__graph_lora, which stays
 * the step's, and their values.  Of these there may be one, too. */
int nnr__claim_graph(nnr_program *p, nnr__step *s, const nnr__graph *g,
		     const float *weights, size_t n, bool learn,
		     nnr_error *err);
/* `site` of a step, "block.*.WHAT": every block, else what is missing. */
int nnr__site_check(const nnr_program *p, const nnr__step *s,
		    const char *site, const char *what, nnr_error *err);
/* Hooks `lower` write the step's rows there, hooks `lower_back` read their
 * gradient and add it to the tensors'. */
static inline float *nnr__soft_rows(const nnr_program *p, const nnr__step *s)
{
	return p->lowered->soft + (size_t)s->row0 *
	       (size_t)p->lowered->hidden;
}
static inline float *nnr__soft_grads(const nnr_program *p,
				     const nnr__step *s)
{
	return p->lowered->grads.soft + (size_t)s->row0 *
	       (size_t)p->lowered->hidden;
}
int nnr__lowered_new(nnr_program *p, nnr_error *err);	/* part of bind */
void nnr__lowered_free(nnr_program *p);
/* Tensors to rows; and the gradients of rows to those of tensors, which are
 * zeroed first. */
int nnr__lower_rows(nnr_program *p, nnr_error *err);
int nnr__lower_back(nnr_program *p, nnr_error *err);
/* Call after values changed: what the engine holds of them is made again.
 * Also done by bind. */
int nnr__program_lower(nnr_program *p, nnr_error *err);

/* ---- initial values (init.c) ----
 * `init: TEXT | {random: SD} | {vocab: N} | {classes: yes} |
 * {from: FILE#TENSOR}` */
enum { NNR__INIT_TEXT, NNR__INIT_RANDOM, NNR__INIT_VOCAB,
       NNR__INIT_CLASSES, NNR__INIT_FROM };
typedef struct nnr__init {
	int kind;
	char *text;
	double sd;
	int64_t first;		/* vocab: of so many first tokens */
	/* from: file and tensor, NULL: of the step's id; once loaded its
	 * values, and the backbone of an artifact */
	char *from, *tensor;
	float *value;
	int dims;
	int64_t dim[NNR__DIMS];
	char backbone[65];
} nnr__init;
extern const nnr__own nnr__init_type;
/* Token ids of n rows: those of a text, repeated or cut; drawn from the
 * vocabulary; of the labels' choices.  seed: of the draw. */
int nnr__init_ids(nnr_program *p, const nnr__step *s, const nnr__init *init,
		  uint64_t seed, int n, int32_t *id, nnr_error *err);
/* Normal values with deviation sd. */
void nnr__normal_rows(double sd, uint64_t seed, uint64_t stream, size_t n,
		      float *rows);
/* n embedding-wide rows. */
int nnr__init_rows(nnr_program *p, const nnr__step *s, const nnr__init *init,
		   uint64_t seed, int n, float *rows, nnr_error *err);
/* What n tokens by themselves are inside f: key/value rows
 * [layers][2][n][kv_heads * dim], or inputs of blocks [layers][n][hidden];
 * the other is NULL. */
int nnr__init_inside(nnr_program *p, const nnr__step *s,
		     const nnr__init *init, uint64_t seed, int n, float *kv,
		     float *in, nnr_error *err);

/* For hooks `load`: reads the file of `from` (init_from.c).  The rows:
 * groups x n of `cols` values, repeated or cut to n. */
struct nnr__form;
int nnr__init_load(nnr_program *p, const nnr__step *s, nnr__init *init,
		   const struct nnr__form *form, nnr_error *err);
int nnr__init_copy(nnr_program *p, const nnr__step *s, const nnr__init *init,
		   int groups, int n, int cols, float *out, nnr_error *err);

/* ---- how rows are made of tensors (form.c) ----
 * `form: free | {low_rank: R} | {mlp: M} | {residual: M}` */
enum { NNR__FORM_FREE, NNR__FORM_LOW_RANK, NNR__FORM_MLP,
       NNR__FORM_RESIDUAL };
typedef struct nnr__form {
	int kind;
	size_t size;		/* R or M */
} nnr__form;
extern const nnr__own nnr__form_type;
/* n rows of `cols` values.  The step fills in the first part and declares
 * the tensors; what the rows start from may be NULL: zeros. */
typedef struct nnr__made {
	const nnr__form *form;
	bool learn;
	size_t n, cols;
	size_t in;		/* mlp: columns of its own rows */
	int dims;		/* free: shape of the tensor */
	int64_t dim[NNR__DIMS];
	/* made */
	nnr__ptensor *rows, *w1, *b1, *w2, *b2;	/* low_rank: w1, w2: A, B */
	float *base;		/* low_rank: what it starts from */
	float *h, *dh;		/* mlp, residual: [n][size] between */
} nnr__made;
int nnr__made_new(nnr__made *m, nnr_program *p, nnr__step *s,
		  nnr_error *err);
int nnr__made_start(nnr__made *m, const float *init, uint64_t seed,
		    nnr_error *err);
void nnr__made_release(nnr__made *m);		/* the tensors stay */
void nnr__made_rows(nnr__made *m, float *out);
/* Adds the gradient of the rows made last to that of the tensors. */
void nnr__made_back(nnr__made *m, const float *grad);
/* The product of two rows, in 16 lanes. */
float nnr__dot(const float *a, const float *b, size_t n);

/* ---- `train:` ---- */
/* `train:` of a source, defaults filled in (train_plan.c). */
typedef struct nnr__train_group {
	char *match;		/* glob over tensor names: "shift.*" */
	double lr, weight_decay;	/* NaN: the run's */
	nnr__place place;
} nnr__train_group;

enum { NNR__OPT_ADAMW, NNR__OPT_SGD };
enum { NNR__LR_CONSTANT, NNR__LR_COSINE, NNR__LR_LINEAR, NNR__LR_MILESTONES };
enum { NNR__LOSS_AUTO, NNR__LOSS_CROSS_ENTROPY, NNR__LOSS_NEXT_TOKEN,
       NNR__LOSS_FOCAL, NNR__LOSS_DISTILL };
/* One term of the loss; AUTO: what the output type asks for. */
typedef struct nnr__loss_term {
	int loss;		/* NNR__LOSS_* */
	double weight;
	double gamma;		/* focal; default 2 */
	bool balance;		/* focal: classes weighted by 1 / count */
	double temperature;	/* distill; default 1 */
	char *from;		/* distill: the teacher's source, a file */
	nnr__place place;
} nnr__loss_term;

typedef struct nnr__train_plan {
	int optimizer;		/* NNR__OPT_* */
	int schedule;		/* NNR__LR_* */
	double lr, weight_decay, beta1, beta2, eps, momentum;
	double clip;		/* of the gradient's norm; 0: off */
	int64_t steps, epochs;	/* one of them 0 */
	int64_t batch, accumulate, warmup, seed;
	int64_t every;		/* steps between validations; 0: an epoch */
	int64_t patience;	/* validations without a better one; 0: off */
	double milestone[8];	/* parts of the run, ascending */
	double gamma;		/* factor at a milestone */
	int milestones;
	nnr__loss_term *loss;
	int losses;		/* at least 1 */
	nnr__train_group *group;
	int groups;
	nnr__step key;		/* `train` as a step: where a key was given */
} nnr__train_plan;

/* Defaults when the source has no `train:`.  Part of nnr__program_open;
 * the result is in p->train. */
int nnr__train_plan_read(struct nnr__src *s, const nnr__ynode *top);
/* Every group matches a learnable tensor of the bound program. */
int nnr__train_groups_check(nnr_program *p, nnr_error *err);
/* Whether a name is of a pattern: `*` any text, `?` any byte. */
bool nnr__glob(const char *pattern, const char *name);

/* ---- out steps while training ---- */
typedef struct nnr__lesson nnr__lesson;
/* What a batch of items makes of f, and the gradient of the loss. */
typedef struct nnr__reading {
	nnr__lesson *lesson;	/* for `score`, which reads several rows */
	int n, labels;
	const int *item;	/* their numbers in the lesson */
	const int *label;	/* their targets */
	const float *row;	/* [n][hidden] features of the last token */
	float *drow;		/* the same; add to it.  NULL: not wanted */
	nnr__exec *exec;	/* takes gradients of heads; NULL with drow */
	double *score, *dscore;	/* [n][labels] */
} nnr__reading;
/* Hooks of `score` (loss_choices.c). */
int nnr__choices_read(nnr_program *p, nnr__step *s, nnr__reading *r,
		      nnr_error *err);
int nnr__choices_read_back(nnr_program *p, nnr__step *s, nnr__reading *r,
			   nnr_error *err);

/* Items with their labels, and the features of their last tokens: what steps
 * are fitted on. */
typedef struct nnr__examples {
	int n;
	const int *label;
	/* Those of n items from `first` on: [n][hidden]. */
	int (*rows)(void *ctx, int first, int n, float *out, nnr_error *err);
	void *ctx;
} nnr__examples;

/* ---- training data: prompts of items, tokenised once ---- */
/* Renders and tokenises the items of d, which must have targets and outlive
 * the lesson.  memory: bytes that activations of a pass may take, 0: 768
 * MiB; it decides how much is computed again and how a batch is cut. */
int nnr__lesson_new(nnr__lesson **l, nnr_program *p, const nnr__data *d,
		    size_t memory, nnr_error *err);
void nnr__lesson_free(nnr__lesson *l);
/* Every item gets its own copy of the common beginning, as the reference
 * frameworks do; the gradient is then summed in another order. */
void nnr__lesson_plain(nnr__lesson *l);
int nnr__lesson_items(const nnr__lesson *l);
/* Items that teachers answer before the first step. */
int64_t nnr__lesson_teacher_passes(const nnr__lesson *l);
/* Tokens of every item that run in each step (its live rows). */
const int *nnr__lesson_lengths(const nnr__lesson *l);
/* To be called when an epoch, from 0, begins: fits what is fitted to the
 * items (epoch.c). */
int nnr__lesson_epoch(nnr__lesson *l, int epoch, nnr_error *err);
/* Mean loss of n items, by number, and its gradient in every tensor's grad,
 * which is overwritten.  The sum over items goes in the order given. */
int nnr__lesson_gradient(nnr__lesson *l, const int *item, int n,
			 double *loss, nnr_error *err);

#endif
