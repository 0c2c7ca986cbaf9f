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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory/scan.h"
#include "memory_rig.h"
#include "uapi/mm.h"
#include "watch_rig.h"

/* cmocka takes the signals again for each function that it calls. */
#define STARTED(function)                            \
	static void started_##function(void **state) \
	{                                            \
		rig_start(rig_traps);                \
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
	if (rig_traps == MEMORY_TRAPS_AUTO)
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
	assert_int_equal(rig_zero(p + 2 * PAGE, PAGE), -EEXIST);
	assert_int_equal(rig_copy(p + 2 * PAGE, page, PAGE, 0), PAGE);
	assert_int_equal(p[2 * PAGE], 0);
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
	assert_int_equal(rig_watch(p, 4 * PAGE, WATCH_RWP), 0);
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

/* ---- protection ---- */

static void answer_protection(const struct watch_message *m)
{
	void *place = (void *)(m->address & ~(PAGE - 1));

	if (m->reason == WATCH_WP)
		rig_protect(place, PAGE, false);
	else if (m->reason == WATCH_RWP)
		rig_protect_all(place, PAGE, false);
	else
		rig_answer_page(m);
}

static void test_protected_pages(void **state)
{
	char *p = rig_map(32 * PAGE);
	unsigned mappings = rig_mappings();

	watch_rig_start(answer_protection);
	rig_fill(p, 16 * PAGE, 3);
	assert_int_equal(rig_watch(p, 32 * PAGE, WATCH_WP), 0);
	assert_int_equal(rig_protect(p, 32 * PAGE, true), 0);
	assert_int_equal(rig_check(p, 16 * PAGE, 3), -1);
	assert_int_equal(watch_rig_messages(), 0);
	p[PAGE + 9] = 1;
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(watch_rig_last().reason, WATCH_WP);
	assert_int_equal(watch_rig_last().address, p + PAGE + 9);
	assert_true(watch_rig_last().write);
	p[PAGE + 10] = 1;
	/* What was not there has not been protected. */
	p[20 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 1);
	assert_true(rig_pagemap(p) & PAGEMAP_UFFD_WP);
	assert_false(rig_pagemap(p + PAGE) & PAGEMAP_UFFD_WP);
	assert_false(rig_pagemap(p + 20 * PAGE) & PAGEMAP_UFFD_WP);
	/* The client's own protection, over ours. */
	assert_int_equal(rig_mprotect(p, 32 * PAGE, PROT_READ), 0);
	assert_int_equal(rig_access(p + 2 * PAGE, true).number, SIGSEGV);
	assert_int_equal(rig_access(p + PAGE, true).number, SIGSEGV);
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(rig_mprotect(p, 32 * PAGE, RW), 0);
	p[PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 1);
	p[2 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 2);
	assert_int_equal(rig_protect(p, 32 * PAGE, false), 0);
	p[3 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 2);
	assert_int_equal(rig_mappings(), mappings);
	assert_int_equal(rig_protect(p, 32 * PAGE, true), 0);
	rig_unwatch(p, 32 * PAGE);
	p[4 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 2);
	assert_int_equal(rig_mappings(), mappings);
	rig_munmap(p, 32 * PAGE);
}

static void test_protection_of_missing_pages(void **state)
{
	char *p = rig_map(8 * PAGE);
	static char page[PAGE], pages[2 * PAGE];

	watch_rig_start(answer_protection);
	assert_int_equal(rig_watch(p, 8 * PAGE, WATCH_WP | WATCH_UNPOPULATED), 0);
	assert_int_equal(rig_protect(p, 4 * PAGE, true), 0);
	assert_int_equal(p[0], 0);
	assert_int_equal(rig_pagemap(p + PAGE), PAGEMAP_SWAP | PAGEMAP_UFFD_WP);
	p[0] = 1;
	p[PAGE] = 1;
	p[4 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 2);
	/* A page that is given to a protected place isn't, unless that is asked for. */
	assert_int_equal(rig_zero(p + 2 * PAGE, PAGE), -EEXIST);
	assert_int_equal(rig_copy(p + 2 * PAGE, page, PAGE, 0), PAGE);
	p[2 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 2);
	assert_int_equal(rig_copy(p + 5 * PAGE, page, PAGE, WATCH_PROTECT), PAGE);
	p[5 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 3);
	/* Up to the page that is there. */
	p[7 * PAGE] = 9;
	assert_int_equal(rig_copy(p + 6 * PAGE, pages, 2 * PAGE, 0), PAGE);
	assert_int_equal(p[7 * PAGE], 9);
	rig_unwatch(p, 8 * PAGE);
	rig_munmap(p, 8 * PAGE);
}

static void test_protected_copies(void **state)
{
	char *p = rig_map(64 * PAGE);
	static char page[PAGE];
	unsigned mappings;

	watch_rig_start(answer_protection);
	assert_int_equal(rig_watch(p, 64 * PAGE, WATCH_MISSING | WATCH_WP), 0);
	mappings = rig_mappings();
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(rig_copy(p + i * PAGE, page, PAGE, WATCH_PROTECT), PAGE);
	assert_in_range(rig_mappings(), mappings, mappings + 2);
	for (unsigned i = 0; i < 32; i++)
		p[i * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 32);
	assert_int_equal(rig_protect(p, 64 * PAGE, true), 0);
	p[0] = 1;
	assert_int_equal(watch_rig_messages(), 33);
	assert_true(rig_is_page(p + 40 * PAGE));
	p[40 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 34);
	rig_unwatch(p, 64 * PAGE);
	rig_munmap(p, 64 * PAGE);
}

static void test_asynchronous_protection(void **state)
{
	char *p = rig_map(8 * PAGE);

	rig_fill(p, 8 * PAGE, 5);
	assert_int_equal(rig_watch(p, 8 * PAGE, WATCH_WP | WATCH_WP_ASYNC | WATCH_UNPOPULATED), 0);
	assert_int_equal(rig_protect(p, 8 * PAGE, true), 0);
	p[3 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(!!(rig_pagemap(p + i * PAGE) & PAGEMAP_UFFD_WP), i != 3);
	rig_unwatch(p, 8 * PAGE);
	rig_munmap(p, 8 * PAGE);
}

static void test_protection_from_all_access(void **state)
{
	char *p = rig_map(8 * PAGE);

	watch_rig_start(answer_protection);
	rig_fill(p, 4 * PAGE, 5);
	assert_int_equal(rig_watch(p, 8 * PAGE, WATCH_RWP), 0);
	assert_int_equal(rig_protect_all(p, 8 * PAGE, true), 0);
	assert_int_equal(p[6 * PAGE], 0);
	assert_int_equal(watch_rig_messages(), 0);
	assert_true(rig_pagemap(p) & PAGEMAP_UFFD_WP);
	assert_true(rig_pagemap(p) & PAGEMAP_PRESENT);
	assert_int_equal(rig_check(p, 4 * PAGE, 5), -1);
	assert_int_equal(watch_rig_messages(), 4);
	assert_int_equal(watch_rig_last().reason, WATCH_RWP);
	assert_int_equal(rig_protect_all(p, 8 * PAGE, true), 0);
	rig_unwatch(p, 8 * PAGE);
	assert_int_equal(rig_check(p, 4 * PAGE, 5), -1);
	rig_munmap(p, 8 * PAGE);
}

/* ---- PAGEMAP_SCAN ---- */

static struct page_region regions[8];

static long scan(const char *p, size_t size, uint64_t flags, uint64_t category, unsigned room,
		 uint64_t max_pages, uintptr_t *ret_end)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + size,
		.vec = room ? (uintptr_t)regions : 0,
		.vec_len = room,
		.max_pages = max_pages,
		.category_mask = category,
		.return_mask =
			PAGE_IS_WRITTEN | PAGE_IS_PRESENT | PAGE_IS_WPALLOWED | PAGE_IS_GUARD,
	};
	long ret;

	memset(regions, 0, sizeof(regions));
	ret = memory_scan_pagemap(&arg);
	*ret_end = arg.walk_end;
	return ret;
}

