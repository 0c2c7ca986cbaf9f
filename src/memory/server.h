/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/server.h - a file whose pages this process itself provides when they are used.
 *
 * A page of it is at the offset that is its address, and is not given before it is known.
 * Who uses it sleeps in the kernel, in a fault or in whatever system call: so the kernel's own
 * accesses wait, which a trap would fail.  What is asked for in this way is told to the owner of
 * the range (watch_ops->ask), if it is missing; else there are zeroes.
 *
 * Under the engine's lock if nothing else is said.
 */
#ifndef STANDIN_MEMORY_SERVER_H
#define STANDIN_MEMORY_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether this process could have one: 0 or -errno. */
int server_probe(void);
/* Idempotent; ordinary context, without the lock.  0 or -errno. */
int server_start(void);
/* The descriptor of the file; -EBADF: it has not been started. */
int server_file(void);
bool server_is_file(dev_t device, uint64_t inode);

/*
 * What is used in [start, end) gets this content at once, NULL: zeroes; whoever waits there
 * gets it as well.  From the end on, which the same thread says before it gives up the lock, nobody
 * reads it any more.
 */
void server_offer(uintptr_t start, uintptr_t end, const void *content);
void server_offer_end(void);

/*
 * Before pages that somebody may have been given go from [start, end): until who waited for them is
 * done with them (memory/tries.h).  While there is an offer, it is what they get if they ask again.
 */
void server_settle(uintptr_t start, uintptr_t end);

/* Looks at all who wait: what they wait for may not be missing any more. */
void server_look(void);

/* In the child of a fork: the file is the parent's. */
void server_forked(void);

#endif
