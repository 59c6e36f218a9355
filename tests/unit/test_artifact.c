/* SPDX-License-Identifier: Apache-2.0
 *
 * Artifacts: what is written and opened again answers with the same bits and
 * writes the same bytes; a damaged one is refused, and so is one that lies
 * below a right SHA-256, one on another backbone, and one that was never
 * trained.
 */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "../synth_model.h"
#include "program/artifact_int.h"

static char dir[64];
static nnr_model model;

static void put(const char *name, const char *text, size_t n)
{
	char path[160];
	nnr_error err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (nnr__file_write(path, text, n, &err))
		fail_msg("%s", err.message);
}

static char *place(const char *name)
{
	return nnr__path_join(dir, name);
}

static int set_up(void **state)
{
	nnr__buf file = { 0 };
	nnr_error err;

	(void)state;
	strcpy(dir, "/tmp/nnr-artifact-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("NNR_CACHE", dir, 1);
	synth_model(&file);
	put("model.gguf", file.p, file.len);
	nnr__buf_release(&file);
	model.path = place("model.gguf");
	if (nnr__backbone_open(&model.bb, model.path, &err) ||
	    nnr__tok_new(&model.tok, model.bb->file, &err))
		fail_msg("%s", err.message);
	return 0;
}

static int tear_down(void **state)
{
	char command[96];

	(void)state;
	nnr__tok_free(model.tok);
	nnr__backbone_close(model.bb);
	free(model.path);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* ---- programs ---- */

#define PROGRAM \
	"# a comment stays\nnnr: 1\nname: t\nmodel: m\n" \
	"input: {text: string}\noutput: {label: [a, b, c]}\n" \
	"in:\n- demos: {file: demos.tsv}\n- template: \"say {text}:\"\n" \
	"out:\n- score: {choices: {a: \" hello\", b: \" the\", c: x}}\n" \
	"- calibrate: {inputs: [x, '']}\n"

static void bind_it(nnr_program *p)
{
	nnr__engine_opts o = { .threads = 1, .precision = NNR_EXACT };
	nnr_error err;

	if (nnr__program_bind(p, &model, &o, &err))
		fail_msg("%s", err.message);
}

static nnr_program *bound(const char *source, const char *set)
{
	char *one = (char *)(uintptr_t)set;
	nnr__strings list = { &one, set != NULL };
	nnr_program *p;
	nnr_error err;

	put("demos.tsv", "a\thello\nb\tthe\n", 14);
	if (nnr__program_parse(&p, "p.yaml", dir, source, strlen(source),
			       &list, &err))
		fail_msg("%s", err.message);
	bind_it(p);
	return p;
}

static void bytes_of(nnr_program *p, const nnr__artifact_info *info,
		     nnr__buf *out)
{
	nnr_error err;

	nnr__buf_clear(out);
	if (nnr__artifact_bytes(p, info, out, NULL, &err))
		fail_msg("%s", err.message);
}

static nnr_program *reopened(const nnr__buf *bytes)
{
	nnr_program *p;
	nnr_error err;

	if (nnr__artifact_parse(&p, "x.nnr", NULL, bytes->p, bytes->len, NULL,
				&err))
		fail_msg("%s", err.message);
	return p;
}

static int keep(void *ctx, int item, const nnr__answer *a, nnr_error *err)
{
	(void)item;
	(void)err;
	memcpy(ctx, a->score, 3 * sizeof(double));
	return 0;
}

static void scores_of(nnr_program *p, double out[3])
{
	nnr__record item = { 0 };
	nnr_error err;

	assert_int_equal(nnr__record_set(&item, "text", "hello the x", 11,
					 &err), 0);
	if (nnr__program_answers(p, &item, 1, keep, out, &err))
		fail_msg("%s", err.message);
	nnr__record_release(&item);
}

static bool holds(const nnr__buf *b, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i + n <= b->len; i++)
		if (memcmp(b->p + i, text, n) == 0)
			return true;
	return false;
}

static const nnr__artifact_info some_info = {
	.data_hash = "0123456789abcdef0123456789abcdef"
		     "0123456789abcdef0123456789abcdef",
	.training = "{\"z\": [1, 2.50, 1e3], \"a\": {\"n\": 100, \"b\": "
		    "0.1, \"a\": null, \"t\": true}, \"\\u00e9\": "
		    "\"\\u0001\"}",
	.golden = "[{\"in\": {\"text\": \"x\"}}]",
};

/* ---- writing and opening ---- */

static void writes_and_opens(void **state)
{
	nnr_program *p = bound(PROGRAM, NULL), *q;
	nnr__buf a = { 0 }, b = { 0 };
	double before[3], after[3];

	(void)state;
	scores_of(p, before);
	bytes_of(p, &some_info, &a);
	bytes_of(p, &some_info, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.p, b.p, a.len);
	nnr__program_close(p);

	/* The folder is gone: the demonstrations are in the artifact. */
	put("demos.tsv", "c\tother\n", 8);
	q = reopened(&a);
	assert_string_equal(q->name, "t");
	assert_int_equal(q->source_len, strlen(PROGRAM));
	assert_memory_equal(q->source, PROGRAM, q->source_len);
	bind_it(q);
	scores_of(q, after);
	assert_memory_equal(before, after, sizeof(before));
	assert_false(nnr__artifact_rebound(q));
	/* Written again it is the same, its record too. */
	bytes_of(q, NULL, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.p, b.p, a.len);
	/* With another record it names its parent. */
	bytes_of(q, &some_info, &b);
	assert_true(holds(&b, "\\\"parent\\\":{\\\"backbone\\\":\\\""));
	assert_true(holds(&b, nnr__artifact_hash(q->artifact)));
	nnr__program_close(q);
	nnr__buf_release(&a);
	nnr__buf_release(&b);
}

static void the_record_is_canonical(void **state)
{
	nnr_program *p = bound(PROGRAM, NULL);
	nnr__artifact_info bad = { .training = "[]" };
	nnr__buf a = { 0 };
	nnr_error err;

	(void)state;
	bytes_of(p, &some_info, &a);
	assert_true(holds(&a, "{\\\"a\\\":{\\\"a\\\":null,\\\"b\\\":0.1,"
			  "\\\"n\\\":100,\\\"t\\\":true},\\\"z\\\":[1,2.5,"
			  "1000],\\\"\xc3\xa9\\\":\\\"\\\\u0001\\\"}"));
	assert_false(holds(&a, dir));
	assert_int_equal(nnr__artifact_bytes(p, &bad, &a, NULL, &err),
			 NNR_E_USAGE);
	assert_message(err, "not an object");
	bad.training = "{\"n\": 9007199254740993}";
	assert_int_equal(nnr__artifact_bytes(p, &bad, &a, NULL, &err),
			 NNR_E_INPUT);
	assert_message(err, "2^53");
	p->tensor[0]->value[1] = NAN;
	assert_int_equal(nnr__artifact_bytes(p, NULL, &a, NULL, &err),
			 NNR_E_INPUT);
	assert_message(err, "`calibrate.scale`: value 1 is not finite");
	nnr__program_close(p);
	nnr__buf_release(&a);
}

static void overrides_are_resolved(void **state)
{
	static const char *const sets[] = {
		"score.normalize=length", "name=it's \"quoted\" \xc3\xa9",
		"in.template=a\tb {text}\n\x07\xc2\x85\xe2\x80\xa8:",
		"demos.count=1", "calibrate.inputs=['a: b', \"- c\", '']",
	};
	nnr__buf a = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		nnr_program *p = bound(PROGRAM, sets[i]), *q;
		double before[3], after[3];
		scores_of(p, before);
		bytes_of(p, NULL, &a);
		q = reopened(&a);
		assert_int_equal(q->set.n, 0);
		assert_string_equal(q->name, p->name);
		bind_it(q);
		scores_of(q, after);
		assert_memory_equal(before, after, sizeof(before));
		nnr__program_close(p);
		nnr__program_close(q);
	}
	nnr__buf_release(&a);
}

