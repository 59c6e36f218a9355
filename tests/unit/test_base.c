/* SPDX-License-Identifier: Apache-2.0
 *
 * test_base.c: errors, memory, buffers, cursors, hashes, random numbers,
 * Unicode, nearest words.  Parsers, files and threads have their own tests.
 */
#include "test.h"

#include <float.h>
#include <math.h>

#include "base/base.h"

/* ---- errors ---- */

static void test_fail(void **state)
{
	nnr_error err = { 0 };

	(void)state;
	assert_int_equal(nnr__fail(&err, NNR_E_INPUT, "%s is %d", "x", 7),
			 NNR_E_INPUT);
	assert_string_equal(err.message, "x is 7");
	assert_int_equal(nnr__err_prefix(&err, "in %s", "y"), NNR_E_INPUT);
	assert_string_equal(err.message, "in y: x is 7");
	assert_int_equal(err.code, NNR_E_INPUT);

	assert_int_equal(nnr__fail_at(&err, NNR_E_FORMAT, 512, "bad"),
			 NNR_E_FORMAT);
	assert_string_equal(err.message, "bad at byte 512");
	assert_int_equal(err.offset, 512);
	nnr__err_prefix(&err, "m.gguf");
	assert_int_equal(err.offset, 512);

	assert_int_equal(nnr__fail_memory(&err, "arena", 99), NNR_E_MEMORY);
	assert_message(err, "arena");
	assert_message(err, "99");

	/* err may be NULL everywhere */
	assert_int_equal(nnr__fail(NULL, NNR_E_IO, "x"), NNR_E_IO);
	assert_int_equal(nnr__fail_at(NULL, NNR_E_IO, 1, "x"), NNR_E_IO);
	assert_true(nnr__err_prefix(NULL, "x") < 0);
}

/* A message that is too long is cut at a whole character. */
static void test_fail_long(void **state)
{
	nnr_error err = { 0 };
	char text[2000];
	size_t n;

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 3);
	for (int shift = 0; shift < 2; shift++) {
		nnr__fail(&err, NNR_E_INPUT, "%s%s", shift ? "x" : "", text);
		n = strlen(err.message);
		assert_true(n > 470 && n < sizeof(err.message));
		assert_int_equal(nnr__utf8_valid(err.message, n), n);
		nnr__err_prefix(&err, "%s", "ab");
		n = strlen(err.message);
		assert_int_equal(nnr__utf8_valid(err.message, n), n);
		nnr__err_prefix(&err, "%s", text);
		n = strlen(err.message);
		assert_int_equal(nnr__utf8_valid(err.message, n), n);
		nnr__fail_at(&err, NNR_E_INPUT, 5, "%s", text);
	}
}

static void test_codes(void **state)
{
	(void)state;
	assert_int_equal(nnr_exit_code(0), 0);
	assert_int_equal(nnr_exit_code(NNR_E_USAGE), 2);
	assert_int_equal(nnr_exit_code(NNR_E_INPUT), 3);
	assert_int_equal(nnr_exit_code(NNR_E_FORMAT), 3);
	assert_int_equal(nnr_exit_code(NNR_E_UNSUPPORTED), 3);
	assert_int_equal(nnr_exit_code(NNR_E_MEMORY), 4);
	assert_int_equal(nnr_exit_code(NNR_E_INTERRUPTED), 130);
	assert_false(nnr__interrupted());
	nnr_interrupt();
	assert_true(nnr__interrupted());
}

/* ---- memory ---- */

static void test_mem(void **state)
{
	size_t cap = 0, out;
	int *list = NULL;
	void *p;
	char *s;

	(void)state;
	assert_false(nnr__mul_ok(SIZE_MAX, 2, &out));
	assert_false(nnr__mul_ok(SIZE_MAX / 2 + 1, 2, &out));
	assert_true(nnr__mul_ok(SIZE_MAX / 2, 2, &out));
	assert_true(nnr__mul_ok(0, SIZE_MAX, &out));
	assert_false(nnr__add_ok(SIZE_MAX, 1, &out));
	assert_true(nnr__add_ok(SIZE_MAX, 0, &out));
	assert_null(nnr__calloc(SIZE_MAX / 2, 3));
	assert_null(nnr__aligned(SIZE_MAX - 3));

	p = nnr__aligned(1);
	assert_int_equal((uintptr_t)p % 64, 0);
	memset(p, 1, 64);
	nnr__aligned_free(p);
	s = nnr__strndup("hello", 2);
	assert_string_equal(s, "he");
	free(s);

	for (int i = 0; i < 1000; i++) {
		assert_true(nnr__grow(&list, &cap, (size_t)i, sizeof(*list)));
		assert_int_equal(list[i], 0);
		list[i] = i;
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(list[i], i);
	assert_false(nnr__grow(&list, &cap, SIZE_MAX / 4, sizeof(*list)));
	assert_false(nnr__grow(&list, &cap, SIZE_MAX, 1));
	assert_int_equal(list[999], 999);
	free(list);
}

static void test_arena(void **state)
{
	nnr__arena a = { 0 };
	char *old = NULL;

	(void)state;
	for (size_t i = 1; i < 3000; i++) {
		char *p = nnr__arena_alloc(&a, i);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t k = 0; k < i; k++)
			assert_int_equal(p[k], 0);
		memset(p, 7, i);
		assert_ptr_not_equal(p, old);
		old = p;
	}
	assert_non_null(nnr__arena_alloc(&a, 0));
	assert_non_null(nnr__arena_alloc(&a, (size_t)3 << 20));
	assert_null(nnr__arena_alloc(&a, SIZE_MAX));
	assert_null(nnr__arena_alloc(&a, SIZE_MAX - 64));
	assert_null(nnr__arena_strndup(&a, "", SIZE_MAX));
	assert_string_equal(nnr__arena_strndup(&a, "abc", 2), "ab");
	nnr__arena_release(&a);
	nnr__arena_release(&a);
}

