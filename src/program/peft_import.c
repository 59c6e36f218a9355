/* SPDX-License-Identifier: Apache-2.0
 *
 * peft_import.c: a PEFT folder to the tensor of a program.  Of its
 * configuration only what says what the rows are is read.
 */
#include "program/peft.h"
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX ((size_t)1 << 20)
#define COUNT_MAX 4096
#define TOKENS 128	/* that a program of the folder alone generates */

static const char *const types[NNR__PEFT_TYPES] = {
	[NNR__PEFT_PROMPT] = "PROMPT_TUNING", [NNR__PEFT_P] = "P_TUNING",
	[NNR__PEFT_PREFIX] = "PREFIX_TUNING"
};

const char *nnr__peft_type(int type)
{
	return types[type];
}

/* ---- adapter_config.json ---- */

static const char *text_of(const nnr__jnode *top, const char *key)
{
	const nnr__jnode *n = nnr__json_get(top, key);

	return n && n->kind == NNR__J_STRING && strlen(n->text) == n->len
		       ? n->text : NULL;
}

/* A whole number from 1 on; absent and null give 0. */
static int number_of(const nnr__jnode *top, const char *key,
		     const char *path, int64_t *v, nnr_error *err)
{
	const nnr__jnode *n = nnr__json_get(top, key);

	*v = 0;
	if (!n || n->kind == NNR__J_NULL)
		return 0;
	if (n->kind != NNR__J_NUMBER || !n->integer || n->num < 1 ||
	    n->num > 1e9)
		return nnr__fail(err, NNR_E_INPUT, "%.200s: `%s` is not a "
				 "whole number from 1 on", path, key);
	*v = (int64_t)n->num;
	return 0;
}

static int read_type(nnr__peft *f, const nnr__jnode *top, const char *path,
		     nnr_error *err)
{
	const char *type = text_of(top, "peft_type");
	const char *task = text_of(top, "task_type");

	if (!type)
		return nnr__fail(err, NNR_E_INPUT, "%.200s: no `peft_type`; "
				 "not the configuration of a PEFT folder?",
				 path);
	for (f->type = 0; f->type < NNR__PEFT_TYPES; f->type++)
		if (strcmp(types[f->type], type) == 0)
			break;
	if (f->type == NNR__PEFT_TYPES)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "%.200s: `peft_type` "
				 "is %.60s; nnr reads PROMPT_TUNING, P_TUNING "
				 "and PREFIX_TUNING", path, type);
	if (task && strcmp(task, "CAUSAL_LM") != 0)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "%.200s: `task_type` "
				 "is %.60s; nnr reads CAUSAL_LM, which has no "
				 "other head than the model's", path, task);
	return 0;
}

static int copy_text(char **out, const char *text, nnr_error *err)
{
	if (!text)
		return 0;
	*out = nnr__strdup(text);
	return *out ? 0 : nnr__fail_memory(err, "configuration",
					   strlen(text));
}

static int read_config(nnr__peft *f, const nnr__jnode *top, const char *path,
		       nnr_error *err)
{
	int64_t parts = 0;
	int rc;

	if (top->kind != NNR__J_OBJECT)
		return nnr__fail(err, NNR_E_INPUT, "%.200s: not an object",
				 path);
	rc = read_type(f, top, path, err);
	rc = rc ? rc : number_of(top, "num_virtual_tokens", path, &f->count,
				 err);
	rc = rc ? rc : number_of(top, "num_layers", path, &f->layers, err);
	rc = rc ? rc : number_of(top, "num_transformer_submodules", path,
				 &parts, err);
	if (!rc && parts > 1)
		rc = nnr__fail(err, NNR_E_UNSUPPORTED, "%.200s: rows for an "
			       "encoder and a decoder; nnr reads those of one "
			       "model", path);
	if (!rc && (!f->count || f->count > COUNT_MAX))
		rc = nnr__fail(err, NNR_E_INPUT, "%.200s: "
			       "`num_virtual_tokens` from 1 to %d expected",
			       path, COUNT_MAX);
	rc = rc ? rc : copy_text(&f->base,
				 text_of(top, "base_model_name_or_path"),
				 err);
	return rc ? rc : copy_text(&f->version,
				   text_of(top, "peft_version"), err);
}

static int read_json(nnr__peft *f, nnr_error *err)
{
	char *path = nnr__path_join(f->dir, "adapter_config.json");
	const nnr__jnode *top;
	nnr__buf text = { 0 };
	nnr__arena a = { 0 };
	int rc = path ? nnr__file_read(&text, path, CONFIG_MAX, err)
		      : nnr__fail_memory(err, f->dir, strlen(f->dir));

	rc = rc ? rc : nnr__json_parse(&a, &top, path, text.p ? text.p : "",
				       text.len, err);
	rc = rc ? rc : read_config(f, top, path, err);
	nnr__arena_release(&a);
	nnr__buf_release(&text);
	free(path);
	return rc;
}

/* ---- adapter_model.safetensors ---- */

