/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A drive in memory: a sparse file, mapped shared, and copies to and from the mapping.
 *
 * Under `standin run` the file is in the instance's private directory and named after the
 * device, so that all processes of the run, one after another or at once, see one drive.
 * Elsewhere it is a memfd and ends with the process.  The copies are guarded on both
 * sides: the driver's memory may be gone, and so may the space that the file needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/backend_private.h"
#include "core/config.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/syscall.h"

struct memory_backend {
	struct backend backend;
	int fd;
	char *memory;
};

static int memory_clear(struct memory_backend *m, uint64_t offset, uint64_t size)
{
	if (size == 0)
		return 0;
	if (host_syscall(SYS_fallocate, m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
			 size) < 0)
		memset(m->memory + offset, 0, size);
	return 0;
}

static int memory_run(struct backend *b, struct backend_request *r)
{
	struct memory_backend *m = (struct memory_backend *)b;
	char *place = m->memory + r->offset;
	int error = 0;

	switch (r->op) {
	case BACKEND_READ:
		for (unsigned i = 0; i < r->n_iov && !error; i++) {
			error = standin_copy_to(r->iov[i].iov_base, place, r->iov[i].iov_len);
			place += r->iov[i].iov_len;
		}
		return error;
	case BACKEND_WRITE:
		for (unsigned i = 0; i < r->n_iov && !error; i++) {
			error = standin_copy_from(place, r->iov[i].iov_base, r->iov[i].iov_len);
			place += r->iov[i].iov_len;
		}
		return error;
	case BACKEND_FLUSH:
		return 0;
	case BACKEND_DISCARD:
	case BACKEND_ZERO:
		return memory_clear(m, r->offset, r->size);
	}
	return -EINVAL;
}

static void memory_close(struct backend *b)
{
	struct memory_backend *m = (struct memory_backend *)b;

	host_munmap(m->memory, b->size);
	hostfd_close(m->fd);
	free(m);
}

static const struct backend_ops memory_ops = {
	.submit = memory_run,
	.run = memory_run,
	.close = memory_close,
};

/* A private descriptor of a file of at least `size` bytes, or -errno. */
static int memory_file(struct standin_device *dev, uint64_t size)
{
	const char *directory = instance ? instance->config->directory : NULL;
	char path[4096];
	struct stat st;
	int fd, r;

	if (directory) {
		r = snprintf(path, sizeof(path), "%s/drive-%s", directory,
			     standin_device_address(dev));
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

int memory_open(struct standin_device *dev, uint64_t size, struct backend **ret_backend)
{
	struct memory_backend *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return standin_device_error(dev, -ENOMEM, "out of memory");
	m->backend = (struct backend){.ops = &memory_ops, .size = size};
	r = m->fd = memory_file(dev, size);
	if (r < 0)
		goto fail;
	m->memory =
		host_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->fd, 0);
	if (host_is_error(m->memory)) {
		r = (int)(intptr_t)m->memory;
		hostfd_close(m->fd);
		goto fail;
	}
	*ret_backend = &m->backend;
	return 0;
fail:
	free(m);
	return standin_device_error(dev, r, "no memory drive of %llu bytes: %s",
				    (unsigned long long)size, strerror(-r));
}
