/* SPDX-License-Identifier: Apache-2.0
 *
 * peft.c: PEFT folders to artifacts and back.
 */
#include "program/peft.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "program/artifact.h"

/* A program for the folder: the caller's, or one that only generates. */
static int open_program(const nnr__peft *f, const nnr_import_opts *o,
			const nnr_model *m, nnr_program **p, nnr_error *err)
{
	nnr__buf text = { 0 }, one = { 0 };
	nnr__strings set = { &one.p, o->model != NULL };
	int rc;

	nnr__buf_addf(&one, "model=%s", o->model ? o->model : "");
	if (!o->program)
		nnr__peft_source(f, o->model, m->bb->context, &text);
	if (one.bad || text.bad)
		rc = nnr__fail_memory(err, f->dir, text.len);
	else if (o->program)
		rc = nnr__program_open(p, o->program, &set, err);
	else
		rc = nnr__program_parse(p, f->dir, NULL, text.p, text.len,
					NULL, err);
	nnr__buf_release(&text);
	nnr__buf_release(&one);
	return rc;
}

/* The fits that binding made are of other rows. */
static int save(nnr_program *p, const nnr__peft *f, const char *path,
		char **json, nnr_error *err)
{
	nnr__artifact_info info = { 0 };
	nnr__buf record = { 0 };
	int rc = nnr__program_lower(p, err);

	nnr__peft_record(f, &record);
	nnr__program_unfit(p);
	if (!rc && record.bad)
		rc = nnr__fail_memory(err, f->dir, record.len);
	info.training = record.p;
	rc = rc ? rc : nnr__program_save(p, path, &info, json, err);
	nnr__buf_release(&record);
	return rc;
}

int nnr_peft_import(const char *dir, const nnr_import_opts *o,
		    const char *path, char **json, nnr_error *err)
{
	nnr_program *p = NULL;
	nnr_model *m = NULL;
	nnr__peft f;
	int rc;

	if (json)
		*json = NULL;
	if (!o || (!o->model && !o->program))
		return nnr__fail(err, NNR_E_USAGE, "a model to import for is "
				 "needed, or a program that names one");
	rc = nnr__peft_read(&f, dir, err);
	/* A model of the caller's counts from his folder, not the source's. */
	if (!rc && o->model)
		rc = nnr_model_open(&m, o->model, NULL, err);
	rc = rc ? rc : open_program(&f, o, m, &p, err);
	if (!rc && !m)
		rc = nnr_program_model(p, &m, err);
	rc = rc ? rc : nnr_program_bind(p, m, &o->run, err);
	rc = rc ? rc : nnr__peft_give(p, &f, err);
	rc = rc ? rc : save(p, &f, path, json, err);
	nnr_program_close(p);
	nnr_model_close(m);
	nnr__peft_release(&f);
	return rc;
}

int nnr_program_export(nnr_program *p, const char *dir, char **json,
		       nnr_error *err)
{
	nnr__buf lost = { 0 }, doc = { 0 };
	int rc;

	if (json)
		*json = NULL;
	if (!p->engine)
		return nnr__fail(err, NNR_E_USAGE, "the program '%s' is not "
				 "bound to a model", p->name);
	rc = nnr__peft_write(p, dir, &lost, err);
	if (!rc && json) {
		nnr__buf_adds(&doc, "{\"folder\":");
		nnr__buf_add_json(&doc, dir, strlen(dir));
		nnr__buf_addf(&doc, ",\"lost\":%s}", lost.p ? lost.p : "[]");
		doc.bad |= lost.bad;
		rc = nnr__hand_out(&doc, json, err);
	}
	nnr__buf_release(&lost);
	return rc;
}
