/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_DEVICE_FEATURE.  Of the features, a PCI device that can't migrate has low power
 * entry and exit; all others are ENOTTY (and MIG_PRECOPY_INFOv2, whose check comes in
 * another order, EINVAL).  (Kernel: vfio_main.c, vfio_pci_core_pm_entry() and others.)
 *
 * Low power here is only a state: an access through the file wakes the device up, and
 * signals the eventfd if one was given, after which the state is left.
 */
#include <errno.h>

#include "core/hostfd.h"
#include "core/user.h"
#include "vfio/vfio.h"

#define FEATURE_OPS (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET)

/* 1: go on with the operation; 0: it was a probe; -EINVAL. */
static int check(const struct vfio_device_feature *feature, uint32_t supported, size_t size)
{
	if (feature->flags & FEATURE_OPS & ~supported)
		return -EINVAL;
	if (feature->flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	if (!(feature->flags & FEATURE_OPS))
		return -EINVAL;
	return feature->argsz - sizeof(*feature) < size ? -EINVAL : 1;
}

static int enter(struct vfio_device *v, int wakeup)
{
	int ret = 0;

	pthread_mutex_lock(&v->power_lock);
	if (v->low_power) {
		ret = -EINVAL;
	} else {
		v->low_power = true;
		line_connect(&v->wakeup, wakeup);
	}
	pthread_mutex_unlock(&v->power_lock);
	return ret;
}

static void leave(struct vfio_device *v)
{
	pthread_mutex_lock(&v->power_lock);
	v->low_power = false;
	line_connect(&v->wakeup, -1);
	pthread_mutex_unlock(&v->power_lock);
}

void vfio_device_wake(struct vfio_device *v)
{
	if (!atomic_load_explicit(&v->low_power, memory_order_relaxed))
		return;
	pthread_mutex_lock(&v->power_lock);
	if (v->low_power && line_connected(&v->wakeup)) {
		line_raise(&v->wakeup);
		line_connect(&v->wakeup, -1);
		v->low_power = false;
	}
	pthread_mutex_unlock(&v->power_lock);
}

void vfio_feature_release(struct vfio_device *v)
{
	leave(v);
}

static long enter_with_wakeup(struct vfio_device *v, unsigned long arg)
{
	struct vfio_device_low_power_entry_with_wakeup entry;
	int eventfd, ret;

	if (copy_from_user(&entry, (void *)(arg + sizeof(struct vfio_device_feature)),
			   sizeof(entry)))
		return -EFAULT;
	if (entry.wakeup_eventfd < 0)
		return -EINVAL;
	eventfd = vfio_eventfd_take(entry.wakeup_eventfd);
	if (eventfd < 0)
		return eventfd;
	ret = enter(v, eventfd);
	if (ret)
		hostfd_close(eventfd);
	return ret;
}

long vfio_feature(struct file *f, struct ioctl_call *call)
{
	struct vfio_device *v = f->priv;
	const struct vfio_device_feature *feature = call->data;
	const uint32_t known = VFIO_DEVICE_FEATURE_MASK | FEATURE_OPS | VFIO_DEVICE_FEATURE_PROBE;
	int ret;

	if (feature->flags & ~known)
		return -EINVAL;
	if (!(feature->flags & VFIO_DEVICE_FEATURE_PROBE) &&
	    (feature->flags & FEATURE_OPS) == FEATURE_OPS)
		return -EINVAL;
	switch (feature->flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
		ret = check(feature, VFIO_DEVICE_FEATURE_SET, 0);
		return ret == 1 ? enter(v, -1) : ret;
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
		ret = check(feature, VFIO_DEVICE_FEATURE_SET,
			    sizeof(struct vfio_device_low_power_entry_with_wakeup));
		return ret == 1 ? enter_with_wakeup(v, call->arg) : ret;
	case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
		ret = check(feature, VFIO_DEVICE_FEATURE_SET, 0);
		if (ret == 1) {
			leave(v);
			ret = 0;
		}
		return ret;
	case VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2:
		return -EINVAL;
	default:
		return -ENOTTY;
	}
}
