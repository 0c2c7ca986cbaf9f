/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The filter: trap an ioctl whose command is in our range, unless its sixth argument,
 * which ioctl does not have, holds the cookie.
 *
 * It decides by the call's number first, so that the kernel finds every other call to be
 * allowed in its bitmap and does not run the filter for them.  It outlives exec; a child
 * that is injected too answers the trap, whatever address its libraries have.
 */
#include "inject/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>

#include "core/syscall.h"
#include "inject/runtime.h"

#define DATA(field)    ((uint32_t)offsetof(struct seccomp_data, field))
#define LOW(argument)  (DATA(args) + 8 * (argument))
#define HIGH(argument) (LOW(argument) + 4)
#define LOAD(at)       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
/* Goes on if the comparison holds, else `skip` instructions further. */
#define EQUAL(k, skip)    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, 0, skip)
#define AT_LEAST(k, skip) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, k, 0, skip)
#define AT_MOST(k, skip)  BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, k, skip, 0)

const struct sock_filter filter_program[] = {
	/*  0 */ LOAD(DATA(arch)),
	/*  1 */ EQUAL(AUDIT_ARCH_X86_64, 10),
	/*  2 */ LOAD(DATA(nr)),
	/*  3 */ EQUAL(SYS_ioctl, 8),
	/* The kernel looks at the low half of the command alone. */
	/*  4 */ LOAD(LOW(1)),
	/*  5 */ AT_LEAST(FILTER_IOCTL_FIRST, 6),
	/*  6 */ AT_MOST(FILTER_IOCTL_LAST, 5),
	/*  7 */ LOAD(LOW(5)),
	/*  8 */ EQUAL((uint32_t)SYSCALL_COOKIE, 2),
	/*  9 */ LOAD(HIGH(5)),
	/* 10 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(SYSCALL_COOKIE >> 32), 1, 0),
	/* 11 */ RETURN(SECCOMP_RET_TRAP),
	/* 12 */ RETURN(SECCOMP_RET_ALLOW),
};

const size_t filter_length = sizeof(filter_program) / sizeof(filter_program[0]);

int filter_install(void)
{
	struct sock_fprog program = {
		.len = (unsigned short)filter_length,
		.filter = (struct sock_filter *)(uintptr_t)filter_program,
	};
	long result = host_syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	if (result < 0)
		return (int)result;
	result = host_syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			      SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
	/* A positive answer is a thread that could not be synchronised. */
	return result > 0 ? -ESRCH : (int)result;
}
