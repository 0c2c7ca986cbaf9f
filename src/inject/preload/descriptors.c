/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors, once the runtime is loaded.
 *
 * The slots of the fd table are a cache, and these wrappers keep it true: they tell the
 * runtime of a number before it is closed or replaced, and of copies after they are
 * made.  The runtime's own descriptors do not exist for the client: closing one is EBADF,
 * ranges are closed around them, and nothing can be put in their place.
 */
#include <linux/sockios.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/syscall.h>

#include "inject/x86_64/raw.h"
#include "next.h"
#include "uapi/mm.h"

bool fd_ours_slow(const struct runtime *rt, int fd)
{
	uintptr_t slot = FD_UNKNOWN;
	uint32_t rdev;

	if (fd < 0)
		return false;
	if ((unsigned)fd < rt->n_slots)
		slot = atomic_load_explicit(&rt->slots[fd], memory_order_relaxed);
	if (slot != FD_UNKNOWN)
		return slot > FD_PRIVATE;
	return rt->owns(fd, &rdev);
}

int fd_fresh(int fd)
{
	const struct runtime *rt = live();

	if (unlikely(rt != NULL) && fd >= 0 && (unsigned)fd < rt->n_slots &&
	    atomic_load_explicit(&rt->slots[fd], memory_order_relaxed) > FD_PRIVATE)
		rt->forget(fd);
	return fd;
}

/* ---- ioctl ---- */

int live_ioctl(int fd, unsigned long command, void *argument)
{
	const struct runtime *rt = live();
	long answer;

	if (fd_ours(fd))
		return (int)result(rt->ioctl(fd, command, (unsigned long)argument));
	if (unlikely((unsigned)command == UFFDIO_API))
		return (int)result(rt->uffd_native_api(fd, (unsigned long)argument));
	if (unlikely(_IOC_TYPE(command) == SOCK_IOC_TYPE) &&
	    rt->socket_ioctl(fd, command, (unsigned long)argument, &answer))
		return (int)result(answer);
	if (unlikely((unsigned)command == PAGEMAP_SCAN &&
		     atomic_load_explicit(rt->memory_attention, memory_order_relaxed)) &&
	    pagemap_scan_slow(rt, fd, argument, &answer))
		return (int)result(answer);
	if (unlikely(freeze_ioctl(fd, command, &answer)))
		return (int)result(answer);
	return WITH_MEMORY(next_ioctl(fd, command, argument), reach_argument_slow, command,
			   argument);
}

/* ---- reading and writing with vectors: one call for each part, or one message ---- */

#define IOV_LIMIT 1024

/* Copies what may be a bad pointer. */
static bool fetch(void *to, const void *from, size_t size)
{
	struct iovec local = {to, size}, remote = {(void *)from, size};

	return !size || raw_syscall(SYS_process_vm_readv, raw1(SYS_getpid, 0), (long)&local, 1,
				    (long)&remote, 1, 0) == (long)size;
}

static ssize_t vector(const struct runtime *rt, int fd, const struct iovec *iov, int count,
		      off_t offset, bool writes)
{
	struct iovec parts[IOV_LIMIT], part;
	ssize_t done = 0, n;
	size_t total = 0;

	if (count < 0 || count > IOV_LIMIT)
		return -EINVAL;
	if (!fetch(parts, iov, (size_t)count * sizeof(part)))
		return -EFAULT;
	for (int i = 0; i < count; i++) {
		total += parts[i].iov_len;
		if ((ssize_t)parts[i].iov_len < 0 || (ssize_t)total < 0)
			return -EINVAL;
	}
	if (count && rt->message(fd, parts, count, total, writes, &n))
		return n;
	for (int i = 0; i < count; i++) {
		part = parts[i];
		if (offset < 0)
			n = writes ? rt->write(fd, part.iov_base, part.iov_len)
				   : rt->read(fd, part.iov_base, part.iov_len);
		else
			n = writes ? rt->pwrite(fd, part.iov_base, part.iov_len, offset + done)
				   : rt->pread(fd, part.iov_base, part.iov_len, offset + done);
		if (n < 0)
			return done ? done : n;
		done += n;
		if ((size_t)n != part.iov_len)
			break;
	}
	return done;
}

ssize_t vector_read(const struct runtime *rt, int fd, const struct iovec *iov, int count,
		    off_t offset)
{
	return vector(rt, fd, iov, count, offset, false);
}

ssize_t vector_write(const struct runtime *rt, int fd, const struct iovec *iov, int count,
		     off_t offset)
{
	return vector(rt, fd, iov, count, offset, true);
}

/* A file without an iterator takes no flag but RWF_HIPRI (fs/read_write.c). */
static ssize_t vector2(const struct runtime *rt, int fd, const struct iovec *iov, int count,
		       off_t offset, int flags, bool writes)
{
	if (flags & ~RWF_HIPRI)
		return -EOPNOTSUPP;
	if (offset < -1)
		return -EINVAL;
	return vector(rt, fd, iov, count, offset, writes);
}

