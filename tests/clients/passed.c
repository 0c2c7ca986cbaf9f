/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO descriptors that another process gets over a socket or through an exec.  Prints
 * "ok" lines; exits 0 if all was as with a kernel, an owner that is gone apart (EIO).
 */
#include "passing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *group_path = "/dev/vfio/0";
static const char *address = "0000:01:00.0";
static const char *self;
extern char **environ;

struct files {
	int container, group, device;
};

static struct files setup(void)
{
	struct files f = {open("/dev/vfio/vfio", O_RDWR), open(group_path, O_RDWR), -1};

	CHECK(f.container >= 0 && f.group >= 0);
	CHECK(ioctl(f.group, VFIO_GROUP_SET_CONTAINER, &f.container) == 0);
	CHECK(ioctl(f.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	f.device = ioctl(f.group, VFIO_GROUP_GET_DEVICE_FD, address);
	CHECK(f.device >= 0);
	CHECK(fcntl(f.device, F_SETFD, 0) == 0);
	return f;
}

static void finish(struct files f)
{
	CHECK(close(f.device) == 0 && close(f.group) == 0 && close(f.container) == 0);
}

/* Everything, in a process that did not open them. */
static void use(struct files f)
{
	struct vfio_region_info info = {.argsz = sizeof(info),
					.index = VFIO_PCI_CONFIG_REGION_INDEX};
	struct vfio_group_status status = {.argsz = sizeof(status)};
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = 3, .iova = 0x100000, .size = 4096};
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = 0x100000, .size = 4096};
	uint32_t command = 6, version = 0;
	volatile uint32_t *bar;
	uint16_t vendor = 0;
	void *m;

	CHECK(ioctl(f.container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	CHECK(ioctl(f.group, VFIO_GROUP_GET_STATUS, &status) == 0);
	CHECK(status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET);
	CHECK(ioctl(f.group, VFIO_GROUP_GET_STATUS, NULL) == -1 && errno == EFAULT);
	CHECK(ioctl(f.device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	CHECK(pread(f.device, &vendor, 2, (off_t)info.offset) == 2 && vendor == 0x1b36);
	CHECK(pwrite(f.device, &command, 2, (off_t)info.offset + 4) == 2);
	CHECK(pread(f.device, &version, 4, 8) == 4);

	m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED);
	map.vaddr = (uintptr_t)m;
	CHECK(ioctl(f.container, VFIO_IOMMU_MAP_DMA, &map) == 0);
	CHECK(ioctl(f.container, VFIO_IOMMU_MAP_DMA, &map) == -1 && errno == EEXIST);
	CHECK(ioctl(f.container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0 && unmap.size == 4096);

	/* Its registers, in a mapping of this process. */
	info.index = 0;
	CHECK(ioctl(f.device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	m = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, f.device, 0);
	CHECK(m != MAP_FAILED);
	bar = m;
	CHECK(version != 0 && bar[2] == version);
	bar[9] = 0x1f001f;
	CHECK(bar[9] == 0x1f001f);
	CHECK(munmap(m, info.size) == 0);
	/* The group is in use, by the owner. */
	CHECK(open(group_path, O_RDWR) == -1 && errno == EBUSY);
}

static void pass(int socket, const struct files *f)
{
	pass_descriptors(socket, (int[]){f->container, f->group, f->device}, 3);
}

static void receive(int socket, struct files *f)
{
	int fd[3];

	receive_descriptors(socket, fd, 3);
	*f = (struct files){fd[0], fd[1], fd[2]};
}

/* A process that began before anything was open; the sender closes at once. */
static void over_a_socket(void)
{
	int sockets[2], group;
	struct files f;
	pid_t child;
	char byte;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	child = fork();
	if (child == 0) {
		receive(sockets[1], &f);
		use(f);
		/* And a child of it. */
		child = fork();
		if (child == 0) {
			use(f);
			_exit(0);
		}
		CHECK(status_of(child) == 0);
		finish(f);
		CHECK(write(sockets[1], "", 1) == 1);
		pause();
	}
	f = setup();
	pass(sockets[0], &f);
	finish(f);
	CHECK(open(group_path, O_RDWR) == -1 && errno == EBUSY);
	CHECK(read(sockets[0], &byte, 1) == 1);
	/* The receiver has closed it: it is free. */
	group = open(group_path, O_RDWR);
	CHECK(group >= 0);
	close(group);
	kill(child, SIGKILL);
	status_of(child);
	close(sockets[0]);
	close(sockets[1]);
	printf("ok over a socket\n");
}

static void arguments(struct files f, char text[3][16], char *argv[6])
{
	snprintf(text[0], 16, "%d", f.container);
	snprintf(text[1], 16, "%d", f.group);
	snprintf(text[2], 16, "%d", f.device);
	argv[0] = (char *)(uintptr_t)self;
	argv[1] = (char *)(uintptr_t) "use";
	for (int i = 0; i < 3; i++)
		argv[2 + i] = text[i];
	argv[5] = NULL;
}

static void through_exec(void)
{
	struct files f = setup();
	char text[3][16], *argv[6];
	int go[2], group;
	pid_t child;

	arguments(f, text, argv);
	child = fork();
	if (child == 0) {
		execv(self, argv);
		_exit(1);
	}
	CHECK(status_of(child) == 0);
	CHECK(posix_spawn(&child, self, NULL, NULL, argv, environ) == 0);
	CHECK(status_of(child) == 0);
	/* It alone has them when it begins. */
	CHECK(pipe(go) == 0);
	child = fork();
	if (child == 0) {
		CHECK(dup2(go[0], 0) == 0);
		argv[1] = (char *)(uintptr_t) "wait";
		close(go[1]);
		execv(self, argv);
		_exit(1);
	}
	finish(f);
	CHECK(write(go[1], "", 1) == 1);
	CHECK(status_of(child) == 0);
	group = open(group_path, O_RDWR);
	CHECK(group >= 0);
	close(group);
	printf("ok through an exec\n");
}

static void owner_killed(void)
{
	int sockets[2];
	struct files f;
	pid_t owner, user;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	owner = fork();
	if (owner == 0) {
		f = setup();
		pass(sockets[1], &f);
		pass(sockets[1], &f);
		pause();
	}
	user = fork();
	if (user == 0) {
		uint32_t value;
		char byte;

		receive(sockets[0], &f);
		CHECK(ioctl(f.container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
		/* What comes after it is under way before its sender ends. */
		CHECK(recv(sockets[0], &byte, 1, MSG_PEEK) == 1);
		kill(owner, SIGKILL);
		while (kill(owner, 0) == 0)
			usleep(1000);
		CHECK(ioctl(f.container, VFIO_GET_API_VERSION) == -1 && errno == EIO);
		CHECK(pread(f.device, &value, 4, 0) == -1 && errno == EIO);
		_exit(0);
	}
	CHECK(status_of(owner) == 1000 + SIGKILL);
	CHECK(status_of(user) == 0);
	/* Received after its end. */
	receive(sockets[0], &f);
	CHECK(ioctl(f.container, VFIO_GET_API_VERSION) == -1 && errno == EIO);
	finish(f);
	printf("ok owner killed\n");
}

int main(int argc, char **argv)
{
	char byte;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(60);
	self = argv[0];
	if (argc == 5) {
		struct files f = {atoi(argv[2]), atoi(argv[3]), atoi(argv[4])};

		if (argv[1][0] == 'w')
			CHECK(read(0, &byte, 1) == 1);
		use(f);
		return 0;
	}
	/* First: from the first device on, this process is the owner of its children's files. */
	owner_killed();
	over_a_socket();
	through_exec();
	return 0;
}
