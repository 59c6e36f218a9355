/* SPDX-License-Identifier: Apache-2.0
 *
 * records.c: data files -> records, one reader for demonstrations, fits and
 * evaluation.  A record's values are texts; what they mean is data.c's.
 */
#include "step.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 30)
#define ROWS_MAX 20000000
#define COLUMNS_MAX 256

/* ---- reading ---- */

enum form { TSV, JSONL, TXT };

struct reader {
	nnr__records *out;
	const char *name;
	const nnr__declared *d;
	const nnr__records_opts *o;
	nnr_error *err;
	uint32_t line;
	/* TSV: names of the columns */
	char *column[COLUMNS_MAX];
	int columns;
	bool named;		/* columns are known */
	int64_t seen;		/* rows before `where` */
};

static int fail_line(struct reader *r, const char *fmt, ...)
	NNR__PRINTF(2, 3);

static int fail_line(struct reader *r, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (!r->line)
		return nnr__fail(r->err, NNR_E_INPUT, "%.160s: %s", r->name,
				 what);
	return nnr__fail(r->err, NNR_E_INPUT, "%.160s:%u: %s", r->name,
			 r->line, what);
}

/* Adds the row unless `where` drops it; owns *rec afterwards. */
static int add_row(struct reader *r, nnr__record *rec)
{
	nnr__records *out = r->out;
	const nnr__pairs *where = r->o ? &r->o->where : NULL;

	r->seen++;
	for (int i = 0; where && i < where->n; i++) {
		const nnr__value *v = nnr__record_get(rec, where->p[i].key);
		if (!v) {
			int rc = fail_line(r, "no column `%.60s` to select "
					   "by", where->p[i].key);
			nnr__record_release(rec);
			return rc;
		}
		if (strcmp(v->text, where->p[i].value) != 0) {
			nnr__record_release(rec);
			return 0;
		}
	}
	if (out->n >= ROWS_MAX ||
	    !nnr__grow(&out->row, &out->cap, (size_t)out->n,
		       sizeof(*out->row)) ||
	    !nnr__grow(&out->line, &out->line_cap, (size_t)out->n,
		       sizeof(*out->line))) {
		nnr__record_release(rec);
		return nnr__fail_memory(r->err, r->name, (size_t)out->n);
	}
	out->row[out->n] = *rec;
	out->line[out->n++] = r->line;
	memset(rec, 0, sizeof(*rec));
	return 0;
}

/* ---- TSV ---- */

static bool declared(const nnr__declared *d, const char *s, size_t n)
{
	for (int i = 0; d->name[i]; i++)
		if (strlen(d->name[i]) == n && memcmp(d->name[i], s, n) == 0)
			return true;
	return false;
}

/* The next cell of a line; *at moves behind its tab, to n + 1 at the end. */
static size_t next_cell(const char *s, size_t n, size_t *at)
{
	const char *tab = memchr(s + *at, '\t', n - *at);
	size_t len = tab ? (size_t)(tab - s) - *at : n - *at;

	*at += len + 1;
	return len;
}

static int count_cells(const char *s, size_t n, const nnr__declared *d,
		       bool *header)
{
	int cells = 0;

	*header = true;
	for (size_t at = 0; at <= n; cells++) {
		const char *cell = s + at;
		size_t len = next_cell(s, n, &at);
		*header = *header && declared(d, cell, len);
	}
	return cells;
}

static int name_column(struct reader *r, const char *s, size_t n)
{
	for (int i = 0; i < r->columns; i++)
		if (strlen(r->column[i]) == n &&
		    memcmp(r->column[i], s, n) == 0)
			return fail_line(r, "two columns `%.60s`",
					 r->column[i]);
	if (r->columns == COLUMNS_MAX)
		return fail_line(r, "more than %d columns", COLUMNS_MAX);
	r->column[r->columns] = nnr__strndup(s, n);
	if (!r->column[r->columns++])
		return nnr__fail_memory(r->err, r->name, n);
	return 0;
}

/* Columns from the first line, or from what is declared. *header: the line
 * holds names, not values. */
