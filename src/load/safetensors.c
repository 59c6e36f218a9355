/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors.c: reading.  Everything in the file is untrusted: the header's
 * length is held against the file, and every tensor against its type, its
 * shape and its neighbours.  The bytes of the tensors stay where they are.
 */
#include "load/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "load/load.h"

enum {
	LENGTH_BYTES = 8,
	HEADER_MAX = 100000000,	/* of the format's own library, too */
	TENSORS_MAX = 65536,
	NAME_MAX_BYTES = 1024,
	EXACT = 53		/* bits of a whole number in a double */
};

static const struct {
	const char *name;
	size_t bytes;
} types[NNR__ST_TYPES] = {
	[NNR__ST_F32] = { "F32", 4 }, [NNR__ST_F16] = { "F16", 2 },
	[NNR__ST_BF16] = { "BF16", 2 }, [NNR__ST_I64] = { "I64", 8 },
	[NNR__ST_I32] = { "I32", 4 }, [NNR__ST_U8] = { "U8", 1 },
};

const char *nnr__st_type_name(nnr__st_type t)
{
	return types[t].name;
}

size_t nnr__st_type_bytes(nnr__st_type t)
{
	return types[t].bytes;
}

size_t nnr__st_values(const nnr__st_tensor *t)
{
	size_t n = 1;

	for (int i = 0; i < t->dims; i++)
		n *= (size_t)t->dim[i];
	return n;
}

size_t nnr__st_bytes(const nnr__st_tensor *t)
{
	return nnr__st_values(t) * types[t->type].bytes;
}

const char *nnr__st_shape(const nnr__st_tensor *t, char *out, size_t n)
{
	nnr__buf b = { 0 };

	nnr__buf_addf(&b, "%s [", types[t->type].name);
	for (int i = 0; i < t->dims; i++)
		nnr__buf_addf(&b, "%s%lld", i ? ", " : "",
			      (long long)t->dim[i]);
	nnr__buf_addc(&b, ']');
	snprintf(out, n, "%s", b.p ? b.p : "");
	nnr__buf_release(&b);
	return out;
}

/* ---- one tensor ---- */

typedef struct reader {
	nnr__st *st;
	const char *name;	/* of the file */
	nnr_error *err;
	size_t data_at, data_size;
	const nnr__jnode *entry;	/* the tensor at hand */
} reader;

typedef struct place {
	size_t from, to;	/* in the data */
	const char *name;
} place;

static int fail(const reader *r, const char *fmt, ...) NNR__PRINTF(2, 3);

/* "FILE: tensor `name`: what". */
static int fail(const reader *r, const char *fmt, ...)
{
	char what[300], name[100];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (!r->entry)
		return nnr__fail(r->err, NNR_E_FORMAT, "%.160s: %s", r->name,
				 what);
	nnr__show((nnr__str){ r->entry->key, strlen(r->entry->key) }, name,
		  sizeof(name));
	return nnr__fail(r->err, NNR_E_FORMAT, "%.160s: tensor `%s`: %s",
			 r->name, name, what);
}

/* A whole number that a double holds exactly and is not negative. */
static bool whole(const nnr__jnode *n, int64_t *v)
{
	if (n->kind != NNR__J_NUMBER || !n->integer || n->num < 0 ||
	    n->num >= (double)((int64_t)1 << EXACT))
		return false;
	*v = (int64_t)n->num;
	return true;
}

static int read_type(const reader *r, const nnr__jnode *n, nnr__st_type *type)
{
	char text[40];

	if (!n || n->kind != NNR__J_STRING)
		return fail(r, "no `dtype`, a text like \"F32\"");
	for (int i = 0; i < NNR__ST_TYPES; i++) {
		if (strcmp(types[i].name, n->text) == 0) {
			*type = (nnr__st_type)i;
			return 0;
		}
	}
	nnr__show((nnr__str){ n->text, n->len }, text, sizeof(text));
	fail(r, "dtype `%s`; this nnr reads F32, F16, BF16, I64, I32 and U8",
	     text);
	if (r->err)
		r->err->code = NNR_E_UNSUPPORTED;
	return NNR_E_UNSUPPORTED;
}

