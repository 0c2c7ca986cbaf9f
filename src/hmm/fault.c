/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults of a device: pages that it wants to use become present, and are entered in the
 * mirror's page table.  Rules: mm/hmm.c, hmm_range_fault().
 *
 * In batches, as the kernel's driver does: those before one that fails stay entered.  Making
 * pages present can take long, and can need other threads of the client, so it is done
 * without the lock; then one looks again whether they are.
 */
#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#include "core/syscall.h"
#include "hmm/hmm.h"
#include "uapi/mm.h"

#define BATCH      32u
#define BATCHES    64u /* at most before the lock is given to others */
#define TIMEOUT_NS 1000000000ull

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What the pages of a batch are for the device; the first run that the kernel is to make present.
 */
struct batch {
	uint8_t entry[BATCH]; /* 0: not usable yet */
	uintptr_t missing, missing_end;
};

/* The entry of a page, 0 if there is to be a fault first. */
static uint8_t entry_of(const struct hmm_mirror *m, const struct memory_vma *v, uintptr_t at,
			uint8_t state)
{
	uint64_t page = hmm_page(at, state);
	uint8_t entry = HMM_ENTRY_PRESENT | (hmm_writable(v, page, state) ? HMM_ENTRY_WRITE : 0);

	if (page_is_trapped(page))
		return hmm_is_on(page, m->dev) ? entry | HMM_ENTRY_DEVICE : 0;
	return hmm_is_device_page(page) || (state & MEMORY_PRESENT) ? entry : 0;
}

/* A page of the device's own is never made writable by a fault: see enter(). */
static bool suffices(uint8_t entry, bool write)
{
	return entry && (!write || (entry & (HMM_ENTRY_WRITE | HMM_ENTRY_DEVICE)));
}

/* Whether a page that is away has to come back before the device can use it. */
static bool in_the_way(const struct hmm_mirror *m, uint64_t page)
{
	return page_is_trapped(page) && !hmm_is_on(page, m->dev);
}

static void bring_back(const struct hmm_mirror *m, uintptr_t at, uintptr_t end)
{
	uint64_t page;

	while ((at = pages_next(at, end, &page)) < end) {
		uintptr_t to = at;

		for (; to < end && in_the_way(m, page); page = pages_get(to))
			to += MEMORY_PAGE;
		if (to > at)
			memory_make_resident((void *)at, to - at);
		at = to + MEMORY_PAGE;
	}
}

/* The part of a batch that lies in one mapping. */
static int look_at(struct hmm_mirror *m, const struct memory_vma *v, uintptr_t start, uintptr_t end,
		   bool write, struct batch *b, uintptr_t batch_start)
{
	uint8_t states[BATCH];
	int ret;

	if (!(v->protection & PROT_READ))
		return -EFAULT;
	if (!write || (v->protection & PROT_WRITE))
		bring_back(m, start, end);
	ret = memory_states(start, end, states);
	for (uintptr_t at = start; at < end && ret == 0; at += MEMORY_PAGE) {
		uint8_t *entry = &b->entry[(at - batch_start) / MEMORY_PAGE];

		*entry = entry_of(m, v, at, states[(at - start) / MEMORY_PAGE]);
		if (suffices(*entry, write)) {
			if (b->missing_end)
				break;
			continue;
		}
		if (write && !(v->protection & PROT_WRITE))
			return -EPERM;
		if (!b->missing_end)
			b->missing = at;
		b->missing_end = at + MEMORY_PAGE;
	}
	return ret;
}

static int look(struct hmm_mirror *m, uintptr_t start, uintptr_t end, bool write, struct batch *b)
{
	struct memory_vma v;
	uintptr_t to;
	int ret = 0;

	b->missing = b->missing_end = 0;
	memory_validate(start, end);
	for (uintptr_t at = start; at < end && ret == 0; at = to) {
		if (!memory_vma_find(at, &v) || v.start > at)
			return -EFAULT;
		to = v.end < end ? v.end : end;
		ret = look_at(m, &v, at, to, write, b, start);
		/* Faults of one mapping are taken before the next one is looked at. */
		if (b->missing_end)
			break;
	}
	return ret;
}

static int enter(struct hmm_mirror *m, uintptr_t start, uintptr_t end, bool write,
		 const struct batch *b)
{
	int ret = 0;

	for (uintptr_t at = start; at < end && ret == 0; at += MEMORY_PAGE) {
		uint8_t entry = b->entry[(at - start) / MEMORY_PAGE];

		/* The driver finds a page that it may not write to and gives up. */
		if (write && !(entry & HMM_ENTRY_WRITE))
			return -EFAULT;
		ret = radix_set(&m->table, at, entry);
	}
	return ret;
}

/*
 * As handle_mm_fault() fails.  0 too if pages moved since `moves`, and one has to look again: what
 * has just been taken is in nobody's reach.
 */
static int make_present(uintptr_t start, uintptr_t end, bool write, uint64_t moves)
{
	long ret = host_syscall(SYS_madvise, start, end - start,
				write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);

	switch (ret) {
	case 0:
	case -EAGAIN:
		return 0;
	case -EHWPOISON:
		return (int)ret;
	case -ENOMEM: /* also: nothing is mapped any more, which is seen on the next look */
		return 0;
	default:
		return memory_moved_since(moves) ? 0 : -EFAULT;
	}
}

/*
 * With the lock: batch by batch from *at on, up to the end, an error or pages that are missing.
 */
static int fault_locked(struct hmm_mirror *m, uintptr_t *at, uintptr_t end, bool write,
			struct batch *b)
{
	int ret = 0;

	b->missing_end = 0;
	for (unsigned n = 0; n < BATCHES && *at < end && ret == 0; n++) {
		uintptr_t to = end - *at > BATCH * MEMORY_PAGE ? *at + BATCH * MEMORY_PAGE : end;

		ret = look(m, *at, to, write, b);
		if (ret || b->missing_end)
			break;
		ret = enter(m, *at, to, write, b);
		*at = to;
	}
	return ret;
}

int hmm_fault(struct hmm_mirror *m, uintptr_t start, uintptr_t end, bool write)
{
	uint64_t deadline = now() + TIMEOUT_NS, signals, moves;
	uintptr_t before = start;
	struct batch b;
	int ret = 0;

	while (start < end && ret == 0) {
		/* The end of the driver's batch wraps, and a range that ends before it begins ...
		 */
		if (start + BATCH * MEMORY_PAGE < start)
			return -EINVAL;
		memory_lock(&signals);
		ret = fault_locked(m, &start, end, write, &b);
		moves = atomic_load(&memory_moves);
		memory_unlock(&signals);
		if (ret == 0 && b.missing_end)
			ret = make_present(b.missing, b.missing_end, write, moves);
		if (start != before)
			deadline = now() + TIMEOUT_NS;
		else if (now() >= deadline)
			ret = ret ? ret : -EBUSY;
		before = start;
	}
	return ret;
}
