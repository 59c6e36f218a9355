/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr: programs on frozen neural networks, y = g_out(f(g_in(x))).
 *
 *     nnr_error err;
 *     nnr_model *m = NULL;
 *     nnr_program *p = NULL;
 *     char *answer = NULL;
 *     if (nnr_program_open(&p, "sentiment.yaml", NULL, &err) ||
 *         nnr_program_model(p, &m, &err) ||
 *         nnr_program_bind(p, m, &(nnr_run_opts){ .threads = 2 }, &err) ||
 *         nnr_program_run(p, "{\"text\": \"A masterpiece.\"}", &answer, &err))
 *             fprintf(stderr, "%s\n", err.message);
 *     else
 *             puts(answer);        {"out":{"label":"positive"},"scores":...}
 *     nnr_free(answer);
 *     nnr_program_close(p);
 *     nnr_model_close(m);
 *
 * Conventions.  Functions that can fail return 0 or a negative NNR_E_* code
 * and fill *err, which may be NULL.  Strings are UTF-8.  A char * handed out
 * through a char ** is freed with nnr_free.  A model is read-only and may be
 * shared between threads; a program has one user at a time and is closed
 * before its model.  Option structs: all bytes zero means every default, and
 * a NULL pointer to one the same.  The library never prints or exits.
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

/* fast: the best arithmetic the CPU has, its error against exact measured.
 * exact: fp32 on the dequantised weights, equal bits on every FMA CPU. */
typedef enum { NNR_FAST = 0, NNR_EXACT = 1 } nnr_precision;

typedef struct nnr_model nnr_model;
typedef struct nnr_program nnr_program;

/* ---- the library ---- */

/* NNR_VERSION of the library that is linked. */
const char *nnr_version(void);

/* Frees what the library handed out as char * or void *. */
void nnr_free(void *p);

/* 0 fine, 2 usage, 3 bad input or file, 4 out of resources, 130. */
int nnr_exit_code(int code);

/* Asks running calls to stop with NNR_E_INTERRUPTED.  Async-signal-safe. */
void nnr_interrupt(void);

/* A JSON document as text for people: a line a value, indented. */
int nnr_json_text(const char *json, char **text, nnr_error *err);

/* For "did you mean": the one of names (NULL at the end) that is nearest to
 * word, or NULL when none is near. */
const char *nnr_nearest(const char *word, const char *const *names);

/* ---- models ----
 * A reference is an alias ("smollm2-135m-instruct", from the table of this
 * build or the user's models.yaml), a path, or alias@sha256:HEX. */

typedef struct nnr_model_opts {
	const char *base_dir;	/* folder that relative paths count from;
				   NULL: the current one */
} nnr_model_opts;

/* Maps a model file read-only and checks all of its header.
 * NNR_E_INPUT: no such model; NNR_E_FORMAT: damaged; NNR_E_UNSUPPORTED. */
int nnr_model_open(nnr_model **m, const char *ref, const nnr_model_opts *o,
		   nnr_error *err);
void nnr_model_close(nnr_model *m);

/* Architecture, ports, sites, sizes, tokenizer, template, licence, hash and
 * what it gives (access), as one JSON object. */
int nnr_model_info(const nnr_model *m, char **json, nnr_error *err);

/* Fetches a model of the table into the cache folder and checks its SHA-256;
 * one that is there already is checked only.  {"alias","file","sha256"} */
int nnr_model_pull(const char *alias, char **json, nnr_error *err);

/* The aliases: [{"alias","file","sha256","here"}]. */
int nnr_model_list(char **json, nnr_error *err);

/* Hashes a model's file again, cache or not, and compares with the hash that
 * the reference or the table states: {"file","sha256","expected","same"}.
 * *same: 1 equal, 0 not, -1 nothing to compare with. */
int nnr_model_verify(const char *ref, int *same, char **json, nnr_error *err);

/* Any bytes with their length; not NUL-terminated. */
typedef struct nnr_text {
	const char *s;
	size_t n;
} nnr_text;

/* Reads the items of a .txt file (one a line) or of a .jsonl file (the field
 * "text" of each line).  *text is one block for nnr_free.
 * NNR_E_INPUT names line and column of bytes that are not UTF-8. */
int nnr_texts_read(nnr_text **text, int *n, const char *path,
		   nnr_error *err);

/* Tokens of any bytes, without BOS.  *token is freed with nnr_free. */
int nnr_model_tokenize(const nnr_model *m, nnr_text text, int32_t **token,
		       size_t *n, nnr_error *err);

typedef struct nnr_progress {
	int64_t done, total;	/* items */
	uint64_t tokens;	/* run so far, given and generated */
	double seconds;
} nnr_progress;
/* Called now and then, always on the caller's thread. */
typedef void (*nnr_on_progress)(void *ctx, const nnr_progress *p);

