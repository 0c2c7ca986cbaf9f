/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Backed memory becomes plain anonymous memory.
 *
 * A part that is alike is replaced in one step by anonymous memory that nobody can access; then
 * its contents, which only the file has now, are written there through /proc/self/mem, and what
 * has been written is given back to the file system, so that there are never two copies of much. If
 * memory runs out on the way the file is mapped over the rest again.
 *
 * What the calling thread itself stands on can't be out of reach: its copy is made elsewhere, and
 * moved to its place in one step.
 */
#include <linux/futex.h>
#include <sys/prctl.h>

#include "memory/advice.h"
#include "memory/backed_private.h"
#include "memory/lock.h"
#include "memory/move.h"
#include "memory/range.h"
#include "memory/watch_private.h"

#define CHUNK ((uintptr_t)16 << 20) /* bytes that there are two of */

/* What is replaced in one step. */
struct part {
	uintptr_t start, end;
	int protection; /* the kernel's */
	unsigned advice;
	bool guarded;   /* by markers, all of it; where it is watched marks tell */
	bool underfoot; /* the calling thread stands on it */
	bool watched;
	struct watch_range range; /* of this part, if it is watched */
};

/* ---- contents ---- */

/* Of [start, end), which is no more than a chunk.  0 or -ENOMEM. */
static int copy_chunk(uintptr_t start, uintptr_t end)
{
	const char *window = backed_window(start, end);
	uintptr_t at = start, to;
	int ret = 0;

	if (host_is_error(window))
		return -ENOMEM;
	while (ret == 0 && (at = backed_next(at, end, true, &to)) < end) {
		if (host_pwrite(memory_vma_mem(), window + (at - start), to - at, (off_t)at) !=
		    (ssize_t)(to - at))
			ret = -ENOMEM;
		at = to;
	}
	host_munmap((void *)window, end - start);
	return ret;
}

/* The address up to which all is where it belongs now. */
static uintptr_t copy_contents(uintptr_t start, uintptr_t end)
{
	uintptr_t at, to, data_end;

	while ((at = backed_next(start, end, true, &data_end)) < end) {
		to = end - at < CHUNK ? end : at + CHUNK;
		if (copy_chunk(at, to) < 0)
			return at;
		backed_empty(at, to);
		start = to;
	}
	return end;
}

/* ---- markers and protections ---- */

static void restore_guards(const struct part *p)
{
	uintptr_t at = p->start, to;
	uint64_t mark;

	if (!p->watched) {
		if (p->guarded)
			range_advise(p->start, p->end, MADV_GUARD_INSTALL);
		return;
	}
	for (; at < p->end; at = to) {
		to = watch_marks_run(at, p->end, MEMORY_PAGE, &mark);
		if (watch_is_guarded(&p->range, mark) || mark & MARK_GUARD)
			range_advise(at, to, MADV_GUARD_INSTALL);
	}
}

static void restore(const struct part *p)
{
	restore_guards(p);
	if (p->watched)
		watch_apply(&p->range, p->start, p->end);
	else
		range_protect(p->start, p->end, p->protection);
}

static struct part part_of(const struct part *p, uintptr_t start, uintptr_t end)
{
	struct part part = *p;

	part.start = start;
	part.end = end;
	if (p->watched)
		part.range = watch_part_of(&p->range, start, end);
	return part;
}

/* ---- all ---- */

/* The part of a mapping that begins at `start`. */
static struct part first_part(const struct memory_vma *v, uintptr_t start, uintptr_t end)
{
	const struct backed_area *a = backed_find(start);
	const struct watch_range *r = watch_find(start);
	struct part p = {.start = start, .end = end, .protection = v->protection};
	uintptr_t from, to;

	if (memory_underfoot(start, end, &from, &to)) {
		p.underfoot = from == start;
		end = p.end = p.underfoot ? to : from;
	}
	if (a && a->start <= start) {
		p.advice = a->advice;
		end = p.end = a->end < end ? a->end : end;
	}

	if (r && r->start <= start) {
		p.watched = true;
		p.end = r->end < end ? r->end : end;
		p.range = watch_part_of(r, p.start, p.end);
		return p;
	}
	if (r && r->start < end)
		p.end = r->start;
	p.guarded = memory_categories(start, p.end, &p.end) & PAGE_IS_GUARD;
	return p;
}

static void settle(const struct part *p)
{
	backed_remove(p->start, p->end);
	if (p->watched) {
		struct watch_range plain = p->range;

		plain.backed = false;
		watch_insert(&plain);
	}
}

