/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each request is read whole into a buffer, and is answered by one write.  Of a file system that
 * has only its root, which is a file, hardly anything is asked.
 *
 * Pages are read one by one when they are used, as their mappings are without read-ahead; several
 * at once only when the file's read-ahead is asked for by itself.
 */
#include "memory/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/namespace.h"
#include "memory/pages.h"

#define MINOR  31u        /* of the protocol, at most */
#define BUFFER 16384u     /* FUSE_MIN_READ_BUFFER is 8192 */
#define AGE    (1u << 30) /* seconds for which attributes are good */

/* ---- mounting ---- */

static int configure(int fs, const char *key, const char *value)
{
	return (int)host_syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

static int configure_number(int fs, const char *key, const char *format, unsigned number)
{
	char text[16];

	snprintf(text, sizeof(text), format, number);
	return configure(fs, key, text);
}

static int create(int fs, const struct fuse *f)
{
	int ret = configure_number(fs, "fd", "%u", (unsigned)f->device);

	if (ret == 0)
		ret = configure_number(fs, "rootmode", "%o", S_IFREG | 0600);
	if (ret == 0)
		ret = configure_number(fs, "user_id", "%u", f->user);
	if (ret == 0)
		ret = configure_number(fs, "group_id", "%u", f->group);
	if (ret == 0)
		ret = configure_number(fs, "max_read", "%u", FUSE_READ_MAX);
	if (ret == 0)
		ret = (int)host_syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	return ret;
}

static int make_mount(const struct fuse *f)
{
	int fs = (int)host_syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC), ret;

	if (fs < 0)
		return fs;
	ret = create(fs, f);
	if (ret == 0)
		ret = (int)host_syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID);
	host_close(fs);
	return ret;
}

static int open_here(void *fuse)
{
	struct fuse *f = fuse;

	f->device = host_open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK, 0);
	if (f->device < 0)
		return f->device == -ENOENT || f->device == -ENXIO ? -ENODEV : f->device;
	f->user = (uint32_t)host_syscall(SYS_geteuid);
	f->group = (uint32_t)host_syscall(SYS_getegid);
	f->mount = make_mount(f);
	if (f->mount >= 0)
		return 0;
	host_close(f->device);
	return f->mount;
}

int fuse_open(struct fuse *f)
{
	return namespace_mount(open_here, f, sizeof(*f));
}

void fuse_close(struct fuse *f)
{
	host_close(f->mount);
	host_close(f->device);
}

/* ---- requests ---- */

static void reply(const struct fuse *f, uint64_t unique, int error, const void *data, size_t size)
{
	struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + size),
		.error = error,
		.unique = unique,
	};
	struct iovec parts[2] = {{&header, sizeof(header)}, {(void *)(uintptr_t)data, size}};

	/* Whoever asked may have gone. */
	host_syscall(SYS_writev, f->device, parts, size ? 2 : 1);
}

static void begin(const struct fuse *f, const struct fuse_in_header *request)
{
	const struct fuse_init_in *in = (const struct fuse_init_in *)(request + 1);
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = in->minor < MINOR ? in->minor : MINOR,
		.max_write = MEMORY_PAGE,
		.max_readahead = FUSE_READ_MAX,
	};

	reply(f, request->unique, 0, &out, sizeof(out));
}

static void tell_attributes(const struct fuse *f, const struct fuse_in_header *request)
{
	struct fuse_attr_out out = {
		.attr_valid = AGE,
		.attr =
			{
				.ino = FUSE_ROOT_ID,
				.size = FUSE_FILE_SIZE,
				.mode = S_IFREG | 0600,
				.nlink = 1,
				.uid = f->user,
				.gid = f->group,
				.blksize = MEMORY_PAGE,
			},
	};

	reply(f, request->unique, 0, &out, sizeof(out));
}

static bool is_page(const struct fuse_in_header *request, struct fuse_page *ret_page)
{
	const struct fuse_read_in *in = (const struct fuse_read_in *)(request + 1);

	*ret_page = (struct fuse_page){request->unique, in->offset, in->size, (pid_t)request->pid};
	return in->size && in->size <= FUSE_READ_MAX && in->size % MEMORY_PAGE == 0 &&
	       in->offset % MEMORY_PAGE == 0;
}

int fuse_next(const struct fuse *f, struct fuse_page *ret_page)
{
	static const struct fuse_open_out opened = {.open_flags = FOPEN_KEEP_CACHE};
	static union {
		struct fuse_in_header header;
		char bytes[BUFFER];
	} buffer;
	const struct fuse_in_header *request = &buffer.header;
	ssize_t n = host_read(f->device, buffer.bytes, sizeof(buffer.bytes));

	/* A request whose maker was killed before it could be read is ENOENT. */
	if (n < 0)
		return n == -ENOENT || n == -EINTR ? 0 : (int)n;
	switch (request->opcode) {
	case FUSE_INIT:
		begin(f, request);
		break;
	case FUSE_GETATTR:
		tell_attributes(f, request);
		break;
	case FUSE_OPEN:
		reply(f, request->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		if (is_page(request, ret_page))
			return 1;
		reply(f, request->unique, -EIO, NULL, 0);
		break;
	case FUSE_FALLOCATE: /* of which the kernel does all that matters, with its pages */
	case FUSE_RELEASE:
		reply(f, request->unique, 0, NULL, 0);
		break;
	case FUSE_INTERRUPT:
		ret_page->unique = ((const struct fuse_interrupt_in *)(request + 1))->unique;
		return 2;
	case FUSE_FORGET: /* these two have no answer, nor has the one before */
	case FUSE_BATCH_FORGET:
		break;
	default: /* FUSE_FLUSH among them, which is not sent again then */
		reply(f, request->unique, -ENOSYS, NULL, 0);
		break;
	}
	return 0;
}

void fuse_answer(const struct fuse *f, const struct fuse_page *request, const void *page)
{
	reply(f, request->unique, page ? 0 : -EIO, page, page ? request->size : 0);
}
