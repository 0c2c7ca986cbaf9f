/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket calls, for AF_VSOCK.
 *
 * Under --vsock an AF_VSOCK socket is a Unix socket at the place where the run's guests are,
 * so that programs which know nothing of that meet them: socat VSOCK-CONNECT:42:1234.  Data
 * needs none of this, and neither do poll, fork, exec, dup and passing a descriptor on;
 * these are the calls in which there are addresses, and the options.  Without --vsock all
 * is the kernel's, and one test sends it there.
 *
 * The errors and their order are those of net/vmw_vsock/af_vsock.c.
 */
#include <string.h>
#include <sys/syscall.h>

#include "inject/preload/vsock.h"
#include "inject/x86_64/raw.h"
#include "next.h"

/* ---- the client's memory, which may be bad ---- */

static bool fetch(void *to, const void *from, size_t size)
{
	struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};

	return raw_syscall(SYS_process_vm_readv, raw1(SYS_getpid, 0), (long)&local, 1,
			   (long)&remote, 1, 0) == (long)size;
}

static bool store(void *to, const void *from, size_t size)
{
	struct iovec local = {(void *)(uintptr_t)from, size}, remote = {to, size};

	return size == 0 || raw_syscall(SYS_process_vm_writev, raw1(SYS_getpid, 0), (long)&local, 1,
					(long)&remote, 1, 0) == (long)size;
}

/* What a call has to say with a length that goes in and out: 0 or -errno. */
static int give(void *to, socklen_t *size, const void *from, socklen_t real)
{
	socklen_t room;

	if (!fetch(&room, size, sizeof(room)))
		return -EFAULT;
	if ((int)room < 0)
		return -EINVAL;
	if (room > real)
		room = real;
	return store(to, from, room) && store(size, &real, sizeof(real)) ? 0 : -EFAULT;
}

static int give_address(struct sockaddr *to, socklen_t *size, uint32_t cid, uint32_t port)
{
	struct sockaddr_vm a = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};

	return give(to, size, &a, sizeof(a));
}

static int take_address(const struct sockaddr *from, socklen_t size, struct sockaddr_vm *ret)
{
	if ((int)size < 0)
		return -EINVAL;
	if (!fetch(ret, from, size < sizeof(*ret) ? size : sizeof(*ret)))
		return -EFAULT;
	if (size < sizeof(*ret) || ret->svm_family != AF_VSOCK ||
	    (ret->svm_flags & ~VMADDR_FLAG_TO_HOST))
		return -EINVAL;
	return 0;
}

/* ---- SO_VM_SOCKETS_* ---- */

/*
 * Of sockets that had any of them set.  Known to this process alone, and with its children;
 * of many only the last.
 */
static struct options {
	_Atomic uint64_t inode;
	_Atomic uint64_t size, min, max; /* bytes; they are only remembered */
	_Atomic uint64_t timeout_us;
} all_options[64];

static uint64_t inode_of(int fd)
{
	struct stat st;

	return raw2(SYS_fstat, fd, &st) == 0 ? st.st_ino : 0;
}

static struct options *options_of(int fd, bool make)
{
	static _Atomic unsigned next;
	uint64_t inode = inode_of(fd);
	struct options *o;

	for (o = all_options; o < all_options + 64; o++)
		if (o->inode == inode)
			return o;
	if (!make)
		return NULL;
	o = &all_options[atomic_fetch_add(&next, 1) % 64];
	o->inode = inode;
	o->size = o->max = 262144;
	o->min = 128;
	o->timeout_us = VSOCK_CONNECT_MS * 1000;
	return o;
}

static unsigned timeout_of(int fd)
{
	struct options *o = options_of(fd, false);

	return o ? (unsigned)((o->timeout_us + 999) / 1000) : VSOCK_CONNECT_MS;
}

