/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory engine, by one thread: pages go away and come back by touching and by asking,
 * and what the client's memory calls do to them meanwhile.  Everything twice: with guard
 * markers where the kernel has them, and with PROT_NONE.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/user.h"
#include "memory/own.h"
#include "memory/calls.h"
#include "memory_rig.h"
#include "uapi/mm.h"

/* cmocka takes the signals again for each function that it calls. */
#define STARTED(function)                            \
	static void started_##function(void **state) \
	{                                            \
		rig_start(rig_traps);                \
		function(state);                     \
	}
/* ---- the map of pages ---- */

static void test_radix(void **state)
{
	struct radix r = {0};
	uint64_t value;

	assert_int_equal(radix_get(&r, 0x1000), 0);
	assert_int_equal(radix_next(&r, 0, MEMORY_LIMIT, NULL), MEMORY_LIMIT);
	assert_int_equal(radix_set(&r, 0x1000, 7), 0);
	assert_int_equal(radix_set(&r, 0x7ffffffff000, 8), 0);
	assert_int_equal(radix_set(&r, MEMORY_LIMIT, 9), -ENOMEM);
	assert_int_equal(radix_set(&r, MEMORY_LIMIT, 0), 0);
	assert_int_equal(r.count, 2);
	assert_int_equal(radix_next(&r, 0, MEMORY_LIMIT, &value), 0x1000);
	assert_int_equal(value, 7);
	assert_int_equal(radix_next(&r, 0x2000, MEMORY_LIMIT, &value), 0x7ffffffff000);
	assert_int_equal(value, 8);
	assert_int_equal(radix_next(&r, 0x2000, 0x7ffffffff000, NULL), 0x7ffffffff000);
	radix_clear(&r, 0, MEMORY_LIMIT - PAGE);
	assert_int_equal(r.count, 1);
	assert_int_equal(radix_reserve(&r, 0x200000, 0x600000), 0);
	assert_int_equal(r.count, 1);
	radix_finish(&r);
	assert_int_equal(radix_get(&r, 0x7ffffffff000), 0);
}

/* Runs that go over the ends of tables. */
static void test_radix_runs(void **state)
{
	const uintptr_t start = 0x3ffff0000, end = start + 600 * PAGE;
	struct radix r = {0};

	assert_int_equal(radix_fill(&r, start, end, 0x5001, PAGE), 0);
	assert_int_equal(r.count, 600);
	assert_int_equal(radix_get(&r, end - PAGE), 0x5001 + 599 * PAGE);
	assert_int_equal(radix_run(&r, start, end + PAGE, 0x5001, PAGE, UINT64_MAX), end);
	assert_int_equal(radix_run(&r, start, end, 0x5001, 0, UINT64_MAX), start + PAGE);
	assert_int_equal(radix_run(&r, start, end, 1, 0, 0xfff), end);
	assert_int_equal(radix_set(&r, start + 300 * PAGE, 0), 0);
	assert_int_equal(radix_run(&r, start, end, 0, 0, 0), start + 300 * PAGE);
	assert_int_equal(radix_fill(&r, start, end, 8, 0), 0);
	assert_int_equal(r.count, 600);
	radix_clear(&r, start + PAGE, end - PAGE);
	assert_int_equal(r.count, 2);
	assert_int_equal(radix_get(&r, start), 8);
	assert_int_equal(radix_get(&r, end - PAGE), 8);
	radix_finish(&r);
}

/* The hole that the client has made stays one. */
static void test_own_memory_is_elsewhere(void **state)
{
	char *p = rig_map(64 * PAGE);
	void *own[8];

	assert_int_equal(munmap(p + 8 * PAGE, 8 * PAGE), 0);
	for (unsigned i = 0; i < 8; i++)
		own[i] = own_alloc(PAGE << i);
	for (unsigned i = 0; i < 8; i++) {
		assert_non_null(own[i]);
		assert_int_equal(((char *)own[i])[0], 0);
		((char *)own[i])[0] = 1;
		assert_true((char *)own[i] < p || (char *)own[i] >= p + 64 * PAGE);
		own_free(own[i], PAGE << i);
	}
	own[0] = own_alloc(PAGE);
	assert_int_equal(((char *)own[0])[0], 0);
	own_free(own[0], PAGE);
	munmap(p, 64 * PAGE);
}

