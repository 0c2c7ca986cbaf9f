/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/scan.h - PAGEMAP_SCAN, while something is watched: the kernel knows nothing of that.
 */
#ifndef STANDIN_MEMORY_SCAN_H
#define STANDIN_MEMORY_SCAN_H

/* The client's ioctl on its /proc/self/pagemap, with its argument: a number or -errno. */
long memory_scan_pagemap(void *argument);

#endif
