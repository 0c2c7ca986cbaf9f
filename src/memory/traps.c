/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traps are guard markers, which don't divide mappings and which pagemap shows as swapped, as it
 * does device memory in the kernel; or PROT_NONE where markers can't be (kernels before 6.13,
 * locked memory).  Whether this kernel has markers is tried once.
 */
#include "memory/move.h"
#include "memory/range.h"

static bool guards = true;
static uint8_t marker_state = MEMORY_SWAPPED;

int memory_traps_set(enum memory_traps traps)
{
	uint8_t state;
	void *page;
	bool works;

	guards = traps != MEMORY_TRAPS_PROTECT;
	if (!guards)
		return 0;
	page = host_mmap(NULL, MEMORY_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	if (host_is_error(page))
		return (int)(intptr_t)page;
	works = range_advise((uintptr_t)page, (uintptr_t)page + MEMORY_PAGE, MADV_GUARD_INSTALL) ==
		0;
	if (works && memory_states((uintptr_t)page, (uintptr_t)page + MEMORY_PAGE, &state) == 0 &&
	    state & MEMORY_GUARDED)
		marker_state = MEMORY_GUARDED;
	host_munmap(page, MEMORY_PAGE);
	guards = works;
	return works || traps == MEMORY_TRAPS_AUTO ? 0 : -EOPNOTSUPP;
}

uint8_t memory_marker_state(void)
{
	return marker_state;
}

bool memory_traps_markers(void)
{
	return guards;
}
