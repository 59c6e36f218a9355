/* SPDX-License-Identifier: Apache-2.0
 *
 * step.h: what the files of this folder share with each other and nobody
 * else needs: messages with places, file access within a source's folder,
 * reading YAML into the args of a step, rendering, and batches of answers.
 */
#ifndef NNR_STEP_H
#define NNR_STEP_H

#include "program/program.h"

/* ---- messages ---- */
/* "file:line:col: ...", or "--set KEY=VALUE: ..." (source.c). */
int nnr__fail_place(const nnr_program *p, nnr__place at, int code,
		    nnr_error *err, const char *fmt, ...)
	NNR__PRINTF(5, 6);
/* The same at a parameter of a step (param NULL: at the step), after
 * "`step`: ". */
int nnr__fail_step(const nnr_program *p, const nnr__step *s,
		   const char *param, nnr_error *err, const char *fmt, ...)
	NNR__PRINTF(5, 6);
/* Puts the place before the message there is. */
int nnr__place_prefix(const nnr_program *p, const nnr__step *s,
		      const char *param, nnr_error *err);
/* "; did you mean `x`?" or, with few names, "; known: a, b", or "". */
const char *nnr__hint(char *out, size_t n, const char *word,
		      const char *const *names);

/* ---- reading a source (source.c, schema.c, set.c) ---- */
typedef struct nnr__src {
	nnr_program *p;
	nnr_error *err;
	nnr__yaml yaml;
	nnr__yaml *set;		/* values of the overrides */
	int sets;
} nnr__src;

nnr__place nnr__place_of(const nnr__ynode *n);
nnr__place nnr__place_of_key(const nnr__ynode *n);
int nnr__fail_node(nnr__src *s, const nnr__ynode *n, const char *fmt, ...)
	NNR__PRINTF(3, 4);
int nnr__fail_key(nnr__src *s, const nnr__ynode *n, const char *fmt, ...)
	NNR__PRINTF(3, 4);
/* "a map", "a list", "`text`" */
const char *nnr__node_text(const nnr__ynode *n, char *out, size_t size);
/* Copies into the program's arena; a NULL result has set the error. */
char *nnr__src_copy(nnr__src *s, const char *text, size_t n);
void *nnr__src_alloc(nnr__src *s, size_t n, size_t size);
int nnr__src_pairs(nnr__src *s, const nnr__ynode *map, const char *what,
		   nnr__pairs *out);
int nnr__src_strings(nnr__src *s, const nnr__ynode *node, const char *what,
		     nnr__strings *out);
bool nnr__is_name(const char *s);
/* Applies the overrides to the tree (set.c). */
int nnr__set_apply(nnr__src *s, nnr__ynode *top, const nnr__strings *set);
/* Fills st->args from the step's value; node NULL: no parameters. */
int nnr__args_fill(nnr__src *s, nnr__step *st, const nnr__ynode *node);
/* The value of one parameter, into *at. */
int nnr__param_read(nnr__src *s, const nnr__ynode *n, const nnr__param *q,
		    void *at);
/* `train`, read like the parameters of a step (train_plan.c). */
extern const nnr__step_row nnr__train_row;
extern const nnr__step_row nnr__step_vocab_map;
int nnr__step_read(nnr__src *s, const nnr__ynode *node, bool input,
		   nnr__step *st);
/* The fields of `input` and `output` (types.c); `tests`
 * (source_tests.c). */
int nnr__fields_read(nnr__src *s, const nnr__ynode *map, const char *what,
		     nnr__field **out, int *n);
int nnr__tests_read(nnr__src *s, const nnr__ynode *top);
/* {list: [NAME, ...]}: the names (list.c). */
int nnr__parts_read(nnr__src *s, const nnr__ynode *n, nnr__field *f);
/* Keeps the source for an artifact: the text, or `top` written again where
 * overrides changed it (emit.c). */
int nnr__source_keep(nnr__src *s, const char *text, size_t n,
		     const nnr__ynode *top);
