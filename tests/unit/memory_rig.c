/* SPDX-License-Identifier: BSD-3-Clause */
/* What memory_rig.h describes. */
#include "memory_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/syscall.h"
#include "inject/segv.h"
#include "inject/signals.h"
#include "memory/calls.h"
#include "memory/mmio.h"
#include "uapi/mm.h"

_Atomic unsigned rig_faults;

static void touched(uintptr_t address, uint64_t page)
{
	atomic_fetch_add(&rig_faults, 1);
	memory_back(address, address + PAGE);
}

void rig_take_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGSYS};
	static struct sigaction ours[3];
	static bool known;

	for (unsigned i = 0; i < 3; i++)
		sigaction(signals[i], known ? &ours[i] : NULL, known ? NULL : &ours[i]);
	known = true;
}

enum memory_traps rig_traps;

int rig_with_guards(void **state)
{
	rig_traps = MEMORY_TRAPS_AUTO;
	return 0;
}

int rig_with_protection(void **state)
{
	rig_traps = MEMORY_TRAPS_PROTECT;
	return 0;
}

void rig_start(enum memory_traps traps)
{
	uint64_t signals;

	if (!memory_active()) {
		if (segv_setup() < 0 || signals_take(segv_claim) < 0 ||
		    memory_start(MEMORY_TRAPS_AUTO) < 0) {
			fprintf(stderr, "the memory engine does not start\n");
			exit(1);
		}
		mmio_set_trapping(true);
		memory_owner_register(RIG_OWNER, touched);
	}
	rig_take_signals();
	memory_lock(&signals);
	memory_traps_set(traps);
	memory_unlock(&signals);
	atomic_store(&rig_faults, 0);
}

/* ---- memory ---- */

char *rig_map(size_t size)
{
	char *p = mmap(NULL, size + MEMORY_UNIT, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *aligned;

	if (p == MAP_FAILED)
		abort();
	aligned = (char *)(((uintptr_t)p + MEMORY_UNIT - 1) & ~(MEMORY_UNIT - 1));
	if (aligned > p)
		munmap(p, (size_t)(aligned - p));
	munmap(aligned + size, (size_t)(p + MEMORY_UNIT - aligned));
	return aligned;
}

void rig_fill(char *p, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size / sizeof(unsigned); i++)
		((volatile unsigned *)p)[i] = (unsigned)i * 2654435761u + seed;
}

long rig_check(const char *p, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size / sizeof(unsigned); i++)
		if (((const volatile unsigned *)p)[i] != (unsigned)i * 2654435761u + seed)
			return (long)(i * sizeof(unsigned) / PAGE);
	return -1;
}

/* ---- away and back ---- */

static void away_in(const struct memory_vma *v, uintptr_t start, uintptr_t end)
{
	size_t n = (end - start) / PAGE;
	uint8_t *states = malloc(n), *user = calloc(n, 1);
	struct memory_freeze f;

	memory_validate(start, end);
	if (memory_freeze(&f, v, start, end) < 0)
		abort();
	memory_states(start, end, states);
	for (size_t i = 0, last; i < n; i = last) {
		for (last = i; last < n && !pages_get(start + last * PAGE); last++)
			;
		if (last > i)
			memory_away(&f, start + i * PAGE, start + last * PAGE, RIG_OWNER,
				    states + i, user + i);
		else
			last++;
	}
	memory_thaw(&f);
	free(states);
	free(user);
}

unsigned rig_away(char *p, size_t size)
{
	uintptr_t at = (uintptr_t)p, end = at + size, to;
	struct memory_vma v;
	uint64_t signals;

	memory_lock(&signals);
	for (; at < end && memory_vma_find(at, &v) && v.start <= at; at = to) {
		to = v.end < end ? v.end : end;
		away_in(&v, at, to);
	}
	memory_unlock(&signals);
	return rig_count(p, size);
}

void rig_back(char *p, size_t size)
{
	uint64_t signals;

	memory_lock(&signals);
	memory_back((uintptr_t)p, (uintptr_t)p + size);
	memory_unlock(&signals);
}

unsigned rig_count(const char *p, size_t size)
{
	uintptr_t at = (uintptr_t)p, end = at + size;
	uint64_t signals;
	unsigned n = 0;

	memory_lock(&signals);
	for (; (at = pages_next(at, end, NULL)) < end; at += PAGE)
		n++;
	memory_unlock(&signals);
	return n;
}

/* ---- the client's calls ---- */

static long call(struct memory_call *c, long number)
{
	bool told = memory_call_begin(c);
	long ret = told && c->handled
			   ? c->result
			   : host_syscall(number, c->address, c->size,
					  c->operation == MEMORY_CALL_REMAP ? (long)c->new_size
									    : (long)c->flags,
					  c->flags, c->new_address);

	if (told)
		memory_call_end(c, ret);
	return ret;
}

int rig_munmap(void *p, size_t size)
{
	struct memory_call c = {MEMORY_CALL_UNMAP, .address = (uintptr_t)p, .size = size};

	return (int)call(&c, SYS_munmap);
}

int rig_mprotect(void *p, size_t size, int protection)
{
	struct memory_call c = {MEMORY_CALL_PROTECT, .address = (uintptr_t)p, .size = size,
				.flags = protection};

	return (int)call(&c, SYS_mprotect);
}

int rig_madvise(void *p, size_t size, int advice)
{
	struct memory_call c = {MEMORY_CALL_ADVISE, .address = (uintptr_t)p, .size = size,
				.flags = advice};

	return (int)call(&c, SYS_madvise);
}

void *rig_mremap(void *p, size_t old_size, size_t new_size, int flags, void *to)
{
	struct memory_call c = {
		MEMORY_CALL_REMAP,    .address = (uintptr_t)p,
		.size = old_size,     .new_address = (uintptr_t)to,
		.new_size = new_size, .flags = flags,
	};

	return (void *)call(&c, SYS_mremap);
}

/* ---- looking ---- */

static __thread sigjmp_buf escape;
static __thread volatile int code;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	code = info->si_code;
	siglongjmp(escape, 1);
}

int rig_touch(char *p, int store)
{
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	code = 0;
	signals_action(SIGSEGV, &act, NULL);
	if (sigsetjmp(escape, 1) == 0) {
		if (store)
			*(volatile char *)p = *(volatile char *)p;
		else
			(void)*(volatile char *)p;
	}
	return code;
}

unsigned rig_mappings(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 1000; /* a sanitizer makes some when it likes */
#endif
	FILE *in = fopen("/proc/self/maps", "re");
	unsigned lines = 0;
	int c;

	if (!in)
		abort();
	while ((c = getc(in)) != EOF)
		lines += c == '\n';
	fclose(in);
	return lines;
}
