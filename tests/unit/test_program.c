/* SPDX-License-Identifier: Apache-2.0
 *
 * test_program.c: what a source may say, and what is said when it is wrong:
 * place, key, what was expected, the nearest known name.
 */
#include "test.h"

#include "program/program.h"

#define HEAD \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [neg, pos]}\n"
#define NUMBERS \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string, n: int?}\n" \
	"output: {answer: number}\n"
#define IN "in: [{template: \"{text}:\"}]\n"
#define SCORE "out: [{score: {choices: {neg: \" bad\", pos: \" good\"}}}]\n"
#define GEN "out: [{generate: 5}, parse]\n"

static nnr_program *must_open(const char *source, const nnr__strings *set)
{
	nnr_program *p = NULL;
	nnr_error err;

	if (nnr__program_parse(&p, "p.yaml", NULL, source, strlen(source),
			       set, &err))
		fail_msg("%s", err.message);
	return p;
}

static bool fails(const char *source, const nnr__strings *set, int code,
		  const char *message)
{
	nnr_program *p = NULL;
	nnr_error err = { 0 };
	int rc = nnr__program_parse(&p, "p.yaml", NULL, source,
				    strlen(source), set, &err);

	if (!rc) {
		nnr__program_close(p);
		print_error("taken: %s\n", source);
		return false;
	}
	assert_null(p);
	assert_int_equal(err.code, rc);
	assert_int_equal(nnr_exit_code(rc), 3);
	/* the same without anywhere to put the message */
	assert_int_equal(nnr__program_parse(&p, "p.yaml", NULL, source,
					    strlen(source), set, NULL), rc);
	if (rc == code && strcmp(err.message, message) == 0)
		return true;
	print_error("said    %s (%d)\nnot     %s (%d)\n", err.message, rc,
		    message, code);
	return false;
}

