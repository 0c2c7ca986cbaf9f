/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/watch.h - ranges in which somebody in user space answers page faults: what the kernel
 * keeps in VMAs and page tables for userfaultfd.
 *
 * A range says which faults are wanted and whose they are; marks say what is special about
 * single pages of it.  The engine keeps the kernel's page tables so that such faults trap, and
 * follows the client's memory calls.  Everything is under the engine's lock (memory/lock.h) if
 * nothing else is said.  Rules: mm/userfaultfd.c, fs/userfaultfd.c.
 */
#ifndef STANDIN_MEMORY_WATCH_H
#define STANDIN_MEMORY_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "memory/vma.h"

struct backed_run;

/* Faults that are wanted. */
#define WATCH_MISSING 0x1u /* no page is there */
#define WATCH_WP      0x2u /* a page is written to that is protected from writing */
#define WATCH_MINOR   0x4u /* the page is in the page cache, and not mapped yet */
#define WATCH_RWP     0x8u /* a page is used that is protected from all access */
/* How they are. */
#define WATCH_UNPOPULATED 0x10u /* pages can be protected that are not there yet */
#define WATCH_WP_ASYNC    0x20u /* a write just lifts the protection */
#define WATCH_RWP_ASYNC   0x40u
#define WATCH_FOLLOWS     0x80u  /* an mremap(2) takes it with the pages, else it ends there */
#define WATCH_SERVED      0x100u /* the kernel's own accesses wait, too, where that can be had */
#define WATCH_MODES       0x0fu

/*
 * A part of one mapping, which is alike; neighbours are different, but only for the engine if they
 * differ in what is its own.
 */
struct watch_range {
	uintptr_t start, end;
	unsigned modes; /* WATCH_* */
	void *owner;
	enum memory_kind kind; /* of the mapping */
	bool shared;
	size_t page_size; /* bytes */
	int protection;   /* the client's */
	dev_t device;     /* of the file that is mapped, if any: */
	uint64_t inode;
	uint64_t offset; /* in it, of `start` */

	/* The engine's own. */
	bool backed;        /* by a file (memory/backed.h), all of it */
	bool by_protection; /* what is missing traps by protection, else by markers */
	bool served;        /* by a file of ours (memory/server.h): what is missing doesn't trap */
	unsigned advice;    /* of what is served, as plain memory (memory/advice.h) */
	uintptr_t alias;    /* of shared memory: where else its pages are mapped; 0: nowhere */
};

enum watch_what {
	WATCH_REMAPPED, /* start, size: from where; to: where to */
	WATCH_REMOVED,  /* contents of start, size go */
	WATCH_UNMAPPED, /* start, size */
};

struct watch_event {
	enum watch_what what;
	uintptr_t start, to;
	size_t size;
};

/* Or'ed to a fault's reason: by a system call, which would fail with EFAULT. */
#define WATCH_BY_KERNEL 0x100u

/*
 * The owner's answers.  fault(): called in a fault handler or an ordinary context with the lock:
 * makes the fault known and returns a ticket for wait(), which is called without the lock and
 * returns when the access is to be made again.  NULL: there is to be no message; the access
 * gets SIGBUS.  wait() runs with signals blocked.  `signals` is the mask that the thread had at
 * its access: a signal that is open there, and is not ignored, ends the wait, to be delivered
 * when the thread is back at its access.  NULL: it waits in a system call, and nothing ends it.
 */
struct watch_ops {
	void *(*fault)(void *owner, uintptr_t address, unsigned reason, bool write);
	void (*wait)(void *ticket, const uint64_t *signals);
	/*
	 * A page that is missing in a range that is served is wanted by `thread`, which the kernel
	 * makes wait: all with the lock.  A ticket, or NULL; whether the owner still has it as a
	 * fault that waits, and has not been woken; and that nobody waits any more, so that it is
	 * a ticket no longer.
	 */
	void *(*ask)(void *owner, uintptr_t address, pid_t thread);
	bool (*asks)(void *ticket);
	void (*answered)(void *ticket);
	/*
	 * The range of an owner has been moved, emptied, unmapped by the client or is now a
	 * child's; see enum watch_event.  With the lock, after the call has been made; what is to
	 * wait for a reader does so in settle(), which the calling thread makes afterwards,
	 * without the lock.
	 */
	void (*event)(void *owner, const struct watch_event *event);
	void (*settle)(void);
	/*
	 * In the child of a fork, with the lock.  The ranges are as in the parent; all that
	 * have not got another owner by watch_inherit() when it returns are cleared.
	 */
	void (*forked)(void);
};

