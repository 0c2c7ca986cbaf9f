/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli/library.h - the library that `standin run` has the client load, and LD_PRELOAD.
 */
#ifndef STANDIN_CLI_LIBRARY_H
#define STANDIN_CLI_LIBRARY_H

#include <limits.h>

#define PRELOAD_LIBRARY "libstandin-preload.so"
#define RUNTIME_LIBRARY "libstandin-runtime.so"

/*
 * Finds library `name`: beside the running program (a build directory), in the library
 * directory that belongs to it, or where it was configured to be installed.  0 or -ENOENT.
 */
int library_find(const char *name, char ret_path[PATH_MAX]);

/* Removes every entry whose file is called `name` from an LD_PRELOAD value, in place. */
void preload_list_remove(char *list, const char *name);

#endif
