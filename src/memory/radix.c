/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * 47 bits of address: 12 in the page, 9 in a leaf (2 MiB), 9 in a middle table (1 GiB), and
 * 17 in the top, which is mapped as a whole and takes memory where it is used.
 */
#include "memory/radix.h"

#include <errno.h>
#include <string.h>

#include "memory/own.h"

#define FAN       512u
#define TOP       ((size_t)1 << 17)
#define LEAF_SPAN (MEMORY_PAGE * FAN)
#define MID_SPAN  (LEAF_SPAN * FAN)

static uint64_t *leaf_of(const struct radix *r, uintptr_t address)
{
	void **middle = r->top && address < MEMORY_LIMIT ? r->top[address / MID_SPAN] : NULL;

	return middle ? middle[address / LEAF_SPAN % FAN] : NULL;
}

static uint64_t *leaf_make(struct radix *r, uintptr_t address)
{
	size_t at = address / MID_SPAN;
	void **slot;

	if (address >= MEMORY_LIMIT)
		return NULL;
	if (!r->top) {
		r->top = own_alloc(TOP * sizeof(*r->top));
		r->first = TOP;
		r->last = 0;
	}
	if (!r->top)
		return NULL;
	if (!r->top[at])
		r->top[at] = own_alloc(FAN * sizeof(void *));
	if (!r->top[at])
		return NULL;
	r->first = at < r->first ? at : r->first;
	r->last = at > r->last ? at : r->last;
	slot = &r->top[at][address / LEAF_SPAN % FAN];
	if (!*slot)
		*slot = own_alloc(FAN * sizeof(uint64_t));
	return *slot;
}

uint64_t radix_get(const struct radix *r, uintptr_t address)
{
	const uint64_t *leaf = leaf_of(r, address);

	return leaf ? leaf[address / MEMORY_PAGE % FAN] : 0;
}

int radix_set(struct radix *r, uintptr_t address, uint64_t value)
{
	uint64_t *leaf = value ? leaf_make(r, address) : leaf_of(r, address), *slot;

	if (!leaf)
		return value ? -ENOMEM : 0;
	slot = &leaf[address / MEMORY_PAGE % FAN];
	r->count += (value != 0);
	r->count -= (*slot != 0);
	*slot = value;
	return 0;
}

int radix_reserve(struct radix *r, uintptr_t start, uintptr_t end)
{
	for (start &= ~(LEAF_SPAN - 1); start < end; start += LEAF_SPAN)
		if (!leaf_make(r, start))
			return -ENOMEM;
	return 0;
}

uintptr_t radix_next(const struct radix *r, uintptr_t from, uintptr_t end, uint64_t *ret_value)
{
	uintptr_t limit = end < MEMORY_LIMIT ? end : MEMORY_LIMIT;

	if (!r->count)
		return end;
	if (from < r->first * MID_SPAN)
		from = r->first * MID_SPAN;
	if (limit > (r->last + 1) * MID_SPAN)
		limit = (r->last + 1) * MID_SPAN;
	while (from < limit) {
		const uint64_t *leaf;

		if (!r->top[from / MID_SPAN]) {
			from = (from / MID_SPAN + 1) * MID_SPAN;
			continue;
		}
		leaf = leaf_of(r, from);
		if (!leaf) {
			from = (from / LEAF_SPAN + 1) * LEAF_SPAN;
			continue;
		}
		do {
			uint64_t value = leaf[from / MEMORY_PAGE % FAN];

			if (value) {
				if (ret_value)
					*ret_value = value;
				return from;
			}
			from += MEMORY_PAGE;
		} while (from % LEAF_SPAN && from < limit);
	}
	return end;
}

/* What of [start, end) is in the leaf of `start`: pages. */
static size_t span(uintptr_t start, uintptr_t end)
{
	uintptr_t to = (start | (LEAF_SPAN - 1)) + 1;

	return ((to < end ? to : end) - start) / MEMORY_PAGE;
}

int radix_fill(struct radix *r, uintptr_t start, uintptr_t end, uint64_t value, uint64_t step)
{
	while (start < end) {
		uint64_t *leaf = leaf_make(r, start), *slot;
		size_t n = span(start, end), fresh = 0;

		if (!leaf)
			return -ENOMEM;
		slot = &leaf[start / MEMORY_PAGE % FAN];
		for (size_t i = 0; i < n; i++, value += step) {
			fresh += !slot[i];
			slot[i] = value;
		}
		r->count += fresh;
		start += n * MEMORY_PAGE;
	}
	return 0;
}

uintptr_t radix_run(const struct radix *r, uintptr_t start, uintptr_t end, uint64_t value,
		    uint64_t step, uint64_t mask)
{
	while (start < end) {
		const uint64_t *leaf = leaf_of(r, start), *slot;
		size_t n = span(start, end), i = 0;

		if (!leaf)
			return start;
		slot = &leaf[start / MEMORY_PAGE % FAN];
		while (i < n && slot[i] && !((slot[i] ^ value) & mask)) {
			i++;
			value += step;
		}
		start += i * MEMORY_PAGE;
		if (i < n)
			return start;
	}
	return start;
}

void radix_clear(struct radix *r, uintptr_t start, uintptr_t end)
{
	while ((start = radix_next(r, start, end, NULL)) < end) {
		uint64_t *slot = &leaf_of(r, start)[start / MEMORY_PAGE % FAN];
		size_t n = span(start, end), was = 0;

		for (size_t i = 0; i < n; i++) {
			was += slot[i] != 0;
			slot[i] = 0;
		}
		r->count -= was;
		start += n * MEMORY_PAGE;
	}
}

void radix_finish(struct radix *r)
{
	for (size_t at = r->first; r->top && at <= r->last; at++) {
		if (!r->top[at])
			continue;
		for (size_t i = 0; i < FAN; i++)
			if (r->top[at][i])
				own_free(r->top[at][i], FAN * sizeof(uint64_t));
		own_free(r->top[at], FAN * sizeof(void *));
	}
	if (r->top)
		own_free(r->top, TOP * sizeof(*r->top));
	memset(r, 0, sizeof(*r));
}
