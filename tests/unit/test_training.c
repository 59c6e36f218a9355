/* SPDX-License-Identifier: Apache-2.0
 *
 * test_training.c: a run as a whole: what is kept, when it ends, what stops
 * it, and that a checkpoint holds all of it: cut at any call and resumed, it
 * ends with the same bytes.
 */
#define _XOPEN_SOURCE 700	/* setrlimit, SIGXFSZ */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load/safetensors.h"
#include "optim_objective.h"

#define CKPT "test_training.ckpt"

static const nnr__identity id = {
	.program = "aa11", .backbone = "bb22", .data = "cc33",
	.validation = "", .plan = "{\"lr\":1}", .mode = "exact"
};
static const nnr__run_io plain = { .checkpoint = NULL };
static const nnr__run_io kept = { .checkpoint = CKPT, .interval = 0,
				  .id = &id };

#define PLAN \
	"{batch: 5, accumulate: 2, epochs: 3, lr: 0.2, schedule: cosine, " \
	"warmup: 3, validate_every: 3, clip: 0.1, seed: 3}"

#define TARGET 0.3

static nnr__training *training(logistic *l, const nnr_program *plan)
{
	nnr__training *t;
	nnr_error err;

	if (nnr__training_new(&t, &l->o, plan->train, &err))
		fail_msg("%s", err.message);
	return t;
}

/* ---- what is kept ---- */

static void the_best_validation_is_kept(void **state)
{
	/* after steps 0 (untrained: does not compete), 1, 2, ... */
	static const double scores[] = { 0.9, 0.5, 0.75, 0.75, 0.5, 0.25 };
	nnr_program *plan = plan_of("{batch: 37, steps: 5, lr: 0.3, "
				    "validate_every: 1}");
	float after[6][FEATURES];
	nnr__training *t;
	nnr_error err;
	logistic l;

	(void)state;
	for (int steps = 1; steps <= 5; steps++) {
		logistic_set_up(&l, false);
		plan->train->steps = steps;
		t = training(&l, plan);
		assert_int_equal(nnr__training_run(t, &plain, &err), 0);
		memcpy(after[steps], l.w.value, sizeof(after[0]));
		nnr__training_free(t);
		logistic_tear_down(&l);
	}
	logistic_set_up(&l, true);
	l.scores = scores;
	t = training(&l, plan);
	assert_int_equal(nnr__training_run(t, &plain, &err), 0);
	assert_int_equal(t->vals, 6);
	/* 0.75 twice: the loss falls, so the later one has the lower */
	assert_int_equal(t->val[t->best].step, 3);
	assert_true(t->val[3].loss < t->val[2].loss);
	assert_memory_equal(l.w.value, after[3], sizeof(after[0]));
	assert_int_equal(t->step, 5);
	nnr__training_free(t);
	logistic_tear_down(&l);
	nnr__program_close(plan);
}

static void among_equals_the_first_stays(void **state)
{
	static const double scores[8] = { 0 };
	nnr_program *plan = plan_of("{optimizer: sgd, lr: 1e-12, steps: 4, "
				    "validate_every: 1}");
	nnr__training *t;
	nnr_error err;
	logistic l;

	(void)state;
	logistic_set_up(&l, true);
	l.scores = scores;	/* and the loss stays what it is */
	t = training(&l, plan);
	assert_int_equal(nnr__training_run(t, &plain, &err), 0);
	assert_true(t->val[4].loss == t->val[1].loss);
	assert_int_equal(t->best, 1);
	nnr__training_free(t);
	logistic_tear_down(&l);
	nnr__program_close(plan);
}

static void patience_ends_a_run(void **state)
{
	static const double scores[] = { 0, 0.1, 0.2, 0.1, 0.2, 0.1, 0, 0 };
	nnr_program *plan = plan_of("{optimizer: sgd, lr: 1e-12, steps: 40, "
				    "validate_every: 2, patience: 3}");
	nnr__training *t;
	nnr_error err;
	logistic l;

	(void)state;
	logistic_set_up(&l, true);
	l.scores = scores;
	t = training(&l, plan);
	assert_int_equal(nnr__training_run(t, &plain, &err), 0);
	assert_true(t->ended);
	assert_int_equal(t->best, 2);
	assert_int_equal(t->step, 10);	/* validations 3, 4 and 5 */
	nnr__training_free(t);
	logistic_tear_down(&l);
	nnr__program_close(plan);
}

