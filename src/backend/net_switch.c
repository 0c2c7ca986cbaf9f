/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server of a hub: a switch for everybody who connects to a Unix socket.
 *
 * One thread moves frames from one stream to others: to the one whose station has the
 * address, if it has been heard of, else to all.  A frame for which the other has no room is
 * lost, as in any switch: nobody waits for a station that doesn't read.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "backend/net_socket.h"
#include "backend/net_stream.h"
#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/thread.h"

#define MAC      6u
#define STATIONS 256u /* addresses that are remembered */
#define BURST    64u  /* frames of one station before the next one's turn */
#define EVENTS   16

struct station {
	struct net_stream stream;
	struct station *next;
	bool dirty, blocked, dead; /* has something to send; and waits for room to */
};

struct net_switch {
	int listener, epoll, wake;
	struct station *stations;
	struct {
		uint8_t mac[MAC];
		struct station *station; /* NULL: free */
	} known[STATIONS];
	pthread_t thread;
	_Atomic bool ending;
};

static unsigned place_of(const uint8_t *mac)
{
	uint32_t h = 2166136261u;

	for (unsigned i = 0; i < MAC; i++)
		h = (h ^ mac[i]) * 16777619u;
	return h % STATIONS;
}

static void learn(struct net_switch *s, struct station *from, const uint8_t *mac)
{
	unsigned i = place_of(mac);

	if (mac[0] & 1)
		return;
	memcpy(s->known[i].mac, mac, MAC);
	s->known[i].station = from;
}

static struct station *station_of(const struct net_switch *s, const uint8_t *mac)
{
	unsigned i = place_of(mac);

	return memcmp(s->known[i].mac, mac, MAC) == 0 ? s->known[i].station : NULL;
}

static void forward_to(struct station *to, const struct net_arrival *a)
{
	uint8_t *place = to->dead ? NULL : net_stream_reserve(&to->stream, a->size);

	if (!place)
		return;
	memcpy(place, a->data, a->size);
	net_stream_commit(&to->stream, a->size);
	to->dirty = true;
}

static void forward(struct net_switch *s, struct station *from, const struct net_arrival *a)
{
	struct station *to;

	learn(s, from, a->data + MAC);
	to = station_of(s, a->data);
	if (to == from)
		return;
	if (to) {
		forward_to(to, a);
		return;
	}
	for (to = s->stations; to; to = to->next)
		if (to != from)
			forward_to(to, a);
}

static void control(struct net_switch *s, int operation, int fd, uint32_t events, void *who)
{
	struct epoll_event event = {.events = events, .data.ptr = who};

	host_syscall(SYS_epoll_ctl, s->epoll, operation, fd, &event);
}

/* Sends what stations have got, and waits for those that can't take it all. */
static void flush_all(struct net_switch *s)
{
	for (struct station *t = s->stations; t; t = t->next) {
		int ret;

		if (!t->dirty || t->dead)
			continue;
		ret = net_stream_flush(&t->stream);
		t->dead = ret && ret != -EAGAIN;
		t->dirty = ret == -EAGAIN;
		if (t->dirty != t->blocked) {
			t->blocked = t->dirty;
			control(s, EPOLL_CTL_MOD, t->stream.fd,
				t->blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, t);
		}
	}
}

static void receive(struct net_switch *s, struct station *from)
{
	struct net_arrival arrivals[BURST];
	int ret = net_stream_fill(&from->stream);
	unsigned n;

	if (ret && ret != -EAGAIN)
		from->dead = true;
	while ((n = net_stream_peek(&from->stream, arrivals, BURST))) {
		for (unsigned i = 0; i < n; i++)
			forward(s, from, &arrivals[i]);
		net_stream_consume(&from->stream, n);
		flush_all(s);
	}
}

static void accept_station(struct net_switch *s)
{
	long fd = host_syscall(SYS_accept4, s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct station *t;

	if (fd >= 0)
		fd = hostfd_adopt((int)fd);
	if (fd < 0)
		return;
	t = calloc(1, sizeof(*t));
	if (!t || net_stream_init(&t->stream)) {
		hostfd_close((int)fd);
		free(t);
		return;
	}
	net_stream_connect(&t->stream, (int)fd);
	t->next = s->stations;
	s->stations = t;
	control(s, EPOLL_CTL_ADD, (int)fd, EPOLLIN, t);
}

static void bury(struct net_switch *s, bool all)
{
	struct station **link = &s->stations, *t;

	while ((t = *link)) {
		if (!t->dead && !all) {
			link = &t->next;
			continue;
		}
		for (unsigned i = 0; i < STATIONS; i++)
			if (s->known[i].station == t)
				s->known[i].station = NULL;
		*link = t->next;
		control(s, EPOLL_CTL_DEL, t->stream.fd, 0, NULL);
		net_stream_finish(&t->stream);
		free(t);
	}
}

static void *run(void *arg)
{
	struct net_switch *s = arg;
	struct epoll_event events[EVENTS];
	long n;

	while (!atomic_load(&s->ending)) {
		n = host_syscall(SYS_epoll_pwait, s->epoll, events, EVENTS, -1, NULL, 8);
		for (long i = 0; i < n; i++) {
			struct station *t = events[i].data.ptr;

			if (!t)
				accept_station(s);
			else if (t == (void *)s)
				continue; /* to end */
			else if (events[i].events & ~(uint32_t)EPOLLOUT)
				receive(s, t);
		}
		flush_all(s);
		bury(s, false);
	}
	return NULL;
}

static void destroy(struct net_switch *s)
{
	bury(s, true);
	hostfd_close(s->listener);
	hostfd_close(s->epoll);
	hostfd_close(s->wake);
	free(s);
}

int net_switch_start(int listener, struct net_switch **ret_switch)
{
	struct net_switch *s = calloc(1, sizeof(*s));
	long fd;
	int ret;

	if (!s) {
		hostfd_close(listener);
		return -ENOMEM;
	}
	s->listener = listener;
	s->wake = -1;
	fd = host_syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
	s->epoll = ret = fd < 0 ? (int)fd : hostfd_adopt((int)fd);
	if (ret >= 0) {
		fd = host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
		s->wake = ret = fd < 0 ? (int)fd : hostfd_adopt((int)fd);
	}
	if (ret >= 0) {
		control(s, EPOLL_CTL_ADD, s->listener, EPOLLIN, NULL);
		control(s, EPOLL_CTL_ADD, s->wake, EPOLLIN, s);
		ret = thread_start(&s->thread, "net-hub", run, s);
	}
	if (ret < 0) {
		destroy(s);
		return ret;
	}
	*ret_switch = s;
	return 0;
}

void net_switch_stop(struct net_switch *s)
{
	static const uint64_t one = 1;

	if (!s)
		return;
	atomic_store(&s->ending, true);
	host_write(s->wake, &one, sizeof(one));
	pthread_join(s->thread, NULL);
	destroy(s);
}
