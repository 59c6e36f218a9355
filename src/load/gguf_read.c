/* SPDX-License-Identifier: Apache-2.0
 *
 * Typed reads of a GGUF file's keys.  gguf.c has checked that every value
 * lies in the file; here only types and ranges can be wrong.
 */
#include <stdlib.h>
#include <string.h>

#include "load/load.h"

static int wrong_type(const char *key, const char *want, nnr_error *err)
{
	return nnr__fail(err, NNR_E_FORMAT, "key %s is not %s", key, want);
}

/* An integer of any width: 1 and its bits, sign-extended, or 0. */
static int read_int(const nnr__gkv *kv, uint64_t *v, bool *negative)
{
	nnr__cur c = nnr__cur_init(kv->raw, kv->raw_bytes);
	int64_t s = 0;

	*negative = false;
	switch (kv->type) {
	case NNR__G_U8:
		*v = nnr__take_u8(&c);
		return 1;
	case NNR__G_U16:
		*v = nnr__take_u16(&c);
		return 1;
	case NNR__G_U32:
		*v = nnr__take_u32(&c);
		return 1;
	case NNR__G_U64:
		*v = nnr__take_u64(&c);
		return 1;
	case NNR__G_I8:
		s = (int8_t)nnr__take_u8(&c);
		break;
	case NNR__G_I16:
		s = (int16_t)nnr__take_u16(&c);
		break;
	case NNR__G_I32:
		s = (int32_t)nnr__take_u32(&c);
		break;
	case NNR__G_I64:
		s = (int64_t)nnr__take_u64(&c);
		break;
	default:
		return 0;
	}
	*v = (uint64_t)s;
	*negative = s < 0;
	return 1;
}

int nnr__gguf_uint(const nnr__gguf *g, const char *key, uint64_t *v,
		   nnr_error *err)
{
	const nnr__gkv *kv = nnr__gguf_kv(g, key);
	bool negative;

	if (!kv)
		return 0;
	if (!read_int(kv, v, &negative) || negative)
		return wrong_type(key, "a whole number from 0 on", err);
	return 1;
}

int nnr__gguf_num(const nnr__gguf *g, const char *key, double *v,
		  nnr_error *err)
{
	const nnr__gkv *kv = nnr__gguf_kv(g, key);
	nnr__cur c;
	uint64_t bits;
	bool negative;

	if (!kv)
		return 0;
	c = nnr__cur_init(kv->raw, kv->raw_bytes);
	if (kv->type == NNR__G_F32)
		*v = (double)nnr__take_f32(&c);
	else if (kv->type == NNR__G_F64)
		*v = nnr__take_f64(&c);
	else if (read_int(kv, &bits, &negative))
		*v = negative ? (double)(int64_t)bits : (double)bits;
	else
		return wrong_type(key, "a number", err);
	return 1;
}

int nnr__gguf_bool(const nnr__gguf *g, const char *key, bool *v,
		   nnr_error *err)
{
	const nnr__gkv *kv = nnr__gguf_kv(g, key);

	if (!kv)
		return 0;
	if (kv->type != NNR__G_BOOL)
		return wrong_type(key, "true or false", err);
	*v = kv->raw[0] != 0;
	return 1;
}

/* The next string of a list that gguf.c has checked. */
static nnr__str take_str(nnr__cur *c)
{
	nnr__str s;

	s.n = (size_t)nnr__take_u64(c);
	s.p = (const char *)nnr__take_bytes(c, s.n);
	return s;
}

int nnr__gguf_str(const nnr__gguf *g, const char *key, nnr__str *v,
		  nnr_error *err)
{
	const nnr__gkv *kv = nnr__gguf_kv(g, key);
	nnr__cur c;

	if (!kv)
		return 0;
	if (kv->type != NNR__G_STRING)
		return wrong_type(key, "a string", err);
	c = nnr__cur_init(kv->raw, kv->raw_bytes);
	*v = take_str(&c);
	return 1;
}

int nnr__gguf_strings(const nnr__gguf *g, const char *key, nnr__str **v,
		      size_t *n, nnr_error *err)
{
	const nnr__gkv *kv = nnr__gguf_kv(g, key);
	nnr__cur c;

	*v = NULL;
	*n = 0;
	if (!kv)
		return 0;
	if (kv->type != NNR__G_ARRAY || kv->elem != NNR__G_STRING)
		return wrong_type(key, "a list of strings", err);
	*v = nnr__calloc((size_t)kv->count + 1, sizeof **v);
	if (!*v)
		return nnr__fail_memory(err, key, (size_t)kv->count *
					sizeof **v);
	c = nnr__cur_init(kv->raw, kv->raw_bytes);
	for (; *n < kv->count; ++*n)
		(*v)[*n] = take_str(&c);
	return 1;
}