/* The bytes it should have, in *bytes. */
static int read_shape(const reader *r, const nnr__jnode *n, nnr__st_tensor *t,
		      size_t *bytes)
{
	bool ok = true;

	if (!n || n->kind != NNR__J_ARRAY)
		return fail(r, "no `shape`, a list of whole numbers");
	if (n->count > NNR__ST_DIMS)
		return fail(r, "%u dimensions; at most %d expected", n->count,
			    NNR__ST_DIMS);
	*bytes = types[t->type].bytes;
	for (const nnr__jnode *c = n->child; c; c = c->next) {
		if (!whole(c, &t->dim[t->dims]))
			return fail(r, "dimension %d of `shape` is not a "
				    "whole number", t->dims);
		ok = ok && nnr__mul_ok(*bytes, (size_t)t->dim[t->dims],
				       bytes);
		t->dims++;
	}
	return ok ? 0 : fail(r, "`shape` has more values than memory can "
			     "hold");
}

static int read_place(const reader *r, const nnr__jnode *n, size_t bytes,
		      place *at)
{
	int64_t from, to;

	if (!n || n->kind != NNR__J_ARRAY || n->count != 2 ||
	    !whole(n->child, &from) || !whole(n->child->next, &to))
		return fail(r, "no `data_offsets`, two whole numbers");
	if (from > to || (uint64_t)to > r->data_size)
		return fail(r, "`data_offsets` are %lld to %lld; the file has "
			    "%zu bytes of data", (long long)from,
			    (long long)to, r->data_size);
	if ((size_t)(to - from) != bytes)
		return fail(r, "its dtype and shape make %zu bytes, its "
			    "`data_offsets` %lld to %lld make %lld", bytes,
			    (long long)from, (long long)to,
			    (long long)(to - from));
	at->from = (size_t)from;
	at->to = (size_t)to;
	return 0;
}

static int check_name(const reader *r, const char *name)
{
	size_t n = strlen(name);

	if (!n)
		return fail(r, "its name is empty");
	if (n > NAME_MAX_BYTES)
		return fail(r, "its name has %zu bytes; at most %d are "
			    "allowed", n, NAME_MAX_BYTES);
	return 0;
}

static int read_tensor(const reader *r, nnr__st_tensor *t, place *at)
{
	const nnr__jnode *e = r->entry;
	size_t bytes = 0;
	int rc = check_name(r, e->key);

	if (rc)
		return rc;
	if (e->kind != NNR__J_OBJECT)
		return fail(r, "an object with `dtype`, `shape` and "
			    "`data_offsets` expected");
	for (const nnr__jnode *c = e->child; c; c = c->next)
		if (strcmp(c->key, "dtype") && strcmp(c->key, "shape") &&
		    strcmp(c->key, "data_offsets"))
			return fail(r, "unknown key `%.40s`", c->key);
	t->name = at->name = e->key;
	rc = read_type(r, nnr__json_get(e, "dtype"), &t->type);
	rc = rc ? rc : read_shape(r, nnr__json_get(e, "shape"), t, &bytes);
	rc = rc ? rc : read_place(r, nnr__json_get(e, "data_offsets"), bytes,
				  at);
	if (!rc)
		t->data = r->st->map.data + r->data_at + at->from;
	return rc;
}

/* ---- all of them ---- */

static int by_place(const void *x, const void *y)
{
	const place *a = x, *b = y;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	return a->to < b->to ? -1 : a->to > b->to;
}

static int by_name(const void *x, const void *y)
{
	return strcmp(((const nnr__st_tensor *)x)->name,
		      ((const nnr__st_tensor *)y)->name);
}

