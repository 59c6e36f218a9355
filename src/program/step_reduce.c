/* SPDX-License-Identifier: Apache-2.0
 *
 * reduce: joins the values of several samples into one: the most frequent
 * (self-consistency; of equals the one seen first) or the mean.
 */
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct nnr__a_reduce args;

static const char *const ways_by[] = { "vote", "mean", NULL };

static const nnr__param params[] = {
	{ .name = "over", .type = NNR__P_STRING, .at = offsetof(args, over),
	  .fallback = "sample", .help = "the axis to close: sample" },
	{ .name = "by", .type = NNR__P_ENUM, .names = ways_by,
	  .at = offsetof(args, by), .fallback = "vote",
	  .help = "the most frequent value, or the mean of numbers" },
	{ .name = NULL }
};

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;

	if (strcmp(a->over, "sample") != 0)
		return nnr__fail_step(p, s, "over", err, "no step opens the "
				      "axis `%.60s`; `generate` opens "
				      "`sample`", a->over);
	if (a->by == NNR__BY_MEAN && p->output.type != NNR__T_NUMBER)
		return nnr__fail_step(p, s, "by", err, "a mean needs an "
				      "output of type number");
	return 0;
}

static int vote(nnr__answer *out, nnr_error *err)
{
	int best = 0;

	for (int i = 0; i < out->samples; i++) {
		const char *value = out->sample[i].value;
		int count = 0;
		for (int k = 0; value && k < out->samples; k++)
			if (out->sample[k].value &&
			    strcmp(out->sample[k].value, value) == 0)
				count++;
		if (count <= best)
			continue;
		best = count;
		free(out->value);
		out->value = nnr__strdup(value);
		if (!out->value)
			return nnr__fail_memory(err, "a value", 1);
	}
	out->agreement = (double)best / (double)out->samples;
	return 0;
}

static int mean(nnr__answer *out, nnr_error *err)
{
	const nnr__field number = { .type = NNR__T_NUMBER };
	nnr__buf text = { 0 }, canon = { 0 };
	double sum = 0;
	int n = 0;

	for (int i = 0; i < out->samples; i++) {
		if (!out->sample[i].value)
			continue;
		sum += strtod(out->sample[i].value, NULL);
		n++;
	}
	if (!n)
		return 0;
	nnr__buf_add_num(&text, sum / n);
	if (text.p && nnr__type_canon(&number, text.p, text.len, &canon))
		out->value = nnr__buf_take(&canon);
	nnr__buf_release(&text);
	nnr__buf_release(&canon);
	return out->value ? 0 : nnr__fail_memory(err, "a mean", 1);
}

static int run(nnr_program *p, nnr__step *s, nnr__batch *b, nnr_error *err)
{
	const args *a = s->args;
	int rc = 0;

	(void)p;
	for (int i = 0; i < b->n && !rc; i++)
		rc = a->by == NNR__BY_VOTE ? vote(&b->answer[i], err)
					   : mean(&b->answer[i], err);
	return rc;
}

const nnr__step_row nnr__step_reduce = {
	.name = "reduce",
	.help = "joins the values of several samples into one",
	.takes = NNR__K_VALUE, .gives = NNR__K_VALUE,
	.alignment = "statistical",
	.paradigm = "stochastic program execution",
	.param = params, .bare = "by", .args = sizeof(args),
	.check = check, .run = run
};
