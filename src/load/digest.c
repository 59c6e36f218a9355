/* SPDX-License-Identifier: Apache-2.0
 *
 * The SHA-256 of a model file, remembered in <cache>/hashes/.  An entry is
 * one line, named after the file's device and inode:
 *
 *   nnr-hash 1 <size> <mtime ns> <ctime ns> <64 hex digits>
 *
 * A line that differs in any way from what the file is now, or that does
 * not read, is as good as none.  A cache that cannot be written is fine.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "load/load.h"

enum {
	WORTH_KEEPING = 1 << 20,	/* smaller files hash at once */
	STEP = 1 << 22,			/* bytes between interrupts */
	MAX_LINE = 256,
	SETTLED = 2			/* seconds; see worth_keeping */
};

/* The line up to the digits: what must be unchanged. */
static void stamp(nnr__buf *out, const struct stat *st)
{
	nnr__buf_addf(out, "nnr-hash 1 %lld %lld%09ld %lld%09ld ",
		      (long long)st->st_size, (long long)st->st_mtim.tv_sec,
		      st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
		      st->st_ctim.tv_nsec);
}

/* <cache>/hashes, or with a name in it; NULL without cache. */
static char *entry_path(const struct stat *st, bool folder)
{
	char *cache = nnr__cache_dir();
	nnr__buf b = { 0 };

	if (!cache)
		return NULL;
	nnr__buf_addf(&b, "%s/hashes", cache);
	if (!folder)
		nnr__buf_addf(&b, "/%llx-%llx",
			      (unsigned long long)st->st_dev,
			      (unsigned long long)st->st_ino);
	free(cache);
	return nnr__buf_take(&b);
}

static bool is_digest(const char *s)
{
	return strspn(s, "0123456789abcdef") == 64;
}

static bool recall(const struct stat *st, char hex[65])
{
	char *path = entry_path(st, false);
	nnr__buf want = { 0 }, have = { 0 };
	bool found;

	stamp(&want, st);
	found = path && !want.bad &&
		!nnr__file_read(&have, path, MAX_LINE, NULL) &&
		have.len == want.len + 65 && have.p[have.len - 1] == '\n' &&
		!memcmp(have.p, want.p, want.len) &&
		is_digest(have.p + want.len);
	if (found) {
		memcpy(hex, have.p + want.len, 64);
		hex[64] = '\0';
	}
	nnr__buf_release(&want);
	nnr__buf_release(&have);
	free(path);
	return found;
}

static void remember(const struct stat *st, const char *hex)
{
	char *path = entry_path(st, false), *dir = entry_path(st, true);
	nnr__buf line = { 0 };

	stamp(&line, st);
	nnr__buf_addf(&line, "%s\n", hex);
	if (path && dir && !line.bad && !nnr__mkdirs(dir, NULL))
		(void)nnr__file_write(path, line.p, line.len, NULL);
	nnr__buf_release(&line);
	free(path);
	free(dir);
}

static int compute(const char *path, char hex[65], nnr_error *err)
{
	nnr__map m;
	nnr__sha s;
	int r = nnr__map_open(&m, path, err);

	if (r)
		return r;
	nnr__sha_init(&s);
	for (size_t at = 0, n; at < m.size && !r; at += n) {
		n = m.size - at < STEP ? m.size - at : STEP;
		nnr__sha_add(&s, m.data + at, n);
		if (nnr__interrupted())
			r = nnr__fail(err, NNR_E_INTERRUPTED, "interrupted");
	}
	nnr__sha_end(&s, hex);
	nnr__map_close(&m);
	return r;
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
		a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
		a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Large enough, and old enough that a change after this one cannot have the
 * same time stamp on a coarse file system. */
static bool worth_keeping(const struct stat *st)
{
	return st->st_size >= WORTH_KEEPING &&
		time(NULL) - st->st_ctim.tv_sec > SETTLED;
}

int nnr__model_hash(const char *path, bool verify, char hex[65],
		    nnr_error *err)
{
	struct stat before, after;
	bool known = !stat(path, &before);
	int r;

	hex[0] = '\0';
	if (known && !verify && before.st_size >= WORTH_KEEPING &&
	    recall(&before, hex))
		return 0;
	r = compute(path, hex, err);
	if (r)
		return r;
	if (known && worth_keeping(&before) && !stat(path, &after) &&
	    same(&before, &after))
		remember(&before, hex);
	return 0;
}