typedef struct nnr_run_opts {
	int threads;		/* 0: the CPUs this process may use */
	nnr_precision precision;
	size_t max_store;	/* bytes of key/value rows; 0: 1 GiB */
	int no_cache;		/* do not read or write compiled prefixes */
} nnr_run_opts;

/* Writes a safetensors file: one text gives F32 `logits` (tokens x vocab)
 * and I64 `tokens` (tokens); several give logits.0, tokens.0, logits.1 ...
 * BOS is added iff the model says so.  The file appears whole or not at
 * all.  progress may be NULL.  *json: {"texts","tokens","vocabulary"}.
 * NNR_E_INPUT: an empty text, or one longer than the context. */
int nnr_model_logits(const nnr_model *m, const nnr_text *text, int texts,
		     const char *path, const nnr_run_opts *o,
		     nnr_on_progress progress, void *ctx, char **json,
		     nnr_error *err);

typedef struct nnr_bench_opts {
	int prompt;		/* tokens of the prompt; 0: 512 */
	int generate;		/* tokens generated; 0: 128 */
	int repetitions;	/* 0: 5, after one that is not counted */
} nnr_bench_opts;

/* Tokens a second, loading excluded: of a prompt of which the last token's
 * logits are wanted, and of tokens made one at a time from an empty context.
 * {"prompt_tps","gen_tps","mode","cpu","features","kernel","threads",...},
 * medians over the repetitions. */
int nnr_model_bench(const nnr_model *m, const nnr_bench_opts *b,
		    const nnr_run_opts *o, char **json, nnr_error *err);

/* ---- programs ---- */

typedef struct nnr_program_opts {
	const char *const *set;	/* "STEP.KEY=VALUE": replaces a parameter */
	int sets;
	int seeded;		/* `seed` replaces every seed it has */
	int64_t seed;
	int rebind;		/* an artifact may be bound to another
				   backbone than its own */
	int untrained;		/* answer with learnable tensors that were
				   never trained, as they begin */
} nnr_program_opts;

/* Reads and checks a source (YAML), its demonstrations included, or an
 * artifact (.nnr), whose SHA-256 is checked first.
 * NNR_E_INPUT: file:line:column, the key, what was expected.
 * NNR_E_FORMAT: a damaged artifact; NNR_E_UNSUPPORTED: a later format. */
int nnr_program_open(nnr_program **p, const char *path,
		     const nnr_program_opts *o, nnr_error *err);
void nnr_program_close(nnr_program *p);
const char *nnr_program_name(const nnr_program *p);

/* Opens the model that the source names; for an artifact also one with the
 * backbone's hash that artifacts were made on here.  The caller closes it,
 * after the program. */
int nnr_program_model(const nnr_program *p, nnr_model **m, nnr_error *err);

/* Joins program and model: refuses a step the model cannot serve and, for an
 * artifact, another backbone than its own; compiles the prompt's constant
 * part, does fits that read only the source. */
int nnr_program_bind(nnr_program *p, const nnr_model *m,
		     const nnr_run_opts *o, nnr_error *err);
/* SHA-256 of the backbone that a bound artifact was made on, when it is not
 * the one it is bound to; else NULL. */
const char *nnr_program_rebound(const nnr_program *p);

/* Writes a bound program as an artifact: source, files, and every tensor
 * that is trained or fitted; what is not fitted yet is fitted first.  The
 * record of training is that of the artifact that it was opened from, if
 * nothing was overridden since.  The file appears whole or not at all.
 * *json (may be NULL): {"file","sha256","bytes","tensors":{NAME: shape},
 * "untrained":[NAME]}. */
int nnr_program_save(nnr_program *p, const char *path, char **json,
		     nnr_error *err);

typedef struct nnr_import_opts {
	const char *model;	/* reference; NULL: that of the program */
	const char *program;	/* source that begins with the step for the
				   rows; NULL: one that only generates */
	nnr_run_opts run;
} nnr_import_opts;
/* Makes an artifact of a PEFT folder (prompt tuning, p-tuning, prefix
 * tuning).  One of model and program is needed.  *json as of save.
 * NNR_E_INPUT: rows of another size, not finite, or not there;
 * NNR_E_UNSUPPORTED: a folder of another kind. */
int nnr_peft_import(const char *dir, const nnr_import_opts *o,
		    const char *path, char **json, nnr_error *err);
/* Writes the virtual tokens or the prefix that a bound program begins with
 * as a PEFT folder.  *json (may be NULL): {"folder","lost": [{"step","id",
 * "learned"}]}, what such a folder cannot hold. */
