/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uffd/fork.h - around a fork, and what else processes have to do with contexts: for who
 * injects the runtime.
 */
#ifndef STANDIN_UFFD_FORK_H
#define STANDIN_UFFD_FORK_H

#include <sys/types.h>

/*
 * Before the memory engine prepares for it; after all others have done what they do, in the
 * parent (-1: there is no child) and in the child.  The child goes on when its parent has been
 * through uffd_fork_settle(), which waits for readers.  Ordinary context.
 */
void uffd_fork_prepare(void);
void uffd_fork_parent(pid_t child);
void uffd_fork_child(void);
/* The forking thread, without any lock. */
void uffd_fork_settle(void);

/*
 * `fd` has come from another process: enters it if it is of a context there, or of one here that
 * has come back.
 */
void uffd_arrived(int fd);

#endif
