/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages go away in one of three ways, chosen by the piece:
 *
 * - nothing is there yet, or zeroes: it is only made to trap;
 * - a large piece of private anonymous memory: its page tables are moved to the store by
 *   mremap(MREMAP_DONTUNMAP).  Between that and the markers another thread would see empty pages,
 *   so missing pages are held (memory/hold.h) meanwhile, or the piece is PROT_NONE;
 * - the rest is copied to slots.  It is PROT_READ meanwhile: who reads may go on, until the copy
 *   is there.
 */
#include "memory/move.h"

#include "core/user.h"
#include "memory/hold.h"
#include "memory/lock.h"
#include "memory/range.h"
#include "memory/store.h"

/* Who takes the lock next asks for MEMORY_FRAMES, too, and may stand lower by so much. */
#define LOWER (2 * MEMORY_PAGE)

_Atomic uint64_t memory_moves;

/* ---- protections ---- */

/* The end of the run of pages from `at` that trap by protection, or that don't. */
static uintptr_t protected_run(uintptr_t at, uintptr_t end, bool *ret_is)
{
	uint64_t page = pages_get(at);

	*ret_is = page_is_protected(page);
	if (*ret_is) {
		do
			at += MEMORY_PAGE;
		while (at < end && page_is_protected(pages_get(at)));
		return at;
	}
	if (!pages_any_protected())
		return end;
	while ((at = pages_next(at, end, &page)) < end && !page_is_protected(page))
		at += MEMORY_PAGE;
	return at < end ? at : end;
}

/* All but what traps by protection. */
static int protect_rest(uintptr_t start, uintptr_t end, int protection)
{
	int ret = 0;

	while (start < end && ret == 0) {
		bool trapped;
		uintptr_t to = protected_run(start, end, &trapped);

		if (!trapped)
			ret = range_protect(start, to, protection);
		start = to;
	}
	return ret;
}

bool memory_underfoot(uintptr_t start, uintptr_t end, uintptr_t *ret_start, uintptr_t *ret_end)
{
	const uintptr_t stack = (uintptr_t)__builtin_frame_address(0) & ~(MEMORY_PAGE - 1);
	const uintptr_t thread = (uintptr_t)__builtin_thread_pointer() & ~(MEMORY_PAGE - 1);
	/* Frames, up to the client's; variables, and libc's description of the thread. */
	const struct {
		uintptr_t start, end;
	} parts[] = {{stack - MEMORY_FRAMES - LOWER, stack + 4 * MEMORY_PAGE},
		     {thread - 4 * MEMORY_PAGE, thread + 2 * MEMORY_PAGE}};
	uintptr_t first = end;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		uintptr_t from = parts[i].start > start ? parts[i].start : start;

		if (parts[i].end <= start || from >= first)
			continue;
		first = from;
		*ret_start = from;
		*ret_end = parts[i].end < end ? parts[i].end : end;
	}
	return first < end;
}

int memory_freeze(struct memory_freeze *f, const struct memory_vma *vma, uintptr_t start,
		  uintptr_t end)
{
	bool linear = vma->kind == MEMORY_ANON && end - start >= MEMORY_LINEAR_MIN;
	int ret = 0;

	atomic_fetch_add(&memory_moves, 1);
	f->vma = *vma;
	f->start = start;
	f->end = end;
	f->protection = vma->protection;
	f->linear = linear;
	/*
	 * Moved as they are: pages that are there may be written to meanwhile.  The protection
	 * of huge pages is quickly changed, and the kernel moves what is held page by page.
	 */
	f->held = linear && memory_traps_markers() && !memory_is_huge(start) &&
		  hold_missing(start, end);
	if (f->held)
		return 0;
	if (linear)
		f->protection = PROT_NONE;
	else if (vma->protection & PROT_WRITE)
		f->protection = PROT_READ;
	if (f->protection != vma->protection)
		ret = protect_rest(start, end, f->protection);
	if (ret)
		protect_rest(start, end, vma->protection);
	return ret;
}

void memory_thaw(struct memory_freeze *f)
{
	if (f->held)
		hold_release(f->start, f->end);
	if (f->protection != f->vma.protection)
		protect_rest(f->start, f->end, f->vma.protection);
	atomic_fetch_add(&memory_moves, 1);
}

int memory_change_protection(uintptr_t start, uintptr_t end, int protection)
{
	uint64_t page;
	int ret = protect_rest(start, end, protection);

	if (ret)
		return ret;
	for (uintptr_t at = pages_next(start, end, &page); at < end;
	     at = pages_next(at + MEMORY_PAGE, end, &page))
		if (page_is_trapped(page))
			pages_set(at, (page & ~(uint64_t)PAGE_PROT) | (uint64_t)protection
									      << PAGE_PROT_SHIFT);
	return 0;
}

/* ---- away ---- */

struct piece {
	unsigned owner;
	const uint8_t *user;
	int protection;
	uint64_t flags;
};

/* What looks at user[] alone. */
#define USER_BITS (7u | MEMORY_AWAY_UNIT)

