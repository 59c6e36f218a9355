/* SPDX-License-Identifier: Apache-2.0
 *
 * artifact_int.h: what artifact.c, artifact_write.c and the API share: the
 * members of `nnr` and an opened artifact.
 */
#ifndef NNR_ARTIFACT_INT_H
#define NNR_ARTIFACT_INT_H

#include "load/safetensors.h"
#include "program/artifact.h"
#include "step.h"

#define NNR__ARTIFACT_FORMAT 1
#define NNR__ARTIFACT_DIGITS 64

/* The members of the JSON text `nnr`; docs/format.md says what is in them.
 * Absent optional ones are null. */
#define NNR__A_BACKBONE "backbone"
#define NNR__A_DATA "data"
#define NNR__A_FILES "files"
#define NNR__A_FORMAT "format"
#define NNR__A_GOLDEN "golden"
#define NNR__A_PARENT "parent"
#define NNR__A_PROGRAM "program"
#define NNR__A_TOOL "tool"
#define NNR__A_TRAINING "training"

struct nnr__artifact {
	nnr__buf bytes;			/* the whole file */
	nnr__st *st;			/* points into it */
	nnr__arena arena;
	const nnr__jnode *top;		/* `nnr` */
	char hash[65], backbone[65];
	nnr__embedded *file;		/* in the arena, by name */
	int files;
	bool rebound;
};

/* Offset of the digits of `sha256` in the header of an artifact's bytes, or
 * 0. */
size_t nnr__artifact_digits(const void *data, size_t size);
/* SHA-256 of the bytes with those digits taken as zeros. */
void nnr__artifact_sha(const void *data, size_t size, size_t digits,
		       char hex[65]);
/* Overrides changed what it is; one that only says where the model is does
 * not. */
bool nnr__artifact_changed(const nnr_program *p);
const nnr__embedded *nnr__artifact_file(const nnr__artifact *a,
					const char *name);
/* A JSON value in its one spelling: sorted keys, no spaces, numbers with the
 * fewest digits that read back the same. */
int nnr__json_canonical(nnr__buf *out, const nnr__jnode *n, nnr_error *err);

#endif
