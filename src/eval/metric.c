/* SPDX-License-Identifier: Apache-2.0
 *
 * metric.c: the figures of an evaluation.
 *
 *   accuracy   items answered right / items; an answer that could not be
 *              read is wrong, one that is any of several targets is right.
 *              Interval: Wilson, 95 %.
 *   macro-F1   mean over the labels that occur (as a target or as an
 *              answer) of 2 tp / (2 tp + fp + fn).
 *   p          softmax of an item's label scores.
 *   NLL        mean of -log p(target).
 *   Brier      mean of the sum over labels of (p - [label = target])^2,
 *              0 to 2.
 *   ECE        15 bins of equal width over the largest p, closed on the
 *              right: sum over bins of |hits - sum of p| / items.
 *   agreement  mean share of an item's samples that gave its answer.
 */
#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define Z95 1.959963984540054	/* normal quantile at 0.975 */

nnr__rate nnr__rate_of(int hits, int n)
{
	nnr__rate r = { hits, n, NAN, NAN, NAN };

	if (n > 0) {
		double m = n, p = hits / m, z2 = Z95 * Z95;
		double mid = p + z2 / (2 * m);
		double half = Z95 * sqrt(p * (1 - p) / m +
					 z2 / (4 * m * m));
		r.value = p;
		r.low = hits == 0 ? 0 : (mid - half) / (1 + z2 / m);
		r.high = hits == n ? 1 : (mid + half) / (1 + z2 / m);
	}
	return r;
}

int nnr__tally_init(nnr__tally *t, int labels, nnr_error *err)
{
	size_t n = (size_t)labels * ((size_t)labels + 1);

	memset(t, 0, sizeof(*t));
	t->labels = labels;
	if (labels == 0)
		return 0;
	t->confusion = nnr__calloc(n, sizeof(int));
	if (!t->confusion)
		return nnr__fail_memory(err, "confusion matrix",
					n * sizeof(int));
	return 0;
}

void nnr__tally_release(nnr__tally *t)
{
	free(t->confusion);
	memset(t, 0, sizeof(*t));
}

/* log of the sum of exp(score), and the first of the largest scores. */
static double log_sum(const double *score, int n, int *best)
{
	double sum = 0;

	*best = 0;
	for (int c = 1; c < n; c++)
		if (score[c] > score[*best])
			*best = c;
	for (int c = 0; c < n; c++)
		sum += exp(score[c] - score[*best]);
	return score[*best] + log(sum);
}

static void add_scores(nnr__tally *t, const nnr__outcome *o)
{
	int best, bin;
	double z = log_sum(o->score, t->labels, &best), top, brier = 0;

	for (int c = 0; c < t->labels; c++) {
		double miss = exp(o->score[c] - z) - (c == o->target);
		brier += miss * miss;
	}
	t->scored++;
	t->nll += z - o->score[o->target];
	t->brier += brier;
	top = exp(o->score[best] - z);
	bin = (int)ceil(top * NNR__ECE_BINS) - 1;
	if (bin >= NNR__ECE_BINS)
		bin = NNR__ECE_BINS - 1;
	if (bin < 0)
		bin = 0;
	t->bin[bin].items++;
	t->bin[bin].hits += best == o->target;
	t->bin[bin].confidence += top;
}

void nnr__tally_add(nnr__tally *t, const nnr__outcome *o)
{
	t->items++;
	t->hits += o->right;
	t->samples += o->samples;
	t->unread += o->unread;
	if (!isnan(o->agreement)) {
		t->agreed++;
		t->agreement += o->agreement;
	}
	if (t->labels == 0 || o->target < 0)
		return;
	t->confusion[o->target * (t->labels + 1) +
		     (o->label < 0 ? t->labels : o->label)]++;
	if (o->score)
		add_scores(t, o);
}

double nnr__macro_f1(const nnr__tally *t)
{
	int n = t->labels, wide = n + 1, seen = 0;
	double sum = 0;

	for (int c = 0; c < n; c++) {
		int hit = t->confusion[c * wide + c], target = 0, said = 0;
		for (int o = 0; o < wide; o++)
			target += t->confusion[c * wide + o];
		for (int o = 0; o < n; o++)
			said += t->confusion[o * wide + c];
		if (target + said == 0)
			continue;
		seen++;
		sum += 2.0 * hit / (target + said);
	}
	return seen ? sum / seen : NAN;
}

double nnr__nll(const nnr__tally *t)
{
	return t->scored ? t->nll / t->scored : NAN;
}

double nnr__brier(const nnr__tally *t)
{
	return t->scored ? t->brier / t->scored : NAN;
}

double nnr__ece(const nnr__tally *t)
{
	double sum = 0;

	for (int b = 0; b < NNR__ECE_BINS; b++)
		sum += fabs(t->bin[b].hits - t->bin[b].confidence);
	return t->scored ? sum / t->scored : NAN;
}

double nnr__agreement(const nnr__tally *t)
{
	return t->agreed ? t->agreement / t->agreed : NAN;
}

/* The text without the spaces around it. */
static const char *trimmed(const char *s, size_t *n)
{
	static const char space[] = " \t\r\n";
	size_t len;

	s += strspn(s, space);
	len = strlen(s);
	while (len && strchr(space, s[len - 1]))
		len--;
	*n = len;
	return s;
}

bool nnr__number_of(const char *s, double *v)
{
	char digits[64], *end;
	size_t n, m = 0;

	s = trimmed(s, &n);
	if (n == 0 || n >= sizeof(digits))
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] != ',')
			digits[m++] = s[i];
	digits[m] = '\0';
	*v = strtod(digits, &end);
	return end != digits && *end == '\0';
}

static int compare_text(const char *a, const char *b)
{
	size_t n, m;
	int order;

	a = trimmed(a, &n);
	b = trimmed(b, &m);
	order = memcmp(a, b, n < m ? n : m);
	return order ? order : (n > m) - (n < m);
}

bool nnr__same_value(nnr__type type, const char *a, const char *b)
{
	double x, y;

	if ((type == NNR__T_INT || type == NNR__T_NUMBER) &&
	    nnr__number_of(a, &x) && nnr__number_of(b, &y))
		return !(x < y) && !(x > y);
	return compare_text(a, b) == 0;
}

bool nnr__same_any(nnr__type type, const nnr__strings *target,
		   const char *answer)
{
	for (int i = 0; answer && i < target->n; i++)
		if (nnr__same_value(type, target->s[i], answer))
			return true;
	return false;
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = *(const char *const *const *)a;
	const char *const *y = *(const char *const *const *)b;
	int order = compare_text(*x, *y);

	/* pointers into one array: equal texts stay in its order */
	return order ? order : (x > y) - (x < y);
}

const char *nnr__most_common(const char *const *text, int n, int *count)
{
	const char *const **at = NULL, *const *best = NULL;

	*count = 0;
	if (n > 0)
		at = nnr__calloc((size_t)n, sizeof(*at));
	if (!at)
		return NULL;
	for (int i = 0; i < n; i++)
		at[i] = &text[i];
	qsort(at, (size_t)n, sizeof(*at), by_text);
	for (int i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n; end++)
			if (compare_text(*at[i], *at[end]))
				break;
		if (end - i > *count ||
		    (end - i == *count && at[i] < best)) {
			*count = end - i;
			best = at[i];
		}
	}
	free(at);
	return best ? *best : NULL;
}
