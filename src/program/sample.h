/* SPDX-License-Identifier: Apache-2.0
 *
 * sample.h: one token from one row of logits.
 */
#ifndef NNR_SAMPLE_H
#define NNR_SAMPLE_H

#include "program/engine.h"

/* Working memory of one thread. */
typedef struct nnr__sampler {
	float *scaled;		/* vocab */
	int32_t *order;		/* vocab */
	float *block;		/* log-sum-exp of every block */
} nnr__sampler;

nnr__sampler *nnr__samplers_new(int threads, int vocab);
void nnr__samplers_free(nnr__sampler *s, int threads);

/* Temperature, then top-k, then top-p, then one draw by inverting the
 * cumulative distribution with the random number (seed, stream, index).
 * Temperature 0 takes the largest logit, the lowest id among equals. */
int32_t nnr__sample(nnr__sampler *w, const nnr__kernels *k,
		    const nnr__sampling *s, const float *logits, int vocab,
		    uint64_t stream, uint64_t index);

#endif
