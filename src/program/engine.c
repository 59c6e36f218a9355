/* SPDX-License-Identifier: Apache-2.0
 *
 * engine.c: set-up, the compiled prefix, and chunks.
 *
 * A compiled prefix is kept as a file (kept.c).  Results are the same bits
 * with it, without it, or from the file.
 */
#include "program/engine_int.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 512
#define MAX_STORE ((size_t)1 << 30)
#define PREFIX_FILE_MIN 16	/* shorter ones are not worth a file */

static int set_up(nnr__engine *e, nnr_error *err)
{
	const nnr__backbone *b = e->bb;
	size_t rows = (size_t)e->opts.max_rows;
	int rc;

	e->k = nnr__kernels_best();
	if (!e->k)
		return nnr__fail(err, NNR_E_USAGE, "NNR_CPU names kernels "
				 "this CPU does not have");
	rc = nnr__pool_new(&e->pool, e->opts.threads, err);
	if (!rc)
		rc = nnr__store_new(&e->store, b->layers, b->kv_heads, b->dim,
				    e->opts.max_store, err);
	if (!rc)
		rc = nnr__exec_new(&e->exec, b->graph, e->pool, e->k,
				   e->opts.precision, e->opts.max_rows,
				   b->context, err);
	if (rc)
		return rc;
	e->stats.threads = nnr__pool_threads(e->pool);
	e->stats.kernel = e->k->name;
	e->token = nnr__calloc(rows, sizeof(*e->token));
	e->want = nnr__calloc(rows, sizeof(*e->want));
	e->run = nnr__calloc(rows, sizeof(*e->run));
	if (!e->token || !e->want || !e->run)
		return nnr__fail_memory(err, "session", rows);
	return 0;
}

int nnr__engine_new(nnr__engine **out, const nnr__backbone *b,
		    const nnr__engine_opts *o, nnr_error *err)
{
	nnr__engine *e = nnr__calloc(1, sizeof(*e));
	int rc;

	*out = NULL;
	if (!e)
		return nnr__fail_memory(err, "session", sizeof(*e));
	e->bb = b;
	if (o)
		e->opts = *o;
	if (e->opts.max_rows <= 0)
		e->opts.max_rows = MAX_ROWS;
	if (!e->opts.max_store)
		e->opts.max_store = MAX_STORE;
	rc = set_up(e, err);
	if (rc)
		nnr__engine_free(e);
	else
		*out = e;
	return rc;
}

static void drop_prefix(nnr__engine *e)
{
	nnr__seq_free(e->prefix);
	free(e->prefix_id);
	e->prefix = NULL;
	e->prefix_id = NULL;
	e->prefix_n = 0;
}

void nnr__engine_free(nnr__engine *e)
{
	if (!e)
		return;
	drop_prefix(e);
	nnr__exec_free(e->exec);
	nnr__store_free(e->store);
	nnr__pool_free(e->pool);
	free(e->token);
	free(e->want);
	free(e->run);
	free(e->made);
	free(e);
}

const nnr__engine_stats *nnr__engine_stats_of(const nnr__engine *e)
{
	return &e->stats;
}

bool nnr__engine_keep(nnr__engine *e, bool keep)
{
	bool before = !e->opts.no_cache;

	e->opts.no_cache = !keep;
	return before;
}

const char *nnr__engine_arithmetic(const nnr__engine *e)
{
	if (e->opts.precision == NNR_EXACT)
		return "exact";
	return e->k->plain_terms == 2 ? "fast2" : "fast1";
}

/* ---- rows a program gives ---- */

static void add_rows(nnr__sha *sha, const char *name, const float *row,
		     size_t n, int at)
{
	char head[80];
	int len = snprintf(head, sizeof(head), "%s %zu %d ", name, n, at);

	nnr__sha_add(sha, head, (size_t)len);
	if (row)
		nnr__sha_add(sha, row, n * sizeof(*row));
}

/* Runs another graph than the backbone's from here on; NULL: that one. */
static int run_graph(nnr__engine *e, const nnr__graph *g, nnr_error *err)
{
	nnr__exec *x;
	int rc = nnr__exec_new(&x, g ? g : e->bb->graph, e->pool, e->k,
			       e->opts.precision, e->opts.max_rows,
			       e->bb->context, err);

	if (rc)
		return rc;
	nnr__exec_free(e->exec);
	e->exec = x;
	return 0;
}

