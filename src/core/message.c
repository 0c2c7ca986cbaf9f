/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One sendmsg or recvmsg each; of what comes along, one descriptor and what the kernel says of the
 * sender.
 */
#include "core/message.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "core/syscall.h"

ssize_t message_send(int fd, const void *message, size_t size, int descriptor)
{
	struct iovec iov = {(void *)(uintptr_t)message, size};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {{0}};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (descriptor >= 0) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &descriptor, sizeof(int));
	}
	return host_syscall(SYS_sendmsg, fd, &m, MSG_NOSIGNAL);
}

ssize_t message_receive(int fd, void *message, size_t size, int *ret_descriptor, pid_t *ret_pid)
{
	struct iovec iov = {message, size};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	struct cmsghdr *c;
	struct ucred cred;
	ssize_t n;

	*ret_descriptor = -1;
	*ret_pid = 0;
	do
		n = host_syscall(SYS_recvmsg, fd, &m, MSG_CMSG_CLOEXEC);
	while (n == -EINTR);
	for (c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS)
			memcpy(ret_descriptor, CMSG_DATA(c), sizeof(int));
		if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			*ret_pid = cred.pid;
		}
	}
	return n;
}
