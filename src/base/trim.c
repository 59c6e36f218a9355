/* SPDX-License-Identifier: Apache-2.0
 *
 * trim.c: keeps a cache folder below a size.
 *
 * Files are used (nnr__cache_touch) and dropped by age of last use.  Another
 * process may do the same at the same time: a file that is gone already is
 * no error, and one that is mapped elsewhere lives on until it is unmapped.
 */
#define _GNU_SOURCE	/* st_mtim */
#include "base.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct cached {
	char *name;
	size_t bytes;
	struct timespec used;
} cached;

void nnr__cache_touch(const char *path)
{
	utimensat(AT_FDCWD, path, NULL, 0);
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && strcmp(name + n - k, suffix) == 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct timespec *x = &((const cached *)a)->used;
	const struct timespec *y = &((const cached *)b)->used;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? 1 : -1;
	return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

static cached *list(DIR *d, const char *suffix, size_t *n)
{
	cached *file = NULL;
	size_t cap = 0;
	struct dirent *entry;
	struct stat st;

	*n = 0;
	while ((entry = readdir(d)) != NULL) {
		char *name;

		if (!ends_with(entry->d_name, suffix) ||
		    fstatat(dirfd(d), entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		name = nnr__strdup(entry->d_name);
		if (!name || !nnr__grow(&file, &cap, *n, sizeof(*file))) {
			free(name);
			break;
		}
		file[(*n)++] = (cached){ name, (size_t)st.st_size,
					 st.st_mtim };
	}
	return file;
}

void nnr__cache_trim(const char *dir, const char *suffix, size_t max_bytes)
{
	DIR *d = opendir(dir);
	size_t n, sum = 0;
	cached *file;

	if (!d)
		return;
	file = list(d, suffix, &n);
	if (n)
		qsort(file, n, sizeof(*file), newest_first);
	for (size_t i = 0; i < n; i++) {
		sum += file[i].bytes;
		/* the newest one stays, however large */
		if (i && sum > max_bytes)
			unlinkat(dirfd(d), file[i].name, 0);
		free(file[i].name);
	}
	free(file);
	closedir(d);
}