static int check_values(const nnr__st_tensor *t, const char *path,
			nnr_error *err)
{
	size_t n = nnr__st_values(t);
	float *v = nnr__calloc(n, sizeof(*v));
	int rc = 0;

	if (!v)
		return nnr__fail_memory(err, path, n * sizeof(*v));
	if (!nnr__st_floats(t, v))
		rc = nnr__fail(err, NNR_E_INPUT, "%.200s: `%s` is %s; F32, "
			       "F16 or BF16 expected", path, t->name,
			       nnr__st_type_name(t->type));
	for (size_t i = 0; i < n && !rc; i++)
		if (!isfinite(v[i]))
			rc = nnr__fail(err, NNR_E_INPUT, "%.200s: `%s`: value "
				       "%zu is not finite", path, t->name, i);
	free(v);
	return rc;
}

static int find_rows(nnr__peft *f, const char *path, nnr_error *err)
{
	const nnr__st_tensor *t = nnr__st_find(f->st, "prompt_embeddings");
	char shape[120];

	for (int i = 0; t && i < f->st->tensors; i++)
		if (&f->st->tensor[i] != t)
			return nnr__fail(err, NNR_E_UNSUPPORTED, "%.200s: "
					 "holds `%.100s` too, for which a "
					 "program has no place", path,
					 f->st->tensor[i].name);
	if (!t)
		return nnr__fail(err, NNR_E_INPUT, "%.200s: no tensor "
				 "`prompt_embeddings` among its %d", path,
				 f->st->tensors);
	if (t->dims != 2 || t->dim[0] != f->count || t->dim[1] < 1)
		return nnr__fail(err, NNR_E_INPUT, "%.200s: "
				 "`prompt_embeddings` is %s; %lld rows, one a "
				 "virtual token, expected", path,
				 nnr__st_shape(t, shape, sizeof(shape)),
				 (long long)f->count);
	f->rows = *t;
	return check_values(t, path, err);
}

static int read_tensors(nnr__peft *f, nnr_error *err)
{
	char *path = nnr__path_join(f->dir, "adapter_model.safetensors");
	char *pickle = nnr__path_join(f->dir, "adapter_model.bin");
	int rc = 0;

	if (!path || !pickle)
		rc = nnr__fail_memory(err, f->dir, strlen(f->dir));
	else if (!nnr__file_exists(path) && nnr__file_exists(pickle))
		rc = nnr__fail(err, NNR_E_UNSUPPORTED, "'%.200s' is a pickle, "
			       "which can hold code; save the folder again "
			       "with safetensors", pickle);
	rc = rc ? rc : nnr__st_open(&f->st, path, err);
	rc = rc ? rc : find_rows(f, path, err);
	if (!rc)
		nnr__sha_of(f->st->map.data, f->st->map.size, f->sha);
	free(path);
	free(pickle);
	return rc;
}

int nnr__peft_read(nnr__peft *f, const char *dir, nnr_error *err)
{
	int rc;

	memset(f, 0, sizeof(*f));
	f->dir = nnr__strdup(dir);
	if (!f->dir)
		return nnr__fail_memory(err, dir, strlen(dir));
	rc = read_json(f, err);
	return rc ? rc : read_tensors(f, err);
}

void nnr__peft_release(nnr__peft *f)
{
	nnr__st_close(f->st);
	free(f->dir);
	free(f->base);
	free(f->version);
	memset(f, 0, sizeof(*f));
}

/* ---- to a program ---- */

/* The last name of a path that has one. */
static const char *last_name(const char *path, size_t *n)
{
	size_t end = strlen(path);
	const char *from;

	while (end && path[end - 1] == '/')
		end--;
	from = path + end;
	while (from > path && from[-1] != '/')
		from--;
	*n = (size_t)(path + end - from);
	return from;
}

void nnr__peft_source(const nnr__peft *f, const char *model, int context,
		      nnr__buf *out)
{
	size_t n;
	const char *name = last_name(f->dir, &n);
	bool plain = n && n <= 100 && name[0] != '.';

	for (size_t i = 0; i < n; i++)
		plain = plain && (unsigned char)name[i] > ' ' &&
			name[i] != 0x7f;
	nnr__buf_adds(out, "nnr: 1\nname: ");
	nnr__buf_add_json(out, plain ? name : "imported", plain ? n : 8);
	nnr__buf_adds(out, "\nmodel: ");
	nnr__buf_add_json(out, model, strlen(model));
	nnr__buf_adds(out, "\ninput: {text: string}\n"
		      "output: {answer: string}\nin:\n");
	nnr__buf_addf(out, f->type == NNR__PEFT_PREFIX
				   ? "  - prefix: {rows: %lld, init: {random: "
				     "0.02}}\n"
				   : "  - soft_tokens: {count: %lld, init: "
				     "{random: 0.02}}\n",
		      (long long)f->count);
	nnr__buf_addf(out, "  - template: \"{text}\"\nout:\n"
		      "  - generate: {max_tokens: %d}\n",
		      context / 2 < TOKENS ? context / 2 : TOKENS);
}

