/* SPDX-License-Identifier: Apache-2.0
 *
 * init_from.c: rows that start from those of another program (SPoT; Vu et
 * al. 2022): `init: {from: OTHER.nnr#ID}`, a tensor of an artifact or of a
 * .safetensors file, copied when the program is loaded.
 */
#include "program/artifact_int.h"
#include "program/learn.h"
#include "step.h"

#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)1 << 30)

static int copy_tensor(nnr_program *p, const nnr__step *s, nnr__init *init,
		       const nnr__st *st, nnr_error *err)
{
	const nnr__st_tensor *t = nnr__st_find(st, init->tensor);
	nnr__buf names = { 0 };
	char shape[120];

	for (int i = 0; i < st->tensors && !t; i++)
		nnr__buf_addf(&names, "%s%.60s", i ? ", " : "",
			      st->tensor[i].name);
	if (!t) {
		nnr__fail_step(p, s, "init", err, "`%.60s` has no tensor "
			       "`%.60s`; it has: %.200s", init->from,
			       init->tensor, names.p ? names.p : "none");
		nnr__buf_release(&names);
		return NNR_E_INPUT;
	}
	init->value = nnr__arena_alloc(&p->arena, nnr__st_values(t) *
				       sizeof(float) + 1);
	if (!init->value)
		return nnr__fail_memory(err, init->from, nnr__st_values(t));
	if (!nnr__st_floats(t, init->value) || t->dims < 2 ||
	    t->dims > NNR__DIMS)
		return nnr__fail_step(p, s, "init", err, "`%.60s` of `%.60s` "
				      "is %s; rows of floats were expected",
				      init->tensor, init->from,
				      nnr__st_shape(t, shape,
						    sizeof(shape)));
	init->dims = t->dims;
	memcpy(init->dim, t->dim, (size_t)t->dims * sizeof(*t->dim));
	return 0;
}

static int copy_artifact(nnr_program *p, const nnr__step *s, nnr__init *init,
			 const nnr__buf *file, nnr_error *err)
{
	nnr_program *other;
	int rc = nnr__artifact_parse(&other, init->from, NULL, file->p,
				     file->len, NULL, err);

	if (rc)
		return nnr__place_prefix(p, s, "init", err);
	memcpy(init->backbone, other->artifact->backbone,
	       sizeof(init->backbone));
	rc = copy_tensor(p, s, init, other->artifact->st, err);
	nnr__program_close(other);
	return rc;
}

static int copy_file(nnr_program *p, const nnr__step *s, nnr__init *init,
		     const nnr__buf *file, nnr_error *err)
{
	nnr__st *st;
	int rc = nnr__st_parse(&st, init->from, file->p, file->len, err);

	if (rc)
		return nnr__place_prefix(p, s, "init", err);
	rc = copy_tensor(p, s, init, st, err);
	nnr__st_close(st);
	return rc;
}

/* The bytes of the file; its hash joins the program's. */
static int read_file(nnr_program *p, const nnr__step *s, nnr__init *init,
		     nnr__buf *file, nnr_error *err)
{
	char *path, hash[65];
	int rc = nnr__program_file(p, s, "init", init->from, &path, err);

	if (rc)
		return rc;
	rc = nnr__file_read(file, path, FILE_BYTES_MAX, err);
	free(path);
	if (rc)
		return nnr__place_prefix(p, s, "init", err);
	nnr__sha_of(file->p, file->len, hash);
	nnr__sha_add(&p->sha, hash, 64);
	return nnr__program_note(p, init->from, NULL, 0, hash, err);
}

int nnr__init_load(nnr_program *p, const nnr__step *s, nnr__init *init,
		   const nnr__form *form, nnr_error *err)
{
	nnr__buf file = { 0 };
	size_t n;
	int rc;

	if (init->kind != NNR__INIT_FROM)
		return 0;
	if (!init->tensor)
		init->tensor = s->id;
	if (form->kind == NNR__FORM_LOW_RANK)
		return nnr__fail_step(p, s, "form", err, "low_rank adds to "
				      "the rows it starts from, and an "
				      "artifact does not hold those of "
				      "another file");
	if (p->artifact)
		return 0;
	rc = read_file(p, s, init, &file, err);
	n = strlen(init->from);
	if (!rc && n > 4 && strcmp(init->from + n - 4, ".nnr") == 0)
		rc = copy_artifact(p, s, init, &file, err);
	else if (!rc)
		rc = copy_file(p, s, init, &file, err);
	nnr__buf_release(&file);
	return rc;
}

/* ---- the rows ---- */

/* In an artifact its own tensors hold what training made of them. */
static int from_artifact(nnr_program *p, const nnr__step *s,
			 const nnr__init *init, nnr_error *err)
{
	const nnr__st *st = p->artifact->st;
	size_t n = strlen(s->id);

	for (int i = 0; i < st->tensors; i++) {
		const char *name = st->tensor[i].name;

		if (strncmp(name, s->id, n) == 0 &&
		    (!name[n] || name[n] == '.'))
			return 0;
	}
	return nnr__fail_step(p, s, "init", err, "the file `%.100s` is not "
			      "in the artifact", init->from);
}

int nnr__init_copy(nnr_program *p, const nnr__step *s, const nnr__init *init,
		   int groups, int n, int cols, float *out, nnr_error *err)
{
	size_t row = (size_t)cols, have, all = 1;

	if (!init->value)
		return from_artifact(p, s, init, err);
	if (init->backbone[0] && strcmp(init->backbone, p->model->bb->hash))
		return nnr__fail_step(p, s, "init", err, "`%.100s` was made "
				      "on another backbone", init->from);
	for (int i = 0; i < init->dims - 2; i++)
		all *= (size_t)init->dim[i];
	have = (size_t)init->dim[init->dims - 2];
	if (all != (size_t)groups || init->dim[init->dims - 1] != cols ||
	    !have)
		return nnr__fail_step(p, s, "init", err, "`%.60s` of `%.60s` "
				      "has %zu x %zu rows of %lld values; %d x "
				      "N rows of %d were expected",
				      init->tensor, init->from, all, have,
				      (long long)init->dim[init->dims - 1],
				      groups, cols);
	for (size_t g = 0; g < all; g++)
		for (size_t i = 0; i < (size_t)n; i++)
			memcpy(out + (g * (size_t)n + i) * row,
			       init->value + (g * have + i % have) * row,
			       row * sizeof(*out));
	return 0;
}
