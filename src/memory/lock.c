/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One word: 0 free, 1 held, 2 held and somebody may be waiting, 3 the same and lent; and the
 * kernel's number of the thread that holds it.  Where the client makes tasks by clone(2), that is
 * asked for each time: a process made by clone(CLONE_VM) may run with the thread-local variables of
 * the thread that made it.  A fork is
 * made by a thread that holds it (memory/memory.c), so in the child it is held by the thread that
 * is there.
 *
 * Signals need not be blocked while none has a handler.  A client that installs its first one waits
 * for the lock once, after that has been noted; so whoever has taken it with signals open looks
 * again.
 *
 * Threads that fault take it all the time, and whoever has just released it is the first to
 * get it again.  So they stand back once for a call that waits.
 *
 * Such a process can be killed alone, wherever it is, and others go on.  So who waits for the lock
 * looks now and then whether its holder is still there, and takes it over if not.
 *
 * The stack of a thread may be away, below the part that is in use.  What a call needs of it comes
 * back before, by a fault like any other, which the handler takes on its alternate stack.
 */
#include "memory/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/hostfd.h"
#include "core/signal_mask.h"
#include "core/syscall.h"
#include "memory/pages.h"

#define LENT        ((uint32_t)1 << 31)
#define LOOK_MS     100        /* who waits for the lock looks after its holder */
#define NOT_BLOCKED UINT64_MAX /* in a mask's place: no mask has SIGKILL's bit */
#define STAND_MS    10         /* who faults stands back no longer, even if nobody waits any more */

static _Atomic uint32_t word;
static _Atomic uint32_t calls; /* that wait, and LENT */
static _Atomic uint32_t loan;  /* of those who borrow: 0, 1, 2 as above */
static _Atomic int holder;     /* 0: nobody */
static unsigned depth;         /* how often it has taken the lock */
static bool left_open;         /* its holder has blocked no signals */
static unsigned generation;    /* of processes, by fork */

struct later {
	void (*run)(void *argument);
	void *argument;
	bool blocked; /* with signals blocked, whatever the holder of the lock does about them */
};
#define LATER_MAX 16u
static struct later later[LATER_MAX]; /* with the lock */
static unsigned n_later;
/* Threads that have given the lock up and do such things: by number, and what is more than that. */
#define RUNNERS_MAX 64u
static _Atomic int runners[RUNNERS_MAX];
static _Atomic unsigned n_more_runners;

static const _Atomic bool untrusted = true;
static const _Atomic bool *clones = &untrusted;

static int self(void)
{
	static __thread int known __attribute__((tls_model("initial-exec")));
	static __thread unsigned known_in __attribute__((tls_model("initial-exec")));

	if (known && known_in == generation && !atomic_load_explicit(clones, memory_order_relaxed))
		return known;
	known_in = generation;
	known = (int)host_syscall(SYS_gettid);
	return known;
}

void memory_lock_trust_locals(const _Atomic bool *client_clones)
{
	clones = client_clones;
}

static bool change(_Atomic uint32_t *p, uint32_t *expected, uint32_t value)
{
	return atomic_compare_exchange_strong_explicit(p, expected, value, memory_order_acquire,
						       memory_order_relaxed);
}

static void wait_on(_Atomic uint32_t *p, uint32_t value)
{
	host_syscall(SYS_futex, p, FUTEX_WAIT_PRIVATE, value, 0);
}

/* Whether it was in vain for so long. */
static bool wait_on_for(_Atomic uint32_t *p, uint32_t value, long ms)
{
	const struct timespec time = {.tv_nsec = ms * 1000000};

	return host_syscall(SYS_futex, p, FUTEX_WAIT_PRIVATE, value, &time) == -ETIMEDOUT;
}

static void wake(_Atomic uint32_t *p, int n)
{
	host_syscall(SYS_futex, p, FUTEX_WAKE_PRIVATE, n);
}

