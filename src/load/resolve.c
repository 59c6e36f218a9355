/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model reference means:
 *
 *   an alias of <config>/models.yaml (name: path, relative to that folder),
 *   an alias of models.def, once it was fetched into the cache folder,
 *   otherwise a path, relative to the program's folder;
 *   any of them with @sha256:HEX behind, which is checked.
 */
#include <stdlib.h>
#include <string.h>

#include "load/load.h"
#include "load/pull.h"

enum { MAX_CONFIG = 1 << 20 };

/* ---- the user's aliases ---- */

static int check_aliases(const nnr__yaml *y, const char *path, nnr_error *err)
{
	const nnr__ynode *map = y->count ? y->doc[0] : NULL;

	if (y->count > 1 || (map && map->kind != NNR__Y_MAP))
		return nnr__fail(err, NNR_E_INPUT, "%s:1:1: one map of alias: "
				 "path expected", path);
	for (const nnr__ynode *n = map ? map->child : NULL; n; n = n->next)
		if (n->kind != NNR__Y_SCALAR || !n->len)
			return nnr__fail(err, NNR_E_INPUT, "%s:%u:%u: alias "
					 "%s: a path expected", path, n->line,
					 n->col, n->key);
	return 0;
}

int nnr__aliases_read(nnr__yaml *y, nnr_error *err)
{
	char *dir = nnr__config_dir();
	char *path = dir ? nnr__path_join(dir, "models.yaml") : NULL;
	nnr__buf text = { 0 };
	int r = 0;

	*y = (nnr__yaml){ 0 };
	if (path && nnr__file_exists(path)) {
		r = nnr__file_read(&text, path, MAX_CONFIG, err);
		if (!r)
			r = nnr__yaml_parse(y, path, text.p ? text.p : "",
					    text.len, err);
		if (!r)
			r = check_aliases(y, path, err);
	}
	if (r)
		nnr__yaml_release(y);
	nnr__buf_release(&text);
	free(path);
	free(dir);
	return r;
}

char *nnr__alias_path(const nnr__ynode *alias)
{
	char *dir = nnr__config_dir();
	char *path = nnr__path_join(dir ? dir : ".", alias->text);

	free(dir);
	return path;
}

static const nnr__ynode *aliases(const nnr__yaml *y)
{
	return y->count ? y->doc[0] : NULL;
}

/* ---- one reference ---- */

/* No alias and no file: the nearest alias, or all of them. */
static int unknown(const nnr__yaml *y, const char *name, nnr_error *err)
{
	const nnr__ynode *map = aliases(y);
	int known, n = 0, r;
	const nnr__model_row *row = nnr__models(&known);
	size_t all = (size_t)known + (map ? map->count : 0);
	const char **names = nnr__calloc(all + 1, sizeof *names);
	const char *near;

	if (!names)
		return nnr__fail_memory(err, "aliases", all * sizeof *names);
	for (; n < known; n++)
		names[n] = row[n].alias;
	for (const nnr__ynode *a = map ? map->child : NULL; a; a = a->next)
		names[n++] = a->key;
	near = nnr__nearest(name, names);
	if (near)
		r = nnr__fail(err, NNR_E_INPUT, "no model named '%.200s'; did "
			      "you mean '%.200s'?", name, near);
	else
		r = nnr__fail(err, NNR_E_INPUT, "no model named '%.200s' and "
			      "no such file; `nnr model list` shows the "
			      "names", name);
	free(names);
	return r;
}

static bool looks_like_path(const char *name)
{
	size_t n = strlen(name);

	return strchr(name, '/') ||
		(n > 5 && !strcmp(name + n - 5, ".gguf"));
}

static int find_file(char **path, const nnr__yaml *y, const char *name,
		     const char *base_dir, nnr_error *err)
{
	*path = nnr__path_join(base_dir ? base_dir : "", name);
	if (!*path)
		return nnr__fail_memory(err, "a path", strlen(name));
	if (nnr__file_exists(*path))
		return 0;
	if (!looks_like_path(name))
		return unknown(y, name, err);
	return nnr__fail(err, NNR_E_INPUT, "no model file '%.300s'", *path);
}

