/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shared memory has a file system of its own, of which memfds are too; what is in a tmpfs that
 * has been mounted is known by its device's number.
 *
 * Nothing tells whether a mapping may become writable, so a second one of its first page is
 * made and tried.
 */
#include "memory/backing.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/radix.h"

static bool is_kernel_shmem(const struct memory_vma *v)
{
	static dev_t device; /* 0: not known yet */
	struct stat st;
	int fd;

	if (!device) {
		fd = (int)host_syscall(SYS_memfd_create, "standin:device", MFD_CLOEXEC);
		if (fd < 0)
			return false;
		if (host_fstat(fd, &st) == 0)
			device = st.st_dev;
		host_close(fd);
	}
	return device && v->device == device;
}

/* A line of mountinfo: "36 35 98:0 / /mnt rw,noatime master:1 - tmpfs tmpfs rw". */
static bool is_tmpfs_of(const char *line, dev_t device)
{
	const char *type = strstr(line, " - ");
	unsigned high, low;

	return type && sscanf(line, "%*u %*u %u:%u", &high, &low) == 2 &&
	       makedev(high, low) == device &&
	       (strncmp(type, " - tmpfs ", 9) == 0 || strncmp(type, " - devtmpfs ", 12) == 0);
}

static bool is_mounted_tmpfs(dev_t device)
{
	int fd = host_open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC, 0);
	static char text[8192];
	size_t kept = 0;
	bool found = false;
	ssize_t n;

	if (fd < 0)
		return false;
	while (!found && (n = host_read(fd, text + kept, sizeof(text) - 1 - kept)) > 0) {
		char *line = text, *end;

		text[kept + (size_t)n] = '\0';
		for (; !found && (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			found = is_tmpfs_of(line, device);
		}
		kept = strlen(line);
		if (kept == sizeof(text) - 1)
			kept = 0; /* a line that is longer is of another kind */
		memmove(text, line, kept);
	}
	host_close(fd);
	return found;
}

bool memory_is_shmem(const struct memory_vma *v)
{
	if (v->kind != MEMORY_FILE && v->kind != MEMORY_SHARED)
		return false;
	return is_kernel_shmem(v) || is_mounted_tmpfs(v->device);
}

bool memory_may_write(const struct memory_vma *v)
{
	bool may;
	long alias;

	if (!v->shared || (v->protection & PROT_WRITE))
		return true;
	alias = host_syscall(SYS_mremap, v->start, 0, MEMORY_PAGE, MREMAP_MAYMOVE);
	if (host_is_error((void *)alias))
		return true; /* hugetlb */
	may = host_syscall(SYS_mprotect, alias, MEMORY_PAGE, PROT_READ | PROT_WRITE) == 0;
	host_munmap((void *)alias, MEMORY_PAGE);
	return may;
}
