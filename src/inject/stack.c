/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pool of stacks, with guard pages, for threads whose alternate stack is small.
 *
 * While one is in use the thread's alternate stack is switched off.  Otherwise a fault in
 * a guarded copy, which is the one signal that can come then, would find the thread off its
 * alternate stack and be delivered at its top, over the frame of the handler we are in.
 * The kernel switches it on again when that handler returns: the frame remembers it.
 */
#include "inject/stack.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"

#define STACKS     64u
#define STACK_SIZE (128u << 10)
#define GUARD      4096u
#define SMALL      (48u << 10)

void call_on_stack(void *top, void (*function)(void *), void *argument);

static uint8_t *memory;
static _Atomic uint64_t busy;

int stack_setup(void)
{
	uint8_t *m;
	int result;

	if (memory)
		return 0;
	m = host_mmap(NULL, STACKS * STACK_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (host_is_error(m))
		return (int)(intptr_t)m;
	for (unsigned i = 0; i < STACKS; i++) {
		result = host_mprotect(m + i * STACK_SIZE, GUARD, PROT_NONE);
		if (result < 0) {
			host_munmap(m, STACKS * STACK_SIZE);
			return result;
		}
	}
	memory = m;
	return 0;
}

void stack_forked(void)
{
	atomic_store(&busy, 0);
}

static unsigned take(void)
{
	uint64_t now = atomic_load_explicit(&busy, memory_order_relaxed);

	for (;;) {
		if (now == ~(uint64_t)0) {
			host_syscall(SYS_sched_yield);
			now = atomic_load_explicit(&busy, memory_order_relaxed);
			continue;
		}
		if (atomic_compare_exchange_weak_explicit(&busy, &now, now | (now + 1),
							  memory_order_acquire,
							  memory_order_relaxed))
			return (unsigned)__builtin_ctzll(~now);
	}
}

struct work {
	void (*function)(void *);
	void *argument;
};

static void work(void *arg)
{
	stack_t off = {.ss_flags = SS_DISABLE};
	struct work *w = arg;

	host_syscall(SYS_sigaltstack, &off, NULL);
	w->function(w->argument);
}

void stack_run(ucontext_t *uc, void (*function)(void *), void *argument)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t base = (uintptr_t)uc->uc_stack.ss_sp;
	struct work w = {function, argument};
	unsigned i;

	if (!memory || uc->uc_stack.ss_size >= SMALL || here < base ||
	    here - base >= uc->uc_stack.ss_size) {
		function(argument);
		return;
	}
	i = take();
	call_on_stack(memory + (i + 1) * STACK_SIZE, work, &w);
	atomic_fetch_and_explicit(&busy, ~((uint64_t)1 << i), memory_order_release);
}
