/* SPDX-License-Identifier: Apache-2.0
 *
 * test_parse.c: the wrappers of libyaml, jansson and PCRE2: what they give,
 * and above all what they refuse and where they say it is.
 */
#include "test.h"

#include "base/base.h"

/* ---- YAML ---- */

static const char source[] =
	"# a comment\n"
	"nnr: 1\n"
	"name: 'quoted: text'\n"
	"empty:\n"
	"in:\n"
	"  - soft: {count: 20, init: \"Is it\\tgood?\"}\n"
	"  - normalize\n"
	"  - template: |\n"
	"      Review: {text}\n"
	"      Sentiment:\n"
	"  - [a, [b]]\n"
	"\xc3\xa9t\xc3\xa9: {\"no\": no}\n";

static void test_yaml_tree(void **state)
{
	const nnr__ynode *root, *n, *item;
	nnr__yaml y;
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__yaml_parse(&y, "p.yaml", source,
					 sizeof(source) - 1, &err), 0);
	assert_int_equal(y.count, 1);
	root = y.doc[0];
	assert_int_equal(root->kind, NNR__Y_MAP);
	assert_int_equal(root->count, 5);
	assert_int_equal(root->line, 2);
	n = nnr__yaml_get(root, "nnr");
	assert_string_equal(n->text, "1");
	assert_false(n->quoted);
	assert_int_equal(n->line, 2);
	assert_int_equal(n->col, 6);
	assert_int_equal(n->key_col, 1);
	n = nnr__yaml_get(root, "name");
	assert_string_equal(n->text, "quoted: text");
	assert_true(n->quoted);
	n = nnr__yaml_get(root, "empty");
	assert_int_equal(n->kind, NNR__Y_SCALAR);
	assert_int_equal(n->len, 0);
	assert_false(n->quoted);

	n = nnr__yaml_get(root, "in");
	assert_int_equal(n->kind, NNR__Y_LIST);
	assert_int_equal(n->count, 4);
	assert_null(n->child->key);
	item = nnr__yaml_get(nnr__yaml_get(n->child, "soft"), "init");
	assert_string_equal(item->text, "Is it\tgood?");
	assert_int_equal(item->line, 6);
	assert_int_equal(item->col, 29);
	assert_int_equal(item->key_col, 23);
	assert_string_equal(n->child->next->text, "normalize");
	item = n->child->next->next;
	item = nnr__yaml_get(item, "template");
	assert_string_equal(item->text, "Review: {text}\nSentiment:\n");
	assert_true(item->quoted);
	item = n->child->next->next->next;
	assert_int_equal(item->child->next->kind, NNR__Y_LIST);
	assert_string_equal(item->child->next->child->text, "b");
	assert_null(item->next);

	n = nnr__yaml_get(nnr__yaml_get(root, "\xc3\xa9t\xc3\xa9"), "no");
	assert_string_equal(n->text, "no");	/* no implicit types */
	assert_int_equal(n->col, 13);		/* characters, not bytes */
	assert_null(nnr__yaml_get(root, "none"));
	assert_null(nnr__yaml_get(NULL, "none"));
	assert_null(nnr__yaml_get(n, "none"));
	nnr__yaml_release(&y);
	nnr__yaml_release(&y);
}

static void test_yaml_streams(void **state)
{
	static const struct {
		const char *text;
		int documents;
	} row[] = {
		{ "", 0 }, { "# only this\n", 0 }, { "a", 1 },
		{ "a: 1\n---\nb: 2\n", 2 }, { "---\na\n...\n---\nb\n", 2 },
		{ "---\n---\n", 2 }, { "\xef\xbb\xbf" "a: 1\n", 1 },
		{ "a: 1\r\nb: 2\r\n", 1 },
	};
	nnr__yaml y;
	nnr_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		assert_int_equal(nnr__yaml_parse(&y, "s", row[i].text,
						 strlen(row[i].text), &err),
				 0);
		assert_int_equal(y.count, row[i].documents);
		nnr__yaml_release(&y);
	}
}