/* An alias of the user's: a path, which must be there. */
static int find_alias(char **path, const nnr__ynode *alias, nnr_error *err)
{
	*path = nnr__alias_path(alias);
	if (!*path)
		return nnr__fail_memory(err, "a path", alias->len);
	if (nnr__file_exists(*path))
		return 0;
	return nnr__fail(err, NNR_E_INPUT, "the alias %.100s of models.yaml "
			 "is '%.250s', which is not there", alias->key, *path);
}

/* An alias of models.def: its file in the cache, which must be the one that
 * the table pins. */
static int find_pulled(char **path, const nnr__model_row *row, nnr_error *err)
{
	char have[65];
	bool there;
	int r = nnr__pull_path(path, &there, row, err);

	if (r)
		return r;
	if (!there)
		return nnr__fail(err, NNR_E_INPUT, "the model %s is not on "
				 "this machine yet; fetch it with `nnr model "
				 "pull %s`", row->alias, row->alias);
	r = nnr__model_hash(*path, false, have, err);
	if (!r && strcmp(have, row->sha256) != 0)
		r = nnr__fail(err, NNR_E_FORMAT, "'%.200s' is damaged (its "
			      "SHA-256 is not the table's); fetch it again "
			      "with `nnr model pull %s`", *path, row->alias);
	return r;
}

static int find(char **path, const char *name, const char *base_dir,
		nnr_error *err)
{
	const nnr__model_row *row = nnr__model_row_of(name);
	const nnr__ynode *alias = NULL;
	nnr__yaml y;
	int r = nnr__aliases_read(&y, err);

	if (r)
		return r;
	if (aliases(&y))
		alias = nnr__yaml_get(aliases(&y), name);
	if (alias)
		r = find_alias(path, alias, err);
	else if (row)
		r = find_pulled(path, row, err);
	else
		r = find_file(path, &y, name, base_dir, err);
	nnr__yaml_release(&y);
	return r;
}

/* Cuts "@sha256:HEX" off name and gives HEX in lower case. */
static int cut_digest(char *name, char hex[65], nnr_error *err)
{
	static const char mark[] = "@sha256:";
	char *at = strstr(name, mark);
	const char *digits = at ? at + strlen(mark) : "";

	hex[0] = '\0';
	if (!at)
		return 0;
	if (strlen(digits) != 64 ||
	    strspn(digits, "0123456789abcdefABCDEF") != 64)
		return nnr__fail(err, NNR_E_INPUT, "model '%.200s': 64 "
				 "hexadecimal digits expected after %s", name,
				 mark);
	for (int i = 0; i < 64; i++)
		hex[i] = digits[i] >= 'A' && digits[i] <= 'F' ?
			(char)(digits[i] - 'A' + 'a') : digits[i];
	hex[64] = '\0';
	*at = '\0';
	return 0;
}

static int check_digest(const char *path, const char *want, nnr_error *err)
{
	char have[65];
	int r = nnr__model_hash(path, false, have, err);

	if (!r && strcmp(have, want) != 0)
		r = nnr__fail(err, NNR_E_INPUT, "%.200s has SHA-256 %s; %s "
			      "was asked for", path, have, want);
	return r;
}

int nnr__model_resolve(char **path, const char *ref, const char *base_dir,
		       nnr_error *err)
{
	char *name = nnr__strdup(ref);
	char hex[65];
	int r;

	*path = NULL;
	if (!name)
		return nnr__fail_memory(err, "a model's name", strlen(ref));
	r = cut_digest(name, hex, err);
	if (!r && !name[0])
		r = nnr__fail(err, NNR_E_INPUT, "the model's name is empty");
	if (!r)
		r = find(path, name, base_dir, err);
	if (!r && hex[0])
		r = check_digest(*path, hex, err);
	if (r) {
		free(*path);
		*path = NULL;
	}
	free(name);
	return r;
}
