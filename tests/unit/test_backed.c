/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Watched private memory that is backed by a file of the engine's: its contents through
 * whatever happens to it, against a model; that it gives back what it takes; and that it becomes
 * plain memory where it must.  The model runs with PROT_NONE too, where nothing is backed.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory/backed_private.h"
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

/* ---- what is backed ---- */

static bool is_backed(const void *p)
{
	struct memory_vma v;
	uint64_t signals;
	bool is;

	memory_lock(&signals);
	is = memory_mapping((uintptr_t)p, &v) && v.backed;
	memory_unlock(&signals);
	return is;
}

/* Whether this kernel has what it takes. */
static bool can_be_backed(void)
{
	char *p = rig_map(PAGE);
	bool is;

	assert_int_equal(rig_watch(p, PAGE, WATCH_MISSING), 0);
	is = is_backed(p);
	rig_munmap(p, PAGE);
	return is;
}

/* Skips where nothing can be backed, or gives memory that is watched. */
static char *backed(size_t size)
{
	char *p;

	if (!can_be_backed())
		skip();
	p = rig_map(size);
	assert_int_equal(rig_watch(p, size, WATCH_MISSING), 0);
	assert_true(is_backed(p));
	assert_true(is_backed(p + size - PAGE));
	return p;
}

/* Pages that the file has, of all areas. */
static size_t pages_of_file(void)
{
	uintptr_t at = 0, to;
	uint64_t signals;
	size_t n = 0;

	memory_lock(&signals);
	for (; (at = backed_next(at, MEMORY_LIMIT, true, &to)) < MEMORY_LIMIT; at = to)
		n += (to - at) / PAGE;
	memory_unlock(&signals);
	return n;
}

/* The status of a child that goes on with the caller's memory; -1: it is not what it was. */
static int fork_here(void)
{
	volatile unsigned local = 42;
	int status = -1;
	pid_t child;

	memory_fork_prepare();
	child = fork();
	if (child == 0) {
		memory_fork_child();
		local += 1;
		_exit(local == 43 ? 0 : 1);
	}
	memory_fork_parent();
	waitpid(child, &status, 0);
	return local == 42 ? status : -1;
}

/* ---- memory that is filled ---- */

static char source[64 * PAGE];

static const char *words(size_t pages, uint64_t seed)
{
	for (size_t i = 0; i < pages * PAGE / sizeof(uint64_t); i++)
		((uint64_t *)source)[i] = seed + i * PAGE;
	return source;
}

static void test_pages_are_given_back(void **state)
{
	char *p = backed(64 * PAGE);
	size_t before = pages_of_file();

	assert_int_equal(rig_copy(p, words(64, 1), 64 * PAGE, 0), 64 * PAGE);
	assert_int_equal(pages_of_file(), before + 64);
	assert_int_equal(rig_madvise(p + 8 * PAGE, 8 * PAGE, MADV_DONTNEED), 0);
	assert_int_equal(pages_of_file(), before + 56);
	assert_true(rig_is_page(p + 9 * PAGE));
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(rig_madvise(p + 20 * PAGE, PAGE, MADV_GUARD_INSTALL), 0);
	assert_int_equal(pages_of_file(), before + 56);
	assert_int_equal(rig_touch(p + 20 * PAGE, 0), SEGV_MAPERR);
	assert_int_equal(rig_munmap(p, 32 * PAGE), 0);
	assert_int_equal(pages_of_file(), before + 32);
	rig_unwatch(p + 32 * PAGE, 32 * PAGE);
	assert_int_equal(pages_of_file(), before + 32);
	assert_int_equal(rig_madvise(p + 32 * PAGE, 32 * PAGE, MADV_DONTNEED), 0);
	assert_int_equal(pages_of_file(), before);
	for (unsigned i = 32; i < 64; i++)
		assert_int_equal(p[i * PAGE], 0);
	assert_int_equal(rig_munmap(p + 32 * PAGE, 32 * PAGE), 0);
	assert_int_equal(pages_of_file(), before);
}

