/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device IOTLB and its messages: what a client reads (misses) and writes (updates and
 * invalidations).
 *
 * A ring has at most one miss under way, so its message is part of the ring.  It is unread,
 * then read, and gone when an update covers its address; then the ring is worked on again.  As
 * in the kernel an update that comes before the miss has been read does not answer it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "core/syscall.h"
#include "core/user.h"
#include "vhost/vhost.h"

#define MESSAGE_SIZE sizeof(struct vhost_msg)

_Static_assert(sizeof(struct vhost_msg) == sizeof(struct vhost_msg_v2) &&
		       offsetof(struct vhost_msg, iotlb) == offsetof(struct vhost_msg_v2, iotlb),
	       "both messages have their contents at the same place");

/* ---- misses; under message_mutex ---- */

static void show(const struct vhost_dev *dev)
{
	file_set_events(dev->file, dev->misses ? POLLIN : 0);
}

static struct vhost_vq *take_miss(struct vhost_dev *dev)
{
	struct vhost_vq *vq = dev->misses;

	if (!vq)
		return NULL;
	dev->misses = vq->miss.next;
	if (!dev->misses)
		dev->misses_end = &dev->misses;
	vq->miss.state = VHOST_MISS_READ;
	return vq;
}

void vhost_miss(struct vhost_vq *vq, uint64_t iova, uint32_t perm)
{
	struct vhost_dev *dev = vq->dev;

	pthread_mutex_lock(&dev->message_mutex);
	if (vq->miss.state == VHOST_MISS_NONE) {
		vq->miss = (struct vhost_miss){
			.state = VHOST_MISS_UNREAD,
			.v2 = dev->backend_features >> VHOST_BACKEND_F_IOTLB_MSG_V2 & 1,
			.iova = iova,
			.perm = (uint8_t)perm,
		};
		*dev->misses_end = vq;
		dev->misses_end = &vq->miss.next;
		show(dev);
	}
	pthread_mutex_unlock(&dev->message_mutex);
}

void vhost_clear_messages(struct vhost_dev *dev)
{
	pthread_mutex_lock(&dev->message_mutex);
	for (unsigned i = 0; i < dev->n_vqs; i++)
		dev->vqs[i].miss.state = VHOST_MISS_NONE;
	dev->misses = NULL;
	dev->misses_end = &dev->misses;
	show(dev);
	pthread_mutex_unlock(&dev->message_mutex);
}

/* Whoever waited for what is there now goes on. */
static void answer(struct vhost_dev *dev, uint64_t first, uint64_t last)
{
	pthread_mutex_lock(&dev->message_mutex);
	for (unsigned i = 0; i < dev->n_vqs; i++) {
		struct vhost_vq *vq = &dev->vqs[i];

		if (vq->miss.state == VHOST_MISS_READ && first <= vq->miss.iova &&
		    vq->miss.iova <= last) {
			vq->miss.state = VHOST_MISS_NONE;
			vhost_queue(vq);
		}
	}
	pthread_mutex_unlock(&dev->message_mutex);
}

/* ---- the IOTLB ---- */

static void forget_translations(struct vhost_dev *dev)
{
	for (unsigned i = 0; i < dev->n_vqs; i++)
		vhost_vq_forget(&dev->vqs[i]);
}

int vhost_set_iotlb(struct vhost_dev *dev, bool on)
{
	struct vhost_iotlb *old = dev->iotlb, *new = on ? vhost_iotlb_create() : NULL;

	if (on && !new)
		return -ENOMEM;
	pthread_mutex_lock(&dev->message_mutex);
	dev->iotlb = new;
	pthread_mutex_unlock(&dev->message_mutex);
	/* Addresses of the one kind mean nothing as the other. */
	for (unsigned i = 0; i < dev->n_vqs && !old != !new; i++) {
		struct vhost_vq *vq = &dev->vqs[i];

		memset(vq->address, 0, sizeof(vq->address));
		vq->log_used = false;
		vq->log_addr = UINT64_MAX;
	}
	forget_translations(dev);
	vhost_iotlb_destroy(old);
	if (!old || new)
		return 0;
	vhost_clear_messages(dev);
	/* Readers wait for messages that won't come. */
	pthread_mutex_lock(&dev->message_mutex);
	if (dev->readers)
		file_set_events(dev->file, POLLIN);
	pthread_mutex_unlock(&dev->message_mutex);
	return 0;
}

static long update(struct vhost_dev *dev, const struct vhost_iotlb_msg *m)
{
	uint64_t last = m->iova + m->size - 1;
	int ret;

	if (!dev->iotlb || m->uaddr > UINT64_MAX - m->size + 1)
		return -EFAULT;
	if (m->perm & VHOST_ACCESS_RW && !vhost_range_ok(m->uaddr, m->size))
		return -EFAULT;
	forget_translations(dev);
	ret = vhost_iotlb_add(dev->iotlb, m->iova, last, m->uaddr, m->perm);
	if (ret)
		return ret;
	answer(dev, m->iova, last);
	return 0;
}

