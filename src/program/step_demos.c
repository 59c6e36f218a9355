/* SPDX-License-Identifier: Apache-2.0
 *
 * demos: rows of a file as worked examples in the prompt.  They are chosen
 * and put in order once, when the program is read: the same for every item.
 */
#include "step.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)64 << 20)
/* Streams of the counter RNG: choosing, ordering, one per label. */
enum { S_CHOOSE = 1, S_ORDER = 2, S_LABEL = 16 };

typedef struct nnr__a_demos args;

static const char *const chooses[] = { "first", "random", "balanced", NULL };
static const char *const orders[] = { "file", "random", "reverse", "label",
				      NULL };
static const char *const ats[] = { "here", "start", "end", NULL };

#define AT(member) offsetof(args, member)
static const nnr__param params[] = {
	{ .name = "file", .type = NNR__P_FILE, .required = true,
	  .at = AT(file), .help = "a .tsv, .jsonl or .txt file below the "
				  "source's folder" },
	{ .name = "count", .type = NNR__P_INT, .at = AT(count),
	  .fallback = "0", .min = 0, .max = 100000,
	  .help = "how many rows; 0: all" },
	{ .name = "template", .type = NNR__P_TEMPLATE, .at = AT(form),
	  .help = "a row's text, {column}; not given: the program's "
		  "template, the answer, a blank line" },
	{ .name = "columns", .type = NNR__P_STRINGS, .at = AT(columns),
	  .help = "names of the columns of a file without header" },
	{ .name = "choose", .type = NNR__P_ENUM, .at = AT(choose),
	  .names = chooses, .fallback = "first",
	  .help = "the first rows, random ones, or as many of each label" },
	{ .name = "order", .type = NNR__P_ENUM, .at = AT(order),
	  .names = orders, .fallback = "file",
	  .help = "as in the file, random, reversed, or by label" },
	{ .name = "seed", .type = NNR__P_INT, .at = AT(seed),
	  .fallback = "0", .min = 0, .max = 9e15,
	  .help = "of random choice and order" },
	{ .name = "at", .type = NNR__P_ENUM, .at = AT(at), .names = ats,
	  .fallback = "here",
	  .help = "here, or before or after all else, chat markup too" },
	{ .name = NULL }
};

/* ---- choosing ---- */

struct pick {
	nnr_program *p;
	nnr__step *s;
	args *a;
	nnr_error *err;
	uint32_t *row;		/* the chosen rows */
	uint32_t *perm;		/* scratch, as long as the file */
	int n, want;
};

static int by_row(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return a < b ? -1 : a > b;
}

static void choose_any(struct pick *k)
{
	int all = k->a->rec.n;

	for (int i = 0; i < all; i++)
		k->perm[i] = (uint32_t)i;
	if (k->a->choose == NNR__CHOOSE_RANDOM)
		nnr__rng_shuffle(k->perm, (uint32_t)all,
				 (uint64_t)k->a->seed, S_CHOOSE);
	for (int i = 0; i < k->want; i++)
		k->row[k->n++] = k->perm[i];
}

/* Rows of a label, shuffled, into perm; how many. */
static int rows_of(struct pick *k, int label, uint32_t *order)
{
	int n = 0;

	nnr__rng_shuffle(order, (uint32_t)k->a->rec.n, (uint64_t)k->a->seed,
			 (uint64_t)(S_LABEL + label));
	for (int i = 0; i < k->a->rec.n; i++)
		if (k->a->label[order[i]] == label)
			k->perm[n++] = order[i];
	return n;
}

/* count / labels of each; the first labels get one more of the rest. */
static int choose_balanced(struct pick *k)
{
	const nnr__strings *labels = &k->p->output.labels;
	uint32_t *order = nnr__calloc((size_t)k->a->rec.n, sizeof(*order));

	if (!order)
		return nnr__fail_memory(k->err, "demos", sizeof(*order));
	for (int c = 0; c < labels->n; c++) {
		int share = k->want / labels->n + (c < k->want % labels->n);
		int have = rows_of(k, c, order);
		if (have < share) {
			free(order);
			return nnr__fail_step(k->p, k->s, "choose", k->err,
					      "balanced needs %d rows of the "
					      "label `%s`; '%s' has %d",
					      share, labels->s[c],
					      k->a->file, have);
		}
		for (int i = 0; i < share; i++)
			k->row[k->n++] = k->perm[i];
	}
	free(order);
	return 0;
}

/* ---- order ---- */

