/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/served.h - private anonymous memory that is a private mapping of the server's file.
 *
 * A page of it that is there is a copy of the process's own, as anonymous memory has it; what
 * the file had for it has served its turn, and must be gone before the page is missing again.
 * Pages of zeroes are marked as present and have no copy: the server gives them to whoever looks.
 *
 * All under the engine's lock.
 */
#ifndef STANDIN_MEMORY_SERVED_H
#define STANDIN_MEMORY_SERVED_H

#include "memory/watch_private.h"

#define SERVED_CHUNK ((size_t)256 << 10) /* bytes that are filled at once, at most */

/* Whether a range that is to be watched may be served: then its advice is known. */
bool served_may_be(struct watch_range *r);
/*
 * Makes the range, which is to be watched and that nobody writes to, one that is served, with marks
 * of what is there.  false: it can't be one, and nothing has changed.
 */
bool served_make(struct watch_range *r);
/* Whether the kernel still has our mapping there. */
bool served_is_there(uintptr_t at);
/* watch_copy() of a chunk, whose marks and protections are those that it is to have. */
long served_copy(const struct watch_range *r, uintptr_t to, const char *from, size_t size);
/* What is present in [start, end) is about to be emptied: it is in the file no longer. */
void served_drop(const struct watch_range *r, uintptr_t start, uintptr_t end);
/* Nothing is in [start, end) any more, which is missing now. */
void served_empty(uintptr_t start, uintptr_t end);
/*
 * [start, end) becomes plain anonymous memory with the same contents, and the traps of `r`, which
 * is the range as it is then.  It is not accessible yet: watch_apply() comes next.  How far that
 * was possible.
 */
uintptr_t served_convert(const struct watch_range *r, uintptr_t start, uintptr_t end);
/* The same for all ranges in [start, end), which go on being watched.  0 or -ENOMEM. */
int served_take_out(uintptr_t start, uintptr_t end);

#endif
