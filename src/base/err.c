/* SPDX-License-Identifier: Apache-2.0
 *
 * err.c: filling an nnr_error, the interrupt flag, exit codes.
 *
 * An error is written once, where it is found, in words a user can act on;
 * callers on the way up may only put a prefix before it.  Nothing is printed
 * here and nothing is kept but the interrupt flag.
 */
#include "base.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_int interrupted;

static void format(nnr_error *err, int code, uint64_t offset, const char *fmt,
		   va_list ap) NNR__PRINTF(4, 0);

static void format(nnr_error *err, int code, uint64_t offset, const char *fmt,
		   va_list ap)
{
	err->code = code;
	err->offset = offset;
	if (vsnprintf(err->message, sizeof(err->message), fmt, ap) < 0)
		err->message[0] = '\0';
	/* A cut message must not end inside a code point. */
	size_t n = strlen(err->message);
	err->message[nnr__utf8_whole(err->message, n)] = '\0';
}

int nnr__fail(nnr_error *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;
		va_start(ap, fmt);
		format(err, code, 0, fmt, ap);
		va_end(ap);
	}
	return code;
}

int nnr__fail_at(nnr_error *err, int code, uint64_t offset, const char *fmt,
		 ...)
{
	if (err) {
		va_list ap;
		va_start(ap, fmt);
		format(err, code, offset, fmt, ap);
		va_end(ap);

		size_t n = strlen(err->message);
		snprintf(err->message + n, sizeof(err->message) - n,
			 " at byte %llu", (unsigned long long)offset);
	}
	return code;
}

int nnr__fail_memory(nnr_error *err, const char *what, size_t bytes)
{
	return nnr__fail(err, NNR_E_MEMORY, "out of memory: %s (%zu bytes)",
			 what, bytes);
}

int nnr__err_prefix(nnr_error *err, const char *fmt, ...)
{
	if (!err)
		return NNR_E_INPUT;

	nnr_error head;
	va_list ap;
	va_start(ap, fmt);
	format(&head, err->code, err->offset, fmt, ap);
	va_end(ap);

	/* prefix + ": " + as much of the message as fits */
	size_t n = strlen(head.message);
	if (n + 3 < sizeof(head.message)) {
		size_t room = sizeof(head.message) - n - 3;
		size_t m = strlen(err->message);
		memcpy(head.message + n, ": ", 2);
		if (m > room)
			m = nnr__utf8_whole(err->message, room);
		memcpy(head.message + n + 2, err->message, m);
		head.message[n + 2 + m] = '\0';
	}
	memcpy(err->message, head.message, sizeof(err->message));
	return err->code;
}

bool nnr__interrupted(void)
{
	return atomic_load_explicit(&interrupted, memory_order_relaxed) != 0;
}

void nnr_interrupt(void)
{
	atomic_store_explicit(&interrupted, 1, memory_order_relaxed);
}

void nnr_free(void *p)
{
	free(p);
}

int nnr_exit_code(int code)
{
	switch (code) {
	case NNR_OK:
		return 0;
	case NNR_E_USAGE:
		return 2;
	case NNR_E_IO:
	case NNR_E_MEMORY:
		return 4;
	case NNR_E_INTERRUPTED:
		return 130;
	default:
		return 3;
	}
}
