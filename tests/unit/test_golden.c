/* SPDX-License-Identifier: Apache-2.0
 *
 * test_golden.c: SmolLM2-135M-Instruct against goldens of the reference
 * (tests/golden/logits, tests/golden/greedy; their READMEs say how they were
 * made).  Needs the model: NNR_TEST_MODEL or `nnr model pull`.
 */
#include "test.h"

#include <math.h>

#include "program/engine.h"
#include "real_model.h"

static nnr__backbone *model;
static nnr__arena arena;

static const nnr__jnode *golden(const char *path)
{
	const nnr__jnode *root = NULL;
	nnr__buf b = { 0 };
	nnr_error err;

	if (nnr__file_read(&b, path, 1 << 24, &err) ||
	    nnr__json_parse(&arena, &root, path, b.p, b.len, &err))
		fail_msg("%s", err.message);
	nnr__buf_release(&b);
	return root;
}

static int32_t *ids(const nnr__jnode *list, int *n)
{
	int32_t *id = calloc(list->count + 1, sizeof(*id));

	*n = 0;
	for (const nnr__jnode *c = list->child; c; c = c->next)
		id[(*n)++] = (int32_t)c->num;
	return id;
}

static nnr__engine *engine(nnr_precision mode)
{
	nnr__engine_opts o = { .precision = mode, .no_cache = true };
	nnr__engine *e;
	nnr_error err;

	if (nnr__engine_new(&e, model, &o, &err))
		fail_msg("%s", err.message);
	return e;
}

/* Natural log-probabilities of every token at every position. */
static double *logprobs(nnr_precision mode, const int32_t *id, int n)
{
	size_t vocab = (size_t)model->vocab;
	nnr__engine *e = engine(mode);
	float *l = malloc((size_t)n * vocab * sizeof(*l));
	double *p = malloc((size_t)n * vocab * sizeof(*p));
	nnr_error err;

	if (nnr__engine_logits(e, id, n, l, &err))
		fail_msg("%s", err.message);
	for (size_t r = 0; r < (size_t)n; r++) {
		double top = -1e30, sum = 0;

		for (size_t i = 0; i < vocab; i++)
			top = fmax(top, (double)l[r * vocab + i]);
		for (size_t i = 0; i < vocab; i++)
			sum += exp((double)l[r * vocab + i] - top);
		for (size_t i = 0; i < vocab; i++)
			p[r * vocab + i] = (double)l[r * vocab + i] - top -
					   log(sum);
	}
	free(l);
	nnr__engine_free(e);
	return p;
}

static double worst_at(const nnr__jnode *at, const nnr__jnode *fixed,
		       const double *p)
{
	const nnr__jnode *f = nnr__json_get(at, "fixed")->child;
	double worst = 0;

	for (const nnr__jnode *t = nnr__json_get(at, "top")->child; t;
	     t = t->next)
		worst = fmax(worst, fabs(p[(int)t->child->num] -
					 t->child->next->num));
	for (const nnr__jnode *i = fixed->child; i; i = i->next, f = f->next)
		worst = fmax(worst, fabs(p[(int)i->num] - f->num));
	return worst;
}

static void exact_log_probabilities(void **state)
{
	const nnr__jnode *root = golden("tests/golden/logits/logits.json");
	const nnr__jnode *fixed = nnr__json_get(root, "fixed");
	double worst = 0;

	(void)state;
	for (const nnr__jnode *t = nnr__json_get(root, "texts")->child; t;
	     t = t->next) {
		int n, r = 0;
		int32_t *id = ids(nnr__json_get(t, "tokens"), &n);
		double *p = logprobs(NNR_EXACT, id, n);

		for (const nnr__jnode *at =
		     nnr__json_get(t, "positions")->child; at; at = at->next)
			worst = fmax(worst, worst_at(at, fixed, p +
					(size_t)r++ * (size_t)model->vocab));
		assert_int_equal(r, n);
		free(p);
		free(id);
	}
	print_message("exact: largest gap of a log-probability %.1e\n",
		      worst);
	assert_true(worst < 1e-3);
}

/* KL(exact || fast), mean over positions. */
static void fast_stays_close(void **state)
{
	const nnr__jnode *root = golden("tests/golden/logits/logits.json");
	size_t vocab = (size_t)model->vocab;
	double kl = 0;
	int rows = 0;

	(void)state;
	for (const nnr__jnode *t = nnr__json_get(root, "texts")->child; t;
	     t = t->next) {
		int n;
		int32_t *id = ids(nnr__json_get(t, "tokens"), &n);
		double *p = logprobs(NNR_EXACT, id, n);
		double *q = logprobs(NNR_FAST, id, n);

		for (size_t i = 0; i < (size_t)n * vocab; i++)
			kl += exp(p[i]) * (p[i] - q[i]);
		rows += n;
		free(p);
		free(q);
		free(id);
	}
	print_message("fast: mean KL to exact %.2e\n", kl / rows);
	assert_true(kl / rows < 2e-3);
}

#define EXCUSED 1e-3	/* the reference's two best this close: either */

/* Feeds the reference's tokens and asks at each step for the best next. */
static int continue_greedily(nnr__engine *e, const nnr__jnode *g, int *wrong)
{
	const nnr__jnode *gap = nnr__json_get(g, "gaps")->child;
	int n, m, excused = 0;
	int32_t *id = ids(nnr__json_get(g, "prompt_tokens"), &n);
	int32_t *next = ids(nnr__json_get(g, "tokens"), &m);
	float *l = malloc((size_t)(n + m) * (size_t)model->vocab * sizeof(*l));
	nnr_error err;

	id = realloc(id, (size_t)(n + m) * sizeof(*id));
	memcpy(id + n, next, (size_t)m * sizeof(*id));
	if (nnr__engine_logits(e, id, n + m, l, &err))
		fail_msg("%s", err.message);
	for (int i = 0; i < m; i++, gap = gap->next) {
		const float *row = l + (size_t)(n + i - 1) *
				   (size_t)model->vocab;
		int best = 0;

		for (int v = 1; v < model->vocab; v++)
			if (row[v] > row[best])
				best = v;
		if (best != next[i] && gap->num < EXCUSED)
			excused++;
		else
			*wrong += best != next[i];
	}
	free(l);
	free(id);
	free(next);
	return excused;
}

static void greedy_continuations(void **state)
{
	const nnr__jnode *root = golden("tests/golden/greedy/greedy.json");
	nnr__engine *e = engine(NNR_EXACT);
	int wrong = 0, excused = 0;

	(void)state;
	for (const nnr__jnode *g = root->child; g; g = g->next)
		excused += continue_greedily(e, g, &wrong);
	print_message("greedy: %d wrong, %d excused\n", wrong, excused);
	assert_int_equal(wrong, 0);
	nnr__engine_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_log_probabilities),
		cmocka_unit_test(fast_stays_close),
		cmocka_unit_test(greedy_continuations),
	};
	char *path = real_model();
	nnr_error err;
	int failed;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	printf("skipped: too slow with sanitizers\n");
	free(path);
	return REAL_MODEL_SKIPPED;
#endif
	if (!path)
		return real_model_skip();
	if (nnr__backbone_open(&model, path, &err)) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	nnr__backbone_close(model);
	nnr__arena_release(&arena);
	free(path);
	return failed;
}
