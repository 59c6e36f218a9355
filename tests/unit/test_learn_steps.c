/* SPDX-License-Identifier: Apache-2.0
 *
 * test_learn_steps.c: the learnable steps of `in` on a tiny model of three
 * blocks: that answers read the same rows as the training pass, that every
 * tensor's gradient is the slope of the loss, however rows are shared and
 * computed again, and what rows start from.
 */
#include "learn_model.h"

#include <math.h>

#include "program/artifact.h"

/* Every value away from where it starts, so that nothing hides behind a
 * zero. */
static void shake(nnr_program *p)
{
	for (int t = 0; t < nnr__tensors(p); t++) {
		nnr__ptensor *one = nnr__tensor_at(p, t);
		float *add = malloc(one->n * sizeof(*add));

		nnr__normal_rows(0.1, 5, (uint64_t)t, one->n, add);
		for (size_t i = 0; i < one->n; i++)
			one->value[i] += add[i];
		free(add);
	}
}

struct lesson {
	nnr_program *p;
	nnr__data data;
	nnr__lesson *l;
};

static void open_lesson(struct lesson *s, const char *in, size_t memory)
{
	char path[96];
	nnr_error err;

	memset(s, 0, sizeof(*s));
	s->p = bound(in);
	shake(s->p);
	path_of("d.tsv", path);
	if (nnr__data_read(&s->data, s->p, path, NULL, true, &err) ||
	    nnr__lesson_new(&s->l, s->p, &s->data, memory, &err))
		fail_msg("%s", err.message);
}

static void close_lesson(struct lesson *s)
{
	nnr__lesson_free(s->l);
	nnr__data_release(&s->data);
	nnr__program_close(s->p);
}

static double gradient(struct lesson *s)
{
	int item[16];
	double loss;
	nnr_error err;

	for (int i = 0; i < s->data.n; i++)
		item[i] = i;
	if (nnr__lesson_gradient(s->l, item, s->data.n, &loss, &err))
		fail_msg("%s", err.message);
	return loss;
}

static double norm_of(const float *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)v[i] * (double)v[i];
	return sqrt(sum);
}

/* ---- what is tried: every step, form and company ---- */

static const char *const cases[] = {
	"- prefix: {rows: 5, init: abc}\n" TEMPLATE,
	"- prefix: {rows: 70, init: {random: 0.3}}\n" TEMPLATE,
	"- prefix: {rows: 4, init: abcde, form: {low_rank: 2}}\n" TEMPLATE,
	"- prefix: {rows: 4, init: ab, form: {mlp: 8}}\n" TEMPLATE,
	"- prefix: {rows: 3, init: ab, form: {residual: 4}}\n" TEMPLATE,
	"- deep_tokens: {count: 3, init: abc}\n" TEMPLATE,
	"- deep_tokens: {count: 3, init: abc, tie: yes}\n" TEMPLATE,
	"- deep_tokens: {count: 2, init: abc, form: {low_rank: 2}}\n" TEMPLATE,
	"- template: \"Say {text}\"\n  id: a\n"
	"- deep_tokens: {count: 3, init: {classes: yes}}\n"
	"- {template: or, id: b}\n",
	"- soft_tokens: {count: 4, init: {vocab: 20}, form: {residual: 6}}\n"
	TEMPLATE "- shift: {length: 9, form: {low_rank: 3}, scale: 2}\n",
	TEMPLATE "- shift: {length: 400}\n",
	"- soft_tokens: {count: 3, init: abc, form: {mlp: 9}}\n" TEMPLATE,
	"- prefix: {rows: 4, init: ab}\n"
	"- {deep_tokens: {count: 2, init: cd}, id: d}\n"
	"- {soft_tokens: {count: 3, init: {random: 0.1}}, id: s}\n"
	TEMPLATE "- shift: {length: 12}\n",
	"- prefix: {rows: 4, init: ab, learn: no}\n"
	TEMPLATE "- shift: {length: 6}\n",
	"- prefix: {rows: 4, init: ab}\n" TEMPLATE "- chat\n",
	"- {vocab_map: {field: text, symbols: \" abcdefghijklmnopqrstuvwxyz"
	"0123456789\", form: {sparse: 3}}, id: m}\n"
	"- template: \"Say {m}, or:\"\n",
	"- {vocab_map: {field: text, symbols: [\" \", a, b, ho, u, se, l, o, "
	"n, g, t, e, x, f, \"12\", w, r, d, s], form: {sparse: 4}, "
	"choose: random}, id: m}\n- template: \"Say {m}, or:\"\n",
};
#define CASES (sizeof(cases) / sizeof(*cases))

