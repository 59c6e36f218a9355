/* SPDX-License-Identifier: Apache-2.0
 *
 * artifact_write.c: a program as an artifact.  One spelling of everything,
 * so that equal inputs give equal bytes.
 */
#include "program/artifact_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_text(nnr__buf *out, const char *s)
{
	nnr__buf_add_json(out, s, strlen(s));
}

static void add_text_or_null(nnr__buf *out, const char *s)
{
	if (s)
		add_text(out, s);
	else
		nnr__buf_adds(out, "null");
}

/* ---- canonical JSON ---- */

static int by_key(const void *x, const void *y)
{
	return strcmp((*(const nnr__jnode *const *)x)->key,
		      (*(const nnr__jnode *const *)y)->key);
}

static int add_object(nnr__buf *out, const nnr__jnode *n, nnr_error *err)
{
	const nnr__jnode **all = nnr__calloc(n->count + (size_t)1,
					     sizeof(*all));
	size_t count = 0;
	int rc = 0;

	if (!all)
		return nnr__fail_memory(err, "a record", n->count);
	for (const nnr__jnode *c = n->child; c; c = c->next)
		all[count++] = c;
	qsort(all, count, sizeof(*all), by_key);
	nnr__buf_addc(out, '{');
	for (size_t i = 0; i < count && !rc; i++) {
		nnr__buf_adds(out, i ? "," : "");
		add_text(out, all[i]->key);
		nnr__buf_addc(out, ':');
		rc = nnr__json_canonical(out, all[i], err);
	}
	nnr__buf_addc(out, '}');
	free(all);
	return rc;
}

/* Depth is limited where it was parsed. */
int nnr__json_canonical(nnr__buf *out, const nnr__jnode *n, nnr_error *err)
{
	int rc = 0;

	switch (n->kind) {
	case NNR__J_NULL:
		nnr__buf_adds(out, "null");
		return 0;
	case NNR__J_BOOL:
		nnr__buf_adds(out, n->num != 0 ? "true" : "false");
		return 0;
	case NNR__J_NUMBER:
		if (n->integer && fabs(n->num) >= 9007199254740992.0)
			return nnr__fail(err, NNR_E_INPUT, "a whole number of "
					 "2^53 or more is not exact");
		nnr__buf_add_num(out, n->num);
		return 0;
	case NNR__J_STRING:
		nnr__buf_add_json(out, n->text, n->len);
		return 0;
	case NNR__J_OBJECT:
		return add_object(out, n, err);
	case NNR__J_ARRAY:
		break;
	}
	nnr__buf_addc(out, '[');
	for (const nnr__jnode *c = n->child; c && !rc; c = c->next) {
		nnr__buf_adds(out, c == n->child ? "" : ",");
		rc = nnr__json_canonical(out, c, err);
	}
	nnr__buf_addc(out, ']');
	return rc;
}

/* A caller's document of the given kind; NULL: null. */
static int add_document(nnr__buf *out, const char *what, const char *json,
			nnr__jkind kind, nnr_error *err)
{
	const nnr__jnode *n;
	nnr__arena a = { 0 };
	int rc;

	if (!json) {
		nnr__buf_adds(out, "null");
		return 0;
	}
	rc = nnr__json_parse(&a, &n, what, json, strlen(json), err);
	if (!rc && n->kind != kind)
		rc = nnr__fail(err, NNR_E_USAGE, "%s is not %s", what,
			       kind == NNR__J_OBJECT ? "an object"
						     : "a list");
	rc = rc ? rc : nnr__json_canonical(out, n, err);
	nnr__arena_release(&a);
	return rc;
}

/* ---- the members of `nnr`, in the order of their names ---- */

/* It is still the artifact that it was opened from: nothing was overridden
 * and it stands on its own backbone. */
static bool unchanged(const nnr_program *p, const nnr__artifact_info *info)
{
	return p->artifact && !info && !nnr__artifact_changed(p) &&
	       !p->artifact->rebound;
}