/* Where libc has unmapped it, inside itself, nothing is left of it for who comes next. */
static void test_unmapped_without_a_word(void **state)
{
	char *p = backed(64 * PAGE), *again;
	size_t before = pages_of_file();

	assert_int_equal(rig_copy(p, words(64, 1), 64 * PAGE, 0), 64 * PAGE);
	munmap(p, 64 * PAGE);
	again = mmap(p, 64 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(again, p);
	assert_false(is_backed(p));
	assert_int_equal(rig_watch(p, 64 * PAGE, WATCH_MISSING), 0);
	assert_int_equal(pages_of_file(), before);
	assert_int_equal(rig_zero(p, PAGE), PAGE);
	assert_int_equal(p[0], 0);
	assert_true(rig_is_page(p + PAGE));
	rig_munmap(p, 64 * PAGE);
}

static void test_source_that_ends(void **state)
{
	char *p = backed(8 * PAGE), *from = rig_map(2 * PAGE);
	size_t before = pages_of_file();

	memset(from, 1, PAGE);
	munmap(from + PAGE, PAGE);
	assert_int_equal(rig_copy(p, from + 100, PAGE, 0), -EFAULT);
	assert_int_equal(pages_of_file(), before);
	assert_int_equal(rig_zero(p, PAGE), PAGE);
	assert_int_equal(p[0], 0);
	assert_int_equal(rig_copy(p + PAGE, from, 4 * PAGE, 0), PAGE);
	assert_int_equal(p[PAGE], 1);
	assert_true(rig_is_page(p + 2 * PAGE));
	rig_munmap(p, 8 * PAGE);
	munmap(from, PAGE);
}

/* Where there are huge pages, what is filled at once is in some; they are given back in part. */
static void test_large_copies(void **state)
{
	const size_t size = 2 * MEMORY_UNIT;
	char *p = backed(3 * MEMORY_UNIT), *from = rig_map(size + PAGE);
	size_t before = pages_of_file();

	rig_fill(from, size, 11);
	assert_int_equal(rig_copy(p + PAGE, from, size, 0), (long)size);
	assert_int_equal(rig_check(p + PAGE, size, 11), -1);
	assert_int_equal(pages_of_file(), before + size / PAGE);
	assert_int_equal(rig_madvise(p + MEMORY_UNIT, 3 * PAGE, MADV_DONTNEED), 0);
	assert_int_equal(pages_of_file(), before + size / PAGE - 3);
	assert_int_equal(rig_check(p + PAGE, MEMORY_UNIT - PAGE, 11), -1);
	assert_true(rig_is_page(p + MEMORY_UNIT + 2 * PAGE));
	assert_int_equal(watch_rig_messages(), 1);
	assert_true(rig_is_page(p));
	/* A source that ends in the middle of one. */
	assert_int_equal(rig_madvise(p, size + PAGE, MADV_DONTNEED), 0);
	assert_int_equal(pages_of_file(), before);
	munmap(from + size - 5 * PAGE, 6 * PAGE);
	assert_int_equal(rig_copy(p, from, size, 0), (long)(size - 5 * PAGE));
	assert_int_equal(pages_of_file(), before + size / PAGE - 5);
	assert_int_equal(rig_check(p, size - 5 * PAGE, 11), -1);
	assert_true(rig_is_page(p + size - 5 * PAGE));
	assert_int_equal(watch_rig_messages(), 3);
	rig_munmap(p, 3 * MEMORY_UNIT);
	munmap(from, size - 5 * PAGE);
	assert_int_equal(pages_of_file(), before);
}

/* The file's pages that take memory, whoever has been given them. */
static size_t pages_made(void)
{
	struct stat st;

	assert_int_equal(fstat(backed_descriptor(), &st), 0);
	return (size_t)st.st_blocks * 512 / PAGE;
}

static void copy_in_order(char *p, size_t first, size_t end)
{
	static char page[PAGE];

	for (size_t i = first; i < end; i++) {
		rig_page(page, p + i * PAGE);
		assert_int_equal(rig_copy(p + i * PAGE, page, PAGE, 0), PAGE);
	}
}

/* A few, and the last one before the end. */
static void check_pages(char *p, size_t first, size_t end)
{
	for (size_t i = first; i < end; i += 101)
		assert_true(rig_is_page(p + i * PAGE));
	assert_true(rig_is_page(p + (end - 1) * PAGE));
}

/*
 * After as much as a huge page, the next one is made ahead, if there are any.  Pages that have not
 * come are missing nevertheless, and are not kept.
 */
static void test_pages_in_order(void **state)
{
	enum { UNIT = MEMORY_UNIT / PAGE };
	const size_t size = 6 * MEMORY_UNIT;
	char *p = backed(size), *nowhere = rig_map(PAGE);
	size_t before = pages_of_file(), made = pages_made();

	copy_in_order(p, 0, UNIT + 100);
	made = pages_made() - made;
	assert_true(made == UNIT + 100 || made == 2 * UNIT);
	check_pages(p, 0, UNIT + 100);
	assert_int_equal(watch_rig_messages(), 0);
	/* Out of order; what has come goes and comes again; a source that is none. */
	assert_true(rig_is_page(p + (UNIT + 300) * PAGE));
	assert_int_equal(watch_rig_messages(), 1);
	assert_int_equal(rig_madvise(p + (UNIT + 99) * PAGE, PAGE, MADV_DONTNEED), 0);
	assert_true(rig_is_page(p + (UNIT + 99) * PAGE));
	assert_int_equal(watch_rig_messages(), 2);
	munmap(nowhere, PAGE);
	assert_int_equal(rig_copy(p + (UNIT + 100) * PAGE, nowhere, PAGE, 0), -EFAULT);
	copy_in_order(p, UNIT + 100, UNIT + 110);
	assert_int_equal(pages_of_file(), before + UNIT + 111);
	check_pages(p, 0, UNIT + 110);
	/* The next one; what isn't watched any more has zeroes, and what is watched again nothing.
	 */
	copy_in_order(p, UNIT + 110, UNIT + 300);
	copy_in_order(p, UNIT + 301, 2 * UNIT);
	copy_in_order(p, 2 * UNIT, 3 * UNIT + 7);
	rig_unwatch(p, 5 * MEMORY_UNIT);
	assert_int_equal(p[(3 * UNIT + 8) * PAGE], 0);
	assert_int_equal(rig_watch(p, 5 * MEMORY_UNIT, WATCH_MISSING), 0);
	assert_int_equal(pages_of_file(), before + 3 * UNIT + 8);
	check_pages(p, 0, 3 * UNIT + 7);
	assert_int_equal(watch_rig_messages(), 2);
	assert_true(rig_is_page(p + (3 * UNIT + 9) * PAGE));
	assert_int_equal(watch_rig_messages(), 3);
	/* A fork in the middle of one. */
	copy_in_order(p, 3 * UNIT + 10, 4 * UNIT);
	copy_in_order(p, 4 * UNIT, 4 * UNIT + 9);
	assert_int_equal(fork_here(), 0);
	assert_false(is_backed(p));
	check_pages(p, 3 * UNIT + 9, 4 * UNIT + 9);
	assert_int_equal(watch_rig_messages(), 3);
	assert_true(rig_is_page(p + (4 * UNIT + 9) * PAGE));
	assert_int_equal(watch_rig_messages(), 4);
	rig_munmap(p, 5 * MEMORY_UNIT);
}

/* What is there already, or is locked, or is more than memory, is left alone. */
static void test_not_backed(void **state)
{
	char *p = backed(8 * PAGE), *q;

	rig_munmap(p, 8 * PAGE);
	q = rig_map(8 * PAGE);
	q[PAGE] = 1;
	assert_int_equal(rig_watch(q, 8 * PAGE, WATCH_MISSING), 0);
	assert_false(is_backed(q));
	assert_int_equal(q[PAGE], 1);
	rig_munmap(q, 8 * PAGE);
	q = rig_map(8 * PAGE);
	assert_int_equal(rig_watch(q, 8 * PAGE, WATCH_WP), 0);
	assert_false(is_backed(q));
	rig_munmap(q, 8 * PAGE);
	q = rig_map(8 * PAGE);
	assert_int_equal(madvise(q, 8 * PAGE, MADV_WIPEONFORK), 0);
	assert_int_equal(rig_watch(q, 8 * PAGE, WATCH_MISSING), 0);
	assert_false(is_backed(q));
	rig_munmap(q, 8 * PAGE);
}

/* ---- plain memory again ---- */

/* Gives what has been filled, watched or not, to what wants plain memory. */
static void becomes_plain(void (*act)(char *p), bool watched)
{
	char *p = backed(64 * PAGE);
	size_t before = pages_of_file();

	assert_int_equal(rig_copy(p + PAGE, words(40, 5), 40 * PAGE, 0), 40 * PAGE);
	assert_int_equal(rig_poison(p + 50 * PAGE, PAGE), PAGE);
	assert_int_equal(rig_zero(p, PAGE), PAGE);
	if (!watched)
		rig_unwatch(p, 64 * PAGE);
	act(p);
	assert_false(is_backed(p + PAGE));
	assert_int_equal(pages_of_file(), before);
	assert_memory_equal(p + PAGE, words(40, 5), 40 * PAGE);
	assert_int_equal(p[0], 0);
	assert_int_equal(rig_access(p + 50 * PAGE, false).number, SIGBUS);
	assert_int_equal(watch_rig_messages(), 0);
	if (watched)
		assert_true(rig_is_page(p + 60 * PAGE));
	else
		assert_int_equal(p[60 * PAGE], 0);
	assert_int_equal(watch_rig_messages(), watched);
	rig_munmap(p, 64 * PAGE);
}

static void advise_free(char *p)
{
	/* Of this page alone. */
	assert_int_equal(rig_madvise(p + 63 * PAGE, PAGE, MADV_FREE), 0);
	assert_true(is_backed(p));
	assert_false(is_backed(p + 63 * PAGE));
	assert_int_equal(rig_madvise(p, 62 * PAGE, MADV_UNMERGEABLE), 0);
	assert_true(is_backed(p));
	assert_int_equal(rig_madvise(p, 64 * PAGE, MADV_REMOVE), -EINVAL);
}

static void shrink(char *p)
{
	assert_ptr_equal(rig_mremap(p, 64 * PAGE, 63 * PAGE, 0, NULL), p);
}

static void take_out(char *p)
{
	uint64_t signals;

	memory_lock(&signals);
	assert_int_equal(backed_take_out((uintptr_t)p, (uintptr_t)p + 20 * PAGE), 0);
	assert_int_equal(backed_take_out((uintptr_t)p, (uintptr_t)p + 64 * PAGE), 0);
	memory_unlock(&signals);
}

static void test_plain_memory(void **state)
{
	for (int watched = 0; watched < 2; watched++) {
		watch_rig_start(rig_answer_page);
		becomes_plain(advise_free, watched);
		watch_rig_start(rig_answer_page);
		becomes_plain(shrink, watched);
		watch_rig_start(rig_answer_page);
		becomes_plain(take_out, watched);
	}
}

static unsigned flags_of(const char *p, char *flags, size_t size)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char line[256];
	unsigned long start, end;
	bool in = false;

	assert_non_null(smaps);
	flags[0] = '\0';
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			in = (uintptr_t)p >= start && (uintptr_t)p < end;
		else if (in && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags, size, "%s", line);
	}
	fclose(smaps);
	return (unsigned)strlen(flags);
}

