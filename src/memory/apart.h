/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory/apart.h - a process that shares this one's memory, and not its descriptors.
 *
 * Its parent's wait(2) doesn't see it, but with __WALL.
 */
#ifndef STANDIN_MEMORY_APART_H
#define STANDIN_MEMORY_APART_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Starts one, which runs `run` and does not return from it.  It has the thread-local variables of
 * this thread, too, and is to use none.  Its number or -errno.
 */
int apart_start(void (*run)(void));
/* In such a process: a table of descriptors of its own, with this one alone.  0 or -errno. */
int apart_keep_only(int fd);
/* /proc/PID/status of `process`, for apart_dumps_core(): a descriptor or -errno. */
int apart_open_status(pid_t process);
bool apart_dumps_core(int status);

#endif
