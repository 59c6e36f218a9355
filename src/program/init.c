/* SPDX-License-Identifier: Apache-2.0
 *
 * init.c: initial values of rows, at the embedding or inside f.
 *
 *   init: "Classify the sentiment"   rows of the text's tokens
 *   init: {vocab: 5000}              rows drawn from the first 5000 tokens
 *   init: {random: 0.02}             normal with that deviation
 *   init: {classes: yes}             rows of the labels' choices
 *   init: {from: OTHER.nnr#ID}       rows of another program (init_from.c)
 */
#include "program/learn.h"
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SD_MAX 100.0

static const char *const kinds[] = { "text", "random", "vocab", "classes",
				     "from", NULL };

/* ---- reading ---- */

/* FILE#TENSOR, or FILE for the tensor of the step's own name. */
static int read_from(nnr__src *s, const nnr__ynode *c, nnr__init *init)
{
	char *mark;

	init->from = nnr__src_copy(s, c->text, c->len);
	if (!init->from)
		return NNR_E_MEMORY;
	mark = strrchr(init->from, '#');
	if (mark) {
		*mark = 0;
		init->tensor = mark + 1;
	}
	if (!*init->from || (mark && !mark[1]))
		return nnr__fail_node(s, c, "`from` is FILE.nnr#ID");
	return 0;
}

static int read_map(nnr__src *s, const nnr__ynode *n, nnr__init *init)
{
	const nnr__ynode *c = n->child;
	char hint[120], *end = NULL;
	double v;

	if (n->count != 1 || c->kind != NNR__Y_SCALAR)
		return nnr__fail_node(s, n, "`init` has one key: text, "
				      "random, vocab, classes or from");
	for (init->kind = 0; kinds[init->kind]; init->kind++)
		if (strcmp(kinds[init->kind], c->key) == 0)
			break;
	if (!kinds[init->kind])
		return nnr__fail_key(s, c, "unknown key `%.60s` of `init`%s",
				     c->key, nnr__hint(hint, sizeof(hint),
						       c->key, kinds));
	if (init->kind == NNR__INIT_TEXT) {
		init->text = nnr__src_copy(s, c->text, c->len);
		return init->text ? 0 : NNR_E_MEMORY;
	}
	if (init->kind == NNR__INIT_FROM)
		return read_from(s, c, init);
	v = strtod(c->text, &end);
	if (init->kind == NNR__INIT_CLASSES)
		return strcmp(c->text, "yes") ?
			nnr__fail_node(s, c, "`classes` is %.40s; yes was "
				       "expected", c->text) : 0;
	if (end == c->text || *end || !(v > 0) ||
	    (init->kind == NNR__INIT_RANDOM && v > SD_MAX) ||
	    (init->kind == NNR__INIT_VOCAB && (v != floor(v) || v > 1e9)))
		return nnr__fail_node(s, c, "`%s` is %.40s; %s was expected",
				      c->key, c->text,
				      init->kind == NNR__INIT_RANDOM ?
				      "a standard deviation up to 100" :
				      "a number of tokens");
	init->sd = v;
	init->first = (int64_t)v;
	return 0;
}

static int read_init(nnr__src *s, const nnr__ynode *n, void *at)
{
	nnr__init *init = nnr__src_alloc(s, 1, sizeof(*init));

	if (!init)
		return NNR_E_MEMORY;
	*(nnr__init **)at = init;
	if (n->kind == NNR__Y_MAP)
		return read_map(s, n, init);
	if (n->kind != NNR__Y_SCALAR || !n->len)
		return nnr__fail_node(s, n, "`init` is a text, or a map with "
				      "one of random, vocab, classes, from");
	init->text = nnr__src_copy(s, n->text, n->len);
	return init->text ? 0 : NNR_E_MEMORY;
}

static void json_from(const nnr__init *init, nnr__buf *out)
{
	nnr__buf text = { 0 };

	nnr__buf_adds(&text, init->from);
	if (init->tensor)
		nnr__buf_addf(&text, "#%s", init->tensor);
	nnr__buf_adds(out, "{\"from\":");
	nnr__buf_add_json(out, text.p ? text.p : "", text.len);
	nnr__buf_addc(out, '}');
	nnr__buf_release(&text);
}

static void json_init(const void *at, nnr__buf *out)
{
	const nnr__init *init = *(nnr__init *const *)at;

	if (!init)
		nnr__buf_adds(out, "null");
	else if (init->kind == NNR__INIT_TEXT)
		nnr__buf_add_json(out, init->text, strlen(init->text));
	else if (init->kind == NNR__INIT_CLASSES)
		nnr__buf_adds(out, "{\"classes\":\"yes\"}");
	else if (init->kind == NNR__INIT_FROM)
		json_from(init, out);
	else
		nnr__buf_addf(out, "{\"%s\":%.17g}", kinds[init->kind],
			      init->sd);
}

const nnr__own nnr__init_type = {
	.text = "a text, {random: SD}, {vocab: N}, {classes: yes} or "
		"{from: FILE.nnr#ID}",
	.schema = "\"type\":[\"string\",\"object\"]",
	.read = read_init, .json = json_init
};

/* ---- values ---- */

static int fill_from(const nnr__ids *ids, int n, int32_t *id)
{
	for (int i = 0; i < n; i++)
		id[i] = ids->id[(size_t)i % ids->n];
	return 0;
}

