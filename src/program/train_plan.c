/* SPDX-License-Identifier: Apache-2.0
 *
 * train_plan.c: `train:` of a source.  Its keys are a table like the
 * parameters of a step, so that messages, show, docs and JSON Schema are the
 * same; losses and groups are small tables of their own.  What a key does is
 * in src/optim.
 */
#include "program/learn.h"
#include "step.h"

#include <math.h>
#include <string.h>

typedef nnr__train_plan plan;

#define LIST_MAX 64
#define STEPS_MAX 1e7
#define RATE_MAX 1e6
#define TEACHER_MAX ((size_t)64 << 20)

static int fail_kind(nnr__src *s, const nnr__ynode *n, const char *what,
		     const char *want)
{
	char text[80];

	return nnr__fail_node(s, n, "`%s` is %s; %s was expected", what,
			      nnr__node_text(n, text, sizeof(text)), want);
}

/* ---- lists of numbers ---- */

/* At most `most` numbers, each within least and max; how many, or < 0. */
static int read_numbers(nnr__src *s, const nnr__ynode *n, const char *what,
			double max, double *out, int most)
{
	const nnr__param q = { .name = what, .type = NNR__P_NUMBER,
			       .min = 0, .max = max };
	int count = 0, rc;

	if (n->kind != NNR__Y_LIST)
		return fail_kind(s, n, what, "a list of numbers");
	if (n->count > (uint32_t)most)
		return nnr__fail_node(s, n, "`%s` has %u numbers; at most %d "
				      "were expected", what, n->count, most);
	for (const nnr__ynode *c = n->child; c; c = c->next) {
		rc = nnr__param_read(s, c, &q, &out[count++]);
		if (rc)
			return rc;
	}
	return count;
}

static void numbers_json(const double *v, int n, nnr__buf *out)
{
	nnr__buf_addc(out, '[');
	for (int i = 0; i < n; i++) {
		nnr__buf_adds(out, i ? ", " : "");
		nnr__buf_add_num(out, v[i]);
	}
	nnr__buf_addc(out, ']');
}

static int read_betas(nnr__src *s, const nnr__ynode *n, void *at)
{
	double *beta = at;	/* beta1, beta2 follow each other */
	int got = read_numbers(s, n, "betas", 0.9999999, beta, 2);

	if (got < 0)
		return got;
	return got == 2 ? 0 : nnr__fail_node(s, n, "`betas` has %d numbers; "
					     "two were expected", got);
}

static void betas_json(const void *at, nnr__buf *out)
{
	numbers_json(at, 2, out);
}

static int read_milestones(nnr__src *s, const nnr__ynode *n, void *at)
{
	plan *t = (plan *)((char *)at - offsetof(plan, milestone));
	const int most = (int)(sizeof(t->milestone) / sizeof(*t->milestone));
	int got = read_numbers(s, n, "milestones", 1, t->milestone, most);

	if (got < 0)
		return got;
	if (!got)
		return nnr__fail_node(s, n, "`milestones` is an empty list; "
				      "parts of the run from 0 to 1 were "
				      "expected");
	for (int i = 1; i < got; i++)
		if (t->milestone[i] <= t->milestone[i - 1])
			return nnr__fail_node(s, n, "`milestones` must "
					      "ascend: %g after %g",
					      t->milestone[i],
					      t->milestone[i - 1]);
	t->milestones = got;
	return 0;
}

static void milestones_json(const void *at, nnr__buf *out)
{
	const plan *t = (const plan *)((const char *)at -
				       offsetof(plan, milestone));

	if (t->milestones)
		numbers_json(t->milestone, t->milestones, out);
	else
		nnr__buf_adds(out, "null");
}

/* ---- losses ---- */

