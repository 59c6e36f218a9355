/* SPDX-License-Identifier: Apache-2.0
 *
 * logits.c: logits of texts, by themselves or in a program's prompt -> a
 * safetensors file: tokens of every text (I64), logits of every text (F32),
 * in the order of the texts.  All token counts are known before anything
 * runs, so the header is written first and one text's logits are in memory
 * at a time.  Virtual tokens are run, not written.
 */
#include "api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/safetensors.h"

typedef struct sheet {
	const nnr_model *m;
	nnr__engine *e;
	nnr__ids *ids;		/* [texts] */
	int texts;
	size_t tokens, longest;	/* real ones; of all */
	nnr__sink out;
} sheet;

static int encode(sheet *s, const nnr_text *text, nnr_error *err)
{
	const nnr__tok *t = s->m->tok;
	int context = s->m->bb->context;

	for (int i = 0; i < s->texts; i++) {
		nnr__ids *ids = &s->ids[i];
		int rc = 0;
		if (nnr__tok_add_bos(t) && nnr__tok_bos(t) >= 0 &&
		    !nnr__ids_add(ids, nnr__tok_bos(t)))
			return nnr__fail_memory(err, "tokens", 0);
		rc = nnr__tok_encode(t, text[i].s, text[i].n, ids, err);
		if (rc)
			return rc;
		if (ids->n == 0)
			return nnr__fail(err, NNR_E_INPUT, "text %d has no "
					 "tokens", i);
		if (ids->n > (size_t)context)
			return nnr__fail(err, NNR_E_INPUT, "text %d has %zu "
					 "tokens; the model's context is %d",
					 i, ids->n, context);
	}
	return 0;
}

/* The prompts of a program's items, each of which is one text. */
static int render(sheet *s, nnr_program *p, const nnr_text *text,
		  nnr_error *err)
{
	nnr__prompt prompt = { 0 };
	int rc = 0;

	for (int i = 0; i < s->texts && !rc; i++) {
		nnr__record item = { 0 };
		char *json = NULL, name[40];
		snprintf(name, sizeof(name), "text %d", i);
		rc = nnr_program_input(p, text[i], &json, err);
		rc = rc ? rc : nnr__item_from_json(p, name, json,
						   strlen(json), &item, err);
		rc = rc ? rc : nnr__program_render(p, &item, &prompt, err);
		rc = rc ? rc : nnr__prompt_encode(s->m->tok, &prompt,
						  &s->ids[i], err);
		nnr__record_release(&item);
		nnr_free(json);
	}
	nnr__prompt_release(&prompt);
	return rc;
}

static int64_t real_tokens(const nnr__ids *ids)
{
	int64_t n = 0;

	for (size_t i = 0; i < ids->n; i++)
		n += ids->id[i] >= 0;
	return n;
}

static void count(sheet *s)
{
	for (int i = 0; i < s->texts; i++) {
		s->tokens += (size_t)real_tokens(&s->ids[i]);
		if (s->ids[i].n > s->longest)
			s->longest = s->ids[i].n;
	}
}

static void name_tensor(const sheet *s, const char *what, int i, char *out,
			size_t n)
{
	if (s->texts > 1)
		snprintf(out, n, "%s.%d", what, i);
	else
		snprintf(out, n, "%s", what);
}

/* Tokens of all texts, then logits of all. */
static int put_header(sheet *s, nnr_error *err)
{
	size_t n = (size_t)s->texts;
	nnr__st_tensor *t = nnr__calloc(2 * n, sizeof(*t));
	char (*name)[24] = nnr__calloc(2 * n, sizeof(*name));
	nnr__buf head = { 0 };
	int rc = 0;

	if (!t || !name)
		rc = nnr__fail_memory(err, "header", 2 * n);
	for (size_t i = 0; i < n && !rc; i++) {
		int64_t rows = real_tokens(&s->ids[i]);
		name_tensor(s, "tokens", (int)i, name[i], sizeof(*name));
		name_tensor(s, "logits", (int)i, name[n + i], sizeof(*name));
		t[i] = (nnr__st_tensor){ name[i], NNR__ST_I64, 1, { rows },
					 NULL };
		t[n + i] = (nnr__st_tensor){ name[n + i], NNR__ST_F32, 2,
					     { rows, s->m->bb->vocab },
					     NULL };
	}
	rc = rc ? rc : nnr__st_head(&head, t, 2 * s->texts, NULL, 0, err);
	rc = rc ? rc : nnr__sink_add(&s->out, head.p, head.len, err);
	nnr__buf_release(&head);
	free(name);
	free(t);
	return rc;
}

