/* SPDX-License-Identifier: Apache-2.0
 *
 * score.c: log-probabilities of given tokens; features of prompts.
 *
 * Prompts are packed into chunks; of each only the last row is read.  The
 * logits of the choices' first tokens come from a small head of just those
 * rows of the vocabulary.  Choices of several tokens are forks of their
 * prompt, packed likewise.
 */
#include "program/engine_int.h"

#include <stdlib.h>
#include <string.h>

#define MAX_GROUP 32		/* prompts alive at once: a page each */
#define MAX_FORKS 32		/* likewise for choices */

/* ---- scoring ---- */

typedef struct scoring {
	nnr__engine *e;
	const nnr__span *prompt, *choice;
	int prompts, choices;
	bool relative;
	double *score;
	nnr__small_head head;
	nnr__seq **seq;		/* of the prompts of the group */
	float *logit;		/* group x head rows */
	float *logz;
	bool forks;		/* some choice has several tokens */
} scoring;

/* Adds prompts until a chunk is full; returns how many. */
static int pack_prompts(nnr__engine *e, const nnr__span *prompt, int prompts,
			nnr__seq **seq, int *rc, nnr_error *err)
{
	int n = 0;

	*rc = 0;
	while (n < MAX_GROUP && n < prompts) {
		nnr__span p = prompt[n];
		int from;
		nnr__seq *q = nnr__engine_begin(e, p, &from);

		if (!q) {
			*rc = nnr__fail_memory(err, "prompt", sizeof(p));
			return n;
		}
		if (n == 0)
			*rc = nnr__engine_feed(e, q, p.id, &from, p.n, err);
		if (*rc || !nnr__engine_add(e, q, p.id + from, p.n - from,
					    1)) {
			nnr__seq_free(q);
			return n;
		}
		seq[n++] = q;
		e->stats.shared_tokens += (uint64_t)from;
		e->stats.prompt_tokens += (uint64_t)(p.n - from);
	}
	return n;
}

static int first_tokens(scoring *s, int first, int n, const float *features,
			nnr_error *err)
{
	size_t ld = (size_t)s->head.mat.rows;
	nnr__exec *x = s->e->exec;
	int rc = nnr__exec_head(x, features, n, &s->head.mat, s->logit, ld,
				err);

	if (!rc && !s->relative)
		rc = nnr__exec_logz(x, features, n, &s->e->bb->head,
				    (nnr__logz){ .out = s->logz }, err);
	for (int i = 0; !rc && i < n; i++)
		for (int c = 0; c < s->choices; c++) {
			int at = nnr__head_index(&s->head, s->choice[c].id[0]);
			double v = (double)s->logit[(size_t)i * ld +
						    (size_t)at];

			if (!s->relative)
				v -= (double)s->logz[i];
			s->score[(size_t)(first + i) * (size_t)s->choices +
				 (size_t)c] = v;
		}
	return rc;
}

/* Forks waiting in the chunk: which score each one's rows add to. */
typedef struct forks {
	nnr__seq *seq[MAX_FORKS];
	double *score[MAX_FORKS];
	const nnr__span *choice[MAX_FORKS];
	int n, rows;
	int32_t *target;	/* [max_rows] token after each row */
	float *z, *picked;
} forks;

static int run_forks(scoring *s, forks *f, nnr_error *err)
{
	const float *features;
	int rc = nnr__engine_flush(s->e, &features, err), r = 0;

	if (!rc && f->rows)
		rc = nnr__exec_logz(s->e->exec, features, f->rows,
				    &s->e->bb->head,
				    (nnr__logz){ .out = f->z,
						 .pick = f->target,
						 .picked = f->picked }, err);
	for (int i = 0; i < f->n; i++) {
		for (int t = 1; !rc && t < f->choice[i]->n; t++, r++)
			*f->score[i] += (double)f->picked[r] -
					(double)f->z[r];
		nnr__seq_free(f->seq[i]);
	}
	f->n = f->rows = 0;
	return rc;
}

