/* SPDX-License-Identifier: Apache-2.0
 *
 * peft_export.c: the rows a bound program begins with, as a PEFT folder.
 * What they are made of (a form) is not in it: PEFT too stores what it comes
 * to.  Everything else of the program is lost, and listed.
 */
#include "program/artifact_int.h"
#include "program/peft.h"

#include <stdlib.h>
#include <string.h>

/* ---- which rows ---- */

typedef struct view {
	nnr_program *p;
	const nnr__step *step;
	bool prefix;
	int64_t count, cols;
	float *rows;		/* as PEFT has them: [count][cols] */
} view;

static bool is_for(const nnr__step *s)
{
	return strcmp(s->row->name, "soft_tokens") == 0 ||
	       strcmp(s->row->name, "prefix") == 0;
}

/* What the prompt begins with, as it is rendered. */
static int find_count(view *v, nnr_error *err)
{
	nnr__record item = { 0 };
	nnr__prompt prompt = { 0 };
	int rc = 0;

	for (int i = 0; i < v->p->inputs && !rc; i++)
		rc = nnr__record_set(&item, v->p->input[i].name, "x", 1, err);
	rc = rc ? rc : nnr__program_render(v->p, &item, &prompt, err);
	if (!rc && (!prompt.n || !prompt.piece[0].rows ||
		    strcmp(prompt.piece[0].part, v->step->id) != 0))
		rc = nnr__fail_step(v->p, v->step, NULL, err, "PEFT's rows "
				    "stand before all else; these do not");
	if (!rc)
		v->count = prompt.piece[0].rows;
	nnr__prompt_release(&prompt);
	nnr__record_release(&item);
	return rc;
}

static int find_step(view *v, nnr_error *err)
{
	nnr_program *p = v->p;

	for (int i = 0; i < p->ins; i++) {
		if (!is_for(&p->in[i]))
			continue;
		if (v->step)
			return nnr__fail_step(p, &p->in[i], NULL, err, "a "
					      "PEFT folder holds the rows of "
					      "one step, and `%s` has some "
					      "too", v->step->id);
		v->step = &p->in[i];
	}
	if (!v->step)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "%.200s: has neither "
				 "`soft_tokens` nor `prefix`: nothing of it "
				 "is for PEFT", p->path);
	v->prefix = strcmp(v->step->row->name, "prefix") == 0;
	return find_count(v, err);
}

static void take_prefix(const view *v, const nnr__backbone *b)
{
	size_t cols = (size_t)(b->kv_heads * b->dim);
	size_t parts = 2 * (size_t)b->layers, n = (size_t)v->count;
	const float *kv = v->p->lowered->kv;
	float *to = v->rows;

	for (size_t i = 0; i < n; i++)
		for (size_t part = 0; part < parts; part++) {
			const float *row = kv + (part * n + i) * cols;
			for (size_t c = 0; c < cols; c++) {
				size_t dim = c % (size_t)b->dim;
				size_t at = part % 2 ? c : c - dim +
					(size_t)nnr__peft_dim(b, (int)dim);
				*to++ = row[at];
			}
		}
}

static int take_rows(view *v, nnr_error *err)
{
	const nnr__backbone *b = v->p->model->bb;
	size_t n;

	v->cols = v->prefix ? 2 * (int64_t)b->layers * b->kv_heads * b->dim
			    : b->hidden;
	n = (size_t)(v->count * v->cols);
	v->rows = nnr__calloc(n, sizeof(*v->rows));
	if (!v->rows)
		return nnr__fail_memory(err, "rows", n * sizeof(*v->rows));
	if (v->prefix)
		take_prefix(v, b);
	else
		memcpy(v->rows, nnr__soft_rows(v->p, v->step),
		       n * sizeof(*v->rows));
	return 0;
}

/* ---- the folder ---- */

/* The name of the model where it came from, else ours. */
static const char *base_name(const nnr_program *p)
{
	const nnr__jnode *n = NULL;

	if (p->artifact)
		n = nnr__json_get(p->artifact->top, NNR__A_TRAINING);
	n = nnr__json_get(nnr__json_get(n, "imported"),
			  "base_model_name_or_path");
	return n && n->kind == NNR__J_STRING && n->len ? n->text
						       : p->model_ref;
}

