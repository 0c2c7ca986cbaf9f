/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The areas, a sorted array, and their file.
 *
 * The file is as large as the address space and costs what is in it.  Contents of mappings
 * that went without a word stay until something else happens at their addresses.
 */
#include "memory/backed.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/advice.h"
#include "memory/backed_private.h"
#include "memory/move.h"
#include "memory/own.h"
#include "memory/radix.h"
#include "uapi/mm.h"

static struct backed_area *areas;
static size_t n_areas, capacity;

static int file = -EBADF; /* -EBADF: not made yet; else negative: there can't be one */
static dev_t device;
static uint64_t inode;

/* ---- the areas ---- */

/* The number of the first area that ends above `address`. */
static size_t first_above(uintptr_t address)
{
	size_t low = 0, high = n_areas;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (areas[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const struct backed_area *backed_find(uintptr_t address)
{
	size_t i = first_above(address);

	return i < n_areas ? &areas[i] : NULL;
}

bool backed_any(void)
{
	return atomic_load_explicit(&memory_attention, memory_order_relaxed) & MEMORY_BACKED;
}

bool backed_in(uintptr_t start, uintptr_t end)
{
	const struct backed_area *a = n_areas ? backed_find(start) : NULL;

	return a && a->start < end;
}

static bool room(size_t n)
{
	size_t size = capacity ? capacity : MEMORY_PAGE / sizeof(*areas);
	struct backed_area *larger;

	while (size < n_areas + n)
		size *= 2;
	if (size == capacity)
		return true;
	larger = own_alloc(size * sizeof(*areas));
	if (!larger)
		return false;
	if (areas)
		memcpy(larger, areas, n_areas * sizeof(*areas));
	own_free(areas, capacity * sizeof(*areas));
	areas = larger;
	capacity = size;
	return true;
}

static void insert_at(size_t i, const struct backed_area *area)
{
	memmove(&areas[i + 1], &areas[i], (n_areas - i) * sizeof(*areas));
	areas[i] = *area;
	n_areas++;
	memory_attend(MEMORY_BACKED, true);
}

static void remove_at(size_t i)
{
	n_areas--;
	memmove(&areas[i], &areas[i + 1], (n_areas - i) * sizeof(*areas));
	memory_attend(MEMORY_BACKED, n_areas);
}

static void join_with_next(size_t i)
{
	if (i + 1 >= n_areas || areas[i].end != areas[i + 1].start ||
	    areas[i].advice != areas[i + 1].advice)
		return;
	areas[i].end = areas[i + 1].end;
	remove_at(i + 1);
}

/* There is room, and no area where it is put. */
static void insert(const struct backed_area *area)
{
	size_t i = first_above(area->start);

	insert_at(i, area);
	join_with_next(i);
	if (i)
		join_with_next(i - 1);
}

void backed_remove(uintptr_t start, uintptr_t end)
{
	size_t i = first_above(start);

	while (i < n_areas && areas[i].start < end) {
		struct backed_area rest = areas[i];

		if (rest.start >= start && rest.end <= end) {
			remove_at(i);
			continue;
		}
		if (rest.start < start)
			areas[i].end = start;
		else
			areas[i].start = end;
		i++;
		if (rest.start >= start || rest.end <= end)
			continue;
		/* In its middle.  What there is no room for is not looked after any more. */
		rest.start = end;
		if (room(1))
			insert_at(i, &rest);
		return;
	}
}

/* Makes `address` a border, if it is inside an area.  There is room. */
static void cut(uintptr_t address)
{
	size_t i = first_above(address);
	struct backed_area before;

	if (i == n_areas || areas[i].start >= address)
		return;
	before = areas[i];
	before.end = address;
	areas[i].start = address;
	insert_at(i, &before);
}

bool backed_advise(uintptr_t start, uintptr_t end, int madvise)
{
	unsigned advice = 0;
	size_t i;

	if (!advice_change(&advice, madvise) || !room(2))
		return false;
	cut(start);
	cut(end);
	for (i = first_above(start); i < n_areas && areas[i].start < end; i++)
		advice_change(&areas[i].advice, madvise);
	for (; i; i--)
		join_with_next(i - 1);
	return true;
}

/* ---- the file ---- */

bool backed_is_file(dev_t of_device, uint64_t of_inode)
{
	return file >= 0 && of_inode == inode && of_device == device;
}

/* Whether mappings of it can have markers: from 6.15 on. */
static bool takes_markers(void)
{
	void *p = host_mmap(NULL, MEMORY_PAGE, PROT_NONE, MAP_SHARED, file, 0);
	bool takes;

	if (host_is_error(p))
		return false;
	takes = host_syscall(SYS_madvise, p, MEMORY_PAGE, MADV_GUARD_INSTALL) == 0;
	host_munmap(p, MEMORY_PAGE);
	return takes;
}

static void make_file(void)
{
	struct stat st;

	file = hostfd_adopt((int)host_syscall(SYS_memfd_create, "standin:backing", MFD_CLOEXEC));
	if (file < 0)
		return;
	if (host_syscall(SYS_ftruncate, file, MEMORY_LIMIT) == 0 && host_fstat(file, &st) == 0 &&
	    takes_markers()) {
		device = st.st_dev;
		inode = st.st_ino;
		return;
	}
	hostfd_close(file);
	file = -ENOSYS;
}

/* The limit for the size of files holds for the memfd as well. */
static bool is_unlimited(void)
{
	struct rlimit limit;

	return host_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) == 0 &&
	       limit.rlim_cur == RLIM_INFINITY;
}

bool backed_map(uintptr_t start, uintptr_t end)
{
	void *p = host_mmap((void *)start, end - start, PROT_NONE,
			    MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file, (off_t)start);

	return !host_is_error(p);
}

bool backed_make(uintptr_t start, uintptr_t end, unsigned advice)
{
	struct backed_area new = {.start = start, .end = end, .advice = advice};

	if (!memory_traps_markers() || !is_unlimited() || memory_vma_mem() < 0 || !room(2))
		return false;
	if (file == -EBADF)
		make_file();
	if (file < 0)
		return false;
	backed_forget(start, end);
	if (!backed_map(start, end))
		return false;
	advice_apply(start, end, advice);
	insert(&new);
	return true;
}

/* ---- contents ---- */

/* Signals are blocked, so it waits to be delivered. */
static void take_size_signal(void)
{
	const uint64_t set = UINT64_C(1) << (SIGXFSZ - 1);
	const struct timespec now = {0};

	host_syscall(SYS_rt_sigtimedwait, &set, NULL, &now, sizeof(set));
}

static void punch(uintptr_t start, uintptr_t end)
{
	host_syscall(SYS_fallocate, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start,
		     end - start);
}

long backed_write(uintptr_t to, const char *from, size_t size)
{
	long n = host_pwrite(file, from, size, (off_t)to), rest;

	if (n == -EFBIG)
		take_size_signal();
	if (n < 0)
		return n == -ENOSPC ? -ENOMEM : n;
	rest = n % (long)MEMORY_PAGE;
	n -= rest;
	if (rest)
		punch(to + (uintptr_t)n, to + (uintptr_t)n + MEMORY_PAGE);
	return n ? n : -EFAULT;
}

int backed_read(uintptr_t from, char *to, size_t size)
{
	return host_pread(file, to, size, (off_t)from) == (ssize_t)size ? 0 : -EIO;
}

static uintptr_t seek(uintptr_t at, uintptr_t end, int whence)
{
	long to = host_syscall(SYS_lseek, file, at, whence);

	return to < 0 || (uintptr_t)to > end ? end : (uintptr_t)to;
}

uintptr_t backed_next(uintptr_t at, uintptr_t end, bool there, uintptr_t *ret_end)
{
	at = seek(at, end, there ? SEEK_DATA : SEEK_HOLE);
	*ret_end = at < end ? seek(at, end, there ? SEEK_HOLE : SEEK_DATA) : end;
	return at;
}

bool backed_has(struct backed_run *run, uintptr_t at)
{
	uintptr_t to;

	if (at >= run->start && at < run->end)
		return run->there;
	run->start = at;
	run->there = backed_next(at, MEMORY_LIMIT, true, &to) == at;
	run->end = run->there ? to : seek(at, MEMORY_LIMIT, SEEK_DATA);
	return run->there;
}

void backed_empty(uintptr_t start, uintptr_t end)
{
	for (size_t i = first_above(start); i < n_areas && areas[i].start < end; i++)
		punch(areas[i].start > start ? areas[i].start : start,
		      areas[i].end < end ? areas[i].end : end);
}

void backed_forget(uintptr_t start, uintptr_t end)
{
	backed_empty(start, end);
	backed_remove(start, end);
}

const void *backed_window(uintptr_t start, uintptr_t end)
{
	return host_mmap(NULL, end - start, PROT_READ, MAP_SHARED, file, (off_t)start);
}

void backed_forked(void)
{
	hostfd_close(file);
	file = -EBADF;
	n_areas = 0;
	memory_attend(MEMORY_BACKED, false);
}