/* What the memory was advised before and since, it is still. */
static void test_advice(void **state)
{
	char *p, flags[256];
	uint64_t signals;

	rig_munmap(backed(PAGE), PAGE);
	p = mmap(NULL, 64 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_int_equal(madvise(p, 64 * PAGE, MADV_DONTDUMP), 0);
	assert_int_equal(rig_watch(p, 64 * PAGE, WATCH_MISSING), 0);
	assert_true(is_backed(p));
	assert_int_not_equal(flags_of(p, flags, sizeof(flags)), 0);
	assert_non_null(strstr(flags, " dd"));
	assert_int_equal(rig_copy(p, words(4, 9), 4 * PAGE, 0), 4 * PAGE);
	assert_int_equal(rig_madvise(p + 2 * PAGE, 62 * PAGE, MADV_DONTFORK), 0);
	assert_int_equal(rig_madvise(p + 32 * PAGE, 32 * PAGE, MADV_DOFORK), 0);
	assert_true(is_backed(p));
	memory_lock(&signals);
	assert_int_equal(backed_take_out((uintptr_t)p, (uintptr_t)p + 64 * PAGE), 0);
	memory_unlock(&signals);
	flags_of(p, flags, sizeof(flags));
	assert_non_null(strstr(flags, " dd"));
	assert_non_null(strstr(flags, " nr"));
	assert_null(strstr(flags, " dc"));
	flags_of(p + 2 * PAGE, flags, sizeof(flags));
	assert_non_null(strstr(flags, " dc"));
	flags_of(p + 40 * PAGE, flags, sizeof(flags));
	assert_null(strstr(flags, " dc"));
	assert_memory_equal(p, words(4, 9), 4 * PAGE);
	rig_munmap(p, 64 * PAGE);
}

/* A limit for the size of files is none for memory. */
static void test_limit_of_file_size(void **state)
{
	const struct rlimit limited = {1 << 20, RLIM_INFINITY};
	struct rlimit before;
	char *p = backed(8 * PAGE);
	sigset_t pending;

	assert_int_equal(rig_copy(p, words(2, 3), 2 * PAGE, 0), 2 * PAGE);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limited), 0);
	assert_int_equal(rig_copy(p + 2 * PAGE, words(2, 4), 2 * PAGE, 0), 2 * PAGE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	sigpending(&pending);
	assert_false(sigismember(&pending, SIGXFSZ));
	assert_memory_equal(p, words(2, 3), 2 * PAGE);
	assert_memory_equal(p + 2 * PAGE, words(2, 4), 2 * PAGE);
	rig_munmap(p, 8 * PAGE);
}

