/* SPDX-License-Identifier: Apache-2.0
 *
 * frozen.c: lessons in which nothing in f is learned.  What comes out of f
 * for an item is then always the same, so it is computed once, by inference,
 * and kept: the scores of the words of `score`, or else the features of the
 * last token.  From the second time on only g_out runs.
 */
#include "lesson_int.h"

#include <stdlib.h>
#include <string.h>

/* The step that reads f, if it is `score`. */
static nnr__step *score_step(const nnr__lesson *l)
{
	nnr__step *s = nnr__reading_step(l->p);

	return s && s->row->read == nnr__choices_read ? s : NULL;
}

/* Bytes of what is kept of an item. */
static size_t bytes_each(const nnr__lesson *l)
{
	return score_step(l) ? (size_t)l->p->choices * sizeof(double)
			     : (size_t)l->e->bb->hidden * sizeof(float);
}

static int make_room(nnr__lesson *l, nnr_error *err)
{
	size_t each = bytes_each(l), fits = l->memory / each;

	if (l->kept)
		return 0;
	l->keeps = fits < (size_t)l->items ? (int)fits : l->items;
	l->kept = nnr__calloc((size_t)l->keeps + 1, each);
	l->has = nnr__calloc((size_t)l->items, sizeof(*l->has));
	if (!l->kept || !l->has)
		return nnr__fail_memory(err, "what is kept of items",
					(size_t)l->keeps * each);
	return 0;
}

/* Where item i of the pass has what was read of it. */
static char *place(const nnr__lesson *l, int i)
{
	char *at = score_step(l) ? (char *)l->word
				 : (char *)(uintptr_t)l->out.row;

	return at + (size_t)i * bytes_each(l);
}

static int read_missing(nnr__lesson *l, const nnr__span *prompt, int n,
			void *out, nnr_error *err)
{
	nnr__step *s = score_step(l);

	if (s)
		return nnr__score_prompts(l->p, s, prompt, n, out, err);
	return nnr__engine_features(l->e, prompt, n, out, err);
}

/* Runs the items of the pass that are not at hand, all together. */
static int run_missing(nnr__lesson *l, int missing, nnr_error *err)
{
	size_t each = bytes_each(l);
	nnr__span *prompt = nnr__calloc((size_t)missing, sizeof(*prompt));
	char *out = nnr__calloc((size_t)missing, each);
	int n = 0, rc;

	if (!prompt || !out) {
		free(prompt);
		free(out);
		return nnr__fail_memory(err, "items", (size_t)missing);
	}
	for (int i = 0; i < l->picks; i++) {
		const nnr__ids *ids = &l->item[l->pick[i]].ids;

		if (!l->has[l->pick[i]])
			prompt[n++] = (nnr__span){ ids->id, (int)ids->n };
	}
	rc = read_missing(l, prompt, missing, out, err);
	n = 0;
	for (int i = 0; i < l->picks && !rc; i++) {
		int item = l->pick[i];
		const char *from = out + (size_t)n * each;

		if (l->has[item])
			continue;
		memcpy(place(l, i), from, each);
		if (item < l->keeps)
			memcpy(l->kept + (size_t)item * each, from, each);
		n++;
	}
	free(prompt);
	free(out);
	return rc;
}

int nnr__frozen_gather(nnr__lesson *l, nnr_error *err)
{
	size_t each = bytes_each(l);
	int missing = 0, rc = make_room(l, err);

	for (int i = 0; i < l->picks && !rc; i++) {
		int item = l->pick[i];

		if (l->has[item])
			memcpy(place(l, i), l->kept + (size_t)item * each,
			       each);
		else
			missing++;
	}
	if (!rc && missing)
		rc = run_missing(l, missing, err);
	for (int i = 0; i < l->picks && !rc; i++)
		l->has[l->pick[i]] = l->pick[i] < l->keeps;
	return rc;
}

void nnr__frozen_free(nnr__lesson *l)
{
	free(l->kept);
	free(l->has);
}
