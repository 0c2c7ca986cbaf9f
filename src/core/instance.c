/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting and ending the one instance: settings take effect, devices are created (not
 * realized), interfaces add their nodes in the order they registered.
 */
#include "core/instance.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/config.h"
#include "core/control.h"
#include "core/device.h"
#include "core/environment.h"
#include "core/fault.h"
#include "core/fdtable.h"
#include "core/file.h"
#include "core/ioctl.h"
#include "core/hostfd.h"
#include "core/log.h"
#include "core/syscall.h"
#include "core/trace.h"

struct instance *instance;

static struct interface *interfaces;

void interface_register(struct interface *interface)
{
	interface->next = interfaces;
	interfaces = interface;
}

const struct interface *interface_first(void)
{
	return interfaces;
}

void ioctl_table_each(void (*each)(const struct ioctl_table *table, void *arg), void *arg)
{
	for (const struct interface *i = interfaces; i; i = i->next)
		for (size_t t = 0; i->tables && i->tables[t]; t++)
			each(i->tables[t], arg);
}

bool interface_socket_ioctl(int fd, unsigned int cmd, unsigned long arg, long *ret_result)
{
	struct stat st;

	if (!instance || host_fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	for (const struct interface *i = interfaces; i; i = i->next)
		if (i->socket_ioctl && i->socket_ioctl(cmd, arg, ret_result))
			return true;
	return false;
}

static void destroy(struct instance *i)
{
	for (size_t d = 0; d < i->n_devices; d++)
		device_destroy(i->devices[d]);
	free(i->devices);
	free(i);
}

static int apply_settings(const struct config *c, char *error, size_t error_size)
{
	int result;

	if (c->log_level)
		log_level_parse(c->log_level, &log_level);
	for (size_t f = 0; f < c->n_faults; f++) {
		result = fault_add(c->faults[f], error, error_size);
		if (result < 0)
			return result;
	}
	if (!c->trace)
		return 0;
	result = trace_start(c->trace_file);
	if (result < 0)
		snprintf(error, error_size, "trace %s: %s", c->trace_file, strerror(-result));
	return result;
}

static int create_devices(struct instance *i)
{
	const struct config *c = i->config;
	int result;

	i->devices = calloc(c->n_devices, sizeof(struct standin_device *));
	if (!i->devices)
		return -ENOMEM;
	for (; i->n_devices < c->n_devices; i->n_devices++) {
		result = device_create(&c->devices[i->n_devices], (unsigned)i->n_devices,
				       &i->devices[i->n_devices]);
		if (result < 0)
			return result;
	}
	return 0;
}

static int start_interfaces(struct instance *i, char *error, size_t error_size)
{
	struct interface *started;
	int result;

	for (started = interfaces; started; started = (struct interface *)started->next) {
		result = started->start ? started->start(i) : 0;
		if (result < 0) {
			snprintf(error, error_size, "%s: %s", started->name, strerror(-result));
			for (struct interface *s = interfaces; s != started;
			     s = (struct interface *)s->next)
				if (s->stop)
					s->stop(i);
			return result;
		}
	}
	return 0;
}

int instance_start(struct config *config, char *error, size_t error_size)
{
	struct instance *i;
	int result;

	if (instance) {
		snprintf(error, error_size, "an instance is running already");
		return -EBUSY;
	}
	i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;
	i->config = config;
	snprintf(error, error_size, "out of memory");
	result = apply_settings(config, error, error_size);
	if (result == 0)
		result = create_devices(i);
	if (result == 0) {
		instance = i;
		result = start_interfaces(i, error, error_size);
	}
	if (result < 0) {
		instance = NULL;
		node_clear();
		trace_stop();
		fault_clear();
		destroy(i);
	}
	return result;
}

int instance_check(char *error, size_t error_size)
{
	int result = 0;

	for (const struct interface *i = interfaces; i && result == 0; i = i->next)
		if (i->check)
			result = i->check(instance, error, error_size);
	return result;
}

void instance_stop(void)
{
	struct instance *i = instance;

	if (!i)
		return;
	control_stop();
	fdtable_clear();
	for (const struct interface *s = interfaces; s; s = s->next)
		if (s->stop)
			s->stop(i);
	node_clear();
	instance = NULL;
	config_finish(i->config);
	free(i->config);
	destroy(i);
	trace_stop();
	fault_clear();
}

void instance_expect_heirs(void)
{
	const char *directory = instance ? instance->config->directory : NULL;
	char path[4096];

	if (directory &&
	    snprintf(path, sizeof(path), "%s/" OWNERS_DIRECTORY, directory) < (int)sizeof(path))
		host_syscall(SYS_mkdir, path, 0700);
}

void instance_forked(void)
{
	control_forked();
	fdtable_forked();
	for (const struct interface *i = interfaces; i; i = i->next)
		if (i->forked)
			i->forked();
}