/* ---- a thread on such memory ---- */

static void *fork_on_stack(void *stack)
{
	static char signal_stack[64 << 10];
	const stack_t alternate = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
	uintptr_t ret;

	sigaltstack(&alternate, NULL);
	ret = (uintptr_t)fork_here() + is_backed(stack);
	sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
	return (void *)ret;
}

static void test_stack(void **state)
{
#ifdef __SANITIZE_THREAD__
	skip(); /* it wants larger stacks */
#endif
	char *p = backed(128 * PAGE);
	size_t before = pages_of_file();
	pthread_attr_t attributes;
	pthread_t thread;
	void *ret;

	assert_int_equal(rig_zero(p + 32 * PAGE, 96 * PAGE), 96 * PAGE);
	memset(p + 32 * PAGE, 0, 96 * PAGE);
	pthread_attr_init(&attributes);
	assert_int_equal(pthread_attr_setstack(&attributes, p, 128 * PAGE), 0);
	assert_int_equal(pthread_create(&thread, &attributes, fork_on_stack, p), 0);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_null(ret);
	pthread_attr_destroy(&attributes);
	assert_int_equal(pages_of_file(), before);
	assert_true(rig_is_page(p + 8 * PAGE));
	rig_munmap(p, 128 * PAGE);
}

/* ---- the model ---- */