/* A model by its absolute path is there by its name. */
static void no_absolute_path(void **state)
{
	nnr__buf source = { 0 }, a = { 0 };
	nnr_program *p, *q;
	char *path, *seen;

	(void)state;
	nnr__buf_addf(&source, "nnr: 1\nname: t\nmodel: %s\n%s", model.path,
		      strstr(PROGRAM, "input:"));
	p = bound(source.p, NULL);
	bytes_of(p, NULL, &a);
	assert_false(holds(&a, dir));
	q = reopened(&a);
	assert_string_equal(q->model_ref, "model.gguf");
	nnr__program_close(q);
	/* This machine remembers where it is. */
	path = place("out.nnr");
	assert_null(nnr__model_recall(model.bb->hash));
	assert_int_equal(nnr__artifact_write(p, path, NULL, NULL), 0);
	seen = nnr__model_recall(model.bb->hash);
	assert_non_null(seen);
	assert_string_equal(strrchr(seen, '/'), "/model.gguf");
	free(seen);
	assert_int_equal(nnr__program_open(&q, path, NULL, NULL), 0);
	assert_string_equal(q->hash, nnr__artifact_hash(q->artifact));
	nnr__program_close(q);
	nnr__program_close(p);
	free(path);
	nnr__buf_release(&source);
	nnr__buf_release(&a);
}

