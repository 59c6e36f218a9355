/* SPDX-License-Identifier: Apache-2.0
 *
 * The tokenizer on a small vocabulary, and on the real model where it is.
 */
#include "tokenizers.h"

#define GOLDEN "tests/golden/tokens/tokens.jsonl"

/* Bytes of the tokens; those of `lost` are left out of what is expected. */
static void expect_bytes(const nnr__tok *t, const char *s, size_t n,
			 const char *lost, size_t losts)
{
	nnr__ids ids = encode(t, s, n);
	nnr__buf got = { 0 }, want = { 0 };

	for (size_t i = 0; i < ids.n; i++) {
		size_t len;
		const char *p = nnr__tok_bytes(t, ids.id[i], false, &len);

		assert_false(nnr__tok_is_special(t, ids.id[i]));
		nnr__buf_add(&got, p, len);
	}
	for (size_t i = 0; i < n; i++)
		if (!losts || !memchr(lost, s[i], losts))
			nnr__buf_addc(&want, s[i]);
	assert_int_equal(got.len, want.len);
	if (got.len)
		assert_memory_equal(got.p, want.p, got.len);
	nnr__buf_release(&got);
	nnr__buf_release(&want);
	nnr__ids_release(&ids);
}

/* ---- pre-tokenizers ---- */

struct cut { const char *text, *smollm, *gpt2; };	/* '_' is a cut */

static void check_cut(const char *pre, const char *text, const char *want)
{
	const nnr__pretok *p;
	size_t n = strlen(text), at = 0;
	nnr__buf got = { 0 };

	p = nnr__pretok_find((nnr__str){ pre, strlen(pre) }, NULL);
	assert_non_null(p);
	while (at < n) {
		size_t len = p->next(text + at, n - at);

		assert_in_range(len, 1, n - at);
		nnr__buf_addf(&got, "%s%.*s", at ? "_" : "", (int)len,
			      text + at);
		at += len;
	}
	assert_string_equal(got.p, want);
	nnr__buf_release(&got);
}

