/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What comes is put on offer, and then its copies are made: that uses the file's pages, and
 * waits until they have been given.  What is in the file's cache may be dropped by the kernel at
 * any time afterwards, and is now and then, so that it doesn't stay there twice; but not before
 * whoever waited for it has a copy (server_settle()).
 *
 * The mapping is made elsewhere, with what was there before in it, and is moved to its place in one
 * step; so is the plain memory that takes its place.
 */
#include "memory/served.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/user.h"
#include "memory/advice.h"
#include "memory/fuse.h"
#include "memory/move.h"
#include "memory/own.h"
#include "memory/range.h"
#include "memory/server.h"
#include "uapi/mm.h"

#define OUT_CHUNK ((uintptr_t)2 << 20) /* bytes that are out of reach together */
/* Of a mapping's advices, those that a private mapping of a file has in the same way. */
#define KEPT   (ADVICE_DONTFORK | ADVICE_DONTDUMP | ADVICE_MERGEABLE)
#define CACHED ((size_t)64 << 20) /* bytes in the file's cache, about, until it is dropped */

static char *staging(void)
{
	static char *place;

	if (!place)
		place = own_alloc(SERVED_CHUNK);
	return place;
}

bool served_is_there(uintptr_t at)
{
	struct memory_vma v;

	return memory_mapping(at, &v) && server_is_file(v.device, v.inode);
}

/* ---- the file's cache ---- */

/* Pages that nobody has mapped; `size` 0: to the end. */
static void drop_unmapped(uintptr_t start, size_t size)
{
	server_settle(start, size ? start + size : MEMORY_LIMIT);
	host_syscall(SYS_fadvise64, server_file(), start, size, POSIX_FADV_DONTNEED);
}

static void note_cached(size_t size)
{
	static size_t cached;

	cached += size;
	if (cached < CACHED)
		return;
	cached = 0;
	drop_unmapped(0, 0);
}

/*
 * All pages, whoever has them mapped.  Nobody may be waiting there for one, but for what is on
 * offer: the call waits for them.  Who gets it and loses it at once asks again before the offer
 * ends.
 */
static void punch(uintptr_t start, uintptr_t end)
{
	if (server_file() < 0)
		return;
	server_settle(start, end);
	server_offer(start, end, NULL);
	host_syscall(SYS_fallocate, server_file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		     start, end - start);
	server_settle(start, end);
	server_offer_end();
}

void served_drop(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	uint64_t mark;

	for (uintptr_t to; start < end; start = to) {
		to = watch_marks_run(start, end, MEMORY_PAGE, &mark);
		if (!watch_is_missing(r, mark))
			punch(start, to);
	}
}

/* What somebody used between served_drop() and now. */
static void drop_late(uintptr_t start, uintptr_t end)
{
	static unsigned char in[512];
	size_t n;

	for (; start < end; start += n * MEMORY_PAGE) {
		n = (end - start) / MEMORY_PAGE;
		n = n < sizeof(in) ? n : sizeof(in);
		if (host_syscall(SYS_mincore, start, n * MEMORY_PAGE, in) == 0 && memchr(in, 1, n))
			drop_unmapped(start, n * MEMORY_PAGE);
	}
}

void served_empty(uintptr_t start, uintptr_t end)
{
	server_settle(start, end);
	range_advise(start, end, MADV_GUARD_REMOVE); /* what was poisoned */
	range_empty(start, end);
	drop_late(start, end);
}

/* ---- contents ---- */

/* What is on offer, all of it, comes into the file's cache by few requests. */
static void read_offer(uintptr_t start, uintptr_t end)
{
	for (size_t size; end - start > MEMORY_PAGE; start += size) {
		size = end - start < FUSE_READ_MAX ? end - start : FUSE_READ_MAX;
		host_syscall(SYS_fadvise64, server_file(), start, size, POSIX_FADV_WILLNEED);
	}
}

/* At `place`, copies of the process's own of what is on offer, which is `content`.  0 or -errno. */
static int populate(uintptr_t place, size_t size, const char *content, bool writable)
{
	int ret = writable ? range_advise(place, place + size, MADV_POPULATE_WRITE) : -EINVAL;

	/* What can't be written to, and kernels before 5.14. */
	if (ret == -EINVAL)
		ret = host_pwrite(memory_vma_mem(), content, size, (off_t)place) == (ssize_t)size
			      ? 0
			      : -ENOMEM;
	return ret;
}

