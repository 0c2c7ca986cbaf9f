/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread in epoll_wait.  A watch is destroyed under the lock that the thread holds while
 * it runs an event, and the thread takes an event's watch seriously only if it still is in
 * the list.  An eventfd of the thread's own tells it to end.
 */
#include "vfio/eventfd_watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/thread.h"

struct eventfd_watch {
	int eventfd;
	void (*event)(void *arg);
	void *arg;
	struct eventfd_watch *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct eventfd_watch *watches;
static pthread_t thread;
static bool running;
static int epoll = -1, stop = -1;

static bool listed(const struct eventfd_watch *w)
{
	const struct eventfd_watch *i;

	for (i = watches; i; i = i->next)
		if (i == w)
			return true;
	return false;
}

static void *run(void *unused)
{
	struct epoll_event event;
	struct eventfd_watch *w;
	uint64_t count;
	long n;

	for (;;) {
		n = host_syscall(SYS_epoll_wait, epoll, &event, 1, -1);
		if (n == -EINTR)
			continue;
		if (n != 1 || !event.data.ptr)
			return NULL;
		pthread_mutex_lock(&lock);
		w = event.data.ptr;
		if (listed(w) && host_read(w->eventfd, &count, sizeof(count)) == sizeof(count))
			w->event(w->arg);
		pthread_mutex_unlock(&lock);
	}
}

static int add(int fd, void *data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};

	return (int)host_syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event);
}

static int private_descriptor(long fd)
{
	return fd < 0 ? (int)fd : hostfd_adopt((int)fd);
}

/* Starts the thread, with the lock held. */
static int start(void)
{
	int ret;

	if (running)
		return 0;
	epoll = private_descriptor(host_syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
	stop = private_descriptor(host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC));
	ret = epoll < 0 ? epoll : stop < 0 ? stop : add(stop, NULL);
	if (!ret)
		ret = thread_start(&thread, "standin-eventfd", run, NULL);
	if (ret) {
		hostfd_close(epoll);
		hostfd_close(stop);
		epoll = stop = -1;
		return ret;
	}
	running = true;
	return 0;
}

int eventfd_watch_create(int eventfd, void (*event)(void *arg), void *arg,
			 struct eventfd_watch **ret_watch)
{
	struct eventfd_watch *w;
	int ret;

	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->eventfd = eventfd;
	w->event = event;
	w->arg = arg;
	pthread_mutex_lock(&lock);
	ret = start();
	if (!ret) {
		w->next = watches;
		watches = w;
		ret = add(eventfd, w);
		if (ret)
			watches = w->next;
	}
	pthread_mutex_unlock(&lock);
	if (ret) {
		free(w);
		return ret;
	}
	*ret_watch = w;
	return 0;
}

void eventfd_watch_destroy(struct eventfd_watch *w)
{
	struct eventfd_watch **link;

	if (!w)
		return;
	pthread_mutex_lock(&lock);
	for (link = &watches; *link && *link != w; link = &(*link)->next)
		;
	if (*link)
		*link = w->next;
	host_syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, w->eventfd, NULL);
	pthread_mutex_unlock(&lock);
	hostfd_close(w->eventfd);
	free(w);
}

void eventfd_watch_stop(void)
{
	static const uint64_t one = 1;

	if (!running)
		return;
	host_write(stop, &one, sizeof(one));
	pthread_join(thread, NULL);
	hostfd_close(epoll);
	hostfd_close(stop);
	epoll = stop = -1;
	running = false;
}
