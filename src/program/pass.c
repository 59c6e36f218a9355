/* SPDX-License-Identifier: Apache-2.0
 *
 * pass.c: the rows of some items of a lesson through f and back.
 *
 * Sequences: the frozen base, from it the shared live beginning, from that
 * (or from the item's own frozen rows) the item, and from the item each of
 * its choices of several tokens.
 */
#include "lesson_int.h"

#include <stdlib.h>
#include <string.h>

/* Frozen rows of items that are kept in memory; further ones in files. */
#define FROZEN_BYTES ((size_t)384 << 20)

/* ---- frozen rows ---- */

/* Runs tokens [from, end) of an item by the engine. */
static int feed(nnr__lesson *l, nnr__seq *q, const int32_t *token, int from,
		int end, nnr_error *err)
{
	const float *none;
	int rc = nnr__engine_feed(l->e, q, token, &from, end, err);

	if (rc || from >= end)
		return rc;
	nnr__engine_add(l->e, q, token + from, end - from, 0);
	return nnr__engine_flush(l->e, &none, err);
}

static int make_base(nnr__lesson *l, nnr_error *err)
{
	const nnr__ids *ids = &l->item[0].ids;
	int from;

	if (l->base)
		return 0;
	l->base = nnr__engine_start(l->e, (nnr__span){ ids->id,
						       (int)ids->n }, &from);
	if (!l->base)
		return nnr__fail_memory(err, "the beginning", sizeof(from));
	return feed(l, l->base, ids->id, from, l->base_n, err);
}

static int run_frozen(nnr__lesson *l, nnr__lesson_item *t, nnr__seq **out,
		      nnr_error *err)
{
	int rc;

	*out = nnr__seq_fork(l->base);
	if (!*out)
		return nnr__fail_memory(err, "an item", sizeof(*t));
	rc = feed(l, *out, t->ids.id, l->base_n, t->live, err);
	if (rc)
		nnr__seq_free(*out);
	return rc;
}

/* Rows of text alone can be kept as a file, for this run and later ones. */
static bool plain_text(const nnr__lesson_item *t)
{
	for (int i = 0; i < t->live; i++)
		if (t->ids.id[i] < 0)
			return false;
	return true;
}

static int frozen_file(nnr__lesson *l, nnr__lesson_item *t, nnr__seq **out,
		       nnr_error *err)
{
	nnr__buf key = { 0 };
	int rc;

	nnr__kept_key(&key, l->e, t->ids.id, t->live, false);
	if (key.bad)
		return nnr__fail_memory(err, "a key", key.len);
	rc = nnr__kept_map(l->e, NNR__KEEP_FROZEN, key.p, out, err);
	if (rc == 0) {
		rc = run_frozen(l, t, out, err);
		if (!rc)
			nnr__kept_save(NNR__KEEP_FROZEN, key.p, *out);
	}
	nnr__buf_release(&key);
	return rc < 0 ? rc : 0;
}

static int make_frozen(nnr__lesson *l, nnr__lesson_item *t, nnr__seq **out,
		       nnr_error *err)
{
	bool full = l->frozen_bytes >= FROZEN_BYTES;
	nnr__seq *q;
	size_t bytes;
	int rc;

	*out = t->frozen ? nnr__seq_fork(t->frozen) : NULL;
	if (*out)
		return 0;
	if (full && t->live > l->base_n && !l->p->no_cache && plain_text(t))
		return frozen_file(l, t, out, err);
	rc = run_frozen(l, t, &q, err);
	if (rc)
		return rc;
	bytes = nnr__seq_bytes(q);
	if (t->live > l->base_n && !full) {
		t->frozen = q;
		l->frozen_bytes += bytes;
		q = nnr__seq_fork(q);
		if (!q)
			rc = nnr__fail_memory(err, "an item", sizeof(*t));
	}
	if (rc)
		nnr__seq_free(q);
	else
		*out = q;
	return rc;
}

/* ---- the rows of a pass ---- */

/* A run of n tokens on q, which it takes over.  Returns its number + 1. */
static int add_run(nnr__lesson *l, nnr__seq *q, const int32_t *token, int n,
		   int parent, int from, nnr_error *err)
{
	nnr__chunk *c = &l->chunk;

	if (!nnr__seq_claim(q, n)) {
		nnr__seq_free(q);
		return nnr__fail(err, NNR_E_MEMORY, "the key/value rows of a "
				 "pass exceed the session's budget");
	}
	memcpy(l->token + c->rows, token, (size_t)n * sizeof(*token));
	l->run[c->runs++] = (nnr__run){ .seq = q, .n = n, .parent = parent,
					.from = from };
	c->rows += n;
	return c->runs;
}

