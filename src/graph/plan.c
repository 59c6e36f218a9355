/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c: which slot holds each node's rows, which products run on codes,
 * and where threads have to wait for each other.
 *
 * Slots are shared between nodes of the same width and extent only, so that
 * row r of every node in a slot is the same memory: threads that own
 * different rows can then run ahead of each other without harm.
 */
#include "graph/graph_int.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

int nnr__terms(const nnr__mat *w, nnr_precision mode, bool tender,
	       const nnr__kernels *k)
{
	if (mode == NNR_EXACT || !nnr__dtypes[w->type].coded)
		return 0;
	return tender ? 2 : k->plain_terms;
}

void *nnr__bump_take(nnr__bump *b, size_t bytes)
{
	void *p = b->p ? b->p + b->used : NULL;

	/* 64 bytes of distance keep equal rows of neighbours off one set */
	b->used += (bytes + 127) / 64 * 64;
	return p;
}

void nnr__codes_carve(nnr__bump *b, nnr__codes *c, int rows, int cols)
{
	size_t n = (size_t)rows * (size_t)cols, blocks = n / 32;

	c->ld = cols;
	c->hi = nnr__bump_take(b, n);
	c->lo = nnr__bump_take(b, n);
	c->d = nnr__bump_take(b, blocks * sizeof(float));
	c->sum1 = nnr__bump_take(b, blocks * sizeof(float));
	c->sum2 = nnr__bump_take(b, blocks * sizeof(float));
	c->isum = nnr__bump_take(b, blocks * sizeof(int32_t));
	c->isum_lo = nnr__bump_take(b, blocks * sizeof(int32_t));
}

/* ---- slots ---- */

static void last_uses(const nnr__graph *g, int *last)
{
	for (int i = 0; i < g->nodes; i++)
		last[i] = i;
	for (int i = 1; i < g->nodes; i++)
		for (int s = 0; s < NNR__SRCS; s++)
			if (g->node[i].src[s])
				last[g->node[i].src[s]] = i;
	last[g->nodes - 1] = INT_MAX;
	if (!g->seed)
		return;
	/* the caller reads the features while it writes the seed */
	if (last[g->seed - 1] < g->seed)
		last[g->seed - 1] = g->seed;
	last[g->embed_grad] = INT_MAX;
}

/* The source whose slot node i may overwrite, or 0. */
static nnr__id in_place(const nnr__graph *g, int i, const int *last)
{
	const nnr__node *n = &g->node[i];
	nnr__id s = 0;

	switch (n->op) {
	case NNR__OP_LINEAR:
	case NNR__OP_LINEAR_BACK:
	case NNR__OP_SCATTER:
		s = n->src[1];
		break;
	case NNR__OP_RMSNORM_BACK:
		s = n->src[2];
		break;
	case NNR__OP_ROPE:
	case NNR__OP_SWIGLU:
	case NNR__OP_SWIGLU_BACK:
	case NNR__OP_ADD:
	case NNR__OP_SITE_BACK:
		s = n->src[0];
		break;
	default:
		break;
	}
	return s && last[s] == i ? s : 0;
}

static int find_slot(nnr__plan *p, const nnr__node *n, const int *busy,
		     int now)
{
	int s;

	for (s = 0; s < p->slots; s++)
		if (p->slot[s].cols == n->cols && busy[s] < now &&
		    p->slot[s].extent == n->extent)
			return s;
	p->slot[s] = (nnr__slot){ .cols = n->cols, .extent = n->extent };
	p->slots++;
	return s;
}

static void place_nodes(nnr__plan *p, const nnr__graph *g, const int *last,
			int *busy)
{
	for (int i = 1; i < g->nodes; i++) {
		nnr__id over = in_place(g, i, last);
		int s = over ? p->slot_of[over] :
			find_slot(p, &g->node[i], busy, i);

		p->slot_of[i] = s;
		busy[s] = last[i];
		if (p->encode[i])
			p->slot[s].coded = true;
	}
}

static void choose_terms(nnr__plan *p, const nnr__graph *g,
			 nnr_precision mode, const nnr__kernels *k)
{
	for (int i = 1; i < g->nodes; i++) {
		const nnr__node *n = &g->node[i];

		if (n->op != NNR__OP_LINEAR)
			continue;
		p->terms[i] = nnr__terms(n->mat, mode, n->tender, k);
		if (p->terms[i])
			p->encode[n->src[0]] = true;
		if (n->mat->cols > p->max_cols)
			p->max_cols = n->mat->cols;
	}
}

/* ---- steps and barriers ---- */

