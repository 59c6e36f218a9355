/* SPDX-License-Identifier: Apache-2.0
 *
 * store.c: key/value rows of sequences, in pages of 64 positions.
 *
 *   page:  layer 0: head 0: kt[dim][64] v[64][dim]   head 1: ...
 *          layer 1: ...
 *
 * Keys lie transposed so that attention reads 64 of them as one row per
 * dimension, for one query as for hundreds.  Pages are counted references:
 * a fork shares the full ones and copies the used part of the last.  Pages
 * may lie in a mapped file (a compiled prefix); those are read-only, and a
 * sequence that grows into one copies it first.
 *
 * File of a prefix:  magic, key, sizes, checksum, then pages at 4096.
 */
#include "graph/graph_int.h"

#include <stdlib.h>
#include <string.h>

typedef struct nnr__mapping {
	nnr__map map;
	int refs;
} nnr__mapping;

struct nnr__page {
	float *data;
	int refs;
	nnr__mapping *from;	/* NULL: own memory */
	nnr__page *next;	/* in the free list */
};

struct nnr__store {
	int layers, kv_heads, dim;
	size_t page_floats;
	size_t bytes, max_bytes;
	nnr__page *idle;
};

int nnr__store_new(nnr__store **out, int layers, int kv_heads, int dim,
		   size_t max_bytes, nnr_error *err)
{
	nnr__store *s = nnr__calloc(1, sizeof(*s));

	if (!s)
		return nnr__fail_memory(err, "store", sizeof(*s));
	s->layers = layers;
	s->kv_heads = kv_heads;
	s->dim = dim;
	s->page_floats = (size_t)layers * (size_t)kv_heads * 2u *
			 (size_t)dim * NNR__PAGE;
	s->max_bytes = max_bytes;
	*out = s;
	return 0;
}

void nnr__store_free(nnr__store *s)
{
	if (!s)
		return;
	while (s->idle) {
		nnr__page *p = s->idle;

		s->idle = p->next;
		nnr__aligned_free(p->data);
		free(p);
	}
	free(s);
}

size_t nnr__store_page_bytes(const nnr__store *s)
{
	return s->page_floats * sizeof(float);
}

static nnr__page *page_take(nnr__store *s)
{
	nnr__page *p = s->idle;

	if (p) {
		s->idle = p->next;
		p->refs = 1;
		return p;
	}
	if (s->bytes + nnr__store_page_bytes(s) > s->max_bytes)
		return NULL;
	p = nnr__calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->data = nnr__aligned(nnr__store_page_bytes(s));
	if (!p->data) {
		free(p);
		return NULL;
	}
	s->bytes += nnr__store_page_bytes(s);
	p->refs = 1;
	return p;
}

static void page_drop(nnr__store *s, nnr__page *p)
{
	if (--p->refs > 0)
		return;
	if (p->from) {
		if (--p->from->refs == 0) {
			nnr__map_close(&p->from->map);
			free(p->from);
		}
		free(p);
		return;
	}
	p->next = s->idle;
	s->idle = p;
}

/* Copies the first n positions of every layer and head. */
static void page_copy(const nnr__store *s, float *to, const float *from,
		      int n)
{
	size_t half = (size_t)s->dim * NNR__PAGE;
	size_t groups = (size_t)s->layers * (size_t)s->kv_heads;

	for (size_t g = 0; g < groups; g++) {
		for (int d = 0; d < s->dim; d++)
			memcpy(to + d * NNR__PAGE, from + d * NNR__PAGE,
			       (size_t)n * sizeof(float));
		memcpy(to + half, from + half,
		       (size_t)n * (size_t)s->dim * sizeof(float));
		to += 2 * half;
		from += 2 * half;
	}
}

nnr__seq *nnr__seq_new(nnr__store *s)
{
	nnr__seq *q = nnr__calloc(1, sizeof(*q));

	if (q)
		q->store = s;
	return q;
}

void nnr__seq_free(nnr__seq *q)
{
	if (!q)
		return;
	nnr__seq_truncate(q, 0);
	free(q->page);
	free(q);
}

int nnr__seq_len(const nnr__seq *q)
{
	return q->len;
}

size_t nnr__seq_bytes(const nnr__seq *q)
{
	return (size_t)q->pages * nnr__store_page_bytes(q->store);
}

void nnr__seq_truncate(nnr__seq *q, int len)
{
	int keep = (len + NNR__PAGE - 1) / NNR__PAGE;

	while (q->pages > keep)
		page_drop(q->store, q->page[--q->pages]);
	if (len < q->len)
		q->len = len;
}

static bool push_page(nnr__seq *q, nnr__page *p)
{
	if (!nnr__grow(&q->page, &q->cap, (size_t)q->pages, sizeof(*q->page)))
		return false;
	q->page[q->pages++] = p;
	return true;
}

