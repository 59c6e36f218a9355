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
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "load/load.h"

enum {
	MAX_KEYS = 16384,
	MAX_TENSORS = 65536,
	MAX_KEY = 1024,		/* bytes of a key */
	MAX_NAME = 64,		/* bytes of a tensor's name */
	MAX_STRING = 16 << 20,
	MAX_DEPTH = 4,		/* arrays within arrays */
	MIN_ALIGN = 8,
	MAX_ALIGN = 4096,
	DEFAULT_ALIGN = 32,
	MIN_KEY_BYTES = 8 + 4 + 1,
	MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8,
	MIN_ARRAY_BYTES = 4 + 8,
	NO_TYPE = NNR__DTYPES
};

/* Open addressing over an array of items that begin with their nnr__str. */
struct table {
	uint32_t *slot;		/* item number + 1; 0 is free */
	size_t mask;
	const char *item;
	size_t stride;
};

struct nnr__gindex {
	struct table kv, tensor;
};

_Static_assert(offsetof(nnr__gkv, key) == 0, "a table needs the name first");
_Static_assert(offsetof(nnr__tensor, name) == 0, "the same");

/* ggml's type ids; the dtype is NO_TYPE where this build has no kernels. */
static const struct {
	const char *name;
	int dtype;
} ggml_type[] = {
	[0] = { "F32", NNR__F32 },	[1] = { "F16", NNR__F16 },
	[2] = { "Q4_0", NNR__Q4_0 },	[3] = { "Q4_1", NNR__Q4_1 },
	[6] = { "Q5_0", NO_TYPE },	[7] = { "Q5_1", NO_TYPE },
	[8] = { "Q8_0", NNR__Q8_0 },	[9] = { "Q8_1", NO_TYPE },
	[10] = { "Q2_K", NO_TYPE },	[11] = { "Q3_K", NO_TYPE },
	[12] = { "Q4_K", NO_TYPE },	[13] = { "Q5_K", NO_TYPE },
	[14] = { "Q6_K", NO_TYPE },	[15] = { "Q8_K", NO_TYPE },
	[16] = { "IQ2_XXS", NO_TYPE },	[17] = { "IQ2_XS", NO_TYPE },
	[18] = { "IQ3_XXS", NO_TYPE },	[19] = { "IQ1_S", NO_TYPE },
	[20] = { "IQ4_NL", NO_TYPE },	[21] = { "IQ3_S", NO_TYPE },
	[22] = { "IQ2_S", NO_TYPE },	[23] = { "IQ4_XS", NO_TYPE },
	[24] = { "I8", NO_TYPE },	[25] = { "I16", NO_TYPE },
	[26] = { "I32", NO_TYPE },	[27] = { "I64", NO_TYPE },
	[28] = { "F64", NO_TYPE },	[29] = { "IQ1_M", NO_TYPE },
	[30] = { "BF16", NNR__BF16 },	[34] = { "TQ1_0", NO_TYPE },
	[35] = { "TQ2_0", NO_TYPE },	[39] = { "MXFP4", NO_TYPE },
};
#define GGML_TYPES (sizeof ggml_type / sizeof ggml_type[0])

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

typedef unsigned long long ull;		/* for printf */

const char *nnr__ggml_type_name(uint32_t id)
{
	return id < GGML_TYPES ? ggml_type[id].name : NULL;
}

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

static bool table_init(struct table *t, const void *item, size_t stride,
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

/* The slot that holds name, or the free one where it would go. */
static uint32_t *table_find(const struct table *t, nnr__str name)
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
	uint32_t at = *table_find(&g->index->kv, name);

	return at ? &g->kv[at - 1] : NULL;
}

const nnr__tensor *nnr__gguf_tensor(const nnr__gguf *g, const char *name)
{
	nnr__str s = { .p = name, .n = strlen(name) };
	uint32_t at = *table_find(&g->index->tensor, s);

	return at ? &g->tensor[at - 1] : NULL;
}

/* ---- pieces ---- */

static int cut_short(const nnr__cur *c, const char *what, nnr_error *err)
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
		return cut_short(c, what, err);
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