/* ---- answers and lessons agree ---- */

struct total {
	const nnr__data *data;
	double loss;
};

static int add_loss(void *ctx, int item, const nnr__answer *a, nnr_error *err)
{
	struct total *t = ctx;
	double sum = 0, most = a->score[0];

	(void)err;
	for (int c = 1; c < a->scores; c++)
		most = fmax(most, a->score[c]);
	for (int c = 0; c < a->scores; c++)
		sum += exp(a->score[c] - most);
	t->loss += most + log(sum) - a->score[t->data->label[item]];
	return 0;
}

static double answered_loss(struct lesson *s)
{
	struct total t = { &s->data, 0 };
	nnr_error err;

	if (nnr__program_lower(s->p, &err) ||
	    nnr__program_answers(s->p, s->data.item, s->data.n, add_loss, &t,
				 &err))
		fail_msg("%s", err.message);
	return t.loss / s->data.n;
}

/* Both run the same fp32 kernels on the same rows; what is left are sums of
 * a few doubles in another order.  A row that is missing costs 1e-3 or
 * more. */
static void answers_read_the_same_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		struct lesson s;
		double learned, answered;

		open_lesson(&s, cases[i], 0);
		learned = gradient(&s);
		answered = answered_loss(&s);
		if (!(fabs(learned - answered) < 1e-9))
			fail_msg("%s: %.12g in training, %.12g in answers",
				 cases[i], learned, answered);
		close_lesson(&s);
	}
}

/* Answers do not depend on the compiled beginning or on company: one item
 * at a time without it gives the same bits. */
static void one_by_one_is_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		struct lesson s;
		struct total t;
		double all;
		nnr_error err;

		open_lesson(&s, cases[i], 0);
		all = answered_loss(&s);
		t = (struct total){ &s.data, 0 };
		assert_int_equal(nnr__engine_prefix(s.p->engine, NULL, 0,
						    &err), 0);
		assert_int_equal(nnr__program_answers(s.p, s.data.item,
						      s.data.n, add_loss, &t,
						      &err), 0);
		assert_true(t.loss / s.data.n == all);
		close_lesson(&s);
	}
}

/* ---- slopes ---- */

/* (loss(v + e d) - loss(v - e d)) / 2 e against grad . d, d half along the
 * gradient, so that there is a slope.  The loss is fp32: at a change of 1e-2
 * its noise of 3e-7 shows as 3e-5, and the third derivative adds up to 1e-3
 * on a model this small. */
static void check_slope(struct lesson *s, const char *in, nnr__ptensor *t)
{
	float *at = malloc(t->n * sizeof(*at)), *d = malloc(t->n *
							    sizeof(*d));
	double slope = 0, e, found;

	gradient(s);
	memcpy(at, t->value, t->n * sizeof(*at));
	nnr__normal_rows(1, 7, 1, t->n, d);
	e = norm_of(t->grad, t->n) / norm_of(d, t->n);
	assert_true(e > 0);
	for (size_t i = 0; i < t->n; i++) {
		d[i] = (float)(e * (double)d[i] + (double)t->grad[i]);
		slope += (double)d[i] * (double)t->grad[i];
	}
	e = 1e-2 / slope;
	for (size_t i = 0; i < t->n; i++)
		t->value[i] = at[i] + (float)(e * (double)d[i]);
	found = gradient(s);
	for (size_t i = 0; i < t->n; i++)
		t->value[i] = at[i] - (float)(e * (double)d[i]);
	found = (found - gradient(s)) / (2 * e);
	memcpy(t->value, at, t->n * sizeof(*at));
	if (!(fabs(found / slope - 1) < 4e-3))
		fail_msg("%s: %s: %.6g by differences, %.6g", in, t->name,
			 found, slope);
	free(at);
	free(d);
}

