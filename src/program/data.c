/* SPDX-License-Identifier: Apache-2.0
 *
 * data.c: what the records of a file mean to a program: input fields of
 * their types, and the answer through data.target and data.labels.
 */
#include "step.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The column the answer is in. */
static const char *target_column(const nnr_program *p)
{
	return p->data_target.n ? p->data_target.p[0].key : p->output.name;
}

nnr__declared nnr__program_declared(const nnr_program *p, const char **names)
{
	int n = 0;

	for (int i = 0; i < p->inputs; i++)
		names[n++] = p->input[i].name;
	names[n++] = p->output.name;
	names[n++] = target_column(p);
	names[n] = NULL;
	return (nnr__declared){ .name = names,
				.input = p->inputs == 1 ? p->input[0].name
							: NULL,
				.field = p->input, .fields = p->inputs,
				.lists = p->output.type == NNR__T_STRING,
				.output = target_column(p) };
}

/* ---- the answer ---- */

static int fail_label(const nnr_program *p, const char *where,
		      const char *raw, nnr_error *err)
{
	char want[160], spelled[120] = "";
	size_t at = 0;

	for (int i = 0; i < p->data_labels.n && at < sizeof(spelled); i++) {
		int k = snprintf(spelled + at, sizeof(spelled) - at, "%s%.30s",
				 i ? ", " : "; data.labels maps ",
				 p->data_labels.p[i].key);
		at += k > 0 ? (size_t)k : 0;
	}
	spelled[nnr__utf8_whole(spelled, strlen(spelled))] = '\0';
	nnr__type_text(&p->output, want, sizeof(want));
	return nnr__fail(err, NNR_E_INPUT, "%s: the label `%.60s` is not %s%s",
			 where, raw, want, spelled);
}

/* The part of the raw answer that data.target matches. */
static int extract(const nnr_program *p, const char *s, size_t n,
		   const char *where, size_t *start, size_t *end,
		   nnr_error *err)
{
	size_t next;
	int rc;

	*start = 0;
	*end = n;
	if (!p->target)
		return 0;
	rc = nnr__regex_match(p->target, s, n, 0, start, end, &next, err);
	if (rc < 0)
		return nnr__err_prefix(err, "%s: data.target", where);
	if (rc == 0)
		return nnr__fail(err, NNR_E_INPUT, "%s: `%s` does not match "
				 "data.target '%.100s'", where,
				 target_column(p),
				 p->data_target.p[0].value);
	return 0;
}

/* An answer as the file has it, s, to canonical text; 1 or an error. */
static int target_of(const nnr_program *p, const char *s, size_t n,
		     const char *where, nnr__buf *out, nnr_error *err)
{
	const char *mapped;
	char want[160], *raw;
	size_t start, end;
	int rc = extract(p, s, n, where, &start, &end, err);

	if (rc)
		return rc;
	raw = nnr__strndup(s + start, end - start);
	if (!raw)
		return nnr__fail_memory(err, where, end - start);
	mapped = nnr__pairs_get(&p->data_labels, raw);
	if (!mapped)
		mapped = raw;
	if (nnr__type_canon(&p->output, mapped, strlen(mapped), out))
		rc = out->bad ? nnr__fail_memory(err, where, out->len) : 1;
	else if (p->output.type == NNR__T_LABEL)
		rc = fail_label(p, where, raw, err);
	else
		rc = nnr__fail(err, NNR_E_INPUT, "%s: `%s` is `%.60s`; %s was "
			       "expected", where, target_column(p), raw,
			       nnr__type_text(&p->output, want,
					      sizeof(want)));
	free(raw);
	return rc;
}

int nnr__program_target(const nnr_program *p, const nnr__record *r,
			const char *where, nnr__buf *out, nnr_error *err)
{
	const nnr__value *v = nnr__record_get(r, target_column(p));

	return v ? target_of(p, v->text, v->len, where, out, err) : 0;
}