static void put_config(const view *v, nnr__buf *out)
{
	const nnr__backbone *b = v->p->model->bb;
	const char *base = base_name(v->p);

	nnr__buf_adds(out, "{\n  \"auto_mapping\": null,\n"
		      "  \"base_model_name_or_path\": ");
	nnr__buf_add_json(out, base, strlen(base));
	nnr__buf_adds(out, ",\n");
	if (v->prefix)
		nnr__buf_addf(out, "  \"encoder_hidden_size\": %d,\n",
			      b->kv_heads * b->dim);
	nnr__buf_addf(out, "  \"inference_mode\": true,\n"
		      "  \"num_attention_heads\": %d,\n"
		      "  \"num_layers\": %d,\n"
		      "  \"num_transformer_submodules\": 1,\n"
		      "  \"num_virtual_tokens\": %lld,\n"
		      "  \"peft_type\": \"%s\",\n",
		      v->prefix ? b->kv_heads : b->heads, b->layers,
		      (long long)v->count,
		      nnr__peft_type(v->prefix ? NNR__PEFT_PREFIX
					       : NNR__PEFT_PROMPT));
	nnr__buf_adds(out, v->prefix
				   ? "  \"prefix_projection\": false,\n"
				   : "  \"prompt_tuning_init\": \"RANDOM\",\n"
				     "  \"prompt_tuning_init_text\": null,\n");
	nnr__buf_addf(out, "  \"revision\": null,\n"
		      "  \"task_type\": \"CAUSAL_LM\",\n"
		      "  \"token_dim\": %d%s\n}\n",
		      v->prefix ? b->kv_heads * b->dim : b->hidden,
		      v->prefix ? "" : ",\n  \"tokenizer_name_or_path\": "
				       "null");
}

static int write_folder(const view *v, const char *dir, nnr_error *err)
{
	const nnr__st_tensor t = { .name = "prompt_embeddings",
				   .type = NNR__ST_F32, .dims = 2,
				   .dim = { v->count, v->cols },
				   .data = v->rows };
	/* PEFT's own files say so too, and its library looks for it. */
	const nnr__st_text text = { "format", "pt", 2 };
	char *config = nnr__path_join(dir, "adapter_config.json");
	char *model = nnr__path_join(dir, "adapter_model.safetensors");
	nnr__buf json = { 0 };
	int rc = config && model ? nnr__mkdirs(dir, err)
				 : nnr__fail_memory(err, dir, strlen(dir));

	put_config(v, &json);
	if (!rc && json.bad)
		rc = nnr__fail_memory(err, dir, json.len);
	rc = rc ? rc : nnr__st_write(model, &t, 1, &text, 1, err);
	rc = rc ? rc : nnr__file_write(config, json.p, json.len, err);
	nnr__buf_release(&json);
	free(config);
	free(model);
	return rc;
}

static bool learned(const nnr_program *p, const nnr__step *s)
{
	for (int i = 0; i < p->tensors; i++)
		if (p->tensor[i]->step == s && p->tensor[i]->grad)
			return true;
	return false;
}

static void put_lost(const view *v, nnr__buf *out)
{
	const nnr_program *p = v->p;
	bool first = true;

	nnr__buf_addc(out, '[');
	for (int i = 0; i < p->ins + p->outs; i++) {
		const nnr__step *s = i < p->ins ? &p->in[i]
						: &p->out[i - p->ins];
		if (s == v->step)
			continue;
		nnr__buf_addf(out, "%s{\"step\":\"%s\",\"id\":", first ? "" :
			      ",", s->row->name);
		nnr__buf_add_json(out, s->id, strlen(s->id));
		nnr__buf_addf(out, ",\"learned\":%s}",
			      learned(p, s) ? "true" : "false");
		first = false;
	}
	nnr__buf_addc(out, ']');
}

int nnr__peft_write(nnr_program *p, const char *dir, nnr__buf *lost,
		    nnr_error *err)
{
	view v = { .p = p };
	int rc = nnr__trained_check(p, err);

	rc = rc ? rc : find_step(&v, err);
	rc = rc ? rc : take_rows(&v, err);
	rc = rc ? rc : write_folder(&v, dir, err);
	if (!rc)
		put_lost(&v, lost);
	free(v.rows);
	return rc;
}