/* [start, end), which begins at index `i`; their stores are `step` apart. */
static void enter(const struct piece *p, uintptr_t start, uintptr_t end, size_t i, uint64_t store,
		  uint64_t step)
{
	while (start < end) {
		unsigned user = p->user[i] & USER_BITS;
		uint64_t page = p->owner | PAGE_TRAPPED | p->flags | store |
				(uint64_t)p->protection << PAGE_PROT_SHIFT |
				(uint64_t)(user & 7) << PAGE_USER_SHIFT |
				(user & MEMORY_AWAY_UNIT ? PAGE_UNIT : 0);
		uintptr_t to = start;

		for (; to < end && (p->user[i] & USER_BITS) == user; i++)
			to += MEMORY_PAGE;
		pages_fill(start, to, page, step);
		store += (to - start) / MEMORY_PAGE * step;
		start = to;
	}
}

/* Makes [start, end) empty and trap: 0, PAGE_PROTECTED or -errno. */
static int trap(struct memory_freeze *f, uintptr_t start, uintptr_t end)
{
	int ret;

	if (memory_traps_markers() && range_advise(start, end, MADV_GUARD_INSTALL) == 0)
		return 0;
	ret = range_protect(start, end, PROT_NONE);
	if (ret)
		return ret;
	ret = range_empty(start, end);
	if (ret) {
		range_protect(start, end, f->protection);
		return ret;
	}
	return PAGE_PROTECTED;
}

static int away_empty(struct memory_freeze *f, struct piece *p, uintptr_t start, uintptr_t end)
{
	int ret = trap(f, start, end);

	if (ret < 0)
		return ret;
	p->flags = (unsigned)ret;
	enter(p, start, end, 0, 0, 0);
	return 0;
}

static int away_linear(struct memory_freeze *f, struct piece *p, uintptr_t start, uintptr_t end)
{
	size_t size = end - start;
	uintptr_t store = store_reserve(start, size);
	int ret = 0;

	if (!store)
		return -ENOMEM;
	if (!range_move(start, store, size, MREMAP_DONTUNMAP)) {
		store_release(store, size);
		return -ENOMEM;
	}
	if (f->protection != (PROT_READ | PROT_WRITE))
		ret = range_protect(store, store + size, PROT_READ | PROT_WRITE);
	if (ret == 0)
		ret = trap(f, start, end);
	if (ret < 0) {
		range_protect(store, store + size, f->protection);
		range_move(store, start, size, 0);
		store_moved_back(store, size);
		return ret;
	}
	p->flags = PAGE_LINEAR | (unsigned)ret;
	enter(p, start, end, 0, store, MEMORY_PAGE);
	return 0;
}

#define COPY_MAX 16u /* pages that are copied before they are made to trap together */

static int away_copy(struct memory_freeze *f, struct piece *p, uintptr_t start, uintptr_t end)
{
	uintptr_t slot[COPY_MAX];
	unsigned n = 0;
	int ret = 0;

	if (f->linear)
		ret = range_protect(start, end, PROT_READ);
	for (uintptr_t at = start; at < end && ret == 0; at += MEMORY_PAGE, n++) {
		slot[n] = store_slot();
		if (!slot[n])
			ret = -ENOMEM;
		else if (copy_guarded((void *)slot[n], (const void *)at, MEMORY_PAGE))
			ret = -EFAULT;
		if (ret && slot[n])
			store_slot_free(slot[n]);
		if (ret)
			break;
	}
	/*
	 * Not to be read any more: the kernel takes a page and then installs a marker, and who
	 * reads between the two steps finds an empty page.
	 */
	if (ret == 0 && !f->held)
		ret = range_protect(start, end, PROT_NONE);
	if (ret == 0)
		ret = trap(f, start, end);
	if (ret <= 0 && f->protection == f->vma.protection)
		range_protect(start, end, f->protection);
	if (ret < 0) {
		while (n)
			store_slot_free(slot[--n]);
		return ret;
	}
	p->flags = (unsigned)ret;
	for (unsigned i = 0; i < n; i++)
		enter(p, start + i * MEMORY_PAGE, start + (i + 1) * MEMORY_PAGE, i, slot[i], 0);
	return 0;
}

/* Of what is held, a page that was the zero page may have been written to. */
static bool has_content(const struct memory_freeze *f, uint8_t state)
{
	return (state & MEMORY_PRESENT) && (f->held || !(state & MEMORY_ZERO));
}

int memory_away(struct memory_freeze *f, uintptr_t start, uintptr_t end, unsigned owner,
		const uint8_t *states, const uint8_t *user)
{
	int ret = pages_reserve(start, end);

	while (start < end && ret == 0) {
		struct piece p = {.owner = owner, .user = user, .protection = f->vma.protection};
		bool content = has_content(f, states[0]);
		uintptr_t to = start;
		size_t n = 0;

		for (; to < end && has_content(f, states[n]) == content; n++)
			to += MEMORY_PAGE;
		ret = -ENOMEM;
		if (!content)
			ret = away_empty(f, &p, start, to);
		else if (f->linear && to - start >= MEMORY_LINEAR_MIN)
			ret = away_linear(f, &p, start, to);
		if (ret && content) {
			if (n > COPY_MAX) {
				n = COPY_MAX;
				to = start + n * MEMORY_PAGE;
			}
			ret = away_copy(f, &p, start, to);
		}
		start = to;
		states += n;
		user += n;
	}
	return ret;
}
