/* SPDX-License-Identifier: Apache-2.0
 *
 * exec_ops.c: one runner per op, on any block of rows and columns.
 *
 * A block is rows r0..r1 and columns c0..c1 of the output; an op that works
 * row by row ignores the columns.  After a block is done its codes are made
 * if a product will read them.
 */
#include "graph/graph_int.h"

#include <math.h>
#include <string.h>

static void encode(const nnr__exec *e, nnr__id n, int r0, int r1, int c0,
		   int c1)
{
	const nnr__slot *s = nnr__slot_of(e, n);

	if (!e->plan.encode[n])
		return;
	for (int r = r0; r < r1; r++)
		e->k->encode(nnr__row(s, r) + c0, c1 - c0, &s->codes, r, c0);
}

static int position_row(const nnr__exec *e, const nnr__node *n, int r)
{
	return n->extent == NNR__WANTED ? e->chunk->want[r] : r;
}

static void add_shift(const nnr__exec *e, const nnr__sites *s, int r,
		      float *y, int n)
{
	int at = e->pos[r] - s->shift_from;
	const float *row = s->shift + (size_t)at * (size_t)n;

	if (at < 0 || at >= s->shifts)
		return;
	for (int i = 0; i < n; i++)
		y[i] += row[i];
}

static void do_embed(const nnr__exec *e, const nnr__block *b)
{
	const nnr__mat *m = b->node->mat;
	const nnr__slot *y = nnr__slot_of(e, b->step->id);
	const nnr__sites *sites = e->chunk->sites;
	size_t n = (size_t)m->cols;

	for (int r = b->r0; r < b->r1; r++) {
		int32_t t = e->chunk->token[r];

		if (t < 0) {
			memcpy(nnr__row(y, r), sites->soft + (size_t)(-1 - t) *
			       n, n * sizeof(float));
			continue;
		}
		e->k->unpack(m->type, m->data + (size_t)t * m->row_bytes,
			     m->cols, nnr__row(y, r));
		if (sites && sites->shift)
			add_shift(e, sites, r, nnr__row(y, r), m->cols);
	}
}

/* Rows given at the input of a block take the place of what is there. */
static void put_deep(const nnr__exec *e, const nnr__block *b)
{
	const nnr__sites *s = e->chunk->sites;
	const nnr__slot *y = nnr__slot_of(e, b->step->id);
	size_t n = (size_t)y->cols;
	const float *rows;

	if (!s || !s->deep || b->node->entry < 1 ||
	    b->node->entry >= e->g->layers)
		return;
	rows = s->deep + (size_t)(b->node->entry - 1) * (size_t)s->deeps * n;
	for (int r = b->r0; r < b->r1; r++) {
		int j = -1 - e->chunk->token[r] - s->deep_from;

		if (e->chunk->token[r] < 0 && j >= 0 && j < s->deeps)
			memcpy(nnr__row(y, r) + b->c0, rows + (size_t)j * n +
			       b->c0, (size_t)(b->c1 - b->c0) *
			       sizeof(float));
	}
}

static void do_rmsnorm(const nnr__exec *e, const nnr__block *b)
{
	const nnr__slot *x = nnr__slot_of(e, b->node->src[0]);
	const nnr__slot *y = nnr__slot_of(e, b->step->id);

	for (int r = b->r0; r < b->r1; r++)
		e->k->rmsnorm(nnr__row(x, r), b->node->vec, x->cols,
			      b->node->eps, nnr__row(y, r));
}

static void do_linear(const nnr__exec *e, const nnr__block *b)
{
	nnr__id id = b->step->id;
	const nnr__node *n = b->node;
	const nnr__slot *x = nnr__slot_of(e, n->src[0]);
	const nnr__slot *y = nnr__slot_of(e, id);
	const nnr__slot *res = n->src[1] ? nnr__slot_of(e, n->src[1]) : NULL;
	nnr__product p = {
		.k = e->k, .w = n->mat, .tail = &e->plan.tail[id],
		.terms = e->plan.terms[id], .codes = &x->codes,
		.row0 = b->r0, .x = nnr__row(x, b->r0), .ldx = (size_t)x->cols,
		.y = nnr__row(y, b->r0), .ldy = (size_t)y->cols,
		.rows = b->r1 - b->r0, .add = res != NULL,
		.scratch = e->scratch + (size_t)b->id * e->scratch_each,
	};

	if (res && res != y)
		for (int r = b->r0; r < b->r1; r++)
			memcpy(nnr__row(y, r) + b->c0, nnr__row(res, r) + b->c0,
			       (size_t)(b->c1 - b->c0) * sizeof(float));
	nnr__product_run(&p, b->c0, b->c1);
	put_deep(e, b);
}