/* A key or tensor name: UTF-8 that prints, so that messages can quote it. */
static int read_name(nnr__cur *c, nnr__str *s, size_t max, const char *what,
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
		return cut_short(c, what, err);
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
		return cut_short(c, "an array's count", err);
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
		return cut_short(c, "a value", err);
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
	int r = read_name(c, &kv->key, MAX_KEY, "a key", err);

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
		return cut_short(c, "the header", err);
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
		return cut_short(c, "the header", err);
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
	if (!g->kv || !table_init(&g->index->kv, g->kv, sizeof *g->kv, n))
		return nnr__fail_memory(err, "the keys", n * sizeof *g->kv);
	for (size_t i = 0; i < n; i++) {
		size_t at = nnr__cur_pos(c);
		uint32_t *slot;
		int r = read_kv(c, &g->kv[i], err);

		if (r)
			return r;
		slot = table_find(&g->index->kv, g->kv[i].key);
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

static int read_alignment(const nnr__gguf *g, size_t *align, nnr_error *err)
{
	uint64_t v = DEFAULT_ALIGN;
	int r = nnr__gguf_uint(g, "general.alignment", &v, err);

	if (r < 0)
		return r;
	if (v < MIN_ALIGN || v > MAX_ALIGN || (v & (v - 1)))
		return nnr__fail(err, NNR_E_FORMAT, "general.alignment is "
				 "%llu; a power of two from %d to %d expected",
				 (ull)v, MIN_ALIGN, MAX_ALIGN);
	*align = (size_t)v;
	return 0;
}

/* ---- tensors ---- */

static int bad_type(const nnr__tensor *t, uint32_t id, size_t at,
		    nnr_error *err)
{
	const char *name = nnr__ggml_type_name(id);
	char have[80] = "";
	size_t n = 0;

	for (int i = 0; i < NNR__DTYPES; i++)
		n += (size_t)snprintf(have + n, sizeof have - n, " %s",
				      nnr__dtypes[i].name);
	return nnr__fail_at(err, NNR_E_UNSUPPORTED, at, "tensor %.*s has "
			    "type %s (%u); this build reads%s",
			    (int)t->name.n, t->name.p,
			    name ? name : "unknown", id, have);
}

/* Dimensions, in bounds one by one and as a product. */
static int read_dims(nnr__cur *c, nnr__tensor *t, size_t *elements,
		     nnr_error *err)
{
	size_t at = nnr__cur_pos(c);
	uint32_t n = nnr__take_u32(c);

	if (c->bad)
		return cut_short(c, "a tensor's description", err);
	if (n < 1 || n > NNR__MAX_DIMS)
		return nnr__fail_at(err, NNR_E_FORMAT, at, "tensor %.*s has "
				    "%u dimensions; 1 to %d expected",
				    (int)t->name.n, t->name.p, n,
				    NNR__MAX_DIMS);
	t->ndims = (int)n;
	*elements = 1;
	for (int i = 0; i < NNR__MAX_DIMS; i++) {
		at = nnr__cur_pos(c);
		t->dim[i] = i < t->ndims ? nnr__take_u64(c) : 1;
		if (c->bad)
			return cut_short(c, "a tensor's description", err);
		if (!t->dim[i] || t->dim[i] > INT_MAX)
			return nnr__fail_at(err, NNR_E_FORMAT, at,
					    "dimension %d of tensor %.*s is "
					    "%llu; 1 to %d expected", i,
					    (int)t->name.n, t->name.p,
					    (ull)t->dim[i], INT_MAX);
		if (!nnr__mul_ok(*elements, (size_t)t->dim[i], elements))
			return nnr__fail_at(err, NNR_E_FORMAT, at,
					    "the dimensions of tensor %.*s "
					    "overflow", (int)t->name.n,
					    t->name.p);
	}
	return 0;
}

static int read_tensor(nnr__cur *c, nnr__tensor *t, uint64_t *offset,
		       nnr_error *err)
{
	const nnr__dtype_info *info;
	size_t at, elements = 0;
	uint32_t id;
	int r = read_name(c, &t->name, MAX_NAME, "a tensor name", err);

	if (!r)
		r = read_dims(c, t, &elements, err);
	if (r)
		return r;
	at = nnr__cur_pos(c);
	id = nnr__take_u32(c);
	*offset = nnr__take_u64(c);
	if (c->bad)
		return cut_short(c, "a tensor's description", err);
	if (id >= GGML_TYPES || !ggml_type[id].name ||
	    ggml_type[id].dtype == NO_TYPE)
		return bad_type(t, id, at, err);
	t->type = (nnr__dtype)ggml_type[id].dtype;
	info = &nnr__dtypes[t->type];
	if (t->dim[0] % (uint64_t)info->block)
		return nnr__fail_at(err, NNR_E_FORMAT, at, "tensor %.*s has "
				    "rows of %llu values; %s needs a multiple "
				    "of %d", (int)t->name.n, t->name.p,
				    (ull)t->dim[0], info->name, info->block);
	if (!nnr__mul_ok(elements / (size_t)info->block, (size_t)info->bytes,
			 &t->bytes))
		return nnr__fail_at(err, NNR_E_FORMAT, at, "the size of "
				    "tensor %.*s overflows", (int)t->name.n,
				    t->name.p);
	return 0;
}

static int read_tensors(nnr__gguf *g, nnr__cur *c, size_t n,
			uint64_t *offset, nnr_error *err)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = nnr__cur_pos(c);
		nnr__tensor *t = &g->tensor[i];
		uint32_t *slot;
		int r = read_tensor(c, t, &offset[i], err);

		if (r)
			return r;
		slot = table_find(&g->index->tensor, t->name);
		if (*slot)
			return nnr__fail_at(err, NNR_E_FORMAT, at,
					    "tensor %.*s comes twice",
					    (int)t->name.n, t->name.p);
		*slot = (uint32_t)i + 1;
		g->tensors = i + 1;
	}
	return 0;
}

