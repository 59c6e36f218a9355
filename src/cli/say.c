/* SPDX-License-Identifier: Apache-2.0
 *
 * say.c: stderr (messages, progress) and stdout (data).  A message is one
 * line; control characters in it become spaces.  The progress line is
 * rewritten in place on a terminal, elsewhere a line now and then.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVERY_TERMINAL 0.1	/* seconds between progress lines */
#define EVERY_PLAIN 10.0

static struct {
	bool quiet, terminal, colour, shown;
	double last;
	int64_t step;
} state;

void say_init(const args *a)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	state.quiet = a && a->quiet;
	state.terminal = isatty(STDERR_FILENO) == 1;
	state.colour = state.terminal && !(no_colour && *no_colour) &&
		       term && strcmp(term, "dumb") != 0;
}

static void line(const char *text, bool error)
{
	say_progress_end();
	fputs(error && state.colour ? "\033[1;31mnnr:\033[0m " : "nnr: ",
	      stderr);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		fputc(c < 0x20 || c == 0x7f ? ' ' : c, stderr);
	}
	fputc('\n', stderr);
}

int say_error(const nnr_error *err)
{
	if (err->code == NNR_E_INTERRUPTED)
		line("interrupted", true);
	else
		line(err->message, true);
	return nnr_exit_code(err->code);
}

int say_usage(const char *fmt, ...)
{
	nnr_error err = { .code = NNR_E_USAGE };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.message, sizeof(err.message), fmt, ap);
	va_end(ap);
	return say_error(&err);
}

int say_input(const char *fmt, ...)
{
	nnr_error err = { .code = NNR_E_INPUT };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.message, sizeof(err.message), fmt, ap);
	va_end(ap);
	return say_error(&err);
}

void say(const char *fmt, ...)
{
	char text[480];
	va_list ap;

	if (state.quiet)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	line(text, false);
}

int say_json(char *json)
{
	char *text = NULL;
	nnr_error err;
	int rc = nnr_json_text(json, &text, &err);

	nnr_free(json);
	if (rc)
		return say_error(&err);
	say_text(text);
	nnr_free(text);
	return 0;
}

void say_text(const char *text)
{
	if (state.quiet)
		return;
	say_progress_end();
	fputs(text, stderr);
}

void put_line(const char *text)
{
	size_t n = strlen(text);

	fwrite(text, 1, n, stdout);
	if (n == 0 || text[n - 1] != '\n')
		fputc('\n', stdout);
}

void put(char *text)
{
	put_line(text);
	nnr_free(text);
}

int put_end(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	nnr_error err = { .code = NNR_E_IO };
	snprintf(err.message, sizeof(err.message),
		 "cannot write to stdout: %s", strerror(errno));
	return say_error(&err);
}

void say_progress(void *ctx, const nnr_progress *p)
{
	double every = state.terminal ? EVERY_TERMINAL : EVERY_PLAIN;
	double rate = p->seconds > 0 ? (double)p->done / p->seconds : 0;
	double left = rate > 0 ? (double)(p->total - p->done) / rate : 0;

	(void)ctx;
	if (state.quiet || p->seconds - state.last < every)
		return;
	state.last = p->seconds;
	fprintf(stderr, "%s%lld of %lld  %.1f a second  %llu tokens  %.0f s "
		"left%s", state.terminal ? "\r" : "nnr: ", (long long)p->done,
		(long long)p->total, rate, (unsigned long long)p->tokens,
		left, state.terminal ? "\033[K" : "\n");
	fflush(stderr);
	state.shown = state.terminal;
}

void say_training(void *ctx, const nnr_train_progress *p)
{
	double every = state.terminal ? EVERY_TERMINAL : EVERY_PLAIN;
	double rate = p->seconds > 0 ? (double)p->step / p->seconds : 0;
	char run[40] = "", best[40] = "";

	(void)ctx;
	if (p->step == state.step || (p->step < p->steps &&
	    p->seconds - state.last < every && p->seconds >= state.last))
		return;
	state.last = p->seconds;
	state.step = p->step;
	if (p->runs > 1)
		snprintf(run, sizeof(run), "%d/%d: ", p->run, p->runs);
	if (p->score == p->score)	/* there was a validation */
		snprintf(best, sizeof(best), "  best %.3f", p->score);
	fprintf(stderr, "%s%sstep %lld/%lld  loss %.4f  rate %.2g  %.*f/s  "
		"%.0f s left%s%s", state.terminal ? "\r" : "nnr: ", run,
		(long long)p->step, (long long)p->steps, p->loss, p->rate,
		rate < 10 ? 2 : 0, rate, p->left, best,
		state.terminal ? "\033[K" : "\n");
	fflush(stderr);
	state.shown = state.terminal;
}

void say_progress_end(void)
{
	if (state.shown)
		fputs("\r\033[K", stderr);
	state.shown = false;
}
