/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/signal_mask.h - keeping the client's signals out for a while.
 */
#ifndef STANDIN_CORE_SIGNAL_MASK_H
#define STANDIN_CORE_SIGNAL_MASK_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A kernel's set of one signal. */
#define SIGNAL_BIT(signal) (UINT64_C(1) << ((signal)-1))
/* Those that a thread's own memory accesses, instructions and system calls raise. */
#define SIGNAL_MASK_FAULTS                                                                    \
	(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGSYS) | SIGNAL_BIT(SIGFPE) | \
	 SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP))

/*
 * Blocks all others in this thread, by a bare system call: libc's is wrapped and would keep it
 * from the kernel.  Any context.
 */
void signal_mask_block(uint64_t *ret_old);
void signal_mask_restore(const uint64_t *old);

/*
 * Whether those that would be blocked can do no more than end or stop the process: none of them
 * has a handler of the client's.  Then there is nothing to keep out.  Said by who sees all that
 * the client does about signals (inject/signals.c); false until then, and for good after.
 */
extern _Atomic bool signal_mask_idle;
static inline bool signal_mask_is_idle(void)
{
	return atomic_load_explicit(&signal_mask_idle, memory_order_seq_cst);
}

#endif
