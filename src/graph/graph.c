/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.c: the builders, each with its shape rule.
 *
 * A builder that meets a wrong shape or no memory records the first error
 * and returns 0; later builders pass 0 on, so an architecture reads as
 * straight lines and asks once, in nnr__graph_finish.
 */
#include "graph/graph_int.h"

#include <stdlib.h>
#include <string.h>

static const char *const op_name[] = {
#define OP(name, arity, doc) #name,
#include "graph/ops.def"
#undef OP
};

nnr__graph *nnr__graph_new(void)
{
	nnr__graph *g = nnr__calloc(1, sizeof(*g));

	if (g)
		g->nodes = 1;	/* node 0 is "none" */
	return g;
}

void nnr__graph_free(nnr__graph *g)
{
	if (!g)
		return;
	free(g->node);
	free(g);
}

static nnr__id broken(nnr__graph *g, nnr__op op, const char *why, int a,
		      int b)
{
	if (!g->bad)
		nnr__fail(&g->err, NNR_E_FORMAT, "graph: %s (node %d): %s, "
			  "%d against %d", op_name[op], g->nodes, why, a, b);
	g->bad = true;
	return 0;
}

nnr__id nnr__graph_append(nnr__graph *g, nnr__node n)
{
	if (g->bad)
		return 0;
	if (!nnr__grow(&g->node, &g->cap, (size_t)g->nodes, sizeof(n))) {
		nnr__fail_memory(&g->err, "graph", sizeof(n));
		g->bad = true;
		return 0;
	}
	g->node[g->nodes] = n;
	return g->nodes++;
}

static int cols(const nnr__graph *g, nnr__id x)
{
	return x > 0 && x < g->nodes ? g->node[x].cols : -1;
}

static nnr__extent extent(const nnr__graph *g, nnr__id x)
{
	return x > 0 && x < g->nodes ? g->node[x].extent : NNR__ROWS;
}

nnr__id nnr__embed(nnr__graph *g, const nnr__mat *table)
{
	return nnr__graph_append(g, (nnr__node){ .op = NNR__OP_EMBED,
					.cols = table->cols, .mat = table });
}

nnr__id nnr__rmsnorm(nnr__graph *g, nnr__id x, const float *w, float eps)
{
	if (!x)
		return 0;
	return nnr__graph_append(g, (nnr__node){ .op = NNR__OP_RMSNORM,
					.extent = extent(g, x),
					.cols = cols(g, x), .src = { x },
					.vec = w, .eps = eps });
}

nnr__id nnr__linear(nnr__graph *g, nnr__id x, const nnr__mat *w, nnr__id r,
		    bool tender)
{
	if (!x || g->bad)
		return 0;
	if (cols(g, x) != w->cols)
		return broken(g, NNR__OP_LINEAR, "input columns", cols(g, x),
			      w->cols);
	if (r && cols(g, r) != w->rows)
		return broken(g, NNR__OP_LINEAR, "residual columns",
			      cols(g, r), w->rows);
	if (r && extent(g, r) != extent(g, x))
		return broken(g, NNR__OP_LINEAR, "residual extent",
			      (int)extent(g, r), (int)extent(g, x));
	return nnr__graph_append(g, (nnr__node){ .op = NNR__OP_LINEAR,
					.extent = extent(g, x),
					.cols = w->rows, .src = { x, r },
					.mat = w, .tender = tender });
}

nnr__id nnr__rope(nnr__graph *g, nnr__id x, int dim, const float *inv)
{
	if (!x || g->bad)
		return 0;
	if (dim <= 0 || dim % 2 || cols(g, x) % dim)
		return broken(g, NNR__OP_ROPE, "head size", cols(g, x), dim);
	return nnr__graph_append(g, (nnr__node){ .op = NNR__OP_ROPE,
					.extent = extent(g, x),
					.cols = cols(g, x), .src = { x },
					.vec = inv, .dim = dim,
					.heads = cols(g, x) / dim });
}

