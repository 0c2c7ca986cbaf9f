/* SPDX-License-Identifier: BSD-3-Clause */
/* inject/owner_private.h - between owner.c, which keeps the clients, and owner_request.c. */
#ifndef STANDIN_INJECT_OWNER_PRIVATE_H
#define STANDIN_INJECT_OWNER_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/user.h"
#include "inject/forward_private.h"

struct owner_client {
	int fd;
	struct file **files; /* references */
	size_t n, room;
	struct user_client who;
	/*
	 * It has made an exec and still has some of the files: what it has become may
	 * connect and claim them.  `fd` is -1, and the end of the process is waited for.
	 */
	bool changed;
	struct owner_client *next;
};

bool owner_client_has(const struct owner_client *c, const struct file *f);
/* Takes over a reference.  0 or -ENOMEM. */
int owner_client_add(struct owner_client *c, struct file *f);

/*
 * A descriptor that a call made here for the client is to go along with the reply.  It, or -1:
 * it is no file of ours, or there is no memory.
 */
int owner_give_file(struct owner_client *c, int fd, struct forward_reply *reply);
/*
 * Does a request, with user_client set to who it is from.  A descriptor to send along with the
 * reply, which the caller closes, or -1.
 */
int owner_perform(struct owner_client *c, const struct forward_request *rq,
		  struct forward_reply *reply);

#endif