int nnr__engine_give(nnr__engine *e, const nnr__given *given, nnr_error *err)
{
	const nnr__backbone *b = e->bb;
	size_t hidden = (size_t)b->hidden, layers = (size_t)b->layers;
	const nnr__sites *s;
	nnr__sha sha;

	drop_prefix(e);
	if ((given ? given->graph : NULL) != e->given.graph) {
		int rc = run_graph(e, given ? given->graph : NULL, err);

		if (rc)
			return rc;
	}
	memset(&e->given, 0, sizeof(e->given));
	e->given_sha[0] = 0;
	if (!given)
		return 0;
	e->given = *given;
	s = &given->sites;
	nnr__sha_init(&sha);
	add_rows(&sha, "soft", s->soft, (size_t)s->softs * hidden, 0);
	add_rows(&sha, "deep", s->deep, s->deep ? (layers - 1) *
		 (size_t)s->deeps * hidden : 0, s->deep_from);
	add_rows(&sha, "shift", s->shift, (size_t)s->shifts * hidden,
		 s->shift_from);
	add_rows(&sha, "kv", given->kv, (size_t)given->kvs * layers * 2 *
		 (size_t)b->kv_heads * (size_t)b->dim, 0);
	add_rows(&sha, "weights", given->weights, given->weights_n, 0);
	nnr__sha_end(&sha, e->given_sha);
	return 0;
}

/* ---- chunks ---- */

bool nnr__engine_add(nnr__engine *e, nnr__seq *q, const int32_t *token,
		     int n, int wants)
{
	nnr__chunk *c = &e->chunk;

	if (c->rows + n > e->opts.max_rows)
		return false;
	memcpy(e->token + c->rows, token, (size_t)n * sizeof(*token));
	for (int i = n - wants; i < n; i++)
		e->want[c->wants++] = c->rows + i;
	e->run[c->runs++] = (nnr__run){ .seq = q, .n = n };
	c->rows += n;
	return true;
}

int nnr__engine_flush(nnr__engine *e, const float **features, nnr_error *err)
{
	nnr__chunk c = e->chunk;

	memset(&e->chunk, 0, sizeof(e->chunk));
	*features = NULL;
	if (!c.rows)
		return 0;
	c.token = e->token;
	c.want = e->want;
	c.run = e->run;
	c.sites = &e->given.sites;
	return nnr__exec_run(e->exec, &c, features, err);
}

static bool known_token(const nnr__engine *e, int at, int32_t id)
{
	if (id >= 0)
		return id < e->bb->vocab;
	if (id <= NNR__KV_ROW)
		return NNR__KV_ROW - id == at && at < e->given.kvs;
	return -1 - id < e->given.sites.softs;
}

int nnr__engine_check(const nnr__engine *e, nnr__span p, int more,
		      nnr_error *err)
{
	if (p.n < 1)
		return nnr__fail(err, NNR_E_INPUT, "the prompt has no tokens");
	if (p.n + more > e->bb->context)
		return nnr__fail(err, NNR_E_INPUT, "the prompt has %d tokens "
				 "and %d more may follow; the model's context "
				 "is %d", p.n, more, e->bb->context);
	for (int i = 0; i < p.n; i++)
		if (!known_token(e, i, p.id[i]))
			return nnr__fail(err, NNR_E_INPUT, "token %d is %d; "
					 "the vocabulary has %d", i, p.id[i],
					 e->bb->vocab);
	return 0;
}

nnr__seq *nnr__engine_start(nnr__engine *e, nnr__span p, int *from)
{
	nnr__seq *q = nnr__seq_new(e->store);
	int kvs = p.n && p.id[0] <= NNR__KV_ROW ? e->given.kvs : 0;

	*from = kvs;
	if (!q || !kvs || nnr__seq_put(q, e->given.kv, kvs))
		return q;
	nnr__seq_free(q);
	return NULL;
}

int nnr__engine_feed(nnr__engine *e, nnr__seq *q, const int32_t *token,
		     int *from, int n, nnr_error *err)
{
	int rows = e->opts.max_rows, rc = 0;
	const float *none;

	while (!rc && n - *from > rows) {
		nnr__engine_add(e, q, token + *from, rows, 0);
		rc = nnr__engine_flush(e, &none, err);
		*from += rows;
	}
	return rc;
}

nnr__seq *nnr__engine_begin(nnr__engine *e, nnr__span p, int *from)
{
	nnr__seq *q;
	int same = 0;

	while (same < e->prefix_n && same < p.n - 1 &&
	       e->prefix_id[same] == p.id[same])
		same++;
	*from = same;
	if (same <= 0 || (p.id[0] <= NNR__KV_ROW && same < e->given.kvs))
		return nnr__engine_start(e, p, from);
	q = nnr__seq_fork(e->prefix);
	if (q)
		nnr__seq_truncate(q, same);
	return q;
}

