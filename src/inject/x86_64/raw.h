/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/x86_64/raw.h - a system call that nobody's wrapper sees and that leaves errno
 * alone.  Returns what the kernel does: a value or -errno.
 */
#ifndef STANDIN_INJECT_RAW_H
#define STANDIN_INJECT_RAW_H

static inline long raw_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define raw1(n, a)          raw_syscall(n, (long)(a), 0, 0, 0, 0, 0)
#define raw2(n, a, b)       raw_syscall(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define raw3(n, a, b, c)    raw_syscall(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define raw4(n, a, b, c, d) raw_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

#endif
