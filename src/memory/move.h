/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/move.h - taking pages away from the client, so that its accesses trap, and giving them
 * back.
 *
 * No other thread ever sees a page half moved: it sees the page, or it faults and waits for
 * the engine's lock, under which all of this is called.  System calls that are given such
 * a page get EFAULT (memory/calls.h has what is done about that).
 */
#ifndef STANDIN_MEMORY_MOVE_H
#define STANDIN_MEMORY_MOVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/config.h"
#include "memory/pages.h"
#include "memory/vma.h"

/*
 * A part of one mapping in which nobody changes anything while it is decided what to take.
 * Between freeze and thaw pages neither come nor go.
 */
struct memory_freeze {
	struct memory_vma vma;
	uintptr_t start, end;
	int protection; /* what the range has now */
	bool linear;    /* pieces of it can be moved instead of copied */
	bool held;      /* and what is missing stays so; what is there may be written to */
};

/* Smaller pieces are cheaper to copy than to move. */
#define MEMORY_LINEAR_MIN ((uintptr_t)64 << 10)

/* Counts what puts pages out of reach for a moment: its beginnings and ends. */
extern _Atomic uint64_t memory_moves;

/* [start, end) lies in `vma`, which memory_vma_find() gave.  0 or -errno. */
int memory_freeze(struct memory_freeze *f, const struct memory_vma *vma, uintptr_t start,
		  uintptr_t end);
void memory_thaw(struct memory_freeze *f);

/*
 * The first part of [start, end) that the engine's calls stand on: of the calling thread's stack or
 * of its thread-local storage.  It must not be frozen, taken away or have its protection
 * changed.  false: there is none.
 */
bool memory_underfoot(uintptr_t start, uintptr_t end, uintptr_t *ret_start, uintptr_t *ret_end);

#define MEMORY_AWAY_UNIT 0x80 /* in `user`: the page is one of a huge page's */

/*
 * Takes [start, end) of what is frozen away: the owner `owner` has it from now on, with the bits
 * user[] (0 to 7, and MEMORY_AWAY_UNIT) of each page.  `states` is of these pages.  0 or
 * -errno; then some have been taken, which pages_get() tells.
 */
int memory_away(struct memory_freeze *f, uintptr_t start, uintptr_t end, unsigned owner,
		const uint8_t *states, const uint8_t *user);

/*
 * Gives back all that is away in [start, end): its content is in its place again.  Pages that trap
 * by protection stay away if the process can't have the mappings that this would take.
 */
void memory_back(uintptr_t start, uintptr_t end);

/*
 * Puts a page that is away, and traps, in its place with a copy of its content, in one step, of
 * which the engine does not know yet: memory_validate() is to follow.  false: out of memory.
 */
bool memory_fill(uintptr_t address, uint64_t page);

/*
 * Forgets what is owned in [start, end), with its content; `accessible`: the client finds
 * pages there that were never touched.  Else the mapping goes, or what traps is the client's.
 */
void memory_drop(uintptr_t start, uintptr_t end, bool accessible);

/* The same for one page that traps no more, without a look at what is there now. */
void memory_forget(uintptr_t address);

/* What was at [from, from + size) is at `to` now: its traps have moved with it. */
void memory_rekey(uintptr_t from, uintptr_t to, size_t size);

/*
 * mprotect(2) of the client's range: what traps goes on trapping.  0 or -errno.
 */
int memory_change_protection(uintptr_t start, uintptr_t end, int protection);

/* madvise(2), as far as contents that are away are concerned. */
void memory_advise_stores(uintptr_t start, uintptr_t end, int advice);

/* The content of a page that is away: NULL, all zeroes. */
static inline void *memory_content(uint64_t page)
{
	return (void *)(uintptr_t)page_store(page);
}

/* The same, to be written to: NULL, out of memory. */
void *memory_content_make(uintptr_t address);

/* How pages are made to trap from now on.  0, or -EOPNOTSUPP: not in this way. */
int memory_traps_set(enum memory_traps traps);
/* The flag that memory_states() gives for a page that traps by a marker. */
uint8_t memory_marker_state(void);
/* Whether they trap by markers where that can be. */
bool memory_traps_markers(void);

#endif
