/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a program that can't get at the kernel's userfaultfd, nor can its children:
 * without-uffd PROGRAM ARGUMENT...
 *
 * A seccomp filter answers userfaultfd(2) with EPERM, as those of container engines do, and every
 * ioctl of userfaultfd's type (0xAA), on any descriptor, which covers /dev/userfaultfd and such
 * files as come from elsewhere.  What then works is not the kernel's.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
/* Goes so many instructions further if what is loaded is that, or if not. */
#define EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define RETURN(value)         BPF_STMT(BPF_RET | BPF_K, value)

int main(int argc, char **argv)
{
	/* The kernel takes the lower 32 bits of a request, so these alone count. */
	struct sock_filter code[] = {
		LOAD(arch),
		EQUAL(AUDIT_ARCH_X86_64, 0, 7),
		LOAD(nr),
		EQUAL(SYS_userfaultfd, 4, 0),
		EQUAL(SYS_ioctl, 0, 4),
		LOAD(args[1]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, _IOC_TYPEMASK << _IOC_TYPESHIFT),
		EQUAL(UFFDIO << _IOC_TYPESHIFT, 0, 1),
		RETURN(SECCOMP_RET_ERRNO | 1 /* EPERM */),
		RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	if (argc < 2) {
		fprintf(stderr, "usage: without-uffd PROGRAM ARGUMENT...\n");
		return 125;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("seccomp");
		return 125;
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
