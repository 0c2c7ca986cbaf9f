/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/vsock.h - /dev/vhost-vsock: the host's end of a guest's sockets.
 *
 * The guest's side is that of drivers/vhost/vsock.c and net/vmw_vsock.  Where the kernel has
 * AF_VSOCK sockets of other programs, there are Unix sockets here: core/vsock_place.h says
 * where they are and how a connection begins.  Sockets of packets are SOCK_SEQPACKET.
 *
 * All is done by the device's thread under dev->lock: vsock_packets.c has what comes from the
 * guest, vsock_send.c what goes there, vsock_message.c what is different for sockets of packets,
 * vsock_host.c the connections, vsock_listener.c where programs come in.
 */
#ifndef STANDIN_VHOST_VSOCK_H
#define STANDIN_VHOST_VSOCK_H

#include "core/vsock_place.h"
#include "vhost/vhost.h"

#define VSOCK_RX         0u
#define VSOCK_TX         1u
#define VSOCK_QUEUES     2u
#define VSOCK_PACKET_MAX (64u << 10)
#define VSOCK_BUFFER     (256u << 10) /* what a guest may send before it is taken */
#define VSOCK_HASH       256u
#define VSOCK_HEADER     sizeof(struct virtio_vsock_hdr)
#define VSOCK_ROUND      256u /* packets, until others have a turn */
#define VSOCK_BATCH      32u  /* chains that are looked at together */

#define VSOCK_SHUTDOWN_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

struct vsock;

enum vsock_state {
	VSOCK_GREETING,   /* a host program has not said which port yet */
	VSOCK_CONNECTING, /* the guest has been asked */
	VSOCK_CONNECTED,
	VSOCK_CLOSING,  /* SHUTDOWN sent for both directions: waits for the guest's RST */
	VSOCK_FLUSHING, /* the guest is gone; what it sent before still goes to the program */
	VSOCK_DEAD,     /* freed after this round */
};

struct vsock_connection {
	struct vhost_source source;
	struct vsock *vsock;
	struct vsock_connection *next, *hash_next;
	struct vsock_connection *ready_next; /* in the list of those with something to send */
	bool is_ready, hashed;
	bool waits_for_room; /* EPOLLOUT is watched for */
	enum vsock_state state;
	uint16_t type; /* VIRTIO_VSOCK_TYPE_* */
	bool af_vsock; /* the program sent struct vsock_greeting, which waits to be taken */
	int fd;
	uint32_t guest_port, host_port;
	bool hung_up;            /* the program has closed its end */
	bool ended;              /* ... or will send no more */
	uint32_t end_sent;       /* VIRTIO_VSOCK_SHUTDOWN_* that the guest has been told */
	uint32_t guest_shutdown; /* VIRTIO_VSOCK_SHUTDOWN_* that the guest has sent */
	uint64_t deadline;       /* us of CLOCK_MONOTONIC, 0: none */
	/* Credit: what the guest has room for, and what we have taken. */
	uint32_t guest_alloc, guest_forwarded, sent;
	bool starved; /* something may wait for credit */
	uint32_t forwarded, forwarded_told;
	/* What the program has not taken yet; VSOCK_BUFFER bytes once it is needed. */
	uint8_t *pending;
	uint32_t pending_start, pending_end;
	/* Of a socket of packets: the sizes of the whole messages in `pending`, and one that
	 * the program has sent and the guest had no room for. */
	struct {
		uint32_t *size;
		unsigned first, n, room;
	} messages;
	uint32_t partial; /* bytes of one behind them whose end has not come */
	struct {
		uint8_t *data;
		uint32_t size, sent;
	} leaving;
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
	struct vsock *next; /* all of this process */
	uint32_t cid;       /* 0: none yet */
	struct vsock_control *controls, **controls_end;
	uint32_t replies; /* replies among them */
	struct vsock_connection *connections, *hash[VSOCK_HASH];
	struct vsock_connection *ready, **ready_end;
	unsigned n_dead, n_deadlines;
	bool stalled; /* the guest's packets wait until replies have gone */
	uint32_t next_port;
	/* Where programs connect: streams, packets. */
	struct vsock_listener {
		struct vhost_source source;
		struct vsock *vsock;
		int type; /* SOCK_* */
		int fd;   /* private, -1: none */
		bool watched;
		struct sockaddr_un address;
	} listeners[2];
	char place[VSOCK_PLACE_MAX + 1]; /* "": no host's side */
	/* Room for a batch of chains. */
	struct virtqueue_pool pool;
	struct iovec iov[1024], cut[1025];
	struct virtqueue_range ranges[1024];
	struct virtqueue_chain chains[VSOCK_BATCH];
};

