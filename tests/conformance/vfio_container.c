/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The container: what it answers bare, with a group, and with an IOMMU driver; and what
 * descriptors of all three kinds do in calls that are not ioctl.
 */
#include "vfio.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <termios.h>

/* All command numbers near ours, each with a NULL argument. */
static void sweep(int fd, const char *state)
{
	struct text t = {.length = 0};

	for (unsigned nr = 98; nr < 132; nr++) {
		char word[64];

		if (nr == VFIO_BASE + 2 || nr == VFIO_BASE + 5 || nr == VFIO_BASE + 11)
			continue; /* SET_IOMMU, UNSET_CONTAINER and RESET do something */
		snprintf(word, sizeof(word), "%s",
			 result_name(result(sys_ioctl(fd, _IO(VFIO_TYPE, nr), NULL))));
		text_add_run(&t, word);
	}
	text_end_run(&t);
	say_text(state, "%s", t.data + 1);
}

static void extensions(int container, const char *state)
{
	struct text t = {.length = 0};

	for (unsigned long e = 0; e < 16; e++)
		text_add(&t, "%s ",
			 result_name(result(sys_ioctl(container, VFIO_CHECK_EXTENSION, e))));
	text_add(&t, "%s", result_name(result(sys_ioctl(container, VFIO_CHECK_EXTENSION, -1UL))));
	say_text(state, "%s", t.data);
}

static void foreign_commands(int fd, const char *state)
{
	struct text t = {.length = 0};
	int zero = 0;

	text_add(&t, "0=%s", result_name(result(sys_ioctl(fd, 0, NULL))));
	text_add(&t, " ~0=%s", result_name(result(sys_ioctl(fd, 0xffffffffu, NULL))));
	text_add(&t, " _IOR=%s",
		 result_name(result(sys_ioctl(fd, _IOR(VFIO_TYPE, VFIO_BASE, int), &zero))));
	text_add(&t, " TCGETS=%s", result_name(result(sys_ioctl(fd, TCGETS, NULL))));
	text_add(&t, " FIONREAD=%s", result_name(result(sys_ioctl(fd, FIONREAD, &zero))));
	say_text(state, "%s", t.data);
}

static void set_iommu(int container, unsigned long type, const char *state)
{
	say(result(sys_ioctl(container, VFIO_SET_IOMMU, type)), "%s(%ld)", state, (long)type);
}

void area_container(void)
{
	static const unsigned long types[] = {0, 2, 4, 5, 6, 7, 8, 9, 10, 11, 99, -1UL};
	struct vfio v;
	int fd;

	fd = sys_open("/dev/vfio/vfio", O_RDONLY);
	say_fd(result(fd), "open read-only");
	say(result(sys_ioctl(fd, VFIO_GET_API_VERSION)), "api_version");
	sys_close(fd);
	say_fd(result(sys_open("/dev/vfio/vfio", O_RDWR | O_DIRECTORY)), "open as directory");
	say_fd(result(sys_open("/dev/vfio/vfio", O_RDWR | O_CREAT | O_EXCL, 0600)),
	       "open exclusive");
	say_fd(result(sys_open("/dev/vfio/nonesuch", O_RDWR)), "open of no such node");
	say_fd(result(sys_open("/dev/vfio/vfio/below", O_RDWR)), "open below the node");

	fd = sys_open("/dev/vfio/vfio", O_RDWR);
	sweep(fd, "bare.commands");
	foreign_commands(fd, "bare.foreign");
	extensions(fd, "bare.extensions");
	say(result(sys_ioctl(fd, 0x100000000UL | VFIO_GET_API_VERSION, NULL)),
	    "bare.api_version+2^32");
	set_iommu(fd, VFIO_TYPE1_IOMMU, "bare.set_iommu");
	set_iommu(fd, VFIO_TYPE1v2_IOMMU, "bare.set_iommu");
	set_iommu(fd, 99, "bare.set_iommu");
	sys_close(fd);
	say(result(sys_ioctl(fd, VFIO_GET_API_VERSION)), "closed.api_version");

	vfio_open(&v, 0);
	sweep(v.container, "group.commands");
	extensions(v.container, "group.extensions");
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		set_iommu(v.container, types[i], "group.set_iommu");
	set_iommu(v.container, VFIO_TYPE1v2_IOMMU, "group.set_iommu");
	set_iommu(v.container, VFIO_TYPE1v2_IOMMU, "again.set_iommu");
	set_iommu(v.container, VFIO_TYPE1_IOMMU, "again.set_iommu");
	set_iommu(v.container, 99, "again.set_iommu");
	sweep(v.container, "type1v2.commands");
	foreign_commands(v.container, "type1v2.foreign");
	extensions(v.container, "type1v2.extensions");

	/* The last group takes the driver with it, and the container can be used anew. */
	say(result(sys_ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), "unset");
	sweep(v.container, "unset.commands");
	set_iommu(v.container, VFIO_TYPE1_IOMMU, "unset.set_iommu");
	say(result(sys_ioctl(v.group, VFIO_GROUP_SET_CONTAINER, &v.container)), "set");
	set_iommu(v.container, VFIO_TYPE1_IOMMU, "set.set_iommu");
	sweep(v.container, "type1.commands");
	extensions(v.container, "type1.extensions");
	vfio_close(&v);
}

