/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/namespace.h - mounting without privilege.
 */
#ifndef STANDIN_MEMORY_NAMESPACE_H
#define STANDIN_MEMORY_NAMESPACE_H

#include <stddef.h>

/*
 * Calls make(arg), which mounts something and keeps descriptors of it in *arg, of `size` bytes (at
 * most a page); and if that returns -EPERM, calls it in namespaces of this user's own, where he
 * may mount if the system permits such namespaces.  There the user is root, and what he
 * opens is open here.  What it has returned last: 0 or -errno.  Any context.
 */
int namespace_mount(int (*make)(void *arg), void *arg, size_t size);

#endif
