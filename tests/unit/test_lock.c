/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine's lock: what it does about signals, while one may run code of the client's and while
 * none may, and by which number it knows who holds it.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/signal_mask.h"
#include "memory/memory.h"

static bool is_blocked(void)
{
	sigset_t set;

	sigprocmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, SIGUSR1) == 1;
}

static void test_blocked(void **state)
{
	uint64_t signals, inner;

	atomic_store(&signal_mask_idle, false);
	memory_lock(&signals);
	assert_true(is_blocked());
	memory_lock(&inner);
	memory_unlock(&inner);
	assert_true(is_blocked());
	memory_unlock(&signals);
	assert_false(is_blocked());
}

static void test_left_open(void **state)
{
	uint64_t signals, inner;

	atomic_store(&signal_mask_idle, true);
	memory_lock(&signals);
	assert_false(is_blocked());
	/* What comes then is for who takes it next. */
	atomic_store(&signal_mask_idle, false);
	memory_lock(&inner);
	assert_true(is_blocked());
	memory_unlock(&inner);
	assert_false(is_blocked());
	memory_unlock(&signals);
	assert_false(is_blocked());
}

/* ---- a handler comes while the lock is waited for ---- */

static atomic_bool waiting;

static void *take(void *unused)
{
	uint64_t signals;
	bool blocked;

	atomic_store(&waiting, true);
	memory_lock(&signals);
	blocked = is_blocked();
	memory_unlock(&signals);
	return (void *)(uintptr_t)(blocked && !is_blocked());
}

static void test_handler_while_waiting(void **state)
{
	pthread_t thread;
	uint64_t signals;
	void *right;

	atomic_store(&signal_mask_idle, true);
	memory_lock(&signals);
	assert_int_equal(pthread_create(&thread, NULL, take, NULL), 0);
	while (!atomic_load(&waiting))
		usleep(1000);
	usleep(20000); /* it waits by now, or will find what is so from here on */
	atomic_store(&signal_mask_idle, false);
	memory_unlock(&signals);
	assert_int_equal(pthread_join(thread, &right), 0);
	assert_non_null(right);
}

/* ---- what is put off ---- */

static void note_blocked(void *argument)
{
	*(bool *)argument = is_blocked();
}

static void test_later(void **state)
{
	bool plain, blocked;
	uint64_t signals;

	for (int idle = 0; idle < 2; idle++) {
		atomic_store(&signal_mask_idle, idle);
		plain = blocked = false;
		memory_lock(&signals);
		memory_later(note_blocked, &plain);
		memory_later_blocked(note_blocked, &blocked);
		memory_unlock(&signals);
		assert_int_equal(plain, !idle);
		assert_true(blocked);
		assert_false(is_blocked());
	}
}

/* ---- numbers ---- */

static bool holds_by_its_number(void)
{
	uint64_t signals;
	bool right;

	memory_lock(&signals);
	right = memory_lock_mine() && memory_lock_holder() == syscall(SYS_gettid);
	memory_unlock(&signals);
	return right;
}

static void *use_number(void *unused)
{
	return (void *)(uintptr_t)(holds_by_its_number() && holds_by_its_number());
}

static void check_fork(void (*told)(void))
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		told();
		_exit(holds_by_its_number() ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void nothing(void)
{
}

/* A child that is told of, as by the handlers of a fork, and one that the client's clone makes. */
static void test_numbers(void **state)
{
	static _Atomic bool clones;
	pthread_t thread;
	void *right;

	memory_lock_trust_locals(&clones);
	assert_true(holds_by_its_number());
	assert_int_equal(pthread_create(&thread, NULL, use_number, NULL), 0);
	assert_int_equal(pthread_join(thread, &right), 0);
	assert_non_null(right);
	check_fork(memory_fork_child);
	atomic_store(&clones, true);
	check_fork(nothing);
	assert_true(holds_by_its_number());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocked),
		cmocka_unit_test(test_left_open),
		cmocka_unit_test(test_handler_while_waiting),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
