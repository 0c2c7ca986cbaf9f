/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The channel between a service and its hosts.
 *
 * On a real machine it is a pair of rings, and one host writes to it.  Here several hosts can
 * be connected: each is a socket, and a packet is taken from one after the other, when
 * the service's state allows it.  Until then packets stay where they are, so that the host
 * waits as it would for room in the ring.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "hyperv/hyperv.h"

/* Twice what it takes to wake a thread and have it on a processor. */
#define SOON_NS 100000u

struct hyperv_connection {
	struct hyperv_connection *next;
	uint32_t number;
	int fd; /* private */
	size_t filled;
	union {
		struct hyperv_frame frame;
		uint8_t buffer[sizeof(struct hyperv_frame) + HYPERV_PACKET_MAX];
	};
};

static void unlink_connection(struct hyperv_service *s, struct hyperv_connection *c)
{
	struct hyperv_connection **at = &s->connections;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
}

static void append_connection(struct hyperv_service *s, struct hyperv_connection *c)
{
	struct hyperv_connection **at = &s->connections;

	while (*at)
		at = &(*at)->next;
	*at = c;
	c->next = NULL;
}

static void drop(struct hyperv_service *s, struct hyperv_connection *c)
{
	unlink_connection(s, c);
	if (s->from == c)
		s->from = NULL;
	hyperv_loop_remove(c->fd);
	hostfd_close(c->fd);
	free(c);
}

int hyperv_connect(struct hyperv_service *s, int fd)
{
	static _Atomic uint32_t last_number;
	struct hyperv_connection *c = calloc(1, sizeof(*c));
	int ret = c ? 0 : -ENOMEM;

	pthread_mutex_lock(&s->lock);
	if (ret == 0 && s->suspended)
		ret = -ENODEV;
	if (ret == 0) {
		hyperv_watch(s);
		c->number = ++last_number;
		c->fd = fd;
		append_connection(s, c);
		ret = hyperv_loop_add(s, c->number, fd);
		if (ret < 0)
			unlink_connection(s, c);
	}
	if (ret < 0) {
		free(c);
		hostfd_close(fd);
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

void hyperv_disconnect(struct hyperv_service *s)
{
	while (s->connections)
		drop(s, s->connections);
}

void hyperv_forget_connections(struct hyperv_service *s)
{
	for (struct hyperv_connection *c = s->connections; c; c = c->next)
		hostfd_close(c->fd);
	s->connections = s->from = NULL;
}

/* ---- packets that come ---- */

static bool is_whole(const struct hyperv_connection *c)
{
	return c->filled >= sizeof(c->frame) && c->filled - sizeof(c->frame) >= c->frame.size;
}

/* Whether there is a whole packet now.  A connection that has ended is dropped. */
static bool fill(struct hyperv_service *s, struct hyperv_connection *c)
{
	long n = 1;

	while (!is_whole(c) && n > 0) {
		n = host_syscall(SYS_recvfrom, c->fd, c->buffer + c->filled,
				 sizeof(c->buffer) - c->filled, MSG_DONTWAIT, NULL, NULL);
		if (n > 0)
			c->filled += (size_t)n;
		if (n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR) ||
		    (c->filled >= sizeof(c->frame) &&
		     (c->frame.size == 0 || c->frame.size > HYPERV_PACKET_MAX))) {
			drop(s, c);
			return false;
		}
	}
	return is_whole(c);
}

/*
 * What a packet has beyond what the kernel set its channel up for is cut off; what it lacks
 * is zeros.
 */
static void take(struct hyperv_service *s, struct hyperv_connection *c)
{
	size_t whole = sizeof(c->frame) + c->frame.size;
	uint32_t size = c->frame.size, most;

	most = (uint32_t)(s->kind->packet_max - sizeof(struct hyperv_packet));
	if (size > most)
		size = most;
	memcpy(s->packet, c->buffer + sizeof(c->frame), size);
	if (size < s->packet_size)
		memset(s->packet + size, 0, s->packet_size - size);
	s->packet_size = size;
	s->soon = hyperv_now() - s->ready_at < SOON_NS;
	s->request = c->frame.transaction;
	s->from = c;
	c->filled -= whole;
	memmove(c->buffer, c->buffer + whole, c->filled);
	unlink_connection(s, c);
	append_connection(s, c);
}

static bool take_next(struct hyperv_service *s)
{
	struct hyperv_connection *c, *next;

	for (c = s->connections; c; c = next) {
		next = c->next;
		if (fill(s, c)) {
			take(s, c);
			return true;
		}
	}
	return false;
}

void hyperv_receive(struct hyperv_service *s)
{
	if (s->receiving)
		return; /* whoever does goes on */
	s->receiving = true;
	while (!s->suspended && s->kind->may_receive(s) && take_next(s)) {
		/* Too short to hold the headers: as if it had not come. */
		if (s->packet_size >= HYPERV_IC_SIZE)
			s->kind->received(s);
	}
	s->receiving = false;
}

void hyperv_connection_event(struct hyperv_service *s, uint32_t number, bool hung_up)
{
	struct hyperv_connection *c;

	pthread_mutex_lock(&s->lock);
	hyperv_receive(s);
	if (hung_up) {
		for (c = s->connections; c && c->number != number; c = c->next)
			;
		if (c)
			drop(s, c);
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- responses ---- */

void hyperv_respond(struct hyperv_service *s)
{
	struct hyperv_frame frame = {.size = s->packet_size, .transaction = s->request};
	struct iovec parts[] = {{&frame, sizeof(frame)}, {s->packet, s->packet_size}};
	const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	long n;

	s->ic.ic.flags = HYPERV_IC_TRANSACTION | HYPERV_IC_RESPONSE;
	if (!s->from)
		return;
	n = host_syscall(SYS_sendmsg, s->from->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* A host that does not read what it has asked for. */
	if (n != (long)(sizeof(frame) + s->packet_size))
		drop(s, s->from);
}

void hyperv_respond_status(struct hyperv_service *s, uint32_t status)
{
	s->ic.ic.status = status;
	s->n_requests++;
	s->n_failed += status != HV_S_OK && status != HV_S_CONT;
	hyperv_respond(s);
}

void hyperv_ready(struct hyperv_service *s)
{
	s->state = HYPERV_READY;
	s->ready_at = hyperv_now();
	hyperv_receive(s);
}

/* ---- looking instead of waiting ---- */

static void set_watched(struct hyperv_service *s, bool on)
{
	if (s->unwatched != on)
		return;
	s->unwatched = !on;
	for (struct hyperv_connection *c = s->connections; c; c = c->next)
		hyperv_loop_watch(s, c->number, c->fd, on);
}

void hyperv_watch(struct hyperv_service *s)
{
	set_watched(s, true);
}

/* Giving way between two looks, since the host may be on this very processor. */
void hyperv_await(struct hyperv_service *s)
{
	uint64_t end = s->ready_at + SOON_NS;

	if (s->soon && s->connections)
		set_watched(s, false);
	while (s->unwatched && s->mode == HYPERV_OPEN && s->state == HYPERV_READY &&
	       s->connections) {
		if (hyperv_now() >= end) {
			s->soon = false;
			break;
		}
		pthread_mutex_unlock(&s->lock);
		host_syscall(SYS_sched_yield);
		pthread_mutex_lock(&s->lock);
		hyperv_receive(s);
	}
	if (s->state <= HYPERV_READY)
		hyperv_watch(s);
}
