/* SPDX-License-Identifier: Apache-2.0
 *
 * From a parsed model file to a backbone: picks the architecture, and gives
 * its builder checked hyper-parameters and weights.  A backbone owns its
 * file, the graph and everything the graph points to.
 */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/arch.h"
#include "load/load.h"

enum { MISSING_SHOWN = 6, KEY_BYTES = 128 };

static const nnr__arch archs[] = {
#define ARCH(name, id) { id, nnr__build_##name },
#include "load/archs.def"
#undef ARCH
};
#define ARCHS (sizeof archs / sizeof archs[0])

/* ---- hyper-parameters ---- */

/* "<architecture>.<key>" */
static const char *full_key(const nnr__backbone *b, const char *key,
			    char out[KEY_BYTES])
{
	snprintf(out, KEY_BYTES, "%s.%s", b->arch->name, key);
	return out;
}

int nnr__hyper_int(const nnr__backbone *b, const char *key, int lo, int hi,
		   int absent, int *v, nnr_error *err)
{
	char name[KEY_BYTES];
	uint64_t got = 0;
	int r = nnr__gguf_uint(b->file, full_key(b, key, name), &got, err);

	if (r < 0)
		return r;
	if (!r && absent < 0)
		return nnr__fail(err, NNR_E_FORMAT, "key %s is missing",
				 name);
	if (r && (got < (uint64_t)lo || got > (uint64_t)hi))
		return nnr__fail(err, NNR_E_FORMAT, "%s is %llu; %d to %d "
				 "expected", name, (unsigned long long)got,
				 lo, hi);
	*v = r ? (int)got : absent;
	return 0;
}

int nnr__hyper_num(const nnr__backbone *b, const char *key, double lo,
		   double hi, double absent, double *v, nnr_error *err)
{
	char name[KEY_BYTES];
	double got = 0;
	int r = nnr__gguf_num(b->file, full_key(b, key, name), &got, err);

	if (r < 0)
		return r;
	if (!r && absent <= lo)
		return nnr__fail(err, NNR_E_FORMAT, "key %s is missing",
				 name);
	if (r && !(got > lo && got <= hi))
		return nnr__fail(err, NNR_E_FORMAT, "%s is %g; above %g and "
				 "at most %g expected", name, got, lo, hi);
	*v = r ? got : absent;
	return 0;
}

int nnr__hyper_only(const nnr__backbone *b, const char *const *known,
		    nnr_error *err)
{
	size_t skip = strlen(b->arch->name) + 1;
	char shown[80];

	for (size_t i = 0; i < b->file->kvs; i++) {
		nnr__str key = b->file->kv[i].key;
		int k = 0;

		if (key.n < skip || key.p[skip - 1] != '.' ||
		    memcmp(key.p, b->arch->name, skip - 1))
			continue;
		while (known[k] && (strlen(known[k]) != key.n - skip ||
				    memcmp(known[k], key.p + skip,
					   key.n - skip)))
			k++;
		if (!known[k])
			return nnr__fail(err, NNR_E_UNSUPPORTED, "key %s: this "
					 "build does not know what it changes "
					 "in a %s model",
					 nnr__show(key, shown, sizeof shown),
					 b->arch->name);
	}
	return 0;
}

/* ---- weights ---- */

int nnr__weights_init(nnr__weights *w, const nnr__gguf *g, nnr_error *err)
{
	*w = (nnr__weights){ .g = g };
	w->used = nnr__calloc(g->tensors + 1, sizeof *w->used);
	if (!w->used)
		return nnr__fail_memory(err, "the tensor list", g->tensors);
	return 0;
}

static const nnr__tensor *want(nnr__weights *w, const char *name)
{
	const nnr__tensor *t = nnr__gguf_tensor(w->g, name);

	if (t)
		w->used[t - w->g->tensor] = true;
	else if (w->missed++ < MISSING_SHOWN)
		nnr__buf_addf(&w->missing, "%s%s", w->missed > 1 ? ", " : "",
			      name);
	return t;
}

