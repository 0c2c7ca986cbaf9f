/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rings' ioctls, and starting and stopping a ring.
 *
 * While a ring has no backend, it is only what the client has said of it.  With one, its
 * state is the engine's (src/virtqueue).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "core/hostfd.h"
#include "core/user.h"
#include "vhost/vhost.h"

static uint64_t part_size(const struct vhost_vq *vq, enum virtqueue_part part)
{
	uint64_t event = vhost_has_feature(vq->dev, VIRTIO_RING_F_EVENT_IDX) ? 2 : 0;

	switch (part) {
	case VIRTQUEUE_DESC:
		return (uint64_t)vq->num * 16;
	case VIRTQUEUE_AVAIL:
		return 4 + (uint64_t)vq->num * 2 + event;
	default:
		return 4 + (uint64_t)vq->num * 8 + event;
	}
}

static bool ring_ok(const struct vhost_vq *vq, const uint64_t address[VIRTQUEUE_PARTS])
{
	for (unsigned p = 0; p < VIRTQUEUE_PARTS; p++)
		if (!vhost_range_ok(address[p], part_size(vq, p)))
			return false;
	return true;
}

static bool log_used_ok(const struct vhost_vq *vq, bool log_used, uint64_t log_addr)
{
	return !log_used ||
	       vhost_log_ok(vq->dev->log_base, log_addr, part_size(vq, VIRTQUEUE_USED));
}

bool vhost_vq_access_ok(const struct vhost_vq *vq)
{
	const struct vhost_dev *dev = vq->dev;

	return vhost_memory_ok(dev->memory, dev->log_base,
			       vhost_has_feature(dev, VHOST_F_LOG_ALL)) &&
	       log_used_ok(vq, vq->log_used, vq->log_addr) && ring_ok(vq, vq->address);
}

static int ring_init(struct vhost_vq *vq, uint16_t avail)
{
	struct virtqueue_config config = {
		.ops = &vhost_ring_ops,
		.owner = vq,
		.name = vq->dev->name,
		.features = vq->dev->features,
		.num = vq->num,
	};
	struct virtqueue_state state;
	int ret;

	memcpy(config.address, vq->address, sizeof(config.address));
	ret = virtqueue_init(&vq->ring, &config);
	if (ret)
		return ret;
	virtqueue_get_state(&vq->ring, &state);
	state.avail = avail;
	ret = virtqueue_set_state(&vq->ring, &state);
	virtqueue_log(&vq->ring, false, vq->log_used);
	return ret;
}

long vhost_vq_start(struct vhost_vq *vq)
{
	if (vq->active)
		return 0;
	if (ring_init(vq, (uint16_t)vq->base) || virtqueue_start(&vq->ring, true))
		return -EFAULT;
	vq->active = true;
	return 0;
}

void vhost_vq_stop(struct vhost_vq *vq)
{
	struct virtqueue_state state;

	if (!vq->active)
		return;
	virtqueue_get_state(&vq->ring, &state);
	virtqueue_release(&vq->ring);
	vq->base = state.avail;
	vq->active = false;
}

void vhost_vq_renew(struct vhost_vq *vq)
{
	struct virtqueue_state state;

	if (!vq->active)
		return;
	virtqueue_get_state(&vq->ring, &state);
	virtqueue_release(&vq->ring);
	if (ring_init(vq, state.avail) == 0)
		virtqueue_set_state(&vq->ring, &state);
}

void vhost_vq_error(struct vhost_vq *vq)
{
	line_raise(&vq->err);
}

void vhost_vq_signal(struct vhost_vq *vq)
{
	if (virtqueue_should_signal(&vq->ring) == 1)
		line_raise(&vq->call);
}

/* ---- ioctls; the argument's first word, the index, has been read ---- */

static long set_num(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_vring_state s;

	if (vq->active)
		return -EBUSY;
	if (copy_from_user(&s, (const void *)arg, sizeof(s)))
		return -EFAULT;
	if (!s.num || s.num > 0xffff || (s.num & (s.num - 1)))
		return -EINVAL;
	vq->num = s.num;
	return 0;
}