static bool try_lock(void)
{
	uint32_t expected = 0;

	return change(&word, &expected, 1);
}

/* Whether there is no such thread any more, or only what its parent has to wait for. */
static bool is_gone(int thread)
{
	char path[32], text[64], *state;

	if (host_syscall(SYS_tkill, thread, 0) == -ESRCH)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/stat", thread);
	if (!host_read_text(path, text, sizeof(text)))
		return false;
	state = strrchr(text, ')');
	return state && (strncmp(state, ") Z", 3) == 0 || strncmp(state, ") X", 3) == 0);
}

/* Whether the lock's holder has been killed, and this thread has it now. */
static bool take_over(void)
{
	int by = atomic_load(&holder);

	if (!by || !is_gone(by) || !atomic_compare_exchange_strong(&holder, &by, self()))
		return false;
	atomic_store(&word, 2);
	return true;
}

/* false: it is lent, to one that borrows. */
static bool wait_lock(bool borrows)
{
	for (;;) {
		uint32_t now = 0;

		if (change(&word, &now, 2))
			return true;
		if (now == 3 && borrows)
			return false;
		if (now == 1 && !change(&word, &now, 2))
			continue;
		if (wait_on_for(&word, now == 3 ? 3 : 2, LOOK_MS) && take_over())
			return true;
	}
}

static void taken(bool open)
{
	atomic_store_explicit(&holder, self(), memory_order_relaxed);
	depth = 1;
	left_open = open;
}

static void take(void)
{
	if (try_lock())
		return;
	atomic_fetch_add(&calls, 1);
	wait_lock(false);
	/* Whoever stood back did so for one call, however many still wait. */
	atomic_fetch_sub(&calls, 1);
	wake(&calls, INT32_MAX);
}

static void release(void)
{
	if (atomic_exchange_explicit(&word, 0, memory_order_release) != 1)
		wake(&word, 1);
}

/* The first page from `at` on of the stack that is about to be used, and is away: 0, none. */
static uintptr_t stack_away(uintptr_t at)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(MEMORY_PAGE - 1);
	uint64_t page;

	if (!pages_any())
		return 0;
	if (at < here - MEMORY_FRAMES)
		at = here - MEMORY_FRAMES;
	for (; (at = pages_next(at, here, &page)) < here; at += MEMORY_PAGE)
		if (page_is_trapped(page) && (page_protection(page) & PROT_READ))
			return at;
	return 0;
}

/* What stack_away() itself stands on. */
static __attribute__((noinline)) void touch_below(void)
{
	volatile char frames[1024];

	frames[0] = 0;
	(void)frames[0];
}

static void take_with_stack(bool open)
{
	uintptr_t away = 0;

	touch_below();
	take();
	while ((away = stack_away(away))) {
		release();
		*(const volatile char *)away;
		take();
		away += MEMORY_PAGE;
	}
	taken(open);
}

void memory_lock(uint64_t *ret_signals)
{
	*ret_signals = NOT_BLOCKED;
	if (!signal_mask_is_idle())
		signal_mask_block(ret_signals);
	if (memory_lock_mine()) {
		depth++;
		return;
	}
	take_with_stack(*ret_signals == NOT_BLOCKED);
	if (*ret_signals != NOT_BLOCKED || signal_mask_is_idle())
		return;
	memory_unlock_for_fault();
	signal_mask_block(ret_signals);
	take_with_stack(false);
}

bool memory_lock_for_fault(void)
{
	uint32_t waiting = atomic_load(&calls);

	if (memory_lock_mine()) {
		depth++;
		return true;
	}
	if (waiting && !(waiting & LENT))
		wait_on_for(&calls, waiting, STAND_MS);
	if (!try_lock() && !wait_lock(true))
		return false;
	taken(false);
	return true;
}

static void run_now(const struct later *l, bool open)
{
	uint64_t signals;

	if (l->blocked && open)
		signal_mask_block(&signals);
	l->run(l->argument);
	if (l->blocked && open)
		signal_mask_restore(&signals);
}

