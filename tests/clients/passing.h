/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * passing.h - for programs whose children use their descriptors, and that check as they go: the first
 * thing that is not so is printed, and ends the process with 1.
 */
#ifndef STANDIN_TESTS_PASSING_H
#define STANDIN_TESTS_PASSING_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                           \
	do {                                                                       \
		if (!(condition)) {                                                \
			printf("%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, \
			       strerror(errno));                                   \
			fflush(stdout);                                            \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)

#define PASSED_MAX 8 /* descriptors of one message */

/* How the child ended: its exit status, or 1000 and the signal. */
static inline int status_of(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

struct passed_message {
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(PASSED_MAX * sizeof(int))];
	} control;
	char byte;
	struct iovec iov;
	struct msghdr m;
};

static inline void passed_prepare(struct passed_message *p)
{
	p->byte = 0;
	p->iov = (struct iovec){&p->byte, 1};
	p->m = (struct msghdr){.msg_iov = &p->iov,
			       .msg_iovlen = 1,
			       .msg_control = &p->control,
			       .msg_controllen = sizeof(p->control)};
}

/* One byte and n descriptors. */
static inline void pass_descriptors(int socket, const int *fd, size_t n)
{
	struct passed_message p;

	passed_prepare(&p);
	p.m.msg_controllen = CMSG_SPACE(n * sizeof(int));
	p.control.header.cmsg_level = SOL_SOCKET;
	p.control.header.cmsg_type = SCM_RIGHTS;
	p.control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&p.control.header), fd, n * sizeof(int));
	CHECK(sendmsg(socket, &p.m, 0) == 1);
}

static inline void receive_descriptors(int socket, int *fd, size_t n)
{
	struct passed_message p;

	passed_prepare(&p);
	CHECK(recvmsg(socket, &p.m, 0) == 1);
	CHECK(p.m.msg_controllen && p.control.header.cmsg_len == CMSG_LEN(n * sizeof(int)));
	memcpy(fd, CMSG_DATA(&p.control.header), n * sizeof(int));
}

#endif
