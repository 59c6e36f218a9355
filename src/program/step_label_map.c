/* SPDX-License-Identifier: Apache-2.0
 *
 * label_map: from the classes f knows, the tokens of its vocabulary at the
 * last position, to labels, by counting instead of learning:
 *
 *   random      each label reads classes drawn by `seed` (RLM)
 *   frequency   the classes that its items show most often, one-to-one (FLM)
 *   iterative   the same, counted again every epoch (ILM-VP)
 *   blm         weights over all classes, by Bayes (label_map.h)
 *   blm+        the same from the top-k probabilities instead of the best
 *               class
 *
 *   read: logits    score_t = sum over s of weight[t][s] z_s
 *   read: logprobs  the same of log-probabilities.  The weights of a label
 *                   sum to 1, so both differ by one number for all labels
 *   read: probs     score_t = log of the sum over s of weight[t][s] p_s; again
 *                   the vocabulary's normaliser is one number for all
 *
 * So only the logits of classes that weigh something are computed.  The map
 * is sparse: `source` lists them, -1 where there are no more.
 */
#include "label_map.h"
#include "program/engine_int.h"
#include "program/learn.h"
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAP_RANDOM, MAP_FREQUENCY, MAP_ITERATIVE, MAP_BLM, MAP_BLM_PLUS };
enum { READ_LOGITS, READ_LOGPROBS, READ_PROBS };
enum { EVERY_ONCE, EVERY_EPOCH };
static const char *const methods[] = { "random", "frequency", "iterative",
				       "blm", "blm+", NULL };
static const char *const reads[] = { "logits", "logprobs", "probs", NULL };
static const char *const times[] = { "once", "epoch", NULL };

typedef struct nnr__a_label_map {
	int method, read, every;
	int64_t per_label, sources, seed, limit;
	double top_k;		/* blm+: classes; below 1: of the labels */
	double smoothing;
	char *data;
	nnr__strings columns;
	/* bound */
	nnr__ptensor *source;	/* [sources] */
	nnr__ptensor *weight;	/* [labels][sources] */
	float *made;		/* what the head is made of: as source */
	nnr__small_head head;
	int *column;		/* [head rows] their place in source */
	float *z, *dz;		/* [cap][head rows] */
	size_t cap;
} args;

/* ---- `top_k`: "15%", of the number of labels, or a number ---- */

static int top_k_read(nnr__src *s, const nnr__ynode *n, void *at)
{
	char text[80], *end = NULL;
	double v = n->kind == NNR__Y_SCALAR && n->len && n->len < 20
			   ? strtod(n->text, &end) : 0;
	bool part = end && strcmp(end, "%") == 0;

	if (!end || (*end && !part) || !(v > 0) || (part && v > 100) ||
	    (!part && (v != floor(v) || v > 1e6)))
		return nnr__fail_node(s, n, "`top_k` is %s; a part like 15%%, "
				      "or a number, was expected",
				      nnr__node_text(n, text, sizeof(text)));
	/* a part is kept negative */
	*(double *)at = part ? -v / 100 : v;
	return 0;
}

static void top_k_json(const void *at, nnr__buf *out)
{
	double v = *(const double *)at;

	if (v < 0)
		nnr__buf_addf(out, "\"%.15g%%\"", -100 * v);
	else
		nnr__buf_add_num(out, v);
}

static const nnr__own top_k_type = {
	"a part of the number of labels, or a number",
	"\"type\":[\"string\",\"integer\"]", top_k_read, top_k_json
};