nnr__id nnr__attention(nnr__graph *g, nnr__id q, nnr__id k, nnr__id v,
		       int heads, int kv_heads, int layer)
{
	int dim;

	if (!q || !k || !v || g->bad)
		return 0;
	if (heads <= 0 || kv_heads <= 0 || heads % kv_heads)
		return broken(g, NNR__OP_ATTENTION, "heads", heads, kv_heads);
	dim = cols(g, q) / heads;
	if (dim * heads != cols(g, q) || dim % 16 || dim > 256)
		return broken(g, NNR__OP_ATTENTION, "query columns",
			      cols(g, q), heads);
	if (cols(g, k) != dim * kv_heads || cols(g, v) != dim * kv_heads)
		return broken(g, NNR__OP_ATTENTION, "key columns", cols(g, k),
			      dim * kv_heads);
	if (extent(g, k) != NNR__ROWS || extent(g, v) != NNR__ROWS)
		return broken(g, NNR__OP_ATTENTION, "key extent", 1, 0);
	if (g->layers && (g->kv_heads != kv_heads || g->dim != dim))
		return broken(g, NNR__OP_ATTENTION, "key/value heads differ "
			      "from another layer's", kv_heads, g->kv_heads);
	g->kv_heads = kv_heads;
	g->dim = dim;
	if (layer >= g->layers)
		g->layers = layer + 1;
	return nnr__graph_append(g, (nnr__node){ .op = NNR__OP_ATTENTION,
					.extent = extent(g, q),
					.cols = cols(g, q),
					.src = { q, k, v }, .heads = heads,
					.kv_heads = kv_heads, .dim = dim,
					.layer = layer });
}

nnr__id nnr__swiglu(nnr__graph *g, nnr__id gate, nnr__id up)
{
	if (!gate || !up || g->bad)
		return 0;
	if (cols(g, gate) != cols(g, up) || extent(g, gate) != extent(g, up))
		return broken(g, NNR__OP_SWIGLU, "columns", cols(g, gate),
			      cols(g, up));
	return nnr__graph_append(g, (nnr__node){ .op = NNR__OP_SWIGLU,
					.extent = extent(g, gate),
					.cols = cols(g, gate),
					.src = { gate, up } });
}

nnr__id nnr__wanted(nnr__graph *g, nnr__id x)
{
	if (!x || g->bad)
		return 0;
	if (extent(g, x) != NNR__ROWS)
		return broken(g, NNR__OP_WANTED, "extent", 1, 0);
	return nnr__graph_append(g, (nnr__node){ .op = NNR__OP_WANTED,
					.extent = NNR__WANTED,
					.cols = cols(g, x), .src = { x } });
}

void nnr__site(nnr__graph *g, nnr__id x, const char *name)
{
	if (x > 0 && x < g->nodes)
		g->node[x].site = name;
}

void nnr__weight(nnr__graph *g, nnr__id x, const char *name, int layer)
{
	if (x <= 0 || x >= g->nodes)
		return;
	g->node[x].weight = name;
	g->node[x].layer = layer;
}

/* Sites "block.N.out" are what block N + 1 starts from. */
static void find_entries(nnr__graph *g)
{
	int block = 0;

	for (int i = 1; i < g->nodes; i++) {
		const char *site = g->node[i].site;
		size_t n = site ? strlen(site) : 0;

		if (n > 4 && !strncmp(site, "block.", 6) &&
		    !strcmp(site + n - 4, ".out"))
			g->node[i].entry = ++block;
	}
}

int nnr__graph_finish(nnr__graph *g, nnr_error *err)
{
	find_entries(g);
	if (!g->bad && g->nodes < 2)
		broken(g, NNR__OP_NONE, "no nodes", 0, 1);
	if (!g->bad && g->node[g->nodes - 1].extent != NNR__WANTED)
		broken(g, g->node[g->nodes - 1].op,
		       "the last node must hold the wanted rows", 0, 1);
	if (!g->bad)
		return 0;
	if (err)
		*err = g->err;
	return g->err.code;
}