int nnr__program_targets(const nnr_program *p, const nnr__record *r,
			 const char *where, nnr__strings *out, nnr_error *err)
{
	const nnr__value *v = nnr__record_get(r, target_column(p));
	int n = !v ? 0 : v->all.n ? v->all.n : 1, rc = n > 0;

	*out = (nnr__strings){ NULL, 0 };
	if (!n)
		return 0;
	out->s = nnr__calloc((size_t)n, sizeof(*out->s));
	if (!out->s)
		return nnr__fail_memory(err, where, (size_t)n);
	while (out->n < n && rc > 0) {
		const char *s = v->all.n ? v->all.s[out->n] : v->text;
		nnr__buf text = { 0 };

		rc = target_of(p, s, v->all.n ? strlen(s) : v->len, where,
			       &text, err);
		out->s[out->n] = rc > 0 ? nnr__buf_take(&text) : NULL;
		if (rc > 0 && !out->s[out->n++])
			rc = nnr__fail_memory(err, where, text.len);
		nnr__buf_release(&text);
	}
	if (rc < 0)
		nnr__strings_free(out);
	return rc;
}

/* ---- the item ---- */

static int fail_missing(const nnr_program *p, const nnr__record *r,
			const char *where, const char *name, nnr_error *err)
{
	const char *names[65];
	char hint[200];
	int n = 0;

	for (int i = 0; i < r->n && n < 64; i++)
		if (!nnr__program_input(p, r->v[i].name))
			names[n++] = r->v[i].name;
	names[n] = NULL;
	hint[0] = '\0';
	if (nnr__nearest(name, names))
		snprintf(hint, sizeof(hint), "; it has `%.60s`",
			 nnr__nearest(name, names));
	return nnr__fail(err, NNR_E_INPUT, "%s: the field `%s` is missing%s",
			 where, name, hint);
}

int nnr__item_check(const nnr_program *p, const nnr__record *r,
		    const char *where, nnr_error *err)
{
	nnr__buf text = { 0 };
	char want[160];
	int rc = 0;

	for (int i = 0; i < p->inputs && !rc; i++) {
		const nnr__field *f = &p->input[i];
		const nnr__value *v = nnr__record_get(r, f->name);
		if (!v) {
			if (!f->optional)
				rc = fail_missing(p, r, where, f->name, err);
			continue;
		}
		if (f->type == NNR__T_STRING)
			continue;
		if (f->type == NNR__T_LIST) {
			rc = nnr__list_check(f, v->text, v->len, where, err);
			continue;
		}
		nnr__buf_clear(&text);
		if (!nnr__type_canon(f, v->text, v->len, &text))
			rc = nnr__fail(err, NNR_E_INPUT, "%s: `%s` is `%.60s`;"
				       " %s was expected", where, f->name,
				       v->text,
				       nnr__type_text(f, want,
						      sizeof(want)));
	}
	nnr__buf_release(&text);
	return rc;
}

int nnr__item_from_json(const nnr_program *p, const char *name,
			const char *text, size_t n, nnr__record *item,
			nnr_error *err)
{
	const char *names[64];
	nnr__declared d = nnr__program_declared(p, names);
	int rc = nnr__record_json(item, name, text, n, &d, err);

	if (rc)
		return rc;
	rc = nnr__item_check(p, item, name, err);
	if (rc)
		nnr__record_release(item);
	return rc;
}

/* ---- files ---- */

