/* SPDX-License-Identifier: Apache-2.0
 *
 * table.c: an evaluation for people: what was measured, with its interval
 * and the majority class under it, then what it cost.  At most 80 columns;
 * a confusion matrix that would be wider is left to the JSON report.
 */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

#define NAME 16		/* columns of a row's name */
#define WIDTH 80

/* At most `columns` code points of s, "~" for what is cut; how many. */
static int cut(nnr__buf *b, const char *s, int columns)
{
	size_t n = strlen(s), at = 0, len, keep = 0;
	int points = 0;

	for (; at < n; at += len, points++) {
		nnr__utf8_next(s + at, n - at, &len);
		if (points < columns - 1)
			keep = at + len;
	}
	nnr__buf_add(b, s, points > columns ? keep : n);
	if (points > columns)
		nnr__buf_addc(b, '~');
	return points > columns ? columns : points;
}

static void spaces(nnr__buf *b, int n)
{
	for (; n > 0; n--)
		nnr__buf_addc(b, ' ');
}

/* s at the right end of `columns`. */
static void right(nnr__buf *b, const char *s, int columns)
{
	nnr__buf text = { 0 };
	int points = cut(&text, s, columns);

	spaces(b, columns - points);
	nnr__buf_add(b, text.p ? text.p : "", text.len);
	nnr__buf_release(&text);
}

static void name(nnr__buf *b, const char *s)
{
	nnr__buf_adds(b, "  ");
	spaces(b, NAME + 1 - cut(b, s, NAME));
}

static void rate(nnr__buf *b, nnr__rate r, const char *note)
{
	nnr__buf_addf(b, "%6.2f %%   %6.2f .. %6.2f   %d of %d",
		      100 * r.value, 100 * r.low, 100 * r.high, r.hits, r.n);
	if (note) {
		nnr__buf_adds(b, "   ");
		cut(b, note, 16);
	}
	nnr__buf_addc(b, '\n');
}

static void figure(nnr__buf *b, const char *what, double v, const char *note)
{
	if (isnan(v))
		return;
	name(b, what);
	nnr__buf_addf(b, "%6.4f%s%s\n", v, *note ? "     " : "", note);
}

static void texts(const nnr__report *r, nnr__buf *b)
{
	const nnr__interval *bleu = &r->texts->bleu;
	const nnr__interval *rouge = &r->texts->rouge_l;

	name(b, "BLEU");
	nnr__buf_addf(b, "%6.2f     %6.2f .. %6.2f   %d reference%s\n",
		      bleu->value, bleu->low, bleu->high, r->references,
		      r->references == 1 ? "" : "s");
	name(b, "ROUGE-L");
	nnr__buf_addf(b, "%6.4f     %6.4f .. %6.4f   of 1\n", rouge->value,
		      rouge->low, rouge->high);
}

static int digits(int v)
{
	int n = 1;

	for (; v >= 10; v /= 10)
		n++;
	return n;
}

static void confusion(const nnr__report *r, nnr__buf *b)
{
	const nnr__tally *t = r->tally;
	int n = t->labels, wide = n + 1, cell = digits(t->items) + 2;
	int room = WIDTH - NAME - 3;

	if (cell * wide > room) {
		name(b, "confusion");
		nnr__buf_addf(b, "%d labels: see --json\n", n);
		return;
	}
	while (cell < 12 && (cell + 1) * wide <= room)
		cell++;
	name(b, "target \\ answer");
	for (int o = 0; o < wide; o++) {
		nnr__buf_addc(b, ' ');
		right(b, o < n ? r->output->labels.s[o] : "(none)", cell - 1);
	}
	nnr__buf_addc(b, '\n');
	for (int c = 0; c < n; c++) {
		name(b, r->output->labels.s[c]);
		for (int o = 0; o < wide; o++)
			nnr__buf_addf(b, "%*d", cell,
				      t->confusion[c * wide + o]);
		nnr__buf_addc(b, '\n');
	}
}

static void cost(const nnr__report *r, nnr__buf *b)
{
	double s = r->seconds > 0 ? r->seconds : 1e-9;

	name(b, "tokens");
	nnr__buf_addf(b, "%llu given (%llu shared)  %llu generated\n",
		      (unsigned long long)(r->prompt_tokens +
					   r->shared_tokens),
		      (unsigned long long)r->shared_tokens,
		      (unsigned long long)r->made_tokens);
	name(b, "time, memory");
	nnr__buf_addf(b, "%.1f s  %.1f items/s  peak %.0f MB\n", r->seconds,
		      r->tally->items / s, (double)r->peak_bytes / 1e6);
	name(b, "ran");
	nnr__buf_addf(b, "%s on %s, %d thread%s\n", r->mode, r->kernel,
		      r->threads, r->threads == 1 ? "" : "s");
}

void nnr__report_text(const nnr__report *r, nnr__buf *b)
{
	const nnr__tally *t = r->tally;

	cut(b, r->program, 30);
	nnr__buf_addf(b, ": %d items of ", t->items);
	cut(b, r->data, 30);
	nnr__buf_addc(b, '\n');
	spaces(b, NAME + 3);
	nnr__buf_adds(b, "   value   95 % interval\n");
	name(b, t->labels ? "accuracy" : "exact match");
	rate(b, nnr__rate_of(t->hits, t->items), NULL);
	name(b, t->labels ? "majority class" : "commonest answer");
	rate(b, nnr__rate_of(r->majority_hits, t->items), r->majority);
	if (r->texts)
		texts(r, b);
	if (t->samples) {
		name(b, "parse failures");
		rate(b, nnr__rate_of(t->unread, t->samples), NULL);
	}
	figure(b, "agreement", nnr__agreement(t), "share of the samples");
	if (t->labels) {
		figure(b, "macro-F1", nnr__macro_f1(t), "");
		figure(b, "NLL", nnr__nll(t), "nats");
		figure(b, "Brier", nnr__brier(t), "0 to 2");
		figure(b, "ECE", nnr__ece(t), "15 bins");
		confusion(r, b);
	}
	if (r->rebound) {
		name(b, "rebound");
		nnr__buf_addf(b, "made on the backbone %.16s...\n",
			      r->rebound);
	}
	if (r->untrained) {
		name(b, "untrained");
		nnr__buf_adds(b, "learnable tensors as they begin\n");
	}
	cost(r, b);
}