#define AT(member) offsetof(args, member)
static const nnr__param params[] = {
	{ .name = "method", .type = NNR__P_ENUM, .names = methods,
	  .at = AT(method), .fallback = "blm+",
	  .help = "how classes are matched with labels" },
	{ .name = "read", .type = NNR__P_ENUM, .names = reads,
	  .at = AT(read), .fallback = "logits",
	  .help = "what of the classes is weighed" },
	{ .name = "every", .type = NNR__P_ENUM, .names = times,
	  .at = AT(every),
	  .help = "training: when it is counted; not given: frequency once, "
		  "the others every epoch" },
	{ .name = "per_label", .type = NNR__P_INT, .at = AT(per_label),
	  .fallback = "1", .min = 1, .max = 1000,
	  .help = "random, frequency, iterative: classes of a label; their "
		  "mean is read" },
	{ .name = "top_k", .type = NNR__P_OWN, .own = &top_k_type,
	  .at = AT(top_k), .fallback = "15%",
	  .help = "blm+: how many of an item's classes count, at least 1" },
	{ .name = "smoothing", .type = NNR__P_NUMBER, .at = AT(smoothing),
	  .fallback = "1", .min = 0, .max = 1e6,
	  .help = "blm, blm+: added to the count of a class" },
	{ .name = "sources", .type = NNR__P_INT, .at = AT(sources),
	  .fallback = "1024", .min = 2, .max = 1000000,
	  .help = "blm, blm+: the most classes that are kept, those seen "
		  "most" },
	{ .name = "data", .type = NNR__P_FILE, .at = AT(data),
	  .help = "the file it is counted on; not given: the training data" },
	{ .name = "columns", .type = NNR__P_STRINGS, .at = AT(columns),
	  .help = "names of the columns of a file without header" },
	{ .name = "limit", .type = NNR__P_INT, .at = AT(limit),
	  .fallback = "0", .min = 0, .max = 100000000,
	  .help = "first rows of the data; 0: all" },
	{ .name = "seed", .type = NNR__P_INT, .at = AT(seed),
	  .fallback = "0", .min = 0, .max = 9e15,
	  .help = "of a random map, which is also what others start from" },
	{ .name = NULL }
};

static bool bayes(const args *a)
{
	return a->method == MAP_BLM || a->method == MAP_BLM_PLUS;
}

static bool is_given(const nnr__step *s, size_t at)
{
	for (int i = 0; params[i].name; i++)
		if (params[i].at == at)
			return s->given[i].line || s->given[i].col;
	return false;
}

static int check_own(nnr_program *p, nnr__step *s, nnr_error *err)
{
	static const struct { size_t at; const char *name; int of; } own[] = {
		{ AT(per_label), "per_label", 1 << MAP_RANDOM |
		  1 << MAP_FREQUENCY | 1 << MAP_ITERATIVE },
		{ AT(top_k), "top_k", 1 << MAP_BLM_PLUS },
		{ AT(smoothing), "smoothing", 1 << MAP_BLM |
		  1 << MAP_BLM_PLUS },
		{ AT(sources), "sources", 1 << MAP_BLM | 1 << MAP_BLM_PLUS },
		{ AT(data), "data", ~(1 << MAP_RANDOM) },
		{ AT(every), "every", ~(1 << MAP_RANDOM) }
	};
	const args *a = s->args;

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (!(own[i].of >> a->method & 1) && is_given(s, own[i].at))
			return nnr__fail_step(p, s, own[i].name, err, "`%s` "
					      "has no meaning for %s",
					      own[i].name,
					      methods[a->method]);
	return 0;
}

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	int rc = check_own(p, s, err);

	if (rc)
		return rc;
	if (a->method == MAP_ITERATIVE && a->every == EVERY_ONCE)
		return nnr__fail_step(p, s, "every", err, "iterative is counted"
				      " every epoch; once is `frequency`");
	if (a->every < 0)
		a->every = a->method == MAP_FREQUENCY ? EVERY_ONCE
						      : EVERY_EPOCH;
	return 0;
}

/* That the data is there is said now; an artifact has the fit instead. */
static int load(nnr_program *p, nnr__step *s, nnr_error *err)
{
	return nnr__data_there(p, s, ((args *)s->args)->data, err);
}

/* ---- binding ---- */

static void release(nnr__step *s)
{
	args *a = s->args;

	nnr__head_release(&a->head);
	free(a->made);
	free(a->column);
	nnr__aligned_free(a->z);
	nnr__aligned_free(a->dz);
	a->made = a->z = a->dz = NULL;
	a->column = NULL;
	a->cap = 0;
}

