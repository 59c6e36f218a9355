/* SPDX-License-Identifier: Apache-2.0
 *
 * graph_int.h: what the files of this folder share.
 */
#ifndef NNR_GRAPH_INT_H
#define NNR_GRAPH_INT_H

#include <stdatomic.h>

#include "graph/graph.h"

/* Adds a node; 0 after an error, the first of which is in g->err. */
nnr__id nnr__graph_append(nnr__graph *g, nnr__node n);

/* ---- store ---- */
typedef struct nnr__page nnr__page;
struct nnr__seq {
	nnr__store *store;
	nnr__page **page;
	int pages, len;
	size_t cap;
};
size_t nnr__store_page_bytes(const nnr__store *s);
/* Pages for n more positions, owned by q; false: no memory or over budget. */
bool nnr__seq_reserve(nnr__seq *q, int n);
/* kt[dim][64] of a page; v[64][dim] follows it. */
float *nnr__seq_keys(const nnr__seq *q, int page, int layer, int head);

/* ---- products with any number of rows in W (product.c) ----
 * Kernels take columns in sixteens.  The last N mod 16 rows of W are kept as
 * a copy padded with zeros. */
typedef struct nnr__tail {
	nnr__mat mat;		/* 16 rows; mat.data NULL: not needed */
	int used, at;		/* rows that count; first column */
} nnr__tail;
int nnr__tail_make(nnr__tail *t, const nnr__mat *w, nnr_error *err);
void nnr__tail_release(nnr__tail *t);

typedef struct nnr__product {
	const nnr__kernels *k;
	const nnr__mat *w;
	const nnr__tail *tail;
	int terms;		/* 0: x, 1 or 2: codes */
	const nnr__codes *codes;
	int row0;		/* of the codes */
	const float *x;
	size_t ldx, ldy;
	float *y;		/* row of the first row at hand */
	int rows;
	bool add;
	void *scratch;
} nnr__product;
void nnr__product_run(const nnr__product *p, int c0, int c1);

/* ---- plan: where every node's rows lie, and what runs in what order ---- */
typedef enum {
	NNR__S_ROWS,	/* works row by row: any split of rows will do */
	NNR__S_COLS,	/* linear: any split of rows or columns */
	NNR__S_ALIGNED,	/* column j needs column j of its sources only */
	NNR__S_GATHER,	/* reads rows another thread may have written */
	NNR__S_JOBS	/* shares the work out by itself */
} nnr__split;

typedef enum {
	NNR__W_NODE,
	NNR__W_STORE,	/* attention: k, v rows to their pages */
	NNR__W_ENCODE,	/* codes of rows whose jobs cut a block of 32 */
	NNR__W_REDUCE	/* gradients of keys that several runs see, added */
} nnr__work;

/* One thing to run.  Attention is two or three: store, attend, encode. */
typedef struct nnr__step_of {
	nnr__id id;
	nnr__work work;
	nnr__extent extent;	/* of the rows it works on */
	nnr__split split;
	bool barrier_rows;	/* wait before it when rows are split */
	bool barrier_cols;	/* wait before it when columns are split */
} nnr__step_of;

typedef struct nnr__slot {
	int cols;
	nnr__extent extent;
	bool coded;		/* holds int8 codes as well */
	float *rows;		/* [max_rows][cols] */
	nnr__codes codes;
} nnr__slot;

typedef struct nnr__plan {
	int *slot_of;		/* node -> slot */
	int *terms;		/* LINEAR: 0 fp32, 1 or 2 terms of codes */
	nnr__tail *tail;	/* LINEAR: see below */
	bool *encode;		/* node: its consumers read codes */
	nnr__slot *slot;
	int slots;
	nnr__step_of *step;
	int steps, forward_steps;
	int max_cols;		/* widest k of a linear */
	int nodes;
} nnr__plan;

int nnr__plan_make(nnr__plan *p, const nnr__graph *g, nnr_precision mode,
		   const nnr__kernels *k, nnr_error *err);
void nnr__plan_release(nnr__plan *p);
bool nnr__encode_late(const nnr__plan *p, const nnr__graph *g, nnr__id i);
/* Terms of codes for a product with w: 0 when it runs in fp32. */
int nnr__terms(const nnr__mat *w, nnr_precision mode, bool tender,
	       const nnr__kernels *k);

/* Carves the slots for max_rows out of one allocation. */
typedef struct nnr__bump { char *p; size_t used; } nnr__bump;
void *nnr__bump_take(nnr__bump *b, size_t bytes);	/* b->p NULL: counts */
void nnr__codes_carve(nnr__bump *b, nnr__codes *c, int rows, int cols);

/* ---- executor ---- */
typedef struct nnr__job {	/* attention: a tile of rows, one kv head */
	const nnr__seq *seq;
	int row, rows, pos0, head;
} nnr__job;