static int name_columns(struct reader *r, const char *s, size_t n,
			bool *header)
{
	const nnr__strings *given = r->o ? &r->o->columns : NULL;
	const nnr__declared *d = r->d;
	int cells = count_cells(s, n, d, header), rc = 0;

	r->named = true;
	if (given && given->n) {
		*header = false;
		for (int i = 0; i < given->n && !rc; i++)
			rc = name_column(r, given->s[i],
					 strlen(given->s[i]));
		return rc;
	}
	if (*header) {
		for (size_t at = 0; at <= n && !rc;) {
			const char *cell = s + at;
			size_t len = next_cell(s, n, &at);
			rc = name_column(r, cell, len);
		}
		return rc;
	}
	if (cells != 2 || !d->input || !d->output)
		return fail_line(r, "%d column%s without names; without a "
				 "header a file has two, the label and the "
				 "only input field: name them with "
				 "`columns`", cells, cells == 1 ? "" : "s");
	rc = name_column(r, d->output, strlen(d->output));
	return rc ? rc : name_column(r, d->input, strlen(d->input));
}

static int read_tsv(struct reader *r, const char *s, size_t n)
{
	nnr__record rec = { 0 };
	bool header = false;
	int cells, rc = 0;

	if (!n)
		return 0;
	if (!r->named) {
		rc = name_columns(r, s, n, &header);
		if (rc || header)
			return rc;
	}
	cells = count_cells(s, n, r->d, &header);
	if (cells != r->columns)
		return fail_line(r, "%d column%s; %d were expected", cells,
				 cells == 1 ? "" : "s", r->columns);
	cells = 0;
	for (size_t at = 0; at <= n && !rc; cells++) {
		const char *cell = s + at;
		size_t len = next_cell(s, n, &at);
		rc = nnr__record_set(&rec, r->column[cells], cell, len,
				     r->err);
	}
	rc = rc ? rc : add_row(r, &rec);
	nnr__record_release(&rec);
	return rc;
}

/* ---- JSON lines ---- */

static bool is_answer(const struct reader *r, const char *name)
{
	return r->d->output && strcmp(name, r->d->output) == 0;
}

static bool is_list(const struct reader *r, const char *name)
{
	for (int i = 0; i < r->d->fields; i++)
		if (strcmp(r->d->field[i].name, name) == 0)
			return r->d->field[i].type == NNR__T_LIST;
	return false;
}

static int fail_nul(struct reader *r, const char *name)
{
	return fail_line(r, "`%.60s` holds a NUL", name);
}

static int read_answers(struct reader *r, const nnr__jnode *list,
			nnr__strings *out)
{
	out->s = nnr__calloc(list->count, sizeof(*out->s));
	if (!out->s)
		return nnr__fail_memory(r->err, list->key, list->count);
	for (const nnr__jnode *c = list->child; c; c = c->next) {
		nnr__buf text = { 0 };

		if (!nnr__json_plain(c, &text))
			return fail_line(r, "element %d of `%.60s` is %s; a "
					 "text was expected", out->n + 1,
					 list->key, nnr__json_kind(c));
		if (text.len && memchr(text.p, 0, text.len)) {
			nnr__buf_release(&text);
			return fail_nul(r, list->key);
		}
		out->s[out->n] = nnr__buf_take(&text);
		if (!out->s[out->n++])
			return nnr__fail_memory(r->err, list->key, text.len);
	}
	return 0;
}

/* Several answers, all of them right. */
static int add_answers(struct reader *r, nnr__record *rec,
		       const nnr__jnode *list)
{
	nnr__strings all = { NULL, 0 };
	int rc;

	if (!list->count)
		return fail_line(r, "`%.60s` is an empty list; at least one "
				 "text was expected", list->key);
	rc = read_answers(r, list, &all);
	rc = rc ? rc : nnr__record_set_all(rec, list->key, &all, r->err);
	nnr__strings_free(&all);
	return rc;
}

/* A list, an object or null. */
static int add_nested(struct reader *r, nnr__record *rec, const nnr__jnode *n)
{
	nnr__buf text = { 0 };
	int rc;

	if (n->kind == NNR__J_NULL)
		return 0;
	if (n->kind == NNR__J_ARRAY && r->d->lists && is_answer(r, n->key))
		return add_answers(r, rec, n);
	if (!is_list(r, n->key))
		return !declared(r->d, n->key, strlen(n->key)) ? 0 :
		       fail_line(r, "`%.60s` is %s; a text or a number was "
				 "expected", n->key, nnr__json_kind(n));
	nnr__json_again(n, &text);
	rc = text.bad ? nnr__fail_memory(r->err, r->name, text.len)
		      : nnr__record_set(rec, n->key, text.p, text.len,
					r->err);
	nnr__buf_release(&text);
	return rc;
}

