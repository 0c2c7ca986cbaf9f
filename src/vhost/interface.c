/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost's device nodes, which are all of major number 10 (misc). */
#include <stddef.h>
#include <sys/sysmacros.h>

#include "core/config.h"
#include "core/instance.h"
#include "vhost/net.h"
#include "vhost/scsi.h"
#include "vhost/test.h"
#include "vhost/vsock.h"

#define MISC_MAJOR 10

/* The numbers up to 255 are fixed; from 256 on the kernel gives them out in turn. */
static const struct misc_node {
	const char *path;
	const struct file_ops *ops;
	unsigned minor;
} nodes[] = {
	{"/dev/vhost-net", &vhost_net_ops, 238},
	{"/dev/vhost-vsock", &vhost_vsock_ops, 241},
	{"/dev/vhost-test", &vhost_test_ops, 256},
	{"/dev/vsock", &vsock_node_ops, 257},
	{"/dev/vhost-scsi", &vhost_scsi_ops, 259},
};

static int vhost_start(struct instance *i)
{
	int ret = 0;

	for (size_t n = 0; n < sizeof(nodes) / sizeof(nodes[0]) && !ret; n++)
		if (nodes[n].ops != &vsock_node_ops || i->config->vsock_path)
			ret = node_add(nodes[n].path, nodes[n].ops, NULL,
				       (uint32_t)makedev(MISC_MAJOR, nodes[n].minor));
	return ret;
}

static int vhost_check(struct instance *i, char *error, size_t error_size)
{
	return scsi_ports_check(i->config, error, error_size);
}

static void vhost_stop(struct instance *i)
{
	scsi_ports_stop();
}

static const struct ioctl_table *const vhost_tables[] = {
	&vhost_net_table,
	&vhost_vsock_table,
	&vhost_scsi_table,
	&vhost_test_table,
	&vsock_node_table,
	NULL,
};

static struct interface vhost_interface = {
	.name = "vhost",
	.start = vhost_start,
	.check = vhost_check,
	.stop = vhost_stop,
	.tables = vhost_tables,
	.commands = vhost_scsi_commands,
};

INTERFACE(vhost_interface)