/* One-to-one: label t reads id[t * each + k], alike. */
static void put_each(args *a, const int32_t *id, int labels)
{
	int each = (int)a->per_label, n = labels * each;

	memset(a->weight->value, 0, a->weight->n * sizeof(float));
	for (int i = 0; i < (int)a->source->n; i++)
		a->source->value[i] = i < n ? (float)id[i] : -1;
	for (int i = 0; i < n; i++)
		a->weight->value[i / each * (int)a->source->n + i] =
			1 / (float)each;
}

static int random_map(nnr_program *p, args *a, nnr_error *err)
{
	int vocab = p->model->bb->vocab, labels = p->output.labels.n;
	int n = labels * (int)a->per_label;
	uint32_t *perm = nnr__calloc((size_t)vocab, sizeof(*perm));
	int32_t *id = nnr__calloc((size_t)n, sizeof(*id));

	if (!perm || !id) {
		free(perm);
		free(id);
		return nnr__fail_memory(err, "a map", (size_t)vocab);
	}
	nnr__rng_shuffle(perm, (uint32_t)vocab, (uint64_t)a->seed, 0);
	for (int i = 0; i < n; i++)
		id[i] = (int32_t)perm[i];
	put_each(a, id, labels);
	free(perm);
	free(id);
	return 0;
}

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	int vocab = p->model->bb->vocab;
	int64_t labels = p->output.labels.n, each = labels * a->per_label;
	int64_t n = bayes(a) && a->sources > each ? a->sources : each;
	int64_t dim[] = { labels, n < vocab ? n : vocab };

	release(s);
	if (each > vocab)
		return nnr__fail_step(p, s, "per_label", err, "%lld labels of "
				      "%lld classes each; the vocabulary has "
				      "%d", (long long)labels,
				      (long long)a->per_label, vocab);
	a->source = nnr__tensor_add(p, s, "source", 1, dim + 1, false, err);
	if (a->source)
		a->weight = nnr__tensor_add(p, s, "weight", 2, dim, false,
					    err);
	a->made = nnr__calloc((size_t)dim[1], sizeof(*a->made));
	a->column = nnr__calloc((size_t)dim[1], sizeof(*a->column));
	if (!a->source || !a->weight)
		return NNR_E_MEMORY;
	if (!a->made || !a->column)
		return nnr__fail_memory(err, "a map", (size_t)dim[1]);
	return random_map(p, a, err);
}

/* ---- scores ---- */

static bool used(const args *a, int i)
{
	return a->source->value[i] >= 0;
}

/* The head's rows are the classes in use, in their order. */
static int make_head(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	int n = (int)a->source->n, rows = 0, rc;
	nnr__span *span = nnr__calloc((size_t)n, sizeof(*span));
	int32_t *id = nnr__calloc((size_t)n, sizeof(*id));

	for (int i = 0; i < n && span && id; i++) {
		float v = a->source->value[i];

		if (!used(a, i))
			continue;
		if (v != floorf(v) || v >= (float)p->model->bb->vocab) {
			free(span);
			free(id);
			return nnr__fail_step(p, s, NULL, err, "its tensor "
					      "`%s` names the class %g",
					      a->source->name, (double)v);
		}
		id[rows] = (int32_t)v;
		a->column[rows] = i;
		span[rows] = (nnr__span){ &id[rows], 1 };
		rows++;
	}
	nnr__head_release(&a->head);
	rc = span && id ? nnr__head_make(&a->head, p->model->bb, span, rows,
					 err)
			: nnr__fail_memory(err, "a map", (size_t)n);
	free(span);
	free(id);
	a->cap = 0;
	if (!rc)
		memcpy(a->made, a->source->value, a->source->n *
		       sizeof(*a->made));
	return rc;
}

static int make_room(args *a, size_t n, nnr_error *err)
{
	size_t ld = (size_t)a->head.mat.rows;

	if (n <= a->cap)
		return 0;
	nnr__aligned_free(a->z);
	nnr__aligned_free(a->dz);
	a->cap = 0;
	a->z = nnr__aligned(n * ld * sizeof(float));
	a->dz = nnr__aligned(n * ld * sizeof(float));
	if (!a->z || !a->dz)
		return nnr__fail_memory(err, "logits", n * ld);
	a->cap = n;
	return 0;
}

static const float *weights(const args *a, int label)
{
	return a->weight->value + (size_t)label * a->source->n;
}

