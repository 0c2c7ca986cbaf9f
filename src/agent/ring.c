/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring is empty when its indices are equal, so it is never filled to the last byte.  After each
 * packet are eight bytes that say where it began, which nobody reads.
 */
#include "agent/ring.h"

#include <errno.h>
#include <string.h>

#define UNIT 8u /* everything is a multiple of it */

void ring_init(struct ring *r, void *shared, size_t bytes)
{
	r->shared = shared;
	r->size = (uint32_t)(bytes - sizeof(struct hyperv_ring));
}

static int load(const struct ring *r, uint32_t *ret_read, uint32_t *ret_write)
{
	*ret_read = __atomic_load_n(&r->shared->read_index, __ATOMIC_ACQUIRE);
	*ret_write = __atomic_load_n(&r->shared->write_index, __ATOMIC_ACQUIRE);
	if (*ret_read >= r->size || *ret_write >= r->size || *ret_read % UNIT || *ret_write % UNIT)
		return -EIO;
	return 0;
}

static uint32_t advance(const struct ring *r, uint32_t at, uint32_t by)
{
	return at + by < r->size ? at + by : at + by - r->size;
}

static uint32_t copy_from(const struct ring *r, uint32_t at, void *to, uint32_t size)
{
	uint32_t first = size < r->size - at ? size : r->size - at;

	memcpy(to, r->shared->data + at, first);
	memcpy((uint8_t *)to + first, r->shared->data, size - first);
	return advance(r, at, size);
}

static uint32_t copy_to(const struct ring *r, uint32_t at, const void *from, uint32_t size)
{
	uint32_t first = size < r->size - at ? size : r->size - at;

	memcpy(r->shared->data + at, from, first);
	memcpy(r->shared->data, (const uint8_t *)from + first, size - first);
	return advance(r, at, size);
}

int ring_receive(struct ring *r, void *to)
{
	uint32_t read, write, there, size;
	struct hyperv_packet header;

	/*
	 * The host interrupts when it puts something into an empty ring, unless that is masked.  So
	 * what it is to see of us, that the ring is, or the mask, comes before we look.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (load(r, &read, &write) < 0)
		return -EIO;
	if (read == write)
		return 0;
	there = write > read ? write - read : r->size - read + write;
	if (there < sizeof(header) + HYPERV_PACKET_TRAILER)
		return -EIO;
	copy_from(r, read, &header, sizeof(header));
	size = header.size * UNIT;
	if (header.header_size * UNIT < sizeof(header) || header.header_size > header.size ||
	    size > there - HYPERV_PACKET_TRAILER)
		return -EIO;
	read = copy_from(r, read, to, size);
	/* What was checked, whatever is there by now. */
	memcpy(to, &header, sizeof(header));
	__atomic_store_n(&r->shared->read_index, advance(r, read, HYPERV_PACKET_TRAILER),
			 __ATOMIC_RELEASE);
	return (int)size;
}

int ring_send(struct ring *r, uint64_t transaction, const void *body, size_t size)
{
	struct hyperv_packet header = {
		.type = HYPERV_PACKET_INBAND,
		.header_size = sizeof(header) / UNIT,
		.transaction = transaction,
	};
	uint32_t read, write, room, padding = (uint32_t)(-size % UNIT);
	uint64_t total = sizeof(header) + size + padding, zeros = 0, trailer;

	if (load(r, &read, &write) < 0)
		return -EIO;
	room = write >= read ? r->size - (write - read) : read - write;
	if (total / UNIT > UINT16_MAX || total + HYPERV_PACKET_TRAILER >= room)
		return -EAGAIN;
	header.size = (uint16_t)(total / UNIT);
	trailer = (uint64_t)write << 32;
	write = copy_to(r, write, &header, sizeof(header));
	write = copy_to(r, write, body, (uint32_t)size);
	write = copy_to(r, write, &zeros, padding);
	write = copy_to(r, write, &trailer, sizeof(trailer));
	__atomic_store_n(&r->shared->write_index, write, __ATOMIC_RELEASE);
	return 0;
}
