/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device nodes, which are there with --hyperv.  Those of /dev/vmbus are of major number 10
 * (misc), with numbers that the kernel gives out in turn.
 */
#include <errno.h>
#include <sys/sysmacros.h>

#include "core/config.h"
#include "core/instance.h"
#include "core/ioctl.h"
#include "hyperv/hyperv.h"

struct hyperv_service *const hyperv_services[HYPERV_SERVICES] = {
	&hyperv_kvp,
	&hyperv_vss,
	&hyperv_fcopy,
	&hyperv_uio,
};

const struct ioctl_table hyperv_no_ioctls = {.kind = "hyperv", .unknown = -ENOTTY};

#define OPS(service)                                                                   \
	{                                                                              \
		.kind = "hv_" #service, .ioctls = &hyperv_no_ioctls, .messages = true, \
		.open = hyperv_open, .release = hyperv_release, .read = hyperv_read,   \
		.write = hyperv_write, .polled = hyperv_polled,                        \
		.trace_message = hyperv_trace_##service,                               \
	}

static const struct file_ops ops[] = {OPS(kvp), OPS(vss), OPS(fcopy)};

static int hyperv_start(struct instance *i)
{
	int ret = 0;

	for (unsigned n = 0; n < HYPERV_SERVICES && i->config->hyperv.on && ret == 0; n++) {
		const struct hyperv_kind *kind = hyperv_services[n]->kind;
		bool newer = hyperv_services[n] == &hyperv_uio;

		if (hyperv_services[n] == (i->config->hyperv.uio ? &hyperv_fcopy : &hyperv_uio))
			continue;
		ret = node_add(kind->path, newer ? &hyperv_uio_ops : &ops[n], hyperv_services[n],
			       (uint32_t)makedev(kind->major, kind->minor));
	}
	return ret;
}

static void hyperv_stop(struct instance *i)
{
	for (unsigned n = 0; n < HYPERV_SERVICES; n++) {
		pthread_mutex_lock(&hyperv_services[n]->lock);
		hyperv_disconnect(hyperv_services[n]);
		hyperv_services[n]->suspended = false;
		pthread_mutex_unlock(&hyperv_services[n]->lock);
	}
	hyperv_loop_stop();
}

/* What the parent has open stays its own. */
static void hyperv_forked(void)
{
	for (unsigned n = 0; n < HYPERV_SERVICES; n++)
		hyperv_forget(hyperv_services[n]);
	hyperv_loop_forked();
}

static struct interface hyperv_interface = {
	.name = "hyperv",
	.start = hyperv_start,
	.stop = hyperv_stop,
	.forked = hyperv_forked,
	.commands = hyperv_commands,
};

INTERFACE(hyperv_interface)
