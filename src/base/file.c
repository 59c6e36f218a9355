/* SPDX-License-Identifier: Apache-2.0
 *
 * file.c: reading, mapping and replacing files; paths; the user's cache and
 * configuration folders; the clock and the peak of memory.
 *
 * A file is replaced as a whole or not at all: the bytes go to a temporary
 * file beside it, reach the disk, then take its name.  Nothing here follows
 * a format.
 */
#define _XOPEN_SOURCE 700	/* realpath, getrusage */
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 30)	/* at most this much in one write */

static int fail_io(nnr_error *err, const char *doing, const char *path)
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
		return fail_io(err, "open", path);
	if (fstat(fd, &st) != 0) {
		rc = fail_io(err, "stat", path);
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
			rc = fail_io(err, "map", path);
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
			return fail_io(err, "read", path);
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
		return fail_io(err, "open", path);
	rc = read_all(out, fd, path, max, err);
	close(fd);
	return rc;
}

/* ---- writing ---- */

static int write_all(int fd, const nnr__piece *piece, int n)
{
	for (int i = 0; i < n; i++) {
		const char *p = piece[i].data;
		size_t left = piece[i].size;
		while (left) {
			ssize_t put = write(fd, p, left < CHUNK ? left : CHUNK);
			if (put < 0 && errno == EINTR)
				continue;
			if (put < 0)
				return -1;
			p += put;
			left -= (size_t)put;
		}
	}
	return 0;
}

/* A device, pipe or socket has no name to take over: write into it. */
static int write_in_place(const char *path, const nnr__piece *piece, int n,
			  nnr_error *err)
{
	int rc = 0, fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_io(err, "open", path);
	if (write_all(fd, piece, n) != 0)
		rc = fail_io(err, "write", path);
	if (close(fd) != 0 && rc == 0)
		rc = fail_io(err, "write", path);
	return rc;
}

/* A rename is on the disk once its folder is.  Some file systems cannot
 * sync a folder; the data itself is safe then. */
static void sync_folder(const char *path)
{
	char *dir = nnr__path_dir(path);
	int fd = dir ? open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY) : -1;

	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
	free(dir);
}

/* Opens path.tmp.<pid>.  The name is ours: what bears it was left by a
 * process of the same number that was killed. */
static int open_temp(nnr__buf *temp, const char *path)
{
	static atomic_uint serial;
	unsigned k = atomic_fetch_add(&serial, 1);
	int fd = -1;

	nnr__buf_addf(temp, "%s.tmp.%ld", path, (long)getpid());
	if (k)
		nnr__buf_addf(temp, ".%u", k);	/* two threads, one path */
	errno = ENOMEM;
	for (int tries = 0; tries < 2 && fd < 0 && !temp->bad; tries++) {
		fd = open(temp->p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			  0666);
		if (fd < 0 && (errno != EEXIST || unlink(temp->p) != 0))
			break;
	}
	return fd;
}

/* mode: that of the file that is replaced, or 0. */
static int replace(const char *path, mode_t mode, const nnr__piece *piece,
		   int n, nnr_error *err)
{
	nnr__buf temp = { 0 };
	int rc = 0, fd = open_temp(&temp, path);

	if (fd < 0) {
		rc = fail_io(err, "write", path);
		nnr__buf_release(&temp);
		return rc;
	}
	if ((mode && fchmod(fd, mode) != 0) || write_all(fd, piece, n) != 0 ||
	    fsync(fd) != 0)
		rc = fail_io(err, "write", path);
	if (close(fd) != 0 && rc == 0)
		rc = fail_io(err, "write", path);
	if (rc == 0 && rename(temp.p, path) != 0)
		rc = fail_io(err, "write", path);
	if (rc)
		unlink(temp.p);
	else
		sync_folder(path);
	nnr__buf_release(&temp);
	return rc;
}

int nnr__file_write_pieces(const char *path, const nnr__piece *piece, int n,
			   nnr_error *err)
{
	struct stat st;
	char *real;
	int rc;

	if (stat(path, &st) != 0) {
		if (errno == ENOENT)
			return replace(path, 0, piece, n, err);
		return fail_io(err, "write", path);
	}
	if (S_ISDIR(st.st_mode))
		return nnr__fail(err, NNR_E_INPUT, "cannot write '%.300s': it "
				 "is a folder", path);
	if (!S_ISREG(st.st_mode))
		return write_in_place(path, piece, n, err);
	/* Replace what a link points to, not the link. */
	real = realpath(path, NULL);
	if (!real)
		return fail_io(err, "write", path);
	rc = replace(real, st.st_mode & 0777, piece, n, err);
	free(real);
	return rc;
}

int nnr__file_write(const char *path, const void *data, size_t n,
		    nnr_error *err)
{
	nnr__piece piece = { data, n };
	return nnr__file_write_pieces(path, &piece, 1, err);
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
			rc = fail_io(err, "create folder", copy);
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
