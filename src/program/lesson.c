/* SPDX-License-Identifier: Apache-2.0
 *
 * lesson.c: training data as tokens, and the gradient of a batch.
 */
#include "lesson_int.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY ((size_t)768 << 20)
#define ROWS_LEAST 256		/* rows a pass should have, if it can */

/* ---- items ---- */

/* What a text target is followed by: the first stop text, else the end. */
static int add_end(const nnr__lesson *l, nnr__ids *ids, nnr_error *err)
{
	const nnr__step *s = nnr__program_step(l->p, "generate");
	const struct nnr__a_generate *a = s ? s->args : NULL;
	const nnr__tok *tok = l->p->model->tok;

	if (a && a->stop.n)
		return nnr__tok_encode(tok, a->stop.s[0],
				       strlen(a->stop.s[0]), ids, err);
	if (nnr__tok_eos(tok) >= 0 && !nnr__ids_add(ids, nnr__tok_eos(tok)))
		return nnr__fail_memory(err, "tokens", ids->n);
	return 0;
}

static int add_target(const nnr__lesson *l, int i, nnr__ids *ids,
		      nnr_error *err)
{
	nnr__buf text = { 0 };
	int rc;

	nnr__buf_addf(&text, " %s", l->d->target[i]);
	if (text.bad)
		return nnr__fail_memory(err, "a target", text.len);
	rc = nnr__tok_encode(l->p->model->tok, text.p, text.len, ids, err);
	nnr__buf_release(&text);
	return rc ? rc : add_end(l, ids, err);
}

bool nnr__lesson_learns_f(const nnr__lesson *l)
{
	const nnr__learns *n = &l->p->lowered->learns;

	return n->embed || n->deep || n->kv || n->weights;
}

static bool learns_any(const nnr__lesson *l)
{
	bool any = false;

	for (int i = 0; i < l->p->tensors; i++)
		any |= l->p->tensor[i]->grad != NULL;
	return any;
}

/* The first position something learnable reaches. */
static int first_live(const nnr__lesson *l, const nnr__ids *ids)
{
	const nnr__lowered *w = l->p->lowered;
	int i = 0, n = (int)ids->n;

	if (w->learns.kv || w->learns.weights)
		return w->given.kvs;
	while (i < n && (ids->id[i] >= 0 || ids->id[i] <= NNR__KV_ROW))
		i++;
	if (w->learns.embed && w->given.sites.shifts &&
	    w->given.sites.shift_from < i)
		i = w->given.sites.shift_from;
	return i < n ? i : n - 1;
}

static int longest_choice(const nnr__lesson *l)
{
	int most = 1;

	for (int c = 0; !l->texts && c < l->p->choices; c++)
		if ((int)l->p->choice[c].n > most)
			most = (int)l->p->choice[c].n;
	return most;
}

static int read_item(nnr__lesson *l, int i, nnr__prompt *prompt,
		     nnr_error *err)
{
	nnr__lesson_item *t = &l->item[i];
	int rc = nnr__program_render(l->p, &l->d->item[i], prompt, err);

	rc = rc ? rc : nnr__prompt_encode(l->p->model->tok, prompt, &t->ids,
					  err);
	t->prompt = (int)t->ids.n;
	t->label = l->d->label ? l->d->label[i] : -1;
	if (!rc && l->texts)
		rc = add_target(l, i, &t->ids, err);
	if (!rc) {
		t->live = first_live(l, &t->ids);
		rc = nnr__engine_check(l->e, (nnr__span){ t->ids.id,
							  (int)t->ids.n },
				       longest_choice(l) - 1, err);
	}
	return rc ? nnr__err_prefix(err, "line %u of the data",
				    l->d->rec.line[i]) : 0;
}

static int read_items(nnr__lesson *l, nnr_error *err)
{
	nnr_error local;
	nnr__prompt prompt = { 0 };
	int rc = 0;

	for (int i = 0; i < l->items && !rc; i++)
		rc = read_item(l, i, &prompt, err ? err : &local);
	nnr__prompt_release(&prompt);
	return rc;
}

/* Tokens that all items begin with; each keeps one to read. */
static int common(const nnr__lesson *l)
{
	const nnr__ids *a = &l->item[0].ids;
	int n = l->item[0].prompt - 1;

	for (int i = 1; i < l->items; i++) {
		const nnr__lesson_item *t = &l->item[i];
		int same = 0;

		while (same < n && same < t->prompt - 1 &&
		       t->ids.id[same] == a->id[same])
			same++;
		n = same;
	}
	return n;
}

/* Rows of choices of several tokens. */
static int choice_rows(const nnr__lesson *l)
{
	int rows = 0;

	for (int c = 0; !l->texts && c < l->p->choices; c++)
		rows += (int)l->p->choice[c].n - 1;
	return rows;
}

int nnr__lesson_rows(const nnr__lesson *l, int item)
{
	const nnr__lesson_item *t = &l->item[item];
	int from = t->live < l->shared && !l->plain ? l->shared : t->live;

	return (int)t->ids.n - (l->texts ? 1 : 0) - from + choice_rows(l);
}

