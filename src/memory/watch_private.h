/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/watch_private.h - between the files watch*.c alone.
 *
 * A page of a range with WATCH_MISSING or WATCH_MINOR that has no mark is missing, and traps: so
 * what nobody has touched costs nothing.  In other ranges the kernel knows what is there.
 * A page of several times 4 KiB has its marks at its first address.
 */
#ifndef STANDIN_MEMORY_WATCH_PRIVATE_H
#define STANDIN_MEMORY_WATCH_PRIVATE_H

#include "memory/radix.h"
#include "memory/watch.h"

#define RANGE_INHERITED 0x8000u /* in modes, while a fork is going on */

#define MARK_PRESENT   0x01u /* there is a page; only where missing ones trap */
#define MARK_WP        0x02u
#define MARK_RWP       0x04u
#define MARK_POISON    0x08u /* outlives the range */
#define MARK_PROTECTED 0x10u /* traps by protection where others trap by marker */
#define MARK_GUARD     0x20u /* the client's own guard marker */
#define MARK_MADE      0x40u /* its file has a page because there has been one here */

static inline bool watch_traps(const struct watch_range *r)
{
	return r->modes & (WATCH_MISSING | WATCH_MINOR);
}

static inline bool watch_is_missing(const struct watch_range *r, uint64_t mark)
{
	return watch_traps(r) && !(mark & (MARK_PRESENT | MARK_POISON | MARK_GUARD));
}

/* Whether the kernel is to have a guard marker there. */
static inline bool watch_is_guarded(const struct watch_range *r, uint64_t mark)
{
	return ((watch_is_missing(r, mark) && !r->served) || mark & MARK_POISON) &&
	       !r->by_protection && !(mark & MARK_PROTECTED);
}

/* The protection that the kernel is to have. */
int watch_effective(const struct watch_range *r, uint64_t mark);

/* ---- watch_mark.c ---- */

uint64_t watch_mark(uintptr_t at);
/*
 * Changes the marks of all pages in [start, end) to (mark & ~remove) | add.  0 or -ENOMEM, some
 * changed; removing can't fail, nor can anything after watch_marks_reserve().
 */
int watch_marks_change(uintptr_t start, uintptr_t end, size_t page_size, unsigned remove,
		       unsigned add);
int watch_marks_reserve(uintptr_t start, uintptr_t end, size_t page_size);
/* The end of the run of pages from `at` on that have the same mark, which goes to *ret_mark. */
uintptr_t watch_marks_run(uintptr_t at, uintptr_t end, size_t page_size, uint64_t *ret_mark);
/* The first page from `at` on that has a mark, or `end`. */
uintptr_t watch_marks_next(uintptr_t at, uintptr_t end, uint64_t *ret_mark);
/* Whether any page is poisoned, or guarded by the client. */
bool watch_marks_kept(void);
bool watch_marks_any(void);
/* What was at [from, from + size) is at `to`; there, nothing was. */
void watch_marks_move(uintptr_t from, uintptr_t to, size_t size);

/* ---- watch.c ---- */

/* The range that `address` is in, or NULL. */
struct watch_range *watch_at(uintptr_t address);
/* Room for `n` more ranges: 0 or -ENOMEM. */
int watch_room(size_t n);
/* A range in the place of what was there; there is room. */
void watch_insert(const struct watch_range *r);
/* The mapping of [start, end) is gone, with all that was known of it. */
void watch_forget(uintptr_t start, uintptr_t end);
/* [start, end) of a range as a range. */
struct watch_range watch_part_of(const struct watch_range *r, uintptr_t start, uintptr_t end);
/* In a child: clears what nobody has inherited. */
void watch_clear_others(void);
/*
 * Protects [start, end) of a range from writing, whatever is there or not.  0 or -errno.
 */
int watch_protect_any(const struct watch_range *r, uintptr_t start, uintptr_t end);
/* Marks have come or gone. */
void watch_changed(void);

/* ---- watch_alias.c: what is behind shared memory ---- */

/* Makes it, if that can be. */
void watch_alias_make(struct watch_range *r);
void watch_alias_free(const struct watch_range *r);
/* Where the page is written to that is, or is to be, at `at`. */
char *watch_alias_at(const struct watch_range *r, uintptr_t at);
/* Whether it is beyond the end of the file, as far as that can be known. */
bool watch_is_beyond(const struct watch_range *r, uintptr_t at);
/* Memory for a huge page that is to be moved to `at`, of the same file; NULL: there is none. */
void *watch_stage(const struct watch_range *r, uintptr_t at);
/* Whether the page is in the page cache; and the end of what is, or isn't. */
bool watch_is_cached(const struct watch_range *r, uintptr_t at);
/*
 * A private mapping of a file without alias is about to be written to, where it has no markers:
 * each page takes one into the file as well, which counts as none.
 */
void watch_note_made(const struct watch_range *r, uintptr_t start, uintptr_t end);
uintptr_t watch_cached_run(const struct watch_range *r, uintptr_t at, uintptr_t end, bool cached);

/* ---- watch_page.c: the kernel's page tables ---- */

/* From the marks.  0 or -errno (-ENOMEM: too many mappings). */
int watch_apply(const struct watch_range *r, uintptr_t start, uintptr_t end);
/* [start, end) is out of everybody's reach, until watch_apply(). */
int watch_freeze(uintptr_t start, uintptr_t end);
/*
 * Empties [start, end), whose pages are to trap, and makes them.  Without freeze, a page that
 * comes meanwhile goes as well.
 */
int watch_trap(const struct watch_range *r, uintptr_t start, uintptr_t end);
/* Whether a page outside of ranges that has `mark` is still poisoned. */
bool watch_is_poisoned(uintptr_t at, uint64_t mark);
/* Whether the kernel's protection differs from the client's anywhere. */
bool watch_any_protected(const struct watch_range *r, uintptr_t start, uintptr_t end);
/*
 * Makes what is missing in the mapping of a new range trap, and marks what is there.  `again`: it
 * takes the place of a range, whose marks as far as they have been kept are its own.
 */
int watch_begin(struct watch_range *r, bool again);
/* Removes the markers of [start, end), of which all are ours. */
void watch_unguard(const struct watch_range *r, uintptr_t start, uintptr_t end);
/*
 * What is missing in [start, end) traps no more: what is in the page cache appears, or pages of
 * nothing.  Without WATCH_PROTECT in `flags` it is not protected; MARK_WP in `keep`: it stays so.
 */
int watch_reveal(const struct watch_range *r, uintptr_t start, uintptr_t end, unsigned flags,
		 unsigned keep);
/*
 * Nothing of [start, end) traps or is protected any more for the range's sake, but for the marks
 * `kept`; `frozen`: all of it has been out of reach.
 */
void watch_end(const struct watch_range *r, uintptr_t start, uintptr_t end, unsigned kept,
	       bool frozen);
/*
 * The first page from `at` on that is there (if not `there`: missing), and the end of its run
 * to *ret_end; `end`: there is none.
 */
uintptr_t watch_next(const struct watch_range *r, uintptr_t at, uintptr_t end, bool there,
		     uintptr_t *ret_end);

#endif
