/* SPDX-License-Identifier: Apache-2.0
 *
 * prompt.c: a prompt as pieces, text and special tokens, in order.  The
 * bytes of all text pieces lie in p->text one behind the other, so a run of
 * them is one string to the tokenizer.
 */
#include <stdlib.h>
#include <string.h>

#include "text/text.h"

static nnr__piece_of *add_piece(nnr__prompt *p)
{
	if (!p->bad && !nnr__grow(&p->piece, &p->cap, p->n, sizeof *p->piece))
		p->bad = true;
	return p->bad ? NULL : &p->piece[p->n++];
}

void nnr__prompt_text(nnr__prompt *p, const char *s, size_t n,
		      const char *part, bool varies)
{
	nnr__piece_of *piece = add_piece(p);

	if (!piece)
		return;
	*piece = (nnr__piece_of){ .token = -1, .start = p->text.len, .len = n,
				  .part = part, .varies = varies };
	nnr__buf_add(&p->text, s, n);
	p->bad = p->text.bad;
}

void nnr__prompt_token(nnr__prompt *p, int32_t id, const char *part)
{
	nnr__piece_of *piece = add_piece(p);

	if (piece)
		*piece = (nnr__piece_of){ .token = id, .part = part,
					  .start = p->text.len };
}

void nnr__prompt_rows(nnr__prompt *p, int32_t row0, int32_t rows,
		      const char *part, bool varies)
{
	nnr__piece_of *piece = add_piece(p);

	if (piece)
		*piece = (nnr__piece_of){ .token = -1, .row0 = row0,
					  .rows = rows, .part = part,
					  .varies = varies,
					  .start = p->text.len };
}

void nnr__prompt_copy(nnr__prompt *to, const nnr__prompt *from, size_t i)
{
	const nnr__piece_of *o = &from->piece[i];

	if (o->rows)
		nnr__prompt_rows(to, o->row0, o->rows, o->part, o->varies);
	else if (o->token >= 0)
		nnr__prompt_token(to, o->token, o->part);
	else
		nnr__prompt_text(to, from->text.p ? from->text.p + o->start :
				 "", o->len, o->part, o->varies);
}

void nnr__prompt_clear(nnr__prompt *p)
{
	nnr__buf_clear(&p->text);
	p->n = 0;
	p->bad = false;
}

void nnr__prompt_release(nnr__prompt *p)
{
	nnr__buf_release(&p->text);
	free(p->piece);
	memset(p, 0, sizeof *p);
}

static int add_id(nnr__ids *out, int32_t id, nnr_error *err)
{
	if (nnr__ids_add(out, id))
		return 0;
	return nnr__fail_memory(err, "tokens", out->n);
}

static int add_rows(nnr__ids *out, const nnr__piece_of *o, nnr_error *err)
{
	int rc = 0;

	for (int32_t i = 0; i < o->rows && !rc; i++)
		rc = add_id(out, -1 - o->row0 - i, err);
	return rc;
}

/* Text pieces from i on, as one string; the number of them. */
static size_t run_of_text(const nnr__prompt *p, size_t i, size_t *bytes)
{
	size_t from = i;

	*bytes = 0;
	for (; i < p->n && p->piece[i].token < 0 && !p->piece[i].rows; i++)
		*bytes += p->piece[i].len;
	return i - from;
}

int nnr__prompt_encode(const nnr__tok *t, const nnr__prompt *p,
		       nnr__ids *out, nnr_error *err)
{
	size_t i = 0, n;
	int rc = 0;

	if (p->bad)
		return nnr__fail_memory(err, "a prompt", p->text.len);
	for (; i < p->n && p->piece[i].rows && !rc; i++)
		rc = add_rows(out, &p->piece[i], err);
	if (!rc && nnr__tok_add_bos(t))
		rc = add_id(out, nnr__tok_bos(t), err);
	while (i < p->n && !rc) {
		const nnr__piece_of *o = &p->piece[i];

		if (o->rows || o->token >= 0) {
			rc = o->rows ? add_rows(out, o, err)
				     : add_id(out, o->token, err);
			i++;
			continue;
		}
		i += run_of_text(p, i, &n);
		if (n)
			rc = nnr__tok_encode(t, p->text.p + o->start, n, out,
					     err);
	}
	return rc;
}