static int text_ids(nnr_program *p, const nnr__step *s, const char *text,
		    int n, int32_t *id, nnr_error *err)
{
	nnr__ids ids = { 0 };
	int rc = nnr__tok_encode(p->model->tok, text, strlen(text), &ids,
				 err);

	if (!rc && !ids.n)
		rc = nnr__fail_step(p, s, "init", err, "the text has no "
				    "tokens");
	rc = rc ? rc : fill_from(&ids, n, id);
	nnr__ids_release(&ids);
	return rc;
}

/* The first tokens of the labels' choices, round and round. */
static int class_ids(nnr_program *p, const nnr__step *s, int n, int32_t *id,
		     nnr_error *err)
{
	if (!p->choices)
		return nnr__fail_step(p, s, "init", err, "classes are the "
				      "choices of a `score` step, and there "
				      "is none");
	for (int i = 0; i < n; i++)
		id[i] = p->choice[i % p->choices].id[0];
	return 0;
}

static int vocab_ids(nnr_program *p, const nnr__step *s,
		     const nnr__init *init, uint64_t seed, int n,
		     int32_t *id, nnr_error *err)
{
	uint64_t stream = nnr__hash64(s->id, strlen(s->id), 0);

	if (init->first > p->model->bb->vocab)
		return nnr__fail_step(p, s, "init", err, "the first %lld "
				      "tokens; the vocabulary has %d",
				      (long long)init->first,
				      p->model->bb->vocab);
	for (int i = 0; i < n; i++)
		id[i] = (int32_t)(nnr__rng_u64(seed, stream, (uint64_t)i) %
				  (uint64_t)init->first);
	return 0;
}

int nnr__init_ids(nnr_program *p, const nnr__step *s, const nnr__init *init,
		  uint64_t seed, int n, int32_t *id, nnr_error *err)
{
	if (init->kind == NNR__INIT_TEXT)
		return text_ids(p, s, init->text, n, id, err);
	if (init->kind == NNR__INIT_CLASSES)
		return class_ids(p, s, n, id, err);
	return vocab_ids(p, s, init, seed, n, id, err);
}

/* The polar method of Marsaglia, one value a pair. */
void nnr__normal_rows(double sd, uint64_t seed, uint64_t stream, size_t n,
		      float *rows)
{
	uint64_t at = 0;

	for (size_t i = 0; i < n; i++) {
		double u, v, r;

		do {
			u = 2 * nnr__rng_uniform(seed, stream, at++) - 1;
			v = 2 * nnr__rng_uniform(seed, stream, at++) - 1;
			r = u * u + v * v;
		} while (r >= 1 || r < 1e-12);
		rows[i] = (float)(sd * u * sqrt(-2 *
				  (double)nnr__log((float)r) / r));
	}
}

static uint64_t stream_of(const nnr__step *s)
{
	return nnr__hash64(s->id, strlen(s->id), 0);
}

int nnr__init_rows(nnr_program *p, const nnr__step *s, const nnr__init *init,
		   uint64_t seed, int n, float *rows, nnr_error *err)
{
	const nnr__mat *m = &p->model->bb->embed;
	size_t cols = (size_t)m->cols;
	int32_t *id;
	int rc;

	if (init->kind == NNR__INIT_RANDOM) {
		nnr__normal_rows(init->sd, seed, stream_of(s),
				 (size_t)n * cols, rows);
		return 0;
	}
	if (init->kind == NNR__INIT_FROM)
		return nnr__init_copy(p, s, init, 1, n, m->cols, rows, err);
	id = nnr__calloc((size_t)n, sizeof(*id));
	if (!id)
		return nnr__fail_memory(err, "initial rows", (size_t)n);
	rc = nnr__init_ids(p, s, init, seed, n, id, err);
	for (int i = 0; i < n && !rc; i++)
		nnr__kernels_best()->unpack(m->type, m->data + (size_t)id[i] *
					    m->row_bytes, m->cols,
					    rows + (size_t)i * cols);
	free(id);
	return rc;
}

int nnr__init_inside(nnr_program *p, const nnr__step *s,
		     const nnr__init *init, uint64_t seed, int n, float *kv,
		     float *in, nnr_error *err)
{
	const nnr__backbone *b = p->model->bb;
	size_t values = (size_t)b->layers * (size_t)n *
			(size_t)(kv ? 2 * b->kv_heads * b->dim : b->hidden);
	int32_t *id;
	int rc;

	if (init->kind == NNR__INIT_RANDOM) {
		nnr__normal_rows(init->sd, seed, stream_of(s), values,
				 kv ? kv : in);
		return 0;
	}
	if (init->kind == NNR__INIT_FROM)
		return kv ? nnr__init_copy(p, s, init, 2 * b->layers, n,
					   b->kv_heads * b->dim, kv, err) :
			nnr__init_copy(p, s, init, b->layers, n, b->hidden,
				       in, err);
	id = nnr__calloc((size_t)n, sizeof(*id));
	if (!id)
		return nnr__fail_memory(err, "initial rows", (size_t)n);
	rc = nnr__init_ids(p, s, init, seed, n, id, err);
	rc = rc ? rc : nnr__engine_inside(p->engine, id, n, kv, in, err);
	free(id);
	return rc;
}