static void test_scan(void **state)
{
	const uint64_t all = PAGE_IS_WRITTEN | PAGE_IS_PRESENT | PAGE_IS_WPALLOWED;
	char *p = rig_map(16 * PAGE);
	uintptr_t end;

	rig_fill(p, 8 * PAGE, 5);
	assert_int_equal(scan(p, 16 * PAGE, PM_SCAN_CHECK_WPASYNC, 0, 8, 0, &end), -EPERM);
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_WP | WATCH_WP_ASYNC | WATCH_UNPOPULATED), 0);
	assert_int_equal(scan(p, 16 * PAGE, PM_SCAN_CHECK_WPASYNC, 0, 8, 0, &end), 2);
	assert_int_equal(regions[0].start, p);
	assert_int_equal(regions[0].end, p + 8 * PAGE);
	assert_int_equal(regions[0].categories, all);
	assert_int_equal(regions[1].end, p + 16 * PAGE);
	assert_int_equal(regions[1].categories, PAGE_IS_WRITTEN | PAGE_IS_WPALLOWED);
	assert_int_equal(end, p + 16 * PAGE);
	/* All is protected, and then what has been written to is found. */
	assert_int_equal(scan(p, 16 * PAGE, PM_SCAN_WP_MATCHING, 0, 0, 0, &end), 0);
	assert_int_equal(scan(p, 16 * PAGE, 0, PAGE_IS_WRITTEN, 8, 0, &end), 0);
	p[PAGE] = p[2 * PAGE] = p[5 * PAGE] = p[9 * PAGE] = 1;
	assert_int_equal(scan(p, 16 * PAGE, 0, PAGE_IS_WRITTEN, 8, 0, &end), 3);
	assert_int_equal(regions[0].start, p + PAGE);
	assert_int_equal(regions[0].end, p + 3 * PAGE);
	assert_int_equal(regions[2].start, p + 9 * PAGE);
	assert_int_equal(regions[2].categories, all);
	/* As many as there is room for; the walk ends there. */
	assert_int_equal(scan(p, 16 * PAGE, 0, PAGE_IS_WRITTEN, 1, 0, &end), 1);
	assert_int_equal(end, p + 5 * PAGE);
	assert_int_equal(scan(p, 16 * PAGE, PM_SCAN_WP_MATCHING, PAGE_IS_WRITTEN, 8, 3, &end), 2);
	assert_int_equal(end, p + 9 * PAGE);
	assert_int_equal(scan(p, 16 * PAGE, 0, PAGE_IS_WRITTEN, 8, 0, &end), 1);
	assert_int_equal(regions[0].start, p + 9 * PAGE);
	rig_unwatch(p, 16 * PAGE);
	/* Markers of ours are nothing. */
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(scan(p + 8 * PAGE, 8 * PAGE, 0, 0, 8, 0, &end), 3);
	assert_int_equal(regions[0].categories, 0);
	assert_int_equal(regions[1].start, p + 9 * PAGE);
	assert_int_equal(regions[1].categories, PAGE_IS_PRESENT);
	assert_int_equal(scan(p + 1, PAGE, 0, 0, 8, 0, &end), -EINVAL);
	assert_int_equal(scan(p, PAGE, 4, 0, 8, 0, &end), -EINVAL);
	assert_int_equal(watch_rig_messages(), 0);
	rig_unwatch(p, 16 * PAGE);
	rig_munmap(p, 16 * PAGE);
}

