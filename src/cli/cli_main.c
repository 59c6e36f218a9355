/* SPDX-License-Identifier: Apache-2.0
 *
 * cli_main.c: finds the command, reads its options, runs it.  Ctrl-C asks
 * the library to stop; a second one ends the process at once.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void on_signal(int number)
{
	(void)number;
	if (asked)
		_exit(130);
	asked = 1;
	nnr_interrupt();
}

bool interrupted(void)
{
	return asked != 0;
}

static void catch_signals(void)
{
	struct sigaction act = { .sa_handler = on_signal };

	sigemptyset(&act.sa_mask);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
}

static int no_command(const char *name)
{
	const char *names[COMMANDS + 1], *near;

	for (int i = 0; i < COMMANDS; i++)
		names[i] = commands[i].name;
	names[COMMANDS] = NULL;
	near = nnr_nearest(name, names);
	if (near)
		return say_usage("unknown command '%s', did you mean %s?",
				 name, near);
	return say_usage("unknown command '%s'; `nnr --help` lists them",
			 name);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "--help";
	int cmd, rc;
	args a;

	say_init(NULL);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		help_all();
		return argc > 1 ? 0 : nnr_exit_code(NNR_E_USAGE);
	}
	if (strcmp(name, "--version") == 0) {
		printf("nnr %s\n", nnr_version());
		return put_end();
	}
	cmd = command_find(name);
	if (cmd < 0)
		return no_command(name);
	rc = args_read(&a, cmd, argc - 2, argv + 2);
	if (rc)
		return rc;
	if (a.help) {
		help_command(cmd);
		return 0;
	}
	say_init(&a);
	catch_signals();
	rc = commands[cmd].run(&a);
	say_progress_end();
	return rc ? rc : put_end();
}
