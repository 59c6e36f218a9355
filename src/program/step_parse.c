/* SPDX-License-Identifier: Apache-2.0
 *
 * parse: the answer in what the model wrote: a regular expression, a number,
 * a label's word, or all of it.  A text without an answer is a parse failure
 * (or what `else` says), never a guess.
 */
#include "step.h"

#include <string.h>

typedef struct nnr__a_parse args;

static const char *const methods[] = { "regex", "number", "label", "text",
				       NULL };
static const char *const picks[] = { "first", "last", NULL };

#define AT(member) offsetof(args, member)
static const nnr__param params[] = {
	{ .name = "method", .type = NNR__P_ENUM, .names = methods,
	  .at = AT(method),
	  .help = "not given: regex if there is one, else by the output's "
		  "type" },
	{ .name = "regex", .type = NNR__P_STRING, .at = AT(regex),
	  .help = "the answer is group 1, or the whole match" },
	{ .name = "pick", .type = NNR__P_ENUM, .names = picks, .at = AT(pick),
	  .help = "of several; not given: the last number, else the first" },
	{ .name = "else", .type = NNR__P_STRING, .at = AT(otherwise),
	  .fallback = "none",
	  .help = "the value without an answer; none: a parse failure" },
	{ .name = "words", .type = NNR__P_MAP, .at = AT(words),
	  .help = "a word for each label; not given: the label itself" },
	{ .name = NULL }
};

/* ---- reading ---- */

static bool labelled(const nnr_program *p)
{
	return p->output.type == NNR__T_LABEL ||
	       p->output.type == NNR__T_BOOL;
}

static int default_method(const nnr_program *p, const args *a)
{
	if (a->regex)
		return NNR__PARSE_REGEX;
	if (labelled(p))
		return NNR__PARSE_LABEL;
	return p->output.type == NNR__T_STRING ? NNR__PARSE_TEXT
					       : NNR__PARSE_NUMBER;
}

static int check_words(nnr_program *p, nnr__step *s, nnr_error *err)
{
	const args *a = s->args;
	char want[160];

	for (int i = 0; i < a->words.n; i++) {
		const char *key = a->words.p[i].key;
		nnr__buf text = { 0 };
		bool ok = labelled(p) && nnr__type_canon(&p->output, key,
							 strlen(key), &text);
		nnr__buf_release(&text);
		if (!ok)
			return nnr__fail_step(p, s, "words", err, "`%.60s` is "
					      "not %s", key,
					      nnr__type_text(&p->output, want,
							     sizeof(want)));
		if (!a->words.p[i].value[0])
			return nnr__fail_step(p, s, "words", err, "the word "
					      "of `%.60s` is empty", key);
	}
	return 0;
}

static int check_else(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	nnr__buf text = { 0 };
	char want[160];
	int rc = 0;

	if (strcmp(a->otherwise, "none") == 0 &&
	    nnr__type_label(&p->output, "none") < 0) {
		a->otherwise = NULL;
		return 0;
	}
	if (!nnr__type_canon(&p->output, a->otherwise, strlen(a->otherwise),
			     &text))
		rc = nnr__fail_step(p, s, "else", err, "`else` is `%.60s`; "
				    "none or %s was expected", a->otherwise,
				    nnr__type_text(&p->output, want,
						   sizeof(want)));
	else
		a->otherwise = nnr__arena_strndup(&p->arena,
						  text.p ? text.p : "",
						  text.len);
	nnr__buf_release(&text);
	if (!rc && !a->otherwise)
		rc = nnr__fail_memory(err, "else", 1);
	return rc;
}

static int check(nnr_program *p, nnr__step *s, nnr_error *err)
{
	args *a = s->args;
	int rc;

	if (a->method < 0)
		a->method = default_method(p, a);
	if (a->pick < 0)
		a->pick = a->method == NNR__PARSE_NUMBER ? NNR__PICK_LAST
							 : NNR__PICK_FIRST;
	if (a->method == NNR__PARSE_REGEX && !a->regex)
		return nnr__fail_step(p, s, "method", err, "`regex` is "
				      "missing");
	if (a->method != NNR__PARSE_REGEX && a->regex)
		return nnr__fail_step(p, s, "regex", err, "a regex, but the "
				      "method is %s", methods[a->method]);
	if (a->method == NNR__PARSE_LABEL && !labelled(p))
		return nnr__fail_step(p, s, "method", err, "label needs an "
				      "output that is a list of labels");
	rc = check_words(p, s, err);
	rc = rc ? rc : check_else(p, s, err);
	if (rc || !a->regex)
		return rc;
	rc = nnr__regex_new(&a->compiled, a->regex, err);
	return rc ? nnr__place_prefix(p, s, "regex", err) : 0;
}

static void release(nnr__step *s)
{
	args *a = s->args;

	nnr__regex_free(a->compiled);
	a->compiled = NULL;
}

/* ---- finding ---- */

struct span { size_t start, end; };

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The number that starts at s[i], if one does: its end, else 0. */
static size_t number_at(const char *s, size_t n, size_t i)
{
	size_t at = i + (s[i] == '-');

	if (at < n && s[at] == '$')
		at++;
	if (at >= n || !digit(s[at]))
		return 0;
	while (at < n && (digit(s[at]) || (s[at] == ',' && at + 1 < n &&
					   digit(s[at + 1]))))
		at++;
	if (at + 1 < n && s[at] == '.' && digit(s[at + 1]))
		for (at++; at < n && digit(s[at]);)
			at++;
	return at;
}

