/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.c: the rendered prompt of an item by its parts: which step a text
 * comes from and which token positions it takes, for people (80 columns) and
 * as JSON.
 */
#include "step.h"

#include <stdlib.h>
#include <string.h>

#define WIDTH 80

static nnr__part *last_part(nnr__parts *v, const char *id)
{
	nnr__part *part;

	if (v->n && strcmp(v->part[v->n - 1].id, id) == 0)
		return &v->part[v->n - 1];
	if (!nnr__grow(&v->part, &v->cap, v->n, sizeof(*v->part)))
		return NULL;
	part = &v->part[v->n++];
	memset(part, 0, sizeof(*part));
	part->id = id;
	part->from = part->to = -1;
	return part;
}

static const char *id_of(const nnr__piece_of *piece)
{
	return piece->part ? piece->part : "";
}

/* Says how many virtual tokens of one step follow one another, at the last
 * piece of them. */
static void add_rows(const nnr__parts *v, size_t i, nnr__buf *text)
{
	const nnr__piece_of *o = v->prompt.piece;
	int rows = 0;

	if (i + 1 < v->prompt.n && o[i + 1].rows &&
	    strcmp(id_of(&o[i + 1]), id_of(&o[i])) == 0)
		return;
	for (size_t k = i + 1; k-- > 0 && o[k].rows &&
	     strcmp(id_of(&o[k]), id_of(&o[i])) == 0; )
		rows += o[k].rows;
	nnr__buf_addf(text, "[%d virtual token%s]", rows,
		      rows == 1 ? "" : "s");
}

static bool gather(nnr__parts *v)
{
	for (size_t i = 0; i < v->prompt.n; i++) {
		const nnr__piece_of *o = &v->prompt.piece[i];
		nnr__part *part = last_part(v, id_of(o));
		const char *s = "";
		size_t n = o->len;
		if (!part)
			return false;
		if (o->rows)
			add_rows(v, i, &part->text);
		else if (o->token >= 0)
			s = nnr__tok_bytes(v->p->model->tok, o->token, true,
					   &n);
		else if (v->prompt.text.p)
			s = v->prompt.text.p + o->start;
		nnr__buf_add(&part->text, s, o->rows ? 0 : n);
		part->varies = part->varies || o->varies;
		if (part->text.bad)
			return false;
	}
	return true;
}

/* Where the walk over pieces and bytes of the prompt stands. */
struct walk {
	size_t piece, byte, part;
	int32_t rows;		/* of the piece at hand, gone by */
};

static void step(const nnr__parts *v, struct walk *w)
{
	const nnr__piece_of *o = &v->prompt.piece[w->piece++];

	w->rows = 0;
	w->part += strcmp(id_of(&o[0]), id_of(&o[1])) != 0;
}

/* To the piece of the next text byte, special or virtual token. */
static const nnr__piece_of *seek(const nnr__parts *v, struct walk *w)
{
	const nnr__piece_of *o = v->prompt.piece;

	while (w->piece + 1 < v->prompt.n && o[w->piece].token < 0 &&
	       w->rows >= o[w->piece].rows &&
	       w->byte >= o[w->piece].start + o[w->piece].len)
		step(v, w);
	return &o[w->piece];
}

/* A token belongs to the part that its first byte comes from.  Bytes that
 * the vocabulary has no token for are passed over. */
static void place_tokens(nnr__parts *v)
{
	const nnr__tok *tok = v->p->model->tok;
	const nnr__buf *text = &v->prompt.text;
	struct walk w = { 0 };
	size_t bos = nnr__tok_add_bos(tok) ? 0 : SIZE_MAX, n;

	while (bos < v->ids.n && v->ids.id[bos] < 0)
		bos++;
	for (size_t t = 0; t < v->ids.n && v->prompt.n; t++) {
		bool special = seek(v, &w)->token >= 0;
		nnr__part *part;
		if (t == bos)
			continue;
		if (v->ids.id[t] < 0) {
			w.rows++;
		} else if (!special) {
			const char *s = nnr__tok_bytes(tok, v->ids.id[t],
						       false, &n);
			while (n && w.byte + n <= text->len &&
			       memcmp(text->p + w.byte, s, n) != 0)
				w.byte++;
			seek(v, &w);
			w.byte += n;
		}
		part = &v->part[w.part];
		if (part->from < 0)
			part->from = (int)t;
		part->to = (int)t + 1;
		if (special && w.piece + 1 < v->prompt.n)
			step(v, &w);
	}
}

