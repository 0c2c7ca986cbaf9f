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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "control/running.h"

#define LOOK_AGAIN_NS 20000000
#define WAIT_S        10.0 /* for a daemon */
#define ANSWER_S      60.0 /* longer than the guest's own time-out */
#define STATUS_S      2    /* for what every process can say at once */
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
	unsigned job;
	const char *text;
} meanings[] = {
	{HV_S_OK, 0, ""},
	{HV_E_FAIL, JOB_FAILED, "the guest failed, or did not answer in time"},
	{HV_S_CONT, JOB_NOT_FOUND, "there is no such item"},
	{HV_ERROR_NOT_SUPPORTED, JOB_NOT_SUPPORTED, "the guest does not support it"},
	{HV_ERROR_MACHINE_LOCKED, JOB_INVALID_STATE, "the machine is locked"},
	{HV_ERROR_DEVICE_NOT_CONNECTED, JOB_NOT_AVAILABLE, "the device is not connected"},
	{HV_INVALIDARG, JOB_ILLEGAL_ARGUMENT, "an argument is invalid"},
	{HV_GUID_NOTFOUND, JOB_NOT_FOUND, "the guest has no such adapter"},
	{HV_ERROR_ALREADY_EXISTS, JOB_FAILED, "the file exists already"},
	{HV_ERROR_DISK_FULL, JOB_FAILED, "the guest's disk is full"},
	{-EPIPE, JOB_FAILED, "the guest has gone, or was suspended"},
	{-ETIMEDOUT, JOB_TIMEOUT, "the guest does not answer"},
	{-EPROTONOSUPPORT, JOB_NOT_SUPPORTED, "no version of the protocol is common"},
	{-EINVAL, JOB_ILLEGAL_ARGUMENT, "a text is no UTF-8 or too long, or a number is none"},
};

/* As -EINVAL and the like: what a host shows for it. */
static uint32_t shown_status(int64_t status)
{
	return status >= 0 ? (uint32_t)status : status == -EINVAL ? HV_INVALIDARG : HV_E_FAIL;
}

static int show(const struct guest_options *o, uint32_t status, unsigned job, const char *text)
{
	const char *name = hyperv_status_name(status);

	if (o->json) {
		printf("{\"status\": \"0x%08x\", \"name\": \"%s\", \"job\": %u, \"message\": ",
		       status, name ? name : "", job);
		json_string(stdout, text);
		printf("}\n");
		return finish_output() || status != HV_S_OK;
	}
	if (status == HV_S_OK)
		return 0;
	complain("%s: %s%s0x%08x%s: %s", o->command, name ? name : "", name ? " (" : "", status,
		 name ? ")" : "", text);
	return 1;
}

int guest_status(const struct guest_options *o, int64_t status)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].status == status)
			return show(o, shown_status(status), meanings[i].job, meanings[i].text);
	return show(o, shown_status(status), JOB_FAILED,
		    status < 0 ? strerror((int)-status) : "the guest failed");
}

int guest_fail(const struct guest_options *o, uint32_t status, unsigned job, const char *format,
	       ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return show(o, status, job, text);
}

/* ---- finding the guest ---- */

bool guest_is_hyperv(const struct running *r)
{
	return strncmp(r->config, "hyperv ", 7) == 0 || strstr(r->config, "\nhyperv ");
}

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

static void look(struct running *first, const char *service, struct found *found)
{
	memset(found, 0, sizeof(*found));
	for (struct running *r = first; r; r = r->next) {
		if (!guest_is_hyperv(r))
			continue;
		found->hyperv = true;
		r->patience = STATUS_S;
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

/* What is there now for `o`: 0, or the exit status with a message. */
static int connect_found(const struct guest_options *o, const struct found *found,
			 const char *service, int *ret_fd)
{
	char command[64], *reason;
	int status;

	if (found->n > 1)
		return guest_fail(o, HV_INVALIDARG, JOB_ILLEGAL_ARGUMENT,
				  "several programs have the device open: --pid says which");
	if (!found->n)
		return guest_fail(o, HV_ERROR_DEVICE_NOT_CONNECTED, JOB_NOT_AVAILABLE,
				  found->hyperv ? "no program of the run has /dev/vmbus/hv_%s open"
						: "nothing runs with --hyperv",
				  service);
	snprintf(command, sizeof(command), "hyperv-channel %s", service);
	*ret_fd = running_connect(found->run, found->process, command, &reason);
	if (*ret_fd >= 0)
		return 0;
	status = guest_fail(o, HV_ERROR_DEVICE_NOT_CONNECTED, JOB_INVALID_STATE, "%s",
			    reason ? reason : "out of memory");
	free(reason);
	return status;
}

static int find_and_connect(const struct guest_options *o, const char *service, int *ret_fd)
{
	const struct timespec pause = {.tv_nsec = LOOK_AGAIN_NS};
	double end = now() + (o->timeout >= 0 ? o->timeout : WAIT_S);
	struct running *first;
	struct found found;
	int status;

	for (;;) {
		first = running_find(o->pid);
		look(first, service, &found);
		if (found.n > 1 || found.registered || now() >= end)
			break;
		running_free(first);
		nanosleep(&pause, NULL);
	}
	status = connect_found(o, &found, service, ret_fd);
	running_free(first);
	return status;
}

static int patience_ms(const struct guest_options *o, unsigned type)
{
	double s = o->timeout >= 0 ? o->timeout : type == HYPERV_IC_VSS ? FREEZE_S : ANSWER_S;

	return (int)ceil(s * 1000);
}

int guest_open(const struct guest_options *o, const char *service, unsigned type,
	       struct hyperv_host *h)
{
	int fd, status = find_and_connect(o, service, &fd);
	int64_t ret;

	h->fd = -1;
	if (status)
		return status;
	ret = hyperv_host_open(h, fd, type, patience_ms(o, type));
	return ret < 0 ? guest_status(o, ret) : 0;
}

int guest_attach(const struct guest_options *o, const char *service, unsigned type,
		 struct hyperv_host *h)
{
	int fd, status = find_and_connect(o, service, &fd);

	h->fd = -1;
	if (status == 0)
		hyperv_host_attach(h, fd, type, patience_ms(o, type));
	return status;
}
