/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the client's memory calls do to pages that are owned, and who is told.
 *
 * Everything is done after the system call, still under the lock, so nothing is lost when
 * the kernel refuses.  Before it come only those that need pages in their places.
 */
#include "memory/calls.h"

#include <errno.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/backed.h"
#include "memory/memory.h"
#include "memory/watch_call.h"
#include "memory/watch.h"
#include "uapi/mm.h"

static uintptr_t round_up(uintptr_t n)
{
	return (n + MEMORY_PAGE - 1) & ~(MEMORY_PAGE - 1);
}

static bool overlaps_owned(uintptr_t start, uintptr_t end)
{
	return pages_next(start, end, NULL) < end;
}

static bool any_protected(uintptr_t start, uintptr_t end)
{
	uint64_t page;

	if (!pages_any_protected())
		return false;
	while ((start = pages_next(start, end, &page)) < end) {
		if (page_is_protected(page))
			return true;
		start += MEMORY_PAGE;
	}
	return false;
}

static void gone(uintptr_t start, uintptr_t end)
{
	memory_notify(start, end, MEMORY_UNMAP, NULL);
	memory_drop(start, end, false);
	backed_forget(start, end);
}

/* ---- mprotect ---- */

/* In order of address, up to the first error or hole, as the kernel does. */
static long protect(uintptr_t start, uintptr_t end, int protection)
{
	struct memory_vma v;
	uintptr_t to;
	int ret = 0;

	for (; start < end && ret == 0; start = to) {
		if (!memory_vma_find(start, &v) || v.start > start)
			return -ENOMEM;
		to = v.end < end ? v.end : end;
		if (v.protection == protection)
			continue;
		ret = watch_in(start, to) ? watch_change_protection(start, to, protection)
					  : memory_change_protection(start, to, protection);
		if (ret == 0)
			memory_notify(start, to, MEMORY_PROTECTION, NULL);
	}
	return ret;
}

/* ---- madvise ---- */

/* The client's own markers go; ours, which it does not know of, stay. */
static long remove_guards(uintptr_t start, uintptr_t end)
{
	uint64_t page;
	long ret = 0;

	while (start < end && ret == 0) {
		uintptr_t to = start;

		while ((to = pages_next(to, end, &page)) < end && !page_is_trapped(page))
			to += MEMORY_PAGE;
		to = to < end ? to : end;
		if (to > start)
			ret = host_syscall(SYS_madvise, start, to - start, MADV_GUARD_REMOVE);
		start = to + MEMORY_PAGE;
	}
	return ret;
}

static void advise_begin(struct memory_call *c, uintptr_t end)
{
	if (c->flags != MADV_GUARD_REMOVE || !overlaps_owned(c->address, end))
		return;
	c->handled = true;
	c->result = remove_guards(c->address, end);
}

static void advise_end(struct memory_call *c, uintptr_t end, long result)
{
	/* Of a range with holes all the rest has been done. */
	bool done = result == 0 || result == -ENOMEM;

	switch (c->flags) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_REMOVE:
		if (!done)
			break;
		backed_empty(c->address, end);
		memory_notify(c->address, end, MEMORY_CLEAR, NULL);
		memory_drop(c->address, end, true);
		break;
	case MADV_GUARD_INSTALL:
		if (!done)
			break;
		backed_empty(c->address, end);
		memory_notify(c->address, end, MEMORY_CLEAR, NULL);
		memory_drop(c->address, end, false);
		break;
	case MADV_FREE:
	case MADV_COLLAPSE:
		memory_notify(c->address, end, MEMORY_CLEAR, NULL);
		break;
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
		if (done)
			memory_advise_stores(c->address, end, c->flags);
		break;
	}
}

/* ---- mremap ---- */

static void remap_end(struct memory_call *c, uintptr_t to)
{
	uintptr_t from = c->address;
	size_t size = round_up(c->size), new_size = round_up(c->new_size);
	size_t moved = size < new_size ? size : new_size;

	if (c->flags & MREMAP_FIXED)
		gone(to, to + new_size);
	if (from != to && size) {
		memory_notify(from, from + size, MEMORY_UNMAP, NULL);
		memory_rekey(from, to, moved);
	}
	if (new_size < size)
		gone(from + new_size, from + size);
}

