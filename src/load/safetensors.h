/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors: named tensors and texts in one file.
 *
 *   u64 length of the header | header, JSON, padded with spaces to 8 |
 *   the tensors' bytes, little endian, without holes
 *
 * Reading checks everything before it is used and copies nothing but the
 * header.  Writing is deterministic: equal tensors and texts, in whatever
 * order they are given, make equal bytes, those of the format's own library.
 */
#ifndef NNR_SAFETENSORS_H
#define NNR_SAFETENSORS_H

#include "base/base.h"

typedef enum {
	NNR__ST_F32, NNR__ST_F16, NNR__ST_BF16, NNR__ST_I64, NNR__ST_I32,
	NNR__ST_U8, NNR__ST_TYPES
} nnr__st_type;
const char *nnr__st_type_name(nnr__st_type t);	/* "F32" */
size_t nnr__st_type_bytes(nnr__st_type t);	/* of a value */

#define NNR__ST_DIMS 8

typedef struct nnr__st_tensor {
	const char *name;	/* valid UTF-8 without NUL, not empty */
	nnr__st_type type;
	int dims;		/* 0: one value */
	int64_t dim[NNR__ST_DIMS];	/* 0 allowed: no values */
	/* Row major, little endian.  In a file that others wrote it need not
	 * be aligned; nnr__st_floats does not mind. */
	const void *data;
} nnr__st_tensor;

/* A string of `__metadata__`. */
typedef struct nnr__st_text {
	const char *key, *text;
	size_t len;
} nnr__st_text;

/* Values and bytes of a tensor; its shape is one that was checked. */
size_t nnr__st_values(const nnr__st_tensor *t);
size_t nnr__st_bytes(const nnr__st_tensor *t);
/* "F32 [2, 3]"; returns out. */
const char *nnr__st_shape(const nnr__st_tensor *t, char *out, size_t n);

/* ---- reading (safetensors.c) ---- */
typedef struct nnr__st {
	nnr__map map;
	bool mapped;		/* else the caller's memory */
	nnr__st_tensor *tensor;	/* in byte order of their names */
	int tensors;
	nnr__st_text *text;
	int texts;
	nnr__arena arena;	/* names and texts */
} nnr__st;

/* Maps a file and checks its header: lengths against the file, every tensor
 * against its dtype, shape and place, no overlap, no hole, no byte left.
 * Messages begin with the path and name the tensor. */
int nnr__st_open(nnr__st **st, const char *path, nnr_error *err);
/* The same for bytes in memory, which outlive *st; name is for messages. */
int nnr__st_parse(nnr__st **st, const char *name, const void *data,
		  size_t size, nnr_error *err);
void nnr__st_close(nnr__st *st);
const nnr__st_tensor *nnr__st_find(const nnr__st *st, const char *name);
/* The string of `__metadata__`, or NULL. */
const nnr__st_text *nnr__st_text_of(const nnr__st *st, const char *key);
/* Values of an F32, F16 or BF16 tensor as floats; out has room for
 * nnr__st_values.  False: it has another type. */
bool nnr__st_floats(const nnr__st_tensor *t, float *out);

/* ---- writing (safetensors_write.c) ---- */
/* Replaces path by a file with these, whole or not at all. */
int nnr__st_write(const char *path, const nnr__st_tensor *t, int tensors,
		  const nnr__st_text *text, int texts, nnr_error *err);
/* The same as bytes. */
int nnr__st_bytes_of(nnr__buf *out, const nnr__st_tensor *t, int tensors,
		     const nnr__st_text *text, int texts, nnr_error *err);
/* For what does not fit in memory: all that stands before the first
 * tensor's bytes, appended to out (empty before).  The tensors (data unused)
 * follow as they are given here, without padding. */
int nnr__st_head(nnr__buf *out, const nnr__st_tensor *t, int tensors,
		 const nnr__st_text *text, int texts, nnr_error *err);
/* Puts them in the canonical order: by type, wide ones first, then by byte
 * order of their names. */
void nnr__st_sort(nnr__st_tensor *t, int tensors);

#endif
