/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is not watched is as the kernel says.  In a range, the kernel is asked for what it has,
 * and the marks say what that means: a marker of ours is nothing, a page that we protect is as
 * written to or accessed as its mark says.
 *
 * Runs of pages that are alike go through the same steps as single pages do in the kernel.
 * Rules: fs/proc/task_mmu.c, pagemap_scan_pmd_entry(), pagemap_page_category() and
 * pagemap_scan_output().
 */
#include "memory/scan.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "core/user.h"
#include "memory/backed.h"
#include "memory/memory.h"
#include "memory/watch_call.h"
#include "memory/watch_private.h"
#include "uapi/mm.h"

struct scan {
	struct pm_scan_arg arg;
	uint64_t found; /* pages */
	struct page_region last;
	uint64_t n; /* regions that have been written */
	bool full;
};

static int get_arguments(struct scan *s, const void *argument)
{
	struct pm_scan_arg *a = &s->arg;
	uint64_t categories;

	if (copy_guarded(a, argument, sizeof(*a)) < 0)
		return -EFAULT;
	categories =
		a->category_inverted | a->category_mask | a->category_anyof_mask | a->return_mask;
	if (a->size != sizeof(*a) || a->flags & ~(uint64_t)PM_SCAN_FLAGS ||
	    categories & ~(uint64_t)PAGE_IS_ALL || a->start % MEMORY_PAGE)
		return -EINVAL;
	if (a->end < a->start || a->end > MEMORY_LIMIT)
		return -EFAULT;
	if (!a->vec && a->vec_len)
		return -EINVAL;
	if (a->vec_len > MEMORY_LIMIT / sizeof(struct page_region) || a->vec > MEMORY_LIMIT)
		return -EFAULT;
	a->end = (a->end + MEMORY_PAGE - 1) & ~(MEMORY_PAGE - 1);
	a->walk_end = 0;
	if (!a->max_pages)
		a->max_pages = UINT64_MAX;
	return 0;
}

/* ---- output ---- */

static int flush(struct scan *s)
{
	struct page_region *vec = (struct page_region *)(uintptr_t)s->arg.vec;

	if (!s->last.end)
		return 0;
	if (copy_guarded(&vec[s->n], &s->last, sizeof(s->last)) < 0)
		return -EFAULT;
	s->n++;
	s->last.end = 0;
	return 0;
}

/* The pages of [start, *end) that there is room for; *end is where they end. */
static int put(struct scan *s, uint64_t categories, uintptr_t start, uintptr_t *end)
{
	uint64_t left = s->arg.max_pages - s->found;
	int ret = 0;

	if (!s->arg.vec_len)
		return 0;
	categories &= s->arg.return_mask;
	if ((*end - start) / MEMORY_PAGE > left) {
		*end = start + left * MEMORY_PAGE;
		s->full = true;
	}
	if (s->last.end != start || s->last.categories != categories) {
		if (s->last.end && s->n + 1 == s->arg.vec_len) {
			*end = start;
			s->full = true;
			return 0;
		}
		ret = flush(s);
		s->last.start = start;
		s->last.categories = categories;
	}
	if (start < *end)
		s->last.end = *end;
	s->found += (*end - start) / MEMORY_PAGE;
	return ret;
}

static bool is_interesting(const struct scan *s, uint64_t categories)
{
	categories ^= s->arg.category_inverted;
	return (categories & s->arg.category_mask) == s->arg.category_mask &&
	       (!s->arg.category_anyof_mask || categories & s->arg.category_anyof_mask);
}

/* ---- pages ---- */

static bool is_asynchronous(const struct watch_range *r)
{
	return r && (r->modes & WATCH_WP) && (r->modes & WATCH_WP_ASYNC);
}

/* What the kernel's categories of a page in a range mean. */
static uint64_t meaning(const struct watch_range *r, uint64_t mark, uint64_t kernel)
{
	const uint64_t there = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
	uint64_t is = kernel & (there | PAGE_IS_FILE | PAGE_IS_PFNZERO | PAGE_IS_HUGE |
				PAGE_IS_SOFT_DIRTY | PAGE_IS_GUARD);

	if (watch_is_missing(r, mark))
		is &= PAGE_IS_SOFT_DIRTY;
	else if (mark & MARK_POISON)
		is = PAGE_IS_SWAPPED;
	else if (mark & MARK_PRESENT && !(is & there) && r->shared)
		is |= PAGE_IS_PRESENT | PAGE_IS_FILE;
	else if (mark & MARK_PRESENT && !(is & there) && r->backed)
		is |= PAGE_IS_PRESENT | PAGE_IS_PFNZERO;
	if (r->served && !watch_is_missing(r, mark)) {
		/* Pages of zeroes are the file's, if the kernel has them at all. */
		if (is & PAGE_IS_FILE || !(is & there))
			is |= PAGE_IS_PRESENT | PAGE_IS_PFNZERO;
		is &= ~PAGE_IS_FILE;
	}
	if (!(is & there) && mark & (MARK_WP | MARK_RWP))
		is |= PAGE_IS_SWAPPED; /* a marker of the kernel's */
	if (r->kind == MEMORY_HUGETLB)
		is |= PAGE_IS_HUGE;
	if (r->modes & WATCH_WP && !(mark & MARK_WP) && (is & there || r->kind != MEMORY_HUGETLB))
		is |= PAGE_IS_WRITTEN;
	if (r->modes & WATCH_RWP && !(mark & MARK_RWP) && is & there)
		is |= PAGE_IS_ACCESSED;
	return is | (is_asynchronous(r) ? PAGE_IS_WPALLOWED : 0);
}

