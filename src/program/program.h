/* SPDX-License-Identifier: Apache-2.0
 *
 * program: a source (YAML) -> a checked list of steps -> answers.
 *
 * A step is one file step_<name>.c and one row in steps.def.  A row says
 * what kinds it takes and gives, where it stands on the four axes, its
 * parameters (types, ranges, defaults, one line of help each), and what it
 * needs of f.  Parser, messages, show, docs and JSON Schema come from it.
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
	NNR__P_ENUM,		/* int; names in `names` */
	NNR__P_FILE,		/* char *: path as written; resolved on use */
	NNR__P_STRINGS,		/* nnr__strings: one string or a list */
	NNR__P_MAP		/* nnr__pairs: ordered key -> string */
} nnr__ptype;

typedef struct nnr__strings { char **s; int n; } nnr__strings;
typedef struct nnr__pair { char *key, *value; } nnr__pair;
typedef struct nnr__pairs { nnr__pair *p; int n; } nnr__pairs;

typedef struct nnr__param {
	const char *name;
	nnr__ptype type;
	size_t at;		/* offset in the step's args struct */
	bool required;
	const char *fallback;	/* default, as written in YAML; NULL none */
	double min, max;	/* numbers */
	const char *const *names;	/* enum */
	const char *help;
} nnr__param;

struct nnr__step;
struct nnr_program;
typedef struct nnr__step_row {
	const char *name;
	const char *help;	/* one line */
	bool input;		/* belongs to `in`, else to `out` */
	nnr__kind takes, gives;
	const char *location, *adapt, *operation;	/* g_in axes */
	const char *alignment;				/* g_out axis */
	const char *paradigm;	/* or NULL */
	const char *needs;	/* of f: "text", "logits", ... */
	const nnr__param *param;	/* ends with name NULL */
	const char *bare;	/* parameter a scalar stands for, or NULL */
	size_t args;		/* size of the args struct */
	/* Checks what the table cannot say; may be NULL. */
	int (*check)(struct nnr_program *p, struct nnr__step *s,
		     nnr_error *err);
} nnr__step_row;

typedef enum { NNR__WHEN_ALWAYS, NNR__WHEN_TRAIN, NNR__WHEN_RUN } nnr__when;

typedef struct nnr__step {
	const nnr__step_row *row;
	char *id;
	nnr__when when;
	uint32_t line, col;
	void *args;		/* the row's struct, filled by the parser */
} nnr__step;

/* ---- templates: "{name}" fields, "{{" "}}" literal (template.c) ---- */
typedef struct nnr__tpart { char *text; size_t len; bool field; } nnr__tpart;
typedef struct nnr__template { nnr__tpart *part; int n; } nnr__template;

/* ---- types ---- */
typedef enum {
	NNR__T_STRING, NNR__T_INT, NNR__T_NUMBER, NNR__T_BOOL, NNR__T_LABEL
} nnr__type;
typedef struct nnr__field {
	char *name;
	nnr__type type;
	bool optional;		/* written `type?` */
	nnr__strings labels;	/* T_LABEL */
} nnr__field;

/* ---- a record: named values of an item ---- */
typedef struct nnr__value { char *name, *text; size_t len; } nnr__value;
typedef struct nnr__record { nnr__value *v; int n; size_t cap; } nnr__record;
const nnr__value *nnr__record_get(const nnr__record *r, const char *name);
int nnr__record_set(nnr__record *r, const char *name, const char *text,
		    size_t len, nnr_error *err);
void nnr__record_release(nnr__record *r);

/* ---- the args structs of the steps (shared with the runtime) ---- */
struct nnr__a_template { nnr__template *text; };
struct nnr__a_chat { char *system; };
enum { NNR__CHOOSE_FIRST, NNR__CHOOSE_RANDOM, NNR__CHOOSE_BALANCED };
enum { NNR__ORDER_FILE, NNR__ORDER_RANDOM, NNR__ORDER_REVERSE,
       NNR__ORDER_LABEL };
struct nnr__a_demos {
	char *file;
	int64_t count;		/* 0: all */
	nnr__template *form;	/* YAML key `template`; NULL: default */
	nnr__strings columns;
	int choose, order;
	int64_t seed;
};
enum { NNR__NORM_SUM, NNR__NORM_LENGTH, NNR__NORM_BYTES,
       NNR__NORM_UNCONDITIONAL };
struct nnr__a_score {
	nnr__pairs choices;
	int normalize;
	char *context;		/* unconditional: the neutral prompt */
};
struct nnr__a_generate {
	int64_t max_tokens, samples, top_k, seed;
	double temperature, top_p;
	nnr__strings stop;
};
enum { NNR__PARSE_REGEX, NNR__PARSE_NUMBER, NNR__PARSE_LABEL,
       NNR__PARSE_TEXT };
enum { NNR__PICK_FIRST, NNR__PICK_LAST };
struct nnr__a_parse {
	int method;		/* default: regex if given, else by type */
	char *regex;
	int pick;
	char *otherwise;	/* YAML key `else`: "none" or a value */
	nnr__pairs words;	/* label words; default the labels */
	nnr__regex *compiled;
};
enum { NNR__BY_VOTE, NNR__BY_MEAN };
struct nnr__a_reduce { char *over; int by; };
enum { NNR__CAL_CONTEXTUAL, NNR__CAL_DOMAIN, NNR__CAL_BATCH,
       NNR__CAL_AFFINE };
struct nnr__a_calibrate {
	int method;
	nnr__strings inputs;	/* contextual: content-free inputs */
	char *data;		/* domain, batch, affine: file it is fitted on */
	int64_t count, length, seed, limit;
	/* fitted: score_c -> scale[c]*score_c + shift[c] */
	double *scale, *shift;
	bool fitted;
};

/* ---- a program ---- */
struct nnr_program {
	char *path, *dir, *name, *model_ref;
	char hash[65];			/* SHA-256 of source + its files */
	nnr__field *input;
	int inputs;
	nnr__field output;
	nnr__pairs data_labels;		/* as files spell them -> label */
	nnr__pairs data_target;		/* field -> regex */
	nnr__step *in, *out;
	int ins, outs;
	nnr__record *test_in, *test_out;
	int tests;
	nnr__record *demo;		/* read at load */
	int demos;
	nnr__arena arena;
	/* binding */
	nnr_model *model;
	nnr__engine *engine;
	nnr__ids *choice;		/* tokens of each choice */
	bool prefix_ready;
};

/* Finds a step by its row's name; NULL if there is none. */
nnr__step *nnr__program_step(const nnr_program *p, const char *row);

/* Renders the prompt of one item (render.c). */
int nnr__program_render(nnr_program *p, const nnr__record *item,
			nnr__prompt *out, nnr_error *err);

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

#endif