static int text_by_key(const void *x, const void *y)
{
	return strcmp(((const nnr__st_text *)x)->key,
		      ((const nnr__st_text *)y)->key);
}

/* Every byte of the data belongs to one tensor. */
static int check_tiling(reader *r, place *at, int n)
{
	char name[100];
	size_t end = 0;

	r->entry = NULL;
	qsort(at, (size_t)n, sizeof(*at), by_place);
	for (int i = 0; i < n; i++) {
		nnr__show((nnr__str){ at[i].name, strlen(at[i].name) }, name,
			  sizeof(name));
		if (at[i].from < end)
			return fail(r, "tensor `%s` overlaps the one before: "
				    "it begins at %zu, that one ends at %zu",
				    name, at[i].from, end);
		if (at[i].from > end)
			return fail(r, "%zu bytes before tensor `%s` belong "
				    "to none", at[i].from - end, name);
		end = at[i].to;
	}
	if (end != r->data_size)
		return fail(r, "%zu bytes after the last tensor belong to "
			    "none; damaged or cut?", r->data_size - end);
	return 0;
}

static int read_tensors(reader *r, const nnr__jnode *top, int n)
{
	place *at = nnr__calloc((size_t)n + 1, sizeof(*at));
	nnr__st *st = r->st;
	int rc = 0;

	st->tensor = nnr__calloc((size_t)n + 1, sizeof(*st->tensor));
	if (!at || !st->tensor)
		rc = nnr__fail_memory(r->err, r->name, (size_t)n);
	for (const nnr__jnode *c = top->child; c && !rc; c = c->next) {
		if (strcmp(c->key, "__metadata__") == 0)
			continue;
		r->entry = c;
		rc = read_tensor(r, &st->tensor[st->tensors],
				 &at[st->tensors]);
		st->tensors++;
	}
	rc = rc ? rc : check_tiling(r, at, n);
	if (!rc)
		qsort(st->tensor, (size_t)n, sizeof(*st->tensor), by_name);
	free(at);
	return rc;
}

static int read_texts(reader *r, const nnr__jnode *map)
{
	nnr__st *st = r->st;

	if (!map)
		return 0;
	if (map->kind != NNR__J_OBJECT)
		return fail(r, "`__metadata__` is not an object of texts");
	st->text = nnr__calloc((size_t)map->count + 1, sizeof(*st->text));
	if (!st->text)
		return nnr__fail_memory(r->err, r->name, map->count);
	for (const nnr__jnode *c = map->child; c; c = c->next) {
		if (c->kind != NNR__J_STRING)
			return fail(r, "`%.60s` of `__metadata__` is not a "
				    "text", c->key);
		st->text[st->texts++] = (nnr__st_text){ c->key, c->text,
							c->len };
	}
	qsort(st->text, (size_t)st->texts, sizeof(*st->text), text_by_key);
	return 0;
}

/* ---- the header ---- */

static int find_header(reader *r, size_t *n)
{
	nnr__cur c = nnr__cur_init(r->st->map.data, r->st->map.size);
	uint64_t length = nnr__take_u64(&c);
	const uint8_t *first;

	if (c.bad)
		return fail(r, "not a safetensors file: %zu bytes",
			    r->st->map.size);
	if (length > HEADER_MAX || length > nnr__cur_left(&c))
		return nnr__fail_at(r->err, NNR_E_FORMAT, 0, "%.160s: not a "
				    "safetensors file, or cut: a header of "
				    "%llu bytes in a file of %zu; at most %d "
				    "are allowed;", r->name,
				    (unsigned long long)length,
				    r->st->map.size, HEADER_MAX);
	*n = (size_t)length;
	first = nnr__take_bytes(&c, *n);
	if (!*n || *first != '{')
		return nnr__fail_at(r->err, NNR_E_FORMAT, LENGTH_BYTES,
				    "%.160s: not a safetensors file: no `{`",
				    r->name);
	r->data_at = nnr__cur_pos(&c);
	r->data_size = nnr__cur_left(&c);
	return 0;
}

