/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a fault in a range that is watched is.  Marks tell; the kernel is asked too, because
 * libc may have unmapped the range and nobody was told, or another thread may have been faster.
 */
#include <sys/mman.h>

#include "core/syscall.h"
#include "memory/served.h"

/*
 * Whether the mapping is there: a page of it that had no marker would not have trapped.  Of the
 * calls that tell, this one does the least besides.
 */
static bool is_mapped(uintptr_t at)
{
	return host_syscall(SYS_msync, at, MEMORY_PAGE, MS_ASYNC) == 0;
}

/* Whether the kernel would let the access pass, or there is no mapping. */
static bool is_open(uintptr_t at, bool write)
{
	uintptr_t to;
	int protection = memory_vma_protection(at, &to);

	return protection < 0 || (write ? protection & PROT_WRITE : protection != PROT_NONE);
}

/* The mapping has been replaced: what was known of it is of no use. */
static enum watch_verdict lost(uintptr_t at)
{
	struct memory_vma v;

	watch_forget(at, at + MEMORY_PAGE);
	if (memory_vma_find(at, &v) && v.start <= at)
		watch_forget(v.start, v.end);
	return WATCH_NOT_OURS;
}

/*
 * Without protection, asynchronously.  If there can't be more mappings, more pages than have been
 * used are said to have been.
 */
static enum watch_verdict lift(const struct watch_range *r, uintptr_t at, unsigned mark)
{
	watch_marks_change(at, at + r->page_size, r->page_size, mark, 0);
	if (watch_apply(r, at, at + r->page_size) == 0)
		return WATCH_RETRY;
	watch_marks_change(r->start, r->end, r->page_size, mark, 0);
	watch_apply(r, r->start, r->end);
	return WATCH_RETRY;
}

static enum watch_verdict classify_missing(const struct watch_range *r, uintptr_t at, uint64_t mark,
					   bool write, unsigned *ret_reason)
{
	/* Here it should wait in the kernel; but an answer may have been refused. */
	if (r->served && served_is_there(at)) {
		*ret_reason = WATCH_MISSING;
		return WATCH_ASK;
	}
	if (watch_is_guarded(r, mark) ? !is_mapped(at) : is_open(at, write))
		return lost(at);
	if (r->kind == MEMORY_ANON) {
		*ret_reason = WATCH_MISSING;
		return WATCH_ASK;
	}
	*ret_reason = watch_is_cached(r, at) ? WATCH_MINOR : WATCH_MISSING;
	if (*ret_reason == WATCH_MISSING && watch_is_beyond(r, at))
		return WATCH_BEYOND;
	if (r->modes & *ret_reason)
		return WATCH_ASK;
	watch_reveal(r, at, at + r->page_size, 0, MARK_WP);
	return WATCH_RETRY;
}

enum watch_verdict watch_classify(uintptr_t address, bool write, unsigned *ret_reason,
				  const struct watch_range **ret_range)
{
	const struct watch_range *r = watch_at(address);
	uintptr_t at = address & ~((r ? r->page_size : MEMORY_PAGE) - 1);
	uint64_t mark = watch_mark(at);

	*ret_range = r;
	if (!r)
		return watch_is_poisoned(at, mark) ? WATCH_POISONED : WATCH_NOT_OURS;
	if (write ? !(r->protection & PROT_WRITE) : r->protection == PROT_NONE)
		return WATCH_NOT_OURS;
	if (mark & MARK_POISON)
		return WATCH_POISONED;
	if (watch_is_missing(r, mark))
		return classify_missing(r, at, mark, write, ret_reason);
	if (mark & MARK_RWP) {
		if (is_open(at, write))
			return WATCH_NOT_OURS;
		if (r->modes & WATCH_RWP_ASYNC)
			return lift(r, at, MARK_RWP);
		*ret_reason = WATCH_RWP;
		return WATCH_ASK;
	}
	if (mark & MARK_WP && write) {
		if (is_open(at, write))
			return WATCH_NOT_OURS;
		if (r->modes & WATCH_WP_ASYNC)
			return lift(r, at, MARK_WP);
		*ret_reason = WATCH_WP;
		return WATCH_ASK;
	}
	return WATCH_NOT_OURS;
}
