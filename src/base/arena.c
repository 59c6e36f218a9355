/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.c: a bump allocator.  Many small objects, one lifetime: a parse tree
 * is built here and released as a whole.  Memory comes zeroed.  An object
 * never moves and is never freed alone.
 */
#include "base.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK ((size_t)4096)
#define LAST_BLOCK ((size_t)1 << 20)
#define GRAIN ((size_t)16)	/* enough for every type we put here */

typedef struct nnr__arena_block block;
struct nnr__arena_block {
	block *next;
	size_t used, size;
	_Alignas(16) char data[];
};

/* A block with room for at least `bytes`; blocks double up to 1 MiB. */
static block *add_block(nnr__arena *a, size_t bytes)
{
	size_t size = FIRST_BLOCK, total;
	block *b;

	if (a->head)
		size = a->head->size < LAST_BLOCK / 2 ? a->head->size * 2
						     : LAST_BLOCK;
	if (size < bytes)
		size = bytes;
	if (!nnr__add_ok(size, sizeof(block), &total))
		return NULL;
	b = calloc(1, total);
	if (!b)
		return NULL;
	b->size = size;
	b->next = a->head;
	a->head = b;
	return b;
}

void *nnr__arena_alloc(nnr__arena *a, size_t bytes)
{
	block *b = a->head;
	void *p;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = bytes ? (bytes + GRAIN - 1) & ~(GRAIN - 1) : GRAIN;
	if (!b || b->size - b->used < bytes) {
		b = add_block(a, bytes);
		if (!b)
			return NULL;
	}
	p = b->data + b->used;
	b->used += bytes;
	return p;
}

char *nnr__arena_strndup(nnr__arena *a, const char *s, size_t n)
{
	char *copy = n < SIZE_MAX ? nnr__arena_alloc(a, n + 1) : NULL;
	if (copy && n)
		memcpy(copy, s, n);	/* the NUL is there: zeroed */
	return copy;
}

void nnr__arena_release(nnr__arena *a)
{
	while (a->head) {
		block *next = a->head->next;
		free(a->head);
		a->head = next;
	}
}
