/* SPDX-License-Identifier: Apache-2.0
 *
 * text_metric.c: BLEU and ROUGE-L of texts beside their references.
 *
 *   BLEU     of the whole corpus, 0 to 100, as sacreBLEU: words by 13a, case
 *            kept, n-grams of 1 to 4 words, each counted at most as often
 *            as the reference that has it most; exponential smoothing; the
 *            length of the reference nearest to the output's, the shorter of
 *            two, for the brevity penalty.
 *   ROUGE-L  of an item, 0 to 1, as rouge-score: F of precision and recall
 *            of the longest common subsequence, no stemmer; of several
 *            references the best.  The corpus has the mean.
 *
 * Intervals: RESAMPLES times as many items drawn with replacement, by the
 * counter RNG; the 2.5th and the 97.5th percentile of their figures.
 */
#include "eval/texts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N NNR__BLEU_N
#define RESAMPLES 1000
#define SEED 1

/* ---- words as numbers ---- */

struct word { const char *s; size_t n; int at; };

/* Texts of one item, the output first; equal words have equal numbers. */
struct bag {
	nnr__buf text;		/* words, a space between; a line a text */
	struct word *word;
	int *id;
	int *start;		/* of each text in id; one more for the end */
	int words;
};

static void bag_release(struct bag *b)
{
	nnr__buf_release(&b->text);
	free(b->word);
	free(b->id);
	free(b->start);
}

static int by_text(const void *x, const void *y)
{
	const struct word *a = x, *b = y;
	int order = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);

	return order ? order : (a->n > b->n) - (a->n < b->n);
}

/* Words and starts of texts, from b->text. */
static void find_words(struct bag *b)
{
	const char *s = b->text.p, *end = s ? s + b->text.len : s;
	int text = 0;

	b->words = 0;
	for (; s < end; s++) {
		const char *from = s;

		while (*s != ' ' && *s != '\n')
			s++;
		if (s > from) {
			b->word[b->words].s = from;
			b->word[b->words].n = (size_t)(s - from);
			b->word[b->words].at = b->words;
			b->words++;
		}
		if (*s == '\n')
			b->start[++text] = b->words;
	}
}

static int number_words(struct bag *b, int texts, nnr_error *err)
{
	size_t most = b->text.len / 2 + 1;	/* a word and what follows it */
	int id = -1;

	b->word = nnr__calloc(most, sizeof(*b->word));
	b->id = nnr__calloc(most, sizeof(*b->id));
	b->start = nnr__calloc((size_t)texts + 1, sizeof(*b->start));
	if (b->text.bad || !b->word || !b->id || !b->start)
		return nnr__fail_memory(err, "words", most);
	find_words(b);
	qsort(b->word, (size_t)b->words, sizeof(*b->word), by_text);
	for (int i = 0; i < b->words; i++) {
		if (!i || by_text(&b->word[i - 1], &b->word[i]))
			id++;
		b->id[b->word[i].at] = id;
	}
	return 0;
}

static int bag_fill(struct bag *b, void (*cut)(const char *, nnr__buf *),
		    const char *said, const nnr__strings *ref,
		    nnr_error *err)
{
	memset(b, 0, sizeof(*b));
	cut(said, &b->text);
	nnr__buf_addc(&b->text, '\n');
	for (int i = 0; i < ref->n; i++) {
		cut(ref->s[i], &b->text);
		nnr__buf_addc(&b->text, '\n');
	}
	return number_words(b, ref->n + 1, err);
}

static int words_of(const struct bag *b, int text)
{
	return b->start[text + 1] - b->start[text];
}

/* ---- BLEU ---- */

struct gram { int w[N]; };

static int by_words(const void *x, const void *y)
{
	return memcmp(x, y, sizeof(struct gram));
}

/* The sorted n-grams of a text. */
static int grams_of(const struct bag *b, int text, int n, struct gram *out)
{
	const int *id = b->id + b->start[text];
	int count = words_of(b, text) - n + 1;

	for (int i = 0; i < count; i++)
		for (int k = 0; k < N; k++)
			out[i].w[k] = k < n ? id[i + k] : 0;
	if (count <= 0)
		return 0;
	qsort(out, (size_t)count, sizeof(*out), by_words);
	return count;
}

