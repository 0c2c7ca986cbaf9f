/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin COMMAND: finds the command, and has the few helpers that all of them use.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "cli/cli.h"
#include "cli/nested.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"run", command_run},
	{"list", command_list},
	{"ps", command_ps},
	{"scsi", command_scsi},
	{"kvp", command_kvp},
	{"vss", command_vss},
	{"copy", command_copy},
	{"hyperv", command_hyperv},
	{"agent", agent_main},
	{"doctor", command_doctor},
	{"help", command_help},
};

void complain(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "standin: %s\n", text);
}

int usage_error(const char *command, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (command)
		complain("%s (see 'standin help %s')", text, command);
	else
		complain("%s (see 'standin help')", text);
	return EXIT_USAGE;
}

int option_error(const char *command, int result, const char *word)
{
	if (result == ':')
		return usage_error(command, "option '%s' needs a value", word);
	if (optopt && !(word[0] == '-' && word[1] == '-'))
		return usage_error(command, "unknown option '-%c'", optopt);
	if (optopt)
		return usage_error(command, "option '%s' takes no value", word);
	return usage_error(command, "unknown option '%s'", word);
}

int finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	complain("can't write: %s", strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name)
		return usage_error(NULL, "a command is needed: run, list, ps, scsi, kvp, vss, "
					 "copy, hyperv, agent, doctor or help");
	/* The agent alone is a client, and wants the devices that another standin has. */
	if (strcmp(name, "agent") != 0)
		nested_leave(argv);
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("standin %s\n", STANDIN_VERSION);
		return finish_output();
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return help_print(NULL);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (name[0] == '-')
		return usage_error(NULL, "unknown option '%s'", name);
	return usage_error(NULL, "no command is named '%s'", name);
}