ssize_t vector2_read(const struct runtime *rt, int fd, const struct iovec *iov, int count,
		     off_t offset, int flags)
{
	return vector2(rt, fd, iov, count, offset, flags, false);
}

ssize_t vector2_write(const struct runtime *rt, int fd, const struct iovec *iov, int count,
		      off_t offset, int flags)
{
	return vector2(rt, fd, iov, count, offset, flags, true);
}

long syscall_preadv2(int fd, const struct iovec *iov, int count, off_t offset, unsigned long high,
		     int flags)
{
	if (!fd_ours(fd))
		return result(
			raw_syscall(SYS_preadv2, fd, (long)iov, count, offset, (long)high, flags));
	return result(vector2_read(live(), fd, iov, count, offset, flags));
}

long syscall_pwritev2(int fd, const struct iovec *iov, int count, off_t offset, unsigned long high,
		      int flags)
{
	if (!fd_ours(fd))
		return result(
			raw_syscall(SYS_pwritev2, fd, (long)iov, count, offset, (long)high, flags));
	return result(vector2_write(live(), fd, iov, count, offset, flags));
}

ssize_t live___read_chk(int fd, void *buffer, size_t size, size_t room)
{
	if (size > room || !fd_ours(fd))
		return pagemap_read(fd, buffer, -1,
				    WITH_INPUT(next___read_chk(fd, buffer, size, room), -1, 0,
					       input_slow, buffer, size));
	return result(live()->read(fd, buffer, size));
}

ssize_t live___pread_chk(int fd, void *buffer, size_t size, off_t offset, size_t room)
{
	if (size > room || !fd_ours(fd))
		return pagemap_read(fd, buffer, offset,
				    WITH_INPUT(next___pread_chk(fd, buffer, size, offset, room),
					       offset, 0, input_slow, buffer, size));
	return result(live()->pread(fd, buffer, size, offset));
}

/* ---- closing and copying ---- */

int live_close(int fd)
{
	const struct runtime *rt = live();

	if (fd_hidden(rt, fd))
		return (int)result(-EBADF);
	if (fd >= 0)
		rt->forget(fd);
	return next_close(fd);
}

int live_fclose(FILE *file)
{
	int fd = file ? fileno_unlocked(file) : -1;

	if (fd >= 0)
		live()->forget(fd);
	return next_fclose(file);
}

static int copied(int fd, int copy)
{
	if (copy >= 0)
		live()->duplicated(fd, copy);
	return copy;
}

int live_dup(int fd)
{
	return fd_hidden(live(), fd) ? (int)result(-EBADF) : copied(fd, next_dup(fd));
}

/* Whether dup2 would change anything: `fd` is open and `copy` another number. */
static bool replaces(const struct runtime *rt, int fd, int copy)
{
	if (fd == copy || raw3(SYS_fcntl, fd, F_GETFD, 0) < 0)
		return false;
	if (copy >= 0)
		rt->forget(copy);
	return true;
}

int live_dup2(int fd, int copy)
{
	const struct runtime *rt = live();

	if (fd_hidden(rt, fd) || fd_hidden(rt, copy))
		return (int)result(-EBADF);
	if (!replaces(rt, fd, copy))
		return next_dup2(fd, copy);
	return copied(fd, next_dup2(fd, copy));
}

int live_dup3(int fd, int copy, int flags)
{
	const struct runtime *rt = live();

	if (fd_hidden(rt, fd) || fd_hidden(rt, copy))
		return (int)result(-EBADF);
	if ((flags & ~O_CLOEXEC) || !replaces(rt, fd, copy))
		return next_dup3(fd, copy, flags);
	return copied(fd, next_dup3(fd, copy, flags));
}

int live_fcntl(int fd, int command, long argument)
{
	int ret;

	if (fd_hidden(live(), fd))
		return (int)result(-EBADF);
	ret = next_fcntl(fd, command, argument);
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, ret) : ret;
}

int live_close_range(unsigned first, unsigned last, int flags)
{
	const struct runtime *rt = live();
	unsigned start = first;

	if (first > last || (flags & ~(int)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) ||
	    (flags & CLOSE_RANGE_CLOEXEC))
		return next_close_range(first, last, flags);
	rt->forget_range(first, last);
	for (unsigned fd = first; fd <= last && fd < rt->n_slots; fd++) {
		if (!fd_hidden(rt, (int)fd))
			continue;
		if (start < fd) {
			int ret = next_close_range(start, fd - 1, flags);

			if (ret)
				return ret;
		}
		start = fd + 1;
	}
	return start <= last ? next_close_range(start, last, flags) : 0;
}

void live_closefrom(int first)
{
	int saved = errno;

	if (live_close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0)) {
		for (int fd = first < 0 ? 0 : first; fd < (int)live()->n_slots; fd++)
			live_close(fd);
		errno = saved;
	}
}
