/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From the guest: chains are fetched some dozens at a time, sent where they lie in the guest's
 * memory, and handed back with one index and at most one interrupt.
 */
#include <errno.h>

#include "vhost/net.h"

/* Removes the first `size` bytes of a packet, which has more. */
static void advance(struct vhost_net_packet *p, uint32_t size)
{
	p->size -= size;
	while (p->iov->iov_len <= size) {
		size -= (uint32_t)p->iov->iov_len;
		p->iov++;
		p->n_iov--;
	}
	p->iov->iov_base = (char *)p->iov->iov_base + size;
	p->iov->iov_len -= size;
}

/*
 * Makes packets of the chains up to the first that is none; returns how many.  *ret_lost is
 * whether that one is lost.  If not, it is tried again at the next kick (the kernel tries
 * again and again).
 */
static unsigned make_packets(struct vhost_net *net, unsigned n, bool *ret_lost)
{
	const struct vhost_net_socket *s = net->socket[VHOST_NET_TX];

	*ret_lost = false;
	for (unsigned i = 0; i < n; i++) {
		struct virtqueue_chain *chain = &net->tx.chains[i];
		struct vhost_net_packet *p = &net->tx.packets[i];

		if (chain->n_writable || chain->readable_size <= net->vhost_header ||
		    chain->readable_size > UINT32_MAX) {
			*ret_lost = true;
			return i;
		}
		if (s->strict && chain->readable_size < net->socket_header)
			return i;
		*p = (struct vhost_net_packet){.iov = chain->readable,
					       .n_iov = chain->n_readable,
					       .size = (uint32_t)chain->readable_size};
		if (net->vhost_header)
			advance(p, net->vhost_header);
		chain->written = 0;
	}
	return n;
}

/* Sends what was fetched.  0, or -errno: stop. */
static int send_batch(struct vhost_net *net, unsigned n, uint64_t *bytes)
{
	struct vhost_vq *vq = &net->vqs[VHOST_NET_TX];
	struct vhost_net_socket *s = net->socket[VHOST_NET_TX];
	struct virtqueue_chain *chains = net->tx.chains;
	unsigned good, sent;
	bool lost;
	int ret;

	good = make_packets(net, n, &lost);
	sent = good ? s->ops->send(s, net->tx.packets, good, net->socket_header) : 0;
	for (unsigned i = 0; i < sent; i++)
		*bytes += net->tx.packets[i].size;
	if (sent == good && lost) {
		/* The bad one is lost.  The rest waits until the guest kicks again. */
		virtqueue_unfetch(&vq->ring, chains + good + 1, n - good - 1);
		vhost_vq_used(vq, chains, sent);
		vhost_vq_signal(vq);
		virtqueue_drop(&vq->ring, &chains[good]);
		return virtqueue_fail(&vq->ring, -EINVAL, "a chain that is no packet to send");
	}
	virtqueue_unfetch(&vq->ring, chains + sent, n - sent);
	ret = vhost_vq_used(vq, chains, sent);
	if (ret)
		return ret;
	vhost_vq_signal(vq);
	if (sent == n)
		return 0;
	if (sent == good)
		return -EAGAIN;
	atomic_store(&net->blocked, true);
	s->ops->blocked(s);
	return -EAGAIN;
}

/* The loop of a round; true: it ended early. */
static bool send_all(struct vhost_net *net)
{
	struct vhost_vq *vq = &net->vqs[VHOST_NET_TX];
	unsigned packets = 0;
	uint64_t bytes = 0;
	int n;

	while (packets < VHOST_NET_PACKETS && bytes < VHOST_NET_WEIGHT) {
		virtqueue_pool_reset(&net->tx.pool);
		n = virtqueue_fetch(&vq->ring, net->tx.chains, VHOST_NET_BATCH, &net->tx.pool);
		if (n == 0) {
			if (virtqueue_enable_kicks(&vq->ring) != 1)
				return false;
			virtqueue_disable_kicks(&vq->ring);
			continue;
		}
		if (n < 0 || send_batch(net, (unsigned)n, &bytes))
			return false;
		packets += (unsigned)n;
	}
	return true;
}

bool vhost_net_transmit(struct vhost_net *net)
{
	struct vhost_vq *vq = &net->vqs[VHOST_NET_TX];
	bool more;

	if (!vhost_vq_runnable(vq))
		return false;
	atomic_store(&net->blocked, false);
	virtqueue_disable_kicks(&vq->ring);
	more = send_all(net);
	if (virtqueue_error(&vq->ring, NULL))
		vhost_vq_error(vq);
	return more;
}
