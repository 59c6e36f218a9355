/* SPDX-License-Identifier: Apache-2.0
 *
 * The figures of src/eval against scipy and scikit-learn
 * (tests/golden/metrics) and by hand; the report and its table.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/eval.h"

static void near(double a, double b)
{
	if (!(fabs(a - b) <= 1e-9 * (1 + fabs(b))))
		fail_msg("%.17g is not %.17g", a, b);
}

static double num(const nnr__jnode *obj, const char *key)
{
	const nnr__jnode *n = nnr__json_get(obj, key);

	assert_non_null(n);
	return n->num;
}

static void check_rate(const nnr__jnode *c)
{
	nnr__rate r = nnr__rate_of((int)num(c, "hits"), (int)num(c, "n"));

	near(r.value, num(c, "hits") / num(c, "n"));
	near(r.low, num(c, "low"));
	near(r.high, num(c, "high"));
}

static void check_case(const nnr__jnode *c)
{
	const nnr__jnode *target = nnr__json_get(c, "target")->child;
	const nnr__jnode *said = nnr__json_get(c, "said")->child;
	const nnr__jnode *row = nnr__json_get(c, "scores")->child;
	nnr__tally t;

	assert_int_equal(nnr__tally_init(&t, (int)num(c, "labels"), NULL), 0);
	for (; target; target = target->next) {
		double score[16];
		int n = 0;
		for (const nnr__jnode *s = row->child; s; s = s->next)
			score[n++] = s->num;
		nnr__tally_add(&t, &(nnr__outcome){
			.target = (int)target->num, .label = (int)said->num,
			.right = (int)target->num == (int)said->num,
			.agreement = NAN,
			.score = score });
		said = said->next;
		row = row->next;
	}
	nnr__rate r = nnr__rate_of(t.hits, t.items);
	assert_int_equal(t.hits, (int)num(c, "hits"));
	near(r.low, num(c, "low"));
	near(r.high, num(c, "high"));
	near(nnr__macro_f1(&t), num(c, "macro_f1"));
	near(nnr__nll(&t), num(c, "nll"));
	near(nnr__brier(&t), num(c, "brier"));
	near(nnr__ece(&t), num(c, "ece"));
	assert_true(isnan(nnr__agreement(&t)));
	nnr__tally_release(&t);
}

static void test_golden(void **state)
{
	const char *path = "tests/golden/metrics/metrics.json";
	nnr__arena arena = { 0 };
	nnr__buf text = { 0 };
	const nnr__jnode *root;
	nnr_error err;

	(void)state;
	if (nnr__file_read(&text, path, 1 << 20, &err) ||
	    nnr__json_parse(&arena, &root, path, text.p, text.len, &err))
		fail_msg("%s", err.message);
	for (const nnr__jnode *c = nnr__json_get(root, "rates")->child; c;
	     c = c->next)
		check_rate(c);
	for (const nnr__jnode *c = nnr__json_get(root, "cases")->child; c;
	     c = c->next)
		check_case(c);
	nnr__arena_release(&arena);
	nnr__buf_release(&text);
}

static void test_nothing(void **state)
{
	nnr__tally t;
	int count;

	(void)state;
	assert_true(isnan(nnr__rate_of(0, 0).value));
	assert_true(isnan(nnr__rate_of(0, 0).low));
	assert_int_equal(nnr__tally_init(&t, 2, NULL), 0);
	assert_true(isnan(nnr__nll(&t)) && isnan(nnr__ece(&t)));
	assert_true(isnan(nnr__macro_f1(&t)));
	nnr__tally_release(&t);
	assert_null(nnr__most_common(NULL, 0, &count));
}

/* Two labels with p = 3/4 and 1/4, target the second: by hand. */
static void test_by_hand(void **state)
{
	double score[] = { log(3) - 7, -7 };
	nnr__tally t;

	(void)state;
	assert_int_equal(nnr__tally_init(&t, 2, NULL), 0);
	nnr__tally_add(&t, &(nnr__outcome){ .target = 1, .label = 0,
					    .agreement = 0.6,
					    .score = score });
	nnr__tally_add(&t, &(nnr__outcome){ .target = 1, .label = -1,
					    .samples = 5, .unread = 2,
					    .agreement = 0.4 });
	near(nnr__nll(&t), log(4));
	near(nnr__brier(&t), 2 * 0.75 * 0.75);
	near(nnr__ece(&t), 0.75);
	near(nnr__agreement(&t), 0.5);
	near(nnr__macro_f1(&t), 0);
	assert_int_equal(t.confusion[1 * 3 + 0], 1);
	assert_int_equal(t.confusion[1 * 3 + 2], 1);
	assert_int_equal(t.samples, 5);
	assert_int_equal(t.unread, 2);
	nnr__tally_release(&t);
}

static void test_values(void **state)
{
	char *two[] = { "a", "b" };

	(void)state;
	assert_true(nnr__same_value(NNR__T_NUMBER, "70,000", "70000"));
	assert_true(nnr__same_value(NNR__T_NUMBER, " 18.00", "18"));
	assert_true(nnr__same_value(NNR__T_INT, "-3", "-3.0"));
	assert_false(nnr__same_value(NNR__T_NUMBER, "18", "18.5"));
	assert_false(nnr__same_value(NNR__T_NUMBER, "18 eggs", "18"));
	assert_true(nnr__same_value(NNR__T_STRING, " a b ", "a b"));
	assert_false(nnr__same_value(NNR__T_STRING, "1.0", "1"));
	assert_true(nnr__same_any(NNR__T_STRING, &(nnr__strings){ two, 2 },
				  "b "));
	assert_false(nnr__same_any(NNR__T_STRING, &(nnr__strings){ two, 2 },
				   "c"));
	assert_false(nnr__same_any(NNR__T_STRING, &(nnr__strings){ two, 2 },
				   NULL));
	assert_false(nnr__same_value(NNR__T_NUMBER, "", "0"));
}

