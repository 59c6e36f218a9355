/* SPDX-License-Identifier: Apache-2.0
 *
 * test_file.c: reading, mapping and replacing files, in a folder of its own
 * under $TMPDIR.
 */
#define _XOPEN_SOURCE 700
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

static char dir[256];

static const char *at(const char *name)
{
	static char path[4][512];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static int files_in(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void assert_content(const char *path, const char *text)
{
	nnr__buf b = { 0 };
	nnr_error err;

	assert_int_equal(nnr__file_read(&b, path, 1 << 20, &err), 0);
	assert_string_equal(b.p ? b.p : "", text);
	nnr__buf_release(&b);
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/nnr-test-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

static void clear(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char child[1024];
		struct stat st;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, e->d_name);
		if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
			clear(child);
		else
			unlink(child);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static int teardown(void **state)
{
	(void)state;
	clear(dir);
	return 0;
}

static void test_write(void **state)
{
	nnr__piece piece[] = { { "ab", 2 }, { NULL, 0 }, { "cde", 3 } };
	struct stat st;
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__file_write(at("f"), "one", 3, &err), 0);
	assert_content(at("f"), "one");
	assert_int_equal(chmod(at("f"), 0600), 0);
	assert_int_equal(nnr__file_write_pieces(at("f"), piece, 3, &err), 0);
	assert_content(at("f"), "abcde");
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);	/* kept */
	assert_int_equal(nnr__file_write(at("e"), "", 0, &err), 0);
	assert_content(at("e"), "");
	assert_int_equal(files_in(dir), 2);
}

/* A link stays, what it points to is replaced; devices are written to. */
static void test_write_special(void **state)
{
	struct stat st;
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__file_write(at("f"), "old", 3, &err), 0);
	assert_int_equal(symlink("f", at("link")), 0);
	assert_int_equal(nnr__file_write(at("link"), "new", 3, &err), 0);
	assert_content(at("f"), "new");
	assert_int_equal(lstat(at("link"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(nnr__file_write("/dev/null", "x", 1, &err), 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

static void test_write_fails(void **state)
{
	struct rlimit old, tiny;
	nnr_error err;
	char *big = calloc(1, 100000);
	int before, rc;

	(void)state;
	assert_non_null(big);
	assert_int_equal(nnr__file_write(at("f"), "kept", 4, &err), 0);
	before = files_in(dir);

	/* half way through: the old content stays, no other file does */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tiny = old;
	tiny.rlim_cur = 5000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
	rc = nnr__file_write(at("f"), big, 100000, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(rc, NNR_E_IO);
	assert_message(err, "/f'");
	assert_content(at("f"), "kept");
	assert_int_equal(files_in(dir), before);

	assert_int_equal(nnr__file_write("/dev/full", big, 10, &err),
			 NNR_E_IO);
	assert_message(err, "/dev/full");
	assert_int_equal(nnr__file_write(at("no/such"), big, 1, &err),
			 NNR_E_INPUT);
	assert_int_equal(nnr__file_write(dir, big, 1, &err), NNR_E_INPUT);
	assert_message(err, "folder");
	assert_int_equal(mkdir(at("ro"), 0500), 0);
	if (geteuid() != 0)	/* root may write everywhere */
		assert_int_equal(nnr__file_write(at("ro/x"), big, 1, &err),
				 NNR_E_IO);
	free(big);
}

/* A file that a killed process of our number left is in nobody's way. */
static void test_write_stale(void **state)
{
	char name[64];
	nnr_error err;
	int before;

	(void)state;
	assert_int_equal(nnr__file_write(at("s"), "1", 1, &err), 0);
	before = files_in(dir);
	for (unsigned k = 0; k < 30; k++) {
		snprintf(name, sizeof(name), "s.tmp.%ld.%u", (long)getpid(),
			 k);
		close(open(at(name), O_CREAT | O_WRONLY, 0600));
	}
	assert_int_equal(nnr__file_write(at("s"), "2", 1, &err), 0);
	assert_content(at("s"), "2");
	assert_int_equal(files_in(dir), before + 29);
}

static void test_read(void **state)
{
	nnr__buf b = { 0 };
	nnr_error err;
	char *big = malloc(50000);

	(void)state;
	assert_non_null(big);
	memset(big, 'x', 50000);
	assert_int_equal(nnr__file_write(at("r"), big, 50000, &err), 0);
	assert_int_equal(nnr__file_read(&b, at("r"), 50000, &err), 0);
	assert_int_equal(b.len, 50000);
	nnr__buf_clear(&b);
	assert_int_equal(nnr__file_read(&b, at("r"), 49999, &err),
			 NNR_E_INPUT);
	assert_message(err, "49999");
	assert_int_equal(nnr__file_read(&b, at("none"), 10, &err),
			 NNR_E_INPUT);
	assert_message(err, "No such file");
	assert_int_equal(nnr__file_read(&b, dir, 10, &err), NNR_E_INPUT);
	nnr__buf_release(&b);
	free(big);
	assert_true(nnr__file_exists(at("r")));
	assert_false(nnr__file_exists(at("none")));
}

static void test_map(void **state)
{
	nnr__map m;
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__file_write(at("m"), "mapped", 6, &err), 0);
	assert_int_equal(nnr__map_open(&m, at("m"), &err), 0);
	assert_int_equal(m.size, 6);
	assert_memory_equal(m.data, "mapped", 6);
	/* a file that is replaced does not change under the map */
	assert_int_equal(nnr__file_write(at("m"), "other!", 6, &err), 0);
	assert_memory_equal(m.data, "mapped", 6);
	nnr__map_close(&m);
	nnr__map_close(&m);
	assert_int_equal(nnr__file_write(at("m"), "", 0, &err), 0);
	assert_int_equal(nnr__map_open(&m, at("m"), &err), 0);
	assert_null(m.data);
	assert_int_equal(m.size, 0);
	nnr__map_close(&m);
	assert_int_equal(nnr__map_open(&m, at("none"), &err), NNR_E_INPUT);
	assert_int_equal(nnr__map_open(&m, dir, &err), NNR_E_INPUT);
	assert_message(err, "regular");
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_int_equal(nnr__map_open(&m, at("fifo"), &err), NNR_E_INPUT);
	assert_int_equal(nnr__map_open(&m, "/dev/zero", &err), NNR_E_INPUT);
}

static void test_mkdirs(void **state)
{
	struct stat st;
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__mkdirs(at("a/b//c/"), &err), 0);
	assert_int_equal(stat(at("a/b/c"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(nnr__mkdirs(at("a/b/c"), &err), 0);
	assert_int_equal(nnr__mkdirs("/", &err), 0);
	assert_int_equal(nnr__file_write(at("a/f"), "", 0, &err), 0);
	assert_true(nnr__mkdirs(at("a/f"), &err) < 0);
	assert_true(nnr__mkdirs(at("a/f/g"), &err) < 0);
}

static void check_join(const char *a, const char *b, const char *want)
{
	char *got = nnr__path_join(a, b);
	assert_string_equal(got, want);
	free(got);
}

static void check_dir(const char *path, const char *want)
{
	char *got = nnr__path_dir(path);
	assert_string_equal(got, want);
	free(got);
}

static void check_cache(const char *own, const char *xdg, const char *home,
			const char *want)
{
	char *got;

	own ? setenv("NNR_CACHE", own, 1) : unsetenv("NNR_CACHE");
	xdg ? setenv("XDG_CACHE_HOME", xdg, 1) : unsetenv("XDG_CACHE_HOME");
	home ? setenv("HOME", home, 1) : unsetenv("HOME");
	got = nnr__cache_dir();
	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
	free(got);
}

static void test_paths(void **state)
{
	(void)state;
	check_join("a", "b", "a/b");
	check_join("a/", "b", "a/b");
	check_join("a", "/b", "/b");
	check_join("", "b", "b");
	check_dir("a/b", "a");
	check_dir("b", ".");
	check_dir("/b", "/");
	check_dir("/a//b", "/a");
	check_dir("", ".");
	check_cache("/c", "/x", "/h", "/c");
	check_cache("", "/x", "/h", "/x/nnr");
	check_cache(NULL, "relative", "/h", "/h/.cache/nnr");
	check_cache(NULL, NULL, NULL, NULL);
}

static void test_clock(void **state)
{
	double t = nnr__now();

	(void)state;
	assert_true(nnr__now() >= t);
	assert_true(nnr__peak_rss() > 100000);
}

/* The least recently used files go until the rest fit; others stay. */
static void test_cache_trim(void **state)
{
	static const char *const name[] = { "a.kv", "b.kv", "c.kv", "d.txt" };
	char folder[] = "/tmp/nnr-trim-XXXXXX", path[4][64];
	const struct timespec later = { 0, 20000000 };

	(void)state;
	assert_non_null(mkdtemp(folder));
	for (int i = 0; i < 4; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%s", folder,
			 name[i]);
		assert_int_equal(nnr__file_write(path[i], "12345678", 8,
						 NULL), 0);
		nanosleep(&later, NULL);
	}
	nnr__cache_touch(path[0]);
	nnr__cache_trim(folder, ".kv", 24);
	assert_true(nnr__file_exists(path[1]));
	nnr__cache_trim(folder, ".kv", 16);
	assert_true(nnr__file_exists(path[0]));
	assert_false(nnr__file_exists(path[1]));
	assert_true(nnr__file_exists(path[2]));
	nnr__cache_trim(folder, ".kv", 1);
	assert_true(nnr__file_exists(path[0]));
	assert_false(nnr__file_exists(path[2]));
	assert_true(nnr__file_exists(path[3]));
	nnr__cache_trim("/nonexistent", ".kv", 1);
	unlink(path[0]);
	unlink(path[3]);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_special),
		cmocka_unit_test(test_write_fails),
		cmocka_unit_test(test_write_stale),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_mkdirs),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_cache_trim),
		cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