static bool map_plain(const struct part *p)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
			  (p->advice & ADVICE_NORESERVE ? MAP_NORESERVE : 0);

	return !host_is_error(
		host_mmap((void *)p->start, p->end - p->start, PROT_NONE, flags, -1, 0));
}

/*
 * Copies `size` bytes of the stack that this runs on, and puts the copy in its place.  Between the
 * two calls nothing is stored there that is of use after the second one.
 */
static __attribute__((noinline)) long replace(int file, uintptr_t copy, uintptr_t place,
					      size_t size)
{
	host_syscall(SYS_pread64, file, copy, size, place);
	return host_syscall(SYS_mremap, copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place);
}

/*
 * Who waits for the calling thread's end does so in a futex of the page of the file: he is to wait
 * again, in that of the page that is there now.
 */
static void wake_joiner(const struct part *p)
{
	uintptr_t word = 0;
	const char *window;

	if (host_syscall(SYS_prctl, PR_GET_TID_ADDRESS, &word) < 0 || word < p->start ||
	    word >= p->end)
		return;
	window = backed_window(p->start, p->end);
	if (host_is_error(window))
		return;
	host_syscall(SYS_futex, window + (word - p->start), FUTEX_WAKE, INT32_MAX);
	host_munmap((void *)window, p->end - p->start);
}

static int take_out_underfoot(const struct part *p)
{
	size_t size = p->end - p->start;
	void *copy =
		host_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (host_is_error(copy))
		return -ENOMEM;
	/* It can't fail the second time, with all pages of both at hand. */
	ret = backed_read(p->start, copy, size);
	if (ret == 0 &&
	    replace(backed_descriptor(), (uintptr_t)copy, p->start, size) != (long)p->start)
		ret = -ENOMEM;
	if (ret < 0) {
		host_munmap(copy, size);
		return -ENOMEM;
	}
	wake_joiner(p);
	backed_punch(p->start, p->end);
	settle(p);
	advice_apply(p->start, p->end, p->advice);
	restore(p);
	return 0;
}

static int take_out(const struct part *p)
{
	struct part done, rest;
	uintptr_t reached;

	if (p->underfoot)
		return take_out_underfoot(p);
	if (!map_plain(p))
		return -ENOMEM;
	reached = copy_contents(p->start, p->end);
	done = part_of(p, p->start, reached);
	rest = part_of(p, reached, p->end);
	if (rest.start < rest.end) {
		backed_map(rest.start, rest.end);
		advice_apply(rest.start, rest.end, rest.advice);
		restore(&rest);
	}
	if (done.start == done.end)
		return -ENOMEM;
	settle(&done);
	advice_apply(done.start, done.end, done.advice);
	restore(&done);
	return rest.start < rest.end ? -ENOMEM : 0;
}

int backed_take_out(uintptr_t start, uintptr_t end)
{
	struct memory_vma v;
	int ret = 0;

	if (!backed_in(start, end))
		return 0;
	backed_stream_end();
	atomic_fetch_add(&memory_moves, 1);
	while (ret == 0 && start < end && memory_mapping_next(start, &v) && v.start < end) {
		struct part p;

		start = v.start > start ? v.start : start;
		p = first_part(&v, start, v.end < end ? v.end : end);
		if (v.backed)
			ret = watch_room(4) < 0 ? -ENOMEM : take_out(&p);
		start = v.backed ? p.end : v.end;
	}
	atomic_fetch_add(&memory_moves, 1);
	return ret;
}

int backed_take_out_all(void)
{
	const struct backed_area *a;
	uintptr_t at = 0;
	int ret = 0;

	while (ret == 0 && (a = backed_find(at))) {
		at = a->end;
		if (!(a->advice & ADVICE_DONTFORK))
			ret = backed_take_out(a->start, a->end);
	}
	return ret;
}

int backed_take_out_unlocked(uintptr_t start, size_t size)
{
	uint64_t signals;
	uintptr_t end;
	int ret;

	if (!backed_any() || start >= MEMORY_LIMIT)
		return 0;
	end = size < MEMORY_LIMIT - start ? start + size : MEMORY_LIMIT;
	start &= ~(MEMORY_PAGE - 1);
	memory_lock(&signals);
	ret = backed_take_out(start, end > start ? end : start + MEMORY_PAGE);
	memory_unlock(&signals);
	return ret;
}
