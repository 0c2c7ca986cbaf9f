/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A page that is away traps by a guard marker, which the kernel shows as swapped and guarded, or
 * by a protection, which it shows as nothing.  Rules: fs/proc/task_mmu.c, pte_to_pagemap_entry().
 */
#include "memory/show.h"

#include "core/user.h"
#include "memory/memory.h"
#include "uapi/mm.h"

#define ENTRY sizeof(uint64_t)

/* What is shown of a page, of which the kernel has said `entry`. */
static uint64_t shown(uint64_t page, uint64_t entry)
{
	if (!page_is_trapped(page))
		return entry;
	return (entry & PAGEMAP_SOFT_DIRTY) | PAGEMAP_SWAP;
}

void memory_show_pagemap(void *buffer, size_t n, uint64_t offset)
{
	uintptr_t start = offset / ENTRY * MEMORY_PAGE, end = start + n / ENTRY * MEMORY_PAGE;
	uint64_t page, entry, signals;

	if (offset % ENTRY || offset >= MEMORY_LIMIT / MEMORY_PAGE * ENTRY || end < start)
		return;
	memory_lock(&signals);
	memory_validate(start, end);
	memory_make_resident(buffer, n);
	for (uintptr_t at = start; (at = pages_next(at, end, &page)) < end; at += MEMORY_PAGE) {
		char *place = (char *)buffer + (at - start) / MEMORY_PAGE * ENTRY;

		if (copy_guarded(&entry, place, ENTRY) < 0)
			break;
		entry = shown(page, entry);
		if (copy_guarded(place, &entry, ENTRY) < 0)
			break;
	}
	memory_unlock(&signals);
}
