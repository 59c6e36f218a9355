/* SPDX-License-Identifier: Apache-2.0
 *
 * GGUF v2 and v3, little endian:
 *
 *   "GGUF" u32 version, u64 tensors, u64 keys
 *   keys     { string key, u32 type, value }
 *   tensors  { string name, u32 ndims, u64 dim[], u32 type, u64 offset }
 *   padding to general.alignment, then the tensors' data
 *
 * A string is a u64 length and bytes; an array is u32 type, u64 count and
 * the elements, and may nest.  Everything is untrusted: it is read through a
 * cursor, and every count, length, product and offset is held against what
 * is left of the file before it is used.  Nothing is copied; the mapping
 * lives as long as the nnr__gguf.
 */
#include <stdlib.h>
#include <string.h>

#include "load/gguf_int.h"

enum {
	MAX_KEYS = 16384,
	MAX_TENSORS = 65536,
	MAX_KEY = 1024,		/* bytes of a key */
	MAX_STRING = 16 << 20,
	MAX_DEPTH = 4,		/* arrays within arrays */
	MIN_KEY_BYTES = 8 + 4 + 1,
	MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8,
	MIN_ARRAY_BYTES = 4 + 8
};

/* Bytes of a value of each type; 0 where it varies. */
static const uint8_t value_bytes[NNR__G_TYPES] = {
	[NNR__G_U8] = 1, [NNR__G_I8] = 1, [NNR__G_U16] = 2, [NNR__G_I16] = 2,
	[NNR__G_U32] = 4, [NNR__G_I32] = 4, [NNR__G_F32] = 4,
	[NNR__G_BOOL] = 1, [NNR__G_U64] = 8, [NNR__G_I64] = 8,
	[NNR__G_F64] = 8,
};

static const char *const value_name[NNR__G_TYPES] = {
	[NNR__G_U8] = "u8", [NNR__G_I8] = "i8", [NNR__G_U16] = "u16",
	[NNR__G_I16] = "i16", [NNR__G_U32] = "u32", [NNR__G_I32] = "i32",
	[NNR__G_F32] = "f32", [NNR__G_BOOL] = "bool",
	[NNR__G_STRING] = "string", [NNR__G_ARRAY] = "array",
	[NNR__G_U64] = "u64", [NNR__G_I64] = "i64", [NNR__G_F64] = "f64",
};

const char *nnr__show(nnr__str s, char *out, size_t cap)
{
	size_t n = s.n < cap ? s.n : cap - 1;

	if (n < s.n)
		n = nnr__utf8_whole(s.p, n);
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)s.p[i];

		out[i] = ch < 0x20 || ch == 0x7f ? '?' : s.p[i];
	}
	for (size_t at = 0; (at += nnr__utf8_valid(out + at, n - at)) < n;)
		out[at] = '?';
	out[n] = '\0';
	if (n < s.n && n > 3)
		memset(out + n - 3, '.', 3);
	return out;
}

/* ---- tables of names ---- */

bool nnr__table_init(nnr__table *t, const void *item, size_t stride,
		     size_t count)
{
	size_t cap = 8;

	while (cap < 2 * count)
		cap *= 2;
	t->slot = nnr__calloc(cap, sizeof *t->slot);
	t->mask = cap - 1;
	t->item = item;
	t->stride = stride;
	return t->slot != NULL;
}

uint32_t *nnr__table_find(const nnr__table *t, nnr__str name)
{
	size_t at = (size_t)nnr__hash64(name.p, name.n, 0) & t->mask;

	for (; t->slot[at]; at = (at + 1) & t->mask) {
		nnr__str have;

		memcpy(&have, t->item + (t->slot[at] - 1) * t->stride,
		       sizeof have);
		if (have.n == name.n && !memcmp(have.p, name.p, name.n))
			break;
	}
	return &t->slot[at];
}

