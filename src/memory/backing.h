/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/backing.h - what is behind a mapping.  Under the engine's lock.
 */
#ifndef STANDIN_MEMORY_BACKING_H
#define STANDIN_MEMORY_BACKING_H

#include <stdbool.h>

#include "memory/vma.h"

/* Whether it is of shared memory: a memfd, shared anonymous, System V's, a file of a tmpfs. */
bool memory_is_shmem(const struct memory_vma *v);
/* Whether mprotect(2) could make it writable: not so a shared one of a file opened for reading. */
bool memory_may_write(const struct memory_vma *v);

#endif
