/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The split ring (2.7).
 *
 * Heads and then their descriptors are read some dozens at a time, under one guard; most chains
 * are one descriptor and end there.  Used elements are written as one run (two where the ring
 * wraps); the used index is stored once per batch.
 */
#include "virtqueue/virtqueue_private.h"

#include <errno.h>

#include "core/user.h"

#define HEADS    32u
#define ELEMENTS 64u

#define AVAIL_F_NO_INTERRUPT 1u
#define USED_F_NO_NOTIFY     1u

#define RING(size, index) (4 + (uint64_t)(size) * (index)) /* behind flags and index */

struct used_element {
	uint32_t id;
	uint32_t length;
};

struct header {
	uint16_t flags;
	uint16_t index;
};

static int write_used_flags(struct virtqueue *vq, uint16_t flags)
{
	int result = virtqueue_ring_write(vq, VIRTQUEUE_USED, 0, &flags, sizeof(flags));

	if (result == 0)
		vq->used_flags = flags;
	return result;
}

int split_start(struct virtqueue *vq, bool take_used)
{
	struct header header;
	int result;

	result = write_used_flags(vq, vq->kicks || vq->event_idx ? 0 : USED_F_NO_NOTIFY);
	if (result < 0 || !take_used)
		return result;
	result = virtqueue_ring_read(vq, VIRTQUEUE_USED, 0, &header, sizeof(header));
	if (result == 0)
		vq->at.used = header.index;
	vq->signalled_valid = false;
	return result;
}

/* Reads the driver's index. */
static int look(struct virtqueue *vq)
{
	struct header header;
	int result = virtqueue_ring_read(vq, VIRTQUEUE_AVAIL, 0, &header, sizeof(header));

	if (result < 0)
		return result;
	if ((uint16_t)(header.index - vq->at.avail) > vq->num)
		return virtqueue_bad(vq, -EINVAL, "the available index jumped");
	vq->avail_seen = header.index;
	return 0;
}

int split_pending(struct virtqueue *vq)
{
	int result = vq->avail_seen == vq->at.avail ? look(vq) : 0;

	return result < 0 ? result : vq->avail_seen != vq->at.avail;
}

/* `first`: the head's descriptor if it has been read, or NULL. */
static int walk(struct virtqueue *vq, struct virtqueue_chain *chain, struct virtqueue_pool *pool,
		uint32_t head, const struct split_desc *first)
{
	uint32_t at = head;

	chain->id = (uint16_t)head;
	chain->descriptors = 1;
	for (uint32_t found = 0; found < vq->num; found++) {
		struct split_desc desc;
		int result = 0;

		if (at >= vq->num)
			return virtqueue_bad(vq, -EINVAL, "a descriptor that does not exist");
		if (first && found == 0)
			desc = *first;
		else
			result = virtqueue_ring_read(vq, VIRTQUEUE_DESC, (uint64_t)DESC_SIZE * at,
						     &desc, sizeof(desc));
		if (result < 0)
			return result;
		if (desc.flags & DESC_F_INDIRECT)
			result = chain_add_indirect(vq, chain, pool, desc.address, desc.length);
		else
			result = chain_add(vq, chain, pool, desc.address, desc.length,
					   desc.flags & DESC_F_WRITE);
		if (result < 0 || !(desc.flags & DESC_F_NEXT))
			return result;
		at = desc.next;
	}
	return virtqueue_bad(vq, -EINVAL, "a loop of descriptors");
}

/*
 * As many heads as wanted, there, and in one run; and the first descriptors of *ret_read of
 * them, 0 if the descriptors are not in one piece.
 */
static int read_heads(struct virtqueue *vq, uint16_t heads[HEADS], struct split_desc first[HEADS],
		      unsigned max, unsigned *ret_read)
{
	uint32_t slot = vq->at.avail & (vq->num - 1);
	unsigned n = (uint16_t)(vq->avail_seen - vq->at.avail), good;
	struct user_copy copies[HEADS];
	const char *table;
	int result;

	if (n > max)
		n = max;
	if (n > HEADS)
		n = HEADS;
	if (n > vq->num - slot)
		n = vq->num - slot;
	result = virtqueue_ring_read(vq, VIRTQUEUE_AVAIL, RING(2, slot), heads, 2 * (size_t)n);
	if (result < 0)
		return result;
	table = virtqueue_ring_flat(vq, VIRTQUEUE_DESC);
	for (good = 0; table && good < n && heads[good] < vq->num; good++)
		copies[good] = (struct user_copy){
			&first[good], table + (size_t)DESC_SIZE * heads[good], DESC_SIZE};
	*ret_read = copy_guarded_many(copies, good);
	return (int)n;
}

