/* SPDX-License-Identifier: Apache-2.0
 *
 * loss.c: from the features of a pass to its loss, and the gradient back to
 * the features.
 *
 * Labels: the steps of `out` there and back, and between them the losses
 * (loss_terms.c).  Texts: the log-probability of every target token.  Rows
 * that need the whole vocabulary go through its head a few at a time.
 */
#include "lesson_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- rows against the whole vocabulary ---- */

typedef struct soft_job {
	const nnr__lesson *l;
	const float *logz, *coef;
	const int32_t *target;
	int rows;
} soft_job;

/* coef * (onehot - softmax), in place; target -1: no one. */
static void soft_part(void *ctx, int id)
{
	const soft_job *j = ctx;
	const nnr__engine *e = j->l->e;
	int threads = nnr__pool_threads(e->pool);
	size_t vocab = (size_t)e->bb->vocab;

	for (int r = id; r < j->rows; r += threads) {
		float *x = j->l->logit + (size_t)r * vocab;

		e->k->softmax(x, (int)vocab, j->logz[r], -j->coef[r], x);
		if (j->target[r] >= 0)
			x[j->target[r]] += j->coef[r];
	}
}

int nnr__vocab_back(nnr__lesson *l, nnr_error *err)
{
	const nnr__backbone *b = l->e->bb;
	size_t hidden = (size_t)b->hidden, vocab = (size_t)b->vocab;
	int rc = 0, end = l->chunk.wants;

	for (int r = 0; r < end && !rc; r += NNR__VOCAB_ROWS) {
		int n = end - r < NNR__VOCAB_ROWS ? end - r : NNR__VOCAB_ROWS;
		soft_job j = { .l = l, .logz = l->logz + r,
			       .coef = l->coef + r, .target = l->target + r,
			       .rows = n };

		rc = nnr__exec_head(l->exec, l->features + (size_t)r * hidden,
				    n, &b->head, l->logit, vocab, err);
		if (rc)
			break;
		nnr__pool_run(l->e->pool, soft_part, &j);
		nnr__exec_head_back(l->exec, l->logit, vocab, n, &b->head,
				    nnr__exec_seed(l->exec) + (size_t)r *
				    hidden, true);
	}
	return rc;
}

int nnr__vocab_forward(nnr__lesson *l, nnr_error *err)
{
	return nnr__exec_logz(l->exec, l->features, l->chunk.wants,
			      &l->e->bb->head,
			      (nnr__logz){ .out = l->logz,
					   .picked = l->picked,
					   .pick = l->target }, err);
}

/* ---- texts ---- */

static int text_loss(nnr__lesson *l, double weight, double *loss,
		     nnr_error *err)
{
	int rc;

	for (int i = 0; i < l->picks; i++) {
		const nnr__lesson_item *t = &l->item[l->pick[i]];

		for (size_t k = (size_t)t->prompt; k < t->ids.n; k++) {
			size_t r = (size_t)l->read[i] + k - (size_t)t->prompt;

			l->target[r] = t->ids.id[k];
			l->coef[r] = (float)-weight;
		}
	}
	rc = nnr__vocab_forward(l, err);
	for (int r = 0; r < l->chunk.wants && !rc; r++)
		*loss += weight * ((double)l->logz[r] -
				   (double)l->picked[r]);
	return rc ? rc : nnr__vocab_back(l, err);
}

/* ---- the steps of `out`, there and back ---- */

static bool takes_part(const nnr__step *s)
{
	return s->when != NNR__WHEN_RUN && (s->row->read || s->row->pass);
}

nnr__step *nnr__reading_step(const nnr_program *p)
{
	for (int i = 0; i < p->outs; i++)
		if (takes_part(&p->out[i]) && p->out[i].row->read)
			return &p->out[i];
	return NULL;
}

static int out_forward(nnr__lesson *l, nnr_error *err)
{
	nnr_program *p = l->p;
	size_t n = (size_t)(l->picks * l->out.labels);
	int rc = 0;

	for (int i = 0; i < p->outs && !rc; i++) {
		nnr__step *s = &p->out[i];

		if (!takes_part(s))
			continue;
		if (s->row->read)
			rc = s->row->read(p, s, &l->out, err);
		else {
			memcpy(l->before + (size_t)i * n, l->out.score,
			       n * sizeof(*l->before));
			rc = s->row->pass(p, s, &l->out, err);
		}
	}
	return rc;
}

