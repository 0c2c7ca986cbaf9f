/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uffd/entry.h - how a program gets a userfaultfd, beside the node /dev/userfaultfd.
 */
#ifndef STANDIN_UFFD_ENTRY_H
#define STANDIN_UFFD_ENTRY_H

/*
 * userfaultfd(2) of the client's: the kernel's or ours, as the configuration says.  A descriptor
 * or -errno.
 */
int uffd_system_call(int flags);

#endif
