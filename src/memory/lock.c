/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One word: 0 free, 1 held, 2 held and somebody may be waiting.  A fork is made by a thread
 * that holds it (memory/memory.c), so in the child it is held by the thread that is there.
 *
 * Threads that fault take it all the time, and whoever has just released it is the first to
 * get it again.  So they stand back once for a call that waits.
 *
 * The stack of a thread may be away, below the part that is in use.  What a call needs of it comes
 * back before, by a fault like any other, which the handler takes on its alternate stack.
 */
#include "memory/lock.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "core/syscall.h"
#include "memory/mmio_private.h"
#include "memory/pages.h"

static _Atomic uint32_t word;
static _Atomic uint32_t calls; /* that wait */
static __thread unsigned mine __attribute__((tls_model("initial-exec")));

static bool try_lock(void)
{
	uint32_t expected = 0;

	return atomic_compare_exchange_strong_explicit(&word, &expected, 1, memory_order_acquire,
						       memory_order_relaxed);
}

static void wait_lock(void)
{
	while (atomic_exchange_explicit(&word, 2, memory_order_acquire))
		host_syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, 0);
}

static void take(void)
{
	if (try_lock())
		return;
	atomic_fetch_add(&calls, 1);
	wait_lock();
	/* Whoever stood back did so for one call, however many still wait. */
	atomic_fetch_sub(&calls, 1);
	host_syscall(SYS_futex, &calls, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

static void release(void)
{
	if (atomic_exchange_explicit(&word, 0, memory_order_release) == 2)
		host_syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
}

/* The first page from `at` on of the stack that is about to be used, and is away: 0, none. */
static uintptr_t stack_away(uintptr_t at)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(MEMORY_PAGE - 1);
	uint64_t page;

	if (!pages_any())
		return 0;
	if (at < here - MEMORY_FRAMES)
		at = here - MEMORY_FRAMES;
	for (; (at = pages_next(at, here, &page)) < here; at += MEMORY_PAGE)
		if (page_is_trapped(page) && (page_protection(page) & PROT_READ))
			return at;
	return 0;
}

/* What stack_away() itself stands on. */
static __attribute__((noinline)) void touch_below(void)
{
	volatile char frames[1024];

	frames[0] = 0;
	(void)frames[0];
}

void memory_lock(uint64_t *ret_signals)
{
	uintptr_t away = 0;

	mmio_block_signals(ret_signals);
	if (mine) {
		mine++;
		return;
	}
	touch_below();
	take();
	while ((away = stack_away(away))) {
		release();
		*(const volatile char *)away;
		take();
		away += MEMORY_PAGE;
	}
	mine = 1;
}

void memory_lock_for_fault(void)
{
	uint32_t waiting = atomic_load(&calls);

	if (mine++)
		return;
	if (waiting)
		host_syscall(SYS_futex, &calls, FUTEX_WAIT_PRIVATE, waiting, 0);
	if (!try_lock())
		wait_lock();
}

void memory_unlock_for_fault(void)
{
	if (--mine == 0)
		release();
}

void memory_unlock(const uint64_t *signals)
{
	memory_unlock_for_fault();
	mmio_restore_signals(signals);
}

void memory_lock_forked(void)
{
	atomic_store(&word, 1);
	atomic_store(&calls, 0);
}

bool memory_lock_mine(void)
{
	return mine != 0;
}