int split_fetch(struct virtqueue *vq, struct virtqueue_chain *chains, unsigned max,
		struct virtqueue_pool *pool)
{
	unsigned fetched = 0, used_before = pool->n_iov + pool->n_ranges;
	struct split_desc first[HEADS];
	uint16_t heads[HEADS];
	unsigned read = 0;
	int n, result;

	if (vq->avail_seen == vq->at.avail) {
		result = look(vq);
		if (result < 0)
			return result;
		atomic_thread_fence(memory_order_acquire);
	}
	while (fetched < max && vq->avail_seen != vq->at.avail) {
		n = read_heads(vq, heads, first, max - fetched, &read);
		if (n < 0)
			return fetched ? (int)fetched : n;
		for (int i = 0; i < n; i++) {
			struct virtqueue_chain *chain = &chains[fetched];
			const struct split_desc *desc = &first[i];

			if ((unsigned)i < read &&
			    !(desc->flags & (DESC_F_NEXT | DESC_F_INDIRECT)) &&
			    chain_single(vq, chain, pool, vq->at.avail, desc->address, desc->length,
					 desc->flags & DESC_F_WRITE)) {
				chain->id = heads[i];
				vq->at.avail++;
				fetched++;
				continue;
			}
			chain_begin(chain, pool, vq->at.avail);
			result = walk(vq, chain, pool, heads[i], (unsigned)i < read ? desc : NULL);
			if (result < 0) {
				chain_abandon(vq, chain, pool);
				/* A pool that was not empty: the owner comes again. */
				if (fetched || (result == -E2BIG && used_before))
					return (int)fetched;
				return result;
			}
			vq->at.avail++;
			fetched++;
		}
	}
	return (int)fetched;
}

int split_used(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n)
{
	struct used_element elements[ELEMENTS];
	uint16_t now = (uint16_t)(vq->at.used + n);
	unsigned done = 0;
	int result;

	while (done < n) {
		uint32_t slot = (uint16_t)(vq->at.used + done) & (vq->num - 1);
		unsigned run = n - done;

		if (run > ELEMENTS)
			run = ELEMENTS;
		if (run > vq->num - slot)
			run = vq->num - slot;
		for (unsigned i = 0; i < run; i++)
			elements[i] = (struct used_element){.id = chains[done + i].id,
							    .length = chains[done + i].written};
		result = virtqueue_ring_write(vq, VIRTQUEUE_USED, RING(8, slot), elements,
					      run * sizeof(elements[0]));
		if (result < 0)
			return result;
		done += run;
	}
	atomic_thread_fence(memory_order_release);
	result = virtqueue_ring_write(vq, VIRTQUEUE_USED, 2, &now, sizeof(now));
	if (result < 0)
		return result;
	/* The index went by the one of the last decision: nothing can be told from that. */
	if ((uint16_t)(now - vq->signalled) < n)
		vq->signalled_valid = false;
	vq->at.used = now;
	vq->unsignalled += n;
	return 0;
}

int split_should_signal(struct virtqueue *vq)
{
	uint16_t old = vq->signalled, now = vq->at.used, value;
	bool valid = vq->signalled_valid;
	int result;

	if (vq->features & VIRTQUEUE_F_NOTIFY_ON_EMPTY && vq->avail_seen == vq->at.avail) {
		vq->unsignalled = 0;
		return 1;
	}
	result = virtqueue_ring_read(vq, VIRTQUEUE_AVAIL, vq->event_idx ? RING(2, vq->num) : 0,
				     &value, sizeof(value));
	if (result < 0)
		return result;
	vq->unsignalled = 0;
	if (!vq->event_idx)
		return !(value & AVAIL_F_NO_INTERRUPT);
	vq->signalled = now;
	vq->signalled_valid = true;
	return !valid || vring_need_event(value, now, old);
}

int split_kicks(struct virtqueue *vq, bool wanted)
{
	/* Beyond what is known, not beyond what was fetched: the owner may want more than it has
	 * been given so far. */
	uint16_t event = vq->avail_seen;
	int result;

	if (!vq->event_idx) {
		uint16_t flags = wanted ? 0 : USED_F_NO_NOTIFY;

		if (flags != vq->used_flags) {
			result = write_used_flags(vq, flags);
			if (result < 0)
				return result;
		}
	} else if (wanted && !(vq->event_valid && vq->event == event)) {
		result = virtqueue_ring_write(vq, VIRTQUEUE_USED, RING(8, vq->num), &event,
					      sizeof(event));
		if (result < 0)
			return result;
		vq->event = event;
		vq->event_valid = true;
	}
	vq->kicks = wanted;
	return 0;
}
