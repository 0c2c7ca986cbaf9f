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
/* Copies from memory that a descriptor named. */
int virtqueue_guest_read(struct virtqueue *vq, uint64_t address, void *buffer, size_t size);

/* ---- chain.c ---- */

/* Begins a chain at the pool's free end. */
void chain_begin(struct virtqueue_chain *chain, struct virtqueue_pool *pool, uint16_t position);
/* One descriptor that names a buffer.  -E2BIG: the pool is full. */
int chain_add(struct virtqueue *vq, struct virtqueue_chain *chain, struct virtqueue_pool *pool,
	      uint64_t address, uint32_t length, bool write);
/* One descriptor that names an indirect table. */
int chain_add_indirect(struct virtqueue *vq, struct virtqueue_chain *chain,
		       struct virtqueue_pool *pool, uint64_t address, uint32_t length);
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
