/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sleeping in the handler of a fault, where signals are blocked, so that one which the thread had
 * open ends it without having been delivered: in the kernel a thread has left its fault by the
 * time that a handler runs.  While there is no handler, signals are let in, and it sleeps on a
 * futex.
 *
 * A signalfd says that there is one; it is read nowhere.  Blocked signals stay pending even if
 * they are ignored, and those are thrown away here.  Without descriptors to be had, signals wait
 * until the fault is over.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/signal_mask.h"
#include "core/syscall.h"
#include "uffd/uffd.h"

#define SIGNALS     64
#define BIT(signal) ((uint64_t)1 << ((signal)-1))
/* Ignored if they are left at their default. */
#define HARMLESS (BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH))

/* The kernel's struct sigaction. */
struct action {
	void *handler;
	uint64_t flags;
	const void *restorer;
	uint64_t mask;
};

static bool prepare(struct uffd_sleeper *s, uint64_t mask)
{
	uint64_t open = ~mask;
	long ret;

	if (s->wakes < 0)
		s->wakes = hostfd_adopt(
			(int)host_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (s->wakes < 0)
		return false;
	if (s->signals >= 0 && s->mask == mask)
		return true;
	ret = host_syscall(SYS_signalfd4, s->signals, &open, sizeof(open), SFD_CLOEXEC);
	if (ret < 0)
		return false;
	if (s->signals < 0)
		s->signals = hostfd_adopt((int)ret);
	s->mask = mask;
	return s->signals >= 0;
}

static bool is_ignored(int signal)
{
	struct action action;

	if (host_syscall(SYS_rt_sigaction, signal, NULL, &action, sizeof(action.mask)) < 0)
		return false;
	return action.handler == (void *)SIG_IGN ||
	       (action.handler == (void *)SIG_DFL && HARMLESS & BIT(signal));
}

/* Whether a signal is to be delivered; those that nobody wants go. */
static bool is_interrupted(uint64_t mask)
{
	static const struct timespec none;
	uint64_t pending = 0, ignored = 0;

	host_syscall(SYS_rt_sigpending, &pending, sizeof(pending));
	pending &= ~mask;
	for (int signal = 1; signal <= SIGNALS; signal++)
		if (pending & BIT(signal) && is_ignored(signal))
			ignored |= BIT(signal);
	if (pending & ~ignored)
		return true;
	while (host_syscall(SYS_rt_sigtimedwait, &ignored, NULL, &none, sizeof(ignored)) > 0)
		;
	return false;
}

static bool poll_until(struct uffd_sleeper *s, struct uffd_message *m, uint64_t mask)
{
	struct pollfd fds[2] = {{.fd = s->wakes, .events = POLLIN},
				{.fd = s->signals, .events = POLLIN}};
	uint64_t count;

	while (atomic_load(&m->waiting)) {
		host_syscall(SYS_poll, fds, 2, -1);
		/* Perhaps an old one: it came when the thread had left by itself. */
		if (fds[0].revents & POLLIN)
			host_read(s->wakes, &count, sizeof(count));
		if (atomic_load(&m->waiting) && fds[1].revents & POLLIN && is_interrupted(mask))
			return false;
	}
	return true;
}

bool uffd_sleep(struct uffd_sleeper *s, struct uffd_message *m, const uint64_t *mask)
{
	bool open = mask && signal_mask_is_idle(), polls = mask && !open && prepare(s, *mask);
	uint32_t awake = UFFD_WAITING;

	if (!atomic_compare_exchange_strong(&m->waiting, &awake,
					    polls ? UFFD_POLLING : UFFD_ASLEEP))
		return true;
	if (polls)
		return poll_until(s, m, *mask);
	if (open)
		signal_mask_restore(mask);
	while (atomic_load(&m->waiting))
		host_syscall(SYS_futex, &m->waiting, FUTEX_WAIT_PRIVATE, UFFD_ASLEEP, NULL);
	return true;
}

void uffd_sleep_end(const struct uffd_sleeper *s)
{
	uint64_t one = 1;

	host_write(s->wakes, &one, sizeof(one));
}
