/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/x86_64/context.h - the interrupted thread's registers by hardware number.
 */
#ifndef STANDIN_INJECT_X86_64_CONTEXT_H
#define STANDIN_INJECT_X86_64_CONTEXT_H

#include <stdint.h>
#include <ucontext.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

#define FLAG_CF          0x0001u
#define FLAG_PF          0x0004u
#define FLAG_AF          0x0010u
#define FLAG_ZF          0x0040u
#define FLAG_SF          0x0080u
#define FLAG_TF          0x0100u
#define FLAG_DF          0x0400u
#define FLAG_OF          0x0800u
#define FLAGS_ARITHMETIC 0x08d5u /* CF PF AF ZF SF OF */

static inline uint64_t *context_register(ucontext_t *uc, unsigned number)
{
	static const uint8_t at[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				       REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
				       REG_R12, REG_R13, REG_R14, REG_R15};

	return (uint64_t *)&uc->uc_mcontext.gregs[at[number]];
}

static inline uint64_t *context_ip(ucontext_t *uc)
{
	return (uint64_t *)&uc->uc_mcontext.gregs[REG_RIP];
}

static inline uint64_t *context_flags(ucontext_t *uc)
{
	return (uint64_t *)&uc->uc_mcontext.gregs[REG_EFL];
}

/* Whether a page fault was a store's. */
static inline int context_is_store(const ucontext_t *uc)
{
	return (uc->uc_mcontext.gregs[REG_ERR] & 2) != 0;
}

/* Whether it was an instruction's own: nothing there may be executed. */
static inline int context_is_fetch(const ucontext_t *uc)
{
	return (uc->uc_mcontext.gregs[REG_ERR] & 16) != 0;
}

#endif
