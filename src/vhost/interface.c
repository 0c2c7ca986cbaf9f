/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost's device nodes: /dev/vhost-vsock, with the kernel's number (misc 10:241). */
#include <sys/sysmacros.h>

#include "core/instance.h"
#include "vhost/vsock.h"

#define MISC_MAJOR  10
#define VSOCK_MINOR 241

static int vhost_start(struct instance *i)
{
	return node_add("/dev/vhost-vsock", &vhost_vsock_ops, NULL,
			(uint32_t)makedev(MISC_MAJOR, VSOCK_MINOR));
}

static const struct ioctl_table *const vhost_tables[] = {
	&vhost_vsock_table,
	NULL,
};

static struct interface vhost_interface = {
	.name = "vhost",
	.start = vhost_start,
	.tables = vhost_tables,
};

INTERFACE(vhost_interface)
