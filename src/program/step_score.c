/* SPDX-License-Identifier: Apache-2.0
 *
 * score: the log-probability of each label's choice after the prompt.  A
 * choice is tokenised apart from its context.  Where the normaliser of the
 * vocabulary cancels between choices it is never computed.
 */
#include "step.h"

#include <stdlib.h>
#include <string.h>

typedef struct nnr__a_score args;

static const char *const norms[] = { "sum", "length", "bytes",
				     "unconditional", NULL };

static const nnr__param params[] = {
	{ .name = "choices", .type = NNR__P_MAP, .required = true,
	  .at = offsetof(args, choices),
	  .help = "the text of each label, {negative: \" negative\", ...}" },
	{ .name = "normalize", .type = NNR__P_ENUM, .names = norms,
	  .at = offsetof(args, normalize), .fallback = "sum",
	  .help = "sum of the tokens' log-probabilities, divided by tokens "
		  "or by bytes, or less the sum after `context`" },
	{ .name = "context", .type = NNR__P_STRING,
	  .at = offsetof(args, context), .fallback = "Answer:",
	  .help = "unconditional: the neutral prompt" },
	{ .name = NULL }
};

/* ---- reading ---- */

static int check_twins(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const nnr__pairs *c = &((args *)s->args)->choices;

	for (int i = 0; i < c->n; i++) {
		if (!c->p[i].value[0])
			return nnr__fail_step(p, s, "choices", err, "the "
					      "choice of `%s` is empty",
					      c->p[i].key);
		for (int j = 0; j < i; j++)
			if (strcmp(c->p[i].value, c->p[j].value) == 0)
				return nnr__fail_step(p, s, "choices", err,
						      "`%s` and `%s` have the "
						      "same choice `%s`",
						      c->p[j].key,
						      c->p[i].key,
						      c->p[i].value);
	}
	return 0;
}

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	const nnr__strings *labels = &p->output.labels;
	const char *names[64];
	char hint[200], want[160];
	int n = 0;

	for (; n < labels->n && n < 63; n++)
		names[n] = labels->s[n];
	names[n] = NULL;
	for (int i = 0; i < a->choices.n; i++)
		if (nnr__type_label(&p->output, a->choices.p[i].key) < 0)
			return nnr__fail_step(p, s, "choices", err, "`%.60s` "
					      "is not %s%s",
					      a->choices.p[i].key,
					      nnr__type_text(&p->output, want,
							     sizeof(want)),
					      nnr__hint(hint, sizeof(hint),
							a->choices.p[i].key,
							names));
	for (int i = 0; i < labels->n; i++)
		if (!nnr__pairs_get(&a->choices, labels->s[i]))
			return nnr__fail_step(p, s, "choices", err, "no "
					      "choice for the label `%.60s`",
					      labels->s[i]);
	return check_twins(p, s, err);
}

/* ---- binding ---- */

static int encode_choice(nnr_program *p, nnr__step *s, int c, nnr_error *err)
{
	args *a = s->args;
	int rc;

	a->word[c] = nnr__pairs_get(&a->choices, p->output.labels.s[c]);
	rc = nnr__tok_encode(p->model->tok, a->word[c], strlen(a->word[c]),
			     &p->choice[c], err);
	if (!rc && !p->choice[c].n)
		return nnr__fail_step(p, s, "choices", err, "the choice of "
				      "`%s` has no token",
				      p->output.labels.s[c]);
	return rc;
}

static void spans_of(const nnr_program *p, nnr__span *out)
{
	for (int c = 0; c < p->choices; c++)
		out[c] = (nnr__span){ p->choice[c].id, (int)p->choice[c].n };
}

/* log p(choice | context), up to one constant. */
static int score_context(nnr_program *p, nnr__step *s, const nnr__span *span,
			 nnr_error *err)
{
	args *a = s->args;
	nnr__prompt prompt = { 0 };
	nnr__ids ids = { 0 };
	nnr__span one;
	int rc;

	nnr__prompt_text(&prompt, a->context, strlen(a->context), s->id,
			 false);
	rc = nnr__prompt_encode(p->model->tok, &prompt, &ids, err);
	if (!rc && !ids.n)
		rc = nnr__fail_step(p, s, "context", err, "an empty context, "
				    "and the model has no first token of its "
				    "own");
	one = (nnr__span){ ids.id, (int)ids.n };
	if (!rc)
		rc = nnr__engine_score(p->engine, &one, 1, span, p->choices,
				       true, a->prior, err);
	nnr__ids_release(&ids);
	nnr__prompt_release(&prompt);
	return rc;
}

