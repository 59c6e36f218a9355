/* SPDX-License-Identifier: Apache-2.0
 *
 * args.c: the tables of commands and options, and reading a command line by
 * them.
 */
#include "cli.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const command commands[COMMANDS] = {
#define CMD(name, operands, fewest, most, help) \
	{ #name, operands, fewest, most, help, cmd_##name },
#include "commands.def"
#undef CMD
};

#define IN(name) (1u << CMD_##name)
#define ALL (~0u)
const option_row options[] = {
#define OPT(field, name, letter, kind, metavar, least, most, in, help) \
	{ name, letter, kind, metavar, least, most, in, help, \
	  offsetof(args, field) },
#include "options.def"
#undef OPT
};
const int option_count = sizeof(options) / sizeof(options[0]);

int command_find(const char *name)
{
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return i;
	return -1;
}

/* The row for "--name", "--name=value" or "-x", among all commands'. */
static const option_row *find(const char *arg, size_t n)
{
	for (int i = 0; i < option_count; i++) {
		const option_row *o = &options[i];
		if (strlen(o->name) == n && strncmp(o->name, arg, n) == 0)
			return o;
		if (n == 2 && o->letter && arg[1] == o->letter)
			return o;
	}
	return NULL;
}

static int unknown(int cmd, const char *arg, size_t n)
{
	const char *names[64], *near;
	char word[64];
	int m = 0;

	for (int i = 0; i < option_count && m < 63; i++)
		if (options[i].commands & (1u << cmd))
			names[m++] = options[i].name;
	names[m] = NULL;
	if (n >= sizeof(word))
		n = sizeof(word) - 1;
	memcpy(word, arg, n);
	word[n] = '\0';
	near = nnr_nearest(word, names);
	if (near)
		return say_usage("unknown option %s, did you mean %s?", word,
				 near);
	return say_usage("unknown option %s; `nnr %s --help` lists them",
			 word, commands[cmd].name);
}

static int read_int(const option_row *o, const char *value, int64_t *out)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(value, &end, 10);
	if (end == value || *end || errno || v < o->least || v > o->most) {
		if (o->most == INT64_MAX)
			return say_usage("%s wants a whole number of at "
					 "least %lld, not '%s'", o->name,
					 (long long)o->least, value);
		return say_usage("%s wants a whole number from %lld to %lld, "
				 "not '%s'", o->name, (long long)o->least,
				 (long long)o->most, value);
	}
	*out = v;
	return 0;
}

static bool is_word(const char *words, const char *value)
{
	size_t n = strlen(value);

	for (const char *w = words; w; w = strchr(w, '|')) {
		if (*w == '|')
			w++;
		if (n && strncmp(w, value, n) == 0 &&
		    (w[n] == '|' || w[n] == '\0'))
			return true;
	}
	return false;
}

static int store(args *a, const option_row *o, const char *value)
{
	void *at = (char *)a + o->at;
	list *l;

	switch (o->kind) {
	case FLAG:
		*(bool *)at = true;
		return 0;
	case INT:
		return read_int(o, value, at);
	case WORD:
		if (!is_word(o->metavar, value))
			return say_usage("%s is one of %s, not '%s'", o->name,
					 o->metavar, value);
		break;
	case LIST:
		l = at;
		if (l->n == LIST_MAX)
			return say_usage("%s more than %d times", o->name,
					 LIST_MAX);
		if (!strchr(value, '='))
			return say_usage("%s wants %s, not '%s'", o->name,
					 o->metavar, value);
		l->s[l->n++] = value;
		return 0;
	case TEXT:
		break;
	}
	*(const char **)at = value;
	return 0;
}

/* One option; *used counts the arguments it took. */
static int read_option(args *a, int cmd, int left, char **argv, int *used)
{
	const char *arg = argv[0], *value = NULL;
	size_t n = strlen(arg);
	const char *eq = arg[1] == '-' ? strchr(arg, '=') : NULL;
	const option_row *o;

	if (eq)
		n = (size_t)(eq - arg);
	o = find(arg, n);
	if (!o)
		return unknown(cmd, arg, n);
	if (!(o->commands & (1u << cmd)))
		return say_usage("%s does not take %s; `nnr %s --help` lists "
				 "its options", commands[cmd].name, o->name,
				 commands[cmd].name);
	*used = 1;
	if (o->kind == FLAG) {
		if (eq)
			return say_usage("%s takes no value", o->name);
	} else if (eq) {
		value = eq + 1;
	} else if (left > 1) {
		value = argv[1];
		*used = 2;
	} else {
		return say_usage("%s wants %s after it", o->name, o->metavar);
	}
	return store(a, o, value);
}

static int check_operands(const args *a, int cmd)
{
	const command *c = &commands[cmd];

	if (a->help || (a->operands >= c->fewest && a->operands <= c->most))
		return 0;
	if (c->most == 0)
		return say_usage("%s takes no operand, not '%s'", c->name,
				 a->operand[0]);
	return say_usage("%s: use nnr %s %s", a->operands < c->fewest
			 ? "too little" : "too much", c->name, c->operands);
}

int args_read(args *a, int cmd, int argc, char **argv)
{
	bool operands_only = false;
	int rc = 0, used;

	memset(a, 0, sizeof(*a));
	for (int i = 0; i < option_count; i++)
		if (options[i].kind == INT)
			*(int64_t *)((char *)a + options[i].at) = -1;
	for (int i = 0; i < argc && !rc; i += used) {
		used = 1;
		if (!operands_only && strcmp(argv[i], "--") == 0)
			operands_only = true;
		else if (!operands_only && argv[i][0] == '-' && argv[i][1])
			rc = read_option(a, cmd, argc - i, argv + i, &used);
		else if (a->operands < commands[cmd].most + 1 &&
			 a->operands < MAX_OPERANDS)
			a->operand[a->operands++] = argv[i];
		else
			rc = say_usage("'%s' is one operand too many: use "
				       "nnr %s %s", argv[i],
				       commands[cmd].name,
				       commands[cmd].operands);
	}
	return rc ? rc : check_operands(a, cmd);
}
