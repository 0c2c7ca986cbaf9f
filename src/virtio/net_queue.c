/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both directions work in batches: fetch, copy, use, with one index for all.
 *
 * Sending, the header is cut off the chain's first pieces and what is left is the packet.  The
 * header is looked at only if an offload was negotiated: otherwise it must be all zeros, and
 * says nothing.  Receiving, as many chains are fetched as packets wait; what a
 * packet finds too little is put back.
 */
#include "virtio/net_queue.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "core/iovec.h"
#include "core/user.h"
#include "uapi/tun.h"
#include "uapi/virtio_net.h"

#define F(bit) (UINT64_C(1) << (bit))

#define DRIVER_OFFLOADS                                                                 \
	(F(VIRTIO_NET_F_CSUM) | F(VIRTIO_NET_F_HOST_TSO4) | F(VIRTIO_NET_F_HOST_TSO6) | \
	 F(VIRTIO_NET_F_HOST_UFO) | F(VIRTIO_NET_F_HOST_USO))

static void batch_init(struct virtio_net_batch *b, bool ranges)
{
	b->pool = (struct virtqueue_pool){
		.iov = b->iov,
		.max_iov = sizeof(b->iov) / sizeof(b->iov[0]),
		.ranges = ranges ? b->ranges : NULL,
		.max_ranges = sizeof(b->ranges) / sizeof(b->ranges[0]),
		.transient = true,
	};
}

void virtio_net_queue_init(struct virtio_net_queue *q, struct net_port *port, unsigned index,
			   uint64_t features, const struct virtqueue_ops *ops)
{
	bool merge = features & F(VIRTIO_NET_F_MRG_RXBUF);

	q->port = port;
	q->index = index;
	q->header_size = merge || features & VIRTQUEUE_F_VERSION_1
				 ? sizeof(struct virtio_net_hdr_v1)
				 : sizeof(struct virtio_net_hdr);
	q->mergeable = merge;
	q->offloads = features & DRIVER_OFFLOADS;
	q->pinned = ops->unmap || ops->log_buffer;
	q->full = false;
	batch_init(&q->transmit, q->pinned);
	batch_init(&q->receive, q->pinned);
}

net_offloads virtio_net_offloads(uint64_t features)
{
	net_offloads offloads = 0;

	if (!(features & F(VIRTIO_NET_F_GUEST_CSUM)))
		return 0;
	offloads = TUN_F_CSUM;
	if (features & F(VIRTIO_NET_F_GUEST_TSO4))
		offloads |= TUN_F_TSO4;
	if (features & F(VIRTIO_NET_F_GUEST_TSO6))
		offloads |= TUN_F_TSO6;
	if (features & F(VIRTIO_NET_F_GUEST_ECN))
		offloads |= TUN_F_TSO_ECN;
	if (features & F(VIRTIO_NET_F_GUEST_UFO))
		offloads |= TUN_F_UFO;
	if (features & F(VIRTIO_NET_F_GUEST_USO4) && features & F(VIRTIO_NET_F_GUEST_USO6))
		offloads |= TUN_F_USO4 | TUN_F_USO6;
	return offloads;
}

static unsigned at_once(unsigned left)
{
	return left < VIRTIO_NET_BATCH ? left : VIRTIO_NET_BATCH;
}

/* ---- from the driver ---- */

/* Cuts `size` bytes off the front of the chain, into `to` if not NULL.  0 or -EFAULT. */
static int cut(struct virtqueue_chain *chain, void *to, size_t size)
{
	char *at = to;

	if (!to && size < chain->readable->iov_len) {
		chain->readable->iov_base = (char *)chain->readable->iov_base + size;
		chain->readable->iov_len -= size;
		chain->readable_size -= size;
		return 0;
	}
	while (size) {
		struct iovec *piece = chain->readable;
		size_t n = piece->iov_len < size ? piece->iov_len : size;

		if (at && copy_guarded(at, piece->iov_base, n) < 0)
			return -EFAULT;
		if (at)
			at += n;
		size -= n;
		chain->readable_size -= n;
		piece->iov_base = (char *)piece->iov_base + n;
		piece->iov_len -= n;
		if (piece->iov_len == 0) {
			chain->readable++;
			chain->n_readable--;
		}
	}
	return 0;
}

/* Makes a packet of a chain; false if it is none. */
static bool read_packet(struct virtio_net_queue *q, struct virtqueue_chain *chain,
			struct net_packet *packet)
{
	if (chain->readable_size <= q->header_size ||
	    chain->readable_size - q->header_size > NET_FRAME_MAX)
		return false;
	packet->header = (struct virtio_net_hdr){0};
	if (!q->offloads) {
		if (cut(chain, NULL, q->header_size) < 0)
			return false;
	} else {
		struct virtio_net_hdr_v1 header;

		if (cut(chain, &header, q->header_size) < 0)
			return false;
		memcpy(&packet->header, &header, sizeof(packet->header));
	}
	packet->iov = chain->readable;
	packet->n_iov = chain->n_readable;
	packet->size = (uint32_t)chain->readable_size;
	return true;
}

/* One batch: as virtio_net_transmit(). */
static int transmit(struct virtio_net_queue *q, struct virtqueue *vq, unsigned max)
{
	struct virtqueue_chain *chains = q->transmit.chains;
	unsigned at[VIRTIO_NET_BATCH + 1]; /* where each packet's chain is */
	unsigned packets = 0, sent, done;
	int n, result;

	virtqueue_pool_reset(&q->transmit.pool);
	n = virtqueue_fetch(vq, chains, max, &q->transmit.pool);
	if (n <= 0)
		return n;
	for (int i = 0; i < n; i++) {
		at[packets] = (unsigned)i;
		if (read_packet(q, &chains[i], &q->packets[packets]))
			packets++;
		else
			q->unfit++;
	}
	at[packets] = (unsigned)n;
	sent = packets ? net_send(q->port, q->index, q->packets, packets) : 0;
	q->full = sent < packets;
	done = at[sent];
	if (done < (unsigned)n)
		virtqueue_unfetch(vq, chains + done, (unsigned)n - done);
	result = done ? virtqueue_used(vq, chains, done) : 0;
	return result < 0 ? result : (int)done;
}

