/* SPDX-License-Identifier: Apache-2.0
 *
 * What an architecture file uses: hyper-parameters out of the metadata and
 * weights out of the tensor list, with their checks.  Private to load.
 *
 * nnr__weights is sticky: the first wrong tensor is kept, missing ones are
 * collected, and nnr__weights_end reports.  Until then a bad tensor is an
 * empty matrix or NULL.
 */
#ifndef NNR_ARCH_H
#define NNR_ARCH_H

#include "load/load.h"

#define ARCH(name, id) int nnr__build_##name(nnr__backbone *b, nnr_error *err);
#include "load/archs.def"
#undef ARCH

/* A whole number from the key "<architecture>.<key>", lo..hi.  When the key
 * is absent: `absent`, or an error if that is negative. */
int nnr__hyper_int(const nnr__backbone *b, const char *key, int lo, int hi,
		   int absent, int *v, nnr_error *err);
/* A number, above lo and at most hi; absent <= lo: required. */
int nnr__hyper_num(const nnr__backbone *b, const char *key, double lo,
		   double hi, double absent, double *v, nnr_error *err);
/* Refuses a key "<architecture>.*" that is not in known (NULL at the end):
 * it would change the network in a way this build does not know. */
int nnr__hyper_only(const nnr__backbone *b, const char *const *known,
		    nnr_error *err);

typedef struct nnr__weights {
	const nnr__gguf *g;
	bool *used;		/* per tensor of the file */
	nnr__buf missing;	/* names of the first few */
	int missed;
	nnr_error err;		/* the first wrong tensor */
} nnr__weights;

int nnr__weights_init(nnr__weights *w, const nnr__gguf *g, nnr_error *err);
/* The named matrix, which must have this shape. */
void nnr__weights_mat(nnr__weights *w, nnr__mat *m, int rows, int cols,
		      const char *name);
/* The named F32 vector; every value must be finite. */
const float *nnr__weights_vec(nnr__weights *w, int n, const char *name);
/* Reports what was missing or wrong, and tensors that nobody asked for. */
int nnr__weights_end(nnr__weights *w, nnr_error *err);

#endif
