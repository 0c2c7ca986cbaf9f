/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/vhost.h - what all vhost files have in common.
 *
 * The rules are those of drivers/vhost/vhost.c.  A device is a number of rings, the memory
 * that they are about, and a thread that works on them in the process that owns the device:
 * its "mm", which alone may do most things.
 *
 * One lock per device, dev->lock.  ioctls hold it, and the thread holds it for one round of
 * work; it gives way between rounds (vhost_lock).
 */
#ifndef STANDIN_VHOST_VHOST_H
#define STANDIN_VHOST_VHOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/file.h"
#include "core/ioctl.h"
#include "core/line.h"
#include "core/trace.h"
#include "uapi/vhost.h"
#include "virtqueue/virtqueue.h"

#define VHOST_MAX_REGIONS 64u

struct vhost_dev;

/* Something that the device's thread waits for; `ready` runs there, under the lock. */
struct vhost_source {
	void (*ready)(struct vhost_source *source, uint32_t events); /* EPOLL* */
};

struct vhost_vq {
	struct vhost_source source; /* the kick */
	struct vhost_dev *dev;
	unsigned index;
	uint32_t num;
	uint64_t address[VIRTQUEUE_PARTS]; /* in the owner's memory */
	bool log_used;
	uint64_t log_addr; /* guest address of the used ring */
	uint32_t base;     /* while there is no backend; else the ring's own state */
	bool active;       /* has a backend */
	struct virtqueue ring;
	int kick;          /* private, -1: none */
	struct line call, err;
	uint32_t busyloop; /* us */
};

struct vhost_region {
	uint64_t first, last; /* guest physical */
	uint64_t address;     /* of `first` in the owner */
};

struct vhost_memory_map {
	unsigned n;
	struct vhost_region region[VHOST_MAX_REGIONS]; /* by `first` */
};

struct vhost_ops {
	/*
	 * One round of work on whatever is there, on the device's thread and under the lock.
	 * True: there is more to do at once.
	 */
	bool (*work)(struct vhost_dev *dev);
	/* Milliseconds until work() is wanted even if nothing happens; -1: never. */
	int (*timeout)(struct vhost_dev *dev);
};

struct vhost_dev {
	const struct vhost_ops *ops;
	const char *name;       /* "vhost-vsock" */
	pthread_mutex_t lock;
	_Atomic int waiting;    /* for the lock, other than the thread */
	bool owned;
	pid_t owner;            /* user_client.pid: 0 is this process */
	uint8_t fork_owner;     /* only kept: there is one kind of thread here */
	struct vhost_vq *vqs;
	unsigned n_vqs;
	uint64_t features, backend_features;
	struct vhost_memory_map *memory; /* NULL: none set */
	uint64_t log_base;
	struct line log_line;
	/* The thread; it exists while the device is owned. */
	pthread_t thread;
	int epoll, wake;        /* private descriptors, -1 */
	_Atomic bool ending;
};

/* ---- dev.c ---- */

/* `vqs` has n_vqs entries and stays the caller's.  0 or -errno. */
int vhost_init(struct vhost_dev *dev, const struct vhost_ops *ops, const char *name,
	       struct vhost_vq *vqs, unsigned n_vqs);
/* Ends the thread and drops what the device holds. */
void vhost_finish(struct vhost_dev *dev);
void vhost_lock(struct vhost_dev *dev);
void vhost_unlock(struct vhost_dev *dev);
/* 0, or -EPERM: nobody owns the device, or another process does. */
long vhost_check_owner(const struct vhost_dev *dev);
/*
 * The device's own checks are done.  Tells the rings, too.  -EFAULT: logging is wanted
 * and the log can't be reached.  Under the lock.
 */
long vhost_set_features(struct vhost_dev *dev, uint64_t features);
bool vhost_has_feature(const struct vhost_dev *dev, unsigned bit);

/*
 * The ioctls that need no vhost_dev of a particular kind.  f->priv must point to the
 * struct vhost_dev.
 */
#define VHOST_HANDLER(name) long name(struct file *f, struct ioctl_call *call)
#define VHOST_DECODER(name) void name(struct trace_line *t, const struct ioctl_call *call)

VHOST_HANDLER(vhost_ioctl_set_owner);
VHOST_HANDLER(vhost_ioctl_set_fork_from_owner);
VHOST_HANDLER(vhost_ioctl_get_fork_from_owner);
VHOST_HANDLER(vhost_ioctl_set_mem_table); /* memory.c */
VHOST_HANDLER(vhost_ioctl_set_log_base);
VHOST_HANDLER(vhost_ioctl_set_log_fd);
/* For commands without a row: what the kernel looks at before it says ENOTTY. */
VHOST_HANDLER(vhost_ioctl_unknown);

/* ---- vring.c ---- */

