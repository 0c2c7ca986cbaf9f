/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost/vhost.h - what all vhost files have in common.
 *
 * The rules are those of drivers/vhost/vhost.c.  A device is a number of rings, the memory
 * that they are about, and threads that work on them in the process that owns the device:
 * its "mm", which alone may do most things.
 *
 * Threads.  With VHOST_SET_OWNER the device gets a worker, named vhost-PID, that all rings
 * belong to; clients of vhost-scsi make more and attach rings to them.  A device's work is
 * given either ring by ring (ops->work_ring), and then rings of different workers are worked
 * on at the same time, or as a whole (ops->work), for devices that have one worker only.
 *
 * Locks, in the order in which they are taken:
 *	dev->mutex	ioctls and IOTLB messages: who owns the device, its features, memory
 *			and workers.  Workers never take it.
 *	dev->running	what rings read of the device: memory, IOTLB, features.  Whoever is at
 *			work on a ring holds it for reading, who changes these, for writing.
 *	vq->mutex	everything of a ring.  Whoever holds dev->running for writing needs
 *			none.
 *	dev->message_mutex	the misses that wait to be read or answered.
 * vhost_lock() takes the first, and the second for writing: nothing runs.  Workers give way
 * between rounds to those that wait in vhost_lock() and vhost_ring_lock().
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
#include "vhost/iotlb.h"
#include "virtqueue/virtqueue.h"

#define VHOST_MAX_REGIONS   64u
#define VHOST_FEATURE_WORDS 2u /* the kernel's VIRTIO_FEATURES_U64S */

struct vhost_dev;
struct vhost_worker;

/*
 * Something that a device's first worker waits for.  `ready` runs on that thread: for a
 * device with ops->work as that, else without a lock, and then it may do
 * little more than vhost_queue().  It may run once more after vhost_unwatch().
 */
struct vhost_source {
	void (*ready)(struct vhost_source *source, uint32_t events); /* EPOLL* */
};

/* A translation that a ring needs and hasn't got. */
struct vhost_miss {
	enum { VHOST_MISS_NONE, VHOST_MISS_UNREAD, VHOST_MISS_READ } state;
	bool v2; /* of struct vhost_msg_v2 */
	uint64_t iova;
	uint8_t perm;          /* VHOST_ACCESS_RO or _WO */
	struct vhost_vq *next; /* in dev->misses */
};

struct vhost_vq {
	struct vhost_source source; /* the kick; `ready` is NULL */
	struct vhost_dev *dev;
	unsigned index;
	pthread_mutex_t mutex;
	struct vhost_worker *_Atomic worker; /* NULL while nobody owns the device */
	_Atomic bool queued;                 /* there is work */
	_Atomic bool kicked;                 /* ... because of a kick */
	uint32_t num;
	uint64_t address[VIRTQUEUE_PARTS]; /* in the owner's memory; with an IOTLB, IOVAs */
	bool log_used;
	uint64_t log_addr; /* guest address of the used ring */
	uint64_t log_base; /* of the dirty bitmap, in the owner */
	uint32_t base;     /* while there is no backend; else the ring's own state */
	bool active;       /* has a backend */
	bool prefetched;   /* the IOTLB has the whole ring */
	struct virtqueue ring;
	int kick; /* private, -1: none */
	struct line call, err;
	_Atomic uint32_t busyloop; /* us */
	struct vhost_miss miss;    /* message_mutex */
};

