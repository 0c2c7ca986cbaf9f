/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's side of a guest's sockets: the connections, and how they begin.
 *
 * Descriptors are watched edge-triggered.  A connection that is reported readable goes into
 * the list of those that may have something for the guest, and leaves it when it turns out
 * to have nothing, or the guest no room for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "vhost/vsock.h"

#define CONNECT_MS   2000u /* VSOCK_DEFAULT_CONNECT_TIMEOUT */
#define GREETING_MAX 32u
#define EVENTS       (EPOLLIN | EPOLLRDHUP)

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the table of connections ---- */

static struct vsock_connection **bucket(struct vsock *v, uint32_t guest_port, uint32_t host_port)
{
	return &v->hash[(guest_port ^ (host_port * 31)) % VSOCK_HASH];
}

struct vsock_connection *vsock_find(struct vsock *v, uint32_t guest_port, uint32_t host_port)
{
	struct vsock_connection *c;

	for (c = *bucket(v, guest_port, host_port); c; c = c->hash_next)
		if (c->guest_port == guest_port && c->host_port == host_port)
			return c;
	return NULL;
}

static void attach(struct vsock_connection *c)
{
	struct vsock_connection **head = bucket(c->vsock, c->guest_port, c->host_port);

	c->hash_next = *head;
	*head = c;
	c->hashed = true;
}

static void detach(struct vsock_connection *c)
{
	struct vsock_connection **link;

	if (!c->hashed)
		return;
	for (link = bucket(c->vsock, c->guest_port, c->host_port); *link != c;
	     link = &(*link)->hash_next)
		;
	*link = c->hash_next;
	c->hashed = false;
}

void vsock_make_ready(struct vsock_connection *c)
{
	struct vsock *v = c->vsock;

	if (c->is_ready)
		return;
	c->is_ready = true;
	c->ready_next = NULL;
	*v->ready_end = c;
	v->ready_end = &c->ready_next;
}

static void make_unready(struct vsock_connection *c)
{
	struct vsock *v = c->vsock;
	struct vsock_connection **link;

	if (!c->is_ready)
		return;
	for (link = &v->ready; *link != c; link = &(*link)->ready_next)
		;
	*link = c->ready_next;
	if (!*link)
		v->ready_end = link;
	c->is_ready = false;
}

void vsock_set_deadline(struct vsock_connection *c, unsigned ms)
{
	c->vsock->n_deadlines -= c->deadline != 0;
	c->deadline = ms ? now_us() + (uint64_t)ms * 1000 : 0;
	c->vsock->n_deadlines += c->deadline != 0;
}

void vsock_detach(struct vsock_connection *c)
{
	detach(c);
	make_unready(c);
	c->state = VSOCK_FLUSHING;
}

void vsock_close(struct vsock_connection *c)
{
	if (c->state == VSOCK_DEAD)
		return;
	vsock_detach(c);
	vsock_set_deadline(c, 0);
	/* Closing alone would leave it in the set while a forked child has the descriptor. */
	vhost_unwatch(&c->vsock->dev, c->fd);
	hostfd_close(c->fd);
	c->fd = -1;
	c->state = VSOCK_DEAD;
	c->vsock->n_dead++;
}

static void connection_free(struct vsock_connection *c)
{
	vsock_message_finish(c);
	free(c->pending);
	free(c);
}

void vsock_close_all(struct vsock *v)
{
	struct vsock_connection *c;

	while ((c = v->connections)) {
		v->connections = c->next;
		vsock_close(c);
		connection_free(c);
	}
}

void vsock_expire(struct vsock *v)
{
	struct vsock_connection *c;
	uint64_t now;

	if (v->n_deadlines) {
		now = now_us();
		for (c = v->connections; c; c = c->next)
			if (c->deadline && c->deadline <= now) {
				vsock_control(c, VIRTIO_VSOCK_OP_RST, 0, false);
				if (c->state == VSOCK_CONNECTING)
					vsock_refused(c, ETIMEDOUT);
				else
					vsock_close(c);
			}
	}
}

void vsock_sweep(struct vsock *v)
{
	struct vsock_connection **link, *c;

	for (link = &v->connections; v->n_dead && *link;) {
		c = *link;
		if (c->state != VSOCK_DEAD) {
			link = &c->next;
			continue;
		}
		*link = c->next;
		v->n_dead--;
		connection_free(c);
	}
}

int vsock_timeout(struct vsock *v)
{
	uint64_t now, first = UINT64_MAX;

	if (!v->n_deadlines)
		return -1;
	for (const struct vsock_connection *c = v->connections; c; c = c->next)
		if (c->deadline && c->deadline < first)
			first = c->deadline;
	now = now_us();
	return first <= now ? 0 : (int)((first - now) / 1000 + 1);
}

