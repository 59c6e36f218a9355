/* SPDX-License-Identifier: Apache-2.0
 *
 * models.c: model list, pull and verify.
 */
#include "api/api.h"
#include "load/pull.h"

#include <stdlib.h>
#include <string.h>

static void put(nnr__buf *b, const char *name, const char *s)
{
	char last = b->len ? b->p[b->len - 1] : '{';

	nnr__buf_addf(b, "%s\"%s\":", last == '{' ? "" : ",", name);
	if (s)
		nnr__buf_add_json(b, s, strlen(s));
	else
		nnr__buf_adds(b, "null");
}

static void begin(nnr__buf *b)
{
	nnr__buf_adds(b, b->len > 1 ? ",{" : "{");
}

static int list_table(nnr__buf *b, nnr_error *err)
{
	int n, rc = 0;
	const nnr__model_row *row = nnr__models(&n);

	for (int i = 0; i < n && !rc; i++) {
		char *path = NULL;
		bool there = false;
		rc = nnr__pull_path(&path, &there, &row[i], err);
		if (rc)
			break;
		begin(b);
		put(b, "alias", row[i].alias);
		put(b, "file", path);
		put(b, "sha256", row[i].sha256);
		put(b, "licence", row[i].licence);
		nnr__buf_addf(b, ",\"bytes\":%llu,\"here\":%s}",
			      (unsigned long long)row[i].size,
			      there ? "true" : "false");
		free(path);
	}
	return rc;
}

/* The aliases of the user's models.yaml. */
static int list_own(nnr__buf *b, nnr_error *err)
{
	nnr__yaml y = { 0 };
	int rc = nnr__aliases_read(&y, err);

	if (rc)
		return rc;
	for (const nnr__ynode *n = y.count ? y.doc[0]->child : NULL; n;
	     n = n->next) {
		char *path = nnr__alias_path(n);
		bool there = path && nnr__file_exists(path);
		begin(b);
		put(b, "alias", n->key);
		put(b, "file", path);
		nnr__buf_addf(b, ",\"here\":%s}", there ? "true" : "false");
		free(path);
	}
	nnr__yaml_release(&y);
	return 0;
}

int nnr_model_list(char **json, nnr_error *err)
{
	nnr__buf b = { 0 };
	int rc;

	*json = NULL;
	nnr__buf_addc(&b, '[');
	rc = list_table(&b, err);
	if (!rc)
		rc = list_own(&b, err);
	nnr__buf_addc(&b, ']');
	if (!rc)
		return nnr__hand_out(&b, json, err);
	nnr__buf_release(&b);
	return rc;
}

int nnr_model_pull(const char *alias, char **json, nnr_error *err)
{
	const nnr__model_row *row = nnr__model_row_of(alias);
	nnr__buf b = { 0 };
	char *path = NULL;
	int rc = nnr__pull(alias, &path, err);

	*json = NULL;
	if (rc)
		return rc;
	nnr__buf_addc(&b, '{');
	put(&b, "alias", alias);
	put(&b, "file", path);
	put(&b, "sha256", row ? row->sha256 : NULL);
	put(&b, "licence", row ? row->licence : NULL);
	nnr__buf_addc(&b, '}');
	free(path);
	return nnr__hand_out(&b, json, err);
}

/* The file of a name; a damaged one of the table still has a path. */
static int locate(const char *name, const nnr__model_row *row, char **path,
		  nnr_error *err)
{
	int rc = nnr__model_resolve(path, name, NULL, err);
	bool there;

	if (rc == NNR_E_FORMAT && row)
		rc = nnr__pull_path(path, &there, row, err);
	return rc;
}

int nnr_model_verify(const char *ref, int *same, char **json, nnr_error *err)
{
	static const char mark[] = "@sha256:";
	const char *at = strstr(ref, mark);
	const char *want = at ? at + strlen(mark) : NULL;
	char *name = nnr__strndup(ref, at ? (size_t)(at - ref) : strlen(ref));
	const nnr__model_row *row;
	char *path = NULL, have[65];
	nnr__buf b = { 0 };
	int rc;

	*json = NULL;
	if (!name)
		return nnr__fail_memory(err, ref, strlen(ref));
	row = nnr__model_row_of(name);
	if (!want && row)
		want = row->sha256;
	rc = locate(name, row, &path, err);
	if (!rc)
		rc = nnr__model_hash(path, true, have, err);
	if (!rc) {
		*same = want ? strcmp(want, have) == 0 : -1;
		nnr__buf_addc(&b, '{');
		put(&b, "file", path);
		put(&b, "sha256", have);
		put(&b, "expected", want);
		nnr__buf_addf(&b, ",\"same\":%s}", *same < 0 ? "null" :
			      *same ? "true" : "false");
		rc = nnr__hand_out(&b, json, err);
	}
	free(path);
	free(name);
	return rc;
}
