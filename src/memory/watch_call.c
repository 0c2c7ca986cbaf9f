/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's memory calls in ranges that are watched.
 *
 * What is emptied has to trap at once, so it is out of reach from before the call until it
 * does; so is what is moved, whose parts of several protections become one mapping by that.
 * Rules: fs/userfaultfd.c (mremap_userfaultfd_prep(), userfaultfd_remove(),
 * userfaultfd_unmap_prep()), mm/madvise.c, mm/mremap.c, zap_pte_range().
 */
#include "memory/watch_call.h"

#include <errno.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/advice.h"
#include "memory/lock.h"
#include "memory/served.h"
#include "memory/watch_private.h"
#include "uapi/mm.h"

static uintptr_t round_up(uintptr_t n)
{
	return (n + MEMORY_PAGE - 1) & ~(MEMORY_PAGE - 1);
}

/* The part of the first range in [start, end): false, there is none. */
static bool part_of(uintptr_t start, uintptr_t end, struct watch_range *ret)
{
	const struct watch_range *r = start < end ? watch_find(start) : NULL;

	if (!r || r->start >= end)
		return false;
	*ret = watch_part_of(r, r->start > start ? r->start : start, r->end < end ? r->end : end);
	return true;
}

/* ---- events ---- */

static bool told; /* since watch_told() */

bool watch_told(void)
{
	bool ret = told;

	told = false;
	return ret;
}

static void tell(void *owner, enum watch_what what, uintptr_t start, size_t size, uintptr_t to)
{
	struct watch_event event = {.what = what, .start = start, .to = to, .size = size};

	if (!watch_ops->event)
		return;
	watch_ops->event(owner, &event);
	told = true;
}

static bool frees(int advice)
{
	return advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED || advice == MADV_FREE ||
	       advice == MADV_REMOVE;
}

static void tell_removed(uintptr_t start, uintptr_t end, bool shared_only)
{
	struct watch_range r;
	uint64_t signals;
	bool settle;

	memory_lock(&signals);
	for (; part_of(start, end, &r); start = r.end) {
		r.end = watch_end_of(watch_at(r.start));
		r.end = r.end < end ? r.end : end;
		if (r.shared || !shared_only)
			tell(r.owner, WATCH_REMOVED, r.start, r.end - r.start, 0);
	}
	settle = watch_told();
	memory_unlock(&signals);
	if (settle)
		watch_ops->settle();
}

/* Each owner once. */
static void tell_unmapped(uintptr_t start, uintptr_t end)
{
	struct watch_range r, other;

	for (uintptr_t at = start; part_of(at, end, &r); at = r.end) {
		uintptr_t before = start;

		while (part_of(before, r.start, &other) && other.owner != r.owner)
			before = other.end;
		if (before >= r.start || !part_of(before, r.start, &other))
			tell(r.owner, WATCH_UNMAPPED, start, end - start, 0);
	}
}

/* ---- contents that go ---- */

/* Out of reach, where missing pages trap; what is backed goes when it traps again. */
static void hide(uintptr_t start, uintptr_t end)
{
	struct watch_range r;

	for (; part_of(start, end, &r); start = r.end)
		if (r.served)
			served_drop(&r, r.start, r.end);
		else if (watch_traps(&r) && !r.backed)
			watch_freeze(r.start, r.end);
}

static void show(uintptr_t start, uintptr_t end)
{
	struct watch_range r;

	for (; part_of(start, end, &r); start = r.end)
		if (watch_traps(&r) && !r.backed)
			watch_apply(&r, r.start, r.end);
}

/* Guard markers stay where contents go; those of poison are to go, where nothing else traps. */
static void unguard_poison(const struct watch_range *r)
{
	uintptr_t at = r->start, to;
	uint64_t mark;

	if (watch_traps(r) || !watch_marks_kept())
		return;
	for (; at < r->end; at = to) {
		to = watch_marks_run(at, r->end, r->page_size, &mark);
		if (mark & MARK_POISON && watch_is_guarded(r, mark))
			host_syscall(SYS_madvise, at, to - at, MADV_GUARD_REMOVE);
	}
}

