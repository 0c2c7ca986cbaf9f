/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/store.h - where the contents of pages are that are away from their place.
 *
 * Large pieces are moved, by changing the kernel's page tables, to the address that is theirs
 * with one of the upper bits flipped.  So pieces that were neighbours are neighbours there,
 * and the kernel makes one mapping of them.  Single pages are copied to slots of an arena, so
 * that they cost no mapping each.
 *
 * All of it is private memory: the child of a fork has its own.  Under the engine's lock.
 */
#ifndef STANDIN_MEMORY_STORE_H
#define STANDIN_MEMORY_STORE_H

#include <stddef.h>
#include <stdint.h>

/* A slot of one page, its content undefined; 0: out of memory. */
uintptr_t store_slot(void);
void store_slot_free(uintptr_t slot);

/* The address for a piece of `size` bytes that is to be moved, reserved: 0, there is none. */
uintptr_t store_reserve(uintptr_t address, size_t size);
/* The piece, or a part of it, has been moved back: nothing is mapped there. */
void store_moved_back(uintptr_t store, size_t size);
/* A small part has been moved out of it: it is mapped, and empty. */
void store_emptied(uintptr_t store, size_t size);
/* Its content is not needed any more. */
void store_release(uintptr_t store, size_t size);

#endif
