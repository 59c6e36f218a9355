/* SPDX-License-Identifier: Apache-2.0
 *
 * lower.c: joins a program and a model: tokens of the choices, the constant
 * beginning of every prompt as a compiled prefix, fits.
 */
#include "program/artifact.h"
#include "step.h"

#include <stdlib.h>
#include <string.h>

/* ---- the constant beginning ---- */

/* Texts that begin differently, so that what two prompts share is constant.
 * Most items begin with a letter: both do. */
static const char *probe_text(const nnr__field *f, int which)
{
	static const char *const texts[][2] = {
		[NNR__T_STRING] = { "A", "the" },
		[NNR__T_INT] = { "1", "2" },
		[NNR__T_NUMBER] = { "1", "2" },
		[NNR__T_BOOL] = { "yes", "no" }
	};

	if (f->type == NNR__T_LABEL)
		return f->labels.s[which];
	return texts[f->type][which];
}

static int set_probe(const nnr_program *p, const nnr__field *f, int which,
		     nnr__record *item, nnr_error *err)
{
	const char *text = nnr__symbol_example(p, f->name, which);
	nnr__buf list = { 0 };
	int rc;

	if (f->type == NNR__T_LIST) {
		nnr__list_made_up(f, which ? "the" : "A", "", &list);
		text = list.p;
	} else if (!text) {
		text = probe_text(f, which);
	}
	rc = list.bad ? nnr__fail_memory(err, f->name, list.len)
		      : nnr__record_set(item, f->name, text, strlen(text),
					err);
	nnr__buf_release(&list);
	return rc;
}

int nnr__program_probe(nnr_program *p, int which, nnr__prompt *out,
		       nnr_error *err)
{
	nnr__record item = { 0 };
	int rc = 0;

	for (int i = 0; i < p->inputs && !rc; i++)
		rc = set_probe(p, &p->input[i], which, &item, err);
	rc = rc ? rc : nnr__program_render(p, &item, out, err);
	nnr__record_release(&item);
	return rc;
}

static int probe(nnr_program *p, int which, nnr__ids *out, nnr_error *err)
{
	nnr__prompt prompt = { 0 };
	int rc = nnr__program_probe(p, which, &prompt, err);

	rc = rc ? rc : nnr__prompt_encode(p->model->tok, &prompt, out, err);
	nnr__prompt_release(&prompt);
	return rc;
}

static int compile_prefix(nnr_program *p, nnr_error *err)
{
	nnr__ids a = { 0 }, b = { 0 };
	size_t n = 0, context = (size_t)p->model->bb->context;
	int rc = probe(p, 0, &a, err);

	rc = rc ? rc : probe(p, 1, &b, err);
	while (!rc && n < a.n && n < b.n && a.id[n] == b.id[n])
		n++;
	if (!rc && n == a.n && n)
		n--;	/* the last token always runs: its logits are read */
	if (!rc && n < context) {
		p->prefix_tokens = (int)n;
		rc = nnr__engine_prefix(p->engine, a.id, (int)n, err);
	}
	nnr__ids_release(&a);
	nnr__ids_release(&b);
	return rc;
}

static bool gives_rows(const nnr_program *p)
{
	const nnr__given *g = &p->lowered->given;

	return g->sites.softs || g->sites.shifts || g->kvs || g->graph;
}

int nnr__program_lower(nnr_program *p, nnr_error *err)
{
	int rc = nnr__lower_rows(p, err);

	if (!rc && gives_rows(p))
		rc = nnr__engine_give(p->engine, &p->lowered->given, err);
	return rc ? rc : compile_prefix(p, err);
}

/* ---- binding ---- */

/* What an installed model serves: everything but gradients. */
static int check_needs(const nnr_program *p, nnr_error *err)
{
	static const char *const gives[] = { "text", "top_logprobs",
					     "logits", "hidden" };

	for (int i = 0; i < p->outs; i++) {
		const nnr__step *s = &p->out[i];
		bool ok = !s->row->needs;
		for (size_t k = 0; k < sizeof(gives) / sizeof(*gives); k++)
			ok = ok || strcmp(gives[k], s->row->needs) == 0;
		if (!ok)
			return nnr__fail_step(p, s, NULL, err, "needs `%s`, "
					      "which the model does not give",
					      s->row->needs);
	}
	return 0;
}

static int bind_all(nnr_program *p, const nnr__engine_opts *o,
		    nnr_error *err)
{
	int rc = check_needs(p, err);

	if (!rc)
		rc = nnr__engine_new(&p->engine, p->model->bb, o, err);
	for (int i = 0; i < p->ins + p->outs && !rc; i++) {
		nnr__step *s = nnr__program_step_at(p, i);
		if (s->when != NNR__WHEN_TRAIN && s->row->bind)
			rc = s->row->bind(p, s, err);
	}
	rc = rc ? rc : nnr__lowered_new(p, err);
	rc = rc ? rc : nnr__artifact_apply(p, err);
	rc = rc ? rc : nnr__program_lower(p, err);
	for (int i = 0; i < p->outs && !rc; i++) {
		nnr__step *s = &p->out[i];
		if (s->when != NNR__WHEN_TRAIN && s->row->fit)
			rc = s->row->fit(p, s, false, err);
	}
	return rc;
}

int nnr__program_bind(nnr_program *p, const nnr_model *m,
		      const nnr__engine_opts *o, nnr_error *err)
{
	nnr_error local;
	int rc;

	nnr__program_unbind(p);
	p->model = m;
	p->precision = o ? o->precision : NNR_FAST;
	p->no_cache = o && o->no_cache;
	rc = bind_all(p, o, err ? err : &local);
	if (rc)
		nnr__program_unbind(p);
	return rc;
}

void nnr__program_unbind(nnr_program *p)
{
	for (int c = 0; p->choice && c < p->choices; c++)
		nnr__ids_release(&p->choice[c]);
	free(p->choice);
	p->choice = NULL;
	p->choices = 0;
	nnr__lowered_free(p);
	nnr__tensors_free(p);
	nnr__engine_free(p->engine);
	p->engine = NULL;
	p->model = NULL;
	p->prefix_tokens = 0;
	p->ready = false;
}

void nnr__program_unfit(nnr_program *p)
{
	for (int i = 0; i < p->tensors; i++)
		if (p->tensor[i]->step->row->fit && !p->tensor[i]->grad &&
		    !p->tensor[i]->step->row->epoch)
			p->tensor[i]->set = false;
	p->ready = false;
}

int nnr__program_fit(nnr_program *p, nnr_error *err)
{
	nnr_error local;
	int rc = 0;

	if (!err)
		err = &local;
	if (p->ready)
		return 0;
	rc = nnr__trained_check(p, err);
	for (int i = 0; i < p->outs && !rc; i++) {
		nnr__step *s = &p->out[i];
		if (s->when == NNR__WHEN_TRAIN || !s->row->fit)
			continue;
		rc = s->row->fit(p, s, false, err);
		rc = rc ? rc : s->row->fit(p, s, true, err);
	}
	p->ready = !rc;
	return rc;
}
