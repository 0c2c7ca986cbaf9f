/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors that come from other processes, and that go to them.
 *
 * Stood-in files are recognised by the size or name that nothing else has, and are what loads the
 * runtime in a process that has opened no device: when one is received, or when one was
 * there at the start.  The latter is looked for only if some process of the run has made
 * the directory of owners; otherwise a start costs one access(2).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "core/placeholder.h"
#include "inject/x86_64/raw.h"
#include "next.h"

static bool placeholder(int fd)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof(address);
	struct stat st;

	if (raw2(SYS_fstat, fd, &st) != 0)
		return false;
	if (S_ISREG(st.st_mode))
		return (uint64_t)st.st_size == PLACEHOLDER_SIZE;
	if (S_ISFIFO(st.st_mode))
		return (st.st_mode & 07777) == PLACEHOLDER_PIPE_MODE;
	return S_ISSOCK(st.st_mode) && raw3(SYS_getsockname, fd, &address, &size) == 0 &&
	       address.sun_family == AF_UNIX &&
	       memcmp(address.sun_path, "\0" PLACEHOLDER_NAME, sizeof(PLACEHOLDER_NAME)) == 0;
}

static void arrived(int fd, bool sent)
{
	const struct runtime *rt = live();

	if (fd < 0)
		return;
	if (rt)
		rt->forget_range((unsigned)fd, (unsigned)fd);
	if (!placeholder(fd))
		return;
	rt = rt ? rt : activate();
	if (rt)
		rt->received(fd, sent);
}

/* ---- an exec ---- */

void find_inherited(void)
{
	char path[ROOT_MAX + sizeof(OWNERS_DIRECTORY)];
	size_t length = root_size() ? root_size() - strlen("root") : 0;
	struct linux_dirent {
		uint64_t ino;
		int64_t next;
		uint16_t size;
		uint8_t type;
		char name[];
	} * entry;
	char entries[1024] __attribute__((aligned(8)));
	long n;
	int fd;

	if (!length)
		return;
	memcpy(path, root, length);
	strcpy(path + length, OWNERS_DIRECTORY);
	if (raw2(SYS_access, path, F_OK) != 0)
		return;
	fd = (int)raw4(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		       0);
	if (fd < 0)
		return;
	/* The runtime's own descriptors, which may join in meanwhile, are not placeholders. */
	while ((n = raw3(SYS_getdents64, fd, entries, sizeof(entries))) > 0) {
		for (long at = 0; at < n; at += entry->size) {
			entry = (struct linux_dirent *)(entries + at);
			if (entry->name[0] != '.' && placeholder(atoi(entry->name)))
				arrived(atoi(entry->name), false);
		}
	}
	raw1(SYS_close, fd);
}

/* ---- sockets ---- */

static void received(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; (i + 1) * sizeof(int) <= c->cmsg_len - CMSG_LEN(0); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			arrived(fd, true);
		}
	}
}

ssize_t do_recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t ret = WITH_INPUT(next_recvmsg(fd, message, flags), -1, flags, input_message_slow,
				 message);
	int saved = errno;

	if (ret >= 0 && root_length > 0 && message->msg_controllen)
		received(message);
	errno = saved;
	return ret;
}

int do_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
		struct timespec *timeout)
{
	int ret = WITH_MEMORY(next_recvmmsg(fd, messages, count, flags, timeout),
			      reach_messages_slow, messages, count, true);
	int saved = errno;

	for (int i = 0; i < ret && root_length > 0; i++) {
		if (messages[i].msg_hdr.msg_controllen)
			received(&messages[i].msg_hdr);
	}
	errno = saved;
	return ret;
}

#define CONTROL_MAX 2048 /* SCM_MAX_FD descriptors and more */

/* Tells the runtime of files that are about to be sent, or with `undo` were not. */
static void sending(const struct runtime *rt, const struct msghdr *message, bool undo)
{
	char control[CONTROL_MAX] __attribute__((aligned(8)));
	struct msghdr m, in;
	int fd;

	if (rt->fetch(&in, message, sizeof(in)) < 0 || !in.msg_control ||
	    in.msg_controllen < CMSG_LEN(sizeof(int)) || in.msg_controllen > sizeof(control) ||
	    rt->fetch(control, in.msg_control, in.msg_controllen) < 0)
		return;
	m = (struct msghdr){.msg_control = control, .msg_controllen = in.msg_controllen};
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		/* What the kernel would call EINVAL. */
		if (c->cmsg_len < CMSG_LEN(0) ||
		    c->cmsg_len > (size_t)(control + in.msg_controllen - (char *)c))
			return;
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; (i + 1) * sizeof(int) <= c->cmsg_len - CMSG_LEN(0); i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (fd_ours(fd))
				rt->sending(fd, undo);
		}
	}
}

ssize_t live_sendmsg(int fd, const struct msghdr *message, int flags)
{
	const struct runtime *rt = live();
	ssize_t ret;
	int saved;

	sending(rt, message, false);
	ret = WITH_MEMORY(next_sendmsg(fd, message, flags), reach_message_slow, message, false);
	if (ret < 0) {
		saved = errno;
		sending(rt, message, true);
		errno = saved;
	}
	return ret;
}

int live_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	const struct runtime *rt = live();
	int ret, saved;

	for (unsigned i = 0; i < count && i < IOV_MAX; i++)
		sending(rt, &messages[i].msg_hdr, false);
	ret = WITH_MEMORY(next_sendmmsg(fd, messages, count, flags), reach_messages_slow, messages,
			  count, false);
	saved = errno;
	for (unsigned i = ret < 0 ? 0 : (unsigned)ret; i < count && i < IOV_MAX; i++)
		sending(rt, &messages[i].msg_hdr, true);
	errno = saved;
	return ret;
}

/* ---- processes that libc makes without a fork ---- */

int live_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attributes, char *const *arguments,
		     char *const *environment)
{
	live()->spawning();
	return next_posix_spawn(pid, path, actions, attributes, arguments, environment);
}

int live_posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		      const posix_spawnattr_t *attributes, char *const *arguments,
		      char *const *environment)
{
	live()->spawning();
	return next_posix_spawnp(pid, path, actions, attributes, arguments, environment);
}

int live_system(const char *command)
{
	live()->spawning();
	return next_system(command);
}

FILE *live_popen(const char *command, const char *mode)
{
	live()->spawning();
	return next_popen(command, mode);
}
