/* SPDX-License-Identifier: Apache-2.0
 *
 * load: files -> tensors -> a backbone graph.  A file format is one file
 * here (gguf.c), an architecture is one file (arch_llama.c) and a row in
 * archs.def.  Weights stay mapped read-only; nothing is copied.
 */
#ifndef NNR_LOAD_H
#define NNR_LOAD_H

#include "base/base.h"
#include "graph/graph.h"
#include "kernel/kernel.h"

/* ---- GGUF v2/v3 (gguf.c) ---- */
typedef enum {
	NNR__G_U8, NNR__G_I8, NNR__G_U16, NNR__G_I16, NNR__G_U32, NNR__G_I32,
	NNR__G_F32, NNR__G_BOOL, NNR__G_STRING, NNR__G_ARRAY, NNR__G_U64,
	NNR__G_I64, NNR__G_F64, NNR__G_TYPES
} nnr__gtype;

typedef struct nnr__str { const char *p; size_t n; } nnr__str;	/* no NUL */

typedef struct nnr__gkv {
	nnr__str key;
	nnr__gtype type;
	nnr__gtype elem;	/* arrays */
	uint64_t count;		/* arrays */
	const uint8_t *raw;	/* value as stored (a string: u64 length
				   first), or an array's first element */
	size_t raw_bytes;	/* checked to lie in the file */
} nnr__gkv;

#define NNR__MAX_DIMS 4
typedef struct nnr__tensor {
	nnr__str name;
	nnr__dtype type;
	int ndims;
	uint64_t dim[NNR__MAX_DIMS];	/* dim[0] = contiguous row length */
	const uint8_t *data;
	size_t bytes;
} nnr__tensor;

typedef struct nnr__gguf {
	char *path;		/* NULL: parsed from the caller's memory */
	nnr__map map;
	uint32_t version;
	nnr__gkv *kv;
	size_t kvs;
	nnr__tensor *tensor;
	size_t tensors;
	size_t data_at;		/* offset of tensor data */
	struct nnr__gindex *index;
} nnr__gguf;

/* Maps and checks the whole header: every count, string, dimension product
 * and offset is bounded by the file before it is used. */
int nnr__gguf_open(nnr__gguf **g, const char *path, nnr_error *err);
/* The same on bytes in memory (at least 8-aligned), which stay the caller's
 * and must outlive *g.  For tests and fuzzing. */
int nnr__gguf_parse(nnr__gguf **g, const void *data, size_t size,
		    nnr_error *err);
void nnr__gguf_close(nnr__gguf *g);
const nnr__gkv *nnr__gguf_kv(const nnr__gguf *g, const char *key);
const nnr__tensor *nnr__gguf_tensor(const nnr__gguf *g, const char *name);
/* Name of a ggml tensor type id ("Q4_K"), or NULL. */
const char *nnr__ggml_type_name(uint32_t id);
/* Copies s for a message: what does not print becomes '?', a long one ends
 * in "...".  Returns out. */
const char *nnr__show(nnr__str s, char *out, size_t cap);
/* Typed reads: 1 found, 0 absent, negative when the type does not fit. */
int nnr__gguf_uint(const nnr__gguf *g, const char *key, uint64_t *v,
		   nnr_error *err);
int nnr__gguf_num(const nnr__gguf *g, const char *key, double *v,
		  nnr_error *err);
int nnr__gguf_bool(const nnr__gguf *g, const char *key, bool *v,
		   nnr_error *err);
int nnr__gguf_str(const nnr__gguf *g, const char *key, nnr__str *v,
		  nnr_error *err);
/* An array of strings as one allocation (free with free()); count in *n. */
int nnr__gguf_strings(const nnr__gguf *g, const char *key, nnr__str **v,
		      size_t *n, nnr_error *err);

/* ---- backbone: f ---- */
typedef struct nnr__backbone {
	nnr__gguf *file;
	char hash[65];			/* SHA-256 of the model file */
	const struct nnr__arch *arch;
	int layers, hidden, ffn, heads, kv_heads, dim;	/* dim: of a head */
	int vocab, context;
	float eps;
	double rope_base;
	float *rope_inv;		/* dim/2 */
	bool tied;
	uint64_t parameters;
	nnr__mat embed, head;
	nnr__graph *graph;		/* tokens -> features */
	nnr__arena arena;		/* the graph's matrices, site names */
} nnr__backbone;

/* One architecture. */
typedef struct nnr__arch {
	const char *name;		/* general.architecture */
	int (*build)(nnr__backbone *b, nnr_error *err);
} nnr__arch;

int nnr__backbone_open(nnr__backbone **b, const char *path, nnr_error *err);
void nnr__backbone_close(nnr__backbone *b);
/* The same on a parsed file, which *b owns from here on, whatever happens;
 * hash stays empty. */
int nnr__backbone_new(nnr__backbone **b, nnr__gguf *file, nnr_error *err);
/* The node at a site, or 0.  Sites: "embed", "block.N.in" (the residual
 * stream), "block.N.attn" (after attention is added), "block.N.out",
 * "features".  block.0.in is embed, and block.N.out is block.N+1.in. */
nnr__id nnr__backbone_site(const nnr__backbone *b, const char *site);
/* What `model info` prints: one JSON object, malloc'd; NULL: no memory. */
char *nnr__backbone_info(const nnr__backbone *b);

/* SHA-256 of the model file, from the cache when (device, inode, size,
 * mtime, ctime) are unchanged and verify is false. */
int nnr__model_hash(const char *path, bool verify, char hex[65],
		    nnr_error *err);
/* Notes in the cache folder where a model with this hash is, and finds it
 * there again: its path (malloc'd), or NULL when it is not there or has
 * become another file (found.c). */
void nnr__model_remember(const char *path, const char *hex);
char *nnr__model_recall(const char *hex);
/* An alias (user's config models.yaml, or models.def and pulled), a path, or
 * alias@sha256:HEX (checked) to a file path; malloc'd.  base_dir: folder
 * that relative paths count from, NULL for the current one. */
int nnr__model_resolve(char **path, const char *ref, const char *base_dir,
		       nnr_error *err);
/* The user's models.yaml: y->doc[0] is a map of alias: path, or y->count is
 * 0 when there is none.  Release y after a success. */
int nnr__aliases_read(nnr__yaml *y, nnr_error *err);
char *nnr__alias_path(const nnr__ynode *alias);	/* malloc'd */

#endif
