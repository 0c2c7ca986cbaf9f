/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packed ring (2.8).
 *
 * A slot's flags are read before the rest of it and, of a batch's first used slot, written
 * after everything else: they are what either side waits for.
 */
#include "virtqueue/virtqueue_private.h"

#include <errno.h>

/* 2.8.10: flags of an event suppression structure. */
#define EVENT_ENABLE  0u
#define EVENT_DISABLE 1u
#define EVENT_DESC    2u

#define FLAGS_OFFSET 14u /* in a descriptor */

struct event {
	uint16_t slot_wrap; /* the wrap counter in bit 15 */
	uint16_t flags;
};

static uint16_t join(uint16_t slot, bool wrap)
{
	return (uint16_t)(slot | (wrap ? 1u << 15 : 0));
}

static void advance(const struct virtqueue *vq, uint16_t *slot, bool *wrap, uint32_t by)
{
	uint32_t at = *slot + by;

	if (at >= vq->num) {
		at -= vq->num;
		*wrap = !*wrap;
	}
	*slot = (uint16_t)at;
}

int packed_pending(struct virtqueue *vq)
{
	uint16_t flags;
	int result = virtqueue_ring_read(vq, VIRTQUEUE_DESC,
					 (uint64_t)DESC_SIZE * vq->at.avail + FLAGS_OFFSET, &flags,
					 sizeof(flags));

	if (result < 0)
		return result;
	return !!(flags & DESC_F_AVAIL) == vq->at.avail_wrap &&
	       !!(flags & DESC_F_USED) != vq->at.avail_wrap;
}

static int walk(struct virtqueue *vq, struct virtqueue_chain *chain, struct virtqueue_pool *pool)
{
	uint32_t at = vq->at.avail;

	for (uint32_t found = 0; found < vq->num; found++) {
		struct packed_desc desc;
		int result;

		result = virtqueue_ring_read(vq, VIRTQUEUE_DESC, (uint64_t)DESC_SIZE * at, &desc,
					     sizeof(desc));
		if (result < 0)
			return result;
		if (!(desc.flags & DESC_F_INDIRECT))
			result = chain_add(vq, chain, pool, desc.address, desc.length,
					   desc.flags & DESC_F_WRITE);
		else if (desc.flags & DESC_F_NEXT || found)
			result = virtqueue_bad(vq, -EINVAL, "an indirect table within a chain");
		else
			result = chain_add_indirect(vq, chain, pool, desc.address, desc.length);
		if (result < 0)
			return result;
		if (!(desc.flags & DESC_F_NEXT)) {
			chain->id = desc.id;
			chain->descriptors = (uint16_t)(found + 1);
			return 0;
		}
		at = at + 1 == vq->num ? 0 : at + 1;
	}
	return virtqueue_bad(vq, -EINVAL, "a chain longer than the ring");
}

int packed_fetch(struct virtqueue *vq, struct virtqueue_chain *chains, unsigned max,
		 struct virtqueue_pool *pool)
{
	unsigned fetched = 0, used_before = pool->n_iov + pool->n_ranges;
	int result = 0;

	while (fetched < max) {
		struct virtqueue_chain *chain = &chains[fetched];

		result = packed_pending(vq);
		if (result <= 0)
			break;
		atomic_thread_fence(memory_order_acquire);
		chain_begin(chain, pool, join(vq->at.avail, vq->at.avail_wrap));
		result = walk(vq, chain, pool);
		if (result < 0) {
			chain_abandon(vq, chain, pool);
			if (result == -E2BIG && used_before)
				result = 0;
			break;
		}
		advance(vq, &vq->at.avail, &vq->at.avail_wrap, chain->descriptors);
		fetched++;
	}
	return fetched ? (int)fetched : result;
}

int packed_used(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n)
{
	uint16_t slot = vq->at.used, first_flags = 0;
	bool wrap = vq->at.used_wrap;
	uint32_t slots = 0;
	int result;

	for (unsigned i = 0; i < n; i++) {
		struct packed_desc desc = {.length = chains[i].written, .id = chains[i].id};

		desc.flags = (uint16_t)((wrap ? DESC_F_AVAIL | DESC_F_USED : 0) |
					(desc.length ? DESC_F_WRITE : 0));
		/* Length, identifier and, but for the first slot, flags. */
		result = virtqueue_ring_write(vq, VIRTQUEUE_DESC, (uint64_t)DESC_SIZE * slot + 8,
					      (const char *)&desc + 8, i == 0 ? 6 : 8);
		if (result < 0)
			return result;
		if (i == 0)
			first_flags = desc.flags;
		advance(vq, &slot, &wrap, chains[i].descriptors);
		slots += chains[i].descriptors;
	}
	atomic_thread_fence(memory_order_release);
	result = virtqueue_ring_write(vq, VIRTQUEUE_DESC,
				      (uint64_t)DESC_SIZE * vq->at.used + FLAGS_OFFSET,
				      &first_flags, sizeof(first_flags));
	if (result < 0)
		return result;
	vq->at.used = slot;
	vq->at.used_wrap = wrap;
	vq->unsignalled += slots;
	return 0;
}

int packed_should_signal(struct virtqueue *vq)
{
	uint32_t slots = vq->unsignalled;
	uint16_t slot, now, old;
	struct event event;
	int result;

	result = virtqueue_ring_read(vq, VIRTQUEUE_AVAIL, 0, &event, sizeof(event));
	if (result < 0)
		return result;
	vq->unsignalled = 0;
	if ((event.flags & 3) == EVENT_DISABLE)
		return 0;
	if ((event.flags & 3) != EVENT_DESC || !vq->event_idx || slots >= vq->num)
		return 1;
	slot = event.slot_wrap & 0x7fff;
	now = vq->at.used;
	old = (uint16_t)(now - slots);
	/* Of the lap before: below 0, as `old` then is. */
	if ((bool)(event.slot_wrap >> 15) != vq->at.used_wrap)
		slot = (uint16_t)(slot - vq->num);
	return vring_need_event(slot, now, old);
}

int packed_kicks(struct virtqueue *vq, bool wanted)
{
	struct event event = {.flags = EVENT_DISABLE};
	int result;

	if (wanted && vq->event_idx)
		event = (struct event){.slot_wrap = join(vq->at.avail, vq->at.avail_wrap),
				       .flags = EVENT_DESC};
	else if (wanted)
		event.flags = EVENT_ENABLE;
	if (vq->event_valid && vq->event == event.slot_wrap && vq->used_flags == event.flags)
		return 0;
	result = virtqueue_ring_write(vq, VIRTQUEUE_USED, 0, &event, sizeof(event));
	if (result < 0)
		return result;
	vq->event = event.slot_wrap;
	vq->used_flags = event.flags;
	vq->event_valid = true;
	vq->kicks = wanted;
	return 0;
}