static void put_off(const struct later *l)
{
	if (n_later == LATER_MAX)
		run_now(l, left_open);
	else
		later[n_later++] = *l;
}

void memory_later(void (*run)(void *argument), void *argument)
{
	put_off(&(struct later){run, argument, false});
}

void memory_later_blocked(void (*run)(void *argument), void *argument)
{
	put_off(&(struct later){run, argument, true});
}

void memory_later_settle(void)
{
	for (unsigned i = 0; i < RUNNERS_MAX; i++)
		for (int thread; (thread = atomic_load(&runners[i]));) {
			if (is_gone(thread))
				atomic_compare_exchange_strong(&runners[i], &thread, 0);
			else
				host_syscall(SYS_sched_yield);
		}
	while (atomic_load(&n_more_runners))
		host_syscall(SYS_sched_yield);
}

/* A place among those who run, which is this thread's; NULL: there is none. */
static _Atomic int *start_running(int thread)
{
	for (unsigned i = 0; i < RUNNERS_MAX; i++) {
		int nobody = 0;

		if (atomic_compare_exchange_strong(&runners[i], &nobody, thread))
			return &runners[i];
	}
	return NULL;
}

static __attribute__((noinline)) void release_and_run(int thread)
{
	_Atomic int *runner = start_running(thread);
	struct later todo[LATER_MAX];
	unsigned n = n_later;
	bool open = left_open;

	memcpy(todo, later, n * sizeof(todo[0]));
	n_later = 0;
	if (!runner)
		atomic_fetch_add(&n_more_runners, 1);
	release();
	for (unsigned i = 0; i < n; i++)
		run_now(&todo[i], open);
	if (runner)
		atomic_store(runner, 0);
	else
		atomic_fetch_sub(&n_more_runners, 1);
}

void memory_unlock_for_fault(void)
{
	int thread = memory_lock_holder();

	if (--depth)
		return;
	atomic_store_explicit(&holder, 0, memory_order_relaxed);
	if (n_later)
		release_and_run(thread);
	else
		release();
}

void memory_unlock(const uint64_t *signals)
{
	memory_unlock_for_fault();
	if (*signals != NOT_BLOCKED)
		signal_mask_restore(signals);
}

/* ---- lending ---- */

void memory_lock_lend(void)
{
	atomic_fetch_or(&calls, LENT);
	atomic_store(&word, 3);
	wake(&calls, INT32_MAX);
	wake(&word, INT32_MAX);
}

bool memory_borrow(void)
{
	uint32_t expected = 0;

	if (!change(&loan, &expected, 1))
		while (atomic_exchange_explicit(&loan, 2, memory_order_acquire))
			wait_on(&loan, 2);
	if (atomic_load(&word) == 3)
		return true;
	memory_borrow_end();
	return false;
}

void memory_borrow_end(void)
{
	if (atomic_exchange_explicit(&loan, 0, memory_order_release) == 2)
		wake(&loan, 1);
}

void memory_lock_reclaim(void)
{
	memory_borrow();
	atomic_fetch_and(&calls, ~LENT);
	atomic_store(&word, 2);
	memory_borrow_end();
}

void memory_lock_renumber(void)
{
	generation++;
}

void memory_lock_forked(void)
{
	atomic_store(&word, 1);
	atomic_store(&calls, 0);
	atomic_store(&loan, 0);
	for (unsigned i = 0; i < RUNNERS_MAX; i++)
		atomic_store(&runners[i], 0);
	atomic_store(&n_more_runners, 0);
	n_later = 0;
	memory_lock_renumber();
	atomic_store(&holder, self());
}

int memory_lock_holder(void)
{
	return atomic_load_explicit(&holder, memory_order_relaxed);
}

bool memory_lock_mine(void)
{
	int by = memory_lock_holder();

	return by && by == self();
}
