/* SPDX-License-Identifier: Apache-2.0
 *
 * test_program_answers.c: programs bound to a small synthetic model that
 * knows every byte: scores and their corrections against their formulas,
 * samples, parsing, votes, what is refused.
 */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "../synth_model.h"
#include "program/step.h"

static char dir[64];
static nnr_model model;

static void put(const char *name, const char *text, size_t n)
{
	char path[160];
	nnr_error err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (nnr__file_write(path, text, n, &err))
		fail_msg("%s", err.message);
}

static void write_model(void)
{
	nnr__buf file = { 0 };

	synth_model(&file);
	put("model.gguf", file.p, file.len);
	nnr__buf_release(&file);
}

static int set_up(void **state)
{
	char path[160];
	nnr_error err;

	(void)state;
	strcpy(dir, "/tmp/nnr-answers-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("NNR_CACHE", dir, 1);
	write_model();
	snprintf(path, sizeof(path), "%s/model.gguf", dir);
	if (nnr__backbone_open(&model.bb, path, &err) ||
	    nnr__tok_new(&model.tok, model.bb->file, &err) ||
	    nnr__chat_new(&model.chat, model.bb->file, model.tok, &err))
		fail_msg("%s", err.message);
	return 0;
}

static int tear_down(void **state)
{
	char command[96];

	(void)state;
	nnr__chat_free(model.chat);
	nnr__tok_free(model.tok);
	nnr__backbone_close(model.bb);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* ---- running programs ---- */

#define LABELS \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [a, b, c]}\nin: [template: \"say {text}:\"]\n"
#define CHOICES "{choices: {a: \" hello\", b: \" the\", c: x}%s}"
#define TEXTS \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {answer: string}\nin: [template: \"{text}\"]\n"

#define TALK \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {answer: string}\nin: [template: \"{text}:\"]\n"

static nnr_program *open_program(const char *source)
{
	nnr_program *p;
	nnr_error err;

	if (nnr__program_parse(&p, "p.yaml", dir, source, strlen(source),
			       NULL, &err))
		fail_msg("%s", err.message);
	return p;
}

static nnr_program *bound(const char *source)
{
	nnr__engine_opts o = { .threads = 1, .precision = NNR_EXACT };
	nnr_program *p = open_program(source);
	nnr_error err;

	if (nnr__program_bind(p, &model, &o, &err))
		fail_msg("%s", err.message);
	return p;
}

struct kept {
	nnr__answer a[80];
	int n;
};

static int keep(void *ctx, int item, const nnr__answer *a, nnr_error *err)
{
	struct kept *k = ctx;
	nnr__answer *to = &k->a[k->n++];

	(void)err;
	assert_int_equal(item, k->n - 1);
	*to = *a;
	to->value = a->value ? nnr__strdup(a->value) : NULL;
	to->score = nnr__calloc((size_t)a->scores + 1, sizeof(double));
	to->raw = nnr__calloc((size_t)a->scores + 1, sizeof(double));
	for (int c = 0; c < a->scores; c++) {
		to->score[c] = a->score[c];
		to->raw[c] = a->raw[c];
	}
	to->sample = nnr__calloc((size_t)a->samples + 1,
				 sizeof(*to->sample));
	for (int i = 0; i < a->samples; i++) {
		to->sample[i] = a->sample[i];
		to->sample[i].text = nnr__strdup(a->sample[i].text);
		to->sample[i].value = a->sample[i].value
					      ? nnr__strdup(a->sample[i].value)
					      : NULL;
	}
	return 0;
}

static void drop(struct kept *k)
{
	while (k->n)
		nnr__answer_release(&k->a[--k->n]);
}

static const char *const inputs[] = {
	"hello", "the hello", "x", "", "oo aaaa", "\xc3\xa9t\xc3\xa9"
};
#define INPUTS ((int)(sizeof(inputs) / sizeof(*inputs)))

static void answer(nnr_program *p, struct kept *k)
{
	nnr__record item[INPUTS] = { 0 };
	nnr_error err;

	for (int i = 0; i < INPUTS; i++)
		nnr__record_set(&item[i], "text", inputs[i],
				strlen(inputs[i]), &err);
	if (nnr__program_answers(p, item, INPUTS, keep, k, &err))
		fail_msg("%s", err.message);
	for (int i = 0; i < INPUTS; i++)
		nnr__record_release(&item[i]);
}

static void run(const char *source, struct kept *k)
{
	nnr_program *p = bound(source);

	k->n = 0;
	answer(p, k);
	nnr__program_close(p);
}

/* ---- scores ---- */

static void score_with(const char *rest, const char *steps, struct kept *k)
{
	nnr__buf b = { 0 };

	nnr__buf_adds(&b, LABELS "out:\n- score: ");
	nnr__buf_addf(&b, CHOICES, rest);
	nnr__buf_addf(&b, "\n%s", steps);
	run(b.p, k);
	nnr__buf_release(&b);
}

/* Sums of the choices' log-probabilities, one token after the other. */
static void by_hand(const char *text, double out[3], int tokens[3])
{
	static const char *const word[] = { " hello", " the", "x" };
	nnr__engine_opts o = { .threads = 1, .precision = NNR_EXACT };
	nnr__engine *e;
	nnr_error err;
	char prompt[80];

	assert_int_equal(nnr__engine_new(&e, model.bb, &o, &err), 0);
	snprintf(prompt, sizeof(prompt), "say %s:", text);
	for (int c = 0; c < 3; c++) {
		nnr__ids ids = { 0 };
		double score[400], *row = score;
		nnr__span span;
		size_t from;
		nnr__tok_encode(model.tok, prompt, strlen(prompt), &ids, &err);
		from = ids.n;
		nnr__tok_encode(model.tok, word[c], strlen(word[c]), &ids,
				&err);
		tokens[c] = (int)(ids.n - from);
		span = (nnr__span){ ids.id, (int)ids.n };
		assert_int_equal(nnr__engine_nll(e, &span, &row, 1, &err), 0);
		out[c] = 0;
		for (size_t t = from; t < ids.n; t++)
			out[c] += score[t - 1];
		nnr__ids_release(&ids);
	}
	nnr__engine_free(e);
}

static void same_up_to_a_constant(const double *a, const double *b)
{
	for (int c = 1; c < 3; c++)
		assert_true(fabs((a[c] - a[0]) - (b[c] - b[0])) < 1e-4);
}

static void scores_are_sums_of_logs(void **state)
{
	struct kept k;

	(void)state;
	score_with("", "", &k);
	for (int i = 0; i < INPUTS; i++) {
		double want[3], sum = 0;
		int tokens[3], best = 0;
		by_hand(inputs[i], want, tokens);
		same_up_to_a_constant(k.a[i].score, want);
		for (int c = 0; c < 3; c++) {
			sum += exp(k.a[i].score[c]);
			best = want[c] > want[best] ? c : best;
		}
		assert_true(fabs(sum - 1) < 1e-9);
		assert_int_equal(k.a[i].label, best);
		assert_int_equal(k.a[i].value[0], 'a' + best);
	}
	drop(&k);
}

static void scores_are_normalised_as_asked(void **state)
{
	static const int bytes[] = { 6, 4, 1 };
	struct kept k, l;
	double want[3], sum[3];
	int tokens[3];

	(void)state;
	score_with(", normalize: length", "", &k);
	score_with(", normalize: bytes", "", &l);
	for (int i = 0; i < INPUTS; i++) {
		by_hand(inputs[i], sum, tokens);
		for (int c = 0; c < 3; c++) {
			want[c] = sum[c] / tokens[c];
			assert_true(fabs(k.a[i].score[c] - want[c]) < 1e-4);
			want[c] = sum[c] / bytes[c];
			assert_true(fabs(l.a[i].score[c] - want[c]) < 1e-4);
		}
	}
	drop(&k);
	drop(&l);
	/* less the scores after the prompt of the fourth input, "say :" */
	score_with(", normalize: unconditional, context: 'say :'", "", &k);
	for (int i = 0; i < INPUTS; i++) {
		double prior[3];
		by_hand(inputs[i], sum, tokens);
		by_hand("", prior, tokens);
		for (int c = 0; c < 3; c++)
			want[c] = sum[c] - prior[c];
		same_up_to_a_constant(k.a[i].score, want);
	}
	drop(&k);
}

/* ---- calibration ---- */

static void mean_of(const struct kept *k, bool probability, const int *which,
		    int n, double out[3])
{
	for (int c = 0; c < 3; c++) {
		out[c] = 0;
		for (int i = 0; i < n; i++) {
			double l = k->a[which[i]].score[c];
			out[c] += (probability ? exp(l) : l) / n;
		}
	}
}

static void expect_shift(const struct kept *plain, const struct kept *k,
			 const double mean[3], bool probability)
{
	for (int i = 0; i < INPUTS; i++) {
		double want[3];
		for (int c = 0; c < 3; c++) {
			assert_true(k->a[i].raw[c] == plain->a[i].score[c]);
			want[c] = plain->a[i].score[c] -
				  (probability ? log(mean[c]) : mean[c]);
		}
		same_up_to_a_constant(k->a[i].score, want);
	}
}

static void calibration_follows_its_formula(void **state)
{
	static const int two[] = { 2, 3 }, all[] = { 0, 1, 2, 3, 4, 5 };
	struct kept plain, k;
	nnr__buf data = { 0 };
	double mean[3];

	(void)state;
	score_with("", "", &plain);
	score_with("", "- calibrate: {inputs: [x, '']}\n", &k);
	mean_of(&plain, true, two, 2, mean);
	expect_shift(&plain, &k, mean, true);
	drop(&k);
	for (int i = 0; i < INPUTS; i++)
		nnr__buf_addf(&data, "%c\t%s\n", "abc"[i % 3], inputs[i]);
	put("data.tsv", data.p, data.len);
	nnr__buf_release(&data);
	score_with("", "- calibrate: {method: batch, data: data.tsv}\n", &k);
	mean_of(&plain, false, all, INPUTS, mean);
	expect_shift(&plain, &k, mean, false);
	drop(&k);
	/* one word of one word: its texts are all "x" */
	put("one.tsv", "a\tx\nb\tx x\n", 10);
	score_with("", "- calibrate: {method: domain, data: one.tsv, length: "
		   "1}\n", &k);
	mean_of(&plain, true, two, 1, mean);
	expect_shift(&plain, &k, mean, true);
	drop(&k);
	drop(&plain);
}

static int files_in(const char *name)
{
	char command[200], line[40] = "";
	FILE *f;

	snprintf(command, sizeof(command), "ls %s/%s 2>/dev/null | wc -l",
		 dir, name);
	f = popen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	return atoi(line);
}

static void fits_are_kept(void **state)
{
	const char *step = "- calibrate: {method: batch, data: keep.tsv}\n";
	struct kept a, b;
	int before = files_in("fits");

	(void)state;
	put("keep.tsv", "a\thello\nb\tthe\n", 14);
	score_with("", step, &a);
	assert_int_equal(files_in("fits"), before + 1);
	score_with("", step, &b);
	assert_int_equal(files_in("fits"), before + 1);
	for (int i = 0; i < INPUTS; i++)
		assert_memory_equal(a.a[i].score, b.a[i].score,
				    3 * sizeof(double));
	drop(&a);
	drop(&b);
	put("keep.tsv", "a\thello\nb\thello\n", 16);
	score_with("", step, &b);
	assert_int_equal(files_in("fits"), before + 2);
	drop(&b);
}

/* The fit's gradient at its result is zero; it turns a wrong sign round. */
static void affine_fit_is_a_minimum(void **state)
{
	enum { N = 60 };
	double l[N * 2], scale[2], shift[2], g[4] = { 0 };
	int label[N], right = 0;
	nnr_error err;

	(void)state;
	for (int i = 0; i < N; i++) {
		double x = nnr__rng_uniform(3, 1, (uint64_t)i) * 4 - 2;
		label[i] = x < 0.5;	/* the scores say the opposite */
		l[2 * i] = -x;
		l[2 * i + 1] = x;
		nnr__log_softmax(l + 2 * (size_t)i, 2);
	}
	assert_int_equal(nnr__fit_affine(l, label, N, 2, 0.01, scale, shift,
					 &err), 0);
	for (int i = 0; i < N; i++) {
		double z[2];
		for (int c = 0; c < 2; c++)
			z[c] = scale[c] * l[2 * i + c] + shift[c];
		nnr__log_softmax(z, 2);
		right += (z[1] > z[0]) == label[i];
		for (int c = 0; c < 2; c++) {
			double d = (exp(z[c]) - (c == label[i])) / N;
			g[c] += d * l[2 * i + c];
			g[2 + c] += d;
		}
	}
	for (int c = 0; c < 2; c++) {
		assert_true(fabs(g[c] + 0.01 * (scale[c] - 1)) < 1e-6);
		assert_true(fabs(g[2 + c] + 0.01 * shift[c]) < 1e-6);
	}
	assert_true(right >= N - 4);
	assert_int_equal(nnr__fit_affine(l, label, 1, 300, 1, scale, shift,
					 &err), NNR_E_UNSUPPORTED);
}

static void affine_needs_answers(void **state)
{
	struct kept k = { .n = 0 };
	nnr__record item = { 0 };
	nnr_program *p;
	nnr_error err;

	(void)state;
	put("aff.tsv", "a\thello\nb\tthe\nc\tx\n", 18);
	score_with("", "- calibrate: {method: affine, data: aff.tsv}\n", &k);
	assert_int_equal(k.n, INPUTS);
	drop(&k);
	put("none.jsonl", "{\"text\": \"x\"}\n", 14);
	p = bound(LABELS "out:\n- score: {choices: {a: x, b: y, c: z}}\n"
		  "- calibrate: {method: affine, data: none.jsonl}\n");
	nnr__record_set(&item, "text", "x", 1, &err);
	assert_int_equal(nnr__program_answers(p, &item, 1, keep, &k, &err),
			 NNR_E_INPUT);
	assert_message(err, "p.yaml:9:37: `calibrate`: ");
	assert_message(err, "none.jsonl:1: no answer: the column `label` is "
		       "missing");
	nnr__record_release(&item);
	nnr__program_close(p);
}

/* ---- generation ---- */

/* The code point at or after the middle. */
static void middle(const char *s, char out[8])
{
	size_t n = strlen(s), at = n / 2, len;

	while (at < n && ((unsigned char)s[at] & 0xc0) == 0x80)
		at++;
	assert_true(at < n);
	nnr__utf8_next(s + at, n - at, &len);
	memcpy(out, s + at, len);
	out[len] = '\0';
}

static void samples_stop_where_they_should(void **state)
{
	struct kept k, cut;
	nnr__buf b = { 0 };
	char stop[8] = "";
	int stopped = 0;

	(void)state;
	run(TALK "out: [generate: 24]\n", &k);
	for (int i = 0; i < INPUTS; i++) {
		const char *text = k.a[i].sample[0].text;
		size_t n = strlen(text);
		assert_int_equal(k.a[i].samples, 1);
		assert_string_equal(k.a[i].value, text);
		assert_true(isnan(k.a[i].agreement));
		assert_int_equal(nnr__utf8_valid(text, n), n);
	}
	/* cut before a character of the first one, wherever it stands */
	middle(k.a[0].sample[0].text, stop);
	nnr__buf_adds(&b, TALK "out: [generate: {max_tokens: 24, stop: [zz, ");
	nnr__buf_add_json(&b, stop, strlen(stop));
	nnr__buf_adds(&b, "]}]\n");
	run(b.p, &cut);
	nnr__buf_release(&b);
	for (int i = 0; i < INPUTS; i++) {
		const char *full = k.a[i].sample[0].text;
		const char *o = strstr(full, stop);
		size_t n = o ? (size_t)(o - full) : strlen(full);
		stopped += o != NULL;
		assert_int_equal(strlen(cut.a[i].sample[0].text), n);
		assert_memory_equal(cut.a[i].sample[0].text, full, n);
		assert_true(cut.a[i].sample[0].tokens <=
			    k.a[i].sample[0].tokens);
	}
	assert_true(stopped > 0);
	drop(&k);
	drop(&cut);
}

static void samples_are_their_seed_s(void **state)
{
	static const char source[] = TALK "out:\n- generate: {max_tokens: 9, "
		"samples: 5, temperature: 2, seed: 3}\n- parse\n- reduce\n";
	struct kept a, b;
	int differ = 0;

	(void)state;
	run(source, &a);
	run(source, &b);
	for (int i = 0; i < INPUTS; i++) {
		assert_int_equal(a.a[i].samples, 5);
		assert_true(a.a[i].agreement >= 0.2);
		for (int s = 0; s < 5; s++) {
			assert_string_equal(a.a[i].sample[s].text,
					    b.a[i].sample[s].text);
			differ += strcmp(a.a[i].sample[s].text,
					 a.a[i].sample[0].text) != 0;
		}
	}
	assert_true(differ > INPUTS);
	drop(&a);
	drop(&b);
}

static void chat_needs_its_template(void **state)
{
	nnr__engine_opts o = { .threads = 1 };
	nnr__chat *chat = model.chat;
	nnr_program *p = open_program(TEXTS "out: [generate]\n");
	nnr_program *q = open_program("nnr: 1\nname: t\nmodel: m\n"
		"input: {text: string}\noutput: {answer: string}\n"
		"in: [template: \"{text}\", chat]\nout: [generate]\n");
	nnr_error err;

	(void)state;
	model.chat = NULL;
	nnr__fail(&model.chat_err, NNR_E_UNSUPPORTED, "a strange template");
	assert_int_equal(nnr__program_bind(p, &model, &o, &err), 0);
	assert_int_equal(nnr__program_bind(q, &model, &o, &err),
			 NNR_E_UNSUPPORTED);
	assert_string_equal(err.message, "p.yaml:6:26: `chat`: a strange "
			    "template");
	model.chat = chat;
	nnr__program_close(p);
	nnr__program_close(q);
}

static void long_prompts_are_refused(void **state)
{
	char text[SYNTH_CONTEXT + 1];
	struct kept k = { .n = 0 };
	nnr__record item = { 0 };
	nnr_program *p = bound(TEXTS "out: [generate: 30]\n");
	nnr_program *q = bound(LABELS "out: [score: {choices: {a: x, b: y, "
			       "c: z}}]\n");
	nnr_error err;

	(void)state;
	memset(text, 'q', sizeof(text));
	nnr__record_set(&item, "text", text, 227, &err);
	assert_int_equal(nnr__program_answers(p, &item, 1, keep, &k, &err),
			 NNR_E_INPUT);
	assert_string_equal(err.message, "item 0: the prompt has 227 tokens "
			    "and `generate` adds up to 30, together 257; the "
			    "model's context has 256");
	nnr__record_set(&item, "text", text, 226, &err);
	assert_int_equal(nnr__program_answers(p, &item, 1, keep, &k, &err),
			 0);
	nnr__record_set(&item, "text", text, 252, &err);
	assert_int_equal(nnr__program_answers(q, &item, 1, keep, &k, &err),
			 NNR_E_INPUT);
	assert_string_equal(err.message, "item 0: the prompt has 257 tokens, "
			    "the model's context 256");
	nnr__record_set(&item, "text", "", 0, &err);
	assert_int_equal(nnr__program_answers(p, &item, 1, keep, &k, &err),
			 NNR_E_INPUT);
	assert_string_equal(err.message, "item 0: the prompt is empty");
	nnr__program_unbind(p);
	assert_int_equal(nnr__program_answers(p, &item, 1, keep, &k, &err),
			 NNR_E_USAGE);
	assert_string_equal(err.message, "the program 't' is not bound to a "
			    "model");
	drop(&k);
	nnr__record_release(&item);
	nnr__program_close(p);
	nnr__program_close(q);
}

/* ---- parsing and voting, without a model ---- */

#define KIND "nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {answer: %s}\nin: [template: \"{text}\"]\n" \
	"out: [generate, parse: %s]\n"

static const struct {
	const char *type, *step, *text, *value;	/* NULL: parse failure */
} parses[] = {
	{ "number", "number", "She has 3 apples, then 1,234.50 left.",
	  "1234.5" },
	{ "number", "{pick: first}", "It is $70,000 or -5.", "70000" },
	{ "number", "number", "so -5.", "-5" },
	{ "number", "number", "10-5", "5" },
	{ "number", "number", "a-5", "-5" },
	{ "number", "number", "3.14.", "3.14" },
	{ "number", "number", "1, 2, 3", "3" },
	{ "number", "number", "none", NULL },
	{ "number", "{method: number, else: 7}", "none", "7" },
	{ "int", "number", "2.5", NULL },
	{ "int", "number", "2.0", "2" },
	{ "number", "{regex: 'answer is \\$?(-?[0-9][0-9,]*\\.?[0-9]*)'}",
	  "The answer is $1,000. The answer is 2.", "1000" },
	{ "number", "{regex: 'answer is ([0-9]+)', pick: last}",
	  "The answer is 1. The answer is 2.", "2" },
	{ "number", "{regex: 'answer is (.*)'}", "The answer is many.",
	  NULL },
	{ "number", "{regex: '[0-9]+'}", "ab 12 c", "12" },
	{ "string", "text", "  Paris \n", "Paris" },
	{ "string", "{regex: '^\\s*(\\w+)'}", " Paris, of course", "Paris" },
	{ "string", "{regex: 'x*'}", "\xc3\xa9", "" },
	{ "[ham, spam]", "label", "This is Spam, not ham", "spam" },
	{ "[ham, spam]", "{pick: last}", "This is Spam, not ham", "ham" },
	{ "[ham, spam]", "label", "hamster", NULL },
	{ "[ham, spam]", "label", "", NULL },
	{ "[ham, hamster]", "label", "a hamster", "hamster" },
	{ "[ham, spam]", "{words: {ham: good, spam: bad}}", "ham is bad",
	  "spam" },
	{ "[ham, spam]", "{regex: 'Label: (\\w+)'}", "ham. Label: SPAM",
	  "spam" },
	{ "[ham, spam]", "{else: ham}", "?", "ham" },
	{ "[none, some]", "{else: none}", "?", "none" },
	{ "bool", "label", "No, it is not", "no" },
	{ "bool", "{words: {yes: correct, no: wrong}}", "Wrong!", "no" },
};

static void answers_are_parsed(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(parses) / sizeof(*parses); i++) {
		nnr__sample sample = { .text = nnr__strdup(parses[i].text) };
		nnr__answer a = { .sample = &sample, .samples = 1 };
		nnr__batch batch = { .n = 1, .answer = &a };
		const char *want = parses[i].value;
		nnr_program *p;
		nnr__buf b = { 0 };
		nnr_error err;
		nnr__buf_addf(&b, KIND, parses[i].type, parses[i].step);
		p = open_program(b.p);
		if (p->out[1].row->run(p, &p->out[1], &batch, &err))
			fail_msg("%s", err.message);
		if (!want != !sample.value ||
		    (want && strcmp(want, sample.value) != 0)) {
			print_error("'%s' by %s: '%s', not '%s'\n",
				    parses[i].text, parses[i].step,
				    sample.value ? sample.value : "none",
				    want ? want : "none");
			bad++;
		}
		assert_int_equal(p->parse_failures, want ? 0 : 1);
		free(sample.text);
		free(sample.value);
		nnr__buf_release(&b);
		nnr__program_close(p);
	}
	assert_int_equal(bad, 0);
}

static void endless_regex_ends(void **state)
{
	char text[64];
	nnr__sample sample = { .text = text };
	nnr__answer a = { .sample = &sample, .samples = 1 };
	nnr__batch batch = { .n = 1, .answer = &a };
	nnr_program *p = open_program("nnr: 1\nname: t\nmodel: m\n"
		"input: {text: string}\noutput: {answer: string}\n"
		"in: [template: \"{text}\"]\n"
		"out: [generate, parse: {regex: '(a+)+$'}]\n");
	nnr_error err;

	(void)state;
	memset(text, 'a', 62);
	strcpy(text + 62, "!");
	assert_int_equal(p->out[1].row->run(p, &p->out[1], &batch, &err),
			 NNR_E_INPUT);
	assert_string_equal(err.message, "p.yaml:7:32: `parse`: regex: the "
			    "match of 63 bytes went over its limit of "
			    "steps");
	nnr__program_close(p);
}

static void reduce_with(const char *by, const char *const *value, int n,
			const char *want, double agreement)
{
	nnr__sample sample[8] = { 0 };
	nnr__answer a = { .sample = sample, .samples = n,
			  .agreement = NAN };
	nnr__batch batch = { .n = 1, .answer = &a };
	nnr__buf b = { 0 };
	nnr_program *p;
	nnr_error err;

	nnr__buf_addf(&b, "nnr: 1\nname: t\nmodel: m\n"
		      "input: {text: string}\noutput: {answer: number}\n"
		      "in: [template: \"{text}\"]\n"
		      "out: [generate, parse, reduce: %s]\n", by);
	p = open_program(b.p);
	for (int i = 0; i < n; i++)
		sample[i].value = (char *)(uintptr_t)value[i];
	assert_int_equal(p->out[2].row->run(p, &p->out[2], &batch, &err), 0);
	if (!want)
		assert_null(a.value);
	else
		assert_string_equal(a.value, want);
	assert_true(isnan(agreement) ? isnan(a.agreement)
				     : fabs(a.agreement - agreement) < 1e-9);
	free(a.value);
	nnr__buf_release(&b);
	nnr__program_close(p);
}

static void votes_are_counted(void **state)
{
	static const char *const tie[] = { "2", "3", "3", "2", NULL };
	static const char *const none[] = { NULL, NULL };
	static const char *const mean[] = { "1", "2.5", NULL, "7" };

	(void)state;
	reduce_with("vote", tie, 5, "2", 0.4);
	reduce_with("vote", tie + 1, 4, "3", 0.5);
	reduce_with("vote", none, 2, NULL, 0);
	reduce_with("mean", mean, 4, "3.5", NAN);
	reduce_with("mean", none, 2, NULL, NAN);
}

/* ---- what does not matter ---- */

static void company_changes_nothing(void **state)
{
	nnr_program *p = bound(LABELS "out:\n- score: {choices: {a: \" hello\""
			       ", b: \" the\", c: x}}\n");
	struct kept all = { .n = 0 }, one = { .n = 0 };
	nnr_error err;

	(void)state;
	answer(p, &all);
	for (int i = 0; i < INPUTS; i++) {
		nnr__record item = { 0 };
		nnr__record_set(&item, "text", inputs[i], strlen(inputs[i]),
				&err);
		assert_int_equal(nnr__program_answers(p, &item, 1, keep,
						      &one, &err), 0);
		assert_memory_equal(one.a[0].score, all.a[i].score,
				    3 * sizeof(double));
		drop(&one);
		nnr__record_release(&item);
	}
	drop(&all);
	nnr__program_close(p);
}

static int stop_at_two(void *ctx, int item, const nnr__answer *a,
		       nnr_error *err)
{
	(void)a;
	*(int *)ctx += 1;
	return item == 1 ? nnr__fail(err, NNR_E_IO, "full") : 0;
}

static void callers_can_stop(void **state)
{
	nnr_program *p = bound(LABELS "out:\n- score: {choices: {a: \" hello\""
			       ", b: \" the\", c: x}}\n");
	nnr__record item[3] = { 0 };
	nnr_error err;
	int n = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		nnr__record_set(&item[i], "text", "x", 1, &err);
	assert_int_equal(nnr__program_answers(p, item, 3, stop_at_two, &n,
					      &err), NNR_E_IO);
	assert_int_equal(n, 2);
	for (int i = 0; i < 3; i++)
		nnr__record_release(&item[i]);
	nnr__program_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scores_are_sums_of_logs),
		cmocka_unit_test(scores_are_normalised_as_asked),
		cmocka_unit_test(calibration_follows_its_formula),
		cmocka_unit_test(fits_are_kept),
		cmocka_unit_test(affine_fit_is_a_minimum),
		cmocka_unit_test(affine_needs_answers),
		cmocka_unit_test(samples_stop_where_they_should),
		cmocka_unit_test(samples_are_their_seed_s),
		cmocka_unit_test(chat_needs_its_template),
		cmocka_unit_test(long_prompts_are_refused),
		cmocka_unit_test(answers_are_parsed),
		cmocka_unit_test(endless_regex_ends),
		cmocka_unit_test(votes_are_counted),
		cmocka_unit_test(company_changes_nothing),
		cmocka_unit_test(callers_can_stop),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
