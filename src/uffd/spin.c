/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A wait that was for nothing halves the time for the next ones; one that was not makes it as long
 * as can be.  After some without any, it is tried again.  Where the other
 * thread was on this very CPU, it could not go on meanwhile.
 */
#include "uffd/spin.h"

#include <sched.h>
#include <time.h>

/* Enough for the other thread to be woken, once; if both look out, it takes a part of it. */
#define LONGEST_NS  100000u
#define SHORTEST_NS 20000u
#define TRY_AFTER   256u /* waits that went to sleep at once */
#define LOOKS       16u  /* at the word for one at the clock */

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool differs(const _Atomic uint32_t *word, uint32_t value, unsigned time)
{
	uint64_t end = now() + time;

	do {
		for (unsigned i = 0; i < LOOKS; i++) {
			if (atomic_load_explicit(word, memory_order_acquire) != value)
				return true;
			__builtin_ia32_pause();
		}
	} while (now() < end);
	return false;
}

void uffd_spin_here(_Atomic int *cpu)
{
	atomic_store_explicit(cpu, sched_getcpu(), memory_order_relaxed);
}

unsigned uffd_spin_time(struct uffd_spin *s, const _Atomic int *other_cpu)
{
	unsigned time = atomic_load_explicit(&s->time, memory_order_relaxed);

	if (atomic_load_explicit(other_cpu, memory_order_relaxed) == sched_getcpu())
		return 0;
	if (!time && atomic_fetch_add_explicit(&s->idle, 1, memory_order_relaxed) % TRY_AFTER == 0)
		time = LONGEST_NS;
	return time;
}

bool uffd_spin(struct uffd_spin *s, unsigned time, const _Atomic uint32_t *word, uint32_t value)
{
	bool came = differs(word, value, time);

	if (came)
		time = LONGEST_NS;
	else
		time = time / 2 < SHORTEST_NS ? 0 : time / 2;
	atomic_store_explicit(&s->time, time, memory_order_relaxed);
	return came;
}
