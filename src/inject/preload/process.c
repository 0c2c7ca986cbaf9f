/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * New processes.  A fork tells the runtime, which has locks, threads and files that do
 * not pass on.  vfork, whose child would run the runtime on our memory, is fork once
 * the runtime is loaded (x86_64/preload.S).  daemon and forkpty fork inside libc, so they
 * are done here then.
 */
#include <stdlib.h>

#include "next.h"

/* ---- the memory engine's part ---- */

static void memory_prepare(void)
{
	const struct runtime *rt = live();

	if (rt)
		rt->memory_fork_prepare();
}

static void memory_parent(void)
{
	const struct runtime *rt = live();

	if (rt)
		rt->memory_fork_parent();
}

static void memory_child(void)
{
	const struct runtime *rt = live();

	if (rt)
		rt->memory_fork_child();
}

/*
 * Before all other handlers, for then ours is called after them, and first when the fork has been
 * made: they may wait for threads that wait for the engine.
 */
void register_fork_handlers(void)
{
	static atomic_flag done = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&done))
		next___register_atfork(memory_prepare, memory_parent, memory_child, NULL);
}

int do___register_atfork(void *prepare, void *parent, void *child, void *library)
{
	register_fork_handlers();
	return next___register_atfork(prepare, parent, child, library);
}

/* _Fork() calls no handlers. */
static pid_t fork_alone(void)
{
	pid_t child;

	memory_prepare();
	child = next__Fork();
	if (child == 0)
		memory_child();
	else
		memory_parent();
	return child;
}

/* ---- forks ---- */

/*
 * One fork at a time, from prepare to its end: the runtime keeps what belongs to it in
 * one place.
 */
static pid_t fork_with(pid_t (*next)(void))
{
	const struct runtime *rt;
	pid_t child;
	int saved;

	activation_lock();
	rt = live();
	saved = rt ? -rt->fork_prepare() : 0;
	if (saved) {
		activation_unlock();
		errno = saved;
		return -1;
	}
	child = next();
	saved = errno;
	if (child == 0) {
		activation_forked();
		if (rt)
			rt->fork_child();
	} else {
		if (rt)
			rt->fork_parent(child);
		activation_unlock();
		if (rt && child > 0)
			rt->fork_settle();
	}
	errno = saved;
	return child;
}

pid_t do_fork(void)
{
	return fork_with(next_fork);
}

/* May be called in a signal handler, which may have interrupted one of the others here. */
pid_t live__Fork(void)
{
	return activation_held() ? next__Fork() : fork_with(fork_alone);
}

pid_t fork_for_vfork(void)
{
	return do_fork();
}

int live_daemon(int nochdir, int noclose)
{
	int fd;

	switch (do_fork()) {
	case -1:
		return -1;
	case 0:
		break;
	default:
		_exit(0);
	}
	if (setsid() < 0)
		return -1;
	if (!nochdir)
		do_chdir("/");
	if (noclose)
		return 0;
	fd = next_open("/dev/null", O_RDWR, 0);
	if (fd < 0)
		return -1;
	for (int i = 0; i < 3; i++)
		live_dup2(fd, i);
	if (fd > 2)
		live_close(fd);
	return 0;
}

/* From <pty.h> and <utmp.h>. */
int openpty(int *master, int *slave, char *name, const struct termios *termios,
	    const struct winsize *size);
int login_tty(int fd);

pid_t live_forkpty(int *master, char *name, const struct termios *termios,
		   const struct winsize *size)
{
	int outer, inner;
	pid_t child;

	if (openpty(&outer, &inner, name, termios, size) < 0)
		return -1;
	child = do_fork();
	if (child < 0) {
		next_close(outer);
		next_close(inner);
		return -1;
	}
	if (child == 0) {
		next_close(outer);
		if (login_tty(inner) < 0)
			_exit(1);
		return 0;
	}
	*master = outer;
	next_close(inner);
	return child;
}
