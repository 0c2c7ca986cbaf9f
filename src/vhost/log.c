/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log: a bitmap in the client's memory, a bit for each 4 KiB of guest memory, which
 * the client reads and clears at any time and which devices share, so bits are set
 * atomically.
 *
 * Written buffers are known by where they are in the owner, and which pages of the guest that
 * is says the memory table: all of them, if the guest has the same memory twice.
 */
#include <errno.h>

#include "core/user.h"
#include "vhost/vhost.h"

#define LOG_PAGE UINT64_C(4096)
#define PIECES   64 /* that the used ring may be in */

bool vhost_log_ok(uint64_t log_base, uint64_t address, uint64_t size)
{
	uint64_t at = address / LOG_PAGE / 8;

	if (at > UINT64_MAX - log_base)
		return false;
	return vhost_range_ok(log_base + at, (size + LOG_PAGE * 8 - 1) / LOG_PAGE / 8);
}

static void mark(const struct vhost_vq *vq, uint64_t guest, uint64_t size)
{
	uint64_t first = guest / LOG_PAGE, last = (guest + size - 1) / LOG_PAGE;

	if (!size)
		return;
	for (uint64_t page = first; page <= last; page++) {
		uint8_t *byte = (uint8_t *)(uintptr_t)(vq->log_base + page / 8);

		if (user_or(byte, (uint8_t)(1u << page % 8)))
			return;
	}
}

/* The same by where it is in the owner. */
static void mark_memory(const struct vhost_vq *vq, uint64_t address, uint64_t size)
{
	const struct vhost_iotlb *memory = vq->dev->memory;
	uint64_t last = address + size - 1;

	for (unsigned i = 0; size && memory && i < memory->n; i++) {
		const struct vhost_iotlb_entry *e = &memory->entries[i];
		uint64_t e_last = e->address + (e->last - e->first);
		uint64_t from = address > e->address ? address : e->address;
		uint64_t to = last < e_last ? last : e_last;

		if (from <= to)
			mark(vq, e->first + (from - e->address), to - from + 1);
	}
}

static void log_chain(const struct vhost_vq *vq, const struct virtqueue_chain *chain)
{
	uint64_t left = chain->written;

	for (unsigned i = 0; i < chain->n_writable && left; i++) {
		const struct iovec *piece = &chain->writable[i];
		uint64_t size = piece->iov_len < left ? piece->iov_len : left;

		mark_memory(vq, (uintptr_t)piece->iov_base, size);
		left -= size;
	}
}

void vhost_log_chains(struct vhost_vq *vq, const struct virtqueue_chain *chains, unsigned n)
{
	if (!vhost_has_feature(vq->dev, VHOST_F_LOG_ALL))
		return;
	for (unsigned i = 0; i < n; i++)
		log_chain(vq, &chains[i]);
	if (n)
		line_raise(&vq->dev->log_line);
}

void vhost_log_ring(void *owner, enum virtqueue_part part, uint64_t offset, uint64_t size)
{
	struct vhost_vq *vq = owner;
	struct vhost_dev *dev = vq->dev;
	struct iovec iov[PIECES];
	uint64_t hole;
	int n;

	if (part != VIRTQUEUE_USED || !size)
		return;
	if (!dev->iotlb) {
		mark(vq, vq->log_addr + offset, size);
	} else {
		n = vhost_iotlb_translate(dev->iotlb, vq->address[VIRTQUEUE_USED] + offset, size,
					  VHOST_ACCESS_WO, iov, PIECES, &hole);
		for (int i = 0; i < n; i++)
			mark_memory(vq, (uintptr_t)iov[i].iov_base, iov[i].iov_len);
	}
	/* The elements are told of with the index that follows them. */
	if (offset < 4 || offset - 4 >= (uint64_t)vq->num * 8)
		line_raise(&dev->log_line);
}

static long set_log_base(struct vhost_dev *dev, unsigned long arg)
{
	uint64_t base;
	long ret;

	ret = vhost_check_owner(dev);
	if (ret)
		return ret;
	if (copy_from_user(&base, (const void *)arg, sizeof(base)))
		return -EFAULT;
	/* A ring that can't be logged there keeps what it has, and the others change. */
	for (unsigned i = 0; i < dev->n_vqs; i++) {
		struct vhost_vq *vq = &dev->vqs[i];
		uint64_t old = vq->log_base;

		vq->log_base = base;
		if (vq->active && !vhost_vq_log_ok(vq)) {
			vq->log_base = old;
			ret = -EFAULT;
		}
	}
	return ret;
}

VHOST_HANDLER(vhost_ioctl_set_log_base)
{
	struct vhost_dev *dev = f->priv;
	long ret;

	vhost_lock(dev);
	ret = set_log_base(dev, call->arg);
	vhost_unlock(dev);
	vhost_settle(dev);
	return ret;
}
