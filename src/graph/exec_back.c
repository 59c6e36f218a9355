/* SPDX-License-Identifier: Apache-2.0
 *
 * exec_back.c: runs the gradient's ops, and lays out the runs they need.
 *
 * The keys of a run's rows are seen by the run itself and by the runs after
 * it (its descendants).  A job computes the gradient of all keys one run sees
 * for one head; those of its own rows go to their place, those before go to
 * a part of `shared` that is the job's alone.  A step behind the jobs adds
 * them up in order of runs, so sums do not depend on who was faster.
 */
#include "graph/graph_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

static int most_heads(const nnr__graph *g)
{
	int heads = 0;

	for (int i = 1; i < g->nodes; i++)
		if (g->node[i].op == NNR__OP_ATTENTION &&
		    g->node[i].heads > heads)
			heads = g->node[i].heads;
	return heads;
}

void nnr__train_carve(nnr__exec *e, nnr__bump *b)
{
	nnr__train *t = &e->train;
	size_t rows = (size_t)e->max_rows, each;

	t->heads = most_heads(e->g);
	each = (size_t)t->max_positions * (size_t)e->g->dim;
	t->span = nnr__bump_take(b, rows * sizeof(*t->span));
	t->run_of = nnr__bump_take(b, rows * sizeof(*t->run_of));
	t->lse = nnr__bump_take(b, (size_t)e->g->layers * rows *
				(size_t)t->heads * sizeof(float));
	t->cs = nnr__bump_take(b, rows * (size_t)e->rope_dim * sizeof(float));
	t->dkv = nnr__bump_take(b, (size_t)e->threads * 4 * each *
				sizeof(float));
	t->job = nnr__bump_take(b, rows * (size_t)e->g->kv_heads *
				sizeof(*t->job));
}

void nnr__train_release(nnr__exec *e)
{
	free(e->train.desc);
	nnr__aligned_free(e->train.shared);
}

/* ---- the runs of a chunk ---- */

static void find_spans(nnr__exec *e, const nnr__chunk *c)
{
	nnr__train *t = &e->train;
	int row = 0, want = 0, at = 0;

	for (int i = 0; i < c->runs; i++) {
		nnr__span_of *s = &t->span[i];

		*s = (nnr__span_of){ .row = row, .pos0 = e->pos[row],
				     .want = want, .from = c->run[i].from };
		for (int r = 0; r < c->run[i].n; r++)
			t->run_of[row + r] = i;
		row += c->run[i].n;
		while (want < c->wants && c->want[want] < row)
			want++;
		s->wants = want - s->want;
		s->heads_at = at;
		at += s->pos0 - s->from;
	}
}

/* The runs after each run, ascending; false: no memory. */
static bool find_descendants(nnr__exec *e, const nnr__chunk *c)
{
	nnr__train *t = &e->train;
	int n = 0;

	for (int i = 0; i < c->runs; i++)
		for (int a = c->run[i].parent; a; a = c->run[a - 1].parent)
			t->span[a - 1].descs++;
	for (int i = 0; i < c->runs; i++) {
		t->span[i].desc = n;
		n += t->span[i].descs;
		t->span[i].descs = 0;
	}
	while (t->desc_cap < (size_t)n)
		if (!nnr__grow(&t->desc, &t->desc_cap, (size_t)n,
			       sizeof(*t->desc)))
			return false;
	for (int i = 0; i < c->runs; i++)
		for (int a = c->run[i].parent; a; a = c->run[a - 1].parent) {
			nnr__span_of *s = &t->span[a - 1];

			t->desc[s->desc + s->descs++] = i;
		}
	return true;
}

static size_t shared_floats(const nnr__exec *e, const nnr__chunk *c)
{
	const nnr__span_of *s = &e->train.span[c->runs - 1];

	return (size_t)(s->heads_at + s->pos0 - s->from) *
	       (size_t)e->g->kv_heads * 2 * (size_t)e->g->dim;
}

