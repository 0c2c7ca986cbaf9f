/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A page that is away traps by a guard marker, which the kernel shows as swapped and guarded, or
 * by a protection, which it shows as nothing.  Rules: fs/proc/task_mmu.c, pte_to_pagemap_entry().
 */
#include "memory/show.h"

#include "core/user.h"
#include "memory/backed.h"
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

/* What was read from `start` on. */
struct entries {
	void *buffer;
	uintptr_t start, end;
	struct backed_run run;
};

/* Puts the client's entry of `at` there. */
static bool correct(struct entries *e, uintptr_t at, uint64_t page, bool backed)
{
	char *place = (char *)e->buffer + (at - e->start) / MEMORY_PAGE * ENTRY;
	uint64_t entry;

	if (copy_guarded(&entry, place, ENTRY) < 0)
		return false;
	entry = page ? shown(page, entry) : watch_shown(at, entry, backed, &e->run);
	return copy_guarded(place, &entry, ENTRY) == 0;
}

static void correct_owned(struct entries *e)
{
	uint64_t page;

	for (uintptr_t at = e->start; (at = pages_next(at, e->end, &page)) < e->end;
	     at += MEMORY_PAGE)
		if (!correct(e, at, page, false))
			return;
}

/* What is watched or has been, and what is backed without that. */
static void correct_watched(struct entries *e)
{
	uintptr_t at = e->start, to;
	struct memory_vma v;

	for (; at < e->end && memory_vma_find(at, &v) && v.start < e->end; at = v.end) {
		at = at > v.start ? at : v.start;
		to = v.end < e->end ? v.end : e->end;
		if (!v.backed && !watch_shows(at, to))
			continue;
		for (; at < to; at += MEMORY_PAGE)
			if (!correct(e, at, 0, v.backed))
				return;
	}
}

void memory_show_pagemap(void *buffer, size_t n, uint64_t offset)
{
	uintptr_t start = offset / ENTRY * MEMORY_PAGE, end = start + n / ENTRY * MEMORY_PAGE;
	struct entries e = {.buffer = buffer, .start = start, .end = end};
	uint64_t signals;

	if (offset % ENTRY || offset >= MEMORY_LIMIT / MEMORY_PAGE * ENTRY || end < start)
		return;
	memory_lock(&signals);
	memory_validate(start, end);
	memory_make_resident(buffer, n);
	correct_owned(&e);
	if (watch_any() || backed_in(start, end))
		correct_watched(&e);
	memory_unlock(&signals);
}
