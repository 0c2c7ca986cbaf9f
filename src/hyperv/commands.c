/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `standin kvp` and its like ask of a process (core/control.h):
 *
 *	hyperv-channel SERVICE   the connection becomes a channel of the service (hyperv/frame.h)
 *	hyperv-remove SERVICE    its device goes, for who has it open
 *	hyperv-suspend           the machine sleeps
 *	hyperv-resume            and wakes
 *	hyperv-status            a line for each service whose file is open: "SERVICE STATE
 *	                         REGISTERED FRAMEWORK VERSION REQUESTS FAILED"
 */
#include <string.h>

#include "core/config.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "hyperv/hyperv.h"

static struct hyperv_service *find(const char *name)
{
	bool newer = instance && instance->config->hyperv.uio;

	for (unsigned i = 0; i < HYPERV_SERVICES; i++)
		if (strcmp(hyperv_services[i]->kind->name, name) == 0 &&
		    hyperv_services[i] != (newer ? &hyperv_fcopy : &hyperv_uio))
			return hyperv_services[i];
	return NULL;
}

static void open_channel(char *arguments, struct control_reply *reply)
{
	struct hyperv_service *s = find(arguments);

	if (!s) {
		control_fail(reply, "no service is named '%.64s'", arguments);
		return;
	}
	pthread_mutex_lock(&s->lock);
	if (s->mode != HYPERV_OPEN)
		control_fail(reply, "%s is not open", s->kind->path);
	else if (s->suspended)
		control_fail(reply, "%s is suspended", s->kind->name);
	pthread_mutex_unlock(&s->lock);
}

static void keep_channel(char *arguments, int fd)
{
	hyperv_connect(find(arguments), fd);
}

static void check_service(char *arguments, struct control_reply *reply)
{
	if (!find(arguments))
		control_fail(reply, "no service is named '%.64s'", arguments);
}

/* After the answer: the process may end when its device has gone. */
static void remove_device(char *arguments, int fd)
{
	struct hyperv_service *s = find(arguments);

	pthread_mutex_lock(&s->lock);
	hyperv_remove(s);
	pthread_mutex_unlock(&s->lock);
	hostfd_close(fd);
}

static void for_all(void (*change)(struct hyperv_service *s))
{
	for (unsigned i = 0; i < HYPERV_SERVICES; i++) {
		pthread_mutex_lock(&hyperv_services[i]->lock);
		change(hyperv_services[i]);
		pthread_mutex_unlock(&hyperv_services[i]->lock);
	}
}

static void suspend(char *arguments, struct control_reply *reply)
{
	for_all(hyperv_suspend);
}

static void resume(char *arguments, struct control_reply *reply)
{
	for_all(hyperv_resume);
}

static const char *const states[] = {
	[HYPERV_INIT] = "unregistered", [HYPERV_READY] = "ready",
	[HYPERV_RECEIVED] = "received", [HYPERV_ASKED] = "asked",
	[HYPERV_REPLIED] = "replied",   [HYPERV_DYING] = "removed",
};

static void status(char *arguments, struct control_reply *reply)
{
	for (unsigned i = 0; i < HYPERV_SERVICES; i++) {
		struct hyperv_service *s = hyperv_services[i];

		pthread_mutex_lock(&s->lock);
		if (s->mode == HYPERV_OPEN)
			control_print(reply, "%s %s %u %u.%u %u.%u %llu %llu\n", s->kind->name,
				      s->suspended ? "suspended" : states[s->state], s->registered,
				      s->framework.major, s->framework.minor, s->version.major,
				      s->version.minor, (unsigned long long)s->n_requests,
				      (unsigned long long)s->n_failed);
		pthread_mutex_unlock(&s->lock);
	}
}

const struct control_command hyperv_commands[] = {
	{"hyperv-channel", open_channel, keep_channel},
	{"hyperv-remove", check_service, remove_device},
	{"hyperv-suspend", suspend, NULL},
	{"hyperv-resume", resume, NULL},
	{"hyperv-status", status, NULL},
	{0},
};