int nnr__train_lay_out(nnr__exec *e, const nnr__chunk *c, nnr_error *err)
{
	nnr__train *t = &e->train;
	size_t need;

	find_spans(e, c);
	if (!find_descendants(e, c))
		return nnr__fail_memory(err, "runs", t->desc_cap);
	need = shared_floats(e, c);
	if (t->shared_cap < need) {
		nnr__aligned_free(t->shared);
		t->shared_cap = 0;
		t->shared = nnr__aligned(need * sizeof(float));
		if (!t->shared)
			return nnr__fail_memory(err, "gradients", need);
		t->shared_cap = need;
	}
	t->jobs = 0;
	for (int i = 0; i < c->runs; i++)
		for (int h = 0; h < e->g->kv_heads; h++)
			t->job[t->jobs++] = (nnr__back_job){ i, h };
	return 0;
}

/* Gradients of the keys and values before run i, of one head:
 * [pos - from][2][dim]. */
static float *shared_of(const nnr__exec *e, int run, int head)
{
	const nnr__span_of *s = &e->train.span[run];
	size_t before = (size_t)(s->pos0 - s->from);

	return e->train.shared + ((size_t)s->heads_at *
		(size_t)e->g->kv_heads + (size_t)head * before) * 2 *
		(size_t)e->g->dim;
}

/* ---- attention ---- */

static void back_group(const nnr__exec *e, const nnr__node *n, nnr__id id,
		       const nnr__back_job *j, int row, int rows, int pos0,
		       float *dk, float *dv, int thread)
{
	const nnr__slot *q = nnr__slot_of(e, n->src[0]);
	const nnr__slot *o = nnr__slot_of(e, n->src[1]);
	const nnr__slot *dy = nnr__slot_of(e, n->src[2]);
	const nnr__slot *dq = nnr__slot_of(e, id);
	int group = n->heads / n->kv_heads, c0 = j->head * group * n->dim;
	const float **kt = e->page_ptr +
			   (size_t)thread * 2 * (size_t)e->max_pages;
	nnr__attn_back a = {
		.q = nnr__row(q, row) + c0, .ldq = (size_t)q->cols,
		.o = nnr__row(o, row) + c0, .ldo = (size_t)o->cols,
		.dout = nnr__row(dy, row) + c0, .lddout = (size_t)dy->cols,
		.lse = nnr__lse(e, n, row) + j->head * group,
		.ldlse = (size_t)n->heads,
		.dq = nnr__row(dq, row) + c0, .lddq = (size_t)dq->cols,
		.rows = rows, .heads = group, .dim = n->dim, .pos0 = pos0,
		.from = e->train.span[j->run].from,
		.scale = 1.0f / sqrtf((float)n->dim),
		.kt = kt, .v = kt + e->max_pages, .dk = dk, .dv = dv,
	};

	nnr__pages_of(e, n, e->chunk->run[j->run].seq, j->head, pos0 + rows,
		      thread);
	e->k->attention_back(&a, e->scratch + (size_t)thread *
			     e->scratch_each);
}

/* Groups of neighbouring query rows, one after the other; the first n
 * positions from `from` get the sums in acc[0], acc[1]. */
static void back_groups(const nnr__exec *e, const nnr__node *n, nnr__id id,
			const nnr__back_job *j, int thread, float *acc[2])
{
	const nnr__span_of *s = &e->train.span[j->run];
	size_t each = (size_t)e->train.max_positions * (size_t)n->dim;
	int end = n->extent == NNR__WANTED ? s->want + s->wants :
		  s->row + e->chunk->run[j->run].n;
	int r = n->extent == NNR__WANTED ? s->want : s->row;
	bool first = true;

	while (r < end) {
		int row0 = n->extent == NNR__WANTED ? e->chunk->want[r] : r;
		int rows = end - r;
		float *dk = first ? acc[0] : acc[0] + 2 * each;
		float *dv = first ? acc[1] : acc[1] + 2 * each;
		size_t sums;

		if (n->extent == NNR__WANTED)
			for (rows = 1; r + rows < end &&
			     e->chunk->want[r + rows] == row0 + rows; )
				rows++;
		back_group(e, n, id, j, r, rows, e->pos[row0], dk, dv,
			   thread);
		sums = (size_t)(e->pos[row0] + rows - s->from) *
		       (size_t)n->dim;
		for (size_t i = 0; !first && i < sums; i++) {
			acc[0][i] += dk[i];
			acc[1][i] += dv[i];
		}
		first = false;
		r += rows;
	}
}

