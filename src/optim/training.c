/* SPDX-License-Identifier: Apache-2.0
 *
 * training.c: the loop.  Between two steps all that a run is stands in
 * nnr__training; what happens next is a function of it, so it does not
 * matter in which process, and figures that decide (losses, scores) are
 * floats, as a checkpoint has them.
 */
#include "optim/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- making one ---- */

static bool slot_fill(nnr__slot *s, const nnr__training *t)
{
	size_t bytes = s->tensor->n * sizeof(float);

	if (t->o->validate) {
		s->best = nnr__aligned(bytes);
		if (!s->best)
			return false;
	}
	if (!s->tensor->grad)
		return true;
	for (int m = 0; m < t->how->moments; m++) {
		s->moment[m] = nnr__aligned(bytes);
		if (!s->moment[m])
			return false;
		memset(s->moment[m], 0, bytes);
	}
	if (t->batches.accumulate > 1) {
		s->sum = nnr__aligned(bytes);
		if (!s->sum)
			return false;
	}
	return true;
}

/* The rates of the first group that matches, else the run's. */
static void set_rates(nnr__slot *s, const nnr__train_plan *plan)
{
	s->lr = plan->lr;
	s->weight_decay = plan->weight_decay;
	for (int g = 0; g < plan->groups; g++) {
		const nnr__train_group *group = &plan->group[g];
		if (!nnr__glob(group->match, s->tensor->name))
			continue;
		if (!isnan(group->lr))
			s->lr = group->lr;
		if (!isnan(group->weight_decay))
			s->weight_decay = group->weight_decay;
		return;
	}
}

static int fill(nnr__training *t, nnr_error *err)
{
	const nnr__objective *o = t->o;
	size_t steps;
	int rc = nnr__batches_new(&t->batches, o, t->plan, err);

	if (rc)
		return rc;
	t->steps = t->plan->epochs ? t->plan->epochs * t->batches.steps
				   : t->plan->steps;
	steps = (size_t)t->steps;
	t->slot = nnr__calloc((size_t)o->tensors, sizeof(*t->slot));
	t->loss = nnr__calloc(steps, sizeof(*t->loss));
	t->norm = nnr__calloc(steps, sizeof(*t->norm));
	if (!t->slot || !t->loss || !t->norm)
		return nnr__fail_memory(err, "a run's losses",
					2 * steps * sizeof(float));
	t->slots = o->tensors;
	for (int i = 0; i < t->slots; i++) {
		nnr__slot *s = &t->slot[i];
		s->tensor = o->tensor[i];
		set_rates(s, t->plan);
		if (!slot_fill(s, t))
			return nnr__fail_memory(err, "an optimizer's state",
						s->tensor->n * sizeof(float));
	}
	return 0;
}

int nnr__training_new(nnr__training **out, const nnr__objective *o,
		      const nnr__train_plan *plan, nnr_error *err)
{
	nnr__training *t;
	int rc;

	*out = NULL;
	if (o->items < 1)
		return nnr__fail(err, NNR_E_INPUT, "no items to train on");
	t = nnr__calloc(1, sizeof(*t));
	if (!t)
		return nnr__fail_memory(err, "a run", sizeof(*t));
	t->o = o;
	t->plan = plan;
	t->how = nnr__optimiser_of(plan->optimizer);
	rc = fill(t, err);
	if (rc)
		nnr__training_free(t);
	else
		*out = t;
	return rc;
}

void nnr__training_free(nnr__training *t)
{
	if (!t)
		return;
	for (int i = 0; i < t->slots; i++) {
		nnr__slot *s = &t->slot[i];
		for (int m = 0; m < NNR__MOMENTS; m++)
			nnr__aligned_free(s->moment[m]);
		nnr__aligned_free(s->sum);
		nnr__aligned_free(s->best);
	}
	nnr__batches_release(&t->batches);
	free(t->slot);
	free(t->loss);
	free(t->norm);
	free(t->val);
	free(t);
}

int64_t nnr__training_epoch(const nnr__training *t, int64_t step)
{
	return (step - 1) / t->batches.steps;
}

double nnr__training_rate(const nnr__training *t, int64_t step)
{
	return t->plan->lr * nnr__schedule(t->plan, step - 1, t->steps);
}

/* ---- one step ---- */