static int bind(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	size_t n = (size_t)p->output.labels.n;
	nnr__span *span = nnr__calloc(n, sizeof(*span));
	int rc = 0;

	free(a->word);
	free(a->prior);
	a->word = nnr__calloc(n, sizeof(*a->word));
	a->prior = nnr__calloc(n, sizeof(*a->prior));
	p->choice = nnr__calloc(n, sizeof(*p->choice));
	if (!span || !a->word || !a->prior || !p->choice) {
		free(span);
		return nnr__fail_memory(err, "choices", n);
	}
	p->choices = (int)n;
	for (int c = 0; c < p->choices && !rc; c++)
		rc = encode_choice(p, s, c, err);
	spans_of(p, span);
	if (!rc && a->normalize == NNR__NORM_UNCONDITIONAL)
		rc = score_context(p, s, span, err);
	free(span);
	return rc;
}

/* ---- running ---- */

static void normalise(const nnr_program *p, const args *a, double *v)
{
	for (int c = 0; c < p->choices; c++) {
		if (a->normalize == NNR__NORM_LENGTH)
			v[c] /= (double)p->choice[c].n;
		else if (a->normalize == NNR__NORM_BYTES)
			v[c] /= (double)strlen(a->word[c]);
		else if (a->normalize == NNR__NORM_UNCONDITIONAL)
			v[c] -= a->prior[c];
	}
	if (a->normalize == NNR__NORM_SUM ||
	    a->normalize == NNR__NORM_UNCONDITIONAL)
		nnr__log_softmax(v, p->choices);
}

static int keep_scores(const nnr_program *p, const double *v,
		       nnr__answer *out, nnr_error *err)
{
	size_t n = (size_t)p->choices;

	out->score = nnr__calloc(n, sizeof(*out->score));
	out->raw = nnr__calloc(n, sizeof(*out->raw));
	if (!out->score || !out->raw)
		return nnr__fail_memory(err, "scores", n);
	memcpy(out->score, v, n * sizeof(*v));
	memcpy(out->raw, v, n * sizeof(*v));
	out->scores = p->choices;
	return 0;
}

static int run(nnr_program *p, nnr__step *s, nnr__batch *b, nnr_error *err)
{
	const args *a = s->args;
	size_t choices = (size_t)p->choices;
	bool relative = a->normalize == NNR__NORM_SUM ||
			a->normalize == NNR__NORM_UNCONDITIONAL;
	nnr__span *span = nnr__calloc(choices, sizeof(*span));
	double *v = nnr__calloc((size_t)b->n * choices, sizeof(*v));
	int rc;

	if (!span || !v) {
		free(span);
		free(v);
		return nnr__fail_memory(err, "scores", choices);
	}
	spans_of(p, span);
	rc = nnr__engine_score(p->engine, b->prompt, b->n, span, p->choices,
			       relative, v, err);
	for (int i = 0; i < b->n && !rc; i++) {
		double *row = v + (size_t)i * choices;
		normalise(p, a, row);
		rc = keep_scores(p, row, &b->answer[i], err);
	}
	free(span);
	free(v);
	return rc;
}

static int room(const nnr_program *p, const nnr__step *s)
{
	size_t most = 0;

	(void)s;
	for (int c = 0; c < p->choices; c++)
		if (p->choice[c].n > most)
			most = p->choice[c].n;
	return (int)most - 1;
}

static int64_t ways(const nnr_program *p, const nnr__step *s)
{
	(void)s;
	return p->output.labels.n;
}

static void release(nnr__step *s)
{
	args *a = s->args;

	free(a->word);
	free(a->prior);
	a->word = NULL;
	a->prior = NULL;
}

const nnr__step_row nnr__step_score = {
	.name = "score",
	.help = "log-probability of each label's text after the prompt",
	.takes = NNR__K_LOGITS, .gives = NNR__K_SCORES,
	.alignment = "structural", .needs = "logits", .axis = "label",
	.param = params, .args = sizeof(args),
	.check = check, .bind = bind, .run = run, .room = room,
	.ways = ways, .release = release
};
