/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine's page table: a radix map, and how many pages are in it. */
#include "memory/pages.h"

_Atomic unsigned memory_attention;
static struct radix pages;
static size_t n_protected;

bool pages_any_protected(void)
{
	return n_protected != 0;
}

uint64_t pages_get(uintptr_t address)
{
	return radix_get(&pages, address);
}

uintptr_t pages_next(uintptr_t from, uintptr_t end, uint64_t *ret_page)
{
	return radix_next(&pages, from, end, ret_page);
}

int pages_reserve(uintptr_t start, uintptr_t end)
{
	return radix_reserve(&pages, start, end);
}

void pages_set(uintptr_t address, uint64_t page)
{
	n_protected -= page_is_protected(radix_get(&pages, address));
	n_protected += page_is_protected(page);
	radix_set(&pages, address, page);
	memory_attend(MEMORY_OWNED, pages.count != 0);
}

void pages_fill(uintptr_t start, uintptr_t end, uint64_t page, uint64_t step)
{
	if (page_is_protected(page))
		n_protected += (end - start) / MEMORY_PAGE;
	radix_fill(&pages, start, end, page, step);
	memory_attend(MEMORY_OWNED, pages.count != 0);
}

void pages_clear(uintptr_t start, uintptr_t end)
{
	uintptr_t at = start;
	uint64_t page;

	for (; n_protected && (at = pages_next(at, end, &page)) < end; at += MEMORY_PAGE)
		n_protected -= page_is_protected(page);
	radix_clear(&pages, start, end);
	memory_attend(MEMORY_OWNED, pages.count != 0);
}

uintptr_t pages_run(uintptr_t start, uintptr_t end, uint64_t page, uint64_t step, uint64_t mask)
{
	return radix_run(&pages, start, end, page, step, mask);
}

static void split_unit(uintptr_t unit)
{
	for (uintptr_t at = unit; at < unit + MEMORY_UNIT; at += MEMORY_PAGE) {
		uint64_t page = pages_get(at);

		if (page & PAGE_UNIT)
			pages_set(at, page & ~(uint64_t)PAGE_UNIT);
	}
}

void pages_split(uintptr_t start, uintptr_t end)
{
	uintptr_t first = start & ~(MEMORY_UNIT - 1), last = (end - 1) & ~(MEMORY_UNIT - 1);

	/* All pages of a unit say so. */
	if ((start != first || end - first < MEMORY_UNIT) && (pages_get(start) & PAGE_UNIT))
		split_unit(first);
	if (last != first && end % MEMORY_UNIT && (pages_get(end - 1) & PAGE_UNIT))
		split_unit(last);
}
