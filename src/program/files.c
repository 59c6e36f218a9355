/* SPDX-License-Identifier: Apache-2.0
 *
 * files.c: the files a source names.  They are relative to its folder and
 * stay below it: no absolute path, no "..", no symbolic link out.
 */
#define _XOPEN_SOURCE 700	/* realpath */
#include "step.h"

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

int nnr__program_file_read(nnr_program *p, const nnr__step *s,
			   const char *param, const char *rel, size_t max,
			   nnr__buf *out, nnr_error *err)
{
	nnr__buf head = { 0 };
	char *path = NULL;
	int rc = nnr__program_file(p, s, param, rel, &path, err);

	if (rc)
		return rc;
	rc = nnr__file_read(out, path, max, err);
	free(path);
	if (rc) {
		nnr__place_prefix(p, s, param, err);
		return rc;
	}
	nnr__buf_addf(&head, "\nfile %s %zu\n", rel, out->len);
	nnr__sha_add(&p->sha, head.p, head.len);
	nnr__sha_add(&p->sha, out->p, out->len);
	nnr__buf_release(&head);
	return 0;
}