const nnr__gkv *nnr__gguf_kv(const nnr__gguf *g, const char *key)
{
	nnr__str name = { .p = key, .n = strlen(key) };
	uint32_t at = *nnr__table_find(&g->index->kv, name);

	return at ? &g->kv[at - 1] : NULL;
}

const nnr__tensor *nnr__gguf_tensor(const nnr__gguf *g, const char *name)
{
	nnr__str s = { .p = name, .n = strlen(name) };
	uint32_t at = *nnr__table_find(&g->index->tensor, s);

	return at ? &g->tensor[at - 1] : NULL;
}

/* ---- pieces ---- */

int nnr__gguf_cut(const nnr__cur *c, const char *what, nnr_error *err)
{
	return nnr__fail_at(err, NNR_E_FORMAT, nnr__cur_pos(c),
			    "the file ends inside %s", what);
}

static int read_str(nnr__cur *c, nnr__str *s, size_t max, const char *what,
		    nnr_error *err)
{
	size_t at = nnr__cur_pos(c);
	uint64_t n = nnr__take_u64(c);

	if (c->bad)
		return nnr__gguf_cut(c, what, err);
	if (n > max)
		return nnr__fail_at(err, NNR_E_FORMAT, at,
				    "%s of %llu bytes; at most %zu are "
				    "allowed", what, (ull)n, max);
	if (n > nnr__cur_left(c))
		return nnr__fail_at(err, NNR_E_FORMAT, at,
				    "%s of %llu bytes, but only %zu are left",
				    what, (ull)n, nnr__cur_left(c));
	s->n = (size_t)n;
	s->p = (const char *)nnr__take_bytes(c, s->n);
	return 0;
}

int nnr__gguf_name(nnr__cur *c, nnr__str *s, size_t max, const char *what,
		   nnr_error *err)
{
	size_t at = nnr__cur_pos(c);
	int r = read_str(c, s, max, what, err);

	if (r)
		return r;
	if (!s->n)
		return nnr__fail_at(err, NNR_E_FORMAT, at, "%s is empty",
				    what);
	for (size_t i = 0; i < s->n; i++)
		if ((unsigned char)s->p[i] < 0x20 || s->p[i] == 0x7f)
			return nnr__fail_at(err, NNR_E_FORMAT, at + 8 + i,
					    "%s with a control character",
					    what);
	if (nnr__utf8_valid(s->p, s->n) < s->n)
		return nnr__fail_at(err, NNR_E_FORMAT, at + 8,
				    "%s is not UTF-8", what);
	return 0;
}

static int read_type(nnr__cur *c, nnr__gtype *type, const char *what,
		     nnr_error *err)
{
	size_t at = nnr__cur_pos(c);
	uint32_t id = nnr__take_u32(c);

	if (c->bad)
		return nnr__gguf_cut(c, what, err);
	if (id >= NNR__G_TYPES)
		return nnr__fail_at(err, NNR_E_FORMAT, at,
				    "%s has type %u; types are 0 to %d", what,
				    id, NNR__G_TYPES - 1);
	*type = (nnr__gtype)id;
	return 0;
}

/* Element type and count; the count fits what is left of the file. */
static int read_array_head(nnr__cur *c, nnr__gtype *elem, uint64_t *count,
			   nnr_error *err)
{
	size_t at, least, left;
	int r = read_type(c, elem, "an array's element", err);

	if (r)
		return r;
	at = nnr__cur_pos(c);
	*count = nnr__take_u64(c);
	if (c->bad)
		return nnr__gguf_cut(c, "an array's count", err);
	left = nnr__cur_left(c);
	least = *elem == NNR__G_STRING ? 8 :
		*elem == NNR__G_ARRAY ? MIN_ARRAY_BYTES : value_bytes[*elem];
	if (*count > left / least)
		return nnr__fail_at(err, NNR_E_FORMAT, at,
				    "an array of %llu %ss, but only %zu "
				    "bytes are left", (ull)*count,
				    value_name[*elem], left);
	return 0;
}

