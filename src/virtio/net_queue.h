/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio/net_queue.h - one queue pair of a virtio network device: packets between the
 * driver's rings and a port (backend/net.h), in batches.
 *
 * The device half that all network devices share, whatever the transport (specification 1.2,
 * section 5.1.6).  Who uses it owns the rings, decides when to look at them, asks for
 * kicks, and sends interrupts:
 *
 *	virtqueue_disable_kicks(vq);
 *	do {
 *		n = virtio_net_transmit(q, vq, 256);
 *	} while (n > 0);
 *	... virtqueue_should_signal(vq), virtqueue_enable_kicks(vq) ...
 *
 * A packet goes from the driver's buffer straight to the port, and from the port straight to
 * the driver's buffer.
 *
 * Threads: one at a time per direction; the two directions may run at once.  Not for signal
 * handlers.
 */
#ifndef STANDIN_VIRTIO_NET_QUEUE_H
#define STANDIN_VIRTIO_NET_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "backend/net.h"
#include "core/user.h"
#include "virtqueue/virtqueue.h"

#define VIRTIO_NET_BATCH      32u   /* packets at once, at most */
#define VIRTIO_NET_PACKET_IOV 1024u /* pieces that a packet may have, indirect or not */
#define VIRTIO_NET_MERGE_MAX  128u  /* receive buffers that a packet may take */

/* What one direction works with.  Rings are fetched from into here. */
struct virtio_net_batch {
	struct virtqueue_chain chains[VIRTIO_NET_MERGE_MAX];
	struct iovec iov[VIRTIO_NET_PACKET_IOV + 4 * VIRTIO_NET_BATCH];
	struct virtqueue_range ranges[VIRTIO_NET_PACKET_IOV + 4 * VIRTIO_NET_BATCH];
	struct virtqueue_pool pool;
};

struct virtio_net_queue {
	struct net_port *port;
	unsigned index;       /* of the port's queue pair */
	unsigned header_size; /* 10, or 12 with MRG_RXBUF or VERSION_1 */
	bool mergeable;       /* receive buffers */
	bool offloads;        /* the driver may leave checksums or segmentation to us */
	bool pinned;          /* ranges are kept: the rings' map has to be undone, or logs */
	bool full;            /* the last virtio_net_transmit() ended because the port was */
	uint64_t unfit;       /* packets too big for the driver's buffers, or no packets: dropped */
	struct net_packet packets[VIRTIO_NET_BATCH];
	struct net_arrival arrivals[VIRTIO_NET_BATCH];
	/* What is still to be copied of what a batch receives. */
	struct virtio_net_hdr_v1 headers[VIRTIO_NET_BATCH];
	struct user_copy copies[2 * VIRTIO_NET_BATCH];
	struct virtio_net_batch transmit, receive;
};

/*
 * Sets everything from the negotiated features; before the rings are used and after every
 * change.  `ops` are the rings': if they unmap or log, ranges are kept.
 */
void virtio_net_queue_init(struct virtio_net_queue *q, struct net_port *port, unsigned index,
			   uint64_t features, const struct virtqueue_ops *ops);

/*
 * Takes packets from the driver, at most `budget` of them: how many, 0 if there is
 * none or the port is full (q->full: net_set_ready() tells when it no longer is), or an
 * error of virtqueue.h's.  The chains are used; nobody has been signalled.
 */
int virtio_net_transmit(struct virtio_net_queue *q, struct virtqueue *vq, unsigned budget);
/*
 * Gives the driver packets that have arrived: how many, 0 if none has arrived or the driver
 * has no buffers for the next one, or an error.  A packet that no buffer can hold is
 * dropped, which counts.
 */
int virtio_net_receive(struct virtio_net_queue *q, struct virtqueue *vq, unsigned budget);

/* TUN_F_* offloads that a driver with these features takes: for net_set_offloads(). */
net_offloads virtio_net_offloads(uint64_t features);

#endif
