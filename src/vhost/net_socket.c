/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a ring can have as its backend, and the kernel's own: taps, macvtaps and packet sockets,
 * which packets reach and leave by system calls on the guest's memory itself.
 *
 * The descriptor is the client's, and so are its flags.  One that is not O_NONBLOCK
 * is asked not to wait call by call, which costs a little more.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/kcmp.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/user.h"
#include "vhost/net.h"

#define MISC_MAJOR 10
#define TUN_MINOR  200
#define EVENTS     (EPOLLIN | EPOLLOUT)

/* ---- the kernel's ---- */

static bool is_packet_socket(int fd)
{
	int value = 0;
	socklen_t size = sizeof(value);

	if (host_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &value, &size) ||
	    value != SOCK_RAW)
		return false;
	return !host_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &value, &size) &&
	       value == AF_PACKET;
}

/* The kernel takes a tap without an interface, too; a macvtap always has one. */
static bool is_tap(int fd)
{
	struct stat st;
	struct ifreq request;

	if (host_fstat(fd, &st) || !S_ISCHR(st.st_mode))
		return false;
	return st.st_rdev == makedev(MISC_MAJOR, TUN_MINOR) ||
	       host_syscall(SYS_ioctl, fd, TUNGETIFF, &request) == 0;
}

static long tap_write(const struct vhost_net_socket *s, const struct vhost_net_packet *p)
{
	if (!s->nonblocking)
		return host_syscall(SYS_pwritev2, s->fd, p->iov, p->n_iov, -1, -1, RWF_NOWAIT);
	if (p->n_iov == 1)
		return host_write(s->fd, p->iov->iov_base, p->iov->iov_len);
	return host_syscall(SYS_writev, s->fd, p->iov, p->n_iov);
}

static long packet_write(const struct vhost_net_socket *s, const struct vhost_net_packet *p)
{
	struct msghdr message = {.msg_iov = p->iov, .msg_iovlen = p->n_iov};

	return host_syscall(SYS_sendmsg, s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* After an error other than that there is no room, the packet is lost, as in the kernel. */
static bool no_room(long error)
{
	return error == -EAGAIN || error == -ENOMEM || error == -ENOBUFS;
}

/* The guest wrote it on another processor: what the kernel reads first is on its way while the
 * packet before it is sent. */
static void prefetch(const struct vhost_net_packet *p)
{
	const char *header = p->iov[0].iov_base, *data = header + 64;

	if (p->n_iov > 1 && p->iov[0].iov_len < 64)
		data = p->iov[1].iov_base;
	__builtin_prefetch(header);
	__builtin_prefetch(data);
}

static unsigned tap_send(struct vhost_net_socket *s, const struct vhost_net_packet *packets,
			 unsigned n, uint32_t header_size)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		if (i + 1 < n)
			prefetch(&packets[i + 1]);
		if (no_room(tap_write(s, &packets[i])))
			break;
	}
	return i;
}

static unsigned packet_send(struct vhost_net_socket *s, const struct vhost_net_packet *packets,
			    unsigned n, uint32_t header_size)
{
	unsigned i;

	for (i = 0; i < n && !no_room(packet_write(s, &packets[i])); i++)
		;
	return i;
}

/* Without a new look the kernel does not know that somebody waits. */
static void blocked(struct vhost_net_socket *s)
{
	vhost_unwatch(&s->net->dev, s->fd);
	vhost_watch(&s->net->dev, s->fd, &s->net->source, EVENTS);
}

/* An interface that went down is told once, and a bad address costs the packet. */
static long received(long result)
{
	if (result >= 0)
		return result;
	return result == -EFAULT || result == -ENETDOWN ? -EFAULT : -EAGAIN;
}

static long tap_receive(struct vhost_net_socket *s, const struct iovec *iov, unsigned n)
{
	if (!s->nonblocking)
		return received(host_syscall(SYS_preadv2, s->fd, iov, n, -1, -1, RWF_NOWAIT));
	if (n == 1)
		return received(host_read(s->fd, iov->iov_base, iov->iov_len));
	return received(host_syscall(SYS_readv, s->fd, iov, n));
}

static long packet_receive(struct vhost_net_socket *s, const struct iovec *iov, unsigned n)
{
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n};

	return received(host_syscall(SYS_recvmsg, s->fd, &message, MSG_DONTWAIT | MSG_TRUNC));
}

static void close_fd(struct vhost_net_socket *s)
{
	vhost_unwatch(&s->net->dev, s->fd);
	hostfd_close(s->fd);
}

static const struct vhost_net_socket_ops tap_ops = {
	.send = tap_send,
	.blocked = blocked,
	.receive = tap_receive,
	.close = close_fd,
};

static const struct vhost_net_socket_ops packet_ops = {
	.send = packet_send,
	.blocked = blocked,
	.receive = packet_receive,
	.close = close_fd,
};

/* A tap has no limit to what it has under way unless the client sets one. */
static bool is_unlimited(int fd)
{
	int size = 0;

	return host_syscall(SYS_ioctl, fd, TUNGETSNDBUF, &size) == 0 && size == INT_MAX;
}

static int open_fd(struct vhost_net_socket *s, int fd)
{
	struct pollfd state = {.events = POLLIN};
	long flags;
	int ret;

	if (is_packet_socket(fd))
		s->ops = &packet_ops;
	else if (is_tap(fd))
		s->ops = &tap_ops;
	else
		return -ENOTSOCK;
	s->fd = user_fd_take(fd);
	if (s->fd < 0)
		return s->fd;
	flags = host_syscall(SYS_fcntl, s->fd, F_GETFL);
	s->nonblocking = flags >= 0 && flags & O_NONBLOCK;
	s->strict = s->ops == &tap_ops && is_unlimited(s->fd);
	state.fd = s->fd;
	s->broken = host_syscall(SYS_poll, &state, 1, 0) > 0 && state.revents & POLLERR;
	ret = vhost_watch(&s->net->dev, s->fd, &s->net->source, EVENTS);
	if (ret)
		hostfd_close(s->fd);
	return ret;
}

/* ---- either ---- */

int vhost_net_socket_open(struct vhost_net *net, int fd, struct vhost_net_socket **ret_socket)
{
	struct vhost_net_socket *s = calloc(1, sizeof(*s));
	struct file *file = user_file_get(fd);
	int ret;

	if (!s) {
		if (file)
			file_put(file);
		return -ENOMEM;
	}
	s->net = net;
	s->refs = 1;
	s->fd = -1;
	ret = file ? vhost_net_port_open(s, file) : open_fd(s, fd);
	if (ret) {
		if (file)
			file_put(file);
		free(s);
		return ret;
	}
	*ret_socket = s;
	return 0;
}

bool vhost_net_socket_is(const struct vhost_net_socket *s, int fd)
{
	struct file *file = user_file_get(fd);
	long pid = host_syscall(SYS_getpid);

	if (file)
		file_put(file);
	if (file || s->file)
		return file == s->file;
	/* Where kcmp is not to be had, the same one counts as another. */
	return host_syscall(SYS_kcmp, pid, pid, KCMP_FILE, s->fd, fd) == 0;
}

void vhost_net_socket_put(struct vhost_net_socket *s)
{
	if (--s->refs)
		return;
	s->ops->close(s);
	free(s);
}
