/* SPDX-License-Identifier: Apache-2.0
 *
 * calibrate: corrects the labels' log-probabilities l_c, renormalised over
 * the labels, by  scale_c l_c + shift_c:
 *
 *   contextual  shift_c = -log of the mean probability over content-free
 *               inputs (Zhao 2021: W = diag(p)^-1); reads only the source
 *   domain      the same over texts of random words of the data (Fei 2023)
 *   batch       shift_c = -mean of l_c over the data (Zhou 2023, log space)
 *   affine      scale and shift fitted to labelled data (fit_affine.c)
 *
 * A fit on data is kept in the cache folder under the hashes of backbone,
 * program and data, what was learned, and the mode.  Items being answered
 * never enter a fit.
 */
#include "program/learn.h"
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 64

typedef struct nnr__a_calibrate args;

static const char *const methods[] = { "contextual", "domain", "batch",
				       "affine", NULL };

#define AT(member) offsetof(args, member)
static const nnr__param params[] = {
	{ .name = "method", .type = NNR__P_ENUM, .names = methods,
	  .at = AT(method), .fallback = "contextual",
	  .help = "what the correction is fitted on" },
	{ .name = "inputs", .type = NNR__P_STRINGS, .at = AT(inputs),
	  .fallback = "[\"N/A\", \"\", \"[MASK]\"]",
	  .help = "contextual: inputs without content" },
	{ .name = "data", .type = NNR__P_FILE, .at = AT(data),
	  .help = "domain, batch, affine: the file they are fitted on" },
	{ .name = "columns", .type = NNR__P_STRINGS, .at = AT(columns),
	  .help = "names of the columns of a file without header" },
	{ .name = "limit", .type = NNR__P_INT, .at = AT(limit),
	  .fallback = "0", .min = 0, .max = 100000000,
	  .help = "first rows of the data; 0: all" },
	{ .name = "count", .type = NNR__P_INT, .at = AT(count),
	  .fallback = "20", .min = 1, .max = 10000,
	  .help = "domain: texts of random words" },
	{ .name = "length", .type = NNR__P_INT, .at = AT(length),
	  .fallback = "0", .min = 0, .max = 100000,
	  .help = "domain: words of a text; 0: the data's mean" },
	{ .name = "seed", .type = NNR__P_INT, .at = AT(seed),
	  .fallback = "0", .min = 0, .max = 9e15,
	  .help = "domain: of the random words" },
	{ .name = "l2", .type = NNR__P_NUMBER, .at = AT(l2),
	  .fallback = "0.01", .min = 0.000001, .max = 1000,
	  .help = "affine: pull towards no correction" },
	{ .name = NULL }
};

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	nnr__place none = { 0, 0 };

	if (a->method == NNR__CAL_CONTEXTUAL) {
		if (!a->inputs.n)
			return nnr__fail_step(p, s, "inputs", err, "`inputs` "
					      "is an empty list");
		if (a->data)
			return nnr__fail_step(p, s, "data", err, "contextual "
					      "reads `inputs`, not data");
		return 0;
	}
	for (int i = 0; params[i].name; i++)
		if (params[i].at == AT(inputs) &&
		    memcmp(&s->given[i], &none, sizeof(none)) != 0)
			return nnr__fail_step(p, s, "inputs", err, "%s reads "
					      "`data`, not inputs",
					      methods[a->method]);
	if (!a->data)
		return nnr__fail_step(p, s, "method", err, "%s needs `data`, "
				      "a file to fit it on",
				      methods[a->method]);
	return 0;
}

/* The data is read when it is fitted on; that it is there is said now.  An
 * artifact has the fit instead. */
static int load(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	char *path = NULL;
	int rc = 0;

	if (a->data && !p->artifact)
		rc = nnr__program_file(p, s, "data", a->data, &path, err);
	free(path);
	return rc;
}

/* ---- scores of items, before this step ---- */

/* Adds up f(l) over items; l: log-probabilities over the labels. */
struct sum {
	bool probability;	/* mean of exp(l), else of l */
	double *total;
	double *row;		/* not NULL: every l is kept, n x labels */
	int n;
};

static void add_scores(const nnr_program *p, const nnr__batch *b,
		       struct sum *sum)
{
	int labels = p->output.labels.n;

	for (int i = 0; i < b->n; i++) {
		double *l = b->answer[i].score;
		nnr__log_softmax(l, labels);
		for (int c = 0; c < labels; c++)
			sum->total[c] += sum->probability ? exp(l[c]) : l[c];
		if (sum->row)
			memcpy(sum->row + (size_t)sum->n * (size_t)labels, l,
			       (size_t)labels * sizeof(*l));
		sum->n++;
	}
}

