/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The emulator.
 *
 * Memory is reached through read_memory() and write_memory(), which look at every piece
 * of an access on its own: a register goes to the device in naturally aligned pieces of
 * at most eight bytes, other memory through the guarded copy.  So an access may lie across
 * the end of a mapping, and a string instruction may have one side in ordinary memory.
 * Nothing of the client's state changes before all reads have succeeded and all writes
 * have been found permitted, so a fault in the middle is a precise one.
 */
#include "inject/x86_64/emulate.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include <asm/prctl.h>

#include "core/syscall.h"
#include "inject/x86_64/context.h"
#include "inject/x86_64/guarded.h"
#include "inject/x86_64/insn.h"
#include "inject/x86_64/outofline.h"
#include "memory/mmio.h"

#define PAGE        4096u
#define REP_AT_ONCE 4096u /* elements of a string between looks at pending signals */

/* ---- memory ---- */

static int fault_at(struct emulation_fault *f, uintptr_t address, int code)
{
	f->signal = SIGSEGV;
	f->code = code;
	f->address = address;
	return -EFAULT;
}

static size_t to_page_end(uintptr_t address, size_t size)
{
	size_t left = PAGE - address % PAGE;

	return size < left ? size : left;
}

static unsigned natural_piece(uintptr_t address, size_t size)
{
	unsigned piece = 8;

	while (piece > size || address % piece)
		piece /= 2;
	return piece;
}

static int read_memory(struct emulation_fault *f, uintptr_t address, void *buffer, size_t size)
{
	struct mmio_hit hit;
	uint64_t value;
	size_t piece;

	for (uint8_t *to = buffer; size; size -= piece, address += piece, to += piece) {
		mmio_find((const void *)address, &hit);
		if (hit.verdict == MMIO_NOT_OURS) {
			piece = to_page_end(address, size);
			if (guarded_copy(to, (const void *)address, piece))
				return fault_at(f, address, SEGV_MAPERR);
			continue;
		}
		if (hit.protection == PROT_NONE)
			return fault_at(f, address, SEGV_ACCERR);
		piece = natural_piece(address, size);
		value = mmio_read(&hit, (unsigned)piece);
		memcpy(to, &value, piece);
	}
	return 0;
}

/* Register pages in the range that may not be written to. */
static int check_write(struct emulation_fault *f, uintptr_t address, size_t size)
{
	struct mmio_hit hit;
	size_t piece;

	for (; size; size -= piece, address += piece) {
		piece = to_page_end(address, size);
		mmio_find((const void *)address, &hit);
		if (hit.verdict != MMIO_NOT_OURS && !(hit.protection & PROT_WRITE))
			return fault_at(f, address, SEGV_ACCERR);
	}
	return 0;
}

static int write_pieces(struct emulation_fault *f, uintptr_t address, const uint8_t *from,
			size_t size, bool registers)
{
	struct mmio_hit hit;
	uint64_t value;
	size_t piece;

	for (; size; size -= piece, address += piece, from += piece) {
		mmio_find((const void *)address, &hit);
		if (hit.verdict == MMIO_NOT_OURS) {
			piece = to_page_end(address, size);
			if (!registers && guarded_copy((void *)address, from, piece))
				return fault_at(f, address, SEGV_MAPERR);
			continue;
		}
		piece = natural_piece(address, size);
		value = 0;
		memcpy(&value, from, piece);
		if (registers)
			mmio_write(&hit, (unsigned)piece, value);
	}
	return 0;
}

/* Ordinary memory, which can still fault, comes before the registers. */
static int write_memory(struct emulation_fault *f, uintptr_t address, const void *buffer,
			size_t size)
{
	int result = check_write(f, address, size);

	if (result == 0 && to_page_end(address, size) < size)
		result = write_pieces(f, address, buffer, size, false);
	else if (result == 0 && size) {
		struct mmio_hit hit;

		mmio_find((const void *)address, &hit);
		if (hit.verdict == MMIO_NOT_OURS)
			return write_pieces(f, address, buffer, size, false);
	}
	return result == 0 ? write_pieces(f, address, buffer, size, true) : result;
}

/* ---- registers and addresses ---- */

static void set_register(ucontext_t *uc, unsigned number, unsigned size, unsigned shift,
			 uint64_t value)
{
	uint64_t *r = context_register(uc, number), mask;

	if (size == 8) {
		*r = value;
	} else if (size == 4) {
		*r = (uint32_t)value;
	} else {
		mask = (size == 2 ? 0xffffull : 0xffull) << shift;
		*r = (*r & ~mask) | ((value << shift) & mask);
	}
}

