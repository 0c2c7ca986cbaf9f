/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors and memory of the runtime's own.
 *
 * A private descriptor is moved to the upper quarter of what the soft limit allows (at
 * most 4096, so that the kernel's table stays small), where clients that count on low
 * numbers do not see a gap, and is entered in the fd table as FD_PRIVATE.  When the upper
 * part is full any number will do.
 */
#include "core/hostfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "core/fdtable.h"
#include "core/syscall.h"

static int private_base(void)
{
	struct rlimit limit;

	if (host_syscall(SYS_getrlimit, RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 4096)
		return 3072;
	return (int)(limit.rlim_cur / 4 * 3);
}

static int duplicate_high(int fd)
{
	long copy = host_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, private_base());

	if (copy == -EINVAL || copy == -EMFILE)
		copy = host_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
	if (copy >= 0)
		fdtable_set_private((int)copy);
	return (int)copy;
}

int hostfd_adopt(int fd)
{
	int copy;

	if (fd < 0)
		return fd;
	copy = duplicate_high(fd);
	host_close(fd);
	return copy;
}

int hostfd_duplicate(int fd)
{
	return duplicate_high(fd);
}

void hostfd_close(int fd)
{
	if (fd < 0)
		return;
	fdtable_forget(fd);
	host_close(fd);
}

int host_open(const char *path, int flags, mode_t mode)
{
	return (int)host_syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int host_close(int fd)
{
	return (int)host_syscall(SYS_close, fd);
}

int host_fstat(int fd, struct stat *st)
{
	return (int)host_syscall(SYS_fstat, fd, st);
}

ssize_t host_read(int fd, void *buffer, size_t size)
{
	return host_syscall(SYS_read, fd, buffer, size);
}

bool host_read_text(const char *path, char *text, size_t size)
{
	int fd = host_open(path, O_RDONLY | O_CLOEXEC, 0);
	ssize_t n;

	if (fd < 0)
		return false;
	n = host_read(fd, text, size - 1);
	host_close(fd);
	text[n > 0 ? n : 0] = '\0';
	return true;
}

ssize_t host_write(int fd, const void *buffer, size_t size)
{
	return host_syscall(SYS_write, fd, buffer, size);
}

ssize_t host_pread(int fd, void *buffer, size_t size, off_t offset)
{
	return host_syscall(SYS_pread64, fd, buffer, size, offset);
}

ssize_t host_pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
	return host_syscall(SYS_pwrite64, fd, buffer, size, offset);
}

#ifdef __SANITIZE_THREAD__
/*
 * The sanitizer has to see that memory at an address is not what was there before.  It
 * watches libstandin alone, where nothing is wrapped.
 */
void *host_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	void *p = mmap(address, size, protection, flags, fd, offset);

	return p == MAP_FAILED ? (void *)(intptr_t)-errno : p;
}

int host_munmap(void *address, size_t size)
{
	return munmap(address, size) ? -errno : 0;
}
#else
void *host_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	return (void *)host_syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}

int host_munmap(void *address, size_t size)
{
	return (int)host_syscall(SYS_munmap, address, size);
}
#endif

int host_mprotect(void *address, size_t size, int protection)
{
	return (int)host_syscall(SYS_mprotect, address, size, protection);
}
