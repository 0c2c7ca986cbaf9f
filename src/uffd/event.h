/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uffd/event.h - events, between the files of this room.
 */
#ifndef STANDIN_UFFD_EVENT_H
#define STANDIN_UFFD_EVENT_H

#include "uffd/uffd.h"

/* An event, from the call that makes it until that goes on. */
struct uffd_event {
	struct uffd_message message; /* first; in no queue until its turn comes */
	struct uffd *context;        /* NULL: read, or the context is gone */
	pid_t thread;                /* 0: this place is free */
	/* UFFD_EVENT_FORK: the descriptor that its reader gets, and the child, which waits. */
	int descriptor, held;
	struct uffd_event *next;
};

/* ---- with the engine's lock ---- */

/* The calling thread has an event for its uffd_settle().  NULL: there is no memory for it. */
struct uffd_event *uffd_event_add(struct uffd *u, const struct uffd_msg *message);
/* It has been read. */
void uffd_event_complete(struct uffd_event *e);
/* The context goes: nobody waits for a reader of it any more. */
void uffd_events_forget(struct uffd *u);
/* In the child of a fork: there are none. */
void uffd_events_forked(void);

/* ---- see watch_ops ---- */

void uffd_event(void *owner, const struct watch_event *event);
void uffd_settle(void);

#endif
