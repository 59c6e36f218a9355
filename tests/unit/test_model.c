/* SPDX-License-Identifier: Apache-2.0
 *
 * From a well-formed GGUF file to a backbone: hyper-parameters and shapes
 * that do not fit each other, tensors missing or not understood, the graph's
 * sites, the digest and its cache, what a model reference resolves to, and
 * the description that `model info` prints.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../synth_gguf.h"
#include "load/pull.h"

/* ---- helpers ---- */

static int open_model(nnr__backbone **b, const nnr__buf *file, nnr_error *err)
{
	nnr__gguf *g;
	int r = nnr__gguf_parse(&g, file->p, file->len, err);

	*b = NULL;
	return r ? r : nnr__backbone_new(b, g, err);
}

/* Takes the file over. */
static void expect(nnr__buf *file, int code, const char *words)
{
	nnr_error err = { 0 };
	nnr__backbone *b;

	assert_int_equal(open_model(&b, file, &err), code);
	nnr__backbone_close(b);
	if (code && !strstr(err.message, words))
		fail_msg("got \"%s\", expected \"%s\"", err.message, words);
	nnr__buf_release(file);
}

/* Where the bytes after this string (a key, a tensor name) begin. */
static char *after(nnr__buf *file, const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i + n <= file->len; i++)
		if (!memcmp(file->p + i, s, n))
			return file->p + i + n;
	fail_msg("%s is not in the file", s);
	return NULL;
}

/* Tiny with the value of an u32 key, or the bits of an f32 key, changed. */
static void expect_key(const char *key, uint32_t v, int code,
		       const char *words)
{
	nnr__buf file = { 0 };

	synth_tiny(&file);
	memcpy(after(&file, key) + 4, &v, 4);
	expect(&file, code, words);
}

/* Tiny with one dimension of a tensor changed. */
static void expect_dim(const char *tensor, int dim, uint64_t v,
		       const char *words)
{
	nnr__buf file = { 0 };

	synth_tiny(&file);
	memcpy(after(&file, tensor) + 4 + 8 * dim, &v, 8);
	expect(&file, NNR_E_FORMAT, words);
}

/* A folder of our own for the cache and the configuration. */
static char folder[] = "/tmp/nnr-test-XXXXXX";

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	setenv("NNR_CACHE", folder, 1);
	setenv("NNR_CONFIG", folder, 1);
	return 0;
}

static char *in_folder(const char *name)
{
	return nnr__path_join(folder, name);
}

static void write_in(const char *name, const void *data, size_t n)
{
	char *path = in_folder(name);
	nnr_error err;

	if (nnr__file_write(path, data, n, &err))
		fail_msg("%s", err.message);
	free(path);
}

/* ---- hyper-parameters ---- */

static void test_sizes(void **state)
{
	nnr__buf file = { 0 };
	nnr_error err;
	nnr__backbone *b;

	(void)state;
	synth_tiny(&file);
	assert_int_equal(open_model(&b, &file, &err), 0);
	assert_int_equal(b->layers, 1);
	assert_int_equal(b->hidden, 32);
	assert_int_equal(b->heads, 2);
	assert_int_equal(b->kv_heads, 1);
	assert_int_equal(b->dim, 16);
	assert_int_equal(b->vocab, SYNTH_VOCAB);
	assert_int_equal(b->context, SYNTH_CONTEXT);
	assert_true(b->tied);
	assert_ptr_equal(b->head.data, b->embed.data);
	assert_int_equal(b->embed.row_bytes, 34);
	assert_int_equal(b->parameters, 32 * (SYNTH_VOCAB + 3 + 6 * 32));
	assert_true(b->rope_inv[0] == 1.0f);
	nnr__backbone_close(b);
	nnr__buf_release(&file);
}