/* ---- buffers ---- */

static void test_buf(void **state)
{
	nnr__buf b = { 0 };
	char *s;

	(void)state;
	s = nnr__buf_take(&b);
	assert_string_equal(s, "");
	free(s);
	nnr__buf_clear(&b);
	for (int i = 0; i < 300; i++)
		nnr__buf_addf(&b, "%d,", i);
	nnr__buf_addc(&b, '!');
	nnr__buf_add(&b, NULL, 0);
	assert_int_equal(b.len, 10 * 2 + 90 * 3 + 200 * 4 + 1);
	assert_int_equal(b.p[b.len], 0);
	nnr__buf_clear(&b);
	assert_string_equal(b.p, "");
	nnr__buf_adds(&b, "x");
	nnr__buf_add(&b, "y", SIZE_MAX / 2);	/* cannot be: sticky */
	assert_true(b.bad);
	nnr__buf_adds(&b, "z");
	assert_int_equal(b.len, 1);
	assert_null(nnr__buf_take(&b));
	assert_null(b.p);
}

static void test_buf_json(void **state)
{
	static const struct {
		const char *in;
		size_t n;
		const char *out;
	} row[] = {
		{ "", 0, "\"\"" },
		{ "plain", 5, "\"plain\"" },
		{ "a\"b\\c/", 6, "\"a\\\"b\\\\c/\"" },
		{ "\n\t\r\b\f", 5, "\"\\n\\t\\r\\b\\f\"" },
		{ "\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\\u007f\"" },
		{ "\xc3\xa9\xf0\x9f\x98\x80", 6,
		  "\"\xc3\xa9\xf0\x9f\x98\x80\"" },
		{ "a\xff\xc3", 3, "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xed\xa0\x80", 3,	/* a surrogate: three bad bytes */
		  "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		nnr__buf b = { 0 };
		nnr__buf_add_json(&b, row[i].in, row[i].n);
		assert_string_equal(b.p, row[i].out);
		nnr__buf_release(&b);
	}
}

static void test_buf_num(void **state)
{
	static const struct { double v; const char *out; } row[] = {
		{ 0, "0" }, { -0.0, "-0.0" }, { 1, "1" }, { 0.1, "0.1" },
		{ -2.5, "-2.5" }, { 1e20, "1e+20" },
		{ 0.30000000000000004, "0.30000000000000004" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 5e-324, "5e-324" }, { DBL_MAX, "1.7976931348623157e+308" },
		{ 9007199254740993.0, "9007199254740992" },
		{ 1e-5, "1e-05" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		nnr__buf b = { 0 };
		nnr__buf_add_num(&b, row[i].v);
		assert_string_equal(b.p, row[i].out);
		nnr__buf_release(&b);
	}
	nnr__buf b = { 0 };
	nnr__buf_add_num(&b, (double)NAN);
	nnr__buf_add_num(&b, (double)INFINITY);
	assert_string_equal(b.p, "nullnull");
	for (uint64_t i = 0; i < 2000; i++) {
		uint64_t bits = nnr__rng_u64(1, 2, i);
		double v, back;
		memcpy(&v, &bits, sizeof(v));
		if (!isfinite(v))
			continue;
		nnr__buf_clear(&b);
		nnr__buf_add_num(&b, v);
		back = strtod(b.p, NULL);
		assert_memory_equal(&back, &v, sizeof(v));
	}
	nnr__buf_release(&b);
}

/* ---- cursor ---- */

static void test_cursor(void **state)
{
	static const uint8_t data[] = {
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
		0, 0, 0x80, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0, 'a', 'b', 'c',
	};
	nnr__cur c = nnr__cur_init(data, sizeof(data));

	(void)state;
	assert_int_equal(nnr__take_u8(&c), 1);
	assert_int_equal(nnr__take_u16(&c), 0x0302);
	assert_int_equal(nnr__take_u32(&c), 0x07060504);
	assert_true(nnr__take_u64(&c) == 0x0f0e0d0c0b0a0908u);
	assert_true(nnr__take_f32(&c) == 1.0f);
	assert_true(nnr__take_f64(&c) == -2.0);
	assert_int_equal(nnr__cur_pos(&c), 27);
	assert_int_equal(nnr__cur_left(&c), 3);
	assert_memory_equal(nnr__take_bytes(&c, 2), "ab", 2);
	assert_non_null(nnr__take_bytes(&c, 0));
	assert_int_equal(nnr__take_u16(&c), 0);		/* one byte left */
	assert_true(c.bad);
	assert_int_equal(nnr__cur_pos(&c), 29);
	assert_int_equal(nnr__take_u8(&c), 0);		/* sticky */
	assert_int_equal(nnr__cur_left(&c), 0);
	assert_null(nnr__take_bytes(&c, 0));

	c = nnr__cur_init(data, sizeof(data));
	assert_null(nnr__take_bytes(&c, SIZE_MAX));
	c = nnr__cur_init(NULL, 0);
	assert_int_equal(nnr__take_u8(&c), 0);
	assert_true(c.bad);
}

/* ---- hashes and random numbers ---- */

static void test_sha(void **state)
{
	char hex[65];
	nnr__sha s;

	(void)state;
	nnr__sha_of(NULL, 0, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb924"
				 "27ae41e4649b934ca495991b7852b855");
	nnr__sha_of("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223"
				 "b00361a396177a9cb410ff61f20015ad");
	nnr__sha_init(&s);
	nnr__sha_add(&s, "a", 1);
	nnr__sha_add(&s, NULL, 0);
	nnr__sha_add(&s, "bc", 2);
	nnr__sha_end(&s, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223"
				 "b00361a396177a9cb410ff61f20015ad");
}

static void test_hash64(void **state)
{
	unsigned char text[40] = { 0 };
	uint64_t seen[41];

	(void)state;
	/* lengths, seeds and single bits all count */
	for (size_t n = 0; n <= 40; n++) {
		seen[n] = nnr__hash64(text, n, 0);
		for (size_t k = 0; k < n; k++)
			assert_true(seen[k] != seen[n]);
		assert_true(nnr__hash64(text, n, 1) != seen[n]);
	}
	for (int bit = 0; bit < 320; bit++) {
		text[bit / 8] = (unsigned char)(1 << bit % 8);
		assert_true(nnr__hash64(text, 40, 0) != seen[40]);
		text[bit / 8] = 0;
	}
	/* fixed for ever: caches and random streams hang on it */
	assert_true(nnr__hash64("nnr", 3, 7) == 0x83f705ff998e31e9u);
}

/* Known answers of Random123's philox4x32-10, first two words. */
static void test_rng(void **state)
{
	double sum = 0;

	(void)state;
	assert_true(nnr__rng_u64(0, 0, 0) == 0xe169c58d6627e8d5u);
	assert_true(nnr__rng_u64(UINT64_MAX, UINT64_MAX, UINT64_MAX) ==
		    0x41c83b0e408f276du);
	assert_true(nnr__rng_u64(0x299f31d0a4093822u, 0x0370734413198a2eu,
				 0x85a308d3243f6a88u) ==
		    0x94fdccebd16cfe09u);
	for (uint64_t i = 0; i < 10000; i++) {
		double u = nnr__rng_uniform(3, 1, i);
		assert_true(u >= 0 && u < 1);
		sum += u;
	}
	assert_true(fabs(sum / 10000 - 0.5) < 0.02);
}

static void test_shuffle(void **state)
{
	uint32_t perm[100], again[100], count[4] = { 0 };
	bool seen[100] = { false };
	int fixed = 0;

	(void)state;
	nnr__rng_shuffle(perm, 100, 9, 1);
	nnr__rng_shuffle(again, 100, 9, 1);
	assert_memory_equal(perm, again, sizeof(perm));
	for (int i = 0; i < 100; i++) {
		assert_true(perm[i] < 100 && !seen[perm[i]]);
		seen[perm[i]] = true;
		fixed += perm[i] == (uint32_t)i;
	}
	assert_true(fixed < 10);
	for (uint64_t s = 0; s < 4000; s++) {
		nnr__rng_shuffle(perm, 4, 5, s);
		count[perm[0]]++;
	}
	for (int i = 0; i < 4; i++)
		assert_true(count[i] > 880 && count[i] < 1120);
	nnr__rng_shuffle(perm, 0, 5, 0);
	nnr__rng_shuffle(perm, 1, 5, 0);
	assert_int_equal(perm[0], 0);
}

/* ---- Unicode ---- */

static void test_utf8(void **state)
{
	static const struct {
		const char *s;
		size_t n, valid, whole;
	} row[] = {
		{ "", 0, 0, 0 },
		{ "abc", 3, 3, 3 },
		{ "a\xc3\xa9", 3, 3, 3 },
		{ "a\xc3", 2, 1, 1 },			/* cut in two */
		{ "\xe2\x82\xac", 3, 3, 3 },
		{ "\xe2\x82", 2, 0, 0 },
		{ "\xf0\x9f\x98\x80", 4, 4, 4 },
		{ "x\xf0\x9f\x98", 4, 1, 1 },
		{ "\xc0\x80", 2, 0, 2 },		/* overlong */
		{ "\xe0\x80\x80", 3, 0, 3 },
		{ "\xe0\x80", 2, 0, 2 },	/* never to be completed */
		{ "\xed\xa0\x80", 3, 0, 3 },		/* surrogate */
		{ "\xed\xa0", 2, 0, 2 },
		{ "\xf4\x90\x80\x80", 4, 0, 4 },	/* above U+10FFFF */
		{ "\xf4\x90", 2, 0, 2 },
		{ "\xff", 1, 0, 1 },
		{ "ab\x80", 3, 2, 3 },
		{ "\x80\x80\x80\x80", 4, 0, 4 },
	};
	size_t len;
	char out[4];

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		assert_int_equal(nnr__utf8_valid(row[i].s, row[i].n),
				 row[i].valid);
		assert_int_equal(nnr__utf8_whole(row[i].s, row[i].n),
				 row[i].whole);
	}
	assert_int_equal(nnr__utf8_next("\xff", 1, &len), -1);
	assert_int_equal(len, 1);
	for (int32_t cp = 0; cp <= 0x10ffff; cp++) {
		if (cp == 0xd800)
			cp = 0xe000;
		int n = nnr__utf8_put(cp, out);
		assert_int_equal(nnr__utf8_next(out, (size_t)n, &len), cp);
		assert_int_equal(len, n);
	}
	assert_int_equal(nnr__utf8_put(0xd800, out), 3);
	assert_memory_equal(out, "\xef\xbf\xbd", 3);
	assert_int_equal(nnr__utf8_put(-1, out), 3);
	assert_int_equal(nnr__utf8_put(0x110000, out), 3);
}

static void test_classes(void **state)
{
	int spaces = 0;

	(void)state;
	assert_true(nnr__is_letter('a') && nnr__is_letter(0xe9));
	assert_true(nnr__is_letter(0x4e2d) && nnr__is_letter(0x2b0));
	assert_false(nnr__is_letter('1') || nnr__is_letter(0x301));
	assert_false(nnr__is_letter(-1) || nnr__is_letter(0x110000));
	assert_true(nnr__is_number('7') && nnr__is_number(0x0663));
	assert_true(nnr__is_number(0xbd) && nnr__is_number(0x2167));
	assert_false(nnr__is_number('a') || nnr__is_number(-1));
	for (int32_t cp = -1; cp <= 0x110000; cp++)
		spaces += nnr__is_space(cp);
	assert_int_equal(spaces, 25);	/* White_Space in Unicode 15 */
	assert_false(nnr__is_space(0x200b));
}

static void test_nearest(void **state)
{
	static const char *const name[] = { "template", "generate", "score",
					    "soft_tokens", "demos", NULL };
	char lengthy[200];

	(void)state;
	assert_string_equal(nnr__nearest("tmeplate", name), "template");
	assert_string_equal(nnr__nearest("scroe", name), "score");
	assert_string_equal(nnr__nearest("softtokens", name), "soft_tokens");
	assert_string_equal(nnr__nearest("demo", name), "demos");
	assert_string_equal(nnr__nearest("score", name), "score");
	assert_null(nnr__nearest("zebra", name));
	assert_null(nnr__nearest("", name));
	assert_null(nnr__nearest("x", name));
	memset(lengthy, 'a', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_null(nnr__nearest(lengthy, name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fail),
		cmocka_unit_test(test_fail_long),
		cmocka_unit_test(test_mem),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_buf_json),
		cmocka_unit_test(test_buf_num),
		cmocka_unit_test(test_cursor),
		cmocka_unit_test(test_sha),
		cmocka_unit_test(test_hash64),
		cmocka_unit_test(test_rng),
		cmocka_unit_test(test_shuffle),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_codes),	/* last: it interrupts */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
