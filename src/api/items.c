/* SPDX-License-Identifier: Apache-2.0
 *
 * items.c: the items of a data file by the options of a call, and paths
 * that a call will write to.
 */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int split_columns(const char *list, nnr__strings *out, nnr_error *err)
{
	size_t most = 1;

	memset(out, 0, sizeof(*out));
	if (!list)
		return 0;
	for (const char *s = list; *s; s++)
		most += *s == ',';
	out->s = nnr__calloc(most, sizeof(*out->s));
	if (!out->s)
		return nnr__fail_memory(err, "columns", most);
	for (const char *s = list, *end; s; s = *end ? end + 1 : NULL) {
		end = s + strcspn(s, ",");
		if (end == s)
			return nnr__fail(err, NNR_E_USAGE, "--columns %s: a "
					 "name is empty", list);
		out->s[out->n] = nnr__strndup(s, (size_t)(end - s));
		if (!out->s[out->n++])
			return nnr__fail_memory(err, "columns", most);
	}
	return 0;
}

static int split_where(const nnr__items_opts *o, nnr__pairs *out,
		       nnr_error *err)
{
	memset(out, 0, sizeof(*out));
	if (!o->wheres)
		return 0;
	out->p = nnr__calloc((size_t)o->wheres, sizeof(*out->p));
	if (!out->p)
		return nnr__fail_memory(err, "where", 0);
	for (int i = 0; i < o->wheres; i++) {
		const char *eq = strchr(o->where[i], '=');
		nnr__pair *pair = &out->p[out->n];
		if (!eq || eq == o->where[i])
			return nnr__fail(err, NNR_E_USAGE, "--where %s: "
					 "FIELD=VALUE was expected",
					 o->where[i]);
		out->n++;
		pair->key = nnr__strndup(o->where[i],
					 (size_t)(eq - o->where[i]));
		pair->value = nnr__strdup(eq + 1);
		if (!pair->key || !pair->value)
			return nnr__fail_memory(err, "where", 0);
	}
	return 0;
}

int nnr__items_read(nnr__data *d, const nnr_program *p,
		    const nnr__items_opts *o, nnr_error *err)
{
	nnr__records_opts with = { .limit = o->limit, .sample = o->sample,
				   .seed = (uint64_t)o->seed };
	int rc = split_columns(o->columns, &with.columns, err);

	if (!rc)
		rc = split_where(o, &with.where, err);
	if (!rc)
		rc = nnr__data_read(d, p, o->path, &with, true, err);
	for (int i = 0; i < with.columns.n; i++)
		free(with.columns.s[i]);
	for (int i = 0; i < with.where.n; i++) {
		free(with.where.p[i].key);
		free(with.where.p[i].value);
	}
	free(with.columns.s);
	free(with.where.p);
	return rc;
}

int nnr__check_writable(const char *path, nnr_error *err)
{
	char *dir = path ? nnr__path_dir(path) : NULL;
	struct stat st;
	int rc = 0;

	if (dir && access(dir, W_OK) != 0)
		rc = nnr__fail_write(err, path);
	else if (dir && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		rc = nnr__fail(err, NNR_E_INPUT, "cannot write '%.300s': it "
			       "is a folder", path);
	free(dir);
	return rc;
}

const char *nnr__base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}
