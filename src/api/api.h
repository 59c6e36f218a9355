/* SPDX-License-Identifier: Apache-2.0
 *
 * api: nnr.h over the folders below it; nothing here computes.
 */
#ifndef NNR_API_H
#define NNR_API_H

#include "base/base.h"
#include "eval/eval.h"
#include "load/load.h"
#include "program/program.h"
#include "text/text.h"

/* Hands a buffer out as *out; NNR_E_MEMORY when it is bad. */
int nnr__hand_out(nnr__buf *b, char **out, nnr_error *err);
/* errno as an error: a place that is not there, or the system's refusal. */
int nnr__fail_write(nnr_error *err, const char *path);
/* The CPU's name as the system gives it, or "unknown"; malloc'd. */
char *nnr__cpu_name(void);
const char *nnr__mode_name(nnr_precision p);
nnr__engine_opts nnr__engine_opts_of(const nnr_run_opts *o);

/* Items of a file, all with targets (items.c). */
typedef struct nnr__items_opts {
	const char *path, *columns;	/* columns: "a,b", or NULL */
	const char *const *where;	/* FIELD=VALUE */
	int wheres;
	int64_t limit, sample, seed;
} nnr__items_opts;
int nnr__items_read(nnr__data *d, const nnr_program *p,
		    const nnr__items_opts *o, nnr_error *err);
/* A file that cannot be written is better known before the work is done.
 * path NULL: fine. */
int nnr__check_writable(const char *path, nnr_error *err);
const char *nnr__base_name(const char *path);

/* How an answer came about, as JSON and for people; both malloc'd
 * (explain.c). */
int nnr__explain(nnr_program *p, const nnr__record *item,
		 const nnr__answer *a, char **json, char **text,
		 nnr_error *err);
/* nnr_program_save with what is recorded beside it (artifact.c). */
struct nnr__artifact_info;
int nnr__program_save(nnr_program *p, const char *path,
		      const struct nnr__artifact_info *info, char **json,
		      nnr_error *err);
/* What an artifact says of itself, behind what `show` says of its program
 * (artifact.c). */
int nnr__show_artifact(const nnr_program *p, bool json, nnr__buf *out,
		       nnr_error *err);
/* One answer as JSON (run.c); explain: JSON too, or NULL. */
void nnr__answer_json(const nnr_program *p, const nnr__answer *a,
		      const char *explain, nnr__buf *out);

#endif
