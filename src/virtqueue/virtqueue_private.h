/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtqueue/virtqueue_private.h - between the engine's files.
 *
 *	virtqueue.c  set-up, errors, access to the ring's parts, dispatch by format
 *	chain.c      descriptors into iovecs, indirect tables
 *	split.c      the split ring
 *	packed.c     the packed ring
 *
 * Functions here return 0 (or a count), -EAGAIN, or the negative errno that says why the
 * ring is broken, with vq->reason set; the public functions turn the latter into -EIO.
 */
#ifndef STANDIN_VIRTQUEUE_PRIVATE_H
#define STANDIN_VIRTQUEUE_PRIVATE_H

#include <stdatomic.h>

#include "virtqueue/virtqueue.h"

/* 2.7.5 and 2.8.13: the same size and flags, another order. */
struct split_desc {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

struct packed_desc {
	uint64_t address;
	uint32_t length;
	uint16_t id;
	uint16_t flags;
};

#define DESC_SIZE       16u
#define DESC_F_NEXT     1u
#define DESC_F_WRITE    2u
#define DESC_F_INDIRECT 4u
#define DESC_F_AVAIL    (1u << 7)  /* packed */
#define DESC_F_USED     (1u << 15) /* packed */

/* Longest indirect table, in descriptors: vhost's limit. */
#define INDIRECT_MAX 65536u

/* Sets the reason and returns `error`. */
int virtqueue_bad(struct virtqueue *vq, int error, const char *reason);

/* Copies between here and a ring part; the place is inside it. */
int virtqueue_ring_read(struct virtqueue *vq, enum virtqueue_part part, uint64_t offset,
			void *buffer, size_t size);
/* Also logs. */
int virtqueue_ring_write(struct virtqueue *vq, enum virtqueue_part part, uint64_t offset,
			 const void *buffer, size_t size);
/* Where a ring part is, if it is in one piece, for copy_guarded_many(); NULL: it is not. */
char *virtqueue_ring_flat(struct virtqueue *vq, enum virtqueue_part part);
/* Asks for a window around an address, and takes it into the list.  NULL: there is none. */
const struct virtqueue_window *virtqueue_window_add(struct virtqueue *vq, uint64_t address,
						    uint64_t size, unsigned access);
/* Copies from memory that a descriptor named. */
int virtqueue_guest_read(struct virtqueue *vq, uint64_t address, void *buffer, size_t size);

static inline bool window_covers(const struct virtqueue_window *w, uint64_t address, uint64_t size,
				 unsigned access)
{
	return address >= w->first && address <= w->last && size - 1 <= w->last - address &&
	       (w->access & access) == access;
}

/* Where [address, address+size) is (size > 0), or NULL: in no window. */
static inline char *virtqueue_in_window(struct virtqueue *vq, uint64_t address, uint64_t size,
					unsigned access)
{
	const struct virtqueue_window *w = NULL;

	for (unsigned i = 0; i < vq->n_windows && !w; i++)
		if (window_covers(&vq->window[i], address, size, access))
			w = &vq->window[i];
	if (!w)
		w = virtqueue_window_add(vq, address, size, access);
	/* As numbers: a window of all of this process's memory begins at 0. */
	return w ? (char *)((uintptr_t)w->memory + (address - w->first)) : NULL;
}

/* ---- chain.c ---- */

/* Begins a chain at the pool's free end. */
void chain_begin(struct virtqueue_chain *chain, struct virtqueue_pool *pool, uint16_t position);
/* One descriptor that names a buffer.  -E2BIG: the pool is full. */
int chain_add(struct virtqueue *vq, struct virtqueue_chain *chain, struct virtqueue_pool *pool,
	      uint64_t address, uint32_t length, bool write);
/* One descriptor that names an indirect table. */
int chain_add_indirect(struct virtqueue *vq, struct virtqueue_chain *chain,
		       struct virtqueue_pool *pool, uint64_t address, uint32_t length);
/*
 * The usual chain, begun and ended in one: a single buffer, found in a window.  False: it is not
 * that simple, and nothing has been taken.
 */
static inline bool chain_single(struct virtqueue *vq, struct virtqueue_chain *chain,
				struct virtqueue_pool *pool, uint16_t position, uint64_t address,
				uint32_t length, bool write)
{
	struct iovec *iov = pool->iov + pool->n_iov;
	struct virtqueue_range *range = NULL;
	char *place;

	if (pool->n_iov == pool->max_iov || length == 0 || (!pool->transient && vq->ops->unmap) ||
	    (pool->ranges && pool->n_ranges == pool->max_ranges))
		return false;
	place = virtqueue_in_window(vq, address, length, write ? VIRTQUEUE_WRITE : VIRTQUEUE_READ);
	if (!place)
		return false;
	__builtin_prefetch(place);
	*iov = (struct iovec){place, length};
	pool->n_iov++;
	if (pool->ranges && vq->ops->log_buffer) {
		range = &pool->ranges[pool->n_ranges++];
		*range = (struct virtqueue_range){address, length, write, false};
	}
	*chain = (struct virtqueue_chain){
		.readable = iov,
		.writable = iov + !write,
		.n_readable = !write,
		.n_writable = write,
		.readable_size = write ? 0 : length,
		.writable_size = write ? length : 0,
		.ranges = range,
		.n_ranges = range != NULL,
		.descriptors = 1,
		.position = position,
	};
	return true;
}
/* Gives back what the chain took so far: from the memory map, and of the pool. */
void chain_abandon(struct virtqueue *vq, struct virtqueue_chain *chain,
		   struct virtqueue_pool *pool);
void chain_unmap(struct virtqueue *vq, const struct virtqueue_chain *chain);
void chain_log(struct virtqueue *vq, const struct virtqueue_chain *chain);

/* ---- split.c, packed.c: what the public functions of like names do ---- */

int split_start(struct virtqueue *vq, bool take_used);
int split_fetch(struct virtqueue *vq, struct virtqueue_chain *chains, unsigned max,
		struct virtqueue_pool *pool);
int split_used(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n);
int split_should_signal(struct virtqueue *vq);
int split_kicks(struct virtqueue *vq, bool wanted);
int split_pending(struct virtqueue *vq);

int packed_fetch(struct virtqueue *vq, struct virtqueue_chain *chains, unsigned max,
		 struct virtqueue_pool *pool);
int packed_used(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n);
int packed_should_signal(struct virtqueue *vq);
int packed_kicks(struct virtqueue *vq, bool wanted);
int packed_pending(struct virtqueue *vq);

/* Whether going from `old` to `now` passed `event`: 2.7.10, by the name of the kernel's
 * virtio_ring.h. */
static inline bool vring_need_event(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

#endif
