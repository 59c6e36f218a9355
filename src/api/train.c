/* SPDX-License-Identifier: Apache-2.0
 *
 * train.c: a program as an objective: gradients from its lesson, scores from
 * its answers; then the run, the artifact and the record.
 */
#include "train_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "program/artifact.h"

#define INTERVAL 10		/* seconds between checkpoints */

/* ---- the objective ---- */

/* Rows and fits that depend on the tensors, made again: an answer never
 * sees those of other values.  None of them is worth a file. */
static int renew(nnr_program *p, nnr_error *err)
{
	bool no_cache = p->no_cache;
	int rc = nnr__program_lower(p, err);

	nnr__program_unfit(p);
	p->no_cache = true;
	rc = rc ? rc : nnr__program_fit(p, err);
	p->no_cache = no_cache;
	return rc;
}

static int gradient(void *ctx, const int *item, int n, double *loss,
		    nnr_error *err)
{
	nnr__trainer *r = ctx;
	const int *length = nnr__lesson_lengths(r->lesson);
	double start = nnr__now();
	int rc = nnr__lesson_gradient(r->lesson, item, n, loss, err);

	for (int i = 0; i < n; i++)
		r->tokens += length[item[i]];
	r->gradient_s += nnr__now() - start;
	return rc;
}

/* Label maps are counted on the training data. */
static int epoch(void *ctx, int number, nnr_error *err)
{
	nnr__trainer *r = ctx;

	return nnr__lesson_epoch(r->lesson, number, err);
}

typedef struct scores {
	nnr__trainer *r;
	nnr__tally tally;
} scores;

static int take_answer(void *ctx, int item, const nnr__answer *a,
		       nnr_error *err)
{
	scores *s = ctx;
	const nnr__data *d = &s->r->val;
	nnr__outcome o = {
		.target = d->label[item], .label = a->label,
		.right = nnr__same_any(s->r->p->output.type, &d->all[item],
				       a->value),
		.agreement = NAN, .score = a->scores ? a->score : NULL };

	(void)err;
	nnr__tally_add(&s->tally, &o);
	return 0;
}

/* Texts have no scores: their loss is that of the targets' tokens. */
static int text_loss(nnr__trainer *r, double *loss, nnr_error *err)
{
	int *all, n = r->val.n, rc;

	if (!r->val_lesson) {
		*loss = NAN;
		return 0;
	}
	all = nnr__calloc((size_t)n, sizeof(*all));
	if (!all)
		return nnr__fail_memory(err, "items", (size_t)n);
	for (int i = 0; i < n; i++)
		all[i] = i;
	rc = nnr__lesson_gradient(r->val_lesson, all, n, loss, err);
	free(all);
	return rc;
}

static int validate(void *ctx, double *score, double *loss, nnr_error *err)
{
	nnr__trainer *r = ctx;
	nnr_program *p = r->p;
	bool label = p->output.type == NNR__T_LABEL;
	double start = nnr__now();
	scores s = { .r = r };
	int rc = renew(p, err);

	rc = rc ? rc : nnr__tally_init(&s.tally, label ? p->output.labels.n
						       : 0, err);
	if (rc)
		return rc;
	rc = nnr__program_answers(p, r->val.item, r->val.n, take_answer, &s,
				  err);
	*score = (double)s.tally.hits / r->val.n;
	*loss = nnr__nll(&s.tally);
	if (!rc && !label)
		rc = text_loss(r, loss, err);
	nnr__tally_release(&s.tally);
	r->validate_s += nnr__now() - start;
	r->validated++;
	return rc;
}

static void on_step(void *ctx, const nnr__training *t)
{
	nnr__trainer *r = ctx;
	nnr_train_progress at = { .step = t->step, .steps = t->steps,
				  .run = r->number, .runs = r->runs,
				  .score = NAN, .seconds = t->seconds };

	nnr__trainer_tell(r);
	if (!r->o->progress || !t->step)
		return;
	at.loss = (double)t->loss[t->step - 1];
	at.rate = nnr__training_rate(t, t->step);
	if (t->best)
		at.score = (double)t->val[t->best].score;
	at.left = nnr__trainer_left(r);
	r->o->progress(r->o->ctx, &at);
}

/* ---- what can be known before ---- */

