/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.c: sampling, many sequences at a time.
 *
 * Gens wait in the order given.  As long as there is room the next prompts
 * are run and forked into their samples; all live sequences then take one
 * step together, one row each.  Which sequences happen to be alive together
 * changes nothing: a row's bits do not depend on its chunk, and its random
 * numbers are keyed by item, sample and position.
 */
#include "program/engine_int.h"
#include "program/sample.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LIVE 32

typedef struct live {
	nnr__gen *gen;
	nnr__seq *seq;
	int32_t *out;		/* max_tokens */
	int n;
} live;

typedef struct gens {
	nnr__engine *e;
	nnr__gen *gen;
	int count, next;	/* next gen that waits */
	const nnr__sampling *s;
	nnr__more more;
	live at[MAX_LIVE];
	int alive;
	float *logits;		/* MAX_LIVE x vocab */
	int32_t *drawn;		/* MAX_LIVE */
	nnr__sampler *sampler;	/* per thread */
	int draws;		/* rows of logits to draw from */
	const int *row_of;	/* live -> row of logits */
} gens;

/* ---- drawing ---- */

static void draw_part(void *ctx, int id)
{
	gens *g = ctx;
	int threads = nnr__pool_threads(g->e->pool), vocab = g->e->bb->vocab;

	for (int i = id; i < g->draws; i += threads) {
		const live *l = &g->at[g->alive - g->draws + i];
		const float *row = g->logits + (size_t)g->row_of[i] *
				   (size_t)vocab;
		uint64_t stream = l->gen->key +
				  (uint64_t)l->gen->sample *
				  0x9e3779b97f4a7c15u;

		g->drawn[i] = nnr__sample(&g->sampler[id], g->e->k, g->s, row,
					  vocab, stream, (uint64_t)l->n);
	}
}

static bool is_stop(const nnr__sampling *s, int32_t token)
{
	for (int i = 0; i < s->stop_tokens; i++)
		if (s->stop_token[i] == token)
			return !s->ignore_stop;
	return false;
}

/* Draws for the last `draws` live sequences; true in `ended` ends one. */
static void draw(gens *g, int draws, const int *row_of, bool *ended)
{
	g->draws = draws;
	g->row_of = row_of;
	nnr__pool_run(g->e->pool, draw_part, g);
	for (int i = 0; i < draws; i++) {
		live *l = &g->at[g->alive - draws + i];
		int32_t t = g->drawn[i];

		ended[i] = is_stop(g->s, t);
		l->gen->stopped = ended[i];
		if (ended[i])
			continue;
		l->out[l->n++] = t;
		g->e->stats.made_tokens++;
		if (g->more && !g->more(l->gen, t))
			ended[i] = l->gen->stopped = true;
		if (l->n >= g->s->max_tokens)
			ended[i] = true;
	}
}

static void finish(live *l)
{
	l->gen->out = (nnr__span){ l->out, l->n };
	nnr__seq_free(l->seq);
	l->seq = NULL;
}

/* Removes the ended among the last `draws`, keeping the order. */
static void sweep(gens *g, int draws, const bool *ended)
{
	int first = g->alive - draws, kept = first;

	for (int i = 0; i < draws; i++) {
		live l = g->at[first + i];

		if (ended[i])
			finish(&l);
		else
			g->at[kept++] = l;
	}
	g->alive = kept;
}

/* ---- starting ---- */

/* Gens from `from` on that share the prompt of gen `from`. */
static int siblings(const gens *g, int from)
{
	int n = 1;

	while (from + n < g->count &&
	       g->gen[from + n].prompt.id == g->gen[from].prompt.id &&
	       g->gen[from + n].prompt.n == g->gen[from].prompt.n)
		n++;
	return n;
}

/* Makes the next n gens live, each with a fork of q; q goes with the last. */
static int make_live(gens *g, nnr__seq *q, int n, nnr_error *err)
{
	size_t each = (size_t)g->s->max_tokens;

	for (int i = 0; i < n; i++) {
		nnr__seq *own = i == n - 1 ? q : nnr__seq_fork(q);

		if (!own) {
			nnr__seq_free(q);
			return nnr__fail_memory(err, "sample", sizeof(live));
		}
		g->at[g->alive++] = (live){
			.gen = &g->gen[g->next], .seq = own,
			.out = g->e->made + (size_t)g->next * each };
		g->next++;
	}
	return 0;
}

/* Packs waiting prompts into one chunk; their sequences and sizes. */
static int pack(gens *g, nnr__seq **seq, int *n, nnr_error *err)
{
	nnr__engine *e = g->e;
	int prompts = 0, room = MAX_LIVE - g->alive, at = g->next, from, rc;

	while (at < g->count) {
		nnr__span p = g->gen[at].prompt;
		int some = siblings(g, at);
		nnr__seq *q;

		if (some > room && (prompts || g->alive))
			break;
		some = some > room ? room : some;
		q = nnr__engine_begin(e, p, &from);
		if (!q)
			return nnr__fail_memory(err, "prompt", sizeof(p));
		rc = prompts ? 0 : nnr__engine_feed(e, q, p.id, &from, p.n,
						    err);
		if (rc || !nnr__engine_add(e, q, p.id + from, p.n - from, 1)) {
			nnr__seq_free(q);
			if (rc)
				return rc;
			break;
		}
		e->stats.shared_tokens += (uint64_t)from;
		e->stats.prompt_tokens += (uint64_t)(p.n - from);
		seq[prompts] = q;
		n[prompts++] = some;
		room -= some;
		at += some;
		if (!room)
			break;
	}
	return prompts;
}

