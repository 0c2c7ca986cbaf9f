/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages between processes that share a context. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "uffd/share.h"

ssize_t share_send(int socket, const void *message, size_t size, int descriptor)
{
	struct iovec iov = {(void *)(uintptr_t)message, size};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {{0}};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (descriptor >= 0) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &descriptor, sizeof(int));
	}
	return host_syscall(SYS_sendmsg, socket, &m, MSG_NOSIGNAL);
}

ssize_t share_receive(int socket, void *message, size_t size, int *ret_descriptor,
		      pid_t *ret_sender)
{
	struct iovec iov = {message, size};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	struct ucred sender = {0};
	ssize_t n;

	*ret_descriptor = -1;
	do
		n = host_syscall(SYS_recvmsg, socket, &m, MSG_CMSG_CLOEXEC);
	while (n == -EINTR);
	for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS)
			memcpy(ret_descriptor, CMSG_DATA(c), sizeof(int));
		else if (c->cmsg_type == SCM_CREDENTIALS)
			memcpy(&sender, CMSG_DATA(c), sizeof(sender));
	}
	*ret_sender = sender.pid;
	return n;
}

socklen_t share_address(int fd, struct sockaddr_un *ret_address)
{
	struct stat st;
	int length, ret = host_fstat(fd, &st);

	if (ret < 0)
		return 0;
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	length = snprintf(ret_address->sun_path + 1, sizeof(ret_address->sun_path) - 1,
			  "standin:userfaultfd:%llu", (unsigned long long)st.st_ino);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}
