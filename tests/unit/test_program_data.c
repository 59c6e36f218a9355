/* SPDX-License-Identifier: Apache-2.0
 *
 * test_program_data.c: data files, demonstrations, and the prompts they are
 * part of; files that a source may and may not name.
 */
#include "test.h"

#include <unistd.h>

#include "program/program.h"

static char dir[64];

#define ROWS \
	"neg\tbad one\npos\tgood one\npos\tgood two\nneg\tbad two\n" \
	"pos\tgood three\nneg\tbad three\n"

static void put(const char *name, const char *text)
{
	char path[160];
	nnr_error err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (nnr__file_write(path, text, strlen(text), &err))
		fail_msg("%s", err.message);
}

static int set_up(void **state)
{
	char path[160];

	(void)state;
	strcpy(dir, "/tmp/nnr-program-XXXXXX");
	assert_non_null(mkdtemp(dir));
	put("d.tsv", ROWS);
	put("n.tsv", "0\tbad\n1\tgood\n");
	put("h.tsv", "text\tlabel\ngood\tpos\nbad\tneg\n");
	put("three.tsv", "13\tneg\tbad\n");
	put("bad.tsv", "neg\tx\nother\ty\n");
	put("utf8.tsv", "neg\tx\npos\tab\xff\n");
	put("empty.tsv", "");
	put("cot.jsonl", "{\"q\": \"1+1?\", \"a\": \"It is 2. #### 2\"}\n\n"
			 "{\"q\": \"2+2?\", \"a\": \"So 4. #### 4\"}\n");
	snprintf(path, sizeof(path), "%s/out.tsv", dir);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	snprintf(path, sizeof(path), "%s/in.tsv", dir);
	assert_int_equal(symlink("d.tsv", path), 0);
	return 0;
}

