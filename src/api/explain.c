/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.c: how an answer came about: the rendered prompt with its parts
 * and positions, the samples, the scores before and after alignment.
 */
#include "api/api.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put_json(const nnr__parts *v, const nnr__answer *a, nnr__buf *b)
{
	nnr__buf_adds(b, "{\"prompt\":");
	nnr__parts_json(v, b);
	if (a->raw && a->scores) {
		nnr__buf_adds(b, ",\"scores_before\":");
		nnr__scores_json(&v->p->output, a->raw, a->scores, b);
	}
	nnr__buf_addc(b, '}');
}

static void put_text(const nnr__parts *v, const nnr__answer *a, nnr__buf *b)
{
	nnr__buf_addf(b, "prompt: %zu tokens\n", v->ids.n);
	nnr__parts_text(v, INT_MAX, b);
	for (int i = 0; i < a->samples; i++) {
		const nnr__sample *s = &a->sample[i];
		const char *text = s->text ? s->text : "";
		nnr__buf_addf(b, "sample %d: %d tokens, answer %s\n", i,
			      s->tokens, s->value ? s->value : "(none)");
		nnr__lines_text(text, strlen(text), INT_MAX, b);
	}
	if (a->scores)
		nnr__buf_adds(b, "scores:  after     before alignment\n");
	for (int c = 0; c < a->scores; c++)
		nnr__buf_addf(b, "  %10.4f %10.4f  %s\n", a->score[c],
			      a->raw ? a->raw[c] : NAN,
			      v->p->output.labels.s[c]);
}

int nnr__explain(nnr_program *p, const nnr__record *item,
		 const nnr__answer *a, char **json, char **text,
		 nnr_error *err)
{
	nnr__parts parts = { 0 };
	nnr__buf doc = { 0 }, people = { 0 };
	int rc = nnr__parts_of(&parts, p, item, err);

	if (!rc) {
		put_json(&parts, a, &doc);
		put_text(&parts, a, &people);
		rc = nnr__hand_out(&doc, json, err);
	}
	if (!rc)
		rc = nnr__hand_out(&people, text, err);
	nnr__buf_release(&people);
	nnr__buf_release(&doc);
	nnr__parts_release(&parts);
	return rc;
}
