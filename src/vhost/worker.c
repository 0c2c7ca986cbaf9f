/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device's thread: "vhost-PID", in the process that owns the device.
 *
 * It waits for kicks and whatever else the device watches in one epoll set, edge-triggered.
 * So an eventfd need not be read: a kick is an edge, and its count stays for the client to
 * see, as with the kernel.  While there is work it doesn't wait, and when there is none any
 * more it goes on looking for as long as the client's busyloop timeout says.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "core/thread.h"
#include "vhost/vhost.h"

#define EVENTS 64

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* How long to look before sleeping. */
static uint32_t busyloop(const struct vhost_dev *dev)
{
	uint32_t most = 0;

	for (unsigned i = 0; i < dev->n_vqs; i++)
		if (dev->vqs[i].active && dev->vqs[i].busyloop > most)
			most = dev->vqs[i].busyloop;
	return most;
}

static void run_events(const struct epoll_event *events, long n)
{
	for (long i = 0; i < n; i++) {
		struct vhost_source *source = events[i].data.ptr;

		if (source)
			source->ready(source, events[i].events);
	}
}

static void *run(void *arg)
{
	struct vhost_dev *dev = arg;
	struct epoll_event events[EVENTS];
	uint64_t idle_from = 0;
	uint32_t spin = 0;
	int timeout = 0;
	bool more;
	long n;

	while (!atomic_load(&dev->ending)) {
		n = host_syscall(SYS_epoll_pwait, dev->epoll, events, EVENTS, timeout, NULL, 8);
		while (atomic_load(&dev->waiting))
			sched_yield();
		pthread_mutex_lock(&dev->lock);
		run_events(events, n);
		more = dev->ops->work(dev);
		spin = busyloop(dev);
		timeout = more ? 0 : dev->ops->timeout(dev);
		pthread_mutex_unlock(&dev->lock);
		if (more || n > 0) {
			idle_from = 0;
			if (!more && spin)
				timeout = 0;
		} else if (spin) {
			if (!idle_from)
				idle_from = now_us();
			if (now_us() - idle_from < spin)
				timeout = 0;
		}
	}
	return NULL;
}

int vhost_worker_start(struct vhost_dev *dev)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	char name[16];
	int ret;

	dev->epoll = hostfd_adopt((int)host_syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
	if (dev->epoll < 0)
		return -ENOMEM;
	dev->wake = hostfd_adopt(
		(int)host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
	ret = dev->wake < 0 ? -ENOMEM
			    : (int)host_syscall(SYS_epoll_ctl, dev->epoll, EPOLL_CTL_ADD,
						dev->wake, &event);
	atomic_store(&dev->ending, false);
	snprintf(name, sizeof(name), "vhost-%ld", host_syscall(SYS_getpid));
	if (ret == 0)
		ret = thread_start(&dev->thread, name, run, dev);
	if (ret == 0)
		return 0;
	hostfd_close(dev->epoll);
	hostfd_close(dev->wake);
	dev->epoll = dev->wake = -1;
	return -ENOMEM;
}

void vhost_worker_wake(struct vhost_dev *dev)
{
	static const uint64_t one = 1;

	if (dev->wake >= 0)
		host_write(dev->wake, &one, sizeof(one));
}

void vhost_worker_stop(struct vhost_dev *dev)
{
	if (dev->epoll < 0)
		return;
	atomic_store(&dev->ending, true);
	vhost_worker_wake(dev);
	pthread_join(dev->thread, NULL);
	hostfd_close(dev->epoll);
	hostfd_close(dev->wake);
	dev->epoll = dev->wake = -1;
}

int vhost_watch(struct vhost_dev *dev, int fd, struct vhost_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLET, .data.ptr = source};

	return (int)host_syscall(SYS_epoll_ctl, dev->epoll, EPOLL_CTL_ADD, fd, &event);
}

void vhost_unwatch(struct vhost_dev *dev, int fd)
{
	host_syscall(SYS_epoll_ctl, dev->epoll, EPOLL_CTL_DEL, fd, NULL);
}
