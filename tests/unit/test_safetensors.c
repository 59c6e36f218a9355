/* SPDX-License-Identifier: Apache-2.0
 *
 * Safetensors: the same bytes as the format's own library
 * (tests/golden/safetensors), headers made by hand to lie, and a small file
 * cut and changed at every byte.
 */
#include "test.h"

#include <unistd.h>

#include "load/safetensors.h"

#define GOLDEN "tests/golden/safetensors/small.safetensors"

/* ---- the library's file ---- */

static const float b_values[] = { 0.5f, -1, 2, -3.25f, 1e-30f, 7 };
static const float a_value = 42, odd_value = -1;
static const uint16_t half[] = { 0x3c00, 0xc000, 0x3800, 0x7bff, 0x0001 };
static const uint16_t brain[] = { 0x3f80, 0xc000, 0x3f00, 0x4780, 0x3380 };
static const int64_t longs[] = { -1, (int64_t)1 << 40 };
static const int32_t ints[] = { -7, 7 };
static const uint8_t bytes[] = { 0, 127, 255 };
#define ODD "na\"me\\\n\xc3\xa9"

static const nnr__st_tensor small[] = {
	{ "b", NNR__ST_F32, 2, { 2, 3 }, b_values },
	{ "a", NNR__ST_F32, 0, { 0 }, &a_value },
	{ "half", NNR__ST_F16, 1, { 5 }, half },
	{ "brain", NNR__ST_BF16, 2, { 5, 1 }, brain },
	{ "long", NNR__ST_I64, 1, { 2 }, longs },
	{ "int", NNR__ST_I32, 2, { 1, 2 }, ints },
	{ "byte", NNR__ST_U8, 1, { 3 }, bytes },
	{ "none", NNR__ST_F32, 2, { 0, 4 }, bytes },
	{ ODD, NNR__ST_F32, 1, { 1 }, &odd_value },
};
#define SMALLS ((int)(sizeof(small) / sizeof(small[0])))
static const nnr__st_text small_text = {
	"te\"xt", "a \"quoted\" line\n\\\ttab \x01 \xc3\xa9 \xf0\x9f\x98\x80",
	31
};

static void read_golden(nnr__buf *out)
{
	nnr_error err;

	assert_int_equal(nnr__file_read(out, GOLDEN, 1 << 20, &err), 0);
}

static void test_write_golden(void **state)
{
	nnr__buf want = { 0 }, out = { 0 };
	nnr__st_tensor turned[SMALLS];
	nnr_error err;

	(void)state;
	read_golden(&want);
	assert_int_equal(nnr__st_bytes_of(&out, small, SMALLS, &small_text, 1,
					  &err), 0);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.p, want.p, want.len);
	/* The order in which they are given does not matter. */
	for (int i = 0; i < SMALLS; i++)
		turned[i] = small[SMALLS - 1 - i];
	assert_int_equal(nnr__st_bytes_of(&out, turned, SMALLS, &small_text,
					  1, &err), 0);
	assert_memory_equal(out.p, want.p, want.len);
	nnr__buf_release(&want);
	nnr__buf_release(&out);
}

static void check_floats(const nnr__st *st, const char *name,
			 const float *want)
{
	const nnr__st_tensor *t = nnr__st_find(st, name);
	float got[8];

	assert_non_null(t);
	assert_true(nnr__st_values(t) <= 8);
	assert_true(nnr__st_floats(t, got));
	assert_memory_equal(got, want, nnr__st_values(t) * sizeof(*got));
}

static void test_read_golden(void **state)
{
	static const float halves[] = { 1, -2, 0.5f, 65504,
					5.9604644775390625e-8f };
	static const float brains[] = { 1, -2, 0.5f, 65536,
					5.9604644775390625e-8f };
	const nnr__st_text *text;
	nnr_error err;
	char shape[40];
	nnr__st *st;

	(void)state;
	assert_int_equal(nnr__st_open(&st, GOLDEN, &err), 0);
	assert_int_equal(st->tensors, SMALLS);
	for (int i = 0; i < SMALLS; i++) {
		const nnr__st_tensor *t = nnr__st_find(st, small[i].name);
		assert_non_null(t);
		assert_int_equal(t->type, small[i].type);
		assert_int_equal(t->dims, small[i].dims);
		assert_memory_equal(t->dim, small[i].dim, sizeof(t->dim));
		assert_memory_equal(t->data, small[i].data,
				    nnr__st_bytes(t));
	}
	check_floats(st, "b", b_values);
	check_floats(st, "half", halves);
	check_floats(st, "brain", brains);
	assert_false(nnr__st_floats(nnr__st_find(st, "int"), (float[2]){ 0 }));
	assert_null(nnr__st_find(st, "c"));
	assert_string_equal(nnr__st_shape(nnr__st_find(st, "b"), shape, 40),
			    "F32 [2, 3]");
	assert_string_equal(nnr__st_shape(nnr__st_find(st, "a"), shape, 40),
			    "F32 []");
	text = nnr__st_text_of(st, small_text.key);
	assert_non_null(text);
	assert_int_equal(text->len, small_text.len);
	assert_memory_equal(text->text, small_text.text, text->len);
	assert_null(nnr__st_text_of(st, "text"));
	nnr__st_close(st);
}

