/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frozen in the list's order, thawed in the opposite one.  EBUSY says that a file system is frozen
 * already, as it is when it is mounted twice; then it is not ours to thaw.
 *
 * Freezing may never end: what is below a file system may need one that was frozen before it.
 * So the keeper does not freeze itself but has a child for it, the freezer, which it
 * need not wait for.  Of each file system the freezer tells; if nobody is there to be told, it
 * thaws what it has frozen.
 */
#include "agent/keeper.h"

#include <errno.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
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

/* ---- the freezer ---- */

/* Of the next of the list it tells 0, or errno; EBUSY is good as well. */
static bool is_good(int word)
{
	return word == 0 || word == EBUSY;
}

static void freeze_all(struct mounts *m, keeper_control control, int fd)
{
	struct keeper_report thawed = {0};
	int word = 0;

	for (unsigned i = 0; i < m->n && is_good(word); i++) {
		m->mount[i].frozen = control(m->mount[i].fd, FIFREEZE) == 0;
		word = m->mount[i].frozen ? 0 : errno;
		if (send(fd, &word, sizeof(word), MSG_NOSIGNAL) != sizeof(word)) {
			thaw_all(m, control, &thawed);
			return;
		}
	}
}

static pid_t start_freezer(struct mounts *m, keeper_control control, int agent, int *ret_fd)
{
	int pair[2], ret;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(agent);
		close(pair[0]);
		freeze_all(m, control, pair[1]);
		_exit(0);
	}
	ret = -errno;
	close(pair[1]);
	if (pid > 0) {
		*ret_fd = pair[0];
		return pid;
	}
	close(pair[0]);
	return ret;
}

/* ---- the keeper ---- */

/* Until one of the two is readable, whose number it returns, or the time is up: -1. */
static int wait_for(int a, int b, int64_t until)
{
	struct pollfd p[] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
	int64_t left = 0;

	while (until == CLOCK_NEVER || (left = until - clock_now()) > 0) {
		struct timespec wait = {.tv_sec = left / CLOCK_SECOND,
					.tv_nsec = left % CLOCK_SECOND};

		if (ppoll(p, 2, until == CLOCK_NEVER ? NULL : &wait, NULL) > 0)
			return p[0].revents ? 0 : 1;
	}
	return -1;
}

/* Takes the freezer's next word.  False: there is none. */
static bool hear_freezer(struct mounts *m, int fd, int flags, struct keeper_report *r)
{
	struct mount *mount = &m->mount[r->mount];
	int word;

	if (recv(fd, &word, sizeof(word), flags) != sizeof(word))
		return false;
	if (word == 0) {
		mount->frozen = true;
		r->n++;
	}
	if (is_good(word))
		r->mount++;
	else
		r->error = word;
	return true;
}

/*
 * r->mount: how far it has come.  The time begins with the first that is frozen, and until then
 * there is none; returns its end.
 */
static int64_t freeze_with(int fd, struct mounts *m, unsigned timeout, int agent,
			   struct keeper_report *r)
{
	int64_t until = CLOCK_NEVER;
	int who;

	while (r->error == 0 && r->mount < m->n) {
		who = wait_for(agent, fd, until);
		if (who == 0)
			r->error = ECANCELED;
		else if (who < 0)
			r->error = ETIMEDOUT;
		else if (!hear_freezer(m, fd, 0, r))
			r->error = EIO;
		else if (r->n && until == CLOCK_NEVER)
			until = clock_now() + timeout * CLOCK_SECOND;
	}
	return until == CLOCK_NEVER ? clock_now() + timeout * CLOCK_SECOND : until;
}

/* Returns when the time is up. */
static int64_t freeze_or_thaw(struct mounts *m, unsigned timeout, keeper_control control, int agent,
			      struct keeper_report *r)
{
	struct keeper_report told, thawed = {0};
	int fd = -1;
	pid_t freezer = start_freezer(m, control, agent, &fd);
	int64_t until;

	if (freezer < 0) {
		r->error = -freezer;
		return 0;
	}
	until = freeze_with(fd, m, timeout, agent, r);
	if (r->error) {
		/* What it can't tell from now on it thaws; what it has told is ours. */
		shutdown(fd, SHUT_RD);
		told = *r;
		while (told.mount < m->n && hear_freezer(m, fd, MSG_DONTWAIT, &told))
			;
		thaw_all(m, control, &thawed);
	} else {
		waitpid(freezer, NULL, 0);
	}
	close(fd);
	return until;
}

static void keep(struct mounts *m, bool freezing, unsigned timeout, keeper_control control, int fd)
{
	struct keeper_report frozen = {0}, thawed = {0};
	bool expired = false;
	int64_t until;

	if (freezing) {
		until = freeze_or_thaw(m, timeout, control, fd, &frozen);
		report(fd, KEEPER_FROZEN, &frozen);
		if (frozen.error)
			return;
		expired = wait_for(fd, -1, until) < 0;
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
