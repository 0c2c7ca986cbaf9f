/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tun/tun.h - /dev/net/tun without a network stack: taps whose other end is a port.
 *
 * The rules are those of drivers/net/tun.c.  An open file is nothing until TUNSETIFF makes
 * it a queue of an interface.  Interfaces are those of one process, and each is plugged
 * into a port of its own (backend/net.h), which the configuration names.
 *
 * One lock, tun_lock, guards interfaces and which file is a queue of which.  Packets pass
 * under the file's own locks.
 */
#ifndef STANDIN_TUN_TUN_H
#define STANDIN_TUN_TUN_H

#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/net.h"
#include "core/file.h"
#include "core/ioctl.h"
#include "uapi/tun.h"

#define TUN_QUEUES_MAX   NET_QUEUES_MAX /* MAX_TAP_QUEUES */
#define TUN_FILTER_EXACT 8u             /* FLT_EXACT_COUNT */
#define TUN_MAC          6u

/* What TUNSETTXFILTER has set: what the client wants to receive. */
struct tun_filter_state {
	unsigned n_exact; /* 0: everything */
	uint8_t exact[TUN_FILTER_EXACT][TUN_MAC];
	uint64_t multicast; /* one bit for each hash of an address */
};

struct tun {
	struct tun *next;
	struct net_port *port;
	char name[IFNAMSIZ];
	int index;
	uint32_t flags; /* IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, ... */
	bool vnet_le;
	unsigned n_queues, n_disabled;      /* files that are attached, and detached ones */
	uint64_t used[TUN_QUEUES_MAX / 64]; /* queues of the port that have a file */
	int sndbuf;
	uint32_t owner, group;
	uint16_t type; /* ARPHRD_* */
	uint32_t mtu;
	uint8_t mac[TUN_MAC];
	_Atomic uint32_t vnet_hdr_size;
	_Atomic bool up, carrier;
	pthread_mutex_t filter_lock;
	struct tun_filter_state filter;
};

struct tun_file {
	struct file *file;
	struct tun *_Atomic tun; /* NULL: no interface yet */
	bool detached;           /* by TUNSETQUEUE */
	unsigned queue;          /* of the port; kept while detached */
	int index;               /* TUNSETIFINDEX */
	pthread_mutex_t read_lock, write_lock, events_lock;
};

extern pthread_mutex_t tun_lock;
extern const struct file_ops tun_ops;
extern const struct ioctl_table tun_table;

/* ---- interfaces (tun_interface.c), all under tun_lock ---- */

struct tun *tun_find(const char *name);
struct tun *tun_find_index(int index);
/*
 * TUNSETIFF on a file that has no interface: joins the one that is named, or makes it.
 * request->ifr_name becomes its name.
 */
long tun_attach(struct tun_file *file, struct ifreq *request);
/* TUNSETQUEUE. */
long tun_set_queue(struct tun_file *file, unsigned flags);
/* The file is closed; an interface without files goes, unless it is to stay. */
void tun_leave(struct tun_file *file);
/* All that stayed. */
void tun_drop_interfaces(void);

/* ---- ioctls on an interface by its file or by name (tun_netdevice.c) ---- */

/*
 * A SIOC* ioctl for the interface.  `request` is the client's, copied in; *ret_write: it is
 * to be copied back.  -ENOTTY: none of those that are known.
 */
long tun_netdevice_ioctl(struct tun *tun, unsigned cmd, struct ifreq *request, bool *ret_write);

/* The same on a socket, by the interface's name or index; see struct interface. */
bool tun_socket_ioctl(unsigned int cmd, unsigned long arg, long *ret_result);

/* ---- packets (tun_packets.c) ---- */

ssize_t tun_read(struct file *f, void *buffer, size_t size, off_t offset);
ssize_t tun_write(struct file *f, const void *buffer, size_t size, off_t offset);
/* Called by the port. */
void tun_ready(void *file);
/* What poll says of a file that has just become a queue. */
void tun_start_events(struct tun_file *file);
/* Whether the filter lets a frame pass. */
bool tun_filter_passes(const struct tun_filter_state *filter, const uint8_t *frame);
void tun_filter_add_multicast(struct tun_filter_state *filter, const uint8_t *address);

#endif
