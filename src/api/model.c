/* SPDX-License-Identifier: Apache-2.0
 *
 * model.c: a model: backbone, tokenizer and chat markup of one file.
 */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>

static int open_parts(nnr_model *m, nnr_error *err)
{
	int rc = nnr__backbone_open(&m->bb, m->path, err);

	if (!rc)
		rc = nnr__tok_new(&m->tok, m->bb->file, err);
	if (rc)
		return rc;
	/* A program without `chat` does without the template. */
	if (nnr__chat_new(&m->chat, m->bb->file, m->tok, &m->chat_err))
		m->chat = NULL;
	return 0;
}

int nnr_model_open(nnr_model **out, const char *ref, const nnr_model_opts *o,
		   nnr_error *err)
{
	nnr_model *m = nnr__calloc(1, sizeof(*m));
	int rc;

	*out = NULL;
	if (!m)
		return nnr__fail_memory(err, "model", sizeof(*m));
	rc = nnr__model_resolve(&m->path, ref, o ? o->base_dir : NULL, err);
	if (!rc)
		rc = open_parts(m, err);
	if (rc)
		nnr_model_close(m);
	else
		*out = m;
	return rc;
}

void nnr_model_close(nnr_model *m)
{
	if (!m)
		return;
	nnr__chat_free(m->chat);
	nnr__tok_free(m->tok);
	nnr__backbone_close(m->bb);
	free(m->path);
	free(m);
}

/* The backbone's object, with what text adds to it. */
int nnr_model_info(const nnr_model *m, char **json, nnr_error *err)
{
	char *info = nnr__backbone_info(m->bb);
	const char *chat = m->chat ? nnr__chat_name(m->chat) : NULL;
	nnr__buf b = { 0 };
	size_t n = info ? strlen(info) : 0;

	*json = NULL;
	if (n < 2)
		return nnr__fail_memory(err, "model info", 0);
	nnr__buf_add(&b, info, n - 1);
	free(info);
	nnr__buf_adds(&b, ",\"text\":{\"tokenizer\":");
	nnr__buf_add_json(&b, nnr__tok_kind(m->tok),
			  strlen(nnr__tok_kind(m->tok)));
	nnr__buf_adds(&b, ",\"chat\":");
	if (chat)
		nnr__buf_add_json(&b, chat, strlen(chat));
	else
		nnr__buf_adds(&b, "null");
	nnr__buf_addf(&b, ",\"add_bos\":%s}}",
		      nnr__tok_add_bos(m->tok) ? "true" : "false");
	return nnr__hand_out(&b, json, err);
}

int nnr_model_tokenize(const nnr_model *m, nnr_text text, int32_t **token,
		       size_t *n, nnr_error *err)
{
	nnr__ids ids = { 0 };
	int rc = nnr__tok_encode(m->tok, text.s, text.n, &ids, err);

	*token = NULL;
	*n = 0;
	if (rc) {
		nnr__ids_release(&ids);
		return rc;
	}
	*token = ids.id;
	*n = ids.n;
	return 0;
}

/* ---- texts of a file ---- */

/* Items, then their bytes, in one block. */
static int pack(const nnr__records *r, const char *path, nnr_text **out,
		nnr_error *err)
{
	size_t bytes = (size_t)r->n * sizeof(**out), at;
	char *block;

	at = bytes;
	for (int i = 0; i < r->n; i++) {
		const nnr__value *v = nnr__record_get(&r->row[i], "text");
		if (!v)
			return nnr__fail(err, NNR_E_INPUT, "%.200s:%u: no "
					 "field \"text\"", path, r->line[i]);
		bytes += v->len;
	}
	*out = malloc(bytes);
	if (!*out)
		return nnr__fail_memory(err, "texts", bytes);
	block = (char *)*out;
	for (int i = 0; i < r->n; i++) {
		const nnr__value *v = nnr__record_get(&r->row[i], "text");
		memcpy(block + at, v->text, v->len);
		(*out)[i] = (nnr_text){ block + at, v->len };
		at += v->len;
	}
	return 0;
}

int nnr_texts_read(nnr_text **text, int *n, const char *path, nnr_error *err)
{
	static const char *const names[] = { "text", NULL };
	nnr__declared d = { .name = names, .input = "text" };
	nnr__records_opts o = { 0 };
	nnr__records r = { 0 };
	int rc;

	*text = NULL;
	*n = 0;
	rc = nnr__records_read(&r, path, &d, &o, err);
	if (!rc)
		rc = pack(&r, path, text, err);
	if (!rc)
		*n = r.n;
	nnr__records_release(&r);
	return rc;
}
