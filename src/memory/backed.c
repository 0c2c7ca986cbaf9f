/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The areas: a sorted array.  There are few.  Contents of mappings that went without a word stay
 * until something else happens at their addresses.
 */
#include "memory/backed.h"

#include <string.h>

#include "memory/advice.h"
#include "memory/backed_private.h"
#include "memory/move.h"
#include "memory/own.h"
#include "memory/radix.h"

static struct backed_area *areas;
static size_t n_areas, capacity;

/* The number of the first area that ends above `address`. */
static size_t first_above(uintptr_t address)
{
	size_t low = 0, high = n_areas;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (areas[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const struct backed_area *backed_find(uintptr_t address)
{
	size_t i = first_above(address);

	return i < n_areas ? &areas[i] : NULL;
}

bool backed_any(void)
{
	return atomic_load_explicit(&memory_attention, memory_order_relaxed) & MEMORY_BACKED;
}

bool backed_in(uintptr_t start, uintptr_t end)
{
	const struct backed_area *a = n_areas ? backed_find(start) : NULL;

	return a && a->start < end;
}

static bool room(size_t n)
{
	size_t size = capacity ? capacity : MEMORY_PAGE / sizeof(*areas);
	struct backed_area *larger;

	while (size < n_areas + n)
		size *= 2;
	if (size == capacity)
		return true;
	larger = own_alloc(size * sizeof(*areas));
	if (!larger)
		return false;
	if (areas)
		memcpy(larger, areas, n_areas * sizeof(*areas));
	own_free(areas, capacity * sizeof(*areas));
	areas = larger;
	capacity = size;
	return true;
}

static void insert_at(size_t i, const struct backed_area *area)
{
	memmove(&areas[i + 1], &areas[i], (n_areas - i) * sizeof(*areas));
	areas[i] = *area;
	n_areas++;
	memory_attend(MEMORY_BACKED, true);
}

static void remove_at(size_t i)
{
	n_areas--;
	memmove(&areas[i], &areas[i + 1], (n_areas - i) * sizeof(*areas));
	memory_attend(MEMORY_BACKED, n_areas);
}

static void join_with_next(size_t i)
{
	if (i + 1 >= n_areas || areas[i].end != areas[i + 1].start ||
	    areas[i].advice != areas[i + 1].advice)
		return;
	areas[i].end = areas[i + 1].end;
	remove_at(i + 1);
}

/* There is room, and no area where it is put. */
static void insert(const struct backed_area *area)
{
	size_t i = first_above(area->start);

	insert_at(i, area);
	join_with_next(i);
	if (i)
		join_with_next(i - 1);
}

void backed_remove(uintptr_t start, uintptr_t end)
{
	size_t i = first_above(start);

	while (i < n_areas && areas[i].start < end) {
		struct backed_area rest = areas[i];

		if (rest.start >= start && rest.end <= end) {
			remove_at(i);
			continue;
		}
		if (rest.start < start)
			areas[i].end = start;
		else
			areas[i].start = end;
		i++;
		if (rest.start >= start || rest.end <= end)
			continue;
		/* In its middle.  What there is no room for is not looked after any more. */
		rest.start = end;
		if (room(1))
			insert_at(i, &rest);
		return;
	}
}

/* Makes `address` a border, if it is inside an area.  There is room. */
static void cut(uintptr_t address)
{
	size_t i = first_above(address);
	struct backed_area before;

	if (i == n_areas || areas[i].start >= address)
		return;
	before = areas[i];
	before.end = address;
	areas[i].start = address;
	insert_at(i, &before);
}

bool backed_advise(uintptr_t start, uintptr_t end, int madvise)
{
	unsigned advice = 0;
	size_t i;

	if (!advice_change(&advice, madvise) || !room(2))
		return false;
	cut(start);
	cut(end);
	for (i = first_above(start); i < n_areas && areas[i].start < end; i++)
		advice_change(&areas[i].advice, madvise);
	for (; i; i--)
		join_with_next(i - 1);
	return true;
}

bool backed_make(uintptr_t start, uintptr_t end, unsigned advice)
{
	struct backed_area new = {.start = start, .end = end, .advice = advice};

	if (!memory_traps_markers() || memory_vma_mem() < 0 || !room(2) || !backed_file_make())
		return false;
	backed_forget(start, end);
	if (!backed_map(start, end))
		return false;
	advice_apply(start, end, advice);
	insert(&new);
	return true;
}

void backed_empty(uintptr_t start, uintptr_t end)
{
	for (size_t i = first_above(start); i < n_areas && areas[i].start < end; i++)
		backed_punch(areas[i].start > start ? areas[i].start : start,
			     areas[i].end < end ? areas[i].end : end);
}

void backed_forget(uintptr_t start, uintptr_t end)
{
	backed_empty(start, end);
	backed_remove(start, end);
}

void backed_forked(void)
{
	backed_stream_forked();
	backed_file_forked();
	n_areas = 0;
	memory_attend(MEMORY_BACKED, false);
}