static void test_file(void **state)
{
	char dir[] = "/tmp/nnr-st-XXXXXX";
	nnr__buf want = { 0 }, have = { 0 };
	char *path;
	nnr_error err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = nnr__path_join(dir, "f.safetensors");
	read_golden(&want);
	assert_int_equal(nnr__st_write(path, small, SMALLS, &small_text, 1,
				       &err), 0);
	assert_int_equal(nnr__file_read(&have, path, 1 << 20, &err), 0);
	assert_int_equal(have.len, want.len);
	assert_memory_equal(have.p, want.p, want.len);
	assert_int_equal(unlink(path), 0);
	assert_true(nnr__st_write(dir, small, SMALLS, NULL, 0, &err) < 0);
	assert_message(err, "folder");
	assert_int_equal(rmdir(dir), 0);
	nnr__buf_release(&want);
	nnr__buf_release(&have);
	free(path);
}

/* ---- lies ---- */

/* A block of just their size, so that one byte too far is seen. */
static nnr__st *parse(const void *data, size_t n, nnr_error *err, int *rc)
{
	static char *block;
	nnr__st *st = NULL;

	free(block);
	block = malloc(n ? n : 1);
	assert_non_null(block);
	memcpy(block, data, n);
	*rc = nnr__st_parse(&st, "f", block, n, err);
	assert_int_equal(*rc == 0, st != NULL);
	if (*rc) {
		assert_int_equal(err->code, *rc);
		assert_memory_equal(err->message, "f: ", 3);
		assert_true(strlen(err->message) > 10);
	}
	return st;
}

static void with_header(nnr__buf *b, const char *header, size_t data)
{
	size_t n = strlen(header);

	nnr__buf_clear(b);
	for (int i = 0; i < 8; i++)
		nnr__buf_addc(b, (char)((uint64_t)n >> (8 * i)));
	nnr__buf_add(b, header, n);
	for (size_t i = 0; i < data; i++)
		nnr__buf_addc(b, (char)i);
}

#define T(rest) "{\"t\":{\"dtype\":\"F32\",\"shape\":" rest "}}"
static const struct {
	const char *header;
	size_t data;
	const char *message;	/* NULL: it is fine */
} lies[] = {
	{ "{}", 0, NULL },
	{ "{}   ", 0, NULL },
	{ "{\"__metadata__\":{}}", 0, NULL },
	{ T("[2],\"data_offsets\":[0,8]"), 8, NULL },
	{ T("[0,9007199254740991,9],\"data_offsets\":[0,0]"), 0, NULL },
	/* the header */
	{ "", 0, "not a safetensors file" },
	{ "[]", 0, "not a safetensors file" },
	{ " {}", 0, "not a safetensors file" },
	{ "{", 0, "f: header:1" },
	{ "{}{}", 0, "f: header:1" },
	{ "{\"t\":1,\"t\":1}", 0, "duplicate" },
	{ "{\"t\":\"\xff\"}", 0, "UTF-8" },
	{ "{\"t\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
	  "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
	  "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", 0, "nested deeper" },
	{ "{\"__metadata__\":[]}", 0, "not an object of texts" },
	{ "{\"__metadata__\":{\"a\":1}}", 0, "`a` of `__metadata__`" },
	{ "{\"__metadata__\":{\"a\":null}}", 0, "`a` of `__metadata__`" },
	/* a tensor */
	{ "{\"t\":[]}", 0, "tensor `t`: an object" },
	{ "{\"\":{}}", 0, "empty" },
	{ "{\"t\\nu\":{}}", 0, "tensor `t?u`: no `dtype`" },
	{ "{\"t\":{\"dtype\":3}}", 0, "no `dtype`" },
	{ "{\"t\":{\"dtype\":\"F8\"}}", 0, "dtype `F8`; this nnr reads" },
	{ "{\"t\":{\"dtype\":\"F32\"}}", 0, "no `shape`" },
	{ "{\"t\":{\"dtype\":\"F32\",\"size\":1}}", 0, "unknown key `size`" },
	{ T("[-1],\"data_offsets\":[0,4]"), 4, "dimension 0" },
	{ T("[1,2.0],\"data_offsets\":[0,8]"), 8, "dimension 1" },
	{ T("[\"1\"],\"data_offsets\":[0,4]"), 4, "dimension 0" },
	{ T("[9007199254740993],\"data_offsets\":[0,4]"), 4, "dimension 0" },
	{ T("[18446744073709551617],\"data_offsets\":[0,4]"), 4,
	  "too big integer" },
	{ T("[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]"), 4,
	  "9 dimensions; at most 8" },
	{ T("[4294967296,4294967296],\"data_offsets\":[0,4]"), 4,
	  "more values" },
	{ T("[4294967296,1073741825],\"data_offsets\":[0,17179869184]"), 4,
	  "more values" },
	{ T("[1]"), 4, "no `data_offsets`" },
	{ T("[1],\"data_offsets\":[0,4,8]"), 8, "no `data_offsets`" },
	{ T("[1],\"data_offsets\":[0,-4]"), 4, "no `data_offsets`" },
	{ T("[1],\"data_offsets\":[4,0]"), 4, "4 to 0" },
	{ T("[1],\"data_offsets\":[0,8]"), 4, "has 4 bytes of data" },
	{ T("[1],\"data_offsets\":[0,8]"), 8, "make 4 bytes" },
	{ T("[2],\"data_offsets\":[0,4]"), 8, "make 8 bytes" },
	/* their places */
	{ T("[1],\"data_offsets\":[0,4]"), 5, "1 bytes after the last" },
	{ T("[1],\"data_offsets\":[4,8]"), 8, "4 bytes before tensor `t`" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
	  "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
	  3, "tensor `b` overlaps" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
	  "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
	  2, "overlaps" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
	  "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
	  3, "1 bytes before tensor `b`" },
};

