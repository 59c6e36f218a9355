/* SPDX-License-Identifier: Apache-2.0
 *
 * types.c: the types of fields, and the one spelling a value of a type has.
 */
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 60
#define LABELS_MAX 1000

static const char *const type_names[] = {
	"string", "int", "number", "bool", NULL
};

/* "a list of [subject, predicate, object]" */
static void list_text(const nnr__field *f, char *out, size_t n)
{
	size_t at = (size_t)snprintf(out, n, "a list of [");

	for (int i = 0; i < f->parts.n && at < n; i++) {
		int k = snprintf(out + at, n - at, "%s%.30s%s", i ? ", " : "",
				 f->parts.s[i],
				 i + 1 < f->parts.n ? "" : "]");
		at += k > 0 ? (size_t)k : 0;
	}
	out[nnr__utf8_whole(out, strlen(out))] = '\0';
}

const char *nnr__type_text(const nnr__field *f, char *out, size_t n)
{
	static const char *const texts[] = {
		"a text", "an integer", "a number", "yes or no"
	};
	size_t at = 0;

	if (f->type == NNR__T_LIST) {
		list_text(f, out, n);
		return out;
	}
	if (f->type != NNR__T_LABEL) {
		snprintf(out, n, "%s", texts[f->type]);
		return out;
	}
	for (int i = 0; i < f->labels.n && at < n; i++) {
		bool full = at > n / 2 && i + 1 < f->labels.n;
		int k = full ? snprintf(out + at, n - at, ", ... (%d labels)",
					f->labels.n)
			     : snprintf(out + at, n - at, "%s%.50s",
					i ? ", " : "one of ",
					f->labels.s[i]);
		at += k > 0 ? (size_t)k : 0;
		if (full)
			break;
	}
	out[nnr__utf8_whole(out, strlen(out))] = '\0';
	return out;
}

int nnr__type_label(const nnr__field *f, const char *s)
{
	for (int i = 0; f->type == NNR__T_LABEL && i < f->labels.n; i++)
		if (strcmp(f->labels.s[i], s) == 0)
			return i;
	return -1;
}

/* ---- canonical spelling ---- */

static bool space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* A sign and "$" in either order, then a digit or a point. */
static size_t number_head(const char *s, size_t n, bool *minus)
{
	size_t i = 0;

	for (int k = 0; k < 2 && i < n; k++) {
		if (s[i] == '$' && (!i || s[i - 1] != '$')) {
			i++;
		} else if ((s[i] == '-' || s[i] == '+') &&
			   (!i || s[i - 1] == '$')) {
			*minus = s[i] == '-';
			i++;
		}
	}
	if (i < n && ((s[i] >= '0' && s[i] <= '9') || s[i] == '.'))
		return i;
	return n;
}

/* The characters of a number without decoration: false if it has others.
 * "$1,234.50" -> "1234.50", "-$3" -> "-3" */
static bool undecorate(const char *s, size_t n, char *out, size_t size)
{
	bool minus = false;
	size_t k = 0, i;

	while (n && space(s[n - 1]))
		n--;
	while (n && space(*s)) {
		s++;
		n--;
	}
	i = number_head(s, n, &minus);
	if (i == n)
		return false;
	if (minus)
		out[k++] = '-';
	for (; i < n && k + 1 < size; i++)
		if (s[i] != ',')
			out[k++] = s[i];
	out[k] = '\0';
	return i == n;
}

/* Digits with at most one point, no exponent: trims zeros as text, so that
 * long numbers stay exact. */
static bool canon_plain(const char *t, nnr__buf *out)
{
	bool minus = t[0] == '-';
	const char *whole = t + minus, *dot, *frac = "";
	size_t a, b = 0;

	while (*whole == '0' && whole[1] >= '0' && whole[1] <= '9')
		whole++;
	a = strspn(whole, "0123456789");
	dot = whole + a;
	if (*dot == '.') {
		frac = dot + 1;
		b = strspn(frac, "0123456789");
		if (frac[b] || a + b == 0)
			return false;
	} else if (*dot) {
		return false;
	}
	while (b && frac[b - 1] == '0')
		b--;
	if (minus && (b || a != 1 || *whole != '0') && (a || b))
		nnr__buf_addc(out, '-');
	nnr__buf_add(out, a ? whole : "0", a ? a : 1);
	if (b) {
		nnr__buf_addc(out, '.');
		nnr__buf_add(out, frac, b);
	}
	return true;
}

static bool canon_number(const char *s, size_t n, bool integer,
			 nnr__buf *out)
{
	size_t before = out->len;
	char text[400], *end;
	double v;

	if (!undecorate(s, n, text, sizeof(text)))
		return false;
	if (!canon_plain(text, out)) {
		if (strspn(text, "-+.0123456789eE") != strlen(text))
			return false;
		v = strtod(text, &end);
		if (*end || !isfinite(v))
			return false;
		if (integer && (v != floor(v) || fabs(v) > 9e15))
			return false;
		if (v == floor(v) && fabs(v) < 1e15)
			nnr__buf_addf(out, "%.0f", v == 0 ? 0.0 : v);
		else
			nnr__buf_add_num(out, v);
		return true;
	}
	if (integer && out->p &&
	    memchr(out->p + before, '.', out->len - before)) {
		out->len = before;
		out->p[before] = '\0';
		return false;
	}
	return true;
}

