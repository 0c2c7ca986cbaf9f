/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/forward_private.h - between forward.c (the child's side) and owner.c.
 *
 * One SOCK_SEQPACKET message asks, one answers.  A file is named by its address in the
 * owner, which the owner looks up among those that the child holds references to.
 */
#ifndef STANDIN_INJECT_FORWARD_PRIVATE_H
#define STANDIN_INJECT_FORWARD_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "core/file.h"

enum forward_operation {
	FORWARD_OPEN,  /* path, flags */
	FORWARD_IOCTL, /* file, command, argument */
	FORWARD_READ,  /* file, argument (address), size, offset */
	FORWARD_WRITE,
	FORWARD_MAP,       /* file, size, offset, flags (MAP_*), command (PROT_*) */
	FORWARD_DROP,      /* file: no answer */
	FORWARD_FORK,      /* a socket comes along, for a child of the child: argument (pid) */
	FORWARD_BAR_READ,  /* command (device), flags (BAR), offset, size */
	FORWARD_BAR_WRITE, /* the same and argument (value) */
	FORWARD_CLAIM,     /* a descriptor comes along; flags: it had been sent over a socket */
	FORWARD_HOLD,      /* file, flags: 1 it is about to be sent, 0 it was not after all */
};

struct forward_request {
	uint32_t operation, command;
	uint64_t file, argument, size;
	int64_t offset;
	int32_t flags;
	char path[NODE_PATH_MAX];
};

#define FORWARD_KIND_MAX  32
#define FORWARD_SPANS_MAX 24

/* A new file comes along as a descriptor, and its name, rdev, flags and kind with it. */
struct forward_reply {
	int64_t result;
	uint64_t file;
	uint32_t rdev;
	int32_t flags;
	char kind[FORWARD_KIND_MAX];
	/* FORWARD_MAP: what to map; the device's memory comes along as a descriptor. */
	uint32_t device, bar, n_spans;
	uint64_t offset, bar_size;
	struct {
		uint64_t offset, size;
		uint32_t page;
	} span[FORWARD_SPANS_MAX];
};

/*
 * Asks the owner.  *ret_descriptor goes along and is replaced by what comes back, -1 for
 * none; NULL: neither.  Returns the reply's result, -EIO if there is no owner.
 */
int64_t forward_ask(struct forward_request *rq, struct forward_reply *reply, int *ret_descriptor);
/* From now on the process at the other end of `fd`, which is taken over, is the owner. */
void forward_connected(int fd);
/* `fd` is a descriptor of the owner's file `name`: fd or -errno. */
int forward_enter(int fd, uint64_t name, const char *kind, int flags, uint32_t rdev);
uint64_t forward_name(const struct file *f);
/* Whether the process has files or devices of its own, or an owner. */
bool forward_anything(void);
/* In a child: whoever it is forwarding to may look at its memory (prctl of the Yama module). */
void attach_forked(void);

/*
 * `fd` has come from another process and is of a file of that kind: opens the node anew in its
 * place, unless the file is not of those that are reopened or somebody has taken it (false).
 */
bool attach_reopened(int fd, const char *kind);
/* The address of an owner's socket, in the private directory.  false: it has none. */
bool owner_address(pid_t pid, struct sockaddr_un *address);

/*
 * The owner's side.  owner_add() takes over the socket and the references in the malloc'd
 * array `files`; it starts the service thread with the first.  `pid` is the process at the
 * other end, 0 if its first request will tell.
 */
int owner_add(int fd, struct file **files, size_t n, pid_t pid);
/* From now on any process of this user can connect: 0 or -errno.  More than once is free. */
int owner_listen(void);
/* One more reference to a file that is on its way to another process; and one less. */
void owner_hold(struct file *f);
void owner_unhold(struct file *f);
/* Around a fork; the child is not the owner and lets go of what the owner has. */
void owner_fork_begin(void);
void owner_fork_end(void);
void owner_fork_child(void);
/* Once the files are remote: what the owner holds, the child does not. */
void owner_fork_unhold(void);

#endif
