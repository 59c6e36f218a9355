/* SPDX-License-Identifier: Apache-2.0
 *
 * program: a source (YAML) -> a checked list of steps -> answers.
 *
 * A step is one file step_<name>.c and one row in steps.def.  A row says
 * what kinds it takes and gives, where it stands on the four axes, its
 * parameters (types, ranges, defaults, one line of help each), and what it
 * needs of f.  Parser, messages, show, docs and JSON Schema come from it.
 * What a step's file needs beside this header is in step.h.
 */
#ifndef NNR_PROGRAM_H
#define NNR_PROGRAM_H

#include "base/base.h"
#include "load/load.h"
#include "program/engine.h"
#include "text/text.h"

/* ---- the model a program runs on (model.c) ---- */
struct nnr_model {
	char *path;
	nnr__backbone *bb;
	nnr__tok *tok;
	nnr__chat *chat;	/* NULL if the template is missing/unknown */
	nnr_error chat_err;	/* why */
};

/* ---- kinds that flow between steps ---- */
typedef enum {
	NNR__K_ITEM, NNR__K_TEXT, NNR__K_ROWS, NNR__K_LOGITS,
	NNR__K_SCORES, NNR__K_TEXTS, NNR__K_VALUE
} nnr__kind;

/* ---- parameters ---- */
typedef enum {
	NNR__P_STRING,		/* char * */
	NNR__P_TEMPLATE,	/* nnr__template * */
	NNR__P_INT,		/* int64_t */
	NNR__P_NUMBER,		/* double */
	NNR__P_BOOL,		/* bool; written yes or no */
	NNR__P_ENUM,		/* int; names in `names`; -1 not given */
	NNR__P_FILE,		/* char *: path as written; resolved on use */
	NNR__P_STRINGS,		/* nnr__strings: one string or a list */
	NNR__P_MAP,		/* nnr__pairs: ordered key -> string */
	NNR__P_OWN		/* read and written by the functions of `own` */
} nnr__ptype;

typedef struct nnr__strings { char **s; int n; } nnr__strings;
typedef struct nnr__pair { char *key, *value; } nnr__pair;
typedef struct nnr__pairs { nnr__pair *p; int n; } nnr__pairs;
/* The value of a key, or NULL. */
const char *nnr__pairs_get(const nnr__pairs *p, const char *key);

struct nnr__src;
/* A type that one parameter has for itself. */
typedef struct nnr__own {
	const char *text;	/* in the docs: "one or two numbers" */
	const char *schema;	/* members of its JSON Schema */
	int (*read)(struct nnr__src *s, const nnr__ynode *n, void *at);
	void (*json)(const void *at, nnr__buf *out);
} nnr__own;

typedef struct nnr__param {
	const char *name;
	nnr__ptype type;
	size_t at;		/* offset in the step's args struct */
	bool required;
	const char *fallback;	/* default, as written in YAML; NULL none */
	double min, max;	/* numbers */
	const char *const *names;	/* enum */
	const nnr__own *own;
	const char *help;
} nnr__param;

/* Where something was written.  Line 0: not in the file; then col is the
 * number of the --set it came from (from 1), or 0 for a default. */
typedef struct nnr__place { uint32_t line, col; } nnr__place;