#ifndef CONFORMANCE_EMBEDDED
static void ordinary_calls(int fd, const char *kind)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI};
	struct iovec iov = {.iov_base = &event, .iov_len = 4};
	int epoll = epoll_create1(0), zero = 0, one = 1;
	struct stat st;
	off_t size;

	say(fstat(fd, &st), "%s.fstat", kind);
	if (strcmp(kind, "device"))
		printf("files.%s.type: %s\n", kind,
		       S_ISCHR(st.st_mode) ? "character device" : "other");
	if (strcmp(kind, "container") == 0)
		printf("files.%s.rdev: %u:%u\n", kind, major(st.st_rdev), minor(st.st_rdev));
	say(result(fcntl(fd, F_GETFD)), "%s.F_GETFD", kind);
	printf("files.%s.F_GETFL: %#x\n", kind,
	       (unsigned)fcntl(fd, F_GETFL) & ~(unsigned)O_LARGEFILE & ~0100000u);
	say(result(lseek(fd, 0, SEEK_CUR)), "%s.lseek", kind);
	say(result(lseek(fd, 0, SEEK_END)), "%s.lseek to the end", kind);
	say(result(fsync(fd)), "%s.fsync", kind);
	say(result(ftruncate(fd, 0)), "%s.ftruncate", kind);
	say(result(isatty(fd)), "%s.isatty", kind);
	say(result(poll(&p, 1, 0)), "%s.poll", kind);
	printf("files.%s.revents: %#x\n", kind, (unsigned)p.revents);
	say(result(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)), "%s.epoll_ctl", kind);
	say(result(ioctl(fd, FIONBIO, &one)), "%s.FIONBIO(1)", kind);
	printf("files.%s.O_NONBLOCK: %d\n", kind, !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	say(result(ioctl(fd, FIONBIO, &zero)), "%s.FIONBIO(0)", kind);
	say(result(ioctl(fd, FIONBIO, NULL)), "%s.FIONBIO(NULL)", kind);
	say(result(ioctl(fd, FIOCLEX)), "%s.FIOCLEX", kind);
	say(result(fcntl(fd, F_GETFD)), "%s.F_GETFD", kind);
	say(result(ioctl(fd, FIONCLEX)), "%s.FIONCLEX", kind);
	say(result(fcntl(fd, F_GETFD)), "%s.F_GETFD", kind);
	say(result(ioctl(fd, FIOASYNC, &one)), "%s.FIOASYNC", kind);
	say(result(ioctl(fd, FIOQSIZE, &size)), "%s.FIOQSIZE", kind);
	if (strcmp(kind, "device")) {
		say(result(read(fd, &event, 4)), "%s.read", kind);
		say(result(read(fd, NOWHERE, 4)), "%s.read to nowhere", kind);
		say(result(write(fd, &zero, 4)), "%s.write", kind);
		say(result(pread(fd, &event, 4, 0)), "%s.pread", kind);
		say(result(pread(fd, &event, 0, 0)), "%s.pread of nothing", kind);
		say(result(pwrite(fd, &zero, 4, 0)), "%s.pwrite", kind);
		say(result(readv(fd, &iov, 1)), "%s.readv", kind);
		say(result(preadv(fd, &iov, 1, 0)), "%s.preadv", kind);
		say(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -errno : 0,
		    "%s.mmap", kind);
	}
	close(epoll);
}

/* The number that the kernel sees is what counts, however the call is made. */
static void other_ways(int container)
{
	struct vfio_iommu_type1_info info = {.argsz = sizeof(info)};
	int copy, high;

	say(result(syscall(SYS_ioctl, container, VFIO_GET_API_VERSION, 0)), "syscall.api_version");
	say(result(syscall(SYS_ioctl, container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU)),
	    "syscall.extension");
	copy = dup(container);
	say(result(ioctl(copy, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU)), "dup.extension");
	close(copy);
	copy = fcntl(container, F_DUPFD_CLOEXEC, 500);
	say(copy >= 500, "F_DUPFD.number");
	say(result(ioctl(copy, VFIO_IOMMU_GET_INFO, &info)), "F_DUPFD.info");
	high = dup2(container, 900);
	say(result(ioctl(high, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU)), "dup2.extension");
	say(result(close_range(copy, 1000, 0)), "close_range");
	say(result(ioctl(high, VFIO_GET_API_VERSION)), "close_range.api_version");
	say(result(ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU)), "original.extension");
}

void area_files(void)
{
	struct stat st;
	struct vfio v;
	int fd;

	say(result(stat("/dev/vfio/vfio", &st)), "stat");
	printf("files.stat.facts: %s %u:%u mode %o\n",
	       S_ISCHR(st.st_mode) ? "character device" : "other", major(st.st_rdev),
	       minor(st.st_rdev), (unsigned)st.st_mode & 0777);
	say(result(stat(vfio_group_path(), &st)), "group.stat");
	printf("files.group.stat.facts: %s\n", S_ISCHR(st.st_mode) ? "character device" : "other");
	say(result(access("/dev/vfio/vfio", R_OK | W_OK)), "access");
	say(result(access("/dev/vfio/vfio", X_OK)), "access to execute");
	say(result(access("/dev/vfio/nonesuch", F_OK)), "access to no such node");

	vfio_open(&v, VFIO_TYPE1v2_IOMMU);
	ordinary_calls(v.container, "container");
	ordinary_calls(v.group, "group");
	ordinary_calls(v.device, "device");
	other_ways(v.container);
	vfio_close(&v);

	fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	say(result(fcntl(fd, F_GETFD)), "cloexec.F_GETFD");
	printf("files.nonblock: %d\n", !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	close(fd);
	fd = open("/dev/vfio/vfio", O_PATH);
	say(result(ioctl(fd, VFIO_GET_API_VERSION)), "O_PATH.api_version");
	close(fd);
}
#else
void area_files(void)
{
}
#endif
