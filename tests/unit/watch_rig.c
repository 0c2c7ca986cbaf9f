/* SPDX-License-Identifier: BSD-3-Clause */
/* What watch_rig.h describes. */
#include "watch_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/syscall.h"
#include "inject/signals.h"
#include "memory/memory.h"
#include "memory/show.h"
#include "memory_rig.h"

#define SLOTS  64u
#define EVENTS 256u

static struct slot {
	struct watch_message message;
	_Atomic uint32_t state; /* 0 free, 1 asked, 2 answered */
	bool by_kernel;         /* nobody waits for the answer here */
} slots[SLOTS];

static int pipes[2] = {-1, -1};
static int owner;
static watch_answer *_Atomic answer_with;
static _Atomic bool silent;
static _Atomic unsigned messages;
static struct watch_message last;
static struct watch_event events[EVENTS];
static _Atomic unsigned n_events;

static void *make_known(uintptr_t address, unsigned reason, bool write, bool by_kernel)
{
	unsigned char i = 0;

	if (atomic_load(&silent))
		return NULL;
	while (atomic_load(&slots[i].state))
		i = (unsigned char)((i + 1) % SLOTS);
	slots[i].message = (struct watch_message){address, reason, write};
	slots[i].by_kernel = by_kernel;
	atomic_store(&slots[i].state, 1);
	last = slots[i].message;
	atomic_fetch_add(&messages, 1);
	host_syscall(SYS_write, pipes[1], &i, 1);
	return &slots[i];
}

static void *on_fault(void *of, uintptr_t address, unsigned reason, bool write)
{
	return make_known(address, reason, write, false);
}

static void *on_ask(void *of, uintptr_t address, pid_t thread)
{
	return make_known(address, WATCH_MISSING, false, true);
}

static bool on_asks(void *ticket)
{
	return true;
}

static void on_answered(void *ticket)
{
	atomic_store(&((struct slot *)ticket)->state, 0);
}

static void on_wait(void *ticket, const uint64_t *signals)
{
	struct slot *s = ticket;
	uint64_t before;

	/* A signal handler ends the wait, and the access is made again. */
	if (signals)
		host_syscall(SYS_rt_sigprocmask, SIG_SETMASK, signals, &before, sizeof(before));
	while (atomic_load(&s->state) == 1)
		if (host_syscall(SYS_futex, &s->state, FUTEX_WAIT_PRIVATE, 1, 0) == -EINTR)
			break;
	if (signals)
		host_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	atomic_store(&s->state, 0);
}

static void on_event(void *of, const struct watch_event *event)
{
	unsigned i = atomic_fetch_add(&n_events, 1);

	if (i < EVENTS)
		events[i] = *event;
}

static void on_settle(void)
{
}

static void on_forked(void)
{
}

static void *serve(void *arg)
{
	unsigned char i;

	while (read(pipes[0], &i, 1) == 1) {
		struct slot *s = &slots[i];
		struct watch_message m;
		bool by_kernel;

		(void)atomic_load(&s->state); /* sanitizers don't know what the pipe says */
		m = s->message;
		by_kernel = s->by_kernel;
		atomic_load (&answer_with)(&m);
		if (by_kernel)
			continue;
		atomic_store(&s->state, 2);
		host_syscall(SYS_futex, &s->state, FUTEX_WAKE_PRIVATE, 1);
	}
	return NULL;
}

void watch_rig_start(watch_answer *answer)
{
	static const struct watch_ops ops = {
		.fault = on_fault,
		.wait = on_wait,
		.ask = on_ask,
		.asks = on_asks,
		.answered = on_answered,
		.event = on_event,
		.settle = on_settle,
		.forked = on_forked,
	};
	pthread_t thread;

	atomic_store(&answer_with, answer);
	atomic_store(&silent, false);
	atomic_store(&messages, 0);
	atomic_store(&n_events, 0);
	if (pipes[0] >= 0)
		return;
	watch_register(&ops);
	if (pipe(pipes) < 0 || pthread_create(&thread, NULL, serve, NULL))
		abort();
	pthread_detach(thread);
}