static bool canon_bool(const char *s, size_t n, nnr__buf *out)
{
	bool yes = (n == 3 && memcmp(s, "yes", 3) == 0) ||
		   (n == 4 && memcmp(s, "true", 4) == 0);
	bool no = (n == 2 && memcmp(s, "no", 2) == 0) ||
		  (n == 5 && memcmp(s, "false", 5) == 0);

	if (yes || no)
		nnr__buf_adds(out, yes ? "yes" : "no");
	return yes || no;
}

bool nnr__type_canon(const nnr__field *f, const char *s, size_t n,
		     nnr__buf *out)
{
	if (f->type != NNR__T_STRING && n && memchr(s, 0, n))
		return false;
	switch (f->type) {
	case NNR__T_STRING:
		nnr__buf_add(out, s, n);
		return true;
	case NNR__T_INT:
		return canon_number(s, n, true, out);
	case NNR__T_NUMBER:
		return canon_number(s, n, false, out);
	case NNR__T_BOOL:
		return canon_bool(s, n, out);
	case NNR__T_LABEL:
		for (int i = 0; i < f->labels.n; i++) {
			const char *l = f->labels.s[i];
			if (strlen(l) == n && memcmp(l, s, n) == 0) {
				nnr__buf_add(out, s, n);
				return true;
			}
		}
		return false;
	case NNR__T_LIST:
		if (nnr__list_check(f, s, n, "", NULL))
			return false;
		nnr__buf_add(out, s, n);
		return true;
	}
	return false;
}

/* ---- reading `input` and `output` ---- */

static int read_labels(nnr__src *s, const nnr__ynode *n, nnr__field *f)
{
	int rc = nnr__src_strings(s, n, "the list of labels", &f->labels);

	if (rc)
		return rc;
	f->type = NNR__T_LABEL;
	if (f->labels.n < 2 || f->labels.n > LABELS_MAX)
		return nnr__fail_node(s, n, "%d labels; 2 to %d were expected",
				      f->labels.n, LABELS_MAX);
	for (int i = 0; i < f->labels.n; i++) {
		if (!f->labels.s[i][0])
			return nnr__fail_node(s, n, "an empty label");
		for (int j = 0; j < i; j++)
			if (strcmp(f->labels.s[i], f->labels.s[j]) == 0)
				return nnr__fail_node(s, n, "the label "
						      "`%.60s` is there "
						      "twice",
						      f->labels.s[i]);
	}
	return 0;
}

static int read_type(nnr__src *s, const nnr__ynode *n, nnr__field *f)
{
	static const char *const later[] = { "rgb8", "gray8" };
	char name[40], hint[200], text[80];
	size_t len = n->len;

	if (n->kind == NNR__Y_LIST)
		return read_labels(s, n, f);
	nnr__node_text(n, text, sizeof(text));
	if (n->kind == NNR__Y_MAP && n->count == 1 &&
	    strcmp(n->child->key, "list") == 0)
		return nnr__parts_read(s, n->child, f);
	if (n->kind == NNR__Y_MAP)
		return nnr__fail_place(s->p, nnr__place_of(n),
				       NNR_E_UNSUPPORTED, s->err,
				       "the type of `%s` is a map; this "
				       "version of nnr has string, int, "
				       "number, bool, lists of labels and "
				       "{list: [NAME, ...]}", f->name);
	if (len && n->text[len - 1] == '?') {
		f->optional = true;
		len--;
	}
	snprintf(name, sizeof(name), "%.*s", len < 39 ? (int)len : 39,
		 n->text);
	for (int i = 0; type_names[i]; i++) {
		if (strcmp(name, type_names[i]) == 0) {
			f->type = (nnr__type)i;
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++)
		if (strcmp(name, later[i]) == 0)
			return nnr__fail_place(s->p, nnr__place_of(n),
					       NNR_E_UNSUPPORTED, s->err,
					       "type `%s` is not in this "
					       "version of nnr yet", name);
	return nnr__fail_node(s, n, "the type of `%s` is %s%s", f->name, text,
			      nnr__hint(hint, sizeof(hint), name,
					type_names));
}

int nnr__fields_read(nnr__src *s, const nnr__ynode *map, const char *what,
		     nnr__field **out, int *n)
{
	int rc = 0;

	if (map->kind != NNR__Y_MAP || !map->count)
		return nnr__fail_node(s, map, "`%s` must be a map of fields, "
				      "like {text: string}", what);
	if (map->count > FIELDS_MAX)
		return nnr__fail_node(s, map, "`%s` has %u fields; at most "
				      "%d", what, map->count, FIELDS_MAX);
	*out = nnr__src_alloc(s, map->count, sizeof(**out));
	if (!*out)
		return NNR_E_MEMORY;
	for (const nnr__ynode *c = map->child; c && !rc; c = c->next) {
		nnr__field *f = &(*out)[(*n)++];
		if (!nnr__is_name(c->key))
			return nnr__fail_key(s, c, "`%.60s` cannot name a "
					     "field: letters, digits, _ and "
					     "- only", c->key);
		f->name = nnr__src_copy(s, c->key, strlen(c->key));
		if (!f->name)
			return NNR_E_MEMORY;
		rc = read_type(s, c, f);
		if (!rc && f->type == NNR__T_LIST &&
		    strcmp(what, "output") == 0)
			rc = nnr__fail_node(s, c, "the output cannot be a "
					    "list of [...]; a list of labels "
					    "is written [no, yes]");
	}
	return rc;
}