int nnr_program_export(nnr_program *p, const char *dir, char **json,
		       nnr_error *err);

/* What the program is: the four axes, paradigm, rendered prompt, passes of f
 * per item.  flags: any of NNR_SHOW_*.  The prompt's positions need a bound
 * program. */
enum {
	NNR_SHOW_JSON = 1,	/* one JSON object, else text */
	NNR_SHOW_RESOLVED = 2,	/* every parameter and where it came from */
};
int nnr_program_show(nnr_program *p, int flags, char **out, nnr_error *err);

/* JSON Schema of a program's source, for editors. */
int nnr_schema(char **json, nnr_error *err);

/* ---- answers of a bound program ---- */

/* An input record as JSON for a program with one text field, from any valid
 * UTF-8. */
int nnr_program_input(const nnr_program *p, nnr_text text, char **json,
		      nnr_error *err);

/* One record, {"field": value, ...}, to one answer as JSON:
 * {"out": {FIELD: VALUE}, "scores": {LABEL: natural-log score}, ...}.  A
 * value that could not be read from what f wrote is null. */
int nnr_program_run(nnr_program *p, const char *input, char **answer,
		    nnr_error *err);

typedef struct nnr_answer {
	const char *value;	/* as text; NULL: none could be read */
	const char *json;	/* as of nnr_program_run */
	const char *text;	/* the explanation for people, or NULL */
} nnr_answer;
/* A return other than 0 stops the run with that code; the strings are valid
 * until the return. */
typedef int (*nnr_on_answer)(void *ctx, int item, const nnr_answer *a);

/* Several records; name and line are for messages ("stdin", 3). */
typedef struct nnr_inputs {
	const char *const *json;
	int n;
	const char *name;	/* NULL: "input" */
	const int64_t *line;	/* of each record; NULL: none */
} nnr_inputs;

/* Answers records, packed, in order.  explain: `json` gains "samples" and
 * "explain" (the rendered prompt with parts and positions, scores before
 * alignment), and `text` is set.  Those before a bad record are answered
 * first; then its error is returned. */
int nnr_program_answer(nnr_program *p, const nnr_inputs *in, int explain,
		       nnr_on_answer done, void *ctx, nnr_error *err);

/* The text of one record's answer as it is generated, whole code points at
 * a time; together it is the answer's value.  Set before a call that answers
 * one record; NULL: no more.  Returns 1, or 0 for a program whose value is
 * not simply the text of one generation: then on_text is not called. */
typedef void (*nnr_on_text)(void *ctx, const char *s, size_t n);
int nnr_program_stream(nnr_program *p, nnr_on_text on_text, void *ctx);

/* Runs the source's `tests:`, counts them and the wrong ones:
 * {"tests":n,"failed":k,"results":[{"in","expected","out","ok"}]}. */
int nnr_program_test(nnr_program *p, int *tests, int *failed, char **json,
		     nnr_error *err);

/* As nnr_model_logits, of the prompts that items of one text each have: the
 * logits at their tokens, after what the program puts before them.  Virtual
 * tokens have no row. */
int nnr_program_logits(nnr_program *p, const nnr_text *text, int texts,
		       const char *path, nnr_on_progress progress, void *ctx,
		       char **json, nnr_error *err);

/* ---- gradients of a bound program ---- */

typedef struct nnr_grad_opts {
	const char *data;	/* .tsv, .jsonl or .txt; needed */
	int64_t limit;		/* the first items; 0: all */
	size_t memory;		/* bytes for activations; 0: 768 MiB */
	int plain;		/* every item runs its own copy of what all
				   begin with, as reference frameworks do */
} nnr_grad_opts;

/* The mean loss over the items and its gradient in every learnable tensor at
 * its present value, as a safetensors file: F32 `loss` and one tensor per
 * learnable one, of its name and shape.  *json: {"items","loss","gradients":
 * {NAME: {"values","squares"}}}.
 * NNR_E_INPUT: nothing is learnable, or bad data. */
int nnr_program_grad(nnr_program *p, const nnr_grad_opts *o,
		     const char *path, char **json, nnr_error *err);

typedef struct nnr_step_opts {
	const char *data;	/* as of nnr_program_grad */
	int64_t limit, steps;	/* steps 0: those of `train`, at least 5 */
	size_t memory;
	int plain;
} nnr_step_opts;

/* Seconds of a training step on batches as training makes them, the first
 * one and loading excluded: {"step_s" (median),"peak_bytes","mode","cpu",
 * ...}.  Changes the values of the program's tensors. */
int nnr_program_step_bench(nnr_program *p, const nnr_step_opts *o,
			   char **json, nnr_error *err);

/* ---- training of a bound program ---- */

