/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that sleep until something happens, or that give way to others.  Before they do,
 * the runtime may use the thread to look at doorbells that have been rung (memory/doorbell.h):
 * what it does then is often what would have been waited for.
 *
 * A placeholder can't be made to say POLLERR.  So where a file says it, poll and select don't
 * wait, and their answer is corrected; what epoll says goes without.  A file that knows that it is
 * readable, by POLLIN, is asked before the kernel is, but by poll only.
 */
#include "next.h"

/* ---- what files say by themselves ---- */

/* Whether there are such files. */
static bool speak(const struct runtime *rt)
{
	return atomic_load_explicit(rt->polls, memory_order_relaxed);
}

static short polled(const struct runtime *rt, int fd, short events, bool waits)
{
	return fd_ours(fd) ? rt->polled(fd, events, waits) : 0;
}

/* One of them may wait a little. */
static bool any_speaks(const struct runtime *rt, const struct pollfd *fds, nfds_t count, bool waits)
{
	struct pollfd p;

	for (nfds_t i = 0; i < count && rt->fetch(&p, &fds[i], sizeof(p)) == 0; i++) {
		if (!fd_ours(p.fd))
			continue;
		if (rt->polled(p.fd, p.events, waits && (p.events & POLLIN)) & (p.events | POLLERR))
			return true;
		waits = false;
	}
	return false;
}

/* 0: what one said is no longer so. */
static COLD int poll_ours(const struct runtime *rt, struct pollfd *fds, nfds_t count)
{
	int n = next_poll(fds, count, 0);

	for (nfds_t i = 0; n >= 0 && i < count; i++) {
		short events = fds[i].events;

		events = polled(rt, fds[i].fd, events, false) & (events | POLLERR);
		if (!events)
			continue;
		n += !fds[i].revents;
		fds[i].revents = events;
	}
	return n;
}

/* poll(2), or the call that stands for it. */
#define POLL(fds, count, waits, call)                                           \
	({                                                                      \
		const struct runtime *rt_ = live();                             \
		int n_ = 0;                                                     \
                                                                                \
		rt_->before_wait();                                             \
		if (unlikely(speak(rt_)) && any_speaks(rt_, fds, count, waits)) \
			n_ = poll_ours(rt_, fds, count);                        \
		n_ ? n_ : (call);                                               \
	})

static bool in_error(const struct runtime *rt, int fd)
{
	return polled(rt, fd, 0, false) & POLLERR;
}

static bool is_set(int fd, const fd_set *set)
{
	return set && FD_ISSET(fd, set);
}

static bool any_selected_in_error(const struct runtime *rt, int count, const fd_set *in,
				  const fd_set *out)
{
	if (likely(!speak(rt)))
		return false;
	for (int fd = 0; fd < count && fd < FD_SETSIZE; fd++)
		if ((is_set(fd, in) || is_set(fd, out)) && in_error(rt, fd))
			return true;
	return false;
}

/* What is in error is readable and writable. */
static int correct_set(const struct runtime *rt, int count, const fd_set *asked, fd_set *set)
{
	int more = 0;

	for (int fd = 0; set && fd < count && fd < FD_SETSIZE; fd++) {
		if (!FD_ISSET(fd, asked) || FD_ISSET(fd, set) || !in_error(rt, fd))
			continue;
		FD_SET(fd, set);
		more++;
	}
	return more;
}

static COLD int select_errors(const struct runtime *rt, int count, fd_set *in, fd_set *out,
			      fd_set *error)
{
	struct timeval none = {0};
	fd_set asked_in, asked_out;
	int n;

	if (in)
		asked_in = *in;
	if (out)
		asked_out = *out;
	n = next_select(count, in, out, error, &none);
	if (n < 0)
		return n;
	return n + correct_set(rt, count, &asked_in, in) + correct_set(rt, count, &asked_out, out);
}

#define SELECT(count, in, out, error, call)                          \
	({                                                           \
		const struct runtime *rt_ = live();                  \
                                                                     \
		rt_->before_wait();                                  \
		unlikely(any_selected_in_error(rt_, count, in, out)) \
			? select_errors(rt_, count, in, out, error)  \
			: (call);                                    \
	})

/* ---- the calls ---- */

static bool takes_time(const struct timespec *timeout)
{
	struct timespec t;

	if (!timeout)
		return true;
	return live()->fetch(&t, timeout, sizeof(t)) == 0 && (t.tv_sec || t.tv_nsec);
}

int live_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	return POLL(fds, count, timeout != 0, next_poll(fds, count, timeout));
}

int live___poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room)
{
	return POLL(fds, count, timeout != 0, next___poll_chk(fds, count, timeout, room));
}

int live_select(int count, fd_set *in, fd_set *out, fd_set *error, struct timeval *timeout)
{
	return SELECT(count, in, out, error, next_select(count, in, out, error, timeout));
}

int live_epoll_ctl(int fd, int operation, int target, struct epoll_event *event)
{
	const struct runtime *rt = live();

	if (unlikely(speak(rt)))
		polled(rt, target, 0, false);
	return next_epoll_ctl(fd, operation, target, event);
}

int live_epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
	live()->before_wait();
	return next_epoll_wait(fd, events, count, timeout);
}

int live_nanosleep(const struct timespec *time, struct timespec *left)
{
	live()->before_wait();
	return WITH_MEMORY(next_nanosleep(time, left), reach_slow, time, sizeof(*time), false);
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

	return POLL(fds, count, takes_time(timeout),
		    next_ppoll(fds, count, timeout, mask_to_wait_with(set, &copy)));
}

int live___ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		     const sigset_t *set, size_t room)
{
	sigset_t copy;

	return POLL(fds, count, takes_time(timeout),
		    next___ppoll_chk(fds, count, timeout, mask_to_wait_with(set, &copy), room));
}

int live_pselect(int count, fd_set *in, fd_set *out, fd_set *error, const struct timespec *timeout,
		 const sigset_t *set)
{
	sigset_t copy;

	return SELECT(count, in, out, error,
		      next_pselect(count, in, out, error, timeout, mask_to_wait_with(set, &copy)));
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
