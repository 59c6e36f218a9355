/* SPDX-License-Identifier: Apache-2.0
 *
 * test_lesson_order.c: the gradient of a batch is a function of the batch,
 * not of the batches before it: a resumed run sees other ones first.
 */
#define _XOPEN_SOURCE 700	/* mkdtemp */
#include "test.h"

#include "program/learn.h"

#define MODEL "fuzz/seeds/gguf/tiny.gguf"
#define SOURCE \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [neg, pos]}\n" \
	"in:\n- soft_tokens: {count: 4, init: {random: 0.5}}\n" \
	"- template: \"{text}\"\n" \
	"out: [score: {choices: {neg: e, pos: o}}]\n" \
	"train: {batch: 40}\n"

enum { ITEMS = 48, BATCH = 40 };

typedef struct lesson {
	nnr_program *p;
	nnr__data data;
	nnr__lesson *l;
} lesson;

static nnr_model *model;
static char path[64];		/* of the data */

static void set_up(lesson *s, size_t memory)
{
	const nnr__engine_opts how = { .threads = 1, .no_cache = true };
	nnr__buf rows = { 0 };
	nnr_error err;

	memset(s, 0, sizeof(*s));
	/* short items first, then long ones */
	for (int i = 0; i < ITEMS; i++) {
		nnr__buf_adds(&rows, i % 3 ? "pos\ta" : "neg\te");
		for (int k = 0; k < (i < 8 ? i % 3 : 8 + i % 5); k++)
			nnr__buf_adds(&rows, k % 2 ? " o" : " a");
		nnr__buf_addc(&rows, '\n');
	}
	assert_int_equal(nnr__file_write(path, rows.p,
					 rows.len, &err), 0);
	nnr__buf_release(&rows);
	if (nnr__program_parse(&s->p, "p.yaml", NULL, SOURCE,
			       sizeof(SOURCE) - 1, NULL, &err) ||
	    nnr__program_bind(s->p, model, &how, &err) ||
	    nnr__data_read(&s->data, s->p, path, NULL,
			   true, &err) ||
	    nnr__lesson_new(&s->l, s->p, &s->data, memory, &err))
		fail_msg("%s", err.message);
}

static void tear_down(lesson *s)
{
	nnr__lesson_free(s->l);
	nnr__data_release(&s->data);
	nnr__program_close(s->p);
}

static const nnr__ptensor *gradient(lesson *s, int first, int n)
{
	int item[ITEMS];
	double loss;
	nnr_error err;

	for (int i = 0; i < n; i++)
		item[i] = first + i;
	if (nnr__lesson_gradient(s->l, item, n, &loss, &err))
		fail_msg("%s", err.message);
	return nnr__tensor_at(s->p, 0);
}

static void earlier_batches_leave_no_trace(void **state)
{
	/* from one in which a pass holds few items to one with room for
	 * all; in between, the first batch could decide */
	(void)state;
	for (double memory = 1 << 14; memory < 1 << 26; memory *= 1.25) {
		lesson a, b;
		const nnr__ptensor *x, *y;
		set_up(&a, (size_t)memory);
		set_up(&b, (size_t)memory);
		gradient(&a, 0, 2);
		gradient(&a, 2, 6);
		x = gradient(&a, 8, BATCH);
		y = gradient(&b, 8, BATCH);
		if (memcmp(x->grad, y->grad, x->n * sizeof(float)) != 0)
			fail_msg("another gradient with %.0f bytes", memory);
		tear_down(&a);
		tear_down(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(earlier_batches_leave_no_trace),
	};
	char dir[] = "/tmp/nnr_lesson_XXXXXX";
	nnr_error err;
	int failed;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/d.tsv", dir);
	if (nnr_model_open(&model, MODEL, NULL, &err)) {
		print_error("%s\n", err.message);
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	nnr_model_close(model);
	return remove(path) || remove(dir) ? 1 : failed;
}
