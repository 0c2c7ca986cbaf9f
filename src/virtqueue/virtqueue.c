/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Set-up, errors and the way to a ring's memory.
 *
 * A ring part that lies in one piece in this process (all do, but behind an IOTLB with small
 * pages) is looked up once and then reached by a guarded copy alone, until
 * virtqueue_release().  One in several pieces is looked up at each access.  Windows, where the
 * owner has them, spare the lookups of the parts and of nearly all buffers.
 */
#include "virtqueue/virtqueue_private.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "core/user.h"

#define PIECES 4

/* ---- errors ---- */

int virtqueue_bad(struct virtqueue *vq, int error, const char *reason)
{
	vq->reason = reason;
	return error;
}

int virtqueue_fail(struct virtqueue *vq, int error, const char *reason)
{
	if (vq->error == 0) {
		vq->error = error;
		vq->reason = reason;
		log_info("%s: ring error: %s", vq->name, reason);
	}
	return -EIO;
}

/* What a public function returns for what an inner one returned. */
static int settle(struct virtqueue *vq, int result)
{
	if (result >= 0 || result == -EAGAIN)
		return result;
	return virtqueue_fail(vq, result, vq->reason);
}

int virtqueue_error(const struct virtqueue *vq, const char **ret_reason)
{
	if (ret_reason)
		*ret_reason = vq->error ? vq->reason : "";
	return vq->error;
}

void virtqueue_clear_error(struct virtqueue *vq)
{
	vq->error = 0;
	/* The driver's index may be what was wrong. */
	vq->avail_seen = vq->at.avail;
}

/* ---- access ---- */

const struct virtqueue_window *virtqueue_window_add(struct virtqueue *vq, uint64_t address,
						    uint64_t size, unsigned access)
{
	struct virtqueue_window *w = &vq->window[vq->n_windows];

	if (!vq->ops->window || vq->n_windows == VIRTQUEUE_WINDOWS ||
	    vq->ops->window(vq->owner, address, access, w) != 0)
		return NULL;
	if (!window_covers(w, address, size, access)) {
		if (vq->ops->unwindow)
			vq->ops->unwindow(vq->owner, w);
		return NULL;
	}
	vq->n_windows++;
	return w;
}

/*
 * Copies to or from guest memory, looked up for this once; a range in more pieces than fit
 * is halved until it does.
 */
static int copy_mapped(struct virtqueue *vq, uint64_t address, char *buffer, size_t size,
		       unsigned access, bool write)
{
	char *place = virtqueue_in_window(vq, address, size, access);
	struct iovec iov[PIECES];
	size_t done = 0, piece = size;

	if (place) {
		if (write ? copy_guarded(place, buffer, size) : copy_guarded(buffer, place, size))
			return virtqueue_bad(vq, -EFAULT, "no memory behind an address");
		return 0;
	}
	while (done < size) {
		int n, result = 0;

		if (piece > size - done)
			piece = size - done;
		n = vq->ops->map(vq->owner, address + done, piece, access, iov, PIECES);
		if (n == -E2BIG && piece > 1) {
			piece = (piece + 1) / 2;
			continue;
		}
		if (n < 0)
			return n == -EAGAIN
				       ? n
				       : virtqueue_bad(vq, -EFAULT, "an address is not mapped");
		for (int i = 0; i < n && result == 0; i++) {
			result = write ? copy_guarded(iov[i].iov_base, buffer, iov[i].iov_len)
				       : copy_guarded(buffer, iov[i].iov_base, iov[i].iov_len);
			buffer += iov[i].iov_len;
		}
		if (vq->ops->unmap)
			vq->ops->unmap(vq->owner, address + done, piece, access);
		if (result < 0)
			return virtqueue_bad(vq, -EFAULT, "no memory behind an address");
		done += piece;
	}
	return 0;
}

int virtqueue_guest_read(struct virtqueue *vq, uint64_t address, void *buffer, size_t size)
{
	return copy_mapped(vq, address, buffer, size, VIRTQUEUE_READ, false);
}

static unsigned part_access(const struct virtqueue *vq, enum virtqueue_part part)
{
	if (part == VIRTQUEUE_AVAIL)
		return VIRTQUEUE_RING | VIRTQUEUE_READ;
	if (part == VIRTQUEUE_USED)
		return VIRTQUEUE_RING | VIRTQUEUE_WRITE;
	return VIRTQUEUE_RING | VIRTQUEUE_READ | (vq->packed ? VIRTQUEUE_WRITE : 0);
}