/* ---- greetings ---- */

/* "CONNECT 1234\n" -> 1234 */
static bool parse_greeting(const char *text, size_t length, uint32_t *ret_port)
{
	static const char word[] = "CONNECT ";
	size_t at = sizeof(word) - 1;
	uint64_t port = 0;

	if (length <= at || memcmp(text, word, at) != 0)
		return false;
	if (length > at + 1 && text[length - 1] == '\r')
		length--;
	for (; at < length; at++) {
		if (text[at] < '0' || text[at] > '9')
			return false;
		port = port * 10 + (uint64_t)(text[at] - '0');
		if (port > UINT32_MAX)
			return false;
	}
	*ret_port = (uint32_t)port;
	return true;
}

static uint32_t unused_port(struct vsock *v, uint32_t guest_port)
{
	do {
		v->next_port = (v->next_port + 1) | UINT32_C(1) << 30;
		if (v->next_port >> 31)
			v->next_port = UINT32_C(1) << 30;
	} while (vsock_find(v, guest_port, v->next_port));
	return v->next_port;
}

static void ask_guest(struct vsock_connection *c, uint32_t timeout_ms)
{
	c->state = VSOCK_CONNECTING;
	attach(c);
	vsock_set_deadline(c, timeout_ms);
	vsock_control(c, VIRTIO_VSOCK_OP_REQUEST, 0, false);
}

/* An AF_VSOCK socket: 0, or the errno that its connect() shall have. */
static int greet_af_vsock(struct vsock_connection *c, const struct vsock_greeting *g)
{
	struct vsock *v = c->vsock;

	c->af_vsock = true;
	c->guest_port = g->port;
	c->host_port = g->source_port;
	if (g->cid != v->cid)
		return ENODEV;
	if (!v->vqs[VSOCK_RX].active)
		return EHOSTUNREACH;
	if (c->type == VIRTIO_VSOCK_TYPE_SEQPACKET &&
	    !vhost_has_feature(&v->dev, VIRTIO_VSOCK_F_SEQPACKET))
		return ESOCKTNOSUPPORT;
	if (vsock_find(v, c->guest_port, c->host_port))
		return EADDRINUSE;
	ask_guest(c, g->timeout_ms ? g->timeout_ms : CONNECT_MS);
	return 0;
}

/* Takes exactly the first line and no byte of what follows. */
static void greet_line(struct vsock_connection *c, char *text, long n)
{
	struct vsock *v = c->vsock;
	char *end = n > 0 ? memchr(text, '\n', n < GREETING_MAX ? (size_t)n : GREETING_MAX) : NULL;
	size_t length;

	if (!end) {
		if (n <= 0 || n >= GREETING_MAX || c->ended)
			vsock_close(c);
		return;
	}
	length = (size_t)(end - text);
	/* Of a message nothing else is left. */
	host_syscall(SYS_recvfrom, c->fd, text, length + 1, MSG_DONTWAIT, NULL, NULL);
	if (!parse_greeting(text, length, &c->guest_port) || !v->vqs[VSOCK_RX].active ||
	    (c->type == VIRTIO_VSOCK_TYPE_SEQPACKET &&
	     !vhost_has_feature(&v->dev, VIRTIO_VSOCK_F_SEQPACKET))) {
		vsock_close(c);
		return;
	}
	c->host_port = unused_port(v, c->guest_port);
	ask_guest(c, CONNECT_MS);
}