/* What a device has of its own.  The functions may be NULL where it says so. */
struct vhost_ops {
	/*
	 * Work, on a worker's thread; one of the two.  Returns true if there is more to do at
	 * once.
	 *
	 * work_ring: under the ring's mutex, after a kick, vhost_queue(), or while the client
	 * wants the ring polled.  The ring may have no backend, or be broken: that is
	 * vhost_vq_runnable()'s to say.
	 *
	 * work: with dev->running for writing, after anything.  With dev->polling it is called
	 * once more soon, whatever happens.
	 */
	bool (*work_ring)(struct vhost_vq *vq);
	bool (*work)(struct vhost_dev *dev);
	/* Milliseconds until work() is wanted even if nothing happens; -1, NULL: never. */
	int (*timeout)(struct vhost_dev *dev);
	/*
	 * For how long at most, in us, a worker looks for more to do before it sleeps, where the
	 * client asks for nothing; how long it is depends on what it has been worth.  0: not.
	 */
	uint32_t poll_us;
	/* What is offered: VHOST_GET_FEATURES(_ARRAY), VHOST_GET_BACKEND_FEATURES. */
	uint64_t features[VHOST_FEATURE_WORDS];
	uint64_t backend_features;
	/*
	 * The client sets features, which are all offered and can be logged with.  Under
	 * vhost_lock(), before they are dev->features.  0, or -errno to refuse.  NULL: 0.
	 */
	long (*set_features)(struct vhost_dev *dev, const uint64_t *features);
	/*
	 * The memory table or the log has changed, and no lock is held: waits until nobody uses
	 * what was there before, for devices whose requests outlast a round of work.  NULL: they
	 * don't.
	 */
	void (*settle)(struct vhost_dev *dev);
	/*
	 * VHOST_RESET_OWNER: the backends go (vhost_vq_stop()), and what else the client has
	 * set.  Under vhost_lock().  NULL for devices without that command.
	 */
	void (*reset)(struct vhost_dev *dev);
	/*
	 * A message other than a bad one, for a device with address spaces of its own: 0 or
	 * -errno, which the client sees as EFAULT.  Takes its own locks.  NULL: the device
	 * has an IOTLB.
	 */
	long (*message)(struct vhost_dev *dev, uint32_t asid,
			const struct vhost_iotlb_msg *message);
};

struct vhost_dev {
	const struct vhost_ops *ops;
	const char *name; /* "vhost-vsock" */
	struct file *file;
	pthread_mutex_t mutex;
	pthread_rwlock_t running;
	_Atomic int waiting; /* for dev->running or a ring, other than workers */
	bool polling;        /* ops->work need not ask for kicks */
	bool owned;
	pid_t owner;        /* user_client.pid: 0 is this process */
	uint8_t fork_owner; /* without it there are no workers beside the first */
	struct vhost_vq *vqs;
	unsigned n_vqs;
	_Atomic unsigned n_polled; /* rings with a busyloop timeout */
	uint64_t features[VHOST_FEATURE_WORDS];
	_Atomic uint64_t backend_features;
	struct vhost_iotlb *memory; /* by guest physical address; NULL: none set */
	struct vhost_iotlb *iotlb;  /* by IOVA; NULL without VIRTIO_F_ACCESS_PLATFORM.  Changes
				     * under message_mutex, too */
	struct line log_line;
	struct vhost_worker **workers; /* by id; one that was freed stays, without a thread */
	unsigned n_workers;
	pthread_mutex_t message_mutex;
	struct vhost_vq *misses, **misses_end; /* not read yet */
	unsigned readers;                      /* blocked in read(2) */
};

/* ---- dev.c ---- */

/* For `open`: f->priv becomes `dev`.  `vqs` has n_vqs entries and stays the caller's.  0 or
 * -errno. */
int vhost_init(struct vhost_dev *dev, struct file *f, const struct vhost_ops *ops, const char *name,
	       struct vhost_vq *vqs, unsigned n_vqs);
/* Ends the workers and drops what the device holds. */
void vhost_finish(struct vhost_dev *dev);
void vhost_lock(struct vhost_dev *dev);
void vhost_unlock(struct vhost_dev *dev);
/* One ring alone: for threads that are not its worker.  Not under vhost_lock(). */
void vhost_ring_lock(struct vhost_vq *vq);
void vhost_ring_unlock(struct vhost_vq *vq);
/* After a change of memory or log: see ops->settle. */
static inline void vhost_settle(struct vhost_dev *dev)
{
	if (dev->ops->settle)
		dev->ops->settle(dev);
}
/* 0, or -EPERM: nobody owns the device, or another process does. */
long vhost_check_owner(const struct vhost_dev *dev);