/* ---- the client's memory calls ---- */

static void test_dont_need(void **state)
{
	char *p = rig_map(32 * PAGE);
	struct watch_event e[4];

	watch_rig_start(answer_protection);
	rig_fill(p, 32 * PAGE, 1);
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING | WATCH_WP), 0);
	assert_int_equal(rig_protect(p, 16 * PAGE, true), 0);
	assert_int_equal(rig_madvise(p + 8 * PAGE, 16 * PAGE, MADV_DONTNEED), 0);
	assert_int_equal(watch_rig_events(e, 4), 1);
	assert_int_equal(e[0].what, WATCH_REMOVED);
	assert_int_equal(e[0].start, p + 8 * PAGE);
	assert_int_equal(e[0].size, 8 * PAGE);
	assert_int_equal(rig_check(p, 8 * PAGE, 1), -1);
	assert_int_equal(p[16 * PAGE], 0);
	assert_int_equal(watch_rig_messages(), 0);
	for (unsigned i = 8; i < 16; i++)
		assert_true(rig_is_page(p + i * PAGE));
	assert_int_equal(watch_rig_messages(), 8);
	/* The protection went with the page. */
	p[8 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 8);
	p[0] = 1;
	assert_int_equal(watch_rig_messages(), 9);
	/* A call that the kernel refuses changes nothing. */
	assert_int_equal(rig_madvise(p, 16 * PAGE, MADV_REMOVE), -EINVAL);
	assert_int_equal(watch_rig_events(e, 4), 1);
	assert_true(rig_is_page(p + 9 * PAGE));
	assert_int_equal(watch_rig_messages(), 9);
	/* Poison goes with it as well. */
	rig_madvise(p + PAGE, PAGE, MADV_DONTNEED);
	assert_int_equal(rig_poison(p + PAGE, PAGE), PAGE);
	rig_madvise(p + PAGE, PAGE, MADV_DONTNEED);
	assert_true(rig_is_page(p + PAGE));
	rig_unwatch(p, 16 * PAGE);
	rig_munmap(p, 32 * PAGE);
}

