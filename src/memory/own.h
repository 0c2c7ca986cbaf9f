/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/own.h - memory of the engine's own, in one reserved part of the address space.
 *
 * What the kernel would choose for a small mapping is often the hole that the client has just
 * made; there the client could not find a hole any more, and would unmap ours with the next
 * call over the whole.
 */
#ifndef STANDIN_MEMORY_OWN_H
#define STANDIN_MEMORY_OWN_H

#include <stddef.h>

/* Zeroed, page aligned, rounded up to a power of two; NULL: out of memory.  Any context. */
void *own_alloc(size_t size);
/* The size that was asked for.  NULL is fine. */
void own_free(void *p, size_t size);

#endif