static int add_fork(scoring *s, forks *f, nnr__seq *prompt,
		    const nnr__span *c, double *score, nnr_error *err)
{
	nnr__seq *q;
	int rc = 0;

	if (c->n < 2)
		return 0;
	if (f->n == MAX_FORKS || f->rows + c->n > s->e->opts.max_rows)
		rc = run_forks(s, f, err);
	if (rc)
		return rc;
	q = nnr__seq_fork(prompt);
	if (!q)
		return nnr__fail_memory(err, "choice", sizeof(*c));
	if (!nnr__engine_add(s->e, q, c->id, c->n - 1, c->n - 1)) {
		nnr__seq_free(q);
		return nnr__fail(err, NNR_E_INPUT, "a choice of %d tokens is "
				 "longer than %d", c->n, s->e->opts.max_rows);
	}
	memcpy(f->target + f->rows, c->id + 1,
	       (size_t)(c->n - 1) * sizeof(*c->id));
	f->seq[f->n] = q;
	f->score[f->n] = score;
	f->choice[f->n++] = c;
	f->rows += c->n - 1;
	s->e->stats.prompt_tokens += (uint64_t)(c->n - 1);
	return 0;
}

static int later_tokens(scoring *s, int first, int n, nnr_error *err)
{
	size_t rows = (size_t)s->e->opts.max_rows;
	forks f = { .n = 0 };
	int rc = 0;

	f.target = nnr__calloc(rows, sizeof(*f.target));
	f.z = nnr__calloc(rows, 2 * sizeof(*f.z));
	f.picked = f.z ? f.z + rows : NULL;
	if (!f.target || !f.z)
		rc = nnr__fail_memory(err, "choices", rows);
	for (int i = 0; i < n; i++)
		for (int c = 0; !rc && c < s->choices; c++)
			rc = add_fork(s, &f, s->seq[i], &s->choice[c],
				      &s->score[(size_t)(first + i) *
						(size_t)s->choices +
						(size_t)c], err);
	if (!rc)
		rc = run_forks(s, &f, err);
	for (int i = 0; i < f.n; i++)
		nnr__seq_free(f.seq[i]);
	free(f.target);
	free(f.z);
	return rc;
}

static int score_group(scoring *s, int first, int *done, nnr_error *err)
{
	const float *features;
	int rc, n = pack_prompts(s->e, s->prompt + first, s->prompts - first,
				 s->seq, &rc, err);

	if (!rc)
		rc = nnr__engine_flush(s->e, &features, err);
	if (!rc)
		rc = first_tokens(s, first, n, features, err);
	if (!rc && s->forks)
		rc = later_tokens(s, first, n, err);
	for (int i = 0; i < n; i++)
		nnr__seq_free(s->seq[i]);
	*done = n;
	return rc;
}

static int check_all(const scoring *s, nnr_error *err)
{
	int longest = 0, rc = 0;

	for (int c = 0; !rc && c < s->choices; c++) {
		rc = nnr__engine_check(s->e, s->choice[c], 0, err);
		longest = s->choice[c].n > longest ? s->choice[c].n : longest;
	}
	for (int i = 0; !rc && i < s->prompts; i++)
		rc = nnr__engine_check(s->e, s->prompt[i], longest - 1, err);
	return rc;
}

int nnr__engine_score(nnr__engine *e, const nnr__span *prompt, int prompts,
		      const nnr__span *choice, int choices, bool relative,
		      double *score, nnr_error *err)
{
	scoring s = { .e = e, .prompt = prompt, .prompts = prompts,
		      .choice = choice, .choices = choices,
		      .relative = relative, .score = score };
	size_t rows = (size_t)e->opts.max_rows;
	double start = nnr__now();
	int rc = check_all(&s, err), n;

	if (rc || prompts < 1 || choices < 1)
		return rc;
	for (int c = 0; c < choices; c++)
		s.forks |= choice[c].n > 1;
	rc = nnr__head_make(&s.head, e->bb, choice, choices, err);
	if (rc)
		return rc;
	s.seq = nnr__calloc(rows, sizeof(nnr__seq *));
	s.logit = nnr__calloc(rows, (size_t)s.head.mat.rows * sizeof(float));
	s.logz = nnr__calloc(rows, sizeof(float));
	if (!s.seq || !s.logit || !s.logz)
		rc = nnr__fail_memory(err, "scores", rows);
	for (int i = 0; !rc && i < prompts; i += n)
		rc = score_group(&s, i, &n, err);
	memset(&e->chunk, 0, sizeof(e->chunk));
	free(s.seq);
	free(s.logit);
	free(s.logz);
	nnr__head_release(&s.head);
	e->stats.prompt_s += nnr__now() - start;
	return rc;
}

