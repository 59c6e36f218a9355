/* SPDX-License-Identifier: Apache-2.0
 *
 * mem.c: allocation with checked sizes.  Every function gives NULL (or
 * false) instead of overflowing; the caller names what failed through
 * nnr__fail_memory.
 */
#include "base.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 64

void *nnr__calloc(size_t n, size_t size)
{
	size_t bytes;
	if (!nnr__mul_ok(n, size, &bytes))
		return NULL;
	return calloc(1, bytes ? bytes : 1);
}

void *nnr__aligned(size_t bytes)
{
	if (bytes == 0)
		bytes = ALIGN;
	if (bytes > SIZE_MAX - (ALIGN - 1))
		return NULL;
	bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	return aligned_alloc(ALIGN, bytes);
}

void nnr__aligned_free(void *p)
{
	free(p);
}

char *nnr__strdup(const char *s)
{
	return nnr__strndup(s, strlen(s));
}

char *nnr__strndup(const char *s, size_t n)
{
	if (n == SIZE_MAX)
		return NULL;
	char *copy = malloc(n + 1);
	if (copy) {
		if (n)
			memcpy(copy, s, n);
		copy[n] = '\0';
	}
	return copy;
}

bool nnr__grow(void *p, size_t *cap, size_t n, size_t size)
{
	void *old, *grown;
	size_t want, bytes;

	if (n < *cap)
		return true;
	if (n >= SIZE_MAX / 2)
		return false;
	want = *cap ? *cap : 8;
	while (want <= n)
		want = want > SIZE_MAX / 2 ? n + 1 : want * 2;
	if (!nnr__mul_ok(want, size, &bytes))
		return false;
	memcpy(&old, p, sizeof(old));	/* p is the address of some T * */
	grown = realloc(old, bytes);
	if (!grown)
		return false;
	memset((char *)grown + *cap * size, 0, bytes - *cap * size);
	memcpy(p, &grown, sizeof(grown));
	*cap = want;
	return true;
}
