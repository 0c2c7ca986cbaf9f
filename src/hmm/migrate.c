/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MIGRATE_TO_DEV and MIGRATE_TO_SYS.  Rules: migrate_vma_setup() and what it calls.
 *
 * The kernel goes by 512 pages from the start of the range and from each mapping's start; a huge
 * page stays one if it is one of these pieces exactly.  Here pieces are larger, and what is
 * to be a huge page follows from where the piece begins.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "hmm/hmm.h"
#include "memory/watch.h"
#include "uapi/mm.h"

#define PIECE_MAX  ((uintptr_t)64 << 20)
#define UNIT_PAGES (MEMORY_UNIT / MEMORY_PAGE)

/* Of the piece at hand; under the lock. */
static uint8_t states[PIECE_MAX / MEMORY_PAGE], user[PIECE_MAX / MEMORY_PAGE];

/* In user[] besides what memory_away() looks at. */
#define TAKE 0x40u /* the page is to be migrated */
#define TAG  0x20u /* the device may write to it */

/* The part of [at, end) to look at next: 0, or what the kernel says of the mapping. */
static int piece_of(uintptr_t at, uintptr_t end, struct memory_vma *v, uintptr_t *ret_end)
{
	if (!memory_vma_find(at, v) || v->start > at || !(v->protection & PROT_READ))
		return -EINVAL;
	if (v->kind == MEMORY_HUGETLB || v->kind == MEMORY_SPECIAL)
		return -EINVAL;
	end = v->end < end ? v->end : end;
	*ret_end = end - at > PIECE_MAX ? at + PIECE_MAX : end;
	memory_validate(at, *ret_end);
	return 0;
}

/* ---- to the device ---- */

/* What becomes of a page: 0, it stays. */
static uint8_t decide(const struct hmm_mirror *m, const struct memory_vma *v, uintptr_t at,
		      uint8_t state)
{
	bool writable;

	if (pages_get(at) || (state & MEMORY_SWAPPED) || v->kind == MEMORY_SHARED ||
	    watch_in(at, at + MEMORY_PAGE))
		return 0;
	if (!(state & MEMORY_PRESENT) || (state & MEMORY_ZERO)) {
		if (v->kind != MEMORY_ANON)
			return 0;
		return TAKE | hmm_user(m->dev, v->protection & PROT_WRITE);
	}
	if (state & MEMORY_OF_FILE)
		return 0;
	writable = hmm_pte_writable(v, state);
	return TAKE | (writable ? TAG : 0) | hmm_user(m->dev, writable);
}

/* Marks the huge page that begins at index `i`, if there is one or could be. */
static void decide_unit(size_t i)
{
	uint8_t all = 0xff, any = 0;

	for (size_t n = i; n < i + UNIT_PAGES; n++) {
		if (!(user[n] & TAKE))
			return;
		all &= states[n];
		any |= states[n];
	}
	if (!(all & MEMORY_HUGE) && (any & MEMORY_PRESENT))
		return;
	for (size_t n = i; n < i + UNIT_PAGES; n++)
		user[n] |= MEMORY_AWAY_UNIT;
}

/* The allocation that was asked to fail: a huge page becomes small ones, a small one stays. */
static void fail_once(struct hmm_mirror *m, size_t n)
{
	size_t i = 0;

	if (!(m->flags & HMM_DMIRROR_FLAG_FAIL_ALLOC))
		return;
	while (i < n && !(user[i] & TAKE))
		i++;
	if (i == n)
		return;
	m->flags &= ~HMM_DMIRROR_FLAG_FAIL_ALLOC;
	if (!(user[i] & MEMORY_AWAY_UNIT))
		user[i] = 0;
	for (size_t k = i; k < i + UNIT_PAGES && k < n; k++)
		user[k] &= (uint8_t)~MEMORY_AWAY_UNIT;
}

/* Pages for which the device has no memory stay. */
static void limit(const struct hmm_mirror *m, size_t n)
{
	uint64_t page, used = 0;

	if (!m->dev->capacity)
		return;
	for (uintptr_t at = pages_next(0, MEMORY_LIMIT, &page); at < MEMORY_LIMIT;
	     at = pages_next(at + MEMORY_PAGE, MEMORY_LIMIT, &page))
		used += hmm_is_on(page, m->dev);
	for (size_t i = 0; i < n; i++) {
		if (!(user[i] & TAKE))
			continue;
		if (used++ < m->dev->capacity)
			continue;
		/* A part of a huge page is in small ones. */
		for (size_t k = i & ~(UNIT_PAGES - 1); k < i; k++)
			user[k] &= (uint8_t)~MEMORY_AWAY_UNIT;
		user[i] = 0;
	}
}

