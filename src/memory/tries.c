/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server knows of one thread that waits for a page.  Others may wait for what that one reads,
 * and nothing tells of them.  So all threads are looked at, and those are waited for that may be
 * between two tries.
 *
 * Such a thread runs, is about to, or waits for a lock of the kernel's.  It is through when it
 * sleeps elsewhere; when it has finished a fault, of which the kernel counts those that succeed,
 * not tries; or when it has run for much longer than that takes, for instance because a signal has
 * taken it elsewhere.
 */
#include "memory/tries.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/syscall.h"

#define NOTES 1024u
static struct {
	_Atomic uintptr_t start, end;
	_Atomic pid_t thread;
} notes[NOTES]; /* the last ones */
static _Atomic unsigned n_notes;
static unsigned n_done; /* of those, they have been waited for */
static pid_t group;

#define ENOUGH_NS 200000u    /* of running: a try takes some thousands */
#define LIMIT_NS  500000000u /* for all together */
#define SLEEP_NS  20000000u  /* for a lock, for whose sake a try takes longer */
#define PAUSE_NS  20000

void tries_start(pid_t process)
{
	group = process;
	n_done = atomic_load(&n_notes);
}

void tries_note(uintptr_t pages, size_t size, pid_t thread)
{
	unsigned n = atomic_load(&n_notes);

	atomic_store(&notes[n % NOTES].start, pages);
	atomic_store(&notes[n % NOTES].end, pages + size);
	atomic_store(&notes[n % NOTES].thread, thread);
	atomic_store(&n_notes, n + 1);
}

/* Whether there were more than are remembered, or are about to be. */
static bool is_too_many(unsigned n)
{
	return n - n_done > NOTES / 2;
}

bool tries_any(uintptr_t start, uintptr_t end)
{
	unsigned n = atomic_load(&n_notes);

	if (is_too_many(n))
		return true;
	for (unsigned i = n_done; i != n; i++)
		if (atomic_load(&notes[i % NOTES].start) < end &&
		    atomic_load(&notes[i % NOTES].end) > start)
			return true;
	return false;
}

static uint64_t nanoseconds(long clock)
{
	struct timespec t = {0};

	host_syscall(SYS_clock_gettime, clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What a thread of this process has run for; of others 0. */
static uint64_t running_time(pid_t thread)
{
	return nanoseconds((long)(~(unsigned)thread << 3 | 6));
}

/* The threads of a stopped process, and what there is no more, are through. */
static bool may_be_trying(char state)
{
	return state == 'R' || state == 'D';
}

/* A thread's state, and how many faults it has finished.  false: it is gone. */
static bool look(pid_t thread, char *ret_state, unsigned long *ret_faults)
{
	unsigned long small, large;
	char path[32], text[512];
	const char *name_end;

	snprintf(path, sizeof(path), "/proc/%d/stat", thread);
	if (!host_read_text(path, text, sizeof(text)))
		return false;
	name_end = strrchr(text, ')');
	if (!name_end || sscanf(name_end + 1, " %c %*d %*d %*d %*d %*d %*u %lu %*u %lu", ret_state,
				&small, &large) != 3)
		return false;
	*ret_faults = small + large;
	return true;
}

/* Whether it waits for a page that somebody reads, or for the server, and so for nothing that has
 * been given. */
static bool waits_for_page(pid_t thread)
{
	char path[32], text[64];

	snprintf(path, sizeof(path), "/proc/%d/wchan", thread);
	if (!host_read_text(path, text, sizeof(text)))
		return false;
	return strstr(text, "folio_wait_bit") || strstr(text, "request_wait_answer");
}

static void wait_for(pid_t thread, uint64_t until)
{
	static const struct timespec pause = {.tv_nsec = PAUSE_NS};
	uint64_t before = running_time(thread), start = nanoseconds(CLOCK_MONOTONIC), time = start;
	unsigned long faults, now;
	char state;

	if (!look(thread, &state, &faults))
		return;
	for (; may_be_trying(state) && time < until; time = nanoseconds(CLOCK_MONOTONIC)) {
		if (running_time(thread) - before > ENOUGH_NS)
			return;
		if (state == 'D' && (time - start > SLEEP_NS || waits_for_page(thread)))
			return;
		host_syscall(SYS_nanosleep, &pause, NULL);
		if (!look(thread, &state, &now) || now != faults)
			return;
	}
}

/* Processes that share the memory. */
static void wait_for_others(unsigned from, unsigned to, uint64_t until)
{
	pid_t thread, last = 0;

	for (unsigned i = is_too_many(to) ? to - NOTES / 2 : from; i != to; i++) {
		thread = atomic_load(&notes[i % NOTES].thread);
		if (thread != last && host_syscall(SYS_tgkill, group, thread, 0) < 0)
			wait_for(thread, until);
		last = thread;
	}
}

static void wait_for_group(uint64_t until)
{
	char buffer[2048] __attribute__((aligned(8))), path[32];
	pid_t thread, self = (pid_t)host_syscall(SYS_gettid);
	long fd, n;

	snprintf(path, sizeof(path), "/proc/%d/task", group);
	fd = host_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	while ((n = host_syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < n;) {
			const struct dirent64 *e = (const void *)(buffer + at);

			at += e->d_reclen;
			if (sscanf(e->d_name, "%d", &thread) == 1 && thread != self)
				wait_for(thread, until);
		}
	host_close((int)fd);
}

void tries_wait(void)
{
	unsigned n = atomic_load(&n_notes);
	uint64_t until = nanoseconds(CLOCK_MONOTONIC) + LIMIT_NS;

	wait_for_others(n_done, n, until);
	wait_for_group(until);
	n_done = n;
}

bool tries_in_user_mode(pid_t thread)
{
	static const struct timespec pause = {.tv_nsec = PAUSE_NS};
	uint64_t until = nanoseconds(CLOCK_MONOTONIC) + LIMIT_NS;
	char path[32], text[8] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", thread);
	fd = host_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	/* "running": it doesn't sleep again yet. */
	while (host_pread(fd, text, sizeof(text), 0) > 0 && text[0] == 'r' &&
	       nanoseconds(CLOCK_MONOTONIC) < until)
		host_syscall(SYS_nanosleep, &pause, NULL);
	host_close(fd);
	return memcmp(text, "-1 ", 3) == 0;
}
