/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hyperv/frame.h - packets of a channel between a host and the process that has the device.
 *
 * A packet is what VMBus would deliver without the ring's own header: a pipe header and an IC
 * message (hyperv/wire.h), or whatever a host sends instead.  Like VMBus's, they travel in two
 * rings in memory that both have (hyperv/queue.h), each behind a header.
 *
 * The connection that the command `hyperv-channel SERVICE` leaves open (core/control.h) is how the
 * two find and wake each other.  The process first sends one byte and with it the descriptor of the
 * memory, a struct hyperv_rings.  After that a byte, of any value, is a call to look; who
 * does not wait is not called.  The channel ends with the connection.
 */
#ifndef STANDIN_HYPERV_FRAME_H
#define STANDIN_HYPERV_FRAME_H

#include <stdint.h>

#include "hyperv/wire.h"

/* What fits into the rings that the kernel makes for these services, 3 pages of data. */
#define HYPERV_RING_SIZE (3u * 4096u)
#define HYPERV_PACKET_MAX \
	(HYPERV_RING_SIZE - (unsigned)sizeof(struct hyperv_packet) - 2 * HYPERV_PACKET_TRAILER)
/* The longest message for a daemon: any packet may be one. */
#define HYPERV_MESSAGE_MAX HYPERV_PACKET_MAX

struct hyperv_frame {
	uint32_t size; /* of the packet, 1 to HYPERV_PACKET_MAX */
	uint32_t reserved;
	uint64_t transaction; /* of the host's choice; the response has the same */
};

#endif