static void test_hyper(void **state)
{
	const int bad = NNR_E_FORMAT, no = NNR_E_UNSUPPORTED;
	const uint32_t nan_bits = 0x7fc00000, inf_bits = 0x7f800000;
	const char *eps = "llama.attention.layer_norm_rms_epsilon";
	const char *heads = "llama.attention.head_count";

	(void)state;
	expect_key("llama.block_count", 0, bad, "llama.block_count is 0; 1 to "
		   "1024 expected");
	expect_key("llama.block_count", UINT32_MAX, bad, "is 4294967295");
	expect_key("llama.embedding_length", 0x80000000, bad,
		   "llama.embedding_length is 2147483648");
	expect_key("llama.embedding_length", 48, no, "multiple of 16");
	expect_key("llama.feed_forward_length", 33, no, "feed_forward_length "
		   "is 33; a multiple of 32 expected");
	expect_key("llama.context_length", 0, bad, "llama.context_length");
	expect_key(heads, 0, bad, "head_count is 0; 1 to 1024");
	expect_key(heads, 3, no, "heads of 10 values");
	expect_key(heads, 1024, no, "heads of 0 values");
	expect_key("llama.attention.head_count_kv", 3, bad, "2 heads do not "
		   "share 3");
	expect_key(eps, 0, bad, "epsilon is 0; above 0 and at most 1");
	expect_key(eps, nan_bits, bad, "epsilon is nan");
	expect_key("llama.rope.freq_base", inf_bits, bad, "freq_base is inf");
	expect_key("llama.rope.freq_base", 0, bad, "freq_base is 0");
}

/* Tiny with a key or tensor more. */
static void expect_more(void (*add)(synth *s), int code, const char *words)
{
	nnr__buf file = { 0 };
	synth s = { 0 };

	synth_llama_keys(&s);
	synth_tokenizer_keys(&s);
	add(&s);
	synth_tiny_tensors(&s);
	synth_end(&s, &file);
	expect(&file, code, words);
}

static void add_unknown(synth *s)
{
	synth_f32(s, "llama.rope.scaling.factor", 4);
}

static void add_scaling(synth *s)
{
	synth_text(s, "llama.rope.scaling.type", "yarn");
}

static void add_no_scaling(synth *s)
{
	synth_text(s, "llama.rope.scaling.type", "none");
	synth_u32(s, "llama.vocab_size", SYNTH_VOCAB);
	synth_u32(s, "llama.rope.dimension_count", SYNTH_DIM);
	synth_u32(s, "llama.expert_count", 0);
	synth_u32(s, "llamas.are.fine", 1);
}

static void add_experts(synth *s)
{
	synth_u32(s, "llama.expert_count", 8);
}

static void add_vocab(synth *s)
{
	synth_u32(s, "llama.vocab_size", SYNTH_VOCAB + 1);
}

static void add_partial_rope(synth *s)
{
	synth_u32(s, "llama.rope.dimension_count", 8);
}

static void add_wide_heads(synth *s)
{
	synth_u32(s, "llama.attention.key_length", 32);
	synth_u32(s, "llama.attention.value_length", 32);
}

static void test_keys(void **state)
{
	const int bad = NNR_E_FORMAT, no = NNR_E_UNSUPPORTED;

	(void)state;
	expect_more(add_unknown, no, "key llama.rope.scaling.factor: this "
		    "build does not know");
	expect_more(add_scaling, no, "rope scaling \"yarn\"");
	expect_more(add_no_scaling, 0, "");
	expect_more(add_experts, no, "a mixture of 8 experts");
	expect_more(add_vocab, bad, "vocab_size is 25, but token_embd.weight "
		    "has 24 rows");
	expect_more(add_partial_rope, no, "keys of 16, values of 16 and "
		    "rotation of 8");
	expect_more(add_wide_heads, bad, "tensor blk.0.attn_q.weight has "
		    "shape 32 x 32; 32 x 64 expected");
}

/* ---- tensors ---- */

static void test_shapes(void **state)
{
	(void)state;
	expect_dim("token_embd.weight", 1, SYNTH_VOCAB - 1, "the tokenizer "
		   "has 24 tokens, but token_embd.weight has 23 rows");
	expect_dim("blk.0.attn_q.weight", 1, 31, "tensor blk.0.attn_q.weight "
		   "has shape 32 x 31; 32 x 32 expected");
	expect_dim("blk.0.attn_norm.weight", 0, 31, "tensor blk.0.attn_norm."
		   "weight has shape 31; 32 expected");
}