static void put_in_order(struct pick *k)
{
	uint32_t *copy = k->perm, n = (uint32_t)k->n, at = 0;

	qsort(k->row, n, sizeof(*k->row), by_row);
	if (k->a->order == NNR__ORDER_FILE)
		return;
	if (k->a->order == NNR__ORDER_REVERSE) {
		for (uint32_t i = 0; i < n; i++)
			copy[i] = k->row[n - 1 - i];
	} else if (k->a->order == NNR__ORDER_RANDOM) {
		nnr__rng_shuffle(copy, n, (uint64_t)k->a->seed, S_ORDER);
		for (uint32_t i = 0; i < n; i++)
			copy[i] = k->row[copy[i]];
	} else {
		for (int c = -1; c < k->p->output.labels.n; c++)
			for (uint32_t i = 0; i < n; i++)
				if (k->a->label[k->row[i]] == c)
					copy[at++] = k->row[i];
	}
	memcpy(k->row, copy, n * sizeof(*copy));
}

/* Keeps the chosen rows only, in prompt order. */
static int keep(struct pick *k)
{
	nnr__records *rec = &k->a->rec, kept = *rec;
	size_t n = (size_t)k->n;
	int *label = nnr__calloc(n, sizeof(*label));

	kept.row = nnr__calloc(n, sizeof(*kept.row));
	kept.line = nnr__calloc(n, sizeof(*kept.line));
	if (!label || !kept.row || !kept.line) {
		free(label);
		free(kept.row);
		free(kept.line);
		return nnr__fail_memory(k->err, "demos", n);
	}
	kept.n = 0;
	kept.cap = kept.line_cap = n;
	for (int i = 0; i < k->n; i++) {
		nnr__record *from = &rec->row[k->row[i]];
		label[i] = k->a->label[k->row[i]];
		kept.line[i] = rec->line[k->row[i]];
		kept.row[kept.n++] = *from;
		memset(from, 0, sizeof(*from));
	}
	nnr__records_release(rec);
	free(k->a->label);
	*rec = kept;
	k->a->label = label;
	return 0;
}

static int choose_rows(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	struct pick k = { .p = p, .s = s, .a = a, .err = err };
	size_t all = (size_t)a->rec.n;
	int rc = 0;

	k.want = a->count ? (int)a->count : a->rec.n;
	if (k.want > a->rec.n)
		return nnr__fail_step(p, s, "count", err, "%d rows are asked "
				      "for; '%s' has %d", k.want, a->file,
				      a->rec.n);
	k.row = nnr__calloc(all, sizeof(*k.row));
	k.perm = nnr__calloc(all, sizeof(*k.perm));
	if (!k.row || !k.perm)
		rc = nnr__fail_memory(err, "demos", all);
	else if (a->choose == NNR__CHOOSE_BALANCED)
		rc = choose_balanced(&k);
	else
		choose_any(&k);
	if (!rc) {
		put_in_order(&k);
		rc = keep(&k);
	}
	free(k.row);
	free(k.perm);
	return rc;
}

/* ---- rows and their text ---- */

static int find_labels(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	nnr__buf text = { 0 };
	char where[200];
	int rc = 0;

	a->label = nnr__calloc((size_t)a->rec.n, sizeof(*a->label));
	if (!a->label)
		return nnr__fail_memory(err, "demos", sizeof(*a->label));
	for (int i = 0; i < a->rec.n; i++)
		a->label[i] = -1;
	if (p->output.type != NNR__T_LABEL)
		return 0;
	for (int i = 0; i < a->rec.n && rc >= 0; i++) {
		nnr__buf_clear(&text);
		snprintf(where, sizeof(where), "%.160s:%u", a->file,
			 a->rec.line[i]);
		rc = nnr__program_target(p, &a->rec.row[i], where, &text,
					 err);
		if (rc == 1)
			a->label[i] = nnr__type_label(&p->output, text.p);
	}
	nnr__buf_release(&text);
	return rc < 0 ? rc : 0;
}

/* A label in a row's own column is replaced by the label's name, so that
 * {label} never shows a file's number. */
static int name_label(nnr_program *p, nnr__record *r, int label,
		      nnr_error *err)
{
	const char *text;

	if (label < 0)
		return 0;
	text = p->output.labels.s[label];
	return nnr__record_set(r, p->output.name, text, strlen(text), err);
}

static int check_columns(nnr_program *p, nnr__step *s,
			 const nnr__template *form, nnr_error *err)
{
	args *a = s->args;
	const char *names[65];
	char hint[200];

	for (int i = 0; i < a->rec.n; i++) {
		const nnr__record *r = &a->rec.row[i];
		for (int j = 0; j < form->n; j++) {
			const char *name = form->part[j].text;
			const nnr__field *f = nnr__program_input(p, name);
			int n = 0;
			if (form->part[j].field && f &&
			    f->type == NNR__T_LIST)
				return nnr__fail_step(p, s, NULL, err,
					"`{%s}` is a list, which the text of "
					"a row cannot have", name);
			if (!form->part[j].field ||
			    nnr__record_get(r, name) ||
			    (f && f->optional))
				continue;
			for (int v = 0; v < r->n && n < 64; v++)
				names[n++] = r->v[v].name;
			names[n] = NULL;
			return nnr__fail_step(p, s, a->form ? "template"
							    : "file", err,
				"%s:%u has no column `%s`%s", a->file,
				a->rec.line[i], name,
				nnr__hint(hint, sizeof(hint), name, names));
		}
	}
	return 0;
}

