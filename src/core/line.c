/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Raising is two atomic operations around one write(2).  Who changes the eventfd swaps it
 * first and then waits until nobody is between those two, so that the old descriptor can
 * be closed.
 */
#include "core/line.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>

#include "core/hostfd.h"
#include "core/syscall.h"

void line_init(struct line *l, const char *name, unsigned index)
{
	atomic_init(&l->eventfd, -1);
	atomic_init(&l->raising, 0);
	l->name = name;
	l->index = index;
}

void line_connect(struct line *l, int eventfd)
{
	int old = atomic_exchange(&l->eventfd, eventfd);

	while (atomic_load(&l->raising))
		sched_yield();
	hostfd_close(old);
}

void line_finish(struct line *l)
{
	line_connect(l, -1);
}

bool line_connected(const struct line *l)
{
	return atomic_load(&l->eventfd) >= 0;
}

void line_raise(struct line *l)
{
	static const uint64_t one = 1;
	int fd;

	atomic_fetch_add(&l->raising, 1);
	fd = atomic_load(&l->eventfd);
	if (fd >= 0)
		host_write(fd, &one, sizeof(one));
	atomic_fetch_sub(&l->raising, 1);
}

int line_check_eventfd(int fd)
{
	char link[] = "/proc/self/fd/0000000000", target[32];
	char *digits = link + sizeof("/proc/self/fd/") - 1, *end = link + sizeof(link) - 1;
	char *p = end;
	long length;
	unsigned n = (unsigned)fd;

	if (fd < 0 || host_syscall(SYS_fcntl, fd, F_GETFD) < 0)
		return -EBADF;
	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	memmove(digits, p, (size_t)(end - p) + 1);
	length = host_syscall(SYS_readlinkat, AT_FDCWD, link, target, sizeof(target) - 1);
	if (length < 0)
		return -EBADF;
	target[length] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0 ? 0 : -EINVAL;
}
