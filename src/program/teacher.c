/* SPDX-License-Identifier: Apache-2.0
 *
 * teacher.c: the programs a loss `distill` learns from.  A teacher answers
 * every item once, before the first step, on the same model; its scores of
 * the labels stay.  It may read the items in quite another way: with
 * demonstrations, say, that the student is to do without.
 */
#include "lesson_int.h"
#include "program/artifact_int.h"

#include <stdlib.h>
#include <string.h>

typedef struct teaching {
	nnr__lesson *l;
	nnr__teacher *t;
	const nnr__loss_term *term;
	int *label;		/* the teacher's number of a label of ours */
} teaching;

static int fail_teacher(const nnr__lesson *l, const nnr__loss_term *term,
			nnr_error *err, const char *fmt, ...)
	NNR__PRINTF(4, 5);

static int fail_teacher(const nnr__lesson *l, const nnr__loss_term *term,
			nnr_error *err, const char *fmt, ...)
{
	char what[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return nnr__fail_place(l->p, term->place, NNR_E_INPUT, err, "`train`: "
			       "the teacher '%.100s' %s", term->from, what);
}

/* ---- what cannot teach ---- */

static int check_labels(const nnr__lesson *l, const nnr__loss_term *term,
			const nnr_program *t, nnr_error *err)
{
	const nnr__strings *ours = &l->p->output.labels;
	const nnr__step *last = &t->out[t->outs - 1];
	char theirs[160];

	nnr__type_text(&t->output, theirs, sizeof(theirs));
	if (t->output.type != NNR__T_LABEL || t->output.labels.n != ours->n)
		return fail_teacher(l, term, err, "answers with %s; the %d "
				    "labels of this program were expected",
				    theirs, ours->n);
	for (int c = 0; c < ours->n; c++)
		if (nnr__type_label(&t->output, ours->s[c]) < 0)
			return fail_teacher(l, term, err, "has no label "
					    "`%.60s`, only %s", ours->s[c],
					    theirs);
	if (last->row->gives != NNR__K_SCORES)
		return fail_teacher(l, term, err, "generates texts; one that "
				    "scores its labels was expected");
	return 0;
}

static bool same_folder(const nnr_program *a, const nnr_program *b)
{
	return a->dir && b->dir && strcmp(a->dir, b->dir) == 0;
}

/* The teacher runs on the model that is bound to the student. */
static int check_model(const nnr__lesson *l, const nnr__loss_term *term,
		       const nnr_program *t, nnr_error *err)
{
	const nnr_program *p = l->p;
	const char *ours = p->model->bb->hash;
	char *path = NULL, hash[65] = "";
	nnr_error why = { 0 };
	int rc;

	if (strcmp(t->model_ref, p->model_ref) == 0 &&
	    (!strchr(t->model_ref, '/') || same_folder(t, p)))
		return 0;
	rc = nnr__model_resolve(&path, t->model_ref, t->dir, &why);
	rc = rc ? rc : nnr__model_hash(path, false, hash, &why);
	free(path);
	if (rc)
		return fail_teacher(l, term, err, "is on a model that cannot "
				    "be read: %.150s", why.message);
	if (strcmp(hash, ours) != 0)
		return fail_teacher(l, term, err, "is on another model, "
				    "`%.60s` (%.12s... and not %.12s...)",
				    t->model_ref, hash, ours);
	return 0;
}

/* The student's artifact holds the teacher's bytes, but no file it reads. */
static int embedded(const nnr__lesson *l, const nnr__loss_term *term,
		    const nnr__embedded *f, nnr_program **t, nnr_error *err)
{
	bool artifact = f->len > 8 && !f->text[7] && f->text[8] == '{';
	nnr_error why = { 0 };
	int rc = artifact ? nnr__artifact_parse(t, term->from, NULL, f->text,
						f->len, NULL, &why)
			  : nnr__program_parse(t, term->from, NULL, f->text,
					       f->len, NULL, &why);

	if (!rc)
		return 0;
	return fail_teacher(l, term, err, "cannot be opened from the artifact "
			    "(%.150s): train from the source, or let the "
			    "teacher be an artifact", why.message);
}

static int read_teacher(const nnr__lesson *l, const nnr__loss_term *term,
			nnr_program **t, nnr_error *err)
{
	const nnr_program *p = l->p;
	const nnr__embedded *f = NULL;
	char *path = NULL;
	int rc;

	if (p->artifact)
		f = nnr__artifact_file(p->artifact, term->from);
	if (f && f->text)
		return embedded(l, term, f, t, err);
	rc = nnr__program_file(p, &p->train->key, "loss", term->from, &path,
			       err);
	rc = rc ? rc : nnr__program_open(t, path, NULL, err);
	free(path);
	return rc;
}

static int open_teacher(nnr__lesson *l, int i, nnr_error *err)
{
	const nnr__loss_term *term = &l->p->train->loss[i];
	nnr_program *t = NULL;
	int rc = read_teacher(l, term, &t, err);

	if (rc)
		return rc;
	l->teacher[i].p = t;
	rc = check_labels(l, term, t, err);
	return rc ? rc : check_model(l, term, t, err);
}

int nnr__teachers_open(nnr__lesson *l, nnr_error *err)
{
	const nnr__train_plan *plan = l->p->train;
	int rc = 0;

	l->teacher = nnr__calloc((size_t)plan->losses, sizeof(*l->teacher));
	if (!l->teacher)
		return nnr__fail_memory(err, "losses", (size_t)plan->losses);
	for (int i = 0; i < plan->losses && !rc; i++)
		if (plan->loss[i].loss == NNR__LOSS_DISTILL)
			rc = open_teacher(l, i, err);
	return rc;
}

/* ---- its answers ---- */

static int keep_answer(void *ctx, int item, const nnr__answer *a,
		       nnr_error *err)
{
	const teaching *t = ctx;
	int n = t->l->p->output.labels.n;

	(void)err;
	for (int c = 0; c < n; c++)
		t->t->score[(size_t)item * (size_t)n + (size_t)c] =
			a->score[t->label[c]];
	return 0;
}

static int check_items(const teaching *t, nnr_error *err)
{
	const nnr__data *d = t->l->d;
	int rc = 0;

	for (int i = 0; i < d->n && !rc; i++) {
		char where[200];

		snprintf(where, sizeof(where), "the teacher '%.100s', line %u "
			 "of the data", t->term->from, d->rec.line[i]);
		rc = nnr__item_check(t->t->p, &d->item[i], where, err);
	}
	return rc;
}

static int run_teacher(teaching *t, nnr_error *err)
{
	const nnr_program *p = t->l->p;
	nnr_program *teacher = t->t->p;
	nnr__engine_opts o = {
		.threads = nnr__engine_stats_of(p->engine)->threads,
		.precision = p->precision, .no_cache = p->no_cache
	};
	size_t n = (size_t)p->output.labels.n;
	int rc = nnr__program_bind(teacher, p->model, &o, err);

	t->t->score = nnr__calloc((size_t)t->l->items * n, sizeof(double));
	t->label = nnr__calloc(n, sizeof(*t->label));
	if (!rc && (!t->t->score || !t->label))
		rc = nnr__fail_memory(err, "a teacher's scores", n);
	for (size_t c = 0; c < n && !rc; c++)
		t->label[c] = nnr__type_label(&teacher->output,
					      p->output.labels.s[c]);
	rc = rc ? rc : nnr__program_answers(teacher, t->l->d->item,
					    t->l->items, keep_answer, t, err);
	free(t->label);
	return rc;
}

int nnr__teachers_answer(nnr__lesson *l, nnr_error *err)
{
	int rc = 0;

	for (int i = 0; l->teacher && i < l->p->train->losses && !rc; i++) {
		teaching t = { .l = l, .t = &l->teacher[i],
			       .term = &l->p->train->loss[i] };

		if (!t.t->p)
			continue;
		rc = check_items(&t, err);
		rc = rc ? rc : run_teacher(&t, err);
		if (rc)
			break;
		nnr__program_close(t.t->p);
		t.t->p = NULL;
	}
	return rc;
}

int64_t nnr__lesson_teacher_passes(const nnr__lesson *l)
{
	int64_t passes = 0;

	for (int i = 0; l->teacher && i < l->p->train->losses; i++)
		if (l->p->train->loss[i].loss == NNR__LOSS_DISTILL)
			passes += l->items;
	return passes;
}

void nnr__teachers_free(nnr__lesson *l)
{
	for (int i = 0; l->teacher && i < l->p->train->losses; i++) {
		nnr__program_close(l->teacher[i].p);
		free(l->teacher[i].score);
	}
	free(l->teacher);
	l->teacher = NULL;
}
