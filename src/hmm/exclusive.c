/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EXCLUSIVE and CHECK_EXCLUSIVE: pages that the device alone may use until the process touches
 * them.  Rules: make_device_exclusive().
 */
#include <errno.h>

#include "core/syscall.h"
#include "hmm/hmm.h"
#include "memory/watch.h"
#include "uapi/mm.h"

#define BATCH 512u

static uint8_t states[BATCH];

/* Whether a page of it can be one device's alone, once it is present and writable. */
static int check(const struct memory_vma *v, uintptr_t at)
{
	if (v->start > at || !(v->protection & PROT_WRITE))
		return -EFAULT;
	return 0;
}

/*
 * As many pages from `at` on as are present and writable: the address reached.  With the lock.
 */
static uintptr_t take(struct hmm_mirror *m, const struct memory_vma *v, uintptr_t at, uintptr_t end,
		      int *ret_error)
{
	static const uint8_t user[BATCH];
	struct memory_freeze f;
	uintptr_t low, high;
	size_t n;
	int ret;

	if (memory_underfoot(at, end, &low, &high)) {
		if (low == at) {
			*ret_error = hmm_enter_underfoot(m, v, at, high);
			return high;
		}
		end = low;
	}
	end = end - at > BATCH * MEMORY_PAGE ? at + BATCH * MEMORY_PAGE : end;
	memory_make_resident((void *)at, end - at);
	ret = memory_freeze(&f, v, at, end);
	if (ret == 0)
		ret = memory_states(at, end, states);
	for (n = 0; ret == 0 && n < (end - at) / MEMORY_PAGE; n++)
		if (!hmm_pte_writable(v, states[n]))
			break;
	end = at + n * MEMORY_PAGE;
	if (n && (v->shared || v->kind == MEMORY_HUGETLB || watch_in(at, end))) {
		ret = -EOPNOTSUPP;
		n = 0;
	}
	if (n) {
		memory_notify(at, end, MEMORY_TAKEN, NULL);
		ret = memory_away(&f, at, end, MEMORY_OWNER_HMM_EXCLUSIVE, states, user);
	}
	memory_thaw(&f);
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = radix_set(&m->table, at + i * MEMORY_PAGE,
				HMM_ENTRY_PRESENT | HMM_ENTRY_ATOMIC);
	*ret_error = ret;
	return at + n * MEMORY_PAGE;
}

static uintptr_t populate_end(const struct memory_vma *v, uintptr_t at, uintptr_t end)
{
	end = v->end < end ? v->end : end;
	return end - at > BATCH * MEMORY_PAGE ? at + BATCH * MEMORY_PAGE : end;
}

static int make_exclusive(struct hmm_mirror *m, uintptr_t at, uintptr_t end)
{
	while (at < end) {
		struct memory_vma v;
		uint64_t signals, moves;
		uintptr_t to = at;
		int ret = -EFAULT;

		memory_lock(&signals);
		if (memory_vma_find(at, &v))
			ret = check(&v, at);
		if (ret == 0)
			to = take(m, &v, at, v.end < end ? v.end : end, &ret);
		moves = atomic_load(&memory_moves);
		memory_unlock(&signals);
		if (ret)
			return ret;
		if (to == at &&
		    host_syscall(SYS_madvise, at, populate_end(&v, at, end) - at,
				 MADV_POPULATE_WRITE) < 0 &&
		    !memory_moved_since(moves))
			return -EFAULT;
		at = to;
	}
	return 0;
}

int hmm_exclusive(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	int ret = make_exclusive(m, cmd->addr, cmd->addr + cmd->npages * MEMORY_PAGE);

	return ret ? ret : hmm_read_back(m, cmd);
}

int hmm_check_exclusive(struct hmm_mirror *m, struct hmm_dmirror_cmd *cmd)
{
	uintptr_t at = cmd->addr, end = at + cmd->npages * MEMORY_PAGE;
	uint64_t signals, entry;
	int ret = 0;

	memory_lock(&signals);
	while (ret == 0 && (at = radix_next(&m->table, at, end, &entry)) < end) {
		if (entry & HMM_ENTRY_ATOMIC)
			ret = -EPERM;
		at += MEMORY_PAGE;
	}
	memory_unlock(&signals);
	return ret;
}
