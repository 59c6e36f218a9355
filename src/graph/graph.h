/* SPDX-License-Identifier: Apache-2.0
 *
 * graph: the backbone as an array of nodes, its memory plan, the store of
 * key/value pages, and the executor.
 *
 * A node's sources have smaller indices, so array order is topological.  One
 * extent is symbolic: rows R of a chunk (tokens), or W, the rows of it that
 * are wanted at the end.  Lifetimes: graph = model; plan, arena and store =
 * session; scratch = thread, inside the arena.  No malloc in a step.
 */
#ifndef NNR_GRAPH_H
#define NNR_GRAPH_H

#include "base/base.h"
#include "kernel/kernel.h"

typedef int32_t nnr__id;	/* node index; 0 is "none" */

typedef enum {
#define OP(name, arity, doc) NNR__OP_##name,
#include "graph/ops.def"
#undef OP
	NNR__OPS
} nnr__op;

typedef enum { NNR__ROWS, NNR__WANTED } nnr__extent;

typedef struct nnr__node {
	nnr__op op;
	nnr__extent extent;
	int cols;		/* shape: (extent, cols) */
	nnr__id src[3];
	/* attributes; which ones count is the op's business */
	const nnr__mat *mat;	/* EMBED, LINEAR */
	const float *vec;	/* RMSNORM: weight; ROPE: inverse freqs */
	float eps;
	int heads, kv_heads, dim, layer;
	bool tender;		/* LINEAR: keeps two-term codes in `fast` */
	const char *site;	/* name of the place, or NULL */
} nnr__node;

typedef struct nnr__graph {
	nnr__node *node;	/* node[0] is unused */
	int nodes;
	size_t cap;
	int layers, kv_heads, dim;
	bool bad;		/* first error is kept in err */
	nnr_error err;
} nnr__graph;

/* Builders return 0 after an error; nnr__graph_finish reports it. */
nnr__graph *nnr__graph_new(void);
void nnr__graph_free(nnr__graph *g);
nnr__id nnr__embed(nnr__graph *g, const nnr__mat *table);
nnr__id nnr__rmsnorm(nnr__graph *g, nnr__id x, const float *w, float eps);
/* y = x W^T, or y = r + x W^T */
nnr__id nnr__linear(nnr__graph *g, nnr__id x, const nnr__mat *w, nnr__id r,
		    bool tender);
nnr__id nnr__rope(nnr__graph *g, nnr__id x, int dim, const float *inv);
/* Stores k, v of every row in the pages of its sequence, then attends. */
nnr__id nnr__attention(nnr__graph *g, nnr__id q, nnr__id k, nnr__id v,
		       int heads, int kv_heads, int layer);
nnr__id nnr__swiglu(nnr__graph *g, nnr__id gate, nnr__id up);
/* The wanted rows of x: extent R -> W. */
nnr__id nnr__wanted(nnr__graph *g, nnr__id x);
void nnr__site(nnr__graph *g, nnr__id x, const char *name);
int nnr__graph_finish(nnr__graph *g, nnr_error *err);

/* ---- the store: key/value rows of sequences, in pages of 64 positions ----
 * A page holds every layer: [layer][kv head]{ kt[dim][64], v[64][dim] }.
 * Full pages are shared between a sequence and its forks; the last, partial
 * one is copied at the fork. */
typedef struct nnr__store nnr__store;
typedef struct nnr__seq nnr__seq;

int nnr__store_new(nnr__store **s, int layers, int kv_heads, int dim,
		   size_t max_bytes, nnr_error *err);
void nnr__store_free(nnr__store *s);
nnr__seq *nnr__seq_new(nnr__store *s);		/* NULL: no memory */
nnr__seq *nnr__seq_fork(nnr__seq *parent);
void nnr__seq_free(nnr__seq *q);
int nnr__seq_len(const nnr__seq *q);
void nnr__seq_truncate(nnr__seq *q, int len);
/* Saves the rows of q, or maps saved ones as a new sequence.  `key` names
 * everything they depend on; a file with another key is refused (0: none
 * there or not usable, 1: mapped). */
int nnr__seq_save(const nnr__seq *q, const char *path, const char *key,
		  nnr_error *err);
int nnr__seq_map(nnr__store *s, nnr__seq **q, const char *path,
		 const char *key, nnr_error *err);

/* ---- running ---- */
/* A run of rows: n consecutive positions of one sequence, from its length
 * on; after the chunk the sequence is n longer. */
typedef struct nnr__run {
	nnr__seq *seq;
	int n;
} nnr__run;

typedef struct nnr__chunk {
	const int32_t *token;	/* one per row, runs one after the other */
	const nnr__run *run;
	int runs, rows;
	const int32_t *want;	/* ascending row numbers */
	int wants;
} nnr__chunk;

typedef struct nnr__exec nnr__exec;
/* max_rows: R of the plan; context: positions of a sequence.  The pool,
 * kernels and graph stay the caller's. */
int nnr__exec_new(nnr__exec **e, const nnr__graph *g, nnr__pool *pool,
		  const nnr__kernels *k, nnr_precision mode, int max_rows,
		  int context, nnr_error *err);
void nnr__exec_free(nnr__exec *e);
size_t nnr__exec_bytes(const nnr__exec *e);
int nnr__exec_max_rows(const nnr__exec *e);
/* Runs a chunk; features (wants x hidden) stay valid until the next one. */
int nnr__exec_run(nnr__exec *e, const nnr__chunk *c, const float **features,
		  nnr_error *err);
/* out[r][n] = features row r . head row n, by the mode's arithmetic. */
int nnr__exec_head(nnr__exec *e, const float *features, int rows,
		   const nnr__mat *head, float *out, size_t ldo,
		   nnr_error *err);
/* For each row: out = log sum exp over the head's rows; best (may be NULL)
 * its argmax; picked (with pick, may be NULL) the logit of row pick[r].
 * Never holds more than a few rows of logits. */
typedef struct nnr__logz {
	float *out, *picked;
	int *best;
	const int32_t *pick;
} nnr__logz;
int nnr__exec_logz(nnr__exec *e, const float *features, int rows,
		   const nnr__mat *head, nnr__logz z, nnr_error *err);

#endif
