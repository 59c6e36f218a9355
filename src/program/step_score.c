/* SPDX-License-Identifier: Apache-2.0
 *
 * score: the log-probability of each label's choice after the prompt.  A
 * choice is tokenised apart from its context.  Where the normaliser of the
 * vocabulary cancels between choices it is never computed.
 *
 * A label may have several choices, its words: its score is then
 * log sum_w softmax(weights)_w p(w), the mean of their probabilities unless
 * the weights are learned.
 */
#include "program/learn.h"
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 10000

typedef struct nnr__a_score args;

static const char *const norms[] = { "sum", "length", "bytes",
				     "unconditional", NULL };

/* ---- `choices`: label -> text or texts, as pairs in the order given ---- */

static int add_words(nnr__src *s, const nnr__ynode *n, nnr__pairs *out)
{
	nnr__strings words = { 0 };
	char what[100];
	int rc;

	snprintf(what, sizeof(what), "`%.60s` of `choices`", n->key);
	rc = nnr__src_strings(s, n, what, &words);
	if (!rc && !words.n)
		return nnr__fail_node(s, n, "%s is an empty list", what);
	for (int i = 0; i < words.n && !rc; i++) {
		nnr__pair *to = &out->p[out->n++];

		to->key = nnr__src_copy(s, n->key, strlen(n->key));
		to->value = words.s[i];
		rc = to->key ? 0 : NNR_E_MEMORY;
	}
	return rc;
}

static int choices_read(nnr__src *s, const nnr__ynode *map, void *at)
{
	nnr__pairs *out = at;
	char text[80];
	size_t n = 0;
	int rc = 0;

	if (map->kind != NNR__Y_MAP)
		return nnr__fail_node(s, map, "`choices` is %s; a map was "
				      "expected", nnr__node_text(map, text,
							sizeof(text)));
	for (const nnr__ynode *c = map->child; c; c = c->next)
		n += c->kind == NNR__Y_LIST ? c->count : 1;
	if (n > WORDS_MAX)
		return nnr__fail_node(s, map, "`choices` has %zu texts; at "
				      "most %d", n, WORDS_MAX);
	out->p = nnr__src_alloc(s, n, sizeof(*out->p));
	if (!out->p)
		return NNR_E_MEMORY;
	for (const nnr__ynode *c = map->child; c && !rc; c = c->next)
		rc = add_words(s, c, out);
	return rc;
}

static bool same_label(const nnr__pairs *v, int i, int j)
{
	return i >= 0 && j < v->n && strcmp(v->p[i].key, v->p[j].key) == 0;
}

static void choices_json(const void *at, nnr__buf *out)
{
	const nnr__pairs *v = at;

	nnr__buf_addc(out, '{');
	for (int i = 0; i < v->n; i++) {
		bool first = !same_label(v, i - 1, i);
		bool last = !same_label(v, i, i + 1);

		nnr__buf_adds(out, i ? ", " : "");
		if (first) {
			nnr__buf_add_json(out, v->p[i].key,
					  strlen(v->p[i].key));
			nnr__buf_adds(out, last ? ": " : ": [");
		}
		nnr__buf_add_json(out, v->p[i].value, strlen(v->p[i].value));
		nnr__buf_adds(out, last && !first ? "]" : "");
	}
	nnr__buf_addc(out, '}');
}

#define TEXT "{\"type\":[\"string\",\"number\",\"boolean\"]}"
static const nnr__own choices_type = {
	"map of texts, or of lists of them",
	"\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[" TEXT
	",{\"type\":\"array\",\"minItems\":1,\"items\":" TEXT "}]}",
	choices_read, choices_json
};

