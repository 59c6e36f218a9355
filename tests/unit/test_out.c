/* SPDX-License-Identifier: Apache-2.0
 *
 * test_out.c: losses, and what g_out learns: gradients against central
 * differences, on plain numbers and through the synthetic model.
 *
 * Where f is constant the loss is a function of doubles but for its learned
 * fp32 values and the features: a difference over SMOOTH = 2^-10 is off by
 * SMOOTH^2 f''' / 6, up to 1e-6 of the largest slope here, and the gradient
 * is rounded to 2^-24; LIMIT leaves ten times that.
 */
#include "test.h"

#include "../learn.h"
#include "program/artifact.h"

#define SMOOTH 0x1p-10
#define LIMIT 1e-5
/* Through f in fp32, where a loss is off by 1e-7 or so: 1e-5 over 2 ROUGH;
 * and ROUGH^2 f''' / 6 is 1e-4 or so.  LIMIT_F leaves ten times that; a term
 * that is missing is 1. */
#define ROUGH 0x1p-7
#define LIMIT_F 2e-3

static learn_model tiny;

static int set_up(void **state)
{
	(void)state;
	learn_open(&tiny);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return learn_close(&tiny);
}

#define LINES \
	"a\thello\nb\tthe hello\nc\tx\na\too\nb\taaaa the\nc\thell oo\n" \
	"a\tthe x\n"
#define HEAD(in) \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [a, b, c]}\nin: [" in "template: \"say {text}:\"]\n"
#define SOFT "soft_tokens: {count: 2, init: {random: 0.1}}, "
#define TEMPLATE(in) HEAD(in) "out: ["

/* ---- losses ---- */

enum { N = 4 };
static const double scores[][N] = {
	{ 0.3, -1.2, 2.1, 0.4 }, { -3, 0, 0.01, -0.5 }, { 5, 5, 5, 5 },
	{ 40, -1, 3, 0 }
};
static const double taught[][N] = {
	{ 1, 0, -1, 0.5 }, { 0, 0, 0, 0 }, { 3, -8, 0, 1 }, { -2, 30, 1, 0 }
};

struct term {
	int loss;
	double gamma, temperature;
};

static double term_of(const struct term *t, const double *score,
		      const double *teacher, int y, double w, double *ds)
{
	double logp[N], room[2 * N];

	memcpy(logp, score, sizeof(logp));
	nnr__log_softmax(logp, N);
	if (t->loss == NNR__LOSS_FOCAL)
		return nnr__focal(logp, N, y, t->gamma, w, ds);
	if (t->loss == NNR__LOSS_DISTILL)
		return nnr__distill(score, teacher, N, t->temperature, w, ds,
				    room);
	return nnr__cross_entropy(logp, N, y, w, ds);
}

/* Differences over 2e-5 in doubles: off by 1e-10 in f''', 1e-11 in rounding
 * of losses up to 100. */
static void check_term(const struct term *t, const double *score,
		       const double *teacher, int y)
{
	double ds[N] = { 1, 1, 1, 1 }, none[N], at[N];

	term_of(t, score, teacher, y, 0.7, ds);
	for (int c = 0; c < N; c++) {
		double up, down;

		memcpy(at, score, sizeof(at));
		at[c] = score[c] + 1e-5;
		up = term_of(t, at, teacher, y, 0.7, none);
		at[c] = score[c] - 1e-5;
		down = term_of(t, at, teacher, y, 0.7, none);
		if (!(fabs(ds[c] - 1 - (up - down) / 2e-5) < 1e-8))
			fail_msg("loss %d of label %d: %g, not %g", t->loss,
				 c, ds[c] - 1, (up - down) / 2e-5);
	}
}

static void test_terms(void **state)
{
	static const struct term terms[] = {
		{ NNR__LOSS_CROSS_ENTROPY, 0, 0 }, { NNR__LOSS_FOCAL, 0, 0 },
		{ NNR__LOSS_FOCAL, 0.5, 0 }, { NNR__LOSS_FOCAL, 2, 0 },
		{ NNR__LOSS_DISTILL, 0, 1 }, { NNR__LOSS_DISTILL, 0, 4 }
	};

	(void)state;
	for (size_t t = 0; t < sizeof(terms) / sizeof(*terms); t++)
		for (int i = 0; i < 4; i++)
			for (int y = 0; y < N; y++)
				check_term(&terms[t], scores[i], taught[i], y);
}

