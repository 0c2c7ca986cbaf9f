/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's call takes a set of 64 signals as a word.
 */
#include "core/signal_mask.h"

#include "core/syscall.h"

_Atomic bool signal_mask_idle;

void signal_mask_block(uint64_t *ret_old)
{
	const uint64_t block = ~SIGNAL_MASK_FAULTS;

	host_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &block, ret_old, sizeof(block));
}

void signal_mask_restore(const uint64_t *old)
{
	host_syscall(SYS_rt_sigprocmask, SIG_SETMASK, old, NULL, sizeof(*old));
}
