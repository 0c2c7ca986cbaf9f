/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbells: trapped while the device is idle, plain memory and polled while it is busy.
 *
 * A trap costs some microseconds; a session of polling costs two changes of protection, a
 * wake-up and a processor.  So a session begins only after several doorbells in a row came
 * at short intervals, and when sessions turn out not to pay it takes more of them.  It
 * ends when nothing came for a while, and when the thread has to wait for a processor:
 * then doorbells would wait with it, and the threads that ring them do better themselves.
 *
 * Most clients ring and then wait in a system call (ppoll, epoll_wait) for the completion.
 * In a session the wrappers of those calls look at the doorbells first, so the client's own
 * thread does the device's work between two of its system calls: no trap, no other
 * processor to wake, and the completion is there before the call would have to sleep.  As
 * long as that happens the device's thread only looks on now and then; for a client that
 * spins on its completion queue instead it polls without pause.
 *
 * The end of a session must not lose a doorbell.  The pages are protected first and the
 * model looks once more afterwards: a store that was complete before the change is seen
 * by that look, a later one traps and reaches the model from the thread that made it.
 *
 * While a trace runs nothing is polled, so that it shows every doorbell with its value.
 */
#include "memory/doorbell.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/device.h"
#include "core/log.h"
#include "core/syscall.h"
#include "core/thread.h"
#include "core/trace.h"
#include "memory/mmio_private.h"

#define ROUNDS_A_LOOK 16u /* empty rounds between looks at the clock */
#define PATIENCE      4u  /* looks in which no client thread did anything */
#define TRY_ROUNDS    32u /* rounds of work until it is seen whether client threads wait */

struct doorbell_policy doorbell_policy = {
	.streak = 8,
	.streak_max = 4096,
	.interval_ns = 40000,
	.idle_ns = 60000,
	.yield_ns = 4000,
	.look_ns = 250000,
	.starved_ns = 100000,
	.session_rounds = 16,
};

enum { REQUEST_NONE, REQUEST_POLL, REQUEST_STOP };

struct doorbell_poller {
	struct standin_device *dev;
	bool running;
	pthread_t thread;
	_Atomic uint32_t request; /* futex */
	_Atomic bool open;
	_Atomic uint64_t last_ns; /* of the last doorbell that trapped */
	_Atomic unsigned streak, streak_wanted;
	_Atomic uint64_t requests, sessions, rounds;
	_Atomic uint64_t looks; /* of client threads about to wait, that found work */
	_Atomic uint64_t waits; /* and all of them */
	bool spins;             /* so the client did last time: poll without looking on first */
};

/* Pollers with a session, for client threads that are about to wait. */
#define SESSIONS_MAX 64u
static _Atomic(struct doorbell_poller *) sessions[SESSIONS_MAX];
static _Atomic unsigned n_sessions;
static _Atomic unsigned lookers; /* client threads that may be using an entry */

/* Guards `running` and `thread`; never taken in a signal handler. */
static pthread_mutex_t lifecycle = PTHREAD_MUTEX_INITIALIZER;

static bool disabled;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	host_syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL);
}

static void futex_wait_for(_Atomic uint32_t *word, uint32_t value, unsigned ns)
{
	struct timespec timeout = {.tv_nsec = ns};

	host_syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &timeout);
}

static void futex_wake(_Atomic uint32_t *word)
{
	host_syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1);
}

void standin_doorbells_poll(struct standin_device *dev)
{
	struct doorbell_poller *p = dev->poller;
	uint64_t now, last;
	uint32_t none = REQUEST_NONE;

	if (!p || atomic_load_explicit(&p->open, memory_order_relaxed) || trace_enabled)
		return;
	atomic_fetch_add_explicit(&p->requests, 1, memory_order_relaxed);
	now = now_ns();
	last = atomic_exchange_explicit(&p->last_ns, now, memory_order_relaxed);
	if (now - last > doorbell_policy.interval_ns) {
		atomic_store_explicit(&p->streak, 0, memory_order_relaxed);
		return;
	}
	if (atomic_fetch_add_explicit(&p->streak, 1, memory_order_relaxed) + 1 <
	    atomic_load_explicit(&p->streak_wanted, memory_order_relaxed))
		return;
	if (atomic_compare_exchange_strong(&p->request, &none, REQUEST_POLL))
		futex_wake(&p->request);
}

/* Lets other threads run.  Whether that took so long that polling is no use. */
static bool yield(void)
{
	uint64_t before = now_ns();

	host_syscall(SYS_sched_yield);
	return now_ns() - before > doorbell_policy.starved_ns;
}