/* ---- damage and lies ---- */

static void damage_is_refused(void **state)
{
	nnr_program *p = bound(PROGRAM, NULL);
	nnr__buf a = { 0 };
	nnr_error err;

	(void)state;
	bytes_of(p, NULL, &a);
	nnr__program_close(p);
	for (size_t n = 0; n < a.len; n++) {
		assert_int_equal(nnr__artifact_parse(&p, "x.nnr", NULL, a.p,
						     n, NULL, &err),
				 NNR_E_FORMAT);
		assert_null(p);
	}
	for (size_t i = 0; i < a.len; i++) {
		a.p[i] = (char)(a.p[i] ^ (1 << i % 8));
		assert_int_equal(nnr__artifact_parse(&p, "x.nnr", NULL, a.p,
						     a.len, NULL, &err),
				 NNR_E_FORMAT);
		assert_null(p);
		a.p[i] = (char)(a.p[i] ^ (1 << i % 8));
	}
	nnr__buf_release(&a);
}

/* A file with this `nnr` and a right SHA-256. */
static void seal(nnr__buf *out, const char *json, const nnr__st_tensor *t,
		 int tensors)
{
	char zeros[65], hex[65];
	nnr__st_text text[] = { { "nnr", json, strlen(json) },
				{ "sha256", zeros, 64 } };
	nnr_error err;
	size_t at;

	memset(zeros, '0', 64);
	nnr__buf_clear(out);
	assert_int_equal(nnr__st_bytes_of(out, t, tensors, text, 2, &err), 0);
	at = nnr__artifact_digits(out->p, out->len);
	assert_true(at > 0);
	nnr__artifact_sha(out->p, out->len, at, hex);
	memcpy(out->p + at, hex, 64);
}

#define HASH64 "0123456789abcdef0123456789abcdef" \
	       "0123456789abcdef0123456789abcdef"
#define TINY_SOURCE \
	"nnr: 1\\nname: t\\nmodel: m\\ninput: {text: string}\\noutput: " \
	"{label: [a, b]}\\nin: [template: \\\"{text}\\\"]\\nout: [score: " \
	"{choices: {a: x, b: y}}]\\n"
#define MEMBERS(format, backbone, data, files, rest) \
	"{\"backbone\":{\"sha256\":\"" backbone "\"},\"data\":" data \
	",\"files\":" files ",\"format\":" format ",\"golden\":null," \
	"\"parent\":null,\"program\":" rest ",\"tool\":\"t\"," \
	"\"training\":null}"
