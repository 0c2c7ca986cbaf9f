/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/forward.h - calls of a forked child on its parent's files.
 *
 * State lives in the process that opened the first device: the owner.  A child that is
 * forked while anything is open sends its calls there over a socket pair made at the fork;
 * the owner does them in the child's name, reading and writing the child's memory and
 * taking its descriptors.  The child's references count: a file is released when the last
 * process has closed it or is gone, or has made an exec that closed it.  An owner that is
 * gone answers EIO.
 */
#ifndef STANDIN_INJECT_FORWARD_H
#define STANDIN_INJECT_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct file;
struct map_request;

void forward_prepare(void);
void forward_parent(pid_t child);
/* Whether the child forwards from now on; if not, it begins with nothing open. */
bool forward_child(void);

/*
 * In the owner, before it looks who has what open: waits until the service thread has done
 * what children said before they ended, since after a waitpid their files are closed.
 */
void owner_settle(void);

/* In such a child.  All return what the owner's call returned, or -EIO. */
bool forward_active(void);
int forward_open(const char *path, int flags);

/* A file whose calls are the owner's. */
bool forward_is_remote(const struct file *f);
long forward_ioctl(int fd, struct file *f, unsigned int command, unsigned long arg);

#endif
