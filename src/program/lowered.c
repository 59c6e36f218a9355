/* SPDX-License-Identifier: Apache-2.0
 *
 * lowered.c: from the tensors of a program to rows at sites of f, and back
 * with gradients.  The steps claim rows when their tensors are declared; then
 * the arrays are made, and the steps fill their part.
 */
#include "program/learn.h"
#include "step.h"

#include <stdlib.h>
#include <string.h>

void nnr__claim_soft(nnr_program *p, nnr__step *s, int n, bool learn)
{
	nnr__lowered *l = p->lowered;

	s->row0 = l->given.sites.softs;
	l->given.sites.softs += n;
	l->learns.embed |= learn;
}

int nnr__claim_kv(nnr_program *p, nnr__step *s, int n, bool learn,
		  nnr_error *err)
{
	nnr__lowered *l = p->lowered;

	if (l->given.kvs)
		return nnr__fail_step(p, s, NULL, err, "a second step that "
				      "gives key/value rows; one is the most");
	s->row0 = -1 - NNR__KV_ROW;
	l->given.kvs = n;
	l->learns.kv |= learn;
	return 0;
}

int nnr__claim_deep(nnr_program *p, nnr__step *s, int n, bool learn,
		    nnr_error *err)
{
	nnr__lowered *l = p->lowered;
	nnr__sites *sites = &l->given.sites;

	if (sites->deeps)
		return nnr__fail_step(p, s, NULL, err, "a second step that "
				      "gives rows at every block; one is the "
				      "most");
	nnr__claim_soft(p, s, n, learn);
	sites->deep_from = s->row0;
	sites->deeps = n;
	l->learns.deep |= learn;
	return 0;
}

int nnr__claim_shift(nnr_program *p, nnr__step *s, int n, int from,
		     bool learn, nnr_error *err)
{
	nnr__lowered *l = p->lowered;
	nnr__sites *sites = &l->given.sites;

	if (sites->shifts)
		return nnr__fail_step(p, s, NULL, err, "a second step that "
				      "shifts embeddings; one is the most");
	sites->shift_from = from;
	sites->shifts = n;
	l->learns.embed |= learn;
	return 0;
}

/* "block.A-B.WHAT", "block.A.WHAT": a site that is one, but not yet here. */
int nnr__site_check(const nnr_program *p, const nnr__step *s,
		    const char *site, const char *what, nnr_error *err)
{
	const char *at = site;
	size_t n;

	if (strncmp(at, "block.", 6) == 0) {
		n = strspn(at + 6, "0123456789-");
		at += n ? 6 + n : at[6] == '*' ? 7 : 0;
		if (at != site && *at == '.' && strcmp(at + 1, what) == 0)
			return n ? nnr__fail_place(p, s->place,
				NNR_E_UNSUPPORTED, err, "`%s`: the site "
				"`%.40s`, some blocks only, is not in this "
				"version of nnr yet; `block.*.%s` is all of "
				"them", s->row->name, site, what) : 0;
	}
	return nnr__fail_step(p, s, "site", err, "`%.40s`; \"block.*.%s\" "
			      "was expected", site, what);
}

int nnr__claim_graph(nnr_program *p, nnr__step *s, const nnr__graph *g,
		     const float *weights, size_t n, bool learn,
		     nnr_error *err)
{
	nnr__lowered *l = p->lowered;

	if (l->given.graph)
		return nnr__fail_step(p, s, NULL, err, "a second step with "
				      "matrices of its own; one is the most");
	l->given.graph = g;
	l->given.weights = weights;
	l->given.weights_n = n;
	l->learns.weights |= learn;
	return 0;
}

/* ---- the arrays ---- */

static float *rows_of(size_t n)
{
	float *rows = n ? nnr__aligned(n * sizeof(*rows)) : NULL;

	if (rows)
		memset(rows, 0, n * sizeof(*rows));
	return rows;
}

/* An array of n values, with room for its gradient if it is learned. */
static int array(float **rows, float **grad, size_t n, bool learn,
		 nnr_error *err)
{
	*rows = rows_of(n);
	if (learn)
		*grad = rows_of(n);
	if (n && (!*rows || (learn && !*grad)))
		return nnr__fail_memory(err, "rows", n * sizeof(float));
	return 0;
}

static int make_arrays(nnr__lowered *l, nnr_error *err)
{
	nnr__sites *s = &l->given.sites;
	size_t hidden = (size_t)l->hidden, layers = (size_t)l->layers;
	int rc = array(&l->soft, &l->grads.soft, (size_t)s->softs * hidden,
		       l->learns.embed, err);

	if (!rc)
		rc = array(&l->deep, &l->grads.deep, (layers - 1) *
			   (size_t)s->deeps * hidden, l->learns.deep, err);
	if (!rc)
		rc = array(&l->shift, &l->grads.shift, (size_t)s->shifts *
			   hidden, l->learns.embed, err);
	if (!rc)
		rc = array(&l->kv, &l->grads.kv, layers * 2 *
			   (size_t)l->given.kvs * (size_t)l->kv_cols,
			   l->learns.kv, err);
	l->grads.kvs = l->given.kvs;
	s->soft = l->soft;
	s->deep = l->deep;
	s->shift = l->shift;
	l->given.kv = l->kv;
	return rc;
}

int nnr__lowered_new(nnr_program *p, nnr_error *err)
{
	const nnr__backbone *b = p->model->bb;
	nnr__lowered *l = p->lowered = nnr__calloc(1, sizeof(*l));
	int rc = 0;

	if (!l)
		return nnr__fail_memory(err, "rows", sizeof(*l));
	l->hidden = b->hidden;
	l->layers = b->layers;
	l->kv_cols = b->kv_heads * b->dim;
	for (int i = 0; i < p->ins + p->outs && !rc; i++) {
		nnr__step *s = nnr__program_step_at(p, i);

		if (s->row->tensors)
			rc = s->row->tensors(p, s, err);
	}
	return rc ? rc : make_arrays(l, err);
}

void nnr__lowered_free(nnr_program *p)
{
	nnr__lowered *l = p->lowered;

	if (!l)
		return;
	nnr__aligned_free(l->soft);
	nnr__aligned_free(l->deep);
	nnr__aligned_free(l->shift);
	nnr__aligned_free(l->kv);
	nnr__aligned_free(l->grads.soft);
	nnr__aligned_free(l->grads.deep);
	nnr__aligned_free(l->grads.shift);
	nnr__aligned_free(l->grads.kv);
	free(l);
	p->lowered = NULL;
}

/* ---- there and back ---- */

int nnr__lower_rows(nnr_program *p, nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < p->ins + p->outs && !rc; i++) {
		nnr__step *s = nnr__program_step_at(p, i);

		if (s->row->lower)
			rc = s->row->lower(p, s, err);
	}
	return rc;
}

int nnr__lower_back(nnr_program *p, nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < p->ins + p->outs && !rc; i++) {
		nnr__step *s = nnr__program_step_at(p, i);

		if (s->row->lower_back)
			rc = s->row->lower_back(p, s, err);
	}
	return rc;
}