static const struct {
	const char *source, *message;
	int code;		/* 0: NNR_E_INPUT */
} wrong[] = {
	/* ---- the top level ---- */
	{ "", "p.yaml:1:1: empty: 0 programs in it", 0 },
	{ "[a]", "p.yaml:1:1: a program is a map with keys like `nnr`, "
	  "`name`, `in`, `out`", 0 },
	{ HEAD IN SCORE "---\n" HEAD,
	  "p.yaml:1:1: 2 programs in one file; one was expected", 0 },
	{ HEAD "template: x\n" IN SCORE, "p.yaml:6:1: `template` is a step; "
	  "it belongs in the list `in`", 0 },
	{ HEAD "tets: []\n", "p.yaml:6:1: unknown key `tets`; did you mean "
	  "`tests`?", 0 },
	{ "name: t\n", "p.yaml:1:1: `nnr` is missing", 0 },
	{ "nnr: 2\n", "p.yaml:1:6: format version `2`; this nnr reads 1",
	  NNR_E_UNSUPPORTED },
	{ "nnr: 1\n", "p.yaml:1:1: `name` is missing", 0 },
	{ "nnr: 1\nname: a/b\n", "p.yaml:2:7: `name` holds a `/` or a "
	  "control character", 0 },
	{ "nnr: 1\nname: t\nmodel: [m]\n", "p.yaml:3:8: `model` is a list; "
	  "a text was expected", 0 },
	{ HEAD, "p.yaml:1:1: `in` is missing", 0 },
	{ HEAD IN, "p.yaml:1:1: `out` is missing", 0 },
	{ HEAD "in: []\n" SCORE, "p.yaml:6:5: `in` is an empty list; a list "
	  "of steps was expected", 0 },
	{ HEAD "in: x\n" SCORE, "p.yaml:6:5: `in` is `x`; a list of steps "
	  "was expected", 0 },
	{ HEAD "use: {a: {model: b}}\n" IN SCORE, "p.yaml:6:1: `use` is not "
	  "in this version of nnr yet: no step can name a resource",
	  NNR_E_UNSUPPORTED },
	{ HEAD "train: 3\n" IN SCORE, "p.yaml:6:8: `train` is `3`; a map was "
	  "expected", 0 },
	{ HEAD "access: [logit]\n" IN SCORE, "p.yaml:6:9: `access` names "
	  "`logit`; did you mean `logits`?", 0 },
	{ HEAD "access: text\n" IN SCORE, "p.yaml:8:8: `score`: needs "
	  "`logits` of the model, which `access` does not promise", 0 },
	/* ---- types ---- */
	{ "nnr: 1\nname: t\nmodel: m\ninput: {}\n", "p.yaml:4:8: `input` "
	  "must be a map of fields, like {text: string}", 0 },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {a: strin}\n", "p.yaml:4:12: "
	  "the type of `a` is `strin`; did you mean `string`?", 0 },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {a: rgb8}\n", "p.yaml:4:12: "
	  "type `rgb8` is not in this version of nnr yet",
	  NNR_E_UNSUPPORTED },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {a b: string}\n",
	  "p.yaml:4:9: `a b` cannot name a field: letters, digits, _ and - "
	  "only", 0 },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {a: string}\n"
	  "output: {b: [x]}\n", "p.yaml:5:13: 1 labels; 2 to 1000 were "
	  "expected", 0 },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {a: string}\n"
	  "output: {b: [x, y, x]}\n", "p.yaml:5:13: the label `x` is there "
	  "twice", 0 },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {a: string}\n"
	  "output: {b: int, c: int}\n", "p.yaml:5:1: `output` has 2 fields; "
	  "this version of nnr takes one", NNR_E_UNSUPPORTED },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {a: string}\n"
	  "output: {b: int?}\n", "p.yaml:5:13: the output cannot be "
	  "optional", 0 },
	{ "nnr: 1\nname: t\nmodel: m\ninput: {a: string}\n"
	  "output: {a: int}\n", "p.yaml:5:10: `a` is also an input field",
	  0 },
	/* ---- data ---- */
	{ HEAD "data: {label: {}}\n" IN SCORE, "p.yaml:6:8: unknown key "
	  "`label` of `data`; did you mean `labels`?", 0 },
	{ HEAD "data: {labels: {\"0\": no}}\n" IN SCORE, "p.yaml:6:22: `no` "
	  "is not one of neg, pos", 0 },
	{ NUMBERS "data: {labels: {\"0\": no}}\n" IN GEN, "p.yaml:6:8: "
	  "`data.labels` needs an output that is a list of labels", 0 },
	{ HEAD "data: {target: {a: x, b: y}}\n" IN SCORE, "p.yaml:6:16: "
	  "`data.target` names 2 columns; one was expected", 0 },
	{ HEAD "data: {target: {a: \"(\"}}\n" IN SCORE, "p.yaml:6:20: regex "
	  "'(': missing closing parenthesis at byte 1", 0 },
	/* ---- steps ---- */
	{ HEAD "in: [templat]\n" SCORE, "p.yaml:6:6: unknown step `templat`; "
	  "did you mean `template`?", 0 },
	{ HEAD "in:\n- templat: x\n" SCORE, "p.yaml:7:3: unknown step "
	  "`templat`; did you mean `template`?", 0 },
	{ HEAD "in: [retrieve: {count: 2}]\n" SCORE, "p.yaml:6:6: step "
	  "`retrieve` is not in this version of nnr yet",
	  NNR_E_UNSUPPORTED },
	{ HEAD "in: [[template]]\n" SCORE, "p.yaml:6:6: a step was expected, "
	  "not a list", 0 },
	{ HEAD "in: [{id: a}]\n" SCORE, "p.yaml:6:6: a step was expected, "
	  "like `template: ...`", 0 },
	{ HEAD "in: [score]\n" SCORE, "p.yaml:6:6: `score` belongs to `out`",
	  0 },
	{ HEAD IN "out: [template: a]\n", "p.yaml:7:7: `template` belongs to "
	  "`in`", 0 },
	{ HEAD "in:\n- template: x\n  chat:\n" SCORE, "p.yaml:8:3: two steps "
	  "in one list entry, `template` and `chat`; start each with `- `",
	  0 },
	{ HEAD "in:\n- template: x\n  idd: a\n" SCORE, "p.yaml:8:3: unknown "
	  "key `idd` beside `template`; did you mean `id`?", 0 },
	{ HEAD "in:\n- demos:\n  file: d.tsv\n" SCORE, "p.yaml:8:3: `file` "
	  "is a parameter of `demos`; indent it below", 0 },
	{ HEAD "in:\n- template: x\n  id: 1a\n" SCORE, "p.yaml:8:7: `id` is "
	  "`1a`; a name (letters, digits, _ and -) was expected", 0 },
	{ HEAD "in:\n- template: x\n  when: runs\n" SCORE, "p.yaml:8:9: "
	  "`when` is `runs`; known: always, train, run", 0 },
	{ HEAD "in: [template: a, template: b]\n" SCORE, "p.yaml:6:19: "
	  "`template`: a second step with the id `template`; give it an "
	  "`id` of its own", 0 },
	{ HEAD "in:\n- template: a\n  id: text\n" SCORE, "p.yaml:7:3: "
	  "`template`: its id `text` is also an input field; give it "
	  "another `id`", 0 },
	/* ---- parameters ---- */
	{ HEAD "in: [template: {txt: a}]\n" SCORE, "p.yaml:6:17: unknown key "
	  "`txt` of `template`; did you mean `text`?", 0 },
	{ HEAD "in: [template: {at: end}]\n" SCORE, "p.yaml:6:6: `template`: "
	  "`text` is missing: the text; {name} is an input field or an "
	  "earlier part", 0 },
	{ HEAD "in: [template]\n" SCORE, "p.yaml:6:6: `template`: `text` is "
	  "missing: the text; {name} is an input field or an earlier part",
	  0 },
	{ HEAD "in: [template: [a]]\n" SCORE, "p.yaml:6:16: `template` is a "
	  "list; a map of its parameters was expected", 0 },
	{ HEAD "in: [template: {text: a, at: top}]\n" SCORE, "p.yaml:6:30: "
	  "`at` is `top`; known: here, start, end", 0 },
	{ HEAD "in: [template: {text: a, at: ends}]\n" SCORE, "p.yaml:6:30: "
	  "`at` is `ends`; did you mean `end`?", 0 },
	{ NUMBERS IN "out: [{generate: {samples: ten}}]\n", "p.yaml:7:28: "
	  "`samples` is `ten`; an integer from 1 to 1000 was expected", 0 },
	{ NUMBERS IN "out: [{generate: {samples: 0}}]\n", "p.yaml:7:28: "
	  "`samples` is `0`; an integer from 1 to 1000 was expected", 0 },
	{ NUMBERS IN "out: [{generate: {seed: 1.5}}]\n", "p.yaml:7:25: "
	  "`seed` is `1.5`; an integer of at least 0 was expected", 0 },
	{ NUMBERS IN "out: [{generate: {temperature: warm}}]\n",
	  "p.yaml:7:32: `temperature` is `warm`; a number from 0 to 100 was "
	  "expected", 0 },
	{ NUMBERS IN "out: [{generate: {temperature: -1}}]\n",
	  "p.yaml:7:32: `temperature` is `-1`; a number from 0 to 100 was "
	  "expected", 0 },
	{ NUMBERS IN "out: [{generate: {stop: {a: b}}}]\n", "p.yaml:7:25: "
	  "`stop` is a map; a text or a list of texts was expected", 0 },
	{ NUMBERS IN "out: [{generate: {stop: [[a]]}}]\n", "p.yaml:7:26: "
	  "`stop` holds a list; texts were expected", 0 },
	{ NUMBERS IN "out: [{generate: {stop: \"\"}}, parse]\n", "p.yaml:7:25: "
	  "`generate`: an empty text in `stop`", 0 },
	{ NUMBERS IN "out: [{generate: {samples: 3}}, parse]\n",
	  "p.yaml:7:8: `generate`: makes 3 samples and nothing joins them: "
	  "add `reduce: {over: sample}` at the end", 0 },
	{ NUMBERS IN "out: [{generate: {samples: 3}}, parse, reduce]\n",
	  "p.yaml:7:28: `generate`: 3 samples at temperature 0 are all the "
	  "same: give a `temperature`", 0 },
	/* ---- templates ---- */
	{ HEAD "in: [template: \"a {text\"]\n" SCORE, "p.yaml:6:16: `text`: "
	  "`{` at character 3 is not closed; a literal brace is `{{`", 0 },
	{ HEAD "in: [template: \"\xc3\xa9}\"]\n" SCORE, "p.yaml:6:16: `text`: "
	  "`}` at character 2 closes nothing; a literal brace is `}}`", 0 },
	{ HEAD "in: [template: \"{a b}\"]\n" SCORE, "p.yaml:6:16: `text`: "
	  "`{a b}` at character 1 is not a field name; literal braces are "
	  "`{{` and `}}`", 0 },
	{ HEAD "in: [template: \"{txt}\"]\n" SCORE, "p.yaml:6:16: `template`: "
	  "`{txt}` is neither an input field nor an earlier part; did you "
	  "mean `text`?", 0 },
	{ HEAD "in: [template: \"{template}\"]\n" SCORE, "p.yaml:6:16: "
	  "`template`: `{template}` is this step itself; a template can name "
	  "earlier parts only", 0 },
	{ HEAD "in:\n- template: \"{b}\"\n- template: x\n  id: b\n" SCORE,
	  "p.yaml:7:13: `template`: `{b}` is a later part; a template can "
	  "name earlier parts only", 0 },
	{ HEAD "in:\n- template: a\n- chat\n- template: \"{chat}\"\n"
	  "  id: b\n" SCORE, "p.yaml:9:13: `template`: `{chat}` is `chat`, "
	  "which is not a part of the prompt", 0 },
	/* ---- kinds ---- */
	{ HEAD "in: [chat, template: a]\n" SCORE, "p.yaml:6:6: `chat`: takes "
	  "text, but nothing before it gives any: a `template` must come "
	  "first", 0 },
	{ HEAD IN "out: [score: {choices: {neg: a, pos: b}}, parse]\n",
	  "p.yaml:7:43: `parse`: takes texts, but `score` gives scores", 0 },
	{ HEAD IN "out: [calibrate]\n", "p.yaml:7:7: `calibrate`: takes "
	  "scores, but the model gives logits: `score` must come first",
	  0 },
	{ HEAD IN "out: [parse]\n", "p.yaml:7:7: `parse`: takes texts, but "
	  "the model gives logits: `generate` must come first", 0 },
	{ HEAD IN "out: [generate, reduce]\n", "p.yaml:7:17: `reduce`: takes "
	  "values, but `generate` gives texts: put `parse` between them",
	  0 },
	{ NUMBERS IN SCORE, "p.yaml:7:8: `score`: gives scores of labels, "
	  "but the output `answer` is a number", 0 },
	{ NUMBERS IN "out: [generate]\n", "p.yaml:7:7: `generate`: gives "
	  "texts, but the output `answer` is a number: add `parse`", 0 },
	{ HEAD "in:\n- template: a\n  when: train\n" SCORE, "p.yaml:7:3: "
	  "`in` gives no prompt: a `template` is missing", 0 },
	/* ---- score ---- */
	{ HEAD IN "out: [score]\n", "p.yaml:7:7: `score`: `choices` is "
	  "missing: the text of each label, {negative: \" negative\", ...}",
	  0 },
	{ HEAD IN "out: [score: {choices: [a, b]}]\n", "p.yaml:7:24: "
	  "`choices` is a list; a map was expected", 0 },
	{ HEAD IN "out: [score: {choices: {neg: a}}]\n", "p.yaml:7:24: "
	  "`score`: no choice for the label `pos`", 0 },
	{ HEAD IN "out: [score: {choices: {neg: a, poss: b}}]\n",
	  "p.yaml:7:24: `score`: `poss` is not one of neg, pos; did you mean "
	  "`pos`?", 0 },
	{ HEAD IN "out: [score: {choices: {neg: a, pos: a}}]\n",
	  "p.yaml:7:24: `score`: `neg` and `pos` have the same choice `a`",
	  0 },
	{ HEAD IN "out: [score: {choices: {neg: a, pos: \"\"}}]\n",
	  "p.yaml:7:24: `score`: the choice of `pos` is empty", 0 },
	{ HEAD IN "out: [score: {choices: {neg: a, pos: {b: c}}}]\n",
	  "p.yaml:7:38: `pos` of `choices` is a map; a text or a list of "
	  "texts was expected", 0 },
	/* ---- parse, reduce ---- */
	{ NUMBERS IN "out: [generate, parse: {regex: \"(a\"}]\n",
	  "p.yaml:7:32: `parse`: regex '(a': missing closing parenthesis at "
	  "byte 2", 0 },
	{ NUMBERS IN "out: [generate, parse: {method: regex}]\n",
	  "p.yaml:7:33: `parse`: `regex` is missing", 0 },
	{ NUMBERS IN "out: [generate, parse: {method: text, regex: a}]\n",
	  "p.yaml:7:46: `parse`: a regex, but the method is text", 0 },
	{ NUMBERS IN "out: [generate, parse: label]\n", "p.yaml:7:24: "
	  "`parse`: label needs an output that is a list of labels", 0 },
	{ NUMBERS IN "out: [generate, parse: {else: many}]\n",
	  "p.yaml:7:31: `parse`: `else` is `many`; none or a number was "
	  "expected", 0 },
	{ HEAD IN "out: [generate, parse: {words: {nag: a}}]\n",
	  "p.yaml:7:32: `parse`: `nag` is not one of neg, pos", 0 },
	{ NUMBERS IN "out: [generate, parse, reduce: {over: prompt}]\n",
	  "p.yaml:7:39: `reduce`: no step opens the axis `prompt`; "
	  "`generate` opens `sample`", 0 },
	{ HEAD IN "out: [generate, parse, reduce: mean]\n", "p.yaml:7:32: "
	  "`reduce`: a mean needs an output of type number", 0 },
	/* ---- calibrate ---- */
	{ HEAD IN "out: [score: {choices: {neg: a, pos: b}}, "
	  "calibrate: batch]\n", "p.yaml:7:54: `calibrate`: batch needs "
	  "`data`, a file to fit it on", 0 },
	{ HEAD IN "out: [score: {choices: {neg: a, pos: b}}, "
	  "calibrate: {data: x}]\n", "p.yaml:7:61: `calibrate`: contextual "
	  "reads `inputs`, not data", 0 },
	{ HEAD IN "out: [score: {choices: {neg: a, pos: b}}, "
	  "calibrate: {inputs: []}]\n", "p.yaml:7:63: `calibrate`: `inputs` "
	  "is an empty list", 0 },
	{ HEAD IN "out: [score: {choices: {neg: a, pos: b}}, "
	  "calibrate: {method: affine, inputs: [a]}]\n", "p.yaml:7:79: "
	  "`calibrate`: affine reads `data`, not inputs", 0 },
	/* ---- files ---- */
	{ HEAD "in: [demos: d.tsv, template: \"{text}\"]\n" SCORE,
	  "p.yaml:6:13: `demos`: a source in memory cannot name a file", 0 },
	/* ---- tests ---- */
	{ HEAD IN SCORE "tests: x\n", "p.yaml:8:8: `tests` must be a list of "
	  "at most 1000 tests", 0 },
	{ HEAD IN SCORE "tests: [{out: {label: pos}}]\n", "p.yaml:8:9: a test "
	  "is a map with `in` and perhaps `out`", 0 },
	{ HEAD IN SCORE "tests: [{in: {txt: a}}]\n", "p.yaml:8:15: unknown "
	  "field `txt`; did you mean `text`?", 0 },
	{ HEAD IN SCORE "tests: [{in: {}}]\n", "p.yaml:8:14: the field "
	  "`text` is missing", 0 },
	{ HEAD IN SCORE "tests: [{in: {text: a}, out: {label: bad}}]\n",
	  "p.yaml:8:38: `label` is `bad`; one of neg, pos was expected", 0 },
	{ HEAD IN SCORE "tests: [{in: {text: a}, outs: {}}]\n",
	  "p.yaml:8:25: unknown key `outs` of a test; did you mean `out`?",
	  0 },
	/* ---- YAML itself ---- */
	{ "nnr: 1\nnnr: 1\n", "p.yaml:2:1: key 'nnr' is there twice (first "
	  "in line 1)", 0 },
	{ "nnr: 1\nname: \xff\n", "p.yaml:2:7: not valid UTF-8", 0 },
};

