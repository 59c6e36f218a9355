/* SPDX-License-Identifier: Apache-2.0
 *
 * test_optim.c: the parts of training: optimizers and schedules against
 * PyTorch, the order of items, accumulation, groups, what is minimised.
 */
#include "test.h"

#include "optim_objective.h"

#define GOLDEN "tests/golden/optim/optim.json"

/* ---- goldens ---- */

typedef struct golden {
	nnr__arena arena;
	const nnr__jnode *top;
} golden;

static void golden_open(golden *g)
{
	nnr__buf text = { 0 };
	nnr_error err;

	memset(g, 0, sizeof(*g));
	if (nnr__file_read(&text, GOLDEN, 1 << 20, &err) ||
	    nnr__json_parse(&g->arena, &g->top, GOLDEN, text.p, text.len,
			    &err))
		fail_msg("%s", err.message);
	nnr__buf_release(&text);
}

/* An objective whose gradients are those of the file, one a step. */
typedef struct prescribed {
	nnr__ptensor a, b, *list[2];
	const nnr__jnode *grads;	/* of the next step */
	const nnr__jnode *after;	/* what must be there after ten */
	int steps, checked;
	double worst;
} prescribed;

static void fill(float *v, const nnr__jnode *list)
{
	for (const nnr__jnode *c = list->child; c; c = c->next)
		*v++ = (float)c->num;
}

static int next_gradient(void *ctx, const int *item, int n, double *loss,
			 nnr_error *err)
{
	prescribed *p = ctx;

	(void)item;
	(void)n;
	(void)err;
	*loss = 1;
	fill(p->a.grad, p->grads->child);
	fill(p->b.grad, p->grads->child->next);
	p->grads = p->grads->next;
	return 0;
}

static void compare(void *ctx, const nnr__training *t)
{
	prescribed *p = ctx;
	const nnr__jnode *want;

	if (t->step % 10)
		return;
	want = p->after->child;
	for (size_t i = 0; i < p->a.n + p->b.n; i++, want = want->next) {
		float v = i < p->a.n ? p->a.value[i]
				     : p->b.value[i - p->a.n];
		double off = fabs(v - want->num);
		if (off > p->worst)
			p->worst = off;
	}
	p->after = p->after->next;
	p->checked++;
}

static void check_run(const golden *g, const nnr__jnode *run)
{
	nnr_program *plan = plan_of(nnr__json_get(run, "train")->text);
	prescribed p = { .grads = nnr__json_get(g->top, "grads")->child,
			 .after = nnr__json_get(run, "after")->child };
	const nnr__jnode *start = nnr__json_get(g->top, "start");
	nnr__objective o = { .tensor = p.list, .tensors = 2, .ctx = &p,
			     .gradient = next_gradient };
	nnr__run_io io = { .on_step = compare, .ctx = &p };
	nnr__training *t;
	nnr_error err;

	p.list[0] = &p.a;
	p.list[1] = &p.b;
	tensor_set_up(&p.a, "a", start->child->count, true);
	tensor_set_up(&p.b, "b", start->child->next->count, true);
	fill(p.a.value, start->child);
	fill(p.b.value, start->child->next);
	o.items = (int)nnr__json_get(g->top, "grads")->count;
	plan->train->steps = o.items;
	assert_int_equal(nnr__training_new(&t, &o, plan->train, &err), 0);
	assert_int_equal(nnr__training_run(t, &io, &err), 0);
	assert_int_equal(p.checked, 4);
	if (p.worst > 1e-5)	/* tests/golden/optim/README.md */
		fail_msg("%s: off by %g", nnr__json_get(run, "train")->text,
			 p.worst);
	nnr__training_free(t);
	tensor_tear_down(&p.a);
	tensor_tear_down(&p.b);
	nnr__program_close(plan);
}

