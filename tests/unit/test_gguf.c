/* SPDX-License-Identifier: Apache-2.0
 *
 * The GGUF reader and the backbone on bytes that somebody else made: a valid
 * file, the same cut at every byte and with every byte changed, headers made
 * by hand to overflow, and the real model with a damaged header.  Whatever
 * comes in, the answer is a model or one line that says what is wrong.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../synth_gguf.h"
#include "graph/graph.h"
#include "text/text.h"

#define REAL_MODEL "smollm2-135m-instruct"

/* ---- helpers ---- */

/* An error message must be one printable line. */
static void check_message(int r, const nnr_error *err)
{
	assert_true(r < 0);
	assert_int_equal(r, err->code);
	assert_int_equal(nnr_exit_code(r), 3);
	assert_true(strlen(err->message) > 10);
	for (const char *p = err->message; *p; p++)
		assert_true((unsigned char)*p >= 0x20);
	assert_int_equal(nnr__utf8_valid(err->message, strlen(err->message)),
			 strlen(err->message));
}

/* Goes through everything that reads metadata of an accepted file. */
static void use(const nnr__backbone *b)
{
	char *info = nnr__backbone_info(b), *text;
	nnr__ids ids = { 0 };
	nnr_error err = { 0 };
	nnr__tok *tok;
	nnr__chat *chat;
	int r;

	assert_non_null(info);
	free(info);
	assert_true(nnr__backbone_site(b, "features") > 0);
	r = nnr__tok_new(&tok, b->file, &err);
	if (r) {
		check_message(r, &err);
		return;
	}
	assert_int_equal(nnr__tok_encode(tok, "a positive dog 10.", 18, &ids,
					 &err), 0);
	for (size_t i = 0; i < ids.n; i++)
		assert_in_range(ids.id[i], 0, b->vocab - 1);
	text = nnr__tok_decode(tok, ids.id, ids.n);
	assert_non_null(text);
	free(text);
	r = nnr__chat_new(&chat, b->file, tok, &err);
	if (r)
		check_message(r, &err);
	else
		nnr__chat_free(chat);
	nnr__ids_release(&ids);
	nnr__tok_free(tok);
}

/* Opens bytes as a model; 1 if they are one. */
static int open_bytes(const void *data, size_t n, nnr_error *err)
{
	nnr__gguf *g;
	nnr__backbone *b;
	int r;

	*err = (nnr_error){ 0 };
	r = nnr__gguf_parse(&g, data, n, err);
	if (!r)
		r = nnr__backbone_new(&b, g, err);
	if (r) {
		check_message(r, err);
		return 0;
	}
	use(b);
	nnr__backbone_close(b);
	return 1;
}

/* The same on a copy that ends where the bytes end, so that ASan sees a read
 * past it. */
static int open_copy(const void *data, size_t n, nnr_error *err)
{
	char *copy = malloc(n ? n : 1);
	int ok;

	assert_non_null(copy);
	memcpy(copy, data, n);
	ok = open_bytes(copy, n, err);
	free(copy);
	return ok;
}

/* Takes the file over: it must be refused with this code and these words. */
static void expect(nnr__buf *file, int code, const char *words)
{
	nnr_error err;

	assert_false(file->bad);
	assert_false(open_copy(file->p, file->len, &err));
	if (err.code != code || !strstr(err.message, words))
		fail_msg("got %d \"%s\", expected %d \"%s\"", err.code,
			 err.message, code, words);
	nnr__buf_release(file);
}

static void expect_synth(synth *s, int code, const char *words)
{
	nnr__buf file = { 0 };

	synth_end(s, &file);
	expect(&file, code, words);
}

static nnr__buf tiny(void)
{
	nnr__buf b = { 0 };

	synth_tiny(&b);
	assert_false(b.bad);
	return b;
}

/* ---- a valid file ---- */

