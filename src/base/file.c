/* SPDX-License-Identifier: Apache-2.0
 *
 * file.c: reading and mapping files; paths; the user's cache and
 * configuration folders; the clock and the peak of memory.  Nothing here
 * follows a format.  Writing is in write.c.
 */
#define _XOPEN_SOURCE 700	/* realpath, getrusage */
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int nnr__fail_io(nnr_error *err, const char *doing, const char *path)
{
	int code = errno == ENOENT || errno == ENOTDIR || errno == EISDIR
			   ? NNR_E_INPUT
			   : NNR_E_IO;
	char why[96];

	if (strerror_r(errno, why, sizeof(why)) != 0)
		snprintf(why, sizeof(why), "error %d", errno);
	return nnr__fail(err, code, "cannot %s '%.300s': %s", doing, path,
			 why);
}

/* ---- reading ---- */

int nnr__map_open(nnr__map *m, const char *path, nnr_error *err)
{
	struct stat st;
	void *p;
	int rc = 0, fd;

	m->data = NULL;
	m->size = 0;
	/* O_NONBLOCK: a FIFO must not hang us before we can refuse it. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return nnr__fail_io(err, "open", path);
	if (fstat(fd, &st) != 0) {
		rc = nnr__fail_io(err, "stat", path);
	} else if (!S_ISREG(st.st_mode)) {
		rc = nnr__fail(err, NNR_E_INPUT, "'%.300s' is not a regular "
			       "file", path);
	} else if ((uintmax_t)st.st_size > SIZE_MAX) {
		rc = nnr__fail(err, NNR_E_MEMORY, "'%.300s' is too large to "
			       "map", path);
	} else if (st.st_size > 0) {
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd,
			 0);
		if (p == MAP_FAILED) {
			rc = nnr__fail_io(err, "map", path);
		} else {
			m->data = p;
			m->size = (size_t)st.st_size;
		}
	}
	close(fd);
	return rc;
}

void nnr__map_close(nnr__map *m)
{
	if (m->data)
		munmap((void *)(uintptr_t)m->data, m->size);
	m->data = NULL;
	m->size = 0;
}

static int read_all(nnr__buf *out, int fd, const char *path, size_t max,
		    nnr_error *err)
{
	char chunk[16384];
	size_t total = 0;

	for (;;) {
		ssize_t got = read(fd, chunk, sizeof(chunk));
		if (got < 0 && errno == EINTR) {
			if (nnr__interrupted())
				return nnr__fail(err, NNR_E_INTERRUPTED,
						 "interrupted");
			continue;
		}
		if (got < 0)
			return nnr__fail_io(err, "read", path);
		if (got == 0)
			return 0;
		total += (size_t)got;
		if (total > max)
			return nnr__fail(err, NNR_E_INPUT, "'%.300s' is "
					 "longer than %zu bytes", path, max);
		nnr__buf_add(out, chunk, (size_t)got);
		if (out->bad)
			return nnr__fail_memory(err, path, total);
	}
}

int nnr__file_read(nnr__buf *out, const char *path, size_t max,
		   nnr_error *err)
{
	int fd, rc;

	if (strcmp(path, "-") == 0)
		return read_all(out, STDIN_FILENO, "stdin", max, err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return nnr__fail_io(err, "open", path);
	rc = read_all(out, fd, path, max, err);
	close(fd);
	return rc;
}

/* ---- paths and folders ---- */

bool nnr__file_exists(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

int nnr__mkdirs(const char *path, nnr_error *err)
{
	char *copy = nnr__strdup(path);
	struct stat st;
	int rc = 0;

	if (!copy)
		return nnr__fail_memory(err, "path", strlen(path));
	for (char *p = copy + (copy[0] == '/'); rc == 0; p++) {
		char c = *p;
		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (*copy && mkdir(copy, 0700) != 0 &&
		    (errno != EEXIST || stat(copy, &st) != 0 ||
		     !S_ISDIR(st.st_mode)))
			rc = nnr__fail_io(err, "create folder", copy);
		*p = c;
		if (c == '\0')
			break;
	}
	free(copy);
	return rc;
}

char *nnr__path_join(const char *dir, const char *rel)
{
	nnr__buf b = { 0 };
	size_t n = strlen(dir);

	if (rel[0] != '/' && n) {
		nnr__buf_add(&b, dir, n);
		if (dir[n - 1] != '/')
			nnr__buf_addc(&b, '/');
	}
	nnr__buf_adds(&b, rel);
	return nnr__buf_take(&b);
}

char *nnr__path_dir(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return nnr__strdup(".");
	while (slash > path && slash[-1] == '/')
		slash--;
	if (slash == path)
		return nnr__strdup("/");
	return nnr__strndup(path, (size_t)(slash - path));
}

/* $own, or $xdg/nnr, or $HOME/home/nnr.  XDG paths that are not absolute
 * are to be ignored, says its specification. */
static char *user_dir(const char *own, const char *xdg, const char *home)
{
	const char *v = getenv(own);
	nnr__buf b = { 0 };

	if (v && *v)
		return nnr__strdup(v);
	v = getenv(xdg);
	if (v && *v == '/')
		return nnr__path_join(v, "nnr");
	v = getenv("HOME");
	if (!v || *v != '/')
		return NULL;
	nnr__buf_addf(&b, "%s/%s/nnr", v, home);
	return nnr__buf_take(&b);
}

char *nnr__cache_dir(void)
{
	return user_dir("NNR_CACHE", "XDG_CACHE_HOME", ".cache");
}

char *nnr__config_dir(void)
{
	return user_dir("NNR_CONFIG", "XDG_CONFIG_HOME", ".config");
}

/* ---- clock and memory ---- */

double nnr__now(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Linux: 5 resets the high-water mark. */
void nnr__peak_reset(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "5", 1) != 1)
		errno = 0;	/* then it stays the peak of the process */
	close(fd);
}

size_t nnr__peak_rss(void)
{
	struct rusage use;

	if (getrusage(RUSAGE_SELF, &use) != 0)
		return 0;
#ifdef __APPLE__
	return (size_t)use.ru_maxrss;
#else
	return (size_t)use.ru_maxrss * 1024;
#endif
}