/* What touched a slot since the last barrier.  The pages count as one more
 * slot, the last. */
typedef struct touch {
	bool wrote, read, mixed;	/* mixed: in different splits */
	nnr__split by;
	int cols;
} touch;

typedef struct hazards {
	touch *slot;
	size_t slots;
	bool by_cols;		/* columns are split, not rows */
} hazards;

/* What a step reads or writes; whole: every column of a row, not only the
 * step's own. */
typedef struct access {
	int slot;
	bool write, whole;
} access;

#define ACCESSES (NNR__SRCS + 2)

static bool compatible(const hazards *h, const touch *t,
		       const nnr__step_of *s, int cols, bool whole)
{
	if (s->split == NNR__S_JOBS || t->by == NNR__S_JOBS ||
	    s->split == NNR__S_GATHER || t->mixed)
		return false;
	if (!h->by_cols)
		return true;
	if (s->split == NNR__S_ROWS)
		return t->by == NNR__S_ROWS;
	return !whole && t->by != NNR__S_ROWS && t->cols == cols;
}

static bool clash(const hazards *h, const access *a, const nnr__step_of *s,
		  int cols)
{
	const touch *t = &h->slot[a->slot];

	if (!t->wrote && !(a->write && t->read))
		return false;
	return !compatible(h, t, s, cols, a->whole);
}

static void note(hazards *h, const access *a, const nnr__step_of *s,
		 int cols)
{
	touch *t = &h->slot[a->slot];

	if ((t->wrote || t->read) && (t->by != s->split || t->cols != cols))
		t->mixed = true;
	t->wrote |= a->write;
	t->read |= !a->write;
	t->by = s->split;
	t->cols = cols;
}

/* Sources of a node's own step: [*first, *end), and from where on they are
 * rooms, which it writes. */
static void sources(const nnr__node *n, int *end, int *rooms)
{
	*end = *rooms = NNR__SRCS;
	if (n->op == NNR__OP_ATTENTION)
		*end = 1;
	else if (n->op == NNR__OP_SWIGLU_BACK ||
		 n->op == NNR__OP_ATTENTION_BACK)
		*rooms = 3;
}

static int accesses(const nnr__plan *p, const nnr__graph *g,
		    const nnr__step_of *s, access *a)
{
	const nnr__node *n = &g->node[s->id];
	bool product = n->op == NNR__OP_LINEAR ||
		       n->op == NNR__OP_LINEAR_BACK;
	int count = 0, first = 0, end, rooms;

	sources(n, &end, &rooms);
	if (s->work == NNR__W_STORE)
		first = 1, end = 3;
	else if (s->work == NNR__W_REDUCE)
		first = rooms;
	else if (s->work == NNR__W_ENCODE)
		end = 0;
	for (int i = first; i < end; i++)
		if (n->src[i])
			a[count++] = (access){ p->slot_of[n->src[i]],
					       i >= rooms,
					       product && i == 0 };
	if (s->work == NNR__W_NODE && s->split == NNR__S_JOBS)
		a[count++] = (access){ p->slots, false, true };
	if (s->work == NNR__W_STORE)
		a[count++] = (access){ p->slots, true, false };
	else if (s->work != NNR__W_REDUCE)
		a[count++] = (access){ p->slot_of[s->id], true, false };
	return count;
}

static bool check_step(const nnr__plan *p, const nnr__graph *g, hazards *h,
		       const nnr__step_of *s)
{
	int cols = g->node[s->id].cols, n;
	access a[ACCESSES];
	bool wait = s->split == NNR__S_JOBS;

	n = accesses(p, g, s, a);
	for (int i = 0; i < n; i++)
		wait |= clash(h, &a[i], s, cols);
	if (wait)
		memset(h->slot, 0, h->slots * sizeof(*h->slot));
	for (int i = 0; i < n; i++)
		note(h, &a[i], s, cols);
	return wait;
}

static nnr__split split_of(nnr__op op)
{
	switch (op) {
	case NNR__OP_LINEAR:
	case NNR__OP_LINEAR_BACK:
		return NNR__S_COLS;
	case NNR__OP_SWIGLU:
	case NNR__OP_SWIGLU_BACK:
	case NNR__OP_ADD:
		return NNR__S_ALIGNED;
	case NNR__OP_WANTED:
		return NNR__S_GATHER;
	case NNR__OP_ATTENTION:
	case NNR__OP_ATTENTION_BACK:
	case NNR__OP_SCATTER:
	case NNR__OP_SITE_BACK:
	case NNR__OP_OUTER:
		return NNR__S_JOBS;
	default:
		return NNR__S_ROWS;
	}
}