static void wrong_sources_say_why(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		bad += !fails(wrong[i].source, NULL,
			      wrong[i].code ? wrong[i].code : NNR_E_INPUT,
			      wrong[i].message);
	assert_int_equal(bad, 0);
}

/* ---- what is right ---- */

static void steps_take_every_form(void **state)
{
	nnr_program *p = must_open(NUMBERS
		"train: {lr: 3e-3}\naccess: text\n"
		"in:\n- template: \"{text} {n}\"\n- chat:\n"
		"- template: {text: x, at: end}\n  id: last\n"
		"- template: y\n  id: practice\n  when: train\n"
		"out:\n- generate: {samples: 3, temperature: 0.7,\n"
		"    stop: [a, b]}\n- parse\n- reduce: mean\n"
		"tests:\n- in: {text: a, n: 1}\n"
		"  out: {answer: \"$1,000.50\"}\n"
		"- in: {text: b}\n", NULL);
	const struct nnr__a_generate *gen = p->out[0].args;
	const struct nnr__a_parse *parse = p->out[1].args;

	(void)state;
	assert_int_equal(p->ins, 4);
	assert_int_equal(p->outs, 3);
	assert_string_equal(p->in[2].id, "last");
	assert_int_equal(p->in[3].when, NNR__WHEN_TRAIN);
	assert_int_equal(gen->samples, 3);
	assert_int_equal(gen->max_tokens, 128);
	assert_true(gen->temperature > 0.69 && gen->temperature < 0.71);
	assert_int_equal(gen->stop.n, 2);
	assert_int_equal(parse->method, NNR__PARSE_NUMBER);
	assert_int_equal(parse->pick, NNR__PICK_LAST);
	assert_null(parse->otherwise);
	assert_int_equal(p->tests, 2);
	assert_string_equal(nnr__record_get(&p->test_out[0],
					    "answer")->text, "1000.5");
	assert_null(nnr__record_get(&p->test_in[1], "n"));
	assert_ptr_equal(nnr__program_step(p, "parse"), &p->out[1]);
	assert_null(nnr__program_step(p, "score"));
	nnr__program_close(p);
}

