/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Resetting a whole bus.  Possible below a bridge, so not on bus 0; the devices affected
 * are those of the same bus, and the caller must show that it holds the groups of all of
 * them.  (Kernel: pci/vfio_pci_core.c, vfio_pci_dev_set_hot_reset().)
 */
#include <errno.h>
#include <stdlib.h>

#include "core/hostfd.h"
#include "core/instance.h"
#include "core/user.h"
#include "vfio/vfio.h"

#define BUS_DEVICES_MAX 256

static bool same_bus(const struct standin_device *a, const struct standin_device *b)
{
	return a->config->address.domain == b->config->address.domain &&
	       a->config->address.bus == b->config->address.bus;
}

static bool can_reset_bus(const struct vfio_device *v)
{
	return v->dev->config->address.bus != 0;
}

static unsigned count_devices(const struct vfio_device *v)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < instance->n_devices; i++)
		n += same_bus(instance->devices[i], v->dev);
	return n;
}

static long return_devices(const struct vfio_device *v, unsigned long arg)
{
	struct vfio_pci_dependent_device device;
	const struct standin_device *dev;
	size_t i;

	for (i = 0; i < instance->n_devices; i++) {
		dev = instance->devices[i];
		if (!same_bus(dev, v->dev))
			continue;
		device.group_id = dev->index;
		device.segment = dev->config->address.domain;
		device.bus = dev->config->address.bus;
		device.devfn =
			(uint8_t)(dev->config->address.slot << 3 | dev->config->address.function);
		if (copy_to_user((void *)arg, &device, sizeof(device)))
			return -EFAULT;
		arg += sizeof(device);
	}
	return 0;
}

long vfio_hot_reset_info(struct file *f, struct ioctl_call *call)
{
	struct vfio_device *v = f->priv;
	struct vfio_pci_hot_reset_info *info = call->data;
	unsigned room;
	long ret;

	info->flags = 0;
	if (!can_reset_bus(v))
		return -ENODEV;
	room = (info->argsz - sizeof(*info)) / sizeof(struct vfio_pci_dependent_device);
	info->count = count_devices(v);
	if (info->count > room)
		return ioctl_return(call, sizeof(*info)) ? -EFAULT : -ENOSPC;
	ret = return_devices(v, call->arg + sizeof(*info));
	return ret ? ret : ioctl_return(call, sizeof(*info));
}

/* Whether `dev`'s group is among the files. */
static bool owned(const struct standin_device *dev, struct file *const *files, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (((struct vfio_group *)files[i]->priv)->number == dev->index)
			return true;
	return false;
}

static long reset_bus(const struct vfio_device *v, struct file *const *files, unsigned n)
{
	struct vfio_group *group;
	size_t i;

	for (i = 0; i < instance->n_devices; i++)
		if (same_bus(instance->devices[i], v->dev) &&
		    !owned(instance->devices[i], files, n))
			return -EINVAL;
	for (i = 0; i < instance->n_devices; i++) {
		group = vfio_group_by_number((unsigned)i);
		if (!same_bus(instance->devices[i], v->dev))
			continue;
		pthread_mutex_lock(&group->lock);
		if (group->device->opened) {
			vfio_config_power_on(group->device);
			vfio_device_reset(group->device);
		}
		pthread_mutex_unlock(&group->lock);
	}
	return 0;
}

long vfio_hot_reset(struct file *f, struct ioctl_call *call)
{
	struct vfio_device *v = f->priv;
	const struct vfio_pci_hot_reset *request = call->data;
	struct file *files[BUS_DEVICES_MAX];
	int32_t fds[BUS_DEVICES_MAX];
	unsigned n = 0;
	long ret = 0;
	int taken;

	if (request->flags || !request->count)
		return -EINVAL; /* no groups: only for devices opened by their own node */
	if (!can_reset_bus(v))
		return -ENODEV;
	if (request->count > count_devices(v))
		return -EINVAL;
	if (copy_from_user(fds, (void *)(call->arg + sizeof(*request)),
			   request->count * sizeof(fds[0])))
		return -EFAULT;
	for (; !ret && n < request->count; n++) {
		files[n] = user_file_get(fds[n]);
		if (files[n]) {
			if (files[n]->ops != &vfio_group_ops)
				ret = -EINVAL;
			continue;
		}
		taken = user_fd_take(fds[n]);
		ret = taken < 0 ? -EBADF : -EINVAL;
		hostfd_close(taken);
		break;
	}
	if (!ret)
		ret = reset_bus(v, files, n);
	while (n--)
		file_put(files[n]);
	return ret;
}