/*
 * The ioctls that need no vhost_dev of a particular kind.  f->priv must point to the
 * struct vhost_dev.
 */
#define VHOST_HANDLER(name) long name(struct file *f, struct ioctl_call *call)
#define VHOST_DECODER(name) void name(struct trace_line *t, const struct ioctl_call *call)

VHOST_HANDLER(vhost_ioctl_set_owner);
VHOST_HANDLER(vhost_ioctl_reset_owner);
VHOST_HANDLER(vhost_ioctl_set_fork_from_owner);
VHOST_HANDLER(vhost_ioctl_get_fork_from_owner);
VHOST_HANDLER(vhost_ioctl_set_log_fd);
/* For commands without a row: what the kernel looks at before it says ENOTTY. */
VHOST_HANDLER(vhost_ioctl_unknown);

/* ---- features.c ---- */

bool vhost_has_feature(const struct vhost_dev *dev, unsigned bit);

VHOST_HANDLER(vhost_ioctl_get_features);
VHOST_HANDLER(vhost_ioctl_set_features);
VHOST_HANDLER(vhost_ioctl_get_features_array);
VHOST_HANDLER(vhost_ioctl_set_features_array);
VHOST_HANDLER(vhost_ioctl_get_backend_features);
VHOST_HANDLER(vhost_ioctl_set_backend_features);

/* ---- vring.c ---- */

VHOST_HANDLER(vhost_ioctl_vring); /* all of them */
/* Whether the ring and the memory can be used as they are set up.  Under the ring's locks. */
bool vhost_vq_access_ok(const struct vhost_vq *vq);
/* Whether what it asks to be logged can be. */
bool vhost_vq_log_ok(const struct vhost_vq *vq);
/* Gives the ring a backend: 0 or -EFAULT.  Under dev->mutex and the ring's locks. */
long vhost_vq_start(struct vhost_vq *vq);
/* The same, whether the ring is there or not: that is seen when it is kicked. */
void vhost_vq_start_anyhow(struct vhost_vq *vq);
void vhost_vq_stop(struct vhost_vq *vq);
/*
 * Whether work on the ring makes sense: it has a backend and addresses, isn't broken, and the
 * IOTLB has all of it, which otherwise is asked for.  On the worker's thread.
 */
bool vhost_vq_runnable(struct vhost_vq *vq);
/* The features or the addresses have changed: the ring goes on with the new ones. */
void vhost_vq_renew(struct vhost_vq *vq);
/* Where things are may have changed. */
void vhost_vq_forget(struct vhost_vq *vq);
/* As when the device was opened.  The workers have ended. */
void vhost_vq_reset(struct vhost_vq *vq);
/* The client's error eventfd: something was wrong with a chain. */
void vhost_vq_error(struct vhost_vq *vq);
/* virtqueue_used(), and what was written is in the dirty log if the client wants one. */
int vhost_vq_used(struct vhost_vq *vq, const struct virtqueue_chain *chains, unsigned n);
/* Sends the guest an interrupt if it wants one. */
void vhost_vq_signal(struct vhost_vq *vq);

/* ---- memory.c ---- */

VHOST_HANDLER(vhost_ioctl_set_mem_table);
extern const struct virtqueue_ops vhost_ring_ops; /* owner: struct vhost_vq */
/* Could a client's pointer name this at all (the kernel's access_ok)? */
bool vhost_range_ok(uint64_t address, uint64_t size);
bool vhost_memory_ok(const struct vhost_iotlb *memory, uint64_t log_base, bool log_all);

/* ---- log.c: the dirty bitmap ---- */