#define TINY_PROGRAM \
	"{\"model\":\"m\",\"name\":\"t\",\"source\":\"" TINY_SOURCE "\"}"
#define FILES(list) MEMBERS("1", HASH64, "null", list, TINY_PROGRAM)
/* SHA-256 of "a" */
#define SHA_A "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"

static const struct {
	const char *json, *message;	/* NULL: it is fine */
} lies[] = {
	{ FILES("[]"), NULL },
	{ FILES("[{\"name\":\"a\",\"sha256\":\"" SHA_A "\",\"text\":\"a\"}]"),
	  NULL },
	{ FILES("[{\"name\":\"a\",\"sha256\":\"" SHA_A "\",\"text\":null}]"),
	  NULL },
	{ "[]", "not an object" },
	{ "{", "x.nnr: nnr:1" },
	{ "{\"b\":1,\"a\":2}", "one spelling" },
	{ "{\"a\": 1}", "one spelling" },
	{ "{\"a\":1.0}", "one spelling" },
	{ "{\"a\":9007199254740993}", "not exact" },
	{ "{}", "no `format`" },
	{ "{\"format\":1}", "1 members of `nnr`; 9 expected" },
	{ MEMBERS("2", HASH64, "null", "[]", TINY_PROGRAM),
	  "format 2; this nnr reads 1" },
	{ MEMBERS("\"1\"", HASH64, "null", "[]", TINY_PROGRAM),
	  "no `format`" },
	{ MEMBERS("1", "0123", "null", "[]", TINY_PROGRAM),
	  "no `backbone`" },
	{ MEMBERS("1", HASH64, "\"x\"", "[]", TINY_PROGRAM), "`data`" },
	{ MEMBERS("1", HASH64, "null", "null", TINY_PROGRAM),
	  "no `files`" },
	{ FILES("[1]"), "entry 0 of `files`" },
	{ FILES("[{\"name\":\"/a\",\"sha256\":\"" SHA_A "\",\"text\":\"a\"}]"),
	  "entry 0 of `files`" },
	{ FILES("[{\"name\":\"b/../../a\",\"sha256\":\"" SHA_A
		"\",\"text\":\"a\"}]"), "entry 0 of `files`" },
	{ FILES("[{\"name\":\"a\",\"sha256\":\"" SHA_A "\",\"text\":\"b\"}]"),
	  "`a` in it has another SHA-256" },
	{ FILES("[{\"name\":\"a\",\"sha256\":\"" SHA_A "\",\"text\":\"a\"},"
		"{\"name\":\"a\",\"sha256\":\"" SHA_A "\",\"text\":\"a\"}]"),
	  "not sorted" },
	{ MEMBERS("1", HASH64, "null", "[]", "{}"), "`program` is not {model" },
	{ MEMBERS("1", HASH64, "null", "[]",
		  "{\"model\":\"m\",\"name\":\"other\",\"source\":\""
		  TINY_SOURCE "\"}"), "another name or model" },
	{ MEMBERS("1", HASH64, "null", "[]",
		  "{\"model\":\"m\",\"name\":\"t\",\"source\":\"nnr: 1\\n\"}"),
	  "x.nnr:1:1: `name` is missing" },
};

static void lies_are_refused(void **state)
{
	nnr__buf a = { 0 };
	nnr_program *p;
	nnr_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		int rc;
		seal(&a, lies[i].json, NULL, 0);
		rc = nnr__artifact_parse(&p, "x.nnr", NULL, a.p, a.len, NULL,
					 &err);
		if (!lies[i].message && rc)
			fail_msg("%s", err.message);
		if (lies[i].message) {
			assert_int_equal(rc, err.code);
			assert_int_equal(nnr_exit_code(rc), 3);
			assert_message(err, lies[i].message);
		}
		nnr__program_close(p);
	}
	nnr__buf_release(&a);
}

