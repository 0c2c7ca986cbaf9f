/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/lock.h - the lock of the memory engine: for this process what mmap_lock is in the
 * kernel.
 *
 * Who holds it has all signals blocked that may run code of the client's, but for those that faults
 * raise, and never touches the
 * client's memory plainly, for a fault there would wait for it.  Copies that are guarded
 * (core/user.h) may be made: such a fault is -EFAULT.  Safe in the SIGSEGV handler.
 */
#ifndef STANDIN_MEMORY_LOCK_H
#define STANDIN_MEMORY_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What calls of the engine need of the stack of the thread that makes them. */
#define MEMORY_FRAMES ((uintptr_t)32 << 10)

/* The mask to give back to memory_unlock() goes to *ret_signals. */
void memory_lock(uint64_t *ret_signals);
void memory_unlock(const uint64_t *signals);
/*
 * The same in the handler of a fault, whose mask blocks the signals; of less importance than
 * calls that wait for it.  false: it can't be had, but is lent.
 */
bool memory_lock_for_fault(void);
void memory_unlock_for_fault(void);
/*
 * Who makes a fork holds it and waits for locks of libc's, and whoever has those may have to
 * wait for a page.  So for this time it lends the lock to those who fault: they may look at
 * everything and change nothing of the engine's, one at a time, between memory_borrow() and
 * memory_borrow_end().  false: no longer, fault again.
 */
void memory_lock_lend(void);
void memory_lock_reclaim(void);
bool memory_borrow(void);
void memory_borrow_end(void);
/*
 * With the lock: `run` is called by this thread as soon as it has given the lock up, no handler of
 * the client's in between.  It is for waking threads, which would run at once only to wait for the
 * lock.  It neither sleeps nor faults.  memory_later_blocked(): with signals blocked, for what may
 * raise one.
 */
void memory_later(void (*run)(void *argument), void *argument);
void memory_later_blocked(void (*run)(void *argument), void *argument);
/* Without the lock: what has been put off by anybody until now is over. */
void memory_later_settle(void);
/*
 * Until *clones, thread-local variables are one thread's: no task of this process has been made that
 * shares them with another.  Without this call they may be anybody's.
 */
void memory_lock_trust_locals(const _Atomic bool *clones);
/* In the child of a fork: threads have other numbers. */
void memory_lock_renumber(void);
/* The same, and the fork was made with the lock: nobody else waits for it. */
void memory_lock_forked(void);
/* Whether this thread holds it. */
bool memory_lock_mine(void);
/* The thread that does, as gettid(2) says; 0: none. */
int memory_lock_holder(void);

#endif