static const struct {
	const char *text;
	size_t n;	/* 0: strlen */
	const char *where;
	const char *what;
} refused[] = {
	{ "a: &x 1\n", 0, "p:1:4:", "anchors" },
	{ "a: 1\nb: *x\n", 0, "p:2:4:", "aliases" },
	{ "a: &x [1]\n", 0, "p:1:4:", "anchors" },
	{ "a: &x {b: 1}\n", 0, "p:1:4:", "anchors" },
	{ "&x a: 1\n", 0, "p:1:1:", "anchors" },
	{ "a: !!str 1\n", 0, "p:1:4:", "tags" },
	{ "a: !local {}\n", 0, "p:1:4:", "tags" },
	{ "a:\n  - !x\n", 0, "p:2:5:", "tags" },
	{ "%YAML 1.1\n---\na: 1\n", 0, "p:1:1:", "directives" },
	{ "%TAG ! tag:x,2000:\n---\na: 1\n", 0, "p:1:1:", "directives" },
	{ "a:\n  <<: {b: 1}\n", 0, "p:2:3:", "merge keys" },
	{ "a: 1\nb: 2\na: 3\n", 0, "p:3:1:", "'a' is there twice" },
	{ "x: {b: 1, c: 2, b: 3}\n", 0, "p:1:17:", "first in line 1" },
	{ "a: 1\n'a': 2\n", 0, "p:2:1:", "twice" },
	{ "a: 1\nb: \"\xc3\"\n", 0, "p:2:5:", "UTF-8" },
	{ "\xc3\xa9: \xff\n", 0, "p:1:4:", "UTF-8" },
	{ "a\0b: 1\n", 7, "p:1:2:", "NUL" },
	{ "a: \"x\\0y\"\n", 0, "p:1:4:", "NUL" },
	{ "\"x\\0y\": 1\n", 0, "p:1:1:", "NUL" },
	{ "\xff\xfe" "a\0", 4, "p:1:1:", "UTF-8" },
	{ "? [a]\n: 1\n", 0, "p:1:3:", "key must be plain text" },
	{ "{{a: 1}: 2}\n", 0, "p:1:2:", "key must be plain text" },
	{ ": 1\n", 0, "p:1:1:", "expected key" },
	{ "{? , b: 1}\n", 0, "p:1:4:", "empty key" },
	{ "a: [1, 2\nb: 3\n", 0, "p:2:", "" },
	{ "a: 'open\n", 0, "p:", "quoted scalar" },
	{ "a: 1\n\tb: 2\n", 0, "p:2:1:", "" },
	{ "a: b: c\n", 0, "p:1:5:", "mapping values" },
	{ "a: 1\n b: 2\n", 0, "p:2:3:", "" },
	{ "a: @x\n", 0, "p:1:4:", "token" },
	{ "a: \x01\n", 0, "p:1:4:", "control characters" },
};

static void test_yaml_refused(void **state)
{
	nnr__yaml y;
	nnr_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		const char *text = refused[i].text;
		size_t n = refused[i].n ? refused[i].n : strlen(text);
		int rc = nnr__yaml_parse(&y, "p", text, n, &err);
		if (rc != NNR_E_INPUT)
			fail_msg("'%s' was taken", text);
		assert_message(err, refused[i].what);
		if (strncmp(err.message, refused[i].where,
			    strlen(refused[i].where)) != 0)
			fail_msg("'%s' for '%s'", err.message, text);
		assert_null(y.doc);
		assert_int_equal(nnr__yaml_parse(&y, "p", text, n, NULL),
				 NNR_E_INPUT);
	}
}

static int yaml_of(const nnr__buf *b, nnr_error *err)
{
	nnr__yaml y;
	int rc = nnr__yaml_parse(&y, "p", b->p, b->len, err);

	nnr__yaml_release(&y);
	return rc;
}

static void test_yaml_limits(void **state)
{
	nnr__buf b = { 0 };
	nnr_error err;

	(void)state;
	for (int depth = 32; depth <= 33; depth++) {
		nnr__buf_clear(&b);
		for (int i = 0; i < depth; i++)
			nnr__buf_addc(&b, '[');
		for (int i = 0; i < depth; i++)
			nnr__buf_addc(&b, ']');
		assert_int_equal(yaml_of(&b, &err),
				 depth == 32 ? 0 : NNR_E_INPUT);
	}
	assert_message(err, "p:1:33: nested deeper than 32");
	nnr__buf_clear(&b);
	for (int i = 0; i < 100000; i++)
		nnr__buf_addc(&b, '[');
	assert_int_equal(yaml_of(&b, &err), NNR_E_INPUT);

	nnr__buf_clear(&b);
	for (int i = 0; i < 19999; i++)
		nnr__buf_adds(&b, "- x\n");
	assert_int_equal(yaml_of(&b, &err), 0);
	nnr__buf_adds(&b, "- x\n");
	assert_int_equal(yaml_of(&b, &err), NNR_E_INPUT);
	assert_message(err, "p:20000:3: more than 20000");

	nnr__buf_clear(&b);
	for (int i = 0; i < 19999; i++)
		nnr__buf_addf(&b, "k%d: x\n", i);
	assert_int_equal(yaml_of(&b, &err), 0);

	nnr__buf_clear(&b);
	nnr__buf_adds(&b, "a: '");
	while (b.len < ((size_t)1 << 20) - 1)
		nnr__buf_addc(&b, 'x');
	nnr__buf_addc(&b, '\'');
	assert_int_equal(yaml_of(&b, &err), 0);
	nnr__buf_addc(&b, '\n');
	assert_int_equal(yaml_of(&b, &err), NNR_E_INPUT);
	assert_message(err, "1048577");
	nnr__buf_release(&b);
}