/* Client threads find the session from here on, or no longer do. */
static void announce(struct doorbell_poller *p, bool session)
{
	struct doorbell_poller *from = session ? NULL : p, *expected;

	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		expected = from;
		if (atomic_compare_exchange_strong(&sessions[i], &expected, session ? p : NULL)) {
			atomic_fetch_add(&n_sessions, session ? 1u : -1u);
			break;
		}
	}
	while (!session && atomic_load(&lookers))
		host_syscall(SYS_sched_yield);
}

/* This thread is looking: a handler of the client's that interrupts it must not look, too. */
static __thread bool looking __attribute__((tls_model("initial-exec")));

static void look(void)
{
	unsigned left = atomic_load(&n_sessions);

	if (looking)
		return;
	looking = true;
	atomic_fetch_add(&lookers, 1);
	for (unsigned i = 0; i < SESSIONS_MAX && left; i++) {
		struct doorbell_poller *p = atomic_load(&sessions[i]);

		if (!p)
			continue;
		left--;
		atomic_fetch_add_explicit(&p->waits, 1, memory_order_relaxed);
		if (p->dev->model->doorbells(p->dev))
			atomic_fetch_add_explicit(&p->looks, 1, memory_order_relaxed);
	}
	atomic_fetch_sub(&lookers, 1);
	looking = false;
}

void doorbells_before_wait(void)
{
	if (atomic_load_explicit(&n_sessions, memory_order_relaxed))
		look();
}

/*
 * Looks on while client threads do the work; returns the rounds that they did.  When they
 * did nothing for PATIENCE looks it looks itself: *ret_work if there is work (they do not
 * wait, they spin), else it ends when the session has been idle for long enough.
 */
static uint64_t look_on(struct doorbell_poller *p, bool *ret_work)
{
	uint64_t seen = atomic_load(&p->looks), looks, last = now_ns(), rounds = 0;
	unsigned patience = PATIENCE;

	*ret_work = false;
	while (atomic_load_explicit(&p->request, memory_order_relaxed) != REQUEST_STOP) {
		futex_wait_for(&p->request, REQUEST_NONE, doorbell_policy.look_ns);
		looks = atomic_load(&p->looks);
		if (looks != seen) {
			rounds += looks - seen;
			seen = looks;
			patience = PATIENCE;
			last = now_ns();
			continue;
		}
		if (patience && --patience)
			continue;
		*ret_work = p->dev->model->doorbells(p->dev);
		if (*ret_work || now_ns() - last > doorbell_policy.idle_ns)
			break;
	}
	return rounds;
}

enum verdict { VERDICT_IDLE, VERDICT_STARVED, VERDICT_WAITS };

/*
 * Polls until it is time to stop; returns the rounds that found work.  After `try_rounds`
 * of them it also stops if client threads came to wait about as often: then they can do
 * the work themselves, and who does it here only makes them sleep and wakes them.
 */
static uint64_t poll_without_pause(struct doorbell_poller *p, uint64_t try_rounds,
				   enum verdict *ret_verdict)
{
	uint64_t last = now_ns(), idle, rounds = 0, waits = atomic_load(&p->waits);
	unsigned empty = 0;

	*ret_verdict = VERDICT_IDLE;
	while (atomic_load_explicit(&p->request, memory_order_relaxed) != REQUEST_STOP) {
		if (p->dev->model->doorbells(p->dev)) {
			rounds++;
			empty = 0;
			last = 0;
			if (rounds % try_rounds == 0) {
				if (atomic_load(&p->waits) - waits >= try_rounds / 2) {
					*ret_verdict = VERDICT_WAITS;
					break;
				}
				waits = atomic_load(&p->waits);
			}
			continue;
		}
		if (++empty % ROUNDS_A_LOOK) {
			__builtin_ia32_pause();
			continue;
		}
		if (!last)
			last = now_ns();
		idle = now_ns() - last;
		if (idle > doorbell_policy.idle_ns)
			break;
		if (idle > doorbell_policy.yield_ns && yield()) {
			*ret_verdict = VERDICT_STARVED;
			break;
		}
	}
	return rounds;
}

static uint64_t poll_session(struct doorbell_poller *p, bool *ret_starved)
{
	uint64_t rounds = 0, try_rounds = TRY_ROUNDS, looked;
	enum verdict verdict;
	bool work;

	announce(p, true);
	do {
		verdict = VERDICT_IDLE;
		if (!p->spins) {
			looked = look_on(p, &work);
			rounds += looked + work;
			if (!work)
				break;
			/* Clients that wait where we don't see it, and elsewhere where we do. */
			try_rounds = looked ? TRY_ROUNDS : try_rounds * 2;
		}
		rounds += poll_without_pause(p, try_rounds, &verdict);
		p->spins = verdict != VERDICT_WAITS;
	} while (verdict == VERDICT_WAITS);
	announce(p, false);
	*ret_starved = verdict == VERDICT_STARVED;
	return rounds;
}

