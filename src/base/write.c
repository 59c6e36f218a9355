/* SPDX-License-Identifier: Apache-2.0
 *
 * write.c: replacing files.  A file is replaced as a whole or not at all:
 * the bytes go to a temporary file beside it, reach the disk, then take its
 * name.  A device, pipe or socket has no name to take over and is written in
 * place.
 */
#define _XOPEN_SOURCE 700	/* realpath */
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 30)	/* at most this much in one write */

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

/* What a link points to is replaced, not the link.  *mode: of the file that
 * is replaced, or 0. */
static int find_target(nnr__sink *s, const char *path, mode_t *mode,
		       nnr_error *err)
{
	struct stat st;

	*mode = 0;
	if (stat(path, &st) != 0) {
		if (errno != ENOENT)
			return nnr__fail_io(err, "write", path);
		s->path = nnr__strdup(path);
	} else if (S_ISDIR(st.st_mode)) {
		return nnr__fail(err, NNR_E_INPUT, "cannot write '%.300s': it "
				 "is a folder", path);
	} else if (!S_ISREG(st.st_mode)) {
		s->in_place = true;
		s->path = nnr__strdup(path);
	} else {
		*mode = st.st_mode & 0777;
		s->path = realpath(path, NULL);
		if (!s->path)
			return nnr__fail_io(err, "write", path);
	}
	return s->path ? 0 : nnr__fail_memory(err, path, strlen(path));
}

int nnr__sink_open(nnr__sink *s, const char *path, nnr_error *err)
{
	nnr__buf temp = { 0 };
	mode_t mode;
	int rc;

	*s = (nnr__sink){ .fd = -1 };
	rc = find_target(s, path, &mode, err);
	if (!rc) {
		s->fd = s->in_place ? open(s->path, O_WRONLY | O_CLOEXEC)
				    : open_temp(&temp, s->path);
		if (s->fd < 0)
			rc = nnr__fail_io(err, "write", path);
	}
	if (!rc && !s->in_place) {
		s->temp = nnr__buf_take(&temp);
		if (mode && fchmod(s->fd, mode) != 0)
			rc = nnr__fail_io(err, "write", path);
	}
	nnr__buf_release(&temp);
	if (rc)
		nnr__sink_close(s, false, NULL);
	return rc;
}

int nnr__sink_add(nnr__sink *s, const void *data, size_t n, nnr_error *err)
{
	const char *p = data;

	while (n) {
		ssize_t put = write(s->fd, p, n < CHUNK ? n : CHUNK);
		/* A pipe that nobody reads would hold us for ever. */
		if (put < 0 && errno == EINTR && s->in_place &&
		    nnr__interrupted())
			return nnr__fail(err, NNR_E_INTERRUPTED,
					 "interrupted");
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return nnr__fail_io(err, "write", s->path);
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

int nnr__sink_close(nnr__sink *s, bool keep, nnr_error *err)
{
	int rc = 0;

	if (s->fd >= 0) {
		if (keep && s->temp && fsync(s->fd) != 0)
			rc = nnr__fail_io(err, "write", s->path);
		if (close(s->fd) != 0 && keep && !rc)
			rc = nnr__fail_io(err, "write", s->path);
	}
	if (s->temp && keep && !rc && rename(s->temp, s->path) != 0)
		rc = nnr__fail_io(err, "write", s->path);
	if (s->temp && (!keep || rc))
		unlink(s->temp);
	else if (s->temp)
		sync_folder(s->path);
	free(s->temp);
	free(s->path);
	*s = (nnr__sink){ .fd = -1 };
	return rc;
}

int nnr__file_write_pieces(const char *path, const nnr__piece *piece, int n,
			   nnr_error *err)
{
	nnr__sink s;
	int last, rc = nnr__sink_open(&s, path, err);

	if (rc)
		return rc;
	for (int i = 0; i < n && !rc; i++)
		rc = nnr__sink_add(&s, piece[i].data, piece[i].size, err);
	last = nnr__sink_close(&s, !rc, err);
	return rc ? rc : last;
}

int nnr__file_write(const char *path, const void *data, size_t n,
		    nnr_error *err)
{
	nnr__piece piece = { data, n };
	return nnr__file_write_pieces(path, &piece, 1, err);
}