/* ---- mappings and pages ---- */

static enum memory_kind kind_of(const void *p)
{
	struct memory_vma v;
	uint64_t signals;
	bool found;

	memory_lock(&signals);
	found = memory_vma_find((uintptr_t)p, &v);
	memory_unlock(&signals);
	assert_true(found);
	assert_true(v.start <= (uintptr_t)p);
	return v.kind;
}

static void test_kinds_of_mappings(void **state)
{
	char *anon = rig_map(PAGE);
	char *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	FILE *file = tmpfile();
	char *private;

	assert_non_null(file);
	assert_int_equal(ftruncate(fileno(file), PAGE), 0);
	private = mmap(NULL, PAGE, RW, MAP_PRIVATE, fileno(file), 0);
	assert_int_equal(kind_of(anon), MEMORY_ANON);
	assert_int_equal(kind_of(shared), MEMORY_SHARED);
	assert_int_equal(kind_of(private), MEMORY_FILE);
	munmap(private, PAGE);
	munmap(shared, PAGE);
	munmap(anon, PAGE);
	fclose(file);
}

static uint8_t state_of(const char *p)
{
	uint64_t signals;
	uint8_t s;

	memory_lock(&signals);
	assert_int_equal(memory_states((uintptr_t)p, (uintptr_t)p + PAGE, &s), 0);
	memory_unlock(&signals);
	return s;
}

static void test_states_of_pages(void **state)
{
	char *p = rig_map(4 * PAGE);

	(void)*(volatile char *)p;
	p[PAGE] = 1;
	assert_true(state_of(p) & MEMORY_PRESENT);
	assert_true(state_of(p + PAGE) & MEMORY_PRESENT);
	assert_true(state_of(p + PAGE) & MEMORY_EXCLUSIVE);
	assert_false(state_of(p + PAGE) & MEMORY_ZERO);
	assert_false(state_of(p + 2 * PAGE) & MEMORY_PRESENT);
	munmap(p, 4 * PAGE);
}

/* ---- away and back ---- */

static void test_touched_pages_come_back(void **state)
{
	static const size_t sizes[] = {1, 5, 16, 64, 512, 1500};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i] * PAGE;
		char *p = rig_map(size);

		rig_fill(p, size, i);
		atomic_store(&rig_faults, 0);
		assert_int_equal(rig_away(p, size), sizes[i]);
		assert_int_equal(rig_check(p, size, i), -1);
		assert_int_equal(rig_faults, sizes[i]);
		assert_int_equal(rig_count(p, size), 0);
		rig_fill(p, size, i + 100);
		assert_int_equal(rig_check(p, size, i + 100), -1);
		munmap(p, size);
	}
}

static void test_all_comes_back_at_once(void **state)
{
	size_t size = 700 * PAGE;
	char *p = rig_map(size);
	unsigned before;

	rig_fill(p, size, 1);
	before = rig_mappings();
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(rig_away(p, size), 700);
		assert_int_equal(rig_check(p + 100 * PAGE, 0, 0), -1);
		rig_back(p, size);
		assert_int_equal(rig_count(p, size), 0);
		assert_int_equal(rig_check(p, size, 1), -1);
	}
	assert_int_equal(rig_faults, 0);
	/* What was divided is whole again. */
	assert_true(rig_mappings() <= before + 8);
	munmap(p, size);
}

