/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr: programs on frozen neural networks, y = g_out(f(g_in(x))).
 *
 *     nnr_error err;
 *     nnr_model *m;
 *     nnr_program *p;
 *     char *answer;
 *     if (nnr_program_open(&p, "sentiment.yaml", NULL, &err) ||
 *         nnr_model_open(&m, nnr_program_model(p), NULL, &err) ||
 *         nnr_program_bind(p, m, &(nnr_run_opts){ .threads = 2 }, &err) ||
 *         nnr_program_run(p, "{\"text\": \"A masterpiece.\"}", &answer, &err))
 *             fprintf(stderr, "%s\n", err.message);
 *
 * Conventions.  Functions that can fail return 0 or a negative NNR_E_* code
 * and fill *err, which may be NULL.  Strings are UTF-8.  A char * handed out
 * through a char ** is freed with nnr_free.  A model is read-only and may be
 * shared between threads; a program has one user at a time.  Option structs:
 * all bytes zero means every default.  The library never prints or exits.
 */
#ifndef NNR_H
#define NNR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NNR_VERSION "0.1.0"

/* Error codes; nnr_exit_code() maps them to the command's exit status. */
enum {
	NNR_OK = 0,
	NNR_E_USAGE = -1,	/* the call or command line is wrong */
	NNR_E_INPUT = -2,	/* bad program, data or option value */
	NNR_E_FORMAT = -3,	/* a file is damaged or not of its kind */
	NNR_E_UNSUPPORTED = -4,	/* valid, but this build does not know it */
	NNR_E_IO = -5,		/* the system refused to read or write */
	NNR_E_MEMORY = -6,	/* out of memory or over a stated budget */
	NNR_E_INTERRUPTED = -7,	/* nnr_interrupt() was called */
};

typedef struct nnr_error {
	int code;		/* NNR_E_* */
	char message[480];	/* what, where, what was expected */
	uint64_t offset;	/* byte offset in the file, where it applies */
} nnr_error;

typedef enum { NNR_FAST = 0, NNR_EXACT = 1 } nnr_precision;

typedef struct nnr_model nnr_model;
typedef struct nnr_program nnr_program;

/* Frees what the library handed out as char * or void *. */
void nnr_free(void *p);

/* 0 fine, 2 usage, 3 bad input or file, 4 out of resources, 130. */
int nnr_exit_code(int code);

/* Asks running calls to stop with NNR_E_INTERRUPTED.  Async-signal-safe. */
void nnr_interrupt(void);

#ifdef __cplusplus
}
#endif
#endif
