/* SPDX-License-Identifier: Apache-2.0
 *
 * Prompts and chat markup, and model files whose tokenizer does not fit.
 */
#include "tokenizers.h"

#define CHATML_END \
	"{{'<|im_start|>' + message['role'] + '\n' + message['content'] + " \
	"'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}" \
	"{{ '<|im_start|>assistant\n' }}{% endif %}"

/* ---- prompts and chat ---- */

static void add_text(nnr__prompt *p, const char *s)
{
	nnr__prompt_text(p, s, strlen(s), "t", false);
}

static void prompts_join_their_text(void **state)
{
	static const int32_t want[] = {
		VOCAB_FIRST + 9, 2, VOCAB_FIRST + 2, 1
	};
	nnr__prompt p = { 0 };
	nnr__ids ids = { 0 };

	(void)state;
	add_text(&p, "he");
	add_text(&p, "");
	nnr__prompt_text(&p, "llo", 3, "x", true);
	nnr__prompt_token(&p, 2, "chat");
	add_text(&p, " t");
	add_text(&p, "he");
	nnr__prompt_token(&p, 1, "chat");
	add_text(&p, "");
	assert_int_equal(nnr__prompt_encode(small.t, &p, &ids, NULL), 0);
	expect_ids(&ids, want, 4, "prompt");
	nnr__prompt_clear(&p);
	ids.n = 0;
	assert_int_equal(nnr__prompt_encode(small.t, &p, &ids, NULL), 0);
	assert_int_equal(ids.n, 0);
	nnr__ids_release(&ids);
	nnr__prompt_release(&p);
}

static void bos_comes_first_when_asked_for(void **state)
{
	struct side s = { 0 };
	synth more = { 0 };
	nnr__prompt p = { 0 };
	nnr__ids ids = { 0 };

	(void)state;
	synth_u32(&more, "tokenizer.ggml.bos_token_id", 1);
	synth_key(&more, "tokenizer.ggml.add_bos_token", NNR__G_BOOL);
	synth_bits(&more.head, 1, 1);
	open_side(&s, &more, "smollm");
	add_text(&p, "he");
	assert_int_equal(nnr__tok_bos(s.t), 1);
	assert_int_equal(nnr__tok_eos(s.t), -1);
	assert_int_equal(nnr__prompt_encode(s.t, &p, &ids, NULL), 0);
	expect_ids(&ids, (int32_t[]){ 1, VOCAB_FIRST + 1 }, 2, "BOS");
	nnr__ids_release(&ids);
	nnr__prompt_release(&p);
	close_side(&s);
}

static nnr__ids wrap(const struct side *s, const char *system,
		     const char *text)
{
	nnr__prompt p = { 0 };
	nnr__ids ids = { 0 };
	nnr_error err;
	nnr__chat *c;

	add_text(&p, text);
	if (nnr__chat_new(&c, s->g, s->t, &err) ||
	    nnr__chat_wrap(c, &p, system, "chat", &err) ||
	    nnr__prompt_encode(s->t, &p, &ids, &err))
		fail_msg("%s", err.message);
	nnr__chat_free(c);
	nnr__prompt_release(&p);
	return ids;
}

/* Tokens from transformers' apply_chat_template. */
static void chat_of_smollm2(void **state)
{
	static const int32_t usual[] = {
		1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511,
		308, 34519, 28, 7018, 411, 407, 19712, 8182, 2, 198, 1, 4093,
		198, 1780, 314, 216, 34, 27, 34, 47, 198, 2, 198, 1, 520,
		9531, 198
	};
	static const int32_t brief[] = {
		1, 9690, 198, 6077, 5453, 30, 2, 198, 1, 4093, 198, 15876,
		2, 198, 1, 520, 9531, 198
	};
	nnr__prompt p = { 0 };
	nnr_error err;
	nnr__chat *c;
	nnr__ids ids;

	(void)state;
	need_real();
	ids = wrap(&real, NULL, "What is 2+2?\n");
	expect_ids(&ids, usual, sizeof usual / sizeof usual[0], "default");
	nnr__ids_release(&ids);
	ids = wrap(&real, "Be brief.", " hi");
	expect_ids(&ids, brief, sizeof brief / sizeof brief[0], "own system");
	nnr__ids_release(&ids);
	assert_int_equal(nnr__chat_new(&c, real.g, real.t, &err), 0);
	assert_string_equal(nnr__chat_name(c), "chatml-smollm2");
	assert_int_equal(nnr__chat_wrap(c, &p, "", "chat", &err), NNR_E_INPUT);
	nnr__chat_free(c);
	nnr__prompt_release(&p);
}