static int fork_run(nnr__lesson *l, int parent, const int32_t *token, int n,
		    int from, nnr_error *err)
{
	nnr__seq *q = nnr__seq_fork(l->run[parent - 1].seq);

	if (!q)
		return nnr__fail_memory(err, "an item", sizeof(*token));
	return add_run(l, q, token, n, parent, from, err);
}

static void want(nnr__lesson *l, int row)
{
	l->want[l->chunk.wants++] = row;
}

/* The later tokens of choices, each after the item's last row. */
static int add_choices(nnr__lesson *l, int run, int from, nnr_error *err)
{
	const nnr_program *p = l->p;

	for (int c = 0; c < p->choices; c++) {
		int n = (int)p->choice[c].n - 1, row = l->chunk.rows, r;

		if (!n)
			continue;
		r = fork_run(l, run, p->choice[c].id, n, from, err);
		if (r < 0)
			return r;
		for (int i = 0; i < n; i++)
			want(l, row + i);
	}
	return 0;
}

static int add_item(nnr__lesson *l, nnr__lesson_item *t, int parent,
		    nnr_error *err)
{
	int n = (int)t->ids.n - (l->texts ? 1 : 0);
	int from = parent ? l->shared : t->live;
	int grad = l->p->lowered->learns.kv ? 0 : parent ? l->base_n :
		   t->live;
	int row = l->chunk.rows, run, rc;
	nnr__seq *q = NULL;

	if (parent) {
		run = fork_run(l, parent, t->ids.id + from, n - from, grad,
			       err);
	} else {
		rc = make_frozen(l, t, &q, err);
		if (rc)
			return rc;
		run = add_run(l, q, t->ids.id + from, n - from, 0, grad, err);
	}
	if (run < 0)
		return run;
	for (int i = t->prompt - 1; i < n; i++)
		want(l, row + i - from);
	return l->texts ? 0 : add_choices(l, run, grad, err);
}

static int add_rows(nnr__lesson *l, const int *item, int n, nnr_error *err)
{
	int rc = make_base(l, err), parent = 0;
	int grad = l->p->lowered->learns.kv ? 0 : l->base_n;

	if (!rc && l->shared > l->base_n && !l->plain) {
		nnr__seq *q = nnr__seq_fork(l->base);

		if (!q)
			return nnr__fail_memory(err, "rows", sizeof(q));
		parent = add_run(l, q, l->item[item[0]].ids.id + l->base_n,
				 l->shared - l->base_n, 0, grad, err);
		rc = parent < 0 ? parent : 0;
	}
	for (int i = 0; i < n && !rc; i++) {
		l->read[i] = l->chunk.wants;
		rc = add_item(l, &l->item[item[i]], parent, err);
	}
	return rc;
}

static int make_room(nnr__lesson *l, nnr_error *err)
{
	size_t rows = (size_t)l->max_rows;

	if (l->room == l->max_rows)
		return 0;
	l->room = 0;
	free(l->token);
	free(l->want);
	free(l->run);
	free(l->read);
	l->token = nnr__calloc(rows, sizeof(*l->token));
	l->want = nnr__calloc(rows, sizeof(*l->want));
	l->run = nnr__calloc(rows, sizeof(*l->run));
	l->read = nnr__calloc(rows, sizeof(*l->read));
	if (!l->token || !l->want || !l->run || !l->read)
		return nnr__fail_memory(err, "rows", rows);
	l->room = l->max_rows;
	return 0;
}

int nnr__pass_forward(nnr__lesson *l, const int *item, int n, nnr_error *err)
{
	int rc = make_room(l, err);

	memset(&l->chunk, 0, sizeof(l->chunk));
	rc = rc ? rc : add_rows(l, item, n, err);
	if (rc)
		return rc;
	l->pick = item;
	l->picks = n;
	l->chunk.token = l->token;
	l->chunk.run = l->run;
	l->chunk.want = l->want;
	l->chunk.sites = &l->p->lowered->given.sites;
	l->chunk.claimed = true;
	return nnr__exec_forward(l->exec, &l->chunk, &l->features, err);
}

int nnr__pass_back(nnr__lesson *l, nnr_error *err)
{
	return nnr__exec_backward(l->exec, &l->p->lowered->grads, err);
}

void nnr__pass_end(nnr__lesson *l)
{
	for (int i = 0; i < l->chunk.runs; i++)
		nnr__seq_free(l->run[i].seq);
	memset(&l->chunk, 0, sizeof(l->chunk));
}