/* The marks of what has been emptied: of files, protection stays. */
static void emptied(uintptr_t start, uintptr_t end)
{
	struct watch_range r;

	for (; part_of(start, end, &r); start = r.end) {
		unsigned gone = MARK_PRESENT | MARK_POISON | MARK_RWP;

		gone |= r.kind == MEMORY_ANON ? MARK_WP : 0;
		unguard_poison(&r);
		watch_marks_change(r.start, r.end, r.page_size, gone, 0);
		if (watch_traps(&r))
			watch_trap(&r, r.start, r.end);
		watch_apply(&r, r.start, r.end);
	}
}

/* What is poisoned outlives its range, but not the page; `markers`: nor do those that it traps by.
 */
static void forget_poison(uintptr_t start, uintptr_t end, bool markers)
{
	uint64_t mark;

	while (watch_marks_kept() && (start = watch_marks_next(start, end, &mark)) < end) {
		if (!watch_at(start)) {
			if (markers && !(mark & MARK_PROTECTED))
				host_syscall(SYS_madvise, start, MEMORY_PAGE, MADV_GUARD_REMOVE);
			watch_marks_change(start, start + MEMORY_PAGE, MEMORY_PAGE, ~0u, 0);
		}
		start += MEMORY_PAGE;
	}
}

/* ---- guard markers of the client's ---- */

static void guarded(uintptr_t start, uintptr_t end)
{
	struct watch_range r;

	for (; part_of(start, end, &r); start = r.end) {
		if (r.served)
			served_drop(&r, r.start, r.end);
		watch_marks_change(r.start, r.end, r.page_size, ~0u, MARK_GUARD);
		watch_apply(&r, r.start, r.end);
	}
}

/* The client's go; what is missing and was not guarded by it goes on trapping. */
static long unguard(uintptr_t start, uintptr_t end)
{
	struct watch_range r;
	long ret = 0;

	while (start < end && ret == 0) {
		bool is = part_of(start, end, &r);
		uintptr_t to = is ? r.start : end;

		if (start < to)
			ret = host_syscall(SYS_madvise, start, to - start, MADV_GUARD_REMOVE);
		if (is && (!watch_traps(&r) || r.by_protection || r.served))
			ret = host_syscall(SYS_madvise, r.start, r.end - r.start,
					   MADV_GUARD_REMOVE);
		if (is) {
			watch_marks_change(r.start, r.end, r.page_size, MARK_GUARD, 0);
			watch_apply(&r, r.start, r.end);
		}
		start = is ? r.end : end;
	}
	return ret;
}

/* ---- mprotect ---- */

int watch_change_protection(uintptr_t start, uintptr_t end, int protection)
{
	struct watch_range r, new;
	int ret = 0;

	for (; ret == 0 && part_of(start, end, &r); start = r.end) {
		new = r;
		new.protection = protection;
		ret = watch_room(2);
		if (ret == 0)
			ret = watch_apply(&new, r.start, r.end);
		if (ret == 0)
			watch_insert(&new);
		else
			watch_apply(&r, r.start, r.end);
	}
	return ret;
}

/* ---- munmap, mremap ---- */

/* The mapping is gone, and the owners are told. */
static void unmapped(uintptr_t start, uintptr_t end)
{
	tell_unmapped(start, end);
	watch_forget(start, end);
}

/* What is to move becomes one mapping, and is out of reach. */
static void hide_all(uintptr_t start, uintptr_t end)
{
	struct watch_range r;

	for (; part_of(start, end, &r); start = r.end)
		watch_freeze(r.start, r.end);
}

static void show_all(uintptr_t start, uintptr_t end)
{
	struct watch_range r;

	for (; part_of(start, end, &r); start = r.end)
		watch_apply(&r, r.start, r.end);
}

