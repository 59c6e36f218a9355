/* SPDX-License-Identifier: Apache-2.0
 *
 * train_int.h: one run of training, shared by train.c (does it),
 * train_report.c (says it) and train_seeds.c (repeats it).
 */
#ifndef NNR_TRAIN_INT_H
#define NNR_TRAIN_INT_H

#include "api/api.h"
#include "optim/optim.h"
#include "program/learn.h"

typedef struct nnr__trainer {
	nnr_program *p;
	const nnr_train_opts *o;
	const char *output, *curve;	/* of this run */
	int number, runs;
	bool keep_checkpoint;
	bool warm;			/* starts from trained values */
	nnr__data data, val;
	nnr__lesson *lesson, *val_lesson;	/* the latter for texts only */
	nnr__training *t;
	char *checkpoint;
	char before[65], after[65];	/* hash of the backbone's file */
	/* what was said, and what it took */
	bool said_untrained, said_first;
	double gradient_s, validate_s;
	int64_t tokens;			/* in gradients */
	double mean_tokens;		/* of an item */
	int validated;
	size_t artifact_bytes;
} nnr__trainer;

/* One run; everything of it is released but what r->t says of it, which
 * nnr__trainer_release frees. */
int nnr__trainer_run(nnr__trainer *r, nnr_error *err);
void nnr__trainer_release(nnr__trainer *r);

/* Several (train_seeds.c). */
int nnr__train_seeds(nnr_program *p, const nnr_train_opts *o, char **json,
		     char **text, nnr_error *err);

/* ---- train_report.c ---- */
/* A line for people. */
void nnr__trainer_say(const nnr__trainer *r, const char *fmt, ...)
	NNR__PRINTF(2, 3);
/* Before the first step; after one. */
void nnr__trainer_announce(const nnr__trainer *r);
void nnr__trainer_tell(nnr__trainer *r);
/* Seconds it will still take. */
double nnr__trainer_left(const nnr__trainer *r);
/* Score of a validation with its count; the loss apart. */
nnr__rate nnr__trainer_rate(const nnr__trainer *r, const nnr__validation *v);
const char *nnr__trainer_measure(const nnr_program *p);
/* What depends on the inputs alone, for the artifact; and the record, with
 * machine and cost. */
void nnr__trainer_training_json(const nnr__trainer *r, nnr__buf *out);
void nnr__trainer_record_json(const nnr__trainer *r, nnr__buf *out);
void nnr__trainer_text(const nnr__trainer *r, nnr__buf *out);

#endif