int nnr__peft_dim(const nnr__backbone *b, int i)
{
	int half = b->dim / 2;

	return i < half ? 2 * i : 2 * (i - half) + 1;
}

/* [count][layers][2][cols], as PEFT has it, to [layers][2][count][cols]. */
static void give_prefix(const nnr__backbone *b, const float *from,
			int64_t count, float *to)
{
	size_t cols = (size_t)(b->kv_heads * b->dim);
	size_t parts = 2 * (size_t)b->layers, n = (size_t)count;

	for (size_t i = 0; i < n; i++)
		for (size_t part = 0; part < parts; part++) {
			float *row = to + (part * n + i) * cols;
			for (size_t c = 0; c < cols; c++, from++) {
				size_t dim = c % (size_t)b->dim;
				size_t at = part % 2 ? c : c - dim +
					(size_t)nnr__peft_dim(b, (int)dim);
				row[at] = *from;
			}
		}
}

static int check_size(const nnr_program *p, const nnr__peft *f,
		      nnr_error *err)
{
	const nnr__backbone *b = p->model->bb;
	bool prefix = f->type == NNR__PEFT_PREFIX;
	int64_t want = prefix ? 2 * (int64_t)b->layers * b->kv_heads * b->dim
			      : b->hidden;
	char shape[120];

	if (f->rows.dim[1] == want && (!f->layers || f->layers == b->layers))
		return 0;
	nnr__st_shape(&f->rows, shape, sizeof(shape));
	if (!prefix)
		return nnr__fail(err, NNR_E_INPUT, "%.200s is for a model of "
				 "another size: `prompt_embeddings` is %s, "
				 "%.100s has hidden size %d and %d layers",
				 f->dir, shape, p->model_ref, b->hidden,
				 b->layers);
	return nnr__fail(err, NNR_E_INPUT, "%.200s is for a model of another "
			 "size: `prompt_embeddings` is %s, %.100s has %d "
			 "layers x 2 x %d key heads x %d: %lld columns",
			 f->dir, shape, p->model_ref, b->layers, b->kv_heads,
			 b->dim, (long long)want);
}

/* The tensor of the only step of that name, which holds the rows as they
 * are. */
static int find_tensor(nnr_program *p, const nnr__peft *f, nnr__ptensor **t,
		       nnr_error *err)
{
	bool prefix = f->type == NNR__PEFT_PREFIX;
	const char *name = prefix ? "prefix" : "soft_tokens";
	nnr__step *s = nnr__program_step(p, name);
	int64_t count;

	if (!s)
		return nnr__fail(err, NNR_E_INPUT, "%.200s: has no step `%s`, "
				 "which %s of %.160s is for", p->path, name,
				 types[f->type], f->dir);
	*t = nnr__tensor_find(p, s->id);
	if (s != &p->in[0])
		return nnr__fail_step(p, s, NULL, err, "PEFT's rows stand "
				      "before the prompt: it must be the "
				      "first step of `in`");
	if (!*t)
		return nnr__fail_step(p, s, "form", err, "the folder holds "
				      "its rows as they are: its form must "
				      "be free");
	count = (*t)->dim[prefix ? 2 : 0];
	if (count != f->count)
		return nnr__fail_step(p, s, prefix ? "rows" : "count", err,
				      "%lld, but the folder has %lld virtual "
				      "tokens", (long long)count,
				      (long long)f->count);
	return 0;
}

int nnr__peft_give(nnr_program *p, const nnr__peft *f, nnr_error *err)
{
	nnr__ptensor *t = NULL;
	float *v;
	int rc = check_size(p, f, err);

	rc = rc ? rc : find_tensor(p, f, &t, err);
	if (rc)
		return rc;
	if (f->type != NNR__PEFT_PREFIX) {
		nnr__st_floats(&f->rows, t->value);
		t->set = true;
		return 0;
	}
	v = nnr__calloc(t->n, sizeof(*v));
	if (!v)
		return nnr__fail_memory(err, f->dir, t->n * sizeof(*v));
	nnr__st_floats(&f->rows, v);
	give_prefix(p->model->bb, v, f->count, t->value);
	t->set = true;
	free(v);
	return 0;
}

void nnr__peft_record(const nnr__peft *f, nnr__buf *out)
{
	size_t n;
	const char *base = f->base ? f->base : "";

	/* Where it lay on the machine that trained it is nobody's business. */
	if (base[0] == '/')
		base = last_name(base, &n);
	else
		n = strlen(base);
	nnr__buf_adds(out, "{\"imported\":{\"base_model_name_or_path\":");
	nnr__buf_add_json(out, base, n);
	nnr__buf_addf(out, ",\"from\":\"peft\",\"peft_type\":\"%s\","
		      "\"peft_version\":", types[f->type]);
	nnr__buf_add_json(out, f->version ? f->version : "",
			  f->version ? strlen(f->version) : 0);
	nnr__buf_addf(out, ",\"sha256\":\"%s\"}}", f->sha);
}
