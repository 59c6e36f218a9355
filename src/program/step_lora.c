/* SPDX-License-Identifier: Apache-2.0
 *
 * lora: low-rank matrices beside weights of every block (Hu et al. 2021).
 * This changes what f computes, not how the task is presented to it: the
 * parameter-centric alternative that programs are measured against.
 *
 * Tensors of a weight of K columns and N rows: ID.WEIGHT.a [layers][rank][K],
 * uniform in +-1/sqrt(K), and ID.WEIGHT.b [layers][N][rank], zero; what is
 * added is alpha / rank * x A^T B^T.  The products run on copies padded to
 * sixteens, with the factor in B.
 */
#include "program/learn.h"
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PAD 32		/* a width that kernels take for rows and columns */

typedef struct pair {
	const char *weight;
	int rows, cols;
	nnr__ptensor *a, *b;
	float *pad_a, *pad_b;		/* [layers][width][K], [N][width] */
	float *grad_a, *grad_b;
} pair;

typedef struct args {
	nnr__strings weights;
	int64_t rank, seed;
	double alpha;
	bool learn;
	/* bound */
	pair *pair;
	nnr__lora *lora;		/* [pairs][layers] */
	nnr__graph *graph;
	int width, layers;
	float *pads;
	size_t values;			/* of pads; as many gradients follow */
} args;

static const nnr__param params[] = {
	{ .name = "weights", .type = NNR__P_STRINGS,
	  .at = offsetof(args, weights), .fallback = "[attn_q, attn_v]",
	  .help = "of attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, "
		  "ffn_down" },
	{ .name = "rank", .type = NNR__P_INT, .at = offsetof(args, rank),
	  .fallback = "8", .min = 1, .max = 256, .help = "of the matrices" },
	{ .name = "alpha", .type = NNR__P_NUMBER, .at = offsetof(args, alpha),
	  .fallback = "16", .min = 1e-6, .max = 1e6,
	  .help = "what they add is times alpha / rank" },
	{ .name = "learn", .type = NNR__P_BOOL, .at = offsetof(args, learn),
	  .fallback = "yes", .help = "whether training changes them" },
	{ .name = "seed", .type = NNR__P_INT, .at = offsetof(args, seed),
	  .fallback = "1", .min = 0, .max = 9e15, .help = "of the start" },
	{ .name = NULL }
};

/* ---- the weights ---- */

static const nnr__mat *weight_of(const nnr_program *p, const char *name)
{
	const nnr__graph *g = p->model->bb->graph;

	for (int i = 1; i < g->nodes; i++)
		if (g->node[i].weight && !strcmp(g->node[i].weight, name))
			return g->node[i].mat;
	return NULL;
}

static int find_weight(nnr_program *p, nnr__step *s, int i, nnr_error *err)
{
	static const char *const names[] = {
		"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate",
		"ffn_up", "ffn_down", NULL
	};
	args *a = s->args;
	const char *name = a->weights.s[i];
	const nnr__mat *m = weight_of(p, name);
	char hint[160];

	for (int k = 0; k < i; k++)
		if (strcmp(a->weights.s[k], name) == 0)
			return nnr__fail_step(p, s, "weights", err, "`%.40s` "
					      "twice", name);
	if (!m)
		return nnr__fail_step(p, s, "weights", err, "the model has no "
				      "`%.40s`%s", name,
				      nnr__hint(hint, sizeof(hint), name,
						names));
	a->pair[i].weight = name;
	a->pair[i].rows = m->rows;
	a->pair[i].cols = m->cols;
	return 0;
}

/* ---- tensors ---- */

static void start_a(nnr__ptensor *t, uint64_t seed, int cols)
{
	double most = 1 / sqrt((double)cols);
	uint64_t stream = nnr__hash64(t->name, strlen(t->name), 0);

	for (size_t i = 0; i < t->n; i++)
		t->value[i] = (float)(most * (2 * nnr__rng_uniform(seed,
			stream, i) - 1));
}

static int declare(nnr_program *p, nnr__step *s, pair *w, nnr_error *err)
{
	const args *a = s->args;
	int64_t da[] = { a->layers, a->rank, w->cols };
	int64_t db[] = { a->layers, w->rows, a->rank };
	nnr__buf name = { 0 };

	nnr__buf_addf(&name, "%s.a", w->weight);
	if (!name.bad)
		w->a = nnr__tensor_add(p, s, name.p, 3, da, a->learn, err);
	nnr__buf_clear(&name);
	nnr__buf_addf(&name, "%s.b", w->weight);
	if (w->a && !name.bad)
		w->b = nnr__tensor_add(p, s, name.p, 3, db, a->learn, err);
	nnr__buf_release(&name);
	if (!w->a || !w->b)
		return nnr__fail_memory(err, "a tensor", sizeof(*w));
	start_a(w->a, (uint64_t)a->seed, w->cols);
	return 0;
}

/* ---- the padded copies ---- */

static size_t values_of(const args *a, const pair *w)
{
	return (size_t)a->layers * (size_t)a->width *
	       ((size_t)w->rows + (size_t)w->cols);
}

static nnr__mat mat_of(const float *data, int rows, int cols)
{
	return (nnr__mat){ .type = NNR__F32, .rows = rows, .cols = cols,
			   .row_bytes = (size_t)cols * sizeof(float),
			   .data = (const uint8_t *)data };
}

