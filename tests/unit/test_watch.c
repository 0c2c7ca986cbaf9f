/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ranges whose faults are answered in user space: what traps, what the owner is told, and
 * what it can do.  Everything twice: with guard markers where the kernel has them, and with
 * PROT_NONE.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory_rig.h"
#include "uapi/mm.h"
#include "watch_rig.h"

static enum memory_traps traps;

static int with_guards(void **state)
{
	traps = MEMORY_TRAPS_AUTO;
	return 0;
}

static int with_protection(void **state)
{
	traps = MEMORY_TRAPS_PROTECT;
	return 0;
}

/* cmocka takes the signals again for each function that it calls. */
#define STARTED(function)                            \
	static void started_##function(void **state) \
	{                                            \
		rig_start(traps);                    \
		watch_rig_start(rig_answer_page);    \
		function(state);                     \
	}

/* ---- missing pages ---- */

static void test_missing_page_is_asked_for(void **state)
{
	char *p = rig_map(16 * PAGE);
	unsigned mappings = rig_mappings();

	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING), 0);
	assert_true(rig_is_page(p + 3 * PAGE));
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(watch_rig_last().address, p + 3 * PAGE);
	assert_int_equal(watch_rig_last().reason, WATCH_MISSING);
	assert_false(watch_rig_last().write);
	p[4 * PAGE + 5] = 1;
	assert_int_equal(watch_rig_messages(), 2);
	assert_int_equal(watch_rig_last().address, p + 4 * PAGE + 5);
	assert_true(watch_rig_last().write);
	p[3 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 2);
	rig_unwatch(p, 16 * PAGE);
	assert_int_equal(rig_mappings(), mappings);
	assert_int_equal(p[5 * PAGE], 0);
	p[6 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 2);
	munmap(p, 16 * PAGE);
}

