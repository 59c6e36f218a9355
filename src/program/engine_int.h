/* SPDX-License-Identifier: Apache-2.0
 *
 * engine_int.h: shared by engine.c, score.c and generate.c.
 */
#ifndef NNR_ENGINE_INT_H
#define NNR_ENGINE_INT_H

#include "program/engine.h"

struct nnr__engine {
	const nnr__backbone *bb;
	nnr__pool *pool;
	const nnr__kernels *k;
	nnr__exec *exec;
	nnr__store *store;
	nnr__engine_opts opts;
	nnr__engine_stats stats;
	nnr__seq *prefix;		/* its rows; NULL: none */
	int32_t *prefix_id;
	int prefix_n;
	nnr__given given;
	char given_sha[65];		/* "": nothing is given */
	/* the chunk being put together */
	int32_t *token, *want;		/* [max_rows] */
	nnr__run *run;			/* [max_rows] */
	nnr__chunk chunk;
	/* generate: tokens of the last call */
	int32_t *made;
	size_t made_cap;
};

/* A head of chosen rows of the vocabulary (small_head.c). */
typedef struct nnr__small_head {
	nnr__mat mat;
	uint8_t *data;
	int32_t *id;
	int n;
} nnr__small_head;
/* The first token of every choice, once each. */
int nnr__head_make(nnr__small_head *h, const nnr__backbone *b,
		   const nnr__span *choice, int choices, nnr_error *err);
void nnr__head_release(nnr__small_head *h);
int nnr__head_index(const nnr__small_head *h, int32_t id);	/* or -1 */

/* The rows of a prompt as a new sequence: a fork of the prefix up to where
 * they part.  *from: first token that still has to run (at most n - 1). */
nnr__seq *nnr__engine_begin(nnr__engine *e, nnr__span p, int *from);

/* Puts rows of one sequence into the chunk; wants: its last `wants` rows.
 * False when they do not fit; the chunk is then to be run first. */
bool nnr__engine_add(nnr__engine *e, nnr__seq *q, const int32_t *token,
		     int n, int wants);
/* Runs what was added and empties the chunk. */
int nnr__engine_flush(nnr__engine *e, const float **features,
		      nnr_error *err);
/* Runs all but the last part of a long prompt, which fits a chunk. */
int nnr__engine_feed(nnr__engine *e, nnr__seq *q, const int32_t *token,
		     int *from, int n, nnr_error *err);
/* Key/value rows kept as files (kept.c).  given: they depend on what the
 * program gives.  map: 1 found, 0 not, or an error. */
typedef enum { NNR__KEEP_PREFIX, NNR__KEEP_FROZEN } nnr__keep;
void nnr__kept_key(nnr__buf *key, const nnr__engine *e, const int32_t *token,
		   int n, bool given);
int nnr__kept_map(nnr__engine *e, nnr__keep what, const char *key,
		  nnr__seq **q, nnr_error *err);
void nnr__kept_save(nnr__keep what, const char *key, const nnr__seq *q);

/* A new sequence that holds the key/value rows p begins with; *from of
 * them.  NULL: no memory. */
nnr__seq *nnr__engine_start(nnr__engine *e, nnr__span p, int *from);
int nnr__engine_check(const nnr__engine *e, nnr__span p, int more,
		      nnr_error *err);

#endif