/* A part of a range has gone to `to`. */
static void moved(const struct watch_range *r, uintptr_t to, bool stays)
{
	struct watch_range new = *r;

	new.start = to;
	new.end = to + (r->end - r->start);
	watch_marks_move(r->start, to, r->end - r->start);
	if (r->modes & WATCH_FOLLOWS) {
		if (watch_room(4) == 0)
			watch_insert(&new);
		watch_apply(&new, new.start, new.end);
	} else {
		watch_end(&new, new.start, new.end, 0, true);
	}
	/* The alias goes with what follows. */
	if (r->modes & WATCH_FOLLOWS && watch_room(4) == 0) {
		new = *r;
		new.alias = 0;
		watch_insert(&new);
	}
	if (!stays)
		return;
	/* Where it was it is empty now, and still watched. */
	if (watch_traps(r))
		watch_trap(r, r->start, r->end);
	watch_apply(r, r->start, r->end);
}

/* Poison that has outlived its range goes with its markers. */
static void move_poison(uintptr_t from, uintptr_t size, uintptr_t to)
{
	uintptr_t at = from;
	uint64_t mark;

	for (; watch_marks_kept() && (at = watch_marks_next(at, from + size, &mark)) < from + size;
	     at += MEMORY_PAGE)
		if (!watch_at(at))
			watch_marks_move(at, at - from + to, MEMORY_PAGE);
}

/* The end of a mapping that has grown belongs to its range. */
static void grown(uintptr_t old_end, uintptr_t new_end)
{
	struct watch_range r, new;
	const struct watch_range *last = watch_at(old_end - 1);

	if (!last || watch_room(4) < 0)
		return;
	r = *last;
	new = r;
	new.start = old_end;
	new.end = new_end;
	new.offset += old_end - r.start;
	new.alias = 0;
	if (watch_begin(&new, false) == 0)
		watch_insert(&new);
}

static void remapped(const struct memory_call *c, uintptr_t to)
{
	uintptr_t from = c->address;
	size_t size = round_up(c->size), new_size = round_up(c->new_size);
	bool stays = c->flags & MREMAP_DONTUNMAP;
	struct watch_range r;
	void *follows = NULL;

	if (c->flags & MREMAP_FIXED)
		unmapped(to, to + new_size);
	if (new_size < size) {
		unmapped(from + new_size, from + size);
		size = new_size;
	}
	if (from == to) {
		show_all(from, from + size);
		if (new_size > size)
			grown(from + size, from + new_size);
		return;
	}
	move_poison(from, size, to);
	for (uintptr_t at = from; part_of(at, from + size, &r); at = r.end) {
		if (r.modes & WATCH_FOLLOWS)
			follows = r.owner;
		moved(&r, r.start - from + to, stays);
	}
	if (new_size > size && size)
		grown(to + size, to + new_size);
	if (follows)
		tell(follows, WATCH_REMAPPED, from, size, to);
	if (!stays)
		unmapped(from, from + size);
	else
		forget_poison(from, from + size, false);
}

/* ---- all ---- */

void watch_call_before(const struct memory_call *c, uintptr_t end)
{
	if (!watch_any())
		return;
	if (c->operation == MEMORY_CALL_KEY || c->operation == MEMORY_CALL_POPULATE)
		watch_reach((void *)c->address, c->size, false);
	if (c->operation != MEMORY_CALL_ADVISE)
		return;
	if (c->flags == MADV_POPULATE_READ || c->flags == MADV_POPULATE_WRITE)
		watch_reach((void *)c->address, c->size, c->flags == MADV_POPULATE_WRITE);
	else if (frees(c->flags))
		tell_removed(c->address, end, c->flags == MADV_REMOVE);
}

/* ---- what is served ---- */

/* Whether all of [start, end) is; *ret_any: any. */
static bool all_served(uintptr_t start, uintptr_t end, bool *ret_any)
{
	struct watch_range r;
	bool all = true;

	*ret_any = false;
	for (; part_of(start, end, &r); start = r.end) {
		all &= r.start == start && r.served;
		*ret_any |= r.served;
	}
	return all && start >= end;
}

