/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbells that trap when idle and are polled when busy: none is lost, however a ring
 * falls between the two, in whichever mapping it is made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/hostfd.h"
#include "memory/doorbell.h"
#include "memory/mmio.h"
#include "mmio_model.h"

#define PAGE MODEL_PAGE
#define RW   (PROT_READ | PROT_WRITE)

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void wait_ns(uint64_t ns)
{
	uint64_t end = now_ns() + ns;

	while (now_ns() < end)
		;
}

#define LONG_NS 10000000000u /* on a machine that is busy with other things */

/* Whether the model gets to know. */
static bool arrives(unsigned doorbell, uint32_t value)
{
	uint64_t end = now_ns() + LONG_NS;

	while (__atomic_load_n(&model_state()->seen[doorbell], __ATOMIC_ACQUIRE) != value) {
		if (now_ns() > end)
			return false;
		sched_yield();
	}
	return true;
}

static struct doorbell_statistics statistics(void)
{
	struct doorbell_statistics s;

	doorbells_statistics(model_device(), &s);
	return s;
}

static volatile uint32_t *map_doorbells(void)
{
	return model_map(2, BAR2_DOORBELL * PAGE, PAGE, RW);
}

static void unmap_doorbells(volatile uint32_t *d)
{
	model_unmap((void *)(uintptr_t)d, PAGE);
}

static void test_idle(void **state)
{
	volatile uint32_t *d = map_doorbells();
	uint64_t trapped = atomic_load(&model_state()->trapped);

	/* Seldom ones are dealt with in the thread that rings, at once. */
	for (uint32_t i = 1; i <= 20; i++) {
		d[0] = i;
		assert_int_equal(model_state()->seen[0], i);
		wait_ns(200000);
	}
	assert_int_equal(atomic_load(&model_state()->trapped) - trapped, 20);
	assert_int_equal(statistics().sessions, 0);
	unmap_doorbells(d);
}

static void test_busy(void **state)
{
	volatile uint32_t *d = map_doorbells();
	uint64_t trapped = atomic_load(&model_state()->trapped);
	uint64_t end = now_ns() + 20000000, latest = now_ns() + LONG_NS;
	uint32_t value = 1000;

	/* Until some have been seen by polling, for which its thread has to have a turn. */
	while (now_ns() < end || (now_ns() < latest &&
				  atomic_load(&model_state()->trapped) - trapped >= value - 1000))
		d[1] = ++value;
	assert_true(arrives(1, value));
	trapped = atomic_load(&model_state()->trapped) - trapped;
	print_message("%u rings, %lu of them trapped\n", value - 1000, (unsigned long)trapped);
	assert_true(statistics().sessions > 0);
	assert_true(trapped < value - 1000);
	unmap_doorbells(d);
}

/*
 * Bursts that make a session begin, then pauses around the time it takes to end: each
 * pause's last ring lands before, in or after the change back.
 */
static void test_race(void **state)
{
	volatile uint32_t *d = map_doorbells();
	uint64_t end = now_ns() + 1500000000u, sessions = statistics().sessions;
	uint32_t value = 0x10000, rounds = 0;

	srandom(1);
	while (now_ns() < end) {
		for (int i = 0; i < 60; i++) {
			d[2] = ++value;
			wait_ns(1000);
		}
		wait_ns(45000 + (uint64_t)random() % 150000);
		d[2] = ++value;
		assert_true(arrives(2, value));
		rounds++;
	}
	print_message("%u rounds, %lu sessions\n", rounds,
		      (unsigned long)(statistics().sessions - sessions));
	assert_true(statistics().sessions > sessions);
	unmap_doorbells(d);
}

struct ringer {
	volatile uint32_t *doorbell;
	_Atomic bool stop;
	bool lost;
};

static void *ring(void *arg)
{
	struct ringer *r = arg;
	uint32_t value = 0;

	while (!atomic_load(&r->stop)) {
		for (int i = 0; i < 50; i++)
			r->doorbell[3] = ++value;
		if (!arrives(3, value))
			r->lost = true;
	}
	return NULL;
}

/* Aliases appear and disappear while another thread rings. */
static void test_aliases(void **state)
{
	struct ringer r = {.doorbell = map_doorbells()};
	pthread_t thread;
	uint32_t value = 0;

	model_state()->seen[3] = 0;
	assert_int_equal(pthread_create(&thread, NULL, ring, &r), 0);
	for (int i = 0; i < 300; i++) {
		volatile uint32_t *alias = map_doorbells();

		alias[4] = ++value;
		assert_true(arrives(4, value));
		unmap_doorbells(alias);
	}
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	assert_false(r.lost);
	unmap_doorbells(r.doorbell);
}

/* Unmapped and mapped again in the middle of a session: the thread ends and comes back. */
static void test_remap(void **state)
{
	uint32_t value = 0x20000;

	for (int i = 0; i < 50; i++) {
		volatile uint32_t *d = map_doorbells();

		for (int j = 0; j < 40; j++)
			d[5] = ++value;
		unmap_doorbells(d);
		assert_true(arrives(5, value));
	}
}

/* A child of a fork has no poller: its doorbell pages trap, whatever they did before. */
static void test_fork(void **state)
{
	volatile uint32_t *d = map_doorbells();
	uint32_t value = 0x30000;
	int status;
	pid_t child;

	for (int i = 0; i < 40; i++)
		d[6] = ++value;
	child = fork();
	if (child == 0) {
		uint64_t trapped;

		mmio_forked();
		pthread_mutex_init(&model_state()->lock, NULL);
		trapped = atomic_load(&model_state()->trapped);
		d[7] = 0x4711;
		_exit(atomic_load(&model_state()->trapped) == trapped + 1 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(arrives(6, value));
	unmap_doorbells(d);
}

/* Nothing runs when nothing rings. */
static void test_no_cost_when_idle(void **state)
{
	volatile uint32_t *d = map_doorbells();
	uint64_t latest = now_ns() + LONG_NS;
	struct timespec before, after;
	int64_t used;

	for (uint32_t i = 0; i < 100; i++)
		d[8] = i + 1;
	/* Polling that has begun comes to its end when it has had its turn. */
	do {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
		usleep(50000);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
		used = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
	} while (used >= 2000000 && now_ns() < latest);
	print_message("%ld us of processor in 50 ms\n", (long)(used / 1000));
	assert_true(used < 2000000);
	unmap_doorbells(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_remap),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_no_cost_when_idle),
	};

	/* Sessions shall be many, however busy the machine is. */
	doorbell_policy.streak_max = doorbell_policy.streak;
	doorbell_policy.interval_ns = 100000;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