/* Before the first range.  The operations stay the caller's. */
void watch_register(const struct watch_ops *ops);
extern const struct watch_ops *watch_ops;

/* Whether anything is watched: one load, without the lock. */
bool watch_any(void);
/* Whether any range is in [start, end), with the lock. */
bool watch_in(uintptr_t start, uintptr_t end);
/* The first range that ends above `address`, or NULL.  Good until the lock is given up. */
const struct watch_range *watch_find(uintptr_t address);
/* The end of the range and of those behind it that are one with it but for what is the engine's
 * own. */
uintptr_t watch_end_of(const struct watch_range *r);

/*
 * Watches [start, end), page aligned, which lies in mappings that can be watched (the caller has
 * checked them), in the place of what was watched there, unless that is the same owner's and has
 * all these modes.  From then on missing pages trap.
 * 0 or -ENOMEM; then nothing has changed.
 */
int watch_set(uintptr_t start, uintptr_t end, unsigned modes, void *owner);
/* No more; protections and traps that were for the range go.  Waiters are the owner's affair. */
void watch_clear(uintptr_t start, uintptr_t end);
/* The same for all ranges of an owner. */
void watch_clear_owner(void *owner);
/* Other modes of how (not of which) for all ranges of an owner. */
void watch_change_owner(void *owner, unsigned add, unsigned remove);
/* In ops->forked(): what was `from`'s is `to`'s in this process. */
void watch_inherit(void *from, void *to);

/* ---- what faults ask ---- */

enum watch_verdict {
	WATCH_NOT_OURS, /* go on as if nothing were watched */
	WATCH_RETRY,    /* it has been resolved */
	WATCH_ASK,      /* wait for the owner */
	WATCH_POISONED, /* SIGBUS */
	WATCH_BEYOND,   /* SIGBUS: there can be no page, the file has ended */
};

/*
 * What an access that trapped is.  The reason, one of the four, and the range go to *ret_reason
 * and *ret_range.  What is resolved without the owner is: asynchronous protection, pages
 * of the page cache in a range that doesn't want minor faults, and so on.
 */
enum watch_verdict watch_classify(uintptr_t address, bool write, unsigned *ret_reason,
				  const struct watch_range **ret_range);

/* ---- what owners do ---- */

/*
 * Contents for pages that are missing.  `to`, `size` are page aligned, not empty and in
 * ranges that are one (watch_end_of(); the caller has checked).  They return how many bytes have
 * been done, from the start up to the first page that can't be, or -errno if that was the first:
 * -EEXIST there is a page; -EFAULT the source, or the page isn't in the page cache
 * (watch_continue); and so on.  A page appears whole.  No protection of the client's stops them.
 *
 * watch_copy() may give the lock up in between, as the kernel does for its lock, and looks again.
 */
#define WATCH_PROTECT 0x1u /* protected from writing (WATCH_WP) */
long watch_copy(uintptr_t to, const void *from, size_t size, unsigned flags);
long watch_zero(uintptr_t to, size_t size);
long watch_continue(uintptr_t to, size_t size, unsigned flags);
long watch_poison(uintptr_t to, size_t size);
/*
 * Moves pages of private anonymous memory.  `holes`: those that are missing at the source are
 * passed over.  -ENOENT, -EEXIST, -EBUSY (not this process's alone).
 */
long watch_move(uintptr_t to, uintptr_t from, size_t size, bool holes);

/* Protects (or no more) what is in [start, end) of ranges with WATCH_WP.  0 or -errno. */
int watch_protect(uintptr_t start, uintptr_t end, bool on);
/* The same for all access, of ranges with WATCH_RWP. */
int watch_protect_all(uintptr_t start, uintptr_t end, bool on);

/* Faults that `ask` has told of may have been woken. */
void watch_look(void);

/* ---- what others ask ---- */

/*
 * Asks for what is missing in [address, address + size), or may not be written to, as a fault
 * does: for a system call that is given it.  Ordinary context, without the lock.
 */
void watch_resolve(const void *address, size_t size, bool write);

/* Whether any page there is other than /proc/self/pagemap says. */
bool watch_shows(uintptr_t start, uintptr_t end);
/* Corrects an entry of /proc/self/pagemap; `backed` as in memory/vma.h, *run as in backed_has(). */
uint64_t watch_shown(uintptr_t address, uint64_t entry, bool backed, struct backed_run *run);

#endif