static int check_program(const nnr_program *p, const nnr_train_opts *o,
			 nnr_error *err)
{
	bool learns = false, reads = p->choices > 0;

	if (!p->engine)
		return nnr__fail(err, NNR_E_USAGE, "%s is not bound to a "
				 "model", p->name);
	for (int i = 0; i < p->tensors; i++)
		learns |= p->tensor[i]->grad != NULL;
	for (int i = 0; i < p->outs; i++)
		reads |= p->out[i].row->read != NULL;
	if (!learns)
		return nnr__fail(err, NNR_E_INPUT, "%s: nothing to train: no "
				 "step of it has learnable tensors", p->path);
	if (p->output.type == NNR__T_LABEL && !reads)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "%s: labels that are "
				 "read from generated text cannot be trained; "
				 "use `score`", p->path);
	if (!o->validation && (p->train->patience || p->train->every))
		return nnr__fail(err, NNR_E_INPUT, "%s: `%s` of `train` needs "
				 "validation data (--val)", p->path,
				 p->train->patience ? "patience"
						    : "validate_every");
	return 0;
}

static int check_places(const nnr__trainer *r, nnr_error *err)
{
	const nnr_train_opts *o = r->o;
	const char *dot = r->curve ? strrchr(r->curve, '.') : NULL;
	int rc = 0;

	if (!o->data)
		return nnr__fail(err, NNR_E_USAGE, "training wants data");
	if (r->curve && (!dot || (strcmp(dot, ".csv") != 0 &&
				  strcmp(dot, ".svg") != 0)))
		return nnr__fail(err, NNR_E_USAGE, "the learning curve is "
				 "written as .csv or .svg, not as '%.200s'",
				 r->curve);
	if (o->dry_run)
		return 0;
	if (!r->output)
		return nnr__fail(err, NNR_E_USAGE, "training wants a file to "
				 "write");
	rc = nnr__check_writable(r->output, err);
	rc = rc ? rc : nnr__check_writable(r->curve, err);
	rc = rc ? rc : nnr__check_writable(o->record, err);
	if (!rc && !o->resume && nnr__file_exists(r->checkpoint))
		rc = nnr__fail(err, NNR_E_INPUT, "'%.200s' is there, of a run "
			       "that did not end: --resume goes on with it; "
			       "remove it to start again", r->checkpoint);
	return rc;
}

static int check_classes(const nnr__trainer *r, nnr_error *err)
{
	const nnr__data *d = &r->data;

	if (r->p->output.type != NNR__T_LABEL)
		return 0;
	for (int i = 1; i < d->n; i++)
		if (d->label[i] != d->label[0])
			return 0;
	return nnr__fail(err, NNR_E_INPUT, "%.200s: the label of all %d items "
			 "is `%.60s`: there is nothing to tell apart",
			 r->o->data, d->n, d->target[0]);
}

static int read_data(nnr__trainer *r, nnr_error *err)
{
	const nnr_train_opts *o = r->o;
	nnr__items_opts with = {
		.path = o->data, .columns = o->columns, .where = o->where,
		.wheres = o->wheres, .limit = o->limit, .sample = o->sample,
		.seed = o->seed };
	const nnr__items_opts val = { .path = o->validation,
				      .columns = o->columns };
	int rc = nnr__items_read(&r->data, r->p, &with, err);

	rc = rc ? rc : nnr__data_each(&r->data, err);
	rc = rc ? rc : check_classes(r, err);
	if (!rc && o->validation)
		rc = nnr__items_read(&r->val, r->p, &val, err);
	if (!rc && o->validation &&
	    strcmp(r->data.rec.hash, r->val.rec.hash) == 0)
		nnr__trainer_say(r, "warning: the validation data are the "
				 "training data: their score says nothing "
				 "of new items");
	return rc;
}

/* ---- set-up ---- */

static int make_lessons(nnr__trainer *r, nnr_error *err)
{
	bool texts = r->p->output.type != NNR__T_LABEL;
	const int *length;
	double sum = 0;
	int rc = nnr__lesson_new(&r->lesson, r->p, &r->data, r->o->memory,
				 err);

	if (!rc && texts && r->o->validation)
		rc = nnr__lesson_new(&r->val_lesson, r->p, &r->val,
				     r->o->memory, err);
	if (rc)
		return rc;
	length = nnr__lesson_lengths(r->lesson);
	for (int i = 0; i < r->data.n; i++)
		sum += length[i];
	r->mean_tokens = sum / r->data.n;
	return 0;
}

static int make_training(nnr__trainer *r, const nnr__objective *o,
			 nnr_error *err)
{
	const nnr__train_plan *plan = r->p->train;
	int rc = nnr__train_groups_check(r->p, err);

	rc = rc ? rc : nnr__training_new(&r->t, o, plan, err);
	if (!rc && plan->warmup > r->t->steps)
		rc = nnr__fail(err, NNR_E_INPUT, "%s: `warmup` of `train` is "
			       "%lld of %lld steps", r->p->path,
			       (long long)plan->warmup,
			       (long long)r->t->steps);
	return rc;
}

