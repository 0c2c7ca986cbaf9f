/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/range.h - the kernel's calls for address ranges, as the engine makes them: by their
 * borders, page aligned, and not through the client's symbols.  0 or -errno.
 */
#ifndef STANDIN_MEMORY_RANGE_H
#define STANDIN_MEMORY_RANGE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "uapi/mm.h"

static inline int range_advise(uintptr_t start, uintptr_t end, int advice)
{
	return (int)host_syscall(SYS_madvise, start, end - start, advice);
}

static inline int range_protect(uintptr_t start, uintptr_t end, int protection)
{
	return host_mprotect((void *)start, end - start, protection);
}

/* Its pages go; locked ones as well. */
static inline int range_empty(uintptr_t start, uintptr_t end)
{
	int ret = range_advise(start, end, MADV_DONTNEED);

	return ret == -EINVAL ? range_advise(start, end, MADV_DONTNEED_LOCKED) : ret;
}

/* Moves its pages to `to`, in the place of what is there.  `flags`: more MREMAP_ ones. */
static inline bool range_move(uintptr_t from, uintptr_t to, size_t size, int flags)
{
	return host_syscall(SYS_mremap, from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | flags,
			    to) == (long)to;
}

#endif