static void without_every_an_epoch_is_validated(void **state)
{
	nnr_program *plan = plan_of("{batch: 10, steps: 10}");
	static const int at[] = { 0, 4, 8, 10 };	/* 37 items: 4 */
	nnr__training *t;
	nnr_error err;
	logistic l;

	(void)state;
	logistic_set_up(&l, true);
	t = training(&l, plan);
	assert_int_equal(nnr__training_run(t, &plain, &err), 0);
	assert_int_equal(t->vals, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(t->val[i].step, at[i]);
	assert_int_equal(t->epochs, 3);
	/* four validations, ten steps, three fits */
	assert_int_equal(l.calls, 4 + 10 + 3);
	nnr__training_free(t);
	logistic_tear_down(&l);
	nnr__program_close(plan);
}

/* ---- what stops one ---- */

static void numbers_that_are_none_stop(void **state)
{
	nnr_program *plan = plan_of("{batch: 4, epochs: 2, lr: 0.1}");
	nnr__training *t;
	nnr_error err;
	logistic l;
	char want[80];

	(void)state;
	for (int k = 0; k < 3; k++) {
		float before;
		logistic_set_up(&l, false);
		if (k == 0)
			l.poison = NAN;
		else if (k == 1)
			l.poison = INFINITY;
		else
			l.poison_grad = NAN;
		t = training(&l, plan);
		assert_int_equal(nnr__training_run(t, &plain, &err),
				 NNR_E_INPUT);
		before = l.b.value[0];
		/* the step of item 5, and the item in its batch */
		assert_true(t->step < t->batches.steps);
		snprintf(want, sizeof(want), "step %d: the %s is %s",
			 (int)t->step + 1,
			 k == 2 ? "gradient of `shift.b`" : "loss",
			 k == 1 ? "infinite" : "not a number");
		assert_message(err, want);
		assert_true(strstr(err.message, " 5,") ||
			    strstr(err.message, " 5 "));
		assert_true(isfinite(before) && isfinite(l.w.value[0]));
		nnr__training_free(t);
		logistic_tear_down(&l);
	}
	nnr__program_close(plan);
}

static void no_items_are_refused(void **state)
{
	nnr_program *plan = plan_of("{}");
	nnr__training *t;
	nnr_error err;
	logistic l;

	(void)state;
	logistic_set_up(&l, false);
	l.o.items = 0;
	assert_int_equal(nnr__training_new(&t, &l.o, plan->train, &err),
			 NNR_E_INPUT);
	assert_null(t);
	assert_message(err, "no items");
	logistic_tear_down(&l);
	nnr__program_close(plan);
}

/* ---- checkpoints ---- */

/* All that a run comes to. */
static void sum_up(const logistic *l, const nnr__training *t, char hex[65])
{
	nnr__sha sha;

	nnr__sha_init(&sha);
	for (int i = 0; i < l->o.tensors; i++)
		nnr__sha_add(&sha, l->list[i]->value,
			     l->list[i]->n * sizeof(float));
	nnr__sha_add(&sha, t->loss, (size_t)t->step * sizeof(float));
	nnr__sha_add(&sha, t->norm, (size_t)t->step * sizeof(float));
	nnr__sha_add(&sha, &t->best, sizeof(t->best));
	for (int i = 0; i < t->vals; i++)
		nnr__sha_add(&sha, &t->val[i], sizeof(t->val[i]));
	nnr__sha_end(&sha, hex);
}

/* A run that is stopped at a call, then resumed until it is through; code:
 * NNR_E_INTERRUPTED, or another for a process that was killed. */
static void run_stopped(const nnr_program *plan, int stop_at, int code,
			char hex[65], int *resumed)
{
	nnr__training *t;
	nnr_error err;
	logistic l;
	int rc;

	*resumed = 0;
	for (int lives = 0; ; lives++) {
		assert_true(lives < 3);
		logistic_set_up(&l, true);
		l.target = TARGET;
		t = training(&l, plan);
		if (nnr__file_exists(CKPT)) {
			if (nnr__checkpoint_load(t, &id, CKPT, &err))
				fail_msg("%s", err.message);
			*resumed = (int)t->step;
		}
		l.stop_at = lives ? -1 : stop_at;
		l.stop_code = code;
		rc = nnr__training_run(t, &kept, &err);
		if (!rc)
			break;
		assert_int_equal(rc, code);
		nnr__training_free(t);
		logistic_tear_down(&l);
	}
	sum_up(&l, t, hex);
	nnr__training_free(t);
	logistic_tear_down(&l);
	nnr__checkpoint_remove(CKPT);
	assert_false(nnr__file_exists(CKPT));
}

static void resumed_runs_end_with_the_same_bytes(void **state)
{
	nnr_program *plan = plan_of(PLAN);
	char want[65], got[65];
	int resumed, calls, most = 0;
	nnr__training *t;
	nnr_error err;
	logistic l;

	(void)state;
	logistic_set_up(&l, true);
	l.target = TARGET;
	t = training(&l, plan);
	assert_int_equal(nnr__training_run(t, &plain, &err), 0);
	sum_up(&l, t, want);
	assert_true(t->best > 0 && t->best < t->vals - 1);
	calls = l.calls;
	assert_true(calls > 30);
	nnr__training_free(t);
	logistic_tear_down(&l);
	for (int k = 0; k < calls; k++) {
		run_stopped(plan, k, NNR_E_IO, got, &resumed);
		assert_string_equal(got, want);
		run_stopped(plan, k, NNR_E_INTERRUPTED, got, &resumed);
		assert_string_equal(got, want);
		if (resumed > most)
			most = resumed;
	}
	assert_int_equal(most, 12);
	nnr__program_close(plan);
}

/* A checkpoint of a few steps; its bytes. */
static void make_checkpoint(const nnr_program *plan, nnr__buf *bytes)
{
	nnr__training *t;
	nnr_error err;
	logistic l;

	logistic_set_up(&l, true);
	t = training(&l, plan);
	l.stop_at = 14;
	l.stop_code = NNR_E_INTERRUPTED;
	assert_int_equal(nnr__training_run(t, &kept, &err),
			 NNR_E_INTERRUPTED);
	assert_int_equal(nnr__file_read(bytes, CKPT, 1 << 20, &err), 0);
	nnr__training_free(t);
	logistic_tear_down(&l);
}

static int load(const nnr_program *plan, const nnr__identity *who,
		nnr_error *err)
{
	nnr__training *t;
	logistic l;
	int rc;

	logistic_set_up(&l, true);
	t = training(&l, plan);
	rc = nnr__checkpoint_load(t, who, CKPT, err);
	nnr__training_free(t);
	logistic_tear_down(&l);
	return rc;
}

static void put_bytes(const char *p, size_t n)
{
	int fd = open(CKPT, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

static void damage_is_seen(void **state)
{
	nnr_program *plan = plan_of(PLAN);
	nnr__buf bytes = { 0 };
	nnr_error err;
	int rc;

	(void)state;
	make_checkpoint(plan, &bytes);
	assert_int_equal(load(plan, &id, &err), 0);
	for (size_t i = 0; i < bytes.len; i++) {
		for (int bit = 0; bit < 8; bit += 5) {
			bytes.p[i] ^= (char)(1 << bit);
			put_bytes(bytes.p, bytes.len);
			rc = load(plan, &id, &err);
			if (rc != NNR_E_FORMAT)
				fail_msg("byte %zu: %d", i, rc);
			assert_message(err, CKPT);
			bytes.p[i] ^= (char)(1 << bit);
		}
	}
	for (size_t n = 0; n < bytes.len; n++) {
		put_bytes(bytes.p, n);
		if (load(plan, &id, &err) != NNR_E_FORMAT)
			fail_msg("cut at %zu", n);
	}
	put_bytes(bytes.p, bytes.len);
	assert_int_equal(load(plan, &id, &err), 0);
	nnr__buf_release(&bytes);
	nnr__checkpoint_remove(CKPT);
	nnr__program_close(plan);
}

static void another_run_is_refused(void **state)
{
	nnr_program *plan = plan_of(PLAN);
	nnr__buf bytes = { 0 };
	nnr__identity other;
	nnr_error err;

	(void)state;
	make_checkpoint(plan, &bytes);
	nnr__buf_release(&bytes);
	other = id;
	other.program = "aa12";
	assert_int_equal(load(plan, &other, &err), NNR_E_INPUT);
	assert_message(err, "of another program: aa11 there, aa12 here");
	other = id;
	other.backbone = "b";
	assert_int_equal(load(plan, &other, &err), NNR_E_INPUT);
	assert_message(err, "of another backbone: bb22 there, b here");
	other = id;
	other.data = "c";
	assert_int_equal(load(plan, &other, &err), NNR_E_INPUT);
	assert_message(err, "of another data: cc33 there, c here");
	other = id;
	other.validation = "d";
	assert_int_equal(load(plan, &other, &err), NNR_E_INPUT);
	assert_message(err, "another validation data: none there, d here");
	other = id;
	other.plan = "{\"lr\":2}";
	assert_int_equal(load(plan, &other, &err), NNR_E_INPUT);
	assert_message(err, "another `train` or seed");
	other = id;
	other.mode = "fast2";
	assert_int_equal(load(plan, &other, &err), NNR_E_INPUT);
	assert_message(err, "of another arithmetic: exact there, fast2");
	nnr__checkpoint_remove(CKPT);
	nnr__program_close(plan);
}

/* The identity agrees and the hash too, but not the shapes. */
static void another_shape_is_damage(void **state)
{
	nnr_program *plan = plan_of(PLAN), *longer;
	nnr__buf bytes = { 0 };
	nnr_error err;
	nnr__st *st;

	(void)state;
	make_checkpoint(plan, &bytes);
	longer = plan_of("{batch: 5, epochs: 3, validate_every: 3}");
	assert_int_equal(load(longer, &id, &err), NNR_E_FORMAT);
	assert_message(err, "counts");
	nnr__program_close(longer);
	/* the file is an ordinary one */
	assert_int_equal(nnr__st_open(&st, CKPT, &err), 0);
	assert_non_null(nnr__st_find(st, "moment1.shift.w"));
	assert_non_null(nnr__st_find(st, "value.counts"));
	assert_null(nnr__st_find(st, "moment0.counts"));
	nnr__st_close(st);
	nnr__buf_release(&bytes);
	nnr__checkpoint_remove(CKPT);
	nnr__program_close(plan);
}

/* What cannot be written leaves what was there. */
static void a_full_disk_leaves_the_old_one(void **state)
{
	nnr_program *plan = plan_of(PLAN);
	nnr__buf before = { 0 }, after = { 0 };
	struct rlimit old, small;
	nnr__training *t;
	nnr_error err;
	logistic l;

	(void)state;
	make_checkpoint(plan, &before);
	logistic_set_up(&l, true);
	t = training(&l, plan);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 200;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(nnr__training_run(t, &kept, &err), NNR_E_IO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_message(err, "checkpoint at step 0: cannot write '");
	assert_int_equal(nnr__file_read(&after, CKPT, 1 << 20, &err), 0);
	assert_int_equal(after.len, before.len);
	assert_memory_equal(after.p, before.p, before.len);
	nnr__training_free(t);
	logistic_tear_down(&l);
	nnr__buf_release(&before);
	nnr__buf_release(&after);
	nnr__checkpoint_remove(CKPT);
	nnr__program_close(plan);
}

static void a_folder_that_is_not_there_is_said(void **state)
{
	nnr_program *plan = plan_of(PLAN);
	nnr__training *t;
	nnr_error err;
	logistic l;

	(void)state;
	logistic_set_up(&l, true);
	t = training(&l, plan);
	assert_int_equal(nnr__checkpoint_save(t, &id, "no/such/ckpt", &err),
			 NNR_E_INPUT);
	assert_message(err, "cannot write 'no/such/ckpt'");
	nnr__training_free(t);
	logistic_tear_down(&l);
	nnr__program_close(plan);
}

static void half_written_ones_go_too(void **state)
{
	int fd;

	(void)state;
	put_bytes("x", 1);
	fd = open(CKPT ".tmp.1234", O_WRONLY | O_CREAT, 0600);
	close(fd);
	fd = open(CKPT ".other", O_WRONLY | O_CREAT, 0600);
	close(fd);
	nnr__checkpoint_remove(CKPT);
	assert_false(nnr__file_exists(CKPT));
	assert_false(nnr__file_exists(CKPT ".tmp.1234"));
	assert_true(nnr__file_exists(CKPT ".other"));
	unlink(CKPT ".other");
}

/* ---- the curve ---- */

static void curve_of(int64_t steps, bool validate, nnr__buf out[3])
{
	nnr_program *plan = plan_of("{batch: 5, lr: 0.05}");
	nnr__training *t;
	nnr_error err;
	logistic l;

	logistic_set_up(&l, validate);
	plan->train->steps = steps;
	t = training(&l, plan);
	assert_int_equal(nnr__training_run(t, &plain, &err), 0);
	nnr__curve_text(t, &out[0]);
	nnr__curve_csv(t, &out[1]);
	nnr__curve_svg(t, "a <b> & c", &out[2]);
	nnr__training_free(t);
	logistic_tear_down(&l);
	nnr__program_close(plan);
}

static int count(const char *s, const char *what)
{
	int n = 0;

	for (; (s = strstr(s, what)) != NULL; s++)
		n++;
	return n;
}

static void curves_are_drawn(void **state)
{
	static const int64_t steps[] = { 1, 2, 9, 68, 69, 1000 };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(steps) / sizeof(*steps); i++) {
		int64_t n = steps[i / 2];
		bool val = i & 1;
		nnr__buf out[3] = { { 0 } };
		curve_of(n, val, out);
		for (const char *s = out[0].p; *s; s += *s == '\n') {
			size_t len = strcspn(s, "\n");
			assert_in_range(len, 1, 80);
			s += len;
		}
		/* what was validated may hide a column's mark */
		if (!val)
			assert_int_equal(count(out[0].p, "*"),
					 n < 68 ? n : 68);
		assert_true(val == (strchr(out[0].p, 'o') != NULL &&
				    strstr(out[0].p, "o validation")));
		assert_int_equal(count(out[1].p, "\n"), n + 1 + val);
		assert_int_equal(count(out[1].p, ","),
				 6 * (n + 1 + val));
		assert_non_null(strstr(out[2].p, "a &lt;b> &amp; c"));
		assert_int_equal(count(out[2].p, "<polyline"), 1 + val);
		assert_null(strstr(out[2].p, "nan"));
		for (int k = 0; k < 3; k++) {
			assert_false(out[k].bad);
			nnr__buf_release(&out[k]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_best_validation_is_kept),
		cmocka_unit_test(among_equals_the_first_stays),
		cmocka_unit_test(patience_ends_a_run),
		cmocka_unit_test(without_every_an_epoch_is_validated),
		cmocka_unit_test(numbers_that_are_none_stop),
		cmocka_unit_test(no_items_are_refused),
		cmocka_unit_test(resumed_runs_end_with_the_same_bytes),
		cmocka_unit_test(damage_is_seen),
		cmocka_unit_test(another_run_is_refused),
		cmocka_unit_test(another_shape_is_damage),
		cmocka_unit_test(a_full_disk_leaves_the_old_one),
		cmocka_unit_test(a_folder_that_is_not_there_is_said),
		cmocka_unit_test(half_written_ones_go_too),
		cmocka_unit_test(curves_are_drawn),
	};
	char dir[] = "/tmp/nnr_training_XXXXXX";
	int failed;

	if (!mkdtemp(dir) || chdir(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (chdir("/") || rmdir(dir))
		return 1;	/* nothing may be left behind */
	return failed;
}