static int sum_scores(nnr_program *p, const nnr__step *s,
		      const nnr__record *item, int n, struct sum *sum,
		      nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < n && !rc; i += GROUP) {
		nnr__batch *b = NULL;
		int some = n - i < GROUP ? n - i : GROUP;
		rc = nnr__batch_new(p, item + i, some, i, &b, err);
		rc = rc ? rc : nnr__batch_run(p, b, s, err);
		if (!rc)
			add_scores(p, b, sum);
		nnr__batch_free(b);
		if (!rc && nnr__interrupted())
			rc = nnr__fail(err, NNR_E_INTERRUPTED, "interrupted");
	}
	return rc;
}

/* ---- contextual and domain: inputs without content ---- */

static int shift_by_mean(nnr_program *p, nnr__step *s,
			 const nnr__record *item, int n, bool probability,
			 nnr_error *err)
{
	args *a = s->args;
	int labels = p->output.labels.n, rc;
	struct sum sum = { .probability = probability };

	sum.total = nnr__calloc((size_t)labels, sizeof(*sum.total));
	if (!sum.total)
		return nnr__fail_memory(err, "a fit", (size_t)labels);
	rc = sum_scores(p, s, item, n, &sum, err);
	for (int c = 0; c < labels && !rc; c++) {
		double mean = sum.total[c] / sum.n;
		double shift = probability ? -log(mean) : -mean;
		a->scale->value[c] = 1;
		a->shift->value[c] = (float)shift;
		if (!isfinite(shift))
			rc = nnr__fail_step(p, s, NULL, err, "the label `%s` "
					    "has no probability at all in the "
					    "fit", p->output.labels.s[c]);
	}
	free(sum.total);
	return rc;
}

static int fill_item(const nnr_program *p, nnr__record *item,
		     const char *text, nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < p->inputs && !rc; i++)
		rc = nnr__record_set(item, p->input[i].name, text,
				     strlen(text), err);
	return rc;
}

static void free_items(nnr__record *item, int n)
{
	for (int i = 0; item && i < n; i++)
		nnr__record_release(&item[i]);
	free(item);
}

static int fit_contextual(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	int n = a->inputs.n, rc = 0;
	nnr__record *item = nnr__calloc((size_t)n, sizeof(*item));

	if (!item)
		return nnr__fail_memory(err, "a fit", (size_t)n);
	for (int i = 0; i < n && !rc; i++)
		rc = fill_item(p, &item[i], a->inputs.s[i], err);
	rc = rc ? rc : shift_by_mean(p, s, item, n, true, err);
	free_items(item, n);
	return rc;
}

/* ---- domain: random words ---- */

/* The words of one input field over all the data. */
struct words {
	const char **at;
	size_t *len;
	size_t n, cap, len_cap;
};

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool add_words(struct words *w, const nnr__value *v)
{
	for (size_t i = 0; v && i < v->len;) {
		size_t end = i;
		while (end < v->len && !blank(v->text[end]))
			end++;
		if (end > i) {
			if (!nnr__grow(&w->at, &w->cap, w->n,
				       sizeof(*w->at)) ||
			    !nnr__grow(&w->len, &w->len_cap, w->n,
				       sizeof(*w->len)))
				return false;
			w->at[w->n] = v->text + i;
			w->len[w->n++] = end - i;
		}
		i = end + 1;
	}
	return true;
}

static int random_text(const args *a, const struct words *w, size_t length,
		       uint64_t stream, nnr__buf *out)
{
	for (size_t i = 0; i < length && w->n; i++) {
		uint64_t r = nnr__rng_u64((uint64_t)a->seed, stream, i) %
			     w->n;
		if (i)
			nnr__buf_addc(out, ' ');
		nnr__buf_add(out, w->at[r], w->len[r]);
	}
	return out->bad ? -1 : 0;
}

static int random_field(nnr_program *p, nnr__step *s, const nnr__data *d,
			int field, nnr__record *item, nnr_error *err)
{
	const args *a = s->args;
	const char *name = p->input[field].name;
	struct words w = { 0 };
	size_t length = (size_t)a->length;
	int rc = 0;

	for (int i = 0; i < d->n && !rc; i++)
		if (!add_words(&w, nnr__record_get(&d->item[i], name)))
			rc = nnr__fail_memory(err, "words", w.n);
	if (!length)
		length = (w.n + (size_t)d->n / 2) / (size_t)d->n;
	for (int i = 0; i < (int)a->count && !rc; i++) {
		nnr__buf text = { 0 };
		uint64_t stream = (uint64_t)field << 32 | (uint64_t)i;
		if (random_text(a, &w, length ? length : 1, stream, &text))
			rc = nnr__fail_memory(err, "words", w.n);
		else
			rc = nnr__record_set(&item[i], name,
					     text.p ? text.p : "", text.len,
					     err);
		nnr__buf_release(&text);
	}
	free(w.at);
	free(w.len);
	return rc;
}

