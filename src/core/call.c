/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checks are those of fs/ioctl.c, fs/read_write.c and mm/mmap.c, in their order.  Each
 * call is one plain function and one that wraps it in a trace line.
 */
#include "core/call.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/fdtable.h"
#include "core/file.h"
#include "core/hostfd.h"
#include "core/ioctl.h"
#include "core/syscall.h"
#include "core/trace.h"
#include "core/user.h"

#define PAGE 4096u

static const struct trace_flag open_flags[] = {
	{O_NONBLOCK, "O_NONBLOCK"}, {O_CLOEXEC, "O_CLOEXEC"}, {O_CREAT, "O_CREAT"},
	{O_EXCL, "O_EXCL"}, {O_TRUNC, "O_TRUNC"}, {O_DIRECTORY, "O_DIRECTORY"},
};

static const struct trace_flag protections[] = {
	{PROT_READ, "PROT_READ"}, {PROT_WRITE, "PROT_WRITE"}, {PROT_EXEC, "PROT_EXEC"}};

static const struct trace_flag map_flags[] = {
	{MAP_SHARED_VALIDATE, "MAP_SHARED_VALIDATE"}, {MAP_SHARED, "MAP_SHARED"},
	{MAP_PRIVATE, "MAP_PRIVATE"}, {MAP_FIXED, "MAP_FIXED"},
	{MAP_FIXED_NOREPLACE, "MAP_FIXED_NOREPLACE"}, {MAP_POPULATE, "MAP_POPULATE"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int call_open(const char *path, int flags)
{
	static const char *const modes[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "3"};
	struct trace_line t;
	int result;

	if (!trace_enabled)
		return node_open(path, flags);
	trace_begin(&t);
	result = node_open(path, flags);
	/* Paths of no node are asked for all the time, to see whether there is one. */
	if (result == -ENOENT)
		return result;
	trace_print(&t, "open(\"%s\", %s", path, modes[flags & O_ACCMODE]);
	if (flags & ~(O_ACCMODE | O_LARGEFILE)) {
		trace_print(&t, "|");
		trace_flags(&t, (unsigned)flags & ~(unsigned)(O_ACCMODE | O_LARGEFILE), open_flags,
		            COUNT(open_flags));
	}
	trace_print(&t, ")");
	trace_end(&t, result);
	return result;
}

void call_close(int fd)
{
	struct trace_line t;
	struct file *f;

	f = trace_enabled ? file_get(fd) : NULL;
	if (!f) {
		fdtable_forget(fd);
		return;
	}
	trace_begin(&t);
	trace_print(&t, "close(%d<%s>)", fd, f->ops->kind);
	fdtable_forget(fd);
	file_put(f);
	trace_end(&t, 0);
}

long call_ioctl(int fd, struct file *f, unsigned int cmd, unsigned long arg)
{
	if (ioctl_is_generic(cmd))
		return host_syscall(SYS_ioctl, fd, cmd, arg);
	return ioctl_dispatch(fd, f, cmd, arg);
}

static ssize_t do_read(struct file *f, void *buffer, size_t size, off_t offset)
{
	if ((f->flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	return f->ops->read ? f->ops->read(f, buffer, size, offset) : -EINVAL;
}

static ssize_t do_write(struct file *f, const void *buffer, size_t size, off_t offset)
{
	if ((f->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return f->ops->write ? f->ops->write(f, buffer, size, offset) : -EINVAL;
}

/* What the bytes of a short transfer were, as a number. */
static void trace_bytes(struct trace_line *t, const void *buffer, ssize_t size)
{
	uint64_t value = 0;

	if (size <= 0 || size > 8)
		return;
	if (copy_from_user(&value, buffer, (size_t)size) == 0)
		trace_print(t, "%#llx", (unsigned long long)value);
}

static ssize_t transfer(const char *name, int fd, struct file *f, void *buffer, size_t size,
                        off_t offset, bool store)
{
	struct trace_line t;
	ssize_t n;

	if (!trace_enabled)
		return store ? do_write(f, buffer, size, offset) : do_read(f, buffer, size, offset);
	trace_begin(&t);
	n = store ? do_write(f, buffer, size, offset) : do_read(f, buffer, size, offset);
	trace_print(&t, "%s(%d<%s>, ", name, fd, f->ops->kind);
	if (f->ops->trace_message) {
		f->ops->trace_message(&t, buffer, store ? size : n > 0 ? (size_t)n : 0, store);
		trace_print(&t, ", %zu)", size);
		trace_end(&t, n);
		return n;
	}
	trace_print(&t, "[");
	trace_bytes(&t, buffer, n);
	trace_print(&t, "], %zu, ", size);
	if (f->ops->trace_offset)
		f->ops->trace_offset(f, &t, offset);
	else
		trace_print(&t, "%#llx", (unsigned long long)offset);
	trace_print(&t, ")");
	trace_end(&t, n);
	return n;
}

ssize_t call_pread(int fd, struct file *f, void *buffer, size_t size, off_t offset)
{
	if (offset >= 0 && f->ops->pipe)
		return -ESPIPE;
	return offset < 0 ? -EINVAL : transfer("pread", fd, f, buffer, size, offset, false);
}

ssize_t call_pwrite(int fd, struct file *f, const void *buffer, size_t size, off_t offset)
{
	if (offset >= 0 && f->ops->pipe)
		return -ESPIPE;
	return offset < 0 ? -EINVAL : transfer("pwrite", fd, f, (void *)buffer, size, offset, true);
}

static ssize_t at_position(const char *name, int fd, struct file *f, void *buffer, size_t size,
                           bool store)
{
	off_t offset;
	ssize_t n;

	if (f->ops->messages) /* has no position */
		return transfer(name, fd, f, buffer, size, 0, store);
	offset = host_syscall(SYS_lseek, fd, 0, SEEK_CUR);
	n = transfer(name, fd, f, buffer, size, offset < 0 ? 0 : offset, store);

	if (n > 0)
		host_syscall(SYS_lseek, fd, n, SEEK_CUR);
	return n;
}

ssize_t call_read(int fd, struct file *f, void *buffer, size_t size)
{
	return at_position("read", fd, f, buffer, size, false);
}

ssize_t call_write(int fd, struct file *f, const void *buffer, size_t size)
{
	return at_position("write", fd, f, (void *)buffer, size, true);
}

static int gather(char *to, const struct iovec *iov, int count)
{
	for (; count--; to += iov++->iov_len)
		if (copy_from_user(to, iov->iov_base, iov->iov_len))
			return -EFAULT;
	return 0;
}

static int scatter(const char *from, size_t size, const struct iovec *iov, int count)
{
	for (size_t part; count-- && size; size -= part, from += part, iov++) {
		part = size < iov->iov_len ? size : iov->iov_len;
		if (copy_to_user(iov->iov_base, from, part))
			return -EFAULT;
	}
	return 0;
}

#define SMALL_MESSAGE 2048u

/* Through a copy that is in one piece.  No malloc: the client may be in a signal handler. */
ssize_t call_message(int fd, struct file *f, const struct iovec *iov, int count, size_t total,
		     bool store)
{
	char small[SMALL_MESSAGE], *whole = small;
	const char *name = store ? "writev" : "readv";
	ssize_t n = 0;

	if (count == 1)
		return transfer(name, fd, f, iov->iov_base, iov->iov_len, 0, store);
	if (total > sizeof(small))
		whole = host_mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);
	if (host_is_error(whole))
		return -ENOMEM;
	if (store)
		n = gather(whole, iov, count);
	if (n == 0)
		n = transfer(name, fd, f, whole, total, 0, store);
	if (!store && n > 0 && scatter(whole, (size_t)n, iov, count))
		n = -EFAULT;
	if (whole != small)
		host_munmap(whole, total);
	return n;
}

static int check_mmap(const struct file *f, const struct map_request *request)
{
	int accmode = f->flags & O_ACCMODE;

	if (request->offset % PAGE || request->size == 0)
		return -EINVAL;
	if (request->size + PAGE - 1 < request->size)
		return -ENOMEM;
	if ((request->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) &&
	    (uintptr_t)request->address % PAGE)
		return -EINVAL;
	switch (request->flags & MAP_TYPE) {
	case MAP_SHARED:
	case MAP_SHARED_VALIDATE:
		if ((request->protection & PROT_WRITE) && accmode == O_RDONLY)
			return -EACCES;
		/* fall through */
	case MAP_PRIVATE:
		if (accmode == O_WRONLY)
			return -EACCES;
		break;
	default:
		return -EINVAL;
	}
	return f->ops->mmap ? 0 : -ENODEV;
}

static void *do_mmap(struct file *f, struct map_request *request)
{
	int result = check_mmap(f, request);

	if (result == 0)
		result = f->ops->mmap(f, request);
	return result < 0 ? (void *)(intptr_t)result : request->ret_address;
}

void *call_mmap(int fd, struct file *f, void *address, size_t size, int protection, int flags,
                off_t offset)
{
	struct map_request request = {.address = address, .size = size, .protection = protection,
	                              .flags = flags, .offset = offset, .file = f};
	struct trace_line t;
	void *place;

	if (!trace_enabled)
		return do_mmap(f, &request);
	trace_begin(&t);
	place = do_mmap(f, &request);
	trace_print(&t, "mmap(%p, %#zx, ", address, size);
	trace_flags(&t, (unsigned)protection, protections, COUNT(protections));
	trace_print(&t, ", ");
	trace_flags(&t, (unsigned)flags, map_flags, COUNT(map_flags));
	trace_print(&t, ", %d<%s>, ", fd, f->ops->kind);
	if (f->ops->trace_offset)
		f->ops->trace_offset(f, &t, offset);
	else
		trace_print(&t, "%#llx", (unsigned long long)offset);
	trace_print(&t, ")");
	if (host_is_error(place))
		trace_end(&t, (long)(intptr_t)place);
	else
		trace_end_value(&t, (uintptr_t)place);
	return place;
}
