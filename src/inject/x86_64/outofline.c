/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Out-of-line execution.
 *
 * One private mapping holds, for each slot, a line of code (executable) and a struct slot
 * (not executable), near enough for RIP-relative addressing.  The code of a slot is
 *
 *	mov  regs[RDI](%rip), %rdi
 *	<the instruction, its operand replaced by slot->operand(%rip)>
 *	mov  %rax, regs[RAX](%rip)
 *	lea  slot(%rip), %rax
 *	jmp  *exit(%rip)
 *
 * between outofline_run and outofline_exit of outofline.S, which exchange the rest of the
 * state.  The vector state is loaded from and saved to the signal frame itself, in the
 * layout the kernel put there, so upper halves of vector registers are the hardware's
 * business and not ours.  The protection-key register, which is among the saved state
 * too, is left alone.
 */
#include "inject/x86_64/outofline.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/log.h"
#include "core/syscall.h"
#include "inject/x86_64/context.h"
#include "inject/x86_64/insn.h"

#define SLOTS      64u
#define CODE_SIZE  64u
#define SLOT_SIZE  4096u
#define CODE_BYTES (SLOTS * CODE_SIZE) /* one page */

/* x87, SSE, AVX, AVX-512 masks and both upper parts. */
#define FEATURES 0xe7u

struct slot {
	uint64_t regs[16];
	uint64_t flags;
	uint64_t host_rsp;
	const void *exit;
	uint32_t mxcsr;
	uint16_t fcw;
	void *fpstate;     /* NULL: not needed */
	uint64_t features; /* 0: fxsave's layout */
	uint8_t *code;
	uint8_t copied[20]; /* the instruction that `code` was made for ... */
	uint8_t copied_length;
	unsigned number;
	uint8_t operand[INSN_OPERAND_MAX + 64] __attribute__((aligned(64)));
	uint8_t scratch[] __attribute__((aligned(16)));
};

_Static_assert(offsetof(struct slot, flags) == 128, "outofline.S");
_Static_assert(offsetof(struct slot, host_rsp) == 136, "outofline.S");
_Static_assert(offsetof(struct slot, mxcsr) == 152, "outofline.S");
_Static_assert(offsetof(struct slot, fcw) == 156, "outofline.S");
_Static_assert(offsetof(struct slot, fpstate) == 160, "outofline.S");
_Static_assert(offsetof(struct slot, features) == 168, "outofline.S");
_Static_assert(offsetof(struct slot, code) == 176, "outofline.S");

void outofline_run(struct slot *s);
extern const char outofline_exit[];

static uint8_t *memory;
static bool possible;
static _Atomic uint64_t busy;

static struct slot *slot_at(unsigned i)
{
	return (struct slot *)(memory + CODE_BYTES + (size_t)i * SLOT_SIZE);
}

int outofline_setup(void)
{
	size_t size = CODE_BYTES + SLOTS * SLOT_SIZE;
	uint8_t *m;

	if (memory)
		return 0;
	if (sizeof(struct slot) + insn_scratch_size > SLOT_SIZE)
		return -ENOMEM;
	m = host_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (host_is_error(m))
		return (int)(intptr_t)m;
	possible = host_mprotect(m, CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
	if (!possible)
		log_warning("no memory may be made executable here: of accesses to trapped "
			    "registers only plain moves can be emulated");
	memory = m;
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = slot_at(i);

		s->exit = outofline_exit;
		s->code = m + i * CODE_SIZE;
		s->number = i;
	}
	return 0;
}

bool outofline_possible(void)
{
	return possible;
}

void outofline_forked(void)
{
	atomic_store(&busy, 0);
}

struct slot *slot_take(void)
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
			return slot_at((unsigned)__builtin_ctzll(~now));
	}
}

void slot_release(struct slot *s)
{
	atomic_fetch_and_explicit(&busy, ~((uint64_t)1 << s->number), memory_order_release);
}

void *slot_scratch(struct slot *s)
{
	return s->scratch;
}

uint8_t *slot_operand(struct slot *s)
{
	return s->operand;
}

static uint8_t *emit(uint8_t *at, const char *bytes, size_t n, const void *target)
{
	int32_t distance;

	memcpy(at, bytes, n);
	at += n;
	distance = (int32_t)((const uint8_t *)target - (at + 4));
	memcpy(at, &distance, 4);
	return at + 4;
}

static void make_code(struct slot *s, const struct insn *insn)
{
	uint8_t *at = s->code;
	int32_t distance;

	if (s->copied_length == insn->code_length &&
	    memcmp(s->copied, insn->code, insn->code_length) == 0)
		return;
	at = emit(at, "\x48\x8b\x3d", 3, &s->regs[RDI]);
	memcpy(at, insn->code, insn->code_length);
	/* Relative to the instruction's end, which an immediate may put off. */
	distance = (int32_t)(s->operand - (at + insn->code_length));
	memcpy(at + insn->operand_at, &distance, 4);
	at += insn->code_length;
	at = emit(at, "\x48\x89\x05", 3, &s->regs[RAX]);
	at = emit(at, "\x48\x8d\x05", 3, s);
	emit(at, "\xff\x25", 2, &s->exit);
	s->copied_length = insn->code_length;
	memcpy(s->copied, insn->code, insn->code_length);
}

/* Which layout the frame's vector state has: the kernel leaves that in its reserved words. */
static void find_vector_state(struct slot *s, const ucontext_t *uc)
{
	const uint8_t *frame = (const uint8_t *)uc->uc_mcontext.fpregs;
	const struct _fpx_sw_bytes *sw = (const struct _fpx_sw_bytes *)(frame + 464);

	s->fpstate = (void *)(uintptr_t)frame;
	s->features = sw->magic1 == FP_XSTATE_MAGIC1 ? sw->xstate_bv & FEATURES : 0;
}

void outofline(struct slot *s, const struct insn *insn, ucontext_t *uc)
{
	uint64_t *flags = context_flags(uc), bit = 0;

	make_code(s, insn);
	s->fpstate = NULL;
	if (insn->vector)
		find_vector_state(s, uc);
	for (unsigned i = 0; i < 16; i++)
		s->regs[i] = *context_register(uc, i);
	/* The copy has only the operand-sized word that holds the bit. */
	if (insn->bit_reg != INSN_NO_REGISTER) {
		bit = s->regs[insn->bit_reg];
		s->regs[insn->bit_reg] &= insn->reg_size * 8u - 1;
	}
	s->flags = (*flags & (FLAGS_ARITHMETIC | FLAG_DF)) | 2;
	outofline_run(s);
	if (insn->bit_reg != INSN_NO_REGISTER)
		s->regs[insn->bit_reg] = bit;
	for (unsigned i = 0; i < 16; i++)
		*context_register(uc, i) = s->regs[i];
	*flags = (*flags & ~(uint64_t)FLAGS_ARITHMETIC) | (s->flags & FLAGS_ARITHMETIC);
}
