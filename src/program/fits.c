/* SPDX-License-Identifier: Apache-2.0
 *
 * fits.c: steps that are fitted on a file of data.  What a fit gives are the
 * step's tensors; they are kept in the cache folder under the hashes of
 * backbone, program and data, the other tensors, and the mode.
 */
#include "program/learn.h"
#include "step.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MAX ((size_t)1 << 24)	/* bytes of a kept fit */
#define FITS_MAX ((size_t)1 << 26)	/* of all; oldest go first */

static char *fit_path(const nnr_program *p, const nnr__step *s,
		      const char *data_hash)
{
	nnr__buf key = { 0 }, rel = { 0 };
	char *cache = nnr__cache_dir(), *path = NULL, hex[65];

	nnr__buf_addf(&key, "nnr fit 3\n%s\n%s\n%s\n%s\n%s\n",
		      p->model->bb->hash, p->hash, s->id, data_hash,
		      nnr__engine_arithmetic(p->engine));
	for (int i = 0; i < p->tensors; i++)
		if (p->tensor[i]->step != s)
			nnr__buf_add(&key, p->tensor[i]->value,
				     p->tensor[i]->n * sizeof(float));
	nnr__sha_of(key.p, key.len, hex);
	nnr__buf_addf(&rel, "fits/%s.json", hex);
	if (cache && !key.bad && !rel.bad)
		path = nnr__path_join(cache, rel.p);
	nnr__buf_release(&key);
	nnr__buf_release(&rel);
	free(cache);
	return path;
}

static bool take_numbers(const nnr__jnode *list, nnr__ptensor *t)
{
	const nnr__jnode *c;

	if (!list || list->kind != NNR__J_ARRAY || list->count != t->n)
		return false;
	c = list->child;
	for (size_t i = 0; i < t->n; i++, c = c->next) {
		if (c->kind != NNR__J_NUMBER)
			return false;
		t->value[i] = (float)c->num;
	}
	return true;
}

static bool take_tensors(const nnr_program *p, const nnr__step *s,
			 const nnr__jnode *top)
{
	bool ok = true;

	for (int i = 0; i < p->tensors && ok; i++)
		if (p->tensor[i]->step == s)
			ok = take_numbers(nnr__json_get(top,
							p->tensor[i]->name),
					  p->tensor[i]);
	return ok;
}

/* A kept fit; anything that is not one counts as none. */
static bool read_fit(const nnr_program *p, const nnr__step *s,
		     const char *path)
{
	nnr__buf text = { 0 };
	nnr__arena arena = { NULL };
	const nnr__jnode *top = NULL;
	bool ok = false;

	if (nnr__file_exists(path) &&
	    nnr__file_read(&text, path, KEPT_MAX, NULL) == 0 &&
	    nnr__json_parse(&arena, &top, path, text.p ? text.p : "",
			    text.len, NULL) == 0)
		ok = take_tensors(p, s, top);
	nnr__arena_release(&arena);
	nnr__buf_release(&text);
	return ok;
}

static void add_tensor(const nnr__ptensor *t, nnr__buf *out)
{
	nnr__buf_addc(out, ',');
	nnr__buf_add_json(out, t->name, strlen(t->name));
	nnr__buf_adds(out, ":[");
	for (size_t i = 0; i < t->n; i++) {
		nnr__buf_adds(out, i ? "," : "");
		nnr__buf_add_num(out, (double)t->value[i]);
	}
	nnr__buf_addc(out, ']');
}

/* Keeping a fit is a service: without a cache folder it is made again. */
static void write_fit(const nnr_program *p, const nnr__step *s,
		      const char *path)
{
	nnr__buf text = { 0 };
	char *dir = nnr__path_dir(path);

	nnr__buf_adds(&text, "{\"nnr\":1");
	for (int i = 0; i < p->tensors; i++)
		if (p->tensor[i]->step == s)
			add_tensor(p->tensor[i], &text);
	nnr__buf_adds(&text, "}\n");
	if (dir && !text.bad && text.len < KEPT_MAX &&
	    nnr__mkdirs(dir, NULL) == 0)
		nnr__file_write(path, text.p, text.len, NULL);
	if (dir)
		nnr__cache_trim(dir, ".json", FITS_MAX);
	nnr__buf_release(&text);
	free(dir);
}

int nnr__fit_data(nnr_program *p, nnr__step *s, const char *file,
		  const nnr__records_opts *o, bool targets,
		  nnr__fit_on *fit_on, nnr_error *err)
{
	nnr__data d = { 0 };
	char *path = NULL, *kept = NULL;
	int rc = nnr__program_file(p, s, "data", file, &path, err);

	if (rc)
		return rc;
	rc = nnr__data_read(&d, p, path, o, targets, err);
	free(path);
	if (rc)
		return nnr__place_prefix(p, s, "data", err);
	rc = nnr__program_note(p, file, NULL, 0, d.rec.hash, err);
	if (!p->no_cache && !rc)
		kept = fit_path(p, s, d.rec.hash);
	if (!rc && (!kept || !read_fit(p, s, kept))) {
		rc = fit_on(p, s, &d, err);
		if (!rc && kept)
			write_fit(p, s, kept);
	}
	free(kept);
	nnr__data_release(&d);
	return rc;
}