int virtio_net_transmit(struct virtio_net_queue *q, struct virtqueue *vq, unsigned budget)
{
	unsigned total = 0;

	q->full = false;
	while (total < budget && !q->full) {
		int n = transmit(q, vq, at_once(budget - total));

		if (n <= 0)
			return total ? (int)total : n;
		total += (unsigned)n;
	}
	return (int)total;
}

/* ---- to the driver ---- */

/*
 * How many of the n chains the packet takes.  0: more than n; -E2BIG: no chains could hold it.
 */
static int chains_for(const struct virtio_net_queue *q, const struct virtqueue_chain *chains,
		      unsigned n, const struct net_arrival *arrival)
{
	uint64_t want = (uint64_t)q->header_size + arrival->size;

	if (n && chains[0].writable_size < q->header_size)
		return -E2BIG;
	for (unsigned i = 0; i < n; i++) {
		if (want <= chains[i].writable_size)
			return (int)i + 1;
		if (!q->mergeable)
			return -E2BIG;
		want -= chains[i].writable_size;
	}
	return n == VIRTIO_NET_MERGE_MAX ? -E2BIG : 0;
}

/*
 * Header and data of the usual packet, which goes into one buffer in one piece, are only noted:
 * they are copied with those of the rest of the batch.  *copies of q->copies are in use.
 */
static void note_packet(struct virtio_net_queue *q, struct virtqueue_chain *chain,
			struct virtio_net_hdr_v1 *header, const struct net_arrival *arrival,
			unsigned *copies)
{
	char *to = chain->writable->iov_base;

	memcpy(header, &arrival->header, sizeof(arrival->header));
	header->num_buffers = 1;
	q->copies[(*copies)++] = (struct user_copy){to, header, q->header_size};
	q->copies[(*copies)++] =
		(struct user_copy){to + q->header_size, arrival->data, arrival->size};
	chain->written = q->header_size + arrival->size;
}

static int write_packet(struct virtio_net_queue *q, struct virtqueue_chain *chains, unsigned n,
			unsigned packet, unsigned *copies)
{
	struct virtio_net_hdr_v1 header = {.num_buffers = (uint16_t)n};
	const struct net_arrival *arrival = &q->arrivals[packet];
	const uint8_t *data = arrival->data;
	uint32_t left = arrival->size;

	if (n == 1 && chains->n_writable == 1 && left) {
		note_packet(q, chains, &q->headers[packet], arrival, copies);
		return 0;
	}
	memcpy(&header, &arrival->header, sizeof(arrival->header));
	for (unsigned i = 0; i < n; i++) {
		uint32_t skip = i == 0 ? q->header_size : 0, part;
		uint64_t room = chains[i].writable_size - skip;

		part = left < room ? left : (uint32_t)room;
		if ((skip &&
		     iovec_write(chains[i].writable, chains[i].n_writable, 0, &header, skip)) ||
		    iovec_write(chains[i].writable, chains[i].n_writable, skip, data, part))
			return -EFAULT;
		chains[i].written = skip + part;
		data += part;
		left -= part;
	}
	return 0;
}

static int no_memory(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n)
{
	virtqueue_unfetch(vq, chains, n);
	return virtqueue_fail(vq, -EFAULT, "no memory behind a receive buffer");
}

/* One batch: as virtio_net_receive(). */
static int receive(struct virtio_net_queue *q, struct virtqueue *vq, unsigned max)
{
	struct virtqueue_chain *chains = q->receive.chains;
	unsigned arrived, fetched = 0, used = 0, copies = 0, i;
	int n, result = 0;

	arrived = net_peek(q->port, q->index, q->arrivals, max);
	if (arrived == 0)
		return 0;
	virtqueue_pool_reset(&q->receive.pool);
	for (i = 0; i < arrived; i++) {
		while ((n = chains_for(q, chains + used, fetched - used, &q->arrivals[i])) == 0) {
			/* The first time for all; later for those that take several. */
			unsigned more = fetched ? VIRTIO_NET_MERGE_MAX - fetched : arrived;

			result = virtqueue_fetch(vq, chains + fetched, more, &q->receive.pool);
			if (result <= 0)
				break;
			fetched += (unsigned)result;
		}
		if (n == 0)
			break;
		if (n > 0 && write_packet(q, chains + used, (unsigned)n, i, &copies) < 0)
			return no_memory(vq, chains, fetched);
		if (n < 0)
			q->unfit++;
		else
			used += (unsigned)n;
	}
	if (copy_guarded_many(q->copies, copies) != copies)
		return no_memory(vq, chains, fetched);
	if (used < fetched)
		virtqueue_unfetch(vq, chains + used, fetched - used);
	if (used) {
		int told = virtqueue_used(vq, chains, used);

		if (told < 0)
			return told;
	}
	if (i)
		net_consume(q->port, q->index, i);
	return i ? (int)i : result < 0 ? result : 0;
}

int virtio_net_receive(struct virtio_net_queue *q, struct virtqueue *vq, unsigned budget)
{
	unsigned total = 0;

	while (total < budget) {
		int n = receive(q, vq, at_once(budget - total));

		if (n <= 0)
			return total ? (int)total : n;
		total += (unsigned)n;
	}
	return (int)total;
}
