/* SPDX-License-Identifier: Apache-2.0
 *
 * What there is to know about a backbone, as one JSON object.
 */
#include <string.h>

#include "load/load.h"

/* general.file_type of the formats this build reads. */
static const struct { uint64_t id; const char *name; } file_types[] = {
	{ 0, "F32" }, { 1, "F16" }, { 2, "Q4_0" }, { 3, "Q4_1" },
	{ 7, "Q8_0" }, { 32, "BF16" }
};

static void add_text(nnr__buf *out, const char *field, nnr__str s)
{
	nnr__buf_addf(out, ",\"%s\":", field);
	if (s.p)
		nnr__buf_add_json(out, s.p, s.n);
	else
		nnr__buf_adds(out, "null");
}

/* A string key's value, or null. */
static void add_key(nnr__buf *out, const nnr__backbone *b, const char *field,
		    const char *key)
{
	nnr__str s = { 0 };

	if (nnr__gguf_str(b->file, key, &s, NULL) < 1)
		s.p = NULL;
	add_text(out, field, s);
}

static void add_types(nnr__buf *out, const nnr__gguf *g)
{
	size_t count[NNR__DTYPES] = { 0 }, bytes[NNR__DTYPES] = { 0 };
	const char *sep = "";

	for (size_t i = 0; i < g->tensors; i++) {
		count[g->tensor[i].type]++;
		bytes[g->tensor[i].type] += g->tensor[i].bytes;
	}
	nnr__buf_adds(out, ",\"tensor_types\":{");
	for (int t = 0; t < NNR__DTYPES; t++) {
		if (!count[t])
			continue;
		nnr__buf_addf(out, "%s\"%s\":{\"tensors\":%zu,"
			      "\"bytes\":%zu}", sep, nnr__dtypes[t].name,
			      count[t], bytes[t]);
		sep = ",";
	}
	nnr__buf_adds(out, "}");
}

static void add_file_type(nnr__buf *out, const nnr__gguf *g)
{
	nnr__str name = { 0 };
	uint64_t id = 0;
	char other[24];
	int n;

	if (nnr__gguf_uint(g, "general.file_type", &id, NULL) == 1) {
		n = snprintf(other, sizeof other, "%llu",
			     (unsigned long long)id);
		name = (nnr__str){ .p = other, .n = (size_t)n };
		for (size_t i = 0; i < sizeof file_types /
		     sizeof file_types[0]; i++)
			if (file_types[i].id == id)
				name = (nnr__str){
					.p = file_types[i].name,
					.n = strlen(file_types[i].name) };
	}
	add_text(out, "file_type", name);
}

static void add_sizes(nnr__buf *out, const nnr__backbone *b)
{
	nnr__buf_addf(out, ",\"parameters\":%llu,\"layers\":%d,"
		      "\"hidden\":%d,\"ffn\":%d,\"heads\":%d,"
		      "\"kv_heads\":%d,\"head_dim\":%d,\"vocab\":%d,"
		      "\"context\":%d,\"rope_base\":",
		      (unsigned long long)b->parameters, b->layers, b->hidden,
		      b->ffn, b->heads, b->kv_heads, b->dim, b->vocab,
		      b->context);
	nnr__buf_add_num(out, b->rope_base);
	nnr__buf_adds(out, ",\"norm_eps\":");
	nnr__buf_addf(out, "%g", (double)b->eps);
	nnr__buf_addf(out, ",\"tied\":%s", b->tied ? "true" : "false");
}

/* What a program can reach: ports, named places, kinds of access. */
static void add_reach(nnr__buf *out, const nnr__backbone *b)
{
	static const char *const in_block[] = { "in", "attn", "out" };
	char range[24] = "0";

	if (b->layers > 1)
		snprintf(range, sizeof range, "0-%d", b->layers - 1);
	nnr__buf_adds(out, ",\"ports\":[\"text\"],\"sites\":[\"embed\"");
	for (int i = 0; i < 3; i++)
		nnr__buf_addf(out, ",\"block.%s.%s\"", range, in_block[i]);
	nnr__buf_adds(out, ",\"features\"],\"access\":[\"text\","
		      "\"top_logprobs\",\"logits\",\"embed\",\"hidden\"]");
}

static void add_tokenizer(nnr__buf *out, const nnr__backbone *b)
{
	const nnr__gkv *tokens = nnr__gguf_kv(b->file,
					      "tokenizer.ggml.tokens");
	bool chat = nnr__gguf_kv(b->file, "tokenizer.chat_template");

	nnr__buf_addf(out, ",\"tokenizer\":{\"tokens\":%llu", tokens ?
		      (unsigned long long)tokens->count : 0ULL);
	add_key(out, b, "model", "tokenizer.ggml.model");
	add_key(out, b, "pre", "tokenizer.ggml.pre");
	nnr__buf_addf(out, "},\"chat_template\":%s", chat ? "true" : "false");
}

char *nnr__backbone_info(const nnr__backbone *b)
{
	const char *path = b->file->path ? b->file->path : "";
	nnr__buf out = { 0 };

	nnr__buf_addf(&out, "{\"format\":\"GGUF %u\"", b->file->version);
	add_key(&out, b, "architecture", "general.architecture");
	add_key(&out, b, "name", "general.name");
	add_key(&out, b, "license", "general.license");
	add_text(&out, "file", (nnr__str){ .p = path, .n = strlen(path) });
	nnr__buf_addf(&out, ",\"bytes\":%zu,\"sha256\":\"%s\"",
		      b->file->map.size, b->hash);
	add_sizes(&out, b);
	add_file_type(&out, b->file);
	add_types(&out, b->file);
	add_reach(&out, b);
	add_tokenizer(&out, b);
	nnr__buf_adds(&out, "}");
	return nnr__buf_take(&out);
}
