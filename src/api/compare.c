/* SPDX-License-Identifier: Apache-2.0
 *
 * compare.c: several programs on the same items: how often each is right,
 * what it learned, stores and costs, and whether the first is different.
 */
#include "api/api.h"
#include "program/learn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct entry {
	const char *path;
	char *name;
	bool pca;		/* changes f's parameters */
	nnr__rate rate;
	bool *right;
	int items;
	char data_hash[65];
	size_t learned, frozen, stored, peak;
	double seconds, tokens;	/* per item */
	nnr__paired with_first;
} entry;

typedef struct comparison {
	const nnr_compare_opts *o;
	entry *entry;
	int at;			/* the one that answers */
	nnr__data *data;
	nnr__type type;
	int64_t done;
} comparison;

/* ---- one program ---- */

static int take_answer(void *ctx, int item, const nnr__answer *a,
		       nnr_error *err)
{
	comparison *c = ctx;
	entry *e = &c->entry[c->at];
	nnr_progress at = { .total = (int64_t)c->o->programs * c->data->n };

	(void)err;
	e->right[item] = nnr__same_any(c->type, &c->data->all[item],
				       a->value);
	at.done = ++c->done;
	if (c->o->progress)
		c->o->progress(c->o->ctx, &at);
	return 0;
}

static size_t learned_values(const nnr_program *p)
{
	size_t n = 0;

	for (int i = 0; i < p->tensors; i++)
		n += p->tensor[i]->grad ? p->tensor[i]->n : 0;
	return n;
}

static size_t model_values(const nnr_model *m)
{
	const nnr__backbone *b = m->bb;
	const nnr__graph *g = b->graph;
	size_t n = (size_t)b->vocab * (size_t)b->hidden *
		   (b->tied ? 1 : 2);

	for (int i = 1; i < g->nodes; i++)
		if (g->node[i].op == NNR__OP_LINEAR)
			n += (size_t)g->node[i].mat->rows *
			     (size_t)g->node[i].mat->cols;
		else if (g->node[i].op == NNR__OP_RMSNORM)
			n += (size_t)g->node[i].cols;
	return n;
}

static int answer_all(comparison *c, nnr_program *p, nnr_error *err)
{
	entry *e = &c->entry[c->at];
	nnr__engine_stats before;
	const nnr__engine_stats *now;
	double start;
	int hits = 0, rc = nnr__program_fit(p, err);

	e->items = c->data->n;
	e->right = nnr__calloc((size_t)e->items, sizeof(*e->right));
	if (!e->right)
		return nnr__fail_memory(err, "items", (size_t)e->items);
	before = *nnr__engine_stats_of(p->engine);
	start = nnr__now();
	rc = rc ? rc : nnr__program_answers(p, c->data->item, e->items,
					    take_answer, c, err);
	now = nnr__engine_stats_of(p->engine);
	e->seconds = (nnr__now() - start) / e->items;
	e->tokens = (double)(now->prompt_tokens + now->shared_tokens +
			     now->made_tokens - before.prompt_tokens -
			     before.shared_tokens - before.made_tokens) /
		    e->items;
	for (int i = 0; i < e->items; i++)
		hits += e->right[i];
	e->rate = nnr__rate_of(hits, e->items);
	return rc;
}

static int run_bound(comparison *c, nnr_program *p, const nnr_model *m,
		     nnr_error *err)
{
	const nnr_compare_opts *o = c->o;
	const nnr__items_opts items = {
		.path = o->data, .columns = o->columns, .where = o->where,
		.wheres = o->wheres, .limit = o->limit, .sample = o->sample,
		.seed = o->seed };
	entry *e = &c->entry[c->at];
	nnr__data data = { 0 };
	struct stat st;
	int rc = nnr__items_read(&data, p, &items, err);

	c->data = &data;
	c->type = p->output.type;
	e->pca = nnr__program_pca(p);
	e->learned = learned_values(p);
	e->frozen = model_values(m);
	e->stored = stat(e->path, &st) ? 0 : (size_t)st.st_size;
	memcpy(e->data_hash, data.rec.hash, sizeof(e->data_hash));
	rc = rc ? rc : answer_all(c, p, err);
	e->peak = nnr__peak_rss();
	nnr__data_release(&data);
	return rc;
}

static int run_entry(comparison *c, const nnr_run_opts *how, nnr_error *err)
{
	entry *e = &c->entry[c->at];
	nnr_program_opts with = { .untrained = c->o->untrained };
	nnr_program *p = NULL;
	nnr_model *m = NULL;
	int rc;

	nnr__peak_reset();
	rc = nnr_program_open(&p, e->path, &with, err);
	rc = rc ? rc : nnr_program_model(p, &m, err);
	rc = rc ? rc : nnr_program_bind(p, m, how, err);
	if (!rc) {
		e->name = nnr__strdup(p->name);
		rc = e->name ? run_bound(c, p, m, err) :
		     nnr__fail_memory(err, "a name", 0);
	}
	nnr_program_close(p);
	nnr_model_close(m);
	return rc;
}

/* ---- what is said ---- */

