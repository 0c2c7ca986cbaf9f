/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * To the guest.
 *
 * The kernel looks how big the next packet is and then takes that much of the ring.  A tap tells
 * nobody outside the kernel how big it is.  So where big packets came lately, the next one is read
 * into as many of the guest's buffers as were enough then, and behind them into a
 * buffer of ours.  What comes to lie there is bigger than expected: it is copied to more of the
 * guest's buffers.  Otherwise a packet is read into our buffer, and from there copied to as many
 * of the guest's as it needs, which is faster: the call has one piece of memory to look at, and
 * that is in this processor's cache.  If the guest has not enough of them the packet is kept until
 * it has, as the kernel leaves it in the socket.  So nobody loses anything.
 *
 * Sockets that are files of ours can tell, and lend their memory; a packet that is kept is
 * delivered the same way.
 */
#include <errno.h>
#include <string.h>

#include "core/iovec.h"
#include "vhost/net.h"

#define FIRST_BATCH 8u
#define SMALL       4096u               /* bytes: up to them packets are copied */
#define PIECES      (VHOST_NET_IOV - 1) /* of the guest's; one is ours */

/* The chains taken for one packet: from rx.filled on, their pieces in rx.pieces. */
struct taken {
	unsigned chains, pieces;
	uint64_t size; /* vhost's own header included */
};

static bool mergeable(const struct vhost_net *net)
{
	return vhost_has_feature(&net->dev, VIRTIO_NET_F_MRG_RXBUF);
}

/* ---- buffers ---- */

/* Hands back what has been filled. */
static int give_back(struct vhost_net *net)
{
	struct vhost_vq *vq = &net->vqs[VHOST_NET_RX];
	struct vhost_net_buffers *rx = &net->rx;
	unsigned n = rx->filled - rx->given;
	int ret = vhost_vq_used(vq, rx->chains + rx->given, n);

	rx->given = rx->filled;
	if (n && !ret)
		vhost_vq_signal(vq);
	return ret;
}

/* Puts back what is empty. */
static void unfetch(struct vhost_net *net)
{
	struct vhost_net_buffers *rx = &net->rx;

	virtqueue_unfetch(&net->vqs[VHOST_NET_RX].ring, rx->chains + rx->filled,
			  rx->n - rx->filled);
	rx->n = rx->filled;
}

/* One more batch of chains: 1, 0 if there is none, or an error of the ring. */
static int fetch(struct vhost_net *net)
{
	struct vhost_vq *vq = &net->vqs[VHOST_NET_RX];
	struct vhost_net_buffers *rx = &net->rx;
	int n = give_back(net);

	if (n)
		return n;
	if (rx->n == rx->filled) {
		rx->given = rx->filled = rx->n = 0;
		virtqueue_pool_reset(&rx->pool);
	}
	n = virtqueue_fetch(&vq->ring, rx->chains + rx->n, rx->batch, &rx->pool);
	if (n <= 0)
		return n;
	rx->n += (unsigned)n;
	if (rx->batch < VHOST_NET_BATCH)
		rx->batch *= 2;
	return 1;
}

/*
 * The guest gave something that is no buffer.  The kernel forgets one chain, the first of
 * those it had looked at for this packet, and waits for the next kick.
 */
static int bad_chain(struct vhost_net *net)
{
	struct vhost_vq *vq = &net->vqs[VHOST_NET_RX];
	struct vhost_net_buffers *rx = &net->rx;

	give_back(net);
	virtqueue_unfetch(&vq->ring, rx->chains + rx->filled + 1, rx->n - rx->filled - 1);
	virtqueue_drop(&vq->ring, &rx->chains[rx->filled]);
	rx->n = rx->filled;
	return virtqueue_fail(&vq->ring, -EINVAL, "a chain that no packet can be put in");
}

/*
 * Takes buffers until they have `size` bytes: 1; 0 if there are not enough; -E2BIG if one
 * buffer is too small and more can't be had; or an error of the ring.  `taken` is what there
 * was in any case; one that has some already gets more.
 */
static int take(struct vhost_net *net, uint64_t size, struct taken *taken)
{
	struct vhost_net_buffers *rx = &net->rx;
	int ret;

	while (taken->size < size) {
		const struct virtqueue_chain *chain = &rx->chains[rx->filled + taken->chains];

		if (taken->chains && !mergeable(net))
			return -E2BIG;
		if (rx->filled + taken->chains == rx->n) {
			/* No room for a batch: then the packet begins the next one. */
			if (rx->n > VHOST_NET_IOV) {
				if (!rx->filled)
					return -E2BIG;
				unfetch(net);
				*taken = (struct taken){0};
				continue;
			}
			ret = fetch(net);
			if (ret <= 0)
				return ret;
			continue;
		}
		if (chain->n_readable || !chain->n_writable || chain->n_writable > PIECES)
			return bad_chain(net);
		if (taken->pieces + chain->n_writable > PIECES)
			return -E2BIG;
		memcpy(rx->pieces + taken->pieces, chain->writable,
		       chain->n_writable * sizeof(struct iovec));
		taken->pieces += chain->n_writable;
		taken->size += chain->writable_size;
		taken->chains++;
	}
	return 1;
}

