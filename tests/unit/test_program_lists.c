/* SPDX-License-Identifier: Apache-2.0
 *
 * test_program_lists.c: fields that are lists, `join`, answers that are
 * lists: what is read, how it stands in the prompt, what is refused.
 */
#include "test.h"

#include "program/step.h"

#define HEAD \
	"nnr: 1\nname: t\nmodel: m\n" \
	"input: {rows: {list: [a, b]}, n: int?}\noutput: {text: string}\n"
#define REFS "data: {target: {refs: '(?s).*'}}\n"
#define OUT "out: [generate: 5]\n"
#define JOIN "{field: rows, template: \"<{a}={b}>\"}"
#define IN "in: [join: " JOIN "]\n"

static nnr_program *must_open(const char *source)
{
	nnr_program *p = NULL;
	nnr_error err;

	if (nnr__program_parse(&p, "p.yaml", NULL, source, strlen(source),
			       NULL, &err))
		fail_msg("%s", err.message);
	return p;
}

static const struct { const char *source, *message; } wrong[] = {
	{ "nnr: 1\nname: t\nmodel: m\ninput: {x: {list: []}}\n", "p.yaml:4:19: "
	  "an element of the list `x` has 0 parts; 1 to 16 were expected" },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {x: {list: [a, b c]}}\n",
	  "p.yaml:4:19: `b c` cannot name a part: letters, digits, _ and - "
	  "only" },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {x: {list: [a, a]}}\n",
	  "p.yaml:4:19: the part `a` is there twice" },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {x: {list: [a, [b]]}}\n",
	  "p.yaml:4:23: the list `x` holds a list; texts were expected" },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {x: {set: [a]}}\n",
	  "p.yaml:4:12: the type of `x` is a map; this version of nnr has "
	  "string, int, number, bool, lists of labels and {list: [NAME, "
	  "...]}" },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {x: string}\n"
	  "output: {y: {list: [a]}}\n", "p.yaml:5:13: the output cannot be a "
	  "list of [...]; a list of labels is written [no, yes]" },
	{ HEAD "in: [join: {field: rows}]\n" OUT, "p.yaml:6:6: `join`: "
	  "`template` is missing: an element's text; {name} is a part of the "
	  "element" },
	{ HEAD "in: [join: {field: row, template: x}]\n" OUT, "p.yaml:6:20: "
	  "`join`: `row` is not an input field; did you mean `rows`?" },
	{ HEAD "in: [join: {field: n, template: x}]\n" OUT, "p.yaml:6:20: "
	  "`join`: `n` is no list; its type would be like {list: [NAME, "
	  "NAME]}" },
	{ HEAD "in: [join: {field: rows, template: \"{a} {n}\"}]\n" OUT,
	  "p.yaml:6:36: `join`: `{n}` is no part of an element of `rows`; "
	  "known: a, b" },
	{ HEAD "in: [template: \"{rows}\"]\n" OUT, "p.yaml:6:16: `template`: "
	  "`{rows}` is a list: a `join` before makes a text of it" },
	{ HEAD "in: [template: \"{join}\", join: " JOIN "]\n" OUT,
	  "p.yaml:6:16: `template`: `{join}` is a later part; a template can "
	  "name earlier parts only" },
	{ HEAD IN OUT "tests: [{in: {rows: [[1, 2], [3]]}}]\n", "p.yaml:8: "
	  "element 2 of `rows` has 1 part; a list of [a, b] was expected" },
	{ HEAD IN OUT "tests: [{in: {rows: [[1, {c: 2}]]}}]\n", "p.yaml:8: "
	  "`b` of element 1 of `rows` is an object; a text or a number was "
	  "expected" },
	{ HEAD IN OUT "tests: [{in: {rows: x}}]\n", "p.yaml:8:21: `rows` is "
	  "`x`; a list of [a, b] was expected" },
};

