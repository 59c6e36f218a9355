/* SPDX-License-Identifier: Apache-2.0
 *
 * linear: scores of labels = W x + b, learned.  x are the features of the
 * prompt's last token, or the logits of some classes of the vocabulary.
 * Behind a g_in that learns nothing this is the linear probe: f then stays
 * what it was, and so does what it makes of an item (frozen.c).
 */
#include "program/engine_int.h"
#include "program/learn.h"
#include "step.h"

#include <stdlib.h>
#include <string.h>

#define LANES 16

enum { SITE_FEATURES, SITE_LOGITS };
static const char *const sites[] = { "features", "logits", NULL };
static const char *const places[] = { "last", NULL };

typedef struct nnr__a_linear {
	int site, at;
	nnr__strings classes;	/* logits: texts of one token */
	nnr__init *init;	/* NULL: zeros */
	bool learn;
	int64_t seed;
	/* bound */
	nnr__ptensor *weight, *bias;
	nnr__small_head head;	/* logits: of the classes */
	int *column;		/* logits: of each class in the head */
	float *x, *dx;		/* logits: [cap][head rows] */
	size_t cap;
} args;

static const nnr__param params[] = {
	{ .name = "site", .type = NNR__P_ENUM, .names = sites,
	  .at = offsetof(args, site), .fallback = "features",
	  .help = "what of f it reads" },
	{ .name = "at", .type = NNR__P_ENUM, .names = places,
	  .at = offsetof(args, at), .fallback = "last",
	  .help = "of which token" },
	{ .name = "classes", .type = NNR__P_STRINGS,
	  .at = offsetof(args, classes),
	  .help = "logits: the classes, texts of one token each" },
	{ .name = "init", .type = NNR__P_OWN, .own = &nnr__init_type,
	  .at = offsetof(args, init),
	  .help = "not given: zeros; classes: f's own rows for the labels' "
		  "names, or label i reads class i" },
	{ .name = "learn", .type = NNR__P_BOOL, .at = offsetof(args, learn),
	  .fallback = "yes", .help = "whether training changes it" },
	{ .name = "seed", .type = NNR__P_INT, .at = offsetof(args, seed),
	  .fallback = "1", .min = 0, .max = 9e15,
	  .help = "of a random start" },
	{ .name = NULL }
};

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;

	if (a->site == SITE_LOGITS && !a->classes.n)
		return nnr__fail_step(p, s, "site", err, "logits needs "
				      "`classes`, like [\" good\", \" bad\"]");
	if (a->site == SITE_FEATURES && a->classes.n)
		return nnr__fail_step(p, s, "classes", err, "are of the site "
				      "logits; the site is features");
	if (a->init && a->init->kind != NNR__INIT_RANDOM &&
	    a->init->kind != NNR__INIT_CLASSES)
		return nnr__fail_step(p, s, "init", err, "{random: SD} or "
				      "{classes: yes} was expected");
	if (a->init && a->init->kind == NNR__INIT_CLASSES &&
	    a->site == SITE_LOGITS && a->classes.n != p->output.labels.n)
		return nnr__fail_step(p, s, "init", err, "`classes` has %d "
				      "texts and the output %d labels: which "
				      "reads which?", a->classes.n,
				      p->output.labels.n);
	return 0;
}

/* ---- binding ---- */

static void release(nnr__step *s)
{
	args *a = s->args;

	nnr__head_release(&a->head);
	free(a->column);
	nnr__aligned_free(a->x);
	nnr__aligned_free(a->dx);
	a->column = NULL;
	a->x = a->dx = NULL;
	a->cap = 0;
}

/* The token of a class. */
static int class_token(nnr_program *p, nnr__step *s, const char *text,
		       int32_t *id, nnr_error *err)
{
	nnr__ids ids = { 0 };
	int rc = nnr__tok_encode(p->model->tok, text, strlen(text), &ids,
				 err);

	if (!rc && ids.n != 1)
		rc = nnr__fail_step(p, s, "classes", err, "`%.60s` has %zu "
				    "tokens; texts of one token were expected",
				    text, ids.n);
	if (!rc)
		*id = ids.id[0];
	nnr__ids_release(&ids);
	return rc;
}

