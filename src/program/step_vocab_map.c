/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_map: the text of a field as symbols of another vocabulary, each a
 * learned sparse combination of the model's own token embeddings (R2DL; Vinod,
 * Chen and Das 2020).  One virtual token per symbol:
 *
 *   row of symbol s = sum over j < k of theta[s][j] E[token[s][j]]
 *
 * Which tokens a symbol draws from is settled at the start.
 */
#include "program/learn.h"
#include "step.h"

#include <math.h>	/* sqrt: exact by definition */
#include <stdlib.h>
#include <string.h>

#define SYMBOLS_MAX 4096
#define SPARSE_MAX 1024

enum { NEAREST, RANDOM };

typedef struct args {
	char *field;
	nnr__strings symbols;
	int64_t sparse, seed;
	int choose;
	bool learn;
	/* bound */
	nnr__ptensor *theta;	/* [symbols][sparse] */
	int32_t *token;		/* the same */
	float *row;		/* [hidden] */
} args;

static const char *const chooses[] = { "nearest", "random", NULL };

/* ---- `form: {sparse: K}` ---- */

static int read_sparse(nnr__src *s, const nnr__ynode *n, void *at)
{
	static const nnr__param sparse = {
		.name = "sparse", .type = NNR__P_INT, .min = 1,
		.max = SPARSE_MAX
	};

	if (n->kind != NNR__Y_MAP || n->count != 1 ||
	    strcmp(n->child->key, "sparse") != 0)
		return nnr__fail_node(s, n, "`form` is {sparse: K}");
	return nnr__param_read(s, n->child, &sparse, at);
}

static void json_sparse(const void *at, nnr__buf *out)
{
	nnr__buf_addf(out, "{\"sparse\":%lld}",
		      (long long)*(const int64_t *)at);
}

static const nnr__own sparse_type = {
	.text = "{sparse: K}", .schema = "\"type\":\"object\"",
	.read = read_sparse, .json = json_sparse
};

static const nnr__param params[] = {
	{ .name = "field", .type = NNR__P_STRING, .required = true,
	  .at = offsetof(args, field), .help = "the input field it reads" },
	{ .name = "symbols", .type = NNR__P_STRINGS, .required = true,
	  .at = offsetof(args, symbols),
	  .help = "the other vocabulary: one text, whose characters they are, "
		  "or a list; in a field the longest one is taken" },
	{ .name = "form", .type = NNR__P_OWN, .own = &sparse_type,
	  .at = offsetof(args, sparse), .fallback = "{sparse: 32}",
	  .help = "how many tokens a symbol is made of" },
	{ .name = "choose", .type = NNR__P_ENUM, .names = chooses,
	  .at = offsetof(args, choose), .fallback = "nearest",
	  .help = "those nearest to the symbol's own embedding, which it "
		  "starts as, or any" },
	{ .name = "learn", .type = NNR__P_BOOL, .at = offsetof(args, learn),
	  .fallback = "yes", .help = "whether training changes the factors" },
	{ .name = "seed", .type = NNR__P_INT, .at = offsetof(args, seed),
	  .fallback = "1", .min = 0, .max = 9e15,
	  .help = "of what is random" },
	{ .name = NULL }
};

/* ---- symbols ---- */

/* The characters of one text as symbols. */
static int split(nnr_program *p, nnr__strings *v, nnr_error *err)
{
	const char *text = v->s[0];
	size_t n = strlen(text), len;
	char **s = nnr__arena_alloc(&p->arena, (n + 1) * sizeof(*s));

	if (!s)
		return nnr__fail_memory(err, "symbols", n);
	v->n = 0;
	for (size_t i = 0; i < n; i += len) {
		nnr__utf8_next(text + i, n - i, &len);
		s[v->n] = nnr__arena_strndup(&p->arena, text + i, len);
		if (!s[v->n++])
			return nnr__fail_memory(err, "symbols", n);
	}
	v->s = s;
	return 0;
}

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	const nnr__field *f = nnr__program_input(p, a->field);
	nnr__strings *v = &a->symbols;
	int rc = v->n == 1 ? split(p, v, err) : 0;

	if (rc)
		return rc;
	if (!f || f->type != NNR__T_STRING)
		return nnr__fail_step(p, s, "field", err, "`%.60s` is not an "
				      "input field of type string", a->field);
	if (v->n < 2 || v->n > SYMBOLS_MAX)
		return nnr__fail_step(p, s, "symbols", err, "%d symbols; 2 to "
				      "%d were expected", v->n, SYMBOLS_MAX);
	for (int i = 0; i < v->n; i++) {
		if (!v->s[i][0])
			return nnr__fail_step(p, s, "symbols", err, "an empty "
					      "symbol");
		for (int j = 0; j < i; j++)
			if (strcmp(v->s[i], v->s[j]) == 0)
				return nnr__fail_step(p, s, "symbols", err,
						      "`%.40s` is there "
						      "twice", v->s[i]);
	}
	return 0;
}

