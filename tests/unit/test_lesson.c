/* SPDX-License-Identifier: Apache-2.0
 *
 * test_lesson.c: gradients through SmolLM2-135M-Instruct against PyTorch in
 * float64 (tests/golden/grads), and against themselves: however rows are
 * packed, cached, shared or computed again.  Needs the model.
 */
#include "test.h"

#include <math.h>

#include "load/safetensors.h"
#include "program/learn.h"
#include "real_model.h"

#define FOLDER "tests/golden/grads/"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW 1
#else
#define SLOW 0
#endif

static nnr_model model;

struct lesson {
	nnr_program *p;
	nnr__data data;
	nnr__lesson *l;
	double loss;
};

static void open_lesson(struct lesson *s, const char *name,
			nnr_precision mode, int threads, size_t memory)
{
	static const char *const ends[] = { "tsv", "jsonl" };
	nnr__engine_opts o = { .precision = mode, .threads = threads,
			       .no_cache = true };
	char path[160];
	nnr_error err;
	int rc = -1;

	memset(s, 0, sizeof(*s));
	snprintf(path, sizeof(path), FOLDER "%s.yaml", name);
	if (nnr__program_open(&s->p, path, NULL, &err) ||
	    nnr__program_bind(s->p, &model, &o, &err))
		fail_msg("%s", err.message);
	for (int i = 0; i < 2 && rc; i++) {
		snprintf(path, sizeof(path), FOLDER "%s.%s", name, ends[i]);
		if (nnr__file_exists(path))
			rc = nnr__data_read(&s->data, s->p, path, NULL, true,
					    &err);
	}
	if (rc || nnr__lesson_new(&s->l, s->p, &s->data, memory, &err))
		fail_msg("%s", err.message);
}

static void close_lesson(struct lesson *s)
{
	nnr__lesson_free(s->l);
	nnr__data_release(&s->data);
	nnr__program_close(s->p);
}

static const nnr__ptensor *gradient(struct lesson *s, int first, int n)
{
	int item[64];
	nnr_error err;

	for (int i = 0; i < n; i++)
		item[i] = first + i;
	if (nnr__lesson_gradient(s->l, item, n, &s->loss, &err))
		fail_msg("%s", err.message);
	return nnr__tensor_at(s->p, 0);
}

static double norm_of(const float *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)v[i] * (double)v[i];
	return sqrt(sum);
}

/* |a - b| / |b| */
static double relative(const float *a, const float *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += ((double)a[i] - (double)b[i]) *
		       ((double)a[i] - (double)b[i]);
	return sqrt(sum) / norm_of(b, n);
}

static double cosine(const float *a, const float *b, size_t n)
{
	double dot = 0;

	for (size_t i = 0; i < n; i++)
		dot += (double)a[i] * (double)b[i];
	return dot / norm_of(a, n) / norm_of(b, n);
}

/* ---- PyTorch, float64 ---- */

static void check_golden(const char *name)
{
	char path[160];
	const nnr__ptensor *t;
	const nnr__st_tensor *want, *loss;
	struct lesson s;
	nnr__st *st;
	nnr_error err;
	float l64;
	double off;

	snprintf(path, sizeof(path), FOLDER "%s.safetensors", name);
	if (nnr__st_open(&st, path, &err))
		fail_msg("%s", err.message);
	open_lesson(&s, name, NNR_EXACT, 2, 0);
	t = gradient(&s, 0, s.data.n);
	want = nnr__st_find(st, t->name);
	loss = nnr__st_find(st, "loss");
	assert_non_null(want);
	assert_int_equal(nnr__st_values(want), t->n);
	nnr__st_floats(loss, &l64);
	/* fp32 of another order of sums; PyTorch's own is off by as much */
	assert_true(fabs(s.loss - (double)l64) < 1e-4);
	off = relative(t->grad, want->data, t->n);
	if (!(off <= 1e-4))
		fail_msg("%s: relative error %.3g", name, off);
	nnr__st_close(st);
	close_lesson(&s);
}

static void golden_leading(void **state)
{
	(void)state;
	check_golden("soft");
}

static void golden_middle(void **state)
{
	(void)state;
	check_golden("middle");
}

static void golden_choices(void **state)
{
	(void)state;
	check_golden("choices");
}