/* ---- memory that is backed ---- */

/* Whether madvise(2) does to shared memory what it does to private memory. */
static bool advice_is_alike(const struct memory_call *c, uintptr_t end)
{
	switch (c->flags) {
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
	case MADV_GUARD_INSTALL:
	case MADV_GUARD_REMOVE:
		return true;
	default:
		return backed_advise(c->address, end, c->flags);
	}
}

/* What is backed becomes plain memory, if the call is to be made to that. */
static int back_no_more(const struct memory_call *c, uintptr_t end)
{
	bool alike = c->operation != MEMORY_CALL_REMAP && c->operation != MEMORY_CALL_KEY;

	if (!backed_in(c->address, end))
		return 0;
	if (c->operation == MEMORY_CALL_ADVISE)
		alike = advice_is_alike(c, end);
	return alike ? 0 : backed_take_out(c->address, end);
}

/* ---- all ---- */

static bool populates(const struct memory_call *c)
{
	return c->operation == MEMORY_CALL_POPULATE ||
	       (c->operation == MEMORY_CALL_ADVISE &&
		(c->flags == MADV_POPULATE_READ || c->flags == MADV_POPULATE_WRITE));
}

bool memory_call_begin(struct memory_call *c)
{
	uintptr_t end = c->address + round_up(c->size);

	c->handled = false;
	/* With an old size of 0 shared memory is mapped again, and private memory isn't. */
	if (c->operation == MEMORY_CALL_REMAP && !c->size)
		backed_take_out_unlocked(c->address, c->size);
	if (!memory_active() || c->address % MEMORY_PAGE || c->size > MEMORY_LIMIT ||
	    end > MEMORY_LIMIT || (!c->size && c->operation != MEMORY_CALL_BREAK))
		return false;
	watch_call_before(c, end);
	if (populates(c)) {
		memory_make_resident((void *)c->address, c->size);
		if (c->operation == MEMORY_CALL_POPULATE)
			backed_take_out_unlocked(c->address, c->size);
		return false;
	}
	memory_lock(&c->signals);
	memory_validate(c->address, end);
	c->result = back_no_more(c, end);
	c->handled = c->result < 0;
	if (c->handled)
		return true;
	watch_call_begin(c, end);
	switch (c->operation) {
	case MEMORY_CALL_REMAP:
		/* A range of several protections can't be moved. */
		if (any_protected(c->address, end))
			memory_make_resident((void *)c->address, c->size);
		break;
	case MEMORY_CALL_PROTECT:
		if (!any_protected(c->address, end) && !watch_in(c->address, end) &&
		    (c->flags & ~(PROT_READ | PROT_WRITE | PROT_EXEC)))
			break;
		c->handled = true;
		c->result = protect(c->address, end, c->flags);
		break;
	case MEMORY_CALL_ADVISE:
		advise_begin(c, end);
		break;
	case MEMORY_CALL_KEY:
		memory_make_resident((void *)c->address, c->size);
		break;
	default:
		break;
	}
	return true;
}

void memory_call_end(struct memory_call *c, long result)
{
	uintptr_t end = c->address + round_up(c->size);
	bool failed = (unsigned long)result >= (unsigned long)-4095L, settle;

	watch_call_end(c, end, result, failed);
	switch (c->operation) {
	case MEMORY_CALL_MAP:
	case MEMORY_CALL_UNMAP:
		if (!failed)
			gone(c->address, end);
		break;
	case MEMORY_CALL_REMAP:
		if (!failed)
			remap_end(c, (uintptr_t)result);
		break;
	case MEMORY_CALL_BREAK:
		if (!failed)
			gone(c->address, end);
		break;
	case MEMORY_CALL_ADVISE:
		if (!c->handled)
			advise_end(c, end, result);
		break;
	default:
		break;
	}
	settle = watch_told();
	memory_unlock(&c->signals);
	if (settle)
		watch_ops->settle();
}