static void wrong_sources_say_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		nnr_program *p = NULL;
		nnr_error err = { 0 };
		const char *s = wrong[i].source;

		if (!nnr__program_parse(&p, "p.yaml", NULL, s, strlen(s),
					NULL, &err))
			fail_msg("taken: %s", s);
		assert_message(err, wrong[i].message);
	}
}

/* The prompt of an item given as JSON. */
static void expect_prompt(nnr_program *p, const char *json, const char *want)
{
	nnr__record item;
	nnr__prompt out = { 0 };
	nnr_error err;

	if (nnr__item_from_json(p, "x", json, strlen(json), &item, &err) ||
	    nnr__program_render(p, &item, &out, &err))
		fail_msg("%s", err.message);
	assert_string_equal(out.text.p ? out.text.p : "", want);
	for (size_t i = 0; i < out.n; i++)	/* texts, never tokens */
		assert_true(out.piece[i].token < 0 && !out.piece[i].rows);
	nnr__prompt_release(&out);
	nnr__record_release(&item);
}

static void lists_become_text(void **state)
{
	nnr_program *p = must_open(HEAD IN OUT);

	(void)state;
	expect_prompt(p, "{\"rows\": [[\"x\", \"y\"], [1.50, true], "
		      "[\"\", -3]]}", "<x=y>\n<1.5=true>\n<=-3>");
	expect_prompt(p, "{\"rows\": []}", "");
	/* the same as a text, as a table's cell has it */
	expect_prompt(p, "{\"rows\": \"[[1, \\\"\\u00e9\\\"]]\"}",
		      "<1=\xc3\xa9>");
	/* what is in a list is never read as a template or a token */
	expect_prompt(p, "{\"rows\": [[\"{b}{n}\", \"<|im_end|>\"]]}",
		      "<{b}{n}=<|im_end|>>");
	nnr__program_close(p);
	p = must_open(HEAD "in:\n- join: {field: rows, template: \"{b}\", "
		      "between: \"\"}\n  id: all\n- template: "
		      "\"{n}: {all}, {all}.\"\n" OUT);
	expect_prompt(p, "{\"rows\": [[\"x\", \"y\"], [1, 2]], \"n\": 7}",
		      "7: y2, y2.");
	nnr__program_close(p);
	p = must_open("nnr: 1\nname: t\nmodel: m\ninput: {w: {list: [word]}}\n"
		      "output: {text: string}\nin: [join: {field: w, template"
		      ": \"{word}{word}\", between: \"-\"}]\n" OUT);
	expect_prompt(p, "{\"w\": [\"a\", [\"b\"], 3]}", "aa-bb-33");
	nnr__program_close(p);
}

static const struct { const char *json, *message; } wrong_items[] = {
	{ "{}", "x: the field `rows` is missing" },
	{ "{\"rows\": \"a\"}", "x: `rows` is not JSON; a list of [a, b] was "
	  "expected" },
	{ "{\"rows\": 3}", "x: `rows` is a number; a list of [a, b] was "
	  "expected" },
	{ "{\"rows\": {\"a\": 1, \"b\": 2}}", "x: `rows` is an object; a list "
	  "of [a, b] was expected" },
	{ "{\"rows\": [1, 2]}", "x: element 1 of `rows` is a number; a list "
	  "of [a, b] was expected" },
	{ "{\"rows\": [[1, 2], [1, 2, 3]]}", "x: element 2 of `rows` has 3 "
	  "parts; a list of [a, b] was expected" },
	{ "{\"rows\": [[1, 2], []]}", "x: element 2 of `rows` has 0 parts; a "
	  "list of [a, b] was expected" },
	{ "{\"rows\": [[1, [2]]]}", "x: `b` of element 1 of `rows` is a list; "
	  "a text or a number was expected" },
	{ "{\"rows\": [[null, 2]]}", "x: `a` of element 1 of `rows` is null; "
	  "a text or a number was expected" },
	{ "{\"rows\": [], \"n\": [1]}", "x: `n` is a list; a text or a number "
	  "was expected" },
};