static int fit_domain(nnr_program *p, nnr__step *s, const nnr__data *d,
		      nnr_error *err)
{
	const args *a = s->args;
	int n = (int)a->count, rc = 0;
	nnr__record *item = nnr__calloc((size_t)n, sizeof(*item));

	if (!item)
		return nnr__fail_memory(err, "a fit", (size_t)n);
	for (int f = 0; f < p->inputs && !rc; f++)
		rc = random_field(p, s, d, f, item, err);
	rc = rc ? rc : shift_by_mean(p, s, item, n, true, err);
	free_items(item, n);
	return rc;
}

/* ---- affine ---- */

static int fit_affine(nnr_program *p, nnr__step *s, const nnr__data *d,
		      nnr_error *err)
{
	args *a = s->args;
	int labels = p->output.labels.n, rc;
	struct sum sum = { 0 };
	double *scale = nnr__calloc(2 * (size_t)labels, sizeof(double));

	sum.total = nnr__calloc((size_t)labels, sizeof(double));
	sum.row = nnr__calloc((size_t)d->n * (size_t)labels, sizeof(double));
	if (!scale || !sum.total || !sum.row)
		rc = nnr__fail_memory(err, "a fit", (size_t)d->n);
	else
		rc = sum_scores(p, s, d->item, d->n, &sum, err);
	rc = rc ? rc : nnr__fit_affine(sum.row, d->label, d->n, labels, a->l2,
				       scale, scale + labels, err);
	for (int c = 0; c < labels && !rc; c++) {
		a->scale->value[c] = (float)scale[c];
		a->shift->value[c] = (float)scale[labels + c];
	}
	free(scale);
	free(sum.total);
	free(sum.row);
	return rc;
}

/* ---- fits on data, and where they are kept ---- */

static char *fit_path(const nnr_program *p, const nnr__step *s,
		      const char *data_hash)
{
	nnr__buf key = { 0 }, rel = { 0 };
	char *cache = nnr__cache_dir(), *path = NULL, hex[65];

	nnr__buf_addf(&key, "nnr fit 2\n%s\n%s\n%s\n%s\n%s\n",
		      p->model->bb->hash, p->hash, s->id, data_hash,
		      nnr__engine_arithmetic(p->engine));
	/* What was learned since the source was read is part of it too. */
	for (int i = 0; i < p->tensors; i++)
		if (p->tensor[i]->grad)
			nnr__buf_add(&key, p->tensor[i]->value,
				     p->tensor[i]->n * sizeof(float));
	nnr__sha_of(key.p, key.len, hex);
	nnr__buf_addf(&rel, "fits/%s.json", hex);
	if (cache && !key.bad && !rel.bad)
		path = nnr__path_join(cache, rel.p);
	nnr__buf_release(&key);
	nnr__buf_release(&rel);
	free(cache);
	return path;
}

static bool take_numbers(const nnr__jnode *list, float *out, int n)
{
	const nnr__jnode *c;

	if (!list || list->kind != NNR__J_ARRAY || (int)list->count != n)
		return false;
	c = list->child;
	for (int i = 0; i < n; i++, c = c->next) {
		if (c->kind != NNR__J_NUMBER)
			return false;
		out[i] = (float)c->num;
	}
	return true;
}

/* A kept fit; anything that is not one counts as none. */
static bool read_fit(const nnr_program *p, args *a, const char *path)
{
	nnr__buf text = { 0 };
	nnr__arena arena = { NULL };
	const nnr__jnode *top = NULL;
	int n = p->output.labels.n;
	bool ok = false;

	if (nnr__file_exists(path) &&
	    nnr__file_read(&text, path, (size_t)1 << 24, NULL) == 0 &&
	    nnr__json_parse(&arena, &top, path, text.p ? text.p : "",
			    text.len, NULL) == 0)
		ok = take_numbers(nnr__json_get(top, "scale"),
				  a->scale->value, n) &&
		     take_numbers(nnr__json_get(top, "shift"),
				  a->shift->value, n);
	nnr__arena_release(&arena);
	nnr__buf_release(&text);
	return ok;
}

