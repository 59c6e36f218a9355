/* SPDX-License-Identifier: Apache-2.0
 *
 * test_train_plan.c: what `train:` may say, its defaults, and what is said
 * when it is wrong: place, key, what was expected, the nearest known name.
 */
#include "test.h"

#include <math.h>

#include "program/learn.h"

#define HEAD \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [neg, pos]}\nin: [template: \"{text}:\"]\n" \
	"out: [score: {choices: {neg: \" bad\", pos: \" good\"}}]\n"
#define WRITES \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {answer: string}\nin: [template: \"{text}:\"]\n" \
	"out: [generate: 5, parse]\n"

static nnr_program *must_open(const char *source, const nnr__strings *set)
{
	nnr_program *p = NULL;
	nnr_error err;

	if (nnr__program_parse(&p, "p.yaml", NULL, source, strlen(source),
			       set, &err))
		fail_msg("%s", err.message);
	return p;
}

/* NNR_E_INPUT or, of what is not there yet, NNR_E_UNSUPPORTED. */
static bool fails(const char *source, const nnr__strings *set,
		  const char *message)
{
	int code = strstr(message, "version of nnr") ? NNR_E_UNSUPPORTED
						      : NNR_E_INPUT;
	nnr_program *p = NULL;
	nnr_error err = { 0 };
	int rc = nnr__program_parse(&p, "p.yaml", NULL, source,
				    strlen(source), set, &err);

	if (!rc) {
		nnr__program_close(p);
		print_error("taken: %s\n", source);
		return false;
	}
	if (rc == code && strcmp(err.message, message) == 0)
		return true;
	print_error("said    %s (%d)\nnot     %s\n", err.message, rc,
		    message);
	return false;
}