static void test_valid(void **state)
{
	nnr__buf file = tiny();
	nnr_error err;
	nnr__gguf *g;
	const nnr__tensor *t;
	nnr__str s, *v;
	uint64_t u;
	double d;
	bool flag;
	size_t n;

	(void)state;
	assert_true(file.len < 8000);
	assert_true(open_copy(file.p, file.len, &err));
	assert_int_equal(nnr__gguf_parse(&g, file.p, file.len, &err), 0);
	assert_int_equal(g->version, 3);
	assert_int_equal(g->tensors, 11);
	t = nnr__gguf_tensor(g, "blk.0.attn_k.weight");
	assert_non_null(t);
	assert_int_equal(t->type, NNR__BF16);
	assert_int_equal(t->dim[0], 32);
	assert_int_equal(t->dim[1], 16);
	assert_int_equal(t->bytes, 1024);
	assert_null(nnr__gguf_tensor(g, "blk.0.attn_k"));
	assert_int_equal(nnr__gguf_uint(g, "llama.block_count", &u, &err), 1);
	assert_int_equal(u, 1);
	assert_int_equal(nnr__gguf_uint(g, "llama.none", &u, &err), 0);
	assert_true(nnr__gguf_uint(g, "llama.rope.freq_base", &u, &err) < 0);
	assert_int_equal(nnr__gguf_num(g, "llama.rope.freq_base", &d, &err),
			 1);
	assert_true(d == 10000);
	assert_int_equal(nnr__gguf_num(g, "llama.block_count", &d, &err), 1);
	assert_true(d == 1);
	assert_true(nnr__gguf_bool(g, "llama.block_count", &flag, &err) < 0);
	assert_int_equal(nnr__gguf_str(g, "tokenizer.ggml.pre", &s, &err), 1);
	assert_int_equal(s.n, 6);
	assert_memory_equal(s.p, "smollm", 6);
	assert_int_equal(nnr__gguf_strings(g, "tokenizer.ggml.tokens", &v, &n,
					   &err), 1);
	assert_int_equal(n, SYNTH_VOCAB);
	assert_int_equal(v[22].n, 5);
	free(v);
	nnr__gguf_close(g);
	nnr__buf_release(&file);
}

static void test_version_2(void **state)
{
	nnr__buf file = tiny();
	nnr_error err;

	(void)state;
	file.p[4] = 2;
	assert_true(open_copy(file.p, file.len, &err));
	nnr__buf_release(&file);
}

/* ---- damage ---- */

static void test_every_cut(void **state)
{
	nnr__buf file = tiny();
	nnr_error err;

	(void)state;
	for (size_t n = 0; n < file.len; n++)
		assert_false(open_copy(file.p, n, &err));
	nnr__buf_release(&file);
}

static void test_every_byte(void **state)
{
	nnr__buf file = tiny();
	int valid = 0, refused = 0;
	nnr_error err;

	(void)state;
	for (size_t i = 0; i < file.len; i++) {
		const unsigned char was = (unsigned char)file.p[i];
		const unsigned char now[] = {
			(unsigned char)(was ^ 0xff), (unsigned char)(was + 1),
			(unsigned char)(was ^ 1), 0, 255
		};

		for (size_t k = 0; k < sizeof now; k++) {
			file.p[i] = (char)now[k];
			if (open_bytes(file.p, file.len, &err))
				valid++;
			else
				refused++;
		}
		file.p[i] = (char)was;
	}
	print_message("every byte: %d files valid, %d refused\n", valid,
		      refused);
	assert_true(valid > 1000 && refused > 1000);
	nnr__buf_release(&file);
}

