/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices/virtio_net.h - between the virtio-net model's files.
 *
 *	virtio_net.c         the model: its keys, features, configuration
 *	virtio_net_thread.c  the thread that moves packets
 */
#ifndef STANDIN_DEVICES_VIRTIO_NET_H
#define STANDIN_DEVICES_VIRTIO_NET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "backend/net.h"
#include "devices/virtio_pci.h"
#include "virtio/net_control.h"
#include "virtio/net_queue.h"

#define NET_PAIRS_MAX ((VIRTIO_QUEUES - 1) / 2)

struct net {
	struct virtio virtio;  /* first */
	const char *spec;      /* net= */
	struct net_port *port; /* NULL until the driver enables bus mastering */
	unsigned n_pairs;
	struct virtio_net_queue *pairs;
	struct virtio_net_control control;
	uint8_t mac[6];
	/* The thread; it exists when there is a port. */
	pthread_t thread;
	int epoll, wake; /* private descriptors, -1 */
	_Atomic bool sleeping, ending;
};

static inline struct virtio_queue *net_receive_queue(struct net *n, unsigned pair)
{
	return &n->virtio.queues[2 * pair];
}

static inline struct virtio_queue *net_transmit_queue(struct net *n, unsigned pair)
{
	return &n->virtio.queues[2 * pair + 1];
}

/* 5.1.2: behind the last pair that the driver can use. */
static inline struct virtio_queue *net_control_queue(struct net *n)
{
	bool several = n->virtio.features & VIRTQUEUE_F(VIRTIO_NET_F_MQ);

	return &n->virtio.queues[several ? 2 * n->n_pairs : 2];
}

/* Opened port, no thread yet.  0 or -errno.  Ordinary context. */
int net_thread_start(struct net *n);
/* Waits for its end.  Nothing if there is none. */
void net_thread_stop(struct net *n);
/* There may be work.  Any context. */
void net_thread_wake(struct net *n);

#endif