static long set_addr(struct vhost_vq *vq, unsigned long arg)
{
	uint64_t address[VIRTQUEUE_PARTS];
	struct vhost_vring_addr a;
	bool log_used;

	if (copy_from_user(&a, (const void *)arg, sizeof(a)))
		return -EFAULT;
	if (a.flags & ~(1u << VHOST_VRING_F_LOG))
		return -EOPNOTSUPP;
	if (a.avail_user_addr % 2 || a.used_user_addr % 4 || a.log_guest_addr % 4)
		return -EINVAL;
	log_used = a.flags & (1u << VHOST_VRING_F_LOG);
	address[VIRTQUEUE_DESC] = a.desc_user_addr;
	address[VIRTQUEUE_AVAIL] = a.avail_user_addr;
	address[VIRTQUEUE_USED] = a.used_user_addr;
	if (vq->active) {
		if (!ring_ok(vq, address) || !log_used_ok(vq, log_used, a.log_guest_addr))
			return -EINVAL;
		if (memcmp(address, vq->address, sizeof(address)) &&
		    virtqueue_set_addresses(&vq->ring, address))
			return -EINVAL;
		virtqueue_log(&vq->ring, false, log_used);
	}
	memcpy(vq->address, address, sizeof(address));
	vq->log_used = log_used;
	vq->log_addr = a.log_guest_addr;
	return 0;
}

static long set_base(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_vring_state s;

	if (vq->active)
		return -EBUSY;
	if (copy_from_user(&s, (const void *)arg, sizeof(s)))
		return -EFAULT;
	if (s.num > 0xffff)
		return -EINVAL;
	vq->base = s.num;
	return 0;
}

static long get_base(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_vring_state s = {.index = vq->index, .num = vq->base};
	struct virtqueue_state state;

	if (vq->active) {
		virtqueue_get_state(&vq->ring, &state);
		s.num = state.avail;
	}
	return copy_to_user((void *)arg, &s, sizeof(s));
}

/* *ret_fd: a private duplicate, or -1 for "none". */
static long take_eventfd(unsigned long arg, int *ret_fd)
{
	struct vhost_vring_file file;
	long ret;

	if (copy_from_user(&file, (const void *)arg, sizeof(file)))
		return -EFAULT;
	*ret_fd = -1;
	if (file.fd == VHOST_FILE_UNBIND)
		return 0;
	ret = line_check_eventfd(file.fd);
	if (ret)
		return ret;
	*ret_fd = user_fd_take(file.fd);
	return *ret_fd < 0 ? *ret_fd : 0;
}

static long set_kick(struct vhost_vq *vq, unsigned long arg)
{
	int fd, old = vq->kick;
	long ret;

	ret = take_eventfd(arg, &fd);
	if (ret)
		return ret;
	if (old >= 0) {
		vhost_unwatch(vq->dev, old);
		hostfd_close(old);
	}
	vq->kick = fd;
	/* What has been signalled already counts. */
	return fd < 0 ? 0 : vhost_watch(vq->dev, fd, &vq->source, EPOLLIN);
}

static long set_line(struct line *line, unsigned long arg)
{
	int fd;
	long ret;

	ret = take_eventfd(arg, &fd);
	if (!ret)
		line_connect(line, fd);
	return ret;
}

static long set_busyloop(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_vring_state s;

	if (copy_from_user(&s, (const void *)arg, sizeof(s)))
		return -EFAULT;
	vq->busyloop = s.num;
	return 0;
}

static long get_busyloop(struct vhost_vq *vq, unsigned long arg)
{
	struct vhost_vring_state s = {.index = vq->index, .num = vq->busyloop};

	return copy_to_user((void *)arg, &s, sizeof(s));
}

static long vring_ioctl(struct vhost_dev *dev, unsigned int cmd, unsigned long arg)
{
	struct vhost_vq *vq;
	uint32_t index;
	long ret;

	ret = vhost_check_owner(dev);
	if (ret)
		return ret;
	if (copy_from_user(&index, (const void *)arg, sizeof(index)))
		return -EFAULT;
	if (index >= dev->n_vqs)
		return -ENOBUFS;
	vq = &dev->vqs[index];
	switch (cmd) {
	case VHOST_SET_VRING_NUM:
		return set_num(vq, arg);
	case VHOST_SET_VRING_ADDR:
		return set_addr(vq, arg);
	case VHOST_SET_VRING_BASE:
		return set_base(vq, arg);
	case VHOST_GET_VRING_BASE:
		return get_base(vq, arg);
	case VHOST_SET_VRING_KICK:
		return set_kick(vq, arg);
	case VHOST_SET_VRING_CALL:
		return set_line(&vq->call, arg);
	case VHOST_SET_VRING_ERR:
		return set_line(&vq->err, arg);
	case VHOST_SET_VRING_BUSYLOOP_TIMEOUT:
		return set_busyloop(vq, arg);
	case VHOST_GET_VRING_BUSYLOOP_TIMEOUT:
		return get_busyloop(vq, arg);
	default:
		return -ENOTTY;
	}
}

VHOST_HANDLER(vhost_ioctl_vring)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	vhost_lock(dev);
	ret = vring_ioctl(dev, call->cmd, call->arg);
	vhost_unlock(dev);
	return ret;
}
