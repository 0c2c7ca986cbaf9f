/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/filter.h - the system call filter of tier 1.
 */
#ifndef STANDIN_INJECT_FILTER_H
#define STANDIN_INJECT_FILTER_H

#include <linux/filter.h>
#include <stddef.h>

/* VFIO's ioctls: _IO(';', 100 + n), and the numbers iommufd has of the same type. */
#define FILTER_IOCTL_FIRST 0x3b64u
#define FILTER_IOCTL_LAST  0x3bbfu

extern const struct sock_filter filter_program[];
extern const size_t filter_length;

/* Puts the filter on all threads.  0 or -errno. */
int filter_install(void);

#endif