/* log of the sum of weight exp(z). */
static double log_mean(const args *a, const float *w, const float *z)
{
	double most = -INFINITY, sum = 0;

	for (int k = 0; k < a->head.n; k++)
		if (w[a->column[k]] > 0 && (double)z[k] > most)
			most = (double)z[k];
	for (int k = 0; k < a->head.n; k++)
		if (w[a->column[k]] > 0)
			sum += (double)w[a->column[k]] *
			       exp((double)z[k] - most);
	return most + log(sum);
}

static double score_of(const args *a, int label, const float *z)
{
	const float *w = weights(a, label);
	double sum = 0;

	if (a->read == READ_PROBS)
		return log_mean(a, w, z);
	for (int k = 0; k < a->head.n; k++)
		sum += (double)w[a->column[k]] * (double)z[k];
	return sum;
}

static int scores(nnr_program *p, nnr__step *s, const float *row, int n,
		  double *score, nnr_error *err)
{
	args *a = s->args;
	int labels = p->output.labels.n, rc = 0;

	if (!a->head.data || memcmp(a->made, a->source->value,
				    a->source->n * sizeof(*a->made)) != 0)
		rc = make_head(p, s, err);
	rc = rc ? rc : make_room(a, (size_t)n, err);
	if (!rc)
		rc = nnr__exec_head(p->engine->exec, row, n, &a->head.mat,
				    a->z, (size_t)a->head.mat.rows, err);
	for (int i = 0; i < n && !rc; i++)
		for (int t = 0; t < labels; t++)
			score[i * labels + t] = score_of(a, t, a->z + i *
							 a->head.mat.rows);
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
	rc = rc ? rc : scores(p, s, row, b->n, score, err);
	for (int i = 0; i < b->n && !rc; i++) {
		nnr__log_softmax(score + i * labels, labels);
		rc = nnr__keep_scores(&b->answer[i], score + i * labels,
				      labels, err);
	}
	nnr__aligned_free(row);
	free(score);
	return rc;
}

/* ---- training: through the map, which is a constant ---- */

static int read(nnr_program *p, nnr__step *s, nnr__reading *r,
		nnr_error *err)
{
	return scores(p, s, r->row, r->n, r->score, err);
}

static int read_back(nnr_program *p, nnr__step *s, nnr__reading *r,
		     nnr_error *err)
{
	args *a = s->args;
	size_t ld = (size_t)a->head.mat.rows;

	(void)p;
	(void)err;
	if (!r->drow)
		return 0;
	memset(a->dz, 0, (size_t)r->n * ld * sizeof(*a->dz));
	for (int i = 0; i < r->n * r->labels; i++) {
		const float *w = weights(a, i % r->labels);
		const float *z = a->z + (size_t)(i / r->labels) * ld;
		float *dz = a->dz + (size_t)(i / r->labels) * ld;
		double d = r->dscore[i];

		for (int k = 0; k < a->head.n; k++) {
			double slope = (double)w[a->column[k]];

			if (a->read == READ_PROBS && slope > 0)
				slope *= exp((double)z[k] - r->score[i]);
			dz[k] += (float)(d * slope);
		}
	}
	nnr__exec_head_back(r->exec, a->dz, ld, r->n, &a->head.mat, r->drow,
			    true);
	return 0;
}

/* ---- the map of the counts ---- */

static int top_k_of(const nnr_program *p, const args *a)
{
	/* a part of the labels is rounded down, as in the reference */
	double k = a->top_k < 0 ? floor(-a->top_k * p->output.labels.n + 1e-9)
				: a->top_k;

	if (a->method != MAP_BLM_PLUS)
		return 0;
	k = k < 1 ? 1 : k;
	return k > p->model->bb->vocab ? p->model->bb->vocab : (int)k;
}

static int fail_missing(const nnr_program *p, const nnr__step *s,
			const nnr__counts *c, int label, nnr_error *err)
{
	for (int i = 0; i < c->rows; i++)
		if (c->mass[i * c->labels + label] > 0)
			return nnr__fail_step(p, s, "sources", err, "no class "
				"of the label `%.60s` is among the %zu that "
				"are kept: more `sources` are needed",
				p->output.labels.s[label],
				((const args *)s->args)->source->n);
	return nnr__fail_step(p, s, NULL, err, "the data it is counted on has "
			      "no item of the label `%.60s`",
			      p->output.labels.s[label]);
}

