/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports that are stream sockets: socket=, connected when it is opened, and hub=, which finds
 * another server when the present one is gone.
 *
 * A thread of the port's waits for the socket.  It says when there is something to receive
 * or room to send, sends what was left in the buffer, and reconnects; sending and receiving
 * themselves are done by whoever calls.  All queues send; what arrives is for queue 0.
 */
#include "backend/net_socket.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backend/net_stream.h"
#include "core/hostfd.h"
#include "core/log.h"
#include "core/syscall.h"
#include "core/thread.h"

#define RETRY_MS 50

struct socket_port {
	struct net_port *port;
	struct net_stream stream;
	pthread_mutex_t in_lock, out_lock; /* both to change the descriptor */
	_Atomic bool broken;
	bool renewed;         /* under in_lock: the receiver has not noticed yet */
	_Atomic bool starved; /* a sender waits for room */
	struct net_hub *hub;  /* NULL: never connected again */
	pthread_t thread;
	int epoll, wake;
	_Atomic bool ending;
};

int net_unix_address(const char *path, struct sockaddr_un *address)
{
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	return (int)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

int net_unix_connect(const char *path)
{
	struct sockaddr_un address;
	int size = net_unix_address(path, &address);
	long fd, ret;

	if (size < 0)
		return size;
	fd = host_syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	ret = host_syscall(SYS_connect, fd, &address, size);
	if (ret < 0) {
		host_close((int)fd);
		return (int)ret;
	}
	return hostfd_adopt((int)fd);
}

/* ---- the thread ---- */

static void tell_all(struct socket_port *p)
{
	for (unsigned i = 0; i < p->port->n_queues; i++)
		net_tell(p->port, i);
}

static int watch(struct socket_port *p)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};

	event.data.fd = p->stream.fd;
	return (int)host_syscall(SYS_epoll_ctl, p->epoll, EPOLL_CTL_ADD, p->stream.fd, &event);
}

static void mark_broken(struct socket_port *p, int error)
{
	static const uint64_t one = 1;

	if (atomic_exchange(&p->broken, true))
		return;
	if (!p->hub)
		log_warning("net: %s: the other side is gone (%s); packets are dropped",
			    p->port->name, strerrorname_np(-error));
	host_write(p->wake, &one, sizeof(one));
}

static bool reconnect(struct socket_port *p)
{
	int fd = net_hub_join(p->hub);

	if (fd < 0) {
		log_debug("net: %s: hub: %s", p->port->name, strerrorname_np(-fd));
		return false;
	}
	pthread_mutex_lock(&p->in_lock);
	pthread_mutex_lock(&p->out_lock);
	/* The receiver may be reading in its buffer, and begins anew when it comes next. */
	host_syscall(SYS_epoll_ctl, p->epoll, EPOLL_CTL_DEL, p->stream.fd, NULL);
	hostfd_close(p->stream.fd);
	p->stream.fd = fd;
	p->stream.out_start = p->stream.out_end = 0;
	p->renewed = true;
	p->broken = false;
	watch(p);
	pthread_mutex_unlock(&p->out_lock);
	pthread_mutex_unlock(&p->in_lock);
	return true;
}

static void flush(struct socket_port *p)
{
	int ret = p->broken ? 0 : net_stream_flush(&p->stream);

	if (ret && ret != -EAGAIN)
		mark_broken(p, ret);
}

static void *run(void *arg)
{
	struct socket_port *p = arg;
	struct epoll_event event;
	uint64_t count;
	int timeout = -1;
	long n;

	while (!atomic_load(&p->ending)) {
		n = host_syscall(SYS_epoll_pwait, p->epoll, &event, 1, timeout, NULL, 8);
		if (n > 0 && event.data.fd == p->wake)
			host_read(p->wake, &count, sizeof(count));
		if (n > 0 && (event.events & EPOLLOUT)) {
			pthread_mutex_lock(&p->out_lock);
			flush(p);
			pthread_mutex_unlock(&p->out_lock);
		}
		if (n > 0 &&
		    (atomic_exchange(&p->starved, false) || (event.events & ~(uint32_t)EPOLLOUT)))
			tell_all(p);
		timeout = -1;
		if (p->hub && p->broken)
			timeout = reconnect(p) ? 0 : RETRY_MS;
	}
	return NULL;
}

static int start(struct socket_port *p)
{
	struct epoll_event event = {.events = EPOLLIN};
	long fd;
	int ret;

	fd = host_syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
	p->epoll = fd < 0 ? (int)fd : hostfd_adopt((int)fd);
	if (p->epoll < 0)
		return p->epoll;
	fd = host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->wake = fd < 0 ? (int)fd : hostfd_adopt((int)fd);
	if (p->wake < 0)
		return p->wake;
	event.data.fd = p->wake;
	ret = (int)host_syscall(SYS_epoll_ctl, p->epoll, EPOLL_CTL_ADD, p->wake, &event);
	if (!ret)
		ret = watch(p);
	return ret ? ret : thread_start(&p->thread, "net", run, p);
}