/* Known values: focal 0 is cross-entropy; a teacher that agrees costs
 * nothing; what is certain costs nothing and pulls nowhere. */
static void test_term_values(void **state)
{
	double logp[2] = { log(0.25), log(0.75) }, ds[2] = { 0, 0 };
	double sure[2] = { 0, -800 }, room[4], score[2] = { 1, 2 };

	(void)state;
	assert_true(fabs(nnr__cross_entropy(logp, 2, 0, 1, ds) - log(4)) <
		    1e-15);
	assert_true(fabs(ds[0] + 0.75) < 1e-15 && fabs(ds[1] - 0.75) < 1e-15);
	assert_true(nnr__focal(logp, 2, 0, 0, 1, ds) ==
		    nnr__cross_entropy(logp, 2, 0, 1, ds));
	assert_true(fabs(nnr__focal(logp, 2, 1, 2, 1, ds) +
			 log(0.75) / 16) < 1e-15);
	memset(ds, 0, sizeof(ds));
	assert_true(nnr__focal(sure, 2, 0, 0.5, 1, ds) == 0);
	assert_true(ds[0] == 0 && ds[1] == 0);
	assert_true(nnr__distill(score, score, 2, 3, 1, ds, room) == 0);
	assert_true(ds[0] == 0 && ds[1] == 0);
	/* KL({1/4, 3/4} || {1/2, 1/2}) */
	score[0] = score[1] = 7;
	assert_true(fabs(nnr__distill(score, logp, 2, 1, 1, ds, room) -
			 (log(2) - 0.25 * log(4) - 0.75 * log(4.0 / 3))) <
		    1e-15);
}

/* ---- the whole of a program ---- */

/* Every learnable tensor. */
static void slopes(const char *source, double step, double limit)
{
	lesson s;
	int learned = 0;

	lesson_open(&tiny, &s, source, LINES);
	for (int i = 0; i < s.p->tensors; i++) {
		nnr__ptensor *t = s.p->tensor[i];

		if (!t->grad)
			continue;
		for (size_t k = 0; k < t->n; k++)	/* off the start */
			t->value[k] += 0.25f * (float)
				(nnr__rng_uniform(3, (uint64_t)i, k) - 0.5);
		lesson_slopes(&s, t, step, limit);
		learned++;
	}
	assert_true(learned > 0);
	lesson_close(&s);
}

static int keep(void *ctx, int item, const nnr__answer *a, nnr_error *err)
{
	double *score = ctx;

	(void)err;
	memcpy(score + item * 3, a->score, 3 * sizeof(*score));
	return 0;
}

static void answers(nnr_program *p, const nnr__data *d, double *score)
{
	nnr_error err;

	p->untrained = true;
	if (nnr__program_answers(p, d->item, d->n, keep, score, &err))
		fail_msg("%s", err.message);
}

#define W(more) \
	"score: {choices: {a: [\" hello\", x, \" the\"], b: [\" b\", " \
	"\"oo hello\"], c: xx}, learn: yes" more "}"

static void test_words(void **state)
{
	(void)state;
	slopes(TEMPLATE("") W("") "]\n", SMOOTH, LIMIT);
	slopes(TEMPLATE("") W(", normalize: length") "]\n", SMOOTH, LIMIT);
	slopes(TEMPLATE(SOFT) W("") "]\n", ROUGH, LIMIT_F);
	slopes(TEMPLATE(SOFT) W(", normalize: bytes") "]\n", ROUGH, LIMIT_F);
	slopes(TEMPLATE(SOFT) W(", normalize: unconditional") "]\n", ROUGH,
	       LIMIT_F);
}

