/* SPDX-License-Identifier: Apache-2.0
 *
 * test_label_map.c: maps from source classes to labels against the reference
 * algorithms, written here once more on dense matrices; and the step on the
 * synthetic model: what is counted, what is read, its gradient, what is
 * refused.
 */
#include "test.h"

#include "../learn.h"
#include "program/label_map.h"

static learn_model tiny;

static int set_up(void **state)
{
	(void)state;
	learn_open(&tiny);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return learn_close(&tiny);
}

/* ---- on plain numbers ---- */

enum { S_MAX = 12, T_MAX = 4 };

typedef struct dense {
	int classes, labels;
	double d[S_MAX][T_MAX];
} dense;

static void fill(dense *m, nnr__counts *c, uint64_t seed)
{
	nnr_error err;
	int n = 5 + (int)(nnr__rng_u64(seed, 0, 0) % 30);

	memset(m, 0, sizeof(*m));
	m->classes = 8 + (int)(nnr__rng_u64(seed, 0, 1) % 5);
	m->labels = 2 + (int)(nnr__rng_u64(seed, 0, 2) % 3);
	assert_int_equal(nnr__counts_new(c, m->classes, m->labels, &err), 0);
	for (int i = 0; i < n; i++) {
		int s = (int)(nnr__rng_u64(seed, 1, (uint64_t)i) %
			      (uint64_t)m->classes);
		int t = i < m->labels ? i
			: (int)(nnr__rng_u64(seed, 2, (uint64_t)i) %
				(uint64_t)m->labels);

		m->d[s][t] += 1;
		assert_int_equal(nnr__counts_add(c, s, t, 1, &err), 0);
	}
}

/* As ILM-VP has it: the flat argmax, then -1 over its row and, when the label
 * has its classes, over its column. */
static void greedy_dense(const dense *from, int each, int32_t *out)
{
	dense m = *from;
	int got[T_MAX] = { 0 };

	for (int k = 0; k < each * m.labels; k++) {
		int s = 0, t = 0;

		for (int i = 0; i < m.classes; i++)
			for (int j = 0; j < m.labels; j++)
				if (m.d[i][j] > m.d[s][t]) {
					s = i;
					t = j;
				}
		out[t * each + got[t]++] = s;
		for (int j = 0; j < m.labels; j++)
			m.d[s][j] = -1;
		for (int i = 0; got[t] == each && i < m.classes; i++)
			m.d[i][t] = -1;
	}
}

static void test_greedy(void **state)
{
	int32_t got[S_MAX], want[S_MAX];
	nnr__counts c;
	nnr_error err;
	dense m;

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++)
		for (int each = 1; each <= 2; each++) {
			fill(&m, &c, seed);
			greedy_dense(&m, each, want);
			assert_int_equal(nnr__map_greedy(&c, each, got, &err),
					 0);
			assert_memory_equal(got, want, (size_t)(each *
					    m.labels) * sizeof(*got));
			nnr__counts_release(&c);
		}
}

/* BLM: omega from all classes at once. */
static void test_bayes(void **state)
{
	float got[T_MAX * S_MAX];
	int32_t id[S_MAX];
	nnr__counts c;
	nnr_error err;
	dense m;
	int missing;

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		double smooth = seed % 3 ? 1 : 0;

		fill(&m, &c, seed);
		assert_int_equal(nnr__map_bayes(&c, smooth, S_MAX, id, got,
						&missing, &err), 0);
		assert_int_equal(missing, -1);
		for (int t = 0; t < m.labels; t++) {
			double a[S_MAX], sum = 0;

			for (int s = 0; s < m.classes; s++) {
				double row = smooth;

				for (int j = 0; j < m.labels; j++)
					row += m.d[s][j];
				a[s] = row > 0 ? m.d[s][t] / row : 0;
				sum += a[s];
			}
			for (int k = 0; k < S_MAX; k++)
				assert_true(id[k] < 0 ? got[t * S_MAX + k] == 0
				    : fabs((double)got[t * S_MAX + k] -
					   a[id[k]] / sum) < 1e-7);
		}
		nnr__counts_release(&c);
	}
}

/* Fewer than were seen: those of most mass, and the rest as if unseen; a
 * label that is left without is told. */
