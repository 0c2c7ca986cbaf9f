/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reservation that is made accessible from its beginning on, and lists of free blocks by
 * size.  A free block has given its memory back and keeps only its address, in a table of
 * which there is one for each size.
 */
#include "memory/own.h"

#include <stdint.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/lock.h"
#include "memory/radix.h"

#define RESERVE_MAX ((size_t)256 << 30)
#define RESERVE_MIN ((size_t)64 << 20)
#define STEP        ((size_t)2 << 20)
#define ORDERS      28u
#define HINT        ((void *)((uintptr_t)16 << 40)) /* where neither the kernel nor linkers put things */
#define FREE_MAX    1024u

static char *base;
static size_t reserved, usable, used;
static void *free_blocks[ORDERS][FREE_MAX];
static unsigned n_free[ORDERS];

static void reserve(void)
{
	void *p = NULL;

	for (reserved = RESERVE_MAX; reserved >= RESERVE_MIN; reserved /= 2) {
		p = host_mmap(HINT, reserved, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (!host_is_error(p))
			break;
	}
	if (reserved < RESERVE_MIN)
		reserved = 0;
	else
		base = p;
}

static void *grow(size_t size)
{
	size_t end;

	if (!base)
		reserve();
	if (size > reserved - used)
		return NULL;
	end = (used + size + STEP - 1) & ~(STEP - 1);
	if (end > usable) {
		if (host_mprotect(base + usable, end - usable, PROT_READ | PROT_WRITE) < 0)
			return NULL;
		usable = end;
	}
	used += size;
	return base + used - size;
}

static unsigned order_of(size_t size)
{
	unsigned order = 0;

	while (order < ORDERS && (MEMORY_PAGE << order) < size)
		order++;
	return order;
}

void *own_alloc(size_t size)
{
	unsigned order = order_of(size);
	uint64_t signals;
	void *p;

	if (order == ORDERS)
		return NULL;
	memory_lock(&signals);
	if (n_free[order])
		p = free_blocks[order][--n_free[order]];
	else
		p = grow(MEMORY_PAGE << order);
	memory_unlock(&signals);
	return p;
}

void own_free(void *p, size_t size)
{
	unsigned order = order_of(size);
	uint64_t signals;

	if (!p)
		return;
	host_syscall(SYS_madvise, p, MEMORY_PAGE << order, MADV_DONTNEED);
	memory_lock(&signals);
	/* A block that is not remembered costs its address, of which there are plenty. */
	if (n_free[order] < FREE_MAX)
		free_blocks[order][n_free[order]++] = p;
	memory_unlock(&signals);
}
