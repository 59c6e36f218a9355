/* SPDX-License-Identifier: Apache-2.0
 *
 * epoch.c: steps that are fitted to the items of a lesson when an epoch
 * begins, with what is learned as it stands then.
 */
#include "lesson_int.h"

#include <stdlib.h>

typedef struct epoch {
	nnr__lesson *l;
	bool lowered;		/* the engine has the present values */
} epoch;

static int rows(void *ctx, int first, int n, float *out, nnr_error *err)
{
	epoch *e = ctx;
	nnr__lesson *l = e->l;
	nnr__span *prompt;
	int rc = e->lowered ? 0 : nnr__program_lower(l->p, err);

	if (rc)
		return rc;
	e->lowered = true;
	prompt = nnr__calloc((size_t)n, sizeof(*prompt));
	if (!prompt)
		return nnr__fail_memory(err, "items", (size_t)n);
	for (int i = 0; i < n; i++) {
		const nnr__lesson_item *t = &l->item[first + i];

		prompt[i] = (nnr__span){ t->ids.id, t->prompt };
	}
	rc = nnr__engine_features(l->e, prompt, n, out, err);
	free(prompt);
	return rc;
}

int nnr__lesson_epoch(nnr__lesson *l, int number, nnr_error *err)
{
	epoch e = { .l = l };
	nnr__examples x = { .n = l->items, .label = l->d->label,
			    .rows = rows, .ctx = &e };
	nnr_program *p = l->p;
	int rc = 0;

	/* of a frozen f every epoch would count the same */
	for (int i = 0; i < p->outs && !rc && !l->texts &&
	     (!number || nnr__lesson_learns_f(l)); i++) {
		nnr__step *s = &p->out[i];

		if (s->when != NNR__WHEN_RUN && s->row->epoch)
			rc = s->row->epoch(p, s, &x, number, err);
	}
	return rc;
}