static void check_type(nnr__type type, const char *text, const char *want)
{
	nnr__field f = { .name = (char *)(uintptr_t)"f", .type = type };
	nnr__buf out = { 0 };
	bool ok = nnr__type_canon(&f, text, strlen(text), &out);

	if (ok != (want != NULL) || (want && strcmp(out.p ? out.p : "",
						    want) != 0))
		fail_msg("'%s' is '%s', not '%s'", text, ok ? out.p : "none",
			 want ? want : "none");
	nnr__buf_release(&out);
}

static void values_have_one_spelling(void **state)
{
	(void)state;
	check_type(NNR__T_NUMBER, "18", "18");
	check_type(NNR__T_NUMBER, " $1,234.50 ", "1234.5");
	check_type(NNR__T_NUMBER, "-$3.00", "-3");
	check_type(NNR__T_NUMBER, "$-3.00", "-3");
	check_type(NNR__T_NUMBER, "+7.", "7");
	check_type(NNR__T_NUMBER, "007", "7");
	check_type(NNR__T_NUMBER, "-0.0", "0");
	check_type(NNR__T_NUMBER, ".5", "0.5");
	check_type(NNR__T_NUMBER, "-.50", "-0.5");
	check_type(NNR__T_NUMBER, "100", "100");
	check_type(NNR__T_NUMBER, "1e3", "1000");
	check_type(NNR__T_NUMBER, "2.5e-1", "0.25");
	check_type(NNR__T_NUMBER, "12345678901234567890123",
		   "12345678901234567890123");
	check_type(NNR__T_NUMBER, "1e999", NULL);
	check_type(NNR__T_NUMBER, "", NULL);
	check_type(NNR__T_NUMBER, "$", NULL);
	check_type(NNR__T_NUMBER, "-", NULL);
	check_type(NNR__T_NUMBER, ".", NULL);
	check_type(NNR__T_NUMBER, "3 apples", NULL);
	check_type(NNR__T_NUMBER, "1.2.3", NULL);
	check_type(NNR__T_NUMBER, "nan", NULL);
	check_type(NNR__T_INT, "5.0", "5");
	check_type(NNR__T_INT, "1e2", "100");
	check_type(NNR__T_INT, "5.5", NULL);
	check_type(NNR__T_BOOL, "yes", "yes");
	check_type(NNR__T_BOOL, "false", "no");
	check_type(NNR__T_BOOL, "Yes", NULL);
	check_type(NNR__T_STRING, " a ", " a ");
}

