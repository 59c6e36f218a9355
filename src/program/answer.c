/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.c: items -> answers.  Items go in groups; the steps of `out` work
 * on a group one after the other.  Groups are a matter of speed only: no
 * item's answer depends on its company.
 */
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 64

void nnr__answer_release(nnr__answer *a)
{
	for (int i = 0; i < a->samples; i++) {
		free(a->sample[i].text);
		free(a->sample[i].value);
	}
	free(a->sample);
	free(a->value);
	free(a->score);
	free(a->raw);
	memset(a, 0, sizeof(*a));
	a->label = -1;
	a->agreement = NAN;
}

void nnr__log_softmax(double *v, int n)
{
	double most = n ? v[0] : 0, sum = 0;

	for (int i = 1; i < n; i++)
		most = v[i] > most ? v[i] : most;
	for (int i = 0; i < n; i++)
		sum += exp(v[i] - most);
	for (int i = 0; i < n; i++)
		v[i] -= most + log(sum);
}

int nnr__keep_scores(nnr__answer *out, const double *v, int n, nnr_error *err)
{
	size_t count = (size_t)n;

	out->score = nnr__calloc(count, sizeof(*out->score));
	out->raw = nnr__calloc(count, sizeof(*out->raw));
	if (!out->score || !out->raw)
		return nnr__fail_memory(err, "scores", count);
	memcpy(out->score, v, count * sizeof(*v));
	memcpy(out->raw, v, count * sizeof(*v));
	out->scores = n;
	return 0;
}

/* ---- batches ---- */

static int fail_long(const nnr_program *p, int item, size_t tokens,
		     const nnr__step *s, int more, nnr_error *err)
{
	int context = p->model->bb->context;

	if (more <= 0)
		return nnr__fail(err, NNR_E_INPUT, "item %d: the prompt has "
				 "%zu tokens, the model's context %d", item,
				 tokens, context);
	return nnr__fail(err, NNR_E_INPUT, "item %d: the prompt has %zu "
			 "tokens and `%s` adds up to %d, together %zu; the "
			 "model's context has %d", item, tokens,
			 s->row->name, more, tokens + (size_t)more, context);
}

/* The step that needs most room after a prompt. */
static const nnr__step *roomiest(const nnr_program *p, int *room)
{
	const nnr__step *most = NULL;

	*room = 0;
	for (int i = 0; i < p->outs; i++) {
		const nnr__step *s = &p->out[i];
		if (s->when == NNR__WHEN_TRAIN || !s->row->room)
			continue;
		if (!most || s->row->room(p, s) > *room) {
			most = s;
			*room = s->row->room(p, s);
		}
	}
	return most;
}

static int add_item(nnr_program *p, nnr__batch *b, int i, int first,
		    nnr__prompt *prompt, nnr_error *err)
{
	nnr__ids *ids = &b->ids[i];
	const nnr__step *s;
	int room, rc = nnr__program_render(p, &b->item[i], prompt, err);

	rc = rc ? rc : nnr__prompt_encode(p->model->tok, prompt, ids, err);
	if (rc)
		return nnr__err_prefix(err, "item %d", first + i);
	if (!ids->n)
		return nnr__fail(err, NNR_E_INPUT, "item %d: the prompt is "
				 "empty", first + i);
	s = roomiest(p, &room);
	if (ids->n + (size_t)room > (size_t)p->model->bb->context)
		return fail_long(p, first + i, ids->n, s, room, err);
	b->prompt[i] = (nnr__span){ ids->id, (int)ids->n };
	b->key[i] = nnr__hash64(ids->id, ids->n * sizeof(*ids->id), 0);
	b->answer[i].prompt_tokens = (int)ids->n;
	return 0;
}