static void open_chat(struct side *s, const char *template)
{
	synth more = { 0 };

	synth_text(&more, "tokenizer.chat_template", template);
	open_side(s, &more, "smollm");
}

/* Without a default system message; text cannot forge a marker. */
static void chat_of_chatml(void **state)
{
	struct side s = { 0 };
	nnr__ids ids;
	int special = 0;

	(void)state;
	open_chat(&s, "{% for message in messages %}" CHATML_END "\n");
	ids = wrap(&s, NULL, "<|im_end|>");
	for (size_t i = 0; i < ids.n; i++)
		special += nnr__tok_is_special(s.t, ids.id[i]);
	assert_int_equal(special, 3);
	assert_int_equal(ids.id[0], 1);
	nnr__ids_release(&ids);
	close_side(&s);
}

static void unknown_chat_templates_are_named(void **state)
{
	struct side s = { 0 };
	nnr_error err;
	nnr__chat *c;

	(void)state;
	open_chat(&s, "{{ bos_token }}\n[INST]");
	assert_int_equal(nnr__chat_new(&c, s.g, s.t, &err),
			 NNR_E_UNSUPPORTED);
	assert_message(err, "{{ bos_token }}?[INST]");
	close_side(&s);
	assert_int_equal(nnr__chat_new(&c, small.g, small.t, &err),
			 NNR_E_UNSUPPORTED);
	assert_message(err, "tokenizer.chat_template");
}

/* ---- files that do not fit ---- */

/* A vocabulary of "a", "b", "ab" with the keys given; NULL leaves one out. */
struct bad {
	const char *model, *pre, *token[4];
	int types;			/* entries of token_type */
	uint32_t type;			/* of the last */
	const char *merge[2];
	int code;
	const char *message;
};

static void put_bad(synth *s, const struct bad *b)
{
	if (b->model)
		synth_text(s, "tokenizer.ggml.model", b->model);
	if (b->pre)
		synth_text(s, "tokenizer.ggml.pre", b->pre);
	if (b->token[0]) {
		synth_array(s, "tokenizer.ggml.tokens", NNR__G_STRING, 4);
		for (int i = 0; i < 4; i++)
			synth_str(&s->head, b->token[i]);
	}
	if (b->types) {
		synth_array(s, "tokenizer.ggml.token_type", NNR__G_I32,
			    (uint64_t)b->types);
		for (int i = 0; i < b->types; i++)
			synth_bits(&s->head, i == 3 ? b->type : 1, 4);
	}
	if (b->merge[0]) {
		synth_array(s, "tokenizer.ggml.merges", NNR__G_STRING, 2);
		for (int i = 0; i < 2; i++)
			synth_str(&s->head, b->merge[i]);
	}
}

#define ABC { "a", "b", "ab", "abb" }
#define GOOD { "a b", "ab b" }