struct nnr__step;
struct nnr_program;
struct nnr__render;
struct nnr__batch;
struct nnr__reading;
struct nnr__examples;
typedef struct nnr__step_row {
	const char *name;
	const char *help;	/* one line */
	bool input;		/* belongs to `in`, else to `out` */
	nnr__kind takes, gives;
	int at;			/* NNR__AT_*, where `at` is no parameter */
	const char *location, *adapt, *operation;	/* g_in axes */
	const char *alignment;				/* g_out axis */
	/* When it depends on the parameters; else NULL. */
	const char *(*alignment_of)(const struct nnr__step *s);
	const char *paradigm;	/* or NULL */
	const char *needs;	/* of f: "text", "logits", ... */
	const char *axis;	/* the axis it opens: "label", "sample" */
	const nnr__param *param;	/* ends with name NULL */
	const char *bare;	/* parameter a scalar stands for, or NULL */
	size_t args;		/* size of the args struct */
	/* Hooks; each may be NULL.  Called in this order. */
	/* Checks what the table cannot say; all steps are read by then. */
	int (*check)(struct nnr_program *p, struct nnr__step *s,
		     nnr_error *err);
	/* Reads the files it names. */
	int (*load)(struct nnr_program *p, struct nnr__step *s,
		    nnr_error *err);
	/* Declares its tensors for the bound model (learn.h), with their
	 * initial values.  After bind. */
	int (*tensors)(struct nnr_program *p, struct nnr__step *s,
		       nnr_error *err);
	/* From its tensors to rows at sites of f, and the gradient back. */
	int (*lower)(struct nnr_program *p, struct nnr__step *s,
		     nnr_error *err);
	int (*lower_back)(struct nnr_program *p, struct nnr__step *s,
			  nnr_error *err);
	/* `in`: adds its part of an item's prompt. */
	int (*render)(struct nnr__render *r, const struct nnr__step *s,
		      nnr_error *err);
	/* Prepares for the bound model. */
	int (*bind)(struct nnr_program *p, struct nnr__step *s,
		    nnr_error *err);
	/* Fits it: `data` false at bind, what reads only the source; true
	 * before the first answer, what reads data. */
	int (*fit)(struct nnr_program *p, struct nnr__step *s, bool data,
		   nnr_error *err);
	/* `out`: fits it to the items of a lesson when an epoch (from 0)
	 * begins.  Such a fit stays when learnable tensors change. */
	int (*epoch)(struct nnr_program *p, struct nnr__step *s,
		     const struct nnr__examples *x, int number,
		     nnr_error *err);
	/* `out`: works on the answers of a batch. */
	int (*run)(struct nnr_program *p, struct nnr__step *s,
		   struct nnr__batch *b, nnr_error *err);
	/* `out`, while training (learn.h): features to scores of labels, for
	 * the step that reads the model; scores to scores, in place, for
	 * those behind it; and the gradients back. */
	int (*read)(struct nnr_program *p, struct nnr__step *s,
		    struct nnr__reading *r, nnr_error *err);
	int (*read_back)(struct nnr_program *p, struct nnr__step *s,
			 struct nnr__reading *r, nnr_error *err);
	int (*pass)(struct nnr_program *p, struct nnr__step *s,
		    struct nnr__reading *r, nnr_error *err);
	int (*pass_back)(struct nnr_program *p, struct nnr__step *s,
			 struct nnr__reading *r, const double *before,
			 nnr_error *err);
	/* Most tokens it adds after a prompt (bound programs). */
	int (*room)(const struct nnr_program *p, const struct nnr__step *s);
	/* How many ways the axis it opens has. */
	int64_t (*ways)(const struct nnr_program *p,
			const struct nnr__step *s);
	/* Frees what args own outside the program's arena. */
	void (*release)(struct nnr__step *s);
} nnr__step_row;

typedef enum { NNR__WHEN_ALWAYS, NNR__WHEN_TRAIN, NNR__WHEN_RUN } nnr__when;

typedef struct nnr__step {
	const nnr__step_row *row;
	char *id;
	nnr__when when;
	nnr__place place;	/* of the step's key */
	nnr__place *given;	/* of each parameter of the row */
	bool placed;		/* a later template names it: it stands there */
	int row0;		/* of its virtual tokens (learn.h) */
	void *args;		/* the row's struct, filled by the parser */
} nnr__step;

/* All rows, in the order of the docs; the last is NULL. */
extern const nnr__step_row *const nnr__step_table[];
const nnr__step_row *nnr__step_row_find(const char *name);

