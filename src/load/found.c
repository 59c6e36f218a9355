/* SPDX-License-Identifier: Apache-2.0
 *
 * found.c: where a backbone was seen last.  An artifact names its backbone
 * by hash and, to be the same everywhere, by no path; <cache>/found/HASH
 * holds the path of that model on this machine, one line.
 */
#define _XOPEN_SOURCE 700	/* realpath */
#include <stdlib.h>
#include <string.h>

#include "load/load.h"

enum { MAX_LINE = 4200 };

/* <cache>/found, or the entry of a hash in it; NULL without cache. */
static char *entry_path(const char *hex)
{
	char *cache = nnr__cache_dir();
	nnr__buf b = { 0 };

	if (!cache)
		return NULL;
	nnr__buf_addf(&b, "%s/found%s%s", cache, hex ? "/" : "",
		      hex ? hex : "");
	free(cache);
	return nnr__buf_take(&b);
}

void nnr__model_remember(const char *path, const char *hex)
{
	char *entry = entry_path(hex), *dir = entry_path(NULL);
	char *real = path ? realpath(path, NULL) : NULL;
	nnr__buf line = { 0 };

	if (entry && dir && real && !strchr(real, '\n')) {
		nnr__buf_addf(&line, "%s\n", real);
		if (!line.bad && !nnr__mkdirs(dir, NULL))
			(void)nnr__file_write(entry, line.p, line.len, NULL);
	}
	nnr__buf_release(&line);
	free(real);
	free(dir);
	free(entry);
}

char *nnr__model_recall(const char *hex)
{
	char *entry = entry_path(hex), *path = NULL, have[65];
	nnr__buf line = { 0 };

	if (entry && nnr__file_exists(entry) &&
	    !nnr__file_read(&line, entry, MAX_LINE, NULL) && line.len > 1 &&
	    line.p[line.len - 1] == '\n') {
		line.p[line.len - 1] = '\0';
		if (!nnr__model_hash(line.p, false, have, NULL) &&
		    strcmp(have, hex) == 0)
			path = nnr__strdup(line.p);
	}
	nnr__buf_release(&line);
	free(entry);
	return path;
}
