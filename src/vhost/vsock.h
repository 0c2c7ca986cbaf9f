/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/vsock.h - /dev/vhost-vsock: the host's end of a guest's stream sockets.
 *
 * The guest's side is that of drivers/vhost/vsock.c and net/vmw_vsock.  Where the kernel has
 * AF_VSOCK sockets of other programs, there are Unix sockets here, in Firecracker's
 * convention: who connects to PATH says "CONNECT port\n" and hears "OK port\n"; what the
 * guest connects to, port N of CID 2, is PATH_N.
 *
 * All is done by the device's thread under dev->lock: vsock_packets.c has what comes from and goes
 * to the guest, vsock_host.c the Unix sockets.
 */
#ifndef STANDIN_VHOST_VSOCK_H
#define STANDIN_VHOST_VSOCK_H

#include "vhost/vhost.h"

#define VSOCK_HOST_CID   2u
#define VSOCK_RX         0u
#define VSOCK_TX         1u
#define VSOCK_QUEUES     2u
#define VSOCK_PACKET_MAX (64u << 10)
#define VSOCK_BUFFER     (256u << 10) /* what a guest may send before it is taken */
#define VSOCK_PATH_MAX   96u          /* leaves room in sun_path for _4294967295 */
#define VSOCK_HASH       256u

struct vsock;

enum vsock_state {
	VSOCK_GREETING,   /* a host program has not said which port yet */
	VSOCK_CONNECTING, /* the guest has been asked */
	VSOCK_CONNECTED,
	VSOCK_CLOSING,    /* SHUTDOWN sent for both directions: waits for the guest's RST */
	VSOCK_FLUSHING,   /* the guest is gone; what it sent before still goes to the program */
	VSOCK_DEAD,       /* freed after this round */
};

struct vsock_connection {
	struct vhost_source source;
	struct vsock *vsock;
	struct vsock_connection *next, *hash_next;
	struct vsock_connection *ready_next; /* in the list of those with something to send */
	bool is_ready, hashed;
	enum vsock_state state;
	int fd;
	uint32_t guest_port, host_port;
	bool hung_up;      /* the program has closed its end */
	bool ended;        /* ... or will send no more */
	uint32_t end_sent; /* VIRTIO_VSOCK_SHUTDOWN_* that the guest has been told */
	uint32_t available; /* bytes known to be readable */
	uint32_t guest_shutdown; /* VIRTIO_VSOCK_SHUTDOWN_* that the guest has sent */
	uint64_t deadline; /* us of CLOCK_MONOTONIC, 0: none */
	/* Credit: what the guest has room for, and what we have taken. */
	uint32_t guest_alloc, guest_forwarded, sent;
	uint32_t forwarded, forwarded_told;
	/* What the program has not taken yet; VSOCK_BUFFER bytes once it is needed. */
	uint8_t *pending;
	uint32_t pending_start, pending_end;
};

/* A packet without payload that waits for room in the guest's ring. */
struct vsock_control {
	struct vsock_control *next;
	struct virtio_vsock_hdr header;
	bool reply; /* counts against what the guest may have us answer */
};

struct vsock {
	struct vhost_dev dev; /* first: f->priv */
	struct vhost_vq vqs[VSOCK_QUEUES];
	struct vsock *next;   /* all of this process */
	uint32_t cid;         /* 0: none yet */
	struct vsock_control *controls, **controls_end;
	uint32_t replies;     /* replies among them */
	struct vsock_connection *connections, *hash[VSOCK_HASH];
	struct vsock_connection *ready, **ready_end;
	unsigned n_dead, n_deadlines;
	bool stalled;         /* the guest's packets wait until replies have gone */
	uint32_t next_port;
	/* The listening socket. */
	struct vhost_source listener_source;
	int listener;         /* -1: none */
	char path[VSOCK_PATH_MAX + 1]; /* "": no host's side */
	/* Room for a batch of chains. */
	struct virtqueue_pool pool;
	struct iovec iov[1024], cut[1025];
	struct virtqueue_range ranges[1024];
	struct virtqueue_chain chains[32];
};

extern const struct file_ops vhost_vsock_ops;
extern const struct ioctl_table vhost_vsock_table;

/* ---- vsock_packets.c ---- */

/* Both return whether there is more to do at once. */
bool vsock_take_packets(struct vsock *v); /* the guest's */
bool vsock_send_packets(struct vsock *v); /* to the guest */
/* Queues a packet without payload on a connection. */
void vsock_control(struct vsock_connection *c, uint16_t op, uint32_t flags, bool reply);
void vsock_controls_drop(struct vsock *v);
/* Writes out what the program had no room for.  After that the guest may get credit. */
void vsock_flush(struct vsock_connection *c);

/* ---- vsock_host.c ---- */

/* Begins to listen at v->path, if the device has a thread and doesn't listen yet. */
void vsock_listen(struct vsock *v);
void vsock_unlisten(struct vsock *v);
/* A guest connects: a connection with state VSOCK_CONNECTED, or NULL if nobody listens. */
struct vsock_connection *vsock_connect(struct vsock *v, uint32_t guest_port, uint32_t host_port);
struct vsock_connection *vsock_find(struct vsock *v, uint32_t guest_port, uint32_t host_port);
/* The guest has accepted what a program asked for. */
void vsock_accepted(struct vsock_connection *c);
/* No packets belong to it any more; the program still gets what waits for it. */
void vsock_detach(struct vsock_connection *c);
/* Ends it now. */
void vsock_close(struct vsock_connection *c);
void vsock_close_all(struct vsock *v);
/* Puts it in the list of those that may have something to send. */
void vsock_make_ready(struct vsock_connection *c);
/* Sets a deadline `ms` from now, or with 0 none. */
void vsock_set_deadline(struct vsock_connection *c, unsigned ms);
/* What is overdue, and the dead. */
void vsock_sweep(struct vsock *v);
/* Milliseconds until the next deadline, -1. */
int vsock_timeout(struct vsock *v);

#endif
