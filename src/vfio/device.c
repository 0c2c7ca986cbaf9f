/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device file: what VFIO_GROUP_GET_DEVICE_FD returns.
 *
 * The first descriptor realizes the device, attaches it to the container's address space
 * and sets up its configuration space; further ones are the same file again.  The
 * placeholder is a new open of the device's memory, so that region offsets mean the same
 * to a raw mmap.  With the last descriptor the device loses interrupts and DMA and is
 * reset.  (Kernel: vfio_main.c, pci/vfio_pci_core.c.)
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fdtable.h"
#include "core/hostfd.h"
#include "core/iova.h"
#include "core/log.h"
#include "core/syscall.h"
#include "core/user.h"
#include "vfio/caps.h"
#include "vfio/vfio.h"

int vfio_device_create(struct standin_device *dev, struct vfio_group *group,
		       struct vfio_device **ret_device)
{
	struct vfio_device *v;

	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->dev = dev;
	v->group = group;
	pthread_mutex_init(&v->reset_lock, NULL);
	pthread_mutex_init(&v->config_lock, NULL);
	pthread_mutex_init(&v->ioeventfd_lock, NULL);
	pthread_mutex_init(&v->power_lock, NULL);
	line_init(&v->wakeup, "wakeup", 0);
	vfio_irqs_init(v);
	*ret_device = v;
	return 0;
}

void vfio_device_destroy(struct vfio_device *v)
{
	if (!v)
		return;
	vfio_irqs_finish(v);
	line_finish(&v->wakeup);
	pthread_mutex_destroy(&v->power_lock);
	pthread_mutex_destroy(&v->ioeventfd_lock);
	pthread_mutex_destroy(&v->config_lock);
	pthread_mutex_destroy(&v->reset_lock);
	free(v);
}

struct vfio_device *vfio_device_of(struct file *f)
{
	return f->priv;
}

bool vfio_device_can_reset(const struct vfio_device *v)
{
	const struct standin_device *dev = v->dev;

	/* A function-level reset, or the reset of a bus below a bridge that it is alone on. */
	return dev->pci.pcie || dev->config->address.bus != 0;
}

void vfio_device_reset(struct vfio_device *v)
{
	pthread_mutex_lock(&v->reset_lock);
	device_reset(v->dev);
	vfio_irqs_restore(v);
	vfio_config_apply_command(v);
	pthread_mutex_unlock(&v->reset_lock);
}

/* A descriptor for the device's memory with an open file of its own. */
static int open_placeholder(const struct standin_device *dev)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", dev->memory_fd);
	fd = host_open(path, O_RDWR | O_CLOEXEC, 0);
	/* No /proc: the duplicate shares the offset, which nothing here uses. */
	return fd >= 0 ? fd : (int)host_syscall(SYS_fcntl, dev->memory_fd, F_DUPFD_CLOEXEC, 0);
}

/* One more descriptor for the file that is open already; -EAGAIN if it is just closing. */
static int open_again(struct vfio_device *v)
{
	struct file *f;
	int fd, ret;

	fd = open_placeholder(v->dev);
	if (fd < 0)
		return fd;
	f = file_get_by_inode(fd);
	ret = f ? file_add_descriptor(f, fd) : -EAGAIN;
	if (f)
		file_put(f);
	if (ret) {
		fdtable_forget(fd);
		host_close(fd);
		return ret;
	}
	return fd;
}

static int open_first(struct vfio_device *v, struct iova_map *map)
{
	struct standin_device *dev = v->dev;
	int fd, ret;

	ret = device_realize(dev);
	if (ret) {
		log_error("%s: %s", dev->address, dev->error);
		return ret;
	}
	fd = open_placeholder(dev);
	if (fd < 0)
		return fd;
	device_reset(dev);
	vfio_config_open(v);
	device_attach(dev, map);
	vfio_config_apply_command(v);
	ret = file_install_over(fd, &vfio_device_ops, v, O_RDWR, 0);
	if (ret < 0) {
		device_attach(dev, NULL);
		host_close(fd);
		return ret;
	}
	v->opened = true;
	return fd;
}

int vfio_device_open(struct vfio_device *v, struct file *group_file)
{
	struct vfio_group *group = v->group;
	struct iova_map *map = NULL;
	int fd;

	for (;;) {
		if (!group->container)
			return -EINVAL;
		if (!v->opened)
			break;
		fd = open_again(v);
		if (fd != -EAGAIN)
			return fd;
		/* The last descriptor went just now; let its release have the lock. */
		pthread_mutex_unlock(&group->lock);
		sched_yield();
		pthread_mutex_lock(&group->lock);
	}
	pthread_mutex_lock(&group->container->lock);
	if (group->container->iommu)
		map = group->container->iommu->map;
	pthread_mutex_unlock(&group->container->lock);
	if (!map)
		return -EINVAL;
	/* The map stays: a group with an open device can't leave its container. */
	fd = open_first(v, map);
	if (fd >= 0) {
		group->users++;
		file_ref(group_file);
	}
	return fd;
}

static void device_release(struct file *f)
{
	struct vfio_device *v = f->priv;
	struct vfio_group *group = v->group;
	struct file *group_file = group->file;

	pthread_mutex_lock(&group->lock);
	vfio_config_power_on(v);
	device_set_command(v->dev, 0);
	vfio_irqs_disable(v);
	vfio_ioeventfd_release_all(v);
	vfio_feature_release(v);
	atomic_store(&v->memory_enabled, false);
	device_attach(v->dev, NULL);
	device_reset(v->dev);
	v->opened = false;
	group->users--;
	pthread_mutex_unlock(&group->lock);
	file_put(group_file);
}