static void decide_all(struct hmm_mirror *m, const struct memory_vma *v, uintptr_t start, size_t n)
{
	bool owned = pages_next(start, start + n * MEMORY_PAGE, NULL) < start + n * MEMORY_PAGE;

	for (size_t i = 0; i < n; i++)
		if (i && !owned && states[i] == states[i - 1])
			user[i] = user[i - 1];
		else
			user[i] = decide(m, v, start + i * MEMORY_PAGE, states[i]);
	if (start % MEMORY_UNIT == 0)
		for (size_t i = 0; i + UNIT_PAGES <= n; i += UNIT_PAGES)
			decide_unit(i);
	fail_once(m, n);
	limit(m, n);
}

/*
 * Coherent memory has small pages, and real ones where there were none.  Changing the protection
 * of a part divides a huge page.
 */
static void make_small(const struct memory_vma *v, uintptr_t start, uintptr_t end)
{
	int writable = v->protection | PROT_READ | PROT_WRITE;

	if (v->protection != writable)
		host_mprotect((void *)start, end - start, writable);
	host_syscall(SYS_madvise, start, end - start, MADV_POPULATE_WRITE);
	for (uintptr_t at = start; at < end; at = (at | (MEMORY_UNIT - 1)) + 1)
		if (at % MEMORY_UNIT || end - at >= MEMORY_UNIT || v->end - at >= MEMORY_UNIT) {
			host_mprotect((void *)at, MEMORY_PAGE, PROT_READ);
			host_mprotect((void *)at, MEMORY_PAGE, writable);
		}
	if (v->protection != writable)
		host_mprotect((void *)start, end - start, v->protection);
}

/* The pages stay where they are; PAGE_USER_MARK: it was a huge one. */
static int mark(const struct memory_vma *v, uintptr_t start, uintptr_t end, const uint8_t *how)
{
	int ret = pages_reserve(start, end);

	atomic_fetch_add(&memory_moves, 1);
	if (ret == 0)
		make_small(v, start, end);
	atomic_fetch_add(&memory_moves, 1);
	for (; start < end && ret == 0; start += MEMORY_PAGE, how++)
		pages_set(start, MEMORY_OWNER_HMM | (uint64_t)(*how & 7) << PAGE_USER_SHIFT |
					 (*how & MEMORY_AWAY_UNIT ? PAGE_USER_MARK : 0));
	return ret;
}

/* The mirror's entries for what has been taken. */
static int enter(struct hmm_mirror *m, uintptr_t start, size_t first, size_t last)
{
	const uint64_t mask = PAGE_OWNER;
	uint64_t kind = HMM_ENTRY_PRESENT | (m->dev->coherent ? 0 : HMM_ENTRY_DEVICE);
	size_t i, next;
	int ret = 0;

	for (i = first; i < last && ret == 0; i = next) {
		uintptr_t at = start + i * MEMORY_PAGE;

		for (next = i; next < last && !((user[next] ^ user[i]) & TAG); next++)
			;
		next = i + (pages_run(at, start + next * MEMORY_PAGE, MEMORY_OWNER_HMM, 0, mask) -
			    at) / MEMORY_PAGE;
		if (next == i)
			next++; /* stayed */
		else
			ret = radix_fill(&m->table, at, start + next * MEMORY_PAGE,
					 kind | (user[i] & TAG ? HMM_ENTRY_WRITE : 0), 0);
	}
	return ret;
}

static int take(struct hmm_mirror *m, const struct memory_vma *v, struct memory_freeze *f,
		uintptr_t start, size_t first, size_t last)
{
	uintptr_t from = start + first * MEMORY_PAGE, to = start + last * MEMORY_PAGE;
	int ret;

	if (m->dev->coherent)
		ret = mark(v, from, to, user + first);
	else
		ret = memory_away(f, from, to, MEMORY_OWNER_HMM, states + first, user + first);
	return enter(m, start, first, last) ? -ENOMEM : ret;
}