#define T HEAD "train: "
static const char *const wrong[][2] = {
	{ T "3\n", "p.yaml:8:8: `train` is `3`; a map was expected" },
	{ T "[a]\n", "p.yaml:8:8: `train` is a list; a map was expected" },
	{ T "{step: 3}\n", "p.yaml:8:9: unknown key `step` of `train`; did "
	  "you mean `steps`?" },
	{ T "{optimizer: adam}\n", "p.yaml:8:20: `optimizer` is `adam`; did "
	  "you mean `adamw`?" },
	{ T "{lr: 0}\n", "p.yaml:8:13: `lr` is `0`; a number from 1e-12 to "
	  "1000000 was expected" },
	{ T "{lr: nan}\n", "p.yaml:8:13: `lr` is `nan`; a number from 1e-12 "
	  "to 1000000 was expected" },
	{ T "{batch: 0}\n", "p.yaml:8:16: `batch` is `0`; an integer from 1 "
	  "to 1000000 was expected" },
	{ T "{steps: 1.5}\n", "p.yaml:8:16: `steps` is `1.5`; an integer "
	  "from 1 to 10000000 was expected" },
	{ T "{steps: 3, epochs: 2}\n", "p.yaml:8:27: `train`: `steps` and "
	  "`epochs` both say how long; give one of them" },
	{ T "{steps: 3, warmup: 4}\n", "p.yaml:8:27: `train`: `warmup` is 4 "
	  "of 3 steps" },
	{ T "{momentum: 0.5}\n", "p.yaml:8:19: `train`: `momentum` is of "
	  "sgd; the optimizer is adamw" },
	{ T "{optimizer: sgd, eps: 1}\n", "p.yaml:8:30: `train`: `eps` is of "
	  "adamw; the optimizer is sgd" },
	{ T "{betas: 0.9}\n", "p.yaml:8:16: `betas` is `0.9`; a list of "
	  "numbers was expected" },
	{ T "{betas: [0.9]}\n", "p.yaml:8:16: `betas` has 1 numbers; two "
	  "were expected" },
	{ T "{betas: [0.9, 1]}\n", "p.yaml:8:22: `betas` is `1`; a number "
	  "from 0 to 0.9999999 was expected" },
	{ T "{schedule: cosin}\n", "p.yaml:8:19: `schedule` is `cosin`; did "
	  "you mean `cosine`?" },
	{ T "{schedule: milestones}\n", "p.yaml:8:19: `train`: the schedule "
	  "needs `milestones`, like [0.5, 0.75]" },
	{ T "{schedule: linear, gamma: 1}\n", "p.yaml:8:34: `train`: `gamma` "
	  "is of the schedule milestones, not of linear" },
	{ T "{schedule: cosine, milestones: [0.5]}\n", "p.yaml:8:39: "
	  "`train`: `milestones` is of the schedule milestones, not of "
	  "cosine" },
	{ T "{milestones: []}\n", "p.yaml:8:21: `milestones` is an empty "
	  "list; parts of the run from 0 to 1 were expected" },
	{ T "{milestones: [0.5, 0.4]}\n", "p.yaml:8:21: `milestones` must "
	  "ascend: 0.4 after 0.5" },
	{ T "{milestones: [10]}\n", "p.yaml:8:22: `milestones` is `10`; a "
	  "number from 0 to 1 was expected" },
	{ T "{milestones: [0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9]}\n",
	  "p.yaml:8:21: `milestones` has 9 numbers; at most 8 were "
	  "expected" },
	{ T "{loss: focl}\n", "p.yaml:8:15: unknown loss `focl`; did you "
	  "mean `focal`?" },
	{ T "{loss: hinge}\n", "p.yaml:8:15: unknown loss `hinge`; known: "
	  "cross_entropy, next_token, focal, distill" },
	{ T "{loss: []}\n", "p.yaml:8:15: `loss` has 0 entries; 1 to 64 were "
	  "expected" },
	{ T "{loss: [[focal]]}\n", "p.yaml:8:16: `loss` is a list; a loss or "
	  "a list of losses was expected" },
	{ T "{loss: {weight: 2}}\n", "p.yaml:8:15: a loss was expected, like "
	  "`cross_entropy`" },
	{ T "{loss: {focal: {gama: 2}}}\n", "p.yaml:8:24: unknown key `gama` "
	  "of `focal`; did you mean `gamma`?" },
	{ T "{loss: {cross_entropy: {gamma: 2}}}\n", "p.yaml:8:32: unknown "
	  "key `gamma`; `cross_entropy` has no parameters" },
	{ T "{loss: {focal: 2, weight: 0}}\n", "p.yaml:8:34: `weight` is "
	  "`0`; a number from 1e-09 to 1000000000 was expected" },
	{ T "{loss: {focal: 2, distill: a.yaml}}\n", "p.yaml:8:26: two "
	  "losses in one entry, `focal` and `distill`; make `loss` a list" },
	{ T "{loss: distill}\n", "p.yaml:8:15: `distill`: `from` is "
	  "missing: the teacher, a program" },
	{ T "{loss: next_token}\n", "p.yaml:8:15: `train`: the loss "
	  "`next_token` needs the step `generate`, which is not in `out`" },
	{ WRITES "train:\n  loss:\n  - {weight: 1, focal: 1}\n",
	  "p.yaml:10:17: `train`: the loss `focal` needs the step `score`, "
	  "which is not in `out`" },
	{ T "{loss: {distill: a.yaml}}\n", "p.yaml:8:15: `train`: a source in "
	  "memory cannot name a file" },
	{ WRITES "train: {loss: {next_token: , weight: 2}}\n",
	  "p.yaml:8:16: `train`: the loss `next_token` beside others or with "
	  "a weight is not in this version of nnr yet" },
	{ T "{groups: a}\n", "p.yaml:8:17: `groups` is `a`; a list of maps "
	  "like {match: \"shift.*\", lr: 0.1} was expected" },
	{ T "{groups: [a]}\n", "p.yaml:8:18: `groups` is `a`; a list of maps "
	  "like {match: \"shift.*\", lr: 0.1} was expected" },
	{ T "{groups: [{lr: 1}]}\n", "p.yaml:8:18: `groups`: `match` is "
	  "missing: names of tensors, as \"shift.*\"" },
	{ T "{groups: [{match: a}]}\n", "p.yaml:8:18: a group of `groups` "
	  "sets neither `lr` nor `weight_decay`" },
	{ T "{groups: [{match: a, rate: 1}]}\n", "p.yaml:8:29: unknown key "
	  "`rate` of `groups`; known: match, lr, weight_decay" },
	{ T "{patience: -1}\n", "p.yaml:8:19: `patience` is `-1`; an integer "
	  "from 0 to 1000000 was expected" },
};

