/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ranges that are served by a file of the process's own: the kernel's accesses wait for the owner,
 * contents stay what they are when the memory becomes another kind, and what is emptied is missing
 * again.  Skipped where /dev/fuse can't be had.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/syscall.h"
#include "memory/server.h"
#include "memory_rig.h"
#include "uapi/mm.h"
#include "watch_rig.h"

#define N 64ul

static int ends[2];

static void start(void)
{
	int ret = server_probe();

#ifdef __SANITIZE_THREAD__
	/* The server is a process with the thread-local variables of a thread. */
	skip();
#endif
	if (ret < 0) {
		printf("/dev/fuse can't be had: %s\n", strerror(-ret));
		skip();
	}
	rig_start(MEMORY_TRAPS_AUTO);
	watch_rig_start(rig_answer_page);
	assert_int_equal(server_start(), 0);
	if (!ends[1])
		assert_int_equal(pipe(ends), 0);
}

static char *served(void)
{
	char *p = rig_map(N * PAGE);

	assert_int_equal(rig_watch(p, N * PAGE, WATCH_MISSING | WATCH_SERVED), 0);
	return p;
}

static void forget(char *p)
{
	rig_unwatch(p, N * PAGE);
	assert_int_equal(rig_munmap(p, N * PAGE), 0);
}

/* What the kernel reads there, by a call that nothing sees. */
static uintptr_t by_kernel(const char *at)
{
	uintptr_t word = 1;

	assert_int_equal(host_syscall(SYS_write, ends[1], at, sizeof(word)), sizeof(word));
	assert_int_equal(read(ends[0], &word, sizeof(word)), sizeof(word));
	return word;
}

static void test_the_kernel_waits(void **state)
{
	char *p;

	start();
	p = served();
	assert_int_equal(by_kernel(p + 3 * PAGE), (uintptr_t)p + 3 * PAGE);
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(watch_rig_last().address, p + 3 * PAGE);
	assert_true(rig_is_page(p + 3 * PAGE));
	assert_true(rig_is_page(p + 4 * PAGE));
	assert_int_equal(watch_rig_messages(), 2);
	p[4 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 2);
	forget(p);
}

static void test_contents_stay(void **state)
{
	static _Alignas(4096) char page[PAGE];
	char *p, *to;

	start();
	p = rig_map(N * PAGE);
	rig_fill(p + 8 * PAGE, 8 * PAGE, 5);
	assert_int_equal(rig_watch(p, N * PAGE, WATCH_MISSING | WATCH_SERVED), 0);
	assert_int_equal(rig_check(p + 8 * PAGE, 8 * PAGE, 5), -1);
	assert_int_equal(rig_copy(p + 8 * PAGE, page, PAGE, 0), -EEXIST);
	rig_page(page, p + 20 * PAGE);
	assert_int_equal(rig_copy(p + 20 * PAGE, page, PAGE, 0), PAGE);
	assert_int_equal(rig_zero(p + 21 * PAGE, PAGE), PAGE);
	assert_int_equal(watch_rig_messages(), 0);
	assert_int_equal(rig_pagemap(p + 20 * PAGE) & (PAGEMAP_PRESENT | PAGEMAP_FILE),
			 PAGEMAP_PRESENT);
	assert_int_equal(rig_pagemap(p + 22 * PAGE) & ~PAGEMAP_SOFT_DIRTY, 0);
	to = rig_map(N * PAGE);
	assert_ptr_equal(rig_mremap(p, N * PAGE, N * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
	assert_int_equal(rig_check(to + 8 * PAGE, 8 * PAGE, 5), -1);
	assert_memory_equal(to + 20 * PAGE, page, PAGE);
	assert_int_equal(*(uintptr_t *)(to + 21 * PAGE), 0);
	assert_int_equal(rig_munmap(to, N * PAGE), 0);
}

static void test_emptied_pages_are_missing(void **state)
{
	char *p;

	start();
	p = served();
	p[0] = 1;
	assert_int_equal(rig_zero(p + PAGE, PAGE), PAGE);
	assert_int_equal(by_kernel(p + PAGE), 0);
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(rig_madvise(p, 2 * PAGE, MADV_DONTNEED), 0);
	assert_int_equal(by_kernel(p), (uintptr_t)p);
	assert_true(rig_is_page(p + PAGE));
	assert_int_equal(watch_rig_messages(), 3);
	forget(p);
}

static void test_watched_no_longer(void **state)
{
	char *p;

	start();
	p = served();
	assert_true(rig_is_page(p + PAGE));
	rig_unwatch(p, N * PAGE);
	assert_true(rig_is_page(p + PAGE));
	assert_int_equal(by_kernel(p + 2 * PAGE), 0);
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(rig_munmap(p, N * PAGE), 0);
}

static void test_protected_pages(void **state)
{
	static _Alignas(4096) char page[PAGE];
	char *p;

	start();
	p = rig_map(N * PAGE);
	assert_int_equal(rig_watch(p, N * PAGE, WATCH_MISSING | WATCH_WP | WATCH_SERVED), 0);
	rig_page(page, p);
	assert_int_equal(rig_copy(p, page, PAGE, WATCH_PROTECT), PAGE);
	assert_true(rig_is_page(p));
	assert_int_equal(host_syscall(SYS_read, ends[0], p, 0), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(host_syscall(SYS_read, ends[0], p, 1), -EFAULT);
	assert_int_equal(rig_protect(p, PAGE, false), 0);
	assert_int_equal(host_syscall(SYS_read, ends[0], p, 1), 1);
	assert_int_equal(p[0], 'x');
	forget(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_kernel_waits),
		cmocka_unit_test(test_contents_stay),
		cmocka_unit_test(test_emptied_pages_are_missing),
		cmocka_unit_test(test_watched_no_longer),
		cmocka_unit_test(test_protected_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
