/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory table: which of the guest's physical addresses are where in the owner.
 *
 * Regions are kept by their first address.  They may overlap, as in the kernel, and then the
 * one that begins first counts.  Whether there is memory is seen when it is used.
 *
 * The dirty log is a bitmap in the client's memory, which the client reads and clears at
 * any time and which devices share, so bits are set atomically.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/user.h"
#include "vhost/vhost.h"

/* The end of what a process can have: TASK_SIZE of 47 bits of address. */
#define USER_END UINT64_C(0x7ffffffff000)
#define LOG_PAGE UINT64_C(4096)

bool vhost_range_ok(uint64_t address, uint64_t size)
{
	return address <= USER_END && size <= USER_END - address;
}

bool vhost_log_ok(uint64_t log_base, uint64_t address, uint64_t size)
{
	uint64_t at = address / LOG_PAGE / 8;

	if (at > UINT64_MAX - log_base)
		return false;
	return vhost_range_ok(log_base + at, (size + LOG_PAGE * 8 - 1) / LOG_PAGE / 8);
}

bool vhost_memory_ok(const struct vhost_memory_map *memory, uint64_t log_base, bool log_all)
{
	if (!memory)
		return false;
	for (unsigned i = 0; i < memory->n; i++) {
		const struct vhost_region *r = &memory->region[i];
		uint64_t size = r->last - r->first + 1;

		if (!vhost_range_ok(r->address, size ? size : UINT64_MAX) ||
		    (log_all && !vhost_log_ok(log_base, r->first, size)))
			return false;
	}
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct vhost_region *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static long fill(struct vhost_memory_map *map, unsigned n, const struct vhost_memory_region *from)
{
	struct vhost_memory_region r;

	for (map->n = 0; map->n < n; map->n++) {
		struct vhost_region *to = &map->region[map->n];

		if (copy_from_user(&r, from + map->n, sizeof(r)))
			return -EFAULT;
		to->first = r.guest_phys_addr;
		to->last = r.guest_phys_addr + r.memory_size - 1;
		to->address = r.userspace_addr;
		if (to->last < to->first)
			return -EFAULT;
	}
	qsort(map->region, n, sizeof(map->region[0]), compare);
	return 0;
}

static long set_mem_table(struct vhost_dev *dev, unsigned long arg)
{
	const struct vhost_memory *from = (const void *)arg;
	struct vhost_memory_map *map;
	struct vhost_memory head;
	bool all = vhost_has_feature(dev, VHOST_F_LOG_ALL);
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
	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	ret = fill(map, head.nregions, from->regions);
	for (unsigned i = 0; i < dev->n_vqs && !ret; i++)
		if (dev->vqs[i].active && !vhost_memory_ok(map, dev->log_base, all))
			ret = -EFAULT;
	if (ret) {
		free(map);
		return ret;
	}
	free(dev->memory);
	dev->memory = map;
	for (unsigned i = 0; i < dev->n_vqs; i++)
		if (dev->vqs[i].active)
			virtqueue_release(&dev->vqs[i].ring);
	return 0;
}

VHOST_HANDLER(vhost_ioctl_set_mem_table)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	vhost_lock(dev);
	ret = set_mem_table(dev, call->arg);
	vhost_unlock(dev);
	return ret;
}

/* ---- what the ring engine asks ---- */

static const struct vhost_region *find(const struct vhost_memory_map *m, uint64_t address)
{
	for (unsigned i = 0; m && i < m->n && m->region[i].first <= address; i++)
		if (address <= m->region[i].last)
			return &m->region[i];
	return NULL;
}

static int map(void *owner, uint64_t address, uint64_t size, unsigned access, struct iovec *iov,
	       unsigned max_iov)
{
	const struct vhost_vq *vq = owner;
	const struct vhost_region *r;
	uint64_t part;
	unsigned n;

	if (access & VIRTQUEUE_RING) {
		if (!max_iov)
			return -E2BIG;
		iov[0] = (struct iovec){(void *)(uintptr_t)address, size};
		return vhost_range_ok(address, size) ? 1 : -EFAULT;
	}
	for (n = 0; size; n++) {
		r = find(vq->dev->memory, address);
		if (!r)
			return -EFAULT;
		if (n == max_iov)
			return -E2BIG;
		part = r->last - address < size - 1 ? r->last - address + 1 : size;
		iov[n].iov_base = (void *)(uintptr_t)(r->address + (address - r->first));
		iov[n].iov_len = part;
		address += part;
		size -= part;
	}
	return (int)n;
}

static void log_pages(struct vhost_dev *dev, uint64_t address, uint64_t size)
{
	uint64_t first = address / LOG_PAGE, last = (address + size - 1) / LOG_PAGE;

	for (uint64_t page = first; page <= last; page++) {
		uint8_t *byte = (uint8_t *)(uintptr_t)(dev->log_base + page / 8);

		if (user_touch(byte, 1, true))
			return;
		__atomic_fetch_or(byte, (uint8_t)(1u << page % 8), __ATOMIC_RELEASE);
	}
	line_raise(&dev->log_line);
}

static void log_ring(void *owner, enum virtqueue_part part, uint64_t offset, uint64_t size)
{
	struct vhost_vq *vq = owner;

	if (part == VIRTQUEUE_USED && size)
		log_pages(vq->dev, vq->log_addr + offset, size);
}

const struct virtqueue_ops vhost_ring_ops = {
	.map = map,
	.log_ring = log_ring,
};
