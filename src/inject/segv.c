/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a fault was: a guarded copy that failed, a register access, or the client's own.
 *
 * An instruction that touches a register and cannot be emulated ends the client with a
 * line that names it, by the signal it raised: going on would be a wrong answer.
 */
#include "inject/segv.h"

#include <stdint.h>
#include <sys/mman.h>

#include "core/device.h"
#include "core/log.h"
#include "core/user.h"
#include "inject/signals.h"
#include "inject/stack.h"
#include "inject/x86_64/context.h"
#include "inject/x86_64/emulate.h"
#include "inject/x86_64/guarded.h"
#include "inject/x86_64/insn.h"
#include "inject/x86_64/outofline.h"
#include "memory/memory.h"
#include "memory/mmio.h"

int segv_setup(void)
{
	int result;

	insn_setup();
	result = outofline_setup();
	if (result == 0)
		result = stack_setup();
	if (result < 0)
		return result;
	guarded_wide = __builtin_cpu_supports("avx2") != 0;
	user_set_guarded_copy(guarded_copy);
	user_set_guarded_copies(guarded_copies);
	user_set_guarded_or(guarded_or);
	return 0;
}

void segv_forked(void)
{
	outofline_forked();
	stack_forked();
}

/* Where a guarded copy goes on that faults at `ip`; 0: that is none. */
static uintptr_t guarded_fixup(uintptr_t ip)
{
	if (ip >= (uintptr_t)guarded_copy && ip < (uintptr_t)guarded_copy_fixup)
		return (uintptr_t)guarded_copy_fixup;
	if (ip >= (uintptr_t)guarded_copies && ip < (uintptr_t)guarded_copies_fixup)
		return (uintptr_t)guarded_copies_fixup;
	return 0;
}

static void give_up(const struct mmio_hit *hit, ucontext_t *uc)
{
	uint64_t ip = *context_ip(uc);
	char text[128];

	insn_format(ip, text, sizeof(text));
	log_error("cannot emulate \"%s\" at %#llx on %s, BAR %u, offset %#llx", text,
		  (unsigned long long)ip, hit->dev->address, hit->bar,
		  (unsigned long long)hit->offset);
	signals_default(SIGSEGV);
}

struct access {
	ucontext_t *uc;
	uintptr_t address;
	struct mmio_hit hit;
	struct emulation_fault fault;
	enum emulation result;
};

static void do_access(void *arg)
{
	struct access *a = arg;

	a->result = emulate(a->uc, a->address, &a->fault);
	if (a->result == EMULATION_UNKNOWN)
		give_up(&a->hit, a->uc);
}

/* SIGBUS: a page that is missing in the middle of a move. */
static bool may_be_memory(int signal, int code)
{
	if (signal == SIGBUS)
		return code == BUS_ADRERR;
	return signal == SIGSEGV && (code == SEGV_MAPERR || code == SEGV_ACCERR);
}

/* Whether the engine has an answer. */
static bool claim_memory(int signal, siginfo_t *info, ucontext_t *uc)
{
	bool guarded = guarded_fixup(*context_ip(uc)) != 0;
	struct memory_access access = {
		.address = (uintptr_t)info->si_addr,
		.write = context_is_store(uc),
		.fetch = context_is_fetch(uc),
		.missing = signal == SIGBUS,
		.signals = guarded ? NULL : (const uint64_t *)&uc->uc_sigmask,
	};
	enum memory_verdict verdict = memory_fault(&access);

	if (verdict == MEMORY_NOT_OURS)
		return false;
	if (verdict == MEMORY_RETRY)
		return true;
	if (guarded)
		return false;
	info->si_signo = SIGBUS;
	info->si_code = verdict == MEMORY_POISONED ? memory_poison_code() : BUS_ADRERR;
	signals_instead(SIGBUS, info, uc);
	return true;
}

bool segv_claim(int signal, siginfo_t *info, ucontext_t *uc)
{
	uintptr_t address = (uintptr_t)info->si_addr, fixup;
	struct access access = {.uc = uc, .address = address};

	/* Faults only: not kill(2). */
	if (info->si_code <= 0)
		return false;
	if (may_be_memory(signal, info->si_code) && claim_memory(signal, info, uc))
		return true;
	fixup = guarded_fixup(*context_ip(uc));
	if (fixup) {
		*context_ip(uc) = fixup;
		return true;
	}
	if (signal != SIGSEGV || info->si_code != SEGV_ACCERR || address == *context_ip(uc))
		return false;
	mmio_find((const void *)address, &access.hit);
	if (access.hit.verdict == MMIO_NOT_OURS || access.hit.protection == PROT_NONE ||
	    (context_is_store(uc) && !(access.hit.protection & PROT_WRITE)))
		return false;
	if (access.hit.verdict == MMIO_RETRY)
		return true;
	if (access.hit.verdict == MMIO_OFF) {
		signals_raise(SIGBUS, BUS_ADRERR, (void *)address);
		return true;
	}
	stack_run(uc, do_access, &access);
	if (access.result != EMULATION_FAULT)
		return true;
	if (access.fault.signal != SIGSEGV) {
		signals_raise(access.fault.signal, access.fault.code, (void *)access.fault.address);
		return true;
	}
	info->si_code = access.fault.code;
	info->si_addr = (void *)access.fault.address;
	return false;
}
