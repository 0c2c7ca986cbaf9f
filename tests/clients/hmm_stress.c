// SPDX-License-Identifier: BSD-3-Clause
/*
 * Threads that use memory while devices take it away, and processes that fork meanwhile: an
 * ordinary program, run under `standin run`.
 *
 *	hmm_stress SECONDS small|huge [PART...]
 *
 * Every part checks contents all the time.  Words of a page are written in ascending order and
 * read in descending order, so that whoever reads sees them grow: what is stale or torn
 * shows.  Prints a line per part, with what was done; exits with 1 on the first thing that is
 * wrong.  A hang ends by SIGALRM.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../src/uapi/hmm.h"

#define PAGE    4096UL
#define HUGE    (2UL << 20)
#define SIZE    (64UL << 20)
#define PAGES   (SIZE / PAGE)
#define WORDS   (PAGE / sizeof(uint64_t))
#define THREADS 8u
#define DEVICES 4u
#define RW      (PROT_READ | PROT_WRITE)

typedef _Atomic uint64_t word;

static int devices[DEVICES];
static bool huge;
static word (*memory)[WORDS];
static _Atomic bool stop;
static _Atomic unsigned long done, moved, busy;

static void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1);
}

static unsigned random_below(uint64_t *seed, uint64_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (unsigned)((*seed >> 11) % n);
}

static void *map(size_t size)
{
	char *room = mmap(NULL, size + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = (char *)(((uintptr_t)room + HUGE) & ~(HUGE - 1));

	if (room == MAP_FAILED || mprotect(at, size, RW))
		fail("mmap: %s", strerror(errno));
	madvise(at, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return at;
}

/* 0 or -errno; a device that gave up after a second is no error, but is counted. */
static int call(unsigned device, unsigned long request, const void *address, uint64_t pages,
		void *data)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)address, .ptr = (uintptr_t)data, .npages = pages};

	if (ioctl(devices[device], request, &cmd) == 0)
		return 0;
	if (errno == EBUSY)
		busy++;
	return -errno;
}

/* Some range of the memory moves to or from some device. */
static void migrate(uint64_t *seed, char *base, size_t pages, char *data)
{
	static const unsigned long requests[] = {HMM_DMIRROR_MIGRATE_TO_DEV,
						 HMM_DMIRROR_MIGRATE_TO_DEV,
						 HMM_DMIRROR_MIGRATE_TO_SYS, HMM_DMIRROR_RELEASE};
	unsigned what = random_below(seed, 20), first = 0;
	uint64_t n = pages;
	int ret;

	if (what % 4) {
		n = 1 + random_below(seed, what % 4 == 1 ? 8 : pages);
		first = random_below(seed, pages - n + 1);
	}
	if (what % 4 == 2 && pages >= 512) {
		first &= ~511u;
		n = (n + 511) & ~511u;
	}
	ret = call(random_below(seed, DEVICES), requests[what == 19 ? 3 : what % 3],
		   base + first * PAGE, n, data);
	if (ret && ret != -ENOENT && ret != -EBUSY)
		fail("a migration: %s", strerror(-ret));
	moved += n;
}

static void run(void *(*thread)(void *), unsigned n)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, thread, (void *)i))
			fail("pthread_create");
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static struct timespec began;
static unsigned long seconds;

/* On a machine that is busy with other things, not before something has been done. */
static bool time_is_up(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec - began.tv_sec >= (time_t)seconds && done >= THREADS && moved;
}

/* ---- use: threads read, write and count in pages that move ---- */

/*
 * Page p is written by thread p % THREADS alone.  What its words are, or are about to be, is
 * known to all.  Its last word is a counter of everybody's.
 */
static _Atomic uint64_t settled[PAGES], intended[PAGES];
static _Atomic uint64_t counted;

#define COUNTER (WORDS - 1)
#define OF_DEVICES                                                                     \
	(PAGES / 8) /* the first ones: devices write them too, and nobody counts there \
		     */

static void check_own(unsigned page)
{
	uint64_t value = settled[page];

	for (unsigned i = 0; i < COUNTER; i++) {
		uint64_t seen = atomic_load_explicit(&memory[page][i], memory_order_relaxed);

		if (seen != value)
			fail("page %u, word %u: %llx, not %llx", page, i, (unsigned long long)seen,
			     (unsigned long long)value);
	}
}