static int take_row(nnr__data *d, const nnr_program *p, const char *path,
		    int i, bool targets, nnr_error *err)
{
	char where[200];
	int rc;

	snprintf(where, sizeof(where), "%.160s:%u", path, d->rec.line[i]);
	rc = nnr__item_check(p, &d->rec.row[i], where, err);
	if (rc)
		return rc;
	d->label[i] = -1;
	rc = nnr__program_targets(p, &d->rec.row[i], where, &d->all[i], err);
	if (rc == 0 && targets)
		rc = nnr__fail(err, NNR_E_INPUT, "%s: no answer: the column "
			       "`%s` is missing", where, target_column(p));
	if (rc == 1) {
		const nnr__value *v = nnr__record_get(&d->rec.row[i],
						      target_column(p));
		d->target[i] = d->all[i].s[0];
		d->label[i] = nnr__type_label(&p->output, d->target[i]);
		d->lists = d->lists || v->all.n;
	}
	return rc < 0 ? rc : 0;
}

int nnr__data_read(nnr__data *d, const nnr_program *p, const char *path,
		   const nnr__records_opts *o, bool targets, nnr_error *err)
{
	const char *names[64];
	nnr__declared decl = nnr__program_declared(p, names);
	size_t n;
	int rc;

	memset(d, 0, sizeof(*d));
	rc = nnr__records_read(&d->rec, path, &decl, o, err);
	if (rc)
		return rc;
	d->item = d->rec.row;
	d->n = d->rec.n;
	n = (size_t)d->n;
	d->target = nnr__calloc(n, sizeof(*d->target));
	d->all = nnr__calloc(n, sizeof(*d->all));
	d->label = nnr__calloc(n, sizeof(*d->label));
	if (!d->target || !d->all || !d->label)
		rc = nnr__fail_memory(err, path, n);
	for (int i = 0; i < d->n && !rc; i++)
		rc = take_row(d, p, path, i, targets, err);
	if (rc)
		nnr__data_release(d);
	return rc;
}

/* Item `from` of d, with its answer `k` only, at the end of `to`. */
static int add_one(nnr__data *to, const nnr__data *d, int from, int k,
		   nnr_error *err)
{
	int at = to->n++;

	to->rec.n = to->n;
	to->rec.line[at] = d->rec.line[from];
	to->label[at] = d->label[from];
	to->all[at].s = nnr__calloc(1, sizeof(char *));
	if (!to->all[at].s)
		return nnr__fail_memory(err, "items", sizeof(char *));
	to->all[at].s[0] = nnr__strdup(d->all[from].s[k]);
	if (!to->all[at].s[0])
		return nnr__fail_memory(err, "items", (size_t)k);
	to->all[at].n = 1;
	to->target[at] = to->all[at].s[0];
	return nnr__record_copy(&to->rec.row[at], &d->rec.row[from], err);
}

int nnr__data_each(nnr__data *d, nnr_error *err)
{
	nnr__data to = { .rec = d->rec };
	size_t n = 0;
	int rc = 0;

	if (!d->lists)
		return 0;
	for (int i = 0; i < d->n; i++)
		n += (size_t)d->all[i].n;
	to.rec.n = 0;
	to.rec.cap = to.rec.line_cap = n;
	to.item = to.rec.row = nnr__calloc(n, sizeof(*to.item));
	to.rec.line = nnr__calloc(n, sizeof(*to.rec.line));
	to.target = nnr__calloc(n, sizeof(*to.target));
	to.all = nnr__calloc(n, sizeof(*to.all));
	to.label = nnr__calloc(n, sizeof(*to.label));
	if (n > INT_MAX || !to.item || !to.rec.line || !to.target ||
	    !to.all || !to.label)
		rc = nnr__fail_memory(err, "items", n);
	for (int i = 0; i < d->n && !rc; i++)
		for (int k = 0; k < d->all[i].n && !rc; k++)
			rc = add_one(&to, d, i, k, err);
	if (!rc) {
		nnr__data was = *d;
		*d = to;
		to = was;
	}
	nnr__data_release(&to);
	return rc;
}

void nnr__data_release(nnr__data *d)
{
	for (int i = 0; d->all && i < d->n; i++)
		nnr__strings_free(&d->all[i]);
	free(d->all);
	free(d->target);
	free(d->label);
	nnr__records_release(&d->rec);
	memset(d, 0, sizeof(*d));
}
