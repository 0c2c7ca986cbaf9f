/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/attach.h - files of another process whose descriptors came here, over a socket
 * or through an exec.
 *
 * The placeholder's name says whose file it is.  That process listens at a socket in the
 * private directory; this one connects, shows the descriptor, and from then on is to it
 * what a forked child is (inject/forward.h).  A process can have one owner; one that has
 * files of its own, or whose file's owner is gone, gets EIO from the calls.
 */
#ifndef STANDIN_INJECT_ATTACH_H
#define STANDIN_INJECT_ATTACH_H

#include <stdbool.h>

/* See struct runtime. */
void attach_received(int fd, bool sent);
void attach_sending(int fd, bool undo);
void attach_spawning(void);
/* A device was opened, and an exec of this process may come next. */
void attach_opened(int fd);

#endif
