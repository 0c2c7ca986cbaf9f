/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost device: its locks, who owns it, what it forgets when nobody does any more.
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

static void forget_features(struct vhost_dev *dev)
{
	memset(dev->features, 0, sizeof(dev->features));
	dev->backend_features = 0;
	dev->fork_owner = 1;
}

int vhost_init(struct vhost_dev *dev, struct file *f, const struct vhost_ops *ops, const char *name,
	       struct vhost_vq *vqs, unsigned n_vqs)
{
	memset(dev, 0, sizeof(*dev));
	pthread_mutex_init(&dev->mutex, NULL);
	pthread_rwlock_init(&dev->running, NULL);
	pthread_mutex_init(&dev->message_mutex, NULL);
	dev->ops = ops;
	dev->name = name;
	dev->file = f;
	dev->vqs = vqs;
	dev->n_vqs = n_vqs;
	dev->misses_end = &dev->misses;
	forget_features(dev);
	line_init(&dev->log_line, "vhost-log", 0);
	for (unsigned i = 0; i < n_vqs; i++) {
		memset(&vqs[i], 0, sizeof(vqs[i]));
		pthread_mutex_init(&vqs[i].mutex, NULL);
		vqs[i].dev = dev;
		vqs[i].index = i;
		vqs[i].num = 1;
		vqs[i].kick = -1;
		line_init(&vqs[i].call, "vhost-call", i);
		line_init(&vqs[i].err, "vhost-err", i);
	}
	f->priv = dev;
	return 0;
}

/* ---- locks ---- */

static void stop_running(struct vhost_dev *dev)
{
	atomic_fetch_add(&dev->waiting, 1);
	pthread_rwlock_wrlock(&dev->running);
	atomic_fetch_sub(&dev->waiting, 1);
}

void vhost_lock(struct vhost_dev *dev)
{
	pthread_mutex_lock(&dev->mutex);
	stop_running(dev);
}

void vhost_unlock(struct vhost_dev *dev)
{
	pthread_rwlock_unlock(&dev->running);
	pthread_mutex_unlock(&dev->mutex);
}

void vhost_ring_lock(struct vhost_vq *vq)
{
	atomic_fetch_add(&vq->dev->waiting, 1);
	pthread_rwlock_rdlock(&vq->dev->running);
	pthread_mutex_lock(&vq->mutex);
	atomic_fetch_sub(&vq->dev->waiting, 1);
}

void vhost_ring_unlock(struct vhost_vq *vq)
{
	pthread_mutex_unlock(&vq->mutex);
	pthread_rwlock_unlock(&vq->dev->running);
}

/* ---- owner ---- */

long vhost_check_owner(const struct vhost_dev *dev)
{
	return dev->owned && dev->owner == user_client.pid ? 0 : -EPERM;
}

static long set_owner(struct vhost_dev *dev)
{
	long ret;

	if (dev->owned)
		return -EBUSY;
	/* The workers can only work in this process's memory. */
	if (user_client.pid)
		return -ENOMEM;
	ret = file_take(dev->file);
	if (ret)
		return ret;
	ret = vhost_workers_start(dev);
	if (ret) {
		file_give_up(dev->file);
		return ret;
	}
	dev->owned = true;
	dev->owner = user_client.pid;
	return 0;
}

VHOST_HANDLER(vhost_ioctl_set_owner)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	pthread_mutex_lock(&dev->mutex);
	ret = set_owner(dev);
	pthread_mutex_unlock(&dev->mutex);
	return ret;
}

/* What the client has set goes; the workers have ended. */
static void forget(struct vhost_dev *dev)
{
	for (unsigned i = 0; i < dev->n_vqs; i++)
		vhost_vq_reset(&dev->vqs[i]);
	line_connect(&dev->log_line, -1);
	vhost_set_iotlb(dev, false);
	vhost_clear_messages(dev);
	vhost_iotlb_destroy(dev->memory);
	dev->memory = NULL;
	forget_features(dev);
	if (dev->owned)
		file_give_up(dev->file);
	dev->owned = false;
}

static long reset_owner(struct vhost_dev *dev)
{
	struct vhost_iotlb *memory;
	long ret;

	ret = vhost_check_owner(dev);
	if (ret)
		return ret;
	memory = vhost_iotlb_create();
	if (!memory)
		return -ENOMEM;
	stop_running(dev);
	dev->ops->reset(dev);
	pthread_rwlock_unlock(&dev->running);
	vhost_workers_stop(dev);
	stop_running(dev);
	forget(dev);
	dev->memory = memory;
	pthread_rwlock_unlock(&dev->running);
	return 0;
}

VHOST_HANDLER(vhost_ioctl_reset_owner)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	pthread_mutex_lock(&dev->mutex);
	ret = reset_owner(dev);
	pthread_mutex_unlock(&dev->mutex);
	return ret;
}

VHOST_HANDLER(vhost_ioctl_set_fork_from_owner)
{
	struct vhost_dev *dev = f->priv;
	uint8_t value;
	long ret = 0;

	pthread_mutex_lock(&dev->mutex);
	if (dev->owned)
		ret = -EBUSY;
	else if (copy_from_user(&value, (const void *)call->arg, sizeof(value)))
		ret = -EFAULT;
	else if (value > 1)
		ret = -EINVAL;
	else
		dev->fork_owner = value;
	pthread_mutex_unlock(&dev->mutex);
	return ret;
}

VHOST_HANDLER(vhost_ioctl_get_fork_from_owner)
{
	struct vhost_dev *dev = f->priv;
	uint8_t value;

	pthread_mutex_lock(&dev->mutex);
	value = dev->fork_owner;
	pthread_mutex_unlock(&dev->mutex);
	return copy_to_user((void *)call->arg, &value, sizeof(value));
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

	pthread_mutex_lock(&dev->mutex);
	ret = set_log_fd(dev, call->arg);
	pthread_mutex_unlock(&dev->mutex);
	vhost_settle(dev);
	return ret;
}

VHOST_HANDLER(vhost_ioctl_unknown)
{
	struct vhost_dev *dev = f->priv;
	uint32_t index;
	long ret;

	pthread_mutex_lock(&dev->mutex);
	ret = vhost_check_owner(dev);
	pthread_mutex_unlock(&dev->mutex);
	if (ret)
		return ret;
	if (copy_from_user(&index, (const void *)call->arg, sizeof(index)))
		return -EFAULT;
	return index >= dev->n_vqs ? -ENOBUFS : -ENOTTY;
}

void vhost_finish(struct vhost_dev *dev)
{
	vhost_workers_stop(dev);
	forget(dev);
	vhost_workers_free(dev);
	line_finish(&dev->log_line);
	for (unsigned i = 0; i < dev->n_vqs; i++)
		pthread_mutex_destroy(&dev->vqs[i].mutex);
	pthread_mutex_destroy(&dev->message_mutex);
	pthread_rwlock_destroy(&dev->running);
	pthread_mutex_destroy(&dev->mutex);
}
