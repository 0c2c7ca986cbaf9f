/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory table, which of the guest's physical addresses are where in the owner, and how
 * the ring engine finds things: by that table, or by the IOTLB if there is one, which then has
 * the addresses of rings too.  Whether there is memory is seen when it is used.
 */
#include <errno.h>

#include "core/user.h"
#include "vhost/vhost.h"

/* The end of what a process can have: TASK_SIZE of 47 bits of address. */
#define USER_END UINT64_C(0x7ffffffff000)

bool vhost_range_ok(uint64_t address, uint64_t size)
{
	return address <= USER_END && size <= USER_END - address;
}

bool vhost_memory_ok(const struct vhost_iotlb *memory, uint64_t log_base, bool log_all)
{
	if (!memory)
		return false;
	for (unsigned i = 0; i < memory->n; i++) {
		const struct vhost_iotlb_entry *e = &memory->entries[i];
		uint64_t size = e->last - e->first + 1;

		if (!vhost_range_ok(e->address, size) ||
		    (log_all && !vhost_log_ok(log_base, e->first, size)))
			return false;
	}
	return true;
}

static long fill(struct vhost_iotlb *memory, unsigned n, const struct vhost_memory_region *from)
{
	struct vhost_memory_region r;

	for (unsigned i = 0; i < n; i++) {
		if (copy_from_user(&r, from + i, sizeof(r)))
			return -EFAULT;
		if (vhost_iotlb_add(memory, r.guest_phys_addr,
				    r.guest_phys_addr + r.memory_size - 1, r.userspace_addr,
				    VHOST_ACCESS_RW))
			return -EFAULT;
	}
	return 0;
}

static long set_mem_table(struct vhost_dev *dev, unsigned long arg)
{
	const struct vhost_memory *from = (const void *)arg;
	bool all = vhost_has_feature(dev, VHOST_F_LOG_ALL);
	struct vhost_iotlb *memory;
	struct vhost_memory head;
	long ret;

	ret = vhost_check_owner(dev);
	if (ret)
		return ret;
	if (copy_from_user(&head, from, sizeof(head)))
		return -EFAULT;
	if (head.padding)
		return -EOPNOTSUPP;
	if (head.nregions > VHOST_MAX_REGIONS)
		return -E2BIG;
	memory = vhost_iotlb_create();
	if (!memory)
		return -ENOMEM;
	ret = fill(memory, head.nregions, from->regions);
	for (unsigned i = 0; i < dev->n_vqs && !ret; i++)
		if (dev->vqs[i].active && !vhost_memory_ok(memory, dev->vqs[i].log_base, all))
			ret = -EFAULT;
	if (ret) {
		vhost_iotlb_destroy(memory);
		return ret;
	}
	vhost_iotlb_destroy(dev->memory);
	dev->memory = memory;
	for (unsigned i = 0; i < dev->n_vqs; i++)
		vhost_vq_forget(&dev->vqs[i]);
	return 0;
}

VHOST_HANDLER(vhost_ioctl_set_mem_table)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	vhost_lock(dev);
	ret = set_mem_table(dev, call->arg);
	vhost_unlock(dev);
	vhost_settle(dev);
	return ret;
}

/* ---- what the ring engine asks ---- */

static int map(void *owner, uint64_t address, uint64_t size, unsigned access, struct iovec *iov,
	       unsigned max_iov)
{
	uint32_t perm = access & VIRTQUEUE_WRITE ? VHOST_ACCESS_WO : VHOST_ACCESS_RO;
	struct vhost_vq *vq = owner;
	const struct vhost_dev *dev = vq->dev;
	uint64_t hole;
	int n;

	if (access & VIRTQUEUE_RING && !dev->iotlb) {
		if (!max_iov)
			return -E2BIG;
		iov[0] = (struct iovec){(void *)(uintptr_t)address, size};
		return vhost_range_ok(address, size) ? 1 : -EFAULT;
	}
	if (!dev->iotlb) {
		n = dev->memory ? vhost_iotlb_translate(dev->memory, address, size, perm, iov,
							max_iov, &hole)
				: -EFAULT;
		return n == -EAGAIN ? -EFAULT : n;
	}
	n = vhost_iotlb_translate(dev->iotlb, address, size, perm, iov, max_iov, &hole);
	if (n == -EAGAIN)
		vhost_miss(vq, hole, perm);
	return n;
}

static int window(void *owner, uint64_t address, unsigned access,
		  struct virtqueue_window *ret_window)
{
	const struct vhost_vq *vq = owner;
	const struct vhost_dev *dev = vq->dev;
	const struct vhost_iotlb *t = dev->iotlb ? dev->iotlb : dev->memory;
	const struct vhost_iotlb_entry *e;
	uint64_t first, last;
	unsigned good;

	if (!t || (access & VIRTQUEUE_RING && !dev->iotlb))
		return -ENOENT;
	e = vhost_iotlb_window(t, address, &first, &last);
	if (!e)
		return -ENOENT;
	good = (e->perm & VHOST_ACCESS_RO ? VIRTQUEUE_READ : 0) |
	       (e->perm & VHOST_ACCESS_WO ? VIRTQUEUE_WRITE : 0) |
	       (dev->iotlb ? VIRTQUEUE_RING : 0);
	if (access & ~good)
		return -EPERM;
	*ret_window = (struct virtqueue_window){
		.first = first,
		.last = last,
		.memory = (char *)(uintptr_t)(e->address + (first - e->first)),
		.access = good,
	};
	return 0;
}

const struct virtqueue_ops vhost_ring_ops = {
	.map = map,
	.window = window,
	.log_ring = vhost_log_ring,
};