#define PAGES 48u

/* What each page holds: nothing, zeroes, words from a seed, the page of the rig's. */
enum content { MISSING, ZEROES, WORDS, ANSWERED };

struct model {
	char *p;
	bool watched;
	struct {
		enum content content;
		uint64_t seed;
	} page[PAGES];
	uint64_t random;
};

static unsigned any(struct model *m, unsigned below)
{
	m->random = m->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (unsigned)(m->random >> 33) % below;
}

static void set(struct model *m, unsigned first, unsigned n, enum content content, uint64_t seed)
{
	for (unsigned i = 0; i < n; i++) {
		m->page[first + i].content = content;
		m->page[first + i].seed = seed + i * (uint64_t)PAGE * (PAGE / sizeof(uint64_t));
	}
}

static bool has_words(const char *p, uint64_t seed)
{
	for (size_t i = 0; i < PAGE / sizeof(uint64_t); i++)
		if (((const volatile uint64_t *)p)[i] != seed + i * PAGE)
			return false;
	return true;
}

static bool is_zero(const char *p)
{
	for (size_t i = 0; i < PAGE; i++)
		if (((const volatile char *)p)[i])
			return false;
	return true;
}

/* What is missing is asked for; where nobody watches it is zeroes. */
static bool is_so(struct model *m, unsigned i)
{
	const char *p = m->p + i * PAGE;
	unsigned messages = watch_rig_messages();
	bool so = false;

	switch (m->page[i].content) {
	case MISSING:
		if (!m->watched) {
			m->page[i].content = ZEROES;
			return is_zero(p);
		}
		m->page[i].content = ANSWERED;
		m->page[i].seed = (uintptr_t)p;
		return rig_is_page(p) && watch_rig_messages() == messages + 1;
	case ZEROES:
		so = is_zero(p);
		break;
	case WORDS:
		so = has_words(p, m->page[i].seed);
		break;
	case ANSWERED:
		so = *(const volatile uint64_t *)p == m->page[i].seed;
		break;
	}
	return so && watch_rig_messages() == messages;
}

