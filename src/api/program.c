/* SPDX-License-Identifier: Apache-2.0
 *
 * program.c: opening, binding and showing a program, and running its tests.
 */
#include "api/api.h"
#include "program/artifact.h"

#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

static bool has_seed(const nnr__step *s)
{
	for (const nnr__param *p = s->row->param; p && p->name; p++)
		if (strcmp(p->name, "seed") == 0)
			return true;
	return false;
}

/* "in.ID.seed=N" for every step that takes a seed, and "train.seed=N" where
 * something is trained, appended to list. */
static int add_seeds(const nnr_program *p, int64_t seed, char **list, int *n,
		     nnr_error *err)
{
	for (int i = 0; i < p->ins + p->outs; i++) {
		bool in = i < p->ins;
		const nnr__step *s = in ? &p->in[i] : &p->out[i - p->ins];
		nnr__buf b = { 0 };
		if (!has_seed(s))
			continue;
		nnr__buf_addf(&b, "%s.%s.seed=%lld", in ? "in" : "out",
			      s->id, (long long)seed);
		list[*n] = nnr__buf_take(&b);
		if (!list[*n])
			return nnr__fail_memory(err, "seed", 0);
		(*n)++;
	}
	if (nnr__program_trains(p)) {
		nnr__buf b = { 0 };
		nnr__buf_addf(&b, "train.seed=%lld", (long long)seed);
		list[*n] = nnr__buf_take(&b);
		if (!list[*n])
			return nnr__fail_memory(err, "seed", 0);
		(*n)++;
	}
	return 0;
}

/* Reads again with the seeds in front, where a --set may replace them. */
static int reopen(nnr_program **p, const char *path,
		  const nnr_program_opts *o, nnr_error *err)
{
	size_t most = (size_t)((*p)->ins + (*p)->outs + o->sets + 1);
	char **list = nnr__calloc(most, sizeof(*list));
	nnr__strings set = { list, 0 };
	int seeds = 0, rc;

	if (!list)
		return nnr__fail_memory(err, "overrides", most);
	rc = add_seeds(*p, o->seed, list, &seeds, err);
	for (int i = 0; i < o->sets && !rc; i++)
		list[seeds + i] = (char *)(uintptr_t)o->set[i];
	nnr__program_close(*p);
	*p = NULL;
	set.n = seeds + o->sets;
	if (!rc)
		rc = nnr__program_open(p, path, &set, err);
	if (!rc)
		(*p)->seed_sets = seeds;
	for (int i = 0; i < seeds; i++)
		free(list[i]);
	free(list);
	return rc;
}

int nnr_program_open(nnr_program **p, const char *path,
		     const nnr_program_opts *o, nnr_error *err)
{
	nnr__strings set = { 0 };
	int rc;

	*p = NULL;
	if (o) {
		set.s = (char **)(uintptr_t)o->set;
		set.n = o->sets;
	}
	rc = nnr__program_open(p, path, &set, err);
	if (!rc && o && o->seeded)
		rc = reopen(p, path, o, err);
	if (!rc && o) {
		(*p)->rebind = o->rebind != 0;
		(*p)->untrained = o->untrained != 0;
	}
	return rc;
}

void nnr_program_close(nnr_program *p)
{
	nnr__program_close(p);
}

const char *nnr_program_name(const nnr_program *p)
{
	return p->name;
}

/* ---- binding ---- */

/* Says behind a message how the artifact's model may be named. */
static void add_where(const nnr_program *p, nnr_error *err)
{
	nnr_error was = *err;

	nnr__fail(err, was.code, "%.240s; the artifact's backbone has SHA-256 "
		  "%s, --set model=PATH says where it is", was.message,
		  nnr__artifact_backbone(p->artifact));
}

int nnr_program_model(const nnr_program *p, nnr_model **m, nnr_error *err)
{
	nnr_model_opts o = { .base_dir = p->dir };
	nnr_error first;
	char *path;
	int rc = nnr_model_open(m, p->model_ref, &o, &first);

	if (rc == NNR_E_INPUT && p->artifact) {
		path = nnr__model_recall(nnr__artifact_backbone(p->artifact));
		if (path)
			rc = nnr_model_open(m, path, NULL, &first);
		else
			add_where(p, &first);
		free(path);
	}
	if (rc && err)
		*err = first;
	return rc;
}

