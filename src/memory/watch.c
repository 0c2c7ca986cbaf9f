/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ranges: a sorted array.  There are few, so what is inserted moves the rest.
 */
#include "memory/watch.h"

#include <errno.h>
#include <string.h>

#include "memory/backed.h"
#include "memory/move.h"
#include "memory/own.h"
#include "memory/server.h"
#include "memory/watch_private.h"

static struct watch_range *ranges;
static size_t n_ranges, capacity;

const struct watch_ops *watch_ops;

void watch_register(const struct watch_ops *ops)
{
	watch_ops = ops;
}

bool watch_any(void)
{
	return atomic_load_explicit(&memory_attention, memory_order_relaxed) & MEMORY_WATCHED;
}

void watch_changed(void)
{
	memory_attend(MEMORY_WATCHED, n_ranges || watch_marks_any());
}

/* The number of the first range that ends above `address`. */
static size_t first_above(uintptr_t address)
{
	size_t low = 0, high = n_ranges;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (ranges[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const struct watch_range *watch_find(uintptr_t address)
{
	size_t i = first_above(address);

	return i < n_ranges ? &ranges[i] : NULL;
}

bool watch_in(uintptr_t start, uintptr_t end)
{
	const struct watch_range *r = watch_any() ? watch_find(start) : NULL;

	return r && r->start < end;
}

struct watch_range *watch_at(uintptr_t address)
{
	size_t i = first_above(address);

	return i < n_ranges && ranges[i].start <= address ? &ranges[i] : NULL;
}

/* ---- the array ---- */

int watch_room(size_t n)
{
	size_t size = capacity ? capacity : MEMORY_PAGE / sizeof(*ranges);
	struct watch_range *larger;

	while (size < n_ranges + n)
		size *= 2;
	if (size == capacity)
		return 0;
	larger = own_alloc(size * sizeof(*ranges));
	if (!larger)
		return -ENOMEM;
	if (ranges)
		memcpy(larger, ranges, n_ranges * sizeof(*ranges));
	own_free(ranges, capacity * sizeof(*ranges));
	ranges = larger;
	capacity = size;
	return 0;
}

static void open_gap(size_t i)
{
	memmove(&ranges[i + 1], &ranges[i], (n_ranges - i) * sizeof(*ranges));
	n_ranges++;
}

static void close_gap(size_t i, size_t n)
{
	memmove(&ranges[i], &ranges[i + n], (n_ranges - i - n) * sizeof(*ranges));
	n_ranges -= n;
}

struct watch_range watch_part_of(const struct watch_range *r, uintptr_t start, uintptr_t end)
{
	struct watch_range part = *r;

	if (part.alias)
		part.alias += start - r->start;
	part.offset += start - r->start;
	part.start = start;
	part.end = end;
	return part;
}

/* Makes `address` a border, if it is inside a range. */
static void cut(uintptr_t address)
{
	size_t i = first_above(address);

	if (i == n_ranges || ranges[i].start >= address)
		return;
	open_gap(i);
	ranges[i] = watch_part_of(&ranges[i + 1], ranges[i + 1].start, address);
	ranges[i + 1] = watch_part_of(&ranges[i + 1], address, ranges[i + 1].end);
}

/* [start, end) is nobody's any more: the ranges only. */
static void remove_ranges(uintptr_t start, uintptr_t end)
{
	size_t i, n = 0;

	/* What has no room is cut by what it loses: at most one range is divided in two. */
	if (watch_room(2) < 0)
		return;
	cut(start);
	cut(end);
	i = first_above(start);
	while (i + n < n_ranges && ranges[i + n].start < end)
		n++;
	close_gap(i, n);
	watch_changed();
}

/* Mappings of files, or of shared memory, that follow each other need not be one. */
static bool go_on(const struct watch_range *a, const struct watch_range *b)
{
	return a->kind == MEMORY_ANON || (a->device == b->device && a->inode == b->inode &&
					  b->offset - b->start == a->offset - a->start);
}

/* For who knows of them. */
static bool are_one(const struct watch_range *a, const struct watch_range *b)
{
	return a->end == b->start && a->modes == b->modes && a->owner == b->owner &&
	       a->kind == b->kind && a->shared == b->shared && a->page_size == b->page_size &&
	       a->protection == b->protection && go_on(a, b);
}

uintptr_t watch_end_of(const struct watch_range *r)
{
	while (r + 1 < ranges + n_ranges && are_one(r, r + 1))
		r++;
	return r->end;
}

static bool alike(const struct watch_range *a, const struct watch_range *b)
{
	return are_one(a, b) && a->by_protection == b->by_protection && a->backed == b->backed &&
	       a->served == b->served && a->advice == b->advice && (!a->alias) == (!b->alias) &&
	       (!a->alias || b->alias - b->start == a->alias - a->start);
}

static void join_with_next(size_t i)
{
	if (i + 1 >= n_ranges || !alike(&ranges[i], &ranges[i + 1]))
		return;
	ranges[i].end = ranges[i + 1].end;
	close_gap(i + 1, 1);
}

void watch_insert(const struct watch_range *r)
{
	struct watch_range copy = *r; /* it may be one of the array's */
	size_t i;

	remove_ranges(copy.start, copy.end);
	i = first_above(copy.start);
	open_gap(i);
	ranges[i] = copy;
	join_with_next(i);
	if (i)
		join_with_next(i - 1);
	watch_changed();
}

static void free_aliases(uintptr_t start, uintptr_t end)
{
	for (size_t i = first_above(start); i < n_ranges && ranges[i].start < end; i++) {
		const struct watch_range *r = &ranges[i];
		struct watch_range part = watch_part_of(r, r->start > start ? r->start : start,
							r->end < end ? r->end : end);

		watch_alias_free(&part);
	}
}

void watch_forget(uintptr_t start, uintptr_t end)
{
	free_aliases(start, end);
	remove_ranges(start, end);
	watch_marks_change(start, end, MEMORY_PAGE, ~0u, 0);
	server_look();
}

/* ---- set and clear ---- */

/* `v` is the part of a mapping, or of a range that is watched, which is to be watched. */
static int watch_part(const struct memory_vma *v, unsigned modes, void *owner)
{
	const struct watch_range *old = watch_at(v->start);
	struct watch_range new = {
		.start = v->start,
		.end = v->end,
		.modes = modes,
		.owner = owner,
		.kind = v->kind,
		.shared = v->shared,
		.backed = v->backed,
		.page_size = v->page_size,
		.protection = v->protection,
		.device = v->device,
		.inode = v->inode,
		.offset = v->offset,
	};
	int ret = watch_room(4);

	if (ret < 0)
		return ret;
	/* It is another mapping, and libc has told nobody. */
	if (old && old->backed && !v->backed) {
		watch_forget(v->start, v->end);
		old = NULL;
	}
	/* Of the same owner modes can be added, and none of them taken away. */
	if (old && old->owner == owner && !(modes & ~old->modes))
		return 0;
	if (old) {
		struct watch_range was = watch_part_of(old, v->start, v->end);

		new.alias = was.alias;
		new.by_protection = was.by_protection;
		new.served = was.served;
		new.advice = was.advice;
		if (watch_traps(&was) && watch_traps(&new)) {
			watch_insert(&new);
			return 0;
		}
		watch_end(&was, v->start, v->end, modes & WATCH_WP ? MARK_WP : 0, false);
		new.served = false;
	}
	ret = watch_begin(&new, old);
	if (ret == 0)
		watch_insert(&new);
	return ret;
}

int watch_set(uintptr_t start, uintptr_t end, unsigned modes, void *owner)
{
	struct memory_vma v;
	uintptr_t at = start;
	int ret = 0;

	memory_back(start, end);
	/* Of what is missing nothing is told where missing pages don't trap. */
	if (!(modes & WATCH_MISSING))
		ret = backed_take_out(start, end);
	for (; at < end && ret == 0 && memory_vma_find(at, &v) && v.start < end; at = v.end) {
		if (v.start < at) {
			v.offset += at - v.start;
			v.start = at;
		}
		v.end = v.end < end ? v.end : end;
		ret = watch_part(&v, modes, owner);
	}
	if (ret < 0)
		watch_clear(start, at);
	return ret;
}

void watch_clear(uintptr_t start, uintptr_t end)
{
	size_t i;

	for (i = first_above(start); i < n_ranges && ranges[i].start < end; i++) {
		const struct watch_range *r = &ranges[i];

		watch_end(r, r->start > start ? r->start : start, r->end < end ? r->end : end, 0,
			  false);
	}
	free_aliases(start, end);
	remove_ranges(start, end);
	server_look();
}

void watch_clear_owner(void *owner)
{
	for (size_t i = 0; i < n_ranges;)
		if (ranges[i].owner == owner)
			watch_clear(ranges[i].start, ranges[i].end);
		else
			i++;
}

void watch_look(void)
{
	server_look();
}

void watch_change_owner(void *owner, unsigned add, unsigned remove)
{
	for (size_t i = 0; i < n_ranges; i++)
		if (ranges[i].owner == owner)
			ranges[i].modes = (ranges[i].modes & ~remove) | add;
}

void watch_inherit(void *from, void *to)
{
	for (size_t i = 0; i < n_ranges; i++)
		if (ranges[i].owner == from && !(ranges[i].modes & RANGE_INHERITED)) {
			ranges[i].owner = to;
			ranges[i].modes |= RANGE_INHERITED;
		}
}

/* What is poisoned in shared memory is so in the process that has said it. */
static void heal_shared(const struct watch_range *r)
{
	uintptr_t at = r->start, to;
	uint64_t mark;

	for (; r->shared && watch_marks_kept() && at < r->end; at = to) {
		to = watch_marks_run(at, r->end, r->page_size, &mark);
		if (mark & MARK_POISON)
			watch_reveal(r, at, to, 0, MARK_WP);
	}
}

void watch_clear_others(void)
{
	for (size_t i = 0; i < n_ranges; i++)
		heal_shared(&ranges[i]);
	for (size_t i = 0; i < n_ranges;)
		if (ranges[i].modes & RANGE_INHERITED)
			ranges[i++].modes &= ~RANGE_INHERITED;
		else
			watch_clear(ranges[i].start, ranges[i].end);
}