static void test_linear(void **state)
{
	(void)state;
	slopes(TEMPLATE("") "linear: {init: {random: 0.1}}]\n", SMOOTH,
	       LIMIT);
	slopes(TEMPLATE("") "linear: {site: logits, classes: [x, y, a, z]}]"
	       "\n", SMOOTH, LIMIT);
	slopes(TEMPLATE(SOFT) "linear: {init: {random: 0.1}}]\n", ROUGH,
	       LIMIT_F);
	slopes(TEMPLATE(SOFT) "linear: {site: logits, classes: [x, y, a], "
	       "init: {classes: yes}}]\n", ROUGH, LIMIT_F);
}

static void test_losses(void **state)
{
	(void)state;
	slopes(TEMPLATE("") "linear]\ntrain: {loss: {focal: {gamma: 1.5, "
	       "balance: yes}}}\n", SMOOTH, LIMIT);
	slopes(TEMPLATE("") "linear]\ntrain: {loss: [{cross_entropy: {}, "
	       "weight: 0.3}, {focal: 2, weight: 2}]}\n", SMOOTH, LIMIT);
}

#define WARM W("") ", calibrate: {method: temperature}"
#define AFFINE "calibrate: {method: affine, learn: yes}"

static void test_calibrate(void **state)
{
	(void)state;
	slopes(TEMPLATE("") WARM "]\n", SMOOTH, LIMIT);
	slopes(TEMPLATE("") W("") ", " AFFINE "]\n", SMOOTH, LIMIT);
	slopes(TEMPLATE("") "linear, {id: one, " AFFINE "}, {id: two, "
	       "calibrate: temperature}]\n", SMOOTH, LIMIT);
	slopes(TEMPLATE(SOFT) W("") ", " AFFINE ", {id: two, calibrate: "
	       "temperature}]\n", ROUGH, LIMIT_F);
}

/* The temperature of least loss: its slope there is 0, and the same by other
 * means.  Labels drawn at temperature 2 give about 2. */
static void test_temperature(void **state)
{
	enum { ITEMS = 4000 };
	static double l[ITEMS * 2], slope;
	static int label[ITEMS];
	double t;

	(void)state;
	for (uint64_t i = 0; i < ITEMS; i++) {
		double z = 6 * nnr__rng_uniform(1, 0, i) - 3;

		l[i * 2] = 2 * z;
		l[i * 2 + 1] = 0;
		nnr__log_softmax(l + i * 2, 2);
		label[i] = nnr__rng_uniform(1, 1, i) > 1 / (1 + exp(-z));
	}
	t = exp(nnr__fit_temperature(l, label, ITEMS, 2, 1e-6));
	/* the error of 4000 labels is about 0.08 */
	assert_true(fabs(t - 2) < 0.3);
	for (int i = 0; i < ITEMS; i++) {
		double p = 1 / (1 + exp((l[i * 2 + 1] - l[i * 2]) / t));

		slope += (l[i * 2] - l[i * 2 + 1]) * (p - (label[i] == 0)) /
			 ITEMS;
	}
	assert_true(fabs(slope + 1e-6 * (1 / t - 1)) < 1e-11);
	/* what is always right is as cold as can be, what is wrong as hot */
	for (int i = 0; i < ITEMS; i++)
		label[i] = l[i * 2] < l[i * 2 + 1];
	assert_true(nnr__fit_temperature(l, label, ITEMS, 2, 1e-9) < -4);
	for (int i = 0; i < ITEMS; i++)
		label[i] = l[i * 2] > l[i * 2 + 1];
	assert_true(nnr__fit_temperature(l, label, ITEMS, 2, 1e-9) > 4);
}

#define PLAIN \
	"score: {choices: {a: \" hello\", b: x, c: \" the\"}}"