static uint64_t extend(uint64_t value, unsigned size, bool sign)
{
	unsigned unused = 64 - size * 8;

	if (sign)
		return (uint64_t)((int64_t)(value << unused) >> unused);
	return value << unused >> unused;
}

static uint64_t segment_base(unsigned segment)
{
	uint64_t base = 0;

	if (segment == SEGMENT_FS)
		host_syscall(SYS_arch_prctl, ARCH_GET_FS, &base);
	else if (segment == SEGMENT_GS)
		host_syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
	return base;
}

static uintptr_t operand_address(const struct insn *insn, ucontext_t *uc)
{
	uint64_t a = (uint64_t)insn->displacement;

	if (insn->base == INSN_IP)
		a += insn->rip + insn->length;
	else if (insn->base != INSN_NO_REGISTER)
		a += *context_register(uc, insn->base);
	if (insn->index != INSN_NO_REGISTER)
		a += *context_register(uc, insn->index) * insn->scale;
	/* A bit's number counts from the operand on, in both directions. */
	if (insn->bit_reg != INSN_NO_REGISTER) {
		int64_t bit =
			(int64_t)extend(*context_register(uc, insn->bit_reg), insn->reg_size, true);

		a += (uint64_t)(bit >> (insn->reg_size == 8   ? 6
					: insn->reg_size == 4 ? 5
							      : 4)) *
		     insn->reg_size;
	}
	if (insn->narrow)
		a = (uint32_t)a;
	return a + segment_base(insn->segment);
}

/* ---- kinds ---- */

static int do_load(const struct insn *insn, ucontext_t *uc, uintptr_t address,
		   struct emulation_fault *f)
{
	uint64_t value = 0;

	if (read_memory(f, address, &value, insn->size) < 0)
		return -EFAULT;
	set_register(uc, insn->reg, insn->reg_size, insn->reg_shift,
		     extend(value, insn->size, insn->sign_extend));
	return 0;
}

static int do_store(const struct insn *insn, ucontext_t *uc, uintptr_t address,
		    struct emulation_fault *f)
{
	uint64_t value = insn->immediate;

	if (insn->kind == INSN_STORE)
		value = *context_register(uc, insn->reg) >> insn->reg_shift;
	return write_memory(f, address, &value, insn->size);
}

/* push, pop, call and jmp: the other side is the stack or the instruction pointer. */
static int do_stack(const struct insn *insn, ucontext_t *uc, uintptr_t address,
		    struct emulation_fault *f)
{
	uint64_t *sp = context_register(uc, RSP), value = 0, next = insn->rip + insn->length;

	if (insn->kind == INSN_POP) {
		if (read_memory(f, *sp, &value, insn->size) < 0)
			return -EFAULT;
		/* An address based on the stack pointer means the pointer after the pop. */
		if (insn->base == RSP)
			address += insn->size;
		if (write_memory(f, address, &value, insn->size) < 0)
			return -EFAULT;
		*sp += insn->size;
		return 0;
	}
	if (read_memory(f, address, &value, insn->size) < 0)
		return -EFAULT;
	if (insn->kind == INSN_PUSH || insn->kind == INSN_CALL) {
		const uint64_t *pushed = insn->kind == INSN_PUSH ? &value : &next;

		if (write_memory(f, *sp - insn->size, pushed, insn->size) < 0)
			return -EFAULT;
		*sp -= insn->size;
	}
	if (insn->kind != INSN_PUSH)
		*context_ip(uc) = value - insn->length; /* the caller steps over */
	return 0;
}

/* The flags of comparing two values of `size` bytes. */
static uint64_t compare(uint64_t a, uint64_t b, unsigned size)
{
	unsigned unused = 64 - size * 8;
	int64_t difference;
	uint64_t flags = 0;

	/* Shifted to the top of a word, carry, zero, sign and overflow come out right. */
	if (__builtin_sub_overflow((int64_t)(a << unused), (int64_t)(b << unused), &difference))
		flags |= FLAG_OF;
	if (a << unused < b << unused)
		flags |= FLAG_CF;
	if (difference == 0)
		flags |= FLAG_ZF;
	if (difference < 0)
		flags |= FLAG_SF;
	if ((a & 15) < (b & 15))
		flags |= FLAG_AF;
	if (!__builtin_parity((uint8_t)(a - b)))
		flags |= FLAG_PF;
	return flags;
}

