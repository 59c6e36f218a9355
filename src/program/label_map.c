/* SPDX-License-Identifier: Apache-2.0
 *
 * label_map.c: label mapping by counts.  Greedy: Chen et al. 2023 (FLM,
 * ILM-VP).  Bayesian: Cai et al. 2024 (BLM, BLM+).
 */
#include "label_map.h"

#include <stdlib.h>
#include <string.h>

int nnr__counts_new(nnr__counts *c, int classes, int labels, nnr_error *err)
{
	memset(c, 0, sizeof(*c));
	c->classes = classes;
	c->labels = labels;
	c->row = nnr__calloc((size_t)classes, sizeof(*c->row));
	if (!c->row)
		return nnr__fail_memory(err, "counts", (size_t)classes);
	for (int s = 0; s < classes; s++)
		c->row[s] = -1;
	return 0;
}

void nnr__counts_release(nnr__counts *c)
{
	free(c->row);
	free(c->id);
	free(c->mass);
	memset(c, 0, sizeof(*c));
}

int nnr__counts_add(nnr__counts *c, int32_t class, int label, double mass,
		    nnr_error *err)
{
	size_t labels = (size_t)c->labels;

	if (c->row[class] < 0) {
		if (!nnr__grow(&c->id, &c->id_cap, (size_t)c->rows,
			       sizeof(*c->id)) ||
		    !nnr__grow(&c->mass, &c->mass_cap, (size_t)c->rows,
			       labels * sizeof(*c->mass)))
			return nnr__fail_memory(err, "counts", labels);
		memset(c->mass + (size_t)c->rows * labels, 0,
		       labels * sizeof(*c->mass));
		c->id[c->rows] = class;
		c->row[class] = c->rows++;
	}
	c->mass[(size_t)c->row[class] * labels + (size_t)label] += mass;
	return 0;
}

/* ---- greedy ---- */

typedef struct race {
	const nnr__counts *c;
	bool *taken;		/* [classes] */
	int *got;		/* [labels] classes so far */
	int each;
} race;

/* The largest count left; false: none above 0. */
static bool largest(const race *r, int32_t *class, int *label)
{
	const nnr__counts *c = r->c;
	double most = 0;

	for (int i = 0; i < c->rows; i++)
		for (int t = 0; t < c->labels && !r->taken[c->id[i]]; t++) {
			double m = c->mass[i * c->labels + t];

			if (r->got[t] == r->each || m < most || m <= 0 ||
			    (m == most && c->id[i] > *class) ||
			    (m == most && c->id[i] == *class && t > *label))
				continue;
			most = m;
			*class = c->id[i];
			*label = t;
		}
	return most > 0;
}

/* Among zeros the first class that is left, then the first label. */
static bool first_left(const race *r, int32_t *class, int *label)
{
	*class = 0;
	*label = 0;
	while (*class < r->c->classes && r->taken[*class])
		++*class;
	while (*label < r->c->labels && r->got[*label] == r->each)
		++*label;
	return *class < r->c->classes;
}

int nnr__map_greedy(const nnr__counts *c, int each, int32_t *out,
		    nnr_error *err)
{
	race r = { .c = c, .each = each };
	int n = c->labels * each;

	r.taken = nnr__calloc((size_t)c->classes, sizeof(*r.taken));
	r.got = nnr__calloc((size_t)c->labels, sizeof(*r.got));
	if (!r.taken || !r.got) {
		free(r.taken);
		free(r.got);
		return nnr__fail_memory(err, "a map", (size_t)c->classes);
	}
	for (int i = 0; i < n; i++)
		out[i] = -1;
	for (int i = 0; i < n; i++) {
		int32_t class = INT32_MAX;
		int label = 0;

		if (!largest(&r, &class, &label) &&
		    !first_left(&r, &class, &label))
			break;
		r.taken[class] = true;
		out[label * each + r.got[label]++] = class;
	}
	free(r.taken);
	free(r.got);
	return 0;
}

/* ---- Bayesian ---- */

typedef struct seen {
	double mass;
	int32_t id;
} seen;

static double row_mass(const nnr__counts *c, int row)
{
	double sum = 0;

	for (int t = 0; t < c->labels; t++)
		sum += c->mass[row * c->labels + t];
	return sum;
}

static int by_mass(const void *a, const void *b)
{
	const seen *x = a, *y = b;

	if (x->mass != y->mass)
		return x->mass > y->mass ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static int by_id(const void *a, const void *b)
{
	const seen *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* The weights of label t; false: it has none. */
static bool weigh(const nnr__counts *c, const seen *v, int kept, int t,
		  double smoothing, float *weight)
{
	double sum = 0;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < kept; i++) {
			int row = c->row[v[i].id];
			double a = c->mass[row * c->labels + t] /
				   (v[i].mass + smoothing);

			if (!pass)
				sum += a;
			else if (sum > 0)
				weight[i] = (float)(a / sum);
		}
	return sum > 0;
}

int nnr__map_bayes(const nnr__counts *c, double smoothing, int n, int32_t *id,
		   float *weight, int *missing, nnr_error *err)
{
	int kept = c->rows < n ? c->rows : n;
	seen *v = nnr__calloc((size_t)c->rows + 1, sizeof(*v));

	*missing = -1;
	if (!v)
		return nnr__fail_memory(err, "a map", (size_t)c->rows);
	for (int i = 0; i < c->rows; i++)
		v[i] = (seen){ row_mass(c, i), c->id[i] };
	qsort(v, (size_t)c->rows, sizeof(*v), by_mass);
	qsort(v, (size_t)kept, sizeof(*v), by_id);
	memset(weight, 0, (size_t)c->labels * (size_t)n * sizeof(*weight));
	for (int i = 0; i < n; i++)
		id[i] = i < kept ? v[i].id : -1;
	for (int t = c->labels - 1; t >= 0; t--)
		if (!weigh(c, v, kept, t, smoothing, weight + t * n))
			*missing = t;
	free(v);
	return 0;
}

void nnr__top(const float *v, int n, int k, int *at)
{
	int have = 0;

	for (int i = 0; i < n; i++) {
		int to = have;

		if (have == k && v[i] <= v[at[k - 1]])
			continue;
		if (have < k)
			have++;
		else
			to--;
		for (; to && v[at[to - 1]] < v[i]; to--)
			at[to] = at[to - 1];
		at[to] = i;
	}
}
