/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/pages.h - the engine's page table: pages that somebody owns, and most of which trap.
 *
 * A number per page: who owns it, where its content is while it is away, and how it traps.
 * A page that does not trap is only marked as its owner's and is where it always was.
 * All under the engine's lock, except pages_any().
 */
#ifndef STANDIN_MEMORY_PAGES_H
#define STANDIN_MEMORY_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory/radix.h"

/* Who owns a page; 0 nobody. */
enum memory_owner_id {
	MEMORY_OWNER_HMM = 1,           /* is in a device's memory */
	MEMORY_OWNER_HMM_EXCLUSIVE = 2, /* a device alone may use it */
	MEMORY_OWNERS = 4,
};

#define PAGE_OWNER     0x003u
#define PAGE_TRAPPED   0x004u
#define PAGE_PROTECTED 0x008u /* traps by protection, else by a guard marker */
#define PAGE_PROT      0x070u /* the client's protection, PROT_* << 4; of pages that trap */
#define PAGE_UNIT      0x080u /* one of a huge page's 512, which come and go together */
#define PAGE_LINEAR    0x100u /* was moved to its store, not copied */
#define PAGE_USER      0xe00u /* the owner's own */
#define PAGE_STORE     (~(uint64_t)0xfff) /* address of the content; 0: all zeroes */

#define PAGE_PROT_SHIFT 4
#define PAGE_USER_SHIFT 9
/* Of pages that don't trap, which have no store. */
#define PAGE_SHARED_MARK 0x1000u /* a fork has happened since */
#define PAGE_USER_MARK   0x2000u /* the owner's own */

#define MEMORY_UNIT ((uintptr_t)2 << 20)

static inline unsigned page_owner(uint64_t page)
{
	return page & PAGE_OWNER;
}

static inline bool page_is_trapped(uint64_t page)
{
	return page & PAGE_TRAPPED;
}

static inline bool page_is_protected(uint64_t page)
{
	return (page & (PAGE_TRAPPED | PAGE_PROTECTED)) == (PAGE_TRAPPED | PAGE_PROTECTED);
}

static inline int page_protection(uint64_t page)
{
	return (int)(page & PAGE_PROT) >> PAGE_PROT_SHIFT;
}

static inline unsigned page_user(uint64_t page)
{
	return (unsigned)(page & PAGE_USER) >> PAGE_USER_SHIFT;
}

static inline uint64_t page_store(uint64_t page)
{
	return page_is_trapped(page) ? page & PAGE_STORE : 0;
}

/*
 * What there is that others may have to look for: each a load, without the lock.  It is set with
 * the lock.
 */
#define MEMORY_OWNED   0x1u /* pages that are owned */
#define MEMORY_WATCHED 0x2u /* ranges that are watched */
#define MEMORY_BACKED  0x4u /* areas that are backed */
extern _Atomic unsigned memory_attention;

static inline void memory_attend(unsigned what, bool on)
{
	unsigned before = atomic_load_explicit(&memory_attention, memory_order_relaxed);
	unsigned now = on ? before | what : before & ~what;

	if (now != before)
		atomic_store_explicit(&memory_attention, now, memory_order_relaxed);
}

/* Whether any page is owned. */
static inline bool pages_any(void)
{
	return atomic_load_explicit(&memory_attention, memory_order_relaxed) & MEMORY_OWNED;
}

/* Whether any page traps by protection. */
bool pages_any_protected(void);
uint64_t pages_get(uintptr_t address);
/* The first owned page in [from, end), or `end`. */
uintptr_t pages_next(uintptr_t from, uintptr_t end, uint64_t *ret_page);
/* 0 or -ENOMEM; afterwards pages of [start, end) can be set without fail. */
int pages_reserve(uintptr_t start, uintptr_t end);
void pages_set(uintptr_t address, uint64_t page);
/*
 * The same for [start, end), of which no page is owned: `page`, page + step, ... which differ
 * in their stores alone.
 */
void pages_fill(uintptr_t start, uintptr_t end, uint64_t page, uint64_t step);
/* Sets [start, end) to 0. */
void pages_clear(uintptr_t start, uintptr_t end);
/*
 * The end of the run from `start` on whose pages are `page`, page + step, ... as far as the bits
 * of `mask` go.
 */
uintptr_t pages_run(uintptr_t start, uintptr_t end, uint64_t page, uint64_t step, uint64_t mask);
/*
 * The rest of a unit of which [start, end) has been taken away or changed is no unit any
 * more: the kernel has split the huge page.
 */
void pages_split(uintptr_t start, uintptr_t end);

#endif
