/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin scsi: lists, adds and removes logical units of /dev/vhost-scsi while a program has it
 * open.  Every process has its own targets; which one is meant is clear if only one has the
 * target port in use, and otherwise said by --pid.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "control/running.h"
#include "core/keys.h"

static int fail(char *reason)
{
	complain("%s", reason ? reason : "out of memory");
	free(reason);
	return 1;
}

/* ---- list ---- */

static int list_process(const struct running *r, pid_t process)
{
	char *reply, *rest, *line;

	if (running_ask(r, process, "scsi-list", &reply) < 0)
		return fail(reply);
	for (line = strtok_r(reply, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char wwpn[32], use[8];
		unsigned tpgt;

		if (sscanf(line, "port %31s %u %7s", wwpn, &tpgt, use) == 3)
			printf("%d %s,tpgt=%u%s\n", (int)process, wwpn, tpgt,
			       strcmp(use, "used") == 0 ? " (in use)" : "");
		else if (strncmp(line, "unit ", 5) == 0)
			printf("  %s\n", line + 5);
	}
	free(reply);
	return 0;
}

static int list(const struct running *first)
{
	int status = 0;

	for (const struct running *r = first; r && status == 0; r = r->next)
		for (size_t i = 0; i < r->n_processes && status == 0; i++)
			status = list_process(r, r->processes[i]);
	return status ? status : finish_output();
}

/* ---- add and remove ---- */

/* Whether a process has the port in use; a name is enough, whatever the target number. */
static bool has_port(const struct running *r, pid_t process, const char *wwpn)
{
	char *reply, line[64];
	bool found = false;

	if (running_ask(r, process, "scsi-list", &reply) == 0) {
		snprintf(line, sizeof(line), "port %s ", wwpn);
		for (const char *at = reply; (at = strstr(at, line)) && !found; at++)
			found = strncmp(at + strcspn(at, "\n") - 4, "used", 4) == 0;
	}
	free(reply);
	return found;
}

/* The one that is meant: 0, or the exit status. */
static int choose(const struct running *first, const char *wwpn, const struct running **ret_run,
		  pid_t *ret_process)
{
	unsigned all = 0, using = 0;

	for (const struct running *r = first; r; r = r->next) {
		for (size_t i = 0; i < r->n_processes; i++) {
			bool uses = has_port(r, r->processes[i], wwpn);

			if (uses || (!using && !all)) {
				*ret_run = r;
				*ret_process = r->processes[i];
			}
			using += uses;
			all++;
		}
	}
	if (using == 1 || all == 1)
		return 0;
	if (all == 0)
		complain("no program is running that has /dev/vhost-scsi open");
	else if (using == 0)
		complain("several programs have /dev/vhost-scsi open, and none has %s in use: "
			 "--pid says which",
			 wwpn);
	else
		complain("several programs have %s in use: --pid says which", wwpn);
	return 1;
}

/* A relative path in "lunN=PATH" is ours, and not the other process's. */
static int print_key(FILE *out, const char *item)
{
	const char *value = strchr(item, '='), *point = strchr(item, '.');
	char name[64], directory[PATH_MAX], path[2 * PATH_MAX];
	struct config_key key = {.name = name, .value = path};
	const struct config_keys keys = {.key = &key, .n = 1};

	if (snprintf(name, sizeof(name), "%.*s", (int)(value - item), item) >= (int)sizeof(name))
		return usage_error("scsi", "'%s' is no key", item);
	if (value[1] && value[1] != '/' && (!point || point > value)) {
		if (!getcwd(directory, sizeof(directory))) {
			complain("%s: %s", item, strerror(errno));
			return 1;
		}
		snprintf(path, sizeof(path), "%s/%.*s", directory, PATH_MAX - 1, value + 1);
	} else {
		snprintf(path, sizeof(path), "%.*s", PATH_MAX - 1, value + 1);
	}
	keys_print(out, &keys);
	return 0;
}

/* The command's line from WWPN[,tpgt=N] and the units: a string to be freed, or NULL. */
static char *make_line(const char *command, const char *wwpn, char *units, bool values)
{
	char *line = NULL, *item, *rest = units, name[64];
	FILE *out;
	size_t size;
	int status = 0;

	if (strchr(wwpn, '\n') || strchr(units, '\n')) {
		complain("a line break can't be part of a name");
		return NULL;
	}
	out = open_memstream(&line, &size);
	if (!out)
		return NULL;
	fprintf(out, "%s wwpn=%s", command, wwpn);
	while (status == 0 && (item = keys_next_item(&rest))) {
		if (values && strchr(item, '=')) {
			status = print_key(out, item);
		} else if (values || strchr(item, '=')) {
			status = usage_error("scsi",
					     values ? "'%s' is not lunN=FILE" : "'%s' is not lunN",
					     item);
		} else {
			snprintf(name, sizeof(name), "%.60s=", item);
			status = print_key(out, name);
		}
	}
	if (fclose(out) == 0 && status == 0)
		return line;
	free(line);
	return NULL;
}

static int change(const struct running *first, const char *command, char *wwpn, char *units,
		  bool values)
{
	char *line = make_line(command, wwpn, units, values), *reply;
	const struct running *run = NULL;
	pid_t process = 0;
	int status;

	if (!line)
		return EXIT_USAGE;
	/* A target number is for the process alone. */
	wwpn[strcspn(wwpn, ",")] = '\0';
	status = choose(first, wwpn, &run, &process);
	if (status == 0) {
		status = running_ask(run, process, line, &reply) < 0 ? fail(reply) : 0;
		if (status == 0)
			free(reply);
	}
	free(line);
	return status;
}

int command_scsi(int argc, char **argv)
{
	static const struct option options[] = {
		{"pid", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct running *first;
	const char *word;
	int option, status, n;
	pid_t pid = 0;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":hp:", options, NULL)) != -1) {
		if (option == 'h')
			return help_print("scsi");
		if (option != 'p')
			return option_error("scsi", option, argv[optind - 1]);
		pid = running_parse_pid(optarg);
		if (!pid)
			return usage_error("scsi", "'%s' is no process", optarg);
	}
	word = optind < argc ? argv[optind] : "";
	n = argc - optind;
	if (strcmp(word, "list") != 0 && strcmp(word, "add") != 0 && strcmp(word, "remove") != 0)
		return usage_error("scsi", "list, add or remove?");
	if (n != (strcmp(word, "list") == 0 ? 1 : 3))
		return usage_error("scsi", "%s takes %s", word,
				   strcmp(word, "list") == 0  ? "no arguments"
				   : strcmp(word, "add") == 0 ? "WWPN lunN=FILE"
							      : "WWPN lunN");
	first = running_find(pid);
	if (pid && !first) {
		complain("process %d is no run, and takes no commands", (int)pid);
		return 1;
	}
	if (strcmp(word, "list") == 0)
		status = list(first);
	else
		status = change(first, strcmp(word, "add") == 0 ? "scsi-add" : "scsi-remove",
				argv[optind + 1], argv[optind + 2], strcmp(word, "add") == 0);
	running_free(first);
	return status;
}