static void test_missing(void **state)
{
	nnr__buf file = { 0 };
	synth s = { 0 };

	(void)state;
	synth_tiny(&file);
	memcpy(after(&file, "blk.0.attn_") - 2, "p", 1);
	expect(&file, NNR_E_FORMAT, "1 tensor is missing: blk.0.attn_norm.w");
	synth_llama_keys(&s);
	synth_tensor(&s, "token_embd.weight", NNR__Q8_0, 32, 24);
	synth_end(&s, &file);
	expect(&file, NNR_E_FORMAT, "10 tensors are missing: "
	       "blk.0.attn_norm.weight, blk.0.attn_q.weight, "
	       "blk.0.attn_k.weight, blk.0.attn_v.weight, "
	       "blk.0.attn_output.weight, blk.0.ffn_norm.weight, ...");
	synth_llama_keys(&s);
	synth_end(&s, &file);
	expect(&file, NNR_E_FORMAT, "tensor token_embd.weight is missing");
}

static void add_bias(synth *s)
{
	synth_tensor(s, "blk.0.attn_q.bias", NNR__F32, 32, 1);
	synth_tensor(s, "rope_freqs.weight", NNR__F32, 8, 1);
}

static void add_head(synth *s)
{
	synth_tensor(s, "output.weight", NNR__F16, 32, SYNTH_VOCAB);
}

static void test_unexpected(void **state)
{
	(void)state;
	expect_more(add_bias, NNR_E_UNSUPPORTED, "2 tensors this build would "
		    "not use in such a model: blk.0.attn_q.bias, "
		    "rope_freqs.weight");
	expect_more(add_head, 0, "");
}

static void test_norms(void **state)
{
	const uint32_t nan_bits = 0x7fc00000, f16 = 1;
	nnr__buf file = { 0 };

	(void)state;
	synth_tiny(&file);
	memcpy(file.p + file.len - 4, &nan_bits, 4);
	expect(&file, NNR_E_FORMAT, "tensor output_norm.weight: value 31 is "
	       "not finite");
	synth_tiny(&file);
	memcpy(after(&file, "output_norm.weight") + 12, &f16, 4);
	expect(&file, NNR_E_UNSUPPORTED, "tensor output_norm.weight has type "
	       "F16; F32 expected");
}

/* ---- the graph ---- */

static void test_graph(void **state)
{
	nnr__buf file = { 0 };
	const nnr__graph *g;
	nnr__backbone *b;
	nnr_error err;
	int wanted = 0;

	(void)state;
	synth_tiny(&file);
	assert_int_equal(open_model(&b, &file, &err), 0);
	g = b->graph;
	assert_int_equal(nnr__backbone_site(b, "embed"), 1);
	assert_int_equal(nnr__backbone_site(b, "block.0.in"), 1);
	assert_int_equal(nnr__backbone_site(b, "features"), g->nodes - 1);
	assert_int_equal(nnr__backbone_site(b, "block.0.out"), g->nodes - 2);
	assert_int_equal(nnr__backbone_site(b, "block.1.in"), g->nodes - 2);
	assert_true(nnr__backbone_site(b, "block.0.attn") > 1);
	assert_int_equal(nnr__backbone_site(b, "block.1.out"), 0);
	assert_int_equal(nnr__backbone_site(b, "block.0.in.x"), 0);
	assert_int_equal(nnr__backbone_site(b, "block.-1.in"), 0);
	assert_int_equal(nnr__backbone_site(b, ""), 0);
	for (int i = 1; i < g->nodes; i++)
		wanted += g->node[i].op == NNR__OP_WANTED;
	assert_int_equal(wanted, 2);
	assert_int_equal(g->node[g->nodes - 1].extent, NNR__WANTED);
	nnr__backbone_close(b);
	nnr__buf_release(&file);
}

/* ---- digest ---- */

