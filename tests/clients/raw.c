/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VFIO client whose ioctls are `syscall` instructions of its own, with threads that
 * block every signal from the start and touch registers, and with a SIGSEGV handler of its
 * own that has to go on working.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                               \
		}                                                              \
	} while (0)

static long raw_ioctl(int fd, unsigned long command, const void *arg)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_ioctl), "D"((long)fd), "S"(command), "d"(arg)
			 : "rcx", "r11", "memory");
	return result;
}

static sigjmp_buf escape;
static volatile uint32_t *_Atomic registers;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	siglongjmp(escape, 1);
}

static void *reader(void *arg)
{
	(void)arg;
	while (!registers)
		usleep(1000);
	for (int i = 0; i < 1000; i++)
		CHECK(registers[2] != 0xffffffff);
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	struct vfio_region_info info = {.argsz = sizeof(info), .index = 0};
	struct vfio_group_status status = {.argsz = sizeof(status)};
	volatile int *volatile nowhere = (volatile int *)8;
	volatile int caught = 0;
	int container, group, null, command = 6;
	long device;
	sigset_t all, old;
	pthread_t thread;

	alarm(60);
	sigaction(SIGSEGV, &act, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_create(&thread, NULL, reader, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	container = open("/dev/vfio/vfio", O_RDWR);
	group = open("/dev/vfio/0", O_RDWR);
	null = open("/dev/null", O_RDWR);
	CHECK(container >= 0 && group >= 0 && null >= 0);
	CHECK(raw_ioctl(container, VFIO_GET_API_VERSION, NULL) == VFIO_API_VERSION);
	CHECK(raw_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	CHECK(raw_ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0);
	CHECK(status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET);
	CHECK(raw_ioctl(group, VFIO_GROUP_GET_STATUS, NULL) == -14);
	CHECK(raw_ioctl(container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU) == 0);
	CHECK(raw_ioctl(null, VFIO_GET_API_VERSION, NULL) == -25);
	CHECK(raw_ioctl(-1, VFIO_GET_API_VERSION, NULL) == -9);
	device = raw_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:01:00.0");
	CHECK(device >= 0);
	CHECK(raw_ioctl((int)device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	CHECK(pwrite((int)device, &command, 2, ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40) + 4) ==
	      2);
	registers = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)device,
			 (off_t)info.offset);
	CHECK(registers != MAP_FAILED);
	for (int i = 0; i < 3; i++) {
		if (sigsetjmp(escape, 1) == 0)
			*nowhere = 1;
		else
			caught++;
		CHECK(registers[2] != 0xffffffff);
		registers[9] = 0x1f001fu + (unsigned)i;
	}
	CHECK(caught == 3);
	pthread_join(thread, NULL);
	printf("ok\n");
	return 0;
}