static void updates_are_those_of_pytorch(void **state)
{
	const nnr__jnode *run;
	golden g;
	int n = 0;

	(void)state;
	golden_open(&g);
	for (run = nnr__json_get(g.top, "runs")->child; run; run = run->next)
		check_run(&g, run), n++;
	assert_true(n >= 8);
	nnr__arena_release(&g.arena);
}

static void rates_are_those_of_pytorch(void **state)
{
	const nnr__jnode *rate;
	golden g;

	(void)state;
	golden_open(&g);
	rate = nnr__json_get(g.top, "rates")->child;
	for (; rate; rate = rate->next) {
		const char *text = nnr__json_get(rate, "train")->text;
		nnr_program *plan = plan_of(text);
		int64_t steps = (int64_t)nnr__json_get(rate, "steps")->num;
		const nnr__jnode *f = nnr__json_get(rate, "factor")->child;
		for (int64_t s = 0; s < steps; s++, f = f->next) {
			double got = nnr__schedule(plan->train, s, steps);
			if (fabs(got - f->num) > 1e-12)
				fail_msg("%s: step %d: %.15g, not %.15g",
					 text, (int)s, got, f->num);
		}
		assert_null(f);
		nnr__program_close(plan);
	}
	nnr__arena_release(&g.arena);
}

/* ---- the order of items ---- */

enum { MANY = 1000 };

/* Marks what an epoch holds; returns the sum over batches of the longest
 * item times the batch's size. */
static long walk(nnr__batches *b, int64_t epoch, const int *length,
		 int *seen, int *order)
{
	long padded = 0;
	int at = 0;

	for (int64_t s = epoch * b->steps; s < (epoch + 1) * b->steps; s++) {
		int first, last;
		nnr__batches_at(b, s, &first, &last);
		assert_in_range(last - first, 1, b->accumulate);
		for (int k = first; k < last; k++) {
			int n = b->start[k + 1] - b->start[k], longest = 0;
			assert_in_range(n, 1, b->size);
			for (int i = b->start[k]; i < b->start[k + 1]; i++) {
				seen[b->order[i]]++;
				order[at++] = b->order[i];
				if (length[b->order[i]] > longest)
					longest = length[b->order[i]];
			}
			padded += (long)longest * n;
		}
	}
	assert_int_equal(at, b->items);
	return padded;
}

static void epochs_hold_every_item_once(void **state)
{
	static const int items[] = { 1, 2, 7, 8, 9, 255, 256, 257, MANY };
	static int length[MANY], seen[MANY], order[MANY], again[MANY];
	nnr_program *plan = plan_of("{batch: 8, accumulate: 3, seed: 5}");
	nnr_error err;

	(void)state;
	for (int i = 0; i < MANY; i++)
		length[i] = (int)(nnr__rng_u64(1, 2, (uint64_t)i) % 400);
	for (size_t k = 0; k < sizeof(items) / sizeof(*items); k++) {
		nnr__objective o = { .items = items[k], .length = length };
		nnr__batches b, c;
		assert_int_equal(nnr__batches_new(&b, &o, plan->train, &err),
				 0);
		assert_int_equal(nnr__batches_new(&c, &o, plan->train, &err),
				 0);
		memset(seen, 0, sizeof(seen));
		walk(&b, 0, length, seen, order);
		walk(&b, 1, length, seen, order);
		for (int i = 0; i < items[k]; i++)
			assert_int_equal(seen[i], 2);
		/* an epoch does not depend on those before it */
		walk(&c, 1, length, seen, again);
		assert_memory_equal(order, again,
				    (size_t)items[k] * sizeof(int));
		walk(&c, 0, length, seen, again);
		if (items[k] > 9)
			assert_true(memcmp(order, again, (size_t)items[k] *
					   sizeof(int)) != 0);
		nnr__batches_release(&b);
		nnr__batches_release(&c);
	}
	nnr__program_close(plan);
}

