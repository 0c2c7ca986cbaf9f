/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A new thread inherits the mask of its maker, so that is changed around pthread_create(),
 * by a bare system call: libc's is wrapped and would keep it from the kernel.
 */
#include "core/thread.h"

#include <signal.h>
#include <stdint.h>

#include "core/syscall.h"

#define STACK_SIZE (256u << 10)

#define KERNEL_SIGSET_SIZE 8

static uint64_t signal_bit(int signal)
{
	return (uint64_t)1 << (signal - 1);
}

int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *arg), void *arg)
{
	uint64_t old, blocked = ~(signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGSYS) |
				  signal_bit(SIGILL) | signal_bit(SIGFPE) | signal_bit(SIGTRAP));
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	error = pthread_attr_init(&attributes);
	if (error)
		return -error;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	host_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, &old, KERNEL_SIGSET_SIZE);
	error = pthread_create(&thread, &attributes, run, arg);
	host_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, KERNEL_SIGSET_SIZE);
	pthread_attr_destroy(&attributes);
	if (error)
		return -error;
	pthread_setname_np(thread, name);
	*ret_thread = thread;
	return 0;
}