/* ---- packets ---- */

/*
 * The packet of `size` bytes (all headers included) is in the buffers.  Writes what vhost has
 * to say of it and counts its chains as filled.  0 or -EFAULT.
 */
static int finish(struct vhost_net *net, const struct taken *taken, uint64_t size)
{
	static const struct virtio_net_hdr plain = {.gso_type = VIRTIO_NET_HDR_GSO_NONE};
	struct vhost_net_buffers *rx = &net->rx;
	uint16_t count = 0;
	uint64_t left = size;

	for (struct virtqueue_chain *chain = &rx->chains[rx->filled]; left; chain++) {
		chain->written =
			(uint32_t)(left < chain->writable_size ? left : chain->writable_size);
		left -= chain->written;
		count++;
	}
	if (net->vhost_header && iovec_write(rx->pieces, taken->pieces, 0, &plain, sizeof(plain)))
		return -EFAULT;
	if ((mergeable(net) || vhost_has_feature(&net->dev, VIRTIO_F_VERSION_1)) &&
	    iovec_write(rx->pieces, taken->pieces, sizeof(plain), &count, sizeof(count)))
		return -EFAULT;
	rx->filled += count;
	return 0;
}

/* What one packet came to. */
enum outcome {
	DELIVERED,
	LOST,
	NONE,       /* no packet */
	NO_BUFFERS, /* and the packet is kept */
	BROKEN,     /* the ring */
};

static enum outcome deliver(struct vhost_net *net, const struct taken *taken, uint64_t size)
{
	if (!finish(net, taken, size))
		return DELIVERED;
	give_back(net);
	virtqueue_fail(&net->vqs[VHOST_NET_RX].ring, -EFAULT, "no memory for a header");
	return BROKEN;
}

/* A packet that is in our memory. */
static enum outcome copy(struct vhost_net *net, const struct vhost_net_arrival *p, uint64_t *bytes)
{
	uint64_t size = (uint64_t)net->vhost_header + p->header_size + p->size;
	struct vhost_net_buffers *rx = &net->rx;
	struct taken taken = {0};
	int ret = take(net, size, &taken);

	if (ret == -E2BIG)
		return LOST;
	if (ret <= 0)
		return ret < 0 ? BROKEN : NO_BUFFERS;
	if (iovec_write(rx->pieces, taken.pieces, net->vhost_header, p->header, p->header_size) ||
	    iovec_write(rx->pieces, taken.pieces, net->vhost_header + p->header_size, p->data,
			p->size))
		return LOST;
	*bytes += size;
	return deliver(net, &taken, size);
}

static enum outcome copy_held(struct vhost_net *net, uint64_t *bytes)
{
	struct vhost_net_arrival p = {.data = net->rx.held, .size = net->rx.held_size};
	enum outcome outcome = copy(net, &p, bytes);

	if (outcome == DELIVERED || outcome == LOST)
		net->rx.held_size = 0;
	return outcome;
}

static enum outcome copy_arrival(struct vhost_net *net, uint64_t *bytes)
{
	struct vhost_net_socket *s = net->socket[VHOST_NET_RX];
	struct vhost_net_arrival p;
	enum outcome outcome;

	atomic_store(&net->arrived, false);
	if (!s->ops->peek(s, &p, net->socket_header))
		return NONE;
	outcome = copy(net, &p, bytes);
	if (outcome == DELIVERED || outcome == LOST)
		s->ops->consume(s);
	atomic_store(&net->arrived, true);
	return outcome;
}

/* What to expect of the next packet: follows the big ones at once, the small ones slowly. */
static void learn(struct vhost_net_buffers *rx, uint32_t size)
{
	if (size > rx->expected)
		rx->expected = size;
	else
		rx->expected -= (rx->expected - size + 15) / 16;
}

/*
 * The packet did not fit: `room` bytes are in the buffers taken, the rest is behind as many
 * bytes of rx->held.
 */
static enum outcome spread(struct vhost_net *net, const struct taken *taken, uint32_t room,
			   uint32_t size, uint64_t *bytes)
{
	struct vhost_net_buffers *rx = &net->rx;

	if (iovec_read(rx->pieces, taken->pieces, net->vhost_header, rx->held, room))
		return LOST;
	rx->held_size = size;
	return copy_held(net, bytes);
}