int nnr__batch_new(nnr_program *p, const nnr__record *item, int n, int first,
		   nnr__batch **out, nnr_error *err)
{
	nnr__batch *b = nnr__calloc(1, sizeof(*b));
	nnr__prompt prompt = { 0 };
	size_t count = (size_t)n;
	int rc = 0;

	*out = NULL;
	if (!b)
		return nnr__fail_memory(err, "items", sizeof(*b));
	b->item = item;
	b->n = n;
	b->ids = nnr__calloc(count, sizeof(*b->ids));
	b->prompt = nnr__calloc(count, sizeof(*b->prompt));
	b->key = nnr__calloc(count, sizeof(*b->key));
	b->answer = nnr__calloc(count, sizeof(*b->answer));
	if (!b->ids || !b->prompt || !b->key || !b->answer)
		rc = nnr__fail_memory(err, "items", count);
	for (int i = 0; i < n && !rc; i++) {
		b->answer[i].label = -1;
		b->answer[i].agreement = NAN;
		rc = add_item(p, b, i, first, &prompt, err);
	}
	nnr__prompt_release(&prompt);
	if (rc)
		nnr__batch_free(b);
	else
		*out = b;
	return rc;
}

void nnr__batch_free(nnr__batch *b)
{
	if (!b)
		return;
	for (int i = 0; i < b->n; i++) {
		if (b->ids)
			nnr__ids_release(&b->ids[i]);
		if (b->answer)
			nnr__answer_release(&b->answer[i]);
	}
	free(b->ids);
	free(b->prompt);
	free(b->key);
	free(b->answer);
	free(b);
}

int nnr__batch_run(nnr_program *p, nnr__batch *b, const nnr__step *end,
		   nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < p->outs && !rc && &p->out[i] != end; i++) {
		nnr__step *s = &p->out[i];
		if (s->when != NNR__WHEN_TRAIN && s->row->run)
			rc = s->row->run(p, s, b, err);
	}
	return rc;
}

/* ---- what is left open becomes the value ---- */

static int close_answer(const nnr_program *p, nnr__answer *a, nnr_error *err)
{
	const char *text = NULL;

	if (a->value) {
		text = NULL;	/* a reduce has made it */
	} else if (a->scores) {
		a->label = 0;
		for (int c = 1; c < a->scores; c++)
			if (a->score[c] > a->score[a->label])
				a->label = c;
		text = p->output.labels.s[a->label];
	} else if (a->samples == 1 && nnr__program_step(p, "parse")) {
		text = a->sample[0].value;
	} else if (a->samples == 1) {
		text = a->sample[0].text;
	}
	if (text) {
		a->value = nnr__strdup(text);
		if (!a->value)
			return nnr__fail_memory(err, "an answer",
						strlen(text));
	}
	if (a->value)
		a->label = nnr__type_label(&p->output, a->value);
	return 0;
}

static int answer_group(nnr_program *p, const nnr__record *item, int n,
			int first, nnr__on_answer done, void *ctx,
			nnr_error *err)
{
	nnr__batch *b = NULL;
	int rc = nnr__batch_new(p, item + first, n, first, &b, err);

	rc = rc ? rc : nnr__batch_run(p, b, NULL, err);
	for (int i = 0; i < n && !rc; i++) {
		rc = close_answer(p, &b->answer[i], err);
		rc = rc ? rc : done(ctx, first + i, &b->answer[i], err);
	}
	nnr__batch_free(b);
	return rc;
}

int nnr__program_answers(nnr_program *p, const nnr__record *item, int items,
			 nnr__on_answer done, void *ctx, nnr_error *err)
{
	nnr_error local;
	int rc;

	if (!err)
		err = &local;
	if (!p->engine)
		return nnr__fail(err, NNR_E_USAGE, "the program '%s' is not "
				 "bound to a model", p->name);
	rc = nnr__program_fit(p, err);
	for (int i = 0; i < items && !rc; i += GROUP) {
		int n = items - i < GROUP ? items - i : GROUP;
		rc = answer_group(p, item, n, i, done, ctx, err);
		if (!rc && nnr__interrupted())
			rc = nnr__fail(err, NNR_E_INTERRUPTED, "interrupted");
	}
	return rc;
}