static void batches_hold_like_lengths(void **state)
{
	static int length[MANY], seen[MANY], order[MANY];
	nnr_program *plan = plan_of("{batch: 8, seed: 5}");
	nnr__objective o = { .items = MANY, .length = length };
	long tokens = 0, padded;
	nnr__batches b;
	nnr_error err;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		length[i] = (int)(nnr__rng_u64(1, 2, (uint64_t)i) % 400);
		tokens += length[i];
	}
	assert_int_equal(nnr__batches_new(&b, &o, plan->train, &err), 0);
	padded = walk(&b, 0, length, seen, order);
	/* at random the longest of 8 of 0..399 is 355 to a mean of 200: 78 %
	 * more; sorted in windows of 256, 8 neighbours span 400 / 32 */
	assert_true(padded < tokens + tokens / 20);
	o.length = NULL;
	nnr__batches_release(&b);
	assert_int_equal(nnr__batches_new(&b, &o, plan->train, &err), 0);
	assert_true(walk(&b, 0, length, seen, order) > tokens + tokens / 2);
	nnr__batches_release(&b);
	nnr__program_close(plan);
}

/* ---- what is minimised ---- */

static void train(logistic *l, const char *text, nnr__training **t,
		  nnr_program **plan)
{
	nnr__run_io io = { .checkpoint = NULL };
	nnr_error err;

	*plan = plan_of(text);
	if (nnr__training_new(t, &l->o, (*plan)->train, &err) ||
	    nnr__training_run(*t, &io, &err))
		fail_msg("%s", err.message);
}

static void descent_ends_where_the_gradient_does(void **state)
{
	static const char *const plans[] = {
		"{optimizer: sgd, lr: 2, momentum: 0.5, batch: 37, "
		"steps: 3000, clip: 0}",
		"{optimizer: adamw, lr: 0.05, batch: 37, steps: 3000, "
		"schedule: cosine, clip: 0}"
	};
	float end[2][FEATURES + 1];
	int all[ITEMS];

	(void)state;
	for (int i = 0; i < ITEMS; i++)
		all[i] = i;
	for (int k = 0; k < 2; k++) {
		nnr__training *t;
		nnr_program *plan;
		logistic l;
		double loss;
		logistic_set_up(&l, false);
		train(&l, plans[k], &t, &plan);
		assert_int_equal(t->step, 3000);
		assert_true(t->loss[2999] < t->loss[0] - 0.2f);
		assert_true(fabs(t->loss[0] - log(2)) < 1e-6);
		logistic_gradient(&l, all, ITEMS, &loss, NULL);
		for (int i = 0; i < FEATURES; i++) {
			/* floats of about 10 at a curvature of about 0.1 */
			assert_true(fabsf(l.w.grad[i]) < 1e-5f);
			end[k][i] = l.w.value[i];
		}
		end[k][FEATURES] = l.b.value[0];
		assert_true(l.w.set && l.b.set);
		nnr__training_free(t);
		nnr__program_close(plan);
		logistic_tear_down(&l);
	}
	/* the loss is convex: there is one such place */
	for (int i = 0; i <= FEATURES; i++)
		assert_true(fabsf(end[0][i] - end[1][i]) < 1e-2f);
}

static void accumulation_is_a_larger_batch(void **state)
{
	static const char *const plans[] = {
		"{batch: 12, steps: 20, lr: 0.5, optimizer: sgd}",
		"{batch: 4, accumulate: 3, steps: 20, lr: 0.5, optimizer: sgd}"
	};
	nnr__training *t[2];
	nnr_program *plan[2];
	logistic l[2];

	(void)state;
	for (int k = 0; k < 2; k++) {
		logistic_set_up(&l[k], false);
		/* one length and few items: both take the same order only if
		 * a step has all of them, so each step is an epoch */
		l[k].o.length = NULL;
		l[k].o.items = 12;
		train(&l[k], plans[k], &t[k], &plan[k]);
	}
	for (int s = 0; s < 20; s++)	/* sums of 12 in two orders */
		assert_true(fabsf(t[0]->loss[s] - t[1]->loss[s]) < 1e-6f);
	for (int i = 0; i < FEATURES; i++)
		assert_true(fabsf(l[0].w.value[i] - l[1].w.value[i]) < 1e-5f);
	assert_int_equal(l[1].calls, 3 * l[0].calls - 2 * 20);
	for (int k = 0; k < 2; k++) {
		nnr__training_free(t[k]);
		nnr__program_close(plan[k]);
		logistic_tear_down(&l[k]);
	}
}