int nnr__parts_of(nnr__parts *v, nnr_program *p, const nnr__record *item,
		  nnr_error *err)
{
	int rc;

	memset(v, 0, sizeof(*v));
	v->p = p;
	v->bound = p->engine != NULL;
	rc = nnr__program_render(p, item, &v->prompt, err);
	if (!rc && v->bound)
		rc = nnr__prompt_encode(p->model->tok, &v->prompt, &v->ids,
					err);
	if (!rc && !gather(v))
		rc = nnr__fail_memory(err, "a prompt", v->prompt.n);
	if (!rc && v->bound)
		place_tokens(v);
	return rc;
}

void nnr__parts_release(nnr__parts *v)
{
	for (size_t i = 0; i < v->n; i++)
		nnr__buf_release(&v->part[i].text);
	free(v->part);
	nnr__ids_release(&v->ids);
	nnr__prompt_release(&v->prompt);
	memset(v, 0, sizeof(*v));
}

/* ---- for people ---- */

static size_t fit_columns(const char *s, size_t n, size_t width)
{
	size_t i = 0, len, cols = 0;

	while (i < n && s[i] != '\n' && cols < width) {
		nnr__utf8_next(s + i, n - i, &len);
		i += len;
		cols++;
	}
	return i;
}

void nnr__lines_text(const char *s, size_t n, int most, nnr__buf *out)
{
	size_t at = 0;

	for (int lines = 0; at < n && lines < most; lines++) {
		size_t take = fit_columns(s + at, n - at, WIDTH - 4);
		nnr__buf_adds(out, take ? "  | " : "  |");
		for (size_t i = at; i < at + take; i++)
			nnr__buf_addc(out, (unsigned char)s[i] < ' ' ? ' '
								     : s[i]);
		at += take;
		if (at < n && s[at] == '\n') {
			at++;
			if (at == n)
				nnr__buf_adds(out, "\n  |");
		}
		nnr__buf_addc(out, '\n');
	}
	if (at < n && strspn(s + at, "\n") < n - at)
		nnr__buf_addf(out, "  | ... %zu more bytes\n", n - at);
}

void nnr__parts_text(const nnr__parts *v, int most, nnr__buf *out)
{
	for (size_t i = 0; i < v->n; i++) {
		const nnr__part *part = &v->part[i];
		nnr__buf_addf(out, "  %.40s", part->id);
		if (part->from >= 0)
			nnr__buf_addf(out, ", tokens %d to %d", part->from,
				      part->to - 1);
		nnr__buf_adds(out, part->varies ? ", with the item\n"
						: ", constant\n");
		nnr__lines_text(part->text.p ? part->text.p : "",
				part->text.len, most, out);
	}
}

/* ---- JSON ---- */

void nnr__parts_json(const nnr__parts *v, nnr__buf *out)
{
	nnr__buf_addc(out, '{');
	if (v->bound)
		nnr__buf_addf(out, "\"tokens\":%zu,\"constant_tokens\":%d,",
			      v->ids.n, v->p->prefix_tokens);
	nnr__buf_adds(out, "\"parts\":[");
	for (size_t i = 0; i < v->n; i++) {
		const nnr__part *part = &v->part[i];
		nnr__buf_adds(out, i ? ",{\"part\":" : "{\"part\":");
		nnr__buf_add_json(out, part->id, strlen(part->id));
		if (part->from >= 0)
			nnr__buf_addf(out, ",\"from\":%d,\"to\":%d",
				      part->from, part->to);
		nnr__buf_addf(out, ",\"varies\":%s,\"text\":",
			      part->varies ? "true" : "false");
		nnr__buf_add_json(out, part->text.p ? part->text.p : "",
				  part->text.len);
		nnr__buf_addc(out, '}');
	}
	nnr__buf_adds(out, "]}");
}