static bool is_all_so(struct model *m)
{
	for (unsigned i = 0; i < PAGES; i++)
		if (m->page[i].content != MISSING && !is_so(m, i))
			return false;
	return true;
}

static unsigned missing_run(const struct model *m, unsigned first, unsigned n)
{
	unsigned i = 0;

	while (i < n && m->page[first + i].content == MISSING)
		i++;
	return i;
}

static void fill(struct model *m, unsigned first, unsigned n)
{
	unsigned run = missing_run(m, first, n);
	uint64_t seed = m->random;
	bool zero = any(m, 4) == 0;
	long ret;

	ret = zero ? rig_zero(m->p + first * PAGE, n * PAGE)
		   : rig_copy(m->p + first * PAGE, words(n, seed), n * PAGE, 0);
	assert_int_equal(ret, run ? (long)(run * PAGE) : -EEXIST);
	set(m, first, run, zero ? ZEROES : WORDS, seed);
}

static void store(struct model *m, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		if (m->watched && m->page[i].content == MISSING)
			continue;
		memcpy(m->p + i * PAGE, words(1, m->random), PAGE);
		set(m, i, 1, WORDS, m->random);
	}
}

static void move_all(struct model *m)
{
	char *to = rig_map(PAGES * PAGE);
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;

	assert_ptr_equal(rig_mremap(m->p, PAGES * PAGE, PAGES * PAGE, flags, to), to);
	m->p = to;
	m->watched = false;
}

static void move_pages(struct model *m, unsigned first, unsigned n)
{
	char *from = rig_map(n * PAGE);
	unsigned run = missing_run(m, first, n);

	memcpy(from, words(n, m->random), n * PAGE);
	assert_int_equal(rig_move_pages(m->p + first * PAGE, from, n * PAGE, false),
			 run ? (long)(run * PAGE) : -EEXIST);
	set(m, first, run, WORDS, m->random);
	munmap(from, n * PAGE);
}