/* nnr__program_parse of the source in an artifact, which is the program's
 * from here on, whatever happens; NULL: there is none. */
int nnr__program_read(nnr_program **out, const char *name, const char *dir,
		      const char *text, size_t n, const nnr__strings *set,
		      struct nnr__artifact *from, nnr_error *err);
/* Kinds chain, templates find their fields, needs are granted (chain.c). */
int nnr__chain_check(nnr_program *p, nnr_error *err);
const char *nnr__kind_name(nnr__kind k);

/* ---- files of a source (files.c) ---- */
/* rel to a path that can be opened; malloc'd.  Refuses what leaves the
 * source's folder, and any file of an artifact; s and param say where it is
 * written. */
int nnr__program_file(const nnr_program *p, const nnr__step *s,
		      const char *param, const char *rel, char **path,
		      nnr_error *err);
/* For a parameter `data` that is read later: that the file is there is said
 * now.  NULL: none; an artifact has what was fitted on it instead. */
int nnr__data_there(const nnr_program *p, const nnr__step *s, const char *rel,
		    nnr_error *err);
/* Its bytes, which join the program's hash while it is being read, and an
 * artifact of it; one of an artifact is read from there. */
int nnr__program_file_read(nnr_program *p, const nnr__step *s,
			   const char *param, const char *rel, size_t max,
			   nnr__buf *out, nnr_error *err);
/* Notes a file that the program depends on but does not need to answer: its
 * hash goes into an artifact.  text NULL: only that. */
int nnr__program_note(nnr_program *p, const char *rel, const char *text,
		      size_t len, const char *hash, nnr_error *err);
/* Those that the program's artifact has noted. */
int nnr__program_keep_notes(nnr_program *p, nnr_error *err);
void nnr__program_forget_files(nnr_program *p);

/* ---- data of a program (data.c) ---- */
/* What its files may declare.  `names` (room for inputs + 3) holds them. */
nnr__declared nnr__program_declared(const nnr_program *p,
				    const char **names);
/* The answer of a record as files have it, through data.target and
 * data.labels: canonical text appended to out.  1, 0 when the record has
 * none, or an error that names `where`. */
int nnr__program_target(const nnr_program *p, const nnr__record *r,
			const char *where, nnr__buf *out, nnr_error *err);
/* All of them, of a list; *out is released with nnr__strings_free. */
int nnr__program_targets(const nnr_program *p, const nnr__record *r,
			 const char *where, nnr__strings *out,
			 nnr_error *err);
void nnr__strings_free(nnr__strings *s);
/* Every input field is there (or optional) and of its type. */
int nnr__item_check(const nnr_program *p, const nnr__record *r,
		    const char *where, nnr_error *err);

/* ---- lists (list.c) ---- */
/* A T_LIST field's value from its text: a JSON list whose elements are lists
 * of one plain value for every part; with one part, also that alone.  The
 * message says where, and which element. */
int nnr__list_read(nnr__arena *a, const nnr__field *f, const char *s,
		   size_t n, const nnr__jnode **list, const char *where,
		   nnr_error *err);
int nnr__list_check(const nnr__field *f, const char *s, size_t n,
		    const char *where, nnr_error *err);
/* One element whose parts are `text`, or, NULL, their names, between the two
 * characters of `around` ("": nothing). */
void nnr__list_made_up(const nnr__field *f, const char *text,
		       const char *around, nnr__buf *out);
/* A text, number or bool as the text a record has; false for others. */
bool nnr__json_plain(const nnr__jnode *n, nnr__buf *out);
/* "a list", "a text", ... */
const char *nnr__json_kind(const nnr__jnode *n);
/* A value written again. */
void nnr__json_again(const nnr__jnode *n, nnr__buf *out);
void nnr__yaml_as_json(const nnr__ynode *n, nnr__buf *out);