/* Random bytes in random places, several at once. */
static void test_random(void **state)
{
	nnr__buf file = tiny();
	char *copy = malloc(file.len);
	nnr_error err;

	(void)state;
	assert_non_null(copy);
	for (uint64_t i = 0; i < 3000; i++) {
		uint64_t r = nnr__rng_u64(3, i, 0);
		uint64_t changes = 1 + r % 8;

		memcpy(copy, file.p, file.len);
		for (uint64_t k = 1; k <= changes; k++) {
			uint64_t where = nnr__rng_u64(3, i, 2 * k);
			uint64_t what = nnr__rng_u64(3, i, 2 * k + 1);

			copy[where % 1700] = (char)(unsigned char)what;
		}
		open_bytes(copy, file.len, &err);
	}
	free(copy);
	nnr__buf_release(&file);
}

/* ---- damaged weights, run ---- */

/* Three tokens through a backbone: whatever its numbers are, the answer is a
 * token of its vocabulary. */
static void run_model(const nnr__backbone *b, nnr__pool *pool,
		      nnr_precision mode)
{
	const int32_t token[] = { 1, 4, 22 }, want[] = { 0, 2 };
	nnr__run run = { .n = 3 };
	nnr__chunk chunk = { .token = token, .run = &run, .runs = 1,
			     .rows = 3, .want = want, .wants = 2 };
	float z[2];
	int best[2];
	const float *features;
	nnr__store *store;
	nnr__exec *e;
	nnr_error err;

	assert_int_equal(nnr__store_new(&store, b->layers, b->kv_heads,
					b->dim, 1 << 20, &err), 0);
	assert_int_equal(nnr__exec_new(&e, b->graph, pool, nnr__kernels_best(),
				       mode, 4, 16, &err), 0);
	run.seq = nnr__seq_new(store);
	assert_non_null(run.seq);
	assert_int_equal(nnr__exec_run(e, &chunk, &features, &err), 0);
	assert_int_equal(nnr__exec_logz(e, features, 2, &b->head, (nnr__logz){
					.out = z, .best = best }, &err), 0);
	for (int i = 0; i < 2; i++)
		assert_in_range(best[i], 0, b->vocab - 1);
	nnr__seq_free(run.seq);
	nnr__exec_free(e);
	nnr__store_free(store);
}

static void test_run_damaged(void **state)
{
	nnr__buf file = tiny();
	nnr_error err;
	nnr__backbone *b;
	nnr__pool *pool;
	nnr__gguf *g;
	int ran = 0;

	(void)state;
	assert_int_equal(nnr__pool_new(&pool, 1, &err), 0);
	for (size_t i = 0; i < file.len; i += 5) {
		const char was = file.p[i];

		/* 7f makes infinities and NaNs of half the scales */
		file.p[i] = (char)(i % 2 ? 0x7f : 0xff);
		if (!nnr__gguf_parse(&g, file.p, file.len, &err) &&
		    !nnr__backbone_new(&b, g, &err)) {
			run_model(b, pool, i % 3 ? NNR_FAST : NNR_EXACT);
			nnr__backbone_close(b);
			ran++;
		}
		file.p[i] = was;
	}
	assert_true(ran > 500);
	nnr__pool_free(pool);
	nnr__buf_release(&file);
}

/* ---- by hand: the header ---- */

/* The tiny file with bytes at a place replaced. */
static nnr__buf patched(size_t at, const void *bytes, size_t n)
{
	nnr__buf file = tiny();

	memcpy(file.p + at, bytes, n);
	return file;
}