/* In an order that takes single pages out of large pieces. */
static void test_scattered(void **state)
{
	size_t size = 512 * PAGE;
	char *p = rig_map(size);
	unsigned before;

	rig_fill(p, size, 3);
	before = rig_mappings();
	assert_int_equal(rig_away(p, size), 512);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(rig_touch(p + i * 37 % 512 * PAGE, 1), 0);
	assert_int_equal(rig_faults, 512);
	assert_int_equal(rig_check(p, size, 3), -1);
	/* The same once more, now over what the first time has left. */
	assert_int_equal(rig_away(p, size), 512);
	for (unsigned i = 0; i < 512; i += 2)
		assert_int_equal(rig_touch(p + i * PAGE, 0), 0);
	assert_int_equal(rig_away(p, size), 512);
	assert_int_equal(rig_check(p, size, 3), -1);
	assert_true(rig_mappings() <= before + 8);
	munmap(p, size);
}

static void test_empty_pages(void **state)
{
	char *p = rig_map(8 * PAGE);

	(void)*(volatile char *)p;
	assert_int_equal(rig_away(p, 8 * PAGE), 8);
	for (unsigned i = 0; i < 8; i++)
		for (unsigned at = 0; at < PAGE; at++)
			assert_int_equal(p[i * PAGE + at], 0);
	assert_int_equal(rig_faults, 8);
	assert_true(state_of(p + 3 * PAGE) & MEMORY_PRESENT);
	munmap(p, 8 * PAGE);
}

static void test_private_file(void **state)
{
	FILE *file = tmpfile();
	char *p, byte;

	assert_int_equal(ftruncate(fileno(file), 4 * PAGE), 0);
	p = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fileno(file), 0);
	rig_fill(p, 4 * PAGE, 9);
	assert_int_equal(rig_away(p, 4 * PAGE), 4);
	assert_int_equal(rig_check(p, 4 * PAGE, 9), -1);
	assert_int_equal(pread(fileno(file), &byte, 1, 4), 1);
	assert_int_equal(byte, 0);
	munmap(p, 4 * PAGE);
	fclose(file);
}

static void test_locked_memory(void **state)
{
	char *p = rig_map(4 * PAGE);

	rig_fill(p, 4 * PAGE, 4);
	if (mlock(p, 4 * PAGE) == 0) {
		assert_int_equal(rig_away(p, 4 * PAGE), 4);
		assert_int_equal(rig_check(p, 4 * PAGE, 4), -1);
	}
	munmap(p, 4 * PAGE);
}

/* Who answers faults inside such a call may make memory calls first: it is made without the lock.
 */
