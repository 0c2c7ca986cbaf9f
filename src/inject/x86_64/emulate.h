/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/x86_64/emulate.h - doing what an instruction would have done to a register page.
 */
#ifndef STANDIN_INJECT_X86_64_EMULATE_H
#define STANDIN_INJECT_X86_64_EMULATE_H

#include <stdint.h>
#include <ucontext.h>

enum emulation {
	EMULATION_DONE,    /* uc is as after the instruction (or as in the middle of a rep) */
	EMULATION_FAULT,   /* the instruction faults for the client: see struct emulation_fault */
	EMULATION_UNKNOWN, /* it can't be emulated; nothing has been done */
};

struct emulation_fault {
	int signal; /* SIGSEGV, or SIGFPE for a division */
	int code;
	uintptr_t address;
};

/*
 * The thread in `uc` faulted on `address`, which is a register.  Takes no lock and little
 * stack, but calls the device model.
 */
enum emulation emulate(ucontext_t *uc, uintptr_t address, struct emulation_fault *ret_fault);

#endif