/* Makes the last page of q its own if it is shared or mapped. */
static bool own_last(nnr__seq *q)
{
	nnr__page *old = q->page[q->pages - 1], *own;

	if (old->refs == 1 && !old->from)
		return true;
	own = page_take(q->store);
	if (!own)
		return false;
	page_copy(q->store, own->data, old->data, q->len % NNR__PAGE);
	page_drop(q->store, old);
	q->page[q->pages - 1] = own;
	return true;
}

/* The page that takes the next rows is copied when they come (own_last). */
nnr__seq *nnr__seq_fork(nnr__seq *parent)
{
	nnr__seq *q = nnr__seq_new(parent->store);

	if (!q)
		return NULL;
	for (int i = 0; i < parent->pages; i++) {
		if (!push_page(q, parent->page[i])) {
			nnr__seq_free(q);
			return NULL;
		}
		parent->page[i]->refs++;
	}
	q->len = parent->len;
	return q;
}

bool nnr__seq_reserve(nnr__seq *q, int n)
{
	int need = (q->len + n + NNR__PAGE - 1) / NNR__PAGE;

	nnr__seq_truncate(q, q->len);
	if (n > 0 && q->len % NNR__PAGE && !own_last(q))
		return false;
	while (q->pages < need) {
		nnr__page *p = page_take(q->store);

		if (!p)
			return false;
		if (!push_page(q, p)) {
			page_drop(q->store, p);
			return false;
		}
	}
	return true;
}

bool nnr__seq_claim(nnr__seq *q, int n)
{
	if (!nnr__seq_reserve(q, n))
		return false;
	q->len += n;
	return true;
}

bool nnr__seq_put(nnr__seq *q, const float *kv, int n)
{
	const nnr__store *s = q->store;
	size_t dim = (size_t)s->dim, cols = (size_t)s->kv_heads * dim;
	size_t half = (size_t)n * cols;
	int from = q->len;

	if (!nnr__seq_claim(q, n))
		return false;
	for (int l = 0; l < s->layers; l++)
		for (int i = 0; i < n; i++)
			for (int h = 0; h < s->kv_heads; h++) {
				int at = (from + i) % NNR__PAGE;
				float *kt = nnr__seq_keys(q, (from + i) /
							  NNR__PAGE, l, h);
				const float *k = kv + (size_t)l * 2 * half +
					(size_t)i * cols + (size_t)h * dim;

				for (size_t d = 0; d < dim; d++)
					kt[d * NNR__PAGE + (size_t)at] = k[d];
				memcpy(kt + (NNR__PAGE + (size_t)at) * dim,
				       k + half, dim * sizeof(float));
			}
	return true;
}

void nnr__seq_get(const nnr__seq *q, float *kv)
{
	const nnr__store *s = q->store;
	size_t dim = (size_t)s->dim, cols = (size_t)s->kv_heads * dim;
	size_t half = (size_t)q->len * cols;

	for (int l = 0; l < s->layers; l++)
		for (int i = 0; i < q->len; i++)
			for (int h = 0; h < s->kv_heads; h++) {
				size_t at = (size_t)(i % NNR__PAGE);
				const float *kt = nnr__seq_keys(q, i /
						NNR__PAGE, l, h);
				float *k = kv + (size_t)l * 2 * half +
					(size_t)i * cols + (size_t)h * dim;

				for (size_t d = 0; d < dim; d++)
					k[d] = kt[d * NNR__PAGE + at];
				memcpy(k + half, kt + (NNR__PAGE + at) * dim,
				       dim * sizeof(float));
			}
}

float *nnr__seq_keys(const nnr__seq *q, int page, int layer, int head)
{
	const nnr__store *s = q->store;
	size_t group = (size_t)layer * (size_t)s->kv_heads + (size_t)head;

	return q->page[page]->data + group * 2u * (size_t)s->dim * NNR__PAGE;
}

/* ---- prefix files ---- */

#define MAGIC "nnrkv 1\n"
#define PAGES_AT 4096
#define KEY_MAX 1024

typedef struct prefix_head {
	char magic[8];
	uint32_t layers, kv_heads, dim, len;
	uint64_t sum;		/* of the pages */
	char key[KEY_MAX];	/* NUL-padded */
} prefix_head;

/* Four multiply-xor lanes over 64-bit words: finds damage, at the speed of
 * memory; authenticity is not its business. */
