/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's signals behind ours: what it installs it is shown and gets, with the mask,
 * flags and exit status it would have without us.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "inject/signals.h"
#include "inject/threads.h"
#include "mmio_model.h"

#define PAGE MODEL_PAGE
#define RW   (PROT_READ | PROT_WRITE)

static volatile int calls, last_signal;
static siginfo_t last_info;
static sigset_t last_mask, last_context_mask;
static sigjmp_buf escape;
static uint8_t *nothing; /* a PROT_NONE page that is not ours */

static void note(int signal, siginfo_t *info, void *context)
{
	calls++;
	last_signal = signal;
	if (!info)
		return;
	last_info = *info;
	sigprocmask(SIG_SETMASK, NULL, &last_mask);
	last_context_mask = ((ucontext_t *)context)->uc_sigmask;
}

static void jump_away(int signal, siginfo_t *info, void *context)
{
	note(signal, info, context);
	siglongjmp(escape, 1);
}

static void make_readable(int signal, siginfo_t *info, void *context)
{
	note(signal, info, context);
	mprotect(nothing, PAGE, RW);
}

static int action(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

	calls = 0;
	return signals_action(signal, &act, NULL);
}

static void touch(const void *address)
{
	(void)*(const volatile uint8_t *)address;
}

static bool is_blocked(const sigset_t *mask, int signal)
{
	return sigismember(mask, signal) == 1;
}

/* The status of a child that runs `body`. */
#define CHILD(body)                                                     \
	({                                                              \
		int status_;                                            \
		pid_t child_ = fork();                                  \
		if (child_ == 0) {                                      \
			setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); \
			body;                                           \
			_exit(99);                                      \
		}                                                       \
		assert_int_equal(waitpid(child_, &status_, 0), child_); \
		status_;                                                \
	})

static void test_shown(void **state)
{
	struct sigaction act = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old;
	struct sigaction real_old;

	model_device();
	sigaddset(&act.sa_mask, SIGUSR1);
	sigaddset(&act.sa_mask, SIGSEGV);
	assert_int_equal(signals_action(SIGSEGV, &act, NULL), 0);
	memset(&old, 0x55, sizeof(old));
	assert_int_equal(signals_action(SIGSEGV, NULL, &old), 0);
	assert_ptr_equal(old.sa_sigaction, note);
	assert_true(is_blocked(&old.sa_mask, SIGUSR1) && is_blocked(&old.sa_mask, SIGSEGV));
	assert_false(is_blocked(&old.sa_mask, SIGUSR2));
	/* The same as libc shows for a signal that is not virtualised. */
	sigaction(SIGUSR1, &act, NULL);
	sigaction(SIGUSR1, NULL, &real_old);
	assert_int_equal(old.sa_flags, real_old.sa_flags);
	signal(SIGUSR1, SIG_DFL);
	assert_int_equal(signals_action(SIGSEGV, (void *)16, NULL), -EFAULT);
	assert_int_equal(signals_action(SIGSEGV, NULL, (void *)16), -EFAULT);
}

static void test_chained(void **state)
{
	uint8_t *m = model_map(0, 0, PAGE, RW);

	mprotect(nothing, PAGE, PROT_NONE);
	action(SIGSEGV, make_readable, 0);
	touch(m);
	assert_int_equal(calls, 0);
	touch(nothing + 8);
	assert_int_equal(calls, 1);
	assert_int_equal(last_signal, SIGSEGV);
	assert_int_equal(last_info.si_code, SEGV_ACCERR);
	assert_ptr_equal(last_info.si_addr, nothing + 8);
	touch(nothing + 8);
	assert_int_equal(calls, 1);
	touch(m);
	model_unmap(m, PAGE);
}

static void test_longjmp(void **state)
{
	uint8_t *m = model_map(0, 0, PAGE, RW);
	sigset_t before, after;

	mprotect(nothing, PAGE, PROT_NONE);
	action(SIGSEGV, jump_away, 0);
	sigprocmask(SIG_SETMASK, NULL, &before);
	for (int i = 0; i < 100; i++) {
		if (sigsetjmp(escape, 1) == 0) {
			touch(nothing);
			fail();
		}
		touch(m);
	}
	assert_int_equal(calls, 100);
	sigprocmask(SIG_SETMASK, NULL, &after);
	assert_memory_equal(&before, &after, 8);
	model_unmap(m, PAGE);
}

