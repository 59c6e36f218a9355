/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_program.c: three texts with NUL bytes between them: a source, an
 * override (may be empty), and what the rest is: a data file, an item and
 * what a model wrote.  What is taken must be shown, rendered, parsed.
 */
#include <stdlib.h>
#include <string.h>

#include "program/step.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_error(const nnr_error *err, int rc)
{
	must(rc < 0 && err->code == rc && err->message[0]);
	must(strlen(err->message) < sizeof(err->message));
}

/* The next text; the last one takes the rest. */
static const char *next(const uint8_t **p, size_t *left, bool last, size_t *n)
{
	const char *s = (const char *)*p;
	const uint8_t *nul = *left && !last ? memchr(*p, 0, *left) : NULL;

	*n = nul ? (size_t)(nul - *p) : *left;
	*p += nul ? *n + 1 : *n;
	*left -= nul ? *n + 1 : *n;
	return s;
}

static void show(nnr_program *p)
{
	nnr__arena a = { NULL };
	const nnr__jnode *top;
	nnr__buf out = { 0 };
	nnr_error err;

	for (int json = 0; json < 2; json++) {
		int rc = nnr__program_show(p, json, &out, &err);
		if (rc)
			check_error(&err, rc);
		must(rc || !json || !nnr__json_parse(&a, &top, "j", out.p,
						     out.len, &err));
		nnr__buf_clear(&out);
		must(!nnr__program_resolved(p, json, &out, &err));
		must(!json || !nnr__json_parse(&a, &top, "j", out.p, out.len,
					       &err));
		nnr__buf_clear(&out);
	}
	nnr__buf_release(&out);
	nnr__arena_release(&a);
}

static void read_data(nnr_program *p, const char *s, size_t n)
{
	static const char *const file[] = { "d.tsv", "d.jsonl", "d.txt" };
	const char *names[64];
	nnr__declared d = nnr__program_declared(p, names);
	nnr__prompt prompt = { 0 };
	nnr__records r;
	nnr_error err;

	for (int f = 0; f < 3; f++) {
		int rc = nnr__records_parse(&r, file[f], s, n, &d, NULL, &err);
		if (rc)
			check_error(&err, rc);
		for (int i = 0; !rc && i < r.n && i < 20; i++) {
			nnr__buf out = { 0 };
			nnr__strings all;
			int got = nnr__program_target(p, &r.row[i], "row",
						      &out, &err);
			if (got < 0)
				check_error(&err, got);
			got = nnr__program_targets(p, &r.row[i], "row", &all,
						   &err);
			if (got < 0)
				check_error(&err, got);
			must(got > 0 ? all.n > 0 : !all.n);
			nnr__strings_free(&all);
			if (!nnr__item_check(p, &r.row[i], "row", &err))
				nnr__program_render(p, &r.row[i], &prompt,
						    &err);
			nnr__buf_release(&out);
		}
		nnr__records_release(&r);
	}
	nnr__prompt_release(&prompt);
}

/* The rest as two samples, through the steps that need no model. */
static void read_answers(nnr_program *p, const char *s, size_t n)
{
	nnr__sample sample[2] = { 0 };
	nnr__answer a = { .sample = sample, .samples = 2 };
	nnr__batch b = { .n = 1, .answer = &a };
	nnr_error err;
	int rc = 0;

	sample[0].text = nnr__strndup(s, n < 500 ? n : 500);
	sample[1].text = nnr__strndup(s + n / 2, n < 500 ? n - n / 2 : 0);
	for (int i = 1; i < p->outs && !rc; i++) {
		const char *name = p->out[i].row->name;
		if (strcmp(name, "parse") != 0 && strcmp(name, "reduce") != 0)
			break;
		rc = p->out[i].row->run(p, &p->out[i], &b, &err);
		if (rc)
			check_error(&err, rc);
	}
	for (int i = 0; i < 2; i++) {
		free(sample[i].text);
		free(sample[i].value);
	}
	free(a.value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t left = size, n, set_n, rest_n;
	const char *source = next(&data, &left, false, &n);
	const char *set_text = next(&data, &left, false, &set_n);
	const char *rest = next(&data, &left, true, &rest_n);
	char *one = nnr__strndup(set_text, set_n);
	nnr__strings set = { &one, set_n ? 1 : 0 };
	nnr_program *p = NULL;
	nnr_error err;
	int rc;

	must(one != NULL);
	rc = nnr__program_parse(&p, "fuzz.yaml", NULL, source, n, &set, &err);
	must(!rc == (p != NULL));
	if (rc) {
		check_error(&err, rc);
	} else {
		show(p);
		read_data(p, rest, rest_n);
		read_answers(p, rest, rest_n);
	}
	nnr__program_close(p);
	free(one);
	return 0;
}