static int set_option(int fd, int option, const void *from, socklen_t size)
{
	struct options *o;
	struct timeval tv;
	uint64_t value = 0;

	switch (option) {
	case SO_VM_SOCKETS_BUFFER_SIZE:
	case SO_VM_SOCKETS_BUFFER_MIN_SIZE:
	case SO_VM_SOCKETS_BUFFER_MAX_SIZE:
		if (size < sizeof(value))
			return -EINVAL;
		if (!fetch(&value, from, sizeof(value)))
			return -EFAULT;
		break;
	case SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD:
	case SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW:
		if (size < sizeof(tv))
			return -EINVAL;
		if (!fetch(&tv, from, sizeof(tv)))
			return -EFAULT;
		if (tv.tv_sec < 0 || tv.tv_usec < 0 || tv.tv_usec >= 1000000 ||
		    tv.tv_sec >= INT32_MAX)
			return -ERANGE;
		value = (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec;
		options_of(fd, true)->timeout_us = value ? value : VSOCK_CONNECT_MS * 1000;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
	o = options_of(fd, true);
	if (option == SO_VM_SOCKETS_BUFFER_MIN_SIZE)
		o->min = value;
	if (option == SO_VM_SOCKETS_BUFFER_MAX_SIZE)
		o->max = value;
	if (option != SO_VM_SOCKETS_BUFFER_SIZE)
		value = o->size;
	if (value < o->min)
		value = o->min;
	o->size = value > o->max ? o->max : value;
	return 0;
}

static int get_option(int fd, int option, void *to, socklen_t *size)
{
	static const struct options usual = {
		.size = 262144, .max = 262144, .min = 128, .timeout_us = VSOCK_CONNECT_MS * 1000};
	const struct options *o = options_of(fd, false);
	struct timeval tv;
	socklen_t room;
	uint64_t value;

	if (!fetch(&room, size, sizeof(room)))
		return -EFAULT;
	if ((int)room < 0)
		return -EINVAL;
	if (!o)
		o = &usual;
	switch (option) {
	case SO_VM_SOCKETS_BUFFER_SIZE:
		value = o->size;
		break;
	case SO_VM_SOCKETS_BUFFER_MIN_SIZE:
		value = o->min;
		break;
	case SO_VM_SOCKETS_BUFFER_MAX_SIZE:
		value = o->max;
		break;
	case SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD:
	case SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW:
		tv.tv_sec = (time_t)(o->timeout_us / 1000000);
		tv.tv_usec = (suseconds_t)(o->timeout_us % 1000000);
		return room < sizeof(tv) ? -EINVAL : give(to, size, &tv, sizeof(tv));
	default:
		return -ENOPROTOOPT;
	}
	return room < sizeof(value) ? -EINVAL : give(to, size, &value, sizeof(value));
}

/* ---- the calls ---- */

/* The sockets are there only if there is a place. */
static inline bool is_ours(int fd, struct vsock_mark *mark)
{
	return unlikely(vsock_place() != NULL) && vsock_mark_get(fd, mark);
}

int do_socket(int domain, int type, int protocol)
{
	int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), fd;

	if (likely(domain != AF_VSOCK) || !vsock_place() || kind >= SOCK_PACKET + 1)
		return fd_fresh(next_socket(domain, type, protocol));
	if (protocol && protocol != AF_VSOCK)
		return (int)result(-EPROTONOSUPPORT);
	if (kind != SOCK_STREAM && kind != SOCK_SEQPACKET)
		return (int)result(kind == SOCK_DGRAM ? -ENODEV : -ESOCKTNOSUPPORT);
	fd = vsock_socket(type);
	return fd_fresh((int)result(fd));
}

int do_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	struct vsock_mark mark;
	struct sockaddr_vm a;
	int ret;

	if (likely(!is_ours(fd, &mark)))
		return next_bind(fd, address, size);
	ret = take_address(address, size, &a);
	return (int)result(ret < 0 ? ret : vsock_bind(fd, &mark, &a));
}

int do_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	struct vsock_mark mark;
	struct sockaddr_vm a;
	int ret;

	if (likely(!is_ours(fd, &mark)))
		return next_connect(fd, address, size);
	ret = take_address(address, size, &a);
	return (int)result(ret < 0 ? ret : vsock_connect(fd, &mark, &a, timeout_of(fd)));
}

