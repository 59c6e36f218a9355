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

int nnr__prompt_encode(const nnr__tok *t, const nnr__prompt *p,
		       nnr__ids *out, nnr_error *err)
{
	size_t i = 0;

	if (p->bad)
		return nnr__fail_memory(err, "a prompt", p->text.len);
	if (nnr__tok_add_bos(t) && !nnr__ids_add(out, nnr__tok_bos(t)))
		return nnr__fail_memory(err, "tokens", out->n);
	while (i < p->n) {
		const nnr__piece_of *first = &p->piece[i];
		size_t n = 0;
		int r;

		if (first->token >= 0) {
			if (!nnr__ids_add(out, first->token))
				return nnr__fail_memory(err, "tokens",
							out->n);
			i++;
			continue;
		}
		for (; i < p->n && p->piece[i].token < 0; i++)
			n += p->piece[i].len;
		if (!n)
			continue;
		r = nnr__tok_encode(t, p->text.p + first->start, n, out, err);
		if (r)
			return r;
	}
	return 0;
}
