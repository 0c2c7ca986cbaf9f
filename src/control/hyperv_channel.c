/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host: finds its guest and opens channels.  A guest is a process of a run with --hyperv that has
 * the service's file open and has registered.  Daemons take a moment to do so after they were
 * started, so it is looked for until the time is over.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/hyperv_host.h"

#define LOOK_AGAIN_NS 20000000
#define WAIT_MS       10000 /* for a daemon */
#define ANSWER_MS     60000 /* longer than the guest's own time-out */
#define FREEZE_MS     (16 * 60 * 1000)
#define STATUS_S      2 /* for what every process can say at once */

static const struct {
	const char *name;
	unsigned type;
} services[STANDIN_HYPERV_SERVICES] = {
	[STANDIN_HYPERV_KVP] = {"kvp", HYPERV_IC_KVP},
	[STANDIN_HYPERV_VSS] = {"vss", HYPERV_IC_VSS},
	[STANDIN_HYPERV_FCOPY] = {"fcopy", HYPERV_IC_FCOPY},
};

const char *standin_hyperv_service_name(enum standin_hyperv_service service)
{
	return (unsigned)service < STANDIN_HYPERV_SERVICES ? services[service].name : NULL;
}

/* -1: there is no such service. */
static int parse_service(const char *name)
{
	for (int i = 0; i < STANDIN_HYPERV_SERVICES; i++)
		if (strcmp(services[i].name, name) == 0)
			return i;
	return -1;
}

/* ---- what has happened ---- */

static const struct {
	int64_t ret;
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
	{-EPROTO, "the guest's answer is none"},
	{-EPROTONOSUPPORT, "no version of the protocol is common"},
	{-EINVAL, "a text is no UTF-8 or too long, or a number is none"},
};

int hyperv_error(struct standin_hyperv *h, int ret, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(h->error, sizeof(h->error), format, arguments);
	va_end(arguments);
	return ret;
}

int64_t hyperv_end(struct standin_hyperv *h, int64_t ret)
{
	if (ret == HV_S_OK || h->error[0])
		return ret;
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].ret == ret)
			hyperv_error(h, 0, "%s", meanings[i].text);
	if (!h->error[0])
		hyperv_error(h, 0, "%s", ret < 0 ? strerror((int)-ret) : "the guest failed");
	return ret;
}

const char *standin_hyperv_error(const struct standin_hyperv *h)
{
	return h->error;
}

/* ---- a host ---- */

struct standin_hyperv *standin_hyperv_create(pid_t pid)
{
	struct standin_hyperv *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->pid = pid;
	h->daemon_ms = h->answer_ms = -1;
	for (int i = 0; i < STANDIN_HYPERV_SERVICES; i++)
		h->channels[i].fd = -1;
	return h;
}

void standin_hyperv_destroy(struct standin_hyperv *h)
{
	for (int i = 0; h && i < STANDIN_HYPERV_SERVICES; i++)
		hyperv_host_close(&h->channels[i]);
	free(h);
}

void standin_hyperv_set_timeouts(struct standin_hyperv *h, int daemon_ms, int answer_ms)
{
	h->daemon_ms = daemon_ms;
	h->answer_ms = answer_ms;
}

/* ---- finding the guest ---- */

bool hyperv_is_in(const struct running *r)
{
	return strncmp(r->config, "hyperv ", 7) == 0 || strstr(r->config, "\nhyperv ");
}

bool hyperv_status_parse(const char *line, struct standin_hyperv_status *ret_status)
{
	struct standin_hyperv_status s = {0};
	unsigned long long requests, failed;
	char name[16];
	int service;

	if (sscanf(line, "%15s %15s %u %hu.%hu %hu.%hu %llu %llu", name, s.state, &s.registered,
		   &s.framework.major, &s.framework.minor, &s.version.major, &s.version.minor,
		   &requests, &failed) != 9)
		return false;
	service = parse_service(name);
	s.service = (enum standin_hyperv_service)service;
	s.requests = requests;
	s.failed = failed;
	*ret_status = s;
	return service >= 0;
}

struct found {
	const struct running *run;
	pid_t process;
	unsigned n;
	bool hyperv;     /* there is a run with --hyperv */
	bool registered; /* and the daemon of the last one has done so */
	bool suspended;  /* and sleeps */
};

static void look_in(const struct running *r, pid_t process, enum standin_hyperv_service service,
		    struct found *found)
{
	struct standin_hyperv_status status;
	char *reply, *rest;

	if (running_ask(r, process, "hyperv-status", &reply) == 0)
		for (char *line = strtok_r(reply, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest)) {
			if (!hyperv_status_parse(line, &status) || status.service != service)
				continue;
			found->run = r;
			found->process = process;
			found->registered = strcmp(status.state, "unregistered") != 0;
			found->suspended = strcmp(status.state, "suspended") == 0;
			found->n++;
		}
	free(reply);
}

