/* SPDX-License-Identifier: Apache-2.0
 *
 * test_program_docs.c: what is said about programs: docs/program.md holds
 * the table of steps and programs that open, show and its JSON are complete,
 * the schema is JSON.  NNR_UPDATE=1 writes the tables into docs/program.md.
 */
#include "test.h"

#include "program/program.h"

#define DOC "docs/program.md"
static char *read_doc(void)
{
	nnr__buf text = { 0 };
	nnr_error err;

	if (nnr__file_read(&text, DOC, 1 << 20, &err))
		fail_msg("%s", err.message);
	return nnr__buf_take(&text);
}

/* The table between the marks <!-- NAME: begin --> and <!-- NAME: end -->
 * is this one; takes it. */
static void check_table(const char *name, char *want)
{
	char *doc = read_doc(), *from, *to, begin[40], end[40];
	nnr__buf out = { 0 };
	nnr_error err;

	snprintf(begin, sizeof(begin), "<!-- %s: begin -->\n", name);
	snprintf(end, sizeof(end), "<!-- %s: end -->\n", name);
	from = strstr(doc, begin);
	to = strstr(doc, end);
	assert_non_null(from);
	assert_non_null(to);
	nnr__buf_add(&out, doc, (size_t)(from - doc) + strlen(begin));
	nnr__buf_adds(&out, want);
	nnr__buf_adds(&out, to);
	if (getenv("NNR_UPDATE")) {
		assert_int_equal(nnr__file_write(DOC, out.p, out.len, &err),
				 0);
	} else if (strcmp(out.p, doc) != 0) {
		fail_msg(DOC " does not hold the table of %s: run this test "
			 "with NNR_UPDATE=1", name);
	}
	nnr__buf_release(&out);
	free(doc);
	free(want);
}

static void docs_hold_the_tables(void **state)
{
	(void)state;
	check_table("steps", nnr__steps_markdown());
	check_table("train", nnr__train_markdown());
}

static void programs_of_the_docs_open(void **state)
{
	char *doc = read_doc(), *at = doc;
	int n = 0;

	(void)state;
	while ((at = strstr(at, "```yaml\nnnr:")) != NULL) {
		char *start = at + 8, *end = strstr(start, "```");
		nnr_program *p;
		nnr_error err;
		assert_non_null(end);
		if (nnr__program_parse(&p, DOC, "examples", start,
				       (size_t)(end - start), NULL, &err))
			fail_msg("%s", err.message);
		nnr__program_close(p);
		at = end;
		n++;
	}
	assert_true(n >= 4);
	free(doc);
}

#define SOURCE \
	"nnr: 1\nname: show-me\nmodel: some-model\n" \
	"input: {text: string, n: int?}\noutput: {answer: number}\nin:\n" \
	"- template: \"Count {text}. Let's think step by step.\"\n" \
	"- {template: \"a\\tb\\n\", id: tail, when: run}\nout:\n" \
	"- generate: {max_tokens: 7, samples: 3, temperature: 1}\n" \
	"- parse\n- reduce\n" \
	"tests: [{in: {text: the apples}, out: {answer: 3}}]\n"

static const char shown[] =
	"show-me\n"
	"paradigm  stochastic program execution (self-consistency), "
	"chain-of-thought\n"
	"input     text: string\n"
	"          n: int?\n"
	"output    answer: number\n"
	"\n"
	"g_in                        location  adaptation  operation\n"
	"  template                  input     fixed       concatenative\n"
	"  tail = template (run)     input     fixed       concatenative\n"
	"f\n"
	"  some-model, frozen\n"
	"g_out\n"
	"  generate                  alignment identity\n"
	"  parse                     alignment structural\n"
	"  reduce                    alignment statistical\n"
	"\n"
	"passes per item   1 prompt, 3 samples of at most 7 tokens\n";

static const char shown_prompt[] =
	"\nprompt of the first test\n"
	"  template, with the item\n"
	"  | Count the apples. Let's think step by step.\n"
	"  tail, constant\n"
	"  | a b\n"
	"  |\n";

