/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unblocking signals in other threads.
 *
 * A thread's mask is its own; only a handler that runs in it can change it, through the
 * context that it returns to.  Threads that block everything still take the two signals
 * that libc keeps for itself: it leaves them out of every mask a program sets.  One of
 * them is borrowed for the moment.  Only threads that need it are disturbed: /proc tells
 * which they are.  A thread that is being created meanwhile has its creator's old mask,
 * so the list is gone through until nobody is left.
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
#define ROUNDS   100
#define PAUSE_NS 200000

static uint64_t wanted;
static void (*tell)(uint64_t blocked);

static void on_borrowed(int signal, siginfo_t *info, void *context)
{
	uint64_t *mask = (uint64_t *)&((ucontext_t *)context)->uc_sigmask;

	tell(*mask & wanted);
	*mask &= ~wanted;
}

static bool blocks_any(long tid, uint64_t mask)
{
	char path[64], text[2048], *line;
	uint64_t blocked = 0;
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
	line = strstr(text, "\nSigBlk:");
	if (line)
		sscanf(line, "\nSigBlk: %lx", &blocked);
	return (blocked & mask) != 0;
}

struct linux_dirent64 {
	uint64_t ino;
	int64_t next;
	unsigned short length;
	unsigned char type;
	char name[];
};

/* Signals every other thread that blocks any of them; returns how many. */
static unsigned signal_all(long self, long pid)
{
	char buffer[2048] __attribute__((aligned(8)));
	unsigned n_blocking = 0;
	long n, tid;
	int fd = host_open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	while (fd >= 0 && (n = host_syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n;) {
			const struct linux_dirent64 *d = (const void *)(buffer + at);

			at += d->length;
			if (sscanf(d->name, "%ld", &tid) != 1 || tid == self ||
			    !blocks_any(tid, wanted))
				continue;
			n_blocking++;
			host_syscall(SYS_tgkill, pid, tid, BORROWED);
		}
	}
	host_close(fd);
	return n_blocking;
}

void threads_unblock(uint64_t mask, void (*note)(uint64_t blocked))
{
	static const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct kernel_action ours, before;
	long self = host_syscall(SYS_gettid), pid = host_syscall(SYS_getpid);

	wanted = mask;
	tell = note;
	kernel_action_init(&ours, on_borrowed, SA_SIGINFO | SA_RESTART | SA_ONSTACK, ~0ull);
	if (kernel_action(BORROWED, &ours, &before) < 0)
		return;
	for (int i = 0; i < ROUNDS && signal_all(self, pid); i++)
		host_syscall(SYS_nanosleep, &pause, NULL);
	kernel_action(BORROWED, &before, NULL);
}