/* Gives every tensor its bytes: aligned and inside the file. */
static int place(nnr__gguf *g, const uint64_t *offset, size_t align,
		 nnr_error *err)
{
	size_t room = g->map.size - g->data_at;

	for (size_t i = 0; i < g->tensors; i++) {
		nnr__tensor *t = &g->tensor[i];

		if (offset[i] % align)
			return nnr__fail(err, NNR_E_FORMAT, "tensor %.*s has "
					 "offset %llu, not a multiple of %zu",
					 (int)t->name.n, t->name.p,
					 (ull)offset[i], align);
		if (offset[i] > room || t->bytes > room - offset[i])
			return nnr__fail(err, NNR_E_FORMAT, "tensor %.*s "
					 "(offset %llu, %zu bytes) runs past "
					 "the end of the file: %zu bytes of "
					 "data are there", (int)t->name.n,
					 t->name.p, (ull)offset[i], t->bytes,
					 room);
		t->data = g->map.data + g->data_at + (size_t)offset[i];
	}
	return 0;
}

static int by_data(const void *a, const void *b)
{
	const nnr__tensor *x = *(const nnr__tensor *const *)a;
	const nnr__tensor *y = *(const nnr__tensor *const *)b;

	return (x->data > y->data) - (x->data < y->data);
}

static int check_overlaps(const nnr__gguf *g, nnr_error *err)
{
	const nnr__tensor **v = nnr__calloc(g->tensors + 1, sizeof *v);
	int r = 0;

	if (!v)
		return nnr__fail_memory(err, "the tensors' order",
					g->tensors * sizeof *v);
	for (size_t i = 0; i < g->tensors; i++)
		v[i] = &g->tensor[i];
	qsort(v, g->tensors, sizeof *v, by_data);
	for (size_t i = 1; i < g->tensors && !r; i++)
		if (v[i - 1]->data + v[i - 1]->bytes > v[i]->data)
			r = nnr__fail_at(err, NNR_E_FORMAT,
					 (uint64_t)(v[i]->data - g->map.data),
					 "tensors %.*s and %.*s overlap",
					 (int)v[i - 1]->name.n,
					 v[i - 1]->name.p,
					 (int)v[i]->name.n, v[i]->name.p);
	free(v);
	return r;
}

static int read_data(nnr__gguf *g, nnr__cur *c, size_t n, nnr_error *err)
{
	uint64_t *offset = nnr__calloc(n + 1, sizeof *offset);
	size_t align = 0, end;
	int r;

	g->tensor = nnr__calloc(n + 1, sizeof *g->tensor);
	if (!offset || !g->tensor ||
	    !table_init(&g->index->tensor, g->tensor, sizeof *g->tensor, n)) {
		free(offset);
		return nnr__fail_memory(err, "the tensor list",
					n * sizeof *g->tensor);
	}
	r = read_alignment(g, &align, err);
	if (!r)
		r = read_tensors(g, c, n, offset, err);
	if (!r) {
		end = nnr__cur_pos(c);
		g->data_at = end + (align - end % align) % align;
		if (g->data_at > g->map.size)	/* fine if no tensors */
			g->data_at = g->map.size;
		r = place(g, offset, align, err);
	}
	if (!r)
		r = check_overlaps(g, err);
	free(offset);
	return r;
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
		r = read_data(g, &c, (size_t)tensors, err);
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