static void add_numbers(nnr__buf *out, const float *v, int n)
{
	nnr__buf_addc(out, '[');
	for (int i = 0; i < n; i++) {
		if (i)
			nnr__buf_addc(out, ',');
		nnr__buf_add_num(out, v[i]);
	}
	nnr__buf_addc(out, ']');
}

/* Keeping a fit is a service: without a cache folder it is made again. */
static void write_fit(const nnr_program *p, const args *a, const char *path)
{
	nnr__buf text = { 0 };
	char *dir = nnr__path_dir(path);

	nnr__buf_adds(&text, "{\"nnr\":1,\"scale\":");
	add_numbers(&text, a->scale->value, p->output.labels.n);
	nnr__buf_adds(&text, ",\"shift\":");
	add_numbers(&text, a->shift->value, p->output.labels.n);
	nnr__buf_adds(&text, "}\n");
	if (dir && !text.bad && nnr__mkdirs(dir, NULL) == 0)
		nnr__file_write(path, text.p, text.len, NULL);
	nnr__buf_release(&text);
	free(dir);
}

static int fit_on(nnr_program *p, nnr__step *s, const nnr__data *d,
		  nnr_error *err)
{
	args *a = s->args;

	if (a->method == NNR__CAL_DOMAIN)
		return fit_domain(p, s, d, err);
	if (a->method == NNR__CAL_BATCH)
		return shift_by_mean(p, s, d->item, d->n, false, err);
	return fit_affine(p, s, d, err);
}

static int fit_data(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	nnr__records_opts o = { .limit = a->limit, .columns = a->columns };
	nnr__data d = { 0 };
	char *path = NULL, *kept = NULL;
	int rc = nnr__program_file(p, s, "data", a->data, &path, err);

	if (rc)
		return rc;
	rc = nnr__data_read(&d, p, path, &o, a->method == NNR__CAL_AFFINE,
			    err);
	free(path);
	if (rc)
		return nnr__place_prefix(p, s, "data", err);
	rc = nnr__program_note(p, a->data, NULL, 0, d.rec.hash, err);
	if (!p->no_cache && !rc)
		kept = fit_path(p, s, d.rec.hash);
	if (!rc && (!kept || !read_fit(p, a, kept))) {
		rc = fit_on(p, s, &d, err);
		if (!rc && kept)
			write_fit(p, a, kept);
	}
	free(kept);
	nnr__data_release(&d);
	return rc;
}

/* ---- hooks ---- */

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	const int64_t dim[] = { p->output.labels.n };

	a->scale = nnr__tensor_add(p, s, "scale", 1, dim, false, err);
	a->shift = nnr__tensor_add(p, s, "shift", 1, dim, false, err);
	return a->scale && a->shift ? 0 : NNR_E_MEMORY;
}

static bool fitted(const args *a)
{
	return a->scale->set && a->shift->set;
}

static int fit(nnr_program *p, nnr__step *s, bool data, nnr_error *err)
{
	args *a = s->args;
	int rc;

	if (fitted(a) || data != (a->method != NNR__CAL_CONTEXTUAL))
		return 0;
	rc = data ? fit_data(p, s, err) : fit_contextual(p, s, err);
	a->scale->set = a->shift->set = !rc;
	return rc;
}

static int run(nnr_program *p, nnr__step *s, nnr__batch *b, nnr_error *err)
{
	const args *a = s->args;

	if (!fitted(a))
		return nnr__fail_step(p, s, NULL, err, "is not fitted");
	for (int i = 0; i < b->n; i++) {
		double *v = b->answer[i].score;
		nnr__log_softmax(v, b->answer[i].scores);
		for (int c = 0; c < b->answer[i].scores; c++)
			v[c] = (double)a->scale->value[c] * v[c] +
			       (double)a->shift->value[c];
		nnr__log_softmax(v, b->answer[i].scores);
	}
	return 0;
}

static const char *alignment_of(const nnr__step *s)
{
	return ((const args *)s->args)->method == NNR__CAL_AFFINE
		       ? "linear" : "statistical";
}

const nnr__step_row nnr__step_calibrate = {
	.name = "calibrate",
	.help = "corrects what the model prefers whatever the input",
	.takes = NNR__K_SCORES, .gives = NNR__K_SCORES,
	.alignment = "statistical", .alignment_of = alignment_of,
	.param = params, .bare = "method", .args = sizeof(args),
	.check = check, .load = load, .tensors = tensors, .fit = fit,
	.run = run
};