static bool find_number(const char *s, size_t n, int pick, struct span *out)
{
	bool found = false;

	for (size_t i = 0; i < n;) {
		size_t end = number_at(s, n, i);
		if (!end) {
			i++;
			continue;
		}
		/* "3-5": the sign belongs to a number only after no digit */
		if (s[i] == '-' && i > 0 && digit(s[i - 1]))
			i++;
		*out = (struct span){ i, end };
		found = true;
		if (pick == NNR__PICK_FIRST)
			return true;
		i = end;
	}
	return found;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool word_byte(char c)
{
	return digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') ||
	       (unsigned char)c >= 0x80;
}

/* A whole word, ASCII letters in either case. */
static bool word_at(const char *s, size_t n, size_t i, const char *word)
{
	size_t k = strlen(word);

	if (n - i < k)
		return false;
	for (size_t j = 0; j < k; j++)
		if (lower(s[i + j]) != lower(word[j]))
			return false;
	if (i > 0 && word_byte(s[i - 1]) && word_byte(word[0]))
		return false;
	return i + k == n || !word_byte(s[i + k]) || !word_byte(word[k - 1]);
}

static const char *label_name(const nnr_program *p, int c)
{
	if (p->output.type == NNR__T_BOOL)
		return c == 0 ? "yes" : c == 1 ? "no" : NULL;
	return c < p->output.labels.n ? p->output.labels.s[c] : NULL;
}

static const char *word_of(const nnr_program *p, const args *a, int c)
{
	const char *name = label_name(p, c);
	const char *word = name ? nnr__pairs_get(&a->words, name) : NULL;

	return word ? word : name;
}

/* The label whose word stands first (last); the longer of two at a place. */
static int find_label(const nnr_program *p, const args *a, const char *s,
		      size_t n)
{
	int found = -1;

	for (size_t i = 0; i < n; i++) {
		size_t longest = 0;
		int here = -1;
		for (int c = 0; label_name(p, c); c++) {
			const char *word = word_of(p, a, c);
			if (strlen(word) > longest && word_at(s, n, i, word)) {
				longest = strlen(word);
				here = c;
			}
		}
		if (here < 0)
			continue;
		found = here;
		if (a->pick == NNR__PICK_FIRST)
			return found;
		i += longest - 1;
	}
	return found;
}

#define MATCHES_MAX 10000	/* of one text, to pick the last */

/* 1 found, 0 not, negative: the match went over its limit. */
static int find_regex(const args *a, const char *s, size_t n,
		      struct span *out, nnr_error *err)
{
	size_t from = 0, start, end, next;
	int found = 0;

	for (int i = 0; from <= n && i < MATCHES_MAX; i++) {
		int rc = nnr__regex_match(a->compiled, s, n, from, &start,
					  &end, &next, err);
		if (rc < 0)
			return rc;
		if (!rc)
			break;
		*out = (struct span){ start, end };
		found = 1;
		if (a->pick == NNR__PICK_FIRST)
			break;
		from = next > from ? next : from + 1;
	}
	return found;
}

/* ---- running ---- */

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void trim(const char *s, struct span *v)
{
	while (v->start < v->end && blank(s[v->start]))
		v->start++;
	while (v->end > v->start && blank(s[v->end - 1]))
		v->end--;
}

/* The span as a value of the output type; false: it is none. */
static bool value_of(const nnr_program *p, const args *a, const char *s,
		     struct span v, nnr__buf *out)
{
	trim(s, &v);
	if (labelled(p)) {
		int c = find_label(p, a, s + v.start, v.end - v.start);
		if (c >= 0)
			nnr__buf_adds(out, label_name(p, c));
		return c >= 0;
	}
	return nnr__type_canon(&p->output, s + v.start, v.end - v.start,
			       out);
}

static int parse_one(nnr_program *p, nnr__step *s, nnr__sample *sample,
		     nnr_error *err)
{
	const args *a = s->args;
	const char *text = sample->text;
	size_t n = strlen(text);
	struct span v = { 0, n };
	nnr__buf out = { 0 };
	int found = 1;

	if (a->method == NNR__PARSE_REGEX)
		found = find_regex(a, text, n, &v, err);
	else if (a->method == NNR__PARSE_NUMBER)
		found = find_number(text, n, a->pick, &v);
	if (found < 0)
		return nnr__place_prefix(p, s, "regex", err);
	if (found && value_of(p, a, text, v, &out))
		sample->value = nnr__buf_take(&out);
	else if (a->otherwise)
		sample->value = nnr__strdup(a->otherwise);
	else
		found = -1;
	nnr__buf_release(&out);
	if (found < 0)
		p->parse_failures++;
	else if (!sample->value)
		return nnr__fail_memory(err, "a value", n);
	return 0;
}

static int run(nnr_program *p, nnr__step *s, nnr__batch *b, nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < b->n && !rc; i++)
		for (int k = 0; k < b->answer[i].samples && !rc; k++)
			rc = parse_one(p, s, &b->answer[i].sample[k], err);
	return rc;
}

const nnr__step_row nnr__step_parse = {
	.name = "parse",
	.help = "the answer in what the model wrote",
	.takes = NNR__K_TEXTS, .gives = NNR__K_VALUE,
	.alignment = "structural",
	.param = params, .bare = "method", .args = sizeof(args),
	.check = check, .run = run, .release = release
};