/* The longest symbol at s, or -1. */
static int symbol_at(const nnr__strings *v, const char *s, size_t n,
		     size_t *len)
{
	int best = -1;

	*len = 0;
	for (int i = 0; i < v->n; i++) {
		size_t l = strlen(v->s[i]);

		if (l > *len && l <= n && memcmp(v->s[i], s, l) == 0) {
			*len = l;
			best = i;
		}
	}
	return best;
}

static int fail_symbol(const nnr__render *r, const nnr__step *s,
		       const nnr__value *v, size_t at, nnr_error *err)
{
	size_t len, chars = 1;

	for (size_t i = 0; i < at; i += len, chars++)
		nnr__utf8_next(v->text + i, v->len - i, &len);
	nnr__utf8_next(v->text + at, v->len - at, &len);
	return nnr__fail(err, NNR_E_INPUT, "`%s`: character %zu, `%.*s`, is "
			 "not one of the %d symbols of `%s` (%s)", v->name,
			 chars, (int)len, v->text + at,
			 ((const args *)s->args)->symbols.n, s->id,
			 r->p->path);
}

static int render(nnr__render *r, const nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	const nnr__value *v = nnr__record_get(r->item, a->field);
	size_t len = 0;

	for (size_t i = 0; v && i < v->len; i += len) {
		int at = symbol_at(&a->symbols, v->text + i, v->len - i, &len);

		if (at < 0)
			return fail_symbol(r, s, v, i, err);
		nnr__prompt_rows(r->out, s->row0 + at, 1, s->id, true);
	}
	return 0;
}

const char *nnr__symbol_example(const nnr_program *p, const char *field,
				int which)
{
	for (int i = 0; i < p->ins; i++) {
		const args *a = p->in[i].args;

		if (p->in[i].row == &nnr__step_vocab_map &&
		    strcmp(a->field, field) == 0)
			return a->symbols.s[which];
	}
	return NULL;
}

/* ---- which tokens ---- */

typedef struct search {
	nnr_program *p;
	args *a;
	size_t hidden;
	float *own;		/* [symbols][hidden], of length 1 */
	float *score;		/* [symbols][sparse], descending */
	int found;
} search;

static void embedding(const nnr_program *p, int32_t id, float *row)
{
	const nnr__mat *m = &p->model->bb->embed;

	nnr__kernels_best()->unpack(m->type, m->data + (size_t)id *
				    m->row_bytes, m->cols, row);
}

/* To length 1; false: it is zero. */
static bool normalise(float *row, size_t n)
{
	float length = sqrtf(nnr__dot(row, row, n));

	for (size_t i = 0; i < n && length > 0; i++)
		row[i] /= length;
	return length > 0;
}

/* The mean embedding of a symbol's tokens. */
static int own_row(search *w, const nnr__step *s, int i, nnr_error *err)
{
	const char *text = w->a->symbols.s[i];
	float *own = w->own + (size_t)i * w->hidden;
	nnr__ids ids = { 0 };
	int rc = nnr__tok_encode(w->p->model->tok, text, strlen(text), &ids,
				 err);

	for (size_t t = 0; t < ids.n && !rc; t++) {
		embedding(w->p, ids.id[t], w->a->row);
		for (size_t c = 0; c < w->hidden; c++)
			own[c] += w->a->row[c];
	}
	if (!rc && !normalise(own, w->hidden))
		rc = nnr__fail_step(w->p, s, "symbols", err, "the model has "
				    "no token for `%.40s`; `choose: random` "
				    "does without", text);
	nnr__ids_release(&ids);
	return rc;
}

/* Puts token id where its score belongs; equal ones stay before it. */
static void insert(search *w, int i, int32_t id, float score)
{
	size_t k = (size_t)w->a->sparse, at = k;
	float *best = w->score + (size_t)i * k;
	int32_t *token = w->a->token + (size_t)i * k;

	while (at > 0 && best[at - 1] < score)
		at--;
	if (at == k)
		return;
	memmove(best + at + 1, best + at, (k - at - 1) * sizeof(*best));
	memmove(token + at + 1, token + at, (k - at - 1) * sizeof(*token));
	best[at] = score;
	token[at] = id;
}

