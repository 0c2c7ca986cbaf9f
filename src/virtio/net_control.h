/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio/net_control.h - the control virtqueue of a virtio network device (specification 1.2,
 * 5.1.6.5): what the driver has asked for, and the acknowledgement of each command.
 *
 * Receive modes, MAC tables and VLANs are taken and kept; nothing is filtered by them: a
 * port delivers what its link carries, which the specification leaves to the device.
 *
 * Threads: one at a time.  Not for signal handlers.
 */
#ifndef STANDIN_VIRTIO_NET_CONTROL_H
#define STANDIN_VIRTIO_NET_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "virtqueue/virtqueue.h"

struct virtio_net_control {
	/* The owner's. */
	uint64_t features; /* negotiated: a command whose feature is missing is an error */
	uint16_t pairs_max;
	/* Something below has changed, on the thread that handles commands.  NULL: nobody. */
	void (*changed)(struct virtio_net_control *c);
	/* The driver's. */
	uint8_t mac[6];
	uint16_t pairs;    /* in use: 1 until VIRTIO_NET_CTRL_MQ says more */
	uint64_t offloads; /* VIRTIO_NET_F_GUEST_*, by CTRL_GUEST_OFFLOADS */
	bool announced;    /* the driver has seen VIRTIO_NET_S_ANNOUNCE */
	bool rx_mode[6];   /* by VIRTIO_NET_CTRL_RX_*: promiscuous, ... */
};

/* What holds after a reset, but for the MAC address, which the owner sets. */
void virtio_net_control_reset(struct virtio_net_control *c, uint64_t features);
/*
 * Handles the commands on the ring: how many, or an error of virtqueue.h's.  Nobody has been
 * signalled.
 */
int virtio_net_control(struct virtio_net_control *c, struct virtqueue *vq);

#endif