static void measure(nnr__lesson *l)
{
	int same = common(l), live = INT_MAX;

	for (int i = 0; i < l->items; i++)
		if (l->item[i].live < live)
			live = l->item[i].live;
	l->base_n = live < same ? live : same;
	if (l->p->lowered->learns.kv)
		l->base_n = l->p->lowered->given.kvs;
	l->shared = same > live ? same : l->base_n;
	for (int i = 0; i < l->items; i++) {
		int rows = nnr__lesson_rows(l, i);
		int end = (int)l->item[i].ids.n + longest_choice(l) - 1;

		l->length[i] = rows;
		l->widest = rows > l->widest ? rows : l->widest;
		l->longest = end > l->longest ? end : l->longest;
	}
	if (l->plain)
		l->shared = 0;
}

/* ---- f with gradients ---- */

static int build_exec(nnr__lesson *l, int kept, int rows, nnr_error *err)
{
	const nnr__backbone *b = l->p->model->bb;
	const nnr__graph *own = l->p->lowered->given.graph;
	nnr__learns learns = l->p->lowered->learns;
	nnr_precision mode = l->p->precision;
	int rc;

	nnr__exec_free(l->exec);
	nnr__graph_free(l->graph);
	l->exec = NULL;
	l->graph = NULL;
	learns.kept = kept;
	rc = nnr__graph_grad(&l->graph, own ? own : b->graph, &learns, err);
	if (rc)
		return rc;
	/* one term of codes is too coarse for a gradient: fp32 there */
	if (l->e->k->plain_terms < 2)
		mode = NNR_EXACT;
	return nnr__exec_new(&l->exec, l->graph, l->e->pool, l->e->k, mode,
			     rows, l->longest, err);
}

/* Bytes of an executor with that many rows, by one that is small. */
static int bytes_of(nnr__lesson *l, int kept, int rows, size_t *bytes,
		    nnr_error *err)
{
	const int few = 64;
	size_t one, two;
	int rc = build_exec(l, kept, few, err);

	if (rc)
		return rc;
	one = nnr__exec_bytes(l->exec);
	rc = build_exec(l, kept, 2 * few, err);
	if (rc)
		return rc;
	two = nnr__exec_bytes(l->exec);
	*bytes = one + (two - one) / (size_t)few * (size_t)(rows - few);
	return 0;
}

/* Chooses how many rows a pass has, and how many blocks are kept. */
int nnr__lesson_exec(nnr__lesson *l, int rows, nnr_error *err)
{
	int layers = l->p->model->bb->layers, kept = layers, rc;
	int least = l->widest + l->shared;
	size_t bytes;

	least = least < ROWS_LEAST ? ROWS_LEAST : least;
	rows = rows < least ? least : rows;
	rc = bytes_of(l, kept, rows, &bytes, err);
	while (!rc && bytes > l->memory && rows > least) {
		rows = rows * 3 / 4 > least ? rows * 3 / 4 : least;
		rc = bytes_of(l, kept, rows, &bytes, err);
	}
	while (!rc && bytes > l->memory && kept > 0) {
		kept = kept * 3 / 4;
		rc = bytes_of(l, kept, rows, &bytes, err);
	}
	rc = rc ? rc : build_exec(l, kept, rows, err);
	l->max_rows = rows;
	return rc;
}

/* ---- a lesson ---- */

static int make_room(nnr__lesson *l, const nnr__data *d, nnr_error *err)
{
	l->items = d->n;
	l->item = nnr__calloc((size_t)d->n, sizeof(*l->item));
	l->length = nnr__calloc((size_t)d->n, sizeof(*l->length));
	if (!l->item || !l->length)
		return nnr__fail_memory(err, "items", (size_t)d->n);
	return 0;
}

static int open_lesson(nnr__lesson *l, const nnr__data *d, nnr_error *err)
{
	int rc;

	if (d->n < 1)
		return nnr__fail(err, NNR_E_INPUT, "no items to learn from");
	if (!learns_any(l))
		return nnr__fail(err, NNR_E_INPUT, "%s: no step of it learns",
				 l->p->path);
	rc = make_room(l, d, err);
	rc = rc ? rc : read_items(l, err);
	if (rc)
		return rc;
	measure(l);
	return nnr__loss_open(l, err);
}

int nnr__lesson_new(nnr__lesson **out, nnr_program *p, const nnr__data *d,
		    size_t memory, nnr_error *err)
{
	nnr__lesson *l = nnr__calloc(1, sizeof(*l));
	int rc;

	*out = NULL;
	if (!l)
		return nnr__fail_memory(err, "a lesson", sizeof(*l));
	l->p = p;
	l->e = p->engine;
	l->d = d;
	l->memory = memory ? memory : MEMORY;
	l->texts = !nnr__reading_step(p);
	rc = open_lesson(l, d, err);
	if (rc)
		nnr__lesson_free(l);
	else
		*out = l;
	return rc;
}