/* ---- JSON ---- */

static const nnr__jnode *json_of(nnr__arena *a, const char *text)
{
	const nnr__jnode *root;
	nnr_error err;

	if (nnr__json_parse(a, &root, "j", text, strlen(text), &err) != 0)
		fail_msg("%s: %s", text, err.message);
	return root;
}

static void test_json_tree(void **state)
{
	nnr__arena a = { 0 };
	const nnr__jnode *root, *n;

	(void)state;
	root = json_of(&a, "{\"z\": [1, 2.0, -3e2, true, false, null], "
		       "\"a\": \"t\\u00e9\\ud83d\\ude00\\n\", \"\": {}}");
	assert_int_equal(root->kind, NNR__J_OBJECT);
	assert_int_equal(root->count, 3);
	assert_string_equal(root->child->key, "z");	/* the file's order */
	n = nnr__json_get(root, "z")->child;
	assert_true(n->integer && n->num == 1);
	n = n->next;
	assert_true(!n->integer && n->num == 2);
	n = n->next;
	assert_true(!n->integer && n->num == -300);
	n = n->next;
	assert_true(n->kind == NNR__J_BOOL && n->num == 1);
	n = n->next;
	assert_true(n->kind == NNR__J_BOOL && n->num == 0);
	n = n->next;
	assert_true(n->kind == NNR__J_NULL && !n->next);
	n = nnr__json_get(root, "a");
	assert_string_equal(n->text, "t\xc3\xa9\xf0\x9f\x98\x80\n");
	assert_int_equal(n->len, 8);
	root = json_of(&a, "\"a\\u0000b\"");
	assert_int_equal(root->len, 3);
	assert_memory_equal(root->text, "a\0b", 3);
	root = json_of(&a, "{\"\": {}}");
	assert_int_equal(nnr__json_get(root, "")->count, 0);
	assert_null(nnr__json_get(root, "none"));
	assert_null(nnr__json_get(n, "none"));
	assert_null(nnr__json_get(NULL, "none"));
	assert_int_equal(json_of(&a, " 12 ")->kind, NNR__J_NUMBER);
	assert_string_equal(json_of(&a, "\"x\"")->text, "x");
	assert_string_equal(json_of(&a, "\"[[\\\"[\"")->text, "[[\"[");
	nnr__arena_release(&a);
}

static const struct {
	const char *text;
	size_t n;
	const char *where;
	const char *what;
} bad_json[] = {
	{ "", 0, "j:1:", "" },
	{ "{", 0, "j:1:1:", "" },
	{ "{\"a\": 1,\n \"a\": 2}", 0, "j:2:4:", "duplicate" },
	{ "[1,\n2,]", 0, "j:2:", "" },
	{ "\"a\0b\"", 5, "j:1:", "" },
	{ "[1] 2", 0, "j:1:5:", "end of file expected" },
	{ "[\n\"\xff\"]", 0, "j:2:2:", "UTF-8" },
	{ "\"\xed\xa0\x80\"", 0, "j:1:2:", "UTF-8" },
	{ "\"\\ud800\"", 0, "j:1:", "" },
	{ "[1e999]", 0, "j:1:", "overflow" },
	{ "[99999999999999999999]", 0, "j:1:", "" },
	{ "NaN", 0, "j:1:", "" },
	{ "[01]", 0, "j:1:", "" },
	{ "{\"a\" 1}", 0, "j:1:6:", "" },
	{ "'a'", 0, "j:1:1:", "" },
};

static void test_json_refused(void **state)
{
	nnr__arena a = { 0 };
	const nnr__jnode *root;
	nnr__buf b = { 0 };
	nnr_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad_json) / sizeof(*bad_json); i++) {
		const char *text = bad_json[i].text;
		size_t n = bad_json[i].n ? bad_json[i].n : strlen(text);
		int rc = nnr__json_parse(&a, &root, "j", text, n, &err);
		if (rc != NNR_E_INPUT)
			fail_msg("'%s' was taken", text);
		assert_null(root);
		assert_message(err, bad_json[i].what);
		if (strncmp(err.message, bad_json[i].where,
			    strlen(bad_json[i].where)) != 0)
			fail_msg("'%s' for '%s'", err.message, text);
	}
	for (int depth = 64; depth <= 65; depth++) {
		nnr__buf_clear(&b);
		for (int i = 0; i < depth; i++)
			nnr__buf_addc(&b, '[');
		for (int i = 0; i < depth; i++)
			nnr__buf_addc(&b, ']');
		assert_int_equal(nnr__json_parse(&a, &root, "j", b.p, b.len,
						 &err),
				 depth == 64 ? 0 : NNR_E_INPUT);
	}
	assert_message(err, "j:1:65: nested deeper than 64");
	nnr__buf_release(&b);
	nnr__arena_release(&a);
}