/* LINES with the labels that PLAIN prefers, but for two. */
static void likely_lines(char *out, size_t size)
{
	double score[LEARN_ITEMS_MAX * 3];
	lesson s = { 0 };
	size_t n = 0;

	s.p = lesson_program(&tiny, TEMPLATE("") PLAIN "]\n");
	lesson_bind(&tiny, s.p);
	lesson_data(&tiny, &s, LINES);
	answers(s.p, &s.data, score);
	for (int i = 0; i < s.data.n; i++) {
		const double *v = score + i * 3;
		int most = v[1] > v[0] ? 1 : 0;

		most = v[2] > v[most] ? 2 : most;
		n += (size_t)snprintf(out + n, size - n, "%c\t%s\n",
				      "abc"[(most + (i < 2)) % 3],
				      nnr__record_get(&s.data.item[i],
						      "text")->text);
	}
	lesson_close(&s);
}

static double answer_loss(lesson *s)
{
	double score[LEARN_ITEMS_MAX * 3], loss = 0;

	answers(s->p, &s->data, score);
	for (int i = 0; i < s->data.n; i++)
		loss -= score[i * 3 + s->data.label[i]] / s->data.n;
	return loss;
}

/* Fitted to data: the answers' loss is least, and the fit is kept. */
static void test_warm_data(void **state)
{
	static const char source[] = TEMPLATE("") PLAIN ", calibrate: {"
		"method: temperature, data: data.tsv, l2: 0.000001}]\n";
	char lines[300];
	lesson s = { 0 };
	nnr__ptensor *t;
	nnr_error err;
	double least;
	float fit;

	(void)state;
	likely_lines(lines, sizeof(lines));
	s.p = lesson_program(&tiny, source);
	lesson_bind(&tiny, s.p);
	lesson_data(&tiny, &s, lines);
	t = nnr__tensor_find(s.p, "calibrate.log_temperature");
	assert_true(t && !t->grad && !t->set);
	least = answer_loss(&s);
	assert_true(t->set);
	fit = t->value[0];
	assert_true(fit != 0 && fabsf(fit) < 6);
	t->value[0] = fit + 0.1f;
	assert_true(answer_loss(&s) > least);
	t->value[0] = fit - 0.1f;
	assert_true(answer_loss(&s) > least);
	t->value[0] = 99;	/* comes back from the cache */
	nnr__program_unfit(s.p);
	assert_true(answer_loss(&s) == least && t->value[0] == fit);
	assert_int_equal(nnr__lesson_new(&s.l, s.p, &s.data, 0, &err),
			 NNR_E_INPUT);	/* it learns nothing */
	lesson_close(&s);
}

/* ---- teachers ---- */

#define TAUGHT \
	TEMPLATE("") "linear]\ntrain: {loss: {distill: {from: teacher.yaml, " \
	"temperature: 2}}}\n"
/* Its labels in another order, its prompt another. */
#define TEACHER \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [c, a, b]}\nin: [template: \"{text} oo\"]\n" \
	"out: [score: {choices: {a: \" hello\", b: \" the\", c: x}}]\n"

static void teach(const char *source)
{
	learn_put(&tiny, "teacher.yaml", source, strlen(source));
}

static void test_teacher(void **state)
{
	static const int order[] = { 1, 2, 0 };	/* a, b, c of c, a, b */
	double score[LEARN_ITEMS_MAX * 3], want = 0, loss;
	nnr_program *p;
	lesson s;

	(void)state;
	teach(TEACHER);
	lesson_open(&tiny, &s, TAUGHT, LINES);
	assert_int_equal(nnr__lesson_teacher_passes(s.l), s.data.n);
	loss = lesson_loss(&s);
	p = lesson_program(&tiny, TEACHER);
	lesson_bind(&tiny, p);
	answers(p, &s.data, score);
	for (int i = 0; i < s.data.n; i++) {
		double q[3];

		for (int c = 0; c < 3; c++)
			q[c] = score[i * 3 + order[c]] / 2;
		nnr__log_softmax(q, 3);
		for (int c = 0; c < 3; c++)	/* a new `linear` says 1/3 */
			want += 4 * exp(q[c]) * (q[c] + log(3)) / s.data.n;
	}
	assert_true(want > 1e-3);
	assert_true(fabs(loss - want) < 1e-12);
	assert_null(s.l->teacher[0].p);		/* it is done */
	assert_true(lesson_loss(&s) == loss);
	nnr__program_close(p);
	lesson_close(&s);
	slopes(TAUGHT, SMOOTH, LIMIT);
}