static int make_head(nnr_program *p, nnr__step *s, int32_t *id,
		     nnr__span *span, nnr_error *err)
{
	args *a = s->args;
	int n = a->classes.n, rc = 0;

	for (int i = 0; i < n && !rc; i++) {
		rc = class_token(p, s, a->classes.s[i], &id[i], err);
		span[i] = (nnr__span){ &id[i], 1 };
	}
	rc = rc ? rc : nnr__head_make(&a->head, p->model->bb, span, n, err);
	for (int i = 0; i < n && !rc; i++)
		a->column[i] = nnr__head_index(&a->head, id[i]);
	return rc;
}

static int bind(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	size_t n = (size_t)a->classes.n;
	nnr__span *span;
	int32_t *id;
	int rc;

	release(s);
	if (!n)
		return 0;
	span = nnr__calloc(n, sizeof(*span));
	id = nnr__calloc(n, sizeof(*id));
	a->column = nnr__calloc(n, sizeof(*a->column));
	rc = span && id && a->column ? make_head(p, s, id, span, err)
				     : nnr__fail_memory(err, "classes", n);
	free(span);
	free(id);
	return rc;
}

/* f's rows for the first tokens of the labels' names, after a space. */
static int name_rows(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	const nnr__mat *m = &p->model->bb->head;
	int rc = 0;

	for (int c = 0; c < p->output.labels.n && !rc; c++) {
		nnr__ids ids = { 0 };
		nnr__buf text = { 0 };

		nnr__buf_addf(&text, " %s", p->output.labels.s[c]);
		rc = text.bad ? nnr__fail_memory(err, "a label", text.len)
			      : nnr__tok_encode(p->model->tok, text.p,
						text.len, &ids, err);
		if (!rc && ids.n)
			nnr__kernels_best()->unpack(m->type, m->data +
				(size_t)ids.id[0] * m->row_bytes, m->cols,
				a->weight->value + c * m->cols);
		nnr__ids_release(&ids);
		nnr__buf_release(&text);
	}
	return rc;
}

static int start(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	int n = p->output.labels.n;

	if (!a->init)
		return 0;
	if (a->init->kind == NNR__INIT_RANDOM) {
		nnr__normal_rows(a->init->sd, (uint64_t)a->seed,
				 nnr__hash64(s->id, strlen(s->id), 0),
				 a->weight->n, a->weight->value);
		return 0;
	}
	if (a->site == SITE_FEATURES)
		return name_rows(p, s, err);
	for (int c = 0; c < n; c++)
		a->weight->value[c * n + c] = 1;
	return 0;
}

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	int64_t labels = p->output.labels.n;
	int64_t dim[] = { labels, a->site == SITE_LOGITS
					  ? a->classes.n
					  : p->model->bb->hidden };

	a->weight = nnr__tensor_add(p, s, "weight", 2, dim, a->learn, err);
	if (a->weight)
		a->bias = nnr__tensor_add(p, s, "bias", 1, &labels, a->learn,
					  err);
	return a->weight && a->bias ? start(p, s, err) : NNR_E_MEMORY;
}

/* ---- W x + b ---- */

/* Sixteen sums, of every sixteenth product; then their sum. */
static double dot(const float *a, const float *b, int n)
{
	double lane[LANES] = { 0 }, sum = 0;
	int i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++)
			lane[k] += (double)a[i + k] * (double)b[i + k];
	for (int k = 0; i + k < n; k++)
		lane[k] += (double)a[i + k] * (double)b[i + k];
	for (int k = 0; k < LANES; k++)
		sum += lane[k];
	return sum;
}

static int make_room(args *a, size_t n, nnr_error *err)
{
	size_t ld = (size_t)a->head.mat.rows;

	if (n <= a->cap)
		return 0;
	nnr__aligned_free(a->x);
	nnr__aligned_free(a->dx);
	a->cap = 0;
	a->x = nnr__aligned(n * ld * sizeof(float));
	a->dx = nnr__aligned(n * ld * sizeof(float));
	if (!a->x || !a->dx)
		return nnr__fail_memory(err, "logits", n * ld);
	a->cap = n;
	return 0;
}

/* Logits of the classes for n rows of features, to a->x. */
static int class_logits(nnr_program *p, args *a, const float *row, int n,
			nnr_error *err)
{
	int rc = make_room(a, (size_t)n, err);

	return rc ? rc : nnr__exec_head(p->engine->exec, row, n, &a->head.mat,
					a->x, (size_t)a->head.mat.rows, err);
}

