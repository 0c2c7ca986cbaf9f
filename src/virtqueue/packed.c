/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packed ring (2.8).
 *
 * A slot's flags are read before the rest of it and, of a batch's first used slot, written
 * after everything else: they are what either side waits for.  Slots are read and written some
 * at a time, under one guard: what has been read is read once more when the flags in it have
 * shown how much of it is there.
 */
#include "virtqueue/virtqueue_private.h"

#include <errno.h>

#include "core/user.h"

#define AHEAD 16u /* slots read at once */
#define BATCH 32u /* slots written at once */

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

static bool available(const struct virtqueue *vq, uint16_t flags)
{
	return !!(flags & DESC_F_AVAIL) == vq->at.avail_wrap &&
	       !!(flags & DESC_F_USED) != vq->at.avail_wrap;
}

int packed_pending(struct virtqueue *vq)
{
	uint16_t flags;
	int result = virtqueue_ring_read(vq, VIRTQUEUE_DESC,
					 (uint64_t)DESC_SIZE * vq->at.avail + FLAGS_OFFSET, &flags,
					 sizeof(flags));

	return result < 0 ? result : available(vq, flags);
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

/*
 * The slots from the next one on, at most `max`, that are available and in one run: their
 * number.  0 also if they must be read one by one.
 */
static unsigned read_slots(struct virtqueue *vq, struct packed_desc slots[AHEAD], unsigned max)
{
	const char *ring = virtqueue_ring_flat(vq, VIRTQUEUE_DESC);
	unsigned run = vq->num - vq->at.avail, n;

	if (run > max)
		run = max;
	if (run > AHEAD)
		run = AHEAD;
	if (!ring)
		return 0;
	ring += (size_t)DESC_SIZE * vq->at.avail;
	if (copy_guarded(slots, ring, (size_t)DESC_SIZE * run) < 0)
		return 0;
	for (n = 0; n < run && available(vq, slots[n].flags); n++)
		;
	atomic_thread_fence(memory_order_acquire);
	return copy_guarded(slots, ring, (size_t)DESC_SIZE * n) < 0 ? 0 : n;
}

/* Takes what can be taken fast: how many chains. */
static unsigned fetch_singles(struct virtqueue *vq, struct virtqueue_chain *chains, unsigned max,
			      struct virtqueue_pool *pool)
{
	struct packed_desc slots[AHEAD];
	unsigned n = read_slots(vq, slots, max), i;

	for (i = 0; i < n; i++) {
		const struct packed_desc *slot = &slots[i];

		if (slot->flags & (DESC_F_NEXT | DESC_F_INDIRECT) ||
		    !chain_single(vq, &chains[i], pool, join(vq->at.avail, vq->at.avail_wrap),
				  slot->address, slot->length, slot->flags & DESC_F_WRITE))
			break;
		chains[i].id = slot->id;
		advance(vq, &vq->at.avail, &vq->at.avail_wrap, 1);
	}
	return i;
}

/* One chain of any kind: 1, 0 if there is none, or an error. */
static int fetch_one(struct virtqueue *vq, struct virtqueue_chain *chain,
		     struct virtqueue_pool *pool)
{
	int result = packed_pending(vq);

	if (result <= 0)
		return result;
	atomic_thread_fence(memory_order_acquire);
	chain_begin(chain, pool, join(vq->at.avail, vq->at.avail_wrap));
	result = walk(vq, chain, pool);
	if (result < 0) {
		chain_abandon(vq, chain, pool);
		return result;
	}
	advance(vq, &vq->at.avail, &vq->at.avail_wrap, chain->descriptors);
	return 1;
}

int packed_fetch(struct virtqueue *vq, struct virtqueue_chain *chains, unsigned max,
		 struct virtqueue_pool *pool)
{
	unsigned fetched = 0, used_before = pool->n_iov + pool->n_ranges, singles = 1;
	int result = 0;

	while (fetched < max) {
		/*
		 * The first slot's flags alone tell whether there is anything: who waits for them
		 * takes no other cache line from the driver, which is writing there.  Where chains
		 * are not single descriptors nothing is read ahead.
		 */
		if (singles) {
			result = packed_pending(vq);
			if (result <= 0)
				break;
			singles = fetch_singles(vq, chains + fetched, max - fetched, pool);
		}
		fetched += singles;
		if (singles)
			continue;
		result = fetch_one(vq, &chains[fetched], pool);
		if (result == -E2BIG && used_before)
			result = 0;
		if (result <= 0)
			break;
		fetched++;
	}
	return fetched ? (int)fetched : result;
}

/* Writes a run of at most BATCH used chains from *slot on, the very first one's flags not yet. */
static int write_slots(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n,
		       uint16_t *slot, bool *wrap, bool very_first)
{
	char *ring = virtqueue_ring_flat(vq, VIRTQUEUE_DESC);
	struct packed_desc slots[BATCH];
	struct user_copy copies[BATCH];
	uint64_t offset[BATCH];

	for (unsigned i = 0; i < n; i++) {
		struct packed_desc *desc = &slots[i];

		desc->length = chains[i].written;
		desc->id = chains[i].id;
		desc->flags = (uint16_t)((*wrap ? DESC_F_AVAIL | DESC_F_USED : 0) |
					 (desc->length ? DESC_F_WRITE : 0));
		/* The address stays. */
		offset[i] = (uint64_t)DESC_SIZE * *slot + 8;
		copies[i] = (struct user_copy){ring ? ring + offset[i] : NULL, &desc->length,
					       i == 0 && very_first ? 6 : 8};
		advance(vq, slot, wrap, chains[i].descriptors);
	}
	if (ring && !vq->log_rings)
		return copy_guarded_many(copies, n) == n
			       ? 0
			       : virtqueue_bad(vq, -EFAULT, "no memory behind the ring");
	for (unsigned i = 0; i < n; i++) {
		int result = virtqueue_ring_write(vq, VIRTQUEUE_DESC, offset[i], copies[i].from,
						  copies[i].size);

		if (result < 0)
			return result;
	}
	return 0;
}

int packed_used(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n)
{
	uint16_t slot = vq->at.used, first_flags;
	bool wrap = vq->at.used_wrap;
	uint32_t slots = 0;
	int result;

	first_flags = (uint16_t)((wrap ? DESC_F_AVAIL | DESC_F_USED : 0) |
				 (chains[0].written ? DESC_F_WRITE : 0));
	for (unsigned done = 0; done < n; done += BATCH) {
		result = write_slots(vq, chains + done, n - done < BATCH ? n - done : BATCH, &slot,
				     &wrap, done == 0);
		if (result < 0)
			return result;
	}
	for (unsigned i = 0; i < n; i++)
		slots += chains[i].descriptors;
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
