/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports that lead nowhere: what is sent on a queue comes back on it, or is dropped.
 */
#include <stdlib.h>

#include "backend/net_ring.h"

static void loopback_close(struct net_port *port)
{
	struct net_ring *rings = port->priv;

	for (unsigned i = 0; i < port->n_queues; i++)
		net_ring_finish(&rings[i]);
	free(rings);
}

static int loopback_open(struct net_port *port, const char *path, char error[NET_ERROR_MAX])
{
	struct net_ring *rings = aligned_alloc(CACHE_LINE, port->n_queues * sizeof(*rings));
	int ret = rings ? 0 : -ENOMEM;

	if (rings)
		memset(rings, 0, port->n_queues * sizeof(*rings));
	port->priv = rings;
	for (unsigned i = 0; i < port->n_queues && !ret; i++)
		ret = net_ring_init(&rings[i]);
	if (ret) {
		strcpy(error, "out of memory");
		if (rings)
			loopback_close(port);
	}
	return ret;
}

static inline uint8_t *reserve(void *ring, uint32_t size)
{
	return net_ring_reserve(ring, size);
}

static inline void commit(void *ring, const struct virtio_net_hdr *header, uint32_t size)
{
	net_ring_commit(ring, header, size);
}

static unsigned loopback_send(struct net_port *port, unsigned queue,
			      const struct net_packet *packets, unsigned n)
{
	struct net_ring *r = (struct net_ring *)port->priv + queue;
	net_offloads offloads = atomic_load_explicit(&port->offloads, memory_order_relaxed);
	unsigned taken =
		net_send_frames(&port->queues[queue], offloads, packets, n, reserve, commit, r);

	if (net_ring_publish(r))
		net_tell(port, queue);
	return taken;
}

static unsigned loopback_peek(struct net_port *port, unsigned queue, struct net_arrival *arrivals,
			      unsigned n)
{
	return net_ring_peek((struct net_ring *)port->priv + queue, arrivals, n);
}

static void loopback_consume(struct net_port *port, unsigned queue, unsigned n)
{
	struct net_counts *counts = &port->queues[queue].received;
	uint64_t bytes = 0;
	bool tell = net_ring_consume((struct net_ring *)port->priv + queue, n, &bytes);

	net_count(&counts->packets, n);
	net_count(&counts->bytes, bytes);
	if (tell)
		net_tell(port, queue);
}

const struct net_kind net_loopback_kind = {
	.name = "loopback",
	.open = loopback_open,
	.close = loopback_close,
	.send = loopback_send,
	.peek = loopback_peek,
	.consume = loopback_consume,
};

static unsigned null_send(struct net_port *port, unsigned queue, const struct net_packet *packets,
			  unsigned n)
{
	struct net_counts *counts = &port->queues[queue].sent;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += packets[i].size;
	net_count(&counts->packets, n);
	net_count(&counts->bytes, bytes);
	return n;
}

const struct net_kind net_null_kind = {
	.name = "null",
	.send = null_send,
};
