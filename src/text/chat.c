/* SPDX-License-Identifier: Apache-2.0
 *
 * chat.c: a model's chat markup.  Templates are recognised by their text, a
 * row each; there is no template interpreter here.  All rows so far are
 * ChatML, <|im_start|>ROLE\nTEXT<|im_end|>\n for each message; the markers
 * are placed as tokens, so what text says cannot forge them.
 */
#include <stdlib.h>
#include <string.h>

#include "text/tok.h"

#define CHATML \
	"{{'<|im_start|>' + message['role'] + '\n' + message['content'] + " \
	"'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}" \
	"{{ '<|im_start|>assistant\n' }}{% endif %}"
#define SMOLLM2_SYSTEM \
	"You are a helpful AI assistant named SmolLM, trained by Hugging Face"

static const struct row {
	const char *name;
	const char *text;	/* tokenizer.chat_template */
	const char *system;	/* its system message when there is none */
} rows[] = {
	{ "chatml-smollm2",
	  "{% for message in messages %}{% if loop.first and "
	  "messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
	  SMOLLM2_SYSTEM "<|im_end|>\n' }}{% endif %}" CHATML,
	  SMOLLM2_SYSTEM },
	{ "chatml", "{% for message in messages %}" CHATML, NULL },
};

struct nnr__chat {
	const struct row *row;
	int32_t start, end;	/* <|im_start|>, <|im_end|> */
};

static const struct row *find(nnr__str text)
{
	while (text.n && strchr(" \n", text.p[text.n - 1]))
		text.n--;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (nnr__str_is(text, rows[i].text))
			return &rows[i];
	return NULL;
}

int nnr__chat_new(nnr__chat **out, const nnr__gguf *g, const nnr__tok *t,
		  nnr_error *err)
{
	static const char key[] = "tokenizer.chat_template";
	nnr__chat chat;
	nnr__str text;
	char show[100];
	int r = nnr__gguf_str(g, key, &text, err);

	*out = NULL;
	if (r < 0)
		return r;
	if (!r)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "the model has no "
				 "chat markup: no %s", key);
	chat.row = find(text);
	if (!chat.row)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "a chat template "
				 "that this build does not know: \"%s\"",
				 nnr__show(text, show, sizeof show));
	chat.start = nnr__tok_special(t, "<|im_start|>");
	chat.end = nnr__tok_special(t, "<|im_end|>");
	if (chat.start < 0 || chat.end < 0)
		return nnr__fail(err, NNR_E_FORMAT, "the chat template %s "
				 "needs the control tokens <|im_start|> and "
				 "<|im_end|>", chat.row->name);
	*out = malloc(sizeof **out);
	if (!*out)
		return nnr__fail_memory(err, "chat markup", sizeof **out);
	**out = chat;
	return 0;
}

void nnr__chat_free(nnr__chat *c)
{
	free(c);
}

const char *nnr__chat_name(const nnr__chat *c)
{
	return c->row->name;
}

static void add(nnr__prompt *p, const char *s, const char *part)
{
	nnr__prompt_text(p, s, strlen(s), part, false);
}

int nnr__chat_wrap(const nnr__chat *c, nnr__prompt *p, const char *system,
		   const char *part, nnr_error *err)
{
	nnr__prompt q = { 0 };

	if (!system)
		system = c->row->system ? c->row->system : "";
	else if (!*system && c->row->system)
		return nnr__fail(err, NNR_E_INPUT, "the chat template %s "
				 "always has a system message; it cannot be "
				 "empty", c->row->name);
	if (*system) {
		nnr__prompt_token(&q, c->start, part);
		add(&q, "system\n", part);
		add(&q, system, part);
		nnr__prompt_token(&q, c->end, part);
		add(&q, "\n", part);
	}
	nnr__prompt_token(&q, c->start, part);
	add(&q, "user\n", part);
	for (size_t i = 0; i < p->n; i++)
		nnr__prompt_copy(&q, p, i);
	nnr__prompt_token(&q, c->end, part);
	add(&q, "\n", part);
	nnr__prompt_token(&q, c->start, part);
	add(&q, "assistant\n", part);
	if (p->bad || q.bad) {
		nnr__prompt_release(&q);
		return nnr__fail_memory(err, "a prompt", p->text.len);
	}
	nnr__prompt_release(p);
	*p = q;
	return 0;
}