void nnr__lesson_free(nnr__lesson *l)
{
	if (!l)
		return;
	nnr__pass_end(l);
	for (int i = 0; l->item && i < l->items; i++) {
		nnr__ids_release(&l->item[i].ids);
		nnr__seq_free(l->item[i].frozen);
	}
	nnr__seq_free(l->base);
	nnr__exec_free(l->exec);
	nnr__graph_free(l->graph);
	nnr__loss_close(l);
	free(l->item);
	free(l->length);
	free(l->token);
	free(l->want);
	free(l->run);
	free(l->read);
	free(l);
}

int nnr__lesson_items(const nnr__lesson *l)
{
	return l->items;
}

const int *nnr__lesson_lengths(const nnr__lesson *l)
{
	return l->length;
}

void nnr__lesson_plain(nnr__lesson *l)
{
	l->plain = true;
	l->shared = 0;
	for (int i = 0; i < l->items; i++) {
		int rows = nnr__lesson_rows(l, i);

		l->length[i] = rows;
		l->widest = rows > l->widest ? rows : l->widest;
	}
}

/* ---- the gradient of a batch ---- */

static int rows_of_batch(const nnr__lesson *l, const int *item, int n)
{
	int rows = l->shared;

	for (int i = 0; i < n; i++)
		rows += nnr__lesson_rows(l, item[i]);
	return rows;
}

static int descending(const void *a, const void *b)
{
	const int x = *(const int *)a, y = *(const int *)b;

	return (y > x) - (y < x);
}

/* Rows to make room for: those of this batch or, when it is one of `train`,
 * of the largest there can be.  How a batch is cut into passes is part of
 * the order of sums, so it must not depend on which batch came first. */
static int rows_to_plan(const nnr__lesson *l, const int *item, int n,
			nnr_error *err)
{
	int64_t most = l->p->train->batch, rows = l->shared;
	int *sorted;

	if (n > most)
		return rows_of_batch(l, item, n);
	sorted = nnr__calloc((size_t)l->items, sizeof(*sorted));
	if (!sorted)
		return nnr__fail_memory(err, "items", (size_t)l->items);
	memcpy(sorted, l->length, (size_t)l->items * sizeof(*sorted));
	qsort(sorted, (size_t)l->items, sizeof(*sorted), descending);
	for (int i = 0; i < l->items && i < most; i++)
		rows += sorted[i];
	free(sorted);
	return rows < INT_MAX / 2 ? (int)rows : INT_MAX / 2;
}

/* An executor for such a batch, if there is none yet. */
static int make_ready(nnr__lesson *l, const int *item, int n, nnr_error *err)
{
	int rows;

	if (!nnr__lesson_learns_f(l) || (l->exec && n <= l->planned))
		return 0;
	rows = rows_to_plan(l, item, n, err);
	if (rows < 0)
		return rows;
	l->planned = n > (int)l->p->train->batch ? n
						 : (int)l->p->train->batch;
	return nnr__lesson_exec(l, rows, err);
}

/* Items from the first on that fit a pass. */
static int fitting(const nnr__lesson *l, const int *item, int n)
{
	int rows = l->shared, i = 0;

	while (i < n) {
		rows += nnr__lesson_rows(l, item[i]);
		if (i && rows > l->max_rows)
			break;
		i++;
	}
	return i;
}

static int run_pass(nnr__lesson *l, const int *item, int n, double weight,
		    double *loss, nnr_error *err)
{
	int rc;

	if (!l->exec) {
		l->pick = item;
		l->picks = n;
		return nnr__pass_loss(l, weight, loss, err);
	}
	rc = nnr__pass_forward(l, item, n, err);
	rc = rc ? rc : nnr__pass_loss(l, weight, loss, err);
	rc = rc ? rc : nnr__pass_back(l, err);
	nnr__pass_end(l);
	return rc;
}

static void zero(float *v, size_t n)
{
	if (v)
		memset(v, 0, n * sizeof(*v));
}

static void zero_grads(nnr_program *p)
{
	nnr__lowered *w = p->lowered;
	const nnr__sites *s = &w->given.sites;
	size_t hidden = (size_t)w->hidden, layers = (size_t)w->layers;

	zero(w->grads.soft, (size_t)s->softs * hidden);
	zero(w->grads.deep, (layers - 1) * (size_t)s->deeps * hidden);
	zero(w->grads.shift, (size_t)s->shifts * hidden);
	zero(w->grads.kv, layers * 2 * (size_t)w->given.kvs *
	     (size_t)w->kv_cols);
	for (int i = 0; i < p->tensors; i++)
		zero(p->tensor[i]->grad, p->tensor[i]->n);
}

int nnr__lesson_gradient(nnr__lesson *l, const int *item, int n,
			 double *loss, nnr_error *err)
{
	double weight = 1 / nnr__loss_count(l, item, n);
	int rc = nnr__lower_rows(l->p, err);

	*loss = 0;
	zero_grads(l->p);
	rc = rc ? rc : make_ready(l, item, n, err);
	if (l->p->lowered->learns.kv) {
		nnr__seq_free(l->base);
		l->base = NULL;
	}
	for (int i = 0, k; i < n && !rc; i += k) {
		k = l->exec ? fitting(l, item + i, n - i) : n;
		rc = run_pass(l, item + i, k, weight, loss, err);
	}
	return rc ? rc : nnr__lower_back(l->p, err);
}