static void greet(struct vsock_connection *c)
{
	struct vsock_greeting g;
	int error;
	long n;

	n = host_syscall(SYS_recvfrom, c->fd, &g, sizeof(g), MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
	if (n == -EAGAIN)
		return;
	if (n < (long)sizeof(g) || memcmp(g.word, VSOCK_GREETING_WORD, sizeof(g.word)) != 0) {
		greet_line(c, (char *)&g, n);
		return;
	}
	error = greet_af_vsock(c, &g);
	if (error)
		vsock_refused(c, error);
}

void vsock_accepted(struct vsock_connection *c)
{
	struct vsock_greeting g;
	char text[32];
	int length;

	if (c->af_vsock) {
		host_syscall(SYS_recvfrom, c->fd, &g, sizeof(g), MSG_DONTWAIT, NULL, NULL);
	} else {
		length = snprintf(text, sizeof(text), "OK %u\n", c->host_port);
		/* Nothing was sent to it before, so there is room. */
		host_syscall(SYS_sendto, c->fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
	}
	c->state = VSOCK_CONNECTED;
	vsock_set_deadline(c, 0);
	vsock_make_ready(c);
}

void vsock_refused(struct vsock_connection *c, int error)
{
	struct vsock_refusal refusal = {error};

	if (c->af_vsock)
		host_syscall(SYS_sendto, c->fd, &refusal, sizeof(refusal),
			     MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
	vsock_close(c);
}

/*
 * A program that reads makes room with every read; only who waits for it is to be woken.  That
 * is not told at once when it doesn't any more: more may soon be kept.
 */
void vsock_await_room(struct vsock_connection *c)
{
	if (c->waits_for_room)
		return;
	c->waits_for_room = true;
	vhost_watch_change(&c->vsock->dev, c->fd, &c->source, EVENTS | EPOLLOUT);
}

static void room_event(struct vsock_connection *c)
{
	if (c->pending_start < c->pending_end) {
		vsock_flush(c);
		return;
	}
	c->waits_for_room = false;
	vhost_watch_change(&c->vsock->dev, c->fd, &c->source, EVENTS);
}

static void connection_event(struct vhost_source *source, uint32_t events)
{
	struct vsock_connection *c = (struct vsock_connection *)source;

	if (c->state == VSOCK_DEAD)
		return;
	if (events & (EPOLLHUP | EPOLLERR))
		c->hung_up = true;
	if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		c->ended = true;
	switch (c->state) {
	case VSOCK_GREETING:
		greet(c);
		break;
	case VSOCK_CONNECTING:
		if (c->hung_up)
			vsock_close(c);
		break;
	case VSOCK_CONNECTED:
		if (events & ~(uint32_t)EPOLLOUT)
			vsock_make_ready(c);
		if (events & EPOLLOUT)
			room_event(c);
		break;
	case VSOCK_FLUSHING:
		vsock_flush(c);
		break;
	default:
		break;
	}
}

/* Takes over `fd`, whatever becomes of it. */
static struct vsock_connection *connection_create(struct vsock *v, int fd, uint16_t type,
						  enum vsock_state state)
{
	static const int buffer = VSOCK_BUFFER;
	struct vsock_connection *c;

	fd = hostfd_adopt(fd);
	if (fd < 0)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c) {
		hostfd_close(fd);
		return NULL;
	}
	c->source.ready = connection_event;
	c->vsock = v;
	c->state = state;
	c->type = type;
	c->fd = fd;
	host_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	if (vhost_watch(&v->dev, fd, &c->source, EVENTS)) {
		hostfd_close(fd);
		free(c);
		return NULL;
	}
	c->next = v->connections;
	v->connections = c;
	return c;
}

/* ---- where they come from ---- */

void vsock_arrived(struct vsock *v, int fd, uint16_t type)
{
	connection_create(v, fd, type, VSOCK_GREETING);
}

/* A socket connected to whoever listens at `address` for the guest's port, or -errno. */
static int dial(struct vsock *v, const struct sockaddr_un *address, uint32_t guest_port, int type)
{
	static _Atomic uint32_t count;
	struct sockaddr_un name;
	socklen_t size;
	long ret;
	int fd;

	fd = (int)host_syscall(SYS_socket, AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	/* Who wants to know can see who it is: accept() of AF_VSOCK does. */
	size = vsock_name_format(
		v->cid, guest_port,
		(uint64_t)host_syscall(SYS_getpid) << 32 | atomic_fetch_add(&count, 1), &name);
	host_syscall(SYS_bind, fd, &name, size);
	ret = host_syscall(SYS_connect, fd, address, vsock_address_size(address));
	if (ret == 0)
		return fd;
	host_close(fd);
	return (int)ret;
}

struct vsock_connection *vsock_connect(struct vsock *v, uint32_t guest_port, uint32_t host_port,
				       uint16_t type)
{
	int kind = type == VIRTIO_VSOCK_TYPE_STREAM ? SOCK_STREAM : SOCK_SEQPACKET, fd = -1;
	struct sockaddr_un address;
	struct vsock_connection *c;

	if (!v->place[0])
		return NULL;
	if (vsock_place_is_directory(v->place)) {
		vsock_place_port(v->place, v->cid, host_port, &address);
		fd = dial(v, &address, guest_port, kind);
	}
	if (fd < 0) {
		vsock_place_port(v->place, VSOCK_CID_HOST, host_port, &address);
		fd = dial(v, &address, guest_port, kind);
	}
	if (fd < 0)
		return NULL;
	c = connection_create(v, fd, type, VSOCK_CONNECTED);
	if (!c)
		return NULL;
	c->guest_port = guest_port;
	c->host_port = host_port;
	attach(c);
	return c;
}