static void place(args *a, pair *w, float *at)
{
	nnr__lora *l = a->lora + (w - a->pair) * a->layers;
	size_t each_a = (size_t)a->width * (size_t)w->cols;
	size_t each_b = (size_t)a->width * (size_t)w->rows;

	w->pad_a = at;
	w->pad_b = at + each_a * (size_t)a->layers;
	w->grad_a = w->pad_a + a->values;
	w->grad_b = w->pad_b + a->values;
	for (int i = 0; i < a->layers; i++) {
		size_t k = (size_t)i;

		l[i] = (nnr__lora){ .weight = w->weight, .layer = i,
			.a = mat_of(w->pad_a + k * each_a, a->width, w->cols),
			.b = mat_of(w->pad_b + k * each_b, w->rows, a->width),
		};
		if (a->learn) {
			l[i].a_grad = w->grad_a + k * each_a;
			l[i].b_grad = w->grad_b + k * each_b;
		}
	}
}

static int make_pads(nnr_program *p, args *a, nnr_error *err)
{
	float *at;

	a->values = 0;
	for (int i = 0; i < a->weights.n; i++)
		a->values += values_of(a, &a->pair[i]);
	a->lora = nnr__calloc((size_t)a->weights.n * (size_t)a->layers,
			      sizeof(*a->lora));
	at = a->pads = nnr__aligned(2 * a->values * sizeof(float));
	if (!a->lora || !a->pads)
		return nnr__fail_memory(err, "low-rank matrices", a->values);
	memset(a->pads, 0, 2 * a->values * sizeof(float));
	for (int i = 0; i < a->weights.n; i++) {
		place(a, &a->pair[i], at);
		at += values_of(a, &a->pair[i]);
	}
	return nnr__graph_lora(&a->graph, p->model->bb->graph, a->lora,
			       a->weights.n * a->layers, err);
}

static void release(nnr__step *s)
{
	args *a = s->args;

	nnr__graph_free(a->graph);
	nnr__aligned_free(a->pads);
	free(a->lora);
	free(a->pair);
	a->graph = NULL;
	a->pads = NULL;
	a->lora = NULL;
	a->pair = NULL;
}

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	int rc = 0;

	release(s);
	a->layers = p->model->bb->layers;
	a->width = ((int)a->rank + PAD - 1) / PAD * PAD;
	a->pair = nnr__calloc((size_t)a->weights.n, sizeof(*a->pair));
	if (!a->pair)
		return nnr__fail_memory(err, "low-rank matrices", 0);
	for (int i = 0; i < a->weights.n && !rc; i++)
		rc = find_weight(p, s, i, err);
	for (int i = 0; i < a->weights.n && !rc; i++)
		rc = declare(p, s, &a->pair[i], err);
	rc = rc ? rc : make_pads(p, a, err);
	if (rc)
		return rc;
	return nnr__claim_graph(p, s, a->graph, a->pads, a->values, a->learn,
				err);
}

/* ---- there and back ---- */

static void pad_pair(const args *a, pair *w)
{
	size_t layers = (size_t)a->layers, rank = (size_t)a->rank;
	size_t width = (size_t)a->width, cols = (size_t)w->cols;
	size_t rows = layers * (size_t)w->rows;
	float factor = (float)(a->alpha / (double)a->rank);

	for (size_t l = 0; l < layers; l++)
		memcpy(w->pad_a + l * width * cols,
		       w->a->value + l * rank * cols,
		       rank * cols * sizeof(float));
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i < rank; i++)
			w->pad_b[r * width + i] = factor *
				w->b->value[r * rank + i];
}

static int lower(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;

	(void)p;
	(void)err;
	for (int i = 0; i < a->weights.n; i++)
		pad_pair(a, &a->pair[i]);
	memset(a->pads + a->values, 0, a->values * sizeof(float));
	return 0;
}

static void back_pair(const args *a, pair *w)
{
	size_t layers = (size_t)a->layers, rank = (size_t)a->rank;
	size_t width = (size_t)a->width, cols = (size_t)w->cols;
	size_t rows = layers * (size_t)w->rows;
	float factor = (float)(a->alpha / (double)a->rank);

	for (size_t l = 0; l < layers; l++)
		for (size_t i = 0; i < rank * cols; i++)
			w->a->grad[l * rank * cols + i] +=
				w->grad_a[l * width * cols + i];
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i < rank; i++)
			w->b->grad[r * rank + i] += factor *
				w->grad_b[r * width + i];
}

static int lower_back(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;

	(void)p;
	(void)err;
	for (int i = 0; i < a->weights.n && a->learn; i++)
		back_pair(a, &a->pair[i]);
	return 0;
}

/* It stands in the prompt without a text of its own. */
static int render(nnr__render *r, const nnr__step *s, nnr_error *err)
{
	(void)r;
	(void)s;
	(void)err;
	return 0;
}

const nnr__step_row nnr__step_lora = {
	.name = "lora",
	.help = "low-rank matrices beside weights: parameter-centric",
	.input = true, .takes = NNR__K_ITEM, .gives = NNR__K_TEXT,
	.location = "hidden", .adapt = "learnable",
	.operation = "parametric", .paradigm = "PCA",
	.needs = "gradient", .param = params, .args = sizeof(args),
	.tensors = tensors, .lower = lower, .lower_back = lower_back,
	.render = render, .release = release
};