static void wrong_shape(nnr__weights *w, const nnr__tensor *t,
			const char *name, const char *expected)
{
	char found[NNR__MAX_DIMS * 24];
	size_t n = 0;

	for (int i = 0; i < t->ndims; i++)
		n += (size_t)snprintf(found + n, sizeof found - n, "%s%llu",
				      i ? " x " : "",
				      (unsigned long long)t->dim[i]);
	nnr__fail(&w->err, NNR_E_FORMAT, "tensor %s has shape %s; %s "
		  "expected", name, found, expected);
}

void nnr__weights_mat(nnr__weights *w, nnr__mat *m, int rows, int cols,
		      const char *name)
{
	const nnr__tensor *t = want(w, name);
	char expected[48];

	*m = (nnr__mat){ .type = NNR__F32 };
	if (!t || w->err.code)
		return;
	if (t->dim[0] != (uint64_t)cols || t->dim[1] != (uint64_t)rows ||
	    t->dim[2] != 1 || t->dim[3] != 1) {
		snprintf(expected, sizeof expected, "%d x %d", cols, rows);
		wrong_shape(w, t, name, expected);
		return;
	}
	m->type = t->type;
	m->rows = rows;
	m->cols = cols;
	m->row_bytes = t->bytes / (size_t)rows;
	m->data = t->data;
}

const float *nnr__weights_vec(nnr__weights *w, int n, const char *name)
{
	const nnr__tensor *t = want(w, name);
	const float *v;
	char expected[24];

	if (!t || w->err.code)
		return NULL;
	if (t->type != NNR__F32) {
		nnr__fail(&w->err, NNR_E_UNSUPPORTED, "tensor %s has type %s; "
			  "F32 expected", name, nnr__dtypes[t->type].name);
		return NULL;
	}
	if (t->dim[0] != (uint64_t)n || t->bytes != (size_t)n * sizeof *v) {
		snprintf(expected, sizeof expected, "%d", n);
		wrong_shape(w, t, name, expected);
		return NULL;
	}
	v = (const float *)(const void *)t->data;
	for (int i = 0; i < n; i++)
		if (!isfinite(v[i])) {
			nnr__fail(&w->err, NNR_E_FORMAT, "tensor %s: value %d "
				  "is not finite", name, i);
			return NULL;
		}
	return v;
}

/* Tensors in the file that the architecture did not ask for. */
static int check_unused(const nnr__weights *w, nnr_error *err)
{
	nnr__buf names = { 0 };
	size_t unused = 0;
	int r;

	for (size_t i = 0; i < w->g->tensors; i++)
		if (!w->used[i] && unused++ < MISSING_SHOWN)
			nnr__buf_addf(&names, "%s%.*s", unused > 1 ? ", " : "",
				      (int)w->g->tensor[i].name.n,
				      w->g->tensor[i].name.p);
	if (!unused)
		return 0;
	r = nnr__fail(err, NNR_E_UNSUPPORTED, "%zu tensor%s this build would "
		      "not use in such a model: %s%s", unused,
		      unused > 1 ? "s" : "", names.p ? names.p : "",
		      unused > MISSING_SHOWN ? ", ..." : "");
	nnr__buf_release(&names);
	return r;
}

int nnr__weights_end(nnr__weights *w, nnr_error *err)
{
	int r;

	if (w->err.code)
		r = nnr__fail(err, w->err.code, "%s", w->err.message);
	else if (w->missed)
		r = nnr__fail(err, NNR_E_FORMAT, "%d tensor%s missing: %s%s",
			      w->missed, w->missed > 1 ? "s are" : " is",
			      w->missing.p ? w->missing.p : "",
			      w->missed > MISSING_SHOWN ? ", ..." : "");
	else
		r = check_unused(w, err);
	free(w->used);
	nnr__buf_release(&w->missing);
	return r;
}

/* ---- open and close ---- */