/* Has the socket fill the pieces: the packet's size; 0: it is lost; -EAGAIN: there is none. */
static long ask(struct vhost_net *net, const struct iovec *iov, unsigned n)
{
	struct vhost_net_socket *s = net->socket[VHOST_NET_RX];
	long size;

	size = s->ops->receive(s, iov, n);
	if (size == -EAGAIN) {
		/* What arrives from now on is told to this very thread, afterwards. */
		atomic_store(&net->arrived, false);
		return size;
	}
	if (size <= 0 || size > (long)VHOST_NET_PACKET_MAX)
		return 0;
	learn(&net->rx, (uint32_t)size);
	return size;
}

/* The next packet goes to our buffer, and no further than that if none of the guest's is big
 * enough. */
static enum outcome receive_small(struct vhost_net *net, uint64_t *bytes)
{
	struct iovec iov = {net->rx.held, VHOST_NET_PACKET_MAX};
	long size = ask(net, &iov, 1);

	if (size <= 0)
		return size ? NONE : LOST;
	net->rx.held_size = (uint32_t)size;
	return copy_held(net, bytes);
}

/* The next packet goes to the guest's buffers, of which some are `taken`. */
static enum outcome receive_big(struct vhost_net *net, const struct taken *taken, uint64_t *bytes)
{
	struct vhost_net_buffers *rx = &net->rx;
	uint32_t own = net->vhost_header, room;
	struct iovec *iov = rx->pieces;
	unsigned n = taken->pieces;
	long size;

	room = taken->size < own                          ? 0
	       : taken->size - own < VHOST_NET_PACKET_MAX ? (uint32_t)(taken->size - own)
							  : VHOST_NET_PACKET_MAX;
	if (own || taken->size > VHOST_NET_PACKET_MAX) {
		n = iovec_cut(rx->pieces, taken->pieces, own, room, rx->cut);
		iov = rx->cut;
	}
	if (room < VHOST_NET_PACKET_MAX)
		iov[n++] = (struct iovec){rx->held + room, VHOST_NET_PACKET_MAX};
	size = ask(net, iov, n);
	if (size <= 0)
		return size ? NONE : LOST;
	if (size > (long)room)
		return spread(net, taken, room, (uint32_t)size, bytes);
	*bytes += (uint64_t)size;
	return deliver(net, taken, own + (uint64_t)size);
}

/* The next packet of a socket that doesn't tell about it before. */
static enum outcome receive(struct vhost_net *net, uint64_t *bytes)
{
	uint32_t expected = net->rx.expected;
	bool small = expected <= SMALL;
	struct taken taken = {0};
	int ret;

	ret = take(net, small ? 1 : (uint64_t)net->vhost_header + expected, &taken);
	if (ret < 0 && ret != -E2BIG)
		return BROKEN;
	if (!taken.chains)
		return NO_BUFFERS;
	return small ? receive_small(net, bytes) : receive_big(net, &taken, bytes);
}

static enum outcome next_packet(struct vhost_net *net, uint64_t *bytes)
{
	if (net->rx.held_size)
		return copy_held(net, bytes);
	if (!atomic_load(&net->arrived))
		return NONE;
	return net->socket[VHOST_NET_RX]->ops->peek ? copy_arrival(net, bytes)
						    : receive(net, bytes);
}

/* The loop of a round; true: it ended early. */
static bool fill(struct vhost_net *net)
{
	struct vhost_vq *vq = &net->vqs[VHOST_NET_RX];
	uint64_t bytes = 0;

	for (unsigned packets = 0; packets < VHOST_NET_PACKETS && bytes < VHOST_NET_WEIGHT;) {
		switch (next_packet(net, &bytes)) {
		case DELIVERED:
		case LOST:
			packets++;
			break;
		case NONE:
			return false;
		case NO_BUFFERS:
			/* Asks for a kick by what comes after the chains that are not enough. */
			if (virtqueue_enable_kicks(&vq->ring) != 1)
				return false;
			virtqueue_disable_kicks(&vq->ring);
			break;
		case BROKEN:
			return false;
		}
	}
	return true;
}

bool vhost_net_receive(struct vhost_net *net)
{
	struct vhost_vq *vq = &net->vqs[VHOST_NET_RX];
	struct vhost_net_socket *s = net->socket[VHOST_NET_RX];
	struct vhost_net_buffers *rx = &net->rx;
	bool more;

	if (!vhost_vq_runnable(vq))
		return false;
	virtqueue_disable_kicks(&vq->ring);
	rx->batch = FIRST_BATCH;
	more = fill(net);
	give_back(net);
	unfetch(net);
	rx->given = rx->filled = rx->n = 0;
	virtqueue_pool_reset(&rx->pool);
	if (s->ops->settle)
		s->ops->settle(s);
	if (virtqueue_error(&vq->ring, NULL))
		vhost_vq_error(vq);
	return more;
}