static void gradients_are_slopes(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		struct lesson s;

		open_lesson(&s, cases[i], 0);
		for (int t = 0; t < nnr__tensors(s.p); t++)
			if (nnr__tensor_at(s.p, t)->grad)
				check_slope(&s, cases[i],
					    nnr__tensor_at(s.p, t));
		close_lesson(&s);
	}
}

static void check_close(const char *in, struct lesson *a, struct lesson *b)
{
	double loss = gradient(a);

	assert_true(fabs(loss - gradient(b)) < 1e-9);
	for (int t = 0; t < nnr__tensors(a->p); t++) {
		const nnr__ptensor *x = nnr__tensor_at(a->p, t);
		const nnr__ptensor *y = nnr__tensor_at(b->p, t);
		double off = 0;

		for (size_t i = 0; x->grad && i < x->n; i++)
			off += pow((double)x->grad[i] - (double)y->grad[i],
				   2);
		if (x->grad && !(sqrt(off) <= 1e-5 * norm_of(x->grad, x->n)))
			fail_msg("%s: %s is off by %g of %g", in, x->name,
				 sqrt(off), norm_of(x->grad, x->n));
	}
}

/* Next to no memory (blocks are computed again), and a copy of the common
 * beginning for every item: sums in another order, 1e-5 of them. */
static void gradients_do_not_depend_on_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		struct lesson s, little, plain;

		open_lesson(&s, cases[i], 0);
		open_lesson(&little, cases[i], 1);
		open_lesson(&plain, cases[i], 0);
		nnr__lesson_plain(plain.l);
		check_close(cases[i], &s, &little);
		check_close(cases[i], &s, &plain);
		close_lesson(&s);
		close_lesson(&little);
		close_lesson(&plain);
	}
}

/* ---- what rows start from ---- */

static int keep_scores(void *ctx, int item, const nnr__answer *a,
		       nnr_error *err)
{
	double *score = ctx;

	(void)err;
	memcpy(score + item * a->scores, a->score,
	       (size_t)a->scores * sizeof(*score));
	return 0;
}

static void scores_of(const char *in, double score[3])
{
	nnr_program *p = bound(in);
	nnr__record item = { 0 };
	nnr_error err;

	nnr__record_set(&item, "text", "a b", 3, &err);
	if (nnr__program_answers(p, &item, 1, keep_scores, score, &err))
		fail_msg("%s", err.message);
	nnr__record_release(&item);
	nnr__program_close(p);
}

/* Rows that start from a text give the scores of that text: the prefix and
 * the deep tokens of its rows inside f, soft tokens of its embeddings, a
 * shift of nothing.  The text ends where a token does. */
static void rows_of_a_text_are_the_text(void **state)
{
	static const char *const same[] = {
		"- prefix: {rows: 3, init: \"#%&\"}\n" TEMPLATE,
		"- prefix: {rows: 3, init: \"#%&\", form: {low_rank: 2}}\n"
		TEMPLATE,
		"- deep_tokens: {count: 3, init: \"#%&\"}\n" TEMPLATE,
		"- soft_tokens: {count: 3, init: \"#%&\"}\n" TEMPLATE,
		"- soft_tokens: {count: 3, init: \"#%&\", form: {residual: "
		"5}}\n" TEMPLATE "- shift: {length: 5, form: {mlp: 4}}\n",
		/* cut to the count */
		"- prefix: {rows: 3, init: \"#%&#\"}\n" TEMPLATE,
	};
	double want[3], got[3];

	(void)state;
	scores_of("- {template: \"#%&\", id: a}\n- {soft_tokens: {count: 1, "
		  "init: S}, id: b}\n- template: \"ay {text}, or:\"\n", want);
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		scores_of(same[i], got);
		for (int c = 0; c < 3; c++)
			if (!(fabs(got[c] - want[c]) < 1e-5))
				fail_msg("%s: %.9g, not %.9g", same[i],
					 got[c], want[c]);
	}
}