/* What a lesson refuses to open. */
static void refused(const char *source, const char *message)
{
	lesson s = { 0 };
	nnr_error err = { 0 };

	s.p = lesson_program(&tiny, source);
	lesson_bind(&tiny, s.p);
	lesson_data(&tiny, &s, LINES);
	assert_int_equal(nnr__lesson_new(&s.l, s.p, &s.data, 0, &err),
			 NNR_E_INPUT);
	assert_message(err, message);
	lesson_close(&s);
}

#define TALKS \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [a, b, c]}\nin: [template: \"{text}\"]\n" \
	"out: [generate: 3, parse]\n"

static void test_bad_teachers(void **state)
{
	(void)state;
	teach("nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n"
	      "output: {label: [a, b]}\nin: [template: \"{text}\"]\n"
	      "out: [score: {choices: {a: x, b: y}}]\n");
	refused(TAUGHT, "p.yaml:8:16: `train`");
	refused(TAUGHT, "`train`: the teacher 'teacher.yaml' answers with one "
		"of a, b; the 3 labels of this program were expected");
	teach("nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n"
	      "output: {label: [a, b, d]}\nin: [template: \"{text}\"]\n"
	      "out: [score: {choices: {a: x, b: y, d: z}}]\n");
	refused(TAUGHT, "has no label `c`, only one of a, b, d");
	teach(TALKS);
	refused(TAUGHT, "generates texts; one that scores its labels was "
		"expected");
	teach("nnr: 1\nname: t\nmodel: ./other.gguf\ninput: {text: string}\n"
	      "output: {label: [a, b, c]}\nin: [template: \"{text}\"]\n"
	      "out: [score: {choices: {a: x, b: y, c: z}}]\n");
	refused(TAUGHT, "is on a model that cannot be read");
	learn_put(&tiny, "other.gguf", "no", 2);
	refused(TAUGHT, "is on another model, `./other.gguf`");
	teach("nnr: 1\nname: t\n");
	refused(TAUGHT, "teacher.yaml:1");
}

/* A teacher that needs a field the items lack; one that is not there. */
static void test_bad_teaching(void **state)
{
	nnr_error err = { 0 };
	nnr_program *p;
	lesson s;
	double loss;

	(void)state;
	teach("nnr: 1\nname: t\nmodel: m\ninput: {text: string, more: "
	      "string}\noutput: {label: [a, b, c]}\nin: [template: "
	      "\"{text}{more}\"]\nout: [score: {choices: {a: x, b: y, c: z}}"
	      "]\n");
	lesson_open(&tiny, &s, TAUGHT, LINES);
	assert_int_equal(nnr__lesson_gradient(s.l, s.item, 2, &loss, &err),
			 NNR_E_INPUT);
	assert_message(err, "the teacher 'teacher.yaml', line 1 of the data: "
		       "the field `more` is missing");
	lesson_close(&s);
	assert_true(nnr__program_parse(&p, "p.yaml", tiny.dir,
		TEMPLATE("") "linear]\ntrain: {loss: {distill: none.yaml}}\n",
		strlen(TEMPLATE("") "linear]\ntrain: {loss: {distill: "
		       "none.yaml}}\n"), NULL, &err) < 0);
	assert_message(err, "cannot find the file");
}

