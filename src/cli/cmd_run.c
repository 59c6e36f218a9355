/* SPDX-License-Identifier: Apache-2.0
 *
 * nnr run: one input, or JSON lines on stdin to JSON lines on stdout.  Lines
 * that are there together are answered together; a line that is alone is
 * answered at once, so the command can stand in a pipe that talks back.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 65536
#define LINES_MAX 256			/* answered together */
#define LINE_MAX_BYTES (64 << 20)

typedef struct printer {
	const args *a;
	bool lines;		/* a JSON line an item */
	bool live;		/* the value was printed as it came */
} printer;

static void print_text(void *ctx, const char *s, size_t n)
{
	(void)ctx;
	fwrite(s, 1, n, stdout);
	fflush(stdout);
}

static int print(void *ctx, int item, const nnr_answer *ans)
{
	const printer *p = ctx;

	(void)item;
	if (p->lines || p->a->json) {
		put_line(ans->json);
	} else {
		put_line(ans->value && !p->live ? ans->value : "");
		if (!ans->value)
			say("no value could be read from what the model "
			    "wrote (--explain shows it)");
	}
	if (ans->text && !p->a->json && !p->lines)
		say_text(ans->text);
	return 0;
}

static int run_one(const args *a, opened *o)
{
	nnr_text text = { a->text, a->text ? strlen(a->text) : 0 };
	printer p = { .a = a };
	char *made = NULL;
	const char *input = a->input;
	nnr_inputs in = { .json = &input, .n = 1 };
	nnr_error err = { 0 };
	int rc = 0;

	if (a->text) {
		rc = nnr_program_input(o->program, text, &made, &err);
		input = made;
	}
	if (isatty(STDOUT_FILENO) && !a->json)
		p.live = nnr_program_stream(o->program, print_text, NULL);
	if (!rc)
		rc = nnr_program_answer(o->program, &in, a->explain, print,
					&p, &err);
	nnr_free(made);
	return rc ? say_error(&err) : 0;
}

typedef struct feed {
	char *p;
	size_t len, cap;
	int64_t first;		/* number of the first line in p */
	bool end;
} feed;

/* Waits for bytes on stdin.  The signal of Ctrl-C may go to another thread,
 * so that read() alone would not end. */
static int wait_input(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	nnr_error err = { .code = NNR_E_INTERRUPTED };

	while (poll(&in, 1, 200) <= 0 && !interrupted())
		;
	return interrupted() ? say_error(&err) : 0;
}

/* Reads what is there, at least one byte or the end. */
static int fill(feed *f)
{
	nnr_error err = { .code = NNR_E_IO };
	ssize_t n;
	int rc = wait_input();

	if (rc)
		return rc;

	if (f->cap - f->len < BLOCK + 1) {
		size_t cap = f->cap * 2 + BLOCK + 1;
		char *p = cap > LINE_MAX_BYTES ? NULL : realloc(f->p, cap);
		if (!p)
			return say_input("stdin:%lld: line too long",
					 (long long)f->first);
		f->p = p;
		f->cap = cap;
	}
	n = read(STDIN_FILENO, f->p + f->len, BLOCK);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0) {
		snprintf(err.message, sizeof(err.message),
			 "cannot read stdin: %s", strerror(errno));
		return say_error(&err);
	}
	f->len += (size_t)n;
	f->end = n == 0;
	if (f->end && f->len && f->p[f->len - 1] != '\n')
		f->p[f->len++] = '\n';
	return 0;
}

/* Answers up to LINES_MAX whole lines at the front of the feed. */
static int answer_lines(const args *a, opened *o, feed *f)
{
	const char *line[LINES_MAX];
	printer p = { .a = a, .lines = true };
	char *at = f->p, *stop = f->p + f->len, *end;
	int64_t number[LINES_MAX], count = 0;
	nnr_inputs in = { .json = line, .name = "stdin", .line = number };
	nnr_error err;
	int n = 0;

	while (n < LINES_MAX && at < stop &&
	       (end = memchr(at, '\n', (size_t)(stop - at)))) {
		*end = '\0';
		number[n] = f->first + count++;
		if (strlen(at) != (size_t)(end - at))
			return say_input("stdin:%lld: NUL byte",
					 (long long)number[n]);
		if (*at && strspn(at, " \t\r") != (size_t)(end - at))
			line[n++] = at;
		at = end + 1;
	}
	in.n = n;
	if (n && nnr_program_answer(o->program, &in, a->explain, print, &p,
				    &err))
		return say_error(&err);
	f->first += count;
	f->len = (size_t)(stop - at);
	memmove(f->p, at, f->len);
	return put_end();
}

static int run_lines(const args *a, opened *o)
{
	feed f = { .first = 1 };
	int rc = 0;

	while (!rc && (!f.end || f.len)) {
		if (f.len && memchr(f.p, '\n', f.len))
			rc = answer_lines(a, o, &f);
		else
			rc = fill(&f);
	}
	free(f.p);
	return rc;
}

int cmd_run(const args *a)
{
	bool lines = a->operands == 2;
	opened o;
	int rc;

	if (lines && strcmp(a->operand[1], "-") != 0)
		return say_usage("'%s': only - (JSON lines on stdin) may "
				 "follow the program", a->operand[1]);
	if (!!a->text + !!a->input + lines != 1)
		return say_usage("run wants one of --text T, -i JSON and - "
				 "(JSON lines on stdin)");
	rc = opened_open(&o, a, false);
	if (rc)
		return rc;
	rc = lines ? run_lines(a, &o) : run_one(a, &o);
	opened_close(&o);
	return rc;
}
