/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The channel between a service and its hosts.
 *
 * On a real machine it is a pair of rings, and one host writes to it.  Here several hosts can
 * be connected, each with a pair (hyperv/frame.h), and a packet is taken from one after the other,
 * when the service's state allows it.  Until then packets stay where they are, and nobody is
 * called for them: who makes the service ready again looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core/hostfd.h"
#include "core/message.h"
#include "core/syscall.h"
#include "hyperv/hyperv.h"
#include "hyperv/queue.h"

/* Twice what it takes to wake a thread and have it on a processor. */
#define SOON_NS 100000u

struct hyperv_connection {
	struct hyperv_connection *next;
	uint32_t number;
	int fd; /* private */
	struct hyperv_rings *rings;
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

/* What this process keeps of it. */
static void let_go(struct hyperv_connection *c)
{
	hostfd_close(c->fd);
	if (c->rings)
		host_munmap(c->rings, sizeof(*c->rings));
	free(c);
}

static void drop(struct hyperv_service *s, struct hyperv_connection *c)
{
	unlink_connection(s, c);
	if (s->from == c)
		s->from = NULL;
	hyperv_loop_remove(c->fd);
	let_go(c);
}

/* Makes the rings, and gives them to the host. */
static int make_rings(struct hyperv_connection *c)
{
	int memory = (int)host_syscall(SYS_memfd_create, "hyperv-rings",
				       MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *rings = NULL;
	ssize_t n;

	if (memory < 0)
		return memory;
	/* The host can't take away what is mapped here. */
	if (host_syscall(SYS_ftruncate, memory, sizeof(*c->rings)) == 0 &&
	    host_syscall(SYS_fcntl, memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		rings = host_mmap(NULL, sizeof(*c->rings), PROT_READ | PROT_WRITE, MAP_SHARED,
				  memory, 0);
	if (!rings || host_is_error(rings)) {
		host_close(memory);
		return -ENOMEM;
	}
	c->rings = rings;
	n = message_send(c->fd, "", 1, memory);
	host_close(memory);
	return n < 0 ? (int)n : 0;
}

int hyperv_connect(struct hyperv_service *s, int fd)
{
	static _Atomic uint32_t last_number;
	struct hyperv_connection *c = calloc(1, sizeof(*c));
	int ret;

	if (!c) {
		hostfd_close(fd);
		return -ENOMEM;
	}
	c->fd = fd;
	ret = make_rings(c);
	pthread_mutex_lock(&s->lock);
	if (ret == 0 && s->suspended)
		ret = -ENODEV;
	if (ret == 0) {
		c->number = ++last_number;
		ret = hyperv_loop_add(s, c->number, fd);
	}
	if (ret == 0) {
		append_connection(s, c);
		/* It may have sent something already. */
		if (!hyperv_queue_await(&c->rings->requests))
			hyperv_receive(s);
	} else {
		let_go(c);
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
	for (struct hyperv_connection *c = s->connections, *next; c; c = next) {
		next = c->next;
		let_go(c);
	}
	s->connections = s->from = NULL;
}

static struct hyperv_connection *find(const struct hyperv_service *s, uint32_t number)
{
	struct hyperv_connection *c = s->connections;

	while (c && c->number != number)
		c = c->next;
	return c;
}

/* The host looks at its rings; if it has gone, the end of the connection says so. */
static void call_host(const struct hyperv_connection *c)
{
	host_syscall(SYS_sendto, c->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
}

/* ---- packets that come ---- */

/*
 * What a packet has beyond what the kernel set its channel up for is cut off; what it lacks
 * is zeros.
 */
static void taken(struct hyperv_service *s, struct hyperv_connection *c,
		  const struct hyperv_frame *frame)
{
	uint32_t most = (uint32_t)(s->kind->packet_max - sizeof(struct hyperv_packet));
	uint32_t size = frame->size < most ? frame->size : most;
	uint32_t end = frame->size > s->packet_size ? frame->size : s->packet_size;

	memset(s->packet + size, 0, end - size);
	s->packet_size = size;
	s->soon = hyperv_now() - s->ready_at < SOON_NS;
	s->request = frame->transaction;
	s->from = c;
	unlink_connection(s, c);
	append_connection(s, c);
	if (hyperv_queue_call_sender(&c->rings->requests))
		call_host(c);
}

static bool take_next(struct hyperv_service *s)
{
	struct hyperv_connection *c, *next;
	struct hyperv_frame frame;
	int ret;

	for (c = s->connections; c; c = next) {
		next = c->next;
		ret = hyperv_queue_take(&c->rings->requests, &frame, s->packet);
		if (ret > 0) {
			taken(s, c, &frame);
			return true;
		}
		if (ret < 0)
			drop(s, c);
	}
	return false;
}

bool hyperv_listen(struct hyperv_service *s)
{
	bool nothing = true;

	for (struct hyperv_connection *c = s->connections; c; c = c->next)
		nothing &= hyperv_queue_await(&c->rings->requests);
	return nothing;
}

void hyperv_receive(struct hyperv_service *s)
{
	if (s->receiving)
		return; /* whoever does goes on */
	s->receiving = true;
	while (!s->suspended && s->kind->may_receive(s)) {
		if (!take_next(s)) {
			if (s->looking || hyperv_listen(s))
				break;
			continue;
		}
		/* Too short to hold the headers: as if it had not come. */
		if (s->packet_size >= HYPERV_IC_SIZE)
			s->kind->received(s);
	}
	s->receiving = false;
}

void hyperv_connection_event(struct hyperv_service *s, uint32_t number, bool hung_up)
{
	struct hyperv_connection *c;
	char calls[64];

	pthread_mutex_lock(&s->lock);
	c = find(s, number);
	if (c)
		host_syscall(SYS_recvfrom, c->fd, calls, sizeof(calls), MSG_DONTWAIT, NULL, NULL);
	hyperv_receive(s);
	c = find(s, number);
	if (c && hung_up)
		drop(s, c);
	pthread_mutex_unlock(&s->lock);
}

/* ---- responses ---- */

void hyperv_respond(struct hyperv_service *s)
{
	struct hyperv_frame frame = {.size = s->packet_size, .transaction = s->request};

	s->ic.ic.flags = HYPERV_IC_TRANSACTION | HYPERV_IC_RESPONSE;
	if (!s->from)
		return;
	/* No room: a host that does not read what it has asked for. */
	if (hyperv_queue_put(&s->from->rings->responses, &frame, s->packet) < 0)
		drop(s, s->from);
	else if (hyperv_queue_call_receiver(&s->from->rings->responses))
		call_host(s->from);
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

void hyperv_refuse(struct hyperv_service *s)
{
	if (!hyperv_disarm(s))
		return;
	hyperv_respond_status(s, HV_E_FAIL);
	s->state = HYPERV_READY; /* the next packet is taken by who has taken this one */
}

void hyperv_give_up(struct hyperv_service *s)
{
	hyperv_respond_status(s, HV_E_FAIL);
	hyperv_ready(s);
}

void hyperv_reset(struct hyperv_service *s)
{
	if (hyperv_disarm(s))
		hyperv_respond_status(s, HV_E_FAIL);
	s->state = HYPERV_INIT;
}

/* ---- looking instead of waiting ---- */

/* Giving way between two looks, since the host may be on this very processor. */
void hyperv_await(struct hyperv_service *s)
{
	uint64_t end = s->ready_at + SOON_NS;

	if (!s->soon || s->state != HYPERV_READY)
		return;
	s->looking = true;
	for (struct hyperv_connection *c = s->connections; c; c = c->next)
		hyperv_queue_await_nothing(&c->rings->requests);
	while (s->mode == HYPERV_OPEN && s->state == HYPERV_READY && s->connections) {
		if (hyperv_now() >= end) {
			s->soon = false;
			break;
		}
		pthread_mutex_unlock(&s->lock);
		host_syscall(SYS_sched_yield);
		pthread_mutex_lock(&s->lock);
		hyperv_receive(s);
	}
	s->looking = false;
	hyperv_receive(s);
}