static const char resolved[] =
	"show-me\n"
	"in.template\n"
	"  text           \"Count {text}. Let's think step by step.\"     "
	"line 7\n"
	"  at             \"here\"                                        "
	"default\n"
	"in.tail\n"
	"  text           \"a\\tb\\n\"                                      "
	"line 8\n"
	"  at             \"here\"                                        "
	"default\n"
	"out.generate\n"
	"  max_tokens     7                                             "
	"line 10\n"
	"  samples        3                                             "
	"line 10\n"
	"  temperature    2                                             "
	"--set\n";

static nnr_program *open_source(void)
{
	char *texts[] = { (char[]){ "generate.temperature=2" } };
	nnr__strings set = { texts, 1 };
	nnr_program *p;
	nnr_error err;

	if (nnr__program_parse(&p, "p.yaml", NULL, SOURCE,
			       sizeof(SOURCE) - 1, &set, &err))
		fail_msg("%s", err.message);
	return p;
}

/* No line is wider than a terminal. */
static void check_width(const char *s)
{
	while (*s) {
		size_t n = strcspn(s, "\n");
		assert_true(n <= 80);
		s += n + (s[n] == '\n');
	}
}

static void show_says_what_it_is(void **state)
{
	nnr_program *p = open_source();
	nnr__buf out = { 0 };
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__program_show(p, false, &out, &err), 0);
	assert_memory_equal(out.p, shown, sizeof(shown) - 1);
	assert_non_null(strstr(out.p, shown_prompt));
	check_width(out.p);
	nnr__buf_clear(&out);
	assert_int_equal(nnr__program_resolved(p, false, &out, &err), 0);
	assert_memory_equal(out.p, resolved, sizeof(resolved) - 1);
	assert_non_null(strstr(out.p, "\n--set generate.temperature=2\n"));
	check_width(out.p);
	nnr__buf_release(&out);
	nnr__program_close(p);
}

static const nnr__jnode *json_of(nnr__arena *a, nnr__buf *text)
{
	const nnr__jnode *top;
	nnr_error err;

	if (nnr__json_parse(a, &top, "show", text->p, text->len, &err))
		fail_msg("%s in %s", err.message, text->p);
	return top;
}

static void show_gives_json(void **state)
{
	nnr_program *p = open_source();
	nnr__arena a = { NULL };
	nnr__buf out = { 0 };
	const nnr__jnode *top, *step;

	(void)state;
	assert_int_equal(nnr__program_show(p, true, &out, NULL), 0);
	top = json_of(&a, &out);
	assert_string_equal(nnr__json_get(top, "hash")->text, p->hash);
	assert_int_equal(nnr__json_get(top, "steps")->count, 5);
	step = nnr__json_get(top, "steps")->child->next;
	assert_string_equal(nnr__json_get(step, "when")->text, "run");
	assert_int_equal(nnr__json_get(nnr__json_get(top, "prompt"),
				       "parts")->count, 2);
	nnr__buf_clear(&out);
	assert_int_equal(nnr__program_resolved(p, true, &out, NULL), 0);
	top = json_of(&a, &out);
	step = nnr__json_get(top, "steps")->child->next->next;
	step = nnr__json_get(nnr__json_get(step, "params"), "temperature");
	assert_string_equal(nnr__json_get(step, "from")->text, "--set");
	assert_true(nnr__json_get(step, "value")->num == 2.0);
	assert_int_equal(nnr__json_get(top, "set")->count, 1);
	nnr__buf_release(&out);
	nnr__arena_release(&a);
	nnr__program_close(p);
}

static void schema_is_json(void **state)
{
	char *text = nnr__steps_schema();
	nnr__arena a = { NULL };
	const nnr__jnode *top;
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__json_parse(&a, &top, "schema", text,
					 strlen(text), &err), 0);
	assert_non_null(nnr__json_get(nnr__json_get(top, "properties"),
				      "out"));
	nnr__arena_release(&a);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(docs_hold_the_tables),
		cmocka_unit_test(programs_of_the_docs_open),
		cmocka_unit_test(show_says_what_it_is),
		cmocka_unit_test(show_gives_json),
		cmocka_unit_test(schema_is_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