/* ---- rendering (render.c) ---- */
#define NNR__PROMPT_MAX ((size_t)16 << 20)
/* The prompt of an item made up; 0 and 1 differ where items do (lower.c). */
int nnr__program_probe(nnr_program *p, int which, nnr__prompt *out,
		       nnr_error *err);
/* Symbol `which` (0, 1) of the vocab_map that reads a field; NULL: none
 * does.  Made-up items need it. */
const char *nnr__symbol_example(const nnr_program *p, const char *field,
				int which);
typedef struct nnr__render {
	nnr_program *p;
	const nnr__record *item;
	nnr__prompt *out;
	int visits;		/* parts rendered so far */
} nnr__render;
/* NNR__AT_*: where a step of `in` stands. */
int nnr__step_at(const nnr__step *s);
/* Adds a template's pieces for the item, as part s. */
int nnr__render_template(nnr__render *r, const nnr__template *t,
			 const nnr__step *s, nnr_error *err);
/* Appends the pieces of another prompt. */
void nnr__prompt_join(nnr__prompt *to, const nnr__prompt *from);
/* The text of a template for a record: fields from it, appended.  A field
 * that is missing appends nothing. */
void nnr__template_fill(const nnr__template *t, const nnr__record *r,
			nnr__buf *out);
/* The template that stands for the program's when demos have none: those
 * of `in` that read an input field, in order, joined; NULL and an error
 * when there is none.  In the arena. */
nnr__template *nnr__program_form(nnr_program *p, const nnr__step *demos,
				 nnr_error *err);

/* ---- batches of answers (answer.c) ---- */
typedef struct nnr__batch {
	const nnr__record *item;
	int n;
	nnr__ids *ids;		/* prompts */
	nnr__span *prompt;	/* the same, as spans */
	uint64_t *key;		/* hash of the rendered prompt */
	nnr__answer *answer;
} nnr__batch;
/* Prompts of items (first: number of the first one in messages). */
int nnr__batch_new(nnr_program *p, const nnr__record *item, int n, int first,
		   nnr__batch **b, nnr_error *err);
void nnr__batch_free(nnr__batch *b);
/* Runs the out steps before `end` (NULL: all). */
int nnr__batch_run(nnr_program *p, nnr__batch *b, const nnr__step *end,
		   nnr_error *err);
/* Log-probabilities over the labels from scores, in place. */
void nnr__log_softmax(double *v, int n);
/* The first scores of an answer: before any correction. */
int nnr__keep_scores(nnr__answer *out, const double *v, int n,
		     nnr_error *err);
/* Per-class scale and shift on log-probabilities (fit_affine.c). */
int nnr__fit_affine(const double *l, const int *label, int n, int classes,
		    double l2, double *scale, double *shift, nnr_error *err);
/* The logarithm of one temperature for all. */
double nnr__fit_temperature(const double *l, const int *label, int n,
			    int classes, double l2);
/* Reads a file of data and fits a step's tensors on it, or takes the fit
 * that was kept (fits.c). */
typedef int nnr__fit_on(nnr_program *p, nnr__step *s, const nnr__data *d,
			nnr_error *err);
int nnr__fit_data(nnr_program *p, nnr__step *s, const char *file,
		  const nnr__records_opts *o, bool targets,
		  nnr__fit_on *fit_on, nnr_error *err);
const nnr__field *nnr__program_input(const nnr_program *p, const char *name);

/* ---- `score`: from words to labels (step_score.c) ---- */
/* Normalised log-probabilities of every word, p->choices of each prompt. */
int nnr__score_prompts(nnr_program *p, const nnr__step *s,
		       const nnr__span *prompt, int n, double *word,
		       nnr_error *err);
/* Scores of the labels from those of one prompt's words; room for as many
 * words.  Back: adds to the gradient of the weights. */
void nnr__score_labels(const nnr_program *p, const nnr__step *s,
		       const double *word, double *room, double *label);
void nnr__score_labels_back(const nnr_program *p, const nnr__step *s,
			    const double *word, const double *label,
			    const double *dlabel, double *dword);

#endif
