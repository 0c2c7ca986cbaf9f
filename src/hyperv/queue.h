/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hyperv/queue.h - a ring of packets in memory that two processes have.
 *
 * One of them sends and the other receives.  Positions count bytes since the beginning, modulo
 * 2^32, and are multiples of 8.  Who has to wait says from which position on it wants to be
 * called, and looks once more before it sleeps; the other one looks whether it is to call
 * after each packet.  How to call is not the ring's business.
 *
 * All that is in the memory may be changed by the other process at any time: nothing that it
 * can write leads a function here out of the ring or out of the buffers it was given.
 */
#ifndef STANDIN_HYPERV_QUEUE_H
#define STANDIN_HYPERV_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hyperv/frame.h"

/* A power of two; forty pieces of a file have room. */
#define HYPERV_QUEUE_SIZE 262144u

struct hyperv_queue {
	_Atomic uint32_t written; /* the sender's position */
	_Atomic uint32_t sender;  /* the position of the other that it waits for, plus 1; 0: none */
	uint8_t reserved1[56];
	_Atomic uint32_t taken;    /* the receiver's position */
	_Atomic uint32_t receiver; /* likewise */
	uint8_t reserved2[56];
	uint8_t data[HYPERV_QUEUE_SIZE];
};

struct hyperv_rings {
	struct hyperv_queue requests, responses;
};

/* What a packet of `size` bytes takes up. */
static inline uint32_t hyperv_queue_bytes(uint32_t size)
{
	return (uint32_t)sizeof(struct hyperv_frame) + ((size + 7) & ~7u);
}

/* ---- the sender's ---- */

/* 0, -EAGAIN: there is no room, or -EPROTO: the receiver is where it can't be. */
int hyperv_queue_put(struct hyperv_queue *q, const struct hyperv_frame *frame, const void *packet);
/* Whether the receiver is to be called, who is then called only once. */
bool hyperv_queue_call_receiver(struct hyperv_queue *q);
/* From now on it wants to be called when a packet of `size` has room.  False: it has. */
bool hyperv_queue_await_room(struct hyperv_queue *q, uint32_t size);

/* ---- the receiver's ---- */

static inline bool hyperv_queue_is_empty(const struct hyperv_queue *q)
{
	return atomic_load(&q->written) == atomic_load(&q->taken);
}

/*
 * The next packet, to a buffer of HYPERV_PACKET_MAX bytes: 1, 0: there is none, or -EPROTO: there
 * is what can't be.
 */
int hyperv_queue_take(struct hyperv_queue *q, struct hyperv_frame *ret_frame, void *packet);
bool hyperv_queue_call_sender(struct hyperv_queue *q);
/* From now on it wants to be called when there is a packet.  False: there is. */
bool hyperv_queue_await(struct hyperv_queue *q);
/* No more, or not yet. */
static inline void hyperv_queue_await_nothing(struct hyperv_queue *q)
{
	atomic_store_explicit(&q->receiver, 0, memory_order_relaxed);
}

#endif
