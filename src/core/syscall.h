/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/syscall.h - bare system calls.
 *
 * The runtime lives in a client whose libc entry points, syscall(2) among them, are
 * wrapped; what it does for itself must not come back in through those wrappers.
 * Returns what the kernel returns: a value or -errno.  errno is not touched.
 */
#ifndef STANDIN_CORE_SYSCALL_H
#define STANDIN_CORE_SYSCALL_H

#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long host_syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return result;
}
#else
#error "core/syscall.h: no system call sequence for this processor yet"
#endif

#define HOST_SYSCALL_(nr, a, b, c, d, e, f, ...)                                                   \
	host_syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* host_syscall(SYS_read, fd, buffer, size): up to six arguments. */
#define host_syscall(...) HOST_SYSCALL_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

#endif
