/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A piece of the store that is done with keeps its place if it is small, empty, because taking
 * it out of a larger mapping is what costs; the next piece that comes there replaces it.  So
 * it is known of each page of the store whether it is in use.
 *
 * The arena grows by chunks.  Free slots are a stack of numbers outside the arena, so that a
 * slot that isn't in use can be given back to the kernel.
 */
#include "memory/store.h"

#include <stdbool.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/own.h"
#include "memory/radix.h"

#define CHUNK_SLOTS 8192u /* 32 MiB */
#define CHUNKS      4096u

static struct chunk {
	uintptr_t base;
	uint32_t *free; /* a stack: n_free numbers */
	uint32_t n_free;
} chunks[CHUNKS];
static unsigned n_chunks, hint;

static struct chunk *chunk_new(void)
{
	struct chunk *c = &chunks[n_chunks];

	if (n_chunks == CHUNKS)
		return NULL;
	c->free = own_alloc(CHUNK_SLOTS * sizeof(*c->free));
	if (!c->free)
		return NULL;
	c->base = (uintptr_t)own_alloc(CHUNK_SLOTS * MEMORY_PAGE);
	if (!c->base) {
		own_free(c->free, CHUNK_SLOTS * sizeof(*c->free));
		return NULL;
	}
	for (uint32_t i = 0; i < CHUNK_SLOTS; i++)
		c->free[i] = CHUNK_SLOTS - 1 - i;
	c->n_free = CHUNK_SLOTS;
	n_chunks++;
	return c;
}

uintptr_t store_slot(void)
{
	struct chunk *c = NULL;

	for (unsigned i = 0; i < n_chunks && !c; i++, hint = (hint + 1) % n_chunks)
		if (chunks[hint].n_free) {
			c = &chunks[hint];
			break;
		}
	if (!c)
		c = chunk_new();
	return c ? c->base + c->free[--c->n_free] * MEMORY_PAGE : 0;
}

void store_slot_free(uintptr_t slot)
{
	for (unsigned i = 0; i < n_chunks; i++) {
		struct chunk *c = &chunks[i];

		if (slot - c->base >= CHUNK_SLOTS * MEMORY_PAGE)
			continue;
		c->free[c->n_free++] = (uint32_t)((slot - c->base) / MEMORY_PAGE);
		/* When all is free, the memory goes back. */
		if (c->n_free == CHUNK_SLOTS)
			host_syscall(SYS_madvise, c->base, CHUNK_SLOTS * MEMORY_PAGE,
				     MADV_DONTNEED);
		return;
	}
}

#define IN_USE 1u
#define EMPTY  2u /* mapped, but of no use */
#define SMALL  ((size_t)64 << 10)

static struct radix places;

/* Whether nothing of ours is in use there; what is mapped without use goes. */
static bool clear_place(uintptr_t place, size_t size)
{
	uintptr_t at = place, end = place + size, to;
	uint64_t state;

	while ((at = radix_next(&places, at, end, &state)) < end) {
		if (state == IN_USE)
			return false;
		at += MEMORY_PAGE;
	}
	for (at = place; (at = radix_next(&places, at, end, NULL)) < end; at = to) {
		for (to = at; to < end && radix_get(&places, to); to += MEMORY_PAGE)
			radix_set(&places, to, 0);
		host_munmap((void *)at, to - at);
	}
	return true;
}

static void set_state(uintptr_t start, size_t size, unsigned state)
{
	if (state)
		radix_fill(&places, start, start + size, state, 0);
	else
		radix_clear(&places, start, start + size);
}

void store_moved_back(uintptr_t store, size_t size)
{
	set_state(store, size, 0);
}

void store_emptied(uintptr_t store, size_t size)
{
	set_state(store, size, EMPTY);
}

void store_release(uintptr_t store, size_t size)
{
	if (size >= SMALL) {
		host_munmap((void *)store, size);
		set_state(store, size, 0);
		return;
	}
	host_syscall(SYS_madvise, store, size, MADV_DONTNEED);
	store_emptied(store, size);
}

/* The bits that are tried, one after the other.  The sanitizer has a shadow of the rest alone. */
#ifdef __SANITIZE_THREAD__
#define BIT_FIRST 38u
#else
#define BIT_FIRST 45u
#endif
#define BIT_LAST (BIT_FIRST - 3)

uintptr_t store_reserve(uintptr_t address, size_t size)
{
	for (unsigned bit = BIT_FIRST; bit >= BIT_LAST; bit--) {
		uintptr_t place = address ^ ((uintptr_t)1 << bit);
		void *p;

		if ((address ^ (address + size - 1)) >> bit)
			continue; /* it would not stay in one piece */
		if (!clear_place(place, size) || radix_reserve(&places, place, place + size) < 0)
			continue;
		p = host_mmap((void *)place, size, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			      0);
		if (p == (void *)place) {
			set_state(place, size, IN_USE);
			return place;
		}
		if (!host_is_error(p))
			host_munmap(p, size);
	}
	return 0;
}