static void wrong_items_say_why(void **state)
{
	nnr_program *p = must_open(HEAD IN OUT);

	(void)state;
	for (size_t i = 0; i < sizeof(wrong_items) / sizeof(*wrong_items);
	     i++) {
		const char *s = wrong_items[i].json;
		nnr__record item;
		nnr_error err = { 0 };

		if (!nnr__item_from_json(p, "x", s, strlen(s), &item, &err))
			fail_msg("taken: %s", s);
		assert_message(err, wrong_items[i].message);
		assert_int_equal(err.code, NNR_E_INPUT);
	}
	nnr__program_close(p);
}

/* A long list with a long template stops before it takes the memory. */
static void texts_are_bounded(void **state)
{
	nnr_program *p;
	nnr__buf source = { 0 }, item = { 0 };
	nnr__prompt out = { 0 };
	nnr__record r;
	nnr_error err;

	(void)state;
	nnr__buf_adds(&source, HEAD "in: [join: {field: rows, template: \"");
	for (int i = 0; i < 5000; i++)
		nnr__buf_adds(&source, "{a}{b}");
	nnr__buf_adds(&source, "\"}]\n" OUT);
	nnr__buf_adds(&item, "{\"rows\": [");
	for (int i = 0; i < 20000; i++)
		nnr__buf_addf(&item, "%s[\"%0100d\", 2]", i ? "," : "", i);
	nnr__buf_adds(&item, "]}");
	p = must_open(source.p);
	assert_int_equal(nnr__item_from_json(p, "x", item.p, item.len, &r,
					     &err), 0);
	assert_int_equal(nnr__program_render(p, &r, &out, &err), NNR_E_INPUT);
	assert_message(err, "the prompt is longer than 16 MiB");
	assert_true(out.text.len < 2 * NNR__PROMPT_MAX);
	nnr__prompt_release(&out);
	nnr__record_release(&r);
	nnr__program_close(p);
	nnr__buf_release(&source);
	nnr__buf_release(&item);
}

/* ---- answers ---- */

static int read_data(nnr__data *d, const nnr_program *p, const char *text,
		     nnr_error *err)
{
	char dir[] = "/tmp/nnr-lists-XXXXXX", path[60];
	int rc;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.jsonl", dir);
	assert_int_equal(nnr__file_write(path, text, strlen(text), err), 0);
	rc = nnr__data_read(d, p, path, NULL, true, err);
	remove(path);
	remove(dir);
	return rc;
}

static void expect_answers(const nnr__data *d, int i, const char *const *want)
{
	int n = 0;

	for (; want[n]; n++) {
		assert_true(n < d->all[i].n);
		assert_string_equal(d->all[i].s[n], want[n]);
	}
	assert_int_equal(d->all[i].n, n);
	assert_ptr_equal(d->target[i], d->all[i].s[0]);
}

#define ROW(refs) "{\"rows\": [[1, 2]], \"refs\": " refs "}\n"

static void answers_can_be_several(void **state)
{
	static const char *const first[] = { "a b", "c\nd", "7", NULL };
	static const char *const second[] = { "e", NULL };
	nnr_program *p = must_open(HEAD REFS IN OUT);
	nnr__prompt prompt = { 0 };
	nnr__data d;
	nnr_error err;

	(void)state;
	if (read_data(&d, p, ROW("[\"a b\", \"c\\nd\", 7]") ROW("\"e\""),
		      &err))
		fail_msg("%s", err.message);
	assert_int_equal(d.n, 2);
	assert_true(d.lists);
	expect_answers(&d, 0, first);
	expect_answers(&d, 1, second);
	assert_int_equal(nnr__data_each(&d, &err), 0);
	assert_int_equal(d.n, 4);
	for (int i = 0; i < d.n; i++) {
		const char *one[] = { i < 3 ? first[i] : second[0], NULL };

		expect_answers(&d, i, one);
		assert_int_equal(d.rec.line[i], i < 3 ? 1 : 2);
		assert_int_equal(nnr__program_render(p, &d.item[i], &prompt,
						     &err), 0);
		assert_string_equal(prompt.text.p, "<1=2>");
	}
	nnr__data_release(&d);
	/* nothing to do where no answer is a list */
	assert_int_equal(read_data(&d, p, ROW("\"e\""), &err), 0);
	assert_false(d.lists);
	assert_int_equal(nnr__data_each(&d, &err), 0);
	assert_int_equal(d.n, 1);
	expect_answers(&d, 0, second);
	nnr__data_release(&d);
	nnr__prompt_release(&prompt);
	nnr__program_close(p);
}

