/* SPDX-License-Identifier: Apache-2.0
 *
 * generate: the model goes on from the prompt, once or several times.  A
 * sample ends at the model's own end tokens, at a stop string (cut off), or
 * after max_tokens.
 */
#include "step.h"

#include <stdlib.h>
#include <string.h>

typedef struct nnr__a_generate args;

#define AT(member) offsetof(args, member)
static const nnr__param params[] = {
	{ .name = "max_tokens", .type = NNR__P_INT, .at = AT(max_tokens),
	  .fallback = "128", .min = 1, .max = 1000000,
	  .help = "tokens after which a sample ends" },
	{ .name = "samples", .type = NNR__P_INT, .at = AT(samples),
	  .fallback = "1", .min = 1, .max = 1000,
	  .help = "how many texts to make; several need a `reduce`" },
	{ .name = "temperature", .type = NNR__P_NUMBER, .at = AT(temperature),
	  .fallback = "0", .min = 0, .max = 100,
	  .help = "0: always the most probable token" },
	{ .name = "top_k", .type = NNR__P_INT, .at = AT(top_k),
	  .fallback = "0", .min = 0, .max = 1000000,
	  .help = "draw among the k most probable tokens; 0: all" },
	{ .name = "top_p", .type = NNR__P_NUMBER, .at = AT(top_p),
	  .fallback = "1", .min = 0.000001, .max = 1,
	  .help = "draw among the fewest tokens with this probability" },
	{ .name = "stop", .type = NNR__P_STRINGS, .at = AT(stop),
	  .help = "texts that end a sample; cut off" },
	{ .name = "end_token", .type = NNR__P_BOOL, .at = AT(end_token),
	  .fallback = "yes",
	  .help = "no: a sample goes on after the model's end tokens" },
	{ .name = "seed", .type = NNR__P_INT, .at = AT(seed),
	  .fallback = "0", .min = 0, .max = 9e15,
	  .help = "of the random numbers" },
	{ .name = NULL }
};

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;

	if (a->samples > 1 && a->temperature == 0)
		return nnr__fail_step(p, s, "samples", err, "%lld samples at "
				      "temperature 0 are all the same: give a "
				      "`temperature`", (long long)a->samples);
	for (int i = 0; i < a->stop.n; i++)
		if (!a->stop.s[i][0])
			return nnr__fail_step(p, s, "stop", err, "an empty "
					      "text in `stop`");
	return 0;
}

/* ---- one sample as it is made ---- */

struct text {
	const nnr_program *p;
	const args *a;
	nnr__stream stream;
	nnr__buf buf;
	size_t sent;		/* bytes that on_text has seen, or dropped */
	bool cut;
};

/* Where a stop string begins at or after `from`, or the text's length. */
static size_t find(const nnr__buf *b, size_t from, const char *stop)
{
	size_t n = strlen(stop);

	for (size_t i = from; i + n <= b->len; i++)
		if (memcmp(b->p + i, stop, n) == 0)
			return i;
	return b->len;
}

