/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_write.c: writing.  The order of tensors, keys and texts is
 * fixed, so that what is equal is equal byte for byte; it is the order of
 * the format's own library.
 */
#include "load/safetensors.h"

#include <stdlib.h>
#include <string.h>

/* The library's order of types, the first one first in the file: none ends
 * where the next could not be aligned. */
static const int rank[NNR__ST_TYPES] = {
	[NNR__ST_I64] = 0, [NNR__ST_F32] = 1, [NNR__ST_I32] = 2,
	[NNR__ST_BF16] = 3, [NNR__ST_F16] = 4, [NNR__ST_U8] = 5
};

static int by_type_and_name(const void *x, const void *y)
{
	const nnr__st_tensor *a = x, *b = y;

	if (a->type != b->type)
		return rank[a->type] - rank[b->type];
	return strcmp(a->name, b->name);
}

static int by_key(const void *x, const void *y)
{
	return strcmp(((const nnr__st_text *)x)->key,
		      ((const nnr__st_text *)y)->key);
}

void nnr__st_sort(nnr__st_tensor *t, int tensors)
{
	if (tensors)
		qsort(t, (size_t)tensors, sizeof(*t), by_type_and_name);
}

static void add_texts(nnr__buf *out, const nnr__st_text *text, int n)
{
	nnr__buf_adds(out, "\"__metadata__\":{");
	for (int i = 0; i < n; i++) {
		nnr__buf_adds(out, i ? "," : "");
		nnr__buf_add_json(out, text[i].key, strlen(text[i].key));
		nnr__buf_addc(out, ':');
		nnr__buf_add_json(out, text[i].text, text[i].len);
	}
	nnr__buf_addc(out, '}');
}

static void add_tensor(nnr__buf *out, const nnr__st_tensor *t, size_t at)
{
	nnr__buf_add_json(out, t->name, strlen(t->name));
	nnr__buf_addf(out, ":{\"dtype\":\"%s\",\"shape\":[",
		      nnr__st_type_name(t->type));
	for (int i = 0; i < t->dims; i++)
		nnr__buf_addf(out, "%s%lld", i ? "," : "",
			      (long long)t->dim[i]);
	nnr__buf_addf(out, "],\"data_offsets\":[%zu,%zu]}", at,
		      at + nnr__st_bytes(t));
}

int nnr__st_head(nnr__buf *out, const nnr__st_tensor *t, int tensors,
		 const nnr__st_text *text, int texts, nnr_error *err)
{
	nnr__st_text *sorted = nnr__calloc((size_t)texts + 1, sizeof(*text));
	size_t at = 0;

	if (!sorted)
		return nnr__fail_memory(err, "header", (size_t)texts);
	for (int i = 0; i < texts; i++)
		sorted[i] = text[i];
	qsort(sorted, (size_t)texts, sizeof(*sorted), by_key);
	nnr__buf_add(out, "\0\0\0\0\0\0\0", 8);
	nnr__buf_addc(out, '{');
	if (texts)
		add_texts(out, sorted, texts);
	for (int i = 0; i < tensors; i++) {
		nnr__buf_adds(out, i || texts ? "," : "");
		add_tensor(out, &t[i], at);
		at += nnr__st_bytes(&t[i]);
	}
	nnr__buf_addc(out, '}');
	while (out->len % 8)
		nnr__buf_addc(out, ' ');
	free(sorted);
	if (out->bad)
		return nnr__fail_memory(err, "header", out->len);
	for (int i = 0; i < 8; i++)
		out->p[i] = (char)((uint64_t)(out->len - 8) >> (8 * i));
	return 0;
}

/* The tensors in order; NULL: no memory. */
static nnr__st_tensor *in_order(const nnr__st_tensor *t, int tensors,
				nnr_error *err)
{
	nnr__st_tensor *all = nnr__calloc((size_t)tensors + 1, sizeof(*all));

	if (!all) {
		nnr__fail_memory(err, "tensors", (size_t)tensors);
		return NULL;
	}
	for (int i = 0; i < tensors; i++)
		all[i] = t[i];
	nnr__st_sort(all, tensors);
	return all;
}

int nnr__st_write(const char *path, const nnr__st_tensor *t, int tensors,
		  const nnr__st_text *text, int texts, nnr_error *err)
{
	nnr__st_tensor *all = in_order(t, tensors, err);
	nnr__piece *piece = nnr__calloc((size_t)tensors + 1, sizeof(*piece));
	nnr__buf head = { 0 };
	int rc = 0;

	if (!all || !piece)
		rc = nnr__fail_memory(err, "tensors", (size_t)tensors);
	rc = rc ? rc : nnr__st_head(&head, all, tensors, text, texts, err);
	if (!rc) {
		piece[0] = (nnr__piece){ head.p, head.len };
		for (int i = 0; i < tensors; i++)
			piece[i + 1] = (nnr__piece){
				all[i].data, nnr__st_bytes(&all[i]) };
		rc = nnr__file_write_pieces(path, piece, tensors + 1, err);
	}
	nnr__buf_release(&head);
	free(piece);
	free(all);
	return rc;
}

int nnr__st_bytes_of(nnr__buf *out, const nnr__st_tensor *t, int tensors,
		     const nnr__st_text *text, int texts, nnr_error *err)
{
	nnr__st_tensor *all = in_order(t, tensors, err);
	int rc = all ? 0 : NNR_E_MEMORY;

	nnr__buf_clear(out);
	rc = rc ? rc : nnr__st_head(out, all, tensors, text, texts, err);
	for (int i = 0; i < tensors && !rc; i++)
		nnr__buf_add(out, all[i].data, nnr__st_bytes(&all[i]));
	if (!rc && out->bad)
		rc = nnr__fail_memory(err, "tensors", out->len);
	free(all);
	return rc;
}
