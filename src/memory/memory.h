/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/memory.h - the memory engine: interfaces that take the pages of this process away
 * from its CPUs, and are told what happens to its address space.
 *
 * It starts with the first file of such an interface.  From then on the client's memory calls
 * come through memory/calls.h, and faults to memory_fault().
 */
#ifndef STANDIN_MEMORY_MEMORY_H
#define STANDIN_MEMORY_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "memory/lock.h"
#include "memory/move.h"
#include "memory/pages.h"
#include "memory/vma.h"

/* Idempotent; ordinary context.  0 or -errno. */
int memory_start(enum memory_traps traps);
/* Whether it has been started: one load. */
bool memory_active(void);

/* ---- owners ---- */

/*
 * The client touched a page of the owner that traps, and may: the page shall not trap when this
 * returns.  Called with the lock, perhaps in a signal handler.
 */
typedef void memory_fault_fn(uintptr_t address, uint64_t page);

/* `owner` as in pages.h.  Before anything is taken away for it. */
void memory_owner_register(unsigned owner, memory_fault_fn *fault);

enum memory_verdict {
	MEMORY_NOT_OURS, /* the client's own */
	MEMORY_RETRY,    /* the access will do now, or fault again */
	MEMORY_SIGBUS,   /* the client gets SIGBUS, */
	MEMORY_POISONED, /* and of a page that is poisoned: with memory_poison_code() */
};

struct memory_access {
	uintptr_t address;
	bool write, fetch;
	bool missing; /* it raised SIGBUS, not SIGSEGV */
	/*
	 * The signal mask that the thread had; NULL: the access is the library's own, which
	 * doesn't wait for others.
	 */
	const uint64_t *signals;
};

/* What an access that faulted is: for the handler, which may be left for good meanwhile. */
enum memory_verdict memory_fault(const struct memory_access *access);

/* The si_code that this kernel uses for poisoned memory. */
int memory_poison_code(void);

/*
 * Makes [address, address + size) accessible to system calls, as far as the client may access
 * it.
 */
void memory_make_resident(const void *address, size_t size);

/*
 * The same for a system call of the client's, which stores there if `write`: and what is missing
 * or protected in what is watched is asked for, which may take any time.  Ordinary context,
 * without the lock.
 */
void memory_reach(const void *address, size_t size, bool write);

/*
 * Forgets what is away in [start, end) and does not trap any more: libc has unmapped it, inside
 * free() for instance, and nobody was told.  Before what is known of a range is used; moves
 * do it themselves.  With the lock.
 */
void memory_validate(uintptr_t start, uintptr_t end);

/*
 * A system call of the client's failed with EFAULT, and memory_moves was `moves` before it:
 * whether that may have been because pages moved, and it is to be made again.
 */
bool memory_moved_since(uint64_t moves);

/* ---- notifiers ---- */

enum memory_event {
	MEMORY_UNMAP,      /* munmap, mremap, brk, a mapping over it */
	MEMORY_CLEAR,      /* contents go or change their place */
	MEMORY_PROTECTION, /* mprotect, and fork: writable pages become shared */
	MEMORY_MIGRATE,    /* to or from a device: `source` */
	MEMORY_TAKEN,      /* by a device, for itself alone */
};

/* As the kernel's mmu notifiers.  Called with the lock, before it happens. */
struct memory_notifier {
	void (*invalidate)(struct memory_notifier *n, uintptr_t start, uintptr_t end,
			   enum memory_event event, const void *source);
	struct memory_notifier *next;
};

/* With the lock. */
void memory_notifier_add(struct memory_notifier *n);
void memory_notifier_remove(struct memory_notifier *n);
void memory_notify(uintptr_t start, uintptr_t end, enum memory_event event, const void *source);

/* ---- fork ---- */

/*
 * Around a fork, the engine's lock is held, and lent; in the child nobody is notified any more, and
 * what is away has its content there too.  An owner that has to do something before is called
 * first.
 */
typedef void memory_forking_fn(void);
void memory_forking_register(memory_forking_fn *forking);
void memory_fork_prepare(void);
/*
 * Before that, where a fork can still be refused: makes what would be shared with a child private.
 * 0 or -ENOMEM.
 */
int memory_fork_begin(void);
void memory_fork_parent(void);
void memory_fork_child(void);

#endif
