/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uffd/uffd.h - userfaultfd over the memory engine: what the files of this room share.
 * Rules: mm/userfaultfd.c of 7.3.
 *
 * A context is what is behind a descriptor: what UFFDIO_API agreed on, and a queue of messages.
 * Ranges are the engine's (memory/watch.h), each with its context as the owner.  A thread that
 * faults in one is told to the context (queue.c) and waits until it is woken: because a page
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
#include "uapi/userfaultfd.h"

/* What there is as of 7.3; the numbers of the ioctls are bits. */
#define UFFD_FEATURES   ((uint64_t)0x7ffff)
#define UFFD_IOCTL(cmd) ((uint64_t)1 << _IOC_NR(cmd))
#define UFFD_API_BITS                                                  \
	(UFFD_IOCTL(UFFDIO_REGISTER) | UFFD_IOCTL(UFFDIO_UNREGISTER) | \
	 UFFD_IOCTL(UFFDIO_SET_MODE) | UFFD_IOCTL(UFFDIO_API))

#define UFFD_INITIALIZED ((uint32_t)1 << 31) /* with the features: UFFDIO_API has been done */

/* A place in one of a context's queues; circular, the head is none. */
struct uffd_link {
	struct uffd_link *next, *prev; /* NULL: in no queue */
};

struct uffd {
	int self, peer; /* the file's descriptors: see struct file */
	unsigned flags; /* UFFD_USER_MODE_ONLY or 0 */
	_Atomic uint32_t
		features; /* UFFD_FEATURE_*, UFFD_INITIALIZED; may be read without the lock */
	bool readable;    /* what poll says */

	struct uffd_link pending; /* faults that nobody has read, in the order of their arrival */
	struct uffd_link read;    /* faults that somebody has */
	struct uffd_link events;  /* other messages that nobody has read */

	unsigned readers;          /* threads that wait for a message */
	_Atomic uint32_t arrivals; /* a futex of theirs */
};

/* ---- queue.c ---- */

void uffd_queue_init(struct uffd *u);
/*
 * read(2) of a context: as many messages as there is room for; waits for the first of them
 * unless the descriptor is O_NONBLOCK.  Without the lock.
 */
ssize_t uffd_read(struct file *f, void *buffer, size_t size, off_t offset);

/* ---- open.c ---- */

/* A context with a descriptor, O_CLOEXEC and O_NONBLOCK as in `flags`, or -errno. */
int uffd_create(int flags);
/* The node. */
extern const struct file_ops uffd_node_ops;
extern const struct ioctl_table uffd_node_table;

/* ---- file.c ---- */

extern const struct file_ops uffd_file_ops;
extern const struct ioctl_table uffd_table;

/* ---- decode.c: trace lines ---- */

void uffd_decode_api(struct trace_line *t, const struct ioctl_call *call);
void uffd_trace_message(struct trace_line *t, const void *data, size_t size);

#endif
