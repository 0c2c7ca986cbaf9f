/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everybody may mount in a namespace of his own, where that is permitted: a process makes one,
 * mounts and ends.  It has this thread's table of descriptors, so they stay, and what it has found
 * out comes back in a page that both have.
 */
#include "memory/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "core/hostfd.h"
#include "core/syscall.h"

static int write_text(const char *path, const char *text)
{
	int fd = host_open(path, O_WRONLY | O_CLOEXEC, 0);
	ssize_t n = fd < 0 ? fd : host_write(fd, text, strlen(text));

	if (fd >= 0)
		host_close(fd);
	return n < 0 ? (int)n : 0;
}

/* The user becomes root: what is mounted is root's until its attributes are known. */
static int map_user(unsigned user, unsigned group)
{
	char text[40];
	int ret;

	snprintf(text, sizeof(text), "0 %u 1", user);
	ret = write_text("/proc/self/uid_map", text);
	if (ret == 0)
		ret = write_text("/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "0 %u 1", group);
	return ret < 0 ? ret : write_text("/proc/self/gid_map", text);
}

struct shared {
	int error;
	char arg[] __attribute__((aligned(16)));
};

static int make_there(int (*make)(void *arg), void *arg, size_t size)
{
	unsigned user = (unsigned)host_syscall(SYS_geteuid);
	unsigned group = (unsigned)host_syscall(SYS_getegid);
	struct shared *s = host_mmap(NULL, sizeof(*s) + size, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long child;
	int ret;

	if (host_is_error(s))
		return -ENOMEM;
	s->error = -EPERM;
	memcpy(s->arg, arg, size);
	child = host_syscall(SYS_clone, CLONE_FILES | CLONE_NEWUSER | CLONE_NEWNS, NULL, NULL, NULL,
			     0);
	if (child == 0) {
		ret = map_user(user, group);
		s->error = ret < 0 ? ret : make(s->arg);
		host_syscall(SYS_exit_group, 0);
	}
	if (child > 0)
		while (host_syscall(SYS_wait4, child, NULL, __WALL, NULL) == -EINTR)
			;
	ret = child < 0 ? -EPERM : s->error;
	memcpy(arg, s->arg, size);
	host_munmap(s, sizeof(*s) + size);
	return ret;
}

int namespace_mount(int (*make)(void *arg), void *arg, size_t size)
{
	int ret = make(arg);

	return ret == -EPERM ? make_there(make, arg, size) : ret;
}
