/* SPDX-License-Identifier: Apache-2.0
 *
 * test_engine.c: the executor and the engine on the tiny synthetic model.
 *
 * What is held: the same bits for any number of threads, any size of chunk,
 * with and without a compiled prefix, for any company in a batch; scores
 * that agree with the logits; generation that follows its distribution.
 */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "program/engine.h"
#include "program/sample.h"
#include "synth_gguf.h"

#define LONG 150

static nnr__backbone *model;
static int32_t text[LONG];
static char dir[64];

static nnr__engine *engine(int threads, nnr_precision mode, int rows)
{
	nnr__engine_opts o = { .threads = threads, .precision = mode,
			       .max_rows = rows };
	nnr__engine *e;
	nnr_error err;

	if (nnr__engine_new(&e, model, &o, &err))
		fail_msg("%s", err.message);
	return e;
}

static int set_up(void **state)
{
	nnr__buf b = { 0 };
	nnr_error err;
	char path[96];

	(void)state;
	strcpy(dir, "/tmp/nnr-engine-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("NNR_CACHE", dir, 1);
	snprintf(path, sizeof path, "%s/tiny.gguf", dir);
	synth_tiny(&b);
	assert_int_equal(nnr__file_write(path, b.p, b.len, &err), 0);
	nnr__buf_release(&b);
	if (nnr__backbone_open(&model, path, &err))
		fail_msg("%s", err.message);
	for (int i = 0; i < LONG; i++)
		text[i] = (int32_t)(nnr__rng_u64(7, 1, (uint64_t)i) %
				    SYNTH_VOCAB);
	return 0;
}

static int tear_down(void **state)
{
	char command[96];

	(void)state;
	nnr__backbone_close(model);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

static float *logits(nnr__engine *e, int n)
{
	float *l = malloc((size_t)n * SYNTH_VOCAB * sizeof(*l));
	nnr_error err;

	if (nnr__engine_logits(e, text, n, l, &err))
		fail_msg("%s", err.message);
	return l;
}

static void same_bits(void **state)
{
	static const int rows[] = { 1, 7, 64, 97, 300 };

	(void)state;
	for (int mode = NNR_FAST; mode <= NNR_EXACT; mode++) {
		nnr__engine *e = engine(1, mode, 512);
		float *want = logits(e, LONG);

		nnr__engine_free(e);
		for (int t = 1; t <= 3; t++)
			for (int r = 0; r < 5; r++) {
				float *got;

				e = engine(t, mode, rows[r]);
				got = logits(e, LONG);
				assert_memory_equal(got, want, LONG *
					SYNTH_VOCAB * sizeof(float));
				free(got);
				nnr__engine_free(e);
			}
		free(want);
	}
}

static double log_softmax(const float *l, int id)
{
	double sum = 0;

	for (int i = 0; i < SYNTH_VOCAB; i++)
		sum += exp((double)l[i]);
	return (double)l[id] - log(sum);
}

/* Scores of four prompts of different length and three choices, one of
 * which has three tokens, against sums over the logits. */
static void scores_agree_with_logits(void **state)
{
	static const int32_t c0[] = { 5 }, c1[] = { 9, 2, 17 }, c2[] = { 5, 4 };
	nnr__span choice[] = { { c0, 1 }, { c1, 3 }, { c2, 2 } };
	nnr__span prompt[] = { { text, 90 }, { text, 3 }, { text, 64 },
			       { text, 141 } };
	double score[12], relative[12], diff;
	nnr__engine *e = engine(2, NNR_EXACT, 100);
	int32_t full[LONG + 4];
	float *l = malloc((LONG + 4) * SYNTH_VOCAB * sizeof(*l));

	(void)state;
	assert_int_equal(nnr__engine_score(e, prompt, 4, choice, 3, false,
					   score, NULL), 0);
	assert_int_equal(nnr__engine_score(e, prompt, 4, choice, 3, true,
					   relative, NULL), 0);
	for (int i = 0; i < 12; i++) {
		nnr__span p = prompt[i / 3], c = choice[i % 3];
		double want = 0;

		memcpy(full, p.id, (size_t)p.n * 4);
		memcpy(full + p.n, c.id, (size_t)c.n * 4);
		assert_int_equal(nnr__engine_logits(e, full, p.n + c.n, l,
						    NULL), 0);
		for (int t = 0; t < c.n; t++)
			want += log_softmax(l + (p.n + t - 1) * SYNTH_VOCAB,
					    c.id[t]);
		assert_true(fabs(score[i] - want) < 2e-5);
		diff = relative[i] - score[i] -
		       (relative[i / 3 * 3] - score[i / 3 * 3]);
		assert_true(fabs(diff) < 2e-5);
	}
	free(l);
	nnr__engine_free(e);
}

/* 0: no prefix, 1: computed and saved, 2: from the file. */
static void prefix_changes_nothing(void **state)
{
	static const int32_t c[] = { 3, 8 };
	nnr__span choice[] = { { c, 1 }, { c, 2 } };
	nnr__span prompt[] = { { text, 100 }, { text, 71 }, { text, 20 } };
	double score[3][6];

	(void)state;
	for (int i = 0; i < 3; i++) {
		nnr__engine *e = engine(2, NNR_FAST, 40);

		if (i)
			assert_int_equal(nnr__engine_prefix(e, text, 70,
							    NULL), 0);
		assert_int_equal(nnr__engine_stats_of(e)->prefix_cached,
				 i == 2);
		assert_int_equal(nnr__engine_score(e, prompt, 3, choice, 2,
						   false, score[i], NULL), 0);
		if (i)
			assert_int_equal(nnr__engine_stats_of(e)->
					 shared_tokens, 70 + 70 + 19);
		nnr__engine_free(e);
	}
	assert_memory_equal(score[0], score[1], sizeof(score[0]));
	assert_memory_equal(score[0], score[2], sizeof(score[0]));
}

/* A damaged prefix file is made again, not believed. */
static void damaged_prefix_is_not_used(void **state)
{
	char command[160];
	nnr__engine *e = engine(1, NNR_FAST, 64);

	(void)state;
	assert_int_equal(nnr__engine_prefix(e, text, 33, NULL), 0);
	assert_int_equal(nnr__engine_prefix(e, text, 33, NULL), 0);
	assert_true(nnr__engine_stats_of(e)->prefix_cached);
	snprintf(command, sizeof command, "for f in %s/prefix/*.kv; do printf"
		 " x | dd of=$f bs=1 seek=5000 conv=notrunc 2>/dev/null; done",
		 dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(nnr__engine_prefix(e, text, 33, NULL), 0);
	assert_false(nnr__engine_stats_of(e)->prefix_cached);
	nnr__engine_free(e);
}

#define GENS 70

/* Ten samples of seven prompts: together, and one gen at a time. */
static void company_changes_nothing(void **state)
{
	nnr__sampling s = { .temperature = 0.9, .top_p = 1, .seed = 4,
			    .max_tokens = 12, .ignore_stop = true };
	nnr__engine *e = engine(2, NNR_FAST, 64), *one = engine(1, NNR_FAST,
								1);
	nnr__gen gen[GENS];

	(void)state;
	for (int i = 0; i < GENS; i++)
		gen[i] = (nnr__gen){ .prompt = { text, 4 + i / 10 * 9 },
				     .key = (uint64_t)(i / 10),
				     .sample = i % 10 };
	assert_int_equal(nnr__engine_generate(e, gen, GENS, &s, NULL, NULL),
			 0);
	for (int i = 0; i < GENS; i += 3) {
		nnr__gen g = gen[i];

		assert_int_equal(gen[i].out.n, s.max_tokens);
		assert_int_equal(nnr__engine_generate(one, &g, 1, &s, NULL,
						      NULL), 0);
		assert_memory_equal(g.out.id, gen[i].out.id,
				    (size_t)s.max_tokens * 4);
	}
	nnr__engine_free(e);
	nnr__engine_free(one);
}

static bool until_eight(nnr__gen *g, int32_t token)
{
	int *seen = g->user;

	(void)token;
	return ++*seen < 8;
}

static void greedy_follows_the_logits(void **state)
{
	nnr__sampling s = { .top_p = 1, .max_tokens = 20,
			    .ignore_stop = true };
	nnr__engine *e = engine(2, NNR_EXACT, 64);
	int seen = 0;
	nnr__gen g = { .prompt = { text, 50 }, .user = &seen };
	int32_t full[70];
	float l[70 * SYNTH_VOCAB];

	(void)state;
	assert_int_equal(nnr__engine_generate(e, &g, 1, &s, until_eight,
					      NULL), 0);
	assert_int_equal(g.out.n, 8);
	assert_true(g.stopped);
	memcpy(full, text, 50 * 4);
	memcpy(full + 50, g.out.id, 8 * 4);
	assert_int_equal(nnr__engine_logits(e, full, 58, l, NULL), 0);
	for (int i = 50; i < 58; i++)
		for (int c = 0; c < SYNTH_VOCAB; c++)
			assert_true(l[(i - 1) * SYNTH_VOCAB + full[i]] >=
				    l[(i - 1) * SYNTH_VOCAB + c]);
	nnr__engine_free(e);
}

/* Frequencies of 40,000 draws against the distribution: chi-square with 23
 * degrees of freedom stays below 60 but once in 30,000 seeds. */
static void draws_follow_the_distribution(void **state)
{
	enum { DRAWS = 40000, V = 24 };
	nnr__sampling s = { .temperature = 0.7, .top_p = 1, .seed = 11 };
	nnr__sampler *w = nnr__samplers_new(1, V);
	const nnr__kernels *k = nnr__kernels_best();
	int count[V] = { 0 };
	float l[V];
	double norm = 0, chi = 0;

	(void)state;
	for (int i = 0; i < V; i++) {
		l[i] = (float)(nnr__rng_uniform(3, 1, (uint64_t)i) * 4);
		norm += exp((double)l[i] / 0.7);
	}
	for (uint64_t i = 0; i < DRAWS; i++)
		count[nnr__sample(w, k, &s, l, V, 5, i)]++;
	for (int i = 0; i < V; i++) {
		double want = DRAWS * exp((double)l[i] / 0.7) / norm;

		chi += (count[i] - want) * (count[i] - want) / want;
	}
	assert_true(chi < 60);
	nnr__samplers_free(w, 1);
}

/* Top-k and top-p draw from exactly the set they should keep, all of it. */
static void top_k_and_top_p_keep_their_sets(void **state)
{
	enum { V = 2000 };
	static float l[V];
	nnr__sampling s = { .temperature = 1, .top_k = 3, .top_p = 1,
			    .seed = 2 };
	nnr__sampler *w = nnr__samplers_new(1, V);
	const nnr__kernels *k = nnr__kernels_best();
	int seen[V] = { 0 };

	(void)state;
	for (int i = 0; i < V; i++)
		l[i] = -30;
	l[100] = l[1500] = l[7] = 2;
	l[8] = 1.99f;
	for (uint64_t i = 0; i < 3000; i++)
		seen[nnr__sample(w, k, &s, l, V, 5, i)]++;
	assert_true(seen[100] > 900 && seen[1500] > 900 && seen[7] > 900);
	assert_int_equal(seen[100] + seen[1500] + seen[7], 3000);
	/* probabilities .25 .25 .25 .25: 0.6 keeps three */
	s.top_k = 0;
	s.top_p = 0.6;
	memset(seen, 0, sizeof(seen));
	for (uint64_t i = 0; i < 3000; i++)
		seen[nnr__sample(w, k, &s, l, V, 5, i)]++;
	assert_int_equal(seen[100] + seen[1500] + seen[7], 3000);
	s.temperature = 0;
	assert_int_equal(nnr__sample(w, k, &s, l, V, 5, 0), 7);
	nnr__samplers_free(w, 1);
}

static void bad_calls_are_refused(void **state)
{
	nnr__engine *e = engine(1, NNR_FAST, 64);
	int32_t wrong[] = { 1, SYNTH_VOCAB }, *many;
	nnr__span c = { text, 1 }, p = { wrong, 2 };
	nnr_error err;
	double score;

	(void)state;
	assert_int_equal(nnr__engine_score(e, &p, 1, &c, 1, true, &score,
					   &err), NNR_E_INPUT);
	assert_message(err, "the vocabulary has 24");
	p.n = 0;
	assert_int_equal(nnr__engine_score(e, &p, 1, &c, 1, true, &score,
					   &err), NNR_E_INPUT);
	many = calloc(SYNTH_CONTEXT + 1, sizeof(*many));
	p = (nnr__span){ many, SYNTH_CONTEXT + 1 };
	assert_int_equal(nnr__engine_score(e, &p, 1, &c, 1, true, &score,
					   &err), NNR_E_INPUT);
	assert_message(err, "257 tokens");
	assert_message(err, "context is 256");
	free(many);
	nnr__engine_free(e);
}

static void store_budget_is_kept(void **state)
{
	nnr__engine_opts o = { .threads = 1, .max_rows = 64,
			       .max_store = 20000 };
	nnr__engine *e;
	nnr_error err;
	float *l = malloc(LONG * SYNTH_VOCAB * sizeof(*l));

	(void)state;
	assert_int_equal(nnr__engine_new(&e, model, &o, &err), 0);
	assert_int_equal(nnr__engine_logits(e, text, 130, l, &err),
			 NNR_E_MEMORY);
	assert_int_equal(nnr__engine_logits(e, text, 128, l, &err), 0);
	free(l);
	nnr__engine_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_bits),
		cmocka_unit_test(scores_agree_with_logits),
		cmocka_unit_test(prefix_changes_nothing),
		cmocka_unit_test(damaged_prefix_is_not_used),
		cmocka_unit_test(company_changes_nothing),
		cmocka_unit_test(greedy_follows_the_logits),
		cmocka_unit_test(draws_follow_the_distribution),
		cmocka_unit_test(top_k_and_top_p_keep_their_sets),
		cmocka_unit_test(bad_calls_are_refused),
		cmocka_unit_test(store_budget_is_kept),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
