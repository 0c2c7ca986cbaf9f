/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/fdtable.h - which descriptor is which file: a cache over inode identity.
 *
 * One word per descriptor number.  The injected wrappers keep it true for the calls
 * they see (close, dup, fcntl, recvmsg, ...); a descriptor that came another way is
 * FD_UNKNOWN until somebody asks, and then fstat(2) and the inode hash tell.
 */
#ifndef STANDIN_CORE_FDTABLE_H
#define STANDIN_CORE_FDTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file;

/* Values of a slot that are no pointers. */
#define FD_UNKNOWN ((uintptr_t)0) /* ask the kernel which inode it is */
#define FD_FOREIGN ((uintptr_t)1) /* not stood in for */
#define FD_PRIVATE ((uintptr_t)2) /* the runtime's own: the client must not see or close it */

#define FDTABLE_SLOTS 65536u /* higher descriptors work, uncached */

extern _Atomic uintptr_t fdtable_slots[FDTABLE_SLOTS];

/* For the wrappers' fast path: certainly not one of ours. */
static inline bool fdtable_foreign(int fd)
{
	return (unsigned)fd < FDTABLE_SLOTS &&
	       atomic_load_explicit(&fdtable_slots[fd], memory_order_relaxed) == FD_FOREIGN;
}

static inline bool fdtable_private(int fd)
{
	return (unsigned)fd < FDTABLE_SLOTS &&
	       atomic_load_explicit(&fdtable_slots[fd], memory_order_relaxed) == FD_PRIVATE;
}

/* Enters a new file in the inode hash and the slot; the slot takes the caller's reference. */
int fdtable_install(int fd, struct file *f);
/* The hash alone: a file whose only descriptor here, `fd`, is private. */
int fdtable_enter(int fd, struct file *f);
/* How many slots have the file. */
unsigned fdtable_count(const struct file *f);
/* The file with a new reference, or NULL. */
struct file *fdtable_get(int fd);
/* `fd` is about to be closed or replaced: drops the slot's reference. */
void fdtable_forget(int fd);
/* `copy` now is a duplicate of `fd`. */
void fdtable_duplicate(int fd, int copy);
/* Nothing is known of [first, last] any more (SCM_RIGHTS, close_range). */
void fdtable_forget_range(unsigned first, unsigned last);
void fdtable_set_private(int fd);
/* Whether any file is open at all. */
bool fdtable_any(void);
/* In the child of a fork: the files are the parent's. */
void fdtable_forked(void);
/*
 * In the child of a fork that goes on using the parent's files through it: changes each
 * file into what it is in the child.
 */
void fdtable_inherit(void (*change)(struct file *f));
/* All files, each with a reference, in a malloc'd array; returns how many. */
size_t fdtable_files(struct file ***ret_files);
/* Drops every slot: the instance ends. */
void fdtable_clear(void);

#endif
