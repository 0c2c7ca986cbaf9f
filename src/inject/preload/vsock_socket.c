/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AF_VSOCK sockets on Unix sockets.
 *
 * A port that is bound is a path, and one that the kernel would choose for a connection an
 * abstract name; both exist once.  A path stays behind when its socket is closed, so
 * whoever binds the port next looks whether somebody is still there: a connection from a
 * socket of another type is refused if not.  The directory is locked meanwhile.
 *
 * A connection to the host itself goes to the other program's path.  One to a guest goes to
 * its device, with struct vsock_greeting, and until the guest has answered the socket is
 * what poll calls not writable: its send buffer is smaller than the greeting.
 */
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>

#include "inject/preload/vsock.h"
#include "inject/x86_64/raw.h"

#define MAGIC         UINT64_C(0x76736b) /* 24 bits above 8 of state and 32 of the port */
#define FIRST_PORT    (UINT32_C(1) << 30)
#define PORT_TRIES    256
#define SEND_BUFFER   262144
#define LAST_RESERVED 1023u

#define sys_getsockopt(fd, level, option, value, size) \
	raw_syscall(SYS_getsockopt, fd, level, option, (long)(value), (long)(size), 0)
#define sys_setsockopt(fd, level, option, value, size) \
	raw_syscall(SYS_setsockopt, fd, level, option, (long)(value), (long)(size), 0)

/* ---- the place ---- */

static char place[VSOCK_PLACE_MAX + 1];

static __attribute__((noinline)) int find_place(void)
{
	char path[ROOT_MAX + sizeof(VSOCK_PLACE_LINK)];
	size_t length = root_size() ? root_size() - strlen("root") : 0;
	char target[sizeof(place) + 1];
	long n;

	if (!length)
		return -1;
	memcpy(path, root, length);
	strcpy(path + length, VSOCK_PLACE_LINK);
	n = raw3(SYS_readlink, path, target, sizeof(target));
	if (n <= 0 || n >= (long)sizeof(place))
		return -1;
	/* Threads that do this at once write the same. */
	memcpy(place, target, (size_t)n);
	return 1;
}

const char *vsock_place(void)
{
	static _Atomic int known; /* 1: there is one, -1: there is none */
	int is = atomic_load_explicit(&known, memory_order_acquire);

	if (unlikely(!is)) {
		if (root_length < 0)
			root_start();
		is = find_place();
		atomic_store_explicit(&known, is, memory_order_release);
	}
	return is > 0 ? place : NULL;
}

/* ---- marks ---- */

bool vsock_mark_get(int fd, struct vsock_mark *ret)
{
	socklen_t size = sizeof(uint64_t);
	uint64_t value = 0;
	uint32_t cid = 0;

	if (sys_getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &value, &size) < 0 ||
	    value >> 40 != MAGIC)
		return false;
	size = sizeof(cid);
	sys_getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cid, &size);
	ret->progress = (enum vsock_progress)(value >> 32 & 3);
	ret->local_cid = value >> 34 & 3 ? (uint32_t)(value >> 34 & 3) : VSOCK_CID_ANY;
	ret->peer_cid = cid;
	ret->peer_port = (uint32_t)value;
	return true;
}

int vsock_mark_set(int fd, const struct vsock_mark *mark)
{
	uint64_t cid = mark->local_cid == VSOCK_CID_ANY ? 0 : mark->local_cid;
	uint64_t value = MAGIC << 40 | cid << 34 | (uint64_t)mark->progress << 32 | mark->peer_port;
	long ret = sys_setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &value, sizeof(value));

	if (ret == 0)
		ret = sys_setsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &mark->peer_cid,
				     sizeof(mark->peer_cid));
	return (int)ret;
}

