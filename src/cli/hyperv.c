/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin hyperv: what the host knows of its guests, and does with them as a whole.
 *
 * A service that is disabled has no device: its node is taken out of the run's tree, and
 * who has it open gets EBADF.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/guest.h"
#include "cli/json.h"
#include "control/running.h"
#include "core/environment.h"

static const char *const services[] = {"kvp", "vss", "fcopy"};
#define N_SERVICES (sizeof(services) / sizeof(services[0]))

/* ---- status ---- */

struct row {
	char service[16], state[16], framework[16], version[16];
	unsigned registered;
	unsigned long long requests, failed;
};

static void print_row(const struct guest_options *o, const struct running *r, pid_t process,
		      const struct row *row, bool first)
{
	if (!o->json) {
		printf("%-8d%-8d%-7s%-13s%-10s%-8s%llu requests, %llu failed\n", (int)r->pid,
		       (int)process, row->service, row->state, row->framework, row->version,
		       row->requests, row->failed);
		return;
	}
	printf("%s{\"run\": %d, \"pid\": %d, \"service\": ", first ? "" : ",\n ", (int)r->pid,
	       (int)process);
	json_string(stdout, row->service);
	printf(", \"state\": ");
	json_string(stdout, row->state);
	printf(", \"registered\": %u, \"framework\": \"%s\", \"version\": \"%s\", "
	       "\"requests\": %llu, \"failed\": %llu}",
	       row->registered, row->framework, row->version, row->requests, row->failed);
}

static void status_of(const struct guest_options *o, const struct running *r, pid_t process,
		      bool *first)
{
	char *reply, *rest;
	struct row row;

	if (running_ask(r, process, "hyperv-status", &reply) == 0)
		for (char *line = strtok_r(reply, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest))
			if (sscanf(line, "%15s %15s %u %15s %15s %llu %llu", row.service, row.state,
				   &row.registered, row.framework, row.version, &row.requests,
				   &row.failed) == 7) {
				print_row(o, r, process, &row, *first);
				*first = false;
			}
	free(reply);
}

/* Services that are disabled, and file systems that somebody believes to be frozen. */
static void status_of_run(const struct guest_options *o, const struct running *r, bool *first)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	for (size_t i = 0; i < r->n_processes; i++)
		status_of(o, r, r->processes[i], first);
	for (size_t i = 0; i < N_SERVICES; i++) {
		struct row row = {.state = "disabled", .framework = "-", .version = "-"};

		strcpy(row.service, services[i]);
		snprintf(path, sizeof(path), "%s/disabled-%s", r->directory, services[i]);
		if (access(path, F_OK) < 0)
			continue;
		print_row(o, r, 0, &row, *first);
		*first = false;
	}
	if (o->json)
		return;
	snprintf(path, sizeof(path), "%s/" FREEZE_DIRECTORY, r->directory);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !strstr(entry->d_name, FREEZE_REAL))
			printf("%-8d        frozen %s\n", (int)r->pid, entry->d_name);
	if (dir)
		closedir(dir);
}

static int do_status(const struct guest_options *o, const struct running *list, char **argv)
{
	bool first = true;

	if (o->json)
		printf("[");
	else
		printf("%-8s%-8s%-7s%-13s%-10s%-8s\n", "RUN", "PID", "NAME", "STATE", "FRAMEWORK",
		       "VERSION");
	for (; list; list = list->next)
		if (guest_is_hyperv(list))
			status_of_run(o, list, &first);
	if (o->json)
		printf("]\n");
	return finish_output();
}

/* ---- the others, for every process of every run that is meant ---- */

static int tell_all(const struct running *list, const char *command)
{
	int status = 0;
	char *reply;

	for (; list; list = list->next)
		for (size_t i = 0; guest_is_hyperv(list) && i < list->n_processes; i++) {
			if (running_ask(list, list->processes[i], command, &reply) < 0) {
				complain("hyperv: %s", reply ? reply : "out of memory");
				status = 1;
			}
			free(reply);
		}
	return status;
}

static int do_suspend(const struct guest_options *o, const struct running *list, char **argv)
{
	return tell_all(list, "hyperv-suspend");
}

static int do_resume(const struct guest_options *o, const struct running *list, char **argv)
{
	return tell_all(list, "hyperv-resume");
}