#define TERM(member) offsetof(nnr__loss_term, member)
static const nnr__param no_params[] = { { .name = NULL } };
static const nnr__param focal_params[] = {
	{ .name = "gamma", .type = NNR__P_NUMBER, .at = TERM(gamma),
	  .fallback = "2", .min = 0, .max = 100,
	  .help = "how much what is right already counts less" },
	{ .name = "balance", .type = NNR__P_BOOL, .at = TERM(balance),
	  .fallback = "no",
	  .help = "labels weighted by 1 / their count" },
	{ .name = NULL }
};
static const nnr__param distill_params[] = {
	{ .name = "from", .type = NNR__P_FILE, .at = TERM(from),
	  .required = true, .help = "the teacher, a program" },
	{ .name = "temperature", .type = NNR__P_NUMBER,
	  .at = TERM(temperature), .fallback = "1", .min = 0.01, .max = 100,
	  .help = "of both distributions" },
	{ .name = NULL }
};
static const nnr__param weight_param = {
	.name = "weight", .type = NNR__P_NUMBER, .at = TERM(weight),
	.min = 1e-9, .max = 1e9
};

static const nnr__step_row losses[] = {
	[NNR__LOSS_CROSS_ENTROPY] = { .name = "cross_entropy",
		.param = no_params, .args = sizeof(nnr__loss_term) },
	[NNR__LOSS_NEXT_TOKEN] = { .name = "next_token",
		.param = no_params, .args = sizeof(nnr__loss_term) },
	[NNR__LOSS_FOCAL] = { .name = "focal", .param = focal_params,
		.bare = "gamma", .args = sizeof(nnr__loss_term) },
	[NNR__LOSS_DISTILL] = { .name = "distill", .param = distill_params,
		.bare = "from", .args = sizeof(nnr__loss_term) }
};
static const char *const loss_names[] = {
	"cross_entropy", "next_token", "focal", "distill", NULL
};

static int find_loss(const char *name)
{
	for (int i = 1; i <= NNR__LOSS_DISTILL; i++)
		if (strcmp(losses[i].name, name) == 0)
			return i;
	return -1;
}

/* One loss by its name; node: its parameters, or NULL. */
static int fill_loss(nnr__src *s, int loss, nnr__place at,
		     const nnr__ynode *node, nnr__loss_term *out)
{
	nnr__step st = { .row = &losses[loss], .place = at };
	double weight = out->weight;
	int rc = nnr__args_fill(s, &st, node);

	if (rc)
		return rc;
	*out = *(nnr__loss_term *)st.args;
	out->loss = loss;
	out->weight = weight;
	out->place = at;
	return 0;
}

static int fail_loss(nnr__src *s, const nnr__ynode *n, const char *name)
{
	char hint[200];

	nnr__hint(hint, sizeof(hint), name, loss_names);
	if (n->kind == NNR__Y_SCALAR && n->text == name)
		return nnr__fail_node(s, n, "unknown loss `%.60s`%s", name,
				      hint);
	return nnr__fail_key(s, n, "unknown loss `%.60s`%s", name, hint);
}

/* {focal: {gamma: 1}, weight: 0.5} */
static int read_loss_map(nnr__src *s, const nnr__ynode *map,
			 nnr__loss_term *out)
{
	const nnr__ynode *own = NULL;
	int rc;

	for (const nnr__ynode *c = map->child; c; c = c->next) {
		if (strcmp(c->key, "weight") == 0) {
			rc = nnr__param_read(s, c, &weight_param,
					     &out->weight);
			if (rc)
				return rc;
		} else if (find_loss(c->key) < 0) {
			return fail_loss(s, c, c->key);
		} else if (own) {
			return nnr__fail_key(s, c, "two losses in one entry, "
					     "`%s` and `%s`; make `loss` a "
					     "list", own->key, c->key);
		} else {
			own = c;
		}
	}
	if (!own)
		return nnr__fail_node(s, map, "a loss was expected, like "
				      "`cross_entropy`");
	return fill_loss(s, find_loss(own->key), nnr__place_of_key(own), own,
			 out);
}