long served_copy(const struct watch_range *r, uintptr_t to, const char *from, size_t size)
{
	char *content = staging();
	bool writable = true;
	uint64_t mark;
	int ret;

	if (!content || !served_is_there(to))
		return -ENOMEM;
	while (copy_guarded(content, from, size) < 0) {
		if (size == MEMORY_PAGE)
			return -EFAULT;
		size = size / 2 & ~(MEMORY_PAGE - 1);
	}
	for (uintptr_t at = to, next; at < to + size; at = next) {
		next = watch_marks_run(at, to + size, MEMORY_PAGE, &mark);
		writable &= watch_effective(r, mark) >> 1 & 1;
	}
	server_offer(to, to + size, content);
	read_offer(to, to + size);
	ret = populate(to, size, content, writable);
	server_offer_end();
	note_cached(size);
	return ret < 0 ? -ENOMEM : (long)size;
}

/* ---- in ---- */

/* What is at [start, end) goes to `place`, where the file is mapped that is to be there.  0 or
 * -errno. */
static int bring(uintptr_t start, uintptr_t end, uintptr_t place)
{
	char *content = staging();
	int ret = 0;

	for (uintptr_t to; start < end && ret == 0; place += to - start, start = to) {
		size_t size = end - start < SERVED_CHUNK ? end - start : SERVED_CHUNK;

		to = start + size;
		if (host_pread(memory_vma_mem(), content, size, (off_t)start) != (ssize_t)size)
			return -EFAULT;
		server_offer(start, to, content);
		read_offer(start, to);
		ret = populate(place, size, content, true);
		server_offer_end();
		note_cached(size);
	}
	return ret;
}

static int bring_all(const struct watch_range *r, uintptr_t place)
{
	uintptr_t at = r->start, to;
	int ret = 0;

	while (ret == 0 && (at = memory_populated(at, r->end, true, &to)) < r->end) {
		ret = watch_marks_change(at, to, MEMORY_PAGE, 0, MARK_PRESENT);
		if (ret == 0)
			ret = bring(at, to, place + (at - r->start));
		at = to;
	}
	return ret;
}

static bool move_in(const struct watch_range *r, char *place)
{
	size_t size = r->end - r->start;

	advice_apply((uintptr_t)place, (uintptr_t)place + size, r->advice & KEPT);
	/* Nothing is read ahead. */
	host_syscall(SYS_madvise, place, size, MADV_RANDOM);
	host_syscall(SYS_madvise, place, size, MADV_NOHUGEPAGE);
	if (bring_all(r, (uintptr_t)place) < 0 || host_mprotect(place, size, r->protection) < 0)
		return false;
	atomic_fetch_add(&memory_moves, 1);
	return host_syscall(SYS_mremap, place, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			    r->start) == (long)r->start;
}

bool served_may_be(struct watch_range *r)
{
	struct memory_vma v;
	uint64_t mark;
	int advice;

	if (server_file() < 0 || r->kind != MEMORY_ANON || r->shared || r->backed || !staging() ||
	    !memory_mapping(r->start, &v) || v.end < r->end)
		return false;
	/* What is poisoned stays what it is. */
	if (watch_marks_kept() && watch_marks_next(r->start, r->end, &mark) < r->end)
		return false;
	advice = advice_of(&v);
	r->advice = advice < 0 ? 0 : (unsigned)advice;
	return advice >= 0;
}

bool served_make(struct watch_range *r)
{
	size_t size = r->end - r->start;
	char *place;

	/* What the file still has from a mapping that was here before. */
	punch(r->start, r->end);
	place = host_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
			  server_file(), (off_t)r->start);
	if (host_is_error(place))
		return false;
	r->served = move_in(r, place);
	if (r->served)
		return true;
	host_munmap(place, size);
	watch_marks_change(r->start, r->end, MEMORY_PAGE, MARK_PRESENT, 0);
	return false;
}

/* ---- out ---- */

