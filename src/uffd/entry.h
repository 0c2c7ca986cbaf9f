/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uffd/entry.h - how a program gets a userfaultfd, beside the node /dev/userfaultfd.
 */
#ifndef STANDIN_UFFD_ENTRY_H
#define STANDIN_UFFD_ENTRY_H

#include <stdbool.h>

/*
 * userfaultfd(2) of the client's: the kernel's or ours, as the configuration says.  A descriptor
 * or -errno.
 */
int uffd_system_call(int flags);
/* Whether there has been a context of ours. */
extern _Atomic bool uffd_used;
/*
 * UFFDIO_API on a descriptor that is not stood in for: as the kernel answers, or ours if that
 * can do more.
 */
long uffd_native_api(int fd, unsigned long arg);

#endif
