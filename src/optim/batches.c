/* SPDX-License-Identifier: Apache-2.0
 *
 * batches.c: the order of an epoch's items.  They are shuffled, cut into
 * windows of WINDOW batches, sorted by length within a window, and the
 * batches shuffled: a batch holds items of like length, and little of it
 * depends on which.  All of it is a function of (seed, epoch), so that a
 * resumed run needs the number of its step only.
 */
#include "optim/optim.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW 32
#define STREAM ((uint64_t)0x6f72646572 << 24)	/* "order"; then the epoch */

typedef struct nnr__sorted {
	int length, item;
	int at;			/* place in the shuffle: ties keep it */
} sorted;

int nnr__batches_new(nnr__batches *b, const nnr__objective *o,
		     const nnr__train_plan *plan, nnr_error *err)
{
	size_t n = (size_t)o->items;

	memset(b, 0, sizeof(*b));
	b->items = o->items;
	b->size = plan->batch < o->items ? (int)plan->batch : o->items;
	b->batches = (o->items + b->size - 1) / b->size;
	b->accumulate = plan->accumulate < b->batches ? (int)plan->accumulate
						      : b->batches;
	b->steps = (b->batches + b->accumulate - 1) / b->accumulate;
	b->seed = (uint64_t)plan->seed;
	b->length = o->length;
	b->epoch = -1;
	b->order = nnr__calloc(n, sizeof(*b->order));
	b->start = nnr__calloc((size_t)b->batches + 1, sizeof(*b->start));
	b->perm = nnr__calloc(n, sizeof(*b->perm));
	b->sorted = nnr__calloc(n, sizeof(*b->sorted));
	if (b->order && b->start && b->perm && b->sorted)
		return 0;
	nnr__batches_release(b);
	return nnr__fail_memory(err, "the order of the items",
				n * sizeof(*b->sorted));
}

void nnr__batches_release(nnr__batches *b)
{
	free(b->order);
	free(b->start);
	free(b->perm);
	free(b->sorted);
	memset(b, 0, sizeof(*b));
}

static int by_length(const void *a, const void *b)
{
	const sorted *x = a, *y = b;

	if (x->length != y->length)
		return x->length < y->length ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

static void lay_out(nnr__batches *b, int64_t epoch)
{
	const uint64_t stream = STREAM + 2 * (uint64_t)epoch;
	const size_t window = (size_t)b->size * WINDOW;
	const size_t n = (size_t)b->items;
	int at = 0;

	nnr__rng_shuffle(b->perm, (uint32_t)n, b->seed, stream);
	for (size_t i = 0; i < n; i++) {
		int item = (int)b->perm[i];
		b->sorted[i] = (sorted){ b->length ? b->length[item] : 0,
					 item, (int)i };
	}
	for (size_t i = 0; i < n; i += window)
		qsort(b->sorted + i, n - i < window ? n - i : window,
		      sizeof(*b->sorted), by_length);
	nnr__rng_shuffle(b->perm, (uint32_t)b->batches, b->seed, stream + 1);
	for (int k = 0; k < b->batches; k++) {
		int from = (int)b->perm[k] * b->size;
		b->start[k] = at;
		for (int i = from; i < from + b->size && i < b->items; i++)
			b->order[at++] = b->sorted[i].item;
	}
	b->start[b->batches] = at;
	b->epoch = epoch;
}

void nnr__batches_at(nnr__batches *b, int64_t step, int *first, int *last)
{
	int64_t within = step % b->steps;

	if (b->epoch != step / b->steps)
		lay_out(b, step / b->steps);
	*first = (int)within * b->accumulate;
	*last = *first + b->accumulate;
	if (*last > b->batches)
		*last = b->batches;
}
