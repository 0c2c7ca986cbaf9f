/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where programs of the host connect to a guest: two listening sockets, one for streams and
 * one for packets.
 *
 * They are there from the moment the guest has a CID, which in a directory is also what makes
 * CIDs unique among processes: a name can be bound once.  Connections are accepted as soon as
 * the device has a thread; whether the guest runs is then said to each of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "core/hostfd.h"
#include "core/log.h"
#include "core/syscall.h"
#include "vhost/vsock.h"

#define BACKLOG 128

static void listener_event(struct vhost_source *source, uint32_t events)
{
	struct vsock_listener *l = (struct vsock_listener *)source;
	long fd;

	while ((fd = host_syscall(SYS_accept4, l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >=
	       0)
		vsock_arrived(l->vsock, (int)fd,
			      l->type == SOCK_STREAM ? VIRTIO_VSOCK_TYPE_STREAM
						     : VIRTIO_VSOCK_TYPE_SEQPACKET);
}

static void close_one(struct vsock *v, struct vsock_listener *l)
{
	if (l->fd < 0)
		return;
	host_syscall(SYS_unlinkat, AT_FDCWD, l->address.sun_path, 0);
	if (l->watched)
		vhost_unwatch(&v->dev, l->fd);
	hostfd_close(l->fd);
	l->fd = -1;
	l->watched = false;
}

void vsock_listeners_close(struct vsock *v)
{
	for (unsigned i = 0; i < 2; i++)
		close_one(v, &v->listeners[i]);
}

/*
 * A socket that nobody has open any more: its owner was killed.  A connection from one of
 * another type is refused then, and else not possible, without anybody noticing.  Files of
 * other kinds refuse, too, and are not ours to remove.
 */
static bool is_left_over(const struct sockaddr_un *address)
{
	struct stat st;
	long ret;
	int fd;

	if (host_syscall(SYS_newfstatat, AT_FDCWD, address->sun_path, &st, AT_SYMLINK_NOFOLLOW) <
		    0 ||
	    !S_ISSOCK(st.st_mode))
		return false;
	fd = (int)host_syscall(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ret = fd < 0 ? fd : host_syscall(SYS_connect, fd, address, vsock_address_size(address));
	host_close(fd);
	return ret == -ECONNREFUSED;
}

static long bind_over(int fd, const struct sockaddr_un *address)
{
	long ret = host_syscall(SYS_bind, fd, address, vsock_address_size(address));

	if (ret != -EADDRINUSE || !is_left_over(address))
		return ret;
	host_syscall(SYS_unlinkat, AT_FDCWD, address->sun_path, 0);
	return host_syscall(SYS_bind, fd, address, vsock_address_size(address));
}

/* The directory of `address`, locked so that one process at a time removes what is dead. */
static int lock_directory(const struct sockaddr_un *address)
{
	char path[sizeof(address->sun_path)];
	int fd;

	memcpy(path, address->sun_path, sizeof(path));
	strrchr(path, '/')[1] = '\0';
	fd = host_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd >= 0)
		host_syscall(SYS_flock, fd, LOCK_EX);
	return fd;
}

static int open_one(struct vsock *v, struct vsock_listener *l, uint32_t cid, int type)
{
	int lock, fd;
	long ret;

	*l = (struct vsock_listener){.source.ready = listener_event, .vsock = v, .type = type};
	vsock_place_guest(v->place, cid, type, &l->address);
	l->fd = -1;
	fd = (int)host_syscall(SYS_socket, AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	lock = strchr(l->address.sun_path, '/') ? lock_directory(&l->address) : -1;
	ret = bind_over(fd, &l->address);
	if (ret == 0)
		ret = host_syscall(SYS_listen, fd, BACKLOG);
	host_close(lock);
	if (ret < 0) {
		host_close(fd);
		return (int)ret;
	}
	l->fd = hostfd_adopt(fd);
	return l->fd < 0 ? l->fd : 0;
}

int vsock_listeners_open(struct vsock *v, uint32_t cid)
{
	static const int types[2] = {SOCK_STREAM, SOCK_SEQPACKET};
	bool directory = vsock_place_is_directory(v->place);
	struct vsock_listener new[2] = {{.fd = -1}, {.fd = -1}};
	int ret = 0;

	if (!v->place[0] || cid == v->cid || (!directory && v->listeners[0].fd >= 0))
		return 0;
	for (unsigned i = 0; i < 2 && !ret; i++)
		ret = open_one(v, &new[i], cid, types[i]);
	if (ret < 0) {
		for (unsigned i = 0; i < 2; i++)
			close_one(v, &new[i]);
		if (ret == -EADDRINUSE && directory)
			return ret;
		log_warning("vsock: can't listen at %s: %s", new[0].address.sun_path,
			    trace_errno_name(-ret));
		return 0;
	}
	vsock_listeners_close(v);
	memcpy(v->listeners, new, sizeof(new));
	vsock_listeners_watch(v);
	return 0;
}

void vsock_listeners_watch(struct vsock *v)
{
	for (unsigned i = 0; i < 2; i++) {
		struct vsock_listener *l = &v->listeners[i];

		if (l->fd >= 0 && !l->watched && v->dev.owned)
			l->watched = vhost_watch(&v->dev, l->fd, &l->source, EPOLLIN) == 0;
	}
}