/* What selects items beside the file, for a checkpoint to agree on. */
static void selection(const nnr_train_opts *o, const char *hash,
		      nnr__buf *out)
{
	nnr__buf_adds(out, hash);
	if (o->columns)
		nnr__buf_addf(out, " columns %s", o->columns);
	for (int i = 0; i < o->wheres; i++)
		nnr__buf_addf(out, " where %s", o->where[i]);
	if (o->sample)
		nnr__buf_addf(out, " sample %lld seed %lld",
			      (long long)o->sample, (long long)o->seed);
	if (o->limit)
		nnr__buf_addf(out, " limit %lld", (long long)o->limit);
}

/* ---- results ---- */

static int write_curve(const nnr__trainer *r, nnr_error *err)
{
	nnr__buf out = { 0 };
	int rc;

	if (!r->curve)
		return 0;
	if (strcmp(strrchr(r->curve, '.'), ".svg") == 0)
		nnr__curve_svg(r->t, r->p->name, &out);
	else
		nnr__curve_csv(r->t, &out);
	rc = out.bad ? nnr__fail_memory(err, r->curve, out.len)
		     : nnr__file_write(r->curve, out.p, out.len, err);
	nnr__buf_release(&out);
	return rc;
}

static int write_artifact(nnr__trainer *r, nnr_error *err)
{
	nnr__artifact_info info = { .data_hash = r->data.rec.hash };
	nnr__buf training = { 0 }, bytes = { 0 };
	int rc;

	nnr__trainer_training_json(r, &training);
	info.training = training.p;
	rc = training.bad ? nnr__fail_memory(err, r->output, training.len)
			  : nnr__artifact_bytes(r->p, &info, &bytes, NULL,
						err);
	if (!rc)
		rc = nnr__file_write(r->output, bytes.p, bytes.len, err);
	r->artifact_bytes = bytes.len;
	nnr__buf_release(&training);
	nnr__buf_release(&bytes);
	return rc;
}

/* The backbone's bytes are what they were: frozen means frozen. */
static int check_frozen(nnr__trainer *r, nnr_error *err)
{
	int rc = nnr__model_hash(r->p->model->path, true, r->after, err);

	if (!rc && strcmp(r->before, r->after) != 0)
		rc = nnr__fail(err, NNR_E_FORMAT, "'%.200s' changed while the "
			       "program was trained on it: %.16s... before, "
			       "%.16s... after", r->p->model->path, r->before,
			       r->after);
	return rc;
}

static int finish(nnr__trainer *r, nnr_error *err)
{
	int rc = renew(r->p, err);

	rc = rc ? rc : check_frozen(r, err);
	rc = rc ? rc : write_artifact(r, err);
	rc = rc ? rc : write_curve(r, err);
	if (!rc && !r->keep_checkpoint)
		nnr__checkpoint_remove(r->checkpoint);
	return rc;
}

/* ---- a run ---- */

static int resume(nnr__trainer *r, const nnr__identity *id, nnr_error *err)
{
	int rc;

	if (!r->o->resume)
		return 0;
	if (!nnr__file_exists(r->checkpoint)) {
		nnr__trainer_say(r, "no checkpoint: starting at step 0");
		return 0;
	}
	rc = nnr__checkpoint_load(r->t, id, r->checkpoint, err);
	if (!rc)
		nnr__trainer_say(r, "resumed at step %lld of %lld",
				 (long long)r->t->step, (long long)r->t->steps);
	return rc;
}

/* Loss, time and memory of the first batch; nothing is changed. */
static int try_out(nnr__trainer *r, nnr_error *err)
{
	nnr__batches *b = &r->t->batches;
	int first, last, rc = 0;
	double loss;

	if (r->o->validation) {
		double score, val_loss;
		rc = validate(r, &score, &val_loss, err);
	}
	nnr__batches_at(b, 0, &first, &last);
	if (!rc)
		rc = gradient(r, b->order + b->start[first],
			      b->start[first + 1] - b->start[first], &loss,
			      err);
	if (!rc) {
		nnr__trainer_say(r, "a first batch: loss %.4f", loss);
		nnr__trainer_say(r, "about %.0f s in all; peak memory %.0f MB",
				 nnr__trainer_left(r),
				 (double)nnr__peak_rss() / 1e6);
	}
	return rc;
}

