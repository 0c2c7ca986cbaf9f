/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages come back: a large piece replaces what traps in one step, and the kernel joins the
 * mappings again.  Single pages are filled by the userfaultfd, or written through /proc/self/mem,
 * which is not stopped by PROT_NONE, so the page appears when it is complete.
 */
#include <string.h>

#include "memory/hold.h"
#include "memory/move.h"
#include "memory/range.h"
#include "memory/store.h"

static void drop_stores(uintptr_t start, uintptr_t to, uint64_t first)
{
	if (first & PAGE_LINEAR && page_is_trapped(first)) {
		store_release((uintptr_t)page_store(first), to - start);
		return;
	}
	for (uintptr_t at = start; at < to && page_store(first); at += MEMORY_PAGE)
		store_slot_free((uintptr_t)page_store(pages_get(at)));
}

/* A page that can't be written behind its protection: moved there, which costs a mapping. */
static void install_page(uintptr_t at, uintptr_t slot, int protection)
{
	range_protect(slot, slot + MEMORY_PAGE, protection);
	range_move(slot, at, MEMORY_PAGE, 0);
	host_mmap((void *)slot, MEMORY_PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/*
 * Fills pages from their stores while their places are held: the address reached.  What has not
 * been filled is PROT_NONE.
 */
static uintptr_t back_held(uintptr_t start, uintptr_t end, uint64_t first)
{
	struct memory_vma held = {.start = start, .end = end};
	uintptr_t at = start;

	if (page_is_protected(first) || page_protection(first) != (PROT_READ | PROT_WRITE))
		return start;
	/* With as many mappings as may be, a part of one can't be held. */
	if (!hold_missing(start, end) &&
	    (!memory_vma_find(start, &held) || !hold_missing(held.start, held.end)))
		return start;
	range_advise(start, end, MADV_GUARD_REMOVE);
	for (; at < end; at += MEMORY_PAGE) {
		uintptr_t store = (uintptr_t)page_store(pages_get(at));

		bool moved = hold_move(store, at);

		if (!moved && !hold_copy(store, at))
			break;
		if (!(first & PAGE_LINEAR))
			store_slot_free(store);
		else if (moved)
			store_emptied(store, MEMORY_PAGE);
		else
			store_release(store, MEMORY_PAGE);
	}
	if (at < end)
		range_protect(at, end, PROT_NONE);
	hold_release(held.start, held.end);
	pages_clear(start, at);
	return at;
}

static void back_copied(uintptr_t start, uintptr_t end, uint64_t first)
{
	int protection = page_protection(first);

	start = back_held(start, end, first);
	if (start == end)
		return;
	first = pages_get(start);
	if (!page_is_protected(first)) {
		range_protect(start, end, PROT_NONE);
		range_advise(start, end, MADV_GUARD_REMOVE);
	}
	for (uintptr_t at = start; at < end; at += MEMORY_PAGE) {
		uint64_t page = pages_get(at);
		uintptr_t store = (uintptr_t)page_store(page);

		if (host_pwrite(memory_vma_mem(), (void *)store, MEMORY_PAGE, (off_t)at) !=
		    (ssize_t)MEMORY_PAGE)
			install_page(at, store, protection);
	}
	if (range_protect(start, end, protection) && page_is_protected(first)) {
		range_empty(start, end);
		return;
	}
	drop_stores(start, end, first);
	pages_clear(start, end);
}

static void back_empty(uintptr_t start, uintptr_t end, uint64_t first)
{
	int protection = page_protection(first), writable = protection | PROT_READ | PROT_WRITE;

	/* In the kernel there is a page from now on, and not the zero page. */
	if ((page_is_protected(first) || protection != writable) &&
	    range_protect(start, end, writable) && page_is_protected(first))
		return;
	if (!page_is_protected(first))
		range_advise(start, end, MADV_GUARD_REMOVE);
	range_advise(start, end, MADV_POPULATE_WRITE);
	/* What was to be a huge page is one, whatever the mapping's advice. */
	for (uintptr_t at = start; first & PAGE_UNIT && end - at >= MEMORY_UNIT; at += MEMORY_UNIT)
		range_advise(at, at + MEMORY_UNIT, MADV_COLLAPSE);
	if (protection != writable)
		range_protect(start, end, protection);
	pages_clear(start, end);
}

/* The largest part that can be moved at once, for several mappings can't: its size, or 0. */
static size_t move_back(uintptr_t store, uintptr_t start, size_t size)
{
	struct memory_vma v;

	if (range_move(store, start, size, 0))
		return size;
	if (!memory_vma_find(store, &v) || v.start > store || v.end - store >= size)
		return 0;
	size = v.end - store;
	return range_move(store, start, size, 0) ? size : 0;
}

static void back_linear(uintptr_t start, uintptr_t end, uint64_t first)
{
	uintptr_t store = (uintptr_t)page_store(first);
	int protection = page_protection(first);

	if (end - start >= MEMORY_LINEAR_MIN && protection != (PROT_READ | PROT_WRITE))
		range_protect(store, store + (end - start), protection);
	while (end - start >= MEMORY_LINEAR_MIN) {
		size_t size = move_back(store, start, end - start);

		if (!size)
			break;
		store_moved_back(store, size);
		pages_clear(start, start + size);
		start += size;
		store += size;
	}
	if (start < end)
		back_copied(start, end, pages_get(start));
}

/* In what pages are alike that come back together. */
#define ALIKE (PAGE_TRAPPED | PAGE_PROTECTED | PAGE_PROT | PAGE_UNIT | PAGE_LINEAR)

/* Whether a copied page comes back together with the one before it, which is `before`. */
static bool same_run(uint64_t before, uint64_t page)
{
	return !((before ^ page) & ALIKE) && !page_store(before) == !page_store(page);
}

static uintptr_t run_of(uintptr_t start, uintptr_t end, uint64_t first)
{
	uint64_t before = first, page;
	uintptr_t to = start + MEMORY_PAGE;

	if (first & PAGE_LINEAR)
		return pages_run(start, end, first, MEMORY_PAGE, ALIKE | PAGE_STORE);
	for (; to < end; to += MEMORY_PAGE, before = page) {
		page = pages_get(to);
		if (!page || !same_run(before, page))
			break;
	}
	return to;
}

void memory_back(uintptr_t start, uintptr_t end)
{
	uint64_t page;

	atomic_fetch_add(&memory_moves, 1);
	pages_split(start, end);
	while ((start = pages_next(start, end, &page)) < end) {
		uintptr_t to = run_of(start, end, page);

		if (!page_is_trapped(page))
			pages_clear(start, to);
		else if (page & PAGE_LINEAR)
			back_linear(start, to, page);
		else if (page_store(page))
			back_copied(start, to, page);
		else
			back_empty(start, to, page);
		start = to;
	}
	atomic_fetch_add(&memory_moves, 1);
}

bool memory_fill(uintptr_t address, uint64_t page)
{
	const void *content = memory_content(page);
	char *copy = host_mmap(NULL, MEMORY_PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (host_is_error(copy))
		return false;
	if (content)
		memcpy(copy, content, MEMORY_PAGE);
	else
		*(volatile char *)copy = 0;
	if (range_protect((uintptr_t)copy, (uintptr_t)copy + MEMORY_PAGE, page_protection(page)) ==
		    0 &&
	    range_move((uintptr_t)copy, address, MEMORY_PAGE, 0))
		return true;
	host_munmap(copy, MEMORY_PAGE);
	return false;
}

/* ---- the client's memory calls ---- */

void memory_drop(uintptr_t start, uintptr_t end, bool accessible)
{
	uint64_t page;

	pages_split(start, end);
	while ((start = pages_next(start, end, &page)) < end) {
		uintptr_t to = run_of(start, end, page);

		if (accessible && page_is_protected(page))
			range_protect(start, to, page_protection(page));
		else if (accessible && page_is_trapped(page))
			range_advise(start, to, MADV_GUARD_REMOVE);
		drop_stores(start, to, page);
		pages_clear(start, to);
		start = to;
	}
}

void memory_forget(uintptr_t address)
{
	uint64_t page = pages_get(address);

	pages_split(address, address + MEMORY_PAGE);
	drop_stores(address, address + MEMORY_PAGE, page);
	pages_set(address, 0);
}

void memory_rekey(uintptr_t from, uintptr_t to, size_t size)
{
	uintptr_t at = from, end = from + size;
	uint64_t page;

	pages_split(from, end);
	while ((at = pages_next(at, end, &page)) < end) {
		if ((to - from) % MEMORY_UNIT)
			page &= ~(uint64_t)PAGE_UNIT;
		pages_set(at, 0);
		if (pages_reserve(at - from + to, at - from + to + MEMORY_PAGE) == 0)
			pages_set(at - from + to, page);
		at += MEMORY_PAGE;
	}
}

void memory_advise_stores(uintptr_t start, uintptr_t end, int advice)
{
	uint64_t page;

	while ((start = pages_next(start, end, &page)) < end) {
		uintptr_t to = run_of(start, end, page);

		if (page & PAGE_LINEAR && page_is_trapped(page)) {
			uintptr_t store = (uintptr_t)page_store(page);

			range_advise(store, store + (to - start), advice);
		}
		start = to;
	}
}

void *memory_content_make(uintptr_t address)
{
	uint64_t page = pages_get(address);
	uintptr_t store = (uintptr_t)page_store(page);

	if (!page_is_trapped(page) || store)
		return (void *)store;
	store = store_slot();
	if (!store)
		return NULL;
	memset((void *)store, 0, MEMORY_PAGE);
	pages_set(address, page | store);
	return (void *)store;
}