/* The mask in the handler: the interrupted one, the action's and the signal itself. */
static void test_masks(void **state)
{
	struct sigaction act = {.sa_sigaction = make_readable, .sa_flags = SA_SIGINFO};
	sigset_t set, shown;

	mprotect(nothing, PAGE, PROT_NONE);
	model_device();
	calls = 0;
	sigaddset(&act.sa_mask, SIGUSR2);
	signals_action(SIGSEGV, &act, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGBUS);
	signals_mask_filter(SIG_BLOCK, &set);
	assert_false(is_blocked(&set, SIGBUS));
	sigprocmask(SIG_BLOCK, &set, NULL);
	touch(nothing);
	assert_int_equal(calls, 1);
	assert_true(is_blocked(&last_mask, SIGUSR1) && is_blocked(&last_mask, SIGUSR2));
	assert_false(is_blocked(&last_mask, SIGALRM) || is_blocked(&last_mask, SIGSEGV));
	assert_true(is_blocked(&last_context_mask, SIGUSR1));
	assert_true(is_blocked(&last_context_mask, SIGBUS));
	assert_false(is_blocked(&last_context_mask, SIGUSR2));
	/* Afterwards as before. */
	sigprocmask(SIG_SETMASK, NULL, &shown);
	assert_false(is_blocked(&shown, SIGBUS) || is_blocked(&shown, SIGUSR2));
	signals_mask_show(&shown);
	assert_true(is_blocked(&shown, SIGBUS) && is_blocked(&shown, SIGUSR1));
	assert_false(is_blocked(&shown, SIGSEGV));
	sigemptyset(&set);
	signals_mask_filter(SIG_SETMASK, &set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigprocmask(SIG_SETMASK, NULL, &shown);
	signals_mask_show(&shown);
	assert_false(is_blocked(&shown, SIGBUS));
}

static void test_blocked_everything(void **state)
{
	uint8_t *m = model_map(0, 0, PAGE, RW);
	sigset_t all, old;

	sigfillset(&all);
	signals_mask_filter(SIG_SETMASK, &all);
	sigprocmask(SIG_SETMASK, &all, &old);
	touch(m);
	*(volatile uint32_t *)m = 4;
	signals_mask_filter(SIG_SETMASK, &old);
	sigprocmask(SIG_SETMASK, &old, NULL);
	model_unmap(m, PAGE);
}

static void test_death(void **state)
{
	int status;

	model_device();
	mprotect(nothing, PAGE, PROT_NONE);
	status = CHILD({
		signals_action(SIGSEGV, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
		touch(nothing);
	});
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	/* A fault that is ignored kills, as the kernel has it. */
	status = CHILD({
		signals_action(SIGSEGV, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
		touch(nothing);
	});
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	/* One that is sent does not. */
	status = CHILD({
		signals_action(SIGSEGV, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
		raise(SIGSEGV);
		kill(getpid(), SIGSEGV);
		_exit(7);
	});
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	status = CHILD({
		signals_action(SIGBUS, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
		raise(SIGBUS);
	});
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	status = CHILD({
		signals_action(SIGSYS, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
		kill(getpid(), SIGSYS);
	});
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	/* A fault while its signal is blocked kills, whatever is installed. */
	status = CHILD({
		sigset_t set;

		action(SIGSEGV, make_readable, 0);
		sigemptyset(&set);
		sigaddset(&set, SIGSEGV);
		signals_mask_filter(SIG_BLOCK, &set);
		touch(nothing);
	});
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void test_resethand(void **state)
{
	struct sigaction old;
	int status;

	model_device();
	mprotect(nothing, PAGE, PROT_NONE);
	action(SIGSEGV, make_readable, SA_RESETHAND);
	touch(nothing);
	assert_int_equal(calls, 1);
	signals_action(SIGSEGV, NULL, &old);
	assert_ptr_equal(old.sa_handler, SIG_DFL);
	/* Java and crash reporters: report once, return, and die of the second fault. */
	status = CHILD({
		mprotect(nothing, PAGE, PROT_NONE);
		action(SIGSEGV, note, SA_RESETHAND);
		touch(nothing);
	});
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void test_sent(void **state)
{
	model_device();
	action(SIGSEGV, note, 0);
	raise(SIGSEGV);
	assert_int_equal(calls, 1);
	assert_int_equal(last_info.si_code, SI_TKILL);
	kill(getpid(), SIGSEGV);
	assert_int_equal(calls, 2);
	assert_int_equal(last_info.si_code, SI_USER);
	assert_int_equal(last_info.si_pid, getpid());
}

/* A division by a register that holds zero is the client's SIGFPE, at its instruction. */
static void on_divide(int signal, siginfo_t *info, void *context)
{
	note(signal, info, context);
	siglongjmp(escape, 1);
}

static void test_divide(void **state)
{
	uint8_t *m = model_map(0, 0, PAGE, RW);
	struct sigaction act = {.sa_sigaction = on_divide, .sa_flags = SA_SIGINFO}, old;

	memset(m, 0, 0);
	*(volatile uint32_t *)m = 0;
	sigaction(SIGFPE, &act, &old);
	calls = 0;
	if (sigsetjmp(escape, 1) == 0) {
		__asm__ volatile("divl (%0)" : : "r"(m), "a"(5), "d"(0) : "cc");
		fail();
	}
	assert_int_equal(calls, 1);
	assert_int_equal(last_info.si_code, FPE_INTDIV);
	sigaction(SIGFPE, &old, NULL);
	model_unmap(m, PAGE);
}

/* On an alternate stack as small as they come. */
static void test_small_stack(void **state)
{
	uint8_t *m = model_map(0, 0, PAGE, RW);
	uint8_t *space = host_mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t small = {.ss_sp = space + PAGE, .ss_size = 8192}, old;
	size_t used;

#ifdef __SANITIZE_ADDRESS__
	skip(); /* its frames alone are larger */
#endif
	/* What lies below it must stay untouched. */
	memset(space, 0xee, 3 * PAGE);
	host_mprotect(space, PAGE, PROT_NONE);
	assert_int_equal(sigaltstack(&small, &old), 0);
	touch(m + 4);
	*(volatile uint64_t *)(m + 8) = 1;
	__asm__ volatile("vpaddd (%0), %%ymm0, %%ymm0" : : "r"(m) : "xmm0");
	__asm__ volatile("lock addl $1, (%0)" : : "r"(m) : "memory", "cc");
	/* A model that takes much stack, and copies from memory that is not there. */
	model_state()->greedy = true;
	touch(m);
	model_state()->greedy = false;
	assert_int_equal(model_state()->greedy_result, -EFAULT);
	touch(m);
	assert_int_equal(sigaltstack(NULL, &small), 0);
	assert_int_equal(small.ss_size, 8192);
	assert_int_equal(small.ss_flags, 0);
	small.ss_flags = SS_DISABLE;
	sigaltstack(old.ss_sp ? &old : &small, NULL);
	for (used = 0; used < 8192 && space[PAGE + used] == 0xee; used++)
		;
	print_message("stack used: %zu bytes with the kernel's frame\n", 8192 - used);
	assert_true(used > 1024);
	host_munmap(space, 4 * PAGE);
	model_unmap(m, PAGE);
}

/* A thread from before, which blocks everything that a program can block. */
static struct {
	uint8_t *volatile registers;
	sigset_t shown;
	pthread_t thread;
} early;

static void *early_thread(void *arg)
{
	while (!early.registers)
		usleep(1000);
	touch(early.registers);
	*(volatile uint32_t *)early.registers = 4;
	sigprocmask(SIG_SETMASK, NULL, &early.shown);
	signals_mask_show(&early.shown);
	return NULL;
}

static void start_early_thread(void)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_create(&early.thread, NULL, early_thread, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void test_early_thread(void **state)
{
	uint8_t *m = model_map(0, 0, PAGE, RW);

	early.registers = m;
	pthread_join(early.thread, NULL);
	assert_int_equal(model_state()->last_write.value, 4);
	assert_true(is_blocked(&early.shown, SIGSEGV) && is_blocked(&early.shown, SIGUSR1));
	model_unmap(m, PAGE);
}

/* A thread that can't run when it is to be reached: it waits for its child to exit. */
static struct {
	_Atomic bool waits;
	_Atomic uint64_t told;
	char status[64]; /* of the thread, in /proc */
	sigset_t left;
} late;

/* Whether the thread has been sent the signal, which it can't take yet. */
static bool late_is_sent(void)
{
	char text[2048] = "";
	int fd = host_open(late.status, O_RDONLY | O_CLOEXEC, 0);
	const char *pending;

	host_read(fd, text, sizeof(text) - 1);
	host_close(fd);
	pending = strstr(text, "\nSigPnd:");
	return pending && strtoull(pending + 8, NULL, 16) & UINT64_C(1) << (33 - 1);
}

static int late_child(void *arg)
{
	static const struct timespec pause = {.tv_nsec = 1000000};

	atomic_store(&late.waits, true);
	while (!late_is_sent())
		host_syscall(SYS_nanosleep, &pause, NULL);
	return 0;
}

static void *late_thread(void *arg)
{
	static char stack[16384] __attribute__((aligned(16)));
	sigset_t set;
	pid_t child;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	snprintf(late.status, sizeof(late.status), "/proc/%d/task/%d/status", getpid(), gettid());
	child = clone(late_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	waitpid(child, NULL, 0);
	pthread_sigmask(SIG_SETMASK, NULL, &late.left);
	return NULL;
}

static void note_late(uint64_t blocked)
{
	atomic_fetch_or(&late.told, blocked);
}

static void test_late_thread(void **state)
{
	siginfo_t info = {.si_signo = 33, .si_code = SI_QUEUE};
	uint64_t mask = UINT64_C(1) << (SIGUSR2 - 1);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, late_thread, NULL), 0);
	while (!atomic_load(&late.waits))
		usleep(1000);
	threads_unblock(mask, note_late);
	assert_int_equal(atomic_load(&late.told), mask);
	/* The signal is libc's again, which needs it for this, and takes no notice of ours. */
	assert_int_equal(setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1), 0);
	assert_int_equal(host_syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), 33, &info), 0);
	pthread_join(thread, NULL);
	assert_false(is_blocked(&late.left, SIGUSR2));
}

static void *hammer(void *arg)
{
	uint8_t *m = arg;
	uint32_t mine = (uint32_t)(uintptr_t)pthread_self();

	for (int i = 0; i < 3000; i++) {
		__asm__ volatile("lock addl $1, (%0)" : : "r"(m) : "memory", "cc");
		__asm__ volatile("movups (%0), %%xmm4\n\tpaddd 16(%0), %%xmm4" : : "r"(m) : "xmm4");
		(void)*(volatile uint32_t *)(m + 4);
		if (mine != (uint32_t)(uintptr_t)pthread_self())
			abort();
	}
	return NULL;
}

static void test_threads(void **state)
{
	uint8_t *m = model_map(0, 0, PAGE, RW);
	pthread_t thread[6];

	for (int i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hammer, m), 0);
	/* Mappings come and go meanwhile. */
	for (int i = 0; i < 200; i++)
		model_unmap(model_map(0, PAGE, 4 * PAGE, RW), 4 * PAGE);
	for (int i = 0; i < 6; i++)
		pthread_join(thread[i], NULL);
	model_unmap(m, PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_early_thread), cmocka_unit_test(test_shown),
		cmocka_unit_test(test_chained),      cmocka_unit_test(test_longjmp),
		cmocka_unit_test(test_masks),        cmocka_unit_test(test_blocked_everything),
		cmocka_unit_test(test_death),        cmocka_unit_test(test_resethand),
		cmocka_unit_test(test_sent),         cmocka_unit_test(test_divide),
		cmocka_unit_test(test_small_stack),  cmocka_unit_test(test_threads),
		cmocka_unit_test(test_late_thread),
	};

	start_early_thread();
	nothing = host_mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
