/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages of private anonymous memory that change their place.  They are copied while both places
 * are out of reach: moved by mremap(2) each would be a mapping of its own from then on.
 * Rules: move_pages_ptes(), move_present_ptes(), move_zeropage_pte().
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/backed.h"
#include "memory/move.h"
#include "memory/range.h"
#include "memory/served.h"
#include "uapi/mm.h"

#define CHUNK 16u /* pages that are out of reach together */

/* What a place outside of ranges is: as a range of which nothing is wanted. */
static bool place_of(uintptr_t at, uintptr_t end, struct watch_range *ret)
{
	const struct watch_range *r = watch_find(at);
	struct memory_vma v;

	if (r && r->start <= at) {
		*ret = watch_part_of(r, at, end < r->end ? end : r->end);
		return true;
	}
	if (!memory_vma_find(at, &v) || v.start > at)
		return false;
	*ret = (struct watch_range){
		.start = at,
		.end = end < v.end ? end : v.end,
		.kind = v.kind,
		.backed = v.backed,
		.page_size = MEMORY_PAGE,
		.protection = v.protection,
	};
	return true;
}

static bool is_there(const struct watch_range *r, uintptr_t at)
{
	uintptr_t to;

	return watch_next(r, at, at + MEMORY_PAGE, true, &to) == at;
}

static void leave(const struct watch_range *from, uintptr_t at)
{
	watch_marks_change(at, at + MEMORY_PAGE, MEMORY_PAGE, ~0u, 0);
	if (watch_traps(from))
		watch_trap(from, at, at + MEMORY_PAGE);
	else
		range_empty(at, at + MEMORY_PAGE);
	if (from->backed)
		backed_empty(at, at + MEMORY_PAGE);
}

/* Whether the page has other contents than zeroes: 1 or 0; -EBUSY: it isn't this process's alone.
 */
static int has_content(const struct watch_range *from, uintptr_t at)
{
	uintptr_t to;
	uint8_t state;
	int ret;

	if (from->backed)
		return backed_next(at, at + MEMORY_PAGE, true, &to) == at;
	ret = memory_states(at, at + MEMORY_PAGE, &state);
	if (ret < 0)
		return ret;
	if (state & MEMORY_PRESENT && !(state & (MEMORY_ZERO | MEMORY_EXCLUSIVE)))
		return -EBUSY;
	return !(state & MEMORY_ZERO);
}

static bool get_content(const struct watch_range *from, uintptr_t at, char *page)
{
	if (from->backed)
		return backed_read(at, page, MEMORY_PAGE) == 0;
	return host_pread(memory_vma_mem(), page, MEMORY_PAGE, (off_t)at) == (ssize_t)MEMORY_PAGE;
}

static bool put_content(const struct watch_range *to, uintptr_t at, const char *page)
{
	long n = to->backed ? backed_write(at, page, MEMORY_PAGE)
			    : host_pwrite(memory_vma_mem(), page, MEMORY_PAGE, (off_t)at);

	return n == (long)MEMORY_PAGE;
}

/* Of a page that has come there. */
static unsigned marks_at(const struct watch_range *to)
{
	return (watch_traps(to) ? MARK_PRESENT : 0) | (to->modes & WATCH_RWP ? MARK_RWP : 0);
}

/* Both are out of reach. */
static int move_page(const struct watch_range *to, uintptr_t to_at, const struct watch_range *from,
		     uintptr_t from_at, bool holes)
{
	static char page[MEMORY_PAGE];
	int content, ret;

	if (is_there(to, to_at) || watch_mark(to_at) & ~(uint64_t)MARK_PROTECTED)
		return -EEXIST;
	if (!is_there(from, from_at))
		return holes ? 0 : -ENOENT;
	if (watch_mark(from_at) & (MARK_POISON | MARK_GUARD))
		return -EFAULT;
	content = has_content(from, from_at);
	if (content < 0)
		return content;
	if (content && !get_content(from, from_at, page))
		return -EFAULT;
	ret = watch_marks_reserve(to_at, to_at + MEMORY_PAGE, MEMORY_PAGE);
	if (ret < 0)
		return ret;
	if (watch_traps(to) && !to->by_protection)
		range_advise(to_at, to_at + MEMORY_PAGE, MADV_GUARD_REMOVE);
	if (content && !put_content(to, to_at, page)) {
		if (watch_traps(to))
			watch_trap(to, to_at, to_at + MEMORY_PAGE);
		return -ENOMEM;
	}
	watch_marks_change(to_at, to_at + MEMORY_PAGE, MEMORY_PAGE, MARK_PROTECTED, marks_at(to));
	leave(from, from_at);
	return 0;
}

static long move_chunk(uintptr_t to, uintptr_t from, size_t size, bool holes)
{
	struct watch_range t, f;
	size_t done = 0;
	int ret = 0;

	if (!place_of(to, to + size, &t) || !place_of(from, from + size, &f))
		return -ENOENT;
	size = t.end - to < size ? t.end - to : size;
	size = f.end - from < size ? f.end - from : size;
	watch_freeze(to, to + size);
	watch_freeze(from, from + size);
	for (; done < size && ret == 0; done += MEMORY_PAGE)
		ret = move_page(&t, to + done, &f, from + done, holes);
	done -= ret ? MEMORY_PAGE : 0;
	watch_apply(&t, to, to + size);
	watch_apply(&f, from, from + size);
	return done ? (long)done : ret;
}

long watch_move(uintptr_t to, uintptr_t from, size_t size, bool holes)
{
	size_t done = 0, left;
	long n = 0;

	memory_back(from, from + size);
	n = served_take_out(from, from + size);
	if (n == 0)
		n = served_take_out(to, to + size);
	if (n < 0)
		return n;
	for (; done < size; done += (size_t)n) {
		left = size - done;
		left = left < CHUNK * MEMORY_PAGE ? left : CHUNK * MEMORY_PAGE;
		n = move_chunk(to + done, from + done, left, holes);
		if (n < 0)
			break;
	}
	return done ? (long)done : n;
}