static const nnr__param params[] = {
	{ .name = "choices", .type = NNR__P_OWN, .own = &choices_type,
	  .required = true, .at = offsetof(args, choices),
	  .help = "the text of each label, {negative: \" negative\", ...}" },
	{ .name = "normalize", .type = NNR__P_ENUM, .names = norms,
	  .at = offsetof(args, normalize), .fallback = "sum",
	  .help = "sum of the tokens' log-probabilities, divided by tokens "
		  "or by bytes, or less the sum after `context`" },
	{ .name = "context", .type = NNR__P_STRING,
	  .at = offsetof(args, context), .fallback = "Answer:",
	  .help = "unconditional: the neutral prompt" },
	{ .name = "learn", .type = NNR__P_BOOL, .at = offsetof(args, learn),
	  .fallback = "no",
	  .help = "whether the weights of a label's texts are learned" },
	{ .name = NULL }
};

/* ---- reading ---- */

static int fail_twins(const nnr_program *p, const nnr__step *s,
		      const nnr__pair *one, const nnr__pair *two,
		      nnr_error *err)
{
	if (strcmp(one->key, two->key) == 0)
		return nnr__fail_step(p, s, "choices", err, "`%s` has the "
				      "choice `%s` twice", one->key,
				      one->value);
	return nnr__fail_step(p, s, "choices", err, "`%s` and `%s` have the "
			      "same choice `%s`", one->key, two->key,
			      one->value);
}

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
				return fail_twins(p, s, &c->p[j], &c->p[i],
						  err);
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
	if (a->learn && a->choices.n == labels->n)
		return nnr__fail_step(p, s, "learn", err, "every label has "
				      "one choice: there are no weights to "
				      "learn");
	return check_twins(p, s, err);
}

/* ---- binding ---- */

static int encode_word(nnr_program *p, nnr__step *s, int c, nnr_error *err)
{
	const args *a = s->args;
	int rc = nnr__tok_encode(p->model->tok, a->word[c],
				 strlen(a->word[c]), &p->choice[c], err);

	if (!rc && !p->choice[c].n)
		return nnr__fail_step(p, s, "choices", err, "the choice of "
				      "`%s` has no token",
				      p->output.labels.s[a->label[c]]);
	return rc;
}

/* The words, those of a label behind one another. */
static void order_words(const nnr_program *p, args *a)
{
	int n = 0;

	for (int c = 0; c < p->output.labels.n; c++) {
		const char *label = p->output.labels.s[c];

		a->first[c] = n;
		for (int i = 0; i < a->choices.n; i++) {
			if (strcmp(a->choices.p[i].key, label) != 0)
				continue;
			a->word[n] = a->choices.p[i].value;
			a->label[n++] = c;
		}
	}
	a->first[p->output.labels.n] = n;
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

static void release(nnr__step *s)
{
	args *a = s->args;

	free(a->word);
	free(a->label);
	free(a->first);
	free(a->prior);
	a->word = NULL;
	a->label = a->first = NULL;
	a->prior = NULL;
}

static int bind(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	size_t n = (size_t)a->choices.n;
	nnr__span *span = nnr__calloc(n, sizeof(*span));
	int rc = 0;

	release(s);
	a->word = nnr__calloc(n, sizeof(*a->word));
	a->label = nnr__calloc(n, sizeof(*a->label));
	a->first = nnr__calloc((size_t)p->output.labels.n + 1,
			       sizeof(*a->first));
	a->prior = nnr__calloc(n, sizeof(*a->prior));
	p->choice = nnr__calloc(n, sizeof(*p->choice));
	if (!span || !a->word || !a->label || !a->first || !a->prior ||
	    !p->choice) {
		free(span);
		return nnr__fail_memory(err, "choices", n);
	}
	p->choices = (int)n;
	order_words(p, a);
	for (int c = 0; c < p->choices && !rc; c++)
		rc = encode_word(p, s, c, err);
	spans_of(p, span);
	if (!rc && a->normalize == NNR__NORM_UNCONDITIONAL)
		rc = score_context(p, s, span, err);
	free(span);
	return rc;
}

/* Weights start equal. */
static int tensors(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	int64_t dim[] = { a->choices.n };

	if (!a->learn)
		return 0;
	a->weights = nnr__tensor_add(p, s, "weights", 1, dim, true, err);
	return a->weights ? 0 : NNR_E_MEMORY;
}

/* ---- from words to labels ---- */

static bool relative(const args *a)
{
	return a->normalize == NNR__NORM_SUM ||
	       a->normalize == NNR__NORM_UNCONDITIONAL;
}

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
}

