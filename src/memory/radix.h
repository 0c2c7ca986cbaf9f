/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/radix.h - a map from pages of the address space to numbers, 0 for "nothing".
 *
 * Two levels of tables of one page each below an array over the whole 47 bits; a range
 * costs what is in it.  Tables are kept until the end.  No locking: the memory engine's lock is the
 * users'.
 */
#ifndef STANDIN_MEMORY_RADIX_H
#define STANDIN_MEMORY_RADIX_H

#include <stddef.h>
#include <stdint.h>

#define MEMORY_PAGE_SHIFT 12
#define MEMORY_PAGE       ((uintptr_t)1 << MEMORY_PAGE_SHIFT)
#define MEMORY_LIMIT      ((uintptr_t)1 << 47) /* addresses from here on are no client's */

struct radix {
	void ***top;        /* NULL: empty */
	size_t first, last; /* what of `top` is in use */
	size_t count;       /* numbers that are not 0 */
};

/* 0 if there is none. */
uint64_t radix_get(const struct radix *r, uintptr_t address);
/* 0 or -ENOMEM; a 0 can always be set, and so can what replaces another number. */
int radix_set(struct radix *r, uintptr_t address, uint64_t value);
/* Room for everything in [start, end), so that setting can't fail: 0 or -ENOMEM. */
int radix_reserve(struct radix *r, uintptr_t start, uintptr_t end);
/*
 * The first page in [from, end) that has a number, or `end`; the number goes to *ret_value,
 * which may be NULL.
 */
uintptr_t radix_next(const struct radix *r, uintptr_t from, uintptr_t end, uint64_t *ret_value);
/*
 * Sets the pages of [start, end) to `value`, value + step, value + 2 * step ..., none of them 0.
 * 0 or -ENOMEM, some set.
 */
int radix_fill(struct radix *r, uintptr_t start, uintptr_t end, uint64_t value, uint64_t step);
/*
 * The end of the run from `start` on whose numbers are those that radix_fill() would set, as far
 * as the bits of `mask` go; it ends before a page that has none.
 */
uintptr_t radix_run(const struct radix *r, uintptr_t start, uintptr_t end, uint64_t value,
		    uint64_t step, uint64_t mask);
/* Sets [start, end) to 0. */
void radix_clear(struct radix *r, uintptr_t start, uintptr_t end);
void radix_finish(struct radix *r);

#endif
