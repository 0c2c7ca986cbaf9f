/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory_rig.h - the memory engine in a test: faults handled, memory calls as the wrappers
 * make them, and an owner of pages that gives back what is touched.
 */
#ifndef STANDIN_TESTS_MEMORY_RIG_H
#define STANDIN_TESTS_MEMORY_RIG_H

#include <stdatomic.h>
#include <stddef.h>

#include "memory/memory.h"

#define PAGE      4096ul
#define RW        (PROT_READ | PROT_WRITE)
#define RIG_OWNER 3u

/* Times that a page of the rig's was touched. */
extern _Atomic unsigned rig_faults;

/* Starts what there is to start, once, and sets how pages trap. */
void rig_start(enum memory_traps traps);
/* Setups of cmocka's: how they trap in the test. */
extern enum memory_traps rig_traps;
int rig_with_guards(void **state);
int rig_with_protection(void **state);
/* cmocka takes the fault signals before each test: takes them back. */
void rig_take_signals(void);

/* Private anonymous memory at a multiple of 2 MiB. */
char *rig_map(size_t size);
/* Fills each page with numbers that tell it from others, and checks that. */
void rig_fill(char *p, size_t size, unsigned seed);
/* The first page that isn't as filled, or -1. */
long rig_check(const char *p, size_t size, unsigned seed);

/* Takes [p, p + size) away: how many pages are then. */
unsigned rig_away(char *p, size_t size);
void rig_back(char *p, size_t size);
/* How many pages of the range are away. */
unsigned rig_count(const char *p, size_t size);

int rig_munmap(void *p, size_t size);
int rig_mprotect(void *p, size_t size, int protection);
int rig_madvise(void *p, size_t size, int advice);
void *rig_mremap(void *p, size_t old_size, size_t new_size, int flags, void *to);

/* si_code of the SIGSEGV that a load, or with `store` a store, raises; 0: none. */
int rig_touch(char *p, int store);

/* Lines of /proc/self/maps. */
unsigned rig_mappings(void);

#endif
