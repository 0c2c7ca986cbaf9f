/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uffd/uffd.h - userfaultfd over the memory engine: what the files of this room share.
 * Rules: mm/userfaultfd.c of 7.3.
 *
 * A context is what is behind a descriptor: what UFFDIO_API agreed on, and queues of messages.
 * Ranges are the engine's (memory/watch.h), each with its context as the owner.  A thread that
 * faults in one is told to the context (waiter.c) and waits until it is woken: because a page
 * has come, by UFFDIO_WAKE, or because the context is gone.
 *
 * Contexts and queues are under the engine's lock (memory/lock.h) if nothing else is said.
 */
#ifndef STANDIN_UFFD_UFFD_H
#define STANDIN_UFFD_UFFD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/file.h"
#include "core/ioctl.h"
#include "memory/memory.h"
#include "memory/watch.h"
#include "uapi/userfaultfd.h"

/* All features of 7.3, and the ioctls that need no range. */
#define UFFD_FEATURES   ((uint64_t)0x7ffff)
#define UFFD_IOCTL(cmd) ((uint64_t)1 << _IOC_NR(cmd))
#define UFFD_API_BITS                                                  \
	(UFFD_IOCTL(UFFDIO_REGISTER) | UFFD_IOCTL(UFFDIO_UNREGISTER) | \
	 UFFD_IOCTL(UFFDIO_SET_MODE) | UFFD_IOCTL(UFFDIO_API))

#define UFFD_RANGE_BITS ((uint64_t)0x3fc) /* those that need one: WAKE to RWPROTECT */

#define UFFD_INITIALIZED ((uint32_t)1 << 31) /* with the features: UFFDIO_API has been done */

/* A place in one of a context's queues; these are circles, of which the head is a part. */
struct uffd_link {
	struct uffd_link *next, *prev; /* NULL: in no queue */
};

struct uffd {
	int self, peer; /* the file's descriptors: see struct file; -1: only others have some */
	unsigned flags; /* UFFD_USER_MODE_ONLY, O_CLOEXEC, O_NONBLOCK, as it was made with */
	bool dead;      /* its process is gone, and the memory with it */
	_Atomic uint32_t
		features; /* UFFD_FEATURE_*, UFFD_INITIALIZED; read without the lock, too */
	_Atomic unsigned changing; /* calls that change mappings and wait for a reader: what would
				    * change pages is -EAGAIN meanwhile */
	_Atomic bool readable;     /* there are messages */

	struct uffd_link pending; /* faults that nobody has read, in the order of their arrival */
	struct uffd_link read;    /* faults that somebody has, and that are not resolved */
	struct uffd_link events;  /* other messages that nobody has read */

	_Atomic uint32_t takers;   /* threads that wait for a message and look for themselves;
				    * UFFD_QUIET: there are some that the pipe doesn't tell */
	_Atomic unsigned readers;  /* those of them that sleep */
	_Atomic uint32_t arrivals; /* a futex of theirs */
	_Atomic uint32_t told;     /* messages that somebody has been told of */

	unsigned bytes;     /* in the pipe, or on their way there */
	_Atomic bool stale; /* they are to go */

	struct uffd *next; /* of all contexts of this process */
};
#define UFFD_QUIET ((uint32_t)1 << 31)

/* A message in a queue, and somebody who waits until it is done with. */
struct uffd_message {
	struct uffd_link link; /* first */
	struct uffd_msg message;
	_Atomic uint32_t waiting; /* a futex: 0 when it is done with, else: */
};
#define UFFD_WAITING 1u
#define UFFD_ASLEEP  2u /* and has to be woken */
#define UFFD_POLLING 3u /* the same, by its descriptor: see sleep.c */
#define UFFD_KERNEL  4u /* the kernel makes it wait: see served.c */

static inline uint32_t uffd_features(const struct uffd *u)
{
	return atomic_load_explicit(&u->features, memory_order_relaxed);
}

static inline bool uffd_is_dead(const struct file *f)
{
	return ((const struct uffd *)f->priv)->dead;
}

/* The CPUs that a thread was last on that read or wanted to, and one that faulted. */
extern _Atomic int uffd_reader_cpu, uffd_faulter_cpu;

/* ---- queue.c ---- */

void uffd_queue_init(struct uffd *u);
/* Puts a message at the end of `queue`, one of u's; readers and poll hear of it. */
void uffd_queue_add(struct uffd *u, struct uffd_link *queue, struct uffd_message *m);
/* Takes one out of its queue, if it is in one, without waking who waits. */
void uffd_queue_withdraw(struct uffd *u, struct uffd_message *m);
/* Done with: takes it out and wakes who waits. */
void uffd_queue_complete(struct uffd *u, struct uffd_message *m);
/* Wakes faults at addresses in [start, start + size), size 0: all.  Read or not. */
void uffd_wake(struct uffd *u, uint64_t start, uint64_t size);
/* How many faults wait that nobody has read, and that somebody has. */
void uffd_queue_count(const struct uffd *u, unsigned long *ret_pending, unsigned long *ret_read);
/*
 * Whether there is a message that the descriptor doesn't tell of.  Who `waits` looks out for one a
 * little.  Without the lock.
 */
bool uffd_poll(struct uffd *u, bool waits);
/*
 * read(2) of a context: as many messages as there is room for; waits for the first of them
 * unless the descriptor is O_NONBLOCK.  Without the lock.
 */
