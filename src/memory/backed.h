/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/backed.h - private anonymous memory whose pages are a file's.
 *
 * A page of anonymous memory can't be written to before it is mapped, so putting one in its
 * place takes changes of the mapping.  A page of a file can.  So a part of a private anonymous
 * mapping that is watched and in which nothing is yet may be replaced by a shared mapping of a file
 * of the engine's own, with a marker on every page: a page gets its content in the file, and
 * appears when the marker goes.
 *
 * There is one file, in memory, in which a page is at the offset that is its address.  So what is
 * next to each other is one mapping, and what is known of an area is where it is and what it has
 * been advised.  Which mappings of the kernel's are backed is told by their file alone, its device
 * and inode number: libc may unmap what it likes inside itself.  What the file is, only
 * backed_file.c knows.  The areas are kept apart from what is watched (memory/watch.h): they stay
 * backed when they are watched no longer.
 *
 * Whatever a shared mapping would get wrong is done to the plain anonymous memory that
 * backed_take_out() makes of it first.  All under the engine's lock.
 */
#ifndef STANDIN_MEMORY_BACKED_H
#define STANDIN_MEMORY_BACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/vma.h"

/* Whether there is any area: one load, without the lock. */
bool backed_any(void);
/* Whether any area is in [start, end). */
bool backed_in(uintptr_t start, uintptr_t end);
/* Whether a mapping of this file, as the kernel tells it, is an area's. */
bool backed_is_file(dev_t device, uint64_t inode);

/*
 * Makes [start, end) of a private anonymous mapping, into which nobody writes and where no page is,
 * an area that nobody can access yet: the caller installs markers and gives it its protection.
 * `advice`: the mapping's (memory/advice.h).  false: it stays as it was, because it can't be one.
 */
bool backed_make(uintptr_t start, uintptr_t end, unsigned advice);
/* Keeps in mind what madvise(2) is about to do there.  false: that isn't to be done to an area. */
bool backed_advise(uintptr_t start, uintptr_t end, int madvise);

/*
 * Contents for pages of an area: how many bytes of whole pages there are, from the start on, or
 * -errno: -EFAULT the source, -ENOMEM, -EFBIG the client's limit for the size of files.
 */
long backed_write(uintptr_t to, const char *from, size_t size);
/* The contents of pages of an area.  0 or -EIO. */
int backed_read(uintptr_t from, char *to, size_t size);
/*
 * The first page from `at` on that has content (or if not `there`: none), and the end of its run
 * to *ret_end; `end`: there is none.
 */
uintptr_t backed_next(uintptr_t at, uintptr_t end, bool there, uintptr_t *ret_end);
/*
 * Pages that the file has got ahead of its need go.  Before pages that are missing become anything
 * else: they must trap still.  backed_next() and backed_take_out() do it.
 */
void backed_stream_end(void);
/*
 * Whether there is content at `at`, which is in an area.  A run of pages of which that is known
 * is kept in *run, all 0 at first, and is good as long as the lock is held and nothing is done
 * here.
 */
struct backed_run {
	uintptr_t start, end;
	bool there;
};
bool backed_has(struct backed_run *run, uintptr_t at);
/* The contents of what is backed in [start, end) go; whoever may access a page finds zeroes. */
void backed_empty(uintptr_t start, uintptr_t end);
/* What was mapped in [start, end) is gone, with all contents. */
void backed_forget(uintptr_t start, uintptr_t end);

/*
 * Makes what is backed in [start, end) plain anonymous memory with the same contents, marks and
 * protections; ranges that are watched there are divided.  0, or -ENOMEM: the rest is as it was.
 */
int backed_take_out(uintptr_t start, uintptr_t end);
/* The same of all that a child gets, before a fork. */
int backed_take_out_all(void);
/* The first one again, for who hasn't the lock; size 0: of one page. */
int backed_take_out_unlocked(uintptr_t start, size_t size);
/* In the child of a fork: the file is the parent's. */
void backed_forked(void);

#endif
