/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost descriptors that go to another process before anybody owns the device: it can become
 * the owner, as with a kernel.  Prints "ok" lines; exits 0 if all was as there.
 *
 *	vhostfd              everything
 *	vhostfd use FD...    what this program does in the processes that get descriptors
 */
#include "passing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define KINDS 3

static const char *const paths[KINDS] = {"/dev/vhost-net", "/dev/vhost-vsock", "/dev/vhost-scsi"};
static const char *self;

static void open_all(int *fd)
{
	for (int i = 0; i < KINDS; i++) {
		fd[i] = open(paths[i], O_RDWR);
		CHECK(fd[i] >= 0);
	}
}

/* Becomes the owner of what nobody owns. */
static void own(int fd)
{
	struct vhost_vring_state state = {.index = 0, .num = 64};
	uint64_t features = 0;
	struct stat st;

	CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(ioctl(fd, VHOST_SET_VRING_NUM, &state) == -1 && errno == EPERM);
	CHECK(ioctl(fd, VHOST_GET_FEATURES, &features) == 0 && features);
	CHECK(ioctl(fd, VHOST_SET_OWNER) == 0);
	CHECK(ioctl(fd, VHOST_SET_OWNER) == -1 && errno == EBUSY);
	CHECK(ioctl(fd, VHOST_SET_VRING_NUM, &state) == 0);
	state.num = 7;
	CHECK(ioctl(fd, VHOST_SET_VRING_BASE, &state) == 0);
	state.num = 0;
	CHECK(ioctl(fd, VHOST_GET_VRING_BASE, &state) == 0 && state.num == 7);
}

/* And a duplicate is the same file. */
static void use(int n, const int *fd)
{
	struct vhost_vring_state state = {.index = 0};
	int copy;

	for (int i = 0; i < n; i++) {
		own(fd[i]);
		copy = dup(fd[i]);
		CHECK(ioctl(copy, VHOST_GET_VRING_BASE, &state) == 0 && state.num == 7);
		CHECK(close(copy) == 0);
	}
}

static void exec_self(const int *fd)
{
	char text[KINDS][16];
	char *argv[KINDS + 3] = {(char *)(uintptr_t)self, (char *)(uintptr_t) "use"};

	for (int i = 0; i < KINDS; i++) {
		snprintf(text[i], sizeof(text[i]), "%d", fd[i]);
		argv[2 + i] = text[i];
	}
	execv(self, argv);
	_exit(1);
}

/* As libvirt starts QEMU: a child of the one that has opened them. */
static void through_fork_and_exec(void)
{
	int fd[KINDS];
	pid_t child;

	open_all(fd);
	child = fork();
	if (child == 0)
		exec_self(fd);
	CHECK(status_of(child) == 0);
	for (int i = 0; i < KINDS; i++)
		CHECK(close(fd[i]) == 0);
	printf("ok through fork and exec\n");
}

static void through_exec_alone(void)
{
	int fd[KINDS];
	pid_t child = fork();

	if (child == 0) {
		open_all(fd);
		exec_self(fd);
	}
	CHECK(status_of(child) == 0);
	printf("ok through exec alone\n");
}

/* Sent to a process that began before they were opened; the sender keeps them. */
static void over_a_socket(void)
{
	int sockets[2], fd[KINDS];
	pid_t child;
	char byte;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	child = fork();
	if (child == 0) {
		receive_descriptors(sockets[1], fd, KINDS);
		use(KINDS, fd);
		CHECK(write(sockets[1], "", 1) == 1);
		CHECK(read(sockets[1], &byte, 1) == 1);
		_exit(0);
	}
	open_all(fd);
	pass_descriptors(sockets[0], fd, KINDS);
	CHECK(read(sockets[0], &byte, 1) == 1);
	/* There can be one owner. */
	for (int i = 0; i < KINDS; i++)
		CHECK(ioctl(fd[i], VHOST_SET_OWNER) == -1 && errno == EBUSY);
	CHECK(write(sockets[0], "", 1) == 1);
	CHECK(status_of(child) == 0);
	for (int i = 0; i < KINDS; i++)
		CHECK(close(fd[i]) == 0);
	close(sockets[0]);
	close(sockets[1]);
	printf("ok over a socket\n");
}

/* Those that somebody owns stay his. */
static void owned(void)
{
	struct vhost_vring_state state = {.index = 0, .num = 64};
	int sockets[2], fd[KINDS];
	pid_t child;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	child = fork();
	if (child == 0) {
		receive_descriptors(sockets[1], fd, KINDS);
		for (int i = 0; i < KINDS; i++) {
			CHECK(ioctl(fd[i], VHOST_SET_OWNER) == -1 && errno == EBUSY);
			CHECK(ioctl(fd[i], VHOST_SET_VRING_NUM, &state) == -1 && errno == EPERM);
		}
		_exit(0);
	}
	open_all(fd);
	use(KINDS, fd);
	pass_descriptors(sockets[0], fd, KINDS);
	CHECK(status_of(child) == 0);
	for (int i = 0; i < KINDS; i++)
		CHECK(close(fd[i]) == 0);
	close(sockets[0]);
	close(sockets[1]);
	printf("ok owned\n");
}

int main(int argc, char **argv)
{
	int fd[KINDS];

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(60);
	self = argv[0];
	if (argc > 2 && argc <= KINDS + 2) {
		for (int i = 2; i < argc; i++)
			fd[i - 2] = atoi(argv[i]);
		use(argc - 2, fd);
		return 0;
	}
	/* Those with children that were there before come first: from the first device on, this
	 * process is the owner of its children's files. */
	over_a_socket();
	owned();
	through_exec_alone();
	through_fork_and_exec();
	return 0;
}
