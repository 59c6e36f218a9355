/* SPDX-License-Identifier: Apache-2.0
 *
 * artifact.c: saving a program, and what an artifact says of itself.
 */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>

#include "program/artifact_int.h"

/* ---- saving ---- */

static void put_shape(nnr__buf *out, const nnr__ptensor *t)
{
	for (int i = 0; i < t->dims; i++)
		nnr__buf_addf(out, "%s%lld", i ? "," : "[",
			      (long long)t->dim[i]);
	nnr__buf_addc(out, ']');
}

static void saved_json(nnr_program *p, const char *path, size_t bytes,
		       const char *sha, nnr__buf *out)
{
	int n = 0;

	nnr__buf_adds(out, "{\"file\":");
	nnr__buf_add_json(out, path, strlen(path));
	nnr__buf_addf(out, ",\"sha256\":\"%s\",\"bytes\":%zu,\"tensors\":{",
		      sha, bytes);
	for (int i = 0; i < nnr__tensors(p); i++) {
		const nnr__ptensor *t = nnr__tensor_at(p, i);
		if (!t->set)
			continue;
		nnr__buf_adds(out, n++ ? "," : "");
		nnr__buf_add_json(out, t->name, strlen(t->name));
		nnr__buf_addc(out, ':');
		put_shape(out, t);
	}
	nnr__buf_adds(out, "},\"untrained\":[");
	n = 0;
	for (int i = 0; i < nnr__tensors(p); i++) {
		const nnr__ptensor *t = nnr__tensor_at(p, i);
		if (t->set || !t->grad)
			continue;
		nnr__buf_adds(out, n++ ? "," : "");
		nnr__buf_add_json(out, t->name, strlen(t->name));
	}
	nnr__buf_adds(out, "]}");
}

int nnr__program_save(nnr_program *p, const char *path,
		      const nnr__artifact_info *info, char **json,
		      nnr_error *err)
{
	nnr__buf bytes = { 0 }, doc = { 0 };
	bool untrained = p->untrained;
	char sha[65];
	int rc;

	if (json)
		*json = NULL;
	if (!p->engine)
		return nnr__fail(err, NNR_E_USAGE, "the program '%s' is not "
				 "bound to a model", p->name);
	p->untrained = true;	/* that it is, is in the artifact */
	rc = nnr__program_fit(p, err);
	p->untrained = untrained;
	rc = rc ? rc : nnr__artifact_bytes(p, info, &bytes, sha, err);
	rc = rc ? rc : nnr__file_write(path, bytes.p, bytes.len, err);
	if (!rc) {
		nnr__model_remember(p->model->path, p->model->bb->hash);
		saved_json(p, path, bytes.len, sha, &doc);
	}
	nnr__buf_release(&bytes);
	if (!rc && json)
		return nnr__hand_out(&doc, json, err);
	nnr__buf_release(&doc);
	return rc;
}

int nnr_program_save(nnr_program *p, const char *path, char **json,
		     nnr_error *err)
{
	return nnr__program_save(p, path, NULL, json, err);
}

const char *nnr_program_rebound(const nnr_program *p)
{
	return p->model && nnr__artifact_rebound(p)
		       ? nnr__artifact_backbone(p->artifact) : NULL;
}

/* ---- showing ---- */

static void put_member(nnr__buf *out, const nnr__artifact *a,
		       const char *key)
{
	nnr__buf_addf(out, ",\"%s\":", key);
	/* What was parsed has no number that is not exact. */
	(void)nnr__json_canonical(out, nnr__json_get(a->top, key), NULL);
}

static void artifact_json(const nnr_program *p, nnr__buf *out)
{
	const nnr__artifact *a = p->artifact;

	nnr__buf_addf(out, "{\"sha256\":\"%s\"", a->hash);
	put_member(out, a, NNR__A_TOOL);
	put_member(out, a, NNR__A_BACKBONE);
	nnr__buf_addf(out, ",\"rebound\":%s",
		      nnr_program_rebound(p) ? "true" : "false");
	put_member(out, a, NNR__A_DATA);
	put_member(out, a, NNR__A_PARENT);
	nnr__buf_adds(out, ",\"files\":[");
	for (int i = 0; i < a->files; i++) {
		const nnr__embedded *f = &a->file[i];
		nnr__buf_adds(out, i ? ",{\"name\":" : "{\"name\":");
		nnr__buf_add_json(out, f->name, strlen(f->name));
		nnr__buf_addf(out, ",\"sha256\":\"%s\",\"bytes\":", f->hash);
		if (f->text)
			nnr__buf_addf(out, "%zu}", f->len);
		else
			nnr__buf_adds(out, "null}");
	}
	nnr__buf_adds(out, "],\"tensors\":{");
	for (int i = 0; i < a->st->tensors; i++) {
		const nnr__st_tensor *t = &a->st->tensor[i];
		nnr__buf_adds(out, i ? "," : "");
		nnr__buf_add_json(out, t->name, strlen(t->name));
		for (int d = 0; d < t->dims; d++)
			nnr__buf_addf(out, "%s%lld", d ? "," : ":[",
				      (long long)t->dim[d]);
		nnr__buf_adds(out, t->dims ? "]" : ":[]");
	}
	nnr__buf_addc(out, '}');
	put_member(out, a, NNR__A_TRAINING);
	put_member(out, a, NNR__A_GOLDEN);
	nnr__buf_addc(out, '}');
}

int nnr__show_artifact(const nnr_program *p, bool json, nnr__buf *out,
		       nnr_error *err)
{
	nnr__buf doc = { 0 };
	char *text = NULL;
	int rc = 0;

	artifact_json(p, &doc);
	if (doc.bad)
		rc = nnr__fail_memory(err, "show", doc.len);
	if (!rc && json) {
		/* Becomes the last member of the object there is. */
		out->len--;
		nnr__buf_adds(out, ",\"artifact\":");
		nnr__buf_add(out, doc.p, doc.len);
		nnr__buf_addc(out, '}');
	} else if (!rc) {
		rc = nnr_json_text(doc.p, &text, err);
		nnr__buf_adds(out, "\nartifact\n");
		for (const char *s = text; s && *s; s += *s == '\n') {
			size_t n = strcspn(s, "\n");
			nnr__buf_addf(out, "  %.*s\n", (int)n, s);
			s += n;
		}
	}
	free(text);
	nnr__buf_release(&doc);
	return rc;
}
