/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend/net.h - what a network device is plugged into: one end of an Ethernet link.
 *
 * A port takes the packets that a device sends and holds those that have arrived until the
 * device takes them.  It is opened from a specification, the argument of --net or of a
 * device's key net=:
 *
 *	loopback     what is sent comes back
 *	hub=PATH     every port of every process that names the same Unix socket
 *	socket=PATH  a stream socket with QEMU's framing (length, big-endian, before each
 *	             frame), as passt and `-netdev stream` speak it
 *	pcap=FILE    written to a capture file; nothing ever arrives
 *	null         dropped; nothing ever arrives
 *	flood=BYTES  dropped when read; a frame of that many bytes always waits: for load
 *
 * Offloads.  A packet has a struct virtio_net_hdr beside its bytes.  A sender may leave
 * checksums and segmentation to the port, which does them itself where the other side
 * can't (as the kernel does for a tap).  A receiver says with net_set_offloads() what it
 * takes; without, it gets whole checksums, and segments.
 *
 * Threads.  One thread at a time receives from a queue; any may send.  Nothing blocks.  Not
 * for signal handlers.
 */
#ifndef STANDIN_BACKEND_NET_H
#define STANDIN_BACKEND_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <linux/virtio_net.h>

#define NET_QUEUES_MAX 256u
#define NET_FRAME_MAX  (65536u + 14u + 4u) /* bytes of an unsegmented frame, VLAN tag included */
#define NET_ERROR_MAX  256

/* What a receiver may accept: bits as of TUNSETOFFLOAD (linux/if_tun.h, TUN_F_*). */
typedef uint32_t net_offloads;

struct net_port;

/* A packet to be sent.  iov may point to a client's memory: it is read with copy_guarded(). */
struct net_packet {
	struct virtio_net_hdr header; /* host order; all 0: complete as it is */
	const struct iovec *iov;
	unsigned n_iov;
	uint32_t size; /* bytes of the frame */
};

/* A packet that has arrived: the port's memory until net_consume(). */
struct net_arrival {
	struct virtio_net_hdr header; /* host order */
	const uint8_t *data;
	uint32_t size;
};

struct net_stats {
	uint64_t sent, sent_bytes, received, received_bytes;
	uint64_t dropped; /* unreadable, malformed or too big, or the other side had no room */
};

/*
 * Checks a specification without opening anything.  0, or -EINVAL with one line in `error`.
 */
int net_check(const char *spec, char error[NET_ERROR_MAX]);
/* The path in a specification (a piece of it), or NULL: it has none, or is not a good one. */
const char *net_path(const char *spec);
/* Removes what a process that was killed may have left of its end: the socket of a hub. */
void net_clean(const char *spec);
/*
 * Opens a port with `queues` queue pairs.  `name` is for logs and pcap.  0 or -errno with
 * one line in `error`.
 */
int net_open(const char *spec, const char *name, unsigned queues, struct net_port **ret_port,
	     char error[NET_ERROR_MAX]);
/* No thread is in any of the port's functions any more.  NULL is fine. */
void net_close(struct net_port *port);

/*
 * Who to tell that packets have arrived where there were none, or that a port that had no
 * room to send has some again.  Called on any thread, also the one that is in net_send() or
 * net_consume(), at least once per such change, perhaps for nothing.  NULL: nobody.
 *
 * What is there when this is called is not told: look after it.  Who has then seen
 * net_peek() return 0, or net_send() take fewer than it was given, may sleep.  After it
 * returns the previous function isn't running any more: so `ready` must not wait for a lock
 * that is held here.
 */
void net_set_ready(struct net_port *port, unsigned queue, void (*ready)(void *arg), void *arg);
/*
 * The same for who has opened the port and lends it to somebody else for a time, as a tap
 * to vhost: told only while nobody is set by net_set_ready(), and once when that ends.
 */
void net_set_owner_ready(struct net_port *port, unsigned queue, void (*ready)(void *arg),
			 void *arg);
/* Whether somebody is set by net_set_ready(): the owner keeps from receiving then. */
bool net_lent(const struct net_port *port, unsigned queue);
/*
 * A private descriptor that stays the port's: readable when net_peek() may have something
 * new, writable when net_send() may have room.  For a thread that waits in epoll anyway.
 * -1: the port has none, and net_set_ready() tells everything.
 */
int net_fd(const struct net_port *port, unsigned queue);

/*
 * Sends at most n packets; returns how many were taken.  Fewer than n: the port has no
 * room for the next one now.  A packet that can't be sent counts as taken and dropped.
 */
unsigned net_send(struct net_port *port, unsigned queue, const struct net_packet *packets,
		  unsigned n);
/*
 * The next packets that have arrived, at most n, in order, without taking them: their
 * number.  The same again until they are consumed.
 */
unsigned net_peek(struct net_port *port, unsigned queue, struct net_arrival *arrivals, unsigned n);
/* Takes the first n of those that net_peek() has shown. */
void net_consume(struct net_port *port, unsigned queue, unsigned n);

/* What the receiver of all queues takes from now on; -EINVAL: unknown bits. */
int net_set_offloads(struct net_port *port, net_offloads offloads);
/*
 * What the link's stations agree on if nobody says otherwise: bytes, Ethernet header not
 * counted.  Longer frames, to NET_FRAME_MAX, are carried too.
 */
unsigned net_mtu(const struct net_port *port);
void net_stats(const struct net_port *port, struct net_stats *ret_stats);

#endif
