/* SPDX-License-Identifier: Apache-2.0
 *
 * sample.c: one token from one row of logits.
 *
 * A plain draw needs no sorting: the log-sum-exp of blocks of the vocabulary
 * (vectorised) finds the block, and only that one is walked.  Top-k and
 * top-p sort the few candidates near the top; the candidate set is widened
 * until it provably holds what the rule keeps.
 */
#include "program/sample.h"

#include <stdlib.h>

#define BLOCK 512

nnr__sampler *nnr__samplers_new(int threads, int vocab)
{
	size_t n = (size_t)vocab, blocks = n / BLOCK + 1;
	nnr__sampler *s = nnr__calloc((size_t)threads, sizeof(*s));

	for (int i = 0; s && i < threads; i++) {
		s[i].scaled = nnr__aligned(n * sizeof(float));
		s[i].order = nnr__calloc(n, sizeof(int32_t));
		s[i].block = nnr__calloc(blocks, sizeof(float));
		if (!s[i].scaled || !s[i].order || !s[i].block) {
			nnr__samplers_free(s, threads);
			return NULL;
		}
	}
	return s;
}

void nnr__samplers_free(nnr__sampler *s, int threads)
{
	for (int i = 0; s && i < threads; i++) {
		nnr__aligned_free(s[i].scaled);
		free(s[i].order);
		free(s[i].block);
	}
	free(s);
}

/* Largest first; equal ones by id, so that the order is total. */
static bool before(const float *l, int32_t a, int32_t b)
{
	return l[a] > l[b] || (l[a] == l[b] && a < b);
}

static void sift(const float *l, int32_t *h, int i, int n)
{
	for (;;) {
		int c = 2 * i + 1;
		int32_t t = h[i];

		if (c >= n)
			return;
		if (c + 1 < n && before(l, h[c], h[c + 1]))
			c++;
		if (!before(l, t, h[c]))
			return;
		h[i] = h[c];
		h[c] = t;
		i = c;
	}
}

/* Heap sort, so that order[0..n) goes from the largest logit down. */
static void sort_candidates(const float *l, int32_t *h, int n)
{
	for (int i = n / 2 - 1; i >= 0; i--)
		sift(l, h, i, n);
	for (int end = n - 1; end > 0; end--) {
		int32_t t = h[0];

		h[0] = h[end];
		h[end] = t;
		sift(l, h, 0, end);
	}
}

/* Tokens within `reach` of the best scaled logit, sorted. */
static int candidates(nnr__sampler *w, int vocab, float best, float reach)
{
	int n = 0;

	for (int i = 0; i < vocab; i++)
		if (w->scaled[i] >= best - reach)
			w->order[n++] = i;
	sort_candidates(w->scaled, w->order, n);
	return n;
}

/* How many of the n sorted candidates top-k and top-p keep; -1 when more
 * candidates are needed to know.  total: log-sum-exp of what top-k keeps. */
static int kept(const nnr__sampler *w, const nnr__sampling *s, int n,
		int vocab, float logz)
{
	double mass = 0, norm = (double)nnr__exp(logz);
	int limit = s->top_k > 0 && s->top_k < vocab ? s->top_k : vocab;

	if (n < limit && (s->top_k > 0 && limit < vocab))
		return -1;
	if (n > limit)
		n = limit;
	if (s->top_p >= 1)
		return n;
	if (limit < vocab)
		norm = 0;
	if (limit < vocab)
		for (int i = 0; i < n; i++)
			norm += (double)nnr__exp(w->scaled[w->order[i]]);
	for (int i = 0; i < n; i++) {
		mass += (double)nnr__exp(w->scaled[w->order[i]]);
		if (mass >= s->top_p * norm)
			return i + 1;
	}
	return n < limit ? -1 : n;
}

static int32_t draw_kept(const nnr__sampler *w, int n, double u)
{
	double total = 0, sum = 0;

	for (int i = 0; i < n; i++)
		total += (double)nnr__exp(w->scaled[w->order[i]]);
	for (int i = 0; i < n; i++) {
		sum += (double)nnr__exp(w->scaled[w->order[i]]);
		if (u * total < sum)
			return w->order[i];
	}
	return w->order[n - 1];
}

static int32_t draw_sorted(nnr__sampler *w, const nnr__sampling *s, int vocab,
			   float logz, double u)
{
	float reach = 8;
	int n, keep = -1;

	/* scaled logits are relative to the best: best = 0 */
	do {
		n = candidates(w, vocab, 0, reach);
		keep = kept(w, s, n, vocab, logz);
		reach *= 4;
	} while (keep < 0 && n < vocab);
	return draw_kept(w, keep < 0 ? n : keep, u);
}

/* The token at which the cumulative probability passes u. */
static int32_t draw_any(nnr__sampler *w, const nnr__kernels *k, int vocab,
			float logz, double u)
{
	double sum = 0, target = u * (double)nnr__exp(logz);
	int block, blocks = (vocab + BLOCK - 1) / BLOCK, i, end;

	for (block = 0; block < blocks; block++) {
		int n = vocab - block * BLOCK;
		double part;
		int best;

		n = n < BLOCK ? n : BLOCK;
		part = (double)nnr__exp(k->logsumexp(w->scaled +
						     block * BLOCK, n, &best));
		if (sum + part > target || block == blocks - 1)
			break;
		sum += part;
	}
	end = (block + 1) * BLOCK < vocab ? (block + 1) * BLOCK : vocab;
	for (i = block * BLOCK; i < end - 1; i++) {
		sum += (double)nnr__exp(w->scaled[i]);
		if (sum > target)
			break;
	}
	return i;
}

int32_t nnr__sample(nnr__sampler *w, const nnr__kernels *k,
		    const nnr__sampling *s, const float *logits, int vocab,
		    uint64_t stream, uint64_t index)
{
	int best = 0;
	float inv, logz;
	double u;

	k->logsumexp(logits, vocab, &best);
	if (s->temperature <= 0)
		return best;
	inv = (float)(1 / s->temperature);
	for (int i = 0; i < vocab; i++)
		w->scaled[i] = (logits[i] - logits[best]) * inv;
	logz = k->logsumexp(w->scaled, vocab, &best);
	u = nnr__rng_uniform(s->seed, stream, index);
	if (s->top_k > 0 || s->top_p < 1)
		return draw_sorted(w, s, vocab, logz, u);
	return draw_any(w, k, vocab, logz, u);
}
