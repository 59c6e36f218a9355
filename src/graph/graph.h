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

#define NNR__SRCS 5

typedef struct nnr__node {
	nnr__op op;
	nnr__extent extent;
	int cols;		/* shape: (extent, cols) */
	nnr__id src[NNR__SRCS];
	/* attributes; which ones count is the op's business */
	const nnr__mat *mat;	/* EMBED, LINEAR */
	const float *vec;	/* RMSNORM: weight; ROPE: inverse freqs */
	float eps;
	int heads, kv_heads, dim, layer;
	bool tender;		/* LINEAR: keeps two-term codes in `fast` */
	float *grad;		/* LINEAR, OUTER: of a learned matrix */
	const char *weight;	/* LINEAR: what the matrix is, or NULL */
	bool inverse;		/* ROPE: turns back */
	bool stored;		/* ATTENTION: k, v are in the pages already */
	const char *site;	/* name of the place, or NULL */
	int entry;		/* > 0: what block `entry` starts from */
} nnr__node;

typedef struct nnr__graph {
	nnr__node *node;	/* node[0] is unused */
	int nodes;
	size_t cap;
	int layers, kv_heads, dim;
	/* with gradients: nodes before `seed` are the forward pass */
	nnr__id seed, embed_grad;
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
/* Says which of layer `layer`'s matrices a product is by: "attn_q", ... */
void nnr__weight(nnr__graph *g, nnr__id x, const char *name, int layer);
int nnr__graph_finish(nnr__graph *g, nnr_error *err);

/* ---- learned matrices beside frozen ones (lora.c) ----
 * y = x W^T becomes y = x W^T + (x A^T) B^T where the weight of a layer is
 * named; A is [rank][K], B [N][rank], F32, rank a multiple of 16. */
typedef struct nnr__lora {
	const char *weight;
	int layer;
	nnr__mat a, b;
	float *a_grad, *b_grad;	/* NULL: not learned */
} nnr__lora;
/* A copy of g with the products of `lora` in it.  NNR_E_INPUT: no product
 * is by a weight of that name. */
int nnr__graph_lora(nnr__graph **out, const nnr__graph *g,
		    const nnr__lora *lora, int loras, nnr_error *err);

/* ---- gradients (grad.c) ---- */
/* Where learnable data enters f; nothing upstream of it gets a gradient. */
typedef struct nnr__learns {
	bool embed;		/* rows at the embedding */
	bool deep;		/* rows at the input of later blocks */
	bool kv;		/* key/value rows before the text */
	bool weights;		/* matrices of nnr__graph_lora */
	/* Blocks, counted from the last, whose activations are kept; those
	 * of the others are computed again when their turn comes. */
	int kept;
} nnr__learns;
/* A copy of g, same numbers, with the nodes of the gradient appended. */
int nnr__graph_grad(nnr__graph **out, const nnr__graph *g,
		    const nnr__learns *learns, nnr_error *err);

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
size_t nnr__seq_bytes(const nnr__seq *q);	/* of its pages */
void nnr__seq_truncate(nnr__seq *q, int len);
/* Saves the rows of q, or maps saved ones as a new sequence.  `key` names
 * everything they depend on; a file with another key is refused (0: none
 * there or not usable, 1: mapped). */
int nnr__seq_save(const nnr__seq *q, const char *path, const char *key,
		  nnr_error *err);
int nnr__seq_map(nnr__store *s, nnr__seq **q, const char *path,
		 const char *key, nnr_error *err);

/* ---- running ---- */
/* What a program puts at sites of f.  Row -1 - t of `soft` stands where a
 * token t is negative. */
typedef struct nnr__sites {
	const float *soft;	/* [softs][hidden] at `embed` */
	int softs;
	/* Rows that replace those of tokens -1 - j, deep_from <= j <
	 * deep_from + deeps, at the input of every block but the first:
	 * [layers - 1][deeps][hidden]. */
	const float *deep;
	int deep_from, deeps;
	/* Added to the embedding of tokens >= 0 at positions shift_from on:
	 * [shifts][hidden]. */
	const float *shift;
	int shift_from, shifts;
} nnr__sites;

/* Their gradients: sums over rows, ascending; NULL: not wanted. */
typedef struct nnr__site_grads {
	float *soft, *deep, *shift;	/* as nnr__sites */
	/* [layers][2][kvs][kv_heads * dim]: of the key/value rows at
	 * positions 0 .. kvs - 1 */
	float *kv;
	int kvs;
} nnr__site_grads;

/* A run of rows: n consecutive positions of one sequence, from its length
 * on; after the chunk the sequence is n longer.  For gradients see below. */
typedef struct nnr__run {
	nnr__seq *seq;
	int n;
	int parent;		/* run + 1 whose rows come before, 0: none */
	int from;		/* first position that gets a gradient */
} nnr__run;

typedef struct nnr__chunk {
	const int32_t *token;	/* one per row, runs one after the other */
	const nnr__run *run;
	int runs, rows;
	const int32_t *want;	/* ascending row numbers */
	int wants;
	const nnr__sites *sites;	/* NULL: none */
	bool claimed;		/* the sequences hold their rows already */
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
/* ---- with gradients: e runs a graph of nnr__graph_grad ----
 * A run's rows may follow those of a parent run in the same chunk: the
 * caller claims the parent's rows, forks, and claims the child's; positions
 * follow from the sequences.  Rows of the parent are run once; children add
 * to their gradient in order of runs. */
/* Room for n rows that a claimed chunk fills; false: no memory. */
bool nnr__seq_claim(nnr__seq *q, int n);
/* Appends n positions: kv [layers][2][n][kv_heads * dim], keys as rope
 * leaves them.  False: no memory. */
bool nnr__seq_put(nnr__seq *q, const float *kv, int n);
/* All rows of q, in the same layout with n its length. */
void nnr__seq_get(const nnr__seq *q, float *kv);
/* The forward pass; features as nnr__exec_run. */
int nnr__exec_forward(nnr__exec *e, const nnr__chunk *c,
		      const float **features, nnr_error *err);
/* What a block took in, rows x hidden, after nnr__exec_forward. */
const float *nnr__exec_block_in(const nnr__exec *e, int block);
/* Where to write the gradient of the features (wants x hidden). */
float *nnr__exec_seed(nnr__exec *e);
/* The backward pass of the chunk that ran last; adds to what `grads` has. */
int nnr__exec_backward(nnr__exec *e, const nnr__site_grads *grads,
		       nnr_error *err);
/* dx[r] = dlogits[r] . head, fp32: the head's gradient; N columns of dlogits
 * from n0 on, added to dx if add. */
void nnr__exec_head_back(nnr__exec *e, const float *dlogits, size_t ld,
			 int rows, const nnr__mat *head, float *dx, bool add);

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
