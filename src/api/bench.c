/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.c: tokens a second of a model, measured as llama-bench does: random
 * tokens; a prompt of which only the last token's logits are wanted; tokens
 * made one at a time from a context that holds one token, full logits each,
 * a stop token not stopping.  One run is not counted, then the median.
 */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>

typedef struct bench {
	nnr__engine *e;
	int32_t *token;
	int prompt, generate;
	double *rate[2];	/* tokens a second of each repetition */
} bench;

static int run_prompt(bench *b, double *rate, nnr_error *err)
{
	nnr__span prompt = { b->token, b->prompt };
	nnr__span choice = { b->token, 1 };
	double score, start = nnr__now();
	int rc = nnr__engine_score(b->e, &prompt, 1, &choice, 1, false,
				   &score, err);

	*rate = b->prompt / (nnr__now() - start);
	return rc;
}

static int run_generate(bench *b, double *rate, nnr_error *err)
{
	nnr__sampling s = { .top_p = 1, .max_tokens = b->generate,
			    .ignore_stop = true };
	nnr__gen gen = { .prompt = { b->token, 1 } };
	double start = nnr__now();
	int rc = nnr__engine_generate(b->e, &gen, 1, &s, NULL, err);

	*rate = b->generate / (nnr__now() - start);
	if (!rc && gen.out.n != b->generate)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "generation ended "
				 "after %d of %d tokens", gen.out.n,
				 b->generate);
	return rc;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void put_rate(nnr__buf *b, const char *name, double *rate, int n)
{
	qsort(rate, (size_t)n, sizeof(*rate), by_value);
	nnr__buf_addf(b, "\"%s_tps\":", name);
	nnr__buf_add_num(b, (rate[(n - 1) / 2] + rate[n / 2]) / 2);
	nnr__buf_addf(b, ",\"%s_tps_low\":", name);
	nnr__buf_add_num(b, rate[0]);
	nnr__buf_addf(b, ",\"%s_tps_high\":", name);
	nnr__buf_add_num(b, rate[n - 1]);
	nnr__buf_addc(b, ',');
}

static void put_text(nnr__buf *b, const char *name, const char *s)
{
	nnr__buf_addf(b, ",\"%s\":", name);
	nnr__buf_add_json(b, s, strlen(s));
}

static int report(bench *b, int n, nnr_precision mode, char **json,
		  nnr_error *err)
{
	const nnr__engine_stats *stats = nnr__engine_stats_of(b->e);
	char *cpu = nnr__cpu_name();
	nnr__buf out = { 0 };

	nnr__buf_addc(&out, '{');
	put_rate(&out, "prompt", b->rate[0], n);
	put_rate(&out, "gen", b->rate[1], n);
	nnr__buf_addf(&out, "\"mode\":\"%s\"", nnr__mode_name(mode));
	put_text(&out, "cpu", cpu ? cpu : "unknown");
	put_text(&out, "features", nnr__cpu_features());
	put_text(&out, "kernel", stats->kernel);
	nnr__buf_addf(&out, ",\"threads\":%d,\"prompt_tokens\":%d,"
		      "\"gen_tokens\":%d,\"repetitions\":%d,"
		      "\"peak_bytes\":%zu}", stats->threads, b->prompt,
		      b->generate, n, nnr__peak_rss());
	free(cpu);
	return nnr__hand_out(&out, json, err);
}

static int measure(bench *b, int n, nnr_error *err)
{
	double ignored;
	int rc = run_prompt(b, &ignored, err);

	for (int i = 0; i < n && !rc; i++)
		rc = run_prompt(b, &b->rate[0][i], err);
	if (!rc)
		rc = run_generate(b, &ignored, err);
	for (int i = 0; i < n && !rc; i++)
		rc = run_generate(b, &b->rate[1][i], err);
	return rc;
}

int nnr_model_bench(const nnr_model *m, const nnr_bench_opts *o,
		    const nnr_run_opts *how, char **json, nnr_error *err)
{
	nnr__engine_opts eo = nnr__engine_opts_of(how);
	int n = o && o->repetitions ? o->repetitions : 5, rc;
	bench b = { .prompt = o && o->prompt ? o->prompt : 512,
		    .generate = o && o->generate ? o->generate : 128 };

	*json = NULL;
	b.token = nnr__calloc((size_t)b.prompt, sizeof(*b.token));
	b.rate[0] = nnr__calloc((size_t)n, 2 * sizeof(double));
	if (!b.token || !b.rate[0]) {
		rc = nnr__fail_memory(err, "bench", (size_t)b.prompt);
		goto out;
	}
	b.rate[1] = b.rate[0] + n;
	for (int i = 0; i < b.prompt; i++)
		b.token[i] = (int32_t)(nnr__rng_u64(1, 0, (uint64_t)i) %
				       (uint64_t)m->bb->vocab);
	rc = nnr__engine_new(&b.e, m->bb, &eo, err);
	if (!rc)
		rc = measure(&b, n, err);
	if (!rc)
		rc = report(&b, n, eo.precision, json, err);
	nnr__engine_free(b.e);
out:
	free(b.token);
	free(b.rate[0]);
	return rc;
}
