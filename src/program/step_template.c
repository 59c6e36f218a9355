/* SPDX-License-Identifier: Apache-2.0
 *
 * template: text with the item's fields in it, a part of the prompt.
 */
#include "step.h"

static const char *const ats[] = { "here", "start", "end", NULL };

static const nnr__param params[] = {
	{ .name = "text", .type = NNR__P_TEMPLATE, .required = true,
	  .at = offsetof(struct nnr__a_template, text),
	  .help = "the text; {name} is an input field or an earlier part" },
	{ .name = "at", .type = NNR__P_ENUM, .names = ats, .fallback = "here",
	  .at = offsetof(struct nnr__a_template, at),
	  .help = "here, or before or after all else, chat markup too" },
	{ .name = NULL }
};

static int render(nnr__render *r, const nnr__step *s, nnr_error *err)
{
	const struct nnr__a_template *a = s->args;

	return nnr__render_template(r, a->text, s, err);
}

const nnr__step_row nnr__step_template = {
	.name = "template",
	.help = "text with the item's fields in it",
	.input = true, .takes = NNR__K_ITEM, .gives = NNR__K_TEXT,
	.location = "input", .adapt = "fixed", .operation = "concatenative",
	.paradigm = "prompt instruction",
	.param = params, .bare = "text",
	.args = sizeof(struct nnr__a_template),
	.render = render
};