static int read_loss(nnr__src *s, const nnr__ynode *n, nnr__loss_term *out)
{
	out->weight = 1;
	if (n->kind == NNR__Y_MAP)
		return read_loss_map(s, n, out);
	if (n->kind != NNR__Y_SCALAR)
		return fail_kind(s, n, "loss", "a loss or a list of losses");
	if (find_loss(n->text) < 0)
		return fail_loss(s, n, n->text);
	return fill_loss(s, find_loss(n->text), nnr__place_of(n), NULL, out);
}

static int read_losses(nnr__src *s, const nnr__ynode *n, void *at)
{
	plan *t = (plan *)((char *)at - offsetof(plan, loss));
	bool list = n->kind == NNR__Y_LIST;
	const nnr__ynode *c = list ? n->child : n;
	uint32_t count = list ? n->count : 1;
	int rc = 0;

	if (!count || count > LIST_MAX)
		return nnr__fail_node(s, n, "`loss` has %u entries; 1 to %d "
				      "were expected", count, LIST_MAX);
	t->loss = nnr__src_alloc(s, count, sizeof(*t->loss));
	if (!t->loss)
		return NNR_E_MEMORY;
	for (; count-- > 0 && !rc; c = c->next)
		rc = read_loss(s, c, &t->loss[t->losses++]);
	return rc;
}

static void loss_json(const nnr__loss_term *l, nnr__buf *out)
{
	nnr__step st = { .row = &losses[l->loss],
			 .args = (void *)(uintptr_t)l };

	nnr__buf_addf(out, "{\"%s\":", st.row->name);
	nnr__step_json(&st, out);
	nnr__buf_adds(out, ",\"weight\":");
	nnr__buf_add_num(out, l->weight);
	nnr__buf_addc(out, '}');
}

static void losses_json(const void *at, nnr__buf *out)
{
	const plan *t = (const plan *)((const char *)at -
				       offsetof(plan, loss));

	if (t->losses == 1 && t->loss[0].loss == NNR__LOSS_AUTO) {
		nnr__buf_adds(out, "null");
		return;
	}
	nnr__buf_addc(out, '[');
	for (int i = 0; i < t->losses; i++) {
		nnr__buf_adds(out, i ? ", " : "");
		loss_json(&t->loss[i], out);
	}
	nnr__buf_addc(out, ']');
}

/* ---- groups ---- */

#define GROUP(member) offsetof(nnr__train_group, member)
static const nnr__param group_params[] = {
	{ .name = "match", .type = NNR__P_STRING, .at = GROUP(match),
	  .required = true, .help = "names of tensors, as \"shift.*\"" },
	{ .name = "lr", .type = NNR__P_NUMBER, .at = GROUP(lr),
	  .min = 0, .max = RATE_MAX, .help = "learning rate; 0: not learned" },
	{ .name = "weight_decay", .type = NNR__P_NUMBER,
	  .at = GROUP(weight_decay), .min = 0, .max = 1000,
	  .help = "weight decay" },
	{ .name = NULL }
};
static const nnr__step_row group_row = {
	.name = "groups", .param = group_params,
	.args = sizeof(nnr__train_group)
};

static bool given(const nnr__step *st, const char *name)
{
	for (int i = 0; st->row->param[i].name; i++)
		if (strcmp(st->row->param[i].name, name) == 0)
			return st->given[i].line || st->given[i].col;
	return false;
}

static int read_group(nnr__src *s, const nnr__ynode *n, nnr__train_group *out)
{
	nnr__step st = { .row = &group_row, .place = nnr__place_of(n) };
	int rc;

	if (n->kind != NNR__Y_MAP)
		return fail_kind(s, n, "groups", "a list of maps like {match: "
				 "\"shift.*\", lr: 0.1}");
	rc = nnr__args_fill(s, &st, n);
	if (rc)
		return rc;
	*out = *(nnr__train_group *)st.args;
	out->place = st.place;
	if (!given(&st, "lr"))
		out->lr = NAN;
	if (!given(&st, "weight_decay"))
		out->weight_decay = NAN;
	if (isnan(out->lr) && isnan(out->weight_decay))
		return nnr__fail_node(s, n, "a group of `groups` sets neither "
				      "`lr` nor `weight_decay`");
	return 0;
}