/* An artifact holds its teacher, if that reads no file of its own. */
static void test_teacher_inside(void **state)
{
	static const char with_file[] =
		"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n"
		"output: {label: [a, b, c]}\nin: [demos: {file: data.tsv}, "
		"template: \"{text}\"]\n"
		"out: [score: {choices: {a: x, b: y, c: z}}]\n";
	char path[160];
	double loss[2];

	(void)state;
	snprintf(path, sizeof(path), "%s/student.nnr", tiny.dir);
	for (int k = 0; k < 2; k++) {
		nnr_error err = { 0 };
		lesson s, l = { 0 };

		learn_put(&tiny, "data.tsv", LINES, strlen(LINES));
		teach(k ? with_file : TEACHER);
		lesson_open(&tiny, &s, TAUGHT, LINES);
		loss[0] = lesson_loss(&s);
		s.p->untrained = true;
		if (nnr__artifact_write(s.p, path, NULL, &err))
			fail_msg("%s", err.message);
		lesson_close(&s);
		teach("gone");
		if (nnr__artifact_open(&l.p, path, NULL, &err))
			fail_msg("%s", err.message);
		lesson_bind(&tiny, l.p);
		lesson_data(&tiny, &l, LINES);
		assert_int_equal(nnr__lesson_new(&l.l, l.p, &l.data, 0, &err),
				 k ? NNR_E_INPUT : 0);
		if (k)
			assert_message(err, "cannot be opened from the "
				       "artifact");
		else
			assert_true((loss[1] = lesson_loss(&l)) == loss[0]);
		lesson_close(&l);
	}
}

/* The teacher's bytes are part of the program. */
static void test_teacher_hash(void **state)
{
	nnr_program *a, *b;

	(void)state;
	teach(TEACHER);
	a = lesson_program(&tiny, TAUGHT);
	teach(TEACHER "# another\n");
	b = lesson_program(&tiny, TAUGHT);
	assert_string_not_equal(a->hash, b->hash);
	nnr__program_close(a);
	nnr__program_close(b);
}

/* ---- a frozen f ---- */

static uint64_t tokens_run(const lesson *s)
{
	return nnr__engine_stats_of(s->p->engine)->prompt_tokens;
}

/* f runs once an item: in the second round no token does.  Whatever is kept
 * and however items are batched, the numbers are the same. */
static void check_frozen(const char *out)
{
	char source[600];
	lesson s;
	nnr_error err;
	double all, parts = 0, loss;
	uint64_t before;

	snprintf(source, sizeof(source), TEMPLATE("") "%s]\n", out);
	lesson_open(&tiny, &s, source, LINES);
	for (int i = 0; i < s.data.n; i++) {
		before = tokens_run(&s);
		if (nnr__lesson_gradient(s.l, s.item + i, 1, &loss, &err))
			fail_msg("%s", err.message);
		assert_true(tokens_run(&s) > before);
		parts += loss / s.data.n;
	}
	before = tokens_run(&s);
	all = lesson_loss(&s);
	assert_true(tokens_run(&s) == before);
	assert_true(fabs(all - parts) < 1e-14);
	assert_null(s.l->exec);
	nnr__lesson_free(s.l);
	/* room for one item: the others are run every time */
	if (nnr__lesson_new(&s.l, s.p, &s.data, 200, &err))
		fail_msg("%s", err.message);
	assert_true(lesson_loss(&s) == all);
	before = tokens_run(&s);
	assert_true(lesson_loss(&s) == all);
	assert_true(tokens_run(&s) > before);
	lesson_close(&s);
}

static void test_frozen(void **state)
{
	(void)state;
	check_frozen("linear: {init: {random: 0.1}}");
	check_frozen(W(", normalize: length"));
}

/* Inference and a lesson agree, f frozen or not. */
static void check_same(const char *in, const char *out)
{
	double score[LEARN_ITEMS_MAX * 3], want = 0;
	char source[600];
	lesson s;

	snprintf(source, sizeof(source), HEAD("%s") "out: [%s]\n", in, out);
	lesson_open(&tiny, &s, source, LINES);
	answers(s.p, &s.data, score);
	for (int i = 0; i < s.data.n; i++) {
		nnr__log_softmax(score + i * 3, 3);
		want -= score[i * 3 + s.data.label[i]] / s.data.n;
	}
	/* the rounding of logits of about 1 in fp32 */
	assert_true(fabs(lesson_loss(&s) - want) < 1e-6);
	lesson_close(&s);
}

static void test_same(void **state)
{
	(void)state;
	check_same("", W(""));
	check_same(SOFT, W(""));
	check_same(SOFT, W(", normalize: bytes"));
	check_same("", "linear: {init: {random: 0.2}}");
	check_same("", WARM);
	check_same(SOFT, "linear: {init: {classes: yes}}");
	check_same(SOFT, "linear: {site: logits, classes: [a, b, x], init: "
		   "{classes: yes}}");
}