static void test_unmapped(void **state)
{
	char *p = rig_map(32 * PAGE);
	struct watch_event e[4];

	assert_int_equal(rig_watch(p, 32 * PAGE, WATCH_MISSING), 0);
	assert_true(rig_is_page(p + 9 * PAGE));
	assert_int_equal(rig_munmap(p + 8 * PAGE, 8 * PAGE), 0);
	assert_int_equal(watch_rig_events(e, 4), 1);
	assert_int_equal(e[0].what, WATCH_UNMAPPED);
	assert_int_equal(e[0].start, p + 8 * PAGE);
	assert_int_equal(e[0].size, 8 * PAGE);
	assert_int_equal(
		mmap(p + 8 * PAGE, 8 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		p + 8 * PAGE);
	assert_int_equal(p[9 * PAGE], 0);
	assert_true(rig_is_page(p + 7 * PAGE));
	assert_true(rig_is_page(p + 16 * PAGE));
	assert_int_equal(watch_rig_messages(), 3);
	rig_munmap(p, 32 * PAGE);
}

static void test_moved(void **state)
{
	char *p = rig_map(32 * PAGE), *to = rig_map(32 * PAGE);
	unsigned mappings = rig_mappings();
	struct watch_event e[4];

	watch_rig_start(answer_protection);
	rig_fill(p, 8 * PAGE, 9);
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING | WATCH_WP | WATCH_FOLLOWS), 0);
	assert_int_equal(rig_protect(p, 4 * PAGE, true), 0);
	assert_ptr_equal(rig_mremap(p, 16 * PAGE, 16 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to),
			 to);
	assert_int_equal(watch_rig_events(e, 4), 2);
	assert_int_equal(e[0].what, WATCH_REMAPPED);
	assert_int_equal(e[0].start, p);
	assert_int_equal(e[0].to, to);
	assert_int_equal(e[0].size, 16 * PAGE);
	assert_int_equal(e[1].what, WATCH_UNMAPPED);
	assert_int_equal(e[1].start, p);
	assert_int_equal(rig_check(to, 8 * PAGE, 9), -1);
	assert_int_equal(watch_rig_messages(), 0);
	assert_true(rig_is_page(to + 10 * PAGE));
	to[0] = 1;
	to[4 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 2);
	/* It grows and shrinks. */
	assert_int_equal(munmap(to + 16 * PAGE, 16 * PAGE), 0);
	assert_ptr_equal(rig_mremap(to, 16 * PAGE, 24 * PAGE, 0, NULL), to);
	assert_true(rig_is_page(to + 20 * PAGE));
	assert_int_equal(watch_rig_messages(), 3);
	assert_ptr_equal(rig_mremap(to, 24 * PAGE, 12 * PAGE, 0, NULL), to);
	assert_int_equal(watch_rig_events(e, 4), 3);
	assert_int_equal(e[2].start, to + 12 * PAGE);
	assert_int_equal(e[2].size, 12 * PAGE);
	rig_munmap(to, 12 * PAGE);
	rig_munmap(p, 32 * PAGE);
	assert_in_range(rig_mappings(), mappings - 2, mappings);
}

/* Without the event, what is moved is not watched any more. */
static void test_moved_away(void **state)
{
	char *p = rig_map(16 * PAGE), *to = rig_map(16 * PAGE);

	watch_rig_start(answer_protection);
	rig_fill(p, 8 * PAGE, 9);
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING | WATCH_WP), 0);
	assert_int_equal(rig_protect(p, 4 * PAGE, true), 0);
	assert_ptr_equal(rig_mremap(p, 16 * PAGE, 16 * PAGE,
				    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to),
			 to);
	assert_int_equal(rig_check(to, 8 * PAGE, 9), -1);
	to[0] = 1;
	assert_int_equal(to[10 * PAGE], 0);
	assert_int_equal(watch_rig_messages(), 0);
	/* Where it was, all is missing. */
	assert_true(rig_is_page(p));
	assert_true(rig_is_page(p + 10 * PAGE));
	assert_int_equal(watch_rig_messages(), 2);
	rig_munmap(to, 16 * PAGE);
	rig_munmap(p, 16 * PAGE);
}