static void test_bayes_cut(void **state)
{
	static const struct { int s, t; double n; } seen[] = {
		{ 7, 0, 4 }, { 2, 0, 1 }, { 2, 1, 5 }, { 9, 1, 3 },
		{ 4, 2, 2 }
	};
	float w[3 * 4];
	int32_t id[4];
	nnr__counts c;
	nnr_error err;
	int missing;

	(void)state;
	assert_int_equal(nnr__counts_new(&c, 10, 3, &err), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(nnr__counts_add(&c, seen[i].s, seen[i].t,
						 seen[i].n, &err), 0);
	assert_int_equal(nnr__map_bayes(&c, 1, 2, id, w, &missing, &err), 0);
	assert_int_equal(missing, 2);
	assert_true(id[0] == 2 && id[1] == 7);
	/* label 0: 1/7 of class 2 and 4/5 of class 7 */
	assert_true(fabs((double)w[0] - (1.0 / 7) / (1.0 / 7 + 0.8)) < 1e-7);
	assert_true(w[2] == 1 && w[3] == 0);
	assert_int_equal(nnr__map_bayes(&c, 1, 4, id, w, &missing, &err), 0);
	assert_int_equal(missing, -1);
	assert_true(id[0] == 2 && id[1] == 4 && id[2] == 7 && id[3] == 9);
	nnr__counts_release(&c);
}

static void test_top(void **state)
{
	static const float v[] = { 1, 5, 5, -2, 7, 5, 0 };
	int at[7];

	(void)state;
	nnr__top(v, 7, 3, at);
	assert_true(at[0] == 4 && at[1] == 1 && at[2] == 2);
	nnr__top(v, 7, 7, at);
	assert_true(at[3] == 5 && at[4] == 0 && at[5] == 6 && at[6] == 3);
	nnr__top(v, 7, 1, at);
	assert_int_equal(at[0], 4);
}

/* ---- the step ---- */

#define LINES \
	"a\thello\nb\tthe hello\nc\tx\na\too\nb\taaaa the\nc\thell oo\n" \
	"a\tthe x\nb\thhh\nc\tzz\n"
#define HEAD(in) \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [a, b, c]}\nin: [" in "template: \"say {text}:\"]\n"
#define SOFT "soft_tokens: {count: 2, init: {random: 0.1}}, "
#define MAP(in, how) HEAD(in) "out: [label_map: {" how "}]\n"

static int keep(void *ctx, int item, const nnr__answer *a, nnr_error *err)
{
	double *score = ctx;

	(void)err;
	memcpy(score + item * 3, a->score, 3 * sizeof(*score));
	return 0;
}

static void answers(nnr_program *p, const nnr__data *d, double *score)
{
	nnr_error err;

	if (nnr__program_answers(p, d->item, d->n, keep, score, &err))
		fail_msg("%s", err.message);
}

static void begin(lesson *s, int epoch)
{
	nnr_error err;

	if (nnr__lesson_epoch(s->l, epoch, &err))
		fail_msg("%s", err.message);
}

/* Logits of the last token of item i. */
static void logits_of(lesson *s, int i, double *z)
{
	const nnr__ids *ids = &s->l->item[i].ids;
	float *all = malloc(ids->n * VOCAB_COUNT * sizeof(*all));
	nnr_error err;

	assert_non_null(all);
	if (nnr__engine_logits(s->p->engine, ids->id, (int)ids->n, all, &err))
		fail_msg("%s", err.message);
	for (int k = 0; k < VOCAB_COUNT; k++)
		z[k] = (double)all[(ids->n - 1) * VOCAB_COUNT + (size_t)k];
	free(all);
}

/* What the program's map makes of logits, written plainly. */
static double mapped(const lesson *s, const double *z, int label, int read)
{
	const nnr__ptensor *id = nnr__tensor_find(s->p, "label_map.source");
	const nnr__ptensor *w = nnr__tensor_find(s->p, "label_map.weight");
	double sum = 0, norm = 0;

	for (int k = 0; k < VOCAB_COUNT; k++)
		norm += exp(z[k]);
	for (size_t i = 0; i < id->n; i++) {
		double v = (double)w->value[(size_t)label * id->n + i], x;

		if (id->value[i] < 0)
			continue;
		x = z[(int)id->value[i]];
		sum += v * (read == 0 ? x : read == 1 ? x - log(norm)
						      : exp(x) / norm);
	}
	return read == 2 ? log(sum) : sum;
}

static const char *const reads[] = { "logits", "logprobs", "probs" };
static const char *const methods[] = { "random", "frequency, per_label: 2",
				       "iterative", "blm", "blm+, top_k: 3" };

/* Answers, and a lesson's loss, are those of the map. */
static void test_read(void **state)
{
	double score[LEARN_ITEMS_MAX * 3], z[VOCAB_COUNT];
	char source[400];

	(void)state;
	for (int m = 0; m < 15; m++) {
		int r = m % 3;
		double want = 0;
		lesson s;

		snprintf(source, sizeof(source), MAP(SOFT, "method: %s, read: "
			 "%s"), methods[m / 3], reads[r]);
		lesson_open(&tiny, &s, source, LINES);
		s.p->untrained = true;	/* the soft tokens are */
		begin(&s, 0);
		answers(s.p, &s.data, score);
		for (int i = 0; i < s.data.n; i++) {
			double v[3];

			logits_of(&s, i, z);
			for (int t = 0; t < 3; t++)
				v[t] = mapped(&s, z, t, r);
			nnr__log_softmax(v, 3);
			/* fp32 sums of logits of about 1 */
			for (int t = 0; t < 3; t++)
				assert_true(fabs(score[i * 3 + t] - v[t]) <
					    1e-5);
			want -= v[s.data.label[i]] / s.data.n;
		}
		assert_true(fabs(lesson_loss(&s) - want) < 1e-5);
		lesson_close(&s);
	}
}

/* What is counted: the classes of the items by their logits. */
static void test_counts(void **state)
{
	double z[VOCAB_COUNT];
	nnr__counts c;
	nnr_error err;
	lesson s;
	int32_t id[64];
	float w[3 * 64];
	int missing;
	const nnr__ptensor *source, *weight;

	(void)state;
	for (int k = 0; k <= 3; k += 3) {
		lesson_open(&tiny, &s, k ? MAP(SOFT, "method: blm+, top_k: 3, "
					       "sources: 64")
					 : MAP(SOFT, "method: blm, sources: "
					       "64"), LINES);
		begin(&s, 0);
		nnr__counts_new(&c, VOCAB_COUNT, 3, &err);
		for (int i = 0; i < s.data.n; i++) {
			float f[VOCAB_COUNT];
			double sum = 0;
			int top[3];

			logits_of(&s, i, z);
			for (int v = 0; v < VOCAB_COUNT; v++) {
				f[v] = (float)z[v];
				sum += exp(z[v]);
			}
			nnr__top(f, VOCAB_COUNT, k ? k : 1, top);
			for (int j = 0; j < (k ? k : 1); j++)
				nnr__counts_add(&c, top[j], s.data.label[i],
						k ? exp(z[top[j]]) / sum : 1,
						&err);
		}
		nnr__map_bayes(&c, 1, 64, id, w, &missing, &err);
		source = nnr__tensor_find(s.p, "label_map.source");
		weight = nnr__tensor_find(s.p, "label_map.weight");
		assert_true(source->set && weight->set && source->n == 64);
		for (int i = 0; i < 64; i++)
			assert_true(source->value[i] == (float)id[i]);
		for (int i = 0; i < 3 * 64; i++)
			assert_true(fabsf(weight->value[i] - w[i]) < 1e-5f);
		nnr__counts_release(&c);
		lesson_close(&s);
	}
}

/* The gradient through the map, a constant.  As in test_out.c: fp32 losses
 * are off by 1e-7, 1e-5 over 2 steps of 2^-7, and the curvature adds 1e-4. */
static void test_slopes(void **state)
{
	char source[400];

	(void)state;
	for (int m = 0; m < 15; m++) {
		lesson s;

		snprintf(source, sizeof(source), MAP(SOFT, "method: %s, read: "
			 "%s"), methods[m / 3], reads[m % 3]);
		lesson_open(&tiny, &s, source, LINES);
		begin(&s, 0);
		lesson_slopes(&s, nnr__tensor_find(s.p, "soft_tokens"),
			      0x1p-7, 2e-3);
		lesson_close(&s);
	}
}

static bool moves(const char *source, int epoch)
{
	lesson s;
	nnr__ptensor *soft, *id, *w;
	float was[3 * 1024], before[1024];
	bool same;

	lesson_open(&tiny, &s, source, LINES);
	begin(&s, 0);
	id = nnr__tensor_find(s.p, "label_map.source");
	w = nnr__tensor_find(s.p, "label_map.weight");
	assert_true(id->n <= 1024);
	memcpy(before, id->value, id->n * sizeof(*before));
	memcpy(was, w->value, w->n * sizeof(*was));
	soft = nnr__tensor_find(s.p, "soft_tokens");
	for (size_t i = 0; i < soft->n; i++)
		soft->value[i] = i % 3 ? 0.9f : -0.4f;
	begin(&s, epoch);
	same = !memcmp(before, id->value, id->n * sizeof(*before)) &&
	       !memcmp(was, w->value, w->n * sizeof(*was));
	lesson_close(&s);
	return !same;
}

/* Counted again when it should be, with the prompt as it is by then. */
static void test_every(void **state)
{
	(void)state;
	assert_true(moves(MAP(SOFT, "method: blm+, top_k: 5"), 1));
	assert_true(moves(MAP(SOFT, "method: blm"), 1));
	assert_false(moves(MAP(SOFT, "method: blm, every: once"), 1));
	assert_true(moves(MAP(SOFT, "method: blm, every: once"), 0));
	assert_false(moves(MAP(SOFT, "method: frequency"), 1));
	assert_true(moves(MAP(SOFT, "method: frequency, every: epoch"), 1));
	assert_true(moves(MAP(SOFT, "method: iterative"), 1));
	assert_false(moves(MAP(SOFT, "method: random"), 0));
}

/* Random: distinct, by the seed. */
static void test_random(void **state)
{
	float first[6] = { 0 };

	(void)state;
	for (int k = 0; k < 3; k++) {
		char source[300];
		nnr_program *p;
		const nnr__ptensor *id, *w;

		snprintf(source, sizeof(source), MAP("", "method: random, "
			 "per_label: 2, seed: %d"), k / 2);
		p = lesson_program(&tiny, source);
		lesson_bind(&tiny, p);
		id = nnr__tensor_find(p, "label_map.source");
		w = nnr__tensor_find(p, "label_map.weight");
		assert_true(id->n == 6 && w->n == 18);
		for (int i = 0; i < 6; i++) {
			for (int j = 0; j < i; j++)
				assert_true(id->value[i] != id->value[j]);
			for (int t = 0; t < 3; t++)
				assert_true(w->value[t * 6 + i] ==
					    (i / 2 == t ? 0.5f : 0));
		}
		if (k == 1)
			assert_memory_equal(first, id->value, sizeof(first));
		if (k == 2)
			assert_memory_not_equal(first, id->value,
						sizeof(first));
		memcpy(first, id->value, sizeof(first));
		nnr__program_close(p);
	}
}

/* ---- fitted, or not ---- */

static void test_data(void **state)
{
	double score[LEARN_ITEMS_MAX * 3], again[LEARN_ITEMS_MAX * 3];
	lesson s = { 0 }, l;
	nnr__ptensor *w, *other;

	(void)state;
	s.p = lesson_program(&tiny, MAP("", "method: blm, data: data.tsv"));
	lesson_bind(&tiny, s.p);
	lesson_data(&tiny, &s, LINES);
	answers(s.p, &s.data, score);
	w = nnr__tensor_find(s.p, "label_map.weight");
	assert_true(w->set);
	/* the same as in a lesson on the same items */
	lesson_open(&tiny, &l, HEAD("") "out: [label_map: blm, calibrate: "
		    "temperature]\n", LINES);
	other = nnr__tensor_find(l.p, "label_map.weight");
	begin(&l, 0);
	assert_int_equal(w->n, other->n);
	assert_memory_equal(w->value, other->value, w->n * sizeof(float));
	lesson_slopes(&l, nnr__tensor_find(l.p, "calibrate.log_temperature"),
		      0x1p-10, 1e-5);
	lesson_close(&l);
	/* an unfit leaves it: only an epoch counts again */
	nnr__program_unfit(s.p);
	assert_true(w->set);
	nnr__program_close(s.p);
	s.p = lesson_program(&tiny, MAP("", "method: blm, data: data.tsv"));
	lesson_bind(&tiny, s.p);
	answers(s.p, &s.data, again);	/* from the cache */
	assert_memory_equal(score, again, (size_t)s.data.n * 3 *
			    sizeof(double));
	nnr__data_release(&s.data);
	nnr__program_close(s.p);
}

static void test_unfitted(void **state)
{
	nnr_error err = { 0 };
	double score[LEARN_ITEMS_MAX * 3];
	lesson s = { 0 };

	(void)state;
	s.p = lesson_program(&tiny, MAP("", "method: blm"));
	lesson_bind(&tiny, s.p);
	lesson_data(&tiny, &s, LINES);
	assert_int_equal(nnr__program_answers(s.p, s.data.item, s.data.n, keep,
					      score, &err), NNR_E_INPUT);
	assert_message(err, "p.yaml:7:7: `label_map`: is not fitted: train the"
		       " program, or name `data` to count on (--untrained "
		       "answers with a random map)");
	s.p->untrained = true;
	answers(s.p, &s.data, score);
	nnr__program_close(s.p);
	s.p = lesson_program(&tiny, MAP("", "method: random"));
	lesson_bind(&tiny, s.p);
	answers(s.p, &s.data, score);	/* there is nothing to fit */
	nnr__data_release(&s.data);
	nnr__program_close(s.p);
}

/* A label that no item has; a map that names no class. */
static void test_bad_fits(void **state)
{
	nnr_error err = { 0 };
	double score[LEARN_ITEMS_MAX * 3];
	lesson s;

	(void)state;
	lesson_open(&tiny, &s, MAP(SOFT, "method: blm"), "a\thello\nb\tx\n");
	assert_int_equal(nnr__lesson_epoch(s.l, 0, &err), NNR_E_INPUT);
	assert_message(err, "the data it is counted on has no item of the "
		       "label `c`");
	assert_false(nnr__tensor_find(s.p, "label_map.weight")->set);
	lesson_close(&s);
	lesson_open(&tiny, &s, MAP(SOFT, "method: frequency"),
		    "a\thello\nb\tx\n");
	begin(&s, 0);		/* one-to-one gives it a class that is left */
	s.p->untrained = true;
	nnr__tensor_find(s.p, "label_map.source")->value[1] = 0.5f;
	assert_int_equal(nnr__program_answers(s.p, s.data.item, s.data.n, keep,
					      score, &err), NNR_E_INPUT);
	assert_message(err, "its tensor `label_map.source` names the class "
		       "0.5");
	lesson_close(&s);
}

static void test_bad_input(void **state)
{
	static const char *const wrong[][2] = {
		{ "method: blm++", "`method` is `blm++`; did you mean "
		  "`blm+`?" },
		{ "top_k: 0", "p.yaml:7:26: `top_k` is `0`; a part like 15%, "
		  "or a number, was expected" },
		{ "top_k: 101%", "`top_k` is `101%`; a part like" },
		{ "top_k: 1.5", "`top_k` is `1.5`; a part like" },
		{ "top_k: 15%%", "`top_k` is `15%%`; a part like" },
		{ "top_k: [1]", "`top_k` is a list; a part like" },
		{ "method: blm, top_k: 3", "`top_k` has no meaning for blm" },
		{ "method: blm, per_label: 3", "`per_label` has no meaning" },
		{ "method: random, data: data.tsv", "`data` has no meaning for "
		  "random" },
		{ "method: frequency, smoothing: 0", "`smoothing` has no "
		  "meaning for frequency" },
		{ "method: iterative, every: once", "iterative is counted "
		  "every epoch; once is `frequency`" },
		{ "method: random, per_label: 100", "3 labels of 100 classes "
		  "each; the vocabulary has" },
		{ "data: none.tsv", "cannot find the file" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		nnr__engine_opts o = { .threads = 1 };
		char source[400];
		nnr_program *p = NULL;
		nnr_error err = { 0 };
		int rc;

		snprintf(source, sizeof(source), MAP("", "%s"), wrong[i][0]);
		rc = nnr__program_parse(&p, "p.yaml", tiny.dir, source,
					strlen(source), NULL, &err);
		rc = rc ? rc : nnr__program_bind(p, &tiny.model, &o, &err);
		nnr__program_close(p);
		if (rc != NNR_E_INPUT || !strstr(err.message, wrong[i][1]))
			fail_msg("%s\nsaid %s (%d)\nnot %s", source,
				 err.message, rc, wrong[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greedy),
		cmocka_unit_test(test_bayes),
		cmocka_unit_test(test_bayes_cut),
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_slopes),
		cmocka_unit_test(test_every),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_unfitted),
		cmocka_unit_test(test_bad_fits),
		cmocka_unit_test(test_bad_input),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