static long get_info(struct file *f, struct ioctl_call *call)
{
	struct vfio_device *v = f->priv;
	/* The structure of 7.3 is eight bytes longer than the first one: cap_offset and pad. */
	struct {
		uint32_t argsz, flags, num_regions, num_irqs, cap_offset, pad;
	} info = {0};
	uint32_t size;

	memcpy(&info.argsz, call->data, sizeof(info.argsz));
	size = info.argsz < sizeof(info) ? info.argsz : sizeof(info);
	info.flags = VFIO_DEVICE_FLAGS_PCI;
	if (vfio_device_can_reset(v))
		info.flags |= VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_PCI_NUM_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return copy_to_user((void *)call->arg, &info, size);
}

static long get_region_info(struct file *f, struct ioctl_call *call)
{
	struct vfio_device *v = f->priv;
	struct vfio_region_info info;
	struct caps caps = {0};

	memcpy(&info, call->data, sizeof(info));
	/* cap_offset goes back as it came where there are no capabilities. */
	info.flags = 0;
	info.size = 0;
	switch (info.index) {
	case VFIO_PCI_CONFIG_REGION_INDEX:
		info.size = v->config_size;
		info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
		break;
	case VFIO_PCI_BAR0_REGION_INDEX ... VFIO_PCI_BAR5_REGION_INDEX:
		info.size = v->dev->pci.bar[info.index].size;
		if (!info.size)
			break;
		info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
		if (!vfio_region_mappable(v, info.index))
			break;
		info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
		if (v->dev->pci.msix_vectors && info.index == v->dev->pci.msix_bar)
			caps_add(&caps, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1,
				 sizeof(struct vfio_info_cap_header));
		break;
	case VFIO_PCI_ROM_REGION_INDEX: /* no model has one: size 0 */
		break;
	default: /* VGA, which no model is, and what is no region */
		return -EINVAL;
	}
	info.offset = (uint64_t)info.index << VFIO_OFFSET_SHIFT;
	if (caps.size) {
		info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
		if (caps_return(&caps, call->arg, sizeof(info), &info.argsz, &info.cap_offset))
			return -EFAULT;
	}
	return copy_to_user((void *)call->arg, &info, sizeof(info));
}

static long reset(struct file *f, struct ioctl_call *call)
{
	struct vfio_device *v = f->priv;

	if (!vfio_device_can_reset(v))
		return -EINVAL;
	vfio_config_power_on(v);
	vfio_device_reset(v);
	return 0;
}

/* Only for devices opened by their own node, which these are not. */
static long bind_iommufd(struct file *f, struct ioctl_call *call)
{
	return -EINVAL;
}

static long device_gate(struct file *f, unsigned int cmd, const struct ioctl_row *row)
{
	vfio_device_wake(f->priv);
	return 0;
}

static const struct ioctl_row device_rows[] = {
	IOCTL_ROW(VFIO_DEVICE_SET_IRQS, IOCTL_ARGSZ, sizeof(struct vfio_irq_set), vfio_set_irqs,
		  vfio_decode_set_irqs),
	IOCTL_ROW(VFIO_DEVICE_GET_INFO, IOCTL_ARGSZ, 16, get_info, vfio_decode_device_info),
	IOCTL_ROW(VFIO_DEVICE_GET_REGION_INFO, IOCTL_ARGSZ, sizeof(struct vfio_region_info),
		  get_region_info, vfio_decode_region_info),
	IOCTL_ROW(VFIO_DEVICE_GET_IRQ_INFO, IOCTL_ARGSZ, sizeof(struct vfio_irq_info),
		  vfio_get_irq_info, vfio_decode_irq_info),
	IOCTL_ROW(VFIO_DEVICE_RESET, IOCTL_NONE, 0, reset, NULL),
	IOCTL_ROW(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, IOCTL_ARGSZ,
		  sizeof(struct vfio_pci_hot_reset_info), vfio_hot_reset_info,
		  vfio_decode_hot_reset),
	IOCTL_ROW(VFIO_DEVICE_PCI_HOT_RESET, IOCTL_ARGSZ, sizeof(struct vfio_pci_hot_reset),
		  vfio_hot_reset, vfio_decode_hot_reset),
	IOCTL_ROW(VFIO_DEVICE_IOEVENTFD, IOCTL_ARGSZ, 28, vfio_ioeventfd, vfio_decode_ioeventfd),
	IOCTL_ROW(VFIO_DEVICE_FEATURE, IOCTL_ARGSZ, sizeof(struct vfio_device_feature),
		  vfio_feature, vfio_decode_feature),
	IOCTL_ROW(VFIO_DEVICE_BIND_IOMMUFD, IOCTL_ARGSZ, 16, bind_iommufd, NULL),
};

const struct ioctl_table vfio_device_table = {
	.kind = "vfio-device",
	.rows = device_rows,
	.n_rows = sizeof(device_rows) / sizeof(device_rows[0]),
	.gate = device_gate,
	.unknown = -ENOTTY,
};

const struct file_ops vfio_device_ops = {
	.kind = "vfio-device",
	.ioctls = &vfio_device_table,
	.release = device_release,
	.read = vfio_region_read,
	.write = vfio_region_write,
	.mmap = vfio_region_mmap,
	.trace_offset = vfio_trace_offset,
};