/* ---- regular expressions ---- */

static void check_match(const char *pattern, const char *s, const char *want,
			size_t want_next)
{
	size_t start = 99, end = 99, next = 99;
	nnr__regex *r;
	nnr_error err;
	int rc;

	if (nnr__regex_new(&r, pattern, &err) != 0)
		fail_msg("%s", err.message);
	rc = nnr__regex_match(r, s, strlen(s), 0, &start, &end, &next, &err);
	if (!want) {
		assert_int_equal(rc, 0);
	} else {
		assert_int_equal(rc, 1);
		assert_int_equal(end - start, strlen(want));
		assert_memory_equal(s + start, want, end - start);
		assert_int_equal(next, want_next);
	}
	nnr__regex_free(r);
}

static void test_regex(void **state)
{
	size_t start, end, next = 0;
	nnr__regex *r;
	nnr_error err;
	int found = 0;

	(void)state;
	check_match("answer is (\\d+)\\.", "the answer is 42.", "42", 17);
	check_match("[0-9]+", "a 12 b", "12", 4);
	check_match("x(a)?", "xb", "", 1);	/* the group took no part */
	check_match("zebra", "horse", NULL, 0);
	check_match("^.$", "\xc3\xa9", "\xc3\xa9", 2);
	check_match("\\w+", "\xff\xc3\xa9t\xff", "\xc3\xa9t", 4);
	check_match("(?i)YES", "oh yes", "yes", 6);
	check_match("a*", "", "", 0);

	assert_int_equal(nnr__regex_new(&r, "(\\d)\\d*", &err), 0);
	while (nnr__regex_match(r, "1 22 333", 8, next, &start, &end, &next,
				&err) == 1)
		found++;
	assert_int_equal(found, 3);
	assert_int_equal(nnr__regex_match(r, "1", 1, 2, &start, &end, &next,
					  &err), 0);
	assert_int_equal(nnr__regex_match(r, NULL, 0, 0, &start, &end, &next,
					  &err), 0);
	nnr__regex_free(r);
	nnr__regex_free(NULL);
}

static void test_regex_refused(void **state)
{
	static const struct {
		const char *pattern, *what;
	} row[] = {
		{ "a(b", "missing closing parenthesis at byte 3" },
		{ "[z-a]", "out of order" },
		{ "*", "quantifier" },
		{ "a\xff", "UTF-8 at byte 1" },
		{ "\\C", "\\C" },
		{ "(?:a{60000}){60000}", "too" },
	};
	nnr__regex *r;
	nnr_error err;
	char lengthy[5000];

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		assert_int_equal(nnr__regex_new(&r, row[i].pattern, &err),
				 NNR_E_INPUT);
		assert_null(r);
		assert_message(err, row[i].what);
	}
	memset(lengthy, 'a', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_int_equal(nnr__regex_new(&r, lengthy, &err), NNR_E_INPUT);
	assert_message(err, "4999 bytes");
	memset(lengthy, '(', 100);
	memset(lengthy + 100, ')', 100);
	lengthy[200] = '\0';
	assert_int_equal(nnr__regex_new(&r, lengthy, &err), NNR_E_INPUT);
}

/* Patterns that would take for ever are stopped, soon. */
static void test_regex_limits(void **state)
{
	static const char *const row[] = {
		"^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(a*)*b", "(.*.*.*.*)*x",
		"(?:(?=(a*))\\1?)+b", "^((a*)*)*$", "(?R)?a(?R)?b",
	};
	char s[4001];
	size_t start, end, next;
	nnr__regex *r;
	nnr_error err;
	int stopped = 0;
	double t = nnr__now();

	(void)state;
	memset(s, 'a', sizeof(s) - 1);
	s[sizeof(s) - 2] = '!';
	s[sizeof(s) - 1] = '\0';
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		int rc;
		assert_int_equal(nnr__regex_new(&r, row[i], &err), 0);
		rc = nnr__regex_match(r, s, sizeof(s) - 1, 0, &start, &end,
				      &next, &err);
		if (rc < 0) {
			assert_int_equal(rc, NNR_E_INPUT);
			assert_message(err, "went over its limit");
			stopped++;
		}
		nnr__regex_free(r);
	}
	assert_true(stopped >= 4);
	assert_true(nnr__now() - t < 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml_tree),
		cmocka_unit_test(test_yaml_streams),
		cmocka_unit_test(test_yaml_refused),
		cmocka_unit_test(test_yaml_limits),
		cmocka_unit_test(test_json_tree),
		cmocka_unit_test(test_json_refused),
		cmocka_unit_test(test_regex),
		cmocka_unit_test(test_regex_refused),
		cmocka_unit_test(test_regex_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