/* An attention job writes the columns of its query heads: when those are
 * not whole blocks of 32, codes are made in a step of their own. */
bool nnr__encode_late(const nnr__plan *p, const nnr__graph *g, nnr__id i)
{
	const nnr__node *n = &g->node[i];

	return n->op == NNR__OP_ATTENTION && p->encode[i] &&
	       n->heads / n->kv_heads * n->dim % 32;
}

static void add_step(nnr__plan *p, nnr__id id, nnr__work work,
		     nnr__extent extent, nnr__split split)
{
	p->step[p->steps++] = (nnr__step_of){ .id = id, .work = work,
					      .extent = extent,
					      .split = split };
}

static void list_steps(nnr__plan *p, const nnr__graph *g)
{
	for (int i = 1; i < g->nodes; i++) {
		const nnr__node *n = &g->node[i];

		if (i == g->seed)
			p->forward_steps = p->steps;
		if (n->op == NNR__OP_SEED || n->op == NNR__OP_ROOM)
			continue;
		if (n->op == NNR__OP_ATTENTION && !n->stored)
			add_step(p, i, NNR__W_STORE, NNR__ROWS, NNR__S_ROWS);
		add_step(p, i, NNR__W_NODE, n->extent, split_of(n->op));
		if (n->op == NNR__OP_ATTENTION_BACK)
			add_step(p, i, NNR__W_REDUCE, NNR__ROWS,
				 NNR__S_JOBS);
		if (nnr__encode_late(p, g, i))
			add_step(p, i, NNR__W_ENCODE, n->extent, NNR__S_ROWS);
	}
	if (!g->seed)
		p->forward_steps = p->steps;
}

static int order_steps(nnr__plan *p, const nnr__graph *g, nnr_error *err)
{
	size_t slots = (size_t)p->slots + 1;
	hazards rows = { .slots = slots }, by_cols = { .slots = slots,
						       .by_cols = true };

	list_steps(p, g);
	rows.slot = nnr__calloc(slots, sizeof(*rows.slot));
	by_cols.slot = nnr__calloc(slots, sizeof(*by_cols.slot));
	for (int i = 0; rows.slot && by_cols.slot && i < p->steps; i++) {
		nnr__step_of *s = &p->step[i];

		s->barrier_rows = check_step(p, g, &rows, s);
		s->barrier_cols = check_step(p, g, &by_cols, s);
	}
	free(rows.slot);
	free(by_cols.slot);
	if (!rows.slot || !by_cols.slot)
		return nnr__fail_memory(err, "plan", slots);
	return 0;
}

int nnr__plan_make(nnr__plan *p, const nnr__graph *g, nnr_precision mode,
		   const nnr__kernels *k, nnr_error *err)
{
	size_t n = (size_t)g->nodes;
	int *work = nnr__calloc(n, 2 * sizeof(int)), rc;

	memset(p, 0, sizeof(*p));
	p->slot_of = nnr__calloc(n, sizeof(int));
	p->terms = nnr__calloc(n, sizeof(int));
	p->tail = nnr__calloc(n, sizeof(*p->tail));
	p->encode = nnr__calloc(n, sizeof(bool));
	p->slot = nnr__calloc(n, sizeof(*p->slot));
	p->step = nnr__calloc(3 * n, sizeof(*p->step));
	if (!work || !p->slot_of || !p->terms || !p->tail || !p->encode ||
	    !p->slot || !p->step) {
		free(work);
		return nnr__fail_memory(err, "plan", n);
	}
	choose_terms(p, g, mode, k);
	last_uses(g, work);
	for (size_t i = 0; i < n; i++)
		work[n + i] = -1;
	place_nodes(p, g, work, work + n);
	free(work);
	p->nodes = g->nodes;
	rc = order_steps(p, g, err);
	if (rc)
		return rc;
	for (int i = 1; i < g->nodes; i++) {
		if (g->node[i].op != NNR__OP_LINEAR)
			continue;
		rc = nnr__tail_make(&p->tail[i], g->node[i].mat, err);
		if (rc)
			return rc;
	}
	return 0;
}

void nnr__plan_release(nnr__plan *p)
{
	for (int i = 0; p->tail && i < p->nodes; i++)
		nnr__tail_release(&p->tail[i]);
	free(p->tail);
	free(p->slot_of);
	free(p->terms);
	free(p->encode);
	free(p->slot);
	free(p->step);
	memset(p, 0, sizeof(*p));
}
