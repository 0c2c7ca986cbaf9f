/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/hold.h - keeping pages that are missing from appearing, without a look at those that are
 * there.
 *
 * The kernel's userfaultfd in the mode that raises SIGBUS: it takes a flag of the mapping, where a
 * protection takes a change of each page.  Under the engine's lock.
 */
#ifndef STANDIN_MEMORY_HOLD_H
#define STANDIN_MEMORY_HOLD_H

#include <stdbool.h>
#include <stdint.h>

/* The kernel's is not to be used: nothing can be held from now on. */
void hold_refuse(void);

/*
 * From now on a missing page of [start, end), which is private anonymous memory, stays missing:
 * an access raises SIGBUS.  false: it can't be had, for the range or at all.
 */
bool hold_missing(uintptr_t start, uintptr_t end);
/* Moves a page that is this process's alone to a missing one that is held; false: it can't be. */
bool hold_move(uintptr_t from, uintptr_t to);
/* Likewise, but copies it. */
bool hold_copy(uintptr_t from, uintptr_t to);
void hold_release(uintptr_t start, uintptr_t end);
/* In the child of a fork. */
void hold_forked(void);

#endif