static int read_header(reader *r)
{
	const nnr__jnode *top = NULL, *meta;
	const char *text;
	size_t n = 0;
	int rc = find_header(r, &n), tensors;

	if (rc)
		return rc;
	text = (const char *)r->st->map.data + LENGTH_BYTES;
	rc = nnr__json_parse(&r->st->arena, &top, "header", text, n, r->err);
	if (rc) {
		if (r->err && rc == NNR_E_INPUT)
			r->err->code = NNR_E_FORMAT;
		nnr__err_prefix(r->err, "%.160s", r->name);
		return rc == NNR_E_INPUT ? NNR_E_FORMAT : rc;
	}
	meta = nnr__json_get(top, "__metadata__");
	tensors = (int)top->count - (meta != NULL);
	if (tensors > TENSORS_MAX)
		return fail(r, "%d tensors; at most %d are allowed", tensors,
			    TENSORS_MAX);
	rc = read_texts(r, meta);
	return rc ? rc : read_tensors(r, top, tensors);
}

/* ---- opening ---- */

static int start(nnr__st **out, const char *name, nnr_error *err)
{
	*out = nnr__calloc(1, sizeof(**out));
	return *out ? 0 : nnr__fail_memory(err, name, sizeof(**out));
}

static int finish(nnr__st **out, const char *name, nnr_error *err)
{
	reader r = { .st = *out, .name = name, .err = err };
	int rc = read_header(&r);

	if (rc) {
		nnr__st_close(*out);
		*out = NULL;
	}
	return rc;
}

int nnr__st_open(nnr__st **out, const char *path, nnr_error *err)
{
	int rc = start(out, path, err);

	if (rc)
		return rc;
	rc = nnr__map_open(&(*out)->map, path, err);
	if (rc) {
		nnr__st_close(*out);
		*out = NULL;
		return rc;
	}
	(*out)->mapped = true;
	return finish(out, path, err);
}

int nnr__st_parse(nnr__st **out, const char *name, const void *data,
		  size_t size, nnr_error *err)
{
	int rc = start(out, name, err);

	if (rc)
		return rc;
	(*out)->map = (nnr__map){ data, size };
	return finish(out, name, err);
}

void nnr__st_close(nnr__st *st)
{
	if (!st)
		return;
	if (st->mapped)
		nnr__map_close(&st->map);
	free(st->tensor);
	free(st->text);
	nnr__arena_release(&st->arena);
	free(st);
}

/* ---- looking up ---- */

const nnr__st_tensor *nnr__st_find(const nnr__st *st, const char *name)
{
	nnr__st_tensor key = { .name = name };

	return bsearch(&key, st->tensor, (size_t)st->tensors,
		       sizeof(*st->tensor), by_name);
}

const nnr__st_text *nnr__st_text_of(const nnr__st *st, const char *key)
{
	for (int i = 0; i < st->texts; i++)
		if (strcmp(st->text[i].key, key) == 0)
			return &st->text[i];
	return NULL;
}

bool nnr__st_floats(const nnr__st_tensor *t, float *out)
{
	const uint8_t *p = t->data;
	size_t n = nnr__st_values(t);

	if (t->type == NNR__ST_F32) {
		nnr__cur c = nnr__cur_init(p, n * sizeof(float));
		for (size_t i = 0; i < n; i++)
			out[i] = nnr__take_f32(&c);
		return true;
	}
	if (t->type != NNR__ST_F16 && t->type != NNR__ST_BF16)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint16_t u = (uint16_t)(p[2 * i] | p[2 * i + 1] << 8);
		uint32_t wide = (uint32_t)u << 16;
		if (t->type == NNR__ST_F16)
			out[i] = nnr__half(u);
		else
			memcpy(&out[i], &wide, sizeof(wide));
	}
	return true;
}