static void set_send_buffer(int fd, int size)
{
	sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int vsock_socket(int type)
{
	static const struct vsock_mark fresh = {.local_cid = VSOCK_CID_ANY};
	int fd = (int)raw3(SYS_socket, AF_UNIX, type, 0), ret;

	if (fd < 0)
		return fd;
	ret = vsock_mark_set(fd, &fresh);
	if (ret < 0) {
		raw1(SYS_close, fd);
		return ret;
	}
	set_send_buffer(fd, SEND_BUFFER);
	return fd;
}

/* ---- names ---- */

uint32_t vsock_port(int fd)
{
	struct sockaddr_un a;
	socklen_t size = sizeof(a);
	uint32_t cid, port;

	if (raw3(SYS_getsockname, fd, &a, &size) < 0 || !vsock_name_parse(&a, size, &cid, &port))
		return VSOCK_PORT_ANY;
	return port;
}

static bool may_bind_reserved(void)
{
	struct {
		uint32_t version;
		int pid;
	} header = {0x20080522, 0};
	struct {
		uint32_t effective, permitted, inheritable;
	} data[2] = {{0}};

	return raw2(SYS_capget, &header, data) == 0 && (data[0].effective & 1u << 10);
}

/* Some number to begin with. */
static uint32_t some_port(void)
{
	struct timespec t = {0};
	uint64_t value;

	raw2(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	value = (uint64_t)t.tv_nsec * 2654435761u + (uint64_t)raw1(SYS_gettid, 0) * 40503u;
	return FIRST_PORT | (uint32_t)(value >> 3 & (FIRST_PORT - 1));
}

/* Nobody has a socket there any more. */
static bool is_dead(const struct sockaddr_un *a)
{
	int fd = (int)raw3(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long ret = fd < 0 ? fd : raw3(SYS_connect, fd, a, vsock_address_size(a));

	if (fd >= 0)
		raw1(SYS_close, fd);
	return ret == -ECONNREFUSED;
}

static int lock_directory(const struct sockaddr_un *a)
{
	char path[sizeof(a->sun_path)];
	long fd;

	memcpy(path, a->sun_path, sizeof(path));
	strrchr(path, '/')[1] = '\0';
	fd = raw4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd >= 0)
		raw2(SYS_flock, fd, LOCK_EX);
	return (int)fd;
}

static int bind_path(int fd, uint32_t cid, uint32_t port)
{
	struct sockaddr_un a, other;
	socklen_t size = vsock_place_port(place, cid, port, &a);
	int lock = lock_directory(&a);
	struct stat st;
	long ret;

	/* CID 1 has ports of its own, but everybody's port is its port, too. */
	vsock_place_port(place, VSOCK_CID_HOST, port, &other);
	if (cid == VSOCK_CID_LOCAL &&
	    raw4(SYS_newfstatat, AT_FDCWD, other.sun_path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !is_dead(&other)) {
		ret = -EADDRINUSE;
	} else {
		ret = raw3(SYS_bind, fd, &a, size);
		if (ret == -EADDRINUSE && is_dead(&a)) {
			raw3(SYS_unlinkat, AT_FDCWD, a.sun_path, 0);
			ret = raw3(SYS_bind, fd, &a, size);
		}
	}
	if (lock >= 0)
		raw1(SYS_close, lock);
	return (int)ret;
}

int vsock_bind(int fd, struct vsock_mark *mark, const struct sockaddr_vm *a)
{
	uint32_t cid = a->svm_cid == VSOCK_CID_LOCAL ? VSOCK_CID_LOCAL : VSOCK_CID_HOST;
	uint32_t port = a->svm_port;
	int ret;

	if (vsock_port(fd) != VSOCK_PORT_ANY)
		return -EINVAL;
	if (a->svm_cid != VSOCK_CID_ANY && a->svm_cid != VSOCK_CID_HOST &&
	    a->svm_cid != VSOCK_CID_LOCAL)
		return -EADDRNOTAVAIL;
	if (port != VSOCK_PORT_ANY) {
		if (port <= LAST_RESERVED && !may_bind_reserved())
			return -EACCES;
		ret = bind_path(fd, cid, port);
	} else {
		port = some_port();
		for (int i = 0; i < PORT_TRIES; i++) {
			ret = bind_path(fd, cid, port++);
			if (ret != -EADDRINUSE)
				break;
		}
	}
	if (ret == 0) {
		mark->local_cid = a->svm_cid;
		ret = vsock_mark_set(fd, mark);
	}
	return ret;
}

/* A name for a socket that connects and has none. */
static int bind_any(int fd, uint32_t cid)
{
	uint64_t unique = 14695981039346656037u;
	uint32_t port = some_port();
	struct sockaddr_un a;
	socklen_t size;
	long ret = 0;

	if (vsock_port(fd) != VSOCK_PORT_ANY)
		return 0;
	for (const char *p = place; *p; p++)
		unique = (unique ^ (unsigned char)*p) * 1099511628211u;
	for (int i = 0; i < PORT_TRIES; i++) {
		size = vsock_name_format(cid, port++, unique, &a);
		ret = raw3(SYS_bind, fd, &a, size);
		if (ret != -EADDRINUSE)
			break;
	}
	return (int)ret;
}

/* ---- connecting ---- */

static int socket_type(int fd)
{
	socklen_t size = sizeof(int);
	int type = SOCK_STREAM;

	sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
	return type;
}

/*
 * A Unix socket connects once; what has failed is replaced, under the same number, and keeps its
 * port if no duplicate of the old one has it.
 */
static void renew(int fd, struct vsock_mark *mark)
{
	long flags = raw3(SYS_fcntl, fd, F_GETFL, 0), closed = raw3(SYS_fcntl, fd, F_GETFD, 0);
	uint32_t local_cid = mark->local_cid, port = vsock_port(fd);
	int type = socket_type(fd), fresh;
	struct sockaddr_un name;
	socklen_t size = sizeof(name);

	if (raw3(SYS_getsockname, fd, &name, &size) < 0)
		port = VSOCK_PORT_ANY;
	*mark = (struct vsock_mark){.local_cid = VSOCK_CID_ANY};
	fresh = vsock_socket(type | SOCK_CLOEXEC | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0));
	if (fresh < 0)
		return;
	raw3(SYS_dup3, fresh, fd, closed & FD_CLOEXEC ? O_CLOEXEC : 0);
	raw1(SYS_close, fresh);
	if (port == VSOCK_PORT_ANY)
		return;
	if (name.sun_path[0])
		bind_path(fd, local_cid == VSOCK_CID_LOCAL ? VSOCK_CID_LOCAL : VSOCK_CID_HOST,
			  port);
	else
		raw3(SYS_bind, fd, &name, size);
	mark->local_cid = local_cid;
	vsock_mark_set(fd, mark);
}

int vsock_connect_result(int fd, struct vsock_mark *mark)
{
	struct pollfd p = {fd, POLLOUT, 0};
	struct timespec now = {0};
	struct vsock_refusal refusal;
	socklen_t size = sizeof(int);
	int error = 0;

	raw_syscall(SYS_ppoll, (long)&p, 1, (long)&now, 0, 0, 0);
	if (!p.revents)
		return -EINPROGRESS;
	sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (!error) {
		mark->progress = VSOCK_CONNECTED;
		vsock_mark_set(fd, mark);
		set_send_buffer(fd, SEND_BUFFER);
		return 0;
	}
	if (raw_syscall(SYS_recvfrom, fd, (long)&refusal, sizeof(refusal), MSG_DONTWAIT, 0, 0) ==
		    (long)sizeof(refusal) &&
	    refusal.error > 0)
		error = refusal.error;
	renew(fd, mark);
	return -error;
}

/* Waits for the guest's answer, and somewhat longer for that of a device that hangs. */
static int wait_for_answer(int fd, struct vsock_mark *mark, unsigned timeout_ms)
{
	struct timespec left = {timeout_ms / 1000 + 1, timeout_ms % 1000 * 1000000L};
	struct pollfd p = {fd, POLLOUT, 0};
	long n;
	int ret;

	n = raw_syscall(SYS_ppoll, (long)&p, 1, (long)&left, 0, 0, 0);
	if (n > 0)
		return vsock_connect_result(fd, mark);
	ret = n < 0 ? (int)n : -ETIMEDOUT;
	renew(fd, mark);
	return ret;
}

static int connect_guest(int fd, struct vsock_mark *mark, bool wait, unsigned timeout_ms)
{
	struct vsock_greeting g = {.cid = mark->peer_cid,
				   .port = mark->peer_port,
				   .source_port = vsock_port(fd),
				   .timeout_ms = timeout_ms};
	struct sockaddr_un a;
	socklen_t size = vsock_place_guest(place, mark->peer_cid, socket_type(fd), &a);
	long ret;

	set_send_buffer(fd, 0);
	ret = raw3(SYS_connect, fd, &a, size);
	if (ret < 0) {
		set_send_buffer(fd, SEND_BUFFER);
		/* No device has that CID. */
		return ret == -ENOENT || ret == -ECONNREFUSED || ret == -EPROTOTYPE ? -ENODEV
										    : (int)ret;
	}
	mark->progress = VSOCK_CONNECTING;
	vsock_mark_set(fd, mark);
	memcpy(g.word, VSOCK_GREETING_WORD, sizeof(g.word));
	raw_syscall(SYS_sendto, fd, (long)&g, sizeof(g), MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
	return wait ? wait_for_answer(fd, mark, timeout_ms) : -EINPROGRESS;
}

static int connect_here(int fd, struct vsock_mark *mark)
{
	struct sockaddr_un a;
	socklen_t size;
	long ret = -ENOENT;

	if (mark->peer_cid == VSOCK_CID_LOCAL) {
		size = vsock_place_port(place, VSOCK_CID_LOCAL, mark->peer_port, &a);
		ret = raw3(SYS_connect, fd, &a, size);
	}
	if (ret == -ENOENT || ret == -ECONNREFUSED) {
		size = vsock_place_port(place, VSOCK_CID_HOST, mark->peer_port, &a);
		ret = raw3(SYS_connect, fd, &a, size);
	}
	/* Nobody listens, or not for this type, or has no room for one more. */
	if (ret == -ENOENT || ret == -ECONNREFUSED || ret == -EPROTOTYPE || ret == -EAGAIN)
		return -ECONNRESET;
	if (ret < 0)
		return (int)ret;
	mark->progress = VSOCK_CONNECTED;
	return vsock_mark_set(fd, mark);
}

int vsock_connect(int fd, struct vsock_mark *mark, const struct sockaddr_vm *a, unsigned timeout_ms)
{
	bool wait = !(raw3(SYS_fcntl, fd, F_GETFL, 0) & O_NONBLOCK);
	bool here = a->svm_cid == VSOCK_CID_LOCAL || a->svm_cid == VSOCK_CID_HOST;
	socklen_t size = sizeof(int);
	int listens = 0, ret;

	if (mark->progress == VSOCK_CONNECTED)
		return -EISCONN;
	if (mark->progress == VSOCK_CONNECTING)
		return wait ? wait_for_answer(fd, mark, timeout_ms) : -EALREADY;
	sys_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
	if (listens)
		return -EINVAL;
	ret = bind_any(fd, a->svm_cid == VSOCK_CID_LOCAL ? VSOCK_CID_LOCAL : VSOCK_CID_HOST);
	if (ret < 0)
		return ret;
	if (a->svm_cid == 0 || a->svm_cid == VSOCK_CID_ANY)
		return -ENODEV;
	mark->peer_cid = a->svm_cid;
	mark->peer_port = a->svm_port;
	if (!here)
		return connect_guest(fd, mark, wait, timeout_ms);
	ret = connect_here(fd, mark);
	return ret == 0 && !wait ? -EINPROGRESS : ret;
}