static void set_times(const char *path, time_t seconds)
{
	struct timespec t[2] = { { .tv_sec = seconds },
				 { .tv_sec = seconds } };

	assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void test_digest(void **state)
{
	char *path = in_folder("big.bin");
	size_t n = (size_t)5 << 20;
	char *data = calloc(n, 1), want[65], hex[65];
	nnr_error err;

	(void)state;
	assert_non_null(data);
	write_in("big.bin", data, n);
	nnr__sha_of(data, n, want);
	assert_int_equal(nnr__model_hash(path, false, hex, &err), 0);
	assert_string_equal(hex, want);
	/* a change is seen, and so is one of the same size */
	data[n / 2] = 1;
	write_in("big.bin", data, n);
	set_times(path, 1000);
	nnr__sha_of(data, n, want);
	assert_int_equal(nnr__model_hash(path, false, hex, &err), 0);
	assert_string_equal(hex, want);
	assert_int_equal(nnr__model_hash("/nonexistent", false, hex, &err),
			 NNR_E_INPUT);
	free(data);
	free(path);
}

/* A cache entry counts while nothing about the file differs; a damaged one
 * never does. */
static void test_digest_cache(void **state)
{
	char *path = in_folder("old.bin"), *entry, fake[65], hex[65];
	size_t n = (size_t)2 << 20;
	char *data = calloc(n, 1), want[65];
	nnr__buf line = { 0 };
	nnr_error err;
	struct stat st;
	char name[64];

	(void)state;
	assert_non_null(data);
	write_in("old.bin", data, n);
	nnr__sha_of(data, n, want);
	assert_int_equal(stat(path, &st), 0);
	snprintf(name, sizeof name, "hashes/%llx-%llx",
		 (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	memset(fake, 'a', 64);
	fake[64] = '\0';
	nnr__buf_addf(&line, "nnr-hash 1 %lld %lld%09ld %lld%09ld %s\n",
		      (long long)st.st_size, (long long)st.st_mtim.tv_sec,
		      st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec,
		      st.st_ctim.tv_nsec, fake);
	entry = in_folder("hashes");
	assert_int_equal(nnr__mkdirs(entry, &err), 0);
	free(entry);
	write_in(name, line.p, line.len);
	assert_int_equal(nnr__model_hash(path, false, hex, &err), 0);
	assert_string_equal(hex, fake);
	assert_int_equal(nnr__model_hash(path, true, hex, &err), 0);
	assert_string_equal(hex, want);
	for (size_t i = 0; i < line.len; i++) {
		char was = line.p[i];

		line.p[i] = '~';
		write_in(name, line.p, line.len);
		assert_int_equal(nnr__model_hash(path, false, hex, &err), 0);
		assert_string_equal(hex, want);
		line.p[i] = was;
		write_in(name, line.p, i);
		assert_int_equal(nnr__model_hash(path, false, hex, &err), 0);
		assert_string_equal(hex, want);
	}
	nnr__buf_release(&line);
	free(data);
	free(path);
}

/* ---- references ---- */

static void resolves(const char *ref, const char *base, const char *expected)
{
	nnr_error err;
	char *path;

	if (nnr__model_resolve(&path, ref, base, &err))
		fail_msg("%s: %s", ref, err.message);
	assert_string_equal(path, expected);
	free(path);
}

static void refused(const char *ref, int code, const char *words)
{
	nnr_error err = { 0 };
	char *path;
	int r = nnr__model_resolve(&path, ref, NULL, &err);

	assert_null(path);
	if (r != code || !strstr(err.message, words))
		fail_msg("%s: got %d \"%s\", expected %d \"%s\"", ref, r,
			 err.message, code, words);
}

static void write_aliases(const char *text)
{
	write_in("models.yaml", text, strlen(text));
}

static void test_resolve(void **state)
{
	char *model = in_folder("some-model"), hex[65], ref[512];

	(void)state;
	write_in("some-model", "abc", 3);
	nnr__sha_of("abc", 3, hex);
	resolves(model, NULL, model);
	resolves(model, "/nonexistent", model);
	resolves("some-model", folder, model);
	snprintf(ref, sizeof ref, "some-model@sha256:%s", hex);
	resolves(ref, folder, model);
	ref[strlen("some-model@sha256:")] = 'B';	/* of ba78... */
	resolves(ref, folder, model);
	snprintf(ref, sizeof ref, "%s@sha256:%s", model, hex);
	ref[strlen(ref) - 1] ^= 1;
	refused(ref, NNR_E_INPUT, "was asked for");
	ref[strlen(ref) - 1] = 0;
	refused(ref, NNR_E_INPUT, "64 hexadecimal digits");
	refused("", NNR_E_INPUT, "the model's name is empty");
	refused("@sha256:", NNR_E_INPUT, "64 hexadecimal digits");
	refused("smolm2-135m-instruct", NNR_E_INPUT, "no model named "
		"'smolm2-135m-instruct'; did you mean "
		"'smollm2-135m-instruct'?");
	refused("xyz", NNR_E_INPUT, "`nnr model list` shows");
	refused("nowhere/model", NNR_E_INPUT, "no model file");
	refused("model.gguf", NNR_E_INPUT, "no model file 'model.gguf'");
	refused("smollm2-135m-instruct", NNR_E_INPUT, "fetch it with `nnr "
		"model pull smollm2-135m-instruct`");
	free(model);
}

static void test_aliases(void **state)
{
	char *model = in_folder("some-model");

	(void)state;
	write_in("some-model", "abc", 3);
	write_aliases("mine: some-model\nother: /nonexistent/file\n");
	resolves("mine", "/nonexistent", model);
	refused("mime", NNR_E_INPUT, "did you mean 'mine'?");
	refused("other", NNR_E_INPUT, "'/nonexistent/file', which is not "
		"there");
	/* a name of the user's goes before the table's */
	write_aliases("smollm2-135m-instruct: some-model\n");
	resolves("smollm2-135m-instruct", NULL, model);
	write_aliases("- a\n- b\n");
	refused("mine", NNR_E_INPUT, "models.yaml:1:1: one map of alias");
	write_aliases("a: b\nmine:\n  x: y\n");
	refused("mine", NNR_E_INPUT, "models.yaml:3:3: alias mine: a path");
	write_aliases("a: [\n");
	refused("mine", NNR_E_INPUT, "models.yaml:");
	write_aliases("");
	refused("mine", NNR_E_INPUT, "no model named 'mine'");
	free(model);
}

/* A fetched model that is not what the table pins is not used. */
static void test_pulled(void **state)
{
	const char *alias = "smollm2-135m-instruct";
	const nnr__model_row *row = nnr__model_row_of(alias);
	nnr_error err;
	char *path, *dir;
	bool there;

	(void)state;
	assert_non_null(row);
	assert_int_equal(nnr__pull_path(&path, &there, row, &err), 0);
	assert_false(there);
	dir = nnr__path_dir(path);
	assert_int_equal(nnr__mkdirs(dir, &err), 0);
	assert_int_equal(nnr__file_write(path, "x", 1, &err), 0);
	refused(alias, NNR_E_INPUT, "not on this machine yet");
	assert_int_equal(truncate(path, (off_t)row->size), 0);
	refused(alias, NNR_E_FORMAT, "is damaged");
	free(dir);
	free(path);
}

/* ---- description ---- */

static void test_info(void **state)
{
	nnr__buf file = { 0 };
	nnr__arena a = { 0 };
	const nnr__jnode *doc;
	nnr__backbone *b;
	nnr_error err;
	char *path = in_folder("tiny.gguf"), *info, hex[65];

	(void)state;
	synth_tiny(&file);
	write_in("tiny.gguf", file.p, file.len);
	nnr__sha_of(file.p, file.len, hex);
	assert_int_equal(nnr__backbone_open(&b, path, &err), 0);
	info = nnr__backbone_info(b);
	assert_non_null(info);
	assert_int_equal(nnr__json_parse(&a, &doc, "info", info, strlen(info),
					 &err), 0);
	assert_string_equal(nnr__json_get(doc, "sha256")->text, hex);
	assert_string_equal(nnr__json_get(doc, "file")->text, path);
	assert_string_equal(nnr__json_get(doc, "architecture")->text, "llama");
	assert_true(nnr__json_get(doc, "parameters")->num == 7008);
	assert_int_equal(nnr__json_get(doc, "sites")->count, 5);
	assert_int_equal(nnr__json_get(doc, "tensor_types")->count, 6);
	free(info);
	nnr__arena_release(&a);
	nnr__backbone_close(b);
	/* the path stands before what is wrong with the file */
	file.p[0] = 'X';
	write_in("tiny.gguf", file.p, file.len);
	assert_int_equal(nnr__backbone_open(&b, path, &err), NNR_E_FORMAT);
	assert_memory_equal(err.message, path, strlen(path));
	nnr__buf_release(&file);
	free(path);
}

/* ---- removing the folder ---- */

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_hyper),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_unexpected),
		cmocka_unit_test(test_norms),
		cmocka_unit_test(test_graph),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_digest_cache),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_pulled),
		cmocka_unit_test(test_info),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
