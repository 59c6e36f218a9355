/* SPDX-License-Identifier: Apache-2.0
 *
 * cli: the command nnr over nnr.h, and nothing else of the library.
 *
 * Data goes to stdout; text for people, errors, progress and warnings go to
 * stderr.  A cmd_* function returns the exit status: 0 fine, 1 the answer is
 * no, 2 usage, 3 bad input or file, 4 out of resources, 130 interrupted.
 */
#ifndef NNR_CLI_H
#define NNR_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "nnr.h"

#define LIST_MAX 64

typedef struct list {
	const char *s[LIST_MAX];
	int n;
} list;

/* What a command line says.  FLAG: bool; TEXT, WORD: NULL if not given;
 * INT: -1 if not given. */
#define MAX_OPERANDS 16

typedef struct args {
	const char *operand[MAX_OPERANDS];
	int operands;
	bool json, quiet, verbose, help, no_cache, run, explain, resolved;
	bool plain, step, resume, dry_run, rebind, untrained;
	const char *model, *program;
	const char *precision, *text, *input, *data, *columns;
	const char *predictions, *record, *output, *val, *curve;
	int64_t threads, seed, limit, sample, prompt, generate, repetitions;
	int64_t seeds, checkpoint;
	list set, where;
} args;

/* ---- the command line (args.c, help.c) ---- */
enum {
#define CMD(name, operands, fewest, most, help) CMD_##name,
#include "commands.def"
#undef CMD
	COMMANDS
};
typedef struct command {
	const char *name, *operands;
	int fewest, most;
	const char *help;
	int (*run)(const args *a);
} command;
extern const command commands[COMMANDS];
/* Index of a command, or -1. */
int command_find(const char *name);

typedef enum { FLAG, TEXT, WORD, INT, LIST } option_kind;
typedef struct option_row {
	const char *name;
	char letter;
	option_kind kind;
	const char *metavar;
	int64_t least, most;
	unsigned commands;	/* bit per command */
	const char *help;
	size_t at;		/* in struct args */
} option_row;
extern const option_row options[];
extern const int option_count;
/* Fills *a from what follows the command; 0, or 2 after a message. */
int args_read(args *a, int cmd, int argc, char **argv);
void help_all(void);
void help_command(int cmd);

/* Ctrl-C was pressed (cli_main.c). */
bool interrupted(void);

/* ---- saying things (say.c) ---- */
void say_init(const args *a);
/* "nnr: ..." as one line on stderr; returns the exit status of the code. */
int say_error(const nnr_error *err);
int say_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Not with -q. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same with the status of bad input. */
int say_input(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A text of its own lines on stderr; not with -q. */
void say_text(const char *text);
/* A document for people, made from its JSON; frees json. */
int say_json(char *json);
/* stdout: a whole text, then a line end where it has none; frees text. */
void put(char *text);
void put_line(const char *text);
/* Flushes stdout: 0, or 4 after a message. */
int put_end(void);
/* Progress line; ctx unused. */
void say_progress(void *ctx, const nnr_progress *p);
void say_progress_end(void);
void say_training(void *ctx, const nnr_train_progress *p);

/* ---- what commands share (open.c) ---- */
nnr_run_opts run_opts(const args *a, nnr_precision fallback);
nnr_program_opts program_opts(const args *a);
/* A program with its model. */
typedef struct opened {
	nnr_program *program;
	nnr_model *model;
} opened;
/* Opens and binds.  With `lenient` a model that is not there leaves the
 * program unbound: a note, and model NULL.  0 or the exit status. */
int opened_open(opened *o, const args *a, bool lenient);
void opened_close(opened *o);
/* The texts of --text or --data (one block: free it), --limit applied. */
int texts_open(const args *a, nnr_text **text, int *n);

#define CMD(name, operands, fewest, most, help) int cmd_##name(const args *a);
#include "commands.def"
#undef CMD

#endif
