/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO's device nodes: /dev/vfio/vfio, and /dev/vfio/N for the group of device N.  The
 * container's numbers are the kernel's (misc 10:196); a group's major is one from the range
 * that the kernel hands out dynamically.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "core/instance.h"
#include "memory/mmio.h"
#include "vfio/eventfd_watch.h"
#include "vfio/vfio.h"

#define GROUP_MAJOR 247

static struct vfio_group **groups;
static size_t n_groups;

struct vfio_group *vfio_group_by_number(unsigned number)
{
	return number < n_groups ? groups[number] : NULL;
}

static void vfio_stop(struct instance *i)
{
	size_t n;

	/* Mappings keep a device's file open beyond its descriptors. */
	for (n = 0; n < n_groups; n++)
		mmio_release(groups[n]->device->dev);
	eventfd_watch_stop();
	while (n_groups)
		vfio_group_destroy(groups[--n_groups]);
	free(groups);
	groups = NULL;
}

static int vfio_start(struct instance *i)
{
	char path[NODE_PATH_MAX];
	int ret;

	ret = node_add("/dev/vfio/vfio", &vfio_container_ops, NULL, (uint32_t)makedev(10, 196));
	if (ret)
		return ret;
	groups = calloc(i->n_devices ? i->n_devices : 1, sizeof(struct vfio_group *));
	if (!groups)
		return -ENOMEM;
	for (; n_groups < i->n_devices; n_groups++) {
		ret = vfio_group_create(i->devices[n_groups], &groups[n_groups]);
		if (ret)
			break;
		snprintf(path, sizeof(path), "/dev/vfio/%zu", n_groups);
		ret = node_add(path, &vfio_group_ops, groups[n_groups],
			       (uint32_t)makedev(GROUP_MAJOR, (unsigned)n_groups));
		if (ret) {
			vfio_group_destroy(groups[n_groups]);
			break;
		}
	}
	if (ret)
		vfio_stop(i);
	return ret;
}

static const struct ioctl_table *const vfio_tables[] = {
	&vfio_container_table,
	&vfio_group_table,
	&vfio_device_table,
	NULL,
};

static struct interface vfio_interface = {
	.name = "vfio",
	.start = vfio_start,
	.stop = vfio_stop,
	.tables = vfio_tables,
};

INTERFACE(vfio_interface)
