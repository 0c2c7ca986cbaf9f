/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that sleep until something happens, or that give way to others.  Before they do,
 * the runtime may use the thread to look at doorbells that have been rung (memory/doorbell.h):
 * what it does then is often what would have been waited for.
 */
#include "next.h"

int live_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	live()->before_wait();
	return next_poll(fds, count, timeout);
}

int live___poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room)
{
	live()->before_wait();
	return next___poll_chk(fds, count, timeout, room);
}

int live_select(int count, fd_set *in, fd_set *out, fd_set *error, struct timeval *timeout)
{
	live()->before_wait();
	return next_select(count, in, out, error, timeout);
}

int live_epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
	live()->before_wait();
	return next_epoll_wait(fd, events, count, timeout);
}

int live_nanosleep(const struct timespec *time, struct timespec *left)
{
	live()->before_wait();
	return next_nanosleep(time, left);
}

int live_clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
			 struct timespec *left)
{
	live()->before_wait();
	return next_clock_nanosleep(clock, flags, time, left);
}

int live_usleep(useconds_t us)
{
	live()->before_wait();
	return next_usleep(us);
}

int live_sched_yield(void)
{
	live()->before_wait();
	return next_sched_yield();
}

int live_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
	       const sigset_t *set)
{
	sigset_t copy;

	live()->before_wait();
	return next_ppoll(fds, count, timeout, mask_to_wait_with(set, &copy));
}

int live___ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		     const sigset_t *set, size_t room)
{
	sigset_t copy;

	live()->before_wait();
	return next___ppoll_chk(fds, count, timeout, mask_to_wait_with(set, &copy), room);
}

int live_pselect(int count, fd_set *in, fd_set *out, fd_set *error, const struct timespec *timeout,
		 const sigset_t *set)
{
	sigset_t copy;

	live()->before_wait();
	return next_pselect(count, in, out, error, timeout, mask_to_wait_with(set, &copy));
}

int live_epoll_pwait(int fd, struct epoll_event *events, int count, int timeout,
		     const sigset_t *set)
{
	sigset_t copy;

	live()->before_wait();
	return next_epoll_pwait(fd, events, count, timeout, mask_to_wait_with(set, &copy));
}

int live_epoll_pwait2(int fd, struct epoll_event *events, int count, const struct timespec *timeout,
		      const sigset_t *set)
{
	sigset_t copy;

	live()->before_wait();
	return next_epoll_pwait2(fd, events, count, timeout, mask_to_wait_with(set, &copy));
}
