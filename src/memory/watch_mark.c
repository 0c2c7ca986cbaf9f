/* SPDX-License-Identifier: BSD-3-Clause */
/* What is special about single pages: a radix map. */
#include "memory/watch_private.h"

static struct radix marks;
static size_t n_kept;

static bool is_kept(uint64_t mark)
{
	return mark & (MARK_POISON | MARK_GUARD);
}

uint64_t watch_mark(uintptr_t at)
{
	return radix_get(&marks, at);
}

bool watch_marks_kept(void)
{
	return n_kept != 0;
}

bool watch_marks_any(void)
{
	return marks.count != 0;
}

static int set(uintptr_t at, uint64_t before, uint64_t mark)
{
	int ret = radix_set(&marks, at, mark);

	if (ret == 0) {
		n_kept -= is_kept(before);
		n_kept += is_kept(mark);
	}
	return ret;
}

/* Of pages of 4 KiB that have the same mark. */
static int set_run(uintptr_t start, uintptr_t end, uint64_t before, uint64_t mark)
{
	if (is_kept(before))
		n_kept -= (end - start) / MEMORY_PAGE;
	if (is_kept(mark))
		n_kept += (end - start) / MEMORY_PAGE;
	if (mark)
		return radix_fill(&marks, start, end, mark, 0);
	radix_clear(&marks, start, end);
	return 0;
}

int watch_marks_change(uintptr_t start, uintptr_t end, size_t page_size, unsigned remove,
		       unsigned add)
{
	uintptr_t to;
	int ret = 0;

	for (uintptr_t at = start; at < end && ret == 0; at = to) {
		uint64_t before, mark;

		to = watch_marks_run(at, end, page_size, &before);
		mark = (before & ~(uint64_t)remove) | add;
		if (mark == before)
			continue;
		if (page_size == MEMORY_PAGE) {
			ret = watch_marks_reserve(at, mark ? to : at, page_size);
			if (ret == 0)
				ret = set_run(at, to, before, mark);
			continue;
		}
		for (; at < to && ret == 0; at += page_size)
			ret = set(at, before, mark);
	}
	watch_changed();
	return ret;
}

int watch_marks_reserve(uintptr_t start, uintptr_t end, size_t page_size)
{
	int ret = 0;

	if (page_size == MEMORY_PAGE)
		return start < end ? radix_reserve(&marks, start, end) : 0;
	for (; start < end && ret == 0; start += page_size)
		ret = radix_reserve(&marks, start, start + MEMORY_PAGE);
	return ret;
}

uintptr_t watch_marks_next(uintptr_t at, uintptr_t end, uint64_t *ret_mark)
{
	return radix_next(&marks, at, end, ret_mark);
}

uintptr_t watch_marks_run(uintptr_t at, uintptr_t end, size_t page_size, uint64_t *ret_mark)
{
	uint64_t mark = radix_get(&marks, at);

	*ret_mark = mark;
	if (!mark)
		return radix_next(&marks, at, end, NULL);
	if (page_size == MEMORY_PAGE)
		return radix_run(&marks, at, end, mark, 0, UINT64_MAX);
	do
		at += page_size;
	while (at < end && radix_get(&marks, at) == mark);
	return at;
}

void watch_marks_move(uintptr_t from, uintptr_t to, size_t size)
{
	uintptr_t at = from, end = from + size;
	uint64_t mark;

	for (; (at = radix_next(&marks, at, end, &mark)) < end; at += MEMORY_PAGE) {
		set(at, mark, 0);
		set(at - from + to, 0, mark);
	}
	watch_changed();
}
