/* SPDX-License-Identifier: Apache-2.0
 *
 * optim: minimises a loss over the learnable tensors of a program.
 *
 * Knows tensors, batches and files, not models: what it minimises is an
 * objective, a table of functions.  Everything a run depends on is in its
 * checkpoint, so a run that was killed and resumed ends with the same bytes.
 * An optimiser is one file and one row in optimisers.def, a schedule one case
 * in schedule.c.
 */
#ifndef NNR_OPTIM_H
#define NNR_OPTIM_H

#include "base/base.h"
#include "program/learn.h"

typedef struct nnr__objective {
	nnr__ptensor *const *tensor;	/* those with grad are learned */
	int tensors;
	int items;
	const int *length;	/* tokens of each item; NULL: all alike */
	void *ctx;
	/* Mean loss of n items and its gradient, in every tensor's grad. */
	int (*gradient)(void *ctx, const int *item, int n, double *loss,
			nnr_error *err);
	/* At the start of every epoch: fits.  May be NULL. */
	int (*epoch)(void *ctx, int epoch, nnr_error *err);
	/* On validation data: score (more is better) and mean loss.  NULL:
	 * there is none. */
	int (*validate)(void *ctx, double *score, double *loss,
			nnr_error *err);
} nnr__objective;

/* ---- optimisers (optimisers.def, adamw.c, sgd.c) ---- */
#define NNR__MOMENTS 2

/* One update of the values of a tensor. */
typedef struct nnr__update {
	float *value;
	const float *grad;
	float *moment[NNR__MOMENTS];	/* zeros before the first step */
	size_t n;
	int64_t step;			/* from 1 */
	double lr, weight_decay;
	double scale;			/* of the gradient: clipping */
} nnr__update;
typedef struct nnr__optimiser {
	const char *name;
	int moments;			/* how many it keeps */
	void (*update)(const nnr__train_plan *plan, const nnr__update *u);
} nnr__optimiser;
const nnr__optimiser *nnr__optimiser_of(int optimizer);	/* NNR__OPT_* */

/* ---- the rate (schedule.c) ---- */
/* Factor of the learning rate at a step, from 0, of a run of so many. */
double nnr__schedule(const nnr__train_plan *plan, int64_t step,
		     int64_t steps);

/* ---- batches (batches.c): a function of (seed, epoch) ---- */
typedef struct nnr__batches {
	int items, size;	/* of a batch, but for an epoch's last */
	int batches;		/* of an epoch */
	int accumulate;		/* batches of a step */
	int64_t steps;		/* of an epoch */
	uint64_t seed;
	const int *length;
	int64_t epoch;		/* that is laid out; -1: none */
	int *order;		/* its items */
	int *start;		/* of batch b; start[batches] == items */
	uint32_t *perm;		/* room to lay out: items */
	struct nnr__sorted *sorted;	/* the same: items */
} nnr__batches;
int nnr__batches_new(nnr__batches *b, const nnr__objective *o,
		     const nnr__train_plan *plan, nnr_error *err);
void nnr__batches_release(nnr__batches *b);
/* The batches [first, last) of a step; batch b holds the items order[start[b]]
 * to order[start[b + 1] - 1].  Valid until the next call. */
void nnr__batches_at(nnr__batches *b, int64_t step, int *first, int *last);

/* ---- a run (training.c) ---- */
/* A validation. */
typedef struct nnr__validation {
	int64_t step;		/* steps done */
	float score, loss;
} nnr__validation;

/* What belongs to one tensor. */
typedef struct nnr__slot {
	nnr__ptensor *tensor;
	double lr, weight_decay;
	float *moment[NNR__MOMENTS];
	float *sum;		/* of gradients, when a step has several */
	float *best;		/* values of the best validation */
} nnr__slot;

typedef struct nnr__training {
	const nnr__objective *o;
	const nnr__train_plan *plan;
	const nnr__optimiser *how;
	nnr__batches batches;
	nnr__slot *slot;	/* one a tensor, learned or not */
	int slots;
	int64_t steps;		/* of the whole run */
	int64_t step;		/* done */
	int64_t epochs;		/* begun: their fits are done */
	bool ended;		/* by patience */
	float *loss, *norm;	/* of each step that is done */
	nnr__validation *val;	/* the first: before step 1 */
	int vals;
	size_t val_cap;
	int best;		/* number of the best validation; 0: none */
	double seconds;		/* of this process */
	int64_t resumed;	/* step it was resumed at, or 0 */
} nnr__training;

int nnr__training_new(nnr__training **t, const nnr__objective *o,
		      const nnr__train_plan *plan, nnr_error *err);
void nnr__training_free(nnr__training *t);

/* What a checkpoint must agree on: hashes, or texts. */
typedef struct nnr__identity {
	const char *program, *backbone, *data;
	const char *validation;	/* "": none */
	const char *plan;	/* `train`, resolved */
	const char *mode;	/* of the arithmetic */
} nnr__identity;

typedef struct nnr__run_io {
	const char *checkpoint;	/* its file; NULL: none is kept */
	double interval;	/* seconds between two */
	const nnr__identity *id;
	/* After every step and every validation; may be NULL. */
	void (*on_step)(void *ctx, const nnr__training *t);
	void *ctx;
} nnr__run_io;
/* Goes on to the end, then puts the best values in place.  When interrupted
 * a checkpoint is kept. */
int nnr__training_run(nnr__training *t, const nnr__run_io *io,
		      nnr_error *err);
/* Epoch, counted from 0, and rate of a step, counted from 1. */
int64_t nnr__training_epoch(const nnr__training *t, int64_t step);
double nnr__training_rate(const nnr__training *t, int64_t step);

/* ---- checkpoints (checkpoint.c) ---- */
/* Replaces the file as a whole, or leaves it as it was. */
int nnr__checkpoint_save(const nnr__training *t, const nnr__identity *id,
			 const char *path, nnr_error *err);
/* Refuses one that is damaged or of another program, backbone or data. */
int nnr__checkpoint_load(nnr__training *t, const nnr__identity *id,
			 const char *path, nnr_error *err);
/* Removes it, and what a killed process left half written beside it. */
void nnr__checkpoint_remove(const char *path);

/* ---- the learning curve (curve.c) ---- */
/* For people: a plot within 80 columns. */
void nnr__curve_text(const nnr__training *t, nnr__buf *out);
/* A line a step, and what was validated after it. */
void nnr__curve_csv(const nnr__training *t, nnr__buf *out);
void nnr__curve_svg(const nnr__training *t, const char *title,
		    nnr__buf *out);

#endif