/* "items 3, 17, 4 and 5 more" of the batches [first, last). */
static void items_text(const nnr__batches *b, int first, int last,
		       char *out, size_t n)
{
	int from = b->start[first], to = b->start[last];
	size_t at = 0;
	int i = from;

	out[0] = '\0';
	for (; i < to && i < from + 12 && at < n; i++) {
		int k = snprintf(out + at, n - at, "%s%d", i > from ? ", "
								    : "",
				 b->order[i]);
		at += k > 0 ? (size_t)k : 0;
	}
	if (i < to && at < n)
		snprintf(out + at, n - at, " and %d more", to - i);
}

static int fail_number(const nnr__training *t, int first, int last,
		       const char *what, double v, nnr_error *err)
{
	char items[200];

	items_text(&t->batches, first, last, items, sizeof(items));
	return nnr__fail(err, NNR_E_INPUT, "step %lld: the %s is %s, of items "
			 "%s (counted from 0); a lower `lr` or a `clip` may "
			 "help", (long long)t->step + 1, what,
			 isnan(v) ? "not a number" : "infinite", items);
}

/* Loss and gradient of batch b, which has `share` of the step's items; the
 * gradients of several batches are added up in `sum`. */
static int one_batch(nnr__training *t, int b, double share, bool first,
		     double *loss, nnr_error *err)
{
	const nnr__batches *bs = &t->batches;
	int from = bs->start[b], rc;
	double mean = 0;

	rc = t->o->gradient(t->o->ctx, bs->order + from,
			    bs->start[b + 1] - from, &mean, err);
	if (rc)
		return rc;
	if (!isfinite(mean))
		return fail_number(t, b, b + 1, "loss", mean, err);
	*loss += share * mean;
	for (int i = 0; i < t->slots && share < 1; i++) {
		nnr__slot *s = &t->slot[i];
		for (size_t k = 0; s->sum && k < s->tensor->n; k++) {
			double g = share * s->tensor->grad[k];
			s->sum[k] = (float)(first ? g : s->sum[k] + g);
		}
	}
	return 0;
}

/* The norm of the whole gradient, tensors and values in order. */
static int norm_of(const nnr__training *t, bool several, int first, int last,
		   double *norm, nnr_error *err)
{
	double sum = 0;

	for (int i = 0; i < t->slots; i++) {
		const nnr__slot *s = &t->slot[i];
		const float *g = several ? s->sum : s->tensor->grad;
		char what[120];
		for (size_t k = 0; g && k < s->tensor->n; k++)
			sum += (double)g[k] * g[k];
		if (isfinite(sum))
			continue;
		snprintf(what, sizeof(what), "gradient of `%.80s`",
			 s->tensor->name);
		return fail_number(t, first, last, what, sum, err);
	}
	*norm = sqrt(sum);
	return 0;
}

static void update(nnr__training *t, bool several, double norm)
{
	const nnr__train_plan *plan = t->plan;
	const double factor = nnr__schedule(plan, t->step, t->steps);
	double scale = 1;

	/* as torch.nn.utils.clip_grad_norm_ */
	if (plan->clip > 0 && norm + 1e-6 > plan->clip)
		scale = plan->clip / (norm + 1e-6);
	for (int i = 0; i < t->slots; i++) {
		nnr__slot *s = &t->slot[i];
		nnr__update u = { .value = s->tensor->value,
				  .grad = several ? s->sum : s->tensor->grad,
				  .moment = { s->moment[0], s->moment[1] },
				  .n = s->tensor->n, .step = t->step + 1,
				  .lr = s->lr * factor,
				  .weight_decay = s->weight_decay,
				  .scale = scale };
		if (!s->tensor->grad)
			continue;
		if (s->lr > 0)
			t->how->update(plan, &u);
		s->tensor->set = true;
	}
}

static int one_step(nnr__training *t, nnr_error *err)
{
	nnr__batches *b = &t->batches;
	double loss = 0, norm = 0;
	int first, last, items, rc = 0;

	nnr__batches_at(b, t->step, &first, &last);
	items = b->start[last] - b->start[first];
	for (int k = first; k < last && !rc; k++) {
		int n = b->start[k + 1] - b->start[k];
		rc = one_batch(t, k, (double)n / items, k == first, &loss,
			       err);
	}
	rc = rc ? rc : norm_of(t, last - first > 1, first, last, &norm, err);
	if (rc)
		return rc;
	update(t, last - first > 1, norm);
	t->loss[t->step] = (float)loss;
	t->norm[t->step] = (float)norm;
	t->step++;
	return 0;
}

/* ---- validation ---- */

