/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control/private.h - the private directory of one `standin run`.
 *
 * It is called standin.XXXXXX, is readable by its owner alone, and holds `config`, `root/`,
 * `run` (the process of `standin run` and what it runs) and `lock`, which the owning process keeps
 * locked (flock) for as long as it lives.  A directory whose lock is free was left by a process
 * that was killed.
 */
#ifndef STANDIN_CONTROL_PRIVATE_H
#define STANDIN_CONTROL_PRIVATE_H

#include <limits.h>

struct private_directory {
	char path[PATH_MAX];
	char root[PATH_MAX];
	int lock;
};

/*
 * Makes one in $XDG_RUNTIME_DIR if that is set, ours and writable; otherwise in /dev/shm if
 * that is in memory with room left, since a tree on a disk takes tens of milliseconds;
 * otherwise in /tmp.
 * 0 or -errno.
 */
int private_create(struct private_directory *p);
/* Writes file `name` in it.  0 or -errno. */
int private_write(const struct private_directory *p, const char *name, const char *text);
void private_remove(struct private_directory *p);
/* Removes directories of this user that nobody owns any more. */
void private_sweep(void);
/* Calls `each` with the directory of every run of this user that is going on. */
void private_each(void (*each)(const char *directory, void *arg), void *arg);
/* Where private_create() would try first. */
const char *private_base(void);

#endif
