/* SPDX-License-Identifier: Apache-2.0
 *
 * artifact: a program with its tensors and files in one .nnr file, which is
 * a safetensors file.  docs/format.md is normative.
 *
 * What is in it: the source with its overrides resolved, the files it reads,
 * the hash of its backbone, every tensor that is set (trained, fitted or
 * imported; what is as `init` left it is made again from the backbone), and
 * what the caller says about how it came to be.  Equal inputs give equal
 * bytes: no absolute path, no time stamp.
 */
#ifndef NNR_ARTIFACT_H
#define NNR_ARTIFACT_H

#include "program/learn.h"

/* What is recorded beside the program.  The JSON texts are any documents;
 * they are stored with sorted keys and one spelling of a number, so they
 * should hold no time, path or host. */
typedef struct nnr__artifact_info {
	const char *data_hash;	/* SHA-256 of the training data, or NULL */
	const char *training;	/* an object: plan, measured scores with n and
				   interval, lineage, ...; or NULL */
	const char *golden;	/* a list of golden vectors, or NULL */
} nnr__artifact_info;

/* Writes the bound program p.  Only tensors with `set` are stored, by their
 * names.  info may be NULL: then that of the artifact that p was opened from
 * is kept. */
int nnr__artifact_write(nnr_program *p, const char *path,
			const nnr__artifact_info *info, nnr_error *err);
/* The artifact as bytes; sha (may be NULL) gets its content address. */
int nnr__artifact_bytes(nnr_program *p, const nnr__artifact_info *info,
			nnr__buf *out, char sha[65], nnr_error *err);

/* ---- an opened artifact: p->artifact; NULL: p is from a source ---- */
typedef struct nnr__artifact nnr__artifact;

/* True for a path that ends in .nnr or whose file begins as one does. */
bool nnr__artifact_is(const char *path);
/* As nnr__program_open; the SHA-256 is checked before anything is read. */
int nnr__artifact_open(nnr_program **p, const char *path,
		       const nnr__strings *set, nnr_error *err);
/* The same for bytes in memory, which may go afterwards. */
int nnr__artifact_parse(nnr_program **p, const char *name, const char *dir,
			const void *data, size_t size,
			const nnr__strings *set, nnr_error *err);
void nnr__artifact_free(nnr__artifact *a);
/* SHA-256 of its file, of the backbone it was made on. */
const char *nnr__artifact_hash(const nnr__artifact *a);
const char *nnr__artifact_backbone(const nnr__artifact *a);

/* Part of bind, after the steps declared their tensors.  Refuses another
 * backbone (unless p->rebind) and tensors that differ in name or shape; sets
 * the values.  On another backbone, and where overrides changed the program,
 * fitted tensors are left to be fitted again. */
int nnr__artifact_apply(nnr_program *p, nnr_error *err);
/* Bound to another backbone than the artifact's own. */
bool nnr__artifact_rebound(const nnr_program *p);
/* A learnable tensor that was never trained, or NULL. */
const nnr__ptensor *nnr__untrained(const nnr_program *p);
/* Part of the fits before a first answer: fails when a learnable tensor was
 * never trained, unless p->untrained.  A trainer sets `set` or `untrained`. */
int nnr__trained_check(const nnr_program *p, nnr_error *err);

/* A file that the source reads (files.c). */
typedef struct nnr__embedded {
	char *name;		/* as the source writes it */
	char *text;		/* NULL: only its hash is kept */
	size_t len;
	char hash[65];
} nnr__embedded;

#endif