/* How many from i on are like grams[i]. */
static int alike(const struct gram *grams, int i, int n)
{
	int end = i + 1;

	while (end < n && by_words(&grams[i], &grams[end]) == 0)
		end++;
	return end - i;
}

/* most[i]: how often a reference has grams[i], the first of its like. */
static void raise(const struct gram *grams, int n, const struct gram *ref,
		  int m, int *most)
{
	for (int i = 0, j = 0; i < n && j < m;) {
		int order = by_words(&grams[i], &ref[j]);

		if (order == 0) {
			int count = alike(ref, j, m);
			most[i] = count > most[i] ? count : most[i];
		}
		if (order >= 0)
			j += alike(ref, j, m);
		if (order <= 0)
			i += alike(grams, i, n);
	}
}

static int count_grams(const struct bag *b, int refs, int n,
		       nnr__bleu_counts *out, nnr_error *err)
{
	size_t room = (size_t)b->words + 1;
	struct gram *said = nnr__calloc(room, sizeof(*said));
	struct gram *ref = nnr__calloc(room, sizeof(*ref));
	int *most = nnr__calloc(room, sizeof(*most));
	int count = 0, rc = 0;

	if (!said || !ref || !most)
		rc = nnr__fail_memory(err, "n-grams", room);
	else
		count = grams_of(b, 0, n, said);
	for (int r = 1; r <= refs && count; r++)
		raise(said, count, ref, grams_of(b, r, n, ref), most);
	for (int i = 0; i < count;) {
		int times = alike(said, i, count);

		out->correct[n - 1] += times < most[i] ? times : most[i];
		i += times;
	}
	out->total[n - 1] += count;
	free(said);
	free(ref);
	free(most);
	return rc;
}

/* The length of the nearest reference, the shorter of two as near. */
static int nearest_length(const struct bag *b, int refs)
{
	int said = words_of(b, 0), best = 0;

	for (int r = 1; r <= refs; r++) {
		int n = words_of(b, r), far = abs(n - said);

		if (r == 1 || far < abs(best - said) ||
		    (far == abs(best - said) && n < best))
			best = n;
	}
	return best;
}

static int count_bleu(const char *said, const nnr__strings *ref,
		      nnr__bleu_counts *out, nnr_error *err)
{
	struct bag b;
	int rc = bag_fill(&b, nnr__tokens_13a, said, ref, err);

	for (int n = 1; n <= N && !rc; n++)
		rc = count_grams(&b, ref->n, n, out, err);
	if (!rc) {
		out->words += words_of(&b, 0);
		out->reference += nearest_length(&b, ref->n);
	}
	bag_release(&b);
	return rc;
}

nnr__bleu nnr__bleu_of(const nnr__bleu_counts *c)
{
	nnr__bleu out = { .brevity = 1 };
	double smooth = 1, sum = 0;

	if (c->words < c->reference)
		out.brevity = c->words ? exp(1 - (double)c->reference /
						 (double)c->words) : 0;
	if (!c->correct[0])
		return out;	/* then no longer one either */
	for (int n = 0; n < N; n++) {
		double total = (double)c->total[n];

		if (!c->total[n])
			return out;	/* no output has so many words */
		if (!c->correct[n])
			smooth *= 2;
		out.precision[n] = c->correct[n]
			? 100 * (double)c->correct[n] / total
			: 100 / (smooth * total);
		sum += log(out.precision[n]);
	}
	out.score = out.brevity * exp(sum / N);
	return out;
}

/* ---- ROUGE-L ---- */

/* Length of the longest common subsequence; row has m + 1 zeros. */
static int common(const int *a, int n, const int *b, int m, int *row)
{
	for (int i = 0; i < n; i++) {
		int corner = 0;		/* row[j] before this word */

		for (int j = 0; j < m; j++) {
			int up = row[j + 1];

			if (a[i] == b[j])
				row[j + 1] = corner + 1;
			else if (row[j] > up)
				row[j + 1] = row[j];
			corner = up;
		}
	}
	return row[m];
}