static int go(nnr__trainer *r, const nnr__identity *id, nnr_error *err)
{
	double every = r->o->interval;
	nnr__run_io io = { .checkpoint = r->checkpoint, .id = id,
			   .interval = every < 0 ? 0 : INTERVAL,
			   .on_step = on_step, .ctx = r };
	int rc = resume(r, id, err);

	if (every > 0)
		io.interval = every;
	if (rc)
		return rc;
	nnr__trainer_announce(r);
	if (r->o->dry_run)
		return try_out(r, err);
	rc = nnr__training_run(r->t, &io, err);
	if (rc == NNR_E_INTERRUPTED)
		nnr__trainer_say(r, "'%s' holds step %lld: --resume goes on "
				 "with it", r->checkpoint,
				 (long long)r->t->step);
	return rc ? rc : finish(r, err);
}

static int run(nnr__trainer *r, nnr_error *err)
{
	nnr_program *p = r->p;
	nnr__objective o = { .tensor = p->tensor, .tensors = p->tensors,
			     .ctx = r, .gradient = gradient, .epoch = epoch,
			     .validate = r->o->validation ? validate : NULL };
	nnr__buf plan = { 0 }, data = { 0 };
	nnr__identity id = { .program = p->hash, .backbone = r->before,
			     .validation = r->val.rec.hash,
			     .mode = nnr__engine_arithmetic(p->engine) };
	int rc = nnr__model_hash(p->model->path, true, r->before, err);

	rc = rc ? rc : make_lessons(r, err);
	o.items = r->data.n;
	o.length = rc ? NULL : nnr__lesson_lengths(r->lesson);
	rc = rc ? rc : make_training(r, &o, err);
	nnr__step_json(&p->train->key, &plan);
	selection(r->o, r->data.rec.hash, &data);
	id.plan = plan.p;
	id.data = data.p;
	if (!rc && (plan.bad || data.bad))
		rc = nnr__fail_memory(err, "training", plan.len);
	rc = rc ? rc : go(r, &id, err);
	if (r->t)
		r->t->o = NULL;		/* it ends here */
	nnr__buf_release(&plan);
	nnr__buf_release(&data);
	return rc;
}

int nnr__trainer_run(nnr__trainer *r, nnr_error *err)
{
	nnr_program *p = r->p;
	bool untrained = p->untrained, keep;
	nnr__buf name = { 0 };
	int rc = check_program(p, r->o, err);

	if (r->output)
		nnr__buf_addf(&name, "%s.ckpt", r->output);
	r->checkpoint = nnr__buf_take(&name);
	if (!rc && !r->checkpoint)
		rc = nnr__fail_memory(err, "a path", 0);
	rc = rc ? rc : check_places(r, err);
	rc = rc ? rc : read_data(r, err);
	if (rc)
		return rc;
	for (int i = 0; i < p->tensors; i++)
		r->warm |= p->tensor[i]->grad && p->tensor[i]->set;
	keep = nnr__engine_keep(p->engine, false);
	p->untrained = true;
	rc = run(r, err);
	p->untrained = untrained;
	nnr__engine_keep(p->engine, keep);
	return rc;
}

void nnr__trainer_release(nnr__trainer *r)
{
	nnr__training_free(r->t);
	nnr__lesson_free(r->lesson);
	nnr__lesson_free(r->val_lesson);
	nnr__data_release(&r->data);
	nnr__data_release(&r->val);
	free(r->checkpoint);
	memset(r, 0, sizeof(*r));
}

static int hand_out_one(const nnr__trainer *r, char **json, char **text,
			nnr_error *err)
{
	nnr__buf record = { 0 }, table = { 0 };
	int rc = 0;

	nnr__trainer_record_json(r, &record);
	nnr__trainer_text(r, &table);
	if (record.bad || table.bad)
		rc = nnr__fail_memory(err, "report", record.len);
	if (!rc && r->o->record && !r->o->dry_run)
		rc = nnr__file_write(r->o->record, record.p, record.len, err);
	if (!rc && json)
		rc = nnr__hand_out(&record, json, err);
	if (!rc && text)
		rc = nnr__hand_out(&table, text, err);
	nnr__buf_release(&record);
	nnr__buf_release(&table);
	return rc;
}

int nnr_program_train(nnr_program *p, const nnr_train_opts *o, char **json,
		      char **text, nnr_error *err)
{
	nnr__trainer r = { .p = p, .o = o, .output = o->output,
		       .curve = o->curve, .number = 1, .runs = 1 };
	nnr_error local;
	int rc;

	if (json)
		*json = NULL;
	if (text)
		*text = NULL;
	err = err ? err : &local;
	if (o->seeds > 1)
		return nnr__train_seeds(p, o, json, text, err);
	rc = nnr__trainer_run(&r, err);
	rc = rc ? rc : hand_out_one(&r, json, text, err);
	nnr__trainer_release(&r);
	return rc;
}