static int skip_fixed(nnr__cur *c, nnr__gtype type, uint64_t count,
		      nnr_error *err)
{
	size_t at = nnr__cur_pos(c);
	/* count is bounded by read_array_head, or 1 */
	const uint8_t *p = nnr__take_bytes(c, (size_t)count *
					   value_bytes[type]);

	if (!p)
		return nnr__gguf_cut(c, "a value", err);
	for (size_t i = 0; type == NNR__G_BOOL && i < count; i++)
		if (p[i] > 1)
			return nnr__fail_at(err, NNR_E_FORMAT, at + i,
					    "a bool of %u; 0 or 1 expected",
					    p[i]);
	return 0;
}

/* Moves past count values of a type. */
static int skip_values(nnr__cur *c, nnr__gtype type, uint64_t count,
		       int depth, nnr_error *err)
{
	nnr__gtype elem;
	uint64_t n;
	nnr__str s;
	int r = 0;

	if (value_bytes[type])
		return skip_fixed(c, type, count, err);
	if (type == NNR__G_ARRAY && depth == MAX_DEPTH)
		return nnr__fail_at(err, NNR_E_FORMAT, nnr__cur_pos(c),
				    "arrays nested deeper than %d",
				    MAX_DEPTH);
	for (uint64_t i = 0; i < count && !r; i++) {
		if (type == NNR__G_STRING) {
			r = read_str(c, &s, MAX_STRING, "a string", err);
			continue;
		}
		r = read_array_head(c, &elem, &n, err);
		if (!r)
			r = skip_values(c, elem, n, depth + 1, err);
	}
	return r;
}

static int read_value(nnr__cur *c, nnr__gkv *kv, nnr_error *err)
{
	bool array;
	int r = read_type(c, &kv->type, "a value", err);

	if (r)
		return r;
	array = kv->type == NNR__G_ARRAY;
	kv->count = 1;
	kv->elem = kv->type;
	if (array)
		r = read_array_head(c, &kv->elem, &kv->count, err);
	if (r)
		return r;
	kv->raw = c->p;
	r = skip_values(c, kv->elem, kv->count, array, err);
	kv->raw_bytes = (size_t)(c->p - kv->raw);
	return r;
}

static int read_kv(nnr__cur *c, nnr__gkv *kv, nnr_error *err)
{
	int r = nnr__gguf_name(c, &kv->key, MAX_KEY, "a key", err);

	if (r)
		return r;
	r = read_value(c, kv, err);
	if (r)
		nnr__err_prefix(err, "key %.*s", (int)kv->key.n, kv->key.p);
	return r;
}

/* ---- the header ---- */

static int read_counts(nnr__gguf *g, nnr__cur *c, uint64_t *tensors,
		       uint64_t *kvs, nnr_error *err)
{
	const uint8_t *magic = nnr__take_bytes(c, 4);

	if (!magic || memcmp(magic, "GGUF", 4))
		return nnr__fail_at(err, NNR_E_FORMAT, 0, "not a GGUF file: "
				    "it does not begin with \"GGUF\"");
	g->version = nnr__take_u32(c);
	if (c->bad)
		return nnr__gguf_cut(c, "the header", err);
	if (g->version == 0x02000000 || g->version == 0x03000000)
		return nnr__fail_at(err, NNR_E_UNSUPPORTED, 4, "a big-endian "
				    "GGUF file; this build reads "
				    "little-endian ones");
	if (g->version != 2 && g->version != 3)
		return nnr__fail_at(err, NNR_E_UNSUPPORTED, 4, "GGUF version "
				    "%u; this build reads versions 2 and 3",
				    g->version);
	*tensors = nnr__take_u64(c);
	*kvs = nnr__take_u64(c);
	if (c->bad)
		return nnr__gguf_cut(c, "the header", err);
	if (*tensors > MAX_TENSORS ||
	    *tensors > nnr__cur_left(c) / MIN_TENSOR_BYTES)
		return nnr__fail_at(err, NNR_E_FORMAT, 8, "%llu tensors in a "
				    "file of %zu bytes; at most %d are "
				    "allowed", (ull)*tensors, g->map.size,
				    MAX_TENSORS);
	if (*kvs > MAX_KEYS || *kvs > nnr__cur_left(c) / MIN_KEY_BYTES)
		return nnr__fail_at(err, NNR_E_FORMAT, 16, "%llu keys in a "
				    "file of %zu bytes; at most %d are "
				    "allowed", (ull)*kvs, g->map.size,
				    MAX_KEYS);
	return 0;
}

