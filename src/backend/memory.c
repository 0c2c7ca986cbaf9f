/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A drive in memory: a sparse file that needs no disk.
 *
 * Under `standin run` it is in the instance's private directory and named after the
 * drive, so that all processes of the run, one after another or at once, see one drive.
 * Elsewhere it is a memfd and ends with the process.  It is read and written, not mapped:
 * so a block that was never written takes no memory when it is read, and memory that runs
 * out is an error and not a signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/backend_private.h"
#include "core/config.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/syscall.h"

/* A private descriptor of a file of `size` bytes, or -errno. */
static int memory_file(const char *name, uint64_t size)
{
	const char *directory = name && instance ? instance->config->directory : NULL;
	char path[4096];
	struct stat st;
	int fd, r;

	if (directory) {
		r = snprintf(path, sizeof(path), "%s/drive-%s", directory, name);
		if (r < 0 || (size_t)r >= sizeof(path))
			return -ENAMETOOLONG;
		fd = host_open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	} else {
		fd = (int)host_syscall(SYS_memfd_create, "standin:drive", MFD_CLOEXEC);
	}
	fd = hostfd_adopt(fd);
	if (fd < 0)
		return fd;
	r = host_fstat(fd, &st);
	if (r == 0 && (uint64_t)st.st_size != size)
		r = (int)host_syscall(SYS_ftruncate, fd, size);
	if (r < 0) {
		hostfd_close(fd);
		return r;
	}
	return fd;
}

int memory_open(const struct backend_options *options, struct backend **ret_backend,
		char error[BACKEND_ERROR_MAX])
{
	int fd = memory_file(options->name, options->size), r = fd;

	if (fd >= 0) {
		r = file_wrap(fd, -1, options->size, NULL, ret_backend);
		if (r == 0)
			return 0;
		hostfd_close(fd);
	}
	return backend_error(error, r, "no memory drive of %llu bytes: %s",
			     (unsigned long long)options->size, strerror(-r));
}