void watch_rig_silent(bool is)
{
	atomic_store(&silent, is);
}

unsigned watch_rig_messages(void)
{
	return atomic_load(&messages);
}

struct watch_message watch_rig_last(void)
{
	return last;
}

unsigned watch_rig_events(struct watch_event *ret, unsigned n)
{
	unsigned all = atomic_load(&n_events);

	for (unsigned i = 0; i < n && i < all && i < EVENTS; i++)
		ret[i] = events[i];
	return all;
}

#define LOCKED(call)                      \
	({                                \
		uint64_t signals_;        \
		__typeof__(call) ret_;    \
                                          \
		memory_lock(&signals_);   \
		ret_ = (call);            \
		memory_unlock(&signals_); \
		ret_;                     \
	})

int rig_watch(void *p, size_t size, unsigned modes)
{
	return LOCKED(watch_set((uintptr_t)p, (uintptr_t)p + size, modes, &owner));
}

void rig_unwatch(void *p, size_t size)
{
	(void)LOCKED((watch_clear((uintptr_t)p, (uintptr_t)p + size), 0));
}

long rig_copy(void *to, const void *from, size_t size, unsigned flags)
{
	return LOCKED(watch_copy((uintptr_t)to, from, size, flags));
}

long rig_zero(void *to, size_t size)
{
	return LOCKED(watch_zero((uintptr_t)to, size));
}

long rig_poison(void *to, size_t size)
{
	return LOCKED(watch_poison((uintptr_t)to, size));
}

void rig_page(char *page, const void *address)
{
	for (unsigned i = 0; i < PAGE / sizeof(uintptr_t); i++)
		((uintptr_t *)page)[i] = (uintptr_t)address + i;
}

bool rig_is_page(const char *address)
{
	for (unsigned i = 0; i < PAGE / sizeof(uintptr_t); i++)
		if (((const volatile uintptr_t *)address)[i] != (uintptr_t)address + i)
			return false;
	return true;
}

void rig_answer_page(const struct watch_message *m)
{
	static _Alignas(4096) char page[PAGE];
	void *place = (void *)(m->address & ~(PAGE - 1));

	rig_page(page, place);
	rig_copy(place, page, PAGE, 0);
}

static __thread sigjmp_buf escape;
static __thread struct rig_signal seen;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	seen = (struct rig_signal){signal, info->si_code, (uintptr_t)info->si_addr};
	siglongjmp(escape, 1);
}

struct rig_signal rig_access(volatile char *p, bool store)
{
	struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	seen = (struct rig_signal){0};
	signals_action(SIGSEGV, &act, NULL);
	signals_action(SIGBUS, &act, NULL);
	if (sigsetjmp(escape, 1) == 0) {
		if (store)
			*p = 1;
		else
			(void)*p;
	}
	return seen;
}

long rig_continue(void *to, size_t size, unsigned flags)
{
	return LOCKED(watch_continue((uintptr_t)to, size, flags));
}

long rig_move_pages(void *to, void *from, size_t size, bool holes)
{
	return LOCKED(watch_move((uintptr_t)to, (uintptr_t)from, size, holes));
}

int rig_protect(void *p, size_t size, bool on)
{
	return LOCKED(watch_protect((uintptr_t)p, (uintptr_t)p + size, on));
}

int rig_protect_all(void *p, size_t size, bool on)
{
	return LOCKED(watch_protect_all((uintptr_t)p, (uintptr_t)p + size, on));
}

uint64_t rig_pagemap(const void *p)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t at = (off_t)((uintptr_t)p / PAGE * sizeof(entry));

	if (fd < 0 || pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
		abort();
	close(fd);
	memory_show_pagemap(&entry, sizeof(entry), (uint64_t)at);
	return entry;
}