/* The child of a fork has the pages, and nothing is watched. */
static void test_fork(void **state)
{
	char *p = rig_map(16 * PAGE);
	int status = 0;
	pid_t child;

	watch_rig_start(answer_protection);
	rig_fill(p, 4 * PAGE, 2);
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING | WATCH_WP), 0);
	assert_int_equal(rig_protect(p, 4 * PAGE, true), 0);
	memory_fork_prepare();
	child = fork();
	if (!child) {
		memory_fork_child();
		p[0] += 1;
		p[9 * PAGE] += 1;
		_exit(watch_rig_messages() == 0 && p[8 * PAGE] == 0 ? 7 : 8);
	}
	memory_fork_parent();
	waitpid(child, &status, 0);
	assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 7);
	assert_int_equal(rig_check(p, 4 * PAGE, 2), -1);
	p[0] = 1;
	assert_true(rig_is_page(p + 9 * PAGE));
	assert_int_equal(watch_rig_messages(), 2);
	rig_munmap(p, 16 * PAGE);
}

static void test_locked_memory(void **state)
{
	char *p = rig_map(16 * PAGE);

	watch_rig_start(answer_protection);
	if (mlock2(p, 16 * PAGE, MLOCK_ONFAULT) < 0)
		skip();
	rig_fill(p, 4 * PAGE, 2);
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(rig_check(p, 4 * PAGE, 2), -1);
	assert_true(rig_is_page(p + 4 * PAGE));
	assert_int_equal(rig_madvise(p, PAGE, MADV_DONTNEED), -EINVAL);
	assert_int_equal(rig_check(p, 4 * PAGE, 2), -1);
	assert_int_equal(rig_madvise(p, PAGE, MADV_DONTNEED_LOCKED), 0);
	assert_true(rig_is_page(p));
	assert_int_equal(watch_rig_messages(), 2);
	rig_unwatch(p, 16 * PAGE);
	p[8 * PAGE] = 1;
	rig_munmap(p, 16 * PAGE);
	/* Locked while it is watched. */
	p = rig_map(16 * PAGE);
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(mlock2(p, 16 * PAGE, MLOCK_ONFAULT), 0);
	assert_true(rig_is_page(p + 4 * PAGE));
	assert_int_equal(rig_madvise(p + 4 * PAGE, PAGE, MADV_DONTNEED_LOCKED), 0);
	assert_true(rig_is_page(p + 4 * PAGE));
	assert_int_equal(watch_rig_messages(), 4);
	rig_munmap(p, 16 * PAGE);
}

static void test_guards_of_the_client(void **state)
{
	char *p = rig_map(16 * PAGE);

	if (rig_madvise(p + 15 * PAGE, PAGE, MADV_GUARD_INSTALL) < 0)
		skip();
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(rig_access(p + 15 * PAGE, false).number, SIGSEGV);
	assert_true(rig_is_page(p + PAGE));
	assert_int_equal(rig_madvise(p + PAGE, 2 * PAGE, MADV_GUARD_INSTALL), 0);
	assert_int_equal(rig_access(p + PAGE, false).number, SIGSEGV);
	assert_int_equal(rig_access(p + 2 * PAGE, false).number, SIGSEGV);
	assert_int_equal(rig_madvise(p, 16 * PAGE, MADV_GUARD_REMOVE), 0);
	assert_true(rig_is_page(p + PAGE));
	assert_true(rig_is_page(p + 3 * PAGE));
	assert_int_equal(watch_rig_messages(), 3);
	rig_unwatch(p, 16 * PAGE);
	rig_munmap(p, 16 * PAGE);
}

/* ---- shared memory ---- */

static int memfd;