static void wrong_plans_say_why(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		bad += !fails(wrong[i][0], NULL, wrong[i][1]);
	assert_int_equal(bad, 0);
}

static void defaults_hold(void **state)
{
	nnr_program *p = must_open(HEAD, NULL);
	const nnr__train_plan *t = p->train;

	(void)state;
	assert_int_equal(t->optimizer, NNR__OPT_ADAMW);
	assert_int_equal(t->schedule, NNR__LR_CONSTANT);
	assert_true(t->lr == 0.003 && t->weight_decay == 0);
	assert_true(t->beta1 == 0.9 && t->beta2 == 0.999 && t->eps == 1e-8);
	assert_true(t->clip == 1 && t->gamma == 0.1);
	assert_int_equal(t->steps, 300);
	assert_int_equal(t->epochs, 0);
	assert_int_equal(t->batch, 8);
	assert_int_equal(t->accumulate, 1);
	assert_int_equal(t->every, 0);
	assert_int_equal(t->patience, 0);
	assert_int_equal(t->losses, 1);
	assert_int_equal(t->loss[0].loss, NNR__LOSS_AUTO);
	assert_true(t->loss[0].weight == 1);
	assert_int_equal(t->groups, 0);
	nnr__program_close(p);
}

#define FULL HEAD \
	"train:\n  optimizer: sgd\n  lr: 0.5\n  momentum: 0\n" \
	"  epochs: 4\n  milestones: [0.5, 0.75]\n  gamma: 0.5\n" \
	"  accumulate: 3\n  validate_every: 7\n  patience: 2\n" \
	"  loss:\n  - cross_entropy\n" \
	"  - {focal: {gamma: 1, balance: yes}, weight: 0.5}\n" \
	"  - focal: 0\n" \
	"  groups:\n  - {match: \"shift.*\", lr: 0.1}\n" \
	"  - {match: \"*\", weight_decay: 0.01}\n"

static void every_key_arrives(void **state)
{
	nnr_program *p = must_open(FULL, NULL);
	const nnr__train_plan *t = p->train;

	(void)state;
	assert_int_equal(t->optimizer, NNR__OPT_SGD);
	assert_int_equal(t->schedule, NNR__LR_MILESTONES);
	assert_int_equal(t->milestones, 2);
	assert_true(t->milestone[1] == 0.75 && t->gamma == 0.5);
	assert_int_equal(t->steps, 0);
	assert_int_equal(t->epochs, 4);
	assert_int_equal(t->accumulate, 3);
	assert_int_equal(t->every, 7);
	assert_int_equal(t->patience, 2);
	assert_int_equal(t->losses, 3);
	assert_int_equal(t->loss[1].loss, NNR__LOSS_FOCAL);
	assert_true(t->loss[1].gamma == 1 && t->loss[1].balance);
	assert_true(t->loss[1].weight == 0.5 && t->loss[0].weight == 1);
	assert_true(t->loss[2].gamma == 0 && !t->loss[2].balance);
	assert_int_equal(t->groups, 2);
	assert_true(t->group[0].lr == 0.1);
	assert_true(isnan(t->group[0].weight_decay));
	assert_true(isnan(t->group[1].lr));
	assert_int_equal(t->group[1].place.line, 24);
	nnr__program_close(p);
}

