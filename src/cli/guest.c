/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest is a process of a run with --hyperv that has the service's file open and has
 * registered.  Daemons take a moment to do so after they were started, so it is looked for until
 * the time is over.
 */
#include "cli/guest.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/running.h"

#define LOOK_AGAIN_NS 20000000
#define WAIT_S        10.0 /* for a daemon */
#define ANSWER_S      60.0 /* longer than the guest's own time-out */
#define FREEZE_S      (16.0 * 60)

int guest_option(struct guest_options *o, int option, char **argv)
{
	char *end;

	switch (option) {
	case 'P':
		o->pid = running_parse_pid(optarg);
		return o->pid ? 0 : usage_error(o->command, "'%s' is no process", optarg);
	case 'T':
		o->timeout = strtod(optarg, &end);
		return end != optarg && !*end && o->timeout >= 0 && o->timeout <= 1e6
			       ? 0
			       : usage_error(o->command, "'%s' is no time in seconds", optarg);
	case 'J':
		o->json = true;
		return 0;
	case 'h':
		help_print(o->command);
		return GUEST_HELP;
	default:
		return option_error(o->command, option, argv[optind - 1]);
	}
}

/* ---- how it has ended ---- */

static const struct {
	int64_t status;
	const char *text;
} meanings[] = {
	{HV_E_FAIL, "the guest failed, or did not answer in time"},
	{HV_S_CONT, "there is no such item"},
	{HV_ERROR_NOT_SUPPORTED, "the guest does not support it"},
	{HV_ERROR_MACHINE_LOCKED, "the machine is locked"},
	{HV_ERROR_DEVICE_NOT_CONNECTED, "the device is not connected"},
	{HV_INVALIDARG, "an argument is invalid"},
	{HV_GUID_NOTFOUND, "the guest has no such adapter"},
	{HV_ERROR_ALREADY_EXISTS, "the file exists already"},
	{HV_ERROR_DISK_FULL, "the guest's disk is full"},
	{-EPIPE, "the guest has gone, or was suspended"},
	{-ETIMEDOUT, "the guest does not answer"},
	{-EPROTONOSUPPORT, "no version of the protocol is common"},
};

int guest_status(const struct guest_options *o, int64_t status)
{
	const char *text = status < 0 ? strerror((int)-status) : "the guest failed", *name;
	uint32_t shown = status < 0 ? HV_E_FAIL : (uint32_t)status;

	if (status == HV_S_OK && !o->json)
		return 0;
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].status == status)
			text = meanings[i].text;
	name = hyperv_status_name(shown);
	if (o->json) {
		printf("{\"status\": \"0x%08x\", \"name\": ", shown);
		json_string(stdout, name ? name : "");
		printf(", \"message\": ");
		json_string(stdout, status == HV_S_OK ? "" : text);
		printf("}\n");
		return finish_output() || status != HV_S_OK;
	}
	complain("%s: %s%s%#x%s: %s", o->command, name ? name : "", name ? " (" : "", shown,
		 name ? ")" : "", text);
	return 1;
}

/* ---- finding the guest ---- */

struct found {
	const struct running *run;
	pid_t process;
	unsigned n;
	bool hyperv;     /* there is a run with --hyperv */
	bool registered; /* and the daemon of the last one has done so */
};

static void look_in(const struct running *r, pid_t process, const char *service,
		    struct found *found)
{
	char *reply, *rest, state[16], name[16];

	if (running_ask(r, process, "hyperv-status", &reply) == 0)
		for (char *line = strtok_r(reply, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest))
			if (sscanf(line, "%15s %15s", name, state) == 2 &&
			    strcmp(name, service) == 0) {
				found->run = r;
				found->process = process;
				found->registered = strcmp(state, "unregistered") != 0;
				found->n++;
			}
	free(reply);
}

static void look(const struct running *first, const char *service, struct found *found)
{
	memset(found, 0, sizeof(*found));
	for (const struct running *r = first; r; r = r->next) {
		if (strncmp(r->config, "hyperv ", 7) != 0 && !strstr(r->config, "\nhyperv "))
			continue;
		found->hyperv = true;
		for (size_t i = 0; i < r->n_processes; i++)
			look_in(r, r->processes[i], service, found);
	}
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int connect_guest(const struct guest_options *o, const struct found *found,
			 const char *service, unsigned type, struct hyperv_host *h)
{
	double patience = o->timeout >= 0         ? o->timeout
			  : type == HYPERV_IC_VSS ? FREEZE_S
						  : ANSWER_S;
	char command[64], *reason;
	int64_t ret;
	int fd;

	snprintf(command, sizeof(command), "hyperv-channel %s", service);
	fd = running_connect(found->run, found->process, command, &reason);
	if (fd < 0) {
		complain("%s: %s", o->command, reason ? reason : "out of memory");
		free(reason);
		return 1;
	}
	ret = hyperv_host_open(h, fd, type, (int)ceil(patience * 1000));
	return ret < 0 ? guest_status(o, ret) : 0;
}

int guest_open(const struct guest_options *o, const char *service, unsigned type,
	       struct hyperv_host *h)
{
	const struct timespec pause = {.tv_nsec = LOOK_AGAIN_NS};
	double end = now() + (o->timeout >= 0 ? o->timeout : WAIT_S);
	struct running *first;
	struct found found;
	int status = 1;

	for (;;) {
		first = running_find(o->pid);
		look(first, service, &found);
		if (found.n > 1 || found.registered || now() >= end)
			break;
		running_free(first);
		nanosleep(&pause, NULL);
	}
	if (found.n > 1)
		complain("%s: several programs have the device open: --pid says which", o->command);
	else if (found.n)
		status = connect_guest(o, &found, service, type, h);
	else if (found.hyperv)
		complain("%s: no program of the run has /dev/vmbus/hv_%s open", o->command,
			 service);
	else
		complain("%s: nothing runs with --hyperv", o->command);
	running_free(first);
	return status;
}
