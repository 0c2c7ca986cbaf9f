/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A handler's return without the kernel, which takes a good part of the time of a fault.  What it
 * would do besides must not be needed: give back the signal mask (the caller has), an alternate
 * stack that is disarmed while it is in use, or the trap flag.  With a shadow stack nobody may return
 * by himself.  Format of the frame: arch/x86/include/uapi/asm/sigcontext.h.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "inject/x86_64/context.h"
#include "inject/x86_64/resume.h"

#define XSTATE_MAGIC 0x46505853u /* FP_XSTATE_MAGIC1: XRSTOR can read it */
#define AUTODISARM   (1u << 31)  /* SS_AUTODISARM */
#define FRAME_MAX    16384u      /* bytes */

_Static_assert(offsetof(ucontext_t, uc_mcontext.gregs) == RESUME_GREGS, "gregs");
_Static_assert(offsetof(ucontext_t, uc_mcontext.fpregs) == RESUME_FPREGS, "fpregs");

static bool has_xstate(const ucontext_t *uc)
{
	const char *state = (const char *)uc->uc_mcontext.fpregs;
	uint32_t magic;

	if (!state)
		return false;
	memcpy(&magic, state + RESUME_MAGIC, sizeof(magic));
	return magic == XSTATE_MAGIC;
}

/* An alternate one has left the other as it was: perhaps without room, or out of reach. */
static bool is_on_its_stack(const ucontext_t *uc)
{
	return (uint64_t)uc->uc_mcontext.gregs[REG_RSP] - (uintptr_t)uc < FRAME_MAX;
}

static uint16_t own_cs(void)
{
	uint16_t cs;

	__asm__("movw %%cs, %0" : "=r"(cs));
	return cs;
}

/* On processors without one the instruction does nothing. */
static bool has_shadow_stack(void)
{
	uint64_t pointer = 0;

	__asm__ volatile("rdsspq %0" : "+r"(pointer));
	return pointer != 0;
}

void context_resume(const ucontext_t *uc)
{
#if !defined(__SANITIZE_THREAD__) /* it counts who has entered and left its functions */
	if (has_xstate(uc) && is_on_its_stack(uc) &&
	    (uint16_t)uc->uc_mcontext.gregs[REG_CSGSFS] == own_cs() &&
	    !(uc->uc_mcontext.gregs[REG_EFL] & FLAG_TF) &&
	    !((unsigned)uc->uc_stack.ss_flags & AUTODISARM) && !has_shadow_stack())
		resume(uc);
#endif
}