static int tear_down(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* A program around some demos, "p.yaml" in the folder. */
static int open_with(nnr_program **p, const char *demos, nnr_error *err)
{
	nnr__buf b = { 0 };
	int rc;

	nnr__buf_addf(&b, "nnr: 1\nname: t\nmodel: m\n"
		      "input: {text: string}\noutput: {label: [neg, pos]}\n"
		      "data: {labels: {\"0\": neg, \"1\": pos}}\n"
		      "in:\n- demos: %s\n- template: \"{text} ->\"\n"
		      "out:\n- score: {choices: {neg: \" bad\", pos: "
		      "\" good\"}}\n", demos);
	rc = nnr__program_parse(p, "p.yaml", dir, b.p, b.len, NULL, err);
	nnr__buf_release(&b);
	return rc;
}

static char *prompt_of(nnr_program *p, const char *field, const char *text)
{
	nnr__record item = { 0 };
	nnr__prompt out = { 0 };
	nnr_error err;
	char *s;

	if (nnr__record_set(&item, field, text, strlen(text), &err) ||
	    nnr__program_render(p, &item, &out, &err))
		fail_msg("%s", err.message);
	s = nnr__buf_take(&out.text);
	nnr__record_release(&item);
	nnr__prompt_release(&out);
	return s;
}

static void expect_prompt(const char *demos, const char *want)
{
	nnr_program *p;
	nnr_error err;
	char *s;

	if (open_with(&p, demos, &err))
		fail_msg("%s", err.message);
	s = prompt_of(p, "text", "x");
	assert_string_equal(s, want);
	free(s);
	nnr__program_close(p);
}

static void demos_stand_as_the_program_says(void **state)
{
	(void)state;
	expect_prompt("d.tsv", "bad one -> bad\n\ngood one -> good\n\n"
		      "good two -> good\n\nbad two -> bad\n\n"
		      "good three -> good\n\nbad three -> bad\n\nx ->");
	expect_prompt("{file: d.tsv, count: 2}", "bad one -> bad\n\n"
		      "good one -> good\n\nx ->");
	expect_prompt("{file: n.tsv, template: \"[{label}: {text}]\"}",
		      "[neg: bad][pos: good]x ->");
	expect_prompt("{file: h.tsv, order: reverse}", "bad -> bad\n\n"
		      "good -> good\n\nx ->");
	expect_prompt("{file: d.tsv, count: 4, order: label}",
		      "bad one -> bad\n\nbad two -> bad\n\n"
		      "good one -> good\n\ngood two -> good\n\nx ->");
	expect_prompt("{file: three.tsv, columns: [seed, label, text]}",
		      "bad -> bad\n\nx ->");
	expect_prompt("{file: in.tsv, count: 1, at: end}",
		      "x ->bad one -> bad\n\n");
}

/* Number of rows of a label among the first n, and of all kinds of seeds. */
static int balance(nnr_program *p, int label)
{
	const struct nnr__a_demos *a = p->in[0].args;
	int n = 0;

	for (int i = 0; i < a->rec.n; i++)
		n += a->label[i] == label;
	return n;
}

static void choices_are_drawn_by_seed(void **state)
{
	char demos[80], first[400] = "";
	int differ = 0;

	(void)state;
	for (int seed = 0; seed < 8; seed++) {
		nnr_program *p = NULL, *again = NULL;
		nnr_error err;
		char *s, *t;

		snprintf(demos, sizeof(demos), "{file: d.tsv, count: 5, "
			 "choose: balanced, order: random, seed: %d}", seed);
		if (open_with(&p, demos, &err) ||
		    open_with(&again, demos, &err))
			fail_msg("%s", err.message);
		assert_int_equal(balance(p, 0), 3);
		assert_int_equal(balance(p, 1), 2);
		s = prompt_of(p, "text", "x");
		t = prompt_of(again, "text", "x");
		assert_string_equal(s, t);
		if (seed == 0)
			snprintf(first, sizeof(first), "%s", s);
		differ += strcmp(s, first) != 0;
		free(s);
		free(t);
		nnr__program_close(p);
		nnr__program_close(again);
	}
	assert_true(differ >= 6);
}

static const char *const wrong_demos[][2] = {
	{ "{count: 2}", "p.yaml:8:3: `demos`: `file` is missing: a .tsv, "
	  ".jsonl or .txt file below the source's folder" },
	{ "{file: d.tsv, count: 7}", "p.yaml:8:31: `demos`: 7 rows are asked "
	  "for; 'd.tsv' has 6" },
	{ "{file: d.tsv, count: 6, columns: [text]}", "p.yaml:8:17: `demos`: "
	  "d.tsv:1: 2 columns; 1 were expected" },
	{ "none.tsv", "none.tsv'" },
	{ "d.csv", "p.yaml:8:10: `demos`: cannot find the file " },
	{ "../d.tsv", "p.yaml:8:10: `demos`: `../d.tsv` leaves the source's "
	  "folder" },
	{ "a/../../d.tsv", "p.yaml:8:10: `demos`: `a/../../d.tsv` leaves the "
	  "source's folder" },
	{ "/etc/passwd", "p.yaml:8:10: `demos`: `/etc/passwd` is absolute; "
	  "files are relative to the source" },
	{ "out.tsv", "p.yaml:8:10: `demos`: `out.tsv` leads out of the "
	  "source's folder through a symbolic link" },
	{ "three.tsv", "p.yaml:8:10: `demos`: three.tsv:1: 3 columns without "
	  "names; without a header a file has two, the label and the only "
	  "input field: name them with `columns`" },
	{ "bad.tsv", "p.yaml:8:10: `demos`: bad.tsv:2: the label `other` is "
	  "not one of neg, pos; data.labels maps 0, 1" },
	{ "utf8.tsv", "p.yaml:8:10: `demos`: utf8.tsv:2:7: not valid UTF-8" },
	{ "empty.tsv", "p.yaml:8:10: `demos`: 'empty.tsv' is empty: no rows" },
	{ "cot.jsonl", "p.yaml:8:10: `demos`: cot.jsonl:1 has no column "
	  "`text`; known: q, a" },
	{ "{file: d.tsv, template: \"{txt}\"}", "p.yaml:8:34: `demos`: "
	  "d.tsv:1 has no column `txt`; did you mean `text`?" },
	{ "{file: d.tsv, choose: balanced, count: 8}", "p.yaml:8:49: `demos`: "
	  "8 rows are asked for; 'd.tsv' has 6" },
	{ "{file: h.tsv, choose: balanced, count: 2, template: \"{a\"}",
	  "p.yaml:8:62: `template`: `{` at character 1 is not closed; a "
	  "literal brace is `{{`" },
};

static void wrong_demos_say_why(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong_demos) / sizeof(*wrong_demos);
	     i++) {
		nnr_program *p = NULL;
		nnr_error err = { 0 };
		int rc = open_with(&p, wrong_demos[i][0], &err);
		bool ok = rc == NNR_E_INPUT &&
			  strstr(err.message, wrong_demos[i][1]);
		if (!ok)
			print_error("said    %s (%d)\nnot     %s\n",
				    err.message, rc, wrong_demos[i][1]);
		bad += !ok;
		nnr__program_close(p);
	}
	assert_int_equal(bad, 0);
}