ssize_t uffd_read(struct file *f, void *buffer, size_t size, off_t offset);
/*
 * With the lock: the next message, or -EAGAIN.  UFFD_EVENT_FORK's reader gets *ret_descriptor, of
 * a context in the child, which the message is to name; else it is -1.
 */
long uffd_take(struct uffd *u, struct uffd_msg *message, int *ret_descriptor);

/* ---- waiter.c ---- */

/* Whether the thread that waits for a fault has not been killed meanwhile.  With the lock. */
bool uffd_waiter_is_there(const struct uffd_message *fault);
/*
 * What a fault's message says, but for the thread.  The page is in a range; `reason` and `write`
 * as in watch_ops.
 */
void uffd_fault_message(struct uffd_msg *m, uint32_t features, uintptr_t address, unsigned reason,
			bool write);
/* Wakes who sleeps there with UFFD_POLLING.  Without the lock. */
void uffd_waiter_wake(void *fault);

/* In the child of a fork: none. */
void uffd_waiters_forked(void);
/* Registers with the memory engine, and starts it.  Without the lock.  0 or -errno. */
int uffd_start_memory(void);

/* ---- served.c: see watch_ops ---- */

void *uffd_ask(void *owner, uintptr_t address, pid_t thread);
bool uffd_asks(void *ticket);
void uffd_answered(void *ticket);
/* In the child of a fork: there are none. */
void uffd_served_forked(void);

/* ---- sleep.c ---- */

/* What a thread needs to sleep: its own descriptors, private, made when they are first needed. */
struct uffd_sleeper {
	int wakes, signals; /* -1: none yet */
	uint64_t mask;      /* of `signals` */
};

/*
 * Sleeps until m->waiting is 0: true.  false: a signal that `mask` leaves open is to be delivered
 * first; with NULL that doesn't happen.  Signals are blocked when it is called.
 */
bool uffd_sleep(struct uffd_sleeper *s, struct uffd_message *m, const uint64_t *mask);
/* Wakes who sleeps with UFFD_POLLING. */
void uffd_sleep_end(const struct uffd_sleeper *s);

/* ---- fork.c ---- */

/* See watch_ops. */
void uffd_forked(void);
/* The child that waits at the other end of a socket may go on; closes it.  Any context. */
void uffd_fork_release(int child);

/* ---- open.c ---- */

/* A context with a descriptor, O_CLOEXEC and O_NONBLOCK as in `flags`, or -errno. */
int uffd_create(int flags);
/* The end of a context: nobody waits for it any more.  Without the lock. */
void uffd_destroy(struct uffd *u);
/* With the lock: the first of all contexts; the others by ->next. */
struct uffd *uffd_first(void);
/* One more.  Without the lock. */
void uffd_add(struct uffd *u);
/* In the child of a fork, with the lock: the parent's are none of it. */
void uffd_forget_all(void);
/* The node. */
extern const struct file_ops uffd_node_ops;
extern const struct ioctl_table uffd_node_table;

/* ---- native.c ---- */

/* `fd`, or -errno, is what the kernel answered when a descriptor was to be made.  The same. */
int uffd_native_made(int fd, int flags);

/* ---- file.c ---- */

extern const struct file_ops uffd_file_ops;
extern const struct ioctl_table uffd_table;

/* What fdinfo says. */
struct uffd_state {
	uint64_t pending, read; /* faults */
	uint32_t features;
};
void uffd_state(const struct uffd *u, struct uffd_state *ret);
/* As snprintf(3). */
int uffd_state_text(const struct uffd_state *state, char *text, size_t size);

/* Whether its descriptors are not O_NONBLOCK. */
bool uffd_blocks(const struct file *f);
/* A range of an ioctl: 0 or -EINVAL.  uffd_check_source() is for what may be unaligned. */
long uffd_check_range(uint64_t start, uint64_t size);
long uffd_check_source(uint64_t start, uint64_t size);

/* ---- the ioctls, without the lock: see struct ioctl_row ---- */

/* register.c */
long uffd_register(struct file *f, struct ioctl_call *call);
long uffd_unregister(struct file *f, struct ioctl_call *call);
/* fill.c.  Of a row's struct the last field, which is an answer, isn't read. */
long uffd_copy(struct file *f, struct ioctl_call *call);
long uffd_zeropage(struct file *f, struct ioctl_call *call);
long uffd_continue(struct file *f, struct ioctl_call *call);
long uffd_poison(struct file *f, struct ioctl_call *call);
long uffd_move(struct file *f, struct ioctl_call *call);
/* protect.c */
long uffd_writeprotect(struct file *f, struct ioctl_call *call);
long uffd_rwprotect(struct file *f, struct ioctl_call *call);
long uffd_set_mode(struct file *f, struct ioctl_call *call);

/* ---- decode.c: trace lines ---- */

void uffd_decode_api(struct trace_line *t, const struct ioctl_call *call);
void uffd_decode_register(struct trace_line *t, const struct ioctl_call *call);
void uffd_decode_range(struct trace_line *t, const struct ioctl_call *call);
void uffd_decode_copy(struct trace_line *t, const struct ioctl_call *call);
void uffd_decode_fill(struct trace_line *t, const struct ioctl_call *call);
void uffd_decode_protect(struct trace_line *t, const struct ioctl_call *call);
void uffd_decode_set_mode(struct trace_line *t, const struct ioctl_call *call);
void uffd_trace_message(struct trace_line *t, const void *data, size_t size, bool written);

#endif