/* ---- templates: "{name}" fields, "{{" "}}" literal (template.c) ---- */
typedef struct nnr__tpart { char *text; size_t len; bool field; } nnr__tpart;
typedef struct nnr__template { nnr__tpart *part; int n; } nnr__template;
/* Parses text into the arena; a message says what is wrong and where in the
 * text, not which file. */
int nnr__template_parse(nnr__template **t, nnr__arena *a, const char *text,
			size_t n, nnr_error *err);

/* ---- types (types.c) ---- */
typedef enum {
	NNR__T_STRING, NNR__T_INT, NNR__T_NUMBER, NNR__T_BOOL, NNR__T_LABEL,
	NNR__T_LIST
} nnr__type;
typedef struct nnr__field {
	char *name;
	nnr__type type;
	bool optional;		/* written `type?` */
	nnr__strings labels;	/* T_LABEL */
	nnr__strings parts;	/* T_LIST: names of an element's parts */
} nnr__field;
/* "a number", "one of negative, positive", ... at most n bytes. */
const char *nnr__type_text(const nnr__field *f, char *out, size_t n);
/* Appends the canonical spelling of a value: numbers without "$", commas,
 * a trailing "." and zeros; labels exactly; bools yes or no.  False: the
 * text is not of the type. */
bool nnr__type_canon(const nnr__field *f, const char *s, size_t n,
		     nnr__buf *out);
/* Index of a label, or -1. */
int nnr__type_label(const nnr__field *f, const char *s);

/* ---- a record: named values of an item (record.c) ---- */
typedef struct nnr__value {
	char *name, *text;
	size_t len;
	nnr__strings all;	/* of a list of answers; text is the first */
} nnr__value;
typedef struct nnr__record { nnr__value *v; int n; size_t cap; } nnr__record;
const nnr__value *nnr__record_get(const nnr__record *r, const char *name);
int nnr__record_set(nnr__record *r, const char *name, const char *text,
		    size_t len, nnr_error *err);
/* A value that is a list of texts, at least one. */
int nnr__record_set_all(nnr__record *r, const char *name,
			const nnr__strings *all, nnr_error *err);
/* Adds copies of all values of `from`. */
int nnr__record_copy(nnr__record *r, const nnr__record *from,
		     nnr_error *err);
void nnr__record_release(nnr__record *r);

/* ---- data files -> records (records.c) ----
 * .tsv   a first line is a header iff every cell is a declared field; else
 *        `columns` name the cells; else two columns: label, then the only
 *        input field.  No quoting.  Empty lines are skipped.
 * .jsonl one object a line (.json, .ndjson and "-", stdin, too).  Empty
 *        lines are skipped.  A list is the value of a field that is one, or
 *        the answers, all of them right, where the answer is a text.
 * .txt   the only input field, one item a line, empty lines too.
 * Invalid UTF-8, a NUL and wrong columns name line and column. */
typedef struct nnr__records_opts {
	int64_t limit;		/* first rows after where, sample; 0: all */
	int64_t sample;		/* N random rows, in file order; 0: off */
	uint64_t seed;		/* of sample */
	nnr__pairs where;	/* column -> value it must have */
	nnr__strings columns;	/* of a file without header */
} nnr__records_opts;

/* The fields a program declares, as a file's header may name them. */
typedef struct nnr__declared {
	const char *const *name;	/* ends with NULL */
	const char *input;	/* the only input field, or NULL */
	const char *output;	/* column of the answer, or NULL */
	const nnr__field *field;	/* those of the input, or NULL */
	int fields;
	bool lists;		/* the answer may be a list of texts */
} nnr__declared;

typedef struct nnr__records {
	nnr__record *row;
	uint32_t *line;		/* in the file, from 1 */
	int n;
	size_t cap, line_cap;
	char hash[65];		/* SHA-256 of the file's bytes */
} nnr__records;
/* Empty data (no row, or none that `where` keeps) is an error. */
int nnr__records_read(nnr__records *r, const char *path,
		      const nnr__declared *d, const nnr__records_opts *o,
		      nnr_error *err);
/* The same for bytes in memory; name (its ending says the form) is used in
 * messages. */
