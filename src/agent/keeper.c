/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frozen in the list's order, thawed in the opposite one.  EBUSY says that a file system is frozen
 * already, as it is when it is mounted twice; then it is not ours to thaw.
 */
#include "agent/keeper.h"

#include <errno.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/clock.h"

static int plain_control(int fd, unsigned long command)
{
	return ioctl(fd, command, 0);
}

typedef int (*keeper_control)(int fd, unsigned long command);

static void report(int fd, enum keeper_stage stage, struct keeper_report *r)
{
	r->stage = stage;
	/* If the agent is gone, nobody has to know. */
	send(fd, r, sizeof(*r), MSG_NOSIGNAL);
}

static void freeze_all(struct mounts *m, keeper_control control, struct keeper_report *r)
{
	for (unsigned i = 0; i < m->n && r->error == 0; i++) {
		if (control(m->mount[i].fd, FIFREEZE) == 0) {
			m->mount[i].frozen = true;
			r->n++;
		} else if (errno != EBUSY) {
			r->error = errno;
			r->mount = i;
		}
	}
}

static void thaw_all(struct mounts *m, keeper_control control, struct keeper_report *r)
{
	for (unsigned i = m->n; i-- > 0;) {
		if (!m->mount[i].frozen)
			continue;
		if (control(m->mount[i].fd, FITHAW) == 0) {
			r->n++;
		} else if (errno != EINVAL) { /* somebody else has thawed it */
			r->error = errno;
			r->mount = i;
		}
	}
}

/* Until told, the agent is gone, or the time is up (true). */
static bool wait_for_end(int fd, unsigned timeout)
{
	int64_t until = clock_now() + timeout * CLOCK_SECOND, left;
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while ((left = until - clock_now()) > 0) {
		struct timespec wait = {.tv_sec = left / CLOCK_SECOND,
					.tv_nsec = left % CLOCK_SECOND};

		if (ppoll(&p, 1, &wait, NULL) > 0)
			return false;
	}
	return true;
}

static void keep(struct mounts *m, bool freeze, unsigned timeout, keeper_control control, int fd)
{
	struct keeper_report frozen = {0}, thawed = {0};
	bool expired = false;

	if (freeze) {
		freeze_all(m, control, &frozen);
		if (frozen.error)
			thaw_all(m, control, &thawed);
		report(fd, KEEPER_FROZEN, &frozen);
		if (frozen.error)
			return;
		expired = wait_for_end(fd, timeout);
	} else {
		for (unsigned i = 0; i < m->n; i++)
			m->mount[i].frozen = true;
	}
	thaw_all(m, control, &thawed);
	report(fd, expired ? KEEPER_EXPIRED : KEEPER_THAWED, &thawed);
}

/* A device that the keeper had open, too, would not be closed when the agent ends. */
static void close_others(const struct mounts *m, int own)
{
	int last = own;

	for (unsigned i = 0; i < m->n; i++)
		last = m->mount[i].fd > last ? m->mount[i].fd : last;
	for (int fd = 3; fd <= last; fd++) {
		bool needed = fd == own;

		for (unsigned i = 0; i < m->n; i++)
			needed |= m->mount[i].fd == fd;
		if (!needed)
			close(fd);
	}
	closefrom(last + 1);
}

pid_t keeper_start(struct mounts *m, bool freeze, unsigned timeout, keeper_control control,
		   int *ret_fd)
{
	int pair[2], ret;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		ret = -errno;
		close(pair[0]);
		close(pair[1]);
		return ret;
	}
	if (pid == 0) {
		close_others(m, pair[1]);
		prctl(PR_SET_NAME, "agent-freeze");
		keep(m, freeze, timeout, control ? control : plain_control, pair[1]);
		_exit(0);
	}
	close(pair[1]);
	*ret_fd = pair[0];
	return pid;
}

void keeper_thaw(int fd)
{
	send(fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool keeper_hear(int fd, struct keeper_report *r)
{
	ssize_t n = recv(fd, r, sizeof(*r), 0);

	/* It went without having read keeper_thaw(); that is told before what it has said. */
	if (n < 0 && errno == ECONNRESET)
		n = recv(fd, r, sizeof(*r), 0);
	return n == sizeof(*r);
}
