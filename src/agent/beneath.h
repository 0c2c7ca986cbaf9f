/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/beneath.h - directories that can't be outside another one.
 */
#ifndef STANDIN_AGENT_BENEATH_H
#define STANDIN_AGENT_BENEATH_H

#include <stdbool.h>

/*
 * Opens the directory `path` (O_PATH), which begins at the directory `root` whether it begins with
 * '/' or not, and makes what is missing of it if `create`, mode 0755.  Confined: neither ".." nor
 * a symbolic link leads out of `root` (-EXDEV); links within are followed, unless the kernel has
 * no openat2(): then none is (-ELOOP, -ENOTDIR), nor is "..".  Otherwise the path is what it would
 * be to any program.  A descriptor, or -errno: -ENOENT, -ENAMETOOLONG, ...
 */
int beneath_open(int root, const char *path, bool confined, bool create);

#endif
