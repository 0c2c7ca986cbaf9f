/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports: from a specification to its kind, and what all kinds have in common: fault points,
 * counters, whom to tell.
 *
 * Where a fault is configured, packets go one by one: each is an arrival at its point once,
 * however often it is looked at.
 */
#include <stdio.h>
#include <stdlib.h>

#include "backend/net_private.h"
#include "core/fault.h"
#include "core/log.h"
#include "uapi/tun.h"

FAULT_POINTS(net_points, "net.send", "net.receive")

#define OFFLOADS \
	(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO | TUN_F_USO4 | TUN_F_USO6)
#define MTU 1500u

static const struct net_kind *const kinds[] = {
	&net_loopback_kind, &net_hub_kind,  &net_socket_kind,
	&net_pcap_kind,     &net_null_kind, &net_flood_kind,
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* *ret_path points into spec. */
static int parse(const char *spec, const struct net_kind **ret_kind, const char **ret_path,
		 char error[NET_ERROR_MAX])
{
	size_t length = strcspn(spec, "=");
	const char *path = spec[length] ? spec + length + 1 : NULL;

	for (size_t i = 0; i < N_KINDS; i++) {
		const struct net_kind *kind = kinds[i];

		if (strlen(kind->name) != length || memcmp(kind->name, spec, length) != 0)
			continue;
		if (kind->wants_value ? !path || !*path : path != NULL) {
			snprintf(error, NET_ERROR_MAX,
				 kind->wants_value ? "%s: nothing is given behind it"
						   : "%s takes no value",
				 kind->name);
			return -EINVAL;
		}
		*ret_kind = kind;
		*ret_path = path;
		return kind->check ? kind->check(path, error) : 0;
	}
	snprintf(error, NET_ERROR_MAX, "no such network: %.200s", spec);
	return -EINVAL;
}

int net_check(const char *spec, char error[NET_ERROR_MAX])
{
	const struct net_kind *kind;
	const char *path;

	return parse(spec, &kind, &path, error);
}

const char *net_path(const char *spec)
{
	char error[NET_ERROR_MAX];
	const struct net_kind *kind;
	const char *path;

	return parse(spec, &kind, &path, error) == 0 && !kind->check ? path : NULL;
}

static void free_port(struct net_port *port)
{
	for (unsigned i = 0; i < port->n_queues; i++) {
		pthread_mutex_destroy(&port->queues[i].ready_lock);
		pthread_mutex_destroy(&port->queues[i].send_lock);
	}
	free(port->queues);
	free(port);
}

int net_open(const char *spec, const char *name, unsigned queues, struct net_port **ret_port,
	     char error[NET_ERROR_MAX])
{
	const struct net_kind *kind;
	struct net_port *port;
	const char *path;
	int ret = parse(spec, &kind, &path, error);

	if (ret)
		return ret;
	if (queues == 0 || queues > NET_QUEUES_MAX) {
		snprintf(error, NET_ERROR_MAX, "%u queues", queues);
		return -EINVAL;
	}
	port = calloc(1, sizeof(*port));
	if (port)
		port->queues = aligned_alloc(CACHE_LINE, queues * sizeof(*port->queues));
	if (!port || !port->queues) {
		free(port);
		snprintf(error, NET_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	memset(port->queues, 0, queues * sizeof(*port->queues));
	port->kind = kind;
	port->n_queues = queues;
	snprintf(port->name, sizeof(port->name), "%s", name);
	for (unsigned i = 0; i < queues; i++) {
		pthread_mutex_init(&port->queues[i].ready_lock, NULL);
		pthread_mutex_init(&port->queues[i].send_lock, NULL);
	}
	ret = kind->open ? kind->open(port, path, error) : 0;
	if (ret) {
		free_port(port);
		return ret;
	}
	*ret_port = port;
	return 0;
}

void net_close(struct net_port *port)
{
	struct net_stats s;

	if (!port)
		return;
	if (port->kind->close)
		port->kind->close(port);
	net_stats(port, &s);
	log_info("net: %s: sent %llu packets, %llu bytes; received %llu packets, %llu bytes; "
		 "dropped %llu",
		 port->name, (unsigned long long)s.sent, (unsigned long long)s.sent_bytes,
		 (unsigned long long)s.received, (unsigned long long)s.received_bytes,
		 (unsigned long long)s.dropped);
	free_port(port);
}

void net_set_ready(struct net_port *port, unsigned queue, void (*ready)(void *arg), void *arg)
{
	struct net_queue *q = &port->queues[queue];
	void (*owner)(void *arg);

	pthread_mutex_lock(&q->ready_lock);
	q->ready_arg = arg;
	atomic_store(&q->ready, ready);
	owner = atomic_load(&q->owner_ready);
	if (!ready && owner)
		owner(q->owner_arg);
	pthread_mutex_unlock(&q->ready_lock);
}

void net_set_owner_ready(struct net_port *port, unsigned queue, void (*ready)(void *arg), void *arg)
{
	struct net_queue *q = &port->queues[queue];

	pthread_mutex_lock(&q->ready_lock);
	q->owner_arg = arg;
	atomic_store(&q->owner_ready, ready);
	pthread_mutex_unlock(&q->ready_lock);
}

bool net_lent(const struct net_port *port, unsigned queue)
{
	return atomic_load_explicit(&port->queues[queue].ready, memory_order_relaxed) != NULL;
}

void net_tell(struct net_port *port, unsigned queue)
{
	struct net_queue *q = &port->queues[queue];
	void (*ready)(void *arg);

	if (!atomic_load_explicit(&q->ready, memory_order_relaxed) &&
	    !atomic_load_explicit(&q->owner_ready, memory_order_relaxed))
		return;
	pthread_mutex_lock(&q->ready_lock);
	ready = atomic_load_explicit(&q->ready, memory_order_relaxed);
	if (ready)
		ready(q->ready_arg);
	else if ((ready = atomic_load_explicit(&q->owner_ready, memory_order_relaxed)))
		ready(q->owner_arg);
	pthread_mutex_unlock(&q->ready_lock);
}

int net_fd(const struct net_port *port, unsigned queue)
{
	return port->kind->fd ? port->kind->fd(port, queue) : -1;
}

static unsigned send_with_faults(struct net_port *port, unsigned queue,
				 const struct net_packet *packets, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (fault_check("net.send"))
			net_count(&port->queues[queue].sent.dropped, 1);
		else if (!port->kind->send(port, queue, &packets[i], 1))
			break;
	return i;
}

unsigned net_send(struct net_port *port, unsigned queue, const struct net_packet *packets,
		  unsigned n)
{
	unsigned taken;

	pthread_mutex_lock(&port->queues[queue].send_lock);
	if (__builtin_expect(fault_enabled, 0))
		taken = send_with_faults(port, queue, packets, n);
	else
		taken = port->kind->send(port, queue, packets, n);
	pthread_mutex_unlock(&port->queues[queue].send_lock);
	return taken;
}

static unsigned peek_with_faults(struct net_port *port, unsigned queue,
				 struct net_arrival *arrivals)
{
	struct net_queue *q = &port->queues[queue];

	while (port->kind->peek(port, queue, arrivals, 1)) {
		if (q->admitted || !fault_check("net.receive")) {
			q->admitted = true;
			return 1;
		}
		port->kind->consume(port, queue, 1);
		net_count(&q->received.dropped, 1);
	}
	return 0;
}

int64_t net_send_cut(const struct net_packet *p, net_reserve_fn *reserve, net_commit_fn *commit,
		     void *sink, unsigned *ret_frames)
{
	static const struct virtio_net_hdr none;
	uint8_t *frame = malloc(p->size), *to;
	struct net_offload o;
	int64_t bytes = 0;
	uint32_t size;
	unsigned i = 0;

	if (frame && !net_gather(frame, p) && !net_offload_begin(&o, &p->header, frame, p->size)) {
		/* Room for the whole first, so that a burst is not cut off in its middle. */
		size = o.n_frames * o.headers + o.size;
		if (!reserve(sink, size < NET_FRAME_MAX ? size : NET_FRAME_MAX))
			bytes = -1;
		for (; bytes >= 0 && i < o.n_frames; i++) {
			size = net_offload_size(&o, i);
			to = reserve(sink, size);
			if (!to)
				break;
			net_offload_frame(&o, i, to);
			commit(sink, &none, size);
			bytes += size;
		}
	}
	free(frame);
	*ret_frames = i;
	return bytes;
}

unsigned net_peek(struct net_port *port, unsigned queue, struct net_arrival *arrivals, unsigned n)
{
	if (!port->kind->peek || !n)
		return 0;
	if (__builtin_expect(fault_enabled, 0))
		return peek_with_faults(port, queue, arrivals);
	return port->kind->peek(port, queue, arrivals, n);
}

void net_consume(struct net_port *port, unsigned queue, unsigned n)
{
	if (!n)
		return;
	port->queues[queue].admitted = false;
	port->kind->consume(port, queue, n);
}

int net_set_offloads(struct net_port *port, net_offloads offloads)
{
	if (offloads & ~(net_offloads)OFFLOADS)
		return -EINVAL;
	atomic_store_explicit(&port->offloads, offloads, memory_order_relaxed);
	return 0;
}

unsigned net_mtu(const struct net_port *port)
{
	(void)port;
	return MTU;
}

void net_stats(const struct net_port *port, struct net_stats *ret_stats)
{
	struct net_stats s = {0};

	for (unsigned i = 0; i < port->n_queues; i++) {
		const struct net_queue *q = &port->queues[i];

		s.sent += atomic_load_explicit(&q->sent.packets, memory_order_relaxed);
		s.sent_bytes += atomic_load_explicit(&q->sent.bytes, memory_order_relaxed);
		s.received += atomic_load_explicit(&q->received.packets, memory_order_relaxed);
		s.received_bytes += atomic_load_explicit(&q->received.bytes, memory_order_relaxed);
		s.dropped += atomic_load_explicit(&q->sent.dropped, memory_order_relaxed) +
			     atomic_load_explicit(&q->received.dropped, memory_order_relaxed);
	}
	*ret_stats = s;
}
