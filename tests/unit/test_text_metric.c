/* SPDX-License-Identifier: Apache-2.0
 *
 * BLEU and ROUGE-L against sacreBLEU and rouge-score
 * (tests/golden/text_metrics.json) and by hand; their intervals.
 */
#include <math.h>

#include "test.h"

#include "eval/texts.h"

/* Counts are equal, so both sides are the same few logs, quotients and one
 * exp of doubles, in perhaps another order: parts of 1e-15 each. */
static void near(double a, double b)
{
	if (!(fabs(a - b) <= 1e-12 * (1 + fabs(b))))
		fail_msg("%.17g is not %.17g", a, b);
}

static const nnr__jnode *get(const nnr__jnode *obj, const char *key)
{
	const nnr__jnode *n = nnr__json_get(obj, key);

	if (!n)
		fail_msg("no `%s`", key);
	return n;
}

/* Member i of a list. */
static const nnr__jnode *at(const nnr__jnode *list, int i)
{
	const nnr__jnode *n = list->child;

	for (; n && i > 0; i--)
		n = n->next;
	assert_non_null(n);
	return n;
}

static int open_golden(void **state)
{
	static nnr__arena arena;
	const char *path = "tests/golden/text_metrics.json";
	nnr__buf text = { 0 };
	const nnr__jnode *root;
	nnr_error err;

	if (nnr__file_read(&text, path, 1 << 20, &err) ||
	    nnr__json_parse(&arena, &root, path, text.p, text.len, &err)) {
		print_error("%s\n", err.message);
		return -1;
	}
	nnr__buf_release(&text);
	*state = (void *)(uintptr_t)root;
	return 0;
}

/* The first `most` references of a line, 0: all; at most 8. */
static nnr__strings references(const nnr__jnode *line, int most, char **room)
{
	nnr__strings out = { room, 0 };
	const nnr__jnode *r = get(line, "references")->child;

	for (; r && (!most || out.n < most); r = r->next) {
		assert_true(out.n < 8);
		room[out.n++] = (char *)(uintptr_t)r->text;
	}
	return out;
}

static void test_tokens(void **state)
{
	int lines = 0;

	for (const nnr__jnode *c = get(*state, "lines")->child; c;
	     c = c->next, lines++) {
		nnr__buf out = { 0 };

		nnr__tokens_13a(get(c, "hypothesis")->text, &out);
		assert_string_equal(out.p ? out.p : "",
				    get(c, "tokens")->text);
		nnr__buf_release(&out);
	}
	assert_true(lines > 20);
}

static void check_corpus(const nnr__jnode *root, const nnr__jnode *c)
{
	int most = (int)get(c, "references")->num;
	nnr__texts t = { 0 };
	nnr__text_scores s;
	char *room[8];

	for (const nnr__jnode *i = get(c, "lines")->child; i; i = i->next) {
		const nnr__jnode *line = at(get(root, "lines"), (int)i->num);
		nnr__strings ref = references(line, most, room);

		assert_int_equal(nnr__texts_add(&t, get(line, "hypothesis")
						->text, &ref, NULL), 0);
	}
	assert_int_equal(nnr__texts_scores(&t, &s, NULL), 0);
	for (int n = 0; n < NNR__BLEU_N; n++) {
		assert_int_equal(s.counts.correct[n],
				 at(get(c, "counts"), n)->num);
		assert_int_equal(s.counts.total[n],
				 at(get(c, "totals"), n)->num);
		near(s.parts.precision[n], at(get(c, "precisions"), n)->num);
	}
	assert_int_equal(s.counts.words, get(c, "sys_len")->num);
	assert_int_equal(s.counts.reference, get(c, "ref_len")->num);
	near(s.parts.brevity, get(c, "bp")->num);
	near(s.bleu.value, get(c, "score")->num);
	nnr__texts_release(&t);
}

static void test_bleu(void **state)
{
	int corpora = 0;

	for (const nnr__jnode *c = get(*state, "bleu")->child; c;
	     c = c->next, corpora++)
		check_corpus(*state, c);
	assert_true(corpora > 5);
}

static void test_rouge(void **state)
{
	const nnr__jnode *line = get(*state, "lines")->child;
	const nnr__jnode *c = get(*state, "rouge_l")->child;
	char *room[8];

	assert_non_null(c);
	for (; c; c = c->next, line = line->next) {
		const char *said = get(line, "hypothesis")->text;
		nnr__strings ref = references(line, 1, room);
		double f;

		assert_int_equal(nnr__rouge_l(said, &ref, &f, NULL), 0);
		near(f, at(get(c, "first"), 2)->num);
		ref = references(line, 0, room);
		assert_int_equal(nnr__rouge_l(said, &ref, &f, NULL), 0);
		near(f, at(get(c, "best"), 2)->num);
	}
	assert_null(line);
}

