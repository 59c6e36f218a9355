/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_int.h: what the files of the GGUF reader share; nobody else includes
 * it.  gguf.c reads header and keys, gguf_tensors.c the tensor list,
 * gguf_read.c gives out values.
 */
#ifndef NNR_GGUF_INT_H
#define NNR_GGUF_INT_H

#include "load/load.h"

/* Open addressing over an array of items that begin with their nnr__str. */
typedef struct nnr__table {
	uint32_t *slot;		/* item number + 1; 0 is free */
	size_t mask;
	const char *item;
	size_t stride;
} nnr__table;

struct nnr__gindex {
	nnr__table kv, tensor;
};

_Static_assert(offsetof(nnr__gkv, key) == 0, "a table needs the name first");
_Static_assert(offsetof(nnr__tensor, name) == 0, "the same");

typedef unsigned long long ull;		/* for printf */

bool nnr__table_init(nnr__table *t, const void *item, size_t stride,
		     size_t count);
/* The slot that holds name, or the free one where it would go. */
uint32_t *nnr__table_find(const nnr__table *t, nnr__str name);

/* The error for a cursor that ran past the end. */
int nnr__gguf_cut(const nnr__cur *c, const char *what, nnr_error *err);
/* A key or tensor name: UTF-8 that prints, so that messages can quote it. */
int nnr__gguf_name(nnr__cur *c, nnr__str *s, size_t max, const char *what,
		   nnr_error *err);
/* The tensor list, n long, and where each tensor's data lies. */
int nnr__gguf_read_tensors(nnr__gguf *g, nnr__cur *c, size_t n,
			   nnr_error *err);

#endif