static int migrate_piece(struct hmm_mirror *m, const struct memory_vma *v, uintptr_t start,
			 uintptr_t end)
{
	size_t n = (end - start) / MEMORY_PAGE, last;
	struct memory_freeze f;
	int ret = 0;

	memory_notify(start, end, MEMORY_MIGRATE, m->dev);
	if (v->kind == MEMORY_SHARED)
		return 0;
	if (!m->dev->coherent)
		ret = memory_freeze(&f, v, start, end);
	if (ret)
		return ret;
	ret = memory_states(start, end, states);
	if (ret == 0)
		decide_all(m, v, start, n);
	for (size_t i = 0; i < n && ret == 0; i = last) {
		for (last = i; last < n && (user[last] & TAKE); last++)
			;
		if (last > i)
			ret = take(m, v, &f, start, i, last);
		else
			last++;
	}
	if (!m->dev->coherent)
		memory_thaw(&f);
	/* Pages for which there was no memory have stayed. */
	return ret == -ENOMEM ? 0 : ret;
}

static int migrate_range(struct hmm_mirror *m, uintptr_t start, uintptr_t end)
{
	struct memory_vma v;
	uintptr_t to, low, high;
	int ret = 0;

	for (; start < end && ret == 0; start = to) {
		ret = piece_of(start, end, &v, &to);
		if (ret)
			break;
		if (!memory_underfoot(start, to, &low, &high))
			low = to;
		if (low > start)
			ret = migrate_piece(m, &v, start, to = low);
		else
			ret = hmm_enter_underfoot(m, &v, start, to = high);
	}
	return ret;
}

int hmm_migrate_to_device(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	uint64_t signals;
	int ret, read = -EAGAIN;

	memory_lock(&signals);
	ret = migrate_range(m, cmd->addr, cmd->addr + cmd->npages * MEMORY_PAGE);
	if (ret == 0)
		read = hmm_read_taken(m, cmd);
	memory_unlock(&signals);
	if (ret)
		return ret;
	return read == -EAGAIN ? hmm_read_back(m, cmd) : read;
}

/* ---- to the system ---- */

/* Pages that move: a huge page that is a piece of the kernel's counts as one. */
static uint64_t count(const struct hmm_device *dev, uintptr_t start, uintptr_t end)
{
	bool aligned = start % MEMORY_UNIT == 0;
	uint64_t page, n = 0;

	for (uintptr_t at = pages_next(start, end, &page); at < end;
	     at = pages_next(at, end, &page)) {
		bool unit = aligned && (page & PAGE_UNIT) && at % MEMORY_UNIT == 0 &&
			    end - at >= MEMORY_UNIT;

		n += hmm_is_on(page, dev);
		at += unit ? MEMORY_UNIT : MEMORY_PAGE;
	}
	return n;
}

static int return_piece(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd, uintptr_t start,
			uintptr_t end)
{
	uintptr_t first = start;
	uint64_t page = 0;

	memory_notify(start, end, MEMORY_MIGRATE, m->dev);
	while ((first = pages_next(first, end, &page)) < end && !hmm_is_on(page, m->dev))
		first += MEMORY_PAGE;
	if (first >= end)
		return 0;
	if (m->flags & HMM_DMIRROR_FLAG_FAIL_ALLOC) {
		m->flags &= ~HMM_DMIRROR_FLAG_FAIL_ALLOC;
		if (!(page & PAGE_UNIT) && (page_is_trapped(page) || !(page & PAGE_USER_MARK)))
			return -ENOMEM;
	}
	cmd->cpages += count(m->dev, start, end);
	hmm_evict(m->dev, start, end, MEMORY_MIGRATE);
	return 0;
}

int hmm_migrate_to_system(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	uintptr_t start = cmd->addr, end = start + cmd->npages * MEMORY_PAGE, to;
	struct memory_vma v;
	uint64_t signals;
	int ret = 0;

	memory_lock(&signals);
	for (; start < end && ret == 0; start = to) {
		ret = piece_of(start, end, &v, &to);
		if (ret == 0)
			ret = return_piece(m, cmd, start, to);
	}
	memory_unlock(&signals);
	return ret;
}
