/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/link.h - a connection to one of the kernel's devices.
 *
 * The kernel's side is registered with by a first message, and answers with one of its own.  It is
 * closed and opened anew whenever something goes wrong, which is also what is expected of a daemon
 * after the machine was suspended.  A device that is not there, or is used by another daemon, is
 * tried again after a while.
 */
#ifndef STANDIN_AGENT_LINK_H
#define STANDIN_AGENT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link {
	const char *name; /* for messages */
	int fd;           /* -1: closed */
	bool greeted;     /* the kernel has answered the registration */
	int64_t due;      /* when it is tried again; CLOCK_NEVER: it is not */
	int64_t wait;
	int complaint; /* what was complained of last, not to repeat it */
};

void link_init(struct link *l, const char *name);

/* It has just been opened: from now on it may be used.  `fd` is the link's. */
void link_opened(struct link *l, int fd);

/* It could not be opened, or something is wrong with it (-errno): it is closed, and due again. */
void link_failed(struct link *l, int error);

/* The kernel's side has answered. */
void link_greeted(struct link *l);

void link_close(struct link *l);

#endif
