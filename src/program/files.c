/* SPDX-License-Identifier: Apache-2.0
 *
 * files.c: the files a source names.  They are relative to its folder and
 * stay below it: no absolute path, no "..", no symbolic link out.  Those of
 * an artifact are in it, and nothing else is opened for it.
 */
#define _XOPEN_SOURCE 700	/* realpath */
#include "program/artifact_int.h"

#include <stdlib.h>
#include <string.h>

static bool has_dotdot(const char *path)
{
	for (const char *c = path; *c;) {
		size_t n = strcspn(c, "/");
		if (n == 2 && c[0] == '.' && c[1] == '.')
			return true;
		c += n + (c[n] == '/');
	}
	return false;
}

static bool inside(const char *dir, const char *path)
{
	size_t n = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(dir, path, n) == 0 && path[n] == '/';
}

int nnr__program_file(const nnr_program *p, const nnr__step *s,
		      const char *param, const char *rel, char **path,
		      nnr_error *err)
{
	char *dir = NULL, *joined = NULL, *real = NULL;
	int rc = 0;

	*path = NULL;
	if (p->artifact)
		return nnr__fail_step(p, s, param, err, "the file `%.100s` is "
				      "not in the artifact", rel);
	if (!p->dir)
		return nnr__fail_step(p, s, param, err, "a source in memory "
				      "cannot name a file");
	if (rel[0] == '/')
		return nnr__fail_step(p, s, param, err, "`%.100s` is absolute;"
				      " files are relative to the source",
				      rel);
	if (has_dotdot(rel))
		return nnr__fail_step(p, s, param, err, "`%.100s` leaves the "
				      "source's folder", rel);
	joined = nnr__path_join(p->dir, rel);
	if (!joined)
		return nnr__fail_memory(err, rel, strlen(rel));
	dir = realpath(p->dir, NULL);
	real = realpath(joined, NULL);
	if (!real || !dir)
		rc = nnr__fail_step(p, s, param, err, "cannot find the file "
				    "'%.200s'", joined);
	else if (!inside(dir, real))
		rc = nnr__fail_step(p, s, param, err, "`%.100s` leads out of "
				    "the source's folder through a symbolic "
				    "link", rel);
	free(dir);
	free(real);
	if (rc)
		free(joined);
	else
		*path = joined;
	return rc;
}

/* The bytes of a file, from the folder or from the artifact. */
static int read_bytes(nnr_program *p, const nnr__step *s, const char *param,
		      const char *rel, size_t max, nnr__buf *out,
		      nnr_error *err)
{
	const nnr__embedded *f = NULL;
	char *path = NULL;
	int rc;

	if (p->artifact)
		f = nnr__artifact_file(p->artifact, rel);
	if (f && f->text) {
		nnr__buf_add(out, f->text, f->len);
		return out->bad ? nnr__fail_memory(err, rel, f->len) : 0;
	}
	rc = nnr__program_file(p, s, param, rel, &path, err);
	if (rc)
		return rc;
	rc = nnr__file_read(out, path, max, err);
	free(path);
	if (rc)
		nnr__place_prefix(p, s, param, err);
	return rc;
}

int nnr__program_file_read(nnr_program *p, const nnr__step *s,
			   const char *param, const char *rel, size_t max,
			   nnr__buf *out, nnr_error *err)
{
	nnr__buf head = { 0 };
	char hash[65];
	int rc = read_bytes(p, s, param, rel, max, out, err);

	if (rc)
		return rc;
	nnr__sha_of(out->p, out->len, hash);
	rc = nnr__program_note(p, rel, out->p ? out->p : "", out->len, hash,
			       err);
	if (rc)
		return rc;
	nnr__buf_addf(&head, "\nfile %s %zu\n", rel, out->len);
	nnr__sha_add(&p->sha, head.p, head.len);
	nnr__sha_add(&p->sha, out->p, out->len);
	nnr__buf_release(&head);
	return 0;
}

/* ---- what an artifact keeps of them ---- */

static nnr__embedded *find_note(nnr_program *p, const char *rel)
{
	for (int i = 0; i < p->files; i++)
		if (strcmp(p->file[i].name, rel) == 0)
			return &p->file[i];
	return NULL;
}

int nnr__program_note(nnr_program *p, const char *rel, const char *text,
		      size_t len, const char *hash, nnr_error *err)
{
	nnr__embedded *f = find_note(p, rel);

	if (!f) {
		if (!nnr__grow(&p->file, &p->file_cap, (size_t)p->files,
			       sizeof(*p->file)))
			return nnr__fail_memory(err, rel, sizeof(*f));
		f = &p->file[p->files];
		f->name = nnr__strdup(rel);
		if (!f->name)
			return nnr__fail_memory(err, rel, strlen(rel));
		p->files++;
	}
	memcpy(f->hash, hash, sizeof(f->hash));
	if (!text || f->text)
		return 0;
	f->text = nnr__strndup(text, len);
	f->len = len;
	return f->text ? 0 : nnr__fail_memory(err, rel, len);
}

int nnr__program_keep_notes(nnr_program *p, nnr_error *err)
{
	const nnr__artifact *a = p->artifact;
	int rc = 0;

	for (int i = 0; a && i < a->files && !rc; i++)
		if (!a->file[i].text)
			rc = nnr__program_note(p, a->file[i].name, NULL, 0,
					       a->file[i].hash, err);
	return rc;
}

void nnr__program_forget_files(nnr_program *p)
{
	for (int i = 0; i < p->files; i++) {
		free(p->file[i].name);
		free(p->file[i].text);
	}
	free(p->file);
	p->file = NULL;
	p->files = 0;
}

int nnr__data_there(const nnr_program *p, const nnr__step *s, const char *rel,
		    nnr_error *err)
{
	char *path = NULL;
	int rc = 0;

	if (rel && !p->artifact)
		rc = nnr__program_file(p, s, "data", rel, &path, err);
	free(path);
	return rc;
}