static int read_groups(nnr__src *s, const nnr__ynode *n, void *at)
{
	plan *t = (plan *)((char *)at - offsetof(plan, group));
	int rc = 0;

	if (n->kind != NNR__Y_LIST)
		return fail_kind(s, n, "groups", "a list of maps like {match: "
				 "\"shift.*\", lr: 0.1}");
	if (n->count > LIST_MAX)
		return nnr__fail_node(s, n, "`groups` has %u entries; at most "
				      "%d", n->count, LIST_MAX);
	t->group = nnr__src_alloc(s, n->count, sizeof(*t->group));
	if (!t->group)
		return NNR_E_MEMORY;
	for (const nnr__ynode *c = n->child; c && !rc; c = c->next)
		rc = read_group(s, c, &t->group[t->groups++]);
	return rc;
}

static void groups_json(const void *at, nnr__buf *out)
{
	const plan *t = (const plan *)((const char *)at -
				       offsetof(plan, group));

	nnr__buf_addc(out, '[');
	for (int i = 0; i < t->groups; i++) {
		nnr__step st = { .row = &group_row, .args = &t->group[i] };
		nnr__buf_adds(out, i ? ", " : "");
		nnr__step_json(&st, out);
	}
	nnr__buf_addc(out, ']');
}

/* ---- the keys ---- */

