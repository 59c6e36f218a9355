/* SPDX-License-Identifier: Apache-2.0
 *
 * help.c: --help, from the tables.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

void help_all(void)
{
	fprintf(stderr, "nnr %s: programs on frozen neural networks\n\n"
		"usage: nnr COMMAND [OPTION...] [OPERAND...]\n\n",
		nnr_version());
	for (int i = 0; i < COMMANDS; i++)
		fprintf(stderr, "  %-9s %s\n", commands[i].name,
			commands[i].help);
	fprintf(stderr, "\n`nnr COMMAND --help` lists a command's options; "
		"nnr --version.\nExit status: 0 fine, 1 the answer is no, "
		"2 usage, 3 bad input or file,\n4 out of resources, "
		"130 interrupted.\n");
}

void help_command(int cmd)
{
	const command *c = &commands[cmd];

	fprintf(stderr, "usage: nnr %s [OPTION...]%s%s\n\n%s\n\n", c->name,
		*c->operands ? " " : "", c->operands, c->help);
	for (int i = 0; i < option_count; i++) {
		const option_row *o = &options[i];
		char left[40];
		if (!(o->commands & (1u << cmd)))
			continue;
		snprintf(left, sizeof(left), "%c%c%s %s%s%s",
			 o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
			 o->letter ? "," : " ", o->name,
			 o->metavar ? " " : "", o->metavar ? o->metavar : "");
		fprintf(stderr, "  %-27s %s\n", left, o->help);
	}
}