int nnr_program_bind(nnr_program *p, const nnr_model *m,
		     const nnr_run_opts *o, nnr_error *err)
{
	nnr__engine_opts e = nnr__engine_opts_of(o);

	return nnr__program_bind(p, m, &e, err);
}

int nnr_program_stream(nnr_program *p, nnr_on_text on_text, void *ctx)
{
	const nnr__step *g = nnr__program_step(p, "generate");
	const nnr__step *parse = nnr__program_step(p, "parse");
	const struct nnr__a_generate *a = g ? g->args : NULL;
	const struct nnr__a_parse *how = parse ? parse->args : NULL;
	bool plain = a && a->samples == 1 &&
		     p->output.type == NNR__T_STRING &&
		     (!how || how->method == NNR__PARSE_TEXT) &&
		     !nnr__program_step(p, "reduce");

	p->on_text = plain ? on_text : NULL;
	p->on_text_ctx = ctx;
	return plain;
}

/* ---- showing ---- */

int nnr_program_show(nnr_program *p, int flags, char **out, nnr_error *err)
{
	bool json = flags & NNR_SHOW_JSON;
	nnr__buf b = { 0 };
	int rc = flags & NNR_SHOW_RESOLVED
			 ? nnr__program_resolved(p, json, &b, err)
			 : nnr__program_show(p, json, &b, err);

	if (!rc && p->artifact && !(flags & NNR_SHOW_RESOLVED))
		rc = nnr__show_artifact(p, json, &b, err);

	*out = NULL;
	if (rc) {
		nnr__buf_release(&b);
		return rc;
	}
	return nnr__hand_out(&b, out, err);
}

/* ---- tests ---- */

typedef struct checked {
	nnr_program *p;
	nnr__buf json;
	int failed;
} checked;

static void put_record(const nnr_program *p, const nnr__record *r,
		       nnr__buf *b)
{
	nnr__buf_addc(b, '{');
	for (int i = 0; i < r->n; i++) {
		const nnr__value *v = &r->v[i];
		nnr__buf_adds(b, i ? "," : "");
		nnr__buf_add_json(b, v->name, strlen(v->name));
		nnr__buf_addc(b, ':');
		if (strcmp(v->name, p->output.name) == 0)
			nnr__value_json(p->output.type, v->text, b);
		else
			nnr__buf_add_json(b, v->text, v->len);
	}
	nnr__buf_addc(b, '}');
}

static int check_one(void *ctx, int item, const nnr__answer *a,
		     nnr_error *err)
{
	checked *c = ctx;
	nnr_program *p = c->p;
	const nnr__value *want = nnr__record_get(&p->test_out[item],
						 p->output.name);
	bool ok = want && a->value &&
		  nnr__same_value(p->output.type, want->text, a->value);

	(void)err;
	c->failed += !ok;
	nnr__buf_adds(&c->json, item ? ",{\"in\":" : "{\"in\":");
	put_record(p, &p->test_in[item], &c->json);
	nnr__buf_adds(&c->json, ",\"expected\":");
	put_record(p, &p->test_out[item], &c->json);
	nnr__buf_adds(&c->json, ",\"out\":{");
	nnr__buf_add_json(&c->json, p->output.name, strlen(p->output.name));
	nnr__buf_addc(&c->json, ':');
	nnr__value_json(p->output.type, a->value, &c->json);
	nnr__buf_addf(&c->json, "},\"ok\":%s}", ok ? "true" : "false");
	return 0;
}

int nnr_program_test(nnr_program *p, int *tests, int *failed, char **json,
		     nnr_error *err)
{
	checked c = { .p = p };
	nnr__buf all = { 0 };
	int rc = 0;

	*json = NULL;
	*tests = p->tests;
	*failed = 0;
	if (p->tests)
		rc = nnr__program_answers(p, p->test_in, p->tests, check_one,
					  &c, err);
	if (!rc) {
		nnr__buf_addf(&all, "{\"tests\":%d,\"failed\":%d,"
			      "\"results\":[", p->tests, c.failed);
		nnr__buf_add(&all, c.json.p ? c.json.p : "", c.json.len);
		nnr__buf_adds(&all, "]}");
		all.bad |= c.json.bad;
		*failed = c.failed;
		rc = nnr__hand_out(&all, json, err);
	}
	nnr__buf_release(&c.json);
	return rc;
}