static int add_json(struct reader *r, nnr__record *rec, const nnr__jnode *n)
{
	nnr__buf text = { 0 };
	int rc;

	if (n->kind == NNR__J_STRING) {
		if (is_answer(r, n->key) && n->len &&
		    memchr(n->text, 0, n->len))
			return fail_nul(r, n->key);
		return nnr__record_set(rec, n->key, n->text, n->len, r->err);
	}
	if (!nnr__json_plain(n, &text))
		return add_nested(r, rec, n);
	rc = text.bad ? nnr__fail_memory(r->err, r->name, text.len)
		      : nnr__record_set(rec, n->key, text.p ? text.p : "",
					text.len, r->err);
	nnr__buf_release(&text);
	return rc;
}

static int read_object(struct reader *r, nnr__record *rec,
		       const nnr__jnode *obj)
{
	int rc = 0;

	if (obj->kind != NNR__J_OBJECT)
		return fail_line(r, "not an object, {\"field\": value, ...}");
	for (const nnr__jnode *c = obj->child; c && !rc; c = c->next)
		rc = add_json(r, rec, c);
	return rc;
}

static bool blank(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strchr(" \t\r", s[i]))
			return false;
	return true;
}

/* A line is a document of its own to the parser: its "1:COL: why" becomes
 * "file:LINE:COL: why". */
static int fail_json(struct reader *r, const nnr_error *why)
{
	if (why->code != NNR_E_INPUT || strncmp(why->message, "j:1:", 4) != 0)
		return nnr__fail(r->err, why->code, "%s", why->message);
	return nnr__fail(r->err, NNR_E_INPUT, "%.160s:%u:%s", r->name,
			 r->line, why->message + 4);
}

static int read_json(struct reader *r, const char *s, size_t n)
{
	nnr__arena a = { NULL };
	const nnr__jnode *obj;
	nnr__record rec = { 0 };
	nnr_error why;
	int rc;

	if (blank(s, n))
		return 0;
	rc = nnr__json_parse(&a, &obj, "j", s, n, &why);
	if (rc)
		rc = fail_json(r, &why);
	rc = rc ? rc : read_object(r, &rec, obj);
	rc = rc ? rc : add_row(r, &rec);
	nnr__record_release(&rec);
	nnr__arena_release(&a);
	return rc;
}

int nnr__record_json(nnr__record *rec, const char *name, const char *text,
		     size_t n, const nnr__declared *d, nnr_error *err)
{
	struct reader r = { .name = name, .d = d, .err = err };
	nnr__arena a = { NULL };
	const nnr__jnode *obj;
	int rc;

	memset(rec, 0, sizeof(*rec));
	rc = nnr__json_parse(&a, &obj, name, text, n, err);
	rc = rc ? rc : read_object(&r, rec, obj);
	nnr__arena_release(&a);
	if (rc)
		nnr__record_release(rec);
	return rc;
}

/* ---- text ---- */

static int read_txt(struct reader *r, const char *s, size_t n)
{
	nnr__record rec = { 0 };
	int rc;

	if (!r->d->input)
		return fail_line(r, "a .txt file has one field, the program "
				 "has several");
	rc = nnr__record_set(&rec, r->d->input, s, n, r->err);
	rc = rc ? rc : add_row(r, &rec);
	nnr__record_release(&rec);
	return rc;
}

/* ---- files ---- */

static int form_of(const char *name, enum form *f, nnr_error *err)
{
	static const struct { const char *end; enum form form; } ends[] = {
		{ ".tsv", TSV }, { ".jsonl", JSONL }, { ".ndjson", JSONL },
		{ ".json", JSONL }, { ".txt", TXT }
	};
	size_t n = strlen(name);

	*f = JSONL;
	if (strcmp(name, "-") == 0)
		return 0;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		size_t k = strlen(ends[i].end);
		if (n > k && strcmp(name + n - k, ends[i].end) == 0) {
			*f = ends[i].form;
			return 0;
		}
	}
	return nnr__fail(err, NNR_E_INPUT, "'%.200s' is not a data file: "
			 ".tsv, .jsonl or .txt was expected", name);
}

/* No NUL and no invalid UTF-8, in a line that was cut out. */
static int check_line(struct reader *r, const char *s, size_t n)
{
	size_t bad = nnr__utf8_valid(s, n), col = 1, len;
	const char *nul = n ? memchr(s, 0, n) : NULL;

	if (nul && (size_t)(nul - s) < bad)
		bad = (size_t)(nul - s);
	if (bad == n)
		return 0;
	for (size_t i = 0; i < bad; i += len, col++)
		nnr__utf8_next(s + i, bad - i, &len);
	return nnr__fail(r->err, NNR_E_INPUT, "%.160s:%u:%zu: %s", r->name,
			 r->line, col, s[bad] ? "not valid UTF-8"
					      : "a NUL byte");
}

