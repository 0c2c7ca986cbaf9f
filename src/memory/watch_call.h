/* SPDX-License-Identifier: BSD-3-Clause */
/* memory/watch_call.h - what memory/calls.c and a fork do to what is watched. */
#ifndef STANDIN_MEMORY_WATCH_CALL_H
#define STANDIN_MEMORY_WATCH_CALL_H

#include "memory/calls.h"

/*
 * Before the lock is taken: what the kernel would ask for inside the call is asked for, and who
 * is to hear of contents that go does so first.
 */
void watch_call_before(const struct memory_call *c, uintptr_t end);
/* With the lock, before the call and after it. */
void watch_call_begin(struct memory_call *c, uintptr_t end);
void watch_call_end(const struct memory_call *c, uintptr_t end, long result, bool failed);
/* Whether an owner has been told anything since the last time: it is to settle without the lock. */
bool watch_told(void);

/* mprotect(2) of [start, end), which is watched.  0 or -errno. */
int watch_change_protection(uintptr_t start, uintptr_t end, int protection);
/* In the child of a fork, with the lock. */
void watch_forked(void);

/*
 * watch_resolve() for a system call that is about to be made: it waits by itself where ranges are
 * served.
 */
void watch_reach(const void *address, size_t size, bool write);

#endif
