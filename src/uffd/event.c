/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events: what the process does to its memory that is not a fault.  Rules:
 * userfaultfd_event_wait_completion() and who calls it in mm/userfaultfd.c.
 *
 * The engine tells while it has the lock.  Then the calling thread makes its events known, one
 * after the other, and is held up by each until somebody has read it or the context is gone.
 * From the beginning until it has been read, the context is `changing`.
 *
 * In the kernel the thread sleeps so that only a signal which kills it can wake it, and shows
 * as 'D' in /proc.  So does one here that waits for long: as a parent does in vfork(2), whose
 * child, a thread of this process without a stack, waits for the reader.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/signal_mask.h"
#include "core/syscall.h"
#include "memory/own.h"
#include "uffd/event.h"

#define CHUNK_SIZE 4096u /* bytes */
struct chunk {
	struct chunk *next;
	struct uffd_event event[];
};
#define CHUNK_EVENTS ((CHUNK_SIZE - sizeof(struct chunk)) / sizeof(struct uffd_event))

static struct chunk *chunks;
/* Those in use, in the order they were told. */
static struct uffd_event *first, **last = &first;

static struct uffd_event *find_free(void)
{
	struct chunk *c;

	for (c = chunks; c; c = c->next)
		for (size_t i = 0; i < CHUNK_EVENTS; i++)
			if (!c->event[i].thread)
				return &c->event[i];
	c = own_alloc(CHUNK_SIZE);
	if (!c)
		return NULL;
	c->next = chunks;
	chunks = c;
	return &c->event[0];
}

struct uffd_event *uffd_event_add(struct uffd *u, const struct uffd_msg *message)
{
	struct uffd_event *e = find_free();

	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	e->message.message = *message;
	e->context = u;
	e->thread = memory_lock_holder();
	e->descriptor = e->held = -1;
	*last = e;
	last = &e->next;
	u->changing++;
	return e;
}

/* It isn't in its context's queue. */
static void end_event(struct uffd_event *e)
{
	struct uffd_event **link = &first;

	while (*link != e)
		link = &(*link)->next;
	*link = e->next;
	if (!e->next)
		last = link;
	e->thread = 0;
}

void uffd_event_complete(struct uffd_event *e)
{
	e->context->changing--;
	uffd_queue_complete(e->context, &e->message);
	e->context = NULL;
}

void uffd_events_forget(struct uffd *u)
{
	for (struct uffd_event *e = first; e; e = e->next)
		if (e->context == u)
			uffd_event_complete(e);
}

void uffd_events_forked(void)
{
	for (struct uffd_event *e = first; e; e = e->next)
		e->thread = 0;
	first = NULL;
	last = &first;
}

/* ---- what the engine tells ---- */

static bool is_wanted(const struct uffd *u, enum watch_what what)
{
	static const uint32_t features[] = {
		[WATCH_REMAPPED] = UFFD_FEATURE_EVENT_REMAP,
		[WATCH_REMOVED] = UFFD_FEATURE_EVENT_REMOVE,
		[WATCH_UNMAPPED] = UFFD_FEATURE_EVENT_UNMAP,
	};

	return uffd_features(u) & features[what];
}

void uffd_event(void *owner, const struct watch_event *event)
{
	struct uffd_msg m = {0};

	if (!is_wanted(owner, event->what))
		return;
	if (event->what == WATCH_REMAPPED) {
		m.event = UFFD_EVENT_REMAP;
		m.arg.remap.from = event->start;
		m.arg.remap.to = event->to;
		m.arg.remap.len = event->size;
	} else {
		m.event = event->what == WATCH_REMOVED ? UFFD_EVENT_REMOVE : UFFD_EVENT_UNMAP;
		m.arg.remove.start = event->start;
		m.arg.remove.end = event->start + event->size;
	}
	/* Without memory for it the event is lost, where the kernel's call would be. */
	uffd_event_add(owner, &m);
}

/* ---- waiting ---- */

#define SHORT_NS 1000000 /* for so long as any other call would */

/* Sleeps in a clone(2) that lasts until *waiting is 0; false: it can't be made. */
static bool park(_Atomic uint32_t *waiting)
{
	register long none __asm__("r10") = 0;
	register long tls __asm__("r8") = 0;
	register _Atomic uint32_t *word __asm__("r12") = waiting;
	long result = SYS_clone;

	/* The child has the parent's registers, and no use for its stack. */
	/* clang-format off */
	__asm__ volatile(
		"	syscall\n"
		"	test	%%rax, %%rax\n"
		"	jnz	3f\n"
		"1:	cmpl	$0, (%%r12)\n"
		"	je	2f\n"
		"	mov	%[futex], %%eax\n"
		"	mov	%%r12, %%rdi\n"
		"	mov	%[wait], %%esi\n"
		"	mov	%[asleep], %%edx\n"
		"	xor	%%r10d, %%r10d\n"
		"	syscall\n"
		"	jmp	1b\n"
		"2:	mov	%[exit], %%eax\n"
		"	xor	%%edi, %%edi\n"
		"	syscall\n"
		"	hlt\n"
		"3:"
		: "+a"(result), "+r"(none)
		: "D"((long)(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			     CLONE_SYSVSEM | CLONE_VFORK)),
		  "S"(0L), "d"(0L), "r"(tls), "r"(word), [futex] "i"(SYS_futex),
		  [wait] "i"(FUTEX_WAIT_PRIVATE), [asleep] "i"(UFFD_ASLEEP), [exit] "i"(SYS_exit)
		: "rcx", "r11", "memory", "cc");
	/* clang-format on */
	return result > 0;
}

static void wait_for(_Atomic uint32_t *waiting)
{
	static const struct timespec short_time = {.tv_nsec = SHORT_NS};
	uint64_t signals;

	signal_mask_block(&signals);
	host_syscall(SYS_futex, waiting, FUTEX_WAIT_PRIVATE, UFFD_ASLEEP, &short_time);
	while (atomic_load(waiting))
		if (!park(waiting))
			host_syscall(SYS_futex, waiting, FUTEX_WAIT_PRIVATE, UFFD_ASLEEP, NULL);
	signal_mask_restore(&signals);
}

static struct uffd_event *of_thread(pid_t thread)
{
	struct uffd_event *e = first;

	while (e && e->thread != thread)
		e = e->next;
	return e;
}

void uffd_settle(void)
{
	pid_t self = (pid_t)host_syscall(SYS_gettid);
	struct uffd_event *e;
	uint64_t signals;

	memory_lock(&signals);
	while ((e = of_thread(self))) {
		int descriptor, held;

		if (e->context) {
			atomic_store(&e->message.waiting, UFFD_ASLEEP);
			uffd_queue_add(e->context, &e->context->events, &e->message);
			memory_unlock(&signals);
			wait_for(&e->message.waiting);
			memory_lock(&signals);
		}
		descriptor = e->descriptor;
		held = e->held;
		end_event(e);
		hostfd_close(descriptor);
		if (held >= 0 && !of_thread(self))
			uffd_fork_release(held);
	}
	memory_unlock(&signals);
}