static int do_string_element(const struct insn *insn, ucontext_t *uc, struct emulation_fault *f,
			     bool *ret_equal)
{
	uint64_t *si = context_register(uc, RSI), *di = context_register(uc, RDI);
	uint64_t *flags = context_flags(uc), a = 0, b = 0;
	uint64_t step = *flags & FLAG_DF ? -(uint64_t)insn->size : insn->size;
	uint64_t *ax = context_register(uc, RAX);

	switch (insn->string) {
	case STRING_MOVS:
		if (read_memory(f, *si, &a, insn->size) < 0 ||
		    write_memory(f, *di, &a, insn->size) < 0)
			return -EFAULT;
		break;
	case STRING_STOS:
		if (write_memory(f, *di, ax, insn->size) < 0)
			return -EFAULT;
		break;
	case STRING_LODS:
		if (read_memory(f, *si, &a, insn->size) < 0)
			return -EFAULT;
		set_register(uc, RAX, insn->size, 0, a);
		break;
	case STRING_CMPS:
		if (read_memory(f, *si, &a, insn->size) < 0 ||
		    read_memory(f, *di, &b, insn->size) < 0)
			return -EFAULT;
		break;
	default:
		a = extend(*ax, insn->size, false);
		if (read_memory(f, *di, &b, insn->size) < 0)
			return -EFAULT;
		break;
	}
	if (insn->string == STRING_CMPS || insn->string == STRING_SCAS) {
		*flags = (*flags & ~(uint64_t)FLAGS_ARITHMETIC) | compare(a, b, insn->size);
		*ret_equal = a == b;
	}
	if (insn->string == STRING_MOVS || insn->string == STRING_LODS ||
	    insn->string == STRING_CMPS)
		*si += step;
	if (insn->string != STRING_LODS)
		*di += step;
	return 0;
}

static bool is_register(uintptr_t address)
{
	struct mmio_hit hit;

	mmio_find((const void *)address, &hit);
	return hit.verdict != MMIO_NOT_OURS;
}

/* Whether the next element touches a register: if not, the processor can go on itself. */
static bool string_touches(const struct insn *insn, ucontext_t *uc)
{
	uint64_t si = *context_register(uc, RSI), di = *context_register(uc, RDI);
	bool from = insn->string == STRING_MOVS || insn->string == STRING_LODS ||
		    insn->string == STRING_CMPS;

	if (from && (is_register(si) || is_register(si + insn->size - 1)))
		return true;
	return insn->string != STRING_LODS && (is_register(di) || is_register(di + insn->size - 1));
}

/*
 * Leaves the instruction pointer on the instruction while a repetition is not complete:
 * then the thread either traps again or goes on by itself.
 */
static int do_string(const struct insn *insn, ucontext_t *uc, struct emulation_fault *f)
{
	uint64_t *count = context_register(uc, RCX);
	bool compares = insn->string == STRING_CMPS || insn->string == STRING_SCAS;
	bool equal = false;

	if (insn->repeat == REPEAT_NONE)
		return do_string_element(insn, uc, f, &equal);
	for (unsigned n = 0; *count; n++) {
		if (n && (n == REP_AT_ONCE || !string_touches(insn, uc))) {
			*context_ip(uc) -= insn->length;
			return 0;
		}
		if (do_string_element(insn, uc, f, &equal) < 0)
			return -EFAULT;
		--*count;
		if (compares && equal != (insn->repeat == REPEAT_WHILE_EQUAL))
			break;
	}
	return 0;
}

/* A division that the processor would refuse must not be tried out of line. */
static bool divides_badly(const struct insn *insn, ucontext_t *uc, const uint8_t *operand)
{
	uint64_t low = *context_register(uc, RAX), high = *context_register(uc, RDX), by = 0;
	unsigned bits = insn->size * 8u;
	__int128 dividend, quotient;
	int64_t divisor, most;

	memcpy(&by, operand, insn->size);
	if (by == 0)
		return true;
	if (insn->size == 1) {
		high = low >> 8 & 0xff;
		low &= 0xff;
	}
	high = extend(high, insn->size, false);
	low = extend(low, insn->size, false);
	if (insn->divide == DIVIDE_UNSIGNED)
		return high >= by;
	divisor = (int64_t)extend(by, insn->size, true);
	dividend = ((__int128)(int64_t)extend(high, insn->size, true) << bits) | low;
	if (divisor == -1 && dividend == (__int128)1 << 127)
		return true;
	quotient = dividend / divisor;
	most = (int64_t)(((uint64_t)1 << (bits - 1)) - 1);
	return quotient > most || quotient < -(__int128)most - 1;
}

