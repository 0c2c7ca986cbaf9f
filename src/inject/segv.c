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
#include "inject/x86_64/context.h"
#include "inject/x86_64/emulate.h"
#include "inject/x86_64/guarded.h"
#include "inject/x86_64/insn.h"
#include "inject/x86_64/outofline.h"
#include "memory/mmio.h"

int segv_setup(void)
{
	int result;

	insn_setup();
	result = outofline_setup();
	if (result < 0)
		return result;
	user_set_guarded_copy(guarded_copy);
	user_set_guarded_touch(guarded_touch);
	return 0;
}

void segv_forked(void)
{
	outofline_forked();
}

static bool in_guarded_copy(ucontext_t *uc)
{
	uintptr_t ip = *context_ip(uc), start = (uintptr_t)guarded_copy;

	if (ip < start || ip >= (uintptr_t)guarded_copy_fixup)
		return false;
	*context_ip(uc) = (uintptr_t)guarded_copy_fixup;
	return true;
}

static __attribute__((noinline)) void give_up(const struct mmio_hit *hit, ucontext_t *uc)
{
	uint64_t ip = *context_ip(uc);
	char text[128];

	insn_format(ip, text, sizeof(text));
	log_error("cannot emulate \"%s\" at %#llx on %s, BAR %u, offset %#llx", text,
	          (unsigned long long)ip, hit->dev->address, hit->bar,
	          (unsigned long long)hit->offset);
	signals_default(SIGSEGV);
}

bool segv_claim(int signal, siginfo_t *info, ucontext_t *uc)
{
	uintptr_t address = (uintptr_t)info->si_addr;
	struct emulation_fault fault;
	struct mmio_hit hit;

	/* Faults only: not kill(2). */
	if (info->si_code <= 0)
		return false;
	if (in_guarded_copy(uc))
		return true;
	if (signal != SIGSEGV || info->si_code != SEGV_ACCERR || address == *context_ip(uc))
		return false;
	mmio_find((const void *)address, &hit);
	if (hit.verdict == MMIO_NOT_OURS || hit.protection == PROT_NONE ||
	    (context_is_store(uc) && !(hit.protection & PROT_WRITE)))
		return false;
	if (hit.verdict == MMIO_RETRY)
		return true;
	if (hit.verdict == MMIO_OFF) {
		signals_raise(SIGBUS, BUS_ADRERR, (void *)address);
		return true;
	}
	switch (emulate(uc, address, &fault)) {
	case EMULATION_DONE:
		return true;
	case EMULATION_UNKNOWN:
		give_up(&hit, uc);
		return true;
	default:
		break;
	}
	if (fault.signal != SIGSEGV) {
		signals_raise(fault.signal, fault.code, (void *)fault.address);
		return true;
	}
	info->si_code = fault.code;
	info->si_addr = (void *)fault.address;
	return false;
}