static void write_by_device(unsigned page, uint64_t value, uint64_t *data, unsigned device)
{
	int ret;

	for (unsigned i = 0; i < WORDS; i++)
		data[i] = i == COUNTER ? 0 : value;
	do
		ret = call(device, HMM_DMIRROR_WRITE, memory[page], 1, data);
	while (ret == -EBUSY);
	if (ret)
		fail("WRITE: %s", strerror(-ret));
}

static void write_own(unsigned page, uint64_t *seed, uint64_t *data)
{
	uint64_t value = settled[page] + 1;

	intended[page] = value;
	if (page < OF_DEVICES && random_below(seed, 4) == 0)
		write_by_device(page, value, data, random_below(seed, DEVICES));
	else
		for (unsigned i = 0; i < COUNTER; i++)
			atomic_store_explicit(&memory[page][i], value, memory_order_release);
	settled[page] = value;
	check_own(page);
}

static void check_other(unsigned page)
{
	uint64_t least = settled[page], last = 0;

	for (unsigned i = COUNTER; i--;) {
		uint64_t seen = atomic_load_explicit(&memory[page][i], memory_order_acquire);

		if (page < OF_DEVICES)
			last = 0; /* in which order a device writes is its own affair */
		if (seen < least || seen < last || seen > intended[page])
			fail("page %u, word %u of another thread: %llx after %llx, at least %llx",
			     page, i, (unsigned long long)seen, (unsigned long long)last,
			     (unsigned long long)least);
		last = seen;
	}
}

static void check_read(unsigned device, unsigned page, uint64_t *data)
{
	uint64_t least = settled[page];
	int ret = call(device, HMM_DMIRROR_READ, memory[page], 1, data);

	if (ret == -EBUSY)
		return;
	if (ret)
		fail("READ: %s", strerror(-ret));
	for (unsigned i = 0; i < COUNTER; i++)
		if (data[i] < least || data[i] > intended[page])
			fail("page %u, word %u read by device %u: %llx, at least %llx", page, i,
			     device, (unsigned long long)data[i], (unsigned long long)least);
}

static void count(unsigned page)
{
	atomic_fetch_add(&memory[page][COUNTER], 1);
	atomic_fetch_add(&counted, 1);
}

static void *use_thread(void *argument)
{
	unsigned thread = (unsigned)(uintptr_t)argument;
	uint64_t seed = 0x9e3779b97f4a7c15 * (thread + 1), *data = map(PAGE);

	while (!stop) {
		unsigned own = random_below(&seed, PAGES / THREADS) * THREADS + thread;

		check_own(own);
		write_own(own, &seed, data);
		check_other(random_below(&seed, PAGES));
		count(OF_DEVICES + random_below(&seed, PAGES - OF_DEVICES));
		if (random_below(&seed, 8) == 0)
			check_read(random_below(&seed, DEVICES), random_below(&seed, PAGES), data);
		done++;
	}
	return NULL;
}

static void *migrate_thread(void *argument)
{
	uint64_t seed = 0x1234567;
	char *data = map(SIZE);

	(void)argument;
	while (!time_is_up())
		migrate(&seed, (char *)memory, PAGES, data);
	stop = true;
	munmap(data, SIZE);
	return NULL;
}

static void part_use(void)
{
	uint64_t sum = 0;
	pthread_t mover;

	memory = map(SIZE);
	for (unsigned i = 0; i < PAGES; i++)
		settled[i] = intended[i] = 0;
	counted = 0;
	if (pthread_create(&mover, NULL, migrate_thread, NULL))
		fail("pthread_create");
	run(use_thread, THREADS);
	pthread_join(mover, NULL);
	for (unsigned i = 0; i < PAGES; i++) {
		check_own(i);
		sum += memory[i][COUNTER];
	}
	if (sum != counted)
		fail("counted %llu of %llu", (unsigned long long)sum, (unsigned long long)counted);
	munmap(memory, SIZE);
}

/* ---- exclusive: threads count in pages that devices take for themselves ---- */

#define FEW 64u

