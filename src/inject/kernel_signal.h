/* SPDX-License-Identifier: BSD-3-Clause */
/* inject/kernel_signal.h - signal system calls in the kernel's own terms. */
#ifndef STANDIN_INJECT_KERNEL_SIGNAL_H
#define STANDIN_INJECT_KERNEL_SIGNAL_H

#include <signal.h>
#include <stdint.h>

#include "core/syscall.h"
#include "inject/x86_64/guarded.h"

#define KERNEL_SA_RESTORER 0x04000000ul

/* The kernel's struct sigaction. */
struct kernel_action {
	void *handler;
	uint64_t flags;
	const void *restorer;
	uint64_t mask;
};

static inline void kernel_action_init(struct kernel_action *a,
				      void (*handler)(int, siginfo_t *, void *), uint64_t flags,
				      uint64_t mask)
{
	a->handler = (void *)(uintptr_t)handler;
	a->flags = flags | KERNEL_SA_RESTORER;
	a->restorer = signal_restorer;
	a->mask = mask;
}

/* 0 or -errno. */
static inline int kernel_action(int signal, const struct kernel_action *act,
				struct kernel_action *old)
{
	return (int)host_syscall(SYS_rt_sigaction, signal, act, old, sizeof(uint64_t));
}

static inline void kernel_mask(int how, const uint64_t *set, uint64_t *old)
{
	host_syscall(SYS_rt_sigprocmask, how, set, old, sizeof(uint64_t));
}

#endif
