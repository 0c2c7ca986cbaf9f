/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's network driver on /dev/vhost-net, whose guest addresses are this process's, and
 * the wires that it can be plugged into: stood-in taps that send everything back, and where
 * they can be had the kernel's taps and packet sockets.
 */
#ifndef STANDIN_TESTS_VHOST_NET_RIG_H
#define STANDIN_TESTS_VHOST_NET_RIG_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uapi/vhost.h"
#include "../split_ring.h"

#define NUM       32u
#define AREA      4096u /* bytes behind each descriptor */
#define FRAME_MAX 65536u
#define RX        0u
#define TX        1u

#define BIT(n)    (UINT64_C(1) << (n))
#define VERSION_1 BIT(VIRTIO_F_VERSION_1)
#define MERGEABLE BIT(VIRTIO_NET_F_MRG_RXBUF)
#define OWN       BIT(VHOST_NET_F_VIRTIO_NET_HDR) /* vhost makes the header */
#define INDIRECT  BIT(VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT_IDX BIT(VIRTIO_RING_F_EVENT_IDX)
#define ON_EMPTY  BIT(VIRTIO_F_NOTIFY_ON_EMPTY)

struct net_ring {
	SPLIT_RING(NUM, 16);
	int kick, call, err;
	unsigned next; /* descriptor */
	uint16_t seen; /* of used.idx */
	char area[NUM][AREA];
};

struct guest {
	int fd;
	uint64_t features;
	uint32_t header; /* bytes, in the ring */
	struct net_ring ring[2];
};

/* The rings are set up, with no backend. */
struct guest *guest_create(uint64_t features);
void guest_destroy(struct guest *g);
/* 0 or -errno. */
int guest_backend(struct guest *g, unsigned ring, int fd);
/* Takes the ring's backend away, sets it up as at the beginning, and empties it. */
void guest_reset_ring(struct guest *g, unsigned ring);
/* Waits until the device isn't at work on the ring; returns its base. */
unsigned guest_settle(struct guest *g, unsigned ring);

/* Makes a chain of n descriptors available, with these sizes, and returns its head.  No kick. */
unsigned ring_add(struct net_ring *r, const uint32_t *sizes, unsigned n, bool write);
void ring_kick(struct net_ring *r);
/* The next element used: true, or false if there was none within a time that is long enough. */
bool ring_used(struct net_ring *r, struct vring_used_elem *ret_element);
/* Signals that an eventfd has had since the last time. */
unsigned signals(int eventfd);
/* Waits for one. */
bool signalled(int eventfd);

/* Sends a frame behind a header of zeros in a chain of `n` descriptors of these sizes, which add
 * up to more than the header. */
void guest_send(struct guest *g, const void *frame, const uint32_t *sizes, unsigned n);
/* Gives a chain to receive to. */
void guest_give(struct guest *g, const uint32_t *sizes, unsigned n);
/*
 * The next frame received: its size, -1 if there is none.  *ret_chains is over how many chains
 * it is spread; the header says the same, where it has a field for it.  Either may be NULL.
 */
long guest_receive(struct guest *g, void *frame, struct virtio_net_hdr *ret_header,
		   unsigned *ret_chains);

/* A frame that nobody understands, different for each seed. */
void make_frame(void *frame, size_t size, unsigned seed);

struct wire {
	const char *name;
	bool headers; /* packets have one, unless the guest's features include OWN */
	/* A backend, or -1: there is none here. */
	int (*open)(uint32_t header);
	void (*close)(int backend);
	/* From the host to the guest, and from the guest to the host: -1, nothing came.  For the
	 * latter no guest may be connected to a stood-in tap. */
	void (*put)(int backend, uint32_t header, const void *frame, size_t size);
	long (*get)(int backend, uint32_t header, void *frame);
};

#define WIRES 3u
extern const struct wire wires[WIRES];

/* cmocka's, for the group: --net loopback, in a network namespace of our own if that is to be had.
 */
int net_start(void **state);
int net_stop(void **state);

#endif