static void kept_hash_tells_programs_apart(void **state)
{
	char *texts[] = { (char *)(uintptr_t)"name=u" };
	nnr__strings set = { texts, 1 };
	nnr_program *a = must_open(HEAD IN SCORE, NULL);
	nnr_program *b = must_open(HEAD IN SCORE, NULL);
	nnr_program *c = must_open(HEAD IN SCORE "# x\n", NULL);
	nnr_program *d = must_open(HEAD IN SCORE, &set);

	(void)state;
	assert_int_equal(strlen(a->hash), 64);
	assert_string_equal(a->hash, b->hash);
	assert_string_not_equal(a->hash, c->hash);
	assert_string_not_equal(a->hash, d->hash);
	assert_string_equal(d->name, "u");
	nnr__program_close(a);
	nnr__program_close(b);
	nnr__program_close(c);
	nnr__program_close(d);
}

/* ---- overrides ---- */

#define SET(...) \
	(&(nnr__strings){ (char *[]){ __VA_ARGS__ }, \
			  sizeof((char *[]){ __VA_ARGS__ }) / \
				  sizeof(char *) })
#define MODEST NUMBERS IN "out:\n- generate\n- parse: number\n" \
	"- reduce:\n  id: r\n"

static void overrides_change_the_source(void **state)
{
	char a[] = "out.generate.samples=5", b[] = "generate.temperature=0.5";
	char c[] = "in.template=Q: {text}", d[] = "in.template.at=end";
	char e[] = "r.by=mean", f[] = "train.lr=1e-3";
	char g[] = "out.parse.pick=first";
	char h[] = "generate.stop=[\"x\", y]";
	nnr_program *p = must_open(MODEST, SET(a, b, c, d, e, f, g, h));
	const struct nnr__a_generate *gen = p->out[0].args;
	const struct nnr__a_parse *parse = p->out[1].args;
	const struct nnr__a_reduce *reduce = p->out[2].args;
	const struct nnr__a_template *t = p->in[0].args;

	(void)state;
	assert_int_equal(gen->samples, 5);
	assert_int_equal(gen->stop.n, 2);
	assert_string_equal(gen->stop.s[1], "y");
	assert_int_equal(t->text->n, 2);
	assert_string_equal(t->text->part[0].text, "Q: ");
	assert_int_equal(t->at, NNR__AT_END);
	assert_int_equal(parse->method, NNR__PARSE_NUMBER);
	assert_int_equal(parse->pick, NNR__PICK_FIRST);
	assert_int_equal(reduce->by, NNR__BY_MEAN);
	assert_int_equal(p->set.n, 8);
	nnr__program_close(p);
}