/* The scores become what they were before the step, too. */
static int pass_back(nnr__lesson *l, int i, nnr_error *err)
{
	nnr__step *s = &l->p->out[i];
	size_t n = (size_t)(l->picks * l->out.labels);
	const double *before = l->before + (size_t)i * n;
	int rc = s->row->pass_back(l->p, s, &l->out, before, err);

	memcpy(l->out.score, before, n * sizeof(*before));
	return rc;
}

static int out_back(nnr__lesson *l, nnr_error *err)
{
	nnr_program *p = l->p;
	int rc = 0;

	for (int i = p->outs - 1; i >= 0 && !rc; i--) {
		nnr__step *s = &p->out[i];

		if (!takes_part(s))
			continue;
		if (s->row->read)
			rc = s->row->read_back(p, s, &l->out, err);
		else
			rc = pass_back(l, i, err);
	}
	return rc;
}

static int gather(nnr__lesson *l, nnr_error *err)
{
	size_t hidden = (size_t)l->e->bb->hidden;
	int rc = 0;

	for (int i = 0; i < l->picks; i++)
		l->label[i] = l->item[l->pick[i]].label;
	if (l->exec)
		memset(l->out.drow, 0, (size_t)l->picks * hidden *
		       sizeof(float));
	else
		rc = nnr__frozen_gather(l, err);
	for (int i = 0; i < l->picks && l->exec; i++)
		memcpy((float *)(uintptr_t)l->out.row + (size_t)i * hidden,
		       l->features + (size_t)l->read[i] * hidden,
		       hidden * sizeof(float));
	memset(l->out.dscore, 0, (size_t)(l->picks * l->out.labels) *
	       sizeof(double));
	return rc;
}

static void spread(nnr__lesson *l)
{
	size_t hidden = (size_t)l->e->bb->hidden;
	float *seed = nnr__exec_seed(l->exec);

	for (int i = 0; i < l->picks; i++)
		for (size_t k = 0; k < hidden; k++)
			seed[(size_t)l->read[i] * hidden + k] +=
				l->out.drow[(size_t)i * hidden + k];
}

static int label_loss(nnr__lesson *l, double weight, double *loss,
		      nnr_error *err)
{
	double *room = nnr__calloc((size_t)l->out.labels, 2 * sizeof(*room));
	int rc;

	if (!room)
		return nnr__fail_memory(err, "scores", sizeof(*room));
	rc = gather(l, err);
	rc = rc ? rc : out_forward(l, err);
	for (int i = 0; i < l->picks && !rc; i++)
		*loss += nnr__item_loss(l, i, weight, room);
	free(room);
	rc = rc ? rc : out_back(l, err);
	if (!rc && l->exec)
		spread(l);
	return rc;
}

/* ---- room ---- */

static int grow_out(nnr__lesson *l, nnr_error *err)
{
	size_t n = (size_t)l->picks, labels = (size_t)l->out.labels;
	size_t hidden = (size_t)l->e->bb->hidden;
	size_t ld = (size_t)l->head.mat.rows;
	size_t words = (size_t)l->p->choices + 1;

	l->out.n = l->picks;
	l->out.exec = l->exec;
	l->out.item = l->pick;
	if (n <= l->out_cap)
		return 0;
	nnr__loss_close_out(l);
	l->out.row = nnr__aligned(n * hidden * sizeof(float));
	if (l->exec)
		l->out.drow = nnr__aligned(n * hidden * sizeof(float));
	l->out.score = nnr__calloc(n * labels, sizeof(double));
	l->out.dscore = nnr__calloc(n * labels, sizeof(double));
	l->before = nnr__calloc(n * labels * (size_t)l->p->outs,
				sizeof(double));
	l->label = nnr__calloc(n, sizeof(int));
	l->near = nnr__calloc(n * (ld + 1), sizeof(float));
	l->dnear = nnr__calloc(n * (ld + 1), sizeof(float));
	l->out.label = l->label;
	l->word = nnr__calloc(n * words, sizeof(double));
	l->dword = nnr__calloc(n * words, sizeof(double));
	if (!l->out.row || (l->exec && !l->out.drow) || !l->out.score ||
	    !l->out.dscore || !l->before || !l->label || !l->near ||
	    !l->dnear || !l->word || !l->dword)
		return nnr__fail_memory(err, "scores", n * labels);
	l->out_cap = n;
	return 0;
}