/* The child has what is there, and neither sees what the other writes. */
static void fork_it(struct model *m)
{
	int status;
	pid_t child;

	memory_fork_prepare();
	child = fork();
	if (child == 0) {
		memory_fork_child();
		m->watched = false;
		for (unsigned i = 0; i < PAGES; i++)
			if (!is_so(m, i))
				_exit(1);
		memset(m->p, 0xee, PAGES * PAGE);
		/* Its own watched memory, that the parent hears nothing of. */
		rig_madvise(m->p, PAGES * PAGE, MADV_DONTNEED);
		if (rig_watch(m->p, PAGES * PAGE, WATCH_MISSING) < 0 ||
		    rig_copy(m->p, words(4, 77), 4 * PAGE, 0) != 4 * PAGE ||
		    memcmp(m->p, words(4, 77), 4 * PAGE))
			_exit(2);
		_exit(0);
	}
	memory_fork_parent();
	store(m, 0, 2);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void start_over(struct model *m)
{
	if (m->p)
		rig_munmap(m->p, PAGES * PAGE);
	m->p = rig_map(PAGES * PAGE);
	m->watched = false;
	set(m, 0, PAGES, MISSING, 0);
}

static void step(struct model *m)
{
	unsigned first = any(m, PAGES), n = 1 + any(m, 12), what = any(m, 32);

	n = n < PAGES - first ? n : PAGES - first;
	if (what < 8 && m->watched)
		fill(m, first, n);
	else if (what < 12)
		store(m, first, n);
	else if (what < 18)
		assert_true(is_so(m, first));
	else if (what < 22) {
		assert_int_equal(rig_madvise(m->p + first * PAGE, n * PAGE, MADV_DONTNEED), 0);
		set(m, first, n, MISSING, 0);
	} else if (what < 24 && m->watched)
		move_pages(m, first, n);
	else if (what == 24)
		rig_madvise(m->p + first * PAGE, n * PAGE, MADV_UNMERGEABLE + any(m, 2));
	else if (what == 25 && m->watched) {
		rig_unwatch(m->p, PAGES * PAGE);
		m->watched = false;
	} else if (what < 28 && !m->watched) {
		/* A page of zeroes that nobody has touched since may count as missing again. */
		for (unsigned i = 0; i < PAGES; i++)
			if (m->page[i].content == ZEROES)
				store(m, i, 1);
		assert_int_equal(rig_watch(m->p, PAGES * PAGE, WATCH_MISSING), 0);
		m->watched = true;
	} else if (what == 29)
		start_over(m);
	else if (what == 30 && any(m, 4) == 0)
		move_all(m);
	else if (what == 31 && any(m, 4) == 0)
		fork_it(m);
}

static void test_model(void **state)
{
	size_t before = pages_of_file();
	struct model m = {.random = 1};

	for (unsigned round = 0; round < 60; round++) {
		start_over(&m);
		assert_int_equal(rig_watch(m.p, PAGES * PAGE, WATCH_MISSING), 0);
		m.watched = true;
		for (unsigned i = 0; i < 60; i++)
			step(&m);
		assert_true(is_all_so(&m));
	}
	rig_munmap(m.p, PAGES * PAGE);
	assert_int_equal(pages_of_file(), before);
}

/* ---- threads ---- */

#define THREADS 3u
#define SHARED  256u

static char *shared;
static _Atomic bool over;
static _Atomic unsigned wrong;

/* Each has words of its own, at the start of pages that are a thread's. */
static void *keep_writing(void *argument)
{
	unsigned mine = (unsigned)(uintptr_t)argument;
	uint64_t values[SHARED] = {0};

	for (uint64_t n = 1; !atomic_load(&over); n++) {
		unsigned page = (unsigned)(n * 37 % SHARED / THREADS * THREADS + mine) % SHARED;
		volatile uint64_t *word = (uint64_t *)(shared + page * PAGE + 8 + mine * 8);

		if (values[page] && *word != values[page])
			atomic_fetch_add(&wrong, 1);
		values[page] = n;
		*word = n;
	}
	return NULL;
}

/* Nothing is lost of what is written while the memory becomes plain. */
static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	uint64_t signals;

	atomic_store(&wrong, 0);
	for (unsigned round = 0; round < 20; round++) {
		shared = backed(SHARED * PAGE);
		atomic_store(&over, false);
		for (uintptr_t i = 0; i < THREADS; i++)
			pthread_create(&threads[i], NULL, keep_writing, (void *)i);
		while (watch_rig_messages() < (round + 1) * SHARED / 2)
			usleep(100);
		for (unsigned i = 0; i < 4; i++) {
			uintptr_t start = (uintptr_t)shared + i * (SHARED / 4) * PAGE;

			memory_lock(&signals);
			assert_int_equal(backed_take_out(start, start + SHARED / 4 * PAGE), 0);
			memory_unlock(&signals);
			usleep(200);
		}
		atomic_store(&over, true);
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		rig_munmap(shared, SHARED * PAGE);
	}
	assert_int_equal(atomic_load(&wrong), 0);
}

#define TESTS(X)                        \
	X(test_pages_are_given_back)    \
	X(test_unmapped_without_a_word) \
	X(test_source_that_ends)        \
	X(test_large_copies)            \
	X(test_pages_in_order)          \
	X(test_not_backed)              \
	X(test_plain_memory)            \
	X(test_advice)                  \
	X(test_limit_of_file_size)      \
	X(test_threads)                 \
	X(test_stack)                   \
	X(test_model)

TESTS(STARTED)

#define GUARDED(function) {#function, started_##function, rig_with_guards, NULL, NULL},

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(GUARDED){"test_model_protected", started_test_model, rig_with_protection,
			       NULL, NULL},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
