/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ten items, in the order that linux/hyperv.h gives them, of which the addresses are found when
 * they are asked for.  The host's full name may need the network, which takes as long as it
 * takes: a thread asks, and until it has heard the name is what gethostname() says.
 */
#include "agent/auto.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/ipinfo.h"

/* The last of the two who use it frees it. */
struct auto_host {
	pthread_mutex_t lock;
	unsigned users;
	char name[HV_KVP_EXCHANGE_MAX_VALUE_SIZE];
};

static void leave(struct auto_host *h)
{
	bool last;

	pthread_mutex_lock(&h->lock);
	last = --h->users == 0;
	pthread_mutex_unlock(&h->lock);
	if (last) {
		pthread_mutex_destroy(&h->lock);
		free(h);
	}
}

#ifndef AGENT_STATIC
static void *look_up(void *argument)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME}, *found;
	struct auto_host *h = argument;
	char name[sizeof(h->name)];

	pthread_mutex_lock(&h->lock);
	strcpy(name, h->name);
	pthread_mutex_unlock(&h->lock);
	if (getaddrinfo(name, NULL, &hints, &found) == 0) {
		if (found->ai_canonname) {
			pthread_mutex_lock(&h->lock);
			snprintf(h->name, sizeof(h->name), "%s", found->ai_canonname);
			pthread_mutex_unlock(&h->lock);
		}
		freeaddrinfo(found);
	}
	leave(h);
	return NULL;
}

static void start_looking_up(struct auto_host *h)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, look_up, h) != 0)
		leave(h);
	pthread_attr_destroy(&attributes);
}
#else
/* Without shared libraries, libc can't ask as the system is set up to: /etc/hosts alone. */
static void start_looking_up(struct auto_host *h)
{
	char line[1024], *word, *rest, *first;
	FILE *file = fopen("/etc/hosts", "re");

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "#\n")] = '\0';
		if (!strtok_r(line, " \t", &rest))
			continue;
		first = word = strtok_r(NULL, " \t", &rest);
		while (word && strcmp(word, h->name) != 0)
			word = strtok_r(NULL, " \t", &rest);
		if (word) {
			snprintf(h->name, sizeof(h->name), "%s", first);
			break;
		}
	}
	if (file)
		fclose(file);
	leave(h);
}
#endif

bool auto_assignment(const char *line, const char *name, char *value, unsigned size)
{
	size_t n = strlen(name);
	unsigned at = 0;

	if (strncmp(line, name, n) != 0 || line[n] != '=')
		return false;
	for (const char *c = line + n + 1; *c && *c != '\n' && at + 1 < size; c++) {
		if (*c == '\\' && c[1])
			value[at++] = *++c;
		else if (*c != '"' && *c != '\'' && *c != '\\')
			value[at++] = *c;
	}
	value[at] = '\0';
	return true;
}

void auto_init(struct auto_items *a)
{
	FILE *file = fopen("/etc/os-release", "re");
	struct utsname system;
	char line[512];

	memset(a, 0, sizeof(*a));
	uname(&system);
	snprintf(a->version, sizeof(a->version), "Unknown version");
	snprintf(a->build, sizeof(a->build), "%.64s", system.release);
	/* Hosts expect numbers and points alone. */
	snprintf(a->release, sizeof(a->release), "%.*s", (int)strcspn(system.release, "-"),
		 system.release);
	snprintf(a->machine, sizeof(a->machine), "%.64s", system.machine);
	snprintf(a->name, sizeof(a->name), "%s", system.sysname);
	while (file && fgets(line, sizeof(line), file)) {
		auto_assignment(line, "NAME", a->name, sizeof(a->name));
		auto_assignment(line, "VERSION_ID", a->major, sizeof(a->major));
	}
	if (file)
		fclose(file);
	a->host = calloc(1, sizeof(*a->host));
	if (!a->host)
		return;
	a->host->users = 2;
	pthread_mutex_init(&a->host->lock, NULL);
	gethostname(a->host->name, sizeof(a->host->name) - 1);
	start_looking_up(a->host);
}

void auto_finish(struct auto_items *a)
{
	if (a->host)
		leave(a->host);
	a->host = NULL;
}

static void host_name(struct auto_items *a, char *to, size_t size)
{
	*to = '\0';
	if (!a->host)
		return;
	pthread_mutex_lock(&a->host->lock);
	snprintf(to, size, "%s", a->host->name);
	pthread_mutex_unlock(&a->host->lock);
}

bool auto_item(struct auto_items *a, uint32_t index, const char **ret_key,
	       char value[HV_KVP_EXCHANGE_MAX_VALUE_SIZE])
{
	static const char *const keys[] = {
		"FullyQualifiedDomainName",
		"IntegrationServicesVersion",
		"NetworkAddressIPv4",
		"NetworkAddressIPv6",
		"OSBuildNumber",
		"OSName",
		"OSMajorVersion",
		"OSMinorVersion",
		"OSVersion",
		"ProcessorArchitecture",
	};
	const char *text[] = {NULL,    a->version, NULL,     NULL,       a->build,
			      a->name, a->major,   a->minor, a->release, a->machine};
	const size_t size = HV_KVP_EXCHANGE_MAX_VALUE_SIZE;

	if (index >= sizeof(keys) / sizeof(keys[0]))
		return false;
	*ret_key = keys[index];
	if (index == 0)
		host_name(a, value, size);
	else if (index == 2 || index == 3)
		ipinfo_addresses(index == 2 ? AF_INET : AF_INET6, value, size);
	else
		snprintf(value, size, "%s", text[index]);
	return true;
}