static void *exclusive_thread(void *argument)
{
	unsigned thread = (unsigned)(uintptr_t)argument;
	uint64_t seed = 0x9e3779b97f4a7c15 * (thread + 1), *data = map(FEW * PAGE);

	while (!stop) {
		unsigned page = random_below(&seed, FEW);
		uint64_t least;
		int ret;

		if (thread >= 2) {
			for (unsigned i = 0; i < 100; i++) {
				atomic_fetch_add(&memory[page][i % 8], 1);
				atomic_fetch_add(&counted, 1);
			}
			done++;
			continue;
		}
		least = memory[page][0];
		ret = call(random_below(&seed, DEVICES), HMM_DMIRROR_EXCLUSIVE, memory[page], 1,
			   data);
		/* A thread was there before its data was read. */
		if (ret && ret != -EBUSY && ret != -ENOENT)
			fail("EXCLUSIVE: %s", strerror(-ret));
		if (ret == 0 && data[0] < least)
			fail("EXCLUSIVE read %llu after %llu", (unsigned long long)data[0],
			     (unsigned long long)least);
		ret = call(random_below(&seed, DEVICES), HMM_DMIRROR_CHECK_EXCLUSIVE, memory[page],
			   1, NULL);
		if (ret && ret != -EPERM)
			fail("CHECK_EXCLUSIVE: %s", strerror(-ret));
		if (random_below(&seed, 4) == 0)
			migrate(&seed, (char *)memory, FEW, (char *)data);
		moved++;
		stop |= time_is_up();
	}
	return NULL;
}

static void part_exclusive(void)
{
	uint64_t sum = 0;

	memory = map(SIZE);
	counted = 0;
	run(exclusive_thread, THREADS);
	for (unsigned i = 0; i < FEW; i++)
		for (unsigned n = 0; n < 8; n++)
			sum += memory[i][n];
	if (sum != counted)
		fail("counted %llu of %llu", (unsigned long long)sum, (unsigned long long)counted);
	munmap(memory, SIZE);
}

/* ---- calls: memory that is unmapped, protected and moved while devices use it ---- */

/*
 * Each of the callers has a room of its own at a fixed place; devices use all of them at any
 * time.  A device writes DEVICE_WORD only, so a word is that, what the caller wrote or, where
 * contents may go, 0.
 */
#define ROOM        128u /* pages */
#define CALLERS     4u
#define DEVICE_WORD UINT64_C(0xd00dd00dd00dd00d)

static void check_room(word (*at)[WORDS], uint64_t value, bool may_be_zero, const char *after)
{
	for (unsigned p = 0; p < ROOM; p++)
		for (unsigned i = 0; i < WORDS; i += 37) {
			uint64_t seen = at[p][i];

			if (seen != value && seen != DEVICE_WORD && !(may_be_zero && !seen))
				fail("page %u, word %u after %s: %llx, not %llx", p, i, after,
				     (unsigned long long)seen, (unsigned long long)value);
		}
}

static void fill_room(word (*at)[WORDS], uint64_t value)
{
	for (unsigned p = 0; p < ROOM; p++)
		for (unsigned i = 0; i < WORDS; i++)
			atomic_store_explicit(&at[p][i], value, memory_order_relaxed);
}

static void must(int ret, const char *what)
{
	if (ret)
		fail("%s: %s", what, strerror(errno));
}

