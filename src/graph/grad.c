/* SPDX-License-Identifier: Apache-2.0
 *
 * grad.c: appends the gradient of a graph to a copy of it.
 *
 * Walks the nodes backwards; each op says how the gradient of its result
 * becomes one of its sources.  Only what lies downstream of learnable data
 * gets a gradient, and no weight ever does.  A source's gradient grows by
 * being passed on as the last operand of the op that adds to it, so that sums
 * have one order.
 *
 * Values of the forward pass are read through act(): in blocks whose
 * activations are not kept it appends the nodes that compute them again from
 * the block's input, with the same bits.
 */
#include "graph/graph_int.h"

#include <stdlib.h>
#include <string.h>

typedef struct grad {
	nnr__graph *g;
	int forward;		/* nodes of the forward pass, plus one */
	nnr__id *of;		/* node -> gradient so far, or 0 */
	nnr__id *again;		/* node -> the node that has its value */
	bool *needs;
	int *block;		/* node -> block it is in */
	bool *input;		/* node is what a block starts from */
	const nnr__learns *learns;
} grad;

/* ---- what is where ---- */

static void find_blocks(grad *w)
{
	int block = 0;

	for (int i = 1; i < w->forward; i++) {
		const nnr__node *n = &w->g->node[i];

		w->block[i] = block;
		w->input[i] = n->op == NNR__OP_EMBED || n->entry;
		if (n->entry)
			block = n->entry;
	}
}

/* Rows may be given here: the input of a block but the first. */
static bool deep_entry(const grad *w, const nnr__node *n)
{
	return n->entry > 0 && n->entry < w->g->layers;
}

static void find_needs(grad *w)
{
	const nnr__learns *l = w->learns;

	for (int i = 1; i < w->forward; i++) {
		const nnr__node *n = &w->g->node[i];
		bool need = (n->op == NNR__OP_EMBED && l->embed) ||
			    (n->op == NNR__OP_ATTENTION && l->kv) ||
			    (n->op == NNR__OP_LINEAR && n->grad) ||
			    (l->deep && deep_entry(w, n));

		for (int s = 0; s < NNR__SRCS; s++)
			need = need || (n->src[s] && w->needs[n->src[s]]);
		w->needs[i] = need;
	}
}

/* ---- values of the forward pass ---- */

static nnr__id act(grad *w, nnr__id i)
{
	nnr__node n = w->g->node[i];

	if (w->input[i] || w->block[i] >= w->g->layers - w->learns->kept)
		return i;
	if (w->again[i])
		return w->again[i];
	if (n.op == NNR__OP_ATTENTION) {
		n.stored = true;
		n.src[1] = n.src[2] = 0;
	}
	for (int s = 0; s < NNR__SRCS; s++)
		if (n.src[s])
			n.src[s] = act(w, n.src[s]);
	n.site = NULL;
	n.entry = 0;
	w->again[i] = nnr__graph_append(w->g, n);
	return w->again[i];
}

/* ---- one op back ---- */

static void pass_on(grad *w, nnr__id to, nnr__id dy)
{
	const nnr__node *n = &w->g->node[dy];

	if (!w->needs[to])
		return;
	w->of[to] = !w->of[to] ? dy :
		nnr__graph_append(w->g, (nnr__node){ .op = NNR__OP_ADD,
			.extent = n->extent, .cols = n->cols,
			.src = { w->of[to], dy } });
}

static nnr__id room(grad *w, nnr__extent x, int cols)
{
	return nnr__graph_append(w->g, (nnr__node){
		.op = NNR__OP_ROOM, .extent = x, .cols = cols });
}

static void linear_back(grad *w, const nnr__node *n, nnr__id dy)
{
	nnr__id x = n->src[0];

	if (n->src[1])
		pass_on(w, n->src[1], dy);
	if (n->grad)
		nnr__graph_append(w->g, (nnr__node){
			.op = NNR__OP_OUTER, .extent = n->extent,
			.cols = n->mat->rows, .grad = n->grad,
			.src = { act(w, x), dy } });
	if (w->needs[x])
		w->of[x] = nnr__graph_append(w->g, (nnr__node){
			.op = NNR__OP_LINEAR_BACK, .extent = n->extent,
			.cols = n->mat->cols, .src = { dy, w->of[x] },
			.mat = n->mat });
}

static void rmsnorm_back(grad *w, const nnr__node *n, nnr__id dy)
{
	nnr__id x = n->src[0];

	if (w->needs[x])
		w->of[x] = nnr__graph_append(w->g, (nnr__node){
			.op = NNR__OP_RMSNORM_BACK, .extent = n->extent,
			.cols = n->cols, .vec = n->vec, .eps = n->eps,
			.src = { act(w, x), dy, w->of[x] } });
}

static void swiglu_back(grad *w, const nnr__node *n, nnr__id dy)
{
	nnr__id gate = act(w, n->src[0]), up = act(w, n->src[1]);
	nnr__id du = room(w, n->extent, n->cols);
	nnr__id dg = nnr__graph_append(w->g, (nnr__node){
		.op = NNR__OP_SWIGLU_BACK, .extent = n->extent,
		.cols = n->cols, .src = { gate, up, dy, du } });

	pass_on(w, n->src[0], dg);
	pass_on(w, n->src[1], du);
}

