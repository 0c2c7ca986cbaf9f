/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The devices: how their pages come back when the process touches them, when the device's
 * memory is released, and before a fork.
 */
#include <sys/mman.h>

#include "hmm/hmm.h"

#include "core/instance.h"

struct hmm_device hmm_devices[HMM_DEVICES] = {
	{.index = 0},
	{.index = 1},
	{.index = 2, .coherent = true},
	{.index = 3, .coherent = true},
};

bool hmm_pte_writable(const struct memory_vma *v, uint8_t state)
{
	if (!(v->protection & PROT_WRITE) || !(state & MEMORY_PRESENT) || (state & MEMORY_ZERO))
		return false;
	if (v->shared)
		return true;
	return (state & (MEMORY_EXCLUSIVE | MEMORY_OF_FILE)) == MEMORY_EXCLUSIVE;
}

bool hmm_writable(const struct memory_vma *v, uint64_t page, uint8_t state)
{
	bool writable = page_user(page) & HMM_USER_WRITE;

	if (page_is_trapped(page))
		return writable;
	/* A coherent page can have become writable since it was marked, as any other. */
	if (hmm_is_device_page(page) && writable)
		return v->protection & PROT_WRITE;
	return hmm_pte_writable(v, state);
}

int hmm_enter_underfoot(struct hmm_mirror *m, const struct memory_vma *v, uintptr_t start,
			uintptr_t end)
{
	uint64_t entry = HMM_ENTRY_PRESENT | (v->protection & PROT_WRITE ? HMM_ENTRY_WRITE : 0);

	memory_make_resident((void *)start, end - start);
	return radix_fill(&m->table, start, end, entry, 0);
}

/* A huge page comes back as one. */
static void touched(uintptr_t address, uint64_t page)
{
	uintptr_t start = address, end = address + MEMORY_PAGE;

	if (page & PAGE_UNIT) {
		start &= ~(MEMORY_UNIT - 1);
		end = start + MEMORY_UNIT;
		memory_validate(start, end);
	}
	hmm_evict(&hmm_devices[page_user(page) >> 1], start, end, MEMORY_MIGRATE);
}

static void touched_exclusive(uintptr_t address, uint64_t page)
{
	memory_notify(address, address + MEMORY_PAGE, MEMORY_CLEAR, NULL);
	memory_back(address, address + MEMORY_PAGE);
}

uint64_t hmm_page(uintptr_t at, uint8_t state)
{
	uint64_t page = pages_get(at);

	if (!page || page_is_trapped(page) || !(page & PAGE_SHARED_MARK) ||
	    !(state & MEMORY_EXCLUSIVE))
		return page;
	memory_forget(at);
	return 0;
}

/*
 * The kernel gives exclusive pages back when it copies the page tables; coherent ones become
 * read-only.
 */
static void before_fork(void)
{
	uint64_t page;

	for (uintptr_t at = pages_next(0, MEMORY_LIMIT, &page); at < MEMORY_LIMIT;
	     at = pages_next(at + MEMORY_PAGE, MEMORY_LIMIT, &page))
		if (page_owner(page) == MEMORY_OWNER_HMM_EXCLUSIVE)
			touched_exclusive(at, page);
		else if (hmm_is_device_page(page) && !page_is_trapped(page))
			pages_set(at, page & ~((uint64_t)HMM_USER_WRITE << PAGE_USER_SHIFT));
}

int hmm_start_memory(void)
{
	memory_owner_register(MEMORY_OWNER_HMM, touched);
	memory_owner_register(MEMORY_OWNER_HMM_EXCLUSIVE, touched_exclusive);
	memory_forking_register(before_fork);
	return memory_start(instance ? instance->config->settings.traps : MEMORY_TRAPS_AUTO);
}

void hmm_evict(struct hmm_device *dev, uintptr_t start, uintptr_t end, enum memory_event event)
{
	uint64_t page;

	while ((start = pages_next(start, end, &page)) < end) {
		uintptr_t to;

		if (!hmm_is_on(page, dev)) {
			start += MEMORY_PAGE;
			continue;
		}
		to = pages_run(start, end, page, 0, HMM_ON_MASK);
		memory_notify(start, to, event, dev);
		if (event == MEMORY_MIGRATE)
			hmm_forget(dev, start, to);
		memory_back(start, to);
		start = to;
	}
}