static uint64_t checksum(const void *data, size_t bytes, uint64_t seed)
{
	uint64_t lane[4] = { seed, seed + 1, seed + 2, seed + 3 }, w[4];
	const char *p = data;

	for (size_t i = 0; i + sizeof(w) <= bytes; i += sizeof(w)) {
		memcpy(w, p + i, sizeof(w));
		for (int l = 0; l < 4; l++)
			lane[l] = (lane[l] ^ w[l]) * 0x9e3779b97f4a7c15u ^
				  lane[l] >> 29;
	}
	return lane[0] ^ lane[1] << 1 ^ lane[2] << 2 ^ lane[3] << 3;
}

/* Unused positions of the last page are written as zeros. */
int nnr__seq_save(const nnr__seq *q, const char *path, const char *key,
		  nnr_error *err)
{
	const nnr__store *s = q->store;
	size_t bytes = nnr__store_page_bytes(s);
	int pages = (q->len + NNR__PAGE - 1) / NNR__PAGE, rc;
	nnr__piece *piece = nnr__calloc((size_t)pages + 1, sizeof(*piece));
	char *head = nnr__calloc(1, PAGES_AT);
	float *last = nnr__calloc(1, bytes);
	prefix_head h = { .magic = MAGIC, .layers = (uint32_t)s->layers,
			  .kv_heads = (uint32_t)s->kv_heads,
			  .dim = (uint32_t)s->dim, .len = (uint32_t)q->len };

	if (!piece || !head || !last || strlen(key) >= KEY_MAX) {
		rc = nnr__fail_memory(err, "prefix file", bytes);
		goto out;
	}
	memcpy(h.key, key, strlen(key));
	for (int i = 0; i < pages; i++) {
		int used = q->len - i * NNR__PAGE;
		const float *data = q->page[i]->data;

		if (used < NNR__PAGE) {
			page_copy(s, last, data, used);
			data = last;
		}
		h.sum = checksum(data, bytes, h.sum);
		piece[i + 1] = (nnr__piece){ data, bytes };
	}
	memcpy(head, &h, sizeof(h));
	piece[0] = (nnr__piece){ head, PAGES_AT };
	rc = nnr__file_write_pieces(path, piece, pages + 1, err);
out:
	free(piece);
	free(head);
	free(last);
	return rc;
}

static bool prefix_ok(const nnr__store *s, const nnr__map *m,
		      const char *key, uint32_t *len)
{
	prefix_head h;
	size_t bytes = nnr__store_page_bytes(s), pages;
	uint64_t sum = 0;

	if (m->size < PAGES_AT)
		return false;
	memcpy(&h, m->data, sizeof(h));
	if (memcmp(h.magic, MAGIC, 8) || h.key[KEY_MAX - 1] ||
	    strcmp(h.key, key) || h.layers != (uint32_t)s->layers ||
	    h.kv_heads != (uint32_t)s->kv_heads ||
	    h.dim != (uint32_t)s->dim || h.len == 0 || h.len > 1u << 24)
		return false;
	pages = (h.len + NNR__PAGE - 1) / NNR__PAGE;
	if ((m->size - PAGES_AT) / bytes != pages ||
	    (m->size - PAGES_AT) % bytes)
		return false;
	for (size_t i = 0; i < pages; i++)
		sum = checksum(m->data + PAGES_AT + i * bytes, bytes, sum);
	*len = h.len;
	return sum == h.sum;
}

/* Wraps the mapped pages as a sequence; takes over the mapping. */
static nnr__seq *wrap_pages(nnr__store *s, nnr__mapping *from, uint32_t len)
{
	size_t bytes = nnr__store_page_bytes(s);
	nnr__seq *q = nnr__seq_new(s);

	for (uint32_t i = 0; q && i * NNR__PAGE < len; i++) {
		nnr__page *p = nnr__calloc(1, sizeof(*p));

		if (!p || !push_page(q, p)) {
			free(p);
			nnr__seq_free(q);
			return NULL;
		}
		/* never written: own_last copies pages that have `from` */
		p->data = (float *)(uintptr_t)(from->map.data + PAGES_AT +
					       i * bytes);
		p->refs = 1;
		p->from = from;
		from->refs++;
	}
	if (q)
		q->len = (int)len;
	return q;
}

int nnr__seq_map(nnr__store *s, nnr__seq **q, const char *path,
		 const char *key, nnr_error *err)
{
	nnr__mapping *from;
	uint32_t len = 0;

	*q = NULL;
	if (!nnr__file_exists(path))
		return 0;
	from = nnr__calloc(1, sizeof(*from));
	if (!from)
		return nnr__fail_memory(err, "prefix", sizeof(*from));
	from->refs = 1;
	if (nnr__map_open(&from->map, path, NULL) == 0) {
		if (prefix_ok(s, &from->map, key, &len))
			*q = wrap_pages(s, from, len);
	}
	if (--from->refs == 0) {
		nnr__map_close(&from->map);
		free(from);
	}
	return *q != NULL;
}
