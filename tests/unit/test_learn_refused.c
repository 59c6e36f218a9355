/* SPDX-License-Identifier: Apache-2.0
 *
 * test_learn_refused.c: learnable steps of `in` that cannot be: what the
 * messages say and where.
 */
#include "learn_model.h"
#include "load/safetensors.h"

static const struct { const char *in, *message; int code; } refused[] = {
	{ TEMPLATE "- prefix: {rows: 2, init: a}\n", "p.yaml:8:3: `prefix`: "
	  "its rows stand before all else in the prompt: it must be the "
	  "first step of `in`, not behind `template`", 0 },
	{ "- prefix: {rows: 2, init: a}\n- {prefix: {rows: 2, init: a}, id: "
	  "q}\n" TEMPLATE, "it must be the first step of `in`, not behind "
	  "`prefix`", 0 },
	{ "- prefix: {rows: 2, init: a}\n- template: \"{prefix} {text}\"\n",
	  "p.yaml:7:3: `prefix`: its rows stand before all else in the "
	  "prompt: a template cannot name it", 0 },
	{ "- {prefix: {rows: 2, init: a}, when: run}\n" TEMPLATE,
	  "p.yaml:7:4: `prefix`: it has no `when`", 0 },
	{ "- prefix: {init: a}\n" TEMPLATE, "p.yaml:7:3: `prefix`: `rows` is "
	  "missing", 0 },
	{ "- prefix: {rows: 0, init: a}\n" TEMPLATE, "p.yaml:7:18: `rows` is "
	  "`0`; an integer from 1 to 4096 was expected", 0 },
	{ "- prefix: {rows: 2.5, init: a}\n" TEMPLATE, "an integer from 1 to "
	  "4096 was expected", 0 },
	{ "- prefix: {rows: 2, count: 3}\n" TEMPLATE, "p.yaml:7:21: unknown "
	  "key `count` of `prefix`", 0 },
	{ "- prefix: {rows: 2, site: block.0-1.kv}\n" TEMPLATE, "p.yaml:7:3: "
	  "`prefix`: the site `block.0-1.kv`, some blocks only, is not in "
	  "this version of nnr yet", NNR_E_UNSUPPORTED },
	{ "- prefix: {rows: 2, site: block.*.in}\n" TEMPLATE, "`block.*.in`; "
	  "\"block.*.kv\" was expected", 0 },
	{ "- deep_tokens: {count: 2, site: \"block.3.in\"}\n" TEMPLATE, "is "
	  "not in this version", NNR_E_UNSUPPORTED },
	{ "- deep_tokens: {count: 2, site: \"*\"}\n" TEMPLATE, "`*`; "
	  "\"block.*.in\" was expected", 0 },
	{ "- deep_tokens: {count: 2, init: a}\n- {deep_tokens: {count: 2, "
	  "init: a}, id: e}\n" TEMPLATE, "p.yaml:8:4: `deep_tokens`: a "
	  "second step that gives rows at every block; one is the most", 0 },
	{ TEMPLATE "- shift: {length: 2}\n- {shift: {length: 2}, id: t}\n",
	  "p.yaml:9:4: `shift`: a second step that shifts embeddings; one is "
	  "the most", 0 },
	{ "- shift: {length: 2}\n" TEMPLATE, "p.yaml:7:3: `shift`: takes "
	  "text, but nothing before it gives any", 0 },
	{ TEMPLATE "- shift: {length: 2, site: logits}\n", "`site` is "
	  "`logits`; known: embed", 0 },
	{ TEMPLATE "- shift: {length: 2, scale: 0}\n", "`scale` is `0`", 0 },
	/* forms and starts */
	{ "- soft_tokens: {count: 2, form: {low_rank: 0}}\n" TEMPLATE,
	  "p.yaml:7:44: `low_rank` is an integer from 1 to 65536", 0 },
	{ "- soft_tokens: {count: 2, form: {low_rank: x}}\n" TEMPLATE,
	  "`low_rank` is an integer from 1 to 65536", 0 },
	{ "- soft_tokens: {count: 2, form: {lowrank: 2}}\n" TEMPLATE,
	  "p.yaml:7:34: unknown key `lowrank` of `form`; did you mean "
	  "`low_rank`?", 0 },
	{ "- soft_tokens: {count: 2, form: {lstm: {layers: 2}}}\n" TEMPLATE,
	  "unknown key `lstm` of `form`; known: low_rank, mlp, residual", 0 },
	{ "- soft_tokens: {count: 2, form: {mlp: 2, low_rank: 1}}\n" TEMPLATE,
	  "`form` is free, {low_rank: R}, {mlp: M} or {residual: M}", 0 },
	{ "- soft_tokens: {count: 2, form: dense}\n" TEMPLATE, "`form` is "
	  "free, {low_rank: R}", 0 },
	{ "- soft_tokens: {count: 2, init: {vocab: 100000}}\n" TEMPLATE,
	  "`soft_tokens`: the first 100000 tokens; the vocabulary has", 0 },
	{ "- soft_tokens: {count: 2, init: {random: 0}}\n" TEMPLATE,
	  "`random` is 0; a standard deviation up to 100 was expected", 0 },
	{ "- soft_tokens: {count: 2, init: {rand: 1}}\n" TEMPLATE,
	  "unknown key `rand` of `init`; known: text, random, vocab", 0 },
	{ "- prefix: {rows: 300, init: a}\n" TEMPLATE, "the prompt has 300 "
	  "tokens and 0 more may follow; the model's context is 256", 0 },
	{ "- soft_tokens: {count: 2, init: {from: \"\"}}\n" TEMPLATE,
	  "p.yaml:7:40: `from` is FILE.nnr#ID", 0 },
	{ "- soft_tokens: {count: 2, init: {from: no.nnr}}\n" TEMPLATE,
	  "p.yaml:7:33: `soft_tokens`: cannot find the file", 0 },
	{ "- soft_tokens: {count: 2, init: {from: ../a.nnr}}\n" TEMPLATE,
	  "`../a.nnr` leaves the source's folder", 0 },
	{ "- soft_tokens: {count: 2, init: {from: d.tsv}}\n" TEMPLATE,
	  "p.yaml:7:33: `soft_tokens`: d.tsv", NNR_E_FORMAT },
	{ "- soft_tokens: {count: 2, init: {from: r.safetensors#x}}\n"
	  TEMPLATE, "`r.safetensors` has no tensor `x`; it has: rows", 0 },
	{ "- soft_tokens: {count: 2, init: {from: r.safetensors#rows}}\n"
	  TEMPLATE, "`rows` of `r.safetensors` has 1 x 2 rows of 3 values; 1 "
	  "x N rows of 32 were expected", 0 },
	{ "- soft_tokens: {count: 2, init: {from: r.safetensors#rows}, "
	  "form: {low_rank: 2}}\n" TEMPLATE, "low_rank adds to the rows it "
	  "starts from", 0 },
	/* symbols */
	{ "- vocab_map: {field: txt, symbols: ab}\n" TEMPLATE, "`vocab_map`: "
	  "`txt` is not an input field of type string", 0 },
	{ "- vocab_map: {field: text, symbols: a}\n" TEMPLATE, "1 symbols; 2 "
	  "to 4096 were expected", 0 },
	{ "- vocab_map: {field: text, symbols: aba}\n" TEMPLATE, "`a` is "
	  "there twice", 0 },
	{ "- vocab_map: {field: text, symbols: [a, \"\"]}\n" TEMPLATE,
	  "an empty symbol", 0 },
	{ "- vocab_map: {field: text, symbols: ab, form: dense}\n" TEMPLATE,
	  "`form` is {sparse: K}", 0 },
	{ "- vocab_map: {field: text, symbols: ab, form: {sparse: 0}}\n"
	  TEMPLATE, "`sparse` is `0`; an integer from 1 to 1024", 0 },
	{ "- vocab_map: {field: text, symbols: ab, form: {sparse: 1000}}\n"
	  TEMPLATE, "1000 tokens a symbol; the model has", 0 },
};

