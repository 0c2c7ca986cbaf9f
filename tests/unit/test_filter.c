/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system call filter: its program by an interpreter of our own, for every kind of
 * call; then the real thing on two threads; and the search for system call instructions.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/syscall.h"
#include "inject/filter.h"
#include "inject/runtime.h"
#include "inject/segv.h"
#include "inject/signals.h"
#include "inject/sigsys.h"
#include "inject/x86_64/scan.h"

/* Classic BPF, as much of it as the filter uses. */
static uint32_t interpret(const struct seccomp_data *data)
{
	uint32_t a = 0;
	size_t at = 0;

	for (;;) {
		const struct sock_filter *f;
		bool jump;

		assert_true(at < filter_length);
		f = &filter_program[at++];
		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(f->k + 4 <= sizeof(*data) && f->k % 4 == 0);
			memcpy(&a, (const uint8_t *)data + f->k, 4);
			continue;
		case BPF_RET | BPF_K:
			return f->k;
		case BPF_JMP | BPF_JEQ | BPF_K:
			jump = a == f->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			jump = a >= f->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			jump = a > f->k;
			break;
		default:
			fail_msg("instruction %zu: %#x", at - 1, f->code);
			return 0;
		}
		at += jump ? f->jt : f->jf;
	}
}

static uint32_t verdict(uint32_t arch, int number, uint64_t command, uint64_t sixth)
{
	struct seccomp_data data = {
		.arch = arch, .nr = number, .args = {3, command, 0, 0, 0, sixth}};

	return interpret(&data);
}

#define X86 AUDIT_ARCH_X86_64

static void test_program(void **state)
{
	for (uint32_t c = FILTER_IOCTL_FIRST; c <= FILTER_IOCTL_LAST; c++) {
		assert_int_equal(verdict(X86, SYS_ioctl, c, 0), SECCOMP_RET_TRAP);
		assert_int_equal(verdict(X86, SYS_ioctl, c, SYSCALL_COOKIE), SECCOMP_RET_ALLOW);
	}
	assert_int_equal(verdict(X86, SYS_ioctl, FILTER_IOCTL_FIRST - 1, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(verdict(X86, SYS_ioctl, FILTER_IOCTL_LAST + 1, 0), SECCOMP_RET_ALLOW);
	/* The upper half of the command is not looked at, neither here nor by the kernel. */
	assert_int_equal(verdict(X86, SYS_ioctl, 0xffffffff00003b64, 0), SECCOMP_RET_TRAP);
	/* Half a cookie is none. */
	assert_int_equal(verdict(X86, SYS_ioctl, 0x3b64, (uint32_t)SYSCALL_COOKIE),
			 SECCOMP_RET_TRAP);
	assert_int_equal(verdict(X86, SYS_ioctl, 0x3b64, SYSCALL_COOKIE >> 32 << 32),
			 SECCOMP_RET_TRAP);
	for (int n = 0; n < 500; n++)
		if (n != SYS_ioctl)
			assert_int_equal(verdict(X86, n, 0x3b64, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(verdict(AUDIT_ARCH_I386, 54, 0x3b64, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(verdict(AUDIT_ARCH_AARCH64, SYS_ioctl, 0x3b64, 0), SECCOMP_RET_ALLOW);
}

static long answer(int fd, unsigned long command, unsigned long arg)
{
	if (fd == 1000)
		return (long)(command + arg);
	return host_syscall(SYS_ioctl, fd, command, arg, 0, 0, SYSCALL_COOKIE);
}

static _Atomic int stage;

static void *other_thread(void *arg)
{
	while (stage == 0)
		usleep(100);
	/* This thread was there before the filter. */
	return (void *)host_syscall(SYS_ioctl, 1000, 0x3b65, 2);
}

/* In a child, since a filter stays.  Its exit status is the number of the check that failed. */
static int installed_checks(void)
{
	pthread_t thread;
	void *result;
	int fd = open("/dev/null", O_RDWR);

	pthread_create(&thread, NULL, other_thread, NULL);
	if (segv_setup() < 0 || signals_take(sigsys_claim) < 0)
		return 1;
	sigsys_start(answer);
	if (host_syscall(SYS_ioctl, 1000, 0x3b64, 1) != 0x3b65)
		return 2;
	if (host_syscall(SYS_ioctl, fd, 0x3b64, 1) != -ENOTTY)
		return 3;
	if (ioctl(fd, 0x3b70, 0) != -1 || errno != ENOTTY)
		return 4;
	if (host_syscall(SYS_ioctl, 1000, 0x5401, 0) != -EBADF)
		return 5;
	stage = 1;
	pthread_join(thread, &result);
	if ((long)result != 0x3b67)
		return 6;
	/* A SIGSYS that is not ours is the client's. */
	signals_action(SIGSYS, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	raise(SIGSYS);
	return 0;
}

static void test_installed(void **state)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(installed_checks());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_scan(void **state)
{
	/* mov eax, 0x10050f; four times: the bytes are in an immediate. */
	static const uint8_t immediate[] = {0xb8, 0x0f, 0x05, 0x10, 0x00};
	static const uint8_t call[] = {0xb8, 0x10, 0, 0, 0, 0x0f, 0x05, 0x48, 0x89, 0xc3, 0xc3};
	uint8_t text[200];

	memset(text, 0x90, sizeof(text));
	assert_false(scan_text(text, sizeof(text)));
	memcpy(text + 100, immediate, sizeof(immediate));
	assert_false(scan_text(text, sizeof(text)));
	for (size_t at = 40; at < 180; at++) {
		memset(text, 0x90, sizeof(text));
		memcpy(text + at, call, sizeof(call));
		assert_true(scan_text(text, sizeof(text)));
	}
	/* This very program makes system calls of its own; an arithmetic function does not. */
	assert_true(scan_text((const void *)(uintptr_t)installed_checks, 600));
	assert_false(scan_text((const void *)(uintptr_t)interpret, 64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program),
		cmocka_unit_test(test_installed),
		cmocka_unit_test(test_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
