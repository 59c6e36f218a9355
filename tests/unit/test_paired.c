/* SPDX-License-Identifier: Apache-2.0
 *
 * test_paired.c: two programs on the same items, against scipy 1.17's
 * binomtest(min(a, b), a + b).pvalue.
 */
#include "test.h"

#include <math.h>

#include "eval/eval.h"

static nnr__paired of(int only_a, int only_b, int both)
{
	bool a[256] = { false }, b[256] = { false };
	int n = 0;

	for (int i = 0; i < only_a; i++)
		a[n++] = true;
	for (int i = 0; i < only_b; i++)
		b[n++] = true;
	for (int i = 0; i < both; i++, n++)
		a[n] = b[n] = true;
	return nnr__paired_of(a, b, n);
}

static void like_scipy(void **state)
{
	static const struct { int a, b; double p; } want[] = {
		{ 3, 12, 0.03515625 },
		{ 0, 5, 0.0625 },
		{ 7, 7, 1.0 },
		{ 1, 0, 1.0 },
		{ 40, 61, 0.046044066929342785 },
		{ 0, 0, 1.0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		nnr__paired r = of(want[i].a, want[i].b, 9);

		/* both sum the same terms in double */
		assert_true(fabs(r.p - want[i].p) < 1e-12);
		assert_int_equal(r.only_a, want[i].a);
		assert_int_equal(r.only_b, want[i].b);
	}
}

static void difference(void **state)
{
	nnr__paired r = of(10, 30, 60);

	(void)state;
	assert_true(fabs(r.difference - 0.2) < 1e-12);
	/* Agresti and Min: (30.5 - 10.5) / 102 +- 1.96 sqrt(41 - 400 / 102) /
	 * 102 */
	assert_true(fabs(r.low - 0.0790723) < 1e-6);
	assert_true(fabs(r.high - 0.3130846) < 1e-6);
	assert_true(nnr__paired_of(NULL, NULL, 0).p == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_scipy),
		cmocka_unit_test(difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
