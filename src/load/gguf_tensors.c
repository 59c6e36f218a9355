/* SPDX-License-Identifier: Apache-2.0
 *
 * The tensor list of a GGUF file: types, dimensions, and the place of each
 * tensor's data, which must be aligned, inside the file and its own.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "load/gguf_int.h"

enum {
	MAX_NAME = 64,		/* bytes of a tensor's name */
	MIN_ALIGN = 8,
	MAX_ALIGN = 4096,
	DEFAULT_ALIGN = 32,
	NO_TYPE = NNR__DTYPES
};

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

const char *nnr__ggml_type_name(uint32_t id)
{
	return id < GGML_TYPES ? ggml_type[id].name : NULL;
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
		return nnr__gguf_cut(c, "a tensor's description", err);
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
			return nnr__gguf_cut(c, "a tensor's description", err);
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
	int r = nnr__gguf_name(c, &t->name, MAX_NAME, "a tensor name", err);

	if (!r)
		r = read_dims(c, t, &elements, err);
	if (r)
		return r;
	at = nnr__cur_pos(c);
	id = nnr__take_u32(c);
	*offset = nnr__take_u64(c);
	if (c->bad)
		return nnr__gguf_cut(c, "a tensor's description", err);
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
		slot = nnr__table_find(&g->index->tensor, t->name);
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

int nnr__gguf_read_tensors(nnr__gguf *g, nnr__cur *c, size_t n,
			   nnr_error *err)
{
	uint64_t *offset = nnr__calloc(n + 1, sizeof *offset);
	size_t align = 0, end;
	int r;

	g->tensor = nnr__calloc(n + 1, sizeof *g->tensor);
	if (!offset || !g->tensor ||
	    !nnr__table_init(&g->index->tensor, g->tensor,
			     sizeof *g->tensor, n)) {
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
