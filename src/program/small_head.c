/* SPDX-License-Identifier: Apache-2.0
 *
 * small_head.c: a head of chosen rows of the vocabulary, padded to sixteens.
 */
#include "program/engine_int.h"

#include <stdlib.h>
#include <string.h>

#define LANES 16

int nnr__head_index(const nnr__small_head *h, int32_t id)
{
	for (int i = 0; i < h->n; i++)
		if (h->id[i] == id)
			return i;
	return -1;
}

void nnr__head_release(nnr__small_head *h)
{
	nnr__aligned_free(h->data);
	free(h->id);
	memset(h, 0, sizeof(*h));
}

/* Rows of the first token of every choice, padded to sixteens. */
int nnr__head_make(nnr__small_head *h, const nnr__backbone *b,
		   const nnr__span *choice, int choices, nnr_error *err)
{
	size_t rb = b->head.row_bytes;
	size_t rows = ((size_t)choices + LANES - 1) / LANES * LANES;

	memset(h, 0, sizeof(*h));
	h->data = nnr__aligned(rows * rb);
	h->id = nnr__calloc(rows, sizeof(*h->id));
	if (!h->data || !h->id) {
		nnr__head_release(h);
		return nnr__fail_memory(err, "choices", rows * rb);
	}
	memset(h->data, 0, rows * rb);
	for (int c = 0; c < choices; c++) {
		int32_t id = choice[c].id[0];

		if (nnr__head_index(h, id) >= 0)
			continue;
		memcpy(h->data + (size_t)h->n * rb,
		       b->head.data + (size_t)id * rb, rb);
		h->id[h->n++] = id;
	}
	h->mat = b->head;
	h->mat.data = h->data;
	h->mat.rows = (h->n + LANES - 1) / LANES * LANES;
	return 0;
}