static void test_header(void **state)
{
	const uint64_t huge = UINT64_MAX, more = 1 << 20, many = 65537;
	nnr__buf b;

	(void)state;
	b = (nnr__buf){ 0 };
	nnr__buf_adds(&b, "");
	expect(&b, NNR_E_FORMAT, "not a GGUF file");
	b = patched(0, "GGML", 4);
	expect(&b, NNR_E_FORMAT, "not a GGUF file");
	b = patched(4, "\1\0\0\0", 4);
	expect(&b, NNR_E_UNSUPPORTED, "GGUF version 1; this build reads "
	       "versions 2 and 3");
	b = patched(4, "\4\0\0\0", 4);
	expect(&b, NNR_E_UNSUPPORTED, "GGUF version 4");
	b = patched(4, "\0\0\0\3", 4);
	expect(&b, NNR_E_UNSUPPORTED, "big-endian");
	b = patched(8, &huge, 8);
	expect(&b, NNR_E_FORMAT, "18446744073709551615 tensors in a file of");
	b = patched(8, &many, 8);
	expect(&b, NNR_E_FORMAT, "65537 tensors");
	b = patched(16, &huge, 8);
	expect(&b, NNR_E_FORMAT, "18446744073709551615 keys");
	b = patched(16, &more, 8);
	expect(&b, NNR_E_FORMAT, "1048576 keys");
	b = patched(24, &huge, 8);
	expect(&b, NNR_E_FORMAT, "a key of 18446744073709551615 bytes; at "
	       "most 1024 are allowed at byte 24");
	b = patched(24, "\0\0\0\0\0\0\0\0", 8);
	expect(&b, NNR_E_FORMAT, "a key is empty");
	b = patched(32, "\n", 1);
	expect(&b, NNR_E_FORMAT, "control character at byte 32");
	b = patched(32, "\xff", 1);
	expect(&b, NNR_E_FORMAT, "not UTF-8");
}

static void test_keys(void **state)
{
	synth s = { 0 };

	(void)state;
	synth_u32(&s, "twice", 1);
	synth_u32(&s, "twice", 1);
	expect_synth(&s, NNR_E_FORMAT, "key twice comes twice");
	synth_key(&s, "odd", (nnr__gtype)13);
	synth_bits(&s.head, 0, 8);
	expect_synth(&s, NNR_E_FORMAT, "key odd: a value has type 13");
	synth_key(&s, "flag", NNR__G_BOOL);
	synth_bits(&s.head, 2, 1);
	expect_synth(&s, NNR_E_FORMAT, "a bool of 2");
	synth_key(&s, "text", NNR__G_STRING);
	synth_bits(&s.head, UINT64_MAX - 7, 8);
	expect_synth(&s, NNR_E_FORMAT, "key text: a string of");
	synth_u32(&s, "general.alignment", 48);
	expect_synth(&s, NNR_E_FORMAT, "a power of two from 8 to 4096");
	synth_u32(&s, "general.alignment", 0);
	expect_synth(&s, NNR_E_FORMAT, "general.alignment is 0");
	synth_text(&s, "general.alignment", "32");
	expect_synth(&s, NNR_E_FORMAT, "general.alignment is not a whole");
	synth_text(&s, "general.architecture", "ll\xff" "ma\n");
	expect_synth(&s, NNR_E_UNSUPPORTED, "architecture \"ll?ma?\"; this "
		     "build knows llama");
	synth_u32(&s, "general.architecture", 1);
	expect_synth(&s, NNR_E_FORMAT, "general.architecture is not a string");
	synth_u32(&s, "a", 1);
	expect_synth(&s, NNR_E_FORMAT, "general.architecture is missing");
	synth_text(&s, "general.type", "adapter");
	expect_synth(&s, NNR_E_UNSUPPORTED, "general.type is \"adapter\"");
	synth_u32(&s, "split.count", 3);
	expect_synth(&s, NNR_E_UNSUPPORTED, "one of 3 parts");
}