/* A member as it was in that artifact. */
static int add_kept(nnr__buf *out, const nnr_program *p, const char *key,
		    nnr_error *err)
{
	const nnr__jnode *n = nnr__json_get(p->artifact->top, key);

	nnr__buf_addf(out, ",\"%s\":", key);
	return nnr__json_canonical(out, n, err);
}

static int by_name(const void *x, const void *y)
{
	return strcmp((*(const nnr__embedded *const *)x)->name,
		      (*(const nnr__embedded *const *)y)->name);
}

static int add_files(nnr__buf *out, const nnr_program *p, nnr_error *err)
{
	const nnr__embedded **all = nnr__calloc((size_t)p->files + 1,
						sizeof(*all));

	if (!all)
		return nnr__fail_memory(err, "files", (size_t)p->files);
	for (int i = 0; i < p->files; i++)
		all[i] = &p->file[i];
	qsort(all, (size_t)p->files, sizeof(*all), by_name);
	nnr__buf_adds(out, ",\"" NNR__A_FILES "\":[");
	for (int i = 0; i < p->files; i++) {
		nnr__buf_adds(out, i ? ",{\"name\":" : "{\"name\":");
		add_text(out, all[i]->name);
		nnr__buf_addf(out, ",\"sha256\":\"%s\",\"text\":",
			      all[i]->hash);
		if (all[i]->text)
			nnr__buf_add_json(out, all[i]->text, all[i]->len);
		else
			nnr__buf_adds(out, "null");
		nnr__buf_addc(out, '}');
	}
	nnr__buf_addc(out, ']');
	free(all);
	return 0;
}

static void add_parent(nnr__buf *out, const nnr_program *p)
{
	nnr__buf_adds(out, ",\"" NNR__A_PARENT "\":");
	if (p->artifact)
		nnr__buf_addf(out, "{\"backbone\":\"%s\",\"sha256\":\"%s\"}",
			      p->artifact->backbone, p->artifact->hash);
	else
		nnr__buf_adds(out, "null");
}

/* The reference as the kept source has it: a name, not a place. */
static const char *model_name(const char *ref)
{
	const char *slash = ref[0] == '/' ? strrchr(ref, '/') : NULL;

	return slash && slash[1] ? slash + 1 : ref;
}

static void add_program(nnr__buf *out, const nnr_program *p)
{
	nnr__buf_adds(out, ",\"" NNR__A_PROGRAM "\":{\"model\":");
	add_text(out, model_name(p->model_ref));
	nnr__buf_adds(out, ",\"name\":");
	add_text(out, p->name);
	nnr__buf_adds(out, ",\"source\":");
	nnr__buf_add_json(out, p->source, p->source_len);
	nnr__buf_addc(out, '}');
}

static int add_members(nnr__buf *out, const nnr_program *p,
		       const nnr__artifact_info *info, nnr_error *err)
{
	static const nnr__artifact_info none;
	const nnr__artifact_info *i = info ? info : &none;
	bool kept = unchanged(p, info);
	int rc;

	nnr__buf_addf(out, "{\"" NNR__A_BACKBONE "\":{\"sha256\":\"%s\"}",
		      p->model->bb->hash);
	if (kept) {
		rc = add_kept(out, p, NNR__A_DATA, err);
	} else {
		nnr__buf_adds(out, ",\"" NNR__A_DATA "\":");
		add_text_or_null(out, i->data_hash);
		rc = 0;
	}
	rc = rc ? rc : add_files(out, p, err);
	nnr__buf_addf(out, ",\"" NNR__A_FORMAT "\":%d",
		      NNR__ARTIFACT_FORMAT);
	if (kept) {
		rc = rc ? rc : add_kept(out, p, NNR__A_GOLDEN, err);
		rc = rc ? rc : add_kept(out, p, NNR__A_PARENT, err);
	} else {
		nnr__buf_adds(out, ",\"" NNR__A_GOLDEN "\":");
		rc = rc ? rc : add_document(out, "the list of golden vectors",
					    i->golden, NNR__J_ARRAY, err);
		add_parent(out, p);
	}
	add_program(out, p);
	nnr__buf_adds(out, ",\"" NNR__A_TOOL "\":\"nnr " NNR_VERSION "\"");
	if (kept)
		return rc ? rc : add_kept(out, p, NNR__A_TRAINING, err);
	nnr__buf_adds(out, ",\"" NNR__A_TRAINING "\":");
	return rc ? rc : add_document(out, "the training record",
				      i->training, NNR__J_OBJECT, err);
}