/* Two mappings of the same pages; the second one is private if asked for. */
static char *map_file(size_t size, int flags, char **ret_other)
{
	char *p;

	memfd = memfd_create("watched", MFD_CLOEXEC);
	assert_true(memfd >= 0);
	assert_int_equal(ftruncate(memfd, (off_t)size), 0);
	*ret_other = mmap(NULL, size, RW, MAP_SHARED, memfd, 0);
	p = mmap(NULL, size, RW, flags, memfd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_ptr_not_equal(*ret_other, MAP_FAILED);
	return p;
}

static void unmap_file(char *p, char *other, size_t size)
{
	rig_munmap(p, size);
	munmap(other, size);
	close(memfd);
}

static void answer_minor(const struct watch_message *m)
{
	void *place = (void *)(m->address & ~(PAGE - 1));

	if (m->reason == WATCH_MINOR)
		rig_continue(place, PAGE, 0);
	else
		answer_protection(m);
}

static void test_shared_memory(void **state)
{
	char *other, *p = map_file(32 * PAGE, MAP_SHARED, &other);
	static char page[PAGE];
	unsigned mappings = rig_mappings();

	watch_rig_start(answer_minor);
	p[0] = 1;
	other[PAGE] = 2;
	assert_int_equal(rig_watch(p, 32 * PAGE, WATCH_MISSING | WATCH_WP), 0);
	assert_int_equal(p[0], 1);
	/* It is in the page cache, and nobody wants to know. */
	assert_int_equal(p[PAGE], 2);
	assert_int_equal(watch_rig_messages(), 0);
	assert_true(rig_is_page(p + 2 * PAGE));
	assert_memory_equal(p + 2 * PAGE, other + 2 * PAGE, PAGE);
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(watch_rig_last().reason, WATCH_MISSING);
	assert_int_equal(rig_copy(p, page, PAGE, 0), -EEXIST);
	assert_int_equal(rig_copy(p + 2 * PAGE, page, PAGE, 0), -EEXIST);
	other[4 * PAGE] = 3;
	assert_int_equal(rig_copy(p + 3 * PAGE, page, 4 * PAGE, 0), PAGE);
	assert_int_equal(rig_copy(p + 4 * PAGE, page, PAGE, 0), -EEXIST);
	assert_int_equal(rig_continue(p + 4 * PAGE, 2 * PAGE, 0), PAGE);
	assert_int_equal(rig_continue(p + 5 * PAGE, PAGE, 0), -EFAULT);
	assert_int_equal(rig_continue(p + 4 * PAGE, PAGE, 0), -EEXIST);
	assert_int_equal(p[4 * PAGE], 3);
	assert_int_equal(rig_copy(p + 6 * PAGE, (void *)PAGE, PAGE, 0), -EFAULT);
	assert_int_equal(rig_zero(p + 6 * PAGE, 2 * PAGE), 2 * PAGE);
	assert_int_equal(p[6 * PAGE], 0);
	assert_int_equal(rig_poison(p + 8 * PAGE, PAGE), PAGE);
	assert_int_equal(rig_access(p + 8 * PAGE, false).number, SIGBUS);
	assert_int_equal(other[8 * PAGE], 0);
	/* The page stays in the page cache. */
	assert_int_equal(rig_madvise(p, 4 * PAGE, MADV_DONTNEED), 0);
	assert_int_equal(p[0], 1);
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(rig_madvise(p, 4 * PAGE, MADV_REMOVE), 0);
	assert_true(rig_is_page(p));
	assert_int_equal(watch_rig_messages(), 2);
	assert_memory_equal(p, other, PAGE);
	/* Protection survives. */
	assert_int_equal(rig_protect(p, 32 * PAGE, true), 0);
	assert_int_equal(rig_madvise(p, 4 * PAGE, MADV_DONTNEED), 0);
	assert_true(rig_pagemap(p) & PAGEMAP_UFFD_WP);
	p[0] = 1;
	assert_int_equal(watch_rig_messages(), 3);
	assert_int_equal(watch_rig_last().reason, WATCH_WP);
	rig_unwatch(p, 32 * PAGE);
	assert_int_equal(p[20 * PAGE], 0);
	p[21 * PAGE] = 1;
	assert_int_equal(watch_rig_messages(), 3);
	assert_in_range(rig_mappings(), mappings, mappings + 2);
	unmap_file(p, other, 32 * PAGE);
}

static void test_minor_faults(void **state)
{
	char *other, *p = map_file(16 * PAGE, MAP_SHARED, &other);

	watch_rig_start(answer_minor);
	for (unsigned i = 0; i < 8; i++)
		rig_page(other + i * PAGE, p + i * PAGE);
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MINOR), 0);
	assert_true(rig_is_page(p));
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(watch_rig_last().reason, WATCH_MINOR);
	assert_int_equal(p[9 * PAGE], 0);
	assert_int_equal(watch_rig_messages(), 1);
	p[2 * PAGE] += 1;
	assert_int_equal(watch_rig_messages(), 2);
	assert_int_equal(rig_continue(p + 3 * PAGE, 5 * PAGE, WATCH_PROTECT), 5 * PAGE);
	assert_true(rig_is_page(p + 7 * PAGE));
	assert_int_equal(watch_rig_messages(), 2);
	rig_unwatch(p, 16 * PAGE);
	unmap_file(p, other, 16 * PAGE);
}