static void find_nearest(search *w)
{
	const nnr__tok *tok = w->p->model->tok;
	int symbols = w->a->symbols.n;

	for (size_t i = 0; i < (size_t)symbols * (size_t)w->a->sparse; i++)
		w->score[i] = -2;	/* a cosine is larger */
	for (int32_t id = 0; id < w->p->model->bb->vocab; id++) {
		if (id >= nnr__tok_count(tok) || nnr__tok_is_special(tok, id))
			continue;
		embedding(w->p, id, w->a->row);
		if (!normalise(w->a->row, w->hidden))
			continue;
		w->found++;
		for (int i = 0; i < symbols; i++)
			insert(w, i, id, nnr__dot(w->own + (size_t)i *
						 w->hidden, w->a->row,
						 w->hidden));
	}
}

static int choose_nearest(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	size_t n = (size_t)a->symbols.n;
	search w = { .p = p, .a = a, .hidden = (size_t)p->model->bb->hidden };
	int rc = 0;

	w.own = nnr__calloc(n * w.hidden, sizeof(*w.own));
	w.score = nnr__calloc(n * (size_t)a->sparse, sizeof(*w.score));
	if (!w.own || !w.score)
		rc = nnr__fail_memory(err, "symbols", n);
	for (int i = 0; i < a->symbols.n && !rc; i++)
		rc = own_row(&w, s, i, err);
	if (!rc)
		find_nearest(&w);
	if (!rc && w.found < a->sparse)
		rc = nnr__fail_step(p, s, "form", err, "%lld tokens a symbol; "
				    "the model has %d", (long long)a->sparse,
				    w.found);
	for (size_t i = 0; i < n && !rc; i++)
		a->theta->value[i * (size_t)a->sparse] = 1;
	free(w.own);
	free(w.score);
	return rc;
}

static void choose_random(nnr_program *p, nnr__step *s)
{
	args *a = s->args;
	uint64_t seed = (uint64_t)a->seed;
	uint64_t stream = nnr__hash64(s->id, strlen(s->id), 0);
	uint64_t vocab = (uint64_t)p->model->bb->vocab;

	for (size_t i = 0; i < a->theta->n; i++)
		a->token[i] = (int32_t)(nnr__rng_u64(seed, stream + 1, i) %
					vocab);
	nnr__normal_rows(1 / sqrt((double)a->sparse), seed, stream,
			 a->theta->n, a->theta->value);
}

/* ---- tensors ---- */

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	int64_t dim[] = { a->symbols.n, a->sparse };

	a->theta = nnr__tensor_add(p, s, NULL, 2, dim, a->learn, err);
	if (!a->theta)
		return NNR_E_MEMORY;
	free(a->token);
	free(a->row);
	a->token = nnr__calloc(a->theta->n, sizeof(*a->token));
	a->row = nnr__calloc((size_t)p->model->bb->hidden, sizeof(*a->row));
	if (!a->token || !a->row)
		return nnr__fail_memory(err, "symbols", a->theta->n);
	nnr__claim_soft(p, s, a->symbols.n, a->learn);
	if (a->choose == NEAREST)
		return choose_nearest(p, s, err);
	choose_random(p, s);
	return 0;
}

static int lower(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	size_t hidden = (size_t)p->model->bb->hidden;
	float *rows = nnr__soft_rows(p, s);

	(void)err;
	memset(rows, 0, (size_t)a->symbols.n * hidden * sizeof(*rows));
	for (size_t i = 0; i < a->theta->n; i++) {
		float *row = rows + i / (size_t)a->sparse * hidden;

		embedding(p, a->token[i], a->row);
		for (size_t c = 0; c < hidden; c++)
			row[c] += a->theta->value[i] * a->row[c];
	}
	return 0;
}

static int lower_back(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	size_t hidden = (size_t)p->model->bb->hidden;

	(void)err;
	for (size_t i = 0; a->learn && i < a->theta->n; i++) {
		embedding(p, a->token[i], a->row);
		a->theta->grad[i] += nnr__dot(a->row, nnr__soft_grads(p, s) +
					     i / (size_t)a->sparse * hidden,
					     hidden);
	}
	return 0;
}

static void release(nnr__step *s)
{
	args *a = s->args;

	free(a->token);
	free(a->row);
}

const nnr__step_row nnr__step_vocab_map = {
	.name = "vocab_map",
	.help = "a field's symbols as learned combinations of the model's "
		"tokens",
	.input = true, .takes = NNR__K_ITEM, .gives = NNR__K_TEXT,
	.location = "embedding", .adapt = "learnable",
	.operation = "parametric", .paradigm = "vocabulary reprogramming",
	.needs = "embed", .param = params, .args = sizeof(args),
	.check = check, .tensors = tensors, .lower = lower,
	.lower_back = lower_back, .render = render, .release = release
};
