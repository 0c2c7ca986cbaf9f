/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tree/tree.h - the /sys and /dev that clients look around in.
 *
 * Written as real files below a directory, once, when `standin run` starts; the injected
 * wrappers lead paths with the prefixes of tree_prefixes there.  Device nodes are plain
 * files that hold "MAJOR:MINOR\n"; the wrappers show them as character devices.
 */
#ifndef STANDIN_TREE_TREE_H
#define STANDIN_TREE_TREE_H

#include <stdbool.h>
#include <stddef.h>

struct instance;

/*
 * Makes `root`/sys/... and `root`/dev/... for the instance's devices and nodes (realizing
 * the devices for what they are).  0 or -errno with one line in `error`.
 */
int tree_create(const char *root, struct instance *i, char *error, size_t error_size);
/* Removes a directory and all below it, following no symbolic link.  0 or -errno. */
int tree_remove(const char *path);

#endif