/* Private mappings of shared memory: what is copied there is the process's own. */
static void test_private_mappings(void **state)
{
	char *other, *p = map_file(16 * PAGE, MAP_PRIVATE, &other);

	watch_rig_start(answer_minor);
	other[0] = 9;
	other[PAGE] = 8;
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(p[0], 9);
	assert_int_equal(watch_rig_messages(), 0);
	assert_true(rig_is_page(p + 2 * PAGE));
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(rig_madvise(p, 4 * PAGE, MADV_DONTNEED), 0);
	assert_int_equal(p[PAGE], 8);
	assert_int_equal(watch_rig_messages(), 1);
	/* It has not come into the page cache. */
	assert_true(rig_is_page(p + 2 * PAGE));
	assert_int_equal(watch_rig_messages(), 2);
	assert_int_equal(other[2 * PAGE], 0);
	rig_unwatch(p, 16 * PAGE);
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MINOR), 0);
	assert_int_equal(rig_madvise(p, 16 * PAGE, MADV_DONTNEED), 0);
	p[0] += 1;
	assert_int_equal(watch_rig_messages(), 3);
	assert_int_equal(watch_rig_last().reason, WATCH_MINOR);
	assert_int_equal(p[0], 10);
	assert_int_equal(other[0], 9);
	rig_unwatch(p, 16 * PAGE);
	unmap_file(p, other, 16 * PAGE);
}

static void test_shared_anonymous(void **state)
{
	char *p = mmap(NULL, 16 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t child;

	watch_rig_start(answer_minor);
	assert_int_equal(rig_watch(p, 16 * PAGE, WATCH_MISSING), 0);
	assert_true(rig_is_page(p));
	memory_fork_prepare();
	child = fork();
	if (!child) {
		memory_fork_child();
		_exit(rig_is_page(p) && p[PAGE] == 0 && watch_rig_messages() == 1 ? 7 : 8);
	}
	memory_fork_parent();
	waitpid(child, &status, 0);
	assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 7);
	/* The child has brought the page into the page cache. */
	assert_int_equal(p[PAGE], 0);
	assert_true(rig_is_page(p + 2 * PAGE));
	assert_int_equal(watch_rig_messages(), 2);
	rig_munmap(p, 16 * PAGE);
}

/* ---- huge pages ---- */

#define HUGE MEMORY_UNIT

static void huge_pages(int flags)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	char *p, *from;

	if (fd < 0 || ftruncate(fd, 4 * HUGE) < 0)
		skip();
	p = mmap(NULL, 4 * HUGE, RW, flags, fd, 0);
	if (p == MAP_FAILED) {
		close(fd);
		skip();
	}
	from = rig_map(HUGE);
	rig_fill(from, HUGE, 4);
	watch_rig_start(answer_protection);
	rig_fill(p, HUGE, 3);
	assert_int_equal(rig_watch(p, 4 * HUGE, WATCH_MISSING | WATCH_WP), 0);
	assert_int_equal(rig_check(p, HUGE, 3), -1);
	assert_int_equal(rig_copy(p, from, HUGE, 0), -EEXIST);
	assert_int_equal(rig_copy(p + HUGE, from, HUGE, 0), HUGE);
	assert_int_equal(rig_check(p + HUGE, HUGE, 4), -1);
	assert_int_equal(rig_copy(p + 2 * HUGE, from, HUGE, WATCH_PROTECT), HUGE);
	assert_int_equal(rig_check(p + 2 * HUGE, HUGE, 4), -1);
	assert_int_equal(rig_copy(p + 3 * HUGE, from + PAGE, HUGE, 0), -EFAULT);
	assert_int_equal(rig_poison(p + 3 * HUGE, HUGE), HUGE);
	assert_int_equal(rig_access(p + 3 * HUGE + 5 * PAGE, false).number, SIGBUS);
	assert_int_equal(rig_madvise(p + HUGE, HUGE, MADV_DONTNEED), 0);
	/* Of a file it stays in the page cache. */
	if (flags & MAP_SHARED)
		assert_int_equal(rig_check(p + HUGE, HUGE, 4), -1);
	else
		assert_int_equal(rig_copy(p + HUGE, from, HUGE, 0), HUGE);
	assert_int_equal(watch_rig_messages(), 0);
	rig_unwatch(p, 3 * HUGE);
	p[2 * HUGE] = 1;
	rig_munmap(p, 4 * HUGE);
	rig_munmap(from, HUGE);
	close(fd);
}

static void test_huge_pages(void **state)
{
	huge_pages(MAP_SHARED);
}