/* The hash is over the bytes of demonstrations too. */
static void hash_covers_files(void **state)
{
	nnr_program *p, *q;
	nnr_error err;

	(void)state;
	put("v.tsv", "neg\ta\n");
	assert_int_equal(open_with(&p, "v.tsv", &err), 0);
	put("v.tsv", "neg\tb\n");
	assert_int_equal(open_with(&q, "v.tsv", &err), 0);
	assert_string_not_equal(p->hash, q->hash);
	nnr__program_close(p);
	nnr__program_close(q);
}

/* ---- prompts ---- */

#define BODY "nnr: 1\nname: t\nmodel: m\ninput: {text: string, note: " \
	"string?}\noutput: {answer: string}\nin:\n"
#define TAIL "out: [generate]\n"

static void expect_text(const char *in, const char *want)
{
	nnr__buf b = { 0 };
	nnr_program *p;
	nnr_error err;
	char *s;

	nnr__buf_addf(&b, BODY "%s" TAIL, in);
	if (nnr__program_parse(&p, "p.yaml", dir, b.p, b.len, NULL, &err))
		fail_msg("%s", err.message);
	s = prompt_of(p, "text", "X{text}");
	assert_string_equal(s, want);
	free(s);
	nnr__buf_release(&b);
	nnr__program_close(p);
}

static void parts_stand_in_their_places(void **state)
{
	(void)state;
	expect_text("- template: \"a {{{text}}} {note}.\"\n",
		    "a {X{text}} .");
	expect_text("- template: A\n- template: B\n  id: b\n", "AB");
	expect_text("- template: {text: A, at: end}\n- template: B\n  id: b\n"
		    "- template: {text: C, at: start}\n  id: c\n", "CBA");
	expect_text("- template: A\n- template: \"<{template}{template}>\"\n"
		    "  id: b\n", "<AA>");
	expect_text("- template: {text: S, at: start}\n- template: \"{text}\"\n"
		    "  id: q\n- chat: \"be brief\"\n- template: T\n  id: t\n",
		    "S[system: be brief]\n[user]\nX{text}\n[assistant]\nT");
	expect_text("- template: \"{text}\"\n- chat\n",
		    "[system: the model's own]\n[user]\nX{text}\n"
		    "[assistant]\n");
}

static void pieces_say_what_varies(void **state)
{
	static const char source[] = BODY "- template: \"a {text} b\"\n" TAIL;
	nnr__record item = { 0 };
	nnr__prompt out = { 0 };
	nnr_program *p;
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__program_parse(&p, "p.yaml", NULL, source,
					    sizeof(source) - 1, NULL, &err),
			 0);
	assert_int_equal(nnr__program_render(p, &item, &out, &err),
			 NNR_E_INPUT);
	assert_string_equal(err.message, "the item has no field `text`");
	nnr__record_set(&item, "text", "x", 1, &err);
	assert_int_equal(nnr__program_render(p, &item, &out, &err), 0);
	assert_int_equal(out.n, 3);
	assert_false(out.piece[0].varies);
	assert_true(out.piece[1].varies);
	assert_false(out.piece[2].varies);
	assert_string_equal(out.piece[2].part, "template");
	nnr__record_release(&item);
	nnr__prompt_release(&out);
	nnr__program_close(p);
}

