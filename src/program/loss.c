/* SPDX-License-Identifier: Apache-2.0
 *
 * loss.c: from the features of a pass to its loss, and the gradient back to
 * the features.
 *
 * Labels: a choice's score is the sum of its tokens' log-probabilities; the
 * normaliser of the first token, which all choices share, is left out where
 * it cancels.  Texts: the log-probability of every target token.  Rows that
 * need the whole vocabulary go through its head a few at a time.
 */
#include "lesson_int.h"

#include <math.h>
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

/* Adds to the seed of wanted rows [from, end) what their coefficients say. */
static int vocab_back(nnr__lesson *l, int from, int end, nnr_error *err)
{
	const nnr__backbone *b = l->e->bb;
	size_t hidden = (size_t)b->hidden, vocab = (size_t)b->vocab;
	int rc = 0;

	for (int r = from; r < end && !rc; r += NNR__VOCAB_ROWS) {
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

static int vocab_forward(nnr__lesson *l, nnr_error *err)
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
	rc = vocab_forward(l, err);
	for (int r = 0; r < l->chunk.wants && !rc; r++)
		*loss += weight * ((double)l->logz[r] -
				   (double)l->picked[r]);
	return rc ? rc : vocab_back(l, 0, l->chunk.wants, err);
}

/* ---- choices ---- */

typedef struct nnr__a_score score_args;

/* What a choice's sum is multiplied by. */
static double choice_factor(const nnr_program *p, const score_args *a, int c)
{
	if (a->normalize == NNR__NORM_LENGTH)
		return 1 / (double)p->choice[c].n;
	if (a->normalize == NNR__NORM_BYTES)
		return 1 / (double)strlen(a->word[c]);
	return 1;
}

static bool relative(const score_args *a)
{
	return a->normalize == NNR__NORM_SUM ||
	       a->normalize == NNR__NORM_UNCONDITIONAL;
}

static bool whole_vocabulary(const nnr__lesson *l, const score_args *a)
{
	return l->chunk.wants > l->picks || !relative(a);
}

/* Targets of choices' later tokens; coefficients, when ds is given. */
static void choice_rows(nnr__lesson *l, const score_args *a, const double *ds)
{
	const nnr_program *p = l->p;

	for (int i = 0; i < l->picks; i++) {
		int r = l->read[i] + 1;

		for (int c = 0; c < p->choices; c++)
			for (size_t t = 1; t < p->choice[c].n; t++, r++) {
				l->target[r] = p->choice[c].id[t];
				if (ds)
					l->coef[r] = (float)
						(ds[i * p->choices + c] *
						 choice_factor(p, a, c));
			}
	}
}

/* Sum of the later tokens' log-probabilities of every choice of item i. */
static double later(const nnr__lesson *l, int i, int c)
{
	int r = l->read[i] + 1;
	double sum = 0;

	for (int k = 0; k < c; k++)
		r += (int)l->p->choice[k].n - 1;
	for (size_t t = 1; t < l->p->choice[c].n; t++, r++)
		sum += (double)l->picked[r] - (double)l->logz[r];
	return sum;
}

static int read_choices(nnr__lesson *l, const nnr__step *s, nnr_error *err)
{
	const score_args *a = s->args;
	const nnr_program *p = l->p;
	size_t ld = (size_t)l->head.mat.rows;
	int rc = nnr__exec_head(l->exec, l->out.row, l->picks, &l->head.mat,
				l->near, ld, err);

	if (!rc && whole_vocabulary(l, a)) {
		choice_rows(l, a, NULL);
		rc = vocab_forward(l, err);
	}
	for (int i = 0; i < l->picks && !rc; i++)
		for (int c = 0; c < p->choices; c++) {
			int at = nnr__head_index(&l->head, p->choice[c].id[0]);
			double v = (double)l->near[(size_t)i * ld +
						   (size_t)at];

			if (p->choice[c].n > 1)
				v += later(l, i, c);
			if (!relative(a))
				v -= (double)l->logz[l->read[i]];
			v *= choice_factor(p, a, c);
			if (a->normalize == NNR__NORM_UNCONDITIONAL)
				v -= a->prior[c];
			l->out.score[i * p->choices + c] = v;
		}
	return rc;
}

/* The first row's normaliser. */
static void first_rows(nnr__lesson *l, const score_args *a)
{
	const nnr_program *p = l->p;

	for (int i = 0; i < l->picks && !relative(a); i++) {
		double sum = 0;

		for (int c = 0; c < p->choices; c++)
			sum += l->out.dscore[i * p->choices + c] *
			       choice_factor(p, a, c);
		l->coef[l->read[i]] = (float)sum;
		l->target[l->read[i]] = -1;
	}
}

static void choice_logits(nnr__lesson *l, const score_args *a)
{
	const nnr_program *p = l->p;
	size_t ld = (size_t)l->head.mat.rows;

	memset(l->dnear, 0, (size_t)l->picks * ld * sizeof(*l->dnear));
	for (int i = 0; i < l->picks; i++)
		for (int c = 0; c < p->choices; c++) {
			int at = nnr__head_index(&l->head, p->choice[c].id[0]);

			l->dnear[(size_t)i * ld + (size_t)at] += (float)
				(l->out.dscore[i * p->choices + c] *
				 choice_factor(p, a, c));
		}
}

static int choices_back(nnr__lesson *l, const nnr__step *s, nnr_error *err)
{
	const score_args *a = s->args;
	int rc = 0;

	choice_logits(l, a);
	nnr__exec_head_back(l->exec, l->dnear, (size_t)l->head.mat.rows,
			    l->picks, &l->head.mat, l->out.drow, true);
	if (!whole_vocabulary(l, a))
		return 0;
	choice_rows(l, a, l->out.dscore);
	first_rows(l, a);
	rc = vocab_back(l, 0, l->chunk.wants, err);
	return rc;
}

/* ---- losses of labels ---- */

/* Adds a term's loss of item i and its gradient. */
static double cross_entropy(const double *logp, int n, int y, double w,
			    double *ds)
{
	for (int c = 0; c < n; c++)
		ds[c] += w * (exp(logp[c]) - (c == y ? 1 : 0));
	return -w * logp[y];
}

/* Lin et al. 2017: -(1 - p)^gamma log p. */
static double focal(const double *logp, int n, int y, double gamma, double w,
		    double *ds)
{
	double p = exp(logp[y]), q = 1 - p, power = pow(q, gamma);
	double dp = q > 0 ? gamma * power / q * logp[y] * p - power : 0;

	for (int c = 0; c < n; c++)
		ds[c] += w * dp * ((c == y ? 1 : 0) - exp(logp[c]));
	return -w * power * logp[y];
}

/* Hinton et al. 2015: T^2 KL(teacher || student) at temperature T. */
static double distill(const double *score, const double *teacher, int n,
		      double t, double w, double *ds, double *logp,
		      double *logq)
{
	double loss = 0;

	for (int c = 0; c < n; c++) {
		logp[c] = score[c] / t;
		logq[c] = teacher[c] / t;
	}
	nnr__log_softmax(logp, n);
	nnr__log_softmax(logq, n);
	for (int c = 0; c < n; c++) {
		double q = exp(logq[c]);

		loss += q > 0 ? w * t * t * q * (logq[c] - logp[c]) : 0;
		ds[c] += w * t * (exp(logp[c]) - q);
	}
	return loss;
}

static double item_loss(nnr__lesson *l, int i, double weight, double *logp)
{
	const nnr__train_plan *plan = l->p->train;
	int n = l->out.labels, y = l->label[i];
	const double *score = l->out.score + i * n;
	double *ds = l->out.dscore + i * n, loss = 0;

	for (int t = 0; t < plan->losses; t++) {
		const nnr__loss_term *term = &plan->loss[t];
		double w = weight * term->weight;

		memcpy(logp, score, (size_t)n * sizeof(*logp));
		nnr__log_softmax(logp, n);
		if (term->loss == NNR__LOSS_FOCAL)
			loss += focal(logp, n, y, term->gamma,
				      w * (term->balance ? l->balance[y] : 1),
				      ds);
		else if (term->loss == NNR__LOSS_DISTILL)
			loss += distill(score, l->teacher[t] + l->pick[i] * n,
					n, term->temperature, w, ds, logp,
					logp + n);
		else
			loss += cross_entropy(logp, n, y, w, ds);
	}
	return loss;
}

/* ---- the steps of `out`, there and back ---- */

static bool takes_part(const nnr__step *s)
{
	return s->when != NNR__WHEN_RUN && (s->row->read || s->row->pass);
}

static int out_forward(nnr__lesson *l, nnr_error *err)
{
	nnr_program *p = l->p;
	size_t n = (size_t)(l->picks * l->out.labels);
	int rc = 0;

	for (int i = 0; i < p->outs && !rc; i++) {
		nnr__step *s = &p->out[i];

		if (strcmp(s->row->name, "score") == 0)
			rc = read_choices(l, s, err);
		else if (!takes_part(s))
			continue;
		else if (s->row->read)
			rc = s->row->read(p, s, &l->out, err);
		else {
			memcpy(l->before + (size_t)i * n, l->out.score,
			       n * sizeof(*l->before));
			rc = s->row->pass(p, s, &l->out, err);
		}
	}
	return rc;
}

static int out_back(nnr__lesson *l, nnr_error *err)
{
	nnr_program *p = l->p;
	size_t n = (size_t)(l->picks * l->out.labels);
	int rc = 0;

	for (int i = p->outs - 1; i >= 0 && !rc; i--) {
		nnr__step *s = &p->out[i];

		if (strcmp(s->row->name, "score") == 0)
			rc = choices_back(l, s, err);
		else if (!takes_part(s))
			continue;
		else if (s->row->read)
			rc = s->row->read_back(p, s, &l->out, err);
		else
			rc = s->row->pass_back(p, s, &l->out,
					       l->before + (size_t)i * n,
					       err);
	}
	return rc;
}

static void gather(nnr__lesson *l)
{
	size_t hidden = (size_t)l->e->bb->hidden;

	for (int i = 0; i < l->picks; i++) {
		memcpy((float *)(uintptr_t)l->out.row + (size_t)i * hidden,
		       l->features + (size_t)l->read[i] * hidden,
		       hidden * sizeof(float));
		l->label[i] = l->item[l->pick[i]].label;
	}
	memset(l->out.drow, 0, (size_t)l->picks * hidden * sizeof(float));
	memset(l->out.dscore, 0, (size_t)(l->picks * l->out.labels) *
	       sizeof(double));
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
	double *logp = nnr__calloc((size_t)l->out.labels, 2 * sizeof(*logp));
	int rc;

	if (!logp)
		return nnr__fail_memory(err, "scores", sizeof(*logp));
	gather(l);
	rc = out_forward(l, err);
	for (int i = 0; i < l->picks && !rc; i++)
		*loss += item_loss(l, i, weight, logp);
	free(logp);
	rc = rc ? rc : out_back(l, err);
	if (!rc)
		spread(l);
	return rc;
}

/* ---- room ---- */

static int grow_out(nnr__lesson *l, nnr_error *err)
{
	size_t n = (size_t)l->picks, labels = (size_t)l->out.labels;
	size_t hidden = (size_t)l->e->bb->hidden;
	size_t ld = (size_t)l->head.mat.rows;

	l->out.n = l->picks;
	l->out.item = l->pick;
	if (n <= l->out_cap)
		return 0;
	nnr__loss_close_out(l);
	l->out.row = nnr__aligned(n * hidden * sizeof(float));
	l->out.drow = nnr__aligned(n * hidden * sizeof(float));
	l->out.score = nnr__calloc(n * labels, sizeof(double));
	l->out.dscore = nnr__calloc(n * labels, sizeof(double));
	l->before = nnr__calloc(n * labels * (size_t)l->p->outs,
				sizeof(double));
	l->label = nnr__calloc(n, sizeof(int));
	l->near = nnr__calloc(n * (ld + 1), sizeof(float));
	l->dnear = nnr__calloc(n * (ld + 1), sizeof(float));
	l->out.label = l->label;
	if (!l->out.row || !l->out.drow || !l->out.score || !l->out.dscore ||
	    !l->before || !l->label || !l->near || !l->dnear)
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
	int rc = grow_wants(l, err);

	memset(nnr__exec_seed(l->exec), 0, (size_t)l->chunk.wants *
	       (size_t)l->e->bb->hidden * sizeof(float));
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

	l->out.labels = l->p->output.labels.n;
	if (l->texts)
		return 0;
	if (l->p->choices)
		rc = choice_head(l, err);
	return rc ? rc : count_classes(l, err);
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
	for (int t = 0; l->teacher && t < l->p->train->losses; t++)
		free(l->teacher[t]);
	free(l->teacher);
}
