/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/show.h - what the client sees of its memory in /proc/self/pagemap.
 */
#ifndef STANDIN_MEMORY_SHOW_H
#define STANDIN_MEMORY_SHOW_H

#include <stddef.h>
#include <stdint.h>

/*
 * Corrects `n` bytes that the client has read from /proc/self/pagemap, from `offset` on, to its
 * memory at `buffer`: pages that trap are shown as the kernel shows a device's.  Takes the lock.
 */
void memory_show_pagemap(void *buffer, size_t n, uint64_t offset);

#endif
