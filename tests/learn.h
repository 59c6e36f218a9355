/* SPDX-License-Identifier: Apache-2.0
 *
 * Lessons on the synthetic model, and their gradients against differences of
 * the loss.
 */
#ifndef TESTS_LEARN_H
#define TESTS_LEARN_H

#include <math.h>
#include <unistd.h>

#include "program/lesson_int.h"
#include "synth_model.h"

#define LEARN_ITEMS_MAX 64

/* The synthetic model in a folder of its own, which is also the cache. */
typedef struct learn_model {
	char dir[64];
	nnr_model model;
} learn_model;

/* Writes a file of the folder. */
static inline void learn_put(const learn_model *m, const char *name,
			     const char *text, size_t n)
{
	char path[160];
	nnr_error err;

	snprintf(path, sizeof(path), "%s/%s", m->dir, name);
	if (nnr__file_write(path, text, n, &err))
		fail_msg("%s", err.message);
}

static inline void learn_open(learn_model *m)
{
	nnr__buf file = { 0 };
	char path[160];
	nnr_error err;

	memset(m, 0, sizeof(*m));
	strcpy(m->dir, "/tmp/nnr-learn-XXXXXX");
	assert_non_null(mkdtemp(m->dir));
	setenv("NNR_CACHE", m->dir, 1);
	synth_model(&file);
	learn_put(m, "model.gguf", file.p, file.len);
	nnr__buf_release(&file);
	snprintf(path, sizeof(path), "%s/model.gguf", m->dir);
	if (nnr__backbone_open(&m->model.bb, path, &err) ||
	    nnr__tok_new(&m->model.tok, m->model.bb->file, &err))
		fail_msg("%s", err.message);
}

static inline int learn_close(learn_model *m)
{
	char command[96];

	nnr__tok_free(m->model.tok);
	nnr__backbone_close(m->model.bb);
	snprintf(command, sizeof(command), "rm -rf %s", m->dir);
	return system(command);
}

typedef struct lesson {
	nnr_program *p;
	nnr__data data;
	nnr__lesson *l;
	int item[LEARN_ITEMS_MAX];
} lesson;

/* Labelled lines, "label<TAB>text". */
static inline void lesson_data(const learn_model *m, lesson *s,
			       const char *lines)
{
	char path[160];
	nnr_error err;

	learn_put(m, "data.tsv", lines, strlen(lines));
	snprintf(path, sizeof(path), "%s/data.tsv", m->dir);
	if (nnr__data_read(&s->data, s->p, path, NULL, true, &err))
		fail_msg("%s", err.message);
	assert_true(s->data.n <= LEARN_ITEMS_MAX);
	for (int i = 0; i < s->data.n; i++)
		s->item[i] = i;
}

static inline nnr_program *lesson_program(const learn_model *m,
					  const char *source)
{
	nnr_program *p;
	nnr_error err;

	if (nnr__program_parse(&p, "p.yaml", m->dir, source, strlen(source),
			       NULL, &err))
		fail_msg("%s", err.message);
	return p;
}

static inline void lesson_bind(const learn_model *m, nnr_program *p)
{
	nnr__engine_opts o = { .threads = 1, .precision = NNR_EXACT };
	nnr_error err;

	if (nnr__program_bind(p, &m->model, &o, &err))
		fail_msg("%s", err.message);
}

static inline void lesson_open(const learn_model *m, lesson *s,
			       const char *source, const char *lines)
{
	nnr_error err;

	memset(s, 0, sizeof(*s));
	s->p = lesson_program(m, source);
	lesson_bind(m, s->p);
	lesson_data(m, s, lines);
	if (nnr__lesson_new(&s->l, s->p, &s->data, 0, &err))
		fail_msg("%s", err.message);
}

static inline void lesson_close(lesson *s)
{
	nnr__lesson_free(s->l);
	nnr__data_release(&s->data);
	nnr__program_close(s->p);
}

static inline double lesson_loss(lesson *s)
{
	nnr_error err;
	double loss;

	if (nnr__lesson_gradient(s->l, s->item, s->data.n, &loss, &err))
		fail_msg("%s", err.message);
	return loss;
}

/* The gradient of every learnable tensor: |got - want| of the largest slope,
 * where want is a central difference over 2 step; at most `limit`. */
static inline void lesson_slopes(lesson *s, nnr__ptensor *t, double step,
				 double limit)
{
	float *got = malloc(t->n * sizeof(*got));
	double worst = 0, most = 0;

	assert_non_null(got);
	lesson_loss(s);
	memcpy(got, t->grad, t->n * sizeof(*got));
	for (size_t i = 0; i < t->n; i++) {
		float at = t->value[i], up = at + (float)step;
		float down = at - (float)step;
		double high, want;

		t->value[i] = up;
		high = lesson_loss(s);
		t->value[i] = down;
		want = (high - lesson_loss(s)) / ((double)up - (double)down);
		t->value[i] = at;
		assert_false(isnan(got[i]));
		worst = fmax(worst, fabs((double)got[i] - want));
		most = fmax(most, fabs(want));
	}
	free(got);
	assert_true(most > 0);
	if (!(worst <= limit * most))
		fail_msg("%s: off by %g of %g", t->name, worst, most);
}

#endif