static void test_arrays(void **state)
{
	synth s = { 0 };

	(void)state;
	synth_array(&s, "v", NNR__G_U32, UINT64_MAX / 4 + 2);
	expect_synth(&s, NNR_E_FORMAT, "key v: an array of");
	synth_array(&s, "v", NNR__G_U64, UINT64_C(1) << 61);
	expect_synth(&s, NNR_E_FORMAT, "key v: an array of");
	synth_array(&s, "v", NNR__G_STRING, UINT64_C(1) << 40);
	expect_synth(&s, NNR_E_FORMAT, "bytes are left");
	synth_array(&s, "v", NNR__G_STRING, 2);
	synth_str(&s.head, "fits");
	synth_bits(&s.head, 1 << 30, 8);
	expect_synth(&s, NNR_E_FORMAT, "a string of 1073741824 bytes");
	synth_array(&s, "v", (nnr__gtype)99, 1);
	expect_synth(&s, NNR_E_FORMAT, "type 99");
	/* arrays in arrays, deeper than allowed */
	synth_array(&s, "v", NNR__G_ARRAY, 1);
	for (int i = 0; i < 100; i++) {
		synth_bits(&s.head, NNR__G_ARRAY, 4);
		synth_bits(&s.head, 1, 8);
	}
	expect_synth(&s, NNR_E_FORMAT, "nested deeper than 4");
	/* nested as deep as allowed is read */
	synth_array(&s, "v", NNR__G_ARRAY, 2);
	for (int i = 0; i < 2; i++) {
		synth_bits(&s.head, NNR__G_U8, 4);
		synth_bits(&s.head, 3, 8);
		synth_bits(&s.head, 0x030201, 3);
	}
	expect_synth(&s, NNR_E_FORMAT, "general.architecture is missing");
}

/* ---- by hand: tensors ---- */

/* One tensor with these dimensions, type and offset, and 64 bytes of data. */
static void expect_tensor(const uint64_t dim[5], int ndims, uint32_t type,
			  uint64_t offset, int code, const char *words)
{
	synth s = { 0 };

	synth_text(&s, "general.architecture", "llama");
	synth_info(&s, "w", ndims, dim, type, offset);
	for (int i = 0; i < 64; i++)
		nnr__buf_addc(&s.data, 0);
	expect_synth(&s, code, words);
}

static void test_tensors(void **state)
{
	const uint64_t one[5] = { 8, 1, 1, 1 };
	const uint64_t big[5] = { INT32_MAX, INT32_MAX, INT32_MAX, 32 };
	const uint64_t wide[5] = { UINT64_MAX, 1, 1, 1 };
	const uint64_t wrap[5] = { UINT64_C(1) << 32, UINT64_C(1) << 32 };
	const uint64_t none[5] = { 8, 0, 1, 1 };
	const uint64_t bytes[5] = { 1 << 30, 1 << 30, 4, 1 };
	const uint64_t odd[5] = { 33, 1, 1, 1 };
	const int bad = NNR_E_FORMAT;

	(void)state;
	expect_tensor(one, 0, 0, 0, bad, "0 dimensions; 1 to 4");
	expect_tensor(one, 5, 0, 0, bad, "5 dimensions; 1 to 4");
	expect_tensor(big, 4, 0, 0, bad, "tensor w overflow");
	expect_tensor(wide, 1, 0, 0, bad, "dimension 0 of tensor w is 1844");
	expect_tensor(wrap, 2, 0, 0, bad, "dimension 0 of tensor w");
	expect_tensor(none, 2, 0, 0, bad, "dimension 1 of tensor w is 0");
	expect_tensor(bytes, 3, 0, 0, bad, "the size of tensor w overflows");
	expect_tensor(odd, 1, 2, 0, bad, "rows of 33 values; Q4_0 needs a "
		      "multiple of 32");
	expect_tensor(one, 1, 12, 0, NNR_E_UNSUPPORTED, "tensor w has type "
		      "Q4_K (12); this build reads F32 F16 BF16 Q4_0 Q4_1 "
		      "Q8_0");
	expect_tensor(one, 1, 4, 0, NNR_E_UNSUPPORTED, "type unknown (4)");
	expect_tensor(one, 1, UINT32_MAX, 0, NNR_E_UNSUPPORTED,
		      "type unknown (4294967295)");
	expect_tensor(one, 1, 0, 4, bad, "offset 4, not a multiple of 32");
	expect_tensor(one, 1, 0, 64, bad, "runs past the end of the file");
	expect_tensor(one, 1, 0, UINT64_MAX - 31, bad, "runs past the end");
	expect_tensor(one, 1, 0, UINT64_C(1) << 63, bad, "runs past the end");
	expect_tensor(one, 1, 0, 0, bad, "key llama.block_count is missing");
}