extern const struct file_ops vhost_vsock_ops;
extern const struct ioctl_table vhost_vsock_table;

/* /dev/vsock (vsock_node.c) */
extern const struct file_ops vsock_node_ops;
extern const struct ioctl_table vsock_node_table;

/* ---- vsock_packets.c ---- */

/* What the guest has sent.  Whether there is more to do at once. */
bool vsock_take_packets(struct vsock *v);
/* Queues a packet without payload on a connection. */
void vsock_control(struct vsock_connection *c, uint16_t op, uint32_t flags, bool reply);
void vsock_controls_drop(struct vsock *v);
/* Writes out what the program had no room for.  After that the guest may get credit. */
void vsock_flush(struct vsock_connection *c);
/* The header of a packet of the connection to the guest, with credit for it. */
void vsock_header(struct vsock_connection *c, uint16_t op, uint32_t flags, uint32_t size,
		  struct virtio_vsock_hdr *header);
/* Gives the guest credit if there is enough to be worth a packet. */
void vsock_give_credit(struct vsock_connection *c);
/* Puts payload behind c->pending_end: 0, -ENOMEM or -EFAULT. */
int vsock_keep(struct vsock_connection *c, const struct virtqueue_chain *chain, uint64_t skip,
	       uint32_t size);
/* Both sides are to hear that the connection is reset. */
void vsock_lose(struct vsock_connection *c);

/* ---- vsock_send.c ---- */

/* Whether there is more to do at once. */
bool vsock_send_packets(struct vsock *v);
/* How much the guest has room for. */
uint32_t vsock_credit(const struct vsock_connection *c);
/* Whether the program has sent something that has not been read. */
bool vsock_unread(const struct vsock_connection *c);

/* ---- vsock_message.c: connections whose type is SEQPACKET ---- */

/* The guest sends a packet of a message: 0, or -EFAULT: the payload is not there. */
int vsock_message_take(struct vsock_connection *c, const struct virtqueue_chain *chain,
		       uint32_t size, uint32_t flags);
/* Sends the program whole messages that it had no room for; true: none is left. */
bool vsock_message_flush(struct vsock_connection *c);
/*
 * The next packet of a message into a chain: 1 and its header; 0: there is none; -EPIPE: nor
 * will there be; -EFAULT: the chain is bad; -EMSGSIZE: the guest never has room for it.
 */
int vsock_message_next(struct vsock_connection *c, const struct virtqueue_chain *chain,
		       struct virtio_vsock_hdr *header);
void vsock_message_finish(struct vsock_connection *c);

/* ---- vsock_host.c ---- */

/* A guest connects: a connection with state VSOCK_CONNECTED, or NULL if nobody listens. */
struct vsock_connection *vsock_connect(struct vsock *v, uint32_t guest_port, uint32_t host_port,
				       uint16_t type);
/* A program has connected; takes over `fd`. */
void vsock_arrived(struct vsock *v, int fd, uint16_t type);
struct vsock_connection *vsock_find(struct vsock *v, uint32_t guest_port, uint32_t host_port);
/* The guest has accepted what a program asked for. */
void vsock_accepted(struct vsock_connection *c);
/* It has not; `error` is for those who can be told. */
void vsock_refused(struct vsock_connection *c, int error);
/* No packets belong to it any more; the program still gets what waits for it. */
void vsock_detach(struct vsock_connection *c);
/* Ends it now. */
void vsock_close(struct vsock_connection *c);
void vsock_close_all(struct vsock *v);
/* Has vsock_flush() called when the program has taken something. */
void vsock_await_room(struct vsock_connection *c);
/* Puts it in the list of those that may have something to send. */
void vsock_make_ready(struct vsock_connection *c);
/* Sets a deadline `ms` from now, or with 0 none. */
void vsock_set_deadline(struct vsock_connection *c, unsigned ms);
/* Ends what is overdue. */
void vsock_expire(struct vsock *v);
/* Frees the dead. */
void vsock_sweep(struct vsock *v);
/* Milliseconds until the next deadline, -1. */
int vsock_timeout(struct vsock *v);

/* ---- vsock_listener.c ---- */

/*
 * Takes the place of `cid`, leaving that of v->cid.  -EADDRINUSE: another guest has it.
 * A PATH has no CID: there it is an error that is only logged.
 */
int vsock_listeners_open(struct vsock *v, uint32_t cid);
/* Begins to accept, if the device has a thread and doesn't do so yet. */
void vsock_listeners_watch(struct vsock *v);
void vsock_listeners_close(struct vsock *v);

#endif