/* Higher score, else lower loss; what came first stays. */
static bool better(const nnr__validation *a, const nnr__validation *b)
{
	return a->score > b->score ||
	       (a->score == b->score && a->loss < b->loss);
}

static void keep_best(nnr__training *t)
{
	for (int i = 0; i < t->slots; i++)
		memcpy(t->slot[i].best, t->slot[i].tensor->value,
		       t->slot[i].tensor->n * sizeof(float));
}

static int validate(nnr__training *t, nnr_error *err)
{
	double score = 0, loss = 0;
	nnr__validation *v;
	int rc;

	if (!nnr__grow(&t->val, &t->val_cap, (size_t)t->vals, sizeof(*v)))
		return nnr__fail_memory(err, "validations", sizeof(*v));
	rc = t->o->validate(t->o->ctx, &score, &loss, err);
	if (rc)
		return rc;
	v = &t->val[t->vals];
	*v = (nnr__validation){ t->step, (float)score, (float)loss };
	/* the first is of the untrained program: it competes with none */
	if (t->vals && (!t->best || better(v, &t->val[t->best]))) {
		t->best = t->vals;
		keep_best(t);
	}
	t->vals++;
	if (t->plan->patience && t->best &&
	    t->vals - 1 - t->best >= t->plan->patience)
		t->ended = true;
	return 0;
}

static bool validation_due(const nnr__training *t)
{
	int64_t every = t->plan->every ? t->plan->every : t->batches.steps;

	if (!t->o->validate ||
	    (t->vals && t->val[t->vals - 1].step == t->step))
		return false;
	return t->step % every == 0 || t->step == t->steps;
}

/* ---- the run ---- */

static int begin_epoch(nnr__training *t, nnr_error *err)
{
	int rc = 0;

	if (t->step == t->steps || t->step / t->batches.steps < t->epochs)
		return 0;
	if (t->o->epoch)
		rc = t->o->epoch(t->o->ctx, (int)t->epochs, err);
	if (!rc)
		t->epochs++;
	return rc;
}

static void put_best(nnr__training *t)
{
	for (int i = 0; t->best && i < t->slots; i++)
		memcpy(t->slot[i].tensor->value, t->slot[i].best,
		       t->slot[i].tensor->n * sizeof(float));
}

typedef struct watch {
	double start, saved;
} watch;

static int save(const nnr__training *t, const nnr__run_io *io, watch *c,
		nnr_error *err)
{
	int rc = io->checkpoint ? nnr__checkpoint_save(t, io->id,
						       io->checkpoint, err)
				: 0;

	c->saved = nnr__now();
	return rc;
}

static void tell(nnr__training *t, const nnr__run_io *io, const watch *c)
{
	t->seconds = nnr__now() - c->start;
	if (io->on_step)
		io->on_step(io->ctx, t);
}

/* What comes after the steps that are done: an epoch's fits and one step
 * more, unless there is something to validate first.  (Before the first step
 * that is the untrained program, with the fits of the first epoch.) */
static int advance(nnr__training *t, const nnr__run_io *io, watch *c,
		   nnr_error *err)
{
	int rc = t->step ? 0 : begin_epoch(t, err);

	if (!rc && validation_due(t)) {
		rc = validate(t, err);
		rc = rc ? rc : save(t, io, c, err);
	} else if (!rc) {
		rc = begin_epoch(t, err);
		rc = rc ? rc : one_step(t, err);
		if (!rc && nnr__now() - c->saved >= io->interval &&
		    !validation_due(t))
			rc = save(t, io, c, err);
	}
	if (!rc)
		tell(t, io, c);
	return rc;
}

int nnr__training_run(nnr__training *t, const nnr__run_io *io,
		      nnr_error *err)
{
	watch c = { nnr__now(), nnr__now() };
	nnr_error local;
	int rc = 0;

	t->resumed = t->step;
	while (!rc && !t->ended && (t->step < t->steps || validation_due(t))) {
		if (nnr__interrupted())
			rc = nnr__fail(err, NNR_E_INTERRUPTED, "interrupted");
		else
			rc = advance(t, io, &c, err);
	}
	t->seconds = nnr__now() - c.start;
	if (!rc)
		put_best(t);
	/* what was asked for is to stop; a full disk would be said as well */
	if (rc == NNR_E_INTERRUPTED && io->checkpoint &&
	    nnr__checkpoint_save(t, io->id, io->checkpoint, &local))
		rc = nnr__fail(err, local.code, "interrupted, and no "
			       "checkpoint: %s", local.message);
	return rc;
}
