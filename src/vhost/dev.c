/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost device: who owns it, its features, where it logs.
 *
 * The order of checks differs from command to command and is the kernel's, so the rows copy
 * nothing and every handler reads its argument when it is its turn.
 */
#include "vhost/vhost.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/hostfd.h"
#include "core/user.h"

int vhost_init(struct vhost_dev *dev, const struct vhost_ops *ops, const char *name,
	       struct vhost_vq *vqs, unsigned n_vqs)
{
	int error;

	memset(dev, 0, sizeof(*dev));
	error = pthread_mutex_init(&dev->lock, NULL);
	if (error)
		return -error;
	dev->ops = ops;
	dev->name = name;
	dev->fork_owner = 1;
	dev->epoll = dev->wake = -1;
	dev->vqs = vqs;
	dev->n_vqs = n_vqs;
	line_init(&dev->log_line, "vhost-log", 0);
	for (unsigned i = 0; i < n_vqs; i++) {
		memset(&vqs[i], 0, sizeof(vqs[i]));
		vqs[i].dev = dev;
		vqs[i].index = i;
		vqs[i].num = 1;
		vqs[i].kick = -1;
		line_init(&vqs[i].call, "vhost-call", i);
		line_init(&vqs[i].err, "vhost-err", i);
	}
	return 0;
}

void vhost_lock(struct vhost_dev *dev)
{
	atomic_fetch_add(&dev->waiting, 1);
	pthread_mutex_lock(&dev->lock);
	atomic_fetch_sub(&dev->waiting, 1);
}

void vhost_unlock(struct vhost_dev *dev)
{
	pthread_mutex_unlock(&dev->lock);
}

bool vhost_has_feature(const struct vhost_dev *dev, unsigned bit)
{
	return dev->features & (UINT64_C(1) << bit);
}

long vhost_check_owner(const struct vhost_dev *dev)
{
	return dev->owned && dev->owner == user_client.pid ? 0 : -EPERM;
}

long vhost_set_features(struct vhost_dev *dev, uint64_t features)
{
	if (features & (UINT64_C(1) << VHOST_F_LOG_ALL))
		for (unsigned i = 0; i < dev->n_vqs; i++)
			if (dev->vqs[i].active &&
			    !vhost_memory_ok(dev->memory, dev->log_base, true))
				return -EFAULT;
	if (features == dev->features)
		return 0;
	dev->features = features;
	for (unsigned i = 0; i < dev->n_vqs; i++)
		vhost_vq_renew(&dev->vqs[i]);
	return 0;
}

static long set_owner(struct vhost_dev *dev)
{
	long ret;

	if (dev->owned)
		return -EBUSY;
	/* The thread can only work in this process's memory. */
	if (user_client.pid)
		return -ENOMEM;
	ret = vhost_worker_start(dev);
	if (ret)
		return ret;
	dev->owned = true;
	dev->owner = user_client.pid;
	return 0;
}

VHOST_HANDLER(vhost_ioctl_set_owner)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	vhost_lock(dev);
	ret = set_owner(dev);
	vhost_unlock(dev);
	return ret;
}

VHOST_HANDLER(vhost_ioctl_set_fork_from_owner)
{
	struct vhost_dev *dev = f->priv;
	uint8_t value;
	long ret;

	vhost_lock(dev);
	if (dev->owned)
		ret = -EBUSY;
	else if (copy_from_user(&value, (const void *)call->arg, sizeof(value)))
		ret = -EFAULT;
	else if (value > 1)
		ret = -EINVAL;
	else
		ret = 0;
	if (!ret)
		dev->fork_owner = value;
	vhost_unlock(dev);
	return ret;
}

VHOST_HANDLER(vhost_ioctl_get_fork_from_owner)
{
	struct vhost_dev *dev = f->priv;
	uint8_t value;

	vhost_lock(dev);
	value = dev->fork_owner;
	vhost_unlock(dev);
	return copy_to_user((void *)call->arg, &value, sizeof(value));
}

static long set_log_base(struct vhost_dev *dev, unsigned long arg)
{
	bool all = vhost_has_feature(dev, VHOST_F_LOG_ALL);
	uint64_t base;
	long ret;

	ret = vhost_check_owner(dev);
	if (ret)
		return ret;
	if (copy_from_user(&base, (const void *)arg, sizeof(base)))
		return -EFAULT;
	/* Of several rings each keeps its own base in the kernel; here it is all or none. */
	for (unsigned i = 0; i < dev->n_vqs; i++) {
		const struct vhost_vq *vq = &dev->vqs[i];

		if (vq->active && (!vhost_memory_ok(dev->memory, base, all) ||
				   (vq->log_used && !vhost_log_ok(base, vq->log_addr, 4))))
			return -EFAULT;
	}
	dev->log_base = base;
	return 0;
}

VHOST_HANDLER(vhost_ioctl_set_log_base)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	vhost_lock(dev);
	ret = set_log_base(dev, call->arg);
	vhost_unlock(dev);
	return ret;
}

static long set_log_fd(struct vhost_dev *dev, unsigned long arg)
{
	int32_t fd;
	int taken = -1;
	long ret;

	ret = vhost_check_owner(dev);
	if (ret)
		return ret;
	if (copy_from_user(&fd, (const void *)arg, sizeof(fd)))
		return -EFAULT;
	if (fd != VHOST_FILE_UNBIND) {
		ret = line_check_eventfd(fd);
		if (ret)
			return ret;
		taken = user_fd_take(fd);
		if (taken < 0)
			return taken;
	}
	line_connect(&dev->log_line, taken);
	return 0;
}

VHOST_HANDLER(vhost_ioctl_set_log_fd)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	vhost_lock(dev);
	ret = set_log_fd(dev, call->arg);
	vhost_unlock(dev);
	return ret;
}

VHOST_HANDLER(vhost_ioctl_unknown)
{
	struct vhost_dev *dev = f->priv;
	uint32_t index;
	long ret;

	vhost_lock(dev);
	ret = vhost_check_owner(dev);
	vhost_unlock(dev);
	if (ret)
		return ret;
	if (copy_from_user(&index, (const void *)call->arg, sizeof(index)))
		return -EFAULT;
	return index >= dev->n_vqs ? -ENOBUFS : -ENOTTY;
}

void vhost_finish(struct vhost_dev *dev)
{
	vhost_worker_stop(dev);
	for (unsigned i = 0; i < dev->n_vqs; i++) {
		struct vhost_vq *vq = &dev->vqs[i];

		vhost_vq_stop(vq);
		hostfd_close(vq->kick);
		line_finish(&vq->call);
		line_finish(&vq->err);
	}
	line_finish(&dev->log_line);
	free(dev->memory);
	pthread_mutex_destroy(&dev->lock);
}