static int scores(nnr_program *p, args *a, const float *row, int n,
		  double *score, nnr_error *err)
{
	int labels = p->output.labels.n, hidden = p->model->bb->hidden;
	int cols = (int)a->weight->dim[1], ld = a->head.mat.rows, rc = 0;

	if (a->site == SITE_LOGITS)
		rc = class_logits(p, a, row, n, err);
	for (int i = 0; i < n && !rc; i++)
		for (int c = 0; c < labels; c++) {
			const float *w = a->weight->value + c * cols;
			double v = (double)a->bias->value[c];

			if (a->site == SITE_FEATURES)
				v += dot(w, row + i * hidden, hidden);
			for (int k = 0; a->site == SITE_LOGITS && k < cols;
			     k++)
				v += (double)w[k] *
				     (double)a->x[i * ld + a->column[k]];
			score[i * labels + c] = v;
		}
	return rc;
}

static int run(nnr_program *p, nnr__step *s, nnr__batch *b, nnr_error *err)
{
	int labels = p->output.labels.n, rc;
	size_t n = (size_t)b->n, hidden = (size_t)p->model->bb->hidden;
	float *row = nnr__aligned(n * hidden * sizeof(*row));
	double *score = nnr__calloc(n * (size_t)labels, sizeof(*score));

	if (!row || !score)
		rc = nnr__fail_memory(err, "features", n * hidden);
	else
		rc = nnr__engine_features(p->engine, b->prompt, b->n, row,
					  err);
	rc = rc ? rc : scores(p, s->args, row, b->n, score, err);
	for (int i = 0; i < b->n && !rc; i++) {
		nnr__log_softmax(score + i * labels, labels);
		rc = nnr__keep_scores(&b->answer[i], score + i * labels,
				      labels, err);
	}
	nnr__aligned_free(row);
	free(score);
	return rc;
}

/* ---- training ---- */

static int read(nnr_program *p, nnr__step *s, nnr__reading *r,
		nnr_error *err)
{
	return scores(p, s->args, r->row, r->n, r->score, err);
}

static void add(float *to, const float *from, double factor, int n)
{
	for (int k = 0; k < n; k++)
		to[k] += (float)(factor * (double)from[k]);
}

/* The gradient of one score that reads features. */
static void back_features(args *a, nnr__reading *r, int i, int c, double d)
{
	int cols = (int)a->weight->dim[1];

	if (a->learn)
		add(a->weight->grad + c * cols, r->row + i * cols, d, cols);
	if (r->drow)
		add(r->drow + i * cols, a->weight->value + c * cols, d, cols);
}

static void back_logits(args *a, int i, int c, double d)
{
	int cols = (int)a->weight->dim[1], ld = a->head.mat.rows;

	for (int k = 0; k < cols; k++) {
		int at = i * ld + a->column[k];

		if (a->learn)
			a->weight->grad[c * cols + k] +=
				(float)(d * (double)a->x[at]);
		a->dx[at] += (float)(d *
				     (double)a->weight->value[c * cols + k]);
	}
}

static int read_back(nnr_program *p, nnr__step *s, nnr__reading *r,
		     nnr_error *err)
{
	args *a = s->args;
	size_t ld = (size_t)a->head.mat.rows;

	(void)p;
	(void)err;
	if (a->site == SITE_LOGITS)
		memset(a->dx, 0, (size_t)r->n * ld * sizeof(*a->dx));
	for (int i = 0; i < r->n; i++)
		for (int c = 0; c < r->labels; c++) {
			double d = r->dscore[i * r->labels + c];

			if (a->learn)
				a->bias->grad[c] += (float)d;
			if (a->site == SITE_FEATURES)
				back_features(a, r, i, c, d);
			else
				back_logits(a, i, c, d);
		}
	if (a->site == SITE_LOGITS && r->drow)
		nnr__exec_head_back(r->exec, a->dx, ld, r->n, &a->head.mat,
				    r->drow, true);
	return 0;
}

static int64_t ways(const nnr_program *p, const nnr__step *s)
{
	(void)s;
	return p->output.labels.n;
}

const nnr__step_row nnr__step_linear = {
	.name = "linear",
	.help = "scores of labels by a learned matrix on what f puts out",
	.takes = NNR__K_LOGITS, .gives = NNR__K_SCORES,
	.alignment = "linear", .needs = "hidden", .axis = "label",
	.param = params, .args = sizeof(args),
	.check = check, .bind = bind, .tensors = tensors, .run = run,
	.read = read, .read_back = read_back, .ways = ways,
	.release = release
};