static void do_rope(const nnr__exec *e, const nnr__block *b)
{
	const nnr__slot *x = nnr__slot_of(e, b->node->src[0]);
	const nnr__slot *y = nnr__slot_of(e, b->step->id);

	for (int r = b->r0; r < b->r1; r++) {
		size_t at = (size_t)position_row(e, b->node, r) *
			    (size_t)b->node->dim;

		if (x != y)
			memcpy(nnr__row(y, r), nnr__row(x, r),
			       (size_t)x->cols * sizeof(float));
		e->k->rope(nnr__row(y, r), b->node->heads, b->node->dim,
			   (b->node->inverse ? e->train.cs : e->cs) + at);
	}
}

static void do_swiglu(const nnr__exec *e, const nnr__block *b)
{
	const nnr__slot *g = nnr__slot_of(e, b->node->src[0]);
	const nnr__slot *u = nnr__slot_of(e, b->node->src[1]);
	const nnr__slot *y = nnr__slot_of(e, b->step->id);

	for (int r = b->r0; r < b->r1; r++)
		e->k->swiglu(nnr__row(g, r) + b->c0, nnr__row(u, r) + b->c0,
			     b->c1 - b->c0, nnr__row(y, r) + b->c0);
}

static void do_wanted(const nnr__exec *e, const nnr__block *b)
{
	const nnr__slot *x = nnr__slot_of(e, b->node->src[0]);
	const nnr__slot *y = nnr__slot_of(e, b->step->id);

	for (int r = b->r0; r < b->r1; r++)
		memcpy(nnr__row(y, r), nnr__row(x, e->chunk->want[r]),
		       (size_t)x->cols * sizeof(float));
}

/* Row r of k, v to position `at` of a page. */
static void store_row(const nnr__exec *e, const nnr__node *n, int r,
		      const nnr__seq *q)
{
	const float *k = nnr__row(nnr__slot_of(e, n->src[1]), r);
	const float *v = nnr__row(nnr__slot_of(e, n->src[2]), r);
	int page = e->pos[r] / NNR__PAGE, at = e->pos[r] % NNR__PAGE;
	size_t dim = (size_t)n->dim;

	for (int h = 0; h < n->kv_heads; h++) {
		float *kt = nnr__seq_keys(q, page, n->layer, h);

		for (size_t d = 0; d < dim; d++)
			kt[d * NNR__PAGE + (size_t)at] =
				k[(size_t)h * dim + d];
		memcpy(kt + dim * NNR__PAGE + (size_t)at * dim,
		       v + (size_t)h * dim, dim * sizeof(float));
	}
}

/* Also to the pages of runs whose rows follow these, unless they share. */
static void do_store(const nnr__exec *e, const nnr__block *b)
{
	for (int r = b->r0; r < b->r1; r++) {
		int page = e->pos[r] / NNR__PAGE;
		const nnr__span_of *s;

		store_row(e, b->node, r, e->seq[r]);
		if (!e->g->seed)
			continue;
		s = &e->train.span[e->train.run_of[r]];
		for (int i = s->desc; i < s->desc + s->descs; i++) {
			const nnr__seq *q =
				e->chunk->run[e->train.desc[i]].seq;

			if (q->page[page] != e->seq[r]->page[page])
				store_row(e, b->node, r, q);
		}
	}
}

/* ---- attention jobs ---- */

void nnr__pages_of(const nnr__exec *e, const nnr__node *n,
		   const nnr__seq *q, int head, int positions, int thread)
{
	const float **kt = e->page_ptr +
			   (size_t)thread * 2 * (size_t)e->max_pages;
	const float **v = kt + e->max_pages;

	for (int i = 0; i * NNR__PAGE < positions; i++) {
		kt[i] = nnr__seq_keys(q, i, n->layer, head);
		v[i] = kt[i] + (size_t)n->dim * NNR__PAGE;
	}
}

