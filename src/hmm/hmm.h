/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hmm/hmm.h - /dev/hmm_dmirrorN: devices that use the address space of the process that opened
 * them.  Rules: lib/test_hmm.c, mm/hmm.c and mm/migrate_device.c.
 *
 * A file is a mirror: the device's page table for this process's memory.  Its entries say that
 * the device may use a page; they go when something happens to the page, and come by a fault of
 * the device's.  Devices 0 and 1 have private memory: a page that is there traps when the
 * process touches it, and comes back.  The memory of 2 and 3 is coherent: the process goes on
 * using a page that is there.
 *
 * What is not said to be otherwise is called with the memory engine's lock.
 */
#ifndef STANDIN_HMM_HMM_H
#define STANDIN_HMM_HMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/file.h"
#include "core/ioctl.h"
#include "memory/memory.h"
#include "uapi/hmm.h"

struct hmm_device {
	unsigned index;
	bool coherent;
	uint64_t capacity; /* pages; 0: no limit */
};

/* A mirror's page table: what the device may do with a page. */
#define HMM_ENTRY_PRESENT 0x1u
#define HMM_ENTRY_WRITE   0x2u
#define HMM_ENTRY_ATOMIC  0x4u /* and nobody else may touch it */
#define HMM_ENTRY_DEVICE  0x8u /* the page is in the device's private memory */

struct hmm_mirror {
	struct memory_notifier notifier; /* first */
	struct hmm_device *dev;
	struct radix table;
	uint64_t flags; /* HMM_DMIRROR_FLAG_* */
};

/* The owner's bits of a page in the engine's table: the device, and whether it was writable. */
#define HMM_USER_WRITE 1u
static inline unsigned hmm_user(const struct hmm_device *dev, bool writable)
{
	return dev->index << 1 | (writable ? HMM_USER_WRITE : 0);
}

/* Whether the page is in a device's memory, and in this one's. */
static inline bool hmm_is_device_page(uint64_t page)
{
	return page_owner(page) == MEMORY_OWNER_HMM;
}

/* In what the pages of one device's memory are alike. */
#define HMM_ON_MASK (PAGE_OWNER | (PAGE_USER & ~((uint64_t)HMM_USER_WRITE << PAGE_USER_SHIFT)))

static inline bool hmm_is_on(uint64_t page, const struct hmm_device *dev)
{
	return hmm_is_device_page(page) && page_user(page) >> 1 == dev->index;
}

/* Whether the CPU's page table entry of a page would let it be written to. */
bool hmm_pte_writable(const struct memory_vma *v, uint8_t state);
/* Whether the page may be written to where it is now; `page`: hmm_page() of it. */
bool hmm_writable(const struct memory_vma *v, uint64_t page, uint8_t state);

/* ---- device.c ---- */

extern struct hmm_device hmm_devices[HMM_DEVICES];

/* Registers with the memory engine, and starts it.  Without the lock.  0 or -errno. */
int hmm_start_memory(void);
/*
 * Gives back what of [start, end), which has been validated, is on the device; tells mirrors as
 * for `event`.
 */
void hmm_evict(struct hmm_device *dev, uintptr_t start, uintptr_t end, enum memory_event event);
/*
 * What the engine knows of a page at `at` whose state is `state`: a coherent page that was
 * shared with a child and is one process's own again was copied to system memory when it was
 * written to.
 */
uint64_t hmm_page(uintptr_t at, uint8_t state);
/*
 * Enters what memory_underfoot() has found, which the thread would have touched again before its
 * call returned: 0 or -ENOMEM.
 */
int hmm_enter_underfoot(struct hmm_mirror *m, const struct memory_vma *v, uintptr_t start,
			uintptr_t end);
/* The mirrors of one device forget a range that is coming back. */
void hmm_forget(const struct hmm_device *dev, uintptr_t start, uintptr_t end);

/* ---- the commands: without the lock; they change `cmd` and return 0 or -errno ---- */

/* fault.c: lets the device use [start, end).  Without the lock. */
int hmm_fault(struct hmm_mirror *m, uintptr_t start, uintptr_t end, bool write);

/* access.c */
int hmm_read(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);
/* The same, and what is missing in watched memory is waited for. */
int hmm_read_unlocked(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);
int hmm_write(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);
/* Gives the client what the device has of the whole range: -ENOENT if it hasn't all. */
int hmm_read_back(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);
/*
 * The same with the lock, since before the range was taken, so that what is known of it is true:
 * or -EAGAIN, to be done without it.
 */
int hmm_read_taken(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);

/* migrate.c */
int hmm_migrate_to_device(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);
int hmm_migrate_to_system(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);

/* snapshot.c */
int hmm_snapshot(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);

/* exclusive.c */
int hmm_exclusive(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);
int hmm_check_exclusive(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd);

/* file.c */
extern const struct file_ops hmm_file_ops;
extern const struct ioctl_table hmm_table;

#endif