static void back_job(const nnr__exec *e, const nnr__node *n, nnr__id id,
		     const nnr__back_job *j, int thread)
{
	const nnr__slot *room[2] = { nnr__slot_of(e, n->src[3]),
				     nnr__slot_of(e, n->src[4]) };
	const nnr__span_of *s = &e->train.span[j->run];
	size_t dim = (size_t)n->dim, before = (size_t)(s->pos0 - s->from);
	size_t each = (size_t)e->train.max_positions * dim;
	size_t own = (size_t)e->chunk->run[j->run].n;
	float *shared = shared_of(e, j->run, j->head);
	float *acc[2] = { e->train.dkv + (size_t)thread * 4 * each, NULL };

	acc[1] = acc[0] + each;
	for (int w = 0; w < 2; w++)
		memset(acc[w], 0, (before + own) * dim * sizeof(float));
	back_groups(e, n, id, j, thread, acc);
	for (int w = 0; w < 2; w++) {
		for (size_t i = 0; i < before; i++)
			memcpy(shared + (2 * i + (size_t)w) * dim,
			       acc[w] + i * dim, dim * sizeof(float));
		for (size_t i = 0; i < own; i++)
			memcpy(nnr__row(room[w], s->row + (int)i) +
			       (size_t)j->head * dim,
			       acc[w] + (before + i) * dim,
			       dim * sizeof(float));
	}
}

/* Adds what runs after row r's found for its keys. */
static void reduce_row(const nnr__exec *e, const nnr__node *n, int r)
{
	const nnr__span_of *s = &e->train.span[e->train.run_of[r]];
	size_t dim = (size_t)n->dim;

	for (int i = s->desc; i < s->desc + s->descs; i++) {
		int run = e->train.desc[i];
		int at = e->pos[r] - e->train.span[run].from;

		for (int h = 0; h < n->kv_heads; h++)
			for (int w = 0; w < 2; w++) {
				const float *from = shared_of(e, run, h) +
					(size_t)(2 * at + w) * dim;
				float *to = nnr__row(nnr__slot_of(e,
					n->src[3 + w]), r) + (size_t)h * dim;

				for (size_t d = 0; d < dim; d++)
					to[d] += from[d];
			}
	}
}

/* The gradient of key/value rows before the text: position pos. */
static void reduce_given(const nnr__exec *e, const nnr__node *n, int pos)
{
	const nnr__site_grads *g = e->train.grads;
	size_t dim = (size_t)n->dim, cols = (size_t)n->kv_heads * dim;

	for (int run = 0; run < e->chunk->runs; run++)
		for (int h = 0; h < n->kv_heads; h++)
			for (int w = 0; w < 2; w++) {
				const float *from = shared_of(e, run, h) +
					(size_t)(2 * pos + w) * dim;
				float *to = g->kv + ((size_t)(2 * n->layer +
					w) * (size_t)g->kvs + (size_t)pos) *
					cols + (size_t)h * dim;

				for (size_t d = 0; d < dim; d++)
					to[d] += from[d];
			}
}

static void reduce(const nnr__exec *e, const nnr__node *n, int id)
{
	const nnr__site_grads *g = e->train.grads;
	int rows = e->rows[NNR__ROWS];

	for (int r = rows * id / e->threads;
	     r < rows * (id + 1) / e->threads; r++)
		reduce_row(e, n, r);
	for (int p = id; g->kv && p < g->kvs; p += e->threads)
		reduce_given(e, n, p);
}

/* ---- rows of sites ---- */