int nnr__records_parse(nnr__records *r, const char *name, const char *text,
		       size_t n, const nnr__declared *d,
		       const nnr__records_opts *o, nnr_error *err);
void nnr__records_release(nnr__records *r);
/* One record from a JSON object in memory. */
int nnr__record_json(nnr__record *rec, const char *name, const char *text,
		     size_t n, const nnr__declared *d, nnr_error *err);

/* ---- records -> items of a program (data.c) ---- */
typedef struct nnr__data {
	nnr__records rec;
	nnr__record *item;	/* rec.row: input fields checked, in place */
	char **target;		/* of the output type, canonical; NULL: none */
	nnr__strings *all;	/* the same and the others of a list */
	bool lists;		/* some answer is a list */
	int *label;		/* T_LABEL: index, else -1 */
	int n;
} nnr__data;
/* Reads a data file for a program: input fields must be of their types,
 * the answer goes through data.target and data.labels.  With `targets` an
 * item without answer is an error.  o may be NULL. */
int nnr__data_read(nnr__data *d, const struct nnr_program *p,
		   const char *path, const nnr__records_opts *o,
		   bool targets, nnr_error *err);
/* An item for every answer of a list, one after the other, in its place. */
int nnr__data_each(nnr__data *d, nnr_error *err);
void nnr__data_release(nnr__data *d);
/* One item from a JSON object; name is used in messages. */
int nnr__item_from_json(const struct nnr_program *p, const char *name,
			const char *text, size_t n, nnr__record *item,
			nnr_error *err);

/* ---- the args structs of the steps (shared with the runtime) ---- */
enum { NNR__AT_HERE, NNR__AT_START, NNR__AT_END };
struct nnr__a_template { nnr__template *text; int at; };
struct nnr__a_chat { char *system; };
enum { NNR__CHOOSE_FIRST, NNR__CHOOSE_RANDOM, NNR__CHOOSE_BALANCED };
enum { NNR__ORDER_FILE, NNR__ORDER_RANDOM, NNR__ORDER_REVERSE,
       NNR__ORDER_LABEL };
struct nnr__a_demos {
	char *file;
	int64_t count;		/* 0: all */
	nnr__template *form;	/* YAML key `template`; NULL: default */
	nnr__strings columns;
	int choose, order, at;
	int64_t seed;
	/* read at load */
	nnr__records rec;	/* the chosen rows, in prompt order */
	int *label;		/* of each row, or -1 */
	nnr__buf text;		/* its part of the prompt */
};
enum { NNR__NORM_SUM, NNR__NORM_LENGTH, NNR__NORM_BYTES,
       NNR__NORM_UNCONDITIONAL };
struct nnr__a_score {
	nnr__pairs choices;	/* a label with several texts comes again */
	int normalize;
	char *context;		/* unconditional: the neutral prompt */
	bool learn;
	/* at bind, in the order of the output's labels: p->choice is the
	 * tokens of word[c], a choice of label[c]; those of label y are
	 * first[y] to first[y + 1] - 1 */
	const char **word;
	int *label, *first;
	double *prior;		/* unconditional: log p(word | context) */
	struct nnr__ptensor *weights;	/* of words; NULL: not learned */
};
struct nnr__a_generate {
	int64_t max_tokens, samples, top_k, seed;
	double temperature, top_p;
	nnr__strings stop;
	bool end_token;
};
enum { NNR__PARSE_REGEX, NNR__PARSE_NUMBER, NNR__PARSE_LABEL,
       NNR__PARSE_TEXT };
enum { NNR__PICK_FIRST, NNR__PICK_LAST };
struct nnr__a_parse {
	int method;		/* default: regex if given, else by type */
	char *regex;
	int pick;		/* default: last for numbers, else first */
	char *otherwise;	/* YAML key `else`: "none" or a value */
	nnr__pairs words;	/* label words; default the labels */
	nnr__regex *compiled;
};
enum { NNR__BY_VOTE, NNR__BY_MEAN };
struct nnr__a_reduce { char *over; int by; };
enum { NNR__CAL_CONTEXTUAL, NNR__CAL_DOMAIN, NNR__CAL_BATCH,
       NNR__CAL_AFFINE, NNR__CAL_TEMPERATURE };