static void test_populating_calls(void **state)
{
	char *p = rig_map(4 * PAGE);
	struct memory_call calls[] = {
		{MEMORY_CALL_POPULATE, .address = (uintptr_t)p, .size = 4 * PAGE},
		{MEMORY_CALL_ADVISE, .address = (uintptr_t)p, .size = 4 * PAGE,
		 .flags = MADV_POPULATE_READ},
		{MEMORY_CALL_ADVISE, .address = (uintptr_t)p, .size = 4 * PAGE,
		 .flags = MADV_POPULATE_WRITE},
	};

	rig_fill(p, 4 * PAGE, 4);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		assert_int_equal(rig_away(p, 4 * PAGE), 4);
		assert_false(memory_call_begin(&calls[i]));
		assert_false(memory_lock_mine());
		assert_int_equal(rig_count(p, 4 * PAGE), 0);
	}
	assert_int_equal(rig_check(p, 4 * PAGE, 4), -1);
	munmap(p, 4 * PAGE);
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* Every other page, when the process can't have one more mapping. */
static void test_as_many_mappings_as_may_be(void **state)
{
	const size_t others = (size_t)140000 * PAGE;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
	unsigned long most = 0;
	char *p, *room;

	/* A sanitizer wants mappings of its own. */
	if (SANITIZED || !f || fscanf(f, "%lu", &most) != 1 || most > 66000)
		skip();
	fclose(f);
	p = rig_map(64 * PAGE);
	rig_fill(p, 64 * PAGE, 6);
	assert_int_equal(rig_away(p, 64 * PAGE), 64);
	room = mmap(NULL, others, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(room, MAP_FAILED);
	for (size_t at = PAGE; at < others && mprotect(room + at, PAGE, PROT_READ) == 0;
	     at += 2 * PAGE)
		;
	for (unsigned i = 1; i < 64; i += 2)
		assert_int_equal(rig_check(p + i * PAGE, 4, i * (PAGE / 4) * 2654435761u + 6), -1);
	assert_int_equal(rig_check(p, 64 * PAGE, 6), -1);
	munmap(room, others);
	munmap(p, 64 * PAGE);
}

static void test_contents_can_be_changed(void **state)
{
	char *p = rig_map(2 * PAGE);
	uint64_t signals;

	p[0] = 1;
	assert_int_equal(rig_away(p, 2 * PAGE), 2);
	memory_lock(&signals);
	assert_int_equal(*(char *)memory_content(pages_get((uintptr_t)p)), 1);
	assert_null(memory_content(pages_get((uintptr_t)p + PAGE)));
	*(char *)memory_content_make((uintptr_t)p) = 2;
	*(char *)memory_content_make((uintptr_t)p + PAGE) = 3;
	memory_unlock(&signals);
	assert_int_equal(p[0], 2);
	assert_int_equal(p[PAGE], 3);
	assert_int_equal(p[PAGE + 1], 0);
	munmap(p, 2 * PAGE);
}

static void test_guarded_copies_bring_back(void **state)
{
	char *p = rig_map(2 * PAGE), copy[64];
	uint64_t signals;
	int ret;

	rig_fill(p, 2 * PAGE, 5);
	assert_int_equal(rig_away(p, 2 * PAGE), 2);
	assert_int_equal(copy_from_user(copy, p, sizeof(copy)), 0);
	assert_int_equal(rig_count(p, 2 * PAGE), 1);
	/* With the lock nothing is brought back: it is an error. */
	memory_lock(&signals);
	ret = copy_guarded(copy, p + PAGE, sizeof(copy));
	memory_unlock(&signals);
	assert_int_equal(ret, -EFAULT);
	memory_make_resident(p, 2 * PAGE);
	assert_int_equal(rig_count(p, 2 * PAGE), 0);
	munmap(p, 2 * PAGE);
}

/* ---- the client's calls ---- */

static void test_protections(void **state)
{
	char *p = rig_map(64 * PAGE);

	rig_fill(p, 64 * PAGE, 6);
	assert_int_equal(rig_away(p, 64 * PAGE), 64);
	assert_int_equal(rig_mprotect(p, 32 * PAGE, PROT_NONE), 0);
	assert_int_equal(rig_touch(p, 0), SEGV_ACCERR);
	assert_int_equal(rig_mprotect(p, 16 * PAGE, PROT_READ), 0);
	assert_int_equal(rig_touch(p, 1), SEGV_ACCERR);
	assert_int_equal(rig_touch(p, 0), 0);
	assert_int_equal(rig_touch(p, 1), SEGV_ACCERR);
	assert_int_equal(rig_count(p, 64 * PAGE), 63);
	assert_int_equal(rig_mprotect(p, 64 * PAGE, RW), 0);
	assert_int_equal(rig_count(p, 64 * PAGE), 63);
	assert_int_equal(rig_check(p, 64 * PAGE, 6), -1);
	assert_int_equal(rig_mprotect(p + 64 * PAGE, PAGE, RW), -ENOMEM);
	munmap(p, 64 * PAGE);
}

static void test_read_only_pages(void **state)
{
	char *p = rig_map(64 * PAGE);

	rig_fill(p, 63 * PAGE, 6);
	assert_int_equal(rig_mprotect(p, 64 * PAGE, PROT_READ), 0);
	assert_int_equal(rig_away(p, 64 * PAGE), 64);
	assert_int_equal(rig_touch(p + PAGE, 1), SEGV_ACCERR);
	assert_int_equal(rig_check(p, 63 * PAGE, 6), -1);
	assert_int_equal(p[63 * PAGE], 0);
	assert_int_equal(rig_touch(p + PAGE, 1), SEGV_ACCERR);
	assert_int_equal(rig_touch(p + 63 * PAGE, 1), SEGV_ACCERR);
	munmap(p, 64 * PAGE);
}

static void test_unmapped_pages_are_forgotten(void **state)
{
	char *p = rig_map(64 * PAGE);

	rig_fill(p, 64 * PAGE, 7);
	assert_int_equal(rig_away(p, 64 * PAGE), 64);
	assert_int_equal(rig_munmap(p + 16 * PAGE, 16 * PAGE), 0);
	assert_int_equal(rig_count(p, 64 * PAGE), 48);
	assert_int_equal(rig_touch(p + 16 * PAGE, 0), SEGV_MAPERR);
	assert_int_equal(rig_check(p, 16 * PAGE, 7), -1);
	assert_int_equal(rig_touch(p + 32 * PAGE, 0), 0);
	assert_int_equal(rig_munmap(p, 64 * PAGE), 0);
	assert_int_equal(rig_count(p, 64 * PAGE), 0);
	assert_int_equal(rig_munmap(p + 1, PAGE), -EINVAL);
}

/* As libc does inside itself: the engine hears nothing of it. */
static void test_unmapped_unseen(void **state)
{
	char *p = rig_map(64 * PAGE);
	uint64_t signals;

	rig_fill(p, 64 * PAGE, 20);
	assert_int_equal(rig_away(p, 64 * PAGE), 64);
	munmap(p, 64 * PAGE);
	assert_ptr_equal(mmap(p, 64 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p);
	rig_fill(p, 32 * PAGE, 21);
	memory_make_resident(p, 8 * PAGE);
	assert_int_equal(rig_check(p, 32 * PAGE, 21), -1);
	memory_lock(&signals);
	memory_validate((uintptr_t)p, (uintptr_t)p + 64 * PAGE);
	memory_unlock(&signals);
	assert_int_equal(rig_count(p, 64 * PAGE), 0);
	assert_int_equal(rig_away(p, 64 * PAGE), 64);
	assert_int_equal(rig_check(p, 32 * PAGE, 21), -1);
	assert_int_equal(p[40 * PAGE + 4], 0);
	munmap(p, 64 * PAGE);
}

static void test_dont_need(void **state)
{
	char *p = rig_map(64 * PAGE);

	rig_fill(p, 64 * PAGE, 8);
	assert_int_equal(rig_away(p, 64 * PAGE), 64);
	assert_int_equal(rig_madvise(p, 32 * PAGE, MADV_DONTNEED), 0);
	assert_int_equal(rig_count(p, 64 * PAGE), 32);
	assert_int_equal(p[5 * PAGE + 4], 0);
	assert_int_equal(rig_faults, 0);
	/* Markers of ours are not the client's to remove. */
	rig_madvise(p + 32 * PAGE, 32 * PAGE, MADV_GUARD_REMOVE);
	assert_int_equal(rig_count(p, 64 * PAGE), 32);
	assert_int_equal(rig_touch(p + 40 * PAGE, 0), 0);
	assert_int_equal(rig_faults, 1);
	munmap(p, 64 * PAGE);
}

static void move(int flags)
{
	size_t size = 600 * PAGE;
	char *p = rig_map(size), *room = rig_map(2 * size), *to = room + 3 * PAGE;

	rig_fill(p, size, 10);
	assert_int_equal(rig_away(p, size), 600);
	assert_ptr_equal(rig_mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to), to);
	assert_int_equal(rig_count(p, size), 0);
	assert_int_equal(rig_check(to, size, 10), -1);
	if (flags)
		assert_int_equal(p[PAGE], 0);
	else
		assert_int_equal(rig_touch(p, 0), SEGV_MAPERR);
	munmap(p, size);
	munmap(room, 2 * size);
}

static void test_moved_mappings(void **state)
{
	move(0);
	move(MREMAP_DONTUNMAP);
}

static void test_shrunk_mapping(void **state)
{
	char *p = rig_map(64 * PAGE);

	rig_fill(p, 64 * PAGE, 11);
	assert_int_equal(rig_away(p, 64 * PAGE), 64);
	assert_ptr_equal(rig_mremap(p, 64 * PAGE, 10 * PAGE, 0, NULL), p);
	assert_true(rig_count(p, 64 * PAGE) <= 10);
	assert_int_equal(rig_check(p, 10 * PAGE, 11), -1);
	munmap(p, 10 * PAGE);
}

static void test_fork(void **state)
{
	size_t size = 600 * PAGE;
	char *p = rig_map(size);
	int status;
	pid_t pid;

	rig_fill(p, size, 12);
	assert_int_equal(rig_away(p, size), 600);
	memory_fork_prepare();
	pid = fork();
	if (pid == 0) {
		memory_fork_child();
		if (rig_check(p, size, 12) != -1 || rig_count(p, size) != 0)
			_exit(1);
		rig_fill(p, size, 13);
		_exit(rig_away(p, size) != 600 || rig_check(p, size, 13) != -1);
	}
	memory_fork_parent();
	assert_true(pid > 0);
	assert_int_equal(rig_count(p, size), 600);
	assert_int_equal(rig_check(p, size, 12), -1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	munmap(p, size);
}

STARTED(test_radix)
STARTED(test_radix_runs)
STARTED(test_own_memory_is_elsewhere)
STARTED(test_kinds_of_mappings)
STARTED(test_states_of_pages)
STARTED(test_touched_pages_come_back)
STARTED(test_all_comes_back_at_once)
STARTED(test_scattered)
STARTED(test_empty_pages)
STARTED(test_private_file)
STARTED(test_locked_memory)
STARTED(test_populating_calls)
STARTED(test_as_many_mappings_as_may_be)
STARTED(test_contents_can_be_changed)
STARTED(test_guarded_copies_bring_back)
STARTED(test_protections)
STARTED(test_read_only_pages)
STARTED(test_unmapped_pages_are_forgotten)
STARTED(test_unmapped_unseen)
STARTED(test_dont_need)
STARTED(test_moved_mappings)
STARTED(test_shrunk_mapping)
STARTED(test_fork)

#define TEST(function)                                          \
	{                                                       \
#function, started_##function, NULL, NULL, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_radix),
		TEST(test_radix_runs),
		TEST(test_own_memory_is_elsewhere),
		TEST(test_kinds_of_mappings),
		TEST(test_states_of_pages),
		TEST(test_touched_pages_come_back),
		TEST(test_all_comes_back_at_once),
		TEST(test_scattered),
		TEST(test_empty_pages),
		TEST(test_private_file),
		TEST(test_locked_memory),
		TEST(test_populating_calls),
		TEST(test_as_many_mappings_as_may_be),
		TEST(test_contents_can_be_changed),
		TEST(test_guarded_copies_bring_back),
		TEST(test_protections),
		TEST(test_read_only_pages),
		TEST(test_unmapped_pages_are_forgotten),
		TEST(test_unmapped_unseen),
		TEST(test_dont_need),
		TEST(test_moved_mappings),
		TEST(test_shrunk_mapping),
		TEST(test_fork),
	};
	int failed = cmocka_run_group_tests_name("guards", tests, rig_with_guards, NULL);

	return failed + cmocka_run_group_tests_name("protection", tests, rig_with_protection, NULL);
}