static int grow_wants(nnr__lesson *l, nnr_error *err)
{
	size_t n = (size_t)l->chunk.wants;
	size_t vocab = (size_t)l->e->bb->vocab;

	if (!l->logit)
		l->logit = nnr__aligned(NNR__VOCAB_ROWS * vocab *
					sizeof(float));
	if (n > l->want_cap) {
		free(l->logz);
		free(l->target);
		l->want_cap = 0;
		l->logz = nnr__calloc(n, 3 * sizeof(float));
		l->target = nnr__calloc(n, sizeof(int32_t));
		if (!l->logz || !l->target)
			return nnr__fail_memory(err, "rows", n);
		l->want_cap = n;
	}
	if (!l->logit)
		return nnr__fail_memory(err, "logits", vocab);
	l->picked = l->logz + n;
	l->coef = l->picked + n;
	memset(l->target, 0, n * sizeof(*l->target));
	memset(l->coef, 0, n * sizeof(*l->coef));
	return 0;
}

int nnr__pass_loss(nnr__lesson *l, double weight, double *loss,
		   nnr_error *err)
{
	int rc = nnr__teachers_answer(l, err);

	if (!rc && l->exec) {
		rc = grow_wants(l, err);
		memset(nnr__exec_seed(l->exec), 0, (size_t)l->chunk.wants *
		       (size_t)l->e->bb->hidden * sizeof(float));
	}
	if (!rc && l->texts)
		return text_loss(l, weight, loss, err);
	rc = rc ? rc : grow_out(l, err);
	return rc ? rc : label_loss(l, weight, loss, err);
}

double nnr__loss_count(const nnr__lesson *l, const int *item, int n)
{
	double count = 0;

	if (!l->texts)
		return n;
	for (int i = 0; i < n; i++)
		count += (double)l->item[item[i]].ids.n -
			 (double)l->item[item[i]].prompt;
	return count;
}

/* ---- set-up ---- */

static int count_classes(nnr__lesson *l, nnr_error *err)
{
	size_t n = (size_t)l->p->output.labels.n;

	l->balance = nnr__calloc(n, sizeof(*l->balance));
	if (!l->balance)
		return nnr__fail_memory(err, "labels", n);
	for (int i = 0; i < l->items; i++)
		l->balance[l->item[i].label]++;
	for (size_t c = 0; c < n; c++)
		if (l->balance[c] > 0)
			l->balance[c] = (double)l->items / ((double)n *
							    l->balance[c]);
	return 0;
}

static int choice_head(nnr__lesson *l, nnr_error *err)
{
	const nnr_program *p = l->p;
	size_t n = (size_t)p->choices;
	nnr__span *span = nnr__calloc(n, sizeof(*span));
	int rc;

	if (!span)
		return nnr__fail_memory(err, "choices", n);
	for (size_t c = 0; c < n; c++)
		span[c] = (nnr__span){ p->choice[c].id,
				       (int)p->choice[c].n };
	rc = nnr__head_make(&l->head, l->e->bb, span, (int)n, err);
	free(span);
	return rc;
}

int nnr__loss_open(nnr__lesson *l, nnr_error *err)
{
	int rc = 0;

	l->out.lesson = l;
	l->out.labels = l->p->output.labels.n;
	if (l->texts)
		return 0;
	if (l->p->choices)
		rc = choice_head(l, err);
	rc = rc ? rc : count_classes(l, err);
	return rc ? rc : nnr__teachers_open(l, err);
}

void nnr__loss_close_out(nnr__lesson *l)
{
	nnr__aligned_free((void *)(uintptr_t)l->out.row);
	nnr__aligned_free(l->out.drow);
	free(l->out.score);
	free(l->out.dscore);
	free(l->before);
	free(l->label);
	free(l->near);
	free(l->dnear);
	free(l->word);
	free(l->dword);
	l->out_cap = 0;
}

void nnr__loss_close(nnr__lesson *l)
{
	nnr__loss_close_out(l);
	nnr__head_release(&l->head);
	nnr__aligned_free(l->logit);
	free(l->logz);
	free(l->target);
	free(l->balance);
	nnr__teachers_free(l);
	nnr__frozen_free(l);
}