/* " negative": as the choice spells it, else the field after a space. */
static int add_answer(nnr_program *p, nnr__step *s, int i, nnr_error *err)
{
	const nnr__step *score = nnr__program_step(p, "score");
	args *a = s->args;
	const char *column = p->data_target.n ? p->data_target.p[0].key
					      : p->output.name;
	const char *choice = NULL;
	const nnr__value *v;

	if (score && a->label[i] >= 0) {
		const struct nnr__a_score *sa = score->args;
		choice = nnr__pairs_get(&sa->choices,
				p->output.labels.s[a->label[i]]);
	}
	if (choice) {
		nnr__buf_adds(&a->text, choice);
		return 0;
	}
	v = nnr__record_get(&a->rec.row[i], a->label[i] >= 0 ? p->output.name
							     : column);
	if (!v)
		return nnr__fail_step(p, s, "file", err, "%s:%u has no column "
				      "`%s`, the answer", a->file,
				      a->rec.line[i], column);
	nnr__buf_addc(&a->text, ' ');
	nnr__buf_add(&a->text, v->text, v->len);
	return 0;
}

static int build_text(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	const nnr__template *form = a->form ? a->form
					    : nnr__program_form(p, s, err);
	int rc = form ? 0 : err->code;

	for (int i = 0; i < a->rec.n && !rc; i++)
		rc = name_label(p, &a->rec.row[i], a->label[i], err);
	rc = rc ? rc : check_columns(p, s, form, err);
	for (int i = 0; i < a->rec.n && !rc; i++) {
		nnr__template_fill(form, &a->rec.row[i], &a->text);
		if (!a->form) {
			rc = add_answer(p, s, i, err);
			nnr__buf_adds(&a->text, "\n\n");
		}
		if (!rc && a->text.len > NNR__PROMPT_MAX)
			rc = nnr__fail_step(p, s, NULL, err, "the examples "
					    "are longer than %zu MiB",
					    NNR__PROMPT_MAX >> 20);
	}
	if (!rc && a->text.bad)
		rc = nnr__fail_memory(err, "demos", a->text.len);
	return rc;
}

/* ---- hooks ---- */

/* Columns that the file's header may name: the program's fields and what
 * the step's own template reads. */
static nnr__declared declared(const nnr_program *p, const args *a,
			      const char **names, int room)
{
	nnr__declared d = nnr__program_declared(p, names);
	int n = 0;

	while (names[n])
		n++;
	for (int i = 0; a->form && i < a->form->n && n < room - 1; i++)
		if (a->form->part[i].field)
			names[n++] = a->form->part[i].text;
	names[n] = NULL;
	return d;
}

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	bool label = p->output.type == NNR__T_LABEL;

	if (a->choose == NNR__CHOOSE_BALANCED && !label)
		return nnr__fail_step(p, s, "choose", err, "balanced needs an "
				      "output that is a list of labels");
	if (a->order == NNR__ORDER_LABEL && !label)
		return nnr__fail_step(p, s, "order", err, "by label needs an "
				      "output that is a list of labels");
	return 0;
}

static int load(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	nnr__records_opts o = { .columns = a->columns };
	const char *names[200];
	nnr__declared d = declared(p, a, names, 200);
	nnr__buf text = { 0 };
	int rc = nnr__program_file_read(p, s, "file", a->file, FILE_MAX,
					&text, err);

	if (rc)
		return rc;
	rc = nnr__records_parse(&a->rec, a->file, text.p ? text.p : "",
				text.len, &d, &o, err);
	nnr__buf_release(&text);
	rc = rc ? rc : find_labels(p, s, err);
	if (rc)
		return nnr__place_prefix(p, s, "file", err);
	rc = choose_rows(p, s, err);
	return rc ? rc : build_text(p, s, err);
}

static int render(nnr__render *r, const nnr__step *s, nnr_error *err)
{
	const args *a = s->args;

	(void)err;
	nnr__prompt_text(r->out, a->text.p ? a->text.p : "", a->text.len,
			 s->id, false);
	return 0;
}

static void release(nnr__step *s)
{
	args *a = s->args;

	nnr__records_release(&a->rec);
	nnr__buf_release(&a->text);
	free(a->label);
	a->label = NULL;
}

const nnr__step_row nnr__step_demos = {
	.name = "demos",
	.help = "worked examples from a file",
	.input = true, .takes = NNR__K_ITEM, .gives = NNR__K_TEXT,
	.location = "input", .adapt = "fixed", .operation = "concatenative",
	.paradigm = "in-context learning",
	.param = params, .bare = "file", .args = sizeof(args),
	.check = check, .load = load, .render = render, .release = release
};