/* ---- bad input ---- */

static void bad(const char *source, const char *message)
{
	nnr_program *p = NULL;
	nnr_error err = { 0 };
	int rc = nnr__program_parse(&p, "p.yaml", tiny.dir, source,
				    strlen(source), NULL, &err);

	if (!rc) {
		nnr__engine_opts o = { .threads = 1 };

		rc = nnr__program_bind(p, &tiny.model, &o, &err);
	}
	nnr__program_close(p);
	if (rc != NNR_E_INPUT || !strstr(err.message, message))
		fail_msg("%s\nsaid %s (%d)\nnot %s", source, err.message, rc,
			 message);
}

static void test_bad_input(void **state)
{
	static const char *const wrong[][2] = {
		{ TEMPLATE("") "linear: {site: logits}]\n",
		  "p.yaml:7:22: `linear`: logits needs `classes`" },
		{ TEMPLATE("") "linear: {classes: [a]}]\n",
		  "are of the site logits; the site is features" },
		{ TEMPLATE("") "linear: {site: logits, classes: [hello oo]}]\n",
		  "`hello oo` has 3 tokens; texts of one token" },
		{ TEMPLATE("") "linear: {init: hello}]\n",
		  "{random: SD} or {classes: yes} was expected" },
		{ TEMPLATE("") "linear: {site: logits, classes: [a, b], init: "
		  "{classes: yes}}]\n", "`classes` has 2 texts and the output "
		  "3 labels: which reads which?" },
		{ TEMPLATE("") "linear: {at: first}]\n",
		  "`at` is `first`; known: last" },
		{ TEMPLATE("") "score: {choices: {a: [], b: x, c: y}}]\n",
		  "p.yaml:7:28: `a` of `choices` is an empty list" },
		{ TEMPLATE("") "score: {choices: {a: [x, y], b: x, c: z}}]\n",
		  "`a` and `b` have the same choice `x`" },
		{ TEMPLATE("") "score: {choices: {a: [x, x], b: y, c: z}}]\n",
		  "`a` has the choice `x` twice" },
		{ TEMPLATE("") "score: {choices: {a: [[x]], b: y, c: z}}]\n",
		  "holds a list; texts were expected" },
		{ TEMPLATE("") "linear, calibrate: {learn: yes}]\n",
		  "contextual is counted, not learned" },
		{ TEMPLATE("") "linear, calibrate: {method: affine}]\n",
		  "affine needs `data`, a file to fit it on, or `learn: yes`" },
		{ TEMPLATE("") "linear, calibrate: {method: temperature, "
		  "learn: no}]\n", "temperature needs `data`, a file to fit "
		  "it on, or `learn: yes`" },
		{ TEMPLATE("") "linear, calibrate: {method: affine, "
		  "learn: yes, data: data.tsv}]\n", "`data` fits it and "
		  "`learn` trains it; give one of them" },
		{ TEMPLATE("") "linear, calibrate: {method: affine, "
		  "learn: yes, inputs: x}]\n", "affine reads `data`, not "
		  "inputs" },
		{ TEMPLATE("") "score: {choices: [x]}]\n",
		  "`choices` is a list; a map was expected" },
		{ TEMPLATE("") "score: {choices: {a: x, b: y, c: z}, learn: "
		  "yes}]\n", "every label has one choice: there are no "
		  "weights to learn" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		bad(wrong[i][0], wrong[i][1]);
	refused(TEMPLATE("") "linear: {learn: no}]\n",
		"no step of it learns");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terms),
		cmocka_unit_test(test_term_values),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_linear),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_calibrate),
		cmocka_unit_test(test_temperature),
		cmocka_unit_test(test_warm_data),
		cmocka_unit_test(test_teacher),
		cmocka_unit_test(test_bad_teachers),
		cmocka_unit_test(test_bad_teaching),
		cmocka_unit_test(test_teacher_hash),
		cmocka_unit_test(test_teacher_inside),
		cmocka_unit_test(test_frozen),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_bad_input),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