static const struct bad bads[] = {
	{ "gpt2", "smollm", ABC, 4, 1, GOOD, 0, NULL },
	{ NULL, "smollm", ABC, 4, 1, GOOD, NNR_E_FORMAT,
	  "tokenizer.ggml.model" },
	{ "llama", "smollm", ABC, 4, 1, GOOD, NNR_E_UNSUPPORTED, "\"llama\"" },
	{ "gpt2", NULL, ABC, 4, 1, GOOD, NNR_E_FORMAT, "tokenizer.ggml.pre" },
	{ "gpt2", "qwen2", ABC, 4, 1, GOOD, NNR_E_UNSUPPORTED, "\"qwen2\"" },
	{ "gpt2", "smollm", { NULL }, 4, 1, GOOD, NNR_E_FORMAT,
	  "tokenizer.ggml.tokens" },
	{ "gpt2", "smollm", { "a", "b", "ab", "a" }, 4, 1, GOOD, NNR_E_FORMAT,
	  "tokens 0 and 3 are both \"a\"" },
	{ "gpt2", "smollm", ABC, 0, 1, GOOD, NNR_E_FORMAT,
	  "tokenizer.ggml.token_type" },
	{ "gpt2", "smollm", ABC, 3, 1, GOOD, NNR_E_FORMAT, "has 3 entries" },
	{ "gpt2", "smollm", ABC, 4, 7, GOOD, NNR_E_FORMAT, "type 7" },
	{ "gpt2", "smollm", ABC, 4, 0, GOOD, NNR_E_FORMAT, "type 0" },
	{ "gpt2", "smollm", ABC, 4, 3, GOOD, NNR_E_FORMAT, "control token" },
	{ "gpt2", "smollm", ABC, 4, 1, { NULL, NULL }, NNR_E_FORMAT,
	  "tokenizer.ggml.merges" },
	{ "gpt2", "smollm", ABC, 4, 1, { "a b", "a b" }, NNR_E_FORMAT,
	  "twice" },
	{ "gpt2", "smollm", ABC, 4, 1, { "a b", "ab" }, NNR_E_FORMAT,
	  "merge 1, \"ab\"" },
	{ "gpt2", "smollm", ABC, 4, 1, { "a b", " b" }, NNR_E_FORMAT,
	  "two tokens" },
	{ "gpt2", "smollm", ABC, 4, 1, { "a b", "a " }, NNR_E_FORMAT,
	  "two tokens" },
	{ "gpt2", "smollm", ABC, 4, 1, { "x b", "a b" }, NNR_E_FORMAT,
	  "begins with no token" },
	{ "gpt2", "smollm", ABC, 4, 1, { "a x", "a b" }, NNR_E_FORMAT,
	  "ends with no token" },
	{ "gpt2", "smollm", ABC, 4, 1, { "b a", "a b" }, NNR_E_FORMAT,
	  "makes no token" },
};

static void misfits_are_refused_with_a_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
		nnr__buf bytes = { 0 };
		nnr_error err = { 0 };
		synth s = { 0 };
		nnr__gguf *g;
		nnr__tok *t;

		put_bad(&s, &bads[i]);
		synth_end(&s, &bytes);
		assert_int_equal(nnr__gguf_parse(&g, bytes.p, bytes.len,
						 &err), 0);
		assert_int_equal(nnr__tok_new(&t, g, &err), bads[i].code);
		if (bads[i].code)
			assert_message(err, bads[i].message);
		nnr__tok_free(t);
		nnr__gguf_close(g);
		nnr__buf_release(&bytes);
	}
}

static void ids_outside_the_vocabulary_are_refused(void **state)
{
	nnr__buf bytes = { 0 };
	nnr_error err;
	synth s = { 0 };
	nnr__gguf *g;
	nnr__tok *t;

	(void)state;
	synth_u32(&s, "tokenizer.ggml.eos_token_id", VOCAB_COUNT);
	synth_vocab(&s, "smollm", &bytes);
	assert_int_equal(nnr__gguf_parse(&g, bytes.p, bytes.len, &err), 0);
	assert_int_equal(nnr__tok_new(&t, g, &err), NNR_E_FORMAT);
	assert_message(err, "tokenizer.ggml.eos_token_id");
	nnr__gguf_close(g);
	nnr__buf_release(&bytes);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(prompts_join_their_text),
		cmocka_unit_test(bos_comes_first_when_asked_for),
		cmocka_unit_test(chat_of_smollm2),
		cmocka_unit_test(chat_of_chatml),
		cmocka_unit_test(unknown_chat_templates_are_named),
		cmocka_unit_test(misfits_are_refused_with_a_reason),
		cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
	};

	return cmocka_run_group_tests_name("chat", tests, open_all, close_all);
}
