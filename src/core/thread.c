/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A new thread inherits the mask of its maker, so that is changed around pthread_create(), by a
 * bare system call; the signals of faults are open in it even if its maker blocks them.
 */
#include "core/thread.h"

#include "core/signal_mask.h"
#include "core/syscall.h"

#define STACK_SIZE (256u << 10)

int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *arg), void *arg)
{
	const uint64_t blocked = ~SIGNAL_MASK_FAULTS;
	uint64_t old;
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	error = pthread_attr_init(&attributes);
	if (error)
		return -error;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	host_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, &old, sizeof(old));
	error = pthread_create(&thread, &attributes, run, arg);
	signal_mask_restore(&old);
	pthread_attr_destroy(&attributes);
	if (error)
		return -error;
	pthread_setname_np(thread, name);
	*ret_thread = thread;
	return 0;
}