static void tensors_are_checked(void **state)
{
	static const float one = 1;
	static const float wrong[] = { 1, 2, INFINITY };
	nnr__st_tensor t[] = {
		{ "x", NNR__ST_F32, 1, { 3 }, wrong },
		{ "x", NNR__ST_I32, 1, { 1 }, &one },
		{ "x", NNR__ST_F32, 5, { 1, 1, 1, 1, 1 }, &one },
		{ "x", NNR__ST_F32, 2, { 1, 0 }, &one },
	};
	static const char *const say[] = {
		"`x`: value 2 is not finite", "`x` is not F32",
		"`x` is not F32", "`x` is not F32" };
	nnr__buf a = { 0 };
	nnr_program *p;
	nnr_error err;

	(void)state;
	for (int i = 0; i < 4; i++) {
		seal(&a, FILES("[]"), &t[i], 1);
		assert_int_equal(nnr__artifact_parse(&p, "x.nnr", NULL, a.p,
						     a.len, NULL, &err),
				 NNR_E_FORMAT);
		assert_message(err, say[i]);
	}
	nnr__buf_release(&a);
}

/* A header with a space more is another file of the same content. */
static void one_spelling(void **state)
{
	nnr__buf a = { 0 }, b = { 0 };
	char hex[65];
	nnr_program *p;
	nnr_error err;
	size_t at;

	(void)state;
	seal(&a, FILES("[]"), NULL, 0);
	for (int i = 0; i < 8; i++)
		nnr__buf_addc(&b, a.p[i]);
	b.p[0] = (char)(b.p[0] + 8);
	nnr__buf_add(&b, a.p + 8, a.len - 8);
	nnr__buf_add(&b, "        ", 8);
	at = nnr__artifact_digits(b.p, b.len);
	nnr__artifact_sha(b.p, b.len, at, hex);
	memcpy(b.p + at, hex, 64);
	assert_int_equal(nnr__artifact_parse(&p, "x.nnr", NULL, b.p, b.len,
					     NULL, &err), NNR_E_FORMAT);
	assert_message(err, "its header is not in its one spelling");
	nnr__buf_release(&a);
	nnr__buf_release(&b);
}

/* ---- binding ---- */

/* Opens bytes and binds them; the message of a refusal. */
static int try_bind(const nnr__buf *bytes, bool rebind, nnr_program **p,
		    nnr_error *err)
{
	nnr__engine_opts o = { .threads = 1, .precision = NNR_EXACT };

	*p = reopened(bytes);
	(*p)->rebind = rebind;
	return nnr__program_bind(*p, &model, &o, err);
}

static void another_backbone(void **state)
{
	nnr_program *p = bound(PROGRAM, NULL);
	char own[65];
	nnr__buf a = { 0 }, b = { 0 };
	double before[3], after[3];
	nnr_error err;

	(void)state;
	scores_of(p, before);
	/* A fit of another backbone, which must not be used. */
	p->tensor[1]->value[0] += 5;
	strcpy(own, model.bb->hash);
	memset(model.bb->hash, 'f', 64);
	bytes_of(p, &some_info, &a);
	memcpy(model.bb->hash, own, 65);
	nnr__program_close(p);
	assert_int_equal(try_bind(&a, false, &p, &err), NNR_E_INPUT);
	assert_message(err, own);
	assert_message(err, "ffffffffffffffffffffffffffffffffffffffffffffffff"
		       "ffffffffffffffff");
	nnr__program_close(p);
	if (try_bind(&a, true, &p, &err))
		fail_msg("%s", err.message);
	assert_true(nnr__artifact_rebound(p));
	scores_of(p, after);
	assert_memory_equal(before, after, sizeof(before));
	/* Written again, the old record does not speak for it. */
	bytes_of(p, NULL, &b);
	assert_true(holds(&b, "\\\"training\\\":null"));
	assert_true(holds(&b, "{\\\"backbone\\\":\\\"fffff"));
	nnr__program_close(p);
	nnr__buf_release(&a);
	nnr__buf_release(&b);
}