/* [start, end) are alike.  0 or -errno. */
static int visit(struct scan *s, const struct watch_range *r, uint64_t categories, uintptr_t start,
		 uintptr_t end)
{
	bool protect = s->arg.flags & PM_SCAN_WP_MATCHING;
	int ret;

	/* Without output all is protected. */
	if (protect && !s->arg.vec_len)
		return watch_protect_any(r, start, end);
	if (!is_interesting(s, categories))
		return 0;
	ret = put(s, categories, start, &end);
	if (ret == 0 && start < end && protect && categories & PAGE_IS_WRITTEN)
		ret = watch_protect_any(r, start, end);
	if (s->full)
		s->arg.walk_end = end;
	return ret;
}

/* The same outside of ranges: poison that is left there is a guard marker of ours. */
static int visit_unwatched(struct scan *s, uint64_t kernel, uintptr_t start, uintptr_t end)
{
	uintptr_t to;
	int ret = 0;

	if (!(kernel & PAGE_IS_GUARD) || !watch_marks_kept())
		return visit(s, NULL, kernel, start, end);
	for (; start < end && ret == 0 && !s->full; start = to) {
		uint64_t mark, is = kernel;

		to = watch_marks_run(start, end, MEMORY_PAGE, &mark);
		if (mark & MARK_POISON)
			is &= ~(uint64_t)PAGE_IS_GUARD;
		ret = visit(s, NULL, is, start, to);
	}
	return ret;
}

/* A run that is alike for the kernel. */
static int visit_run(struct scan *s, const struct watch_range *r, uint64_t kernel, uintptr_t start,
		     uintptr_t end)
{
	uintptr_t to;
	int ret = 0;

	if (!r)
		return visit_unwatched(s, kernel, start, end);
	for (; start < end && ret == 0 && !s->full; start = to) {
		uintptr_t head = start & ~(r->page_size - 1);
		uint64_t mark;

		to = watch_marks_run(head, end, r->page_size, &mark);
		to = to < end ? to : end;
		ret = visit(s, r, meaning(r, mark, kernel), start, to);
	}
	return ret;
}

/* What the kernel says of backed memory, as it would of anonymous memory. */
static uint64_t backed_categories(uint64_t kernel, uintptr_t at, uintptr_t *end)
{
	struct backed_run run = {0};
	bool there = backed_has(&run, at);

	if (run.end < *end)
		*end = run.end;
	if (there && !(kernel & PAGE_IS_SWAPPED))
		kernel |= PAGE_IS_PRESENT;
	return kernel & ~(uint64_t)PAGE_IS_FILE;
}

static int scan_part(struct scan *s, const struct watch_range *r, bool backed, uintptr_t start,
		     uintptr_t end)
{
	uintptr_t to;
	int ret = 0;

	for (; start < end && ret == 0 && !s->full; start = to) {
		uint64_t kernel = memory_categories(start, end, &to);

		if (backed)
			kernel = backed_categories(kernel, start, &to);
		ret = visit_run(s, r, kernel, start, to);
	}
	return ret;
}

/* A mapping, or a part of one. */
static int scan_mapping(struct scan *s, const struct memory_vma *v, uintptr_t start, uintptr_t end)
{
	const struct watch_range *found = watch_at(start);
	struct watch_range r;

	if (!is_asynchronous(found)) {
		if (s->arg.flags & PM_SCAN_CHECK_WPASYNC)
			return -EPERM;
		if (s->arg.flags & PM_SCAN_WP_MATCHING)
			return 0;
	}
	if (!found)
		return scan_part(s, NULL, v->backed, start, end);
	r = *found;
	return scan_part(s, &r, v->backed, start, end);
}

static int scan_all(struct scan *s)
{
	uintptr_t at = s->arg.start, to;
	struct memory_vma v;
	int ret = 0;

	for (; at < s->arg.end && ret == 0 && !s->full; at = to) {
		if (!memory_vma_find(at, &v) || v.start >= s->arg.end)
			break;
		at = at > v.start ? at : v.start;
		to = v.end < s->arg.end ? v.end : s->arg.end;
		ret = scan_mapping(s, &v, at, to);
	}
	return ret;
}

long memory_scan_pagemap(void *argument)
{
	struct pm_scan_arg *place = argument;
	struct scan s = {.full = false};
	uint64_t signals;
	int ret, last;

	watch_resolve(argument, sizeof(s.arg), true);
	ret = get_arguments(&s, argument);
	if (ret < 0)
		return ret;
	watch_resolve((void *)(uintptr_t)s.arg.vec, s.arg.vec_len * sizeof(struct page_region),
		      true);
	memory_lock(&signals);
	ret = scan_all(&s);
	last = flush(&s);
	if (!s.arg.walk_end)
		s.arg.walk_end = s.arg.end;
	if (copy_guarded(&place->walk_end, &s.arg.walk_end, sizeof(s.arg.walk_end)) < 0)
		ret = -EFAULT;
	memory_unlock(&signals);
	if (ret == 0)
		ret = last;
	return ret < 0 ? ret : (long)s.n;
}