static void test_most_common(void **state)
{
	const char *text[] = { "c", "b", "a ", "b", "a", "d" };
	int count;

	(void)state;
	assert_string_equal(nnr__most_common(text, 6, &count), "b");
	assert_int_equal(count, 2);
	assert_string_equal(nnr__most_common(text, 1, &count), "c");
	assert_int_equal(count, 1);
}

static void test_prediction(void **state)
{
	char *names[] = { "no", "y\"es" }, *many = "70,000";
	double score[] = { -1.5, -0.25 };
	nnr__field label = { .name = "label", .type = NNR__T_LABEL,
			     .labels = { names, 2 } };
	nnr__field number = { .name = "n", .type = NNR__T_NUMBER };
	nnr__field text = { .name = "t", .type = NNR__T_STRING };
	nnr__strings no = { names, 1 }, far = { &many, 1 };
	nnr__buf b = { 0 };

	(void)state;
	nnr__prediction_line(3, &label, &no, false, &(nnr__answer){
		.value = names[1], .score = score, .scores = 2 }, &b);
	assert_string_equal(b.p, "{\"item\":3,\"target\":\"no\","
			    "\"prediction\":\"y\\\"es\",\"scores\":"
			    "{\"no\":-1.5,\"y\\\"es\":-0.25}}\n");
	nnr__buf_clear(&b);
	nnr__prediction_line(0, &number, &far, false, &(nnr__answer){ 0 }, &b);
	assert_string_equal(b.p, "{\"item\":0,\"target\":70000,"
			    "\"prediction\":null}\n");
	nnr__buf_clear(&b);
	nnr__prediction_line(1, &text, &(nnr__strings){ names, 2 }, true,
			     &(nnr__answer){ .value = names[0] }, &b);
	assert_string_equal(b.p, "{\"item\":1,\"target\":[\"no\","
			    "\"y\\\"es\"],\"prediction\":\"no\"}\n");
	nnr__buf_release(&b);
}

static nnr__report sample(const nnr__tally *t, const nnr__field *output)
{
	static char *set[] = { "in.demos.count=4" };
	static const nnr__strings sets = { set, 1 };
	static const char *const where[] = { "task=a", "b=\"" };

	return (nnr__report){
		.program = "a-program-with-a-name-that-is-rather-long",
		.program_hash = "p", .set = &sets, .model = "m",
		.model_hash = "h", .data = "data.tsv", .data_hash = "d",
		.where = where, .wheres = 2, .columns = "a,b", .limit = 5,
		.sample = 4, .mode = "fast", .cpu = "cpu",
		.features = "avx2", .kernel = "avx2", .threads = 2,
		.output = output, .tally = t, .majority = "yes",
		.majority_hits = 1, .seconds = 1.5, .peak_bytes = 1000,
		.prompt_tokens = 30 };
}

/* The report parses, and no line of the table is over 80 columns. */
static void check_report(const nnr__report *r, const char *measure)
{
	nnr__arena arena = { 0 };
	nnr__buf b = { 0 };
	const nnr__jnode *root;
	nnr_error err;

	nnr__report_json(r, &b);
	if (nnr__json_parse(&arena, &root, "report", b.p, b.len, &err))
		fail_msg("%s", err.message);
	root = nnr__json_get(root, "results");
	assert_non_null(nnr__json_get(root, measure));
	assert_non_null(nnr__json_get(root, "majority"));
	nnr__arena_release(&arena);
	nnr__buf_clear(&b);
	nnr__report_text(r, &b);
	for (char *s = b.p, *end; *s; s = end + 1) {
		end = strchr(s, '\n');
		assert_non_null(end);
		assert_in_range(end - s, 1, 80);
	}
	nnr__buf_release(&b);
}

static void test_report(void **state)
{
	char *two[] = { "a label of many, many letters", "yes" }, *many[40];
	nnr__field label = { .name = "label", .type = NNR__T_LABEL,
			     .labels = { two, 2 } };
	nnr__field number = { .name = "n", .type = NNR__T_NUMBER };
	nnr__report r;
	nnr__tally t;

	(void)state;
	assert_int_equal(nnr__tally_init(&t, 2, NULL), 0);
	nnr__tally_add(&t, &(nnr__outcome){ .target = 1, .label = 1,
					    .right = true,
					    .agreement = NAN });
	r = sample(&t, &label);
	check_report(&r, "accuracy");
	nnr__tally_release(&t);

	for (int i = 0; i < 40; i++)
		many[i] = two[1];
	label.labels = (nnr__strings){ many, 40 };
	assert_int_equal(nnr__tally_init(&t, 40, NULL), 0);
	r = sample(&t, &label);
	check_report(&r, "accuracy");
	nnr__tally_release(&t);

	assert_int_equal(nnr__tally_init(&t, 0, NULL), 0);
	nnr__tally_add(&t, &(nnr__outcome){ .target = -1, .label = -1,
					    .samples = 2, .unread = 1,
					    .agreement = 0.5 });
	r = sample(&t, &number);
	check_report(&r, "exact_match");
	r.texts = &(nnr__text_scores){ .bleu = { 100, 99, 100 },
				       .resamples = 1000 };
	r.references = 1000000;
	check_report(&r, "bleu");
	check_report(&r, "rouge_l");
	nnr__tally_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_most_common),
		cmocka_unit_test(test_prediction),
		cmocka_unit_test(test_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
