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
		for (int s = 0; s < 3; s++)
			if (g->node[i].src[s])
				last[g->node[i].src[s]] = i;
	last[g->nodes - 1] = INT_MAX;
}

/* The source whose slot node i may overwrite, or 0. */
static nnr__id in_place(const nnr__graph *g, int i, const int *last)
{
	const nnr__node *n = &g->node[i];
	nnr__id s = n->op == NNR__OP_LINEAR ? n->src[1] :
		    n->op == NNR__OP_ROPE || n->op == NNR__OP_SWIGLU ?
		    n->src[0] : 0;

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

#define MAX_SLOTS 64
#define PAGES MAX_SLOTS		/* the pages count as one more slot */

/* What touched a slot since the last barrier. */
typedef struct touch {
	bool wrote, read, mixed;	/* mixed: in different splits */
	nnr__split by;
	int cols;
} touch;

typedef struct hazards {
	touch slot[MAX_SLOTS + 1];
	bool by_cols;		/* columns are split, not rows */
} hazards;

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

/* whole: every column of the row is read, not only the step's own. */
static bool clash(const hazards *h, int slot, bool write,
		  const nnr__step_of *s, int cols, bool whole)
{
	const touch *t = &h->slot[slot];

	if (!t->wrote && !(write && t->read))
		return false;
	return !compatible(h, t, s, cols, whole);
}

static void note(hazards *h, int slot, bool write, const nnr__step_of *s,
		 int cols)
{
	touch *t = &h->slot[slot];

	if ((t->wrote || t->read) && (t->by != s->split || t->cols != cols))
		t->mixed = true;
	t->wrote |= write;
	t->read |= !write;
	t->by = s->split;
	t->cols = cols;
}

static bool check_step(nnr__plan *p, const nnr__graph *g, hazards *h,
		       const nnr__step_of *s)
{
	const nnr__node *n = &g->node[s->id];
	bool store = s->work == NNR__W_STORE;
	bool att = n->op == NNR__OP_ATTENTION;
	int out = store ? PAGES : p->slot_of[s->id];
	bool wait = clash(h, out, true, s, n->cols, false);
	bool late = s->work == NNR__W_ENCODE;
	int first = store ? 1 : 0, end = late ? 0 : att && !store ? 1 : 3;

	for (int i = first; i < end; i++)
		if (n->src[i])
			wait |= clash(h, p->slot_of[n->src[i]], false, s,
				      n->cols, n->op == NNR__OP_LINEAR &&
				      i == 0);
	if (att && !store && !late)
		wait |= clash(h, PAGES, false, s, n->cols, true);
	if (wait)
		memset(h->slot, 0, sizeof(h->slot));
	for (int i = first; i < end; i++)
		if (n->src[i])
			note(h, p->slot_of[n->src[i]], false, s, n->cols);
	note(h, out, true, s, n->cols);
	return wait;
}

static nnr__split split_of(nnr__op op)
{
	switch (op) {
	case NNR__OP_LINEAR: return NNR__S_COLS;
	case NNR__OP_SWIGLU: return NNR__S_ALIGNED;
	case NNR__OP_WANTED: return NNR__S_GATHER;
	case NNR__OP_ATTENTION: return NNR__S_JOBS;
	default: return NNR__S_ROWS;
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

static void order_steps(nnr__plan *p, const nnr__graph *g)
{
	hazards rows = { .by_cols = false }, by_cols = { .by_cols = true };

	for (int i = 1; i < g->nodes; i++) {
		if (g->node[i].op == NNR__OP_ATTENTION)
			p->step[p->steps++] = (nnr__step_of){
				.id = i, .work = NNR__W_STORE,
				.extent = NNR__ROWS, .split = NNR__S_ROWS };
		p->step[p->steps++] = (nnr__step_of){
			.id = i, .extent = g->node[i].extent,
			.split = split_of(g->node[i].op) };
		if (nnr__encode_late(p, g, i))
			p->step[p->steps++] = (nnr__step_of){
				.id = i, .work = NNR__W_ENCODE,
				.extent = g->node[i].extent,
				.split = NNR__S_ROWS };
	}
	for (int i = 0; i < p->steps; i++) {
		nnr__step_of *s = &p->step[i];

		s->barrier_rows = check_step(p, g, &rows, s);
		s->barrier_cols = check_step(p, g, &by_cols, s);
	}
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
	if (p->slots > MAX_SLOTS)
		return nnr__fail(err, NNR_E_UNSUPPORTED,
				 "graph needs %d slots, %d is the most",
				 p->slots, MAX_SLOTS);
	order_steps(p, g);
	p->nodes = g->nodes;
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