/* ---- features ---- */

static int features_group(nnr__engine *e, const nnr__span *prompt,
			  int prompts, float *out, int *done, nnr_error *err)
{
	nnr__seq *seq[MAX_GROUP];
	const float *features;
	int rc, n = pack_prompts(e, prompt, prompts, seq, &rc, err);

	if (!rc)
		rc = nnr__engine_flush(e, &features, err);
	if (!rc)
		memcpy(out, features, (size_t)n * (size_t)e->bb->hidden *
		       sizeof(*out));
	for (int i = 0; i < n; i++)
		nnr__seq_free(seq[i]);
	*done = n;
	return rc;
}

int nnr__engine_features(nnr__engine *e, const nnr__span *prompt,
			 int prompts, float *out, nnr_error *err)
{
	double start = nnr__now();
	int rc = 0, n;

	for (int i = 0; !rc && i < prompts; i++)
		rc = nnr__engine_check(e, prompt[i], 0, err);
	for (int i = 0; !rc && i < prompts; i += n)
		rc = features_group(e, prompt + i, prompts - i,
				    out + (size_t)i * (size_t)e->bb->hidden,
				    &n, err);
	memset(&e->chunk, 0, sizeof(e->chunk));
	e->stats.prompt_s += nnr__now() - start;
	return rc;
}

/* ---- whole texts ---- */

static int nll_one(nnr__engine *e, nnr__span t, double *out, float *z,
		   nnr_error *err)
{
	int rows = e->opts.max_rows, rc = nnr__engine_check(e, t, 0, err);
	nnr__seq *q = rc ? NULL : nnr__seq_new(e->store);
	const float *features;

	if (!rc && !q)
		rc = nnr__fail_memory(err, "text", sizeof(t));
	for (int at = 0; !rc && at < t.n - 1; at += rows) {
		int n = t.n - 1 - at < rows ? t.n - 1 - at : rows;

		nnr__engine_add(e, q, t.id + at, n, n);
		rc = nnr__engine_flush(e, &features, err);
		if (!rc)
			rc = nnr__exec_logz(e->exec, features, n, &e->bb->head,
				(nnr__logz){ .out = z, .pick = t.id + at + 1,
					     .picked = z + rows }, err);
		for (int i = 0; !rc && i < n; i++)
			out[at + i] = (double)z[rows + i] - (double)z[i];
		e->stats.prompt_tokens += (uint64_t)n;
	}
	nnr__seq_free(q);
	return rc;
}

int nnr__engine_nll(nnr__engine *e, const nnr__span *text,
		    double *const *token_score, int texts, nnr_error *err)
{
	float *z = nnr__calloc((size_t)e->opts.max_rows, 2 * sizeof(*z));
	int rc = z ? 0 : nnr__fail_memory(err, "scores", sizeof(*z));

	for (int i = 0; !rc && i < texts; i++)
		rc = nll_one(e, text[i], token_score[i], z, err);
	free(z);
	return rc;
}

int nnr__engine_logits(nnr__engine *e, const int32_t *token, int n,
		       float *out, nnr_error *err)
{
	nnr__span t = { token, n };
	int rows = e->opts.max_rows, rc = nnr__engine_check(e, t, 0, err);
	size_t vocab = (size_t)e->bb->vocab;
	int from = 0;
	nnr__seq *q = rc ? NULL : nnr__engine_start(e, t, &from);
	const float *features;

	if (!rc && !q)
		rc = nnr__fail_memory(err, "text", sizeof(t));
	for (int at = from; !rc && at < n; at += rows) {
		int m = n - at < rows ? n - at : rows;

		nnr__engine_add(e, q, token + at, m, m);
		rc = nnr__engine_flush(e, &features, err);
		if (!rc)
			rc = nnr__exec_head(e->exec, features, m, &e->bb->head,
					    out + (size_t)at * vocab, vocab,
					    err);
	}
	nnr__seq_free(q);
	return rc;
}