/* Of pages that are there.  A page of zeroes, which only the file has, may have gone meanwhile: it
 * can't be read then, as it would be this thread that waits for it. */
static int fetch_run(uintptr_t start, uintptr_t end, char *place)
{
	uint8_t state;

	if (host_pread(memory_vma_mem(), place, end - start, (off_t)start) ==
	    (ssize_t)(end - start))
		return 0;
	for (; start < end; start += MEMORY_PAGE, place += MEMORY_PAGE)
		if (host_pread(memory_vma_mem(), place, MEMORY_PAGE, (off_t)start) < 0 &&
		    (memory_states(start, start + MEMORY_PAGE, &state) < 0 ||
		     state & (MEMORY_PRESENT | MEMORY_SWAPPED)))
			return -ENOMEM;
	return 0;
}

/* The contents of [start, end), of which what is not in the page table is zeroes or missing. */
static int fetch(uintptr_t start, uintptr_t end, char *place)
{
	uintptr_t at = start, to;
	uint64_t mark;
	int ret = 0;

	while (ret == 0 && (at = memory_populated(at, end, true, &to)) < end) {
		if (watch_marks_kept())
			to = watch_marks_run(at, to, MEMORY_PAGE, &mark);
		if (!watch_marks_kept() || !(mark & (MARK_POISON | MARK_GUARD)))
			ret = fetch_run(at, to, place + (at - start));
		at = to;
	}
	return ret;
}

static void trap(const struct watch_range *r, uintptr_t start, uintptr_t end, char *place)
{
	uint64_t mark;

	for (uintptr_t at = start, to; at < end; at = to) {
		to = watch_marks_run(at, end, MEMORY_PAGE, &mark);
		if (watch_is_guarded(r, mark) || mark & MARK_GUARD)
			host_syscall(SYS_madvise, place + (at - start), to - at,
				     MADV_GUARD_INSTALL);
	}
}

static int convert_chunk(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	size_t size = end - start;
	int flags =
		MAP_PRIVATE | MAP_ANONYMOUS | (r->advice & ADVICE_NORESERVE ? MAP_NORESERVE : 0);
	char *place = host_mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
	int ret;

	if (host_is_error(place))
		return -ENOMEM;
	ret = watch_freeze(start, end);
	if (ret == 0)
		ret = fetch(start, end, place);
	if (ret == 0) {
		advice_apply((uintptr_t)place, (uintptr_t)place + size, r->advice);
		trap(r, start, end, place);
		ret = host_mprotect(place, size, PROT_NONE);
	}
	if (ret == 0 && host_syscall(SYS_mremap, place, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
				     start) == (long)start)
		return 0;
	host_munmap(place, size);
	return -ENOMEM;
}

uintptr_t served_convert(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	server_settle(start, end);
	for (uintptr_t to; start < end; start = to) {
		to = end - start < OUT_CHUNK ? end : start + OUT_CHUNK;
		if (convert_chunk(r, start, to) < 0)
			break;
	}
	return start;
}

/* A part of a range. */
static int take_out(const struct watch_range *was)
{
	struct watch_range plain = *was;

	if (watch_room(2) < 0)
		return -ENOMEM;
	plain.served = false;
	/* Nobody tells when libc has unmapped it inside itself. */
	if (!served_is_there(was->start)) {
		watch_insert(&plain);
		return 0;
	}
	plain.by_protection = !memory_traps_markers();
	plain.end = served_convert(&plain, was->start, was->end);
	if (plain.start < plain.end) {
		watch_insert(&plain);
		watch_apply(&plain, plain.start, plain.end);
	}
	if (plain.end == was->end)
		return 0;
	watch_apply(was, plain.end, was->end);
	return -ENOMEM;
}

int served_take_out(uintptr_t start, uintptr_t end)
{
	const struct watch_range *r;
	int ret = 0;

	while (ret == 0 && start < end && (r = watch_find(start)) && r->start < end) {
		struct watch_range part = watch_part_of(r, r->start > start ? r->start : start,
							r->end < end ? r->end : end);

		if (part.served)
			ret = take_out(&part);
		start = part.end;
	}
	server_look();
	return ret;
}
