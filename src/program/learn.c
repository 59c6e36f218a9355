/* SPDX-License-Identifier: Apache-2.0
 *
 * learn.c: the list of a program's tensors.
 */
#include "program/learn.h"

#include <stdlib.h>
#include <string.h>

static void tensor_free(nnr__ptensor *t)
{
	if (!t)
		return;
	free(t->name);
	nnr__aligned_free(t->value);
	nnr__aligned_free(t->grad);
	free(t);
}

static int tensor_fill(nnr__ptensor *t, const nnr__step *s, const char *part,
		       bool learn, nnr_error *err)
{
	nnr__buf name = { 0 };

	nnr__buf_addf(&name, part ? "%s.%s" : "%s", s->id, part);
	t->name = name.bad ? NULL : name.p;
	t->value = nnr__aligned(t->n * sizeof(float));
	if (learn)
		t->grad = nnr__aligned(t->n * sizeof(float));
	if (!t->name || !t->value || (learn && !t->grad))
		return nnr__fail_memory(err, "a tensor", t->n * sizeof(float));
	memset(t->value, 0, t->n * sizeof(float));
	if (learn)
		memset(t->grad, 0, t->n * sizeof(float));
	return 0;
}

nnr__ptensor *nnr__tensor_add(nnr_program *p, nnr__step *s, const char *part,
			     int dims, const int64_t *dim, bool learn,
			     nnr_error *err)
{
	nnr__ptensor *t = nnr__calloc(1, sizeof(*t));

	if (!t || !nnr__grow(&p->tensor, &p->tensor_cap, (size_t)p->tensors,
			     sizeof(*p->tensor))) {
		free(t);
		nnr__fail_memory(err, "a tensor", sizeof(*t));
		return NULL;
	}
	t->step = s;
	t->dims = dims;
	t->n = 1;
	for (int i = 0; i < dims; i++) {
		t->dim[i] = dim[i];
		t->n *= (size_t)dim[i];
	}
	if (tensor_fill(t, s, part, learn, err)) {
		tensor_free(t);
		return NULL;
	}
	p->tensor[p->tensors++] = t;
	return t;
}

int nnr__tensors(const nnr_program *p)
{
	return p->tensors;
}

nnr__ptensor *nnr__tensor_at(nnr_program *p, int i)
{
	return p->tensor[i];
}

nnr__ptensor *nnr__tensor_find(nnr_program *p, const char *name)
{
	for (int i = 0; i < p->tensors; i++)
		if (strcmp(p->tensor[i]->name, name) == 0)
			return p->tensor[i];
	return NULL;
}

void nnr__tensors_free(nnr_program *p)
{
	for (int i = 0; i < p->tensors; i++)
		tensor_free(p->tensor[i]);
	free(p->tensor);
	p->tensor = NULL;
	p->tensors = 0;
	p->tensor_cap = 0;
}
