/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c: the nearest known word, for "did you mean".
 */
#include "base.h"

#include <string.h>

#define LONGEST 63	/* longer words get no suggestion */

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b. */
static int distance(const char *a, size_t n, const char *b, size_t m)
{
	int row[3][LONGEST + 1];	/* rows i - 2, i - 1, i, in turn */

	for (size_t j = 0; j <= m; j++)
		row[0][j] = (int)j;
	for (size_t i = 1; i <= n; i++) {
		int *at = row[i % 3], *up = row[(i + 2) % 3];
		int *up2 = row[(i + 1) % 3];
		at[0] = (int)i;
		for (size_t j = 1; j <= m; j++) {
			int d = up[j - 1] + (a[i - 1] != b[j - 1]);
			d = least(d, least(up[j], at[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				d = least(d, up2[j - 2] + 1);
			at[j] = d;
		}
	}
	return row[n % 3][m];
}

const char *nnr__nearest(const char *word, const char *const *names)
{
	size_t n = strlen(word);
	int best = (int)(n / 3) + 1;
	const char *found = NULL;

	if (n > LONGEST)
		return NULL;
	for (; *names; names++) {
		size_t m = strlen(*names);
		int d = m <= LONGEST ? distance(word, n, *names, m) : best;
		if (d < best) {
			best = d;
			found = *names;
		}
	}
	return found;
}