typedef struct nnr_train_progress {
	int64_t step, steps;	/* done, of the whole run */
	int run, runs;		/* which of several seeds, from 1 */
	double loss;		/* of the last step's items, before it */
	double rate;		/* learning rate of the last step */
	double score;		/* best validation so far; NaN: none */
	double seconds, left;	/* of this call; expected */
} nnr_train_progress;

typedef struct nnr_train_opts {
	const char *data;	/* .tsv, .jsonl or .txt; needed */
	const char *validation;	/* the same, to choose on; or NULL */
	const char *output;	/* the artifact; needed unless dry_run */
	const char *columns;	/* as of nnr_eval_opts; of both files */
	const char *const *where;	/* of `data` only, as what follows */
	int wheres;
	int64_t limit, sample;
	int64_t seed;		/* of the sample; as given to open */
	size_t memory;		/* bytes for activations; 0: 768 MiB */
	int seeds;		/* runs, with seeds from that of `train` on */
	int resume;		/* goes on with OUTPUT.ckpt if it is there */
	int dry_run;		/* all but the training; writes nothing */
	double interval;	/* seconds between checkpoints; 0: 10, below
				   0: after every step */
	const char *curve;	/* learning curve, .csv or .svg; or NULL */
	const char *record;	/* file for the run record, or NULL */
	/* Both may be NULL: progress after every step, and lines that say
	 * what will be done, what was found, what it takes. */
	void (*progress)(void *ctx, const nnr_train_progress *p);
	void (*say)(void *ctx, const char *line);
	void *ctx;
} nnr_train_opts;

/* Minimises the loss of `train` over the program's learnable tensors, keeps
 * the best by validation (without one the last), leaves it in the program
 * and writes it as an artifact.  While it runs all of its state is in
 * OUTPUT.ckpt, replaced as a whole; a run that was killed and is resumed ends
 * with the same artifact, byte for byte.  With several `seeds` run K's
 * artifact is OUTPUT with -seedK before its ending, the program is left as it
 * was, and OUTPUT is the best by validation, without one the first.
 * *json: the run record: plan, hashes, losses, scores with n and interval,
 * seconds, memory; *text: the curve and the results for people, at most 80
 * columns.  Both may be NULL.
 * NNR_E_INPUT: nothing to learn, bad data, labels of one class only, a loss
 * that is not finite, a checkpoint of another program, backbone or data.
 * NNR_E_FORMAT: a damaged checkpoint.  NNR_E_INTERRUPTED: OUTPUT.ckpt holds
 * the last step. */
int nnr_program_train(nnr_program *p, const nnr_train_opts *o, char **json,
		      char **text, nnr_error *err);

/* ---- evaluation of a bound program ---- */

typedef struct nnr_eval_opts {
	const char *data;	/* .tsv, .jsonl or .txt; needed */
	const char *columns;	/* "a,b": columns of a file without header */
	const char *const *where;	/* "field=value": only such items */
	int wheres;
	int64_t limit;		/* the first items; 0: all */
	int64_t sample;		/* that many at random, by seed, in order */
	int64_t seed;		/* of the sample; as given to open */
	int seeded;		/* whether it was given */
	const char *predictions;	/* file to write, or NULL */
	const char *record;	/* file for the run record, or NULL */
	nnr_on_progress progress;	/* or NULL */
	void *ctx;
} nnr_eval_opts;

/* Answers every item and compares.  *json: the report, which is the run
 * record too: results with n and interval, majority class, hashes of
 * program, backbone and data, tokens, seconds, peak memory.  *text: a table
 * of it for people, at most 80 columns; both may be NULL.  The files appear
 * whole or not at all.
 * NNR_E_INPUT: data file:line:column, a label outside the type, no items. */
int nnr_program_eval(nnr_program *p, const nnr_eval_opts *o, char **json,
		     char **text, nnr_error *err);

typedef struct nnr_compare_opts {
	const char *const *program;	/* sources or artifacts */
	int programs;
	const char *data, *columns;	/* as in nnr_eval_opts */
	const char *const *where;
	int wheres;
	int64_t limit, sample, seed;
	int untrained;		/* answer with what was never trained, too */
	nnr_on_progress progress;
	void *ctx;
} nnr_compare_opts;

/* Programs on the same items: how often each is right with its interval,
 * values learned, bytes stored, seconds an item, peak memory; and against
 * the first the exact McNemar test.  A program that changes f's parameters
 * is marked; full fine-tuning is counted, not run.  *json a document, *text
 * a table for people; either may be NULL. */
int nnr_compare(const nnr_compare_opts *o, const nnr_run_opts *how,
		char **json, char **text, nnr_error *err);

#ifdef __cplusplus
}
#endif
#endif