static void an_uneven_end_of_an_epoch_counts_by_items(void **state)
{
	nnr__training *t;
	nnr_program *plan;
	logistic l;

	(void)state;
	logistic_set_up(&l, false);
	/* 37 = 4 * (2 * 4) + 5: the fifth step has batches of 4 and 1 */
	train(&l, "{batch: 4, accumulate: 2, epochs: 3, optimizer: sgd, "
	      "lr: 1e-12, clip: 0}", &t, &plan);
	assert_int_equal(t->steps, 15);
	assert_int_equal(t->epochs, 3);
	assert_int_equal(nnr__training_epoch(t, 5), 0);
	assert_int_equal(nnr__training_epoch(t, 6), 1);
	/* nothing moves: every loss is ln 2 whatever the batch */
	for (int s = 0; s < 15; s++)
		assert_true(fabs(t->loss[s] - log(2)) < 1e-6);
	nnr__training_free(t);
	nnr__program_close(plan);
	logistic_tear_down(&l);
}

static void groups_have_rates_of_their_own(void **state)
{
	nnr__training *t;
	nnr_program *plan;
	logistic l;

	(void)state;
	logistic_set_up(&l, false);
	train(&l, "{steps: 1, lr: 0.5, groups: [{match: \"*.b\", lr: 0}, "
	      "{match: shift.?, weight_decay: 1}]}", &t, &plan);
	assert_true(l.b.value[0] == 0);
	assert_true(l.b.set);
	/* Adam's first step is the rate, whatever the gradient */
	for (int i = 0; i < FEATURES; i++)
		assert_true(fabsf(fabsf(l.w.value[i]) - 0.5f) < 1e-3f);
	assert_true(t->slot[0].weight_decay == 1);
	assert_true(t->slot[2].weight_decay == 0);	/* the first match */
	nnr__training_free(t);
	nnr__program_close(plan);
	logistic_tear_down(&l);
}

static void patterns_match(void **state)
{
	static const struct { const char *pattern, *name; bool is; } rows[] = {
		{ "*", "", true },		{ "*", "a.b", true },
		{ "", "a", false },		{ "a", "a", true },
		{ "shift.*", "shift.0", true },	{ "shift.*", "shift", false },
		{ "shift*", "shift", true },	{ "?", "", false },
		{ "a?c", "abc", true },		{ "a?c", "ac", false },
		{ "*.w", "a.w.w", true },	{ "*.w", "a.w.b", false },
		{ "a*b*c", "axxbyyc", true },	{ "a*b*c", "axxcyyb", false },
		{ "**a", "ba", true },		{ "a", "A", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (nnr__glob(rows[i].pattern, rows[i].name) != rows[i].is)
			fail_msg("%s and %s", rows[i].pattern, rows[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(updates_are_those_of_pytorch),
		cmocka_unit_test(rates_are_those_of_pytorch),
		cmocka_unit_test(epochs_hold_every_item_once),
		cmocka_unit_test(batches_hold_like_lengths),
		cmocka_unit_test(descent_ends_where_the_gradient_does),
		cmocka_unit_test(accumulation_is_a_larger_batch),
		cmocka_unit_test(an_uneven_end_of_an_epoch_counts_by_items),
		cmocka_unit_test(groups_have_rates_of_their_own),
		cmocka_unit_test(patterns_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