static void check_words(void (*cut)(const char *, nnr__buf *), const char *s,
			const char *want)
{
	nnr__buf out = { 0 };

	cut(s, &out);
	assert_string_equal(out.p ? out.p : "", want);
	nnr__buf_release(&out);
}

/* What the lines of the golden file do not have; by the definition. */
static void test_words_by_hand(void **state)
{
	(void)state;
	/* spaces at the end go first, so this dash joins nothing */
	check_words(nnr__tokens_13a, "a-\n", "a-");
	check_words(nnr__tokens_13a, "a-\nb <skipped>c\nd", "ab c d");
	check_words(nnr__tokens_13a, "a\xc2\xa0" "b\x1c" "c", "a b c");
	/* what one replacement makes the next one may take, never itself */
	check_words(nnr__tokens_13a, "&amp;lt;", "<");
	check_words(nnr__tokens_13a, "&amp;quot;", "& quot ;");
	check_words(nnr__tokens_13a, "...,1.,.", ". . . ,1 . , .");
	check_words(nnr__tokens_13a, "1-2-a-3 \xc3\xa9.5", "1 - 2 - a-3 "
		    "\xc3\xa9 . 5");
	check_words(nnr__tokens_13a, " \t\n", "");
	check_words(nnr__tokens_rouge, "It's 3.5 caf\xc3\xa9-X_y",
		    "it s 3 5 caf x y");
	/* the Kelvin sign is a k, a dotted capital I an i and a dot */
	check_words(nnr__tokens_rouge, "\xe2\x84\xaa" "B \xc4\xb0" "A",
		    "kb i a");
	check_words(nnr__tokens_rouge, "--", "");
}

static void add(nnr__texts *t, const char *said, const char *wanted)
{
	char *one = (char *)(uintptr_t)wanted;

	assert_int_equal(nnr__texts_add(t, said, &(nnr__strings){ &one, 1 },
					NULL), 0);
}

/* Items that are all alike leave no doubt. */
static void test_no_spread(void **state)
{
	nnr__texts t = { 0 };
	nnr__text_scores s;

	(void)state;
	assert_int_equal(nnr__texts_scores(&t, &s, NULL), 0);
	assert_true(s.bleu.value == 0 && s.rouge_l.high == 0);
	for (int i = 0; i < 9; i++)
		add(&t, "a b c d x", "a b c d e f");
	assert_int_equal(nnr__texts_scores(&t, &s, NULL), 0);
	near(s.bleu.value, 100 * exp(1 - 6.0 / 5) *
			   pow(4.0 / 5 * 3 / 4 * 2 / 3 * 1 / 2, 0.25));
	near(s.bleu.low, s.bleu.value);
	near(s.bleu.high, s.bleu.value);
	near(s.rouge_l.value, 2 * (4.0 / 5) * (4.0 / 6) / (4.0 / 5 + 4.0 / 6));
	near(s.rouge_l.low, s.rouge_l.value);
	near(s.rouge_l.high, s.rouge_l.value);
	assert_int_equal(t.references, 9);
	nnr__texts_release(&t);
}

/* 120 of 400 items are right: the interval of their mean is the binomial
 * one.  The 2.5th percentile of 1000 draws has a standard error of 0.085
 * deviations of the mean, sqrt(0.025 0.975 / 1000) over the normal density
 * there: 2 of them (the seed is fixed) and the steps of 1/400, less than the
 * 0.3 deviations to the 5th percentile. */
static void test_spread(void **state)
{
	double sd = sqrt(0.3 * 0.7 / 400), off = 2 * 0.085 * sd + 1.0 / 400;
	double half = 1.959964 * sd;
	nnr__text_scores s, again;
	nnr__texts t = { 0 };

	(void)state;
	for (int i = 0; i < 400; i++)
		add(&t, "a b c d", i % 10 < 3 ? "a b c d" : "e f g h");
	assert_int_equal(nnr__texts_scores(&t, &s, NULL), 0);
	near(s.rouge_l.value, 0.3);
	assert_true(fabs(s.rouge_l.low - (0.3 - half)) < off);
	assert_true(fabs(s.rouge_l.high - (0.3 + half)) < off);
	/* every precision is the share of right items: so is BLEU */
	near(s.bleu.value, 30);
	near(s.bleu.low, 100 * s.rouge_l.low);
	near(s.bleu.high, 100 * s.rouge_l.high);
	assert_int_equal(nnr__texts_scores(&t, &again, NULL), 0);
	assert_memory_equal(&s.bleu, &again.bleu, sizeof(s.bleu));
	nnr__texts_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_bleu),
		cmocka_unit_test(test_rouge),
		cmocka_unit_test(test_words_by_hand),
		cmocka_unit_test(test_no_spread),
		cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests(tests, open_golden, NULL);
}
