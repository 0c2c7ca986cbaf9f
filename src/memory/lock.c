/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One word: 0 free, 1 held, 2 held and somebody may be waiting.  A fork is made by a thread
 * that holds it (memory/calls.c), so in the child it is held by the thread that is there.
 */
#include "memory/lock.h"

#include <linux/futex.h>
#include <stdatomic.h>

#include "core/syscall.h"
#include "memory/mmio_private.h"

static _Atomic uint32_t word;
static __thread unsigned mine __attribute__((tls_model("initial-exec")));

void memory_lock(uint64_t *ret_signals)
{
	uint32_t expected = 0;

	mmio_block_signals(ret_signals);
	if (mine++)
		return;
	if (!atomic_compare_exchange_strong_explicit(&word, &expected, 1, memory_order_acquire,
						     memory_order_relaxed))
		while (atomic_exchange_explicit(&word, 2, memory_order_acquire))
			host_syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, 0);
}

void memory_unlock(const uint64_t *signals)
{
	if (--mine == 0 && atomic_exchange_explicit(&word, 0, memory_order_release) == 2)
		host_syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
	mmio_restore_signals(signals);
}

bool memory_lock_mine(void)
{
	return mine != 0;
}
