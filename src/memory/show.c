/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A page that is away traps by a guard marker, which the kernel shows as swapped and guarded, or
 * by a protection, which it shows as nothing.  Rules: fs/proc/task_mmu.c, pte_to_pagemap_entry().
 */
#include "memory/show.h"

#include "core/user.h"
#include "memory/memory.h"
#include "memory/watch.h"
#include "uapi/mm.h"

#define ENTRY sizeof(uint64_t)

/* What is shown of a page, of which the kernel has said `entry`. */
static uint64_t shown(uint64_t page, uint64_t entry)
{
	if (!page_is_trapped(page))
		return entry;
	return (entry & PAGEMAP_SOFT_DIRTY) | PAGEMAP_SWAP;
}

/* The client's entry of `at`, in what was read from `start` on. */
static bool correct(void *buffer, uintptr_t start, uintptr_t at, uint64_t page)
{
	char *place = (char *)buffer + (at - start) / MEMORY_PAGE * ENTRY;
	uint64_t entry;

	if (copy_guarded(&entry, place, ENTRY) < 0)
		return false;
	entry = page ? shown(page, entry) : watch_shown(at, entry);
	return copy_guarded(place, &entry, ENTRY) == 0;
}

static void correct_owned(void *buffer, uintptr_t start, uintptr_t end)
{
	uint64_t page;

	for (uintptr_t at = start; (at = pages_next(at, end, &page)) < end; at += MEMORY_PAGE)
		if (!correct(buffer, start, at, page))
			return;
}

static void correct_watched(void *buffer, uintptr_t start, uintptr_t end)
{
	const struct watch_range *r;
	uintptr_t at = start;

	while (at < end && (r = watch_find(at)) && r->start < end) {
		uintptr_t to = r->end < end ? r->end : end;

		for (at = at > r->start ? at : r->start; at < to; at += MEMORY_PAGE)
			if (!correct(buffer, start, at, 0))
				return;
	}
}

void memory_show_pagemap(void *buffer, size_t n, uint64_t offset)
{
	uintptr_t start = offset / ENTRY * MEMORY_PAGE, end = start + n / ENTRY * MEMORY_PAGE;
	uint64_t signals;

	if (offset % ENTRY || offset >= MEMORY_LIMIT / MEMORY_PAGE * ENTRY || end < start)
		return;
	memory_lock(&signals);
	memory_validate(start, end);
	memory_make_resident(buffer, n);
	correct_owned(buffer, start, end);
	if (watch_any())
		correct_watched(buffer, start, end);
	memory_unlock(&signals);
}
