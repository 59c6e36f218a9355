/* SPDX-License-Identifier: Apache-2.0
 *
 * label_map.h: from source classes to labels by counting: what
 * step_label_map.c fits.  label_map.c knows of no network.
 */
#ifndef NNR_LABEL_MAP_H
#define NNR_LABEL_MAP_H

#include "program/learn.h"

/* D[s][t]: how often (or with what mass) an item of label t shows class s.
 * Only classes that were seen have a row. */
typedef struct nnr__counts {
	int classes, labels;
	int *row;		/* [classes] of a class, or -1 */
	int32_t *id;		/* class of each row */
	double *mass;		/* [rows][labels] */
	int rows;
	size_t id_cap, mass_cap;
} nnr__counts;
int nnr__counts_new(nnr__counts *c, int classes, int labels, nnr_error *err);
void nnr__counts_release(nnr__counts *c);
int nnr__counts_add(nnr__counts *c, int32_t class, int label, double mass,
		    nnr_error *err);

/* One-to-one, greedy (frequency, iterative): the largest D[s][t] is taken,
 * its class and, after `each` classes, its label leave the race; and again.
 * Ties go to the lowest s, then t, as in the reference.  out[t * each + k]: a
 * class of label t, -1 there is none left. */
int nnr__map_greedy(const nnr__counts *c, int each, int32_t *out,
		    nnr_error *err);

/* Bayesian (BLM, BLM+): A = D[s][t] / (sum over t of D[s][t] + smoothing),
 * weight = A / sum over s of A.  The n classes of most mass, ascending; the
 * rest of id is -1.  weight [labels][n].  *missing: a label that none of them
 * was seen with, or -1. */
int nnr__map_bayes(const nnr__counts *c, double smoothing, int n, int32_t *id,
		   float *weight, int *missing, nnr_error *err);

/* Counts the classes of items: of each its best one, or the probabilities of
 * its best k > 0 (label_map_count.c). */
int nnr__count_classes(nnr__counts *c, const nnr_program *p,
		       const nnr__examples *x, int k, nnr_error *err);

/* The k largest of n values, the largest first; ties: the lowest. */
void nnr__top(const float *v, int n, int k, int *at);

#endif
