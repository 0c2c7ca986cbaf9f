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
#include "core/user.h"

#define CACHE_LINE   64
#define ETHER_HEADER 14u

/* Written by the one thread that sends, or receives, on a queue; read by any. */
struct net_counts {
	_Atomic uint64_t packets, bytes, dropped;
};

struct net_queue {
	_Alignas(CACHE_LINE) struct net_counts sent;
	_Alignas(CACHE_LINE) struct net_counts received;
	bool admitted; /* the fault point has seen the first that has arrived */
	/* Who is told.  The lock is held while it runs. */
	_Alignas(CACHE_LINE) pthread_mutex_t ready_lock;
	void (*_Atomic ready)(void *arg);
	void *ready_arg;
};

struct net_kind {
	const char *name; /* as in a specification */
	bool wants_path;
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

extern const struct net_kind net_loopback_kind, net_null_kind;

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

#endif