static void attend(const nnr__exec *e, const nnr__node *n, nnr__id id,
		   const nnr__job *j, int thread)
{
	const nnr__slot *q = nnr__slot_of(e, n->src[0]);
	const nnr__slot *o = nnr__slot_of(e, id);
	int group = n->heads / n->kv_heads, cols = group * n->dim;
	int c0 = j->head * cols;
	const float **kt = e->page_ptr +
			   (size_t)thread * 2 * (size_t)e->max_pages;
	nnr__attn a = {
		.q = nnr__row(q, j->row) + c0, .o = nnr__row(o, j->row) + c0,
		.ldq = (size_t)q->cols, .ldo = (size_t)o->cols,
		.rows = j->rows, .heads = group, .dim = n->dim,
		.pos0 = j->pos0, .scale = 1.0f / sqrtf((float)n->dim),
		.kt = kt, .v = kt + e->max_pages,
	};

	if (e->g->seed) {
		a.lse = nnr__lse(e, n, j->row) + j->head * group;
		a.ldlse = (size_t)n->heads;
	}
	nnr__pages_of(e, n, j->seq, j->head, j->pos0 + j->rows, thread);
	e->k->attention(&a, e->scratch + (size_t)thread * e->scratch_each);
	if (cols % 32 == 0)
		encode(e, id, j->row, j->row + j->rows, c0, c0 + cols);
}

static void do_jobs(nnr__exec *e, const nnr__step_of *s, int thread)
{
	const nnr__node *n = &e->g->node[s->id];
	const nnr__jobs *jobs = &e->jobs[n->extent];
	atomic_int *next = &e->next_job[s - e->plan.step];
	int i;

	if (n->op != NNR__OP_ATTENTION) {
		nnr__train_jobs(e, s, thread);
		return;
	}
	while ((i = atomic_fetch_add_explicit(next, 1,
					      memory_order_relaxed)) <
	       jobs->n)
		attend(e, n, s->id, &jobs->job[i], thread);
}

/* ---- dispatch ---- */

static void run_block(const nnr__exec *e, const nnr__block *b)
{
	if (b->r0 >= b->r1 || b->c0 >= b->c1)
		return;
	if (b->step->work == NNR__W_STORE) {
		do_store(e, b);
		return;
	}
	switch (b->step->work == NNR__W_ENCODE ? NNR__OP_NONE : b->node->op) {
	case NNR__OP_EMBED: do_embed(e, b); break;
	case NNR__OP_RMSNORM: do_rmsnorm(e, b); break;
	case NNR__OP_LINEAR: do_linear(e, b); break;
	case NNR__OP_ROPE: do_rope(e, b); break;
	case NNR__OP_SWIGLU: do_swiglu(e, b); break;
	case NNR__OP_WANTED: do_wanted(e, b); break;
	case NNR__OP_NONE: break;
	default: nnr__train_block(e, b); break;
	}
	encode(e, b->step->id, b->r0, b->r1, b->c0, b->c1);
}

void nnr__exec_rows(nnr__exec *e, const nnr__step_of *s, int r0, int r1,
		    int id)
{
	const nnr__node *n = &e->g->node[s->id];

	if (s->split == NNR__S_JOBS)
		do_jobs(e, s, id);
	else
		run_block(e, &(nnr__block){ s, n, r0, r1, 0, n->cols, id });
}

void nnr__col_part(int n, int id, int threads, int *c0, int *c1)
{
	int units = (n + 31) / 32;

	*c0 = units * id / threads * 32;
	*c1 = units * (id + 1) / threads * 32;
	if (*c1 > n)
		*c1 = n;
}

void nnr__step_cols(nnr__exec *e, const nnr__step_of *s, int id)
{
	const nnr__node *n = &e->g->node[s->id];
	int rows = e->rows[s->extent], c0, c1;

	if (s->split == NNR__S_JOBS) {
		do_jobs(e, s, id);
	} else if (s->split == NNR__S_ROWS || s->split == NNR__S_GATHER) {
		run_block(e, &(nnr__block){ s, n, rows * id / e->threads,
				       rows * (id + 1) / e->threads, 0,
				       n->cols, id });
	} else {
		nnr__col_part(n->cols, id, e->threads, &c0, &c1);
		run_block(e, &(nnr__block){ s, n, 0, rows, c0, c1, id });
	}
}
