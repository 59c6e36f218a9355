/* SPDX-License-Identifier: Apache-2.0
 *
 * lora.c: low-rank matrices beside frozen ones (LoRA; Hu et al. 2021), as
 * nodes: the product by A, and the product by B on top of what was there.
 */
#include "graph/graph_int.h"

#include <stdlib.h>
#include <string.h>

static const nnr__lora *beside(const nnr__node *n, const nnr__lora *lora,
			       int loras)
{
	for (int i = 0; n->weight && i < loras; i++)
		if (lora[i].layer == n->layer &&
		    strcmp(lora[i].weight, n->weight) == 0)
			return &lora[i];
	return NULL;
}

/* Node n of the old graph; its sites stay at what the pair gives. */
static nnr__id copy_node(nnr__graph *g, nnr__node n, const nnr__lora *l)
{
	nnr__node down, up;
	nnr__id y, t;

	if (!l)
		return nnr__graph_append(g, n);
	down = up = (nnr__node){ .op = NNR__OP_LINEAR, .extent = n.extent };
	up.site = n.site;
	up.entry = n.entry;
	n.site = NULL;
	n.entry = 0;
	y = nnr__graph_append(g, n);
	down.cols = l->a.rows;
	down.mat = &l->a;
	down.grad = l->a_grad;
	down.src[0] = n.src[0];
	t = nnr__graph_append(g, down);
	up.cols = l->b.rows;
	up.mat = &l->b;
	up.grad = l->b_grad;
	up.src[0] = t;
	up.src[1] = y;
	return nnr__graph_append(g, up);
}

static int check(const nnr__graph *g, const nnr__lora *l, nnr_error *err)
{
	for (int i = 1; i < g->nodes; i++) {
		const nnr__node *n = &g->node[i];

		if (beside(n, l, 1) != l)
			continue;
		if (n->mat->rows == l->b.rows && n->mat->cols == l->a.cols &&
		    l->a.rows == l->b.cols && l->a.rows % 16 == 0)
			return 0;
		return nnr__fail(err, NNR_E_INPUT, "a low-rank pair of %d x "
				 "%d beside %s, which is %d x %d", l->b.rows,
				 l->a.cols, l->weight, n->mat->rows,
				 n->mat->cols);
	}
	return nnr__fail(err, NNR_E_INPUT, "the model has no weight %s in "
			 "layer %d", l->weight, l->layer);
}

int nnr__graph_lora(nnr__graph **out, const nnr__graph *g,
		    const nnr__lora *lora, int loras, nnr_error *err)
{
	nnr__graph *c = nnr__graph_new();
	nnr__id *now = nnr__calloc((size_t)g->nodes, sizeof(*now));
	int rc = 0;

	*out = NULL;
	if (!c || !now)
		rc = nnr__fail_memory(err, "the graph", sizeof(*c));
	for (int i = 0; i < loras && !rc; i++)
		rc = check(g, &lora[i], err);
	for (int i = 1; i < g->nodes && !rc; i++) {
		nnr__node n = g->node[i];

		for (int s = 0; s < NNR__SRCS; s++)
			n.src[s] = now[n.src[s]];
		now[i] = copy_node(c, n, beside(&n, lora, loras));
		if (c->bad)
			rc = nnr__fail_memory(err, "the graph", sizeof(n));
	}
	free(now);
	if (rc) {
		nnr__graph_free(c);
		return rc;
	}
	c->layers = g->layers;
	c->kv_heads = g->kv_heads;
	c->dim = g->dim;
	*out = c;
	return 0;
}
