/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is the same for all backends: choosing one by a device's keys or options, fault
 * points, walking the vectors of a request.
 */
#include "backend/backend.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend_private.h"
#include "core/fault.h"

FAULT_POINTS(backend_points, "backend.read", "backend.write", "backend.flush", "backend.discard",
	     "backend.zero")

#define MEMORY_SIZE     (64u << 20)
#define MEMORY_SIZE_MAX ((uint64_t)1 << 43) /* what ext4 and tmpfs can have as a sparse file */

int backend_error(char error[BACKEND_ERROR_MAX], int code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, BACKEND_ERROR_MAX, format, ap);
	va_end(ap);
	return code;
}

int backend_open_options(const struct backend_options *options, unsigned block_size,
			 struct backend **ret_backend, char error[BACKEND_ERROR_MAX])
{
	struct backend_options o = *options;
	struct backend *b;
	int r;

	if (o.file) {
		if (o.size)
			return backend_error(error, -EINVAL, "size= is for drives without file=");
		r = file_open(&o, block_size, &b, error);
	} else {
		if (o.direct || o.aio)
			return backend_error(error, -EINVAL,
					     "direct= and aio= are for drives with file=");
		if (!o.size)
			o.size = MEMORY_SIZE;
		if (o.size > MEMORY_SIZE_MAX)
			return backend_error(error, -EINVAL, "size %llu is too big",
					     (unsigned long long)o.size);
		if (o.size % block_size)
			return backend_error(error, -EINVAL,
					     "size %llu is no multiple of the block size %u",
					     (unsigned long long)o.size, block_size);
		r = memory_open(&o, &b, error);
	}
	if (r < 0)
		return r;
	b->read_only = o.read_only;
	*ret_backend = b;
	return 0;
}

int backend_open(struct standin_device *dev, unsigned block_size, struct backend **ret_backend)
{
	struct backend_options o = {
		.file = standin_config_string(dev, "file"),
		.aio = standin_config_string(dev, "aio"),
		.name = standin_device_address(dev),
	};
	char error[BACKEND_ERROR_MAX];
	int r;

	r = standin_config_bool(dev, "readonly", false, &o.read_only);
	if (r == 0)
		r = standin_config_bool(dev, "direct", false, &o.direct);
	if (r == 0)
		r = standin_config_number(dev, "size", 0, block_size, MEMORY_SIZE_MAX, &o.size);
	if (r < 0)
		return r;
	r = backend_open_options(&o, block_size, ret_backend, error);
	return r < 0 ? standin_device_error(dev, r, "%s", error) : 0;
}

void backend_close(struct backend *b)
{
	if (b)
		b->ops->close(b);
}

void backend_start(struct backend *b)
{
	if (b->ops->start)
		b->ops->start(b);
}

uint64_t backend_size(const struct backend *b)
{
	return b->size;
}

bool backend_read_only(const struct backend *b)
{
	return b->read_only;
}

uint64_t backend_extent(struct backend *b, uint64_t offset, bool *ret_hole)
{
	uint64_t size = b->ops->extent(b, offset, ret_hole);

	return size < b->size - offset ? size : b->size - offset;
}

int backend_refresh(struct backend *b, unsigned block_size)
{
	uint64_t size;
	int r = b->ops->size(b, &size);

	if (r < 0)
		return r;
	if (size == 0 || size % block_size)
		return -EINVAL;
	if (size == b->size)
		return 0;
	b->size = size;
	return 1;
}

static int check(const struct backend *b, const struct backend_request *r)
{
	static const char *const points[] = {
		[BACKEND_READ] = "backend.read",   [BACKEND_WRITE] = "backend.write",
		[BACKEND_FLUSH] = "backend.flush", [BACKEND_DISCARD] = "backend.discard",
		[BACKEND_ZERO] = "backend.zero",
	};

	if (r->op != BACKEND_FLUSH && (r->offset > b->size || r->size > b->size - r->offset))
		return -EINVAL;
	if (b->read_only && r->op != BACKEND_READ && r->op != BACKEND_FLUSH)
		return -EROFS;
	return fault_check(points[r->op]);
}

int backend_submit(struct backend *b, struct backend_request *r)
{
	int error = check(b, r);

	return error < 0 ? error : b->ops->submit(b, r);
}

int backend_run(struct backend *b, struct backend_request *r)
{
	int error = check(b, r);

	return error < 0 ? error : b->ops->run(b, r);
}

void backend_advance(struct backend_request *r, size_t bytes)
{
	r->offset += bytes;
	r->size -= bytes;
	while (r->n_iov && bytes >= r->iov->iov_len) {
		bytes -= r->iov->iov_len;
		r->iov++;
		r->n_iov--;
	}
	if (bytes) {
		r->iov->iov_base = (char *)r->iov->iov_base + bytes;
		r->iov->iov_len -= bytes;
	}
}

int backend_fill_zeros(struct backend_request *r)
{
	static const char zeros[4096];

	while (r->size) {
		size_t piece = r->iov->iov_len < sizeof(zeros) ? r->iov->iov_len : sizeof(zeros);

		if (standin_copy_to(r->iov->iov_base, zeros, piece) < 0)
			return -EFAULT;
		backend_advance(r, piece);
	}
	return 0;
}