/* Whether it is the service that newer kernels give away as a uio device. */
static bool has_uio(const struct running *r, const char *service)
{
	return strcmp(service, "fcopy") == 0 && strstr(r->config, ",uio=on");
}

/* Takes the node out of the tree, or puts it back: the exit status. */
static int move_node(const struct running *list, const char *service, bool back)
{
	char node[PATH_MAX], away[PATH_MAX];

	for (; list; list = list->next) {
		if (!guest_is_hyperv(list))
			continue;
		snprintf(node, sizeof(node), "%s/root/dev/%s%s", list->directory,
			 has_uio(list, service) ? "uio0" : "vmbus/hv_",
			 has_uio(list, service) ? "" : service);
		snprintf(away, sizeof(away), "%s/disabled-%s", list->directory, service);
		if (rename(back ? away : node, back ? node : away) < 0 && errno != ENOENT) {
			complain("hyperv: %s: %s", node, strerror(errno));
			return 1;
		}
	}
	return 0;
}

static int do_disable(const struct guest_options *o, const struct running *list, char **argv)
{
	char command[64];
	int status = move_node(list, argv[0], false);

	snprintf(command, sizeof(command), "hyperv-remove %s", argv[0]);
	return status ? status : tell_all(list, command);
}

static int do_enable(const struct guest_options *o, const struct running *list, char **argv)
{
	return move_node(list, argv[0], true);
}

static const struct verb {
	const char *name;
	bool service; /* is its argument */
	int (*run)(const struct guest_options *o, const struct running *list, char **argv);
} verbs[] = {
	{"status", false, do_status},  {"suspend", false, do_suspend}, {"resume", false, do_resume},
	{"disable", true, do_disable}, {"enable", true, do_enable},
};

static bool is_service(const char *name)
{
	for (size_t i = 0; i < N_SERVICES; i++)
		if (strcmp(services[i], name) == 0)
			return true;
	return false;
}

/* argv[0] is the service. */
static int raw(const struct guest_options *o, int argc, char **argv)
{
	static const unsigned types[N_SERVICES] = {HYPERV_IC_KVP, HYPERV_IC_VSS, HYPERV_IC_FCOPY};

	for (size_t i = 0; i < N_SERVICES; i++)
		if (strcmp(services[i], argv[0]) == 0)
			return guest_raw(o, services[i], types[i], argc, argv);
	return usage_error("hyperv", "no service is named '%s'", argv[0]);
}

static unsigned count_hyperv(struct running *list)
{
	unsigned n = 0;

	for (; list; list = list->next) {
		list->patience = 2; /* all that is asked for is done at once */
		n += guest_is_hyperv(list);
	}
	return n;
}

int command_hyperv(int argc, char **argv)
{
	static const struct option options[] = {GUEST_OPTIONS, {0}};
	struct guest_options o = {.command = "hyperv", .timeout = -1};
	struct running *list;
	int option, status = 0;
	unsigned n;

	opterr = 0;
	while (status == 0 && (option = getopt_long(argc, argv, "+:h", options, NULL)) != -1)
		status = guest_option(&o, option, argv);
	if (status == 0 && argc - optind > 1 && strcmp(argv[optind], "raw") == 0)
		return raw(&o, argc - optind - 1, argv + optind + 1);
	while (status == 0 && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
		status = guest_option(&o, option, argv);
	if (status)
		return status == GUEST_HELP ? 0 : status;
	argc -= optind;
	argv += optind;
	for (size_t i = 0; argc > 0 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, argv[0]) != 0)
			continue;
		if (argc - 1 != verbs[i].service)
			return usage_error("hyperv", "%s takes %s", argv[0],
					   verbs[i].service ? "a service: kvp, vss or fcopy"
							    : "no arguments");
		if (verbs[i].service && !is_service(argv[1]))
			return usage_error("hyperv", "no service is named '%s'", argv[1]);
		list = running_find(o.pid);
		n = count_hyperv(list);
		if (n == 1 || verbs[i].run == do_status)
			status = verbs[i].run(&o, list, argv + 1);
		else
			status = guest_fail(&o, HV_ERROR_DEVICE_NOT_CONNECTED, JOB_NOT_AVAILABLE,
					    n ? "several programs run with --hyperv: --pid says "
						"which"
					      : "nothing runs with --hyperv");
		running_free(list);
		return status;
	}
	return usage_error("hyperv", "status, suspend, resume, disable, enable or raw?");
}
