/* SPDX-License-Identifier: Apache-2.0
 *
 * engine: tokens in, scores or tokens out, on one frozen backbone.
 *
 * Knows nothing of steps or text.  Owns the executor, the store of key/value
 * pages and the compiled prefix of the program at hand.  Items are packed
 * without padding; choices and samples of an item are forks of its prompt.
 */
#ifndef NNR_ENGINE_H
#define NNR_ENGINE_H

#include "base/base.h"
#include "graph/graph.h"
#include "load/load.h"

typedef struct nnr__engine nnr__engine;

typedef struct nnr__engine_opts {
	int threads;		/* 0: CPUs of the process */
	nnr_precision precision;
	int max_rows;		/* 0: 512 */
	size_t max_store;	/* bytes of key/value pages, 0: 1 GiB */
	bool no_cache;		/* do not read or write prefix files */
} nnr__engine_opts;

int nnr__engine_new(nnr__engine **e, const nnr__backbone *b,
		    const nnr__engine_opts *o, nnr_error *err);
void nnr__engine_free(nnr__engine *e);

typedef struct nnr__engine_stats {
	uint64_t prompt_tokens;		/* given tokens that were run */
	uint64_t shared_tokens;		/* given tokens served by a prefix */
	uint64_t made_tokens;		/* generated */
	bool prefix_cached;		/* the prefix came from a file */
	double prompt_s, made_s;
	int threads;			/* what it runs on */
	const char *kernel;
} nnr__engine_stats;
const nnr__engine_stats *nnr__engine_stats_of(const nnr__engine *e);
/* Names the arithmetic, for cache keys: "exact" is the same on every CPU,
 * "fast1" and "fast2" say the class of CPU by its terms of codes. */
const char *nnr__engine_arithmetic(const nnr__engine *e);
/* Whether it reads and writes prefix files from here on; what it was.  While
 * rows are learned every prefix is new and none is worth a file. */
bool nnr__engine_keep(nnr__engine *e, bool keep);

/* Rows that a program gives, borrowed until the next call (NULL: none).  In
 * prompts a negative token -1 - j stands for row j of sites.soft, and
 * NNR__KV_ROW - i for key/value row i, at position i only.  What was compiled
 * before is dropped; call it again after values changed. */
#define NNR__KV_ROW (-(1 << 24))
typedef struct nnr__given {
	nnr__sites sites;
	const float *kv;	/* [layers][2][kvs][kv_heads * dim] */
	int kvs;
	/* f with matrices of the program's own in it, and their values; NULL:
	 * f as it is */
	const nnr__graph *graph;
	const float *weights;
	size_t weights_n;
} nnr__given;
int nnr__engine_give(nnr__engine *e, const nnr__given *given,
		     nnr_error *err);

/* Compiles the tokens every later prompt probably starts with; replaces the
 * previous prefix.  n = 0: none.  Results never depend on it. */
int nnr__engine_prefix(nnr__engine *e, const int32_t *token, int n,
		       nnr_error *err);

typedef struct nnr__span { const int32_t *id; int n; } nnr__span;

/* score[i*choices + c] = sum over the tokens of choice c of their natural
 * log-probability after prompt i.  With `relative`, up to one constant per
 * prompt (cheaper: the first token's normaliser is left out). first, when
 * not NULL, gets each prompt's best next token. */
int nnr__engine_score(nnr__engine *e, const nnr__span *prompt, int prompts,
		      const nnr__span *choice, int choices, bool relative,
		      double *score, nnr_error *err);

/* out[i]: features of the last token of prompt i, hidden values each. */
int nnr__engine_features(nnr__engine *e, const nnr__span *prompt,
			 int prompts, float *out, nnr_error *err);

/* token_score[i][t]: log-probability of token t+1 of text i after its first
 * t+1 tokens; rows of n-1 values each. */
int nnr__engine_nll(nnr__engine *e, const nnr__span *text,
		    double *const *token_score, int texts, nnr_error *err);

typedef struct nnr__sampling {
	double temperature;	/* 0: greedy */
	int top_k;		/* 0: off */
	double top_p;		/* 1: off */
	uint64_t seed;
	int max_tokens;
	int32_t stop_token[8];	/* end of text / turn */
	int stop_tokens;
	bool ignore_stop;	/* bench: always max_tokens */
} nnr__sampling;

/* One generation.  `more` is called after every token in order of position
 * and returns false to end the sample there (stop strings, streaming). */
typedef struct nnr__gen {
	nnr__span prompt;
	uint64_t key;		/* item hash: keys the random numbers */
	int sample;
	void *user;
	nnr__span out;		/* result; id owned by the engine until the
				   next generate call */
	bool stopped;		/* by a stop token or `more`, not by length */
} nnr__gen;
typedef bool (*nnr__more)(nnr__gen *g, int32_t token);

/* Gens that share a prompt pointer share its rows. */
int nnr__engine_generate(nnr__engine *e, nnr__gen *gen, int gens,
			 const nnr__sampling *s, nnr__more more,
			 nnr_error *err);

/* What n tokens >= 0 by themselves are inside f, in `exact`: their key/value
 * rows [layers][2][n][kv_heads * dim], and what each block takes in
 * [layers][n][hidden].  Either may be NULL. */
int nnr__engine_inside(nnr__engine *e, const int32_t *token, int n,
		       float *kv, float *in, nnr_error *err);

/* Logits of every position (n x vocab, row major, caller's memory).  What
 * stands for key/value rows has none: those rows are left as they are. */
int nnr__engine_logits(nnr__engine *e, const int32_t *token, int n,
		       float *out, nnr_error *err);

#endif
