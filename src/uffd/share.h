/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uffd/share.h - contexts that other processes have descriptors of.
 *
 * A descriptor is the read end of a pipe, and travels as one: over a socket, through a fork or
 * an exec.  The pipe's inode names a socket of the process whose context it is, where
 * everybody who can show the pipe may connect; calls go there and are done in the caller's
 * name.  Whether any other process has a descriptor, or one is on its way, the kernel knows:
 * the write end says so.
 */
#ifndef STANDIN_UFFD_SHARE_H
#define STANDIN_UFFD_SHARE_H

#include <sys/socket.h>
#include <sys/un.h>

#include "uffd/uffd.h"

#define SHARE_MESSAGES 16

enum share_operation { SHARE_HELLO, SHARE_IOCTL, SHARE_READ, SHARE_STATE };

/* SHARE_HELLO comes first, without an answer; the caller's descriptor comes along. */
struct share_request {
	uint32_t operation; /* enum share_operation */
	uint32_t command;   /* SHARE_IOCTL; SHARE_READ: how many messages at most */
	uint64_t argument;
};

/* With UFFD_EVENT_FORK, which is the last message then, the child's descriptor comes along. */
struct share_reply {
	int64_t result; /* SHARE_READ: how many messages */
	uint32_t flags; /* O_CLOEXEC: for the descriptor */
	uint32_t unused;
	union {
		struct uffd_msg message[SHARE_MESSAGES];
		struct uffd_state state; /* SHARE_STATE */
	};
};

/* ---- share.c: in the process whose context it is ---- */

/* The address at which the context behind `fd` is found: its size, 0 if that is no descriptor. */
socklen_t share_address(int fd, struct sockaddr_un *ret_address);
/* Other processes are about to get a descriptor of f: 0 or -errno.  Idempotent. */
int uffd_share(struct file *f);
/*
 * The same for a context that no process has a descriptor of but by its pipe's read end, which
 * somebody else has.  `peer`, the write end, is taken over.
 */
int uffd_share_new(struct uffd *u, int peer);
/* There is no descriptor of f in this process any more; see struct file_ops. */
void uffd_share_alone(struct file *f);
/* Ends contexts that nobody has any more, without waiting for the kernel to say so. */
void uffd_share_settle(void);
/* Around a fork, with all signals blocked.  In the child nothing is shared. */
void uffd_share_fork_begin(void);
void uffd_share_fork_end(void);
void uffd_share_forked(void);

/* ---- remote.c: in the others ---- */

extern const struct ioctl_table uffd_remote_table;
/* `fd` is a descriptor of another process's context: 0 or -errno. */
int uffd_remote_install(int fd);
/* See struct file_ops: in the child of a fork, f is the parent's, or what it was there. */
void uffd_remote_forked(struct file *f);

#endif
