/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend/net_private.h - inside the room: what the kinds of port share.
 */
#ifndef STANDIN_BACKEND_NET_PRIVATE_H
#define STANDIN_BACKEND_NET_PRIVATE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "backend/net.h"
#include "backend/net_offload.h"
#include "core/user.h"

#define CACHE_LINE   64
#define ETHER_HEADER 14u

/* Written by the one thread that sends, or receives, on a queue; read by any. */
struct net_counts {
	_Atomic uint64_t packets, bytes, dropped;
};

struct net_queue {
	_Alignas(CACHE_LINE) pthread_mutex_t send_lock;
	struct net_counts sent;
	_Alignas(CACHE_LINE) struct net_counts received;
	bool admitted; /* the fault point has seen the first that has arrived */
	/* Who is told.  The lock is held while it runs. */
	_Alignas(CACHE_LINE) pthread_mutex_t ready_lock;
	void (*_Atomic ready)(void *arg);
	void *ready_arg;
	void (*_Atomic owner_ready)(void *arg);
	void *owner_arg;
};

struct net_kind {
	const char *name; /* as in a specification */
	bool wants_value; /* behind '=': a path, but where check() says otherwise */
	/* What is wrong with the value: 0 or -EINVAL with one line in `error`.  NULL: nothing. */
	int (*check)(const char *value, char error[NET_ERROR_MAX]);
	/* Fills port->priv.  0 or -errno with one line in `error`. */
	int (*open)(struct net_port *port, const char *path, char error[NET_ERROR_MAX]);
	void (*close)(struct net_port *port);
	int (*fd)(const struct net_port *port, unsigned queue); /* NULL: -1 */
	unsigned (*send)(struct net_port *port, unsigned queue, const struct net_packet *packets,
			 unsigned n);
	/* NULL: nothing ever arrives. */
	unsigned (*peek)(struct net_port *port, unsigned queue, struct net_arrival *arrivals,
			 unsigned n);
	void (*consume)(struct net_port *port, unsigned queue, unsigned n);
};

struct net_port {
	const struct net_kind *kind;
	void *priv;
	char name[64];
	unsigned n_queues;
	struct net_queue *queues;
	_Atomic net_offloads offloads;
};

extern const struct net_kind net_loopback_kind, net_null_kind, net_socket_kind, net_hub_kind,
	net_pcap_kind, net_flood_kind;

/* Calls who wants to know, if anybody does. */
void net_tell(struct net_port *port, unsigned queue);

static inline void net_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* Whether a packet can be one at all. */
static inline bool net_size_ok(const struct net_packet *p)
{
	return p->size >= ETHER_HEADER && p->size <= NET_FRAME_MAX;
}

/* Copies the packet's bytes: 0, or -EFAULT if they can't be read or aren't that many. */
static inline int net_gather(uint8_t *to, const struct net_packet *p)
{
	const struct iovec *iov = p->iov;
	size_t left = p->size, part;

	for (unsigned i = 0; i < p->n_iov && left; i++, iov++) {
		part = iov->iov_len < left ? iov->iov_len : left;
		if (copy_guarded(to, iov->iov_base, part))
			return -EFAULT;
		to += part;
		left -= part;
	}
	return left ? -EFAULT : 0;
}

/*
 * Where the frames of a port go: room for one (NULL: there is none now), and then, that it
 * is filled.
 */
typedef uint8_t *net_reserve_fn(void *sink, uint32_t size);
typedef void net_commit_fn(void *sink, const struct virtio_net_hdr *header, uint32_t size);

/*
 * A packet with something left to do, for a receiver that doesn't take it so: all its
 * frames.  Bytes of them; 0: dropped; -1: no room.
 */
int64_t net_send_cut(const struct net_packet *p, net_reserve_fn *reserve, net_commit_fn *commit,
		     void *sink, unsigned *ret_frames);

/* Whether the receiver gets the header with the packet. */
static inline bool net_header_plain(const struct virtio_net_hdr *h)
{
	return !(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && h->gso_type == VIRTIO_NET_HDR_GSO_NONE;
}

#define NET_AHEAD 4 /* packets that are fetched before their turn */

/*
 * The net_send() of a kind: puts all packets into the sink, completed as far as the receiver
 * doesn't take them as they are.  Inlined, with the sink's functions.
 */
static inline __attribute__((always_inline)) unsigned
net_send_frames(struct net_queue *q, net_offloads offloads, const struct net_packet *packets,
		unsigned n, net_reserve_fn *reserve, net_commit_fn *commit, void *sink)
{
	static const struct virtio_net_hdr none;
	uint64_t sent = 0, bytes = 0, dropped = 0;
	unsigned i, frames;

	for (i = 0; i < n; i++) {
		const struct net_packet *p = &packets[i];
		bool plain = net_header_plain(&p->header);
		uint8_t *to;

		if (i + NET_AHEAD < n)
			__builtin_prefetch(packets[i + NET_AHEAD].iov->iov_base);
		if (!net_size_ok(p) || (!plain && net_offload_check(&p->header, p->size))) {
			dropped++;
			continue;
		}
		if (!plain && net_offload_needed(&p->header, offloads)) {
			int64_t cut = net_send_cut(p, reserve, commit, sink, &frames);

			if (cut < 0)
				break;
			sent += frames;
			bytes += (uint64_t)cut;
			dropped += cut == 0;
			continue;
		}
		to = reserve(sink, p->size);
		if (!to)
			break;
		if (net_gather(to, p)) {
			dropped++;
			continue;
		}
		commit(sink, plain ? &none : &p->header, p->size);
		sent++;
		bytes += p->size;
	}
	net_count(&q->sent.packets, sent);
	net_count(&q->sent.bytes, bytes);
	if (dropped)
		net_count(&q->sent.dropped, dropped);
	return i;
}

#endif