/* Parts named by parts named by parts: an end is put to it. */
static void nesting_is_bounded(void **state)
{
	nnr__buf b = { 0 };
	nnr__record item = { 0 };
	nnr__prompt out = { 0 };
	nnr_program *p;
	nnr_error err;

	(void)state;
	nnr__buf_adds(&b, BODY "- template: \"\"\n  id: p0\n");
	for (int i = 1; i < 12; i++) {
		nnr__buf_adds(&b, "- template: \"");
		for (int k = 0; k < 10; k++)
			nnr__buf_addf(&b, "{p%d}", i - 1);
		nnr__buf_addf(&b, "\"\n  id: p%d\n", i);
	}
	nnr__buf_adds(&b, TAIL);
	if (nnr__program_parse(&p, "p.yaml", NULL, b.p, b.len, NULL, &err))
		fail_msg("%s", err.message);
	assert_int_equal(nnr__program_render(p, &item, &out, &err),
			 NNR_E_INPUT);
	assert_message(err, "the prompt has more than 100000 parts");
	nnr__buf_release(&b);
	nnr__prompt_release(&out);
	nnr__program_close(p);
}

/* ---- records ---- */

static const char *const names[] = { "text", "n", "label", NULL };
static const nnr__declared decl = { .name = names, .input = "text",
				    .output = "label" };

static int rows(nnr__records *r, const char *file, const char *text,
		const nnr__records_opts *o, nnr_error *err)
{
	return nnr__records_parse(r, file, text, strlen(text), &decl, o, err);
}

static void expect_row(const nnr__records *r, int i, const char *field,
		       const char *want)
{
	const nnr__value *v = nnr__record_get(&r->row[i], field);

	if (!v != !want || (v && want && strcmp(v->text, want) != 0))
		fail_msg("row %d %s is '%s', not '%s'", i, field,
			 v ? v->text : "(none)", want ? want : "(none)");
}

static void every_form_is_read(void **state)
{
	nnr__records r;
	nnr_error err;

	(void)state;
	assert_int_equal(rows(&r, "a.tsv", "\xef\xbb\xbf" "label\tn\ttext\r\n"
			      "a\t1\tx y\r\n\nb\t2\t\n", NULL, &err), 0);
	assert_int_equal(r.n, 2);
	expect_row(&r, 0, "text", "x y");
	expect_row(&r, 1, "text", "");
	expect_row(&r, 1, "n", "2");
	assert_int_equal(r.line[1], 4);
	nnr__records_release(&r);
	assert_int_equal(rows(&r, "a.tsv", "label\tlabel x\n", NULL, &err), 0);
	expect_row(&r, 0, "text", "label x");
	nnr__records_release(&r);
	assert_int_equal(rows(&r, "a.jsonl", "{\"text\": \"\\u00e9\", \"n\": "
			      "3, \"x\": 0.5, \"y\": true, \"z\": null, "
			      "\"w\": [1]}\n\n{}", NULL, &err), 0);
	assert_int_equal(r.n, 2);
	expect_row(&r, 0, "text", "\xc3\xa9");
	expect_row(&r, 0, "n", "3");
	expect_row(&r, 0, "x", "0.5");
	expect_row(&r, 0, "y", "true");
	expect_row(&r, 0, "z", NULL);
	expect_row(&r, 0, "w", NULL);
	assert_int_equal(r.line[1], 3);
	nnr__records_release(&r);
	assert_int_equal(rows(&r, "a.txt", "one\n\ntwo", NULL, &err), 0);
	assert_int_equal(r.n, 3);
	expect_row(&r, 1, "text", "");
	expect_row(&r, 2, "text", "two");
	nnr__records_release(&r);
}

static const struct {
	const char *file, *text, *message;
} wrong_data[] = {
	{ "a.csv", "x", "'a.csv' is not a data file: .tsv, .jsonl or .txt was "
	  "expected" },
	{ "a.tsv", "", "'a.tsv' is empty: no rows" },
	{ "a.tsv", "\n\n", "'a.tsv' is empty: no rows" },
	{ "a.tsv", "text\tlabel\n", "'a.tsv' is empty: no rows" },
	{ "a.tsv", "x\n", "a.tsv:1: 1 column without names; without a header "
	  "a file has two, the label and the only input field: name them with "
	  "`columns`" },
	{ "a.tsv", "a\tb\na\tb\tc\n", "a.tsv:2: 3 columns; 2 were expected" },
	{ "a.tsv", "text\ttext\n", "a.tsv:1: two columns `text`" },
	{ "a.tsv", "a\tb\na\t\xc3\xa9\xc3\n", "a.tsv:2:4: not valid UTF-8" },
	{ "a.txt", "a\nb\x80", "a.txt:2:2: not valid UTF-8" },
	{ "a.jsonl", "{\"text\": \"\xff\"}", "a.jsonl:1:11: not valid UTF-8" },
	{ "a.jsonl", "\n{\"text\": 1", "a.jsonl:2:" },
	{ "a.jsonl", "[1]", "a.jsonl:1: not an object, {\"field\": value, "
	  "...}" },
	{ "a.jsonl", "{\"text\": [1]}", "a.jsonl:1: `text` is a list; a text "
	  "or a number was expected" },
};

