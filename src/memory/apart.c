/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process is made by clone(2) itself, as libc's function of that name would write to
 * thread-local variables.  It has a stack of 64 KiB, which stays when it ends.
 */
#include "memory/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/own.h"

#define STACK_SIZE ((size_t)64 << 10)

int apart_start(void (*run)(void))
{
	const long flags = CLONE_VM | CLONE_FS | CLONE_SIGHAND;
	char *stack = own_alloc(STACK_SIZE);
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	long result;

	if (!stack)
		return -ENOMEM;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call *%[run]\n"
			 "1:"
			 : "=a"(result)
			 : "a"((long)SYS_clone), "D"(flags), "S"(stack + STACK_SIZE), "d"(0L),
			   "r"(r10), "r"(r8), [run] "b"(run)
			 : "rcx", "r11", "memory");
	if (result < 0)
		own_free(stack, STACK_SIZE);
	return (int)result;
}

int apart_keep_only(int fd)
{
	long ret = host_syscall(SYS_close_range, (unsigned)fd + 1, UINT_MAX, CLOSE_RANGE_UNSHARE);

	if (ret == 0 && fd > 0)
		ret = host_syscall(SYS_close_range, 0, (unsigned)fd - 1, 0);
	return (int)ret;
}

int apart_open_status(pid_t process)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/status", process);
	return host_open(path, O_RDONLY | O_CLOEXEC, 0);
}

/* Nothing else tells of it. */
bool apart_dumps_core(int status)
{
	char text[2048];
	ssize_t n = host_pread(status, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "\nCoreDumping:\t1");
}