/* ---- the file ---- */

static int check_writable(const nnr_program *p,
			  const nnr__artifact_info *info, nnr_error *err)
{
	if (!p->model)
		return nnr__fail(err, NNR_E_USAGE, "the program '%s' is not "
				 "bound to a model", p->name);
	if (!p->model->bb->hash[0])
		return nnr__fail(err, NNR_E_USAGE, "the model has no hash");
	if (info && info->data_hash && strlen(info->data_hash) != 64)
		return nnr__fail(err, NNR_E_USAGE, "the hash of the data has "
				 "not 64 digits");
	for (int i = 0; i < p->tensors; i++) {
		const nnr__ptensor *t = p->tensor[i];
		for (size_t k = 0; t->set && k < t->n; k++)
			if (!isfinite(t->value[k]))
				return nnr__fail(err, NNR_E_INPUT, "tensor "
						 "`%.60s`: value %zu is not "
						 "finite", t->name, k);
	}
	return 0;
}

/* The stored tensors, in *n; NULL: no memory. */
static nnr__st_tensor *stored(const nnr_program *p, int *n, nnr_error *err)
{
	nnr__st_tensor *all = nnr__calloc((size_t)p->tensors + 1,
					  sizeof(*all));

	*n = 0;
	if (!all) {
		nnr__fail_memory(err, "tensors", (size_t)p->tensors);
		return NULL;
	}
	for (int i = 0; i < p->tensors; i++) {
		const nnr__ptensor *t = p->tensor[i];
		nnr__st_tensor *s = &all[*n];
		if (!t->set)
			continue;
		*s = (nnr__st_tensor){ .name = t->name, .type = NNR__ST_F32,
				       .dims = t->dims, .data = t->value };
		for (int d = 0; d < t->dims; d++)
			s->dim[d] = t->dim[d];
		(*n)++;
	}
	return all;
}

int nnr__artifact_bytes(nnr_program *p, const nnr__artifact_info *info,
			nnr__buf *out, char sha[65], nnr_error *err)
{
	char zeros[NNR__ARTIFACT_DIGITS + 1], hex[65];
	nnr__buf json = { 0 };
	nnr__st_tensor *tensor = NULL;
	int n = 0, rc = check_writable(p, info, err);

	memset(zeros, '0', NNR__ARTIFACT_DIGITS);
	zeros[NNR__ARTIFACT_DIGITS] = '\0';
	rc = rc ? rc : add_members(&json, p, info, err);
	nnr__buf_addc(&json, '}');
	if (!rc) {
		nnr__st_text text[] = {
			{ "nnr", json.p, json.len },
			{ "sha256", zeros, NNR__ARTIFACT_DIGITS } };
		tensor = json.bad ? NULL : stored(p, &n, err);
		rc = tensor ? nnr__st_bytes_of(out, tensor, n, text, 2, err)
			    : nnr__fail_memory(err, p->name, json.len);
	}
	if (!rc) {
		size_t at = nnr__artifact_digits(out->p, out->len);
		nnr__artifact_sha(out->p, out->len, at, hex);
		memcpy(out->p + at, hex, NNR__ARTIFACT_DIGITS);
		if (sha)
			memcpy(sha, hex, sizeof(hex));
	}
	free(tensor);
	nnr__buf_release(&json);
	return rc;
}

int nnr__artifact_write(nnr_program *p, const char *path,
			const nnr__artifact_info *info, nnr_error *err)
{
	nnr__buf bytes = { 0 };
	int rc = nnr__artifact_bytes(p, info, &bytes, NULL, err);

	rc = rc ? rc : nnr__file_write(path, bytes.p, bytes.len, err);
	if (!rc)
		nnr__model_remember(p->model->path, p->model->bb->hash);
	nnr__buf_release(&bytes);
	return rc;
}