struct nnr__a_calibrate {
	int method;
	nnr__strings inputs;	/* contextual: content-free inputs */
	char *data;		/* the others: file they are fitted on */
	nnr__strings columns;
	int64_t count, length, seed, limit;
	double l2;		/* affine, temperature */
	bool learn;		/* the same, by training */
	/* fitted: score_c -> scale[c]*score_c + shift[c].  Tensors, so that
	 * what is stored is what is used; `set` says whether they are.
	 * heat: of temperature, its logarithm, instead of both. */
	struct nnr__ptensor *scale, *shift, *heat;
};

/* ---- a program ---- */
struct nnr_program {
	char *path;			/* as given; starts every message */
	char *dir;			/* its folder; NULL: from memory */
	char *name, *model_ref;
	char hash[65];			/* SHA-256 of source + its files */
	nnr__sha sha;			/* while it is read */
	nnr__strings set;		/* the overrides, as given */
	int seed_sets;			/* the first of them, by a seed */
	nnr__field *input;
	int inputs;
	nnr__field output;
	nnr__pairs data_labels;		/* as files spell them -> label */
	nnr__pairs data_target;		/* field -> regex */
	nnr__regex *target;		/* the compiled one */
	nnr__strings access;		/* what f may be used for; 0: all */
	nnr__step *in, *out;
	int ins, outs;
	nnr__record *test_in, *test_out;
	int tests;
	nnr__arena arena;
	struct nnr__train_plan *train;	/* of the source, or defaults */
	/* what an artifact holds of it (artifact.h) */
	char *source;			/* with the overrides resolved */
	size_t source_len;
	struct nnr__embedded *file;	/* the files it reads */
	int files;
	size_t file_cap;
	struct nnr__artifact *artifact;	/* it was opened from; or NULL */
	bool rebind;			/* bind to another backbone */
	bool untrained;			/* answer with tensors as by init */
	/* binding */
	const nnr_model *model;
	struct nnr__ptensor **tensor;	/* learn.h */
	int tensors;
	size_t tensor_cap;
	struct nnr__lowered *lowered;
	nnr__engine *engine;
	nnr_precision precision;
	bool no_cache;
	nnr__ids *choice;		/* tokens of each choice of `score` */
	int choices;
	int prefix_tokens;		/* given to the engine as a prefix */
	uint64_t parse_failures;	/* samples without a value, so far */
	bool ready;			/* every fit is done */
	/* gets what `generate` writes as it comes, trimmed; NULL: nobody */
	void (*on_text)(void *ctx, const char *s, size_t n);
	void *on_text_ctx;
};

/* Reads, overrides (`set`: KEY=VALUE with dotted keys, see set.c; NULL:
 * none), checks and loads the files of a program. */
int nnr__program_open(nnr_program **p, const char *path,
		      const nnr__strings *set, nnr_error *err);
/* The same for a source in memory.  dir: folder its files are read from,
 * NULL: it may name none. */
int nnr__program_parse(nnr_program **p, const char *name, const char *dir,
		       const char *text, size_t n, const nnr__strings *set,
		       nnr_error *err);
void nnr__program_close(nnr_program *p);

/* The steps of `in`, then those of `out`. */
static inline nnr__step *nnr__program_step_at(const nnr_program *p, int i)
{
	return i < p->ins ? &p->in[i] : &p->out[i - p->ins];
}
/* Finds a step by its row's name; NULL if there is none. */
nnr__step *nnr__program_step(const nnr_program *p, const char *row);

/* Renders the prompt of one item (render.c).  Without a model, chat markup
 * is shown by place holders. */
int nnr__program_render(nnr_program *p, const nnr__record *item,
			nnr__prompt *out, nnr_error *err);

