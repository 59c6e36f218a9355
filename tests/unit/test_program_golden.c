/* SPDX-License-Identifier: Apache-2.0
 *
 * test_program_golden.c: whole programs on SmolLM2-135M-Instruct against the
 * reference's scores (tests/golden/scores).  Needs the model:
 * NNR_TEST_MODEL or `nnr model pull`.
 */
#include "test.h"

#include <math.h>

#include "program/program.h"
#include "real_model.h"

#define FOLDER "tests/golden/scores/"

/* Sanitizers slow the kernels down a lot: a few items are enough there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMIT 3
#else
#define LIMIT 0
#endif

static nnr_model model;

struct golden {
	nnr__records want;	/* lines of the .json */
	nnr__arena arena;
	int n, differ;
	double worst;
};

static int compare(void *ctx, int item, const nnr__answer *a, nnr_error *err)
{
	struct golden *g = ctx;
	const nnr__record *r = &g->want.row[item];
	double gap = strtod(nnr__record_get(r, "gap")->text, NULL);
	double tokens = strtod(nnr__record_get(r, "prompt_tokens")->text,
			       NULL);

	(void)err;
	assert_int_equal(a->prompt_tokens, (int)tokens);
	g->differ += strcmp(a->value,
			    nnr__record_get(r, "prediction")->text) != 0;
	g->worst = fmax(g->worst, fabs(a->score[1] - a->score[0] - gap));
	g->n++;
	return 0;
}

/* The reference's lines; "gap" is added: positive less negative. */
static void read_golden(struct golden *g, const char *path)
{
	static const char *const names[] = { NULL };
	static const nnr__declared none = { .name = names };
	nnr__buf text = { 0 }, gap = { 0 };
	nnr_error err;
	char *line;

	if (nnr__file_read(&text, path, 1 << 20, &err) ||
	    nnr__records_parse(&g->want, "g.jsonl", text.p, text.len, &none,
			       NULL, &err))
		fail_msg("%s", err.message);
	line = text.p;
	for (int i = 0; i < g->want.n; i++) {
		size_t n = strcspn(line, "\n");
		const nnr__jnode *top, *s;
		if (nnr__json_parse(&g->arena, &top, path, line, n, &err))
			fail_msg("%s", err.message);
		s = nnr__json_get(top, "scores");
		nnr__buf_clear(&gap);
		nnr__buf_addf(&gap, "%.9g", nnr__json_get(s, "positive")->num -
			      nnr__json_get(s, "negative")->num);
		nnr__record_set(&g->want.row[i], "gap", gap.p, gap.len, &err);
		line += n + 1;
	}
	nnr__buf_release(&text);
	nnr__buf_release(&gap);
}

static struct golden check(const char *name, nnr_precision mode)
{
	nnr__engine_opts o = { .precision = mode, .no_cache = true };
	const nnr__records_opts limit = { .limit = LIMIT };
	struct golden g = { .n = 0 };
	char path[80];
	nnr_program *p;
	nnr__data d;
	nnr_error err;

	snprintf(path, sizeof(path), FOLDER "%s.json", name);
	read_golden(&g, path);
	snprintf(path, sizeof(path), FOLDER "%s.yaml", name);
	if (nnr__program_open(&p, path, NULL, &err) ||
	    nnr__program_bind(p, &model, &o, &err) ||
	    nnr__data_read(&d, p, FOLDER "items.tsv", &limit, true, &err) ||
	    nnr__program_answers(p, d.item, d.n, compare, &g, &err))
		fail_msg("%s", err.message);
	assert_int_equal(g.n, LIMIT ? LIMIT : g.want.n);
	print_message("%s %s: worst gap %.2g, %d of %d predictions differ\n",
		      name, mode == NNR_EXACT ? "exact" : "fast", g.worst,
		      g.differ, g.n);
	nnr__data_release(&d);
	nnr__program_close(p);
	nnr__records_release(&g.want);
	nnr__arena_release(&g.arena);
	return g;
}

static void exact_scores_are_the_reference_s(void **state)
{
	static const char *const names[] = { "zero", "four" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct golden g = check(names[i], NNR_EXACT);
		assert_int_equal(g.differ, 0);
		assert_true(g.worst < 2e-3);
	}
}

/* The smallest gap of the reference is 0.09. */
static void fast_scores_are_close(void **state)
{
	static const char *const names[] = { "zero", "four" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct golden g = check(names[i], NNR_FAST);
		assert_true(g.differ <= 2);
		assert_true(g.worst < 0.5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_scores_are_the_reference_s),
		cmocka_unit_test(fast_scores_are_close),
	};
	char *path = real_model();
	nnr_error err;
	int failed;

	if (!path)
		return real_model_skip();
	if (nnr__backbone_open(&model.bb, path, &err) ||
	    nnr__tok_new(&model.tok, model.bb->file, &err)) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	nnr__tok_free(model.tok);
	nnr__backbone_close(model.bb);
	free(path);
	return failed;
}
