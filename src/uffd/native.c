/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's descriptors, with uffd=auto: one that is asked for features which the kernel
 * doesn't have, or doesn't permit, becomes ours, under the same number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "core/call.h"
#include "core/config.h"
#include "core/fdtable.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/syscall.h"
#include "core/user.h"
#include "uffd/entry.h"
#include "uffd/uffd.h"

/* Descriptors that were made for faults of user mode alone, which the kernel doesn't tell. */
#define REMEMBERED 1024
static _Atomic uint8_t user_mode_only[REMEMBERED];

int uffd_native_made(int fd, int flags)
{
	if (fd < 0)
		return fd;
	fdtable_forget(fd);
	if (fd < REMEMBERED)
		atomic_store(&user_mode_only[fd], flags & UFFD_USER_MODE_ONLY);
	return fd;
}

static bool is_native(int fd)
{
	static const char name[] = "anon_inode:[userfaultfd]";
	char path[32], text[sizeof(name)];
	long n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = host_syscall(SYS_readlinkat, AT_FDCWD, path, text, sizeof(text));
	return n == sizeof(name) - 1 && memcmp(text, name, sizeof(name) - 1) == 0;
}

/* Whether the handshake has been made: without it, everything else is EINVAL. */
static bool is_initialized(int fd)
{
	struct uffdio_range range = {.start = MEMORY_PAGE, .len = MEMORY_PAGE};

	return host_syscall(SYS_ioctl, fd, UFFDIO_WAKE, &range) == 0;
}

static int replace(int fd)
{
	int flags = (int)host_syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK, made;

	if (host_syscall(SYS_fcntl, fd, F_GETFD) & FD_CLOEXEC)
		flags |= O_CLOEXEC;
	if (fd < REMEMBERED)
		flags |= atomic_load(&user_mode_only[fd]);
	made = uffd_create(flags);
	if (made < 0)
		return made;
	fdtable_forget(fd);
	host_syscall(SYS_dup3, made, fd, flags & O_CLOEXEC);
	fdtable_duplicate(made, fd);
	fdtable_forget(made);
	host_close(made);
	return 0;
}

long uffd_native_api(int fd, unsigned long arg)
{
	bool asked = instance && instance->config->uffd == UFFD_AUTO;
	struct uffdio_api api;
	struct file *f;
	long ret;

	asked = asked && copy_from_user(&api, (const void *)arg, sizeof(api)) == 0;
	ret = host_syscall(SYS_ioctl, fd, UFFDIO_API, arg);
	if (!asked || (ret != -EINVAL && ret != -EPERM) || api.api != UFFD_API ||
	    api.features & ~UFFD_FEATURES || !is_native(fd) || is_initialized(fd))
		return ret;
	/* The kernel has wiped it out. */
	if (replace(fd) || copy_to_user((void *)arg, &api, sizeof(api)))
		return ret;
	f = file_get(fd);
	if (!f)
		return ret;
	ret = call_ioctl(fd, f, UFFDIO_API, arg);
	file_put(f);
	return ret;
}