static void scatter(const nnr__exec *e, const nnr__node *n, nnr__id id,
		    int c0, int c1)
{
	const nnr__slot *dy = nnr__slot_of(e, n->src[0]);
	const nnr__slot *base = n->src[1] ? nnr__slot_of(e, n->src[1]) : NULL;
	const nnr__slot *y = nnr__slot_of(e, id);
	size_t bytes = (size_t)(c1 - c0) * sizeof(float);

	for (int r = 0; r < e->rows[NNR__ROWS] && base != y; r++)
		if (base)
			memcpy(nnr__row(y, r) + c0, nnr__row(base, r) + c0,
			       bytes);
		else
			memset(nnr__row(y, r) + c0, 0, bytes);
	for (int i = 0; i < e->rows[NNR__WANTED]; i++) {
		float *to = nnr__row(y, e->chunk->want[i]);

		for (int c = c0; c < c1; c++)
			to[c] += nnr__row(dy, i)[c];
	}
}

static void site_back(const nnr__exec *e, const nnr__node *n, nnr__id id,
		      int c0, int c1)
{
	const nnr__slot *dy = nnr__slot_of(e, n->src[0]);
	const nnr__slot *y = nnr__slot_of(e, id);
	const nnr__sites *s = e->chunk->sites;
	size_t cols = (size_t)n->cols, bytes = (size_t)(c1 - c0) *
					       sizeof(float);
	float *grad = e->train.grads->deep;

	if (grad)
		grad += (size_t)(n->entry - 1) * (size_t)s->deeps * cols;
	for (int r = 0; r < e->rows[NNR__ROWS]; r++) {
		int32_t t = e->chunk->token[r];
		int j = -1 - t - s->deep_from;

		if (t >= 0 || j < 0 || j >= s->deeps) {
			if (y != dy)
				memcpy(nnr__row(y, r) + c0,
				       nnr__row(dy, r) + c0, bytes);
			continue;
		}
		for (int c = c0; grad && c < c1; c++)
			grad[(size_t)j * cols + (size_t)c] +=
				nnr__row(dy, r)[c];
		memset(nnr__row(y, r) + c0, 0, bytes);
	}
}

void nnr__train_embed(nnr__exec *e)
{
	const nnr__site_grads *g = e->train.grads;
	const nnr__sites *s = e->chunk->sites;
	const nnr__slot *dy;

	if (!e->g->embed_grad || !s)
		return;
	dy = nnr__slot_of(e, e->g->embed_grad);
	for (int r = 0; r < e->rows[NNR__ROWS]; r++) {
		int32_t t = e->chunk->token[r];
		int at = e->pos[r] - s->shift_from;
		float *to = NULL;

		if (t < 0 && g->soft)
			to = g->soft + (size_t)(-1 - t) * (size_t)dy->cols;
		else if (t >= 0 && g->shift && at >= 0 && at < s->shifts)
			to = g->shift + (size_t)at * (size_t)dy->cols;
		for (int c = 0; to && c < dy->cols; c++)
			to[c] += nnr__row(dy, r)[c];
	}
}

/* A thread takes rows of the matrix, so every sum is its alone. */
static void outer(const nnr__exec *e, const nnr__node *n, int c0, int c1)
{
	const nnr__slot *x = nnr__slot_of(e, n->src[0]);
	const nnr__slot *dy = nnr__slot_of(e, n->src[1]);

	if (c0 < c1)
		e->k->outer(dy->rows + c0, (size_t)dy->cols, c1 - c0,
			    x->rows, (size_t)x->cols, x->cols,
			    e->rows[n->extent], n->grad +
			    (size_t)c0 * (size_t)x->cols, (size_t)x->cols);
}

/* ---- dispatch ---- */

void nnr__train_jobs(nnr__exec *e, const nnr__step_of *s, int id)
{
	const nnr__node *n = &e->g->node[s->id];
	atomic_int *next = &e->next_job[s - e->plan.step];
	int i, c0, c1;

	nnr__col_part(n->cols, id, e->threads, &c0, &c1);
	if (s->work == NNR__W_REDUCE)
		reduce(e, n, id);
	else if (n->op == NNR__OP_SCATTER)
		scatter(e, n, s->id, c0, c1);
	else if (n->op == NNR__OP_OUTER)
		outer(e, n, c0, c1);
	else if (n->op == NNR__OP_SITE_BACK)
		site_back(e, n, s->id, c0, c1);
	else
		while ((i = atomic_fetch_add_explicit(next, 1,
				memory_order_relaxed)) < e->train.jobs)
			back_job(e, n, s->id, &e->train.job[i], id);
}

