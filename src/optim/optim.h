/* SPDX-License-Identifier: Apache-2.0
 *
 * optim: minimises a loss over the learnable tensors of a program.
 *
 * Knows tensors, batches and files, not models: what it minimises is an
 * objective, a table of functions.  Everything a run depends on is in its
 * checkpoint, so a run that was killed and resumed ends with the same bytes.
 * An optimiser is one file and one row in optimisers.def, a schedule one row
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

#endif
