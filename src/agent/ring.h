/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/ring.h - one direction of a VMBus channel, in memory that is shared with the host.
 *
 * The host may write anything there at any time: numbers are read once and checked, and packets
 * are copied before they are looked at.
 */
#ifndef STANDIN_AGENT_RING_H
#define STANDIN_AGENT_RING_H

#include <stddef.h>
#include <stdint.h>

#include "hyperv/wire.h"

struct ring {
	struct hyperv_ring *shared;
	uint32_t size; /* of the data */
};

/* `bytes`: with the page before the data; at least one more page. */
void ring_init(struct ring *r, void *shared, size_t bytes);

/*
 * Takes the next packet, with its header, which is sane then: header_size and size are within what
 * is returned, the packet's size in bytes.  `to` has room for r->size bytes.  0: there is none.
 * -EIO: the host has made nonsense of the ring.
 */
int ring_receive(struct ring *r, void *to);

/* Sends a packet in band.  -EAGAIN: no room.  -EIO as above. */
int ring_send(struct ring *r, uint64_t transaction, const void *body, size_t size);

#endif