static int put_tokens(sheet *s, nnr_error *err)
{
	nnr__buf b = { 0 };
	int rc = 0;

	for (int i = 0; i < s->texts && !rc; i++) {
		for (size_t t = 0; t < s->ids[i].n; t++) {
			uint64_t id = (uint64_t)s->ids[i].id[t];
			for (int k = 0; k < 8 && s->ids[i].id[t] >= 0; k++)
				nnr__buf_addc(&b, (char)(id >> (8 * k)));
		}
		rc = b.bad ? nnr__fail_memory(err, "tokens", b.len)
			   : nnr__sink_add(&s->out, b.p, b.len, err);
		nnr__buf_clear(&b);
	}
	nnr__buf_release(&b);
	return rc;
}

static int put_rows(sheet *s, const nnr__ids *ids, const float *row,
		    nnr_error *err)
{
	size_t vocab = (size_t)s->m->bb->vocab;
	int rc = 0;

	for (size_t i = 0; i < ids->n && !rc; i++)
		if (ids->id[i] >= 0)
			rc = nnr__sink_add(&s->out, row + i * vocab,
					   vocab * sizeof(*row), err);
	return rc;
}

static int put_logits(sheet *s, nnr_on_progress progress, void *ctx,
		      nnr_error *err)
{
	size_t row = (size_t)s->m->bb->vocab * sizeof(float);
	nnr_progress done = { .total = s->texts };
	double start = nnr__now();
	float *out = nnr__aligned(s->longest * row);
	int rc = out ? 0 : nnr__fail_memory(err, "logits", s->longest * row);

	for (int i = 0; i < s->texts && !rc; i++) {
		const nnr__ids *ids = &s->ids[i];
		rc = nnr__engine_logits(s->e, ids->id, (int)ids->n, out, err);
		rc = rc ? rc : put_rows(s, ids, out, err);
		done.done++;
		done.tokens += ids->n;
		done.seconds = nnr__now() - start;
		if (progress)
			progress(ctx, &done);
	}
	nnr__aligned_free(out);
	return rc;
}

static int write_file(sheet *s, const char *path, nnr_on_progress progress,
		      void *ctx, nnr_error *err)
{
	int rc = nnr__sink_open(&s->out, path, err), last;

	if (rc)
		return rc;
	rc = put_header(s, err);
	rc = rc ? rc : put_tokens(s, err);
	rc = rc ? rc : put_logits(s, progress, ctx, err);
	last = nnr__sink_close(&s->out, !rc, err);
	return rc ? rc : last;
}

static int sheet_new(sheet *s, const nnr_model *m, int texts, nnr_error *err)
{
	*s = (sheet){ .m = m, .texts = texts };
	if (texts < 1)
		return nnr__fail(err, NNR_E_INPUT, "no texts");
	s->ids = nnr__calloc((size_t)texts, sizeof(*s->ids));
	return s->ids ? 0 : nnr__fail_memory(err, "tokens", (size_t)texts);
}

/* Takes the sheet's memory, whatever has become of it. */
static int sheet_end(sheet *s, int rc, char **json, nnr_error *err)
{
	nnr__buf b = { 0 };

	if (!rc) {
		nnr__buf_addf(&b, "{\"texts\":%d,\"tokens\":%zu,"
			      "\"vocabulary\":%d}", s->texts, s->tokens,
			      s->m->bb->vocab);
		rc = nnr__hand_out(&b, json, err);
	}
	for (int i = 0; s->ids && i < s->texts; i++)
		nnr__ids_release(&s->ids[i]);
	free(s->ids);
	return rc;
}

int nnr_model_logits(const nnr_model *m, const nnr_text *text, int texts,
		     const char *path, const nnr_run_opts *o,
		     nnr_on_progress progress, void *ctx, char **json,
		     nnr_error *err)
{
	nnr__engine_opts eo = nnr__engine_opts_of(o);
	sheet s;
	int rc = sheet_new(&s, m, texts, err);

	*json = NULL;
	rc = rc ? rc : encode(&s, text, err);
	rc = rc ? rc : nnr__engine_new(&s.e, m->bb, &eo, err);
	if (!rc) {
		count(&s);
		rc = write_file(&s, path, progress, ctx, err);
	}
	nnr__engine_free(s.e);
	return sheet_end(&s, rc, json, err);
}

int nnr_program_logits(nnr_program *p, const nnr_text *text, int texts,
		       const char *path, nnr_on_progress progress, void *ctx,
		       char **json, nnr_error *err)
{
	sheet s = { 0 };
	int rc;

	*json = NULL;
	if (!p->engine)
		return nnr__fail(err, NNR_E_USAGE, "the program '%s' is not "
				 "bound to a model", p->name);
	rc = nnr__program_fit(p, err);
	rc = rc ? rc : sheet_new(&s, p->model, texts, err);
	rc = rc ? rc : render(&s, p, text, err);
	if (!rc) {
		count(&s);
		s.e = p->engine;
		rc = write_file(&s, path, progress, ctx, err);
	}
	return sheet_end(&s, rc, json, err);
}