/* ---- a port ---- */

static void destroy(struct socket_port *p)
{
	net_hub_destroy(p->hub);
	net_stream_finish(&p->stream);
	hostfd_close(p->epoll);
	hostfd_close(p->wake);
	pthread_mutex_destroy(&p->in_lock);
	pthread_mutex_destroy(&p->out_lock);
	free(p);
}

static int open_port(struct net_port *port, struct net_hub *hub, const char *path,
		     char error[NET_ERROR_MAX])
{
	struct socket_port *p = calloc(1, sizeof(*p));
	int ret = p ? 0 : -ENOMEM, fd;

	if (p) {
		p->port = port;
		p->hub = hub;
		p->epoll = p->wake = p->stream.fd = -1;
		pthread_mutex_init(&p->in_lock, NULL);
		pthread_mutex_init(&p->out_lock, NULL);
		ret = net_stream_init(&p->stream);
	}
	if (!ret) {
		fd = hub ? net_hub_join(hub) : net_unix_connect(path);
		ret = fd < 0 ? fd : 0;
	}
	if (!ret) {
		net_stream_connect(&p->stream, fd);
		ret = start(p);
	}
	if (ret) {
		snprintf(error, NET_ERROR_MAX, "%s=%.150s: %s", port->kind->name, path,
			 strerrordesc_np(-ret));
		if (p)
			destroy(p);
		else
			net_hub_destroy(hub);
		return ret;
	}
	port->priv = p;
	return 0;
}

static int socket_open(struct net_port *port, const char *path, char error[NET_ERROR_MAX])
{
	return open_port(port, NULL, path, error);
}

static int hub_open(struct net_port *port, const char *path, char error[NET_ERROR_MAX])
{
	struct net_hub *hub;
	int ret = net_hub_create(path, &hub);

	if (!ret)
		return open_port(port, hub, path, error);
	snprintf(error, NET_ERROR_MAX, "hub=%.150s: %s", path, strerrordesc_np(-ret));
	return ret;
}

static void socket_close(struct net_port *port)
{
	static const uint64_t one = 1;
	struct socket_port *p = port->priv;

	atomic_store(&p->ending, true);
	host_write(p->wake, &one, sizeof(one));
	pthread_join(p->thread, NULL);
	destroy(p);
}

static uint8_t *reserve(void *port, uint32_t size)
{
	struct socket_port *p = port;
	uint8_t *to = net_stream_reserve(&p->stream, size);

	if (!to) {
		flush(p);
		to = net_stream_reserve(&p->stream, size);
	}
	return to;
}

static void commit(void *port, const struct virtio_net_hdr *header, uint32_t size)
{
	struct socket_port *p = port;

	(void)header;
	net_stream_commit(&p->stream, size);
}

static unsigned socket_send(struct net_port *port, unsigned queue, const struct net_packet *packets,
			    unsigned n)
{
	struct socket_port *p = port->priv;
	unsigned taken = n;

	pthread_mutex_lock(&p->out_lock);
	if (p->broken) {
		net_count(&port->queues[queue].sent.dropped, n);
	} else {
		taken = net_send_frames(&port->queues[queue], 0, packets, n, reserve, commit, p);
		/* Before the attempt to send, after whose failure the socket will speak. */
		if (taken < n)
			atomic_store(&p->starved, true);
		flush(p);
	}
	pthread_mutex_unlock(&p->out_lock);
	return taken;
}

static unsigned socket_peek(struct net_port *port, unsigned queue, struct net_arrival *arrivals,
			    unsigned n)
{
	struct socket_port *p = port->priv;
	unsigned found = 0;
	int ret;

	if (queue)
		return 0;
	pthread_mutex_lock(&p->in_lock);
	if (p->renewed) {
		p->stream.in_start = p->stream.in_end = 0;
		p->renewed = false;
	}
	found = net_stream_peek(&p->stream, arrivals, n);
	while (!found && !p->broken) {
		ret = net_stream_fill(&p->stream);
		found = net_stream_peek(&p->stream, arrivals, n);
		if (ret == -EAGAIN)
			break;
		if (ret)
			mark_broken(p, ret);
	}
	pthread_mutex_unlock(&p->in_lock);
	return found;
}

static void socket_consume(struct net_port *port, unsigned queue, unsigned n)
{
	struct net_counts *counts = &port->queues[queue].received;
	struct socket_port *p = port->priv;

	net_count(&counts->packets, n);
	net_count(&counts->bytes, net_stream_consume(&p->stream, n));
}

const struct net_kind net_socket_kind = {
	.name = "socket",
	.wants_value = true,
	.open = socket_open,
	.close = socket_close,
	.send = socket_send,
	.peek = socket_peek,
	.consume = socket_consume,
};

const struct net_kind net_hub_kind = {
	.name = "hub",
	.wants_value = true,
	.open = hub_open,
	.close = socket_close,
	.send = socket_send,
	.peek = socket_peek,
	.consume = socket_consume,
};
