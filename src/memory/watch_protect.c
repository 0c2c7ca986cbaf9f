/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protection of single pages.  A run of pages that are alike costs a mapping, of which the
 * kernel allows a limited number: when it says so, what has been asked for is taken back as far
 * as it has not been done.
 *
 * What is missing can be protected from writing if the range says so, and always in files, where
 * the kernel keeps a marker.  Rules: change_pte_range(), mwriteprotect_range(),
 * mrwprotect_range().
 */
#include <errno.h>

#include "core/log.h"
#include "memory/watch_private.h"

static void warn_of_limit(void)
{
	static bool warned;

	if (warned)
		return;
	warned = true;
	log_warning("too many write-protected runs of pages: the sysctl vm.max_map_count limits "
		    "them");
}

static int mark_run(const struct watch_range *r, uintptr_t start, uintptr_t end, unsigned mark)
{
	uintptr_t to;
	int ret = 0;

	/* Pages that have the mark already are not to lose it. */
	for (; start < end && ret == 0; start = to) {
		uint64_t before;

		to = watch_marks_run(start, end, r->page_size, &before);
		if (before & (mark | MARK_POISON))
			continue;
		ret = watch_marks_change(start, to, r->page_size, 0, mark);
		if (ret == 0)
			ret = watch_apply(r, start, to);
		if (ret == 0)
			continue;
		watch_marks_change(start, to, r->page_size, mark, 0);
		watch_apply(r, start, to);
	}
	if (ret == -ENOMEM)
		warn_of_limit();
	return ret;
}

static bool takes_missing(const struct watch_range *r)
{
	return r->kind != MEMORY_ANON || r->modes & WATCH_UNPOPULATED;
}

static int protect(const struct watch_range *r, uintptr_t start, uintptr_t end, unsigned mark,
		   bool missing_too)
{
	uintptr_t to;
	int ret = 0;

	if (missing_too)
		return mark_run(r, start, end, mark);
	while (ret == 0 && (start = watch_next(r, start, end, true, &to)) < end) {
		ret = mark_run(r, start, to, mark);
		start = to;
	}
	return ret;
}

int watch_protect_any(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	return mark_run(r, start, end, MARK_WP);
}

static int unprotect(const struct watch_range *r, uintptr_t start, uintptr_t end, unsigned mark)
{
	watch_marks_change(start, end, r->page_size, mark, 0);
	return watch_apply(r, start, end);
}

static int change(uintptr_t start, uintptr_t end, bool on, unsigned mode, unsigned mark)
{
	const struct watch_range *r;
	int ret = 0;

	for (; start < end && ret == 0 && (r = watch_find(start)) && r->start < end;
	     start = r->end) {
		uintptr_t from = r->start > start ? r->start : start;
		uintptr_t to = r->end < end ? r->end : end;

		if (!(r->modes & mode))
			return -ENOENT;
		ret = on ? protect(r, from, to, mark, mode == WATCH_WP && takes_missing(r))
			 : unprotect(r, from, to, mark);
	}
	return ret;
}

int watch_protect(uintptr_t start, uintptr_t end, bool on)
{
	return change(start, end, on, WATCH_WP, MARK_WP);
}

int watch_protect_all(uintptr_t start, uintptr_t end, bool on)
{
	return change(start, end, on, WATCH_RWP, MARK_RWP);
}
