/* SPDX-License-Identifier: Apache-2.0
 *
 * paired.c: two programs on the same items.
 *
 * The exact McNemar test: of the items that one program has right and the
 * other wrong, as many are expected either way; p is the two-sided binomial
 * probability of a split at least as uneven.  The interval of the difference
 * is that of Agresti and Min (2005): Wald's with half an item added to each
 * of the four cells.
 */
#include "eval/eval.h"

#include <math.h>

#define Z 1.959963984540054	/* 97.5 % of the normal distribution */

/* Sum of binomial(n, 1/2) up to k, k <= n / 2. */
static double lower_tail(int k, int n)
{
	double log_term = -(double)n * log(2.0), sum = 0;

	for (int i = 0; i <= k; i++) {
		sum += exp(log_term);
		log_term += log((double)(n - i) / (double)(i + 1));
	}
	return sum;
}

nnr__paired nnr__paired_of(const bool *a, const bool *b, int n)
{
	nnr__paired r = { .n = n };
	double cell_a, cell_b, all, mid, width;
	int few, split;

	for (int i = 0; i < n; i++) {
		r.only_a += a[i] && !b[i];
		r.only_b += b[i] && !a[i];
	}
	split = r.only_a + r.only_b;
	few = r.only_a < r.only_b ? r.only_a : r.only_b;
	r.p = 2 * few == split ? 1 : 2 * lower_tail(few, split);
	r.p = r.p > 1 ? 1 : r.p;
	cell_a = r.only_a + 0.5;
	cell_b = r.only_b + 0.5;
	all = n + 2.0;
	mid = (cell_b - cell_a) / all;
	width = Z * sqrt(cell_a + cell_b - (cell_b - cell_a) *
			 (cell_b - cell_a) / all) / all;
	r.difference = n ? (double)(r.only_b - r.only_a) / n : 0;
	r.low = fmax(mid - width, -1);
	r.high = fmin(mid + width, 1);
	return r;
}