static void test_lies(void **state)
{
	nnr__buf b = { 0 };
	nnr_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		nnr__st *st;
		int rc;
		with_header(&b, lies[i].header, lies[i].data);
		st = parse(b.p, b.len, &err, &rc);
		if (!lies[i].message) {
			assert_int_equal(rc, 0);
		} else {
			if (!rc)
				fail_msg("taken: %s", lies[i].header);
			assert_message(err, lies[i].message);
			assert_int_equal(nnr_exit_code(rc), 3);
		}
		nnr__st_close(st);
	}
	nnr__buf_release(&b);
}

static void test_lengths(void **state)
{
	static const uint64_t length[] = { 3, 100000001, UINT64_MAX,
					   (uint64_t)1 << 63 };
	uint8_t file[10] = { 2, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
	nnr_error err;
	int rc;

	(void)state;
	nnr__st_close(parse(file, 10, &err, &rc));
	assert_int_equal(rc, 0);
	for (int n = 0; n < 10; n++) {
		assert_null(parse(file, (size_t)n, &err, &rc));
		assert_message(err, "not a safetensors file");
	}
	for (size_t i = 0; i < sizeof(length) / sizeof(*length); i++) {
		for (int k = 0; k < 8; k++)
			file[k] = (uint8_t)(length[i] >> (8 * k));
		assert_null(parse(file, 10, &err, &rc));
		assert_message(err, "header of");
	}
}

/* Four million values in 8 MB are refused before they are nodes. */
static void test_many_values(void **state)
{
	nnr__buf header = { 0 }, b = { 0 };
	nnr_error err;
	int rc;

	(void)state;
	nnr__buf_adds(&header, "{\"t\":[0");
	for (int i = 0; i < 1 << 22; i++)
		nnr__buf_adds(&header, ",0");
	nnr__buf_adds(&header, "]}");
	with_header(&b, header.p, 0);
	assert_null(parse(b.p, b.len, &err, &rc));
	assert_message(err, "too many values");
	nnr__buf_release(&header);
	nnr__buf_release(&b);
}

/* ---- damage ---- */

/* What is accepted is consistent: its tensors tile the data. */
static void check_whole(const nnr__st *st, size_t size)
{
	size_t sum = 0, at = 8;

	for (int k = 0; k < 8; k++)
		at += (size_t)st->map.data[k] << (8 * k);
	for (int i = 0; i < st->tensors; i++) {
		const nnr__st_tensor *t = &st->tensor[i];
		float out[64];
		size_t n = nnr__st_values(t);
		const uint8_t *p = t->data;
		assert_true(p >= st->map.data + at);
		assert_true(p + nnr__st_bytes(t) <= st->map.data + size);
		assert_ptr_equal(nnr__st_find(st, t->name), t);
		assert_true(n <= 64);
		nnr__st_floats(t, out);
		sum += nnr__st_bytes(t);
	}
	assert_int_equal(at + sum, size);
}

static void test_damage(void **state)
{
	static const int flips[] = { 0x01, 0x02, 0x10, 0x80, 0xff, 0x5a };
	nnr__buf b = { 0 };
	size_t header;
	nnr_error err;
	int rc, taken = 0;

	(void)state;
	read_golden(&b);
	header = 8 + (size_t)(uint8_t)b.p[0] + ((size_t)(uint8_t)b.p[1] << 8);
	for (size_t n = 0; n < b.len; n++)
		assert_null(parse(b.p, n, &err, &rc));
	for (size_t i = 0; i < b.len; i++) {
		for (size_t k = 0; k < sizeof(flips) / sizeof(*flips); k++) {
			nnr__st *st;
			b.p[i] = (char)(b.p[i] ^ flips[k]);
			st = parse(b.p, b.len, &err, &rc);
			b.p[i] = (char)(b.p[i] ^ flips[k]);
			if (i >= header)
				assert_non_null(st);
			if (i < 8)
				assert_null(st);
			if (st)
				check_whole(st, b.len);
			taken += st && i < header;
			nnr__st_close(st);
		}
	}
	/* Letters of names and texts may change, brackets may not. */
	assert_true(taken > 100);
	assert_true(taken < (int)(header * 3));
	nnr__buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_golden),
		cmocka_unit_test(test_read_golden),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_many_values),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
