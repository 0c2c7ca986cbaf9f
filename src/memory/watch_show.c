/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is watched, as the kernel shows it in /proc/self/pagemap.  Rules: fs/proc/task_mmu.c,
 * pte_to_pagemap_entry().
 */
#include "memory/backed.h"
#include "memory/watch_private.h"
#include "uapi/mm.h"

/* Of a file, as if it were not: with content, it is as good as mapped. */
static uint64_t shown_backed(uintptr_t at, uint64_t entry, struct backed_run *run)
{
	entry &= ~PAGEMAP_FILE;
	if (!(entry & PAGEMAP_SWAP) && backed_has(run, at))
		entry |= PAGEMAP_PRESENT | PAGEMAP_EXCLUSIVE;
	return entry;
}

bool watch_shows(uintptr_t start, uintptr_t end)
{
	uint64_t mark;

	return watch_in(start, end) ||
	       (watch_marks_kept() && watch_marks_next(start, end, &mark) < end);
}

uint64_t watch_shown(uintptr_t address, uint64_t entry, bool backed, struct backed_run *run)
{
	const struct watch_range *r = watch_at(address);
	uint64_t mark = watch_mark(address & ~((r ? r->page_size : MEMORY_PAGE) - 1));

	if (r ? mark & MARK_POISON : watch_is_poisoned(address, mark))
		return (entry & PAGEMAP_SOFT_DIRTY) | PAGEMAP_SWAP;
	if (backed)
		entry = shown_backed(address, entry, run);
	if (!r)
		return entry;
	if (watch_is_missing(r, mark))
		entry &= PAGEMAP_SOFT_DIRTY;
	/* What the kernel would have put into the page table. */
	if (mark & MARK_PRESENT && r->shared && !(entry & PAGEMAP_PRESENT) &&
	    watch_is_cached(r, address & ~(r->page_size - 1)))
		entry |= PAGEMAP_PRESENT | PAGEMAP_FILE | PAGEMAP_EXCLUSIVE;
	if (r->served)
		entry &= ~PAGEMAP_FILE;
	/* The page of zeroes, if it has no content. */
	if (mark & MARK_PRESENT && (r->backed || (r->served && !(entry & PAGEMAP_SWAP))))
		entry |= PAGEMAP_PRESENT;
	if (!(mark & (MARK_WP | MARK_RWP)))
		return entry;
	/* Where there is no page, a marker is; of huge pages it isn't shown. */
	if (!(entry & PAGEMAP_PRESENT) && r->kind != MEMORY_HUGETLB)
		entry |= PAGEMAP_SWAP;
	return entry | PAGEMAP_UFFD_WP;
}