/* Runs the next prompts and draws the first token of their samples. */
static int start_some(gens *g, nnr_error *err)
{
	nnr__engine *e = g->e;
	nnr__seq *seq[MAX_LIVE] = { NULL };
	int n[MAX_LIVE], row_of[MAX_LIVE], draws = 0, rc, prompts;
	bool ended[MAX_LIVE];
	const float *features;

	prompts = pack(g, seq, n, err);
	if (prompts <= 0)
		return prompts;
	rc = nnr__engine_flush(e, &features, err);
	if (!rc)
		rc = nnr__exec_head(e->exec, features, prompts, &e->bb->head,
				    g->logits, (size_t)e->bb->vocab, err);
	for (int i = 0; i < prompts; i++) {
		if (rc) {
			nnr__seq_free(seq[i]);
			continue;
		}
		rc = make_live(g, seq[i], n[i], err);
		for (int j = 0; !rc && j < n[i]; j++)
			row_of[draws++] = i;
	}
	if (rc)
		return rc;
	draw(g, draws, row_of, ended);
	sweep(g, draws, ended);
	return 0;
}

/* ---- one step of all ---- */

static int step(gens *g, nnr_error *err)
{
	nnr__engine *e = g->e;
	int row_of[MAX_LIVE], rc;
	bool ended[MAX_LIVE];
	const float *features;

	for (int i = 0; i < g->alive; i++) {
		live *l = &g->at[i];

		nnr__engine_add(e, l->seq, &l->out[l->n - 1], 1, 1);
		row_of[i] = i;
	}
	rc = nnr__engine_flush(e, &features, err);
	if (!rc)
		rc = nnr__exec_head(e->exec, features, g->alive, &e->bb->head,
				    g->logits, (size_t)e->bb->vocab, err);
	if (rc)
		return rc;
	draw(g, g->alive, row_of, ended);
	sweep(g, g->alive, ended);
	return 0;
}

static int run_all(gens *g, nnr_error *err)
{
	nnr__engine_stats *st = &g->e->stats;
	int rc = 0;

	while (!rc && (g->alive || g->next < g->count)) {
		double start = nnr__now(), mid;

		if (g->next < g->count)
			rc = start_some(g, err);
		mid = nnr__now();
		if (!rc && g->alive)
			rc = step(g, err);
		st->prompt_s += mid - start;
		st->made_s += nnr__now() - mid;
	}
	return rc;
}

static int set_up(gens *g, nnr_error *err)
{
	nnr__engine *e = g->e;
	size_t vocab = (size_t)e->bb->vocab, t;

	for (int i = 0; i < g->count; i++) {
		int rc = nnr__engine_check(e, g->gen[i].prompt,
					   g->s->max_tokens, err);
		if (rc)
			return rc;
		g->gen[i].stopped = false;
		g->gen[i].out = (nnr__span){ NULL, 0 };
	}
	if (!nnr__mul_ok((size_t)g->count, (size_t)g->s->max_tokens, &t) ||
	    !nnr__grow(&e->made, &e->made_cap, t, sizeof(*e->made)))
		return nnr__fail_memory(err, "generated tokens", t);
	g->logits = nnr__aligned(MAX_LIVE * vocab * sizeof(float));
	g->drawn = nnr__calloc(MAX_LIVE, sizeof(*g->drawn));
	g->sampler = nnr__samplers_new(nnr__pool_threads(e->pool),
				       e->bb->vocab);
	if (!g->logits || !g->drawn || !g->sampler)
		return nnr__fail_memory(err, "logits", vocab);
	return 0;
}

int nnr__engine_generate(nnr__engine *e, nnr__gen *gen, int count,
			 const nnr__sampling *s, nnr__more more,
			 nnr_error *err)
{
	gens g = { .e = e, .gen = gen, .count = count, .s = s, .more = more };
	int rc;

	if (s->max_tokens < 1)
		return nnr__fail(err, NNR_E_INPUT, "max_tokens is %d; at "
				 "least 1 expected", s->max_tokens);
	rc = set_up(&g, err);
	if (!rc)
		rc = run_all(&g, err);
	for (int i = 0; i < g.alive; i++)
		finish(&g.at[i]);
	memset(&e->chunk, 0, sizeof(e->chunk));
	nnr__aligned_free(g.logits);
	free(g.drawn);
	nnr__samplers_free(g.sampler, nnr__pool_threads(e->pool));
	return rc;
}
