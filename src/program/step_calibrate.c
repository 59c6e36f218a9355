/* SPDX-License-Identifier: Apache-2.0
 *
 * calibrate: corrects the labels' log-probabilities l_c, renormalised over
 * the labels, by  scale_c l_c + shift_c:
 *
 *   contextual  shift_c = -log of the mean probability over content-free
 *               inputs (Zhao 2021: W = diag(p)^-1); reads only the source
 *   domain      the same over texts of random words of the data (Fei 2023)
 *   batch       shift_c = -mean of l_c over the data (Zhou 2023, log space)
 *   affine      scale and shift fitted to labelled data (fit_affine.c), or
 *               learned by training
 *   temperature scale_c = exp(-log_temperature), one for all; the same
 *
 * Items being answered never enter a fit.
 */
#include "program/learn.h"
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 64

typedef struct nnr__a_calibrate args;

static const char *const methods[] = { "contextual", "domain", "batch",
				       "affine", "temperature", NULL };

#define AT(member) offsetof(args, member)
static const nnr__param params[] = {
	{ .name = "method", .type = NNR__P_ENUM, .names = methods,
	  .at = AT(method), .fallback = "contextual",
	  .help = "what the correction is fitted on" },
	{ .name = "inputs", .type = NNR__P_STRINGS, .at = AT(inputs),
	  .fallback = "[\"N/A\", \"\", \"[MASK]\"]",
	  .help = "contextual: inputs without content" },
	{ .name = "data", .type = NNR__P_FILE, .at = AT(data),
	  .help = "all but contextual: the file they are fitted on" },
	{ .name = "learn", .type = NNR__P_BOOL, .at = AT(learn),
	  .fallback = "no",
	  .help = "affine, temperature: by training, and not by data" },
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
	  .help = "affine, temperature: pull towards no correction" },
	{ .name = NULL }
};

static bool by_labels(const args *a)
{
	return a->method == NNR__CAL_AFFINE ||
	       a->method == NNR__CAL_TEMPERATURE;
}

static bool is_given(const nnr__step *s, size_t at)
{
	for (int i = 0; params[i].name; i++)
		if (params[i].at == at)
			return s->given[i].line || s->given[i].col;
	return false;
}

/* Trained, or fitted to data; a temperature is trained if there is none. */
static int check_learn(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;

	if (a->method == NNR__CAL_TEMPERATURE && !a->data &&
	    !is_given(s, AT(learn)))
		a->learn = true;
	if (a->learn && !by_labels(a))
		return nnr__fail_step(p, s, "learn", err, "%s is counted, not "
				      "learned", methods[a->method]);
	if (a->learn && a->data)
		return nnr__fail_step(p, s, "learn", err, "`data` fits it and "
				      "`learn` trains it; give one of them");
	return 0;
}

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	int rc = check_learn(p, s, err);

	if (rc)
		return rc;
	if (a->method == NNR__CAL_CONTEXTUAL) {
		if (!a->inputs.n)
			return nnr__fail_step(p, s, "inputs", err, "`inputs` "
					      "is an empty list");
		if (a->data)
			return nnr__fail_step(p, s, "data", err, "contextual "
					      "reads `inputs`, not data");
		return 0;
	}
	if (is_given(s, AT(inputs)))
		return nnr__fail_step(p, s, "inputs", err, "%s reads `data`, "
				      "not inputs", methods[a->method]);
	if (!a->data && !a->learn)
		return nnr__fail_step(p, s, "method", err, "%s needs `data`, "
				      "a file to fit it on%s",
				      methods[a->method],
				      by_labels(a) ? ", or `learn: yes`" : "");
	return 0;
}

/* The data is read when it is fitted on; that it is there is said now.  An
 * artifact has the fit instead. */
static int load(nnr_program *p, nnr__step *s, nnr_error *err)
{
	return nnr__data_there(p, s, ((args *)s->args)->data, err);
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

/* ---- affine and temperature ---- */

/* By labelled data: affine, or one temperature. */
static int fit_labelled(nnr_program *p, nnr__step *s, const nnr__data *d,
			nnr_error *err)
{
	args *a = s->args;
	bool one = a->method == NNR__CAL_TEMPERATURE;
	int labels = p->output.labels.n, rc;
	struct sum sum = { 0 };
	double *scale = nnr__calloc(2 * (size_t)labels, sizeof(double));

	sum.total = nnr__calloc((size_t)labels, sizeof(double));
	sum.row = nnr__calloc((size_t)d->n * (size_t)labels, sizeof(double));
	if (!scale || !sum.total || !sum.row)
		rc = nnr__fail_memory(err, "a fit", (size_t)d->n);
	else
		rc = sum_scores(p, s, d->item, d->n, &sum, err);
	if (!rc && one)
		a->heat->value[0] = (float)
			nnr__fit_temperature(sum.row, d->label, d->n, labels,
					     a->l2);
	else if (!rc)
		rc = nnr__fit_affine(sum.row, d->label, d->n, labels, a->l2,
				     scale, scale + labels, err);
	for (int c = 0; c < labels && !rc && !one; c++) {
		a->scale->value[c] = (float)scale[c];
		a->shift->value[c] = (float)scale[labels + c];
	}
	free(scale);
	free(sum.total);
	free(sum.row);
	return rc;
}

/* ---- fits on data ---- */

static int fit_on(nnr_program *p, nnr__step *s, const nnr__data *d,
		  nnr_error *err)
{
	args *a = s->args;

	if (a->method == NNR__CAL_DOMAIN)
		return fit_domain(p, s, d, err);
	if (a->method == NNR__CAL_BATCH)
		return shift_by_mean(p, s, d->item, d->n, false, err);
	return fit_labelled(p, s, d, err);
}

static int fit_data(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	nnr__records_opts o = { .limit = a->limit, .columns = a->columns };

	return nnr__fit_data(p, s, a->data, &o, by_labels(a), fit_on, err);
}

/* ---- hooks ---- */

static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	const int64_t dim[] = { p->output.labels.n }, one[] = { 1 };

	a->scale = a->shift = a->heat = NULL;
	if (a->method == NNR__CAL_TEMPERATURE) {
		a->heat = nnr__tensor_add(p, s, "log_temperature", 1, one,
					  a->learn, err);
		return a->heat ? 0 : NNR_E_MEMORY;
	}
	a->scale = nnr__tensor_add(p, s, "scale", 1, dim, a->learn, err);
	if (a->scale)
		a->shift = nnr__tensor_add(p, s, "shift", 1, dim, a->learn,
					   err);
	for (int64_t c = 0; c < dim[0] && a->shift; c++)
		a->scale->value[c] = 1;
	return a->shift ? 0 : NNR_E_MEMORY;
}

