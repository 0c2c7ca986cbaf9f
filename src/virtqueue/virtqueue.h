/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtqueue/virtqueue.h - the device's side of a virtqueue, split or packed.
 *
 * One engine for whoever plays the device: the vhost files (rings and buffers in the
 * client's process, found by a memory table or an IOTLB) and the virtio device models
 * (found by the IOVA map).  Which of the two is said by struct virtqueue_ops.  The rules
 * are those of the Virtual I/O Device specification 1.2, sections 2.7 and 2.8; where it
 * leaves a choice to the device, those of drivers/vhost/vhost.c.
 *
 * The usual loop:
 *
 *	virtqueue_disable_kicks(vq);
 *	for (;;) {
 *		virtqueue_pool_reset(&pool);
 *		n = virtqueue_fetch(vq, chains, 32, &pool);
 *		if (n <= 0) {
 *			if (n == 0 && virtqueue_enable_kicks(vq) == 1)
 *				continue;                    (something came meanwhile)
 *			break;
 *		}
 *		... use chains[i].readable, .writable; set .written ...
 *		virtqueue_used(vq, chains, n);
 *		if (virtqueue_should_signal(vq) == 1)
 *			... send the interrupt ...
 *	}
 *
 * Everything in the ring and behind its addresses is the driver's and may be nonsense, or
 * not there.  The engine reads and writes it with copy_guarded() alone and copies what it
 * has read before it checks it.  What it hands out are iovecs: for system calls and for
 * copy_guarded(), never to be dereferenced.
 *
 * Threads: one at a time per queue, the owner sees to it.  Nothing here allocates, blocks,
 * or makes a system call (log_info for a ring error excepted), so it may run in a signal
 * handler.
 *
 * Errors.  Functions that touch the ring return
 *	-EAGAIN	a translation is missing but may come: ops->map said so.  Nothing has
 *		changed; the same call may be made again.
 *	-EIO	the ring is broken: the driver did what no driver may do, or its memory is
 *		gone.  Stays so (every call returns -EIO at once) until virtqueue_init() or
 *		virtqueue_clear_error(); virtqueue_error() tells what it was.
 */
#ifndef STANDIN_VIRTQUEUE_VIRTQUEUE_H
#define STANDIN_VIRTQUEUE_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define VIRTQUEUE_NUM_MAX 32768u
#define VIRTQUEUE_WINDOWS 4u

/* Feature bits that the engine looks at; all others are ignored. */
#define VIRTQUEUE_F(bit)            (UINT64_C(1) << (bit))
#define VIRTQUEUE_F_NOTIFY_ON_EMPTY VIRTQUEUE_F(24)
#define VIRTQUEUE_F_ANY_LAYOUT      VIRTQUEUE_F(27)
#define VIRTQUEUE_F_INDIRECT_DESC   VIRTQUEUE_F(28)
#define VIRTQUEUE_F_EVENT_IDX       VIRTQUEUE_F(29)
#define VIRTQUEUE_F_VERSION_1       VIRTQUEUE_F(32)
#define VIRTQUEUE_F_PACKED          VIRTQUEUE_F(34)
#define VIRTQUEUE_F_IN_ORDER        VIRTQUEUE_F(35)

/* What a translation is for. */
enum virtqueue_access {
	VIRTQUEUE_READ = 1,  /* the device reads */
	VIRTQUEUE_WRITE = 2, /* the device writes */
	VIRTQUEUE_RING = 4,  /* not a descriptor's address but one of the ring's three (vhost
			      * without an IOTLB has user addresses there) */
};

/* The three pieces of a ring.  Packed: the descriptors, the driver's event suppression
 * structure, the device's event suppression structure. */
enum virtqueue_part { VIRTQUEUE_DESC, VIRTQUEUE_AVAIL, VIRTQUEUE_USED, VIRTQUEUE_PARTS };

/* A wide range of addresses that is in one piece in this process. */
struct virtqueue_window {
	uint64_t first, last;
	char *memory;    /* `first` */
	unsigned access; /* what it may be used for: enum virtqueue_access bits */
};

struct virtqueue_ops {
	/*
	 * Finds [address, address+size) (size > 0, doesn't wrap) and stores at most max_iov
	 * pieces at iov.  Returns their number, whose lengths add up to size; or
	 *	-EAGAIN	not known yet; the owner has asked for it (IOTLB miss)
	 *	-E2BIG	more than max_iov pieces
	 *	others	not there, or not for that access: a ring error
	 * `access` is enum virtqueue_access bits; a ring part that is both read and written
	 * has both.
	 */
	int (*map)(void *owner, uint64_t address, uint64_t size, unsigned access, struct iovec *iov,
		   unsigned max_iov);
	/*
	 * Takes back what map gave, with the same first three arguments, where that needs to be
	 * pinned.  For buffers called from virtqueue_used(), virtqueue_unfetch() and
	 * virtqueue_drop(); for ring parts from virtqueue_release().  NULL: nothing is pinned.
	 */
	void (*unmap)(void *owner, uint64_t address, uint64_t size, unsigned access);
	/*
	 * Spares most calls of map: finds the widest window around `address`, to be used for
	 * `access` at least, and keeps it in place until virtqueue_release(), which calls
	 * unwindow if that isn't NULL.  0, or anything else: there is none, and map is asked.
	 * NULL: there never is.
	 */
	int (*window)(void *owner, uint64_t address, unsigned access,
		      struct virtqueue_window *ret_window);
	void (*unwindow)(void *owner, const struct virtqueue_window *window);
	/*
	 * Dirty logging, when virtqueue_log() has switched it on: bytes of a buffer, by the
	 * descriptor's address, and bytes of a ring part, by their offset in it.  Called after
	 * they were written; for buffers before the driver is told.  NULL: no logging.
	 */
	void (*log_buffer)(void *owner, uint64_t address, uint64_t size);
	void (*log_ring)(void *owner, enum virtqueue_part part, uint64_t offset, uint64_t size);
};

/* What a descriptor named, for unmap and for the log. */
struct virtqueue_range {
	uint64_t address;
	uint32_t size;
	bool write;
	bool mapped; /* to be unmapped: it was not found in a window */
};

/* Room for the iovecs and ranges of one batch of chains.  Chains point into it. */
struct virtqueue_pool {
	struct iovec *iov;
	struct virtqueue_range *ranges; /* NULL: none are kept, and then neither is anything
					 * unmapped or logged */
	bool transient; /* The buffers are not used after the next virtqueue_release(), so windows
			 * may hold them.  Without it only where nothing is pinned anyway. */
	unsigned max_iov, max_ranges;
	unsigned n_iov, n_ranges; /* in use */
};

static inline void virtqueue_pool_reset(struct virtqueue_pool *pool)
{
	pool->n_iov = pool->n_ranges = 0;
}

/* A chain of descriptors that the driver made available. */
struct virtqueue_chain {
	/* What the driver gave: valid while the pool's room is. */
	struct iovec *readable, *writable;     /* in the descriptors' order */
	unsigned n_readable, n_writable;       /* iovecs */
	uint64_t readable_size, writable_size; /* bytes */
	struct virtqueue_range *ranges;
	unsigned n_ranges;
	/* What the owner answers: bytes written from the first writable byte on. */
	uint32_t written;
	/* The engine's. */
	uint16_t id;          /* split: the head; packed: the buffer id */
	uint16_t descriptors; /* ring slots it takes up */
	uint16_t position;    /* before it was fetched; packed: the wrap counter in bit 15 */
};

struct virtqueue_config {
	const struct virtqueue_ops *ops;
	void *owner;       /* for ops */
	const char *name;  /* for the log; stays valid */
	uint64_t features; /* VIRTQUEUE_F_*, as negotiated */
	uint32_t num;      /* split: a power of two; at most VIRTQUEUE_NUM_MAX */
	uint64_t address[VIRTQUEUE_PARTS];
};

/* Where both sides are: what GET/SET_VRING_BASE and the virtio-pci registers tell. */
struct virtqueue_state {
	uint16_t avail;             /* next to be fetched: free-running (split), slot (packed) */
	uint16_t used;              /* next to be used, likewise */
	bool avail_wrap, used_wrap; /* packed */
};

struct virtqueue {
	const struct virtqueue_ops *ops;
	void *owner;
	const char *name;
	uint64_t features;
	uint32_t num;
	bool packed, event_idx;
	bool log_buffers, log_rings;
	bool kicks;           /* the driver was told to kick */
	bool signalled_valid; /* split: signalled tells something */
	int error;            /* 0, or why it is broken */
	const char *reason;
	struct virtqueue_state at;
	uint16_t avail_seen;  /* split: the driver's index when last read */
	uint16_t signalled;   /* split: at.used at the last decision */
	uint32_t unsignalled; /* slots used since the last decision */
	uint16_t used_flags;  /* what the driver was last told about kicks: flags, */
	uint16_t event;       /* and where, */
	bool event_valid;     /* if it was */
	struct virtqueue_place {
		uint64_t address, size;
		char *flat;  /* in this process, if it is in one piece; NULL: not known */
		bool tried;  /* and isn't */
		bool mapped; /* to be unmapped: it was not found in a window */
	} part[VIRTQUEUE_PARTS];
	struct virtqueue_window window[VIRTQUEUE_WINDOWS];
	unsigned n_windows;
};

/*
 * Sets a queue up at its beginning (indexes 0, wrap counters 1), with kicks wanted as far as
 * the engine knows.  Touches no guest memory.  -EINVAL: num, a ring address that is not aligned
 * (split: avail 2, used 4; packed: event structures 4) or wraps.
 */
int virtqueue_init(struct virtqueue *vq, const struct virtqueue_config *config);
/* Takes other ring addresses, keeping the state.  -EINVAL as above, then nothing changed. */
int virtqueue_set_addresses(struct virtqueue *vq, const uint64_t address[VIRTQUEUE_PARTS]);
/*
 * First use after init or set_state: checks that the ring is there.  With take_used (what
 * vhost does when a backend is set) a split ring's at.used is read from the used index.
 * 0, -EAGAIN or -EIO.
 */
int virtqueue_start(struct virtqueue *vq, bool take_used);
/*
 * Forgets (and unmaps) where the ring's parts and the windows are; they are looked up again when
 * next needed. To be called whenever a translation changes or goes away, and by owners whose pins
 * may not be kept for long, at the end of each round.
 */
void virtqueue_release(struct virtqueue *vq);

void virtqueue_get_state(const struct virtqueue *vq, struct virtqueue_state *ret_state);
/* -EINVAL: packed, and a slot is not below num. */
int virtqueue_set_state(struct virtqueue *vq, const struct virtqueue_state *state);

/*
 * The state as the one number of VHOST_GET_VRING_BASE and VHOST_SET_VRING_BASE (vhost.c).  Split:
 * the available index; that of the used ring is in the ring.  Packed: the available slot in the
 * lower half and the used one in the upper, each with its wrap counter as bit 15.
 */
static inline uint32_t virtqueue_state_base(const struct virtqueue_state *state, bool packed)
{
	if (!packed)
		return state->avail;
	return state->avail | (uint32_t)state->avail_wrap << 15 | (uint32_t)state->used << 16 |
	       (uint32_t)state->used_wrap << 31;
}

static inline struct virtqueue_state virtqueue_base_state(uint32_t base, bool packed)
{
	if (!packed)
		return (struct virtqueue_state){
			.avail = (uint16_t)base, .avail_wrap = true, .used_wrap = true};
	return (struct virtqueue_state){
		.avail = base & 0x7fff,
		.used = base >> 16 & 0x7fff,
		.avail_wrap = base >> 15 & 1,
		.used_wrap = base >> 31,
	};
}

/* Which writes go to ops->log_*.  May be changed at any time. */
static inline void virtqueue_log(struct virtqueue *vq, bool buffers, bool rings)
{
	vq->log_buffers = buffers && vq->ops->log_buffer;
	vq->log_rings = rings && vq->ops->log_ring;
}

/* 0, or what made the ring broken: -EINVAL (the driver's nonsense), -EFAULT (no memory
 * there), -E2BIG (a chain that the pool can't hold). *ret_reason, if not NULL: one line. */
int virtqueue_error(const struct virtqueue *vq, const char **ret_reason);
/* Goes on where the error was (vhost tries again at the next kick). */
void virtqueue_clear_error(struct virtqueue *vq);
/* The owner found a chain that breaks the rules of its device type.  Returns -EIO. */
int virtqueue_fail(struct virtqueue *vq, int error, const char *reason);

/*
 * The next available chains, at most `max`: their number, 0 if there is none, or an error.
 * A batch ends early where the pool is full, or where the next chain is an error that
 * the next call will return.  One acquire barrier per batch.
 */
int virtqueue_fetch(struct virtqueue *vq, struct virtqueue_chain *chains, unsigned max,
		    struct virtqueue_pool *pool);
/* Puts the last `n` chains fetched back; none of them, or of those after, has been used. */
void virtqueue_unfetch(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n);
/* Unmaps a chain's buffers without using it: for a queue that is being reset. */
void virtqueue_drop(struct virtqueue *vq, const struct virtqueue_chain *chain);
/*
 * Hands chains back to the driver, one barrier and one index for all; any order, but with
 * IN_ORDER that of the fetches.  0, -EIO, or -EAGAIN (then none of them is used).
 */
int virtqueue_used(struct virtqueue *vq, const struct virtqueue_chain *chains, unsigned n);
/* Whether the driver wants an interrupt for what was used since the last call: 1, 0, error. */
int virtqueue_should_signal(struct virtqueue *vq);

/*
 * Asks the driver for kicks and looks once more: 1 if a chain is available already, 0 if it
 * is safe to wait for a kick, or an error.  Cheap when kicks are wanted already.
 */
int virtqueue_enable_kicks(struct virtqueue *vq);
/* Tells it that none are needed.  A hint: 0 or an error. */
int virtqueue_disable_kicks(struct virtqueue *vq);
/* Whether a chain is available, without fetching it: 1, 0, or an error. */
int virtqueue_pending(struct virtqueue *vq);

#endif
