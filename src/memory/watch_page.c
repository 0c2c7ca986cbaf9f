/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel's page tables are made to be, so that what is watched traps.
 *
 * What is missing has a guard marker, which divides no mapping; where there can't be any
 * (kernels before 6.13, locked memory, huge pages), it is PROT_NONE.  What is protected from
 * writing lacks PROT_WRITE.  The protection of what has a marker is always the client's.
 */
#include <errno.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/advice.h"
#include "memory/backed.h"
#include "memory/move.h"
#include "memory/range.h"
#include "memory/served.h"
#include "memory/server.h"
#include "memory/watch_private.h"
#include "uapi/mm.h"

int watch_effective(const struct watch_range *r, uint64_t mark)
{
	bool away = (watch_is_missing(r, mark) && !r->served) || mark & MARK_POISON;

	if (away)
		return watch_is_guarded(r, mark) ? r->protection : PROT_NONE;
	if (mark & MARK_RWP)
		return PROT_NONE;
	return mark & MARK_WP ? r->protection & ~PROT_WRITE : r->protection;
}

int watch_apply(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	int ret = 0;

	while (start < end && ret == 0) {
		uint64_t mark;
		uintptr_t to = watch_marks_run(start, end, r->page_size, &mark), next;
		int protection = watch_effective(r, mark);

		for (; to < end; to = next) {
			next = watch_marks_run(to, end, r->page_size, &mark);
			if (watch_effective(r, mark) != protection)
				break;
		}
		ret = host_mprotect((void *)start, to - start, protection);
		start = to;
	}
	atomic_fetch_add(&memory_moves, 1);
	return ret;
}

int watch_freeze(uintptr_t start, uintptr_t end)
{
	atomic_fetch_add(&memory_moves, 1);
	return range_protect(start, end, PROT_NONE);
}

/* Empties [start, end) where there are no markers. */
static int empty(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	int ret = range_protect(start, end, PROT_NONE);

	if (ret)
		return ret;
	return range_empty(start, end);
}

int watch_trap(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	int ret;

	if (r->served) {
		served_empty(start, end);
		return 0;
	}
	if (!r->by_protection && memory_traps_markers() &&
	    range_advise(start, end, MADV_GUARD_INSTALL) == 0) {
		watch_marks_change(start, end, r->page_size, MARK_PROTECTED, 0);
		return 0;
	}
	ret = empty(r, start, end);
	if (ret == 0 && !r->by_protection)
		ret = watch_marks_change(start, end, r->page_size, 0, MARK_PROTECTED);
	return ret;
}

/* ---- the whole of a range ---- */

/* The same as memory_populated(). */
static uintptr_t populated(const struct watch_range *r, uintptr_t at, uintptr_t end, bool there,
			   uintptr_t *ret_end)
{
	return r->backed ? backed_next(at, end, there, ret_end)
			 : memory_populated(at, end, there, ret_end);
}

uintptr_t watch_next(const struct watch_range *r, uintptr_t at, uintptr_t end, bool there,
		     uintptr_t *ret_end)
{
	uint64_t mark;
	uintptr_t to;

	if (!watch_traps(r))
		return populated(r, at, end, there, ret_end);
	for (; at < end; at = to) {
		to = watch_marks_run(at, end, r->page_size, &mark);
		if (watch_is_missing(r, mark) == there)
			continue;
		for (*ret_end = to; to < end; *ret_end = to) {
			to = watch_marks_run(to, end, r->page_size, &mark);
			if (watch_is_missing(r, mark) == there)
				break;
		}
		return at;
	}
	*ret_end = end;
	return end;
}

/* Locked memory, for one, has no markers: of a mapping all can, or nothing. */
static void trap_missing(struct watch_range *r, uintptr_t start, uintptr_t end)
{
	if (!r->by_protection)
		r->by_protection = range_advise(start, end, MADV_GUARD_INSTALL) < 0;
}

static int begin_traps(struct watch_range *r)
{
	uintptr_t at = r->start, from, to;
	int ret = 0;

	for (; at < r->end && ret == 0; at = to) {
		from = populated(r, at, r->end, true, &to);
		if (at < from)
			trap_missing(r, at, from);
		if (from < to)
			ret = watch_marks_change(from, to, r->page_size, 0, MARK_PRESENT);
	}
	return ret;
}

bool watch_is_poisoned(uintptr_t at, uint64_t mark)
{
	uintptr_t to;
	uint8_t state;

	if (!(mark & MARK_POISON))
		return false;
	if (mark & MARK_PROTECTED)
		return memory_vma_protection(at, &to) == PROT_NONE;
	return memory_states(at, at + MEMORY_PAGE, &state) == 0 && (state & MEMORY_SWAPPED);
}

/* Of marks that are left from another range, only those are true that still trap. */
static void drop_old_marks(uintptr_t start, uintptr_t end)
{
	uint64_t mark;

	while ((start = watch_marks_next(start, end, &mark)) < end) {
		if (!watch_is_poisoned(start, mark))
			watch_marks_change(start, start + MEMORY_PAGE, MEMORY_PAGE, ~0u, 0);
		start += MEMORY_PAGE;
	}
}

