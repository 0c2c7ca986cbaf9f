/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From descriptors to iovecs: the same for both formats, whose indirect tables have the same
 * layout but for how entries follow each other (split: by `next`; packed: in order).
 *
 * Since all readable buffers of a chain come before all writable ones (2.7.4.2), both kinds
 * are runs of the pool.
 */
#include "virtqueue/virtqueue_private.h"

#include <errno.h>

/* Indirect descriptors read at once. */
#define AHEAD 16u

void chain_begin(struct virtqueue_chain *chain, struct virtqueue_pool *pool, uint16_t position)
{
	*chain = (struct virtqueue_chain){
		.readable = pool->iov + pool->n_iov,
		.writable = pool->iov + pool->n_iov,
		.ranges = pool->ranges ? pool->ranges + pool->n_ranges : NULL,
		.position = position,
	};
}

int chain_add(struct virtqueue *vq, struct virtqueue_chain *chain, struct virtqueue_pool *pool,
	      uint64_t address, uint32_t length, bool write)
{
	unsigned access = write ? VIRTQUEUE_WRITE : VIRTQUEUE_READ;
	bool windows = pool->transient || !vq->ops->unmap;
	char *place;
	int n;

	if (!write && chain->n_writable)
		return virtqueue_bad(vq, -EINVAL, "a readable buffer after a writable one");
	if (length == 0)
		return 0;
	if (address + length - 1 < address)
		return virtqueue_bad(vq, -EINVAL, "a buffer's address wraps");
	if (pool->ranges && pool->n_ranges == pool->max_ranges)
		return virtqueue_bad(vq, -E2BIG, "a chain of too many descriptors");
	place = windows && pool->n_iov < pool->max_iov
			? virtqueue_in_window(vq, address, length, access)
			: NULL;
	if (place) {
		pool->iov[pool->n_iov] = (struct iovec){place, length};
		n = 1;
	} else {
		n = vq->ops->map(vq->owner, address, length, access, pool->iov + pool->n_iov,
				 pool->max_iov - pool->n_iov);
	}
	if (n == -E2BIG)
		return virtqueue_bad(vq, -E2BIG, "a chain of too many pieces");
	if (n < 0)
		return n == -EAGAIN ? n : virtqueue_bad(vq, -EFAULT, "a buffer is not mapped");
	pool->n_iov += (unsigned)n;
	if (pool->ranges && (!place || vq->ops->log_buffer)) {
		pool->ranges[pool->n_ranges++] = (struct virtqueue_range){
			.address = address, .size = length, .write = write, .mapped = !place};
		chain->n_ranges++;
	}
	if (write) {
		chain->n_writable += (unsigned)n;
		chain->writable_size += length;
	} else {
		chain->n_readable += (unsigned)n;
		chain->readable_size += length;
		chain->writable += n;
	}
	return 0;
}

int chain_add_indirect(struct virtqueue *vq, struct virtqueue_chain *chain,
		       struct virtqueue_pool *pool, uint64_t address, uint32_t length)
{
	struct split_desc table[AHEAD];
	uint32_t count = length / DESC_SIZE, first = 0, ahead = 0, at = 0;

	if (length == 0 || length % DESC_SIZE || count > INDIRECT_MAX)
		return virtqueue_bad(vq, -EINVAL, "an indirect table of impossible length");
	if (address + length - 1 < address)
		return virtqueue_bad(vq, -EINVAL, "an indirect table's address wraps");
	for (uint32_t found = 0; found < count; found++) {
		const struct split_desc *desc;
		int result;

		if (at - first >= ahead) {
			first = at;
			ahead = count - at < AHEAD ? count - at : AHEAD;
			result = virtqueue_guest_read(vq, address + (uint64_t)at * DESC_SIZE, table,
						      ahead * DESC_SIZE);
			if (result < 0)
				return result;
		}
		desc = &table[at - first];
		/* Packed entries have the flags where split ones have `next`. */
		unsigned flags =
			vq->packed ? ((const struct packed_desc *)desc)->flags : desc->flags;

		if (flags & DESC_F_INDIRECT)
			return virtqueue_bad(vq, -EINVAL, "an indirect table in an indirect table");
		result = chain_add(vq, chain, pool, desc->address, desc->length,
				   flags & DESC_F_WRITE);
		if (result < 0)
			return result;
		if (vq->packed) {
			at++;
			continue;
		}
		if (!(flags & DESC_F_NEXT))
			return 0;
		at = desc->next;
		if (at >= count)
			return virtqueue_bad(vq, -EINVAL,
					     "an indirect descriptor out of its table");
	}
	return vq->packed ? 0 : virtqueue_bad(vq, -EINVAL, "a loop of indirect descriptors");
}

void chain_unmap(struct virtqueue *vq, const struct virtqueue_chain *chain)
{
	if (!vq->ops->unmap)
		return;
	for (unsigned i = 0; i < chain->n_ranges; i++)
		if (chain->ranges[i].mapped)
			vq->ops->unmap(vq->owner, chain->ranges[i].address, chain->ranges[i].size,
				       chain->ranges[i].write ? VIRTQUEUE_WRITE : VIRTQUEUE_READ);
}

void chain_abandon(struct virtqueue *vq, struct virtqueue_chain *chain, struct virtqueue_pool *pool)
{
	chain_unmap(vq, chain);
	pool->n_iov -= chain->n_readable + chain->n_writable;
	pool->n_ranges -= chain->n_ranges;
}

void chain_log(struct virtqueue *vq, const struct virtqueue_chain *chain)
{
	uint64_t left = chain->written;

	for (unsigned i = 0; i < chain->n_ranges && left; i++) {
		const struct virtqueue_range *range = &chain->ranges[i];
		uint64_t size = range->size < left ? range->size : left;

		if (!range->write)
			continue;
		vq->ops->log_buffer(vq->owner, range->address, size);
		left -= size;
	}
}