static int read_kvs(nnr__gguf *g, nnr__cur *c, size_t n, nnr_error *err)
{
	g->kv = nnr__calloc(n + 1, sizeof *g->kv);
	if (!g->kv || !nnr__table_init(&g->index->kv, g->kv, sizeof *g->kv, n))
		return nnr__fail_memory(err, "the keys", n * sizeof *g->kv);
	for (size_t i = 0; i < n; i++) {
		size_t at = nnr__cur_pos(c);
		uint32_t *slot;
		int r = read_kv(c, &g->kv[i], err);

		if (r)
			return r;
		slot = nnr__table_find(&g->index->kv, g->kv[i].key);
		if (*slot)
			return nnr__fail_at(err, NNR_E_FORMAT, at,
					    "key %.*s comes twice",
					    (int)g->kv[i].key.n,
					    g->kv[i].key.p);
		*slot = (uint32_t)i + 1;
		g->kvs = i + 1;
	}
	return 0;
}

static int parse(nnr__gguf *g, nnr_error *err)
{
	nnr__cur c = nnr__cur_init(g->map.data, g->map.size);
	uint64_t tensors = 0, kvs = 0;
	int r = read_counts(g, &c, &tensors, &kvs, err);

	g->index = nnr__calloc(1, sizeof *g->index);
	if (!r && !g->index)
		r = nnr__fail_memory(err, "an index", sizeof *g->index);
	if (!r)
		r = read_kvs(g, &c, (size_t)kvs, err);
	if (!r)
		r = nnr__gguf_read_tensors(g, &c, (size_t)tensors, err);
	return r;
}

int nnr__gguf_parse(nnr__gguf **out, const void *data, size_t size,
		    nnr_error *err)
{
	nnr__gguf *g = nnr__calloc(1, sizeof *g);
	int r;

	*out = NULL;
	if (!g)
		return nnr__fail_memory(err, "a model file", sizeof *g);
	g->map = (nnr__map){ .data = data, .size = size };
	r = parse(g, err);
	if (r)
		nnr__gguf_close(g);
	else
		*out = g;
	return r;
}

int nnr__gguf_open(nnr__gguf **out, const char *path, nnr_error *err)
{
	nnr__gguf *g = nnr__calloc(1, sizeof *g);
	int r;

	*out = NULL;
	if (!g)
		return nnr__fail_memory(err, "a model file", sizeof *g);
	g->path = nnr__strdup(path);
	r = g->path ? nnr__map_open(&g->map, path, err) :
		nnr__fail_memory(err, "a path", strlen(path));
	if (!r && (r = parse(g, err)))
		nnr__err_prefix(err, "%s", path);
	if (r)
		nnr__gguf_close(g);
	else
		*out = g;
	return r;
}

void nnr__gguf_close(nnr__gguf *g)
{
	if (!g)
		return;
	if (g->index) {
		free(g->index->kv.slot);
		free(g->index->tensor.slot);
		free(g->index);
	}
	if (g->path)
		nnr__map_close(&g->map);
	free(g->kv);
	free(g->tensor);
	free(g->path);
	free(g);
}
