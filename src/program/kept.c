/* SPDX-License-Identifier: Apache-2.0
 *
 * kept.c: key/value rows kept as files <cache>/FOLDER/<key>.kv, under a key
 * over everything they depend on: format, backbone hash, mode, rope, tokens,
 * and what a program gives f.  A folder has a budget; what was used longest
 * ago goes first.
 */
#include "program/engine_int.h"

#include <stdlib.h>
#include <string.h>

static const struct { const char *folder; size_t most; } budget[] = {
	[NNR__KEEP_PREFIX] = { "prefix", (size_t)1 << 30 },
	[NNR__KEEP_FROZEN] = { "frozen", (size_t)8 << 30 },
};

void nnr__kept_key(nnr__buf *key, const nnr__engine *e, const int32_t *token,
		   int n, bool given)
{
	char sha[65];

	nnr__sha_of(token, (size_t)n * sizeof(*token), sha);
	nnr__buf_addf(key, "v1 %s %s rope=%.17g n=%d %s", e->bb->hash,
		      nnr__engine_arithmetic(e), e->bb->rope_base, n, sha);
	if (given && e->given_sha[0])
		nnr__buf_addf(key, " given=%s", e->given_sha);
}

/* The file of a key, or NULL without a cache. */
static char *path_of(nnr__keep what, const char *key)
{
	char sha[65], *dir = nnr__cache_dir(), *sub, *path = NULL;
	nnr__buf name = { 0 };

	if (!dir)
		return NULL;
	sub = nnr__path_join(dir, budget[what].folder);
	free(dir);
	nnr__sha_of(key, strlen(key), sha);
	nnr__buf_addf(&name, "%.32s.kv", sha);
	if (sub && !name.bad && !nnr__mkdirs(sub, NULL))
		path = nnr__path_join(sub, name.p);
	free(sub);
	nnr__buf_release(&name);
	return path;
}

int nnr__kept_map(nnr__engine *e, nnr__keep what, const char *key,
		  nnr__seq **q, nnr_error *err)
{
	char *path = path_of(what, key);
	int rc = path ? nnr__seq_map(e->store, q, path, key, err) : 0;

	if (rc == 1)
		nnr__cache_touch(path);
	free(path);
	return rc;
}

/* A cache that cannot be written costs time, not answers. */
void nnr__kept_save(nnr__keep what, const char *key, const nnr__seq *q)
{
	char *path = path_of(what, key);
	char *dir = path ? nnr__path_dir(path) : NULL;

	if (dir && !nnr__seq_save(q, path, key, NULL))
		nnr__cache_trim(dir, ".kv", budget[what].most);
	free(dir);
	free(path);
}