/* A whole model, not an adapter, a projector or a part of a split file. */
static int check_kind(const nnr__gguf *g, nnr_error *err)
{
	nnr__str type = { .p = "model", .n = 5 };
	uint64_t parts = 1;
	char shown[48];
	int r = nnr__gguf_str(g, "general.type", &type, err);

	if (r >= 0)
		r = nnr__gguf_uint(g, "split.count", &parts, err);
	if (r < 0)
		return r;
	if (type.n != 5 || memcmp(type.p, "model", 5))
		return nnr__fail(err, NNR_E_UNSUPPORTED, "general.type is "
				 "\"%s\"; \"model\" expected",
				 nnr__show(type, shown, sizeof shown));
	if (parts > 1)
		return nnr__fail(err, NNR_E_UNSUPPORTED, "one of %llu parts "
				 "of a split model; merge them into one file",
				 (unsigned long long)parts);
	return 0;
}

static int find_arch(nnr__backbone *b, nnr_error *err)
{
	nnr__str id = { 0 };
	char shown[48], known[80] = "";
	size_t n = 0;
	int r = nnr__gguf_str(b->file, "general.architecture", &id, err);

	if (r < 0)
		return r;
	if (!r)
		return nnr__fail(err, NNR_E_FORMAT, "key general.architecture "
				 "is missing");
	for (size_t i = 0; i < ARCHS; i++) {
		if (strlen(archs[i].name) == id.n &&
		    !memcmp(archs[i].name, id.p, id.n))
			b->arch = &archs[i];
		n += (size_t)snprintf(known + n, sizeof known - n, " %s",
				      archs[i].name);
	}
	if (b->arch)
		return 0;
	return nnr__fail(err, NNR_E_UNSUPPORTED, "architecture \"%s\"; this "
			 "build knows%s", nnr__show(id, shown, sizeof shown),
			 known);
}

static uint64_t count_parameters(const nnr__gguf *g)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < g->tensors; i++) {
		const nnr__dtype_info *d = &nnr__dtypes[g->tensor[i].type];

		sum += g->tensor[i].bytes / (size_t)d->bytes *
			(uint64_t)d->block;
	}
	return sum;
}

int nnr__backbone_new(nnr__backbone **out, nnr__gguf *file, nnr_error *err)
{
	nnr__backbone *b = nnr__calloc(1, sizeof *b);
	int r;

	*out = NULL;
	if (!b) {
		nnr__gguf_close(file);
		return nnr__fail_memory(err, "a model", sizeof *b);
	}
	b->file = file;
	r = check_kind(file, err);
	if (!r)
		r = find_arch(b, err);
	if (!r)
		r = b->arch->build(b, err);
	if (!r) {
		b->parameters = count_parameters(file);
		*out = b;
	} else {
		nnr__backbone_close(b);
	}
	return r;
}

int nnr__backbone_open(nnr__backbone **out, const char *path, nnr_error *err)
{
	nnr__gguf *file;
	int r;

	*out = NULL;
	r = nnr__gguf_open(&file, path, err);
	if (r)
		return r;
	r = nnr__backbone_new(out, file, err);
	if (r) {
		nnr__err_prefix(err, "%s", path);
		return r;
	}
	r = nnr__model_hash(path, false, (*out)->hash, err);
	if (r) {
		nnr__backbone_close(*out);
		*out = NULL;
	}
	return r;
}

void nnr__backbone_close(nnr__backbone *b)
{
	if (!b)
		return;
	nnr__graph_free(b->graph);
	nnr__arena_release(&b->arena);
	free(b->rope_inv);
	nnr__gguf_close(b->file);
	free(b);
}

/* ---- sites ---- */

/* The one name that its node carries: block.0.in is embed, and another
 * block's input is the output of the block before. */
static const char *canonical(const char *site, char out[40])
{
	unsigned n = 0;
	int used = 0;

	if (sscanf(site, "block.%6u.in%n", &n, &used) != 1 || !used ||
	    site[used])
		return site;
	if (!n)
		return "embed";
	snprintf(out, 40, "block.%u.out", n - 1);
	return out;
}

nnr__id nnr__backbone_site(const nnr__backbone *b, const char *site)
{
	char other[40];
	const char *name = canonical(site, other);

	for (nnr__id i = 1; i < b->graph->nodes; i++)
		if (b->graph->node[i].site &&
		    !strcmp(b->graph->node[i].site, name))
			return i;
	return 0;
}