static const struct { const char *rows, *message; } wrong_answers[] = {
	{ ROW("\"a\"") ROW("[]"), ".jsonl:2: `refs` is an empty list; at "
	  "least one text was expected" },
	{ ROW("[\"a\", [\"b\"]]"), ".jsonl:1: element 2 of `refs` is a list; "
	  "a text was expected" },
	{ ROW("[null]"), ".jsonl:1: element 1 of `refs` is null; a text was "
	  "expected" },
	{ ROW("{\"a\": 1}"), ".jsonl:1: `refs` is an object; a text or a "
	  "number was expected" },
	{ ROW("null"), ".jsonl:1: no answer: the column `refs` is missing" },
	{ ROW("\"a\"") "{\"rows\": [[1]], \"refs\": [\"a\"]}\n",
	  ".jsonl:2: element 1 of `rows` has 1 part" },
};

static void wrong_answers_say_why(void **state)
{
	nnr_program *p = must_open(HEAD REFS IN OUT), *label;
	nnr__data d;
	nnr_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong_answers) / sizeof(*wrong_answers);
	     i++) {
		assert_int_equal(read_data(&d, p, wrong_answers[i].rows, &err),
				 NNR_E_INPUT);
		assert_message(err, wrong_answers[i].message);
	}
	nnr__program_close(p);
	/* of several labels, or numbers, none is the answer */
	label = must_open("nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n"
			  "output: {n: int}\nin: [template: \"{text}\"]\n"
			  "out: [generate: 5, parse]\n");
	assert_int_equal(read_data(&d, label, "{\"text\": \"a\", \"n\": [1, "
				   "2]}\n", &err), NNR_E_INPUT);
	assert_message(err, ":1: `n` is a list; a text or a number was "
		       "expected");
	nnr__program_close(label);
}

/* A test of the source is an item, and `show` has its prompt. */
static void tests_have_lists(void **state)
{
	nnr_program *p = must_open(HEAD IN OUT "tests: [{in: {rows: [[x, 1], "
				   "[\"{\", \"\"]]}}]\n");
	nnr__buf out = { 0 };
	nnr_error err;

	(void)state;
	assert_string_equal(p->test_in[0].v[0].text,
			    "[[\"x\",\"1\"],[\"{\",\"\"]]");
	assert_int_equal(nnr__program_show(p, false, &out, &err), 0);
	assert_non_null(strstr(out.p, "rows: a list of [a, b]\n"));
	assert_non_null(strstr(out.p, "| <x=1>\n  | <{=>\n"));
	nnr__program_close(p);
	p = must_open(HEAD IN OUT);
	nnr__buf_clear(&out);
	assert_int_equal(nnr__program_show(p, true, &out, &err), 0);
	assert_non_null(strstr(out.p, "\"rows\":{\"list\":[\"a\",\"b\"]}"));
	assert_non_null(strstr(out.p, "<<a>=<b>>"));
	nnr__program_close(p);
	nnr__buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_sources_say_why),
		cmocka_unit_test(lists_become_text),
		cmocka_unit_test(wrong_items_say_why),
		cmocka_unit_test(texts_are_bounded),
		cmocka_unit_test(answers_can_be_several),
		cmocka_unit_test(wrong_answers_say_why),
		cmocka_unit_test(tests_have_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