static void do_linear_back(const nnr__exec *e, const nnr__block *b)
{
	const nnr__node *n = b->node;
	const nnr__slot *dy = nnr__slot_of(e, n->src[0]);
	const nnr__slot *y = nnr__slot_of(e, b->step->id);
	const nnr__slot *base = n->src[1] ? nnr__slot_of(e, n->src[1]) : NULL;

	for (int r = b->r0; base && base != y && r < b->r1; r++)
		memcpy(nnr__row(y, r) + b->c0, nnr__row(base, r) + b->c0,
		       (size_t)(b->c1 - b->c0) * sizeof(float));
	e->k->linear_back(n->mat, b->c0, b->c1, nnr__row(dy, b->r0),
			  (size_t)dy->cols, b->r1 - b->r0,
			  nnr__row(y, b->r0), (size_t)y->cols, base != NULL,
			  e->scratch + (size_t)b->id * e->scratch_each);
}

static void do_rmsnorm_back(const nnr__exec *e, const nnr__block *b)
{
	const nnr__node *n = b->node;
	const nnr__slot *x = nnr__slot_of(e, n->src[0]);
	const nnr__slot *dy = nnr__slot_of(e, n->src[1]);
	const nnr__slot *y = nnr__slot_of(e, b->step->id);
	const nnr__slot *base = n->src[2] ? nnr__slot_of(e, n->src[2]) : NULL;

	for (int r = b->r0; r < b->r1; r++) {
		if (base && base != y)
			memcpy(nnr__row(y, r), nnr__row(base, r),
			       (size_t)n->cols * sizeof(float));
		e->k->rmsnorm_back(nnr__row(x, r), n->vec, nnr__row(dy, r),
				   n->cols, n->eps, base != NULL,
				   nnr__row(y, r));
	}
}

static void do_swiglu_back(const nnr__exec *e, const nnr__block *b)
{
	const nnr__node *n = b->node;
	const nnr__slot *g = nnr__slot_of(e, n->src[0]);
	const nnr__slot *u = nnr__slot_of(e, n->src[1]);
	const nnr__slot *dy = nnr__slot_of(e, n->src[2]);
	const nnr__slot *du = nnr__slot_of(e, n->src[3]);
	const nnr__slot *dg = nnr__slot_of(e, b->step->id);

	for (int r = b->r0; r < b->r1; r++)
		e->k->swiglu_back(nnr__row(g, r) + b->c0,
				  nnr__row(u, r) + b->c0,
				  nnr__row(dy, r) + b->c0, b->c1 - b->c0,
				  nnr__row(dg, r) + b->c0,
				  nnr__row(du, r) + b->c0);
}

static void do_add(const nnr__exec *e, const nnr__block *b)
{
	const nnr__slot *x = nnr__slot_of(e, b->node->src[0]);
	const nnr__slot *z = nnr__slot_of(e, b->node->src[1]);
	const nnr__slot *y = nnr__slot_of(e, b->step->id);

	for (int r = b->r0; r < b->r1; r++)
		for (int c = b->c0; c < b->c1; c++)
			nnr__row(y, r)[c] = nnr__row(x, r)[c] +
					    nnr__row(z, r)[c];
}

void nnr__train_block(const nnr__exec *e, const nnr__block *b)
{
	switch (b->node->op) {
	case NNR__OP_LINEAR_BACK: do_linear_back(e, b); break;
	case NNR__OP_RMSNORM_BACK: do_rmsnorm_back(e, b); break;
	case NNR__OP_SWIGLU_BACK: do_swiglu_back(e, b); break;
	case NNR__OP_ADD: do_add(e, b); break;
	default: break;		/* shared out by itself */
	}
}