typedef struct nnr__jobs {
	nnr__job *job;
	int n;
} nnr__jobs;

/* Gradient of attention: the queries of a run, one kv head. */
typedef struct nnr__back_job { int run, head; } nnr__back_job;

/* The rows of a run in a chunk with gradients. */
typedef struct nnr__span_of {
	int row, pos0;		/* first row and its position */
	int want, wants;	/* its rows among the wanted ones */
	int from, heads_at;	/* see nnr__train.shared */
	int desc, descs;	/* runs after it: nnr__train.desc */
} nnr__span_of;

/* What an executor has for gradients. */
typedef struct nnr__train {
	nnr__span_of *span;	/* [max_rows] by run */
	int *run_of;		/* [max_rows] row -> run */
	int *desc;		/* descendants of runs, run by run */
	size_t desc_cap;
	float *lse;		/* [layers][max_rows][heads] */
	float *cs;		/* rope pairs that turn back */
	float *dkv;		/* [threads][4][max_positions][dim] */
	int max_positions, heads;
	/* Gradients of keys before a run's own: [run: heads_at + head]
	 * [pos - from][2][dim] */
	float *shared;
	size_t shared_cap;
	nnr__back_job *job;
	int jobs;
	const nnr__site_grads *grads;
} nnr__train;

#define NNR__HEAD_ROWS 32

struct nnr__exec {
	const nnr__graph *g;
	nnr__pool *pool;
	const nnr__kernels *k;
	nnr_precision mode;
	int threads, max_rows, max_pages;
	nnr__plan plan;
	void *arena;
	size_t arena_bytes;
	/* per thread */
	char *scratch;
	size_t scratch_each;
	const float **page_ptr;		/* [threads][2][max_pages] */
	/* the chunk at hand */
	const nnr__chunk *chunk;
	int rows[2];			/* by extent */
	int first, end;			/* steps of the pass at hand */
	int *pos;			/* [max_rows] position of a row */
	nnr__seq **seq;			/* [max_rows] its sequence */
	float *cs;			/* rope pairs, [max_rows][dim] */
	const float *rope_inv;
	int rope_dim;
	nnr__jobs jobs[2];
	atomic_int *next_job;		/* [steps] */
	nnr__train train;		/* with gradients */
	/* head: up to NNR__HEAD_ROWS rows of features at a time */
	nnr__codes head_codes;
	float *head_part;		/* with gradients */
	nnr__tail head_tail;
	const nnr__mat *head_of;	/* the matrix the tail is of */
	float *logits;			/* made on first use, for logz */
	size_t logits_n;
};

/* Sizes and carves what gradients need; lays out a chunk's runs; runs the
 * steps of the gradient (exec_back.c). */
void nnr__train_carve(nnr__exec *e, nnr__bump *b);
void nnr__train_release(nnr__exec *e);
int nnr__train_lay_out(nnr__exec *e, const nnr__chunk *c, nnr_error *err);
/* Blocks of rows and columns of ops that nnr__exec_rows does not know. */
typedef struct nnr__block {
	const nnr__step_of *step;
	const nnr__node *node;
	int r0, r1, c0, c1, id;
} nnr__block;
void nnr__train_block(const nnr__exec *e, const nnr__block *b);
/* Takes the gradient of rows given at the embedding. */
void nnr__train_embed(nnr__exec *e);
/* A step that shares its work out. */
void nnr__train_jobs(nnr__exec *e, const nnr__step_of *s, int id);
/* Pages of a sequence for attention, in the thread's table. */
void nnr__pages_of(const nnr__exec *e, const nnr__node *n,
		   const nnr__seq *q, int head, int positions, int thread);

static inline const nnr__slot *nnr__slot_of(const nnr__exec *e, nnr__id n)
{
	return &e->plan.slot[e->plan.slot_of[n]];
}

static inline float *nnr__row(const nnr__slot *s, int r)
{
	return s->rows + (size_t)r * (size_t)s->cols;
}

static inline float *nnr__lse(const nnr__exec *e, const nnr__node *n, int r)
{
	return e->train.lse + ((size_t)n->layer * (size_t)e->max_rows +
			       (size_t)r) * (size_t)n->heads;
}

/* Runs one step on rows r0..r1 (all columns). */
void nnr__exec_rows(nnr__exec *e, const nnr__step_of *s, int r0, int r1,
		    int id);
/* Runs one step split over columns, or jobs, for thread id. */
void nnr__step_cols(nnr__exec *e, const nnr__step_of *s, int id);
/* Thread id's part of n columns, in multiples of 32. */
void nnr__col_part(int n, int id, int threads, int *c0, int *c1);

#endif