static int map_of(nnr_program *p, nnr__step *s, const nnr__counts *c,
		  nnr_error *err)
{
	args *a = s->args;
	size_t n = a->source->n;
	int32_t *id = nnr__calloc(n, sizeof(*id));
	int missing = -1, rc;

	if (!id)
		return nnr__fail_memory(err, "a map", n);
	if (!bayes(a)) {
		rc = nnr__map_greedy(c, (int)a->per_label, id, err);
		if (!rc)
			put_each(a, id, p->output.labels.n);
	} else {
		rc = nnr__map_bayes(c, a->smoothing, (int)n, id,
				    a->weight->value, &missing, err);
		for (size_t i = 0; i < n && !rc; i++)
			a->source->value[i] = (float)id[i];
	}
	free(id);
	if (!rc && missing >= 0)
		rc = fail_missing(p, s, c, missing, err);
	a->source->set = a->weight->set = !rc;
	return rc;
}

static int count(nnr_program *p, nnr__step *s, const nnr__examples *x,
		 nnr_error *err)
{
	nnr__counts counts;
	int rc = nnr__counts_new(&counts, p->model->bb->vocab,
				 p->output.labels.n, err);

	rc = rc ? rc : nnr__count_classes(&counts, p, x, top_k_of(p, s->args),
					  err);
	rc = rc ? rc : map_of(p, s, &counts, err);
	nnr__counts_release(&counts);
	return rc;
}

/* ---- on a file, or on a lesson ---- */

struct file {
	nnr_program *p;
	const nnr__data *d;
};

static int file_rows(void *ctx, int first, int n, float *out, nnr_error *err)
{
	struct file *f = ctx;
	nnr__batch *b = NULL;
	int rc = nnr__batch_new(f->p, f->d->item + first, n, first, &b, err);

	if (!rc)
		rc = nnr__engine_features(f->p->engine, b->prompt, n, out,
					  err);
	nnr__batch_free(b);
	return rc;
}

static int fit_on(nnr_program *p, nnr__step *s, const nnr__data *d,
		  nnr_error *err)
{
	struct file f = { p, d };
	nnr__examples x = { .n = d->n, .label = d->label, .ctx = &f,
			    .rows = file_rows };

	return count(p, s, &x, err);
}

static int fit_file(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	nnr__records_opts o = { .limit = a->limit, .columns = a->columns };
	int rc = nnr__fit_data(p, s, a->data, &o, true, fit_on, err);

	a->source->set = a->weight->set = !rc;
	return rc;
}

static int fit(nnr_program *p, nnr__step *s, bool data, nnr_error *err)
{
	const args *a = s->args;

	if (!data || a->method == MAP_RANDOM ||
	    (a->source->set && a->weight->set))
		return 0;
	if (a->data)
		return fit_file(p, s, err);
	return p->untrained ? 0
		: nnr__fail_step(p, s, NULL, err, "is not fitted: train the "
				 "program, or name `data` to count on "
				 "(--untrained answers with a random map)");
}

static int epoch(nnr_program *p, nnr__step *s, const nnr__examples *x,
		 int number, nnr_error *err)
{
	const args *a = s->args;

	if (a->method == MAP_RANDOM || (number && a->every == EVERY_ONCE))
		return 0;
	return a->data ? fit_file(p, s, err) : count(p, s, x, err);
}

static int64_t ways(const nnr_program *p, const nnr__step *s)
{
	(void)s;
	return p->output.labels.n;
}

const nnr__step_row nnr__step_label_map = {
	.name = "label_map",
	.help = "scores of labels from f's own classes, matched by counting",
	.takes = NNR__K_LOGITS, .gives = NNR__K_SCORES,
	.alignment = "statistical", .needs = "logits", .axis = "label",
	.param = params, .bare = "method", .args = sizeof(args),
	.check = check, .load = load, .tensors = tensors, .fit = fit,
	.epoch = epoch, .run = run, .read = read, .read_back = read_back,
	.ways = ways, .release = release
};
