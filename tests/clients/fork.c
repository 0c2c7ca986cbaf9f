/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VFIO client that forks: the child uses what its parent opened, opens more, passes it
 * on to a child of its own, and outlives the parent.  Prints "ok" lines; exits 0 if all
 * was as with a kernel.
 */
#include "passing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *group_path = "/dev/vfio/0";
static const char *address = "0000:01:00.0";

static int setup(int *ret_container)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = open(group_path, O_RDWR);

	CHECK(container >= 0 && group >= 0);
	CHECK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	CHECK(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	*ret_container = container;
	return group;
}

static uint16_t vendor(int device)
{
	struct vfio_region_info info = {.argsz = sizeof(info),
					.index = VFIO_PCI_CONFIG_REGION_INDEX};
	uint16_t value = 0;

	CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	CHECK(pread(device, &value, 2, (off_t)info.offset) == 2);
	return value;
}

static volatile uint32_t *map_bar0(int device)
{
	struct vfio_region_info info = {.argsz = sizeof(info), .index = 0};
	uint32_t command = 6;
	void *m;

	CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	CHECK(pwrite(device, &command, 2, ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40) + 4) == 2);
	m = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)info.offset);
	CHECK(m != MAP_FAILED);
	return m;
}

/* What the parent opened works in the child; and the child's child. */
static void inherited(int container, int group, int device, volatile uint32_t *bar)
{
	uint32_t version = bar[2];
	uint16_t id = vendor(device);
	pid_t child = fork();

	if (child == 0) {
		struct vfio_group_status status = {.argsz = sizeof(status)};
		volatile uint32_t *mine;
		int again;

		CHECK(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
		CHECK(ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1);
		CHECK(ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0);
		CHECK(status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET);
		CHECK(ioctl(group, VFIO_GROUP_GET_STATUS, NULL) == -1 && errno == EFAULT);
		CHECK(vendor(device) == id);
		/* The group is in use: by the parent, which is somebody else. */
		CHECK(open(group_path, O_RDWR) == -1 && errno == EBUSY);
		again = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
		CHECK(again >= 0 && vendor(again) == id);
		CHECK(close(again) == 0);
		/* Registers, in the inherited mapping and in one of its own. */
		CHECK(bar[2] == version);
		bar[9] = 0x1f001f;
		CHECK(bar[9] == 0x1f001f);
		mine = map_bar0(device);
		CHECK(mine[2] == version && mine[9] == 0x1f001f);
		child = fork();
		if (child == 0) {
			CHECK(vendor(device) == id);
			CHECK(bar[2] == version);
			_exit(0);
		}
		CHECK(status_of(child) == 0);
		_exit(0);
	}
	CHECK(status_of(child) == 0);
	CHECK(bar[9] == 0x1f001f);
	CHECK(vendor(device) == id);
	printf("ok inherited\n");
}

/* A device that a child is the first to open. */
static void opened_by_child(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR);
	pid_t child;

	CHECK(container >= 0);
	child = fork();
	if (child == 0) {
		int group = open(group_path, O_RDWR), device;
		volatile uint32_t *bar;
		void *nothing;

		CHECK(group >= 0);
		CHECK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
		CHECK(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
		device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
		CHECK(device >= 0);
		bar = map_bar0(device);
		CHECK(bar[2] != 0 && bar[2] != 0xffffffff);
		bar[9] = 0x50005;
		CHECK(bar[9] == 0x50005);
		nothing = mmap(NULL, 4096, PROT_READ, MAP_SHARED, device,
			       (off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40);
		CHECK(nothing == MAP_FAILED && errno == EINVAL);
		nothing = mmap(NULL, 4096, PROT_READ, MAP_SHARED, container, 0);
		CHECK(nothing == MAP_FAILED && errno == ENODEV);
		_exit(0);
	}
	CHECK(status_of(child) == 0);
	close(container);
	printf("ok opened by a child\n");
}

/* The last process to close the group frees it, in whichever order they do. */
static void released(void)
{
	int container, group = setup(&container), wait[2], done[2];
	pid_t child;
	char byte;

	CHECK(pipe(wait) == 0 && pipe(done) == 0);
	child = fork();
	if (child == 0) {
		CHECK(read(wait[0], &byte, 1) == 1);
		CHECK(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
		close(group);
		close(container);
		CHECK(write(done[1], "", 1) == 1);
		pause();
	}
	close(group);
	close(container);
	CHECK(open(group_path, O_RDWR) == -1 && errno == EBUSY);
	CHECK(write(wait[1], "", 1) == 1 && read(done[0], &byte, 1) == 1);
	group = open(group_path, O_RDWR);
	CHECK(group >= 0);
	close(group);
	kill(child, SIGKILL);
	status_of(child);
	printf("ok released\n");

	/* A child that is killed has closed everything. */
	group = setup(&container);
	child = fork();
	if (child == 0) {
		pause();
	}
	close(group);
	close(container);
	kill(child, SIGKILL);
	status_of(child);
	group = open(group_path, O_RDWR);
	CHECK(group >= 0);
	close(group);
	printf("ok killed\n");
}

/* A grandchild changes what the owner has. */
static void grandchild(void)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	int container, group = setup(&container);
	pid_t child = fork();

	if (child == 0) {
		child = fork();
		if (child == 0) {
			CHECK(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
			CHECK(ioctl(group, VFIO_GROUP_UNSET_CONTAINER) == 0);
			_exit(0);
		}
		CHECK(status_of(child) == 0);
		CHECK(ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0);
		CHECK(!(status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET));
		_exit(0);
	}
	CHECK(status_of(child) == 0);
	CHECK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	close(group);
	close(container);
	printf("ok grandchild\n");
}

/* The owner is gone: errors, no hang. */
static void owner_gone(void)
{
	int report[2], error = 0;
	pid_t owner;

	CHECK(pipe(report) == 0);
	/* Nothing is open here: the child is an owner of its own. */
	owner = fork();
	if (owner == 0) {
		int container = open("/dev/vfio/vfio", O_RDWR);
		pid_t me = getpid();

		CHECK(container >= 0);
		if (fork() == 0) {
			while (getppid() == me)
				usleep(1000);
			error = ioctl(container, VFIO_GET_API_VERSION) < 0 ? errno : 0;
			CHECK(write(report[1], &error, sizeof(error)) == sizeof(error));
			_exit(0);
		}
		_exit(0);
	}
	CHECK(status_of(owner) == 0);
	CHECK(read(report[0], &error, sizeof(error)) == sizeof(error));
	CHECK(error == EIO);
	printf("ok owner gone\n");
}

int main(void)
{
	int container, group, device;
	volatile uint32_t *bar;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(60);
	owner_gone();
	opened_by_child();
	group = setup(&container);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
	CHECK(device >= 0);
	bar = map_bar0(device);
	inherited(container, group, device, bar);
	munmap((void *)(uintptr_t)bar, 0x4000);
	close(device);
	close(group);
	close(container);
	grandchild();
	released();
	return 0;
}