static bool is_empty(const struct watch_range *r)
{
	uintptr_t to;

	return memory_populated(r->start, r->end, true, &to) == r->end;
}

/* Whether the range may become backed, and then what its mapping has been advised. */
static bool may_be_backed(const struct watch_range *r, unsigned *ret_advice)
{
	struct memory_vma v;
	int advice;

	if (!(r->modes & WATCH_MISSING) || r->kind != MEMORY_ANON || r->backed || !is_empty(r) ||
	    !memory_mapping(r->start, &v) || v.end < r->end || v.inode)
		return false;
	advice = advice_of(&v);
	*ret_advice = (unsigned)advice;
	return advice >= 0;
}

int watch_begin(struct watch_range *r, bool again)
{
	bool frozen = r->protection & PROT_WRITE, serve, new;
	unsigned advice = 0;
	int ret = 0;

	/* Even of what is all there: neighbours that are alike are one range. */
	if (!memory_traps_markers() || r->kind == MEMORY_HUGETLB)
		r->by_protection = true;
	if (!again)
		drop_old_marks(r->start, r->end);
	if (!watch_traps(r))
		return 0;
	watch_alias_make(r);
	serve = r->modes & WATCH_SERVED && served_may_be(r);
	new = may_be_backed(r, &advice);
	/* A marker empties its page: nobody is to write meanwhile. */
	if (frozen) {
		atomic_fetch_add(&memory_moves, 1);
		ret = host_mprotect((void *)r->start, r->end - r->start,
				    r->protection & ~PROT_WRITE);
	}
	if (ret == 0 && serve && served_make(r))
		return 0;
	new = new &&ret == 0 && is_empty(r) && backed_make(r->start, r->end, advice);
	r->backed |= new;
	if (ret == 0)
		ret = begin_traps(r);
	if (ret < 0) {
		watch_end(r, r->start, r->end, 0, frozen || new);
		watch_alias_free(r);
		return ret;
	}
	if (frozen || new || r->by_protection)
		ret = watch_apply(r, r->start, r->end);
	return ret;
}

void watch_unguard(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	if (!r->by_protection && ((watch_traps(r) && !r->served) || watch_marks_kept()))
		range_advise(start, end, MADV_GUARD_REMOVE);
}

int watch_reveal(const struct watch_range *r, uintptr_t start, uintptr_t end, unsigned flags,
		 unsigned keep)
{
	unsigned add = (watch_traps(r) ? MARK_PRESENT : 0) | (flags & WATCH_PROTECT ? MARK_WP : 0);
	int ret = watch_marks_reserve(start, end, r->page_size);
	bool protected;

	if (ret < 0)
		return ret;
	protected = add & MARK_WP || watch_any_protected(r, start, end);
	watch_marks_change(start, end, r->page_size,
			   (MARK_WP | MARK_PROTECTED | MARK_POISON) & ~keep, add);
	if (protected)
		ret = watch_apply(r, start, end);
	watch_unguard(r, start, end);
	if (r->served)
		server_look();
	return ret;
}

/* The kernel's markers that were for what is missing. */
static void remove_guards(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	uint64_t mark;
	uintptr_t to;

	if (!watch_traps(r) || r->by_protection || r->served)
		return;
	if (!watch_marks_kept()) {
		range_advise(start, end, MADV_GUARD_REMOVE);
		return;
	}
	for (; start < end; start = to) {
		to = watch_marks_run(start, end, r->page_size, &mark);
		if (watch_is_missing(r, mark))
			range_advise(start, to, MADV_GUARD_REMOVE);
	}
}

bool watch_any_protected(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	uint64_t mark;

	if (r->by_protection)
		return true;
	for (; start < end; start = watch_marks_run(start, end, r->page_size, &mark)) {
		mark = watch_mark(start);
		if (mark & (MARK_WP | MARK_RWP | MARK_PROTECTED))
			return true;
	}
	return false;
}

void watch_end(const struct watch_range *r, uintptr_t start, uintptr_t end, unsigned kept,
	       bool frozen)
{
	bool protected = frozen || watch_any_protected(r, start, end);
	struct watch_range none = *r;

	none.modes = 0;
	if (r->backed)
		backed_stream_end();
	remove_guards(r, start, end);
	for (uintptr_t at = start, to; at < end; at = to) {
		uint64_t mark;
		unsigned keep;

		to = watch_marks_run(at, end, r->page_size, &mark);
		keep = (unsigned)mark & kept;
		if (mark & MARK_POISON)
			keep |= MARK_POISON |
				(r->by_protection ? MARK_PROTECTED : mark & MARK_PROTECTED);
		watch_marks_change(at, to, r->page_size, ~keep, keep);
	}
	none.by_protection = false;
	if (r->served) {
		none.served = false;
		served_convert(&none, start, end);
	}
	if (protected || r->served)
		watch_apply(&none, start, end);
}
