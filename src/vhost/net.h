/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/net.h - /dev/vhost-net: a guest's network card on a tap, macvtap or packet socket.
 *
 * The rules are those of drivers/vhost/net.c.  Ring 0 is the guest's receive ring, ring 1 its
 * transmit ring.  Each has a backend, mostly the same, which is called a socket here as it
 * is there: net_socket.c knows the kernel's own and the stood-in ones.  net_rx.c and net_tx.c
 * move the packets.
 *
 * What belongs to a ring is under its mutex; sockets are opened and closed under all of them
 * (vhost_lock).  That packets have arrived or that there is room is told without a lock, on any
 * thread: by the flags that are atomic.
 */
#ifndef STANDIN_VHOST_NET_H
#define STANDIN_VHOST_NET_H

#include "backend/net.h"
#include "vhost/vhost.h"

#define VHOST_NET_RX         0u
#define VHOST_NET_TX         1u
#define VHOST_NET_QUEUES     2u
#define VHOST_NET_BATCH      64u /* chains that are handed back at once */
#define VHOST_NET_HEADER_MAX 24u /* struct virtio_net_hdr_v1_hash_tunnel */
#define VHOST_NET_PACKET_MAX (NET_FRAME_MAX + VHOST_NET_HEADER_MAX)
#define VHOST_NET_IOV        1024u        /* UIO_MAXIOV: pieces of one packet */
#define VHOST_NET_WEIGHT     (512u << 10) /* bytes after which the other ring has its turn, */
#define VHOST_NET_PACKETS    256u         /* and packets */

struct vhost_net;
struct vhost_net_socket;

/* A packet with the socket's header at its beginning, in the guest's memory. */
struct vhost_net_packet {
	struct iovec *iov;
	unsigned n_iov;
	uint32_t size;
};

/* A packet in our memory. */
struct vhost_net_arrival {
	uint8_t header[VHOST_NET_HEADER_MAX]; /* the socket's, header_size bytes */
	uint32_t header_size;
	const uint8_t *data;
	uint32_t size;
};

struct vhost_net_socket_ops {
	/*
	 * Sends packets whose header has header_size bytes.  Returns how many are done with,
	 * sent or lost; fewer than n: there is no room for the next, and blocked() is to be
	 * called.
	 */
	unsigned (*send)(struct vhost_net_socket *s, const struct vhost_net_packet *packets,
			 unsigned n, uint32_t header_size);
	/* Makes sure that the device's thread hears of room. */
	void (*blocked)(struct vhost_net_socket *s);
	/*
	 * Either: takes the next packet into pieces of memory.  Returns its size, or if that is
	 * more, that of the pieces; -EFAULT: it is lost; -EAGAIN: there is none.
	 */
	long (*receive)(struct vhost_net_socket *s, const struct iovec *iov, unsigned n);
	/* Or: the next packet, false if there is none; and done with it. */
	bool (*peek)(struct vhost_net_socket *s, struct vhost_net_arrival *arrival,
		     uint32_t header_size);
	void (*consume)(struct vhost_net_socket *s);
	/* At the end of a round: what peek() has read ahead need not be there next time. */
	void (*settle)(struct vhost_net_socket *s);
	void (*close)(struct vhost_net_socket *s);
};

struct vhost_net_socket {
	const struct vhost_net_socket_ops *ops;
	struct vhost_net *net;
	unsigned refs;    /* rings */
	bool broken;      /* as when a tap has no interface: EPOLLERR */
	bool strict;      /* what is shorter than a header is not even dropped */
	int fd;           /* private; -1: none */
	bool nonblocking; /* read and write return at once */
	/* A stood-in one. */
	struct file *file;
	struct net_port *port;
	unsigned queue;
	struct net_arrival arrivals[VHOST_NET_BATCH];
	unsigned n_arrivals, next_arrival;
};

/* Chains of the receive ring: those before `filled` hold packets, the rest are empty. */
struct vhost_net_buffers {
	struct virtqueue_chain chains[VHOST_NET_IOV + VHOST_NET_BATCH];
	unsigned given; /* back to the guest */
	unsigned filled;
	unsigned n;
	unsigned batch; /* chains to fetch next time: few for one packet, many for many */
	struct virtqueue_pool pool;
	struct iovec iov[2 * VHOST_NET_IOV];
	struct virtqueue_range ranges[2 * VHOST_NET_IOV];
	/* The pieces of the packet at hand, and the same without vhost's own header. */
	struct iovec pieces[VHOST_NET_IOV + 1], cut[VHOST_NET_IOV + 1];
	/*
	 * A packet that was received when there was no room for it, with its socket header.
	 * Also the end of one that is bigger than was expected, behind as many bytes as are
	 * in the guest's memory already.
	 */
	uint8_t *held; /* 2 * VHOST_NET_PACKET_MAX bytes, allocated with the first socket */
	uint32_t held_size;
	uint32_t expected; /* bytes of a packet with the socket's header: what lately was enough */
};

struct vhost_net {
	struct vhost_dev dev; /* first: f->priv */
	struct vhost_vq vqs[VHOST_NET_QUEUES];
	struct vhost_source source; /* the sockets' descriptors */
	struct vhost_net_socket *socket[VHOST_NET_QUEUES];
	uint32_t vhost_header, socket_header; /* bytes: of them one is 0 */
	_Atomic bool arrived;                 /* packets may wait in the socket */
	_Atomic bool blocked;                 /* the transmit ring waits for room */
	struct vhost_net_buffers rx;
	struct {
		struct virtqueue_chain chains[VHOST_NET_BATCH];
		struct vhost_net_packet packets[VHOST_NET_BATCH];
		struct virtqueue_pool pool;
		struct iovec iov[VHOST_NET_IOV];
		struct virtqueue_range ranges[VHOST_NET_IOV];
	} tx;
};

extern const struct file_ops vhost_net_ops;
extern const struct ioctl_table vhost_net_table;

/* ---- net_rx.c, net_tx.c: a round; true: there is more to do at once ---- */

bool vhost_net_receive(struct vhost_net *net);
bool vhost_net_transmit(struct vhost_net *net);

/* ---- net.c ---- */

/* Packets may have arrived, and there may be room.  On any thread, without locks. */
void vhost_net_tell(struct vhost_net *net, bool arrived, bool room);

/* ---- net_socket.c ---- */

/*
 * What `fd` is, with one reference.  -ENOTSOCK: nothing that a ring can have as its backend;
 * -ENOMEM, -EMFILE.
 */
int vhost_net_socket_open(struct vhost_net *net, int fd, struct vhost_net_socket **ret_socket);
/* Whether `fd` is this socket. */
bool vhost_net_socket_is(const struct vhost_net_socket *s, int fd);
void vhost_net_socket_put(struct vhost_net_socket *s);

/* ---- net_port.c: sockets that are files of ours ---- */

/* 0 or -errno, and then the reference to `file` is still the caller's. */
int vhost_net_port_open(struct vhost_net_socket *s, struct file *file);

#endif