/* The first stop string that ends in the bytes from `fresh` on. */
static bool find_stop(const struct text *t, size_t fresh, size_t *at)
{
	*at = t->buf.len;
	for (int i = 0; i < t->a->stop.n; i++) {
		size_t n = strlen(t->a->stop.s[i]);
		size_t from = fresh > n - 1 ? fresh - (n - 1) : 0;
		size_t hit = find(&t->buf, from, t->a->stop.s[i]);
		*at = hit < *at ? hit : *at;
	}
	return *at < t->buf.len;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Passes on what will stay: what may still become a stop string waits, and
 * blanks at either end are left out, as `parse` leaves them out. */
static void send(struct text *t, bool end)
{
	const nnr_program *p = t->p;
	size_t hold = 0, n = t->buf.len;

	if (!p->on_text)
		return;
	for (int i = 0; i < t->a->stop.n && !end; i++) {
		size_t stop = strlen(t->a->stop.s[i]) - 1;
		hold = stop > hold ? stop : hold;
	}
	n = n > hold ? nnr__utf8_whole(t->buf.p, n - hold) : 0;
	while (n > t->sent && blank(t->buf.p[n - 1]))
		n--;
	if (n <= t->sent)
		return;
	if (t->sent == 0)
		while (blank(t->buf.p[t->sent]))
			t->sent++;
	p->on_text(p->on_text_ctx, t->buf.p + t->sent, n - t->sent);
	t->sent = n;
}

static bool more(nnr__gen *g, int32_t token)
{
	struct text *t = g->user;
	size_t fresh = t->buf.len, at = 0;

	nnr__stream_add(t->p->model->tok, &t->stream, token, &t->buf);
	if (t->buf.len > fresh && find_stop(t, fresh, &at)) {
		t->buf.len = at;
		t->buf.p[at] = '\0';
		t->cut = true;
		return false;
	}
	send(t, false);
	return true;
}

/* ---- a batch ---- */

static void add_stop(nnr__sampling *s, int32_t id)
{
	for (int i = 0; i < s->stop_tokens; i++)
		if (s->stop_token[i] == id)
			return;
	if (id >= 0 && s->stop_tokens < 8)
		s->stop_token[s->stop_tokens++] = id;
}

/* End of text and end of turn, as the known families write them. */
static void stop_tokens(const nnr_program *p, nnr__sampling *s)
{
	static const char *const ends[] = {
		"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>",
		"<end_of_turn>", "<|end|>"
	};

	add_stop(s, nnr__tok_eos(p->model->tok));
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		add_stop(s, nnr__tok_special(p->model->tok, ends[i]));
}

static int keep_sample(struct text *t, const nnr__gen *g, nnr__sample *out,
		       nnr_error *err)
{
	if (!t->cut)
		nnr__stream_flush(&t->stream, &t->buf);
	send(t, true);
	out->tokens = g->out.n;
	out->text = nnr__buf_take(&t->buf);
	return out->text ? 0 : nnr__fail_memory(err, "a sample", 1);
}

/* Gens and texts of all samples of all items, item by item. */
static void set_up(nnr_program *p, const args *a, nnr__batch *b,
		   nnr__gen *gen, struct text *text)
{
	size_t samples = (size_t)a->samples;

	for (size_t i = 0; i < (size_t)b->n * samples; i++) {
		size_t item = i / samples;
		gen[i].prompt = b->prompt[item];
		gen[i].key = b->key[item];
		gen[i].sample = (int)(i % samples);
		gen[i].user = &text[i];
		text[i].p = p;
		text[i].a = a;
	}
}

static int collect(const args *a, nnr__batch *b, nnr__gen *gen,
		   struct text *text, nnr_error *err)
{
	size_t samples = (size_t)a->samples;
	int rc = 0;

	for (int i = 0; i < b->n && !rc; i++) {
		nnr__answer *out = &b->answer[i];
		out->sample = nnr__calloc(samples, sizeof(*out->sample));
		if (!out->sample)
			return nnr__fail_memory(err, "samples", samples);
		out->samples = (int)samples;
		for (size_t k = 0; k < samples && !rc; k++) {
			size_t at = (size_t)i * samples + k;
			rc = keep_sample(&text[at], &gen[at],
					 &out->sample[k], err);
		}
	}
	return rc;
}

static int run(nnr_program *p, nnr__step *s, nnr__batch *b, nnr_error *err)
{
	const args *a = s->args;
	size_t n = (size_t)b->n * (size_t)a->samples;
	nnr__gen *gen = nnr__calloc(n, sizeof(*gen));
	struct text *text = nnr__calloc(n, sizeof(*text));
	nnr__sampling how = { .temperature = a->temperature,
			      .top_k = (int)a->top_k, .top_p = a->top_p,
			      .seed = (uint64_t)a->seed,
			      .max_tokens = (int)a->max_tokens };
	int rc = 0;

	if (!gen || !text)
		rc = nnr__fail_memory(err, "samples", n);
	if (!rc) {
		set_up(p, a, b, gen, text);
		if (a->end_token)
			stop_tokens(p, &how);
		rc = nnr__engine_generate(p->engine, gen, (int)n, &how, more,
					  err);
	}
	rc = rc ? rc : collect(a, b, gen, text, err);
	for (size_t i = 0; text && i < n; i++)
		nnr__buf_release(&text[i].buf);
	free(gen);
	free(text);
	return rc;
}

static int room(const nnr_program *p, const nnr__step *s)
{
	(void)p;
	return (int)((const args *)s->args)->max_tokens;
}

static int64_t ways(const nnr_program *p, const nnr__step *s)
{
	(void)p;
	return ((const args *)s->args)->samples;
}

const nnr__step_row nnr__step_generate = {
	.name = "generate",
	.help = "the model goes on from the prompt",
	.takes = NNR__K_LOGITS, .gives = NNR__K_TEXTS,
	.alignment = "identity", .needs = "text", .axis = "sample",
	.param = params, .bare = "max_tokens", .args = sizeof(args),
	.check = check, .run = run, .room = room, .ways = ways
};