VHOST_HANDLER(vhost_ioctl_set_log_base);
bool vhost_log_ok(uint64_t log_base, uint64_t address, uint64_t size);
/* What the device wrote for these chains, if VHOST_F_LOG_ALL is set. */
void vhost_log_chains(struct vhost_vq *vq, const struct virtqueue_chain *chains, unsigned n);
/* struct virtqueue_ops.log_ring */
void vhost_log_ring(void *owner, enum virtqueue_part part, uint64_t offset, uint64_t size);

/* ---- worker.c ---- */

/* The first worker, with all rings.  0 or -ENOMEM.  Under dev->mutex. */
int vhost_workers_start(struct vhost_dev *dev);
/* Ends them all, waiting for what they do.  No ring's mutex is held. */
void vhost_workers_stop(struct vhost_dev *dev);
/* After they were stopped: their memory. */
void vhost_workers_free(struct vhost_dev *dev);
/* There is work for the ring.  Any thread; with or without locks. */
void vhost_queue(struct vhost_vq *vq);
/*
 * Has the first worker watch a descriptor, edge-triggered, which also reports what is there
 * already.  0 or -errno.
 */
int vhost_watch(struct vhost_dev *dev, int fd, struct vhost_source *source, uint32_t events);
/* What is watched for from now on; reports what is there already.  0 or -errno. */
int vhost_watch_change(struct vhost_dev *dev, int fd, struct vhost_source *source, uint32_t events);
void vhost_unwatch(struct vhost_dev *dev, int fd);
/* The ring's new eventfd (private; -1: none) instead of its old one, which is closed.  Under
 * dev->mutex and the ring's locks.  0 or -errno. */
int vhost_set_kick(struct vhost_vq *vq, int fd);
/* NEW_WORKER, FREE_WORKER, ATTACH_VRING_WORKER, GET_VRING_WORKER: VHOST_WORKER_ROWS. */
VHOST_HANDLER(vhost_ioctl_worker);

/* ---- messages.c: the IOTLB's messages ---- */

ssize_t vhost_read(struct file *f, void *buffer, size_t size, off_t offset);
ssize_t vhost_write(struct file *f, const void *buffer, size_t size, off_t offset);
/* A ring needs a translation.  One message per ring; more are kept to themselves. */
void vhost_miss(struct vhost_vq *vq, uint64_t iova, uint32_t perm);
/* Drops the messages that wait, and those that wait for an answer. */
void vhost_clear_messages(struct vhost_dev *dev);
/* A new, empty IOTLB, or with `on` false none.  Under vhost_lock().  0 or -ENOMEM. */
int vhost_set_iotlb(struct vhost_dev *dev, bool on);

/* ---- decode.c ---- */

VHOST_DECODER(vhost_decode_u64);
VHOST_DECODER(vhost_decode_features);
VHOST_DECODER(vhost_decode_memory);
VHOST_DECODER(vhost_decode_state);
VHOST_DECODER(vhost_decode_addr);
VHOST_DECODER(vhost_decode_file);
VHOST_DECODER(vhost_decode_int);
VHOST_DECODER(vhost_decode_u8);
VHOST_DECODER(vhost_decode_scsi_target);
VHOST_DECODER(vhost_decode_features_array);
VHOST_DECODER(vhost_decode_worker);
VHOST_DECODER(vhost_decode_vring_worker);
/* struct file_ops.trace_message */
void vhost_trace_message(struct trace_line *t, const void *data, size_t size, bool written);

/* Not by IOCTL_ROW(), which would be given the command's number in place of its name. */
#define VHOST_ROW(command, handler_, decode_)                                                  \
	{                                                                                      \
		.cmd = (command), .name = #command, .rule = IOCTL_USER, .handler = (handler_), \
		.decode = (decode_)                                                            \
	}