static void test_pages_that_are_there_stay(void **state)
{
	char *p = rig_map(64 * PAGE);
	static char page[PAGE];

	rig_fill(p + 8 * PAGE, 8 * PAGE, 1);
	(void)*(volatile char *)(p + 20 * PAGE);
	assert_int_equal(rig_watch(p, 64 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(rig_check(p + 8 * PAGE, 8 * PAGE, 1), -1);
	assert_int_equal(p[20 * PAGE], 0);
	assert_int_equal(watch_rig_messages(), 0);
	assert_int_equal(rig_copy(p + 8 * PAGE, page, PAGE, 0), -EEXIST);
	assert_int_equal(rig_copy(p + 20 * PAGE, page, PAGE, 0), -EEXIST);
	assert_int_equal(rig_zero(p + 20 * PAGE, PAGE), -EEXIST);
	assert_int_equal(rig_poison(p + 20 * PAGE, PAGE), -EEXIST);
	assert_true(rig_is_page(p + 7 * PAGE));
	assert_true(rig_is_page(p + 16 * PAGE));
	assert_int_equal(watch_rig_messages(), 2);
	rig_unwatch(p, 64 * PAGE);
	assert_int_equal(rig_check(p + 8 * PAGE, 8 * PAGE, 1), -1);
	assert_true(rig_is_page(p + 16 * PAGE));
	munmap(p, 64 * PAGE);
}

static void test_copy_ends_where_it_must(void **state)
{
	char *p = rig_map(600 * PAGE), *from = rig_map(600 * PAGE);
	unsigned mappings;

	rig_fill(from, 600 * PAGE, 7);
	assert_int_equal(rig_watch(p, 600 * PAGE, WATCH_MISSING), 0);
	mappings = rig_mappings();
	assert_int_equal(rig_copy(p + 580 * PAGE, from, PAGE, 0), PAGE);
	assert_int_equal(rig_copy(p, from, 600 * PAGE, 0), 580 * PAGE);
	assert_int_equal(rig_check(p, 580 * PAGE, 7), -1);
	assert_int_equal(rig_copy(p, from, PAGE, 0), -EEXIST);
	munmap(from + 10 * PAGE, PAGE);
	assert_int_equal(rig_copy(p + 581 * PAGE, from, 19 * PAGE, 0), 10 * PAGE);
	assert_int_equal(rig_copy(p + 591 * PAGE, from + 10 * PAGE, PAGE, 0), -EFAULT);
	assert_int_equal(watch_rig_messages(), 0);
	assert_true(rig_is_page(p + 591 * PAGE));
	assert_int_equal(watch_rig_messages(), 1);
	/* A source that isn't aligned, over the end of a page. */
	assert_int_equal(rig_copy(p + 592 * PAGE, from + 100, 2 * PAGE, 0), 2 * PAGE);
	assert_memory_equal(p + 592 * PAGE, from + 100, 2 * PAGE);
	if (traps == MEMORY_TRAPS_AUTO)
		assert_in_range(rig_mappings(), mappings - 1, mappings + 1);
	munmap(p, 600 * PAGE);
	munmap(from, 600 * PAGE);
	rig_unwatch(p, 600 * PAGE);
}

static void test_zero_pages(void **state)
{
	char *p = rig_map(8 * PAGE);

	assert_int_equal(rig_watch(p, 8 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(rig_zero(p, 4 * PAGE), 4 * PAGE);
	assert_int_equal(rig_zero(p + 2 * PAGE, 4 * PAGE), -EEXIST);
	for (unsigned i = 0; i < 4 * PAGE; i++)
		assert_int_equal(p[i], 0);
	p[0] = 1;
	assert_int_equal(watch_rig_messages(), 0);
	assert_true(rig_is_page(p + 4 * PAGE));
	rig_unwatch(p, 8 * PAGE);
	munmap(p, 8 * PAGE);
}

static void test_poison(void **state)
{
	char *p = rig_map(8 * PAGE);
	struct rig_signal s;
	static char page[PAGE];

	assert_int_equal(rig_watch(p, 8 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(rig_poison(p + PAGE, 2 * PAGE), 2 * PAGE);
	for (unsigned i = 0; i < 4; i++) {
		s = rig_access(p + PAGE + 77 * i, i % 2);
		assert_int_equal(s.number, SIGBUS);
		assert_int_equal(s.code, memory_poison_code());
		assert_int_equal(s.address, p + PAGE + 77 * i);
	}
	assert_int_equal(rig_copy(p + PAGE, page, PAGE, 0), -EEXIST);
	assert_int_equal(rig_poison(p + PAGE, PAGE), -EEXIST);
	assert_int_equal(watch_rig_messages(), 0);
	assert_true(rig_is_page(p));
	assert_true(rig_is_page(p + 3 * PAGE));
	rig_unwatch(p, 8 * PAGE);
	assert_int_equal(p[4 * PAGE], 0);
	/* As in the kernel, a page stays poisoned. */
	assert_int_equal(rig_access(p + PAGE, false).number, SIGBUS);
	munmap(p, 8 * PAGE);
}

static void test_no_message(void **state)
{
	char *p = rig_map(8 * PAGE);
	struct rig_signal s;

	assert_int_equal(rig_watch(p, 8 * PAGE, WATCH_MISSING), 0);
	watch_rig_silent(true);
	s = rig_access(p + PAGE + 123, true);
	assert_int_equal(s.number, SIGBUS);
	assert_int_equal(s.code, BUS_ADRERR);
	assert_int_equal(s.address, p + PAGE + 123);
	watch_rig_silent(false);
	assert_true(rig_is_page(p + PAGE));
	rig_unwatch(p, 8 * PAGE);
	munmap(p, 8 * PAGE);
}

/* What the client may not do has nothing to do with what is missing. */
static void test_protection_comes_first(void **state)
{
	char *p = rig_map(8 * PAGE);

	assert_int_equal(mprotect(p, 4 * PAGE, PROT_READ), 0);
	assert_int_equal(rig_watch(p, 8 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(rig_access(p, true).number, SIGSEGV);
	assert_int_equal(watch_rig_messages(), 0);
	assert_true(rig_is_page(p));
	assert_int_equal(rig_access(p, true).number, SIGSEGV);
	assert_int_equal(watch_rig_messages(), 1);
	rig_unwatch(p, 8 * PAGE);
	assert_int_equal(rig_access(p + PAGE, true).number, SIGSEGV);
	assert_int_equal(rig_access(p + 4 * PAGE, true).number, 0);
	munmap(p, 8 * PAGE);
}

/* Parts of a range, and ranges in the place of others. */
static void test_ranges_are_divided(void **state)
{
	char *p = rig_map(32 * PAGE);
	const struct watch_range *r;
	uint64_t signals;

	assert_int_equal(rig_watch(p, 32 * PAGE, WATCH_MISSING), 0);
	rig_unwatch(p + 8 * PAGE, 8 * PAGE);
	assert_int_equal(p[8 * PAGE], 0);
	assert_int_equal(p[15 * PAGE], 0);
	assert_true(rig_is_page(p + 7 * PAGE));
	assert_true(rig_is_page(p + 16 * PAGE));
	assert_int_equal(rig_watch(p, 32 * PAGE, WATCH_MISSING | WATCH_WP), 0);
	memory_lock(&signals);
	r = watch_find((uintptr_t)p);
	assert_int_equal(r->start, p);
	assert_int_equal(r->end, p + 32 * PAGE);
	memory_unlock(&signals);
	assert_int_equal(p[8 * PAGE], 0);
	assert_true(rig_is_page(p + 9 * PAGE));
	assert_true(rig_is_page(p + 7 * PAGE));
	assert_int_equal(watch_rig_messages(), 3);
	assert_int_equal(rig_watch(p, 4 * PAGE, WATCH_WP), 0);
	assert_int_equal(p[0], 0);
	assert_int_equal(watch_rig_messages(), 3);
	rig_unwatch(p, 32 * PAGE);
	memory_lock(&signals);
	r = watch_find((uintptr_t)p);
	assert_true(!r || r->start >= (uintptr_t)p + 32 * PAGE);
	memory_unlock(&signals);
	munmap(p, 32 * PAGE);
}

/* The mapping is replaced by calls that nobody hears of. */
static void test_lost_range(void **state)
{
	char *p = rig_map(8 * PAGE);

	assert_int_equal(rig_watch(p, 8 * PAGE, WATCH_MISSING), 0);
	munmap(p, 8 * PAGE);
	assert_int_equal(rig_access(p, false).number, SIGSEGV);
	assert_int_equal(mmap(p, 8 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p);
	assert_int_equal(rig_access(p, true).number, 0);
	assert_int_equal(watch_rig_messages(), 0);
	munmap(p, 8 * PAGE);
	rig_unwatch(p, 8 * PAGE);
}

/* ---- signals ---- */

static _Atomic int interrupted;
static pthread_t faulting;

static void on_usr1(int signal)
{
	atomic_fetch_add(&interrupted, 1);
}

static void answer_late(const struct watch_message *m)
{
	/* The first time the thread only gets a signal. */
	if (!atomic_load(&interrupted)) {
		pthread_kill(faulting, SIGUSR1);
		while (!atomic_load(&interrupted))
			usleep(100);
		return;
	}
	rig_answer_page(m);
}

static void test_signal_while_waiting(void **state)
{
	struct sigaction act = {.sa_handler = on_usr1}, old;
	char *p = rig_map(8 * PAGE);

	watch_rig_start(answer_late);
	atomic_store(&interrupted, 0);
	faulting = pthread_self();
	sigaction(SIGUSR1, &act, &old);
	assert_int_equal(rig_watch(p, 8 * PAGE, WATCH_MISSING), 0);
	assert_true(rig_is_page(p));
	assert_int_equal(atomic_load(&interrupted), 1);
	assert_int_equal(watch_rig_messages(), 2);
	sigaction(SIGUSR1, &old, NULL);
	rig_unwatch(p, 8 * PAGE);
	munmap(p, 8 * PAGE);
}

/* ---- threads ---- */

#define THREADS 4u
#define SHARED  512u

static char *shared;

static void *touch_all(void *seed)
{
	unsigned at = (unsigned)(uintptr_t)seed;
	uintptr_t bad = 0;

	for (unsigned i = 0; i < SHARED; i++) {
		at = (at + 331) % SHARED;
		bad += !rig_is_page(shared + at * PAGE);
	}
	return (void *)bad;
}

/* Whoever is first, each thread sees whole pages. */
static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	void *bad;

	shared = rig_map(SHARED * PAGE);
	for (unsigned round = 0; round < 4; round++) {
		assert_int_equal(rig_watch(shared, SHARED * PAGE, WATCH_MISSING), 0);
		for (uintptr_t i = 0; i < THREADS; i++)
			pthread_create(&threads[i], NULL, touch_all, (void *)(i * 97));
		for (unsigned i = 0; i < THREADS; i++) {
			pthread_join(threads[i], &bad);
			assert_null(bad);
		}
		rig_unwatch(shared, SHARED * PAGE);
		madvise(shared, SHARED * PAGE, MADV_DONTNEED);
	}
	munmap(shared, SHARED * PAGE);
}

#define TESTS(X)                          \
	X(test_missing_page_is_asked_for) \
	X(test_pages_that_are_there_stay) \
	X(test_copy_ends_where_it_must)   \
	X(test_zero_pages)                \
	X(test_poison)                    \
	X(test_no_message)                \
	X(test_protection_comes_first)    \
	X(test_ranges_are_divided)        \
	X(test_lost_range)                \
	X(test_signal_while_waiting)      \
	X(test_threads)

TESTS(STARTED)

#define GUARDED(function) {#function, started_##function, with_guards, NULL, NULL},
#define PROTECTED(function) \
	{#function "_protected", started_##function, with_protection, NULL, NULL},

int main(void)
{
	const struct CMUnitTest tests[] = {TESTS(GUARDED) TESTS(PROTECTED)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
