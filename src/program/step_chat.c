/* SPDX-License-Identifier: Apache-2.0
 *
 * chat: wraps the prompt so far in the model's own chat markup.
 */
#include "step.h"

#include <string.h>

static const nnr__param params[] = {
	{ .name = "system", .type = NNR__P_STRING,
	  .at = offsetof(struct nnr__a_chat, system),
	  .help = "system message; not given: the model's own, \"\": none" },
	{ .name = NULL }
};

/* Without a model the markup is not known: its place is shown. */
static void show_place(nnr__render *r, const nnr__step *s)
{
	const struct nnr__a_chat *a = s->args;
	nnr__prompt q = { 0 };

	nnr__prompt_text(&q, "[system: ", 9, s->id, false);
	if (a->system)
		nnr__prompt_text(&q, a->system, strlen(a->system), s->id,
				 false);
	else
		nnr__prompt_text(&q, "the model's own", 15, s->id, false);
	nnr__prompt_text(&q, "]\n[user]\n", 9, s->id, false);
	nnr__prompt_join(&q, r->out);
	nnr__prompt_text(&q, "\n[assistant]\n", 13, s->id, false);
	nnr__prompt_release(r->out);
	*r->out = q;
}

static int render(nnr__render *r, const nnr__step *s, nnr_error *err)
{
	const struct nnr__a_chat *a = s->args;
	const nnr_model *m = r->p->model;
	int rc;

	if (!m) {
		show_place(r, s);
		return 0;
	}
	rc = nnr__chat_wrap(m->chat, r->out, a->system, s->id, err);
	return rc ? nnr__place_prefix(r->p, s, "system", err) : 0;
}

static int bind(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const nnr_model *m = p->model;

	if (m->chat)
		return 0;
	nnr__fail(err, m->chat_err.code ? m->chat_err.code
					: NNR_E_UNSUPPORTED, "%s",
		  m->chat_err.message[0] ? m->chat_err.message
					 : "the model has no chat template");
	return nnr__place_prefix(p, s, NULL, err);
}

const nnr__step_row nnr__step_chat = {
	.name = "chat",
	.help = "wraps what stands so far as the user's message",
	.input = true, .takes = NNR__K_TEXT, .gives = NNR__K_TEXT,
	.location = "input", .adapt = "fixed", .operation = "concatenative",
	.paradigm = "prompt instruction",
	.param = params, .bare = "system",
	.args = sizeof(struct nnr__a_chat),
	.render = render, .bind = bind
};