/* ---- the prefix ---- */

static int run_prefix(nnr__engine *e, const int32_t *token, int n,
		      nnr_error *err)
{
	const float *none;
	int from = 0, rc;

	e->prefix = nnr__engine_start(e, (nnr__span){ token, n }, &from);
	if (!e->prefix)
		return nnr__fail_memory(err, "prefix", sizeof(*token));
	rc = nnr__engine_feed(e, e->prefix, token, &from, n, err);
	if (rc)
		return rc;
	if (from < n)
		nnr__engine_add(e, e->prefix, token + from, n - from, 0);
	e->stats.prompt_tokens += (uint64_t)n;
	return nnr__engine_flush(e, &none, err);
}

static int load_or_run(nnr__engine *e, const int32_t *token, int n,
		       const char *key, nnr_error *err)
{
	bool keep = !e->opts.no_cache && n >= PREFIX_FILE_MIN;
	int rc = 0;

	if (keep)
		rc = nnr__kept_map(e, NNR__KEEP_PREFIX, key, &e->prefix, err);
	if (rc == 1) {
		e->stats.prefix_cached = true;
		return 0;
	}
	rc = rc ? rc : run_prefix(e, token, n, err);
	if (!rc && keep)
		nnr__kept_save(NNR__KEEP_PREFIX, key, e->prefix);
	return rc;
}

int nnr__engine_prefix(nnr__engine *e, const int32_t *token, int n,
		       nnr_error *err)
{
	nnr__buf key = { 0 };
	double start = nnr__now();
	int rc;

	drop_prefix(e);
	e->stats.prefix_cached = false;
	if (n <= 0)
		return 0;
	rc = nnr__engine_check(e, (nnr__span){ token, n }, 0, err);
	if (rc)
		return rc;
	nnr__kept_key(&key, e, token, n, true);
	e->prefix_id = nnr__calloc((size_t)n, sizeof(*token));
	if (key.bad || !e->prefix_id)
		rc = nnr__fail_memory(err, "prefix", (size_t)n);
	else
		rc = load_or_run(e, token, n, key.p, err);
	nnr__buf_release(&key);
	if (rc) {
		drop_prefix(e);
		return rc;
	}
	memcpy(e->prefix_id, token, (size_t)n * sizeof(*token));
	e->prefix_n = n;
	e->stats.prompt_s += nnr__now() - start;
	return 0;
}

/* ---- what is inside f ---- */

/* Runs the tokens as one chunk; the inputs of blocks are what a gradient
 * needs of the forward pass when it keeps nothing else. */
static int run_inside(nnr__exec *x, nnr__seq *q, const int32_t *token, int n,
		      nnr_error *err)
{
	const nnr__run run = { .seq = q, .n = n };
	const int32_t last = n - 1;
	const nnr__chunk c = { .token = token, .run = &run, .runs = 1,
			       .rows = n, .want = &last, .wants = 1,
			       .claimed = true };
	const float *none;

	if (!q || !nnr__seq_claim(q, n))
		return nnr__fail_memory(err, "initial rows", (size_t)n);
	return nnr__exec_forward(x, &c, &none, err);
}

int nnr__engine_inside(nnr__engine *e, const int32_t *token, int n,
		       float *kv, float *in, nnr_error *err)
{
	const nnr__learns learns = { .embed = true };
	size_t each = (size_t)n * (size_t)e->bb->hidden;
	nnr__graph *g = NULL;
	nnr__exec *x = NULL;
	nnr__seq *q = nnr__seq_new(e->store);
	int rc = nnr__engine_check(e, (nnr__span){ token, n }, 0, err);

	rc = rc ? rc : nnr__graph_grad(&g, e->bb->graph, &learns, err);
	rc = rc ? rc : nnr__exec_new(&x, g, e->pool, e->k, NNR_EXACT, n, n,
				     err);
	rc = rc ? rc : run_inside(x, q, token, n, err);
	if (!rc && kv)
		nnr__seq_get(q, kv);
	for (int l = 0; l < e->bb->layers && !rc && in; l++)
		memcpy(in + (size_t)l * each, nnr__exec_block_in(x, l),
		       each * sizeof(*in));
	nnr__exec_free(x);
	nnr__graph_free(g);
	nnr__seq_free(q);
	return rc;
}