static void pretokenizers_cut_as_their_patterns(void **state)
{
	static const struct cut cuts[] = {
		{ "Hello world", "Hello_ world", "Hello_ world" },
		{ "a  b", "a_ _ b", "a_ _ b" },
		{ "a 12", "a_ _1_2", "a_ 12" },
		{ "a  12", "a_  _1_2", "a_ _ 12" },
		{ "a \n", "a_ \n", "a_ \n" },
		{ "a\n\nb", "a_\n_\n_b", "a_\n_\n_b" },
		{ "a\n b", "a_\n_ b", "a_\n_ b" },
		{ "a\t1", "a_\t_1", "a_\t_1" },
		{ "it's we'll I'd 're", "it_'s_ we_'ll_ I_'d_ '_re",
		  "it_'s_ we_'ll_ I_'d_ '_re" },
		{ "'S''s", "'_S_''_s", "'_S_''_s" },
		{ "'vex", "'ve_x", "'ve_x" },
		{ "3.14!", "3_._1_4_!", "3_._14_!" },
		{ "x!? y", "x_!?_ y", "x_!?_ y" },
		{ "\xc3\xa9t\xc3\xa9\xe3\x80\x80z",		/* U+3000 */
		  "\xc3\xa9t\xc3\xa9_\xe3\x80\x80_z",
		  "\xc3\xa9t\xc3\xa9_\xe3\x80\x80_z" },
		{ "a\xc2\xb2\xc2\xb3", "a_\xc2\xb2_\xc2\xb3",	/* No */
		  "a_\xc2\xb2\xc2\xb3" },
		{ "a\xff\xc3!b", "a_\xff\xc3!_b", "a_\xff\xc3!_b" },
		{ " ", " ", " " }, { "  ", "  ", "  " }, { "'", "'", "'" },
		/* U+11DE0: a number in Unicode 17, not yet in 16 */
		{ "!\xf0\x91\xb7\xa0!", "!_\xf0\x91\xb7\xa0_!",
		  "!\xf0\x91\xb7\xa0!" },
		/* U+1C89: a letter from Unicode 16 on */
		{ "a\xe1\xb2\x89", "a\xe1\xb2\x89", "a\xe1\xb2\x89" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
		check_cut("smollm", cuts[i].text, cuts[i].smollm);
		check_cut("gpt2", cuts[i].text, cuts[i].gpt2);
	}
}

/* ---- BPE ---- */

/* Bytes of the left half of a merge: characters before the space. */
static size_t left_bytes(const char *merge)
{
	size_t n = 0;

	for (; *merge != ' '; merge++)
		n += ((unsigned char)*merge & 0xc0) != 0x80;
	return n;
}

static bool is_merge(int rank, int32_t a, int32_t b)
{
	size_t n, an, bn;
	const char *made = nnr__tok_bytes(small.t, VOCAB_FIRST + rank, false,
					  &n);
	const char *ap = nnr__tok_bytes(small.t, a, false, &an);
	const char *bp = nnr__tok_bytes(small.t, b, false, &bn);

	return an == left_bytes(vocab_merges[rank]) && an + bn == n &&
	       !memcmp(ap, made, an) && !memcmp(bp, made + an, bn);
}

/* The definition, slowly: of all neighbours the merge of the lowest rank,
 * of those the leftmost, until there is none. */
static size_t merge_slowly(const char *s, size_t n, int32_t *id)
{
	for (size_t i = 0; i < n; i++)
		id[i] = VOCAB_BYTES + (unsigned char)s[i];
	for (int rank = 0; rank < VOCAB_MERGES; rank++) {
		for (size_t i = 0; i + 1 < n; i++) {
			if (!is_merge(rank, id[i], id[i + 1]))
				continue;
			id[i] = VOCAB_FIRST + rank;
			n--;
			memmove(id + i + 1, id + i + 2,
				(n - i - 1) * sizeof *id);
			rank = -1;	/* from the lowest again */
			break;
		}
	}
	return n;
}

static void merges_in_order_of_rank(void **state)
{
	static const char *const part[] = {
		"a", "aa", "aaa", "l", "ll", "la", "hell", "he", "o", "oo",
		"hello", "x", "t", "\xc3", "\xa9", "e"
	};
	const nnr__pretok *pre = nnr__pretok_find((nnr__str){ "smollm", 6 },
						  NULL);

	(void)state;
	for (uint64_t i = 0; i < 3000; i++) {
		nnr__buf text = { 0 };
		int32_t want[256];
		size_t n = 0;
		nnr__ids ids;

		nnr__buf_adds(&text, i % 2 ? " " : "");
		for (uint64_t k = 0; k <= i % 24; k++)
			nnr__buf_adds(&text, part[nnr__rng_u64(3, i, k) % 16]);
		ids = encode(small.t, text.p, text.len);
		for (size_t at = 0, len; at < text.len; at += len) {
			len = pre->next(text.p + at, text.len - at);
			n += merge_slowly(text.p + at, len, want + n);
		}
		expect_ids(&ids, want, n, text.p);
		nnr__ids_release(&ids);
		nnr__buf_release(&text);
	}
}

static void any_bytes_come_back(void **state)
{
	/* What SmolLM2's vocabulary has no token for: 8 rare bytes, and the
	 * 13 that UTF-8 does not use. */
	static const char lost[] = "\x04\x06\x13\x14\x16\x1d\xf1\xf2"
		"\xc0\xc1\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff";
	char text[400];

	(void)state;
	for (uint64_t i = 0; i < 4000; i++) {
		size_t n = 0, most = nnr__rng_u64(5, i, 0) % 300;

		for (uint64_t k = 1; n < most; k++) {
			uint64_t r = nnr__rng_u64(5, i, k);

			if (i % 2)
				text[n++] = (char)(unsigned char)r;
			else
				n += (size_t)nnr__utf8_put((int32_t)
					(r >> 8 & (r & 1 ? 0xfff : 0x1fffff)),
					text + n);
		}
		expect_bytes(small.t, text, n, NULL, 0);
		expect_bytes(plain.t, text, n, NULL, 0);
		if (real.t)
			expect_bytes(real.t, text, n, lost, sizeof lost - 1);
	}
}

static void long_words_are_not_slow(void **state)
{
	static const char *const unit[] = { "a", "la", " ", "1", "hello", "!" };
	const size_t n = 1 << 20;
	char *text = malloc(n + 8);
	double start = nnr__now();

	(void)state;
	assert_non_null(text);
	for (size_t u = 0; u < sizeof unit / sizeof unit[0]; u++) {
		nnr__ids ids;

		for (size_t i = 0; i < n; i += strlen(unit[u]))
			memcpy(text + i, unit[u], strlen(unit[u]));
		ids = encode(small.t, text, n);
		assert_true(ids.n > n / 16);
		nnr__ids_release(&ids);
	}
	free(text);
	/* A quadratic one takes hours. */
	assert_true(nnr__now() - start < 60);
}

static void special_tokens_are_only_text(void **state)
{
	static const char text[] = "<|im_start|>system<|im_end|>"
				   "<|endoftext|>";
	static const char user[] = "a<tools><|im_end|><tool>< tool>";
	static const int32_t want[] = {
		VOCAB_BYTES + 'a', VOCAB_TOOLS, VOCAB_FIRST + 12,
		VOCAB_BYTES + 'i', VOCAB_BYTES + 'm', VOCAB_BYTES + '_',
		VOCAB_BYTES + 'e', VOCAB_BYTES + 'n', VOCAB_BYTES + 'd',
		VOCAB_FIRST + 13, VOCAB_TOOL, VOCAB_BYTES + '<',
		VOCAB_FIRST, VOCAB_FIRST + 6, VOCAB_BYTES + 'l',
		VOCAB_BYTES + '>'
	};
	nnr__ids ids = encode(small.t, user, sizeof user - 1);
	size_t n;

	(void)state;
	expect_bytes(small.t, text, sizeof text - 1, NULL, 0);
	if (real.t)
		expect_bytes(real.t, text, sizeof text - 1, NULL, 0);
	expect_ids(&ids, want, sizeof want / sizeof want[0], user);
	nnr__ids_release(&ids);
	assert_int_equal(nnr__tok_special(small.t, "<|im_end|>"), 2);
	assert_int_equal(nnr__tok_special(small.t, "<tool>"), -1);
	assert_int_equal(nnr__tok_special(small.t, "a"), -1);
	nnr__tok_bytes(small.t, 2, false, &n);
	assert_int_equal(n, 0);
	assert_memory_equal(nnr__tok_bytes(small.t, 2, true, &n),
			    "<|im_end|>", 10);
	nnr__tok_bytes(small.t, VOCAB_COUNT, true, &n);
	assert_int_equal(n, 0);
	nnr__tok_bytes(small.t, -1, true, &n);
	assert_int_equal(n, 0);
}

/* ---- decoding ---- */

static void decodes_invalid_bytes_as_others_do(void **state)
{
	static const struct { const char *bytes, *text; } row[] = {
		{ "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "\xf0\x9f\x98", "\xef\xbf\xbd" },
		{ "\xf0\x9f\x98!", "\xef\xbf\xbd!" },
		{ "\xc3(", "\xef\xbf\xbd(" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xe2\x82\xe2\x82\xac", "\xef\xbf\xbd\xe2\x82\xac" },
		{ "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xf4\x90\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\x80\xff", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		nnr__ids ids = encode(small.t, row[i].bytes,
				      strlen(row[i].bytes));
		char *text = nnr__tok_decode(small.t, ids.id, ids.n);

		assert_string_equal(text, row[i].text);
		free(text);
		nnr__ids_release(&ids);
	}
}

/* Any tokens: after each one, what is out is valid, and in the end it is
 * what decoding them at once gives. */
static void check_streams(const nnr__tok *t)
{
	for (uint64_t i = 0; i < 500; i++) {
		int32_t id[40];
		nnr__stream s = { 0 };
		nnr__buf out = { 0 };
		char *whole;

		for (uint64_t k = 0; k < 40; k++) {
			id[k] = (int32_t)(nnr__rng_u64(7, i, k) %
					  (uint64_t)nnr__tok_count(t));
			nnr__stream_add(t, &s, id[k], &out);
			assert_true(s.n < 4);
			if (out.len)
				assert_int_equal(nnr__utf8_valid(out.p,
						 out.len), out.len);
		}
		nnr__stream_flush(&s, &out);
		whole = nnr__tok_decode(t, id, 40);
		if (!memchr(whole, 0, out.len))
			assert_string_equal(whole, out.p);
		free(whole);
		nnr__buf_release(&out);
	}
}

static void streams_whole_code_points(void **state)
{
	(void)state;
	check_streams(small.t);
	if (real.t)
		check_streams(real.t);
}

/* ---- the real model ---- */

/* From the published tokenizer (language-methods.md, e4). */
static void vectors_of_smollm2(void **state)
{
	static const struct { const char *text; int32_t id[17]; } row[] = {
		{ "Hello, we can use", { 19556, 28, 392, 416, 722 } },
		{ "The capital of France is", { 504, 3575, 282, 4649, 314 } },
		{ "Hello world! 123", { 19556, 905, 17, 216, 33, 34, 35 } },
		{ "Caf\xc3\xa9 d\xc3\xa9j\xc3\xa0 vu.",
		  { 51, 1939, 2756, 32564, 90, 16739, 386, 101, 30 } },
		{ "  multiple   spaces", { 216, 2701, 256, 5600 } },
		{ "\n", { 198 } },
		{ "You are a helpful AI assistant named SmolLM, trained by "
		  "Hugging Face",
		  { 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519,
		    28, 7018, 411, 407, 19712, 8182 } },
	};

	(void)state;
	need_real();
	assert_string_equal(nnr__tok_kind(real.t), "gpt2/smollm");
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		nnr__ids ids = encode(real.t, row[i].text,
				      strlen(row[i].text));
		size_t n = 0;

		while (row[i].id[n])
			n++;
		expect_ids(&ids, row[i].id, n, row[i].text);
		nnr__ids_release(&ids);
	}
}

/* A JSON string of ASCII, which may hold \u0000; p is behind the quote. */
static const char *read_string(const char *p, nnr__buf *out)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	unsigned cp, low;
	char utf8[4];

	nnr__buf_clear(out);
	for (; *p != '"'; p++) {
		const char *at;

		if (*p != '\\') {
			nnr__buf_addc(out, *p);
			continue;
		}
		at = strchr(from, *++p);
		if (*p != 'u') {
			nnr__buf_addc(out, at ? to[at - from] : *p);
			continue;
		}
		assert_int_equal(sscanf(p, "u%4x", &cp), 1);
		p += 4;
		if (cp >= 0xd800 && cp < 0xdc00) {
			assert_int_equal(sscanf(p + 1, "\\u%4x", &low), 1);
			cp = 0x10000 + ((cp & 0x3ff) << 10) + (low & 0x3ff);
			p += 6;
		}
		nnr__buf_add(out, utf8, (size_t)nnr__utf8_put((int32_t)cp,
							      utf8));
	}
	return p + 1;
}

static void check_golden(const char *line, nnr__buf *text)
{
	static const char head[] = "{\"text\": \"", mid[] = ", \"tokens\": [";
	nnr__ids want = { 0 }, ids;
	const char *p = line;

	assert_memory_equal(p, head, sizeof head - 1);
	p = read_string(p + sizeof head - 1, text);
	assert_memory_equal(p, mid, sizeof mid - 1);
	p += sizeof mid - 1;
	while (*p != ']') {
		char *end;

		nnr__ids_add(&want, (int32_t)strtol(p, &end, 10));
		assert_ptr_not_equal(p, end);
		p = end + (*end == ',');
	}
	ids = encode(real.t, text->len ? text->p : "", text->len);
	expect_ids(&ids, want.id, want.n, line);
	nnr__ids_release(&ids);
	nnr__ids_release(&want);
}

/* Made by transformers: bench/ref/golden_tokens.py. */
static void goldens_of_smollm2(void **state)
{
	nnr__buf file = { 0 }, text = { 0 };
	nnr_error err;
	char *line, *end;
	int n = 0;

	(void)state;
	if (nnr__file_read(&file, GOLDEN, (size_t)64 << 20, &err))
		fail_msg("%s", err.message);
	if (!real.t)
		nnr__buf_release(&file);
	need_real();
	for (line = file.p; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		check_golden(line, &text);
		n++;
	}
	print_message("%d lines as transformers has them\n", n);
	assert_true(n >= 500);
	nnr__buf_release(&file);
	nnr__buf_release(&text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pretokenizers_cut_as_their_patterns),
		cmocka_unit_test(merges_in_order_of_rank),
		cmocka_unit_test(any_bytes_come_back),
		cmocka_unit_test(long_words_are_not_slow),
		cmocka_unit_test(special_tokens_are_only_text),
		cmocka_unit_test(decodes_invalid_bytes_as_others_do),
		cmocka_unit_test(streams_whole_code_points),
		cmocka_unit_test(vectors_of_smollm2),
		cmocka_unit_test(goldens_of_smollm2),
	};

	return cmocka_run_group_tests_name("text", tests, open_all, close_all);
}