static void look(struct running *first, enum standin_hyperv_service service, struct found *found)
{
	memset(found, 0, sizeof(*found));
	for (struct running *r = first; r; r = r->next) {
		if (!hyperv_is_in(r))
			continue;
		found->hyperv = true;
		r->patience = STATUS_S;
		for (size_t i = 0; i < r->n_processes; i++)
			look_in(r, r->processes[i], service, found);
	}
}

static int64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* What is there now: a connection, or -errno. */
static int connect_found(struct standin_hyperv *h, const struct found *found, const char *name)
{
	char command[64], *reason;
	int fd;

	if (found->n > 1)
		return hyperv_error(h, -ENOTUNIQ,
				    "several programs have the device open: a pid says which");
	if (!found->hyperv)
		return hyperv_error(h, -ESRCH, "nothing runs with --hyperv");
	if (!found->n)
		return hyperv_error(h, -ENODEV, "no program of the run has /dev/vmbus/hv_%s open",
				    name);
	snprintf(command, sizeof(command), "hyperv-channel %s", name);
	fd = running_connect(found->run, found->process, command, &reason);
	if (fd < 0)
		hyperv_error(h, 0, "%s", reason ? reason : strerror(ENOMEM));
	free(reason);
	return fd < 0 ? -EBUSY : fd;
}

static int find_and_connect(struct standin_hyperv *h, enum standin_hyperv_service service)
{
	const struct timespec pause = {.tv_nsec = LOOK_AGAIN_NS};
	int64_t end = now_ms() + (h->daemon_ms >= 0 ? h->daemon_ms : WAIT_MS);
	struct running *first;
	struct found found;
	bool last;
	int fd;

	for (;;) {
		first = running_find(h->pid);
		look(first, service, &found);
		last = found.n > 1 || found.suspended || now_ms() >= end;
		fd = -ENODEV;
		if (found.registered || last)
			fd = connect_found(h, &found, services[service].name);
		running_free(first);
		if (fd >= 0 || last)
			break;
		nanosleep(&pause, NULL); /* one that was found may have gone since */
	}
	if (fd >= 0)
		h->error[0] = '\0';
	return fd;
}

/* ---- channels ---- */

static int open_channel(struct standin_hyperv *h, enum standin_hyperv_service service, bool raw)
{
	int patience = h->answer_ms >= 0               ? h->answer_ms
		       : service == STANDIN_HYPERV_VSS ? FREEZE_MS
						       : ANSWER_MS;
	struct hyperv_host *c;
	int fd;

	h->error[0] = '\0';
	if ((unsigned)service >= STANDIN_HYPERV_SERVICES)
		return hyperv_error(h, -EINVAL, "there is no such service");
	c = &h->channels[service];
	h->raw[service] = raw;
	hyperv_host_close(c);
	fd = find_and_connect(h, service);
	if (fd < 0)
		return fd;
	if (!raw)
		return (int)hyperv_host_open(c, fd, services[service].type, patience);
	hyperv_host_attach(c, fd, services[service].type, patience);
	return 0;
}

int standin_hyperv_open(struct standin_hyperv *h, enum standin_hyperv_service service)
{
	return (int)hyperv_end(h, open_channel(h, service, false));
}

int standin_hyperv_open_raw(struct standin_hyperv *h, enum standin_hyperv_service service)
{
	return (int)hyperv_end(h, open_channel(h, service, true));
}

void standin_hyperv_close(struct standin_hyperv *h, enum standin_hyperv_service service)
{
	if ((unsigned)service < STANDIN_HYPERV_SERVICES)
		hyperv_host_close(&h->channels[service]);
}

/* A guest that has gone since the last request has hung up. */
static bool is_open(const struct hyperv_host *c)
{
	struct pollfd fd = {.fd = c->fd, .events = POLLRDHUP};

	return c->fd >= 0 && poll(&fd, 1, 0) == 0;
}

int hyperv_channel(struct standin_hyperv *h, enum standin_hyperv_service service,
		   struct hyperv_host **ret_channel)
{
	int ret = 0;

	h->error[0] = '\0';
	if ((unsigned)service >= STANDIN_HYPERV_SERVICES)
		return hyperv_error(h, -EINVAL, "there is no such service");
	if (!is_open(&h->channels[service]))
		ret = open_channel(h, service, h->raw[service]);
	if (ret == 0)
		*ret_channel = &h->channels[service];
	return ret;
}

int standin_hyperv_versions(struct standin_hyperv *h, enum standin_hyperv_service service,
			    struct standin_hyperv_version *ret_framework,
			    struct standin_hyperv_version *ret_service)
{
	const struct hyperv_host *c = &h->channels[service];

	h->error[0] = '\0';
	if ((unsigned)service >= STANDIN_HYPERV_SERVICES || c->fd < 0 || !c->framework.major)
		return hyperv_error(h, -EPIPE, "no version has been negotiated");
	*ret_framework = (struct standin_hyperv_version){c->framework.major, c->framework.minor};
	*ret_service = (struct standin_hyperv_version){c->version.major, c->version.minor};
	return 0;
}