static void attention_back(grad *w, nnr__id i, const nnr__node *n,
			   nnr__id dy)
{
	nnr__id o = act(w, i), q = act(w, n->src[0]);
	int kv = n->kv_heads * n->dim;
	nnr__id dk = room(w, NNR__ROWS, kv), dv = room(w, NNR__ROWS, kv);
	nnr__id dq = nnr__graph_append(w->g, (nnr__node){
		.op = NNR__OP_ATTENTION_BACK, .extent = n->extent,
		.cols = n->cols, .src = { q, o, dy, dk, dv },
		.heads = n->heads, .kv_heads = n->kv_heads, .dim = n->dim,
		.layer = n->layer });

	pass_on(w, n->src[0], dq);
	pass_on(w, n->src[1], dk);
	pass_on(w, n->src[2], dv);
}

static void rope_back(grad *w, const nnr__node *n, nnr__id dy)
{
	nnr__node turn = *n;

	turn.src[0] = dy;
	turn.inverse = true;
	if (w->needs[n->src[0]])
		pass_on(w, n->src[0], nnr__graph_append(w->g, turn));
}

static void wanted_back(grad *w, const nnr__node *n, nnr__id dy)
{
	nnr__id x = n->src[0];

	if (w->needs[x])
		w->of[x] = nnr__graph_append(w->g, (nnr__node){
			.op = NNR__OP_SCATTER, .extent = NNR__ROWS,
			.cols = n->cols, .src = { dy, w->of[x] } });
}

static nnr__id site_back(grad *w, nnr__id i, nnr__id dy)
{
	const nnr__node *n = &w->g->node[i];

	if (!w->learns->deep || !deep_entry(w, n))
		return dy;
	return nnr__graph_append(w->g, (nnr__node){
		.op = NNR__OP_SITE_BACK, .extent = n->extent,
		.cols = n->cols, .src = { dy }, .entry = n->entry });
}

static void back(grad *w, nnr__id i)
{
	nnr__node n = w->g->node[i];
	nnr__id dy = w->of[i] ? site_back(w, i, w->of[i]) : 0;

	if (!dy || !w->needs[i] || w->g->bad)
		return;
	w->of[i] = dy;
	switch (n.op) {
	case NNR__OP_LINEAR: linear_back(w, &n, dy); break;
	case NNR__OP_RMSNORM: rmsnorm_back(w, &n, dy); break;
	case NNR__OP_SWIGLU: swiglu_back(w, &n, dy); break;
	case NNR__OP_ATTENTION: attention_back(w, i, &n, dy); break;
	case NNR__OP_ROPE: rope_back(w, &n, dy); break;
	case NNR__OP_WANTED: wanted_back(w, &n, dy); break;
	case NNR__OP_EMBED: w->g->embed_grad = dy; break;
	default:
		nnr__fail(&w->g->err, NNR_E_UNSUPPORTED,
			  "graph: no gradient for op %d", (int)n.op);
		w->g->bad = true;
	}
}

/* ---- all of it ---- */

static nnr__graph *copy_of(const nnr__graph *g)
{
	nnr__graph *c = nnr__graph_new();

	if (!c)
		return NULL;
	*c = *g;
	c->cap = (size_t)g->nodes;
	c->node = nnr__calloc(c->cap, sizeof(*c->node));
	if (!c->node) {
		free(c);
		return NULL;
	}
	memcpy(c->node, g->node, c->cap * sizeof(*c->node));
	return c;
}

static int walk_back(grad *w, nnr_error *err)
{
	nnr__graph *g = w->g;
	int last = w->forward - 1;

	find_blocks(w);
	find_needs(w);
	if (!w->needs[last])
		return nnr__fail(err, NNR_E_USAGE, "nothing that is learned "
				 "reaches f");
	g->seed = nnr__graph_append(g, (nnr__node){ .op = NNR__OP_SEED,
		.extent = g->node[last].extent, .cols = g->node[last].cols });
	w->of[last] = g->seed;
	for (int i = last; i > 0 && !g->bad; i--)
		back(w, i);
	if (g->bad) {
		if (err)
			*err = g->err;
		return g->err.code;
	}
	return 0;
}

int nnr__graph_grad(nnr__graph **out, const nnr__graph *g,
		    const nnr__learns *learns, nnr_error *err)
{
	size_t n = (size_t)g->nodes;
	grad w = { .g = copy_of(g), .forward = g->nodes, .learns = learns };
	int rc;

	*out = NULL;
	w.of = nnr__calloc(n, 2 * sizeof(*w.of));
	w.again = w.of ? w.of + n : NULL;
	w.block = nnr__calloc(n, sizeof(*w.block));
	w.needs = nnr__calloc(n, 2 * sizeof(*w.needs));
	w.input = w.needs ? w.needs + n : NULL;
	if (!w.g || !w.of || !w.block || !w.needs)
		rc = nnr__fail_memory(err, "gradients", n * sizeof(nnr__node));
	else
		rc = walk_back(&w, err);
	free(w.of);
	free(w.block);
	free(w.needs);
	if (rc)
		nnr__graph_free(w.g);
	else
		*out = w.g;
	return rc;
}
