/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend/net_ring.h - packets on their way from one thread to another.
 *
 * A ring of bytes in which each packet is a record: its header and size, then its bytes, so
 * that short and long packets share the memory and each is in one piece.  A record that
 * would go over the ring's end begins at its start instead, and a mark is left where it
 * would have been.  Positions count on and on; their low bits are the place.
 *
 * The thread that puts packets in publishes them by the batch: one store that the other
 * thread waits for.  When the ring is found empty, it begins at the start again, so that
 * while the receiver keeps up only the first few KiB of it are ever used, which stay in the
 * nearest cache.
 *
 * Nobody sleeps unnoticed: who found the ring empty (full) looks once more after a barrier,
 * and who ends that state looks after a barrier of its own whether the other had come to
 * the end.
 */
#ifndef STANDIN_BACKEND_NET_RING_H
#define STANDIN_BACKEND_NET_RING_H

#include <stdalign.h>

#include "backend/net_private.h"

#define NET_RING_SIZE   (512u << 10) /* bytes; a power of two */
#define NET_RING_REWIND (16u << 10)
#define NET_RING_MARK   UINT32_MAX

struct net_record {
	struct virtio_net_hdr header;
	uint32_t size; /* bytes that follow, or NET_RING_MARK */
};

struct net_ring {
	uint8_t *memory;
	/* The sender's. */
	alignas(CACHE_LINE) uint64_t next; /* where the next record goes */
	uint64_t reserved;  /* where the reserved one is: `next` or the ring's start */
	uint64_t published; /* the same as tail */
	uint64_t seen_head;
	/* Shared. */
	alignas(CACHE_LINE) _Atomic uint64_t tail; /* published up to here */
	alignas(CACHE_LINE) _Atomic uint64_t head; /* received up to here */
	_Atomic bool starved;                      /* the sender waits for room */
};

/* 0 or -ENOMEM. */
int net_ring_init(struct net_ring *r);
void net_ring_finish(struct net_ring *r);

static inline struct net_record *net_ring_at(const struct net_ring *r, uint64_t position)
{
	return (struct net_record *)(r->memory + (position & (NET_RING_SIZE - 1)));
}

/* What a packet of `size` bytes takes. */
static inline uint64_t net_ring_record(uint32_t size)
{
	return (sizeof(struct net_record) + size + 15) & ~UINT64_C(15);
}

static inline bool net_ring_fits(const struct net_ring *r, uint64_t end)
{
	return end - r->seen_head <= NET_RING_SIZE;
}

/*
 * Room for a packet of at most NET_FRAME_MAX bytes, or NULL: there is none now, and
 * net_ring_consume() will say when there is.
 */
static inline uint8_t *net_ring_reserve(struct net_ring *r, uint32_t size)
{
	uint64_t place = r->next & (NET_RING_SIZE - 1), room = net_ring_record(size), end;

	r->reserved = r->next;
	if (place + room > NET_RING_SIZE ||
	    (place >= NET_RING_REWIND && r->next == r->published && room <= place &&
	     atomic_load_explicit(&r->head, memory_order_acquire) == r->next))
		r->reserved = r->next + (NET_RING_SIZE - place);
	end = r->reserved + room;
	if (!net_ring_fits(r, end)) {
		r->seen_head = atomic_load_explicit(&r->head, memory_order_acquire);
		if (!net_ring_fits(r, end)) {
			atomic_store_explicit(&r->starved, true, memory_order_relaxed);
			atomic_thread_fence(memory_order_seq_cst);
			r->seen_head = atomic_load_explicit(&r->head, memory_order_acquire);
			if (!net_ring_fits(r, end))
				return NULL;
		}
	}
	return (uint8_t *)(net_ring_at(r, r->reserved) + 1);
}

/* The packet that was reserved is complete. */
static inline void net_ring_commit(struct net_ring *r, const struct virtio_net_hdr *header,
				   uint32_t size)
{
	struct net_record *record = net_ring_at(r, r->reserved);

	if (r->reserved != r->next)
		net_ring_at(r, r->next)->size = NET_RING_MARK;
	record->header = *header;
	record->size = size;
	r->next = r->reserved + net_ring_record(size);
}

/* Lets the receiver have what was committed.  True: it is to be told. */
static inline bool net_ring_publish(struct net_ring *r)
{
	uint64_t before = r->published;

	if (before == r->next)
		return false;
	r->published = r->next;
	atomic_store_explicit(&r->tail, r->next, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&r->head, memory_order_relaxed) == before;
}

static inline unsigned net_ring_peek(struct net_ring *r, struct net_arrival *arrivals, unsigned n)
{
	uint64_t at = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	unsigned found = 0;

	if (at == tail) {
		atomic_thread_fence(memory_order_seq_cst);
		tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	}
	while (found < n && at != tail) {
		const struct net_record *record = net_ring_at(r, at);

		if (record->size == NET_RING_MARK) {
			at = (at | (NET_RING_SIZE - 1)) + 1;
			continue;
		}
		arrivals[found++] = (struct net_arrival){.header = record->header,
							 .data = (const uint8_t *)(record + 1),
							 .size = record->size};
		at += net_ring_record(record->size);
	}
	return found;
}

/* Adds the bytes that were taken to *bytes.  True: the sender waits for room. */
static inline bool net_ring_consume(struct net_ring *r, unsigned n, uint64_t *bytes)
{
	uint64_t at = atomic_load_explicit(&r->head, memory_order_relaxed);

	while (n) {
		const struct net_record *record = net_ring_at(r, at);

		if (record->size == NET_RING_MARK) {
			at = (at | (NET_RING_SIZE - 1)) + 1;
			continue;
		}
		*bytes += record->size;
		at += net_ring_record(record->size);
		n--;
	}
	atomic_store_explicit(&r->head, at, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&r->starved, memory_order_relaxed) &&
	       atomic_exchange_explicit(&r->starved, false, memory_order_relaxed);
}

#endif