static void other_tensors(void **state)
{
	static const float v[6] = { 1, 1, 1, 1, 1, 1 };
	const nnr__st_tensor t[] = {
		{ "calibrate.scale", NNR__ST_F32, 2, { 2, 3 }, v },
		{ "more", NNR__ST_F32, 1, { 2 }, v },
	};
	nnr_program *p = bound(PROGRAM, NULL);
	nnr__buf a = { 0 }, json = { 0 };
	const nnr__st_text *text;
	nnr_error err;
	nnr__st *st;

	(void)state;
	bytes_of(p, NULL, &a);
	nnr__program_close(p);
	assert_int_equal(nnr__st_parse(&st, "x", a.p, a.len, &err), 0);
	text = nnr__st_text_of(st, "nnr");
	nnr__buf_add(&json, text->text, text->len);
	nnr__st_close(st);
	seal(&a, json.p, t, 2);
	assert_int_equal(try_bind(&a, false, &p, &err), NNR_E_INPUT);
	assert_message(err, "`calibrate.scale` is F32 [2, 3], the program's "
		       "[3]; `more` is F32 [2], the program has none; "
		       "`calibrate.shift` is not in it");
	nnr__program_close(p);
	nnr__buf_release(&a);
	nnr__buf_release(&json);
}

/* The fit stays, its data does not go with it. */
static void data_is_named_only(void **state)
{
	nnr__buf source = { 0 }, a = { 0 };
	double before[3], after[3];
	nnr_program *p, *q;
	nnr_error err;

	(void)state;
	put("secret.tsv", "a\tprivate\nb\tthe\n", 16);
	nnr__buf_add(&source, PROGRAM, strlen(PROGRAM) -
				       strlen("{inputs: [x, '']}\n"));
	nnr__buf_adds(&source, "{method: batch, data: secret.tsv}\n");
	p = bound(source.p, NULL);
	scores_of(p, before);
	bytes_of(p, NULL, &a);
	assert_true(holds(&a, "secret.tsv"));
	assert_false(holds(&a, "private"));
	q = reopened(&a);
	bind_it(q);
	scores_of(q, after);
	assert_memory_equal(before, after, sizeof(before));
	bytes_of(q, NULL, &source);
	assert_int_equal(source.len, a.len);
	assert_memory_equal(source.p, a.p, a.len);
	nnr__program_close(q);
	/* What it was fitted on is not there to fit it again. */
	assert_int_equal(try_bind(&a, false, &q, &err), 0);
	nnr__program_unfit(q);
	assert_true(nnr__program_fit(q, &err) < 0);
	assert_message(err, "`secret.tsv` is not in the artifact");
	nnr__program_close(q);
	nnr__program_close(p);
	nnr__buf_release(&source);
	nnr__buf_release(&a);
}

static void untrained_is_refused(void **state)
{
	static const int64_t dim[] = { 2 };
	nnr_program *p = bound(PROGRAM, NULL);
	nnr__ptensor *t;
	nnr_error err;

	(void)state;
	t = nnr__tensor_add(p, &p->in[1], "new", 1, dim, true, &err);
	assert_non_null(t);
	assert_int_equal(nnr__program_fit(p, &err), NNR_E_INPUT);
	assert_message(err, "p.yaml:9:3: `template`: its tensor `template.new` "
		       "was never trained (--untrained");
	p->untrained = true;
	assert_int_equal(nnr__program_fit(p, &err), 0);
	p->untrained = false;
	p->ready = false;
	t->set = true;
	assert_int_equal(nnr__program_fit(p, &err), 0);
	nnr__program_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_and_opens),
		cmocka_unit_test(the_record_is_canonical),
		cmocka_unit_test(overrides_are_resolved),
		cmocka_unit_test(no_absolute_path),
		cmocka_unit_test(damage_is_refused),
		cmocka_unit_test(lies_are_refused),
		cmocka_unit_test(tensors_are_checked),
		cmocka_unit_test(one_spelling),
		cmocka_unit_test(another_backbone),
		cmocka_unit_test(other_tensors),
		cmocka_unit_test(data_is_named_only),
		cmocka_unit_test(untrained_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
