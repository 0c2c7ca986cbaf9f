/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/vma.h - what is mapped where in this process, as the client sees it, and the state
 * of its pages.
 *
 * The kernel is asked each time; it alone knows of what libc maps inside itself.  Where
 * the engine has changed a protection (memory/pages.h) the client's is given.  All under
 * the engine's lock.
 */
#ifndef STANDIN_MEMORY_VMA_H
#define STANDIN_MEMORY_VMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Of a memfd whose mappings are MEMORY_SPECIAL. */
#define MEMORY_SPECIAL_NAME "standin:special"

enum memory_kind {
	MEMORY_ANON,   /* private anonymous */
	MEMORY_FILE,   /* private, of a file or of shared memory */
	MEMORY_SHARED, /* shared: of a file, or anonymous */
	MEMORY_HUGETLB,
	MEMORY_SPECIAL, /* not of ordinary pages: of devices, [vdso] */
};

struct memory_vma {
	uintptr_t start, end;
	int protection; /* PROT_* */
	enum memory_kind kind;
	bool shared;
	bool backed;      /* anonymous, by a file of the engine's (memory/backed.h) */
	size_t page_size; /* hugetlb: more than 4096 */
	dev_t device;     /* of the file system; 0: no file */
	uint64_t inode;
	uint64_t offset; /* in the file, of `start` */
};

/* The mapping at `address`, or the next one above it; false: there is none. */
bool memory_vma_find(uintptr_t address, struct memory_vma *ret_vma);

/* The mapping that the kernel has there, with what the engine has changed; false: there is none. */
bool memory_mapping(uintptr_t address, struct memory_vma *ret_vma);

/* The same, or the next mapping above. */
bool memory_mapping_next(uintptr_t address, struct memory_vma *ret_vma);

/* The protection that the kernel has there, -1 without a mapping; good up to *ret_end. */
int memory_vma_protection(uintptr_t address, uintptr_t *ret_end);

#define MEMORY_PRESENT   0x01 /* in the page table, not a swapped one */
#define MEMORY_ZERO      0x02 /* the zero page */
#define MEMORY_HUGE      0x04 /* mapped by an entry of 2 MiB */
#define MEMORY_OF_FILE   0x08 /* of a file or shared memory, not a private copy */
#define MEMORY_SWAPPED   0x10 /* neither present nor none: swapped, guarded */
#define MEMORY_EXCLUSIVE 0x20 /* mapped by nobody else */
#define MEMORY_GUARDED   0x40 /* SWAPPED and guarded, where the kernel tells (6.15) */

/* A byte of the above for each page of [start, end).  0 or -errno. */
int memory_states(uintptr_t start, uintptr_t end, uint8_t *ret_states);

/*
 * The first page from `at` on of which the page table has an entry (with `there`) or none, and
 * the end of the run of such pages to *ret_end; `end`, if there is none.
 */
uintptr_t memory_populated(uintptr_t at, uintptr_t end, bool there, uintptr_t *ret_end);

/*
 * What the kernel says of the page at `at` (PAGE_IS_*), and the end of those that are alike, no
 * further than `end`, to *ret_end.
 */
uint64_t memory_categories(uintptr_t at, uintptr_t end, uintptr_t *ret_end);

/* Whether an entry of 2 MiB maps the page. */
bool memory_is_huge(uintptr_t address);

/* Opens what the kernel is asked through: at first, and again in the child of a fork. */
int memory_vma_start(void);
void memory_vma_forked(void);
/* The descriptor of /proc/self/mem, or -errno; of no use before memory_vma_start(). */
int memory_vma_mem(void);

#endif
