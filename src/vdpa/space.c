/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Address spaces.
 *
 * The kernel keeps two maps for each: the client's, and the device's, which is a copy made
 * after every message but for those within a batch.  Here there is one.  The device stands
 * still while a batch is open, so it sees no map that is half changed; and `direct` remembers
 * that the device's map was put back by a reset while the client's was not.
 */
#include <errno.h>

#include "vdpa/vdpa.h"

#define USER_END UINT64_C(0x7ffffffff000) /* TASK_SIZE of 47 bits of address */

void vdpa_spaces_init(struct vdpa *v)
{
	for (unsigned i = 0; i < v->n_spaces; i++) {
		vhost_iotlb_init(&v->spaces[i].map, VHOST_IOTLB_MAX, false);
		v->spaces[i].exists = false;
		v->spaces[i].direct = true;
	}
}

void vdpa_spaces_clean(struct vdpa *v)
{
	for (unsigned i = 0; i < v->n_spaces; i++)
		v->spaces[i].direct = true;
	vdpa_forget(v);
}

void vdpa_spaces_finish(struct vdpa *v)
{
	for (unsigned i = 0; i < v->n_spaces; i++)
		vhost_iotlb_finish(&v->spaces[i].map);
}

void vdpa_forget(struct vdpa *v)
{
	for (unsigned i = 0; i < v->n_queues; i++)
		if (v->queues[i].live)
			virtqueue_release(&v->queues[i].ring);
}

/* ---- messages ---- */

static int update(struct vdpa_space *space, const struct vhost_iotlb_msg *m)
{
	if (!m->size || m->iova > UINT64_MAX - m->size + 1)
		return -EINVAL;
	if (vhost_iotlb_find(&space->map, m->iova, m->iova + m->size - 1))
		return -EEXIST;
	/* No mapping of the process's begins behind that. */
	if (m->uaddr >= USER_END)
		return -EINVAL;
	return vhost_iotlb_add(&space->map, m->iova, m->iova + m->size - 1, m->uaddr, m->perm);
}

/* The device's map follows the client's. */
static void settle(struct vdpa *v, struct vdpa_space *space)
{
	if (v->in_batch)
		return;
	space->direct = false;
	vdpa_forget(v);
}

static long message(struct vdpa *v, uint32_t asid, const struct vhost_iotlb_msg *m)
{
	bool makes = m->type == VHOST_IOTLB_UPDATE || m->type == VHOST_IOTLB_BATCH_BEGIN;
	struct vdpa_space *space = asid < v->n_spaces ? &v->spaces[asid] : NULL;
	long ret = vhost_check_owner(&v->vhost);

	if (ret)
		return ret;
	if (!space || (!space->exists && !makes))
		return -EINVAL;
	space->exists = true;
	if (v->in_batch && v->batch_space != asid)
		return -EINVAL;
	switch (m->type) {
	case VHOST_IOTLB_UPDATE:
		ret = update(space, m);
		break;
	case VHOST_IOTLB_INVALIDATE:
		vhost_iotlb_remove(&space->map, m->iova, m->iova + m->size - 1);
		break;
	case VHOST_IOTLB_BATCH_BEGIN:
		v->batch_space = asid;
		v->in_batch = true;
		return 0;
	case VHOST_IOTLB_BATCH_END:
		if (!v->in_batch)
			return 0;
		v->in_batch = false;
		break;
	default:
		return -EINVAL;
	}
	if (!ret)
		settle(v, space);
	if (!v->in_batch)
		vdpa_wake(v);
	return ret;
}

long vdpa_message(struct vhost_dev *dev, uint32_t asid, const struct vhost_iotlb_msg *m)
{
	long ret;

	vhost_lock(dev);
	ret = message((struct vdpa *)dev, asid, m);
	vhost_unlock(dev);
	return ret;
}

/* ---- what the ring engine asks ---- */

static const struct vdpa_space *space_for(const struct vdpa_queue *q, bool ring)
{
	const struct vdpa *v = q->vdpa;
	unsigned group = ring && v->describes ? v->n_groups - 1 : vdpa_queue_group(v, q->index);

	return &v->spaces[v->group_space[group]];
}

/* VHOST_ACCESS_RO and _WO are the engine's bits for reading and writing. */
_Static_assert(VHOST_ACCESS_RO == VIRTQUEUE_READ && VHOST_ACCESS_WO == VIRTQUEUE_WRITE,
	       "what is allowed is said with the same bits");
#define PERM(access) ((access) & (VIRTQUEUE_READ | VIRTQUEUE_WRITE))

static int map(void *owner, uint64_t address, uint64_t size, unsigned access, struct iovec *iov,
	       unsigned max_iov)
{
	const struct vdpa_space *space = space_for(owner, access & VIRTQUEUE_RING);
	uint64_t hole;
	int n;

	if (!max_iov)
		return -E2BIG;
	if (space->direct) {
		iov[0] = (struct iovec){(void *)(uintptr_t)address, size};
		return vhost_range_ok(address, size) ? 1 : -EFAULT;
	}
	n = vhost_iotlb_translate(&space->map, address, size, PERM(access), iov, max_iov, &hole);
	return n >= 0 || n == -E2BIG ? n : -EFAULT;
}

static int window(void *owner, uint64_t address, unsigned access, struct virtqueue_window *ret)
{
	const struct vdpa_space *ring = space_for(owner, true), *buffers = space_for(owner, false);
	const struct vhost_iotlb_entry *entry;

	/* A window serves both, so both must be the same. */
	if (ring != buffers)
		return -ENOENT;
	if (buffers->direct) {
		*ret = (struct virtqueue_window){.first = 0,
						 .last = USER_END - 1,
						 .memory = NULL,
						 .access = VIRTQUEUE_READ | VIRTQUEUE_WRITE |
							   VIRTQUEUE_RING};
		return 0;
	}
	entry = vhost_iotlb_find(&buffers->map, address, address);
	if (!entry || PERM(access) & ~entry->perm)
		return -ENOENT;
	*ret = (struct virtqueue_window){.first = entry->first,
					 .last = entry->last,
					 .memory = (char *)(uintptr_t)entry->address,
					 .access = PERM(entry->perm) | VIRTQUEUE_RING};
	return 0;
}

const struct virtqueue_ops vdpa_ring_ops = {
	.map = map,
	.window = window,
};