static bool fitted(const args *a)
{
	return a->heat ? a->heat->set : a->scale->set && a->shift->set;
}

static int fit(nnr_program *p, nnr__step *s, bool data, nnr_error *err)
{
	args *a = s->args;
	int rc;

	if (a->learn || fitted(a) || data != (a->method !=
					      NNR__CAL_CONTEXTUAL))
		return 0;
	rc = data ? fit_data(p, s, err) : fit_contextual(p, s, err);
	if (a->heat)
		a->heat->set = !rc;
	else
		a->scale->set = a->shift->set = !rc;
	return rc;
}

/* What the log-probability of label c is multiplied by; what is added. */
static double scale_of(const args *a, int c)
{
	return a->heat ? exp(-(double)a->heat->value[0])
		       : (double)a->scale->value[c];
}

static double shift_of(const args *a, int c)
{
	return a->heat ? 0 : (double)a->shift->value[c];
}

static void correct(const args *a, double *v, int n)
{
	nnr__log_softmax(v, n);
	for (int c = 0; c < n; c++)
		v[c] = scale_of(a, c) * v[c] + shift_of(a, c);
	nnr__log_softmax(v, n);
}

static int run(nnr_program *p, nnr__step *s, nnr__batch *b, nnr_error *err)
{
	const args *a = s->args;

	if (!a->learn && !fitted(a))
		return nnr__fail_step(p, s, NULL, err, "is not fitted");
	for (int i = 0; i < b->n; i++)
		correct(a, b->answer[i].score, b->answer[i].scores);
	return 0;
}

/* ---- training: only what is learned takes part; what is fitted is fitted
 * to what training leaves ---- */

static int pass(nnr_program *p, nnr__step *s, nnr__reading *r,
		nnr_error *err)
{
	const args *a = s->args;

	(void)p;
	(void)err;
	for (int i = 0; i < r->n && a->learn; i++)
		correct(a, r->score + i * r->labels, r->labels);
	return 0;
}

/* d -= softmax * (sum of d), with the softmax's logarithm. */
static void softmax_back(const double *logp, double *d, int n)
{
	double sum = 0;

	for (int c = 0; c < n; c++)
		sum += d[c];
	for (int c = 0; c < n; c++)
		d[c] -= exp(logp[c]) * sum;
}

/* l: log-probabilities before; d: gradient after, then before. */
static void correct_back(args *a, const double *after, double *l, double *d,
			 int n)
{
	softmax_back(after, d, n);
	nnr__log_softmax(l, n);
	for (int c = 0; c < n; c++) {
		double scale = scale_of(a, c), slope = d[c] * l[c];

		if (a->heat) {
			a->heat->grad[0] += (float)(-scale * slope);
		} else {
			a->scale->grad[c] += (float)slope;
			a->shift->grad[c] += (float)d[c];
		}
		d[c] *= scale;
	}
	softmax_back(l, d, n);
}

static int pass_back(nnr_program *p, nnr__step *s, nnr__reading *r,
		     const double *before, nnr_error *err)
{
	args *a = s->args;
	size_t n = (size_t)r->labels;
	double *l = nnr__calloc(n, sizeof(*l));

	(void)p;
	if (!l)
		return nnr__fail_memory(err, "scores", n);
	for (int i = 0; i < r->n && a->learn; i++) {
		memcpy(l, before + (size_t)i * n, n * sizeof(*l));
		correct_back(a, r->score + (size_t)i * n, l,
			     r->dscore + (size_t)i * n, r->labels);
	}
	free(l);
	return 0;
}

static const char *alignment_of(const nnr__step *s)
{
	int method = ((const args *)s->args)->method;

	return method == NNR__CAL_AFFINE || method == NNR__CAL_TEMPERATURE
		       ? "linear" : "statistical";
}

const nnr__step_row nnr__step_calibrate = {
	.name = "calibrate",
	.help = "corrects what the model prefers whatever the input",
	.takes = NNR__K_SCORES, .gives = NNR__K_SCORES,
	.alignment = "statistical", .alignment_of = alignment_of,
	.param = params, .bare = "method", .args = sizeof(args),
	.check = check, .load = load, .tensors = tensors, .fit = fit,
	.run = run, .pass = pass, .pass_back = pass_back
};