static int read_lines(struct reader *r, enum form form, const char *text,
		      size_t n)
{
	int rc = 0;

	for (size_t at = 0; at < n && !rc;) {
		const char *s = text + at, *end = memchr(s, '\n', n - at);
		size_t len = end ? (size_t)(end - s) : n - at;
		at += len + 1;
		r->line++;
		if (len && s[len - 1] == '\r')
			len--;
		rc = check_line(r, s, len);
		if (!rc)
			rc = form == TSV     ? read_tsv(r, s, len)
			     : form == JSONL ? read_json(r, s, len)
					     : read_txt(r, s, len);
		if (!rc && r->line % 1024 == 0 && nnr__interrupted())
			rc = nnr__fail(r->err, NNR_E_INTERRUPTED,
				       "interrupted");
	}
	return rc;
}

/* Keeps the rows whose mark is set; frees the others. */
static void keep_rows(nnr__records *out, const bool *keep)
{
	int n = 0;

	for (int i = 0; i < out->n; i++) {
		if (!keep[i]) {
			nnr__record_release(&out->row[i]);
			continue;
		}
		out->line[n] = out->line[i];
		out->row[n++] = out->row[i];
	}
	out->n = n;
}

static int select_rows(struct reader *r)
{
	nnr__records *out = r->out;
	const nnr__records_opts *o = r->o;
	int64_t n = out->n;
	uint32_t *perm;
	bool *keep;

	if (!o || (o->limit <= 0 && o->sample <= 0))
		return 0;
	perm = nnr__calloc((size_t)n, sizeof(*perm));
	keep = nnr__calloc((size_t)n, sizeof(*keep));
	if (!perm || !keep) {
		free(perm);
		free(keep);
		return nnr__fail_memory(r->err, r->name, (size_t)n);
	}
	nnr__rng_shuffle(perm, (uint32_t)n, o->seed, 0);
	for (int64_t i = 0; i < n; i++)
		if (o->sample <= 0 || i < o->sample)
			keep[o->sample > 0 ? (int64_t)perm[i] : i] = true;
	for (int64_t i = 0, count = 0; i < n; i++)
		if (keep[i] && o->limit > 0 && count++ >= o->limit)
			keep[i] = false;
	keep_rows(out, keep);
	free(perm);
	free(keep);
	return 0;
}

int nnr__records_parse(nnr__records *out, const char *name, const char *text,
		       size_t n, const nnr__declared *d,
		       const nnr__records_opts *o, nnr_error *err)
{
	struct reader r = { .out = out, .name = name, .d = d, .o = o,
			    .err = err };
	enum form form;
	int rc;

	memset(out, 0, sizeof(*out));
	nnr__sha_of(text, n, out->hash);
	rc = form_of(name, &form, err);
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		n -= 3;
	}
	rc = rc ? rc : read_lines(&r, form, text, n);
	if (!rc && !r.seen)
		rc = nnr__fail(err, NNR_E_INPUT, "'%.200s' is empty: no rows",
			       name);
	else if (!rc && !out->n)
		rc = nnr__fail(err, NNR_E_INPUT, "'%.200s': none of the %lld "
			       "rows is selected", name, (long long)r.seen);
	rc = rc ? rc : select_rows(&r);
	for (int i = 0; i < r.columns; i++)
		free(r.column[i]);
	if (rc)
		nnr__records_release(out);
	return rc;
}

int nnr__records_read(nnr__records *out, const char *path,
		      const nnr__declared *d, const nnr__records_opts *o,
		      nnr_error *err)
{
	nnr__buf text = { 0 };
	enum form form;
	int rc = form_of(path, &form, err);

	memset(out, 0, sizeof(*out));
	rc = rc ? rc : nnr__file_read(&text, path, FILE_MAX, err);
	rc = rc ? rc : nnr__records_parse(out, path, text.p ? text.p : "",
					  text.len, d, o, err);
	nnr__buf_release(&text);
	return rc;
}

void nnr__records_release(nnr__records *r)
{
	for (int i = 0; i < r->n; i++)
		nnr__record_release(&r->row[i]);
	free(r->row);
	free(r->line);
	memset(r, 0, sizeof(*r));
}