#define PART "{\"type\":\"number\",\"minimum\":0,\"maximum\":1}"
static const nnr__own betas = {
	"two numbers",
	"\"type\":\"array\",\"minItems\":2,\"maxItems\":2,\"items\":" PART,
	read_betas, betas_json
};
static const nnr__own milestones = {
	"numbers from 0 to 1",
	"\"type\":\"array\",\"minItems\":1,\"maxItems\":8,\"items\":" PART,
	read_milestones, milestones_json
};
static const nnr__own loss = {
	"a loss or a list of losses",
	"\"type\":[\"string\",\"object\",\"array\"]",
	read_losses, losses_json
};
static const nnr__own groups = {
	"list of {match, lr, weight_decay}",
	"\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":["
	"\"match\"],\"additionalProperties\":false,\"properties\":{\"match\":"
	"{\"type\":\"string\"},\"lr\":{\"type\":\"number\"},\"weight_decay\":"
	"{\"type\":\"number\"}}}",
	read_groups, groups_json
};
static const char *const optimizers[] = { "adamw", "sgd", NULL };
static const char *const schedules[] = { "constant", "cosine", "linear",
					 "milestones", NULL };

#define AT(member) offsetof(plan, member)
static const nnr__param keys[] = {
	{ .name = "optimizer", .type = NNR__P_ENUM, .at = AT(optimizer),
	  .fallback = "adamw", .names = optimizers,
	  .help = "adamw decays apart from the gradient, sgd within it" },
	{ .name = "lr", .type = NNR__P_NUMBER, .at = AT(lr),
	  .fallback = "0.003", .min = 1e-12, .max = RATE_MAX,
	  .help = "learning rate, before the schedule" },
	{ .name = "weight_decay", .type = NNR__P_NUMBER,
	  .at = AT(weight_decay), .fallback = "0", .min = 0, .max = 1000,
	  .help = "pull of every value towards 0" },
	{ .name = "betas", .type = NNR__P_OWN, .own = &betas,
	  .at = AT(beta1), .fallback = "[0.9, 0.999]",
	  .help = "adamw: of the means of gradient and square" },
	{ .name = "eps", .type = NNR__P_NUMBER, .at = AT(eps),
	  .fallback = "1e-8", .min = 0, .max = 1,
	  .help = "adamw: added to the root of the square" },
	{ .name = "momentum", .type = NNR__P_NUMBER, .at = AT(momentum),
	  .fallback = "0.9", .min = 0, .max = 0.999999,
	  .help = "sgd: of the step before" },
	{ .name = "schedule", .type = NNR__P_ENUM, .at = AT(schedule),
	  .names = schedules,
	  .help = "how the rate falls; not given: milestones if there are "
		  "any, else constant" },
	{ .name = "milestones", .type = NNR__P_OWN, .own = &milestones,
	  .at = AT(milestone),
	  .help = "parts of the run after which the rate falls" },
	{ .name = "gamma", .type = NNR__P_NUMBER, .at = AT(gamma),
	  .fallback = "0.1", .min = 0, .max = 1,
	  .help = "factor of the rate at a milestone" },
	{ .name = "warmup", .type = NNR__P_INT, .at = AT(warmup),
	  .fallback = "0", .min = 0, .max = STEPS_MAX,
	  .help = "first steps, in which the rate rises" },
	{ .name = "steps", .type = NNR__P_INT, .at = AT(steps),
	  .min = 1, .max = STEPS_MAX,
	  .help = "length of the run; without `epochs` 300" },
	{ .name = "epochs", .type = NNR__P_INT, .at = AT(epochs),
	  .min = 1, .max = STEPS_MAX,
	  .help = "the same in passes over the data" },
	{ .name = "batch", .type = NNR__P_INT, .at = AT(batch),
	  .fallback = "8", .min = 1, .max = 1e6,
	  .help = "items of a gradient" },
	{ .name = "accumulate", .type = NNR__P_INT, .at = AT(accumulate),
	  .fallback = "1", .min = 1, .max = 1e6,
	  .help = "batches of a step; it takes the mean of their items" },
	{ .name = "clip", .type = NNR__P_NUMBER, .at = AT(clip),
	  .fallback = "1", .min = 0, .max = 1e9,
	  .help = "largest norm of the whole gradient; 0: any" },
	{ .name = "seed", .type = NNR__P_INT, .at = AT(seed),
	  .fallback = "0", .min = 0, .max = 9e15,
	  .help = "of the order of the items, and of what starts at random" },
	{ .name = "validate_every", .type = NNR__P_INT, .at = AT(every),
	  .min = 1, .max = STEPS_MAX,
	  .help = "steps between validations; not given: an epoch" },
	{ .name = "patience", .type = NNR__P_INT, .at = AT(patience),
	  .fallback = "0", .min = 0, .max = 1e6,
	  .help = "validations without a better one before it ends; 0: off" },
	{ .name = "loss", .type = NNR__P_OWN, .own = &loss, .at = AT(loss),
	  .help = "what is minimised; not given: by the output's type" },
	{ .name = "groups", .type = NNR__P_OWN, .own = &groups,
	  .at = AT(group),
	  .help = "tensors with a rate or decay of their own; the first that "
		  "matches" },
	{ .name = NULL }
};

const nnr__step_row nnr__train_row = {
	.name = "train", .param = keys, .args = sizeof(plan)
};

/* ---- what the table cannot say ---- */

static int check_optimizer(nnr__src *s, const plan *t)
{
	static const struct { const char *name; int of; } own[] = {
		{ "betas", NNR__OPT_ADAMW }, { "eps", NNR__OPT_ADAMW },
		{ "momentum", NNR__OPT_SGD }
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (own[i].of != t->optimizer && given(&t->key, own[i].name))
			return nnr__fail_step(s->p, &t->key, own[i].name,
					      s->err, "`%s` is of %s; the "
					      "optimizer is %s", own[i].name,
					      optimizers[own[i].of],
					      optimizers[t->optimizer]);
	return 0;
}

static int check_schedule(nnr__src *s, plan *t)
{
	const char *const of[] = { "milestones", "gamma" };

	if (t->schedule < 0)
		t->schedule = t->milestones ? NNR__LR_MILESTONES
					    : NNR__LR_CONSTANT;
	if (t->schedule == NNR__LR_MILESTONES && !t->milestones)
		return nnr__fail_step(s->p, &t->key, "schedule", s->err,
				      "the schedule needs `milestones`, like "
				      "[0.5, 0.75]");
	for (int i = 0; i < 2; i++)
		if (t->schedule != NNR__LR_MILESTONES && given(&t->key, of[i]))
			return nnr__fail_step(s->p, &t->key, of[i], s->err,
					      "`%s` is of the schedule "
					      "milestones, not of %s", of[i],
					      schedules[t->schedule]);
	return 0;
}

static int check_length(nnr__src *s, plan *t)
{
	if (t->steps && t->epochs)
		return nnr__fail_step(s->p, &t->key, "epochs", s->err,
				      "`steps` and `epochs` both say how long; "
				      "give one of them");
	if (!t->steps && !t->epochs)
		t->steps = 300;
	if (t->steps && t->warmup > t->steps)
		return nnr__fail_step(s->p, &t->key, "warmup", s->err,
				      "`warmup` is %lld of %lld steps",
				      (long long)t->warmup,
				      (long long)t->steps);
	return 0;
}

/* The next token's loss is of a text and has no other beside it. */
static int check_alone(nnr__src *s, const plan *t, const nnr__loss_term *l)
{
	if (l->loss == NNR__LOSS_NEXT_TOKEN &&
	    (t->losses > 1 || l->weight != 1))
		return nnr__fail_place(s->p, l->place, NNR_E_UNSUPPORTED,
				       s->err, "`train`: the loss "
				       "`next_token` beside others or with a "
				       "weight is not in this version of nnr "
				       "yet");
	return 0;
}

/* Whether a step of `out` makes scores, or texts, of what f puts out. */
static bool reads_into(const nnr_program *p, nnr__kind kind)
{
	int i = 0;

	while (i < p->outs && p->out[i].row->takes != NNR__K_LOGITS)
		i++;
	return i < p->outs && p->out[i].row->gives == kind;
}

/* The bytes of a teacher are part of what the program is. */
static int read_teacher(nnr__src *s, plan *t, const char *from)
{
	nnr__buf b = { 0 };
	int rc = nnr__program_file_read(s->p, &t->key, "loss", from,
					TEACHER_MAX, &b, s->err);
	nnr__buf_release(&b);
	return rc;
}

/* A loss over labels needs their scores, the next token's a text. */
static int check_losses(nnr__src *s, plan *t)
{
	int rc = 0;

	for (int i = 0; i < t->losses && !rc; i++) {
		const nnr__loss_term *l = &t->loss[i];
		bool text = l->loss == NNR__LOSS_NEXT_TOKEN;
		if (l->loss != NNR__LOSS_AUTO &&
		    !reads_into(s->p, text ? NNR__K_TEXTS : NNR__K_SCORES))
			return nnr__fail_place(s->p, l->place, NNR_E_INPUT,
				s->err, "`train`: the loss `%s` needs the step"
				" `%s`, which is not in `out`",
				losses[l->loss].name, text ? "generate"
							   : "score");
		rc = check_alone(s, t, l);
		if (!rc && l->loss == NNR__LOSS_DISTILL)
			rc = read_teacher(s, t, l->from);
	}
	return rc;
}

int nnr__train_plan_read(nnr__src *s, const nnr__ynode *top)
{
	const nnr__ynode *n = nnr__yaml_get(top, "train");
	nnr__step st = { .row = &nnr__train_row, .id = NULL };
	plan *t;
	int rc;

	if (n && n->kind != NNR__Y_MAP)
		return fail_kind(s, n, "train", "a map");
	if (n)
		st.place = nnr__place_of_key(n);
	rc = nnr__args_fill(s, &st, n);
	if (rc)
		return rc;
	t = st.args;
	t->key = st;
	s->p->train = t;
	if (!t->losses) {
		t->loss = nnr__src_alloc(s, 1, sizeof(*t->loss));
		if (!t->loss)
			return NNR_E_MEMORY;
		t->losses = 1;
		t->loss[0] = (nnr__loss_term){ .loss = NNR__LOSS_AUTO,
					       .weight = 1,
					       .place = st.place };
	}
	rc = check_optimizer(s, t);
	rc = rc ? rc : check_schedule(s, t);
	rc = rc ? rc : check_length(s, t);
	return rc ? rc : check_losses(s, t);
}