static void overrides_reach_the_plan(void **state)
{
	char a[] = "train.lr=1e-2", b[] = "train.batch=3";
	char c[] = "train.loss={focal: 3}", d[] = "train.lr=fast";
	nnr__strings good = { (char *[]){ a, b, c }, 3 };
	nnr__strings bad = { (char *[]){ a, d }, 2 };
	nnr_program *p = must_open(HEAD, &good);

	(void)state;
	assert_true(p->train->lr == 0.01);
	assert_int_equal(p->train->batch, 3);
	assert_true(p->train->loss[0].gamma == 3);
	nnr__program_close(p);
	p = must_open(FULL, &good);
	assert_true(p->train->lr == 0.01);
	assert_int_equal(p->train->losses, 1);
	nnr__program_close(p);
	assert_true(fails(HEAD, &bad, "--set train.lr=fast: `lr` is `fast`; "
			  "a number from 1e-12 to 1000000 was expected"));
}

static const char full[] =
	"train\n"
	"  optimizer      \"sgd\"                                         "
	"line 9\n"
	"  lr             0.5                                           "
	"line 10\n"
	"  weight_decay   0                                             "
	"default\n";
static const char full_json[] =
	"\"milestones\":[0.5, 0.75],\"gamma\":0.5,\"warmup\":0,\"steps\":0,"
	"\"epochs\":4,\"batch\":8,\"accumulate\":3,\"clip\":1,\"seed\":0,"
	"\"validate_every\":7,\"patience\":2,\"loss\":[{\"cross_entropy\":{},"
	"\"weight\":1}, {\"focal\":{\"gamma\":1,\"balance\":true},\"weight\":"
	"0.5}, {\"focal\":{\"gamma\":0,\"balance\":false},\"weight\":1}],"
	"\"groups\":[{\"match\":\"shift.*\",\"lr\":0.1,"
	"\"weight_decay\":null}, {\"match\":\"*\",\"lr\":null,"
	"\"weight_decay\":0.01}]}";

static void resolved_shows_the_plan(void **state)
{
	nnr_program *p = must_open(FULL, NULL);
	nnr__buf out = { 0 };
	nnr__arena a = { NULL };
	const nnr__jnode *top;
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__program_resolved(p, false, &out, &err), 0);
	assert_non_null(strstr(out.p, full));
	nnr__buf_clear(&out);
	assert_int_equal(nnr__program_resolved(p, true, &out, &err), 0);
	assert_int_equal(nnr__json_parse(&a, &top, "r", out.p, out.len,
					 &err), 0);
	top = nnr__json_get(nnr__json_get(top, "train"), "groups");
	assert_string_equal(nnr__json_get(top, "from")->text, "line 23");
	nnr__buf_clear(&out);
	nnr__step_json(&p->train->key, &out);
	assert_non_null(strstr(out.p, full_json));
	nnr__buf_release(&out);
	nnr__arena_release(&a);
	nnr__program_close(p);
	/* nothing is learned and nothing is said of it: not shown */
	p = must_open(HEAD, NULL);
	assert_int_equal(nnr__program_resolved(p, false, &out, &err), 0);
	assert_null(strstr(out.p, "train"));
	nnr__buf_release(&out);
	nnr__program_close(p);
}

static void schema_knows_the_keys(void **state)
{
	char *text = nnr__steps_schema();
	nnr__arena a = { NULL };
	const nnr__jnode *top;
	nnr_error err;

	(void)state;
	assert_int_equal(nnr__json_parse(&a, &top, "schema", text,
					 strlen(text), &err), 0);
	top = nnr__json_get(nnr__json_get(top, "properties"), "train");
	top = nnr__json_get(top, "properties");
	assert_int_equal(nnr__json_get(nnr__json_get(top, "optimizer"),
				       "enum")->count, 2);
	assert_string_equal(nnr__json_get(nnr__json_get(top, "groups"),
					  "type")->text, "array");
	nnr__arena_release(&a);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_plans_say_why),
		cmocka_unit_test(defaults_hold),
		cmocka_unit_test(every_key_arrives),
		cmocka_unit_test(overrides_reach_the_plan),
		cmocka_unit_test(resolved_shows_the_plan),
		cmocka_unit_test(schema_knows_the_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
