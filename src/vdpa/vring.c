/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rings' ioctls.  Some are vhost's with a step of the device's behind it; some are vDPA's
 * own.  All want the owner, then an index.
 */
#include <errno.h>

#include "core/user.h"
#include "vdpa/vdpa.h"

/* What the device does not let happen while it runs. */
static bool settled(const struct vdpa *v)
{
	return v->status & VDPA_STATUS_DRIVER_OK && !v->suspended;
}

static long give_state(unsigned long arg, unsigned index, uint32_t num)
{
	struct vhost_vring_state s = {.index = index, .num = num};

	return copy_to_user((void *)arg, &s, sizeof(s));
}

static long set_num(struct vdpa_queue *q, uint32_t num)
{
	if (!num || num > 0xffff || num > q->vdpa->num_max || num & (num - 1))
		return -EINVAL;
	q->vdpa->vqs[q->index].num = num;
	q->num = num;
	return 0;
}

static long get_base(struct vdpa_queue *q, unsigned long arg)
{
	struct virtqueue_state at;

	vdpa_queue_get_state(q, &at);
	return give_state(arg, q->index,
			  virtqueue_state_base(&at, vdpa_has(q->vdpa, VIRTIO_F_RING_PACKED)));
}

/* Devices here have nothing in flight when they are asked or told where they are. */
static long set_base(struct vdpa_queue *q, uint32_t num)
{
	bool packed = vdpa_has(q->vdpa, VIRTIO_F_RING_PACKED);
	struct virtqueue_state at = virtqueue_base_state(num, packed);

	if (!packed && num > 0xffff)
		return -EINVAL;
	at.used = at.avail;
	at.used_wrap = at.avail_wrap;
	if (settled(q->vdpa))
		return -EINVAL;
	q->state = at;
	if (q->live)
		virtqueue_set_state(&q->ring, &at);
	return 0;
}

static long set_group_space(struct vdpa *v, unsigned group, uint32_t space)
{
	if (group >= v->n_groups || space >= v->n_spaces)
		return -EINVAL;
	if (v->status & VDPA_STATUS_DRIVER_OK)
		return -EBUSY;
	v->group_space[group] = space;
	vdpa_forget(v);
	return 0;
}

static long own_ioctl(struct vdpa *v, unsigned int cmd, unsigned long arg)
{
	struct vhost_vring_state s;
	struct vdpa_queue *q;
	long ret = vhost_check_owner(&v->vhost);

	if (ret)
		return ret;
	/* One command wants all of its argument before it looks at the index. */
	if (copy_from_user(&s, (const void *)arg, cmd == VHOST_SET_VRING_NUM ? sizeof(s) : 4))
		return -EFAULT;
	if (s.index >= v->n_queues)
		return -ENOBUFS;
	q = &v->queues[s.index];
	switch (cmd) {
	case VHOST_VDPA_GET_VRING_GROUP:
		return give_state(arg, s.index, vdpa_queue_group(v, s.index));
	case VHOST_VDPA_GET_VRING_DESC_GROUP:
		return v->describes ? give_state(arg, s.index, v->n_groups - 1) : -EOPNOTSUPP;
	case VHOST_VDPA_GET_VRING_SIZE:
		if (!v->tells_size)
			return -EOPNOTSUPP;
		return give_state(arg, s.index,
				  v->status & VDPA_STATUS_DRIVER_OK ? q->num : v->queue_max);
	case VHOST_GET_VRING_BASE:
		return get_base(q, arg);
	}
	if (copy_from_user(&s, (const void *)arg, sizeof(s)))
		return -EFAULT;
	switch (cmd) {
	case VHOST_SET_VRING_NUM:
		return set_num(q, s.num);
	case VHOST_SET_VRING_BASE:
		return set_base(q, s.num);
	case VHOST_VDPA_SET_GROUP_ASID:
		return set_group_space(v, s.index, s.num);
	default: /* VHOST_VDPA_SET_VRING_ENABLE */
		vdpa_queue_set_ready(q, s.num);
		return 0;
	}
}

/* After vhost has done it: 0 or -errno. */
static long follow(struct vdpa *v, unsigned int cmd, unsigned index)
{
	struct vdpa_queue *q = &v->queues[index];
	struct vhost_vq *vq = &v->vqs[index];

	if (cmd == VHOST_SET_VRING_CALL) {
		q->calls = line_connected(&vq->call);
	} else if (cmd == VHOST_SET_VRING_ADDR) {
		if (settled(v))
			return -EINVAL;
		for (unsigned i = 0; i < VIRTQUEUE_PARTS; i++)
			q->address[i] = vq->address[i];
	}
	return 0;
}

VHOST_HANDLER(vdpa_ioctl_vring)
{
	struct vdpa *v = f->priv;
	uint32_t index;
	long ret;

	switch (call->cmd) {
	case VHOST_SET_VRING_ADDR:
	case VHOST_SET_VRING_CALL:
		ret = vhost_ioctl_vring(f, call);
		if (ret)
			return ret;
		if (copy_from_user(&index, (const void *)call->arg, sizeof(index)) ||
		    index >= v->n_queues)
			return -EFAULT;
		vhost_lock(&v->vhost);
		ret = follow(v, call->cmd, index);
		break;
	default:
		vhost_lock(&v->vhost);
		ret = own_ioctl(v, call->cmd, call->arg);
	}
	vhost_unlock(&v->vhost);
	return ret;
}