static void what_does_not_fit_is_refused(void **state)
{
	static const float rows[6];
	const nnr__st_tensor t = { .name = "rows", .type = NNR__ST_F32,
				   .dims = 2, .dim = { 2, 3 }, .data = rows };
	nnr__buf file = { 0 };

	(void)state;
	assert_int_equal(nnr__st_bytes_of(&file, &t, 1, NULL, 0, NULL), 0);
	put("r.safetensors", file.p, file.len);
	nnr__buf_release(&file);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		nnr_program *p = NULL;
		nnr_error err = { 0 };
		int rc = bind(&p, refused[i].in, &err);

		if (!rc)
			fail_msg("%s was taken", refused[i].in);
		assert_int_equal(rc, refused[i].code ? refused[i].code :
				 NNR_E_INPUT);
		assert_message(err, refused[i].message);
	}
}

static int nothing(void *ctx, int item, const nnr__answer *a, nnr_error *err)
{
	(void)ctx;
	(void)item;
	(void)a;
	(void)err;
	return 0;
}

/* By character, not by byte. */
static void unknown_symbols_are_named(void **state)
{
	nnr_program *p = bound("- vocab_map: {field: text, symbols: \"AC\\u00"
			       "c5\", form: {sparse: 1}, choose: random}\n");
	nnr__record item = { 0 };
	nnr_error err;

	(void)state;
	nnr__record_set(&item, "text", "A\xc3\x85" "CXA", 6, &err);
	assert_int_equal(nnr__program_answers(p, &item, 1, nothing, NULL,
					      &err), NNR_E_INPUT);
	assert_message(err, "item 0: `text`: character 4, `X`, is not one of "
		       "the 3 symbols of `vocab_map`");
	nnr__record_release(&item);
	nnr__program_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(unknown_symbols_are_named),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