static long invalidate(struct vhost_dev *dev, const struct vhost_iotlb_msg *m)
{
	if (!dev->iotlb)
		return -EFAULT;
	if (!m->size)
		return -EINVAL;
	forget_translations(dev);
	vhost_iotlb_remove(dev->iotlb, m->iova, m->iova + m->size - 1);
	return 0;
}

static long process(struct vhost_dev *dev, uint32_t asid, const struct vhost_iotlb_msg *m)
{
	long ret = -EINVAL;

	if (asid)
		return -EINVAL;
	vhost_lock(dev);
	if (m->type == VHOST_IOTLB_UPDATE)
		ret = update(dev, m);
	else if (m->type == VHOST_IOTLB_INVALIDATE)
		ret = invalidate(dev, m);
	vhost_unlock(dev);
	return ret;
}

/* ---- read(2) and write(2) ---- */

ssize_t vhost_write(struct file *f, const void *buffer, size_t size, off_t offset)
{
	const size_t whole = offsetof(struct vhost_msg, iotlb) + sizeof(struct vhost_iotlb_msg);
	struct vhost_dev *dev = f->priv;
	struct vhost_msg_v2 message;
	uint32_t asid = 0;
	long ret;

	if (size < sizeof(message.type) ||
	    copy_from_user(&message.type, buffer, sizeof(message.type)))
		return -EINVAL;
	if (message.type != VHOST_IOTLB_MSG && message.type != VHOST_IOTLB_MSG_V2)
		return -EINVAL;
	if (size < whole || copy_from_user(&message, buffer, whole))
		return -EINVAL;
	if (message.iotlb.type == VHOST_IOTLB_UPDATE && message.iotlb.size == 0)
		return -EINVAL;
	if (message.type == VHOST_IOTLB_MSG_V2 &&
	    dev->backend_features >> VHOST_BACKEND_F_IOTLB_ASID & 1)
		asid = message.asid;
	ret = dev->ops->message ? dev->ops->message(dev, asid, &message.iotlb)
				: process(dev, asid, &message.iotlb);
	return ret ? -EFAULT : (ssize_t)MESSAGE_SIZE;
}

/* Waits for the placeholder to be readable, as read(2) of it would: the kernel sees to
 * signals. */
static long wait_readable(struct vhost_dev *dev)
{
	char byte;
	long ret;

	dev->readers++;
	pthread_mutex_unlock(&dev->message_mutex);
	ret = host_syscall(SYS_recvfrom, dev->file->self, &byte, 1, MSG_PEEK, NULL, NULL);
	pthread_mutex_lock(&dev->message_mutex);
	dev->readers--;
	return ret < 0 ? ret : 0;
}

/* The next message, or -errno.  Under message_mutex. */
static long next_message(struct vhost_dev *dev, struct vhost_msg_v2 *message,
			 struct vhost_vq **ret_vq)
{
	bool nonblocking = host_syscall(SYS_fcntl, dev->file->self, F_GETFL) & O_NONBLOCK;
	struct vhost_vq *vq;
	long ret = 0;

	while (!(vq = take_miss(dev)) && !ret) {
		show(dev);
		if (nonblocking)
			ret = -EAGAIN;
		else if (!dev->iotlb)
			ret = -EBADFD;
		else
			ret = wait_readable(dev);
	}
	if (!vq)
		return ret;
	show(dev);
	memset(message, 0, sizeof(*message));
	message->type = vq->miss.v2 ? VHOST_IOTLB_MSG_V2 : VHOST_IOTLB_MSG;
	message->iotlb.type = VHOST_IOTLB_MISS;
	message->iotlb.iova = vq->miss.iova;
	message->iotlb.perm = vq->miss.perm;
	*ret_vq = vq;
	return 0;
}

ssize_t vhost_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	struct vhost_dev *dev = f->priv;
	struct vhost_msg_v2 message;
	struct vhost_vq *vq;
	size_t copied = 0;
	long ret;

	if (size < MESSAGE_SIZE)
		return 0;
	pthread_mutex_lock(&dev->message_mutex);
	ret = next_message(dev, &message, &vq);
	if (ret)
		goto unlock;
	if (copy_to_user(buffer, &message, MESSAGE_SIZE) == 0) {
		ret = MESSAGE_SIZE;
		goto unlock;
	}
	/* As much as there is room for; and the miss is lost, until the ring has it again. */
	while (copied < MESSAGE_SIZE &&
	       copy_to_user((char *)buffer + copied, (char *)&message + copied, 1) == 0)
		copied++;
	vq->miss.state = VHOST_MISS_NONE;
	ret = (long)copied;
unlock:
	pthread_mutex_unlock(&dev->message_mutex);
	return ret;
}