/* Looks a part up as a whole.  0 also if it isn't in one piece. */
static int find_part(struct virtqueue *vq, enum virtqueue_part part)
{
	struct virtqueue_place *place = &vq->part[part];
	struct iovec iov;
	int n;

	place->flat = virtqueue_in_window(vq, place->address, place->size, part_access(vq, part));
	if (place->flat) {
		place->tried = true;
		return 0;
	}
	n = vq->ops->map(vq->owner, place->address, place->size, part_access(vq, part), &iov, 1);
	if (n == -EAGAIN)
		return n;
	if (n == 1) {
		place->flat = iov.iov_base;
		place->mapped = true;
	} else if (n != -E2BIG) {
		return virtqueue_bad(vq, -EFAULT, "the ring is not mapped");
	}
	place->tried = true;
	return 0;
}

static int ring_copy(struct virtqueue *vq, enum virtqueue_part part, uint64_t offset, char *buffer,
		     size_t size, bool write)
{
	struct virtqueue_place *place = &vq->part[part];
	int result;

	if (!place->tried) {
		result = find_part(vq, part);
		if (result < 0)
			return result;
	}
	if (!place->flat)
		return copy_mapped(vq, place->address + offset, buffer, size, part_access(vq, part),
				   write);
	result = write ? copy_guarded(place->flat + offset, buffer, size)
		       : copy_guarded(buffer, place->flat + offset, size);
	return result < 0 ? virtqueue_bad(vq, -EFAULT, "no memory behind the ring") : 0;
}

int virtqueue_ring_read(struct virtqueue *vq, enum virtqueue_part part, uint64_t offset,
			void *buffer, size_t size)
{
	return ring_copy(vq, part, offset, buffer, size, false);
}

int virtqueue_ring_write(struct virtqueue *vq, enum virtqueue_part part, uint64_t offset,
			 const void *buffer, size_t size)
{
	int result = ring_copy(vq, part, offset, (char *)(uintptr_t)buffer, size, true);

	if (result == 0 && vq->log_rings)
		vq->ops->log_ring(vq->owner, part, offset, size);
	return result;
}

char *virtqueue_ring_flat(struct virtqueue *vq, enum virtqueue_part part)
{
	if (!vq->part[part].tried && find_part(vq, part) < 0)
		return NULL;
	return vq->part[part].flat;
}

void virtqueue_release(struct virtqueue *vq)
{
	for (unsigned i = 0; i < VIRTQUEUE_PARTS; i++) {
		struct virtqueue_place *place = &vq->part[i];

		if (place->mapped && vq->ops->unmap)
			vq->ops->unmap(vq->owner, place->address, place->size,
				       part_access(vq, (enum virtqueue_part)i));
		place->flat = NULL;
		place->tried = place->mapped = false;
	}
	for (unsigned i = 0; i < vq->n_windows && vq->ops->unwindow; i++)
		vq->ops->unwindow(vq->owner, &vq->window[i]);
	vq->n_windows = 0;
}

/* ---- set-up ---- */

int virtqueue_set_addresses(struct virtqueue *vq, const uint64_t address[VIRTQUEUE_PARTS])
{
	uint64_t event = vq->event_idx ? 2 : 0;
	uint64_t size[VIRTQUEUE_PARTS] = {(uint64_t)DESC_SIZE * vq->num, 4, 4};
	uint64_t align[VIRTQUEUE_PARTS] = {1, 4, 4};

	if (!vq->packed) {
		size[VIRTQUEUE_AVAIL] = 4 + 2 * (uint64_t)vq->num + event;
		size[VIRTQUEUE_USED] = 4 + 8 * (uint64_t)vq->num + event;
		align[VIRTQUEUE_AVAIL] = 2;
	}
	for (unsigned i = 0; i < VIRTQUEUE_PARTS; i++)
		if (address[i] % align[i] || address[i] + size[i] < address[i])
			return -EINVAL;
	virtqueue_release(vq);
	vq->event_valid = false;
	for (unsigned i = 0; i < VIRTQUEUE_PARTS; i++)
		vq->part[i] = (struct virtqueue_place){.address = address[i], .size = size[i]};
	return 0;
}

int virtqueue_init(struct virtqueue *vq, const struct virtqueue_config *config)
{
	bool packed = config->features & VIRTQUEUE_F_PACKED;

	if (config->num == 0 || config->num > VIRTQUEUE_NUM_MAX ||
	    (!packed && config->num & (config->num - 1)))
		return -EINVAL;
	*vq = (struct virtqueue){
		.ops = config->ops,
		.owner = config->owner,
		.name = config->name,
		.features = config->features,
		.num = config->num,
		.packed = packed,
		.event_idx = config->features & VIRTQUEUE_F_EVENT_IDX,
		.kicks = true,
		.reason = "",
		.at = {.avail_wrap = true, .used_wrap = true},
	};
	return virtqueue_set_addresses(vq, config->address);
}

void virtqueue_get_state(const struct virtqueue *vq, struct virtqueue_state *ret_state)
{
	*ret_state = vq->at;
}

