/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Watched memory that threads use all the time while its pages go, come, are protected and
 * change their place: whoever looks sees a whole page.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory_rig.h"
#include "uapi/mm.h"
#include "watch_rig.h"

#define PAGES  64u
#define USERS  3u
#define ROUNDS 150u
#define USES   12u /* of pages, in a round */

static char *area;
static _Atomic bool done;
static _Atomic unsigned bad, uses;

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

static void answer(const struct watch_message *m)
{
	char *place = (char *)(m->address & ~(PAGE - 1));

	if (m->reason == WATCH_WP)
		rig_protect(place, PAGE, false);
	else if (m->reason == WATCH_RWP)
		rig_protect_all(place, PAGE, false);
	else if (m->reason == WATCH_MINOR)
		rig_continue(place, PAGE, 0);
	else
		rig_answer_page(m);
}

/* Reads pages, and writes what is there already. */
static void *use(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	while (!atomic_load(&done)) {
		char *page = area + next(&seed) % PAGES * PAGE;

		if (!rig_is_page(page))
			atomic_fetch_add(&bad, 1);
		if (next(&seed) % 2)
			*(volatile uintptr_t *)page = (uintptr_t)page;
		atomic_fetch_add(&uses, 1);
	}
	return NULL;
}

typedef void disturb_fn(char *p, size_t size, unsigned choice);

static void race(unsigned modes, disturb_fn *disturb)
{
	pthread_t users[USERS];
	unsigned seed = 7;

	rig_start(rig_traps);
	watch_rig_start(answer);
	atomic_store(&done, false);
	atomic_store(&bad, 0);
	assert_int_equal(rig_watch(area, PAGES * PAGE, modes), 0);
	for (uintptr_t i = 0; i < USERS; i++)
		pthread_create(&users[i], NULL, use, (void *)(i * 31 + 1));
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned until = atomic_load(&uses) + USES;
		unsigned at = next(&seed) % PAGES, n = next(&seed) % 8 + 1;

		disturb(area + at * PAGE, (n < PAGES - at ? n : PAGES - at) * PAGE, next(&seed));
		/* The threads are to come to it. */
		while ((int)(until - atomic_load(&uses)) > 0)
			sched_yield();
	}
	atomic_store(&done, true);
	for (unsigned i = 0; i < USERS; i++)
		pthread_join(users[i], NULL);
	assert_int_equal(atomic_load(&bad), 0);
	assert_true(watch_rig_messages() > 0);
}

static void take_away(char *p, size_t size, unsigned choice)
{
	rig_madvise(p, size, MADV_DONTNEED);
}

static void remove_pages(char *p, size_t size, unsigned choice)
{
	rig_madvise(p, size, choice % 2 ? MADV_REMOVE : MADV_DONTNEED);
}

static void protect_too(char *p, size_t size, unsigned choice)
{
	switch (choice % 6) {
	case 0:
	case 1:
		rig_madvise(p, size, MADV_DONTNEED);
		break;
	case 2:
	case 3:
		rig_protect(p, size, true);
		break;
	case 4:
		rig_protect(p, size, false);
		break;
	case 5:
		rig_mprotect(p, size, RW);
		break;
	}
}

static void protect_all(char *p, size_t size, unsigned choice)
{
	if (choice % 4 == 0)
		rig_madvise(p, size, MADV_DONTNEED);
	else
		rig_protect_all(p, size, true);
}

/* What is watched anew, with all that is there. */
static void watch_again(char *p, size_t size, unsigned choice)
{
	if (choice % 2) {
		rig_madvise(p, size, MADV_DONTNEED);
		return;
	}
	for (size_t at = 0; at < size; at += PAGE)
		if (!rig_is_page(p + at))
			atomic_fetch_add(&bad, 1);
	rig_watch(p, size, choice % 4 ? WATCH_MISSING : WATCH_MISSING | WATCH_WP);
}

static void test_missing(void **state)
{
	area = rig_map(PAGES * PAGE);
	race(WATCH_MISSING, take_away);
	rig_munmap(area, PAGES * PAGE);
}

static void test_protected(void **state)
{
	area = rig_map(PAGES * PAGE);
	race(WATCH_MISSING | WATCH_WP, protect_too);
	rig_munmap(area, PAGES * PAGE);
}

static void test_asynchronous(void **state)
{
	area = rig_map(PAGES * PAGE);
	race(WATCH_MISSING | WATCH_WP | WATCH_WP_ASYNC | WATCH_UNPOPULATED, protect_too);
	rig_munmap(area, PAGES * PAGE);
}

static void test_all_access(void **state)
{
	area = rig_map(PAGES * PAGE);
	race(WATCH_MISSING | WATCH_RWP, protect_all);
	rig_munmap(area, PAGES * PAGE);
}

static void test_shared(void **state)
{
	area = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	race(WATCH_MISSING | WATCH_WP, remove_pages);
	rig_munmap(area, PAGES * PAGE);
}

static void test_minor(void **state)
{
	area = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	race(WATCH_MISSING | WATCH_MINOR, take_away);
	rig_munmap(area, PAGES * PAGE);
}

static void test_watched_again(void **state)
{
	area = rig_map(PAGES * PAGE);
	race(WATCH_MISSING, watch_again);
	rig_munmap(area, PAGES * PAGE);
}

/* Pages that go to another place and come back, and never are in both or in none. */
static void move_there_and_back(char *p, size_t size, unsigned choice)
{
	static char *other;

	if (!other)
		other = rig_map(PAGES * PAGE);
	rig_move_pages(other, p, size, true);
	rig_move_pages(p, other, size, true);
	/* What was in the way of those that came back. */
	rig_madvise(other, size, MADV_DONTNEED);
}

static void test_moved(void **state)
{
	area = rig_map(PAGES * PAGE);
	race(WATCH_MISSING, move_there_and_back);
	rig_munmap(area, PAGES * PAGE);
}

static void fork_meanwhile(char *p, size_t size, unsigned choice)
{
	int status = 0;
	pid_t child;

	rig_madvise(p, size, MADV_DONTNEED);
	if (choice % 16)
		return;
	memory_fork_prepare();
	child = fork();
	if (!child) {
		unsigned wrong = 0;

		memory_fork_child();
		/* It has each page, or none. */
		for (unsigned i = 0; i < PAGES; i++)
			if (*(volatile uintptr_t *)(area + i * PAGE))
				wrong += !rig_is_page(area + i * PAGE);
		_exit(wrong ? 1 : 0);
	}
	memory_fork_parent();
	waitpid(child, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		atomic_fetch_add(&bad, 1);
}

static void test_forks(void **state)
{
	area = rig_map(PAGES * PAGE);
	race(WATCH_MISSING, fork_meanwhile);
	rig_munmap(area, PAGES * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing),       cmocka_unit_test(test_protected),
		cmocka_unit_test(test_asynchronous),  cmocka_unit_test(test_all_access),
		cmocka_unit_test(test_shared),        cmocka_unit_test(test_minor),
		cmocka_unit_test(test_watched_again), cmocka_unit_test(test_moved),
		cmocka_unit_test(test_forks),
	};
	int failed = cmocka_run_group_tests_name("guards", tests, rig_with_guards, NULL);

	return failed + cmocka_run_group_tests_name("protection", tests, rig_with_protection, NULL);
}