static int accept_ours(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	struct vsock_mark mark = {.progress = VSOCK_CONNECTED, .local_cid = VSOCK_CID_HOST};
	struct sockaddr_un name;
	socklen_t length = sizeof(name);
	int made = next_accept4(fd, (struct sockaddr *)&name, &length, flags), ret = 0;

	if (made < 0)
		return made;
	if (!vsock_name_parse(&name, length, &mark.peer_cid, &mark.peer_port)) {
		/* A program that knows the path: it has no port. */
		mark.peer_cid = VSOCK_CID_HOST;
		mark.peer_port = VSOCK_PORT_ANY;
	} else if (mark.peer_cid == VSOCK_CID_HOST) {
		/* Which is how the host sees itself; one with a path of its own may mean either. */
		mark.peer_cid = VSOCK_CID_LOCAL;
		if (name.sun_path[0])
			mark.local_cid = VSOCK_CID_LOCAL;
	} else if (mark.peer_cid == VSOCK_CID_LOCAL) {
		mark.local_cid = VSOCK_CID_LOCAL;
	}
	ret = vsock_mark_set(made, &mark);
	if (ret == 0 && address)
		ret = give_address(address, size, mark.peer_cid, mark.peer_port);
	if (ret < 0) {
		raw1(SYS_close, made);
		return (int)result(ret);
	}
	return made;
}

int do_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	struct vsock_mark mark;

	if (likely(!is_ours(fd, &mark)))
		return fd_fresh(next_accept4(fd, address, size, flags));
	return fd_fresh(accept_ours(fd, address, size, flags));
}

int do_accept(int fd, struct sockaddr *address, socklen_t *size)
{
	struct vsock_mark mark;

	if (likely(!is_ours(fd, &mark)))
		return fd_fresh(next_accept(fd, address, size));
	return fd_fresh(accept_ours(fd, address, size, 0));
}

int do_shutdown(int fd, int how)
{
	struct vsock_mark mark;

	if (likely(!is_ours(fd, &mark)) || how < SHUT_RD || how > SHUT_RDWR)
		return next_shutdown(fd, how);
	if (mark.progress == VSOCK_CONNECTING)
		vsock_connect_result(fd, &mark);
	return mark.progress == VSOCK_CONNECTED ? next_shutdown(fd, how) : (int)result(-ENOTCONN);
}

int do_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
	struct vsock_mark mark;

	if (likely(!is_ours(fd, &mark)))
		return next_getsockname(fd, address, size);
	return (int)result(give_address(address, size, mark.local_cid, vsock_port(fd)));
}

int do_getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
	struct vsock_mark mark;

	if (likely(!is_ours(fd, &mark)))
		return next_getpeername(fd, address, size);
	if (mark.progress == VSOCK_CONNECTING)
		vsock_connect_result(fd, &mark);
	if (mark.progress != VSOCK_CONNECTED)
		return (int)result(-ENOTCONN);
	return (int)result(give_address(address, size, mark.peer_cid, mark.peer_port));
}

/* Those of all sockets that tell what it is, or what has become of a connect. */
static bool common_option(int fd, int option, struct vsock_mark *mark, int *ret_value)
{
	switch (option) {
	case SO_DOMAIN:
		*ret_value = AF_VSOCK;
		return true;
	case SO_ERROR:
		if (mark->progress != VSOCK_CONNECTING)
			return false;
		*ret_value = -vsock_connect_result(fd, mark);
		if (*ret_value == EINPROGRESS)
			*ret_value = 0;
		return true;
	default:
		return false;
	}
}

int do_getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
	struct vsock_mark mark;
	int number;

	if (likely(level != SOL_SOCKET && level != AF_VSOCK) || likely(!is_ours(fd, &mark)))
		return next_getsockopt(fd, level, option, value, size);
	if (level == AF_VSOCK)
		return (int)result(get_option(fd, option, value, size));
	if (common_option(fd, option, &mark, &number))
		return (int)result(give(value, size, &number, sizeof(number)));
	return next_getsockopt(fd, level, option, value, size);
}

int do_setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	struct vsock_mark mark;

	if (likely(level != AF_VSOCK) || likely(!is_ours(fd, &mark)))
		return next_setsockopt(fd, level, option, value, size);
	return (int)result(set_option(fd, option, value, size));
}
