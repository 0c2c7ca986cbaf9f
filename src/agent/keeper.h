/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent/keeper.h - a process that freezes file systems and is sure to thaw them.
 *
 * The agent must not wait for a file system that it has frozen itself, and must thaw even if
 * it is killed.  So a child of its does both.  It opens nothing and writes nothing but to its
 * socket, and it thaws when it is told to, when a time is up, and when the agent is gone, also
 * if one of the file systems is still being frozen then.
 */
#ifndef STANDIN_AGENT_KEEPER_H
#define STANDIN_AGENT_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/mounts.h"

/* What it tells, a packet each. */
enum keeper_stage {
	/*
	 * Or not: error; then nothing is frozen, and the keeper is gone.  ETIMEDOUT: one can't be
	 * frozen in time.  ECANCELED: it was told to thaw before all were.
	 */
	KEEPER_FROZEN,
	KEEPER_THAWED,  /* error: at least one is not */
	KEEPER_EXPIRED, /* the time is up, all else as KEEPER_THAWED */
};
struct keeper_report {
	enum keeper_stage stage;
	int error;      /* errno, 0: none */
	unsigned mount; /* of the error */
	unsigned n;     /* how many were frozen or thawed */
};

/*
 * Starts a keeper that freezes `m` for at most `timeout` seconds, from the first on; or only thaws
 * them all, by whomever they are frozen, if `freeze` is false.  `control` is ioctl(), or another
 * function of a test's.  *ret_fd is the socket for the other two functions.  The child's process
 * number, or -errno.
 */
pid_t keeper_start(struct mounts *m, bool freeze, unsigned timeout,
		   int (*control)(int fd, unsigned long command), int *ret_fd);
void keeper_thaw(int fd);

/* Its next word; false: it is gone without one. */
bool keeper_hear(int fd, struct keeper_report *r);

#endif