/* A text is repeated or cut to the rows; classes are the choices' tokens;
 * vocab draws from the first tokens; equal seeds draw the same. */
static void starts_are_as_said(void **state)
{
	nnr_program *p = bound("- soft_tokens: {count: 5, init: \"#%\"}\n"
			       "- {soft_tokens: {count: 4, init: {classes: "
			       "yes}}, id: c}\n"
			       "- {soft_tokens: {count: 6, init: {vocab: 1}},"
			       " id: v}\n"
			       "- {soft_tokens: {count: 2, init: {random: 2}},"
			       " id: r}\n" TEMPLATE);
	const size_t row = SYNTH_HIDDEN * sizeof(float);
	const float *v = nnr__tensor_find(p, "soft_tokens")->value;
	double sd = 0;

	(void)state;
	assert_memory_equal(v, v + 2 * SYNTH_HIDDEN, row);
	assert_memory_equal(v, v + 4 * SYNTH_HIDDEN, row);
	assert_memory_equal(v + SYNTH_HIDDEN, v + 3 * SYNTH_HIDDEN, row);
	assert_memory_not_equal(v, v + SYNTH_HIDDEN, row);
	v = nnr__tensor_find(p, "c")->value;
	assert_memory_equal(v, v + 3 * SYNTH_HIDDEN, row);
	assert_memory_not_equal(v, v + 2 * SYNTH_HIDDEN, row);
	v = nnr__tensor_find(p, "v")->value;
	assert_memory_equal(v, v + 5 * SYNTH_HIDDEN, row);
	v = nnr__tensor_find(p, "r")->value;
	for (int i = 0; i < 2 * SYNTH_HIDDEN; i++)
		sd += (double)v[i] * (double)v[i] / (2 * SYNTH_HIDDEN);
	assert_true(sd > 2 && sd < 8);		/* 4: chi-square, 64 values */
	nnr__program_close(p);
}

/* The nearest tokens of a symbol begin with its own. */
static void symbols_start_as_themselves(void **state)
{
	nnr_program *p = bound("- {vocab_map: {field: text, symbols: \"#%&\","
			       " form: {sparse: 4}}, id: m}\n"
			       "- {soft_tokens: {count: 3, init: \"#%&\"}, "
			       "id: s}\n- template: \"{m} {text}\"\n");
	const float *own = nnr__tensor_find(p, "s")->value;

	(void)state;
	assert_memory_equal(p->lowered->soft, own,
			    3 * SYNTH_HIDDEN * sizeof(float));
	nnr__program_close(p);
}

/* ---- rows of another program ---- */

/* A program as training leaves it, in a file of the folder. */
static void write_artifact(nnr_program *p, const char *name)
{
	char path[96];
	nnr_error err;

	for (int t = 0; t < nnr__tensors(p); t++)
		nnr__tensor_at(p, t)->set = true;
	path_of(name, path);
	if (nnr__artifact_write(p, path, NULL, &err))
		fail_msg("%s", err.message);
}

