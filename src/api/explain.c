/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.c: how an answer came about: the rendered prompt with its parts
 * and the token positions they take, the scores before and after alignment,
 * the samples.
 */
#include "api/api.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A part of the prompt: neighbouring pieces of one step. */
typedef struct part {
	const char *name;
	int from, to;		/* tokens */
	nnr__buf text;		/* special tokens written out */
} part;

typedef struct story {
	nnr_program *p;
	const nnr__answer *a;
	nnr__prompt prompt;
	nnr__ids ids;
	part *part;
	int parts;
} story;

/* The piece that a byte of the prompt's text is in, from piece i on. */
static size_t piece_at(const nnr__prompt *p, size_t i, size_t byte)
{
	while (i + 1 < p->n && (p->piece[i].token >= 0 ||
				byte >= p->piece[i].start + p->piece[i].len))
		i++;
	return i;
}

/* Counts each token to the piece its first byte is in.  A byte that the
 * vocabulary has no token for is passed over. */
static void count_tokens(const story *s, int *count)
{
	const nnr__prompt *p = &s->prompt;
	const nnr__tok *tok = s->p->model->tok;
	size_t byte = 0, i = 0;

	for (size_t t = 0; t < s->ids.n && p->n; t++) {
		int32_t id = s->ids.id[t];
		size_t len;
		const char *bytes = nnr__tok_bytes(tok, id, false, &len);
		while (i < p->n && p->piece[i].token < 0 &&
		       byte >= p->piece[i].start + p->piece[i].len)
			i++;
		if (i < p->n && p->piece[i].token == id && len == 0) {
			count[i++]++;
			continue;
		}
		while (len && byte + len <= p->text.len &&
		       memcmp(p->text.p + byte, bytes, len) != 0)
			byte++;
		i = piece_at(p, i < p->n ? i : p->n - 1, byte);
		count[i]++;
		byte += len;
	}
}

static void add_text(const story *s, const nnr__piece_of *piece, nnr__buf *b)
{
	size_t len;
	const char *bytes;

	if (piece->token < 0) {
		nnr__buf_add(b, s->prompt.text.p + piece->start, piece->len);
		return;
	}
	bytes = nnr__tok_bytes(s->p->model->tok, piece->token, true, &len);
	nnr__buf_add(b, bytes, len);
}

static int find_parts(story *s, nnr_error *err)
{
	size_t n = s->prompt.n;
	int *count = nnr__calloc(n + 1, sizeof(*count)), at = 0;

	s->part = nnr__calloc(n + 1, sizeof(*s->part));
	if (!count || !s->part) {
		free(count);
		return nnr__fail_memory(err, "explanation", n);
	}
	count_tokens(s, count);
	for (size_t i = 0; i < n; i++) {
		const nnr__piece_of *piece = &s->prompt.piece[i];
		part *last = s->parts ? &s->part[s->parts - 1] : NULL;
		if (!last || strcmp(last->name, piece->part) != 0) {
			last = &s->part[s->parts++];
			last->name = piece->part;
			last->from = at;
		}
		at += count[i];
		last->to = at;
		add_text(s, piece, &last->text);
	}
	free(count);
	return 0;
}

/* ---- as JSON ---- */

static void put_json(const story *s, nnr__buf *b)
{
	nnr__buf_addf(b, "{\"tokens\":%zu,\"parts\":[", s->ids.n);
	for (int i = 0; i < s->parts; i++) {
		const part *p = &s->part[i];
		nnr__buf_adds(b, i ? ",{\"part\":" : "{\"part\":");
		nnr__buf_add_json(b, p->name, strlen(p->name));
		nnr__buf_addf(b, ",\"from\":%d,\"to\":%d,\"text\":", p->from,
			      p->to);
		nnr__buf_add_json(b, p->text.p ? p->text.p : "", p->text.len);
		nnr__buf_addc(b, '}');
	}
	nnr__buf_addc(b, ']');
	if (s->a->raw && s->a->scores) {
		nnr__buf_adds(b, ",\"scores_before\":");
		nnr__scores_json(&s->p->output, s->a->raw, s->a->scores, b);
	}
	nnr__buf_addc(b, '}');
}

/* ---- for people ---- */

/* Lines of a text, each behind a bar. */
static void put_lines(const char *text, size_t n, nnr__buf *b)
{
	for (size_t at = 0; at < n;) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t len = end ? (size_t)(end - text) - at : n - at;
		nnr__buf_adds(b, "    | ");
		nnr__buf_add(b, text + at, len);
		nnr__buf_addc(b, '\n');
		at += len + 1;
	}
}

static void put_people(const story *s, nnr__buf *b)
{
	const nnr__answer *a = s->a;

	nnr__buf_addf(b, "prompt: %zu tokens\n", s->ids.n);
	for (int i = 0; i < s->parts; i++) {
		const part *p = &s->part[i];
		nnr__buf_addf(b, "  %s, tokens %d to %d\n", p->name, p->from,
			      p->to - 1);
		put_lines(p->text.p ? p->text.p : "", p->text.len, b);
	}
	for (int i = 0; i < a->samples; i++) {
		const nnr__sample *m = &a->sample[i];
		const char *text = m->text ? m->text : "";
		nnr__buf_addf(b, "sample %d: %d tokens, answer %s\n", i,
			      m->tokens, m->value ? m->value : "(none)");
		put_lines(text, strlen(text), b);
	}
	if (a->scores)
		nnr__buf_adds(b, "scores: after alignment, before\n");
	for (int c = 0; c < a->scores; c++)
		nnr__buf_addf(b, "  %10.4f %10.4f  %s\n", a->score[c],
			      a->raw ? a->raw[c] : NAN,
			      s->p->output.labels.s[c]);
}

int nnr__explain(nnr_program *p, const nnr__record *item,
		 const nnr__answer *a, char **json, char **text,
		 nnr_error *err)
{
	story s = { .p = p, .a = a };
	nnr__buf doc = { 0 }, people = { 0 };
	int rc = nnr__program_render(p, item, &s.prompt, err);

	if (!rc)
		rc = nnr__prompt_encode(p->model->tok, &s.prompt, &s.ids,
					err);
	if (!rc)
		rc = find_parts(&s, err);
	if (!rc) {
		put_json(&s, &doc);
		put_people(&s, &people);
		rc = nnr__hand_out(&doc, json, err);
	}
	if (!rc)
		rc = nnr__hand_out(&people, text, err);
	for (int i = 0; i < s.parts; i++)
		nnr__buf_release(&s.part[i].text);
	nnr__buf_release(&people);
	nnr__buf_release(&doc);
	free(s.part);
	nnr__ids_release(&s.ids);
	nnr__prompt_release(&s.prompt);
	return rc;
}