/* log sum exp of n > 0 values. */
static double log_sum(const double *v, int n)
{
	double most = v[0], sum = 0;

	for (int i = 1; i < n; i++)
		most = v[i] > most ? v[i] : most;
	for (int i = 0; i < n; i++)
		sum += exp(v[i] - most);
	return most + log(sum);
}

/* Log weight of word c: the log-softmax over its label's. */
static double log_weight(const args *a, int c)
{
	int first = a->first[a->label[c]];
	int n = a->first[a->label[c] + 1] - first;
	double sum = 0;

	if (n == 1)
		return 0;
	if (!a->learn)
		return -log(n);
	for (int i = 0; i < n; i++)
		sum += exp((double)a->weights->value[first + i] -
			   (double)a->weights->value[c]);
	return -log(sum);
}

void nnr__score_labels(const nnr_program *p, const nnr__step *s,
		       const double *word, double *room, double *label)
{
	const args *a = s->args;

	for (int c = 0; c < p->choices; c++)
		room[c] = word[c] + log_weight(a, c);
	for (int y = 0; y < p->output.labels.n; y++)
		label[y] = log_sum(room + a->first[y],
				   a->first[y + 1] - a->first[y]);
}

void nnr__score_labels_back(const nnr_program *p, const nnr__step *s,
			    const double *word, const double *label,
			    const double *dlabel, double *dword)
{
	const args *a = s->args;

	for (int c = 0; c < p->choices; c++) {
		double weight = log_weight(a, c), d = dlabel[a->label[c]];

		dword[c] = d * exp(word[c] + weight - label[a->label[c]]);
		if (a->learn)
			a->weights->grad[c] += (float)(dword[c] -
						       d * exp(weight));
	}
}

/* ---- running ---- */

int nnr__score_prompts(nnr_program *p, const nnr__step *s,
		       const nnr__span *prompt, int n, double *word,
		       nnr_error *err)
{
	size_t choices = (size_t)p->choices;
	nnr__span *span = nnr__calloc(choices, sizeof(*span));
	int rc;

	if (!span)
		return nnr__fail_memory(err, "choices", choices);
	spans_of(p, span);
	rc = nnr__engine_score(p->engine, prompt, n, span, p->choices,
			       relative(s->args), word, err);
	for (int i = 0; i < n && !rc; i++)
		normalise(p, s->args, word + (size_t)i * choices);
	free(span);
	return rc;
}

static int run(nnr_program *p, nnr__step *s, nnr__batch *b, nnr_error *err)
{
	size_t choices = (size_t)p->choices, all = (size_t)b->n * choices;
	int labels = p->output.labels.n, rc;
	double *word = nnr__calloc(all + choices + (size_t)labels,
				   sizeof(*word));
	double *near = word + all, *label = near + choices;

	if (!word)
		return nnr__fail_memory(err, "scores", all);
	rc = nnr__score_prompts(p, s, b->prompt, b->n, word, err);
	for (int i = 0; i < b->n && !rc; i++) {
		nnr__score_labels(p, s, word + (size_t)i * choices, near,
				  label);
		if (relative(s->args))
			nnr__log_softmax(label, labels);
		rc = nnr__keep_scores(&b->answer[i], label, labels, err);
	}
	free(word);
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
	(void)p;
	return ((const args *)s->args)->choices.n;
}

const nnr__step_row nnr__step_score = {
	.name = "score",
	.help = "log-probability of each label's text after the prompt",
	.takes = NNR__K_LOGITS, .gives = NNR__K_SCORES,
	.alignment = "structural", .needs = "logits", .axis = "label",
	.param = params, .args = sizeof(args),
	.check = check, .bind = bind, .tensors = tensors, .run = run,
	.read = nnr__choices_read, .read_back = nnr__choices_read_back,
	.room = room, .ways = ways, .release = release
};
