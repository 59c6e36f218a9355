/* SPDX-License-Identifier: Apache-2.0
 *
 * test.h: what every unit test includes: cmocka and its prerequisites.
 */
#ifndef TEST_H
#define TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The message holds this text. */
#define assert_message(err, text) \
	do { \
		if (!strstr((err).message, (text))) \
			fail_msg("'%s' is not in '%s'", (text), \
				 (err).message); \
	} while (0)

#endif