/* ---- a prompt by its parts (parts.c) ---- */
/* Neighbouring pieces of one step. */
typedef struct nnr__part {
	const char *id;		/* of the step */
	nnr__buf text;		/* special tokens written out */
	int from, to;		/* token positions [from, to); -1: none */
	bool varies;		/* with the item */
} nnr__part;
typedef struct nnr__parts {
	nnr_program *p;
	nnr__prompt prompt;
	nnr__ids ids;		/* while the program is bound */
	bool bound;
	nnr__part *part;
	size_t n, cap;
} nnr__parts;
/* Release it whatever the result. */
int nnr__parts_of(nnr__parts *v, nnr_program *p, const nnr__record *item,
		  nnr_error *err);
void nnr__parts_release(nnr__parts *v);
void nnr__parts_json(const nnr__parts *v, nnr__buf *out);
/* For people; `most`: lines of each part. */
void nnr__parts_text(const nnr__parts *v, int most, nnr__buf *out);
/* Lines of a text behind a bar, 80 columns wide. */
void nnr__lines_text(const char *s, size_t n, int most, nnr__buf *out);

/* ---- binding (lower.c) ---- */
/* Makes the engine, compiles the constant part and fits what reads only the
 * source; *m must outlive the binding.  Bind again to change the model. */
int nnr__program_bind(nnr_program *p, const nnr_model *m,
		      const nnr__engine_opts *o, nnr_error *err);
void nnr__program_unbind(nnr_program *p);
/* Fits what is not fitted yet; nnr__program_answers does it by itself.
 * Refuses learnable tensors that were never trained (p->untrained: takes
 * them). */
int nnr__program_fit(nnr_program *p, nnr_error *err);
/* Forgets every fit: call after learnable tensors changed. */
void nnr__program_unfit(nnr_program *p);

/* ---- answers (answer.c) ---- */
typedef struct nnr__sample {
	char *text;		/* what the model wrote */
	char *value;		/* parsed; NULL: parse failure */
	int tokens;
} nnr__sample;
typedef struct nnr__answer {
	char *value;		/* of the output type, as text; NULL none */
	int label;		/* T_LABEL: its index, else -1 */
	double *score;		/* per label: final natural-log scores */
	double *raw;		/* before calibration */
	int scores;
	nnr__sample *sample;
	int samples;
	double agreement;	/* share of samples that gave value; NaN */
	int prompt_tokens;
} nnr__answer;
void nnr__answer_release(nnr__answer *a);

/* Called once per item, in order. */
typedef int (*nnr__on_answer)(void *ctx, int item, const nnr__answer *a,
			      nnr_error *err);
/* Answers items; the program must be bound.  Packs them as it sees fit. */
int nnr__program_answers(nnr_program *p, const nnr__record *item, int items,
			 nnr__on_answer done, void *ctx, nnr_error *err);

/* It changes or reads out f's parameters instead of reprogramming f:
 * parameter-centric adaptation (low-rank matrices, a linear probe). */
bool nnr__program_pca(const nnr_program *p);

/* ---- for people and tools (show.c, docs.c) ---- */
/* The program on the four axes, its paradigm, the prompt of an example (its
 * first test, or place holders) with token positions when bound. */
int nnr__program_show(nnr_program *p, bool json, nnr__buf *out,
		      nnr_error *err);
/* Every parameter with its value and where it came from. */
int nnr__program_resolved(nnr_program *p, bool json, nnr__buf *out,
			  nnr_error *err);
/* Something of it is learned, or its source says how. */
bool nnr__program_trains(const nnr_program *p);
/* {PARAMETER: value, ...} of a step, or of `train`. */
void nnr__step_json(const nnr__step *s, nnr__buf *out);
/* malloc'd: the tables of docs/program.md, and a source's JSON Schema. */
char *nnr__steps_markdown(void);
char *nnr__train_markdown(void);
char *nnr__steps_schema(void);

#endif
