/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that wait in a fault.
 *
 * A thread sleeps inside the handler of its fault, until it is woken or a signal is there for it:
 * then it forgets the fault and goes back, gets the signal at the access itself, and may make
 * that again.  It may also have ended meanwhile, so its place for a fault, of which each thread
 * has one, is not on its stack.  A place whose thread has ended goes to another.
 *
 * Places are found by the thread's number and not by a variable of the thread: tasks that share
 * memory by clone(2) may share that, too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/config.h"
#include "core/hostfd.h"
#include "core/instance.h"
#include "core/syscall.h"
#include "memory/own.h"
#include "uffd/event.h"
#include "uffd/spin.h"

struct waiter {
	struct uffd_message fault; /* first */
	struct uffd *context;      /* good while the fault is in a queue */
	pid_t thread;              /* 0: nobody's */
	bool apart;                /* in a process of its own, made by clone(CLONE_VM) */
	struct uffd_sleeper sleeper;
};

#define CHUNK_SIZE 16384u /* bytes */
struct chunk {
	struct chunk *next;
	struct waiter waiter[];
};
#define CHUNK_WAITERS ((CHUNK_SIZE - sizeof(struct chunk)) / sizeof(struct waiter))

static struct chunk *chunks;
static pid_t process; /* that most threads are in */
_Atomic int uffd_faulter_cpu = -1;

/* A thread of the process leaves its fault before it ends. */
bool uffd_waiter_is_there(const struct uffd_message *fault)
{
	const struct waiter *w = (const struct waiter *)fault;

	return !w->apart || host_syscall(SYS_tkill, w->thread, 0) != -ESRCH;
}

void uffd_waiter_wake(void *fault)
{
	uffd_sleep_end(&((struct waiter *)fault)->sleeper);
}

static struct waiter *find_waiter(pid_t thread)
{
	for (struct chunk *c = chunks; c; c = c->next)
		for (size_t i = 0; i < CHUNK_WAITERS; i++)
			if (c->waiter[i].thread == thread)
				return &c->waiter[i];
	return NULL;
}

static void release_ended(void)
{
	for (struct chunk *c = chunks; c; c = c->next)
		for (size_t i = 0; i < CHUNK_WAITERS; i++) {
			struct waiter *w = &c->waiter[i];

			if (host_syscall(SYS_tkill, w->thread, 0) != -ESRCH)
				continue;
			if (w->fault.link.next)
				uffd_queue_withdraw(w->context, &w->fault);
			w->thread = 0;
		}
}

static struct waiter *new_waiter(void)
{
	struct waiter *w = find_waiter(0);
	struct chunk *c;

	if (!w && chunks) {
		release_ended();
		w = find_waiter(0);
	}
	if (w)
		return w;
	c = own_alloc(CHUNK_SIZE);
	if (!c)
		return NULL;
	for (size_t i = 0; i < CHUNK_WAITERS; i++)
		c->waiter[i].sleeper.wakes = c->waiter[i].sleeper.signals = -1;
	c->next = chunks;
	chunks = c;
	return &c->waiter[0];
}

static struct waiter *own_waiter(void)
{
	static __thread struct waiter *last __attribute__((tls_model("initial-exec")));
	pid_t thread = memory_lock_holder();

	if (last && last->thread == thread)
		return last;
	last = find_waiter(thread);
	if (!last)
		last = new_waiter();
	if (last) {
		last->thread = thread;
		last->apart = (pid_t)host_syscall(SYS_getpid) != process;
	}
	return last;
}

void uffd_fault_message(struct uffd_msg *m, uint32_t features, uintptr_t address, unsigned reason,
			bool write)
{
	const struct watch_range *range = watch_find(address);

	if (!(features & UFFD_FEATURE_EXACT_ADDRESS))
		address &= ~(range->page_size - 1);
	memset(m, 0, sizeof(*m));
	m->event = UFFD_EVENT_PAGEFAULT;
	m->arg.pagefault.address = address;
	m->arg.pagefault.flags = (write ? UFFD_PAGEFAULT_FLAG_WRITE : 0) |
				 (reason & WATCH_WP ? UFFD_PAGEFAULT_FLAG_WP : 0) |
				 (reason & WATCH_MINOR ? UFFD_PAGEFAULT_FLAG_MINOR : 0) |
				 (reason & WATCH_RWP ? UFFD_PAGEFAULT_FLAG_RWP : 0);
}

static void *fault(void *owner, uintptr_t address, unsigned reason, bool write)
{
	struct uffd *u = owner;
	struct waiter *w;

	if (uffd_features(u) & UFFD_FEATURE_SIGBUS)
		return NULL;
	if ((reason & WATCH_BY_KERNEL) && (u->flags & UFFD_USER_MODE_ONLY))
		return NULL;
	w = own_waiter();
	if (!w)
		return NULL;
	if (w->fault.link.next)
		uffd_queue_withdraw(w->context, &w->fault);
	uffd_fault_message(&w->fault.message, uffd_features(u), address, reason, write);
	if (uffd_features(u) & UFFD_FEATURE_THREAD_ID)
		w->fault.message.arg.pagefault.feat.ptid = (uint32_t)w->thread;
	w->context = u;
	atomic_store(&w->fault.waiting, UFFD_WAITING);
	uffd_queue_add(u, &u->pending, &w->fault);
	return w;
}

static void wait_for(void *ticket, const uint64_t *signals)
{
	static struct uffd_spin spin;
	struct waiter *w = ticket;
	uint64_t before;
	unsigned time;

	uffd_spin_here(&uffd_faulter_cpu);
	time = uffd_spin_time(&spin, &uffd_reader_cpu);
	if (time && uffd_spin(&spin, time, &w->fault.waiting, UFFD_WAITING))
		return;
	if (uffd_sleep(&w->sleeper, &w->fault, signals))
		return;
	memory_lock(&before);
	if (w->fault.link.next)
		uffd_queue_withdraw(w->context, &w->fault);
	memory_unlock(&before);
}

void uffd_waiters_forked(void)
{
	process = (pid_t)host_syscall(SYS_getpid);
	for (struct chunk *c = chunks; c; c = c->next)
		for (size_t i = 0; i < CHUNK_WAITERS; i++) {
			c->waiter[i].thread = 0;
			c->waiter[i].fault.link = (struct uffd_link){NULL, NULL};
			/* The parent's threads wake by it, too. */
			hostfd_close(c->waiter[i].sleeper.wakes);
			c->waiter[i].sleeper.wakes = -1;
		}
}

static const struct watch_ops ops = {
	.fault = fault,
	.wait = wait_for,
	.ask = uffd_ask,
	.asks = uffd_asks,
	.answered = uffd_answered,
	.event = uffd_event,
	.settle = uffd_settle,
	.forked = uffd_forked,
};

int uffd_start_memory(void)
{
	if (!process)
		process = (pid_t)host_syscall(SYS_getpid);
	watch_register(&ops);
	return memory_start(instance ? instance->config->settings.traps : MEMORY_TRAPS_AUTO);
}