static void golden_texts(void **state)
{
	(void)state;
	check_golden("next");
}

/* ---- differences: every learnable step, along a random direction ---- */

#define HEAD \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [negative, positive]}\nin:\n"
#define TAIL \
	"out:\n  - score: {choices: {negative: \" negative\", " \
	"positive: \" positive\"}}\n"

static double loss_at(struct lesson *s, int n)
{
	gradient(s, 0, n);
	return s->loss;
}

/* (loss(v + e d) - loss(v - e d)) / 2 e against grad . d.  The loss is fp32:
 * at a change of 1e-3 its own noise of 1e-7 shows as 1e-4; the third
 * derivative adds as much. */
static void difference(struct lesson *s, nnr__ptensor *t, int n)
{
	float *at = malloc(t->n * sizeof(*at)), *d = malloc(t->n *
							    sizeof(*d));
	double slope = 0, e, found;

	gradient(s, 0, n);
	memcpy(at, t->value, t->n * sizeof(*at));
	nnr__normal_rows(1, 7, 1, t->n, d);
	/* half along the gradient, so that there is a slope */
	e = norm_of(t->grad, t->n) / norm_of(d, t->n);
	for (size_t i = 0; i < t->n; i++) {
		d[i] = (float)(e * (double)d[i] + (double)t->grad[i]);
		slope += (double)d[i] * (double)t->grad[i];
	}
	e = 1e-3 / slope;
	for (size_t i = 0; i < t->n; i++)
		t->value[i] = at[i] + (float)(e * (double)d[i]);
	found = loss_at(s, n);
	for (size_t i = 0; i < t->n; i++)
		t->value[i] = at[i] - (float)(e * (double)d[i]);
	found = (found - loss_at(s, n)) / (2 * e);
	memcpy(t->value, at, t->n * sizeof(*at));
	if (!(fabs(found / slope - 1) < 5e-3))
		fail_msg("%s: %.6g by differences, %.6g", t->name, found,
			 slope);
	free(at);
	free(d);
}

static void differences(const char *in)
{
	nnr__engine_opts o = { .precision = NNR_EXACT, .threads = 2,
			       .no_cache = true };
	struct lesson s = { 0 };
	nnr__buf text = { 0 };
	nnr_error err;

	nnr__buf_addf(&text, HEAD "%s" TAIL, in);
	if (nnr__program_parse(&s.p, "t.yaml", NULL, text.p, text.len, NULL,
			       &err) ||
	    nnr__program_bind(s.p, &model, &o, &err) ||
	    nnr__data_read(&s.data, s.p, FOLDER "soft.tsv", NULL, true,
			   &err) ||
	    nnr__lesson_new(&s.l, s.p, &s.data, 0, &err))
		fail_msg("%s", err.message);
	/* away from zeros that some start at */
	for (int i = 0; i < nnr__tensors(s.p); i++) {
		nnr__ptensor *t = nnr__tensor_at(s.p, i);

		if (norm_of(t->value, t->n) == 0)
			nnr__normal_rows(0.02, 3, (uint64_t)i, t->n,
					 t->value);
	}
	for (int i = 0; i < nnr__tensors(s.p); i++)
		if (nnr__tensor_at(s.p, i)->grad)
			difference(&s, nnr__tensor_at(s.p, i), 2);
	nnr__buf_release(&text);
	close_lesson(&s);
}

#define TEMPLATE "  - template: \"Review: {text}\\nSentiment:\"\n"

static void difference_lora(void **state)
{
	(void)state;
	differences("  - lora: {weights: [attn_q, attn_v, ffn_down], "
		    "rank: 4}\n" TEMPLATE);
}

static void difference_soft(void **state)
{
	(void)state;
	differences("  - soft_tokens: {count: 4, init: \"good or bad\"}\n"
		    TEMPLATE);
}

/* ---- the same bits ---- */

static float *kept(const nnr__ptensor *t)
{
	float *v = malloc(t->n * sizeof(*v));

	assert_non_null(v);
	memcpy(v, t->grad, t->n * sizeof(*v));
	return v;
}

/* Four items at once are the sum of four passes, in order: a quarter of each
 * is exact.  Plain: each has its own copy of the soft tokens. */