static void entry_json(const entry *e, bool first, nnr__buf *b)
{
	nnr__buf_adds(b, "{\"program\":");
	nnr__buf_add_json(b, e->name, strlen(e->name));
	nnr__buf_adds(b, ",\"file\":");
	nnr__buf_add_json(b, nnr__base_name(e->path),
			  strlen(nnr__base_name(e->path)));
	nnr__buf_addf(b, ",\"pca\":%s,\"accuracy\":%.9g,\"low\":%.9g,"
		      "\"high\":%.9g,\"hits\":%d,\"n\":%d,\"learned\":%zu,"
		      "\"stored_bytes\":%zu,\"seconds_per_item\":%.6g,"
		      "\"tokens_per_item\":%.6g,\"peak_bytes\":%zu",
		      e->pca ? "true" : "false", e->rate.value, e->rate.low,
		      e->rate.high, e->rate.hits, e->rate.n, e->learned,
		      e->stored, e->seconds, e->tokens, e->peak);
	if (!first)
		nnr__buf_addf(b, ",\"with_first\":{\"difference\":%.9g,"
			      "\"low\":%.9g,\"high\":%.9g,\"p\":%.6g,"
			      "\"only_first\":%d,\"only_this\":%d}",
			      e->with_first.difference, e->with_first.low,
			      e->with_first.high, e->with_first.p,
			      e->with_first.only_a, e->with_first.only_b);
	nnr__buf_addc(b, '}');
}

static void put_json(const comparison *c, nnr__buf *b)
{
	nnr__buf_adds(b, "{\"data\":");
	nnr__buf_add_json(b, nnr__base_name(c->o->data),
			  strlen(nnr__base_name(c->o->data)));
	nnr__buf_addf(b, ",\"data_hash\":\"%s\",\"features\":\"%s\","
		      "\"programs\":[", c->entry[0].data_hash,
		      nnr__cpu_features());
	for (int i = 0; i < c->o->programs; i++) {
		if (i)
			nnr__buf_addc(b, ',');
		entry_json(&c->entry[i], i == 0, b);
	}
	nnr__buf_addf(b, "],\"full_fine_tuning\":{\"learned\":%zu,"
		      "\"stored_bytes\":%zu,\"run\":false}}",
		      c->entry[0].frozen, 4 * c->entry[0].frozen);
}

/* 12345678 -> "12.3 M" in 7 columns. */
static void amount(nnr__buf *b, double v)
{
	static const char *const unit[] = { "", "k", "M", "G" };
	int u = 0;

	for (; v >= 1000 && u < 3; u++)
		v /= 1000;
	nnr__buf_addf(b, "%*.*f%s", u ? 6 : 7, u && v < 100 ? 1 : 0, v,
		      unit[u]);
}

static void put_row(const entry *e, bool first, nnr__buf *b)
{
	nnr__buf_addf(b, "%-17.17s%-4s%6.2f %6.2f-%-6.2f", e->name,
		      e->pca ? "PCA" : "", 100 * e->rate.value,
		      100 * e->rate.low, 100 * e->rate.high);
	amount(b, (double)e->learned);
	amount(b, (double)e->stored);
	nnr__buf_addf(b, "%7.1f%6.0f", 1000 * e->seconds,
		      (double)e->peak / 1e6);
	if (first)
		nnr__buf_adds(b, "      -\n");
	else
		nnr__buf_addf(b, "%7.3g\n", e->with_first.p);
}

static void put_text(const comparison *c, nnr__buf *b)
{
	nnr__buf_addf(b, "%d items of %s\n\n", c->entry[0].items,
		      nnr__base_name(c->o->data));
	nnr__buf_addf(b, "%-21s%6s %-13s%7s%7s%7s%6s%7s\n", "program",
		      "right", " 95 %", "learns", "bytes", "ms/item", "MB",
		      "p");
	for (int i = 0; i < c->o->programs; i++)
		put_row(&c->entry[i], i == 0, b);
	nnr__buf_adds(b, "full fine-tuning PCA       not run      ");
	amount(b, (double)c->entry[0].frozen);
	amount(b, 4.0 * (double)c->entry[0].frozen);
	nnr__buf_adds(b, "\n\np: exact McNemar test against the first. PCA "
		      "adapts or reads f's own parameters.\n");
}

static int hand_out(const comparison *c, char **json, char **text,
		    nnr_error *err)
{
	nnr__buf doc = { 0 }, table = { 0 };
	int rc = 0;

	put_json(c, &doc);
	put_text(c, &table);
	if (json)
		rc = nnr__hand_out(&doc, json, err);
	if (!rc && text)
		rc = nnr__hand_out(&table, text, err);
	nnr__buf_release(&doc);
	nnr__buf_release(&table);
	return rc;
}

int nnr_compare(const nnr_compare_opts *o, const nnr_run_opts *how,
		char **json, char **text, nnr_error *err)
{
	comparison c = { .o = o };
	int rc = 0;

	if (json)
		*json = NULL;
	if (text)
		*text = NULL;
	c.entry = nnr__calloc((size_t)o->programs, sizeof(*c.entry));
	if (!c.entry)
		return nnr__fail_memory(err, "programs", 0);
	for (c.at = 0; c.at < o->programs && !rc; c.at++) {
		entry *e = &c.entry[c.at];

		e->path = o->program[c.at];
		rc = run_entry(&c, how, err);
		if (!rc && e->items != c.entry[0].items)
			rc = nnr__fail(err, NNR_E_INPUT, "%s answers %d "
				       "items, %s %d", o->program[0],
				       c.entry[0].items, e->path, e->items);
		if (!rc)
			e->with_first = nnr__paired_of(c.entry[0].right,
						       e->right, e->items);
	}
	rc = rc ? rc : hand_out(&c, json, text, err);
	for (int i = 0; i < o->programs; i++) {
		free(c.entry[i].name);
		free(c.entry[i].right);
	}
	free(c.entry);
	return rc;
}
