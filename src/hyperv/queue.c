/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A packet is written and then published by its end's position.  Who waits stores the position it
 * waits for and then loads the other's; who moves its position stores that and then loads
 * what the other one waits for.  So at least one of them sees what the other has done.
 */
#include "hyperv/queue.h"

#include <errno.h>
#include <string.h>

#define STEP  8u /* positions are multiples of it */
#define WAITS 1u

_Static_assert(sizeof(struct hyperv_frame) % 8 == 0, "positions stay multiples of 8");
_Static_assert(offsetof(struct hyperv_queue, taken) == 64 &&
		       offsetof(struct hyperv_queue, data) == 128,
	       "each side has a cache line of its own");

/* ---- calls ---- */

/* Says that `own` position is waited for; whether `other` has not come there yet. */
static bool await(_Atomic uint32_t *waits, const _Atomic uint32_t *other, uint32_t position)
{
	atomic_store(waits, position | WAITS);
	return (int32_t)(atomic_load(other) - position) < 0;
}

/* Whether `position`, where one side is now, is what the other one waits for. */
static bool call(_Atomic uint32_t *waits, uint32_t position)
{
	uint32_t for_what = atomic_load(waits);

	return for_what & WAITS && (int32_t)(position - (for_what & ~WAITS)) >= 0 &&
	       atomic_compare_exchange_strong(waits, &for_what, 0);
}

bool hyperv_queue_call_receiver(struct hyperv_queue *q)
{
	return call(&q->receiver, atomic_load(&q->written));
}

bool hyperv_queue_call_sender(struct hyperv_queue *q)
{
	return call(&q->sender, atomic_load(&q->taken));
}

bool hyperv_queue_await_room(struct hyperv_queue *q, uint32_t size)
{
	return await(&q->sender, &q->taken,
		     atomic_load(&q->written) + hyperv_queue_bytes(size) - HYPERV_QUEUE_SIZE);
}

bool hyperv_queue_await(struct hyperv_queue *q)
{
	return await(&q->receiver, &q->written, atomic_load(&q->taken) + STEP);
}

/* ---- packets ---- */

static void copy_in(struct hyperv_queue *q, uint32_t position, const void *from, size_t size)
{
	size_t at = position % HYPERV_QUEUE_SIZE, left = HYPERV_QUEUE_SIZE - at;
	size_t part = size < left ? size : left;

	memcpy(q->data + at, from, part);
	memcpy(q->data, (const uint8_t *)from + part, size - part);
}

static void copy_out(const struct hyperv_queue *q, uint32_t position, void *to, size_t size)
{
	size_t at = position % HYPERV_QUEUE_SIZE, left = HYPERV_QUEUE_SIZE - at;
	size_t part = size < left ? size : left;

	memcpy(to, q->data + at, part);
	memcpy((uint8_t *)to + part, q->data, size - part);
}

int hyperv_queue_put(struct hyperv_queue *q, const struct hyperv_frame *frame, const void *packet)
{
	uint32_t at = atomic_load(&q->written), used = at - atomic_load(&q->taken);
	uint32_t bytes = hyperv_queue_bytes(frame->size);

	if (used > HYPERV_QUEUE_SIZE)
		return -EPROTO;
	if (HYPERV_QUEUE_SIZE - used < bytes)
		return -EAGAIN;
	copy_in(q, at, frame, sizeof(*frame));
	copy_in(q, at + (uint32_t)sizeof(*frame), packet, frame->size);
	atomic_store(&q->written, at + bytes);
	return 0;
}

int hyperv_queue_take(struct hyperv_queue *q, struct hyperv_frame *ret_frame, void *packet)
{
	uint32_t at = atomic_load(&q->taken), used = atomic_load(&q->written) - at;
	struct hyperv_frame frame;

	if (used == 0)
		return 0;
	if (used > HYPERV_QUEUE_SIZE || used < sizeof(frame))
		return -EPROTO;
	copy_out(q, at, &frame, sizeof(frame));
	if (frame.size == 0 || frame.size > HYPERV_PACKET_MAX ||
	    hyperv_queue_bytes(frame.size) > used)
		return -EPROTO;
	copy_out(q, at + (uint32_t)sizeof(frame), packet, frame.size);
	atomic_store(&q->taken, at + hyperv_queue_bytes(frame.size));
	*ret_frame = frame;
	return 1;
}