static void adapt(struct doorbell_poller *p, uint64_t rounds)
{
	unsigned wanted = atomic_load_explicit(&p->streak_wanted, memory_order_relaxed);

	if (rounds >= doorbell_policy.session_rounds)
		wanted = doorbell_policy.streak;
	else if (wanted < doorbell_policy.streak_max)
		wanted *= 2;
	atomic_store_explicit(&p->streak_wanted, wanted, memory_order_relaxed);
	atomic_store_explicit(&p->streak, 0, memory_order_relaxed);
}

static void *poller_main(void *arg)
{
	struct doorbell_poller *p = arg;
	uint64_t rounds;
	uint32_t request;
	bool starved;

	for (;;) {
		request = REQUEST_POLL;
		atomic_compare_exchange_strong(&p->request, &request, REQUEST_NONE);
		if (request == REQUEST_STOP)
			return NULL;
		if (request == REQUEST_NONE) {
			futex_wait(&p->request, REQUEST_NONE);
			continue;
		}
		atomic_fetch_add_explicit(&p->sessions, 1, memory_order_relaxed);
		mmio_doorbells_open(p->dev, true);
		starved = false;
		rounds = poll_session(p, &starved);
		mmio_doorbells_open(p->dev, false);
		if (p->dev->model->doorbells(p->dev))
			rounds++;
		atomic_fetch_add_explicit(&p->rounds, rounds, memory_order_relaxed);
		adapt(p, starved ? 0 : rounds);
	}
}

int doorbells_start(struct standin_device *dev)
{
	struct doorbell_poller *p;
	char name[16];
	int result = 0;

	/* "standin-01:00.0": what fits in a thread's name is the address without its domain. */
	snprintf(name, sizeof(name), "standin-%.7s", dev->address + 5);
	pthread_mutex_lock(&lifecycle);
	p = dev->poller;
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (p) {
			p->dev = dev;
			atomic_store(&p->streak_wanted, doorbell_policy.streak);
			dev->poller = p;
		}
	}
	if (!p) {
		result = -ENOMEM;
	} else if (!p->running && dev->model->doorbells && !disabled) {
		atomic_store(&p->request, REQUEST_NONE);
		result = thread_start(&p->thread, name, poller_main, p);
		p->running = result == 0;
	}
	pthread_mutex_unlock(&lifecycle);
	return result;
}

void doorbells_stop(struct standin_device *dev)
{
	struct doorbell_poller *p = dev->poller;

	pthread_mutex_lock(&lifecycle);
	if (p && p->running) {
		atomic_store(&p->request, REQUEST_STOP);
		futex_wake(&p->request);
		pthread_join(p->thread, NULL);
		p->running = false;
		log_info("%s: %llu I/O doorbells trapped; %llu polling sessions, %llu rounds of work, "
		         "%llu of them by threads about to wait",
		         dev->address, (unsigned long long)atomic_load(&p->requests),
		         (unsigned long long)atomic_load(&p->sessions),
		         (unsigned long long)atomic_load(&p->rounds),
		         (unsigned long long)atomic_load(&p->looks));
	}
	pthread_mutex_unlock(&lifecycle);
}

bool doorbells_open(const struct standin_device *dev)
{
	const struct doorbell_poller *p = dev->poller;

	return p && atomic_load_explicit(&p->open, memory_order_acquire);
}

void doorbells_set_open(struct standin_device *dev, bool open)
{
	atomic_store_explicit(&dev->poller->open, open, memory_order_release);
}

void doorbells_forked(struct standin_device *dev)
{
	struct doorbell_poller *p = dev->poller;

	pthread_mutex_init(&lifecycle, NULL);
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		atomic_store(&sessions[i], NULL);
	atomic_store(&n_sessions, 0);
	atomic_store(&lookers, 0);
	if (!p)
		return;
	p->running = false;
	atomic_store(&p->open, false);
	atomic_store(&p->request, REQUEST_NONE);
}

void doorbells_disable(void)
{
	disabled = true;
}

void doorbells_statistics(const struct standin_device *dev, struct doorbell_statistics *ret)
{
	const struct doorbell_poller *p = dev->poller;

	*ret = (struct doorbell_statistics){0};
	if (!p)
		return;
	ret->requests = atomic_load(&p->requests);
	ret->sessions = atomic_load(&p->sessions);
	ret->rounds = atomic_load(&p->rounds);
	ret->looks = atomic_load(&p->looks);
}