/*
 * A masked store, run twice on operands of zeros and of ones: the bytes that come out the
 * same both times are the ones it stored.  It changes nothing else that running it twice
 * would change twice.
 */
static int do_masked_store(const struct insn *insn, ucontext_t *uc, uintptr_t address,
			   struct slot *slot, struct emulation_fault *f)
{
	uint8_t *operand = slot_operand(slot), zeros[INSN_OPERAND_MAX];
	unsigned from, to;

	memset(operand, 0, INSN_OPERAND_MAX);
	outofline(slot, insn, uc);
	memcpy(zeros, operand, sizeof(zeros));
	memset(operand, 0xff, INSN_OPERAND_MAX);
	outofline(slot, insn, uc);
	for (int pass = 0; pass < 2; pass++) {
		for (from = 0; from < insn->size; from = to + 1) {
			for (to = from; to < insn->size && operand[to] == zeros[to]; to++)
				;
			if (from < to && (pass == 0 ? check_write(f, address + from, to - from)
						    : write_memory(f, address + from,
								   operand + from, to - from)) < 0)
				return -EFAULT;
		}
	}
	return 0;
}

static int do_generic(const struct insn *insn, ucontext_t *uc, uintptr_t address, struct slot *slot,
		      struct emulation_fault *f)
{
	uint8_t *operand = slot_operand(slot);
	gregset_t before;
	int result = 0;

	if (insn->masked)
		return do_masked_store(insn, uc, address, slot, f);
	memset(operand, 0, INSN_OPERAND_MAX);
	if (insn->reads && read_memory(f, address, operand, insn->size) < 0)
		return -EFAULT;
	if (insn->writes && check_write(f, address, insn->size) < 0)
		return -EFAULT;
	if (insn->divide != DIVIDE_NONE && divides_badly(insn, uc, operand)) {
		f->signal = SIGFPE;
		f->code = FPE_INTDIV;
		f->address = insn->rip;
		return -EFAULT;
	}
	memcpy(before, uc->uc_mcontext.gregs, sizeof(before));
	outofline(slot, insn, uc);
	if (insn->writes)
		result = write_memory(f, address, operand, insn->size);
	/* Ordinary memory beside the registers can be read-only: as if nothing had happened. */
	if (result < 0)
		memcpy(uc->uc_mcontext.gregs, before, sizeof(before));
	return result;
}

static int perform(const struct insn *insn, ucontext_t *uc, uintptr_t operand, struct slot *slot,
		   struct emulation_fault *f)
{
	switch (insn->kind) {
	case INSN_LOAD:
		return do_load(insn, uc, operand, f);
	case INSN_STORE:
	case INSN_STORE_IMM:
		return do_store(insn, uc, operand, f);
	case INSN_SKIP:
		return 0;
	case INSN_STRING:
		return do_string(insn, uc, f);
	case INSN_GENERIC:
		return do_generic(insn, uc, operand, slot, f);
	default:
		return do_stack(insn, uc, operand, f);
	}
}

enum emulation emulate(ucontext_t *uc, uintptr_t address, struct emulation_fault *ret_fault)
{
	uint64_t rip = *context_ip(uc);
	struct slot *slot = NULL;
	uintptr_t operand = 0;
	struct insn insn;
	int result;

	if (!insn_cached(rip, &insn)) {
		slot = slot_take();
		insn_decode(rip, &insn, slot_scratch(slot));
	}
	result = -EOPNOTSUPP;
	if (insn.kind == INSN_UNKNOWN)
		goto out;
	if (insn.kind != INSN_STRING) {
		operand = operand_address(&insn, uc);
		/* The fault must be where we think the operand is, or we are wrong about it. */
		if (insn.kind != INSN_POP && insn.kind != INSN_SKIP &&
		    (address < operand || address - operand >= insn.size))
			goto out;
	}
	if (insn.kind == INSN_GENERIC && !outofline_possible())
		goto out;
	if (insn.kind == INSN_GENERIC && !slot)
		slot = slot_take();
	result = perform(&insn, uc, operand, slot, ret_fault);
	if (result == 0)
		*context_ip(uc) += insn.length;
out:
	if (slot)
		slot_release(slot);
	if (result == -EOPNOTSUPP)
		return EMULATION_UNKNOWN;
	return result < 0 ? EMULATION_FAULT : EMULATION_DONE;
}