static void wrong_data_says_why(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong_data) / sizeof(*wrong_data); i++) {
		nnr__records r;
		nnr_error err = { 0 };
		int rc = rows(&r, wrong_data[i].file, wrong_data[i].text, NULL,
			      &err);
		bool ok = rc == NNR_E_INPUT &&
			  strncmp(err.message, wrong_data[i].message,
				  strlen(wrong_data[i].message)) == 0;
		if (!ok)
			print_error("said    %s (%d)\nnot     %s\n",
				    err.message, rc, wrong_data[i].message);
		bad += !ok;
	}
	assert_int_equal(bad, 0);
}

static void rows_are_selected(void **state)
{
	nnr__pair where[] = { { (char[]){ "label" }, (char[]){ "pos" } } };
	nnr__pair no[] = { { (char[]){ "seed" }, (char[]){ "1" } } };
	nnr__records_opts o = { .limit = 2 };
	nnr__records r;
	nnr_error err;

	(void)state;
	assert_int_equal(rows(&r, "a.tsv", ROWS, &o, &err), 0);
	assert_int_equal(r.n, 2);
	expect_row(&r, 1, "text", "good one");
	nnr__records_release(&r);
	o = (nnr__records_opts){ .where = { where, 1 } };
	assert_int_equal(rows(&r, "a.tsv", ROWS, &o, &err), 0);
	assert_int_equal(r.n, 3);
	expect_row(&r, 2, "text", "good three");
	nnr__records_release(&r);
	o = (nnr__records_opts){ .sample = 4, .seed = 3 };
	assert_int_equal(rows(&r, "a.tsv", ROWS, &o, &err), 0);
	assert_int_equal(r.n, 4);
	for (int i = 1; i < r.n; i++)
		assert_true(r.line[i] > r.line[i - 1]);
	nnr__records_release(&r);
	o = (nnr__records_opts){ .sample = 100, .limit = 5 };
	assert_int_equal(rows(&r, "a.tsv", ROWS, &o, &err), 0);
	assert_int_equal(r.n, 5);
	nnr__records_release(&r);
	o = (nnr__records_opts){ .where = { no, 1 } };
	assert_int_equal(rows(&r, "a.tsv", ROWS, &o, &err), NNR_E_INPUT);
	assert_string_equal(err.message, "a.tsv:1: no column `seed` to select "
			    "by");
	where[0].value = (char[]){ "other" };
	o = (nnr__records_opts){ .where = { where, 1 } };
	assert_int_equal(rows(&r, "a.tsv", ROWS, &o, &err), NNR_E_INPUT);
	assert_string_equal(err.message, "'a.tsv': none of the 6 rows is "
			    "selected");
}

/* ---- data of a program ---- */

