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
 *
 * And they come back: a large piece replaces what traps in one step, and the kernel joins the
 * mappings again.  Single pages are filled by the userfaultfd, or written through /proc/self/mem,
 * which is not stopped by PROT_NONE, so the page appears when it is complete.
 *
 * Traps are guard markers, which don't divide mappings and which pagemap shows as swapped, as it
 * does device memory in the kernel; or PROT_NONE where markers can't be (kernels before 6.13,
 * locked memory).
 */
#include "memory/move.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/user.h"
#include "memory/hold.h"
#include "memory/lock.h"
#include "memory/store.h"
#include "uapi/mm.h"

#define LINEAR_MIN ((uintptr_t)64 << 10) /* smaller pieces are cheaper to copy than to move */

_Atomic uint64_t memory_moves;

static bool guards = true;
static uint8_t marker_state = MEMORY_SWAPPED;

static int advise(uintptr_t start, uintptr_t end, int advice)
{
	return (int)host_syscall(SYS_madvise, start, end - start, advice);
}

static int protect(uintptr_t start, uintptr_t end, int protection)
{
	return host_mprotect((void *)start, end - start, protection);
}

static bool remap(uintptr_t from, uintptr_t to, size_t size, int flags)
{
	return host_syscall(SYS_mremap, from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | flags,
			    to) == (long)to;
}

int memory_traps_set(enum memory_traps traps)
{
	uint8_t state;
	void *page;
	bool works;

	guards = traps != MEMORY_TRAPS_PROTECT;
	if (!guards)
		return 0;
	page = host_mmap(NULL, MEMORY_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	if (host_is_error(page))
		return (int)(intptr_t)page;
	works = advise((uintptr_t)page, (uintptr_t)page + MEMORY_PAGE, MADV_GUARD_INSTALL) == 0;
	if (works && memory_states((uintptr_t)page, (uintptr_t)page + MEMORY_PAGE, &state) == 0 &&
	    state & MEMORY_GUARDED)
		marker_state = MEMORY_GUARDED;
	host_munmap(page, MEMORY_PAGE);
	guards = works;
	return works || traps == MEMORY_TRAPS_AUTO ? 0 : -EOPNOTSUPP;
}

uint8_t memory_marker_state(void)
{
	return marker_state;
}

bool memory_traps_markers(void)
{
	return guards;
}

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
			ret = protect(start, to, protection);
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
	} parts[] = {{stack - MEMORY_FRAMES, stack + 4 * MEMORY_PAGE},
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
	bool linear = vma->kind == MEMORY_ANON && end - start >= LINEAR_MIN;
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
	f->held = linear && guards && !memory_is_huge(start) && hold_missing(start, end);
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

static int empty(uintptr_t start, uintptr_t end)
{
	int ret = advise(start, end, MADV_DONTNEED);

	return ret == -EINVAL ? advise(start, end, MADV_DONTNEED_LOCKED) : ret;
}

/* Makes [start, end) empty and trap: 0, PAGE_PROTECTED or -errno. */
static int trap(struct memory_freeze *f, uintptr_t start, uintptr_t end)
{
	int ret;

	if (guards && advise(start, end, MADV_GUARD_INSTALL) == 0)
		return 0;
	ret = protect(start, end, PROT_NONE);
	if (ret)
		return ret;
	ret = empty(start, end);
	if (ret) {
		protect(start, end, f->protection);
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
	if (!remap(start, store, size, MREMAP_DONTUNMAP)) {
		store_release(store, size);
		return -ENOMEM;
	}
	if (f->protection != (PROT_READ | PROT_WRITE))
		ret = protect(store, store + size, PROT_READ | PROT_WRITE);
	if (ret == 0)
		ret = trap(f, start, end);
	if (ret < 0) {
		protect(store, store + size, f->protection);
		remap(store, start, size, 0);
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
		ret = protect(start, end, PROT_READ);
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
		ret = protect(start, end, PROT_NONE);
	if (ret == 0)
		ret = trap(f, start, end);
	if (ret <= 0 && f->protection == f->vma.protection)
		protect(start, end, f->protection);
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
		else if (f->linear && to - start >= LINEAR_MIN)
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

/* ---- back ---- */

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
	protect(slot, slot + MEMORY_PAGE, protection);
	remap(slot, at, MEMORY_PAGE, 0);
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
	advise(start, end, MADV_GUARD_REMOVE);
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
		protect(at, end, PROT_NONE);
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
		protect(start, end, PROT_NONE);
		advise(start, end, MADV_GUARD_REMOVE);
	}
	for (uintptr_t at = start; at < end; at += MEMORY_PAGE) {
		uint64_t page = pages_get(at);
		uintptr_t store = (uintptr_t)page_store(page);

		if (host_pwrite(memory_vma_mem(), (void *)store, MEMORY_PAGE, (off_t)at) !=
		    (ssize_t)MEMORY_PAGE)
			install_page(at, store, protection);
	}
	if (protect(start, end, protection) && page_is_protected(first)) {
		empty(start, end);
		return;
	}
	drop_stores(start, end, first);
	pages_clear(start, end);
}

static void back_empty(uintptr_t start, uintptr_t end, uint64_t first)
{
	int protection = page_protection(first), writable = protection | PROT_READ | PROT_WRITE;

	/* In the kernel there is a page from now on, and not the zero page. */
	if ((page_is_protected(first) || protection != writable) && protect(start, end, writable) &&
	    page_is_protected(first))
		return;
	if (!page_is_protected(first))
		advise(start, end, MADV_GUARD_REMOVE);
	advise(start, end, MADV_POPULATE_WRITE);
	/* What was to be a huge page is one, whatever the mapping's advice. */
	for (uintptr_t at = start; first & PAGE_UNIT && end - at >= MEMORY_UNIT; at += MEMORY_UNIT)
		advise(at, at + MEMORY_UNIT, MADV_COLLAPSE);
	if (protection != writable)
		protect(start, end, protection);
	pages_clear(start, end);
}

/* The largest part that can be moved at once, for several mappings can't: its size, or 0. */
static size_t move_back(uintptr_t store, uintptr_t start, size_t size)
{
	struct memory_vma v;

	if (remap(store, start, size, 0))
		return size;
	if (!memory_vma_find(store, &v) || v.start > store || v.end - store >= size)
		return 0;
	size = v.end - store;
	return remap(store, start, size, 0) ? size : 0;
}

static void back_linear(uintptr_t start, uintptr_t end, uint64_t first)
{
	uintptr_t store = (uintptr_t)page_store(first);
	int protection = page_protection(first);

	if (end - start >= LINEAR_MIN && protection != (PROT_READ | PROT_WRITE))
		protect(store, store + (end - start), protection);
	while (end - start >= LINEAR_MIN) {
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
	if (protect((uintptr_t)copy, (uintptr_t)copy + MEMORY_PAGE, page_protection(page)) == 0 &&
	    remap((uintptr_t)copy, address, MEMORY_PAGE, 0))
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
			protect(start, to, page_protection(page));
		else if (accessible && page_is_trapped(page))
			advise(start, to, MADV_GUARD_REMOVE);
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

			advise(store, store + (to - start), advice);
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
