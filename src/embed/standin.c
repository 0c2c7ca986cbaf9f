/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The doors of libstandin: <standin/standin.h>.
 *
 * Each finds the file behind the descriptor, makes the call on it and turns -errno into
 * errno; a descriptor that isn't stood in for gets the real system call.  This and the
 * injected wrappers are the only places that set errno.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <standin/standin.h>

#include "core/call.h"
#include "core/config.h"
#include "core/fdtable.h"
#include "core/file.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "memory/mmio.h"

#define DOOR __attribute__((visibility("default")))

static char start_error[CONFIG_ERROR_MAX];

static long answer(long result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

DOOR int standin_start(const char *configuration)
{
	struct config *c = malloc(sizeof(*c));
	int result;

	if (!c)
		return (int)answer(-ENOMEM);
	config_init(c);
	result = config_text(c, configuration ? configuration : "", start_error);
	if (result == 0)
		result = config_complete(c, start_error);
	if (result == 0)
		result = instance_start(c, start_error, sizeof(start_error));
	if (result < 0) {
		config_finish(c);
		free(c);
	}
	return (int)answer(result);
}

DOOR void standin_stop(void)
{
	instance_stop();
}

DOOR const char *standin_error(void)
{
	return start_error;
}

DOOR int standin_open(const char *path, int flags, ...)
{
	int mode = 0, result;
	va_list args;

	result = instance ? call_open(path, flags) : -ENOENT;
	if (result != -ENOENT)
		return (int)answer(result);
	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(args, flags);
		mode = va_arg(args, int);
		va_end(args);
	}
	return open(path, flags, (mode_t)mode);
}

DOOR int standin_close(int fd)
{
	struct file *f;

	if (fdtable_private(fd))
		return (int)answer(-EBADF);
	f = file_get(fd);
	if (f)
		file_put(f);
	call_close(fd);
	/* What was opened without libc is closed so: sanitizers keep accounts of descriptors. */
	return f ? (int)answer(host_close(fd)) : close(fd);
}

DOOR int standin_dup(int fd)
{
	int copy = dup(fd);

	if (copy >= 0)
		fdtable_duplicate(fd, copy);
	return copy;
}

DOOR int standin_ioctl(int fd, unsigned long command, ...)
{
	struct file *f = file_get(fd);
	unsigned long arg;
	va_list args;
	long result;

	va_start(args, command);
	arg = va_arg(args, unsigned long);
	va_end(args);
	if (!f && _IOC_TYPE(command) == SOCK_IOC_TYPE &&
	    interface_socket_ioctl(fd, (unsigned int)command, arg, &result))
		return (int)answer(result);
	if (!f)
		return ioctl(fd, command, arg);
	result = call_ioctl(fd, f, (unsigned int)command, arg);
	file_put(f);
	return (int)answer(result);
}

/* The end of a transfer on `f`. */
static ssize_t transferred(struct file *f, ssize_t result)
{
	file_put(f);
	return answer(result);
}

DOOR ssize_t standin_pread(int fd, void *buffer, size_t size, off_t offset)
{
	struct file *f = file_get(fd);

	return f ? transferred(f, call_pread(fd, f, buffer, size, offset))
		 : pread(fd, buffer, size, offset);
}

DOOR ssize_t standin_pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
	struct file *f = file_get(fd);

	return f ? transferred(f, call_pwrite(fd, f, buffer, size, offset))
		 : pwrite(fd, buffer, size, offset);
}

DOOR ssize_t standin_read(int fd, void *buffer, size_t size)
{
	struct file *f = file_get(fd);

	return f ? transferred(f, call_read(fd, f, buffer, size)) : read(fd, buffer, size);
}

DOOR ssize_t standin_write(int fd, const void *buffer, size_t size)
{
	struct file *f = file_get(fd);

	return f ? transferred(f, call_write(fd, f, buffer, size)) : write(fd, buffer, size);
}

DOOR void *standin_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	struct file *f = flags & MAP_ANONYMOUS ? NULL : file_get(fd);
	void *place;

	if (!f)
		return mmap(address, size, protection, flags, fd, offset);
	place = call_mmap(fd, f, address, size, protection, flags, offset);
	file_put(f);
	if (!host_is_error(place))
		return place;
	errno = (int)-(intptr_t)place;
	return MAP_FAILED;
}

DOOR int standin_munmap(void *address, size_t size)
{
	int result = munmap(address, size);

	if (result == 0 && mmio_overlaps(address, size))
		mmio_unmapped(address, size);
	return result;
}