int virtqueue_set_state(struct virtqueue *vq, const struct virtqueue_state *state)
{
	if (vq->packed && (state->avail >= vq->num || state->used >= vq->num))
		return -EINVAL;
	vq->at = *state;
	vq->avail_seen = state->avail;
	vq->signalled_valid = vq->event_valid = false;
	vq->unsignalled = 0;
	return 0;
}

/* Whether all of a part that is in pieces is there. */
static int check_pieces(struct virtqueue *vq, enum virtqueue_part part)
{
	const struct virtqueue_place *place = &vq->part[part];
	uint64_t at = place->address, end = at + place->size;

	while (at < end) {
		uint64_t size = 4096 - at % 4096;
		struct iovec iov[PIECES];
		int n;

		if (size > end - at)
			size = end - at;
		n = vq->ops->map(vq->owner, at, size, part_access(vq, part), iov, PIECES);
		if (n < 0 && n != -E2BIG)
			return n == -EAGAIN ? n
					    : virtqueue_bad(vq, -EFAULT, "the ring is not mapped");
		if (n >= 0 && vq->ops->unmap)
			vq->ops->unmap(vq->owner, at, size, part_access(vq, part));
		at += size;
	}
	return 0;
}

static int start(struct virtqueue *vq, bool take_used)
{
	for (unsigned i = 0; i < VIRTQUEUE_PARTS; i++) {
		int result = vq->part[i].tried ? 0 : find_part(vq, (enum virtqueue_part)i);

		if (result == 0 && !vq->part[i].flat)
			result = check_pieces(vq, (enum virtqueue_part)i);
		if (result < 0)
			return result;
	}
	return vq->packed ? packed_kicks(vq, vq->kicks) : split_start(vq, take_used);
}

int virtqueue_start(struct virtqueue *vq, bool take_used)
{
	return vq->error ? -EIO : settle(vq, start(vq, take_used));
}

/* ---- work ---- */

int virtqueue_fetch(struct virtqueue *vq, struct virtqueue_chain *chains, unsigned max,
		    struct virtqueue_pool *pool)
{
	if (vq->error)
		return -EIO;
	return settle(vq, vq->packed ? packed_fetch(vq, chains, max, pool)
				     : split_fetch(vq, chains, max, pool));
}

void virtqueue_unfetch(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n)
{
	if (n == 0)
		return;
	for (unsigned i = 0; i < n; i++)
		chain_unmap(vq, &chains[i]);
	vq->at.avail = chains[0].position;
	if (vq->packed) {
		vq->at.avail = chains[0].position & 0x7fff;
		vq->at.avail_wrap = chains[0].position >> 15;
	}
}

void virtqueue_drop(struct virtqueue *vq, const struct virtqueue_chain *chain)
{
	chain_unmap(vq, chain);
}

int virtqueue_used(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n)
{
	int result = -EIO;

	if (n == 0)
		return vq->error ? -EIO : 0;
	if (vq->log_buffers && !vq->error)
		for (unsigned i = 0; i < n; i++)
			chain_log(vq, &chains[i]);
	if (!vq->error)
		result = settle(vq, vq->packed ? packed_used(vq, chains, n)
					       : split_used(vq, chains, n));
	/* What is asked for again is still in use. */
	for (unsigned i = 0; i < n && result != -EAGAIN; i++)
		if (chains[i].n_ranges)
			chain_unmap(vq, &chains[i]);
	return result;
}

int virtqueue_should_signal(struct virtqueue *vq)
{
	if (vq->error)
		return -EIO;
	if (vq->unsignalled == 0)
		return 0;
	/* The used entries before the question what the driver wants: pairs with its order of
	 * asking for interrupts and looking at the ring. */
	atomic_thread_fence(memory_order_seq_cst);
	return settle(vq, vq->packed ? packed_should_signal(vq) : split_should_signal(vq));
}

int virtqueue_pending(struct virtqueue *vq)
{
	if (vq->error)
		return -EIO;
	return settle(vq, vq->packed ? packed_pending(vq) : split_pending(vq));
}

static int kicks(struct virtqueue *vq, bool wanted)
{
	if (vq->error)
		return -EIO;
	return settle(vq, vq->packed ? packed_kicks(vq, wanted) : split_kicks(vq, wanted));
}

int virtqueue_enable_kicks(struct virtqueue *vq)
{
	int result = kicks(vq, true);

	if (result < 0)
		return result;
	/* The wish before the look: pairs with the driver's order of making available and
	 * asking whether to kick. */
	atomic_thread_fence(memory_order_seq_cst);
	return virtqueue_pending(vq);
}

int virtqueue_disable_kicks(struct virtqueue *vq)
{
	return kicks(vq, false);
}
