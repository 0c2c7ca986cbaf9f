/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread of this room: waits for calls of hosts, and for time-outs.
 *
 * Hosts call when a service waits for a packet and nobody else looks.  A time-out is a number in
 * the service that the thread looks at when it wakes; it is only woken to hear of one that comes
 * before what it has gone to sleep for, which with requests that follow each other is nearly never.
 *
 * A forked child has no such thread.  It starts its own when it opens a device of its own.
 */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/poll.h>
#include <time.h>

#include "core/config.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/syscall.h"
#include "core/thread.h"
#include "hyperv/hyperv.h"

#define NS_PER_S  1000000000u
#define NS_PER_MS 1000000u
#define WAKE      UINT64_MAX /* epoll's word for the eventfd */

static struct {
	pthread_mutex_t lock;
	pid_t process; /* whose thread it is; 0: nobody's */
	pthread_t thread;
	int epoll, wake; /* private descriptors */
	_Atomic bool stop;
	_Atomic uint64_t until; /* when it wakes by itself; UINT64_MAX: never, or it has none yet */
} loop = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t hyperv_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static void wake(void)
{
	static const uint64_t one = 1;

	host_write(loop.wake, &one, sizeof(one));
}

/* ---- time-outs ---- */

void hyperv_arm(struct hyperv_service *s, unsigned seconds)
{
	double scale = instance ? instance->config->hyperv.timeouts : 1;

	s->deadline = hyperv_now() + (uint64_t)(seconds * scale * NS_PER_S);
	if (s->deadline < atomic_load(&loop.until))
		wake();
}

bool hyperv_disarm(struct hyperv_service *s)
{
	bool armed = s->deadline != 0;

	s->deadline = 0;
	return armed;
}

/* Ends what is over; when to look again, or 0: there is nothing to wait for. */
static uint64_t look_at_deadlines(void)
{
	uint64_t next = 0;

	for (unsigned i = 0; i < HYPERV_SERVICES; i++) {
		struct hyperv_service *s = hyperv_services[i];

		pthread_mutex_lock(&s->lock);
		if (s->deadline && s->deadline <= hyperv_now()) {
			s->deadline = 0;
			s->kind->timed_out(s);
		}
		if (s->deadline && (!next || s->deadline < next))
			next = s->deadline;
		pthread_mutex_unlock(&s->lock);
	}
	return next;
}

/* Milliseconds for epoll_wait, from a time or 0. */
static int wait_time(uint64_t until)
{
	uint64_t time = hyperv_now(), ms;

	if (!until)
		return -1;
	ms = until > time ? (until - time + NS_PER_MS - 1) / NS_PER_MS : 0;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* ---- the thread ---- */

static void *run(void *arg)
{
	struct epoll_event event;
	uint64_t until = 0, next, count;

	while (!atomic_load(&loop.stop)) {
		/*
		 * What it was to wake for may be over by then; it wakes all the same, and needs not
		 * be told of any that come after that.
		 */
		if (until <= hyperv_now()) {
			until = 0;
			atomic_store(&loop.until, UINT64_MAX);
		}
		next = look_at_deadlines();
		if (next && (!until || next < until))
			until = next;
		atomic_store(&loop.until, until ? until : UINT64_MAX);
		if (host_syscall(SYS_epoll_pwait, loop.epoll, &event, 1, wait_time(until), NULL,
				 0) != 1)
			continue;
		if (event.data.u64 == WAKE)
			host_read(loop.wake, &count, sizeof(count));
		else
			hyperv_connection_event(hyperv_services[event.data.u64 >> 32],
						(uint32_t)event.data.u64,
						event.events & (EPOLLHUP | EPOLLERR));
	}
	return NULL;
}

int hyperv_loop_add(const struct hyperv_service *s, uint32_t number, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	for (unsigned i = 0; i < HYPERV_SERVICES; i++)
		if (hyperv_services[i] == s)
			event.data.u64 = (uint64_t)i << 32 | number;
	return (int)host_syscall(SYS_epoll_ctl, loop.epoll, EPOLL_CTL_ADD, fd, &event);
}

void hyperv_loop_remove(int fd)
{
	host_syscall(SYS_epoll_ctl, loop.epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* ---- beginning and end ---- */

static void close_all(void)
{
	hostfd_close(loop.epoll);
	hostfd_close(loop.wake);
	loop.epoll = loop.wake = -1;
}

static int start(void)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE};
	int ret;

	atomic_store(&loop.stop, false);
	atomic_store(&loop.until, UINT64_MAX);
	loop.epoll = hostfd_adopt((int)host_syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
	loop.wake = hostfd_adopt((int)host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC));
	ret = loop.epoll < 0 ? loop.epoll : loop.wake < 0 ? loop.wake : 0;
	if (ret == 0)
		ret = (int)host_syscall(SYS_epoll_ctl, loop.epoll, EPOLL_CTL_ADD, loop.wake,
					&event);
	if (ret == 0)
		ret = thread_start(&loop.thread, "hyperv", run, NULL);
	if (ret < 0)
		close_all();
	return ret;
}

int hyperv_loop_start(void)
{
	pid_t process = (pid_t)host_syscall(SYS_getpid);
	int ret = 0;

	pthread_mutex_lock(&loop.lock);
	if (loop.process != process) {
		ret = start();
		loop.process = ret == 0 ? process : 0;
	}
	pthread_mutex_unlock(&loop.lock);
	return ret;
}

void hyperv_loop_stop(void)
{
	pthread_mutex_lock(&loop.lock);
	if (loop.process) {
		atomic_store(&loop.stop, true);
		wake();
		pthread_join(loop.thread, NULL);
		close_all();
		loop.process = 0;
	}
	pthread_mutex_unlock(&loop.lock);
}

void hyperv_loop_forked(void)
{
	pthread_mutex_init(&loop.lock, NULL);
	if (loop.process)
		close_all();
	loop.process = 0;
}
