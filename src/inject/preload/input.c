/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * System calls that read, and may have room for more than there is to be read.
 *
 * What the kernel doesn't store to it doesn't miss, so no more is made reachable than can be read
 * at the time; where nothing can, the call waits for it first.  More may come meanwhile: then the
 * call fails with EFAULT, which takes nothing from a file, a pipe or a stream, and is made again
 * with that within its reach.  Of everything else, datagrams among it, a call that fails may have
 * taken something, so all of the room is made reachable at once.
 */
#include <stdio_ext.h>
#include <sys/syscall.h>

#include "inject/x86_64/raw.h"
#include "next.h"

#define UNKNOWN SIZE_MAX

static bool is_stream(const struct input *in)
{
	const int alike = MSG_PEEK | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC;
	int type;
	socklen_t size = sizeof(type);

	return !(in->flags & ~alike) &&
	       raw_syscall(SYS_getsockopt, in->fd, SOL_SOCKET, SO_TYPE, (long)&type, (long)&size,
			   0) == 0 &&
	       type == SOCK_STREAM;
}

/* A file that says that it is empty may be one of /proc. */
static size_t left_in_file(const struct input *in, off_t size)
{
	off_t at = in->offset >= 0 ? in->offset : raw3(SYS_lseek, in->fd, 0, SEEK_CUR);

	if (!size || at < 0)
		return UNKNOWN;
	return at < size ? (size_t)(size - at) : 0;
}

/* How much can be read now. */
static size_t available(const struct input *in)
{
	struct stat st;
	int n;

	if (raw2(SYS_fstat, in->fd, &st) != 0)
		return UNKNOWN;
	if (S_ISREG(st.st_mode))
		return left_in_file(in, st.st_size);
	if ((S_ISFIFO(st.st_mode) || (S_ISSOCK(st.st_mode) && is_stream(in))) &&
	    raw3(SYS_ioctl, in->fd, FIONREAD, &n) == 0 && n >= 0)
		return (size_t)n;
	return UNKNOWN;
}

/* How much of the room is to be made reachable: a second time more than the first. */
static size_t wanted(struct input *in)
{
	size_t n = available(in);

	if (in->begun && n <= in->reached)
		n = UNKNOWN;
	in->begun = true;
	in->reached = n;
	return n;
}

bool input_retry(const struct input *in)
{
	const struct runtime *rt = live();

	return !in->complete && rt &&
	       atomic_load_explicit(rt->memory_attention, memory_order_relaxed);
}

void input_slow(const struct runtime *rt, struct input *in, const void *address, size_t size)
{
	size_t n = wanted(in);

	in->complete = n >= size;
	rt->memory_reach(address, in->complete ? size : n, true);
}

void input_vector_slow(const struct runtime *rt, struct input *in, const struct iovec *iov,
		       size_t count)
{
	struct iovec part;
	size_t n = wanted(in), i, size;

	rt->memory_reach(iov, count * sizeof(*iov), false);
	for (i = 0; n && i < count && i < IOV_MAX && rt->fetch(&part, &iov[i], sizeof(part)) == 0;
	     i++) {
		size = n < part.iov_len ? n : part.iov_len;
		rt->memory_reach(part.iov_base, size, true);
		n -= n == UNKNOWN ? 0 : size;
	}
	in->complete = n != 0;
}

void input_message_slow(const struct runtime *rt, struct input *in, const struct msghdr *message)
{
	struct msghdr header;

	if (reach_header_slow(rt, message, true, &header))
		input_vector_slow(rt, in, header.msg_iov, header.msg_iovlen);
	else
		in->complete = true;
}

/* ---- streams ---- */

/*
 * What is larger than the buffer is read to where it is wanted.  The file's position is behind what
 * the buffer holds.  Of other than regular files libc reads until there is enough.
 */
static void reach_stream(void *buffer, size_t size, FILE *file)
{
	const struct runtime *rt = live();
	struct stat st;
	int saved = errno, fd;
	size_t n = UNKNOWN;

	if (likely(!atomic_load_explicit(rt->memory_attention, memory_order_relaxed)))
		return;
	fd = fileno_unlocked(file);
	if (fd >= 0 && raw2(SYS_fstat, fd, &st) == 0 && S_ISREG(st.st_mode))
		n = left_in_file(&(struct input){.fd = fd, .offset = -1}, st.st_size);
	if (n < size && size - n > __fbufsize(file))
		size = n + __fbufsize(file);
	rt->memory_reach(buffer, size, true);
	errno = saved;
}

size_t live_fread(void *buffer, size_t size, size_t n, FILE *file)
{
	reach_stream(buffer, size * n, file);
	return next_fread(buffer, size, n, file);
}

size_t live_fread_unlocked(void *buffer, size_t size, size_t n, FILE *file)
{
	reach_stream(buffer, size * n, file);
	return next_fread_unlocked(buffer, size, n, file);
}

size_t live___fread_chk(void *buffer, size_t room, size_t size, size_t n, FILE *file)
{
	reach_stream(buffer, size * n, file);
	return next___fread_chk(buffer, room, size, n, file);
}

size_t live___fread_unlocked_chk(void *buffer, size_t room, size_t size, size_t n, FILE *file)
{
	reach_stream(buffer, size * n, file);
	return next___fread_unlocked_chk(buffer, room, size, n, file);
}