static void packed(void **state)
{
	struct lesson s;
	const nnr__ptensor *t;
	float *sum, *all;
	double loss = 0, together;

	(void)state;
	open_lesson(&s, "soft", NNR_EXACT, 2, 0);
	nnr__lesson_plain(s.l);
	t = gradient(&s, 0, 4);
	all = kept(t);
	together = s.loss;
	sum = calloc(t->n, sizeof(*sum));
	for (int i = 0; i < 4; i++) {
		t = gradient(&s, i, 1);
		loss += s.loss / 4;
		for (size_t k = 0; k < t->n; k++)
			sum[k] += t->grad[k] / 4;
	}
	assert_memory_equal(sum, all, t->n * sizeof(*all));
	assert_true(loss == together);
	free(sum);
	free(all);
	close_lesson(&s);
}

/* The soft tokens once for all: the same loss, sums in another order. */
static void shared(void **state)
{
	struct lesson a, b;
	const nnr__ptensor *once, *copies;

	(void)state;
	open_lesson(&a, "soft", NNR_EXACT, 2, 0);
	open_lesson(&b, "soft", NNR_EXACT, 2, 0);
	nnr__lesson_plain(b.l);
	once = gradient(&a, 0, 4);
	copies = gradient(&b, 0, 4);
	assert_true(a.loss == b.loss);
	assert_true(relative(once->grad, copies->grad, once->n) < 1e-5);
	close_lesson(&a);
	close_lesson(&b);
}

static void same_bits(const char *name, int threads, size_t memory)
{
	struct lesson a, b;
	const nnr__ptensor *x, *y;

	open_lesson(&a, name, NNR_EXACT, 2, 0);
	open_lesson(&b, name, NNR_EXACT, threads, memory);
	x = gradient(&a, 0, a.data.n);
	y = gradient(&b, 0, b.data.n);
	assert_true(a.loss == b.loss);
	assert_memory_equal(x->grad, y->grad, x->n * sizeof(float));
	/* and again, with what is kept by now */
	y = gradient(&b, 0, b.data.n);
	assert_memory_equal(x->grad, y->grad, x->n * sizeof(float));
	close_lesson(&a);
	close_lesson(&b);
}

static void threads(void **state)
{
	(void)state;
	same_bits("soft", 1, 0);
	same_bits("choices", 3, 0);
}

/* 1 byte: nothing is kept, every block is computed again. */
static void computed_again(void **state)
{
	(void)state;
	same_bits("soft", 2, 1);
	same_bits("middle", 1, 1);
	same_bits("next", 2, 1);
}

/* ---- fast ---- */

static void fast(void **state)
{
	struct lesson a, b;
	const nnr__ptensor *x, *y;

	(void)state;
	for (int i = 0; i < 2; i++) {
		const char *name = i ? "middle" : "soft";

		open_lesson(&a, name, NNR_EXACT, 2, 0);
		open_lesson(&b, name, NNR_FAST, 2, 0);
		x = gradient(&a, 0, 4);
		y = gradient(&b, 0, 4);
		if (!(cosine(y->grad, x->grad, x->n) >= 0.999))
			fail_msg("%s: cosine %.6f", name,
				 cosine(y->grad, x->grad, x->n));
		close_lesson(&a);
		close_lesson(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_leading),
		cmocka_unit_test(golden_middle),
		cmocka_unit_test(shared),
		cmocka_unit_test(golden_choices),
		cmocka_unit_test(golden_texts),
		cmocka_unit_test(difference_soft),
		cmocka_unit_test(difference_lora),
		cmocka_unit_test(packed),
		cmocka_unit_test(threads),
		cmocka_unit_test(computed_again),
		cmocka_unit_test(fast),
	};
	const struct CMUnitTest few[] = { cmocka_unit_test(shared) };
	char *path = real_model();
	nnr_error err;
	int rc;

	if (!path)
		return real_model_skip();
	if (nnr__backbone_open(&model.bb, path, &err) ||
	    nnr__tok_new(&model.tok, model.bb->file, &err)) {
		printf("%s\n", err.message);
		return 1;
	}
	/* sanitizers slow the kernels down a lot */
	rc = SLOW ? cmocka_run_group_tests(few, NULL, NULL)
		  : cmocka_run_group_tests(tests, NULL, NULL);
	nnr__tok_free(model.tok);
	nnr__backbone_close(model.bb);
	free(path);
	return rc;
}