/* What has been said of [start, end), all of which is served, is so when it is plain memory. */
static void keep_advice(uintptr_t start, uintptr_t end, int advice)
{
	struct watch_range r;

	for (; watch_room(2) == 0 && part_of(start, end, &r); start = r.end)
		if (advice_change(&r.advice, advice))
			watch_insert(&r);
}

/* What a call means for anonymous memory, and would not for a file; or does for its pages. */
static void begin_served(struct memory_call *c, uintptr_t end)
{
	bool any, all = all_served(c->address, end, &any), takes_out = false;

	if (!any)
		return;
	switch (c->operation == MEMORY_CALL_ADVISE ? c->flags : -1) {
	case -1:
		takes_out = c->operation == MEMORY_CALL_REMAP;
		break;
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
		c->handled = all;
		c->result = 0;
		takes_out = !all;
		if (all)
			keep_advice(c->address, end, c->flags);
		break;
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
		takes_out = !all;
		if (all)
			keep_advice(c->address, end, c->flags);
		break;
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_COLLAPSE:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
		takes_out = true;
		break;
	}
	if (takes_out && served_take_out(c->address, end) < 0) {
		c->handled = true;
		c->result = -ENOMEM;
	}
}

void watch_call_begin(struct memory_call *c, uintptr_t end)
{
	struct watch_range r;

	if (!part_of(c->address, end, &r))
		return;
	begin_served(c, end);
	if (c->handled)
		return;
	switch (c->operation) {
	case MEMORY_CALL_REMAP:
		/* Sizes of 0 leave it in its place. */
		hide_all(c->address, end);
		break;
	case MEMORY_CALL_ADVISE:
		if (c->flags != MADV_FREE && frees(c->flags))
			hide(c->address, end);
		if (c->flags == MADV_GUARD_REMOVE) {
			c->handled = true;
			c->result = unguard(c->address, end);
		}
		break;
	default:
		break;
	}
}

static void advised(const struct memory_call *c, uintptr_t end, long result)
{
	/* Of a range with holes all the rest has been done. */
	bool done = result == 0 || result == -ENOMEM;

	switch (c->flags) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_REMOVE:
		if (done) {
			emptied(c->address, end);
			forget_poison(c->address, end, true);
		} else {
			show(c->address, end);
		}
		break;
	case MADV_GUARD_INSTALL:
		if (done) {
			guarded(c->address, end);
			forget_poison(c->address, end, false);
		}
		break;
	}
}

void watch_call_end(const struct memory_call *c, uintptr_t end, long result, bool failed)
{
	if (!watch_any())
		return;
	switch (c->operation) {
	case MEMORY_CALL_MAP:
	case MEMORY_CALL_UNMAP:
	case MEMORY_CALL_BREAK:
		if (!failed)
			unmapped(c->address, end);
		break;
	case MEMORY_CALL_REMAP:
		if (failed)
			show_all(c->address, end);
		else
			remapped(c, (uintptr_t)result);
		break;
	case MEMORY_CALL_ADVISE:
		if (!c->handled)
			advised(c, end, result);
		break;
	default:
		break;
	}
}

/* ---- fork ---- */

/* What the client has kept from its children (MADV_DONTFORK). */
static void forget_absent(void)
{
	const struct watch_range *r;
	uintptr_t at = 0, to;

	while ((r = watch_find(at))) {
		at = at > r->start ? at : r->start;
		if (memory_vma_protection(at, &to) >= 0) {
			at = to;
			continue;
		}
		to = to < r->end ? to : r->end;
		watch_forget(at, to);
		at = to;
	}
}

void watch_forked(void)
{
	if (!watch_any())
		return;
	forget_absent();
	served_take_out(0, MEMORY_LIMIT);
	if (watch_ops->forked)
		watch_ops->forked();
	watch_clear_others();
}
