/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /proc/self/fdinfo/N of a descriptor that is stood in for: what the kernel says of the
 * placeholder, and behind it what it would say of the file that we stand in for.  It is a memory
 * file, made as it is opened.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "inject/x86_64/raw.h"
#include "next.h"

/* "/proc/self/fdinfo/5", or with this process's number for "self": 5, or -1. */
static int described(const char *path)
{
	static const char proc[] = "/proc/", self[] = "self", fdinfo[] = "/fdinfo/";
	char *end;
	long number;

	if (strncmp(path, proc, sizeof(proc) - 1) != 0)
		return -1;
	path += sizeof(proc) - 1;
	if (strncmp(path, self, sizeof(self) - 1) == 0)
		path += sizeof(self) - 1;
	else if (strtol(path, &end, 10) == raw1(SYS_getpid, 0))
		path = end;
	else
		return -1;
	if (strncmp(path, fdinfo, sizeof(fdinfo) - 1) != 0)
		return -1;
	path += sizeof(fdinfo) - 1;
	number = strtol(path, &end, 10);
	return end == path || *end || number < 0 || number > INT_MAX ? -1 : (int)number;
}

bool fdinfo_suspect(const char *path)
{
	return live() && described(path) >= 0;
}

/* What the kernel says of `path`: its length. */
static size_t read_all(const char *path, char *text, size_t size)
{
	long fd = raw4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), n;

	if (fd < 0)
		return 0;
	n = raw3(SYS_read, fd, text, size);
	raw1(SYS_close, fd);
	return n < 0 ? 0 : (size_t)n;
}

bool fdinfo_open(const char *path, int flags, int *ret_fd)
{
	int fd = live() ? described(path) : -1, more;
	char text[1024];
	size_t n;

	if (fd < 0 || !fd_ours(fd))
		return false;
	n = read_all(path, text, sizeof(text) / 2);
	more = live()->describe(fd, text + n, sizeof(text) - n);
	if (!n || more <= 0)
		return false;
	fd = (int)raw2(SYS_memfd_create, "fdinfo", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd >= 0) {
		raw3(SYS_write, fd, text, n + (size_t)more);
		raw3(SYS_lseek, fd, 0, SEEK_SET);
	}
	*ret_fd = fd_fresh(fd);
	return true;
}