static void map_room(void *at)
{
	if (mmap(at, ROOM * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
		fail("mmap: %s", strerror(errno));
}

static void do_call(char *at, char *other, unsigned what, unsigned page, uint64_t value)
{
	word(*room)[WORDS] = (void *)at;
	const size_t size = ROOM * PAGE;

	switch (what) {
	case 0:
		must(munmap(at + page * PAGE, (ROOM - page) * PAGE), "munmap");
		map_room(at);
		check_room(room, 0, true, "munmap");
		break;
	case 1:
		must(mprotect(at, size, PROT_READ), "mprotect");
		check_room(room, value, false, "mprotect");
		must(mprotect(at, size, RW), "mprotect");
		break;
	case 2:
		must(mprotect(at + page * PAGE, PAGE, PROT_NONE), "mprotect");
		must(mprotect(at, size, RW), "mprotect");
		check_room(room, value, false, "mprotect of a page");
		break;
	case 3:
		if (mremap(at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, other) != other)
			fail("mremap: %s", strerror(errno));
		check_room((void *)other, value, false, "mremap");
		if (mremap(other, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at)
			fail("mremap: %s", strerror(errno));
		check_room(room, value, false, "mremap back");
		break;
	case 4:
		must(madvise(at + page * PAGE, (ROOM - page) * PAGE, MADV_DONTNEED), "madvise");
		check_room(room, value, true, "madvise");
		break;
	case 5:
		map_room(at);
		check_room(room, 0, true, "mmap");
		break;
	default:
		check_room(room, value, false, "nothing");
		break;
	}
}

static void *caller(unsigned thread)
{
	char *at = (char *)memory + 2 * thread * ROOM * PAGE, *other = at + ROOM * PAGE;
	uint64_t seed = 0x9e3779b97f4a7c15 * (thread + 1);

	for (uint64_t value = 1; !stop; value++) {
		fill_room((void *)at, value);
		do_call(at, other, random_below(&seed, 8), random_below(&seed, ROOM), value);
		done++;
	}
	return NULL;
}

static void *calls_thread(void *argument)
{
	static const unsigned long requests[] = {
		HMM_DMIRROR_MIGRATE_TO_DEV, HMM_DMIRROR_MIGRATE_TO_DEV, HMM_DMIRROR_MIGRATE_TO_SYS,
		HMM_DMIRROR_READ,           HMM_DMIRROR_WRITE,          HMM_DMIRROR_SNAPSHOT,
		HMM_DMIRROR_EXCLUSIVE};
	unsigned thread = (unsigned)(uintptr_t)argument;
	uint64_t seed = 0x1234567 * (thread + 1), *data;

	if (thread < CALLERS)
		return caller(thread);
	data = malloc(ROOM * PAGE);
	while (!stop) {
		unsigned long request = requests[random_below(&seed, 7)];
		unsigned first = random_below(&seed, 2 * CALLERS * ROOM);
		uint64_t n = 1 + random_below(&seed, random_below(&seed, 2) ? ROOM : 4);

		if (n > 2 * CALLERS * ROOM - first)
			n = 2 * CALLERS * ROOM - first;
		if (request == HMM_DMIRROR_WRITE)
			for (unsigned i = 0; i < n * WORDS; i++)
				data[i] = DEVICE_WORD;
		if (call(random_below(&seed, DEVICES), request, memory[first], n, data) == 0)
			moved += n;
		stop |= time_is_up();
	}
	free(data);
	return NULL;
}

static void part_calls(void)
{
	memory = map(2 * CALLERS * ROOM * PAGE);
	run(calls_thread, THREADS);
	munmap(memory, 2 * CALLERS * ROOM * PAGE);
}

/* ---- fork: children of a process whose memory is on the move ---- */

#define FORK_PAGES 2048u

static void check_fixed(const char *whose)
{
	for (unsigned p = 0; p < FORK_PAGES; p++)
		for (unsigned i = 0; i < WORDS; i += 101)
			if (memory[p][i] != p * WORDS + i)
				fail("%s: page %u, word %u: %llx", whose, p, i,
				     (unsigned long long)memory[p][i]);
}

static void child(uint64_t seed)
{
	char *data = map(FORK_PAGES * PAGE);

	check_fixed("a child");
	/* Its own memory, on devices that it opens itself. */
	for (unsigned i = 0; i < DEVICES; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/dev/hmm_dmirror%u", i);
		close(devices[i]);
		devices[i] = open(path, O_RDWR);
		if (devices[i] < 0)
			fail("a child: %s: %s", path, strerror(errno));
	}
	for (unsigned i = 0; i < 4; i++)
		migrate(&seed, (char *)memory, FORK_PAGES, data);
	check_fixed("a child that migrated");
	for (unsigned p = 0; p < FORK_PAGES; p += 7)
		memory[p][1] = 0;
	_exit(0);
}

static void reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		fail("a child ended with %x", status);
}

static void *fork_thread(void *argument)
{
	unsigned thread = (unsigned)(uintptr_t)argument;
	uint64_t seed = 0x9e3779b97f4a7c15 * (thread + 1);
	char *data;
	pid_t pid;

	if (thread < 2) {
		while (!stop) {
			pid = fork();
			if (pid < 0)
				fail("fork: %s", strerror(errno));
			if (pid == 0)
				child(seed);
			reap(pid);
			random_below(&seed, 2);
			done++;
			stop |= time_is_up();
		}
	} else if (thread == 2) {
		data = map(FORK_PAGES * PAGE);
		while (!stop)
			migrate(&seed, (char *)memory, FORK_PAGES, data);
		munmap(data, FORK_PAGES * PAGE);
	} else {
		while (!stop)
			check_fixed("the parent");
	}
	return NULL;
}

static void part_fork(void)
{
	memory = map(SIZE);
	for (unsigned p = 0; p < FORK_PAGES; p++)
		for (unsigned i = 0; i < WORDS; i++)
			memory[p][i] = p * WORDS + i;
	run(fork_thread, 4);
	check_fixed("the parent at the end");
	munmap(memory, SIZE);
}

/* ---- heap: malloc()'s memory on a device, and a lock that handlers of forks take ---- */

#define HEAP_PAGES 128u
#define BLOCKS     64u

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(void)
{
	pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
	pthread_mutex_unlock(&mutex);
}

static void use_blocks(uint64_t *seed)
{
	static __thread uint64_t *blocks[BLOCKS];
	unsigned i = random_below(seed, BLOCKS), words = 1 + random_below(seed, 400);
	uint64_t *block = blocks[i];

	if (block && (block[block[0]] != (uintptr_t)block))
		fail("a block holds %llx", (unsigned long long)block[block[0]]);
	free(block);
	block = blocks[i] = malloc((words + 1) * sizeof(*block));
	block[0] = words;
	block[words] = (uintptr_t)block;
}

static void *heap_thread(void *argument)
{
	unsigned thread = (unsigned)(uintptr_t)argument;
	uint64_t seed = 0x9e3779b97f4a7c15 * (thread + 1);
	char *data = map(HEAP_PAGES * PAGE);
	pid_t pid;

	while (!stop) {
		if (thread == 0) {
			pid = fork();
			if (pid < 0)
				fail("fork: %s", strerror(errno));
			if (pid == 0)
				_exit(0);
			reap(pid);
			done++;
			stop |= time_is_up();
		} else if (thread == 1) {
			/* Some of it may not be mapped any more. */
			call(random_below(&seed, DEVICES), HMM_DMIRROR_MIGRATE_TO_DEV,
			     (char *)(((uintptr_t)sbrk(0) & ~(PAGE - 1)) - HEAP_PAGES * PAGE),
			     HEAP_PAGES, data);
			moved += HEAP_PAGES;
		} else if (thread == 2) {
			lock();
			madvise(data, PAGE, MADV_DONTNEED);
			unlock();
		} else {
			use_blocks(&seed);
			done++;
		}
	}
	munmap(data, HEAP_PAGES * PAGE);
	return NULL;
}

static void part_heap(void)
{
	mallopt(M_ARENA_MAX, 1);
	free(malloc(4 * HEAP_PAGES * 256));
	pthread_atfork(lock, unlock, unlock);
	run(heap_thread, THREADS);
}

/* ---- all ---- */

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {{"use", part_use},
	     {"exclusive", part_exclusive},
	     {"calls", part_calls},
	     {"fork", part_fork},
	     {"heap", part_heap}};

#define PARTS (sizeof(parts) / sizeof(parts[0]))

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 3; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc <= 3;
}

static void run_part(const char *name, void (*part)(void))
{
	alarm((unsigned)seconds + 60);
	stop = false;
	done = moved = busy = 0;
	clock_gettime(CLOCK_MONOTONIC, &began);
	part();
	printf("%s: %lu rounds, %lu pages on the move, busy %lu times\n", name, done, moved, busy);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	seconds = strtoul(argv[1], NULL, 0);
	huge = strcmp(argv[2], "huge") == 0;
	for (unsigned i = 0; i < DEVICES; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/dev/hmm_dmirror%u", i);
		devices[i] = open(path, O_RDWR);
		if (devices[i] < 0)
			fail("%s: %s", path, strerror(errno));
	}
	for (unsigned i = 0; i < PARTS; i++)
		if (wanted(parts[i].name, argc, argv))
			run_part(parts[i].name, parts[i].run);
	return 0;
}
