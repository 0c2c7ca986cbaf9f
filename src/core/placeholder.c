/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memfd costs no memory: nothing is ever written to most of its 16 TiB.
 *
 * A socket is writable while what it has sent takes up little of its buffer.  So the buffer
 * is made as small as can be and one message sent, which is taken from the other end when
 * the file shall be writable.  It is readable while a message from the other end waits.  A pipe
 * is so while it holds a byte.
 */
#include "core/placeholder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/syscall.h"

#define BIND_TRIES 1000u

static const char filler[2048];

static long send_message(int fd, size_t size)
{
	return host_syscall(SYS_sendto, fd, filler, size, MSG_DONTWAIT, NULL, 0);
}

static void take_message(int fd)
{
	char message[sizeof(filler)];

	host_syscall(SYS_recvfrom, fd, message, sizeof(message), MSG_DONTWAIT, NULL, NULL);
}

int placeholder_memfd(const char *kind, int flags)
{
	char name[64];
	long fd, result;

	snprintf(name, sizeof(name), PLACEHOLDER_NAME "%s:%d", kind, (int)host_syscall(SYS_getpid));
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

/*
 * Processes of several PID namespaces may meet in one of sockets.  Without a name the file
 * does all it should but pass to other processes.
 */
static void bind_name(int fd, const char *kind)
{
	static _Atomic unsigned number;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	long result = -EADDRINUSE;
	int length;

	for (unsigned i = 0; i < BIND_TRIES && result == -EADDRINUSE; i++) {
		length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
				  PLACEHOLDER_NAME "%s:%d:%u", kind, (int)host_syscall(SYS_getpid),
				  atomic_fetch_add(&number, 1));
		result = host_syscall(SYS_bind, fd, &address,
				      offsetof(struct sockaddr_un, sun_path) + 1 + length);
	}
}

void placeholder_mark(int fd, bool on)
{
	struct stat st;

	if (fd >= 0 && host_fstat(fd, &st) == 0)
		host_syscall(SYS_fchmod, fd, (st.st_mode & 0777) | (on ? (unsigned)S_ISVTX : 0u));
}

bool placeholder_marked(int fd)
{
	struct stat st;

	return fd >= 0 && host_fstat(fd, &st) == 0 && st.st_mode & S_ISVTX;
}

int placeholder_socket(const char *kind, int flags, int *ret_peer)
{
	int type = SOCK_SEQPACKET, smallest = 0, pair[2];
	long result;

	if (flags & O_CLOEXEC)
		type |= SOCK_CLOEXEC;
	result = host_syscall(SYS_socketpair, AF_UNIX, type, 0, pair);
	if (result < 0)
		return (int)result;
	bind_name(pair[0], kind);
	host_syscall(SYS_setsockopt, pair[0], SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest));
	result = send_message(pair[0], sizeof(filler));
	if (result == sizeof(filler))
		result = hostfd_adopt(pair[1]);
	else
		host_close(pair[1]);
	if (result < 0) {
		host_close(pair[0]);
		return (int)result;
	}
	*ret_peer = (int)result;
	return pair[0];
}

int placeholder_pipe(int flags, int *ret_peer)
{
	int pair[2];
	long result = host_syscall(SYS_pipe2, pair, flags & (O_CLOEXEC | O_NONBLOCK));

	if (result < 0)
		return (int)result;
	host_syscall(SYS_fcntl, pair[1], F_SETFL, O_NONBLOCK);
	result = hostfd_adopt(pair[1]);
	if (result < 0) {
		host_close(pair[0]);
		return (int)result;
	}
	*ret_peer = (int)result;
	return pair[0];
}

/* A pipe that is full is readable, too. */
void placeholder_pipe_fill(int peer)
{
	static const struct timespec now = {0};
	const uint64_t pipe_signal = (uint64_t)1 << (SIGPIPE - 1);
	char byte = 0;

	/* Where nobody can read any more, the signal that says so is none of the client's. */
	if (host_write(peer, &byte, 1) == -EPIPE)
		host_syscall(SYS_rt_sigtimedwait, &pipe_signal, NULL, &now, sizeof(pipe_signal));
}

/*
 * Whatever there is, though the descriptor may be one that blocks: somebody may have taken bytes by
 * a system call of his own.  Before 6.4 pipes don't know RWF_NOWAIT, and one looks before.
 */
static ssize_t read_now(int self, int peer, struct iovec *to)
{
	ssize_t got = host_syscall(SYS_preadv2, self, to, 1, -1, -1, RWF_NOWAIT);
	int waiting = 0;

	if (got != -EOPNOTSUPP)
		return got;
	if (host_syscall(SYS_ioctl, peer, FIONREAD, &waiting) < 0 || waiting <= 0)
		return 0;
	return host_read(self, to->iov_base, to->iov_len);
}

static unsigned take_bytes(int self, int peer)
{
	char bytes[64];
	struct iovec to = {bytes, sizeof(bytes)};
	unsigned n = 0;
	ssize_t got;

	do {
		got = read_now(self, peer, &to);
		n += got > 0 ? (unsigned)got : 0;
	} while (got == (ssize_t)sizeof(bytes));
	return n;
}

unsigned placeholder_pipe_empty(int self, int peer)
{
	char path[32];
	unsigned n;
	int again;

	if (self >= 0)
		return take_bytes(self, peer);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", peer);
	again = host_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	n = take_bytes(again, peer);
	host_close(again);
	return n;
}

void placeholder_pipe_mark(int fd)
{
	host_syscall(SYS_fchmod, fd, PLACEHOLDER_PIPE_MODE);
}

void placeholder_set_readable(int self, int peer, bool readable)
{
	if (readable)
		send_message(peer, 1);
	else
		take_message(self);
}

void placeholder_set_writable(int self, int peer, bool writable)
{
	if (writable)
		take_message(peer);
	else
		send_message(self, sizeof(filler));
}
