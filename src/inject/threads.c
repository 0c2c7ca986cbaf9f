/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unblocking signals in other threads.
 *
 * A thread's mask is its own; only a handler that runs in it can change it, through the
 * context that it returns to.  Threads that block everything still take the two signals
 * that libc keeps for itself: it leaves them out of every mask a program sets.  One of
 * them is borrowed for the moment.  Only threads that need it are disturbed: /proc tells
 * which they are, and which have not got to it yet.  A thread that is being created
 * meanwhile has its creator's old mask, so the list is gone through until nobody is left.
 *
 * The signal is libc's again before a thread that could not run all the while gets it.
 * So it is sent as libc doesn't send it (SI_QUEUE): its handler then does nothing, and ours
 * hands on what is libc's.
 */
#include "inject/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "inject/kernel_signal.h"

#define BORROWED 33 /* libc's own, for setuid in all threads */
#define PAUSE_NS 200000

/* Rounds, for threads that have only to run, and for those that block even this signal. */
#define ROUNDS      10000
#define ROUNDS_DEAF 100

#define BIT(signal) (UINT64_C(1) << ((signal)-1))

static uint64_t wanted;
static void (*tell)(uint64_t blocked);
static struct kernel_action libcs;

static void on_borrowed(int signal, siginfo_t *info, void *context)
{
	uint64_t *mask = (uint64_t *)&((ucontext_t *)context)->uc_sigmask;

	if (info->si_code != SI_QUEUE) {
		if (libcs.handler != SIG_DFL && libcs.handler != SIG_IGN)
			((void (*)(int, siginfo_t *, void *))(uintptr_t)libcs.handler)(signal, info,
										       context);
		return;
	}
	tell(*mask & wanted);
	*mask &= ~wanted;
}

static uint64_t signals_in(const char *status, const char *name)
{
	const char *line = strstr(status, name);
	uint64_t signals = 0;

	if (line)
		sscanf(line + strlen(name), " %lx", &signals);
	return signals;
}

/* What a thread blocks and what waits for it; false: it has ended. */
static bool look_at(long tid, uint64_t *blocked, uint64_t *pending)
{
	char path[64], text[2048];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/status", tid);
	fd = host_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	n = host_read(fd, text, sizeof(text) - 1);
	host_close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	*blocked = signals_in(text, "\nSigBlk:");
	*pending = signals_in(text, "\nSigPnd:");
	return true;
}

struct linux_dirent64 {
	uint64_t ino;
	int64_t next;
	unsigned short length;
	unsigned char type;
	char name[];
};

struct count {
	unsigned left; /* threads that still have to run */
	unsigned deaf; /* those that block even the signal, or are in its handler */
};

/* Signals a thread that needs it, unless the signal is on its way. */
static void signal_one(long pid, long tid, struct count *count)
{
	siginfo_t info = {.si_signo = BORROWED, .si_code = SI_QUEUE};
	uint64_t blocked, pending;

	if (!look_at(tid, &blocked, &pending))
		return;
	if (blocked & BIT(BORROWED)) {
		count->deaf++;
	} else if (pending & BIT(BORROWED)) {
		count->left++;
	} else if (blocked & wanted) {
		count->left++;
		host_syscall(SYS_rt_tgsigqueueinfo, pid, tid, BORROWED, &info);
	}
}

static struct count signal_all(long self, long pid)
{
	char buffer[2048] __attribute__((aligned(8)));
	struct count count = {0};
	long n, tid;
	int fd = host_open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	while (fd >= 0 && (n = host_syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n;) {
			const struct linux_dirent64 *d = (const void *)(buffer + at);

			at += d->length;
			if (sscanf(d->name, "%ld", &tid) == 1 && tid != self)
				signal_one(pid, tid, &count);
		}
	}
	host_close(fd);
	return count;
}

void threads_unblock(uint64_t mask, void (*note)(uint64_t blocked))
{
	static const struct timespec pause = {.tv_nsec = PAUSE_NS};
	long self = host_syscall(SYS_gettid), pid = host_syscall(SYS_getpid);
	struct kernel_action ours;
	struct count count;

	wanted = mask;
	tell = note;
	kernel_action_init(&ours, on_borrowed, SA_SIGINFO | SA_RESTART | SA_ONSTACK, ~0ull);
	if (kernel_action(BORROWED, NULL, &libcs) < 0 || kernel_action(BORROWED, &ours, NULL) < 0)
		return;
	for (int i = 0; i < ROUNDS; i++) {
		count = signal_all(self, pid);
		if (!count.left && (!count.deaf || i >= ROUNDS_DEAF))
			break;
		host_syscall(SYS_nanosleep, &pause, NULL);
	}
	kernel_action(BORROWED, &libcs, NULL);
}
