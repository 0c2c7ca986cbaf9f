/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SNAPSHOT: a byte per page that says what the device would find there, without making
 * anything present.  Rules: hmm_range_fault() without HMM_PFN_REQ_FAULT, and dmirror_mkentry().
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/user.h"
#include "hmm/hmm.h"

#define BATCH 32u

static uint8_t access_of(bool writable)
{
	return writable ? HMM_DMIRROR_PROT_WRITE : HMM_DMIRROR_PROT_READ;
}

/* A page that somebody owns. */
static uint8_t look_at_owned(const struct hmm_mirror *m, uint64_t page, uint8_t seen)
{
	bool trapped = page_is_trapped(page), local = hmm_is_on(page, m->dev);

	if (page & PAGE_UNIT)
		seen |= HMM_DMIRROR_PROT_PMD;
	if (!trapped)
		return seen | (local ? HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL
				     : HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE);
	if (local)
		return seen | HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL;
	/* Of other devices' pages it sees none, and takes a huge one for an error. */
	return page & PAGE_UNIT ? HMM_DMIRROR_PROT_ERROR : HMM_DMIRROR_PROT_NONE;
}

static uint8_t look_at(const struct hmm_mirror *m, const struct memory_vma *v, uintptr_t at,
		       uint8_t state)
{
	uint64_t page = hmm_page(at, state);
	uint8_t seen = access_of(hmm_writable(v, page, state));

	if (page)
		return look_at_owned(m, page, seen);
	if (!(state & MEMORY_PRESENT))
		return HMM_DMIRROR_PROT_NONE;
	if (v->page_size >= (1u << 30))
		return seen | HMM_DMIRROR_PROT_PUD;
	if (v->kind == MEMORY_HUGETLB || (state & MEMORY_HUGE))
		return seen | HMM_DMIRROR_PROT_PMD;
	return state & MEMORY_ZERO ? seen | HMM_DMIRROR_PROT_ZERO : seen;
}

/* With the lock. */
static int look(const struct hmm_mirror *m, uintptr_t at, uintptr_t end, uint8_t *seen)
{
	uint8_t states[BATCH];
	struct memory_vma v;

	memory_validate(at, end);
	while (at < end) {
		bool mapped = memory_vma_find(at, &v) && v.start < end;
		uintptr_t from = mapped && v.start > at ? v.start : at, to;
		int ret;

		to = mapped && v.end < end ? v.end : end;
		if (!mapped || !(v.protection & PROT_READ)) {
			memset(seen, HMM_DMIRROR_PROT_ERROR, (to - at) / MEMORY_PAGE);
			seen += (to - at) / MEMORY_PAGE;
			at = to;
			continue;
		}
		memset(seen, HMM_DMIRROR_PROT_ERROR, (from - at) / MEMORY_PAGE);
		seen += (from - at) / MEMORY_PAGE;
		ret = memory_states(from, to, states);
		if (ret)
			return ret;
		for (at = from; at < to; at += MEMORY_PAGE)
			*seen++ = look_at(m, &v, at, states[(at - from) / MEMORY_PAGE]);
	}
	return 0;
}

int hmm_snapshot(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	uintptr_t at = cmd->addr, end = at + cmd->npages * MEMORY_PAGE, to;
	uintptr_t ptr = cmd->ptr;
	uint8_t seen[BATCH];
	uint64_t signals;
	int ret;

	for (; at < end; at = to) {
		/* The end of the driver's batch wraps, and so does the length of its notifier. */
		if (at + BATCH * MEMORY_PAGE < at)
			return -EOVERFLOW;
		to = end - at > BATCH * MEMORY_PAGE ? at + BATCH * MEMORY_PAGE : end;
		memory_lock(&signals);
		ret = look(m, at, to, seen);
		memory_unlock(&signals);
		if (ret)
			return ret;
		if (copy_to_user((void *)ptr, seen, (to - at) / MEMORY_PAGE))
			return -EFAULT;
		cmd->cpages += (to - at) / MEMORY_PAGE;
		ptr += (to - at) / MEMORY_PAGE;
	}
	return 0;
}
