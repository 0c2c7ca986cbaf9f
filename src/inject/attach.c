/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors that pass between processes otherwise than by fork.
 *
 * What is sent over a socket is held open by the owner until somebody who received it
 * claims it, so the sender can close its own at once, as with the kernel's files.
 */
#include "inject/attach.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fdtable.h"
#include "core/file.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/placeholder.h"
#include "core/syscall.h"
#include "core/user.h"
#include "inject/forward.h"
#include "inject/forward_private.h"
#include "uffd/fork.h"

static pthread_mutex_t attaching = PTHREAD_MUTEX_INITIALIZER;
static pid_t attached; /* the owner, if we connected to it */
static pid_t tracer;   /* the same as we see its pid */

#define NAME_MAX_ 128

/* The name of the placeholder behind `fd`, from "standin:" on; NULL: it is none. */
static char *memfd_name(int fd, char name[NAME_MAX_])
{
	static const char memfd[] = "/memfd:";
	char path[64];
	long length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = host_syscall(SYS_readlinkat, -1, path, name, NAME_MAX_ - 1);
	if (length < 0)
		return NULL;
	name[length] = '\0';
	return strncmp(name, memfd, sizeof(memfd) - 1) == 0 ? name + sizeof(memfd) - 1 : NULL;
}

static char *socket_name(int fd, char name[NAME_MAX_])
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof(address) - 1;

	if (host_syscall(SYS_getsockname, fd, &address, &size) < 0 ||
	    address.sun_family != AF_UNIX || address.sun_path[0])
		return NULL;
	return strncpy(name, address.sun_path + 1, NAME_MAX_ - 1);
}

/* Whose file `fd` is and of what kind, from the placeholder's name.  0: it is none. */
static pid_t maker_of(int fd, char kind[FORWARD_KIND_MAX])
{
	static const char prefix[] = PLACEHOLDER_NAME;
	char buffer[NAME_MAX_] = "", *name = NULL, *colon;
	struct stat st = {0};
	long pid;

	if (host_fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size == PLACEHOLDER_SIZE)
		name = memfd_name(fd, buffer);
	else if (S_ISSOCK(st.st_mode))
		name = socket_name(fd, buffer);
	if (!name || strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	name += sizeof(prefix) - 1;
	colon = strchr(name, ':');
	pid = colon ? strtol(colon + 1, NULL, 10) : 0;
	if (pid <= 0)
		return 0;
	*colon = '\0';
	snprintf(kind, FORWARD_KIND_MAX, "%.*s", FORWARD_KIND_MAX - 1, name);
	return (pid_t)pid;
}

void attach_forked(void)
{
	pthread_mutex_init(&attaching, NULL);
	user_allow(tracer);
}

/* Becomes a client of `pid`: 0 or -errno. */
static int connect_to(pid_t pid)
{
	struct sockaddr_un address;
	struct ucred who = {0};
	socklen_t size = sizeof(who);
	int fd, result;

	if (attached)
		return attached == pid ? 0 : -EBUSY;
	if (forward_anything())
		return -EBUSY;
	if (!owner_address(pid, &address))
		return -ENOENT;
	fd = (int)host_syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	do
		result = (int)host_syscall(SYS_connect, fd, &address, sizeof(address));
	while (result == -EINTR);
	if (result < 0) {
		host_close(fd);
		return result;
	}
	host_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
	tracer = who.pid;
	user_allow(tracer);
	forward_connected(fd);
	attached = pid;
	return 0;
}

void attach_received(int fd, bool sent)
{
	struct forward_request rq = {.operation = FORWARD_CLAIM, .flags = sent};
	struct forward_reply reply = {0};
	char kind[FORWARD_KIND_MAX];
	struct file *known = file_get_by_inode(fd);
	struct stat st;
	int shown = fd;
	pid_t pid;

	if (host_fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
		uffd_arrived(fd);
		if (known)
			file_put(known);
		return;
	}
	if (known) {
		if (sent && forward_is_remote(known))
			forward_ask(&rq, &reply, &shown);
		else if (sent)
			owner_unhold(known);
		file_put(known);
		return;
	}
	pid = maker_of(fd, kind);
	if (!pid || attach_reopened(fd, kind))
		return;
	pthread_mutex_lock(&attaching);
	/* A client by fork asks the one owner that it has, which says if it knows the file. */
	if (!forward_active() || attached)
		reply.result = connect_to(pid);
	if (reply.result == 0)
		forward_ask(&rq, &reply, &shown);
	/* With no name, all calls are EIO. */
	if (reply.result < 0)
		forward_enter(fd, 0, kind, 0, 0);
	else
		forward_enter(fd, reply.file, reply.kind, reply.flags, reply.rdev);
	pthread_mutex_unlock(&attaching);
}

void attach_sending(int fd, bool undo)
{
	struct forward_request rq = {.operation = FORWARD_HOLD, .flags = !undo};
	struct forward_reply reply;
	struct file *f = file_get(fd);

	if (!f)
		return;
	if (f->ops->leaving) {
		if (!undo)
			f->ops->leaving(f);
		file_put(f);
		return;
	}
	if (file_is_untaken(f)) {
		/* Who receives it needs nothing from here. */
		file_put(f);
		return;
	}
	if (forward_is_remote(f)) {
		rq.file = forward_name(f);
		forward_ask(&rq, &reply, NULL);
	} else if (undo) {
		owner_unhold(f);
	} else if (owner_listen() == 0) {
		file_polls_elsewhere(f);
		owner_hold(f);
	}
	file_put(f);
}

void attach_spawning(void)
{
	struct file **files;
	size_t n = fdtable_any() ? fdtable_files(&files) : 0;

	for (size_t i = 0; i < n; i++) {
		if (files[i]->ops->leaving) {
			instance_expect_heirs();
			files[i]->ops->leaving(files[i]);
		} else {
			file_polls_elsewhere(files[i]);
		}
		file_put(files[i]);
	}
	if (n)
		free(files);
	if (!forward_active() && fdtable_any())
		owner_listen();
}

void attach_opened(int fd)
{
	struct file *f = file_get(fd);

	if (!f)
		return;
	if (f->ops->reopened)
		instance_expect_heirs();
	file_put(f);
}
