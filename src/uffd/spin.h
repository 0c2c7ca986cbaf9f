/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uffd/spin.h - waiting for another thread without going to sleep.
 *
 * To wake a thread that sleeps on another CPU takes longer than it takes to answer a fault.  How
 * long it pays to look out for the answer is learnt from whether it came.
 */
#ifndef STANDIN_UFFD_SPIN_H
#define STANDIN_UFFD_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What has been learnt of one kind of waiting; all zeroes at first. */
struct uffd_spin {
	_Atomic unsigned time; /* ns to wait; 0: not at all */
	_Atomic unsigned idle; /* times in a row that it didn't */
};

/* The CPU that this thread is on goes to *cpu, for others who wait for it. */
void uffd_spin_here(_Atomic int *cpu);
/*
 * How long it pays to wait this time, in ns; 0: go to sleep at once.  *other_cpu is where the other
 * thread was last.
 */
unsigned uffd_spin_time(struct uffd_spin *s, const _Atomic int *other_cpu);
/* Waits so long: whether *word has come to differ from `value`.  Any context, no lock. */
bool uffd_spin(struct uffd_spin *s, unsigned time, const _Atomic uint32_t *word, uint32_t value);

#endif