#define VHOST_COMMON_ROWS                                                                       \
	IOCTL_ROW(VHOST_SET_OWNER, IOCTL_NONE, 0, vhost_ioctl_set_owner, NULL),                 \
		VHOST_ROW(VHOST_GET_FEATURES, vhost_ioctl_get_features, vhost_decode_features), \
		VHOST_ROW(VHOST_SET_FEATURES, vhost_ioctl_set_features, vhost_decode_features), \
		VHOST_ROW(VHOST_SET_FORK_FROM_OWNER, vhost_ioctl_set_fork_from_owner,           \
			  vhost_decode_u8),                                                     \
		VHOST_ROW(VHOST_GET_FORK_FROM_OWNER, vhost_ioctl_get_fork_from_owner,           \
			  vhost_decode_u8),                                                     \
		VHOST_ROW(VHOST_SET_MEM_TABLE, vhost_ioctl_set_mem_table, vhost_decode_memory), \
		VHOST_ROW(VHOST_SET_LOG_BASE, vhost_ioctl_set_log_base, vhost_decode_u64),      \
		VHOST_ROW(VHOST_SET_LOG_FD, vhost_ioctl_set_log_fd, vhost_decode_int),          \
		VHOST_ROW(VHOST_SET_VRING_NUM, vhost_ioctl_vring, vhost_decode_state),          \
		VHOST_ROW(VHOST_SET_VRING_ADDR, vhost_ioctl_vring, vhost_decode_addr),          \
		VHOST_ROW(VHOST_SET_VRING_BASE, vhost_ioctl_vring, vhost_decode_state),         \
		VHOST_ROW(VHOST_GET_VRING_BASE, vhost_ioctl_vring, vhost_decode_state),         \
		VHOST_ROW(VHOST_SET_VRING_KICK, vhost_ioctl_vring, vhost_decode_file),          \
		VHOST_ROW(VHOST_SET_VRING_CALL, vhost_ioctl_vring, vhost_decode_file),          \
		VHOST_ROW(VHOST_SET_VRING_ERR, vhost_ioctl_vring, vhost_decode_file),           \
		VHOST_ROW(VHOST_SET_VRING_BUSYLOOP_TIMEOUT, vhost_ioctl_vring,                  \
			  vhost_decode_state),                                                  \
		VHOST_ROW(VHOST_GET_VRING_BUSYLOOP_TIMEOUT, vhost_ioctl_vring, vhost_decode_state)

/* What not every device has. */
#define VHOST_BACKEND_FEATURES_ROWS                                                                \
	VHOST_ROW(VHOST_GET_BACKEND_FEATURES, vhost_ioctl_get_backend_features, vhost_decode_u64), \
		VHOST_ROW(VHOST_SET_BACKEND_FEATURES, vhost_ioctl_set_backend_features,            \
			  vhost_decode_u64)

#define VHOST_FEATURES_ARRAY_ROWS                                                   \
	VHOST_ROW(VHOST_GET_FEATURES_ARRAY, vhost_ioctl_get_features_array,         \
		  vhost_decode_features_array),                                     \
		VHOST_ROW(VHOST_SET_FEATURES_ARRAY, vhost_ioctl_set_features_array, \
			  vhost_decode_features_array)

#define VHOST_RESET_OWNER_ROW \
	IOCTL_ROW(VHOST_RESET_OWNER, IOCTL_NONE, 0, vhost_ioctl_reset_owner, NULL)

#define VHOST_WORKER_ROWS                                                              \
	VHOST_ROW(VHOST_NEW_WORKER, vhost_ioctl_worker, vhost_decode_worker),          \
		VHOST_ROW(VHOST_FREE_WORKER, vhost_ioctl_worker, vhost_decode_worker), \
		VHOST_ROW(VHOST_ATTACH_VRING_WORKER, vhost_ioctl_worker,               \
			  vhost_decode_vring_worker),                                  \
		VHOST_ROW(VHOST_GET_VRING_WORKER, vhost_ioctl_worker, vhost_decode_vring_worker)

#endif