static void test_tensor_pairs(void **state)
{
	const uint64_t dim[1] = { 16 };
	synth s = { 0 };

	(void)state;
	synth_info(&s, "w", 1, dim, 0, 0);
	synth_info(&s, "w", 1, dim, 0, 64);
	expect_synth(&s, NNR_E_FORMAT, "tensor w comes twice");
	synth_info(&s, "a", 1, dim, 0, 32);
	synth_info(&s, "b", 1, dim, 0, 0);
	for (int i = 0; i < 96; i++)
		nnr__buf_addc(&s.data, 0);
	expect_synth(&s, NNR_E_FORMAT, "tensors b and a overlap");
}

/* ---- the real file ---- */

/* One way of damaging the header of a file, chosen by r. */
static size_t damage(uint8_t *p, size_t size, size_t header, uint64_t i)
{
	uint64_t r = nnr__rng_u64(7, i, 0);
	/* half of the places in the first 4 kB, where most structure is */
	size_t span = r & 8 ? 4096 : header;
	size_t at = (size_t)(nnr__rng_u64(7, i, 1) % (span - 8));
	uint64_t v = nnr__rng_u64(7, i, 2), ones = UINT64_MAX;

	switch (r % 6) {
	case 0:				/* a byte */
		p[at] ^= (uint8_t)(1 + v % 255);
		break;
	case 1:				/* a word of ones */
		memcpy(p + at, &ones, 8);
		break;
	case 2:				/* a word of anything */
		memcpy(p + at, &v, 8);
		break;
	case 3:				/* a stretch of zeros */
		memset(p + at, 0, (size_t)(v % (span - at)));
		break;
	case 4:				/* a stretch moved */
		memmove(p + at, p + v % span,
			span - (at > v % span ? at : (size_t)(v % span)));
		break;
	default:			/* the rest missing */
		return r & 16 ? (size_t)(v % size) : at;
	}
	return size;
}

/* The file as memory that can be written without changing it. */
static uint8_t *map_copy(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	void *p;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*size = (size_t)st.st_size;
	p = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_true(p != MAP_FAILED);
	close(fd);
	return p;
}

static void test_real(void **state)
{
	const size_t header = (size_t)2 << 20;
	uint8_t *p, *saved = malloc(header);
	nnr_error err;
	size_t size;
	char *path;
	int valid = 0;

	(void)state;
	if (nnr__model_resolve(&path, REAL_MODEL, NULL, &err)) {
		print_message("skipped: %s\n", err.message);
		free(saved);
		skip();
	}
	p = map_copy(path, &size);
	free(path);
	assert_non_null(saved);
	assert_true(size > header);
	memcpy(saved, p, header);
	assert_true(open_bytes(p, size, &err));
	for (uint64_t i = 0; i < 300; i++) {
		size_t n = damage(p, size, header, i);

		valid += open_bytes(p, n, &err);
		memcpy(p, saved, header);
	}
	print_message("real file: %d of 300 damaged ones still valid\n",
		      valid);
	munmap(p, size);
	free(saved);
}

/* With a path as argument: writes the tiny model there (for seeds and the
 * tests of the command). */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_version_2),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_run_damaged),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_tensors),
		cmocka_unit_test(test_tensor_pairs),
		cmocka_unit_test(test_real),
	};
	nnr__buf file = { 0 };
	int r;

	if (argc < 2)
		return cmocka_run_group_tests(tests, NULL, NULL);
	synth_tiny(&file);
	r = nnr__file_write(argv[1], file.p, file.len, NULL);
	nnr__buf_release(&file);
	return r != 0;
}
