/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/advice.h - what a private anonymous mapping is besides its protection, so that another
 * can be made like it.
 */
#ifndef STANDIN_MEMORY_ADVICE_H
#define STANDIN_MEMORY_ADVICE_H

#include "memory/vma.h"

#define ADVICE_NORESERVE  0x01u /* MAP_NORESERVE; the others are of madvise(2) */
#define ADVICE_DONTFORK   0x02u
#define ADVICE_DONTDUMP   0x04u
#define ADVICE_HUGEPAGE   0x08u
#define ADVICE_NOHUGEPAGE 0x10u
#define ADVICE_MERGEABLE  0x20u
#define ADVICE_SEQUENTIAL 0x40u
#define ADVICE_RANDOM     0x80u

/*
 * Of a private anonymous mapping of the kernel's, whole.  -EOPNOTSUPP: it is something that is
 * not in the above, or can't be known.
 */
int advice_of(const struct memory_vma *vma);
/* Gives [start, end) of a new mapping all that madvise(2) can. */
void advice_apply(uintptr_t start, uintptr_t end, unsigned advice);
/* What is so of a mapping after a madvise(2).  false: it isn't one of these advices. */
bool advice_change(unsigned *advice, int madvise);

#endif