static const char *const wrong_sets[][2] = {
	{ "samples", "--set samples: KEY=VALUE was expected" },
	{ "=3", "--set =3: KEY=VALUE was expected" },
	{ "a..b=3", "--set a..b=3: an empty name in the key" },
	{ "out.generat.samples=3", "--set out.generat.samples=3: "
	  "`out` has no step `generat`; did you mean `generate`?" },
	{ "out.generate.sample=3", "--set out.generate.sample=3: "
	  "unknown key `sample` of `generate`; did you mean "
	  "`samples`?" },
	{ "out.generate.samples=x", "--set out.generate.samples=x: "
	  "`samples` is `x`; an integer from 1 to 1000 was expected" },
	{ "out=3", "--set out=3: name a step, like `out.template`" },
	{ "nme=3", "--set nme=3: unknown key `nme`; did you mean "
	  "`name`?" },
	{ "name.x=3", "--set name.x=3: `name` holds no `x`" },
	{ "in.template=[", "--set in.template=[: value:2:1: while "
	  "parsing a flow node, did not find expected node content" },
	{ "name=\xff", "--set name=\xff: not valid UTF-8" },
};

static void wrong_overrides_say_why(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong_sets) / sizeof(*wrong_sets); i++) {
		char *copy = nnr__strdup(wrong_sets[i][0]);
		bad += !fails(MODEST, SET(copy), NNR_E_INPUT,
			      wrong_sets[i][1]);
		free(copy);
	}
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_sources_say_why),
		cmocka_unit_test(steps_take_every_form),
		cmocka_unit_test(values_have_one_spelling),
		cmocka_unit_test(kept_hash_tells_programs_apart),
		cmocka_unit_test(overrides_change_the_source),
		cmocka_unit_test(wrong_overrides_say_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
