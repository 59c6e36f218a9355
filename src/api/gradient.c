/* SPDX-License-Identifier: Apache-2.0
 *
 * gradient.c: the loss of a batch and its gradient in every learnable tensor,
 * as a safetensors file; and how long a training step takes.
 */
#include "api/api.h"
#include "load/safetensors.h"
#include "program/learn.h"

#include <stdlib.h>
#include <string.h>

typedef struct batch {
	nnr_program *p;
	nnr__data data;
	nnr__lesson *lesson;
	int *item;
} batch;

static int open_batch(batch *b, nnr_program *p, const nnr_grad_opts *o,
		      nnr_error *err)
{
	nnr__records_opts with = { .limit = o->limit };
	int rc = nnr__data_read(&b->data, p, o->data, &with, true, err);

	b->p = p;
	rc = rc ? rc : nnr__data_each(&b->data, err);
	rc = rc ? rc : nnr__lesson_new(&b->lesson, p, &b->data, o->memory,
				       err);
	if (rc)
		return rc;
	if (o->plain)
		nnr__lesson_plain(b->lesson);
	b->item = nnr__calloc((size_t)b->data.n, sizeof(*b->item));
	if (!b->item)
		return nnr__fail_memory(err, "items", (size_t)b->data.n);
	for (int i = 0; i < b->data.n; i++)
		b->item[i] = i;
	return 0;
}

static void close_batch(batch *b)
{
	nnr__lesson_free(b->lesson);
	nnr__data_release(&b->data);
	free(b->item);
}

/* ---- the file ---- */

static int write_file(nnr_program *p, const char *path, double loss,
		      nnr_error *err)
{
	float value = (float)loss;
	size_t n = (size_t)p->tensors + 1;
	nnr__st_tensor *t = nnr__calloc(n, sizeof(*t));
	int count = 0, rc;

	if (!t)
		return nnr__fail_memory(err, "gradients", n);
	t[count++] = (nnr__st_tensor){ .name = "loss", .type = NNR__ST_F32,
				       .data = &value };
	for (int i = 0; i < p->tensors; i++) {
		const nnr__ptensor *from = p->tensor[i];

		if (!from->grad)
			continue;
		t[count] = (nnr__st_tensor){ .name = from->name,
					     .type = NNR__ST_F32,
					     .dims = from->dims,
					     .data = from->grad };
		memcpy(t[count++].dim, from->dim,
		       (size_t)from->dims * sizeof(*from->dim));
	}
	rc = nnr__st_write(path, t, count, NULL, 0, err);
	free(t);
	return rc;
}

static int report(const nnr_program *p, int items, double loss, char **json,
		  nnr_error *err)
{
	nnr__buf out = { 0 };
	bool first = true;

	nnr__buf_addf(&out, "{\"items\":%d,\"loss\":%.17g,\"gradients\":{",
		      items, loss);
	for (int i = 0; i < p->tensors; i++) {
		const nnr__ptensor *t = p->tensor[i];
		double sum = 0;

		if (!t->grad)
			continue;
		for (size_t k = 0; k < t->n; k++)
			sum += (double)t->grad[k] * (double)t->grad[k];
		if (!first)
			nnr__buf_addc(&out, ',');
		first = false;
		nnr__buf_add_json(&out, t->name, strlen(t->name));
		nnr__buf_addf(&out, ":{\"values\":%zu,\"squares\":%.17g}",
			      t->n, sum);
	}
	nnr__buf_adds(&out, "}}");
	return nnr__hand_out(&out, json, err);
}

int nnr_program_grad(nnr_program *p, const nnr_grad_opts *o,
		     const char *path, char **json, nnr_error *err)
{
	batch b = { 0 };
	double loss;
	int rc;

	*json = NULL;
	rc = open_batch(&b, p, o, err);
	rc = rc ? rc : nnr__lesson_gradient(b.lesson, b.item, b.data.n,
					    &loss, err);
	rc = rc ? rc : write_file(p, path, loss, err);
	rc = rc ? rc : report(p, b.data.n, loss, json, err);
	close_batch(&b);
	return rc;
}
