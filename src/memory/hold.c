/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A userfaultfd that nobody reads.  It is opened when it is first needed, and any process may
 * have one that is for faults of user mode alone; system calls on the range meanwhile fail
 * with EFAULT, as with a protection.
 */
#include "memory/hold.h"

#include <errno.h>
#include <fcntl.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/radix.h"
#include "uapi/userfaultfd.h"

static int fd = -EBADF; /* -EBADF: not opened yet; else negative: there is none */
static bool refused;

void hold_refuse(void)
{
	refused = true;
}

static void open_it(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_SIGBUS};

	fd = (int)host_syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd < 0) {
		fd = -ENOSYS;
		return;
	}
	fd = hostfd_adopt(fd);
	if (fd >= 0 && host_syscall(SYS_ioctl, fd, UFFDIO_API, &api) == 0)
		return;
	hostfd_close(fd);
	fd = -ENOSYS;
}

bool hold_missing(uintptr_t start, uintptr_t end)
{
	struct uffdio_register r = {
		.range = {.start = start, .len = end - start},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (refused)
		return false;
	if (fd == -EBADF)
		open_it();
	return fd >= 0 && host_syscall(SYS_ioctl, fd, UFFDIO_REGISTER, &r) == 0;
}

bool hold_move(uintptr_t from, uintptr_t to)
{
	struct uffdio_move move = {.dst = to, .src = from, .len = MEMORY_PAGE};

	return host_syscall(SYS_ioctl, fd, UFFDIO_MOVE, &move) == 0;
}

bool hold_copy(uintptr_t from, uintptr_t to)
{
	struct uffdio_copy copy = {.dst = to, .src = from, .len = MEMORY_PAGE};

	return host_syscall(SYS_ioctl, fd, UFFDIO_COPY, &copy) == 0;
}

void hold_release(uintptr_t start, uintptr_t end)
{
	struct uffdio_range range = {.start = start, .len = end - start};

	if (host_syscall(SYS_ioctl, fd, UFFDIO_UNREGISTER, &range) == 0)
		return;
	/* What can't be released one by one goes with the descriptor. */
	hold_forked();
}

void hold_forked(void)
{
	hostfd_close(fd);
	fd = -EBADF;
}