static void answers_come_out_of_columns(void **state)
{
	static const char source[] =
		"nnr: 1\nname: t\nmodel: m\ninput: {q: string}\n"
		"output: {n: number}\ndata: {target: {a: '#### (.*)'}}\n"
		"in:\n- demos: {file: cot.jsonl, count: 1}\n"
		"- template: \"Q: {q}\\nA:\"\nout: [generate, parse]\n";
	nnr_program *p;
	nnr__data d;
	nnr_error err;
	char path[160], *s;

	(void)state;
	if (nnr__program_parse(&p, "p.yaml", dir, source, sizeof(source) - 1,
			       NULL, &err))
		fail_msg("%s", err.message);
	s = prompt_of(p, "q", "3?");
	assert_string_equal(s, "Q: 1+1?\nA: It is 2. #### 2\n\nQ: 3?\nA:");
	free(s);
	snprintf(path, sizeof(path), "%s/cot.jsonl", dir);
	if (nnr__data_read(&d, p, path, NULL, true, &err))
		fail_msg("%s", err.message);
	assert_int_equal(d.n, 2);
	assert_string_equal(d.target[1], "4");
	assert_int_equal(d.label[1], -1);
	nnr__data_release(&d);
	put("no.jsonl", "{\"q\": \"?\", \"a\": \"none\"}\n");
	snprintf(path, sizeof(path), "%s/no.jsonl", dir);
	assert_int_equal(nnr__data_read(&d, p, path, NULL, true, &err),
			 NNR_E_INPUT);
	assert_message(err, "no.jsonl:1: `a` does not match data.target "
		       "'#### (.*)'");
	put("no.jsonl", "{\"q\": \"?\", \"a\": \"#### many\"}\n");
	assert_int_equal(nnr__data_read(&d, p, path, NULL, true, &err),
			 NNR_E_INPUT);
	assert_message(err, "no.jsonl:1: `a` is `many`; a number was "
		       "expected");
	put("no.jsonl", "{\"q\": \"?\", \"a\": \"#### 4\\u00002\"}\n");
	assert_int_equal(nnr__data_read(&d, p, path, NULL, true, &err),
			 NNR_E_INPUT);
	assert_message(err, "no.jsonl:1: `a` holds a NUL");
	put("no.jsonl", "{\"question\": \"?\"}\n{\"qs\": \"?\"}\n");
	assert_int_equal(nnr__data_read(&d, p, path, NULL, true, &err),
			 NNR_E_INPUT);
	assert_message(err, "no.jsonl:1: the field `q` is missing");
	put("no.jsonl", "{\"q\": \"?\"}\n");
	assert_int_equal(nnr__data_read(&d, p, path, NULL, false, &err), 0);
	assert_null(d.target[0]);
	nnr__data_release(&d);
	assert_int_equal(nnr__data_read(&d, p, path, NULL, true, &err),
			 NNR_E_INPUT);
	assert_message(err, "no.jsonl:1: no answer: the column `a` is "
		       "missing");
	nnr__program_close(p);
}

static void items_are_checked(void **state)
{
	static const char source[] =
		"nnr: 1\nname: t\nmodel: m\ninput: {text: string, n: int, "
		"kind: [a, b]}\noutput: {label: string}\n"
		"in: [template: \"{text} {n} {kind}\"]\nout: [generate]\n";
	static const char *const bad[][2] = {
		{ "{\"text\": \"x\"", "input:1:" },
		{ "[]", "input: not an object, {\"field\": value, ...}" },
		{ "{\"txt\": \"x\"}", "input: the field `text` is missing; it "
		  "has `txt`" },
		{ "{\"text\": \"x\", \"n\": 1.5}", "input: `n` is `1.5`; an "
		  "integer was expected" },
		{ "{\"text\": \"x\", \"n\": 1, \"kind\": \"c\"}", "input: "
		  "`kind` is `c`; one of a, b was expected" },
		{ "{\"text\": {}}", "input: `text` is an object; a text or a "
		  "number was expected" },
	};
	static const char good[] = "{\"text\": \"x\", \"n\": 2, \"kind\": "
				   "\"b\"}";
	nnr__record item;
	nnr_program *p;
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__program_parse(&p, "p.yaml", NULL, source,
					    sizeof(source) - 1, NULL, &err),
			 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const char *s = bad[i][0];
		assert_int_equal(nnr__item_from_json(p, "input", s, strlen(s),
						     &item, &err),
				 NNR_E_INPUT);
		if (strncmp(err.message, bad[i][1], strlen(bad[i][1])) != 0)
			fail_msg("'%s', not '%s'", err.message, bad[i][1]);
	}
	assert_int_equal(nnr__item_from_json(p, "input", good, strlen(good),
					     &item, &err), 0);
	assert_string_equal(nnr__record_get(&item, "n")->text, "2");
	nnr__record_release(&item);
	nnr__program_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(demos_stand_as_the_program_says),
		cmocka_unit_test(choices_are_drawn_by_seed),
		cmocka_unit_test(wrong_demos_say_why),
		cmocka_unit_test(hash_covers_files),
		cmocka_unit_test(parts_stand_in_their_places),
		cmocka_unit_test(pieces_say_what_varies),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(every_form_is_read),
		cmocka_unit_test(wrong_data_says_why),
		cmocka_unit_test(rows_are_selected),
		cmocka_unit_test(answers_come_out_of_columns),
		cmocka_unit_test(items_are_checked),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
