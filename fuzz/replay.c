/* SPDX-License-Identifier: Apache-2.0
 *
 * replay.c: runs a fuzz target over files, without libFuzzer.  Arguments are
 * files and folders; a folder must hold at least one file, so that a seed
 * set that got lost does not pass.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SEED_MAX ((size_t)8 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes are copied to a block of just their size: ASan sees one byte
 * too far. */
static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *all = malloc(SEED_MAX), *data;
	size_t n;

	if (!f || !all) {
		fprintf(stderr, "replay: cannot read %s\n", path);
		free(all);
		if (f)
			fclose(f);
		return -1;
	}
	n = fread(all, 1, SEED_MAX, f);
	fclose(f);
	data = malloc(n ? n : 1);
	if (data) {
		memcpy(data, all, n);
		LLVMFuzzerTestOneInput(data, n);
	}
	free(data);
	free(all);
	return data ? 1 : -1;
}

/* Files run, or -1. */
static int run_path(const char *path)
{
	struct dirent *entry;
	struct stat st;
	int count = 0;
	DIR *dir;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return run_file(path);
	dir = opendir(path);
	if (!dir) {
		fprintf(stderr, "replay: cannot open %s\n", path);
		return -1;
	}
	while (count >= 0 && (entry = readdir(dir))) {
		char file[4096];
		int got;
		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		got = run_file(file);
		count = got < 0 ? -1 : count + got;
	}
	closedir(dir);
	return count;
}

int main(int argc, char **argv)
{
	int total = 0;

	for (int i = 1; i < argc; i++) {
		int got = run_path(argv[i]);
		if (got <= 0) {
			fprintf(stderr, "replay: nothing in %s\n", argv[i]);
			return 1;
		}
		total += got;
	}
	printf("%d seeds\n", total);
	return total > 0 ? 0 : 1;
}
