/* SPDX-License-Identifier: BSD-3-Clause */
/* The memfd costs no memory: nothing is ever written to most of its 16 TiB. */
#include "core/placeholder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"

int placeholder_memfd(const char *kind, int flags)
{
	char name[64];
	long fd, result;

	snprintf(name, sizeof(name), PLACEHOLDER_NAME "%s:%d", kind,
		 (int)host_syscall(SYS_getpid));
	fd = host_syscall(SYS_memfd_create, name, flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd < 0)
		return (int)fd;
	result = host_syscall(SYS_ftruncate, fd, PLACEHOLDER_SIZE);
	if (result < 0) {
		host_close((int)fd);
		return (int)result;
	}
	return (int)fd;
}
