/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory engine with many threads: pages are taken away and given back while others use
 * them, fork, unmap and protect.  Every value read must be the one that was written last.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory_rig.h"

#define PAGES   1024u
#define SIZE    (PAGES * PAGE)
#define THREADS 4u
#define WORDS   (SIZE / sizeof(uint32_t) / THREADS)
#define ROUNDS  60u

static volatile uint32_t *shared;
static _Atomic bool stop;
static _Atomic unsigned wrong;

static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Every fourth word is this thread's alone. */
static void *use(void *arg)
{
	uintptr_t thread = (uintptr_t)arg;
	uint32_t *expected = calloc(WORDS, sizeof(*expected)), seed = (uint32_t)thread + 1;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint32_t i = next(&seed) % WORDS;
		volatile uint32_t *word = &shared[i * THREADS + thread];

		if (*word != expected[i])
			atomic_fetch_add(&wrong, 1);
		*word = ++expected[i];
	}
	for (uint32_t i = 0; i < WORDS; i++)
		if (shared[i * THREADS + thread] != expected[i])
			atomic_fetch_add(&wrong, 1);
	free(expected);
	return NULL;
}

static void start(pthread_t *threads)
{
	shared = (uint32_t *)rig_map(SIZE);
	atomic_store(&stop, false);
	atomic_store(&wrong, 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, (void *)i), 0);
}

static void finish(pthread_t *threads)
{
	atomic_store(&stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(wrong, 0);
	munmap((void *)(uintptr_t)shared, SIZE);
}

static void away_somewhere(uint32_t *seed)
{
	size_t from = next(seed) % PAGES, n = 1 + next(seed) % (PAGES - from);
	char *p = (char *)(uintptr_t)shared + from * PAGE;

	if (next(seed) % 2)
		n = 1 + n % 20;
	if (from + n > PAGES)
		n = PAGES - from;
	rig_away(p, n * PAGE);
	if (next(seed) % 2)
		rig_back(p, n * PAGE);
}

static void moves(void)
{
	pthread_t threads[THREADS];
	uint32_t seed = 99;

	start(threads);
	for (unsigned i = 0; i < ROUNDS; i++)
		away_somewhere(&seed);
	finish(threads);
}

static void forks(void)
{
	pthread_t threads[THREADS];
	uint32_t seed = 7;

	start(threads);
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		uint32_t before, after;
		int status;
		pid_t pid;

		away_somewhere(&seed);
		memory_fork_prepare();
		pid = fork();
		if (pid == 0) {
			memory_fork_child();
			/* No thread changes anything here. */
			before = after = 0;
			for (size_t w = 0; w < SIZE / sizeof(uint32_t); w += 64)
				before += shared[w];
			rig_away((char *)(uintptr_t)shared, SIZE);
			for (size_t w = 0; w < SIZE / sizeof(uint32_t); w += 64)
				after += shared[w];
			_exit(before != after);
		}
		memory_fork_parent();
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	finish(threads);
}

/* Protections and mappings of the same pages change all the time; the contents must not. */
static void *change(void *arg)
{
	char *p = (char *)(uintptr_t)shared;
	uint32_t seed = 5;

	while (!atomic_load(&stop)) {
		size_t from = next(&seed) % (PAGES - 16);
		char *own;

		rig_mprotect(p + from * PAGE, 16 * PAGE, RW | PROT_EXEC);
		rig_mprotect(p + from * PAGE, 16 * PAGE, RW);
		own = rig_map(32 * PAGE);
		rig_fill(own, 32 * PAGE, (unsigned)from);
		rig_away(own, 32 * PAGE);
		if (rig_check(own, 16 * PAGE, (unsigned)from) != -1)
			atomic_fetch_add(&wrong, 1);
		rig_munmap(own, 32 * PAGE);
	}
	return NULL;
}

static void changes(void)
{
	pthread_t threads[THREADS], changer;
	uint32_t seed = 3;

	start(threads);
	assert_int_equal(pthread_create(&changer, NULL, change, NULL), 0);
	for (unsigned i = 0; i < ROUNDS; i++)
		away_somewhere(&seed);
	atomic_store(&stop, true);
	pthread_join(changer, NULL);
	finish(threads);
}

static void test_moves_by_guards(void **state)
{
	rig_start(MEMORY_TRAPS_AUTO);
	moves();
}

static void test_moves_by_protection(void **state)
{
	rig_start(MEMORY_TRAPS_PROTECT);
	moves();
}

static void test_forks_by_guards(void **state)
{
	rig_start(MEMORY_TRAPS_AUTO);
	forks();
}

static void test_forks_by_protection(void **state)
{
	rig_start(MEMORY_TRAPS_PROTECT);
	forks();
}

static void test_changes_by_guards(void **state)
{
	rig_start(MEMORY_TRAPS_AUTO);
	changes();
}

static void test_changes_by_protection(void **state)
{
	rig_start(MEMORY_TRAPS_PROTECT);
	changes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves_by_guards),
		cmocka_unit_test(test_moves_by_protection),
		cmocka_unit_test(test_forks_by_guards),
		cmocka_unit_test(test_forks_by_protection),
		cmocka_unit_test(test_changes_by_guards),
		cmocka_unit_test(test_changes_by_protection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
