/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports for load: a packet always waits, and what is sent is read and dropped.
 *
 * All packets are the same one, a broadcast of a protocol that nobody speaks, from a station
 * of its own.  A receiver is never told of them: it never finds the port empty.
 */
#include <stdio.h>
#include <stdlib.h>

#include "backend/net_private.h"

#define PROTOCOL 0x88b5u /* IEEE 802: for local experiments */
#define LINES(n) (((n) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE)
#define PLACE    LINES(NET_FRAME_MAX)

struct flood {
	uint32_t size;
	uint8_t *frame;
	uint8_t *sent; /* PLACE bytes of each queue */
};

/* 0 or -EINVAL, with a line in `error`. */
static int parse(const char *value, uint32_t *ret_size, char error[NET_ERROR_MAX])
{
	char *end = NULL;
	unsigned long size = strtoul(value, &end, 10);

	if (*end || size < ETHER_HEADER || size > NET_FRAME_MAX) {
		snprintf(error, NET_ERROR_MAX, "flood=%.40s: bytes of a frame, %u to %u", value,
			 ETHER_HEADER, NET_FRAME_MAX);
		return -EINVAL;
	}
	*ret_size = (uint32_t)size;
	return 0;
}

static int flood_check(const char *value, char error[NET_ERROR_MAX])
{
	uint32_t size;

	return parse(value, &size, error);
}

static void flood_close(struct net_port *port)
{
	struct flood *f = port->priv;

	free(f->sent);
	free(f->frame);
	free(f);
}

static int flood_open(struct net_port *port, const char *value, char error[NET_ERROR_MAX])
{
	static const uint8_t header[ETHER_HEADER] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff,          0x02,
		0,    0,    0,    0,    0x01, PROTOCOL >> 8, PROTOCOL & 0xff};
	struct flood *f = calloc(1, sizeof(*f));
	uint32_t size;
	int ret = parse(value, &size, error);

	if (f && !ret) {
		f->size = size;
		f->frame = aligned_alloc(CACHE_LINE, LINES(size));
		f->sent = aligned_alloc(CACHE_LINE, port->n_queues * PLACE);
	}
	if (!ret && (!f || !f->frame || !f->sent)) {
		strcpy(error, "out of memory");
		ret = -ENOMEM;
	}
	port->priv = f;
	if (ret) {
		if (f)
			flood_close(port);
		return ret;
	}
	memset(f->frame, 0, size);
	memcpy(f->frame, header, sizeof(header));
	return 0;
}

static inline uint8_t *reserve(void *place, uint32_t size)
{
	return place;
}

static inline void commit(void *place, const struct virtio_net_hdr *header, uint32_t size)
{
}

static unsigned flood_send(struct net_port *port, unsigned queue, const struct net_packet *packets,
			   unsigned n)
{
	const struct flood *f = port->priv;

	return net_send_frames(&port->queues[queue], ~(net_offloads)0, packets, n, reserve, commit,
			       f->sent + (size_t)queue * PLACE);
}

static unsigned flood_peek(struct net_port *port, unsigned queue, struct net_arrival *arrivals,
			   unsigned n)
{
	const struct flood *f = port->priv;

	for (unsigned i = 0; i < n; i++)
		arrivals[i] = (struct net_arrival){.data = f->frame, .size = f->size};
	return n;
}

static void flood_consume(struct net_port *port, unsigned queue, unsigned n)
{
	const struct flood *f = port->priv;
	struct net_counts *counts = &port->queues[queue].received;

	net_count(&counts->packets, n);
	net_count(&counts->bytes, (uint64_t)n * f->size);
}

const struct net_kind net_flood_kind = {
	.name = "flood",
	.wants_value = true,
	.check = flood_check,
	.open = flood_open,
	.close = flood_close,
	.send = flood_send,
	.peek = flood_peek,
	.consume = flood_consume,
};
