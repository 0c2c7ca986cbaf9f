/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /dev/vhost-vsock: the file and its own ioctls, CID and RUNNING.
 */
#include "vhost/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/instance.h"
#include "core/user.h"

#define BIT(n) (UINT64_C(1) << (n))

/* The kernel's. */
#define FEATURES                                                                                \
	(BIT(VIRTIO_VSOCK_F_SEQPACKET) | BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VHOST_F_LOG_ALL) | \
	 BIT(VIRTIO_F_ANY_LAYOUT) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |                          \
	 BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM))

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vsock *all;

static bool vsock_work(struct vhost_dev *dev)
{
	struct vsock *v = (struct vsock *)dev;
	bool more;

	vsock_expire(v);
	more = vsock_take_packets(v);
	more |= vsock_send_packets(v);
	vsock_sweep(v);
	return more;
}

static int vsock_work_timeout(struct vhost_dev *dev)
{
	return vsock_timeout((struct vsock *)dev);
}

static const struct vhost_ops vsock_dev_ops = {
	.work = vsock_work,
	.timeout = vsock_work_timeout,
	.poll_us = 100,
	.features = {FEATURES},
	.backend_features = BIT(VHOST_BACKEND_F_IOTLB_MSG_V2),
};

static int vsock_open(struct file *f, void *context)
{
	struct vsock *v = calloc(1, sizeof(*v));
	const char *place = instance ? instance->config->vsock_path : NULL;
	int ret;

	if (!v)
		return -ENOMEM;
	ret = vhost_init(&v->dev, f, &vsock_dev_ops, "vhost-vsock", v->vqs, VSOCK_QUEUES);
	if (ret) {
		free(v);
		return ret;
	}
	v->controls_end = &v->controls;
	v->ready_end = &v->ready;
	for (unsigned i = 0; i < 2; i++)
		v->listeners[i].fd = -1;
	v->next_port = UINT32_C(1) << 30;
	v->pool = (struct virtqueue_pool){.iov = v->iov,
					  .max_iov = 1024,
					  .ranges = v->ranges,
					  .max_ranges = 1024,
					  .transient = true};
	strncpy(v->place, place ? place : "", sizeof(v->place) - 1);
	pthread_mutex_lock(&all_lock);
	v->next = all;
	all = v;
	pthread_mutex_unlock(&all_lock);
	return 0;
}

static void vsock_release(struct file *f)
{
	struct vsock *v = f->priv, **link;

	vhost_workers_stop(&v->dev);
	pthread_mutex_lock(&all_lock);
	for (link = &all; *link != v; link = &(*link)->next)
		;
	*link = v->next;
	pthread_mutex_unlock(&all_lock);
	vsock_listeners_close(v);
	vsock_close_all(v);
	vsock_controls_drop(v);
	vhost_finish(&v->dev);
	free(v);
}

static VHOST_HANDLER(set_guest_cid)
{
	struct vsock *v = f->priv;
	uint64_t cid;
	long ret = 0;

	if (copy_from_user(&cid, (const void *)call->arg, sizeof(cid)))
		return -EFAULT;
	if (cid <= VSOCK_CID_HOST || cid >= UINT32_MAX)
		return -EINVAL;
	pthread_mutex_lock(&all_lock);
	for (const struct vsock *other = all; other; other = other->next)
		if (other != v && other->cid == cid)
			ret = -EADDRINUSE;
	if (!ret) {
		vhost_lock(&v->dev);
		ret = vsock_listeners_open(v, (uint32_t)cid);
		if (!ret)
			v->cid = (uint32_t)cid;
		vhost_unlock(&v->dev);
	}
	pthread_mutex_unlock(&all_lock);
	return ret;
}

static long start(struct vsock *v)
{
	unsigned i;
	long ret = vhost_check_owner(&v->dev);

	if (ret)
		return ret;
	for (i = 0; i < VSOCK_QUEUES && !ret; i++)
		ret = vhost_vq_access_ok(&v->vqs[i]) ? vhost_vq_start(&v->vqs[i]) : -EFAULT;
	if (ret) {
		for (i = 0; i < VSOCK_QUEUES; i++)
			vhost_vq_stop(&v->vqs[i]);
		return ret;
	}
	vsock_listeners_watch(v);
	vhost_queue(&v->vqs[VSOCK_RX]);
	return 0;
}

static long stop(struct vsock *v)
{
	long ret = vhost_check_owner(&v->dev);

	for (unsigned i = 0; i < VSOCK_QUEUES && !ret; i++)
		vhost_vq_stop(&v->vqs[i]);
	return ret;
}

static VHOST_HANDLER(set_running)
{
	struct vsock *v = f->priv;
	int32_t running;
	long ret;

	if (copy_from_user(&running, (const void *)call->arg, sizeof(running)))
		return -EFAULT;
	vhost_lock(&v->dev);
	ret = running ? start(v) : stop(v);
	vhost_unlock(&v->dev);
	return ret;
}

static const struct ioctl_row rows[] = {
	VHOST_ROW(VHOST_VSOCK_SET_GUEST_CID, set_guest_cid, vhost_decode_u64),
	VHOST_ROW(VHOST_VSOCK_SET_RUNNING, set_running, vhost_decode_int),
	VHOST_BACKEND_FEATURES_ROWS,
	VHOST_COMMON_ROWS,
};

const struct ioctl_table vhost_vsock_table = {
	.kind = "vhost-vsock",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.unknown = -ENOTTY,
	.otherwise = vhost_ioctl_unknown,
};

const struct file_ops vhost_vsock_ops = {
	.kind = "vhost-vsock",
	.ioctls = &vhost_vsock_table,
	.reopened = true,
	.messages = true,
	.open = vsock_open,
	.release = vsock_release,
	.read = vhost_read,
	.write = vhost_write,
	.trace_message = vhost_trace_message,
};