static double rouge_f(const struct bag *b, int text, int *row)
{
	int n = words_of(b, 0), m = words_of(b, text), same;
	double p, r;

	memset(row, 0, ((size_t)m + 1) * sizeof(*row));
	same = common(b->id, n, b->id + b->start[text], m, row);
	if (!same)
		return 0;
	p = (double)same / n;
	r = (double)same / m;
	return 2 * p * r / (p + r);
}

int nnr__rouge_l(const char *said, const nnr__strings *ref, double *f,
		 nnr_error *err)
{
	struct bag b;
	int rc = bag_fill(&b, nnr__tokens_rouge, said, ref, err);
	int *row = nnr__calloc((size_t)b.words + 1, sizeof(*row));

	if (!rc && !row)
		rc = nnr__fail_memory(err, "words", (size_t)b.words);
	*f = 0;
	for (int r = 1; r <= ref->n && !rc; r++) {
		double one = rouge_f(&b, r, row);
		*f = one > *f ? one : *f;
	}
	free(row);
	bag_release(&b);
	return rc;
}

/* ---- a corpus ---- */

int nnr__texts_add(nnr__texts *t, const char *said, const nnr__strings *ref,
		   nnr_error *err)
{
	nnr__text_item *item;
	int rc;

	if (!nnr__grow(&t->item, &t->cap, (size_t)t->n, sizeof(*t->item)))
		return nnr__fail_memory(err, "texts", (size_t)t->n);
	item = &t->item[t->n];
	memset(item, 0, sizeof(*item));
	rc = count_bleu(said, ref, &item->bleu, err);
	rc = rc ? rc : nnr__rouge_l(said, ref, &item->rouge_l, err);
	t->n += !rc;
	t->references += rc ? 0 : ref->n;
	return rc;
}

void nnr__texts_release(nnr__texts *t)
{
	free(t->item);
	memset(t, 0, sizeof(*t));
}

static void add_counts(nnr__bleu_counts *sum, const nnr__bleu_counts *c)
{
	for (int n = 0; n < N; n++) {
		sum->correct[n] += c->correct[n];
		sum->total[n] += c->total[n];
	}
	sum->words += c->words;
	sum->reference += c->reference;
}

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static void set_interval(nnr__interval *v, double *sample)
{
	const int tail = RESAMPLES / 40;	/* 2.5 % */

	qsort(sample, RESAMPLES, sizeof(*sample), by_value);
	v->low = sample[tail];
	v->high = sample[RESAMPLES - 1 - tail];
}

/* The figures of resample k. */
static void resample(const nnr__texts *t, int k, double *bleu, double *rouge)
{
	nnr__bleu_counts sum = { 0 };

	*rouge = 0;
	for (int i = 0; i < t->n; i++) {
		double at = nnr__rng_uniform(SEED, (uint64_t)k, (uint64_t)i);
		const nnr__text_item *item = &t->item[(int)(at * t->n)];

		add_counts(&sum, &item->bleu);
		*rouge += item->rouge_l;
	}
	*bleu = nnr__bleu_of(&sum).score;
	*rouge /= t->n;
}

int nnr__texts_scores(const nnr__texts *t, nnr__text_scores *out,
		      nnr_error *err)
{
	double *bleu, *rouge;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	out->resamples = RESAMPLES;
	if (!t->n)
		return 0;
	for (int i = 0; i < t->n; i++) {
		add_counts(&out->counts, &t->item[i].bleu);
		out->rouge_l.value += t->item[i].rouge_l;
	}
	out->rouge_l.value /= t->n;
	out->parts = nnr__bleu_of(&out->counts);
	out->bleu.value = out->parts.score;
	bleu = nnr__calloc(RESAMPLES, sizeof(*bleu));
	rouge = nnr__calloc(RESAMPLES, sizeof(*rouge));
	if (!bleu || !rouge)
		rc = nnr__fail_memory(err, "resamples", RESAMPLES);
	for (int k = 0; k < RESAMPLES && !rc; k++)
		resample(t, k, &bleu[k], &rouge[k]);
	if (!rc) {
		set_interval(&out->bleu, bleu);
		set_interval(&out->rouge_l, rouge);
	}
	free(bleu);
	free(rouge);
	return rc;
}