static void rows_come_from_another_program(void **state)
{
	const size_t row = SYNTH_HIDDEN * sizeof(float);
	const size_t kv = SYNTH_KV_HEADS * SYNTH_DIM * sizeof(float);
	nnr_program *a = bound("- prefix: {rows: 2, init: ab}\n"
			       "- deep_tokens: {count: 2, init: ab}\n"
			       "- soft_tokens: {count: 2, init: ab}\n"
			       TEMPLATE), *b;
	const float *from, *to;

	(void)state;
	shake(a);
	write_artifact(a, "a.nnr");
	b = bound("- prefix: {rows: 3, init: {from: a.nnr}}\n"
		  "- deep_tokens: {count: 1, init: {from: a.nnr}}\n"
		  "- {soft_tokens: {count: 5, init: {from: "
		  "a.nnr#soft_tokens}}, id: s}\n"
		  "- {soft_tokens: {count: 2, init: {from: "
		  "a.nnr#soft_tokens}, form: {residual: 3}}, id: r}\n"
		  TEMPLATE);
	from = nnr__tensor_find(a, "soft_tokens")->value;
	to = nnr__tensor_find(b, "s")->value;
	for (size_t i = 0; i < 5; i++)		/* repeated */
		assert_memory_equal(to + i * SYNTH_HIDDEN,
				    from + i % 2 * SYNTH_HIDDEN, row);
	assert_memory_equal(nnr__tensor_find(b, "r.rows")->value, from,
			    2 * row);
	from = nnr__tensor_find(a, "deep_tokens")->value;
	to = nnr__tensor_find(b, "deep_tokens")->value;
	for (int l = 0; l < BLOCKS; l++)	/* cut */
		assert_memory_equal(to + l * SYNTH_HIDDEN,
				    from + 2 * l * SYNTH_HIDDEN, row);
	from = nnr__tensor_find(a, "prefix")->value;
	to = nnr__tensor_find(b, "prefix")->value;
	for (size_t l = 0; l < 2 * BLOCKS; l++) {
		size_t cols = kv / sizeof(float);
		assert_memory_equal(to + 3 * l * cols, from + 2 * l * cols,
				    2 * kv);
		assert_memory_equal(to + (3 * l + 2) * cols,
				    from + 2 * l * cols, kv);
	}
	nnr__program_close(a);
	nnr__program_close(b);
}

/* An artifact holds its rows and does not ask for the file again. */
static void artifacts_need_no_other_program(void **state)
{
	static const char in[] = "- soft_tokens: {count: 3, init: {from: "
				 "b.nnr}, form: {mlp: 4}}\n" TEMPLATE;
	nnr__engine_opts o = { .precision = NNR_EXACT, .threads = 1,
			       .no_cache = true };
	nnr_program *a = bound("- soft_tokens: {count: 2, init: ab}\n"
			       TEMPLATE), *b, *c;
	size_t bytes = 3 * SYNTH_HIDDEN * sizeof(float);
	char path[96];
	nnr_error err;

	(void)state;
	write_artifact(a, "b.nnr");
	b = bound(in);
	shake(b);
	assert_int_equal(nnr__program_lower(b, &err), 0);
	write_artifact(b, "c.nnr");
	path_of("b.nnr", path);
	assert_int_equal(unlink(path), 0);
	path_of("c.nnr", path);
	if (nnr__artifact_open(&c, path, NULL, &err) ||
	    nnr__program_bind(c, &model, &o, &err))
		fail_msg("%s", err.message);
	assert_memory_equal(b->lowered->soft, c->lowered->soft, bytes);
	nnr__program_close(a);
	nnr__program_close(b);
	nnr__program_close(c);
}

/* Binding again, to learn or to answer, starts afresh. */
static void binding_again_starts_afresh(void **state)
{
	nnr__engine_opts o = { .precision = NNR_FAST, .threads = 1,
			       .no_cache = true };
	nnr_error err;

	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		nnr_program *p = bound(cases[i]);
		int n = nnr__tensors(p);

		if (nnr__program_bind(p, &model, &o, &err))
			fail_msg("%s", err.message);
		assert_int_equal(nnr__tensors(p), n);
		nnr__program_close(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_read_the_same_rows),
		cmocka_unit_test(one_by_one_is_the_same),
		cmocka_unit_test(gradients_are_slopes),
		cmocka_unit_test(gradients_do_not_depend_on_memory),
		cmocka_unit_test(rows_of_a_text_are_the_text),
		cmocka_unit_test(starts_are_as_said),
		cmocka_unit_test(symbols_start_as_themselves),
		cmocka_unit_test(rows_come_from_another_program),
		cmocka_unit_test(artifacts_need_no_other_program),
		cmocka_unit_test(binding_again_starts_afresh),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