VHOST_HANDLER(vhost_ioctl_vring); /* all of them */
/* Whether the ring and the memory can be used as they are set up.  Under the lock. */
bool vhost_vq_access_ok(const struct vhost_vq *vq);
/* Gives the ring a backend: 0 or -EFAULT.  Under the lock. */
long vhost_vq_start(struct vhost_vq *vq);
void vhost_vq_stop(struct vhost_vq *vq);
/* The features or the addresses have changed: the ring goes on with the new ones. */
void vhost_vq_renew(struct vhost_vq *vq);
/* The client's error eventfd: something was wrong with a chain. */
void vhost_vq_error(struct vhost_vq *vq);
/* Sends the guest an interrupt if it wants one. */
void vhost_vq_signal(struct vhost_vq *vq);

/* ---- memory.c ---- */

extern const struct virtqueue_ops vhost_ring_ops; /* owner: struct vhost_vq */
/* Could a client's pointer name this at all (the kernel's access_ok)? */
bool vhost_range_ok(uint64_t address, uint64_t size);
bool vhost_memory_ok(const struct vhost_memory_map *memory, uint64_t log_base, bool log_all);
bool vhost_log_ok(uint64_t log_base, uint64_t address, uint64_t size);

/* ---- worker.c ---- */

int vhost_worker_start(struct vhost_dev *dev);
/* Waits for its end, without the lock.  Nothing if there is none. */
void vhost_worker_stop(struct vhost_dev *dev);
/* Makes it do a round. */
void vhost_worker_wake(struct vhost_dev *dev);
/*
 * Watches a descriptor, edge-triggered, which also reports what is there already.  0 or
 * -errno.
 */
int vhost_watch(struct vhost_dev *dev, int fd, struct vhost_source *source, uint32_t events);
void vhost_unwatch(struct vhost_dev *dev, int fd);

/* ---- messages.c: the IOTLB's messages, as far as a device without an IOTLB answers ---- */

ssize_t vhost_read(struct file *f, void *buffer, size_t size, off_t offset);
ssize_t vhost_write(struct file *f, const void *buffer, size_t size, off_t offset);

/* ---- decode.c ---- */

VHOST_DECODER(vhost_decode_u64);
VHOST_DECODER(vhost_decode_features);
VHOST_DECODER(vhost_decode_memory);
VHOST_DECODER(vhost_decode_state);
VHOST_DECODER(vhost_decode_addr);
VHOST_DECODER(vhost_decode_file);
VHOST_DECODER(vhost_decode_int);
VHOST_DECODER(vhost_decode_u8);

#define VHOST_ROW(command, handler, decode) IOCTL_ROW(command, IOCTL_USER, 0, handler, decode)

#define VHOST_COMMON_ROWS                                                                          \
	IOCTL_ROW(VHOST_SET_OWNER, IOCTL_NONE, 0, vhost_ioctl_set_owner, NULL),                    \
	VHOST_ROW(VHOST_SET_FORK_FROM_OWNER, vhost_ioctl_set_fork_from_owner, vhost_decode_u8),    \
	VHOST_ROW(VHOST_GET_FORK_FROM_OWNER, vhost_ioctl_get_fork_from_owner, vhost_decode_u8),    \
	VHOST_ROW(VHOST_SET_MEM_TABLE, vhost_ioctl_set_mem_table, vhost_decode_memory),            \
	VHOST_ROW(VHOST_SET_LOG_BASE, vhost_ioctl_set_log_base, vhost_decode_u64),                 \
	VHOST_ROW(VHOST_SET_LOG_FD, vhost_ioctl_set_log_fd, vhost_decode_int),                     \
	VHOST_ROW(VHOST_SET_VRING_NUM, vhost_ioctl_vring, vhost_decode_state),                     \
	VHOST_ROW(VHOST_SET_VRING_ADDR, vhost_ioctl_vring, vhost_decode_addr),                     \
	VHOST_ROW(VHOST_SET_VRING_BASE, vhost_ioctl_vring, vhost_decode_state),                    \
	VHOST_ROW(VHOST_GET_VRING_BASE, vhost_ioctl_vring, vhost_decode_state),                    \
	VHOST_ROW(VHOST_SET_VRING_KICK, vhost_ioctl_vring, vhost_decode_file),                     \
	VHOST_ROW(VHOST_SET_VRING_CALL, vhost_ioctl_vring, vhost_decode_file),                     \
	VHOST_ROW(VHOST_SET_VRING_ERR, vhost_ioctl_vring, vhost_decode_file),                      \
	VHOST_ROW(VHOST_SET_VRING_BUSYLOOP_TIMEOUT, vhost_ioctl_vring, vhost_decode_state),        \
	VHOST_ROW(VHOST_GET_VRING_BUSYLOOP_TIMEOUT, vhost_ioctl_vring, vhost_decode_state)

#endif