static void test_private_huge_pages(void **state)
{
	huge_pages(MAP_PRIVATE);
}

/* ---- moving ---- */

static void test_pages_are_moved(void **state)
{
	char *p = rig_map(32 * PAGE), *from = rig_map(32 * PAGE);
	unsigned mappings = rig_mappings();

	for (unsigned i = 0; i < 24; i++)
		if (i != 20)
			rig_page(from + i * PAGE, p + i * PAGE);
	assert_int_equal(rig_watch(p, 32 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(rig_move_pages(p, from, 16 * PAGE, false), 16 * PAGE);
	for (unsigned i = 0; i < 16; i++)
		assert_true(rig_is_page(p + i * PAGE));
	assert_int_equal(watch_rig_messages(), 0);
	assert_int_equal(from[0], 0);
	assert_int_equal(rig_move_pages(p, from + 16 * PAGE, PAGE, false), -EEXIST);
	assert_int_equal(rig_move_pages(p + 16 * PAGE, from + 16 * PAGE, 8 * PAGE, false),
			 4 * PAGE);
	assert_int_equal(rig_move_pages(p + 20 * PAGE, from + 20 * PAGE, PAGE, false), -ENOENT);
	assert_int_equal(rig_move_pages(p + 20 * PAGE, from + 20 * PAGE, 4 * PAGE, true), 4 * PAGE);
	assert_true(rig_is_page(p + 23 * PAGE));
	assert_int_equal(watch_rig_messages(), 0);
	assert_true(rig_is_page(p + 20 * PAGE));
	assert_int_equal(watch_rig_messages(), 1);
	/* The zero page, which is there. */
	(void)*(volatile char *)(from + 30 * PAGE);
	assert_int_equal(rig_move_pages(p + 30 * PAGE, from + 30 * PAGE, PAGE, false), PAGE);
	assert_int_equal(p[30 * PAGE], 0);
	assert_int_equal(watch_rig_messages(), 1);
	/* Out of a range: the place is missing then. */
	assert_int_equal(rig_watch(from, 32 * PAGE, WATCH_MISSING), 0);
	rig_answer_page(&(struct watch_message){.address = (uintptr_t)from + 31 * PAGE});
	assert_int_equal(rig_move_pages(p + 31 * PAGE, from + 31 * PAGE, PAGE, false), PAGE);
	assert_int_equal(*(uintptr_t *)(p + 31 * PAGE), from + 31 * PAGE);
	assert_true(rig_is_page(from + 31 * PAGE));
	assert_int_equal(watch_rig_messages(), 2);
	assert_in_range(rig_mappings(), mappings - 1, mappings + (rig_traps ? 20 : 0));
	rig_munmap(p, 32 * PAGE);
	rig_munmap(from, 32 * PAGE);
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
	/* The end of the first one's answer may wake it once more. */
	assert_true(watch_rig_messages() >= 2);
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

#define TESTS(X)                            \
	X(test_missing_page_is_asked_for)   \
	X(test_pages_that_are_there_stay)   \
	X(test_copy_ends_where_it_must)     \
	X(test_zero_pages)                  \
	X(test_poison)                      \
	X(test_no_message)                  \
	X(test_protection_comes_first)      \
	X(test_ranges_are_divided)          \
	X(test_lost_range)                  \
	X(test_protected_pages)             \
	X(test_protection_of_missing_pages) \
	X(test_protected_copies)            \
	X(test_asynchronous_protection)     \
	X(test_protection_from_all_access)  \
	X(test_scan)                        \
	X(test_dont_need)                   \
	X(test_unmapped)                    \
	X(test_moved)                       \
	X(test_moved_away)                  \
	X(test_fork)                        \
	X(test_locked_memory)               \
	X(test_guards_of_the_client)        \
	X(test_shared_memory)               \
	X(test_minor_faults)                \
	X(test_private_mappings)            \
	X(test_shared_anonymous)            \
	X(test_huge_pages)                  \
	X(test_private_huge_pages)          \
	X(test_pages_are_moved)             \
	X(test_signal_while_waiting)        \
	X(test_threads)

TESTS(STARTED)

#define GUARDED(function) {#function, started_##function, rig_with_guards, NULL, NULL},
#define PROTECTED(function) \
	{#function "_protected", started_##function, rig_with_protection, NULL, NULL},

int main(void)
{
	const struct CMUnitTest tests[] = {TESTS(GUARDED) TESTS(PROTECTED)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
