/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/x86_64/insn.h - an instruction that touches a register page, as the emulator
 * needs it: what Zydis says, boiled down to what fits a cache.
 */
#ifndef STANDIN_INJECT_X86_64_INSN_H
#define STANDIN_INJECT_X86_64_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSN_NO_REGISTER 0xff
#define INSN_IP          16 /* as a base register */
#define INSN_OPERAND_MAX 64 /* bytes of a memory operand */

enum insn_kind {
	INSN_LOAD,  /* a general register takes the value, zero- or sign-extended */
	INSN_STORE, /* of a general register */
	INSN_STORE_IMM,
	INSN_SKIP, /* cache hints: nothing to do */
	INSN_PUSH,
	INSN_POP,
	INSN_CALL,
	INSN_JUMP,
	INSN_STRING,  /* movs, stos, lods, cmps, scas */
	INSN_GENERIC, /* runs out of line on a copy of the operand */
	INSN_UNKNOWN,
};

enum insn_string { STRING_MOVS, STRING_STOS, STRING_LODS, STRING_CMPS, STRING_SCAS };
enum insn_repeat { REPEAT_NONE, REPEAT_WHILE_EQUAL, REPEAT_WHILE_NOT_EQUAL };
enum insn_segment { SEGMENT_FLAT, SEGMENT_FS, SEGMENT_GS };
enum insn_divide { DIVIDE_NONE, DIVIDE_UNSIGNED, DIVIDE_SIGNED };

struct insn {
	uint64_t rip;
	uint8_t bytes[15];
	uint8_t length;
	int64_t displacement;
	uint64_t immediate;
	uint8_t kind; /* enum insn_kind */
	uint8_t size; /* bytes of the memory operand, or of a string's element */
	/* LOAD and STORE: which general register (hardware number), how wide; ah..bh: shift 8. */
	uint8_t reg, reg_size, reg_shift;
	bool sign_extend;
	/* The address: base + index * scale + displacement, cut to 32 bits if narrow. */
	uint8_t base, index, scale, segment;
	bool narrow;
	/* GENERIC */
	bool reads, writes;
	bool masked;     /* stores some bytes of the operand alone, by a mask */
	bool vector;      /* needs more than the general registers and flags */
	uint8_t bit_reg;  /* bt and its kin: the register with the bit's number */
	uint8_t divide;   /* enum insn_divide */
	uint8_t code[20]; /* the same instruction on a RIP-relative operand ... */
	uint8_t code_length;
	uint8_t operand_at; /* ... whose displacement is here */
	/* STRING */
	uint8_t string, repeat;
};

struct insn_scratch; /* room for Zydis, see insn_scratch_size */
extern const size_t insn_scratch_size;

void insn_setup(void);
/*
 * The instruction at `rip`, from the cache if it still has the same bytes there.  false:
 * not cached, call insn_decode().
 */
bool insn_cached(uint64_t rip, struct insn *ret_insn);
/* Decodes what is at `rip` and puts it in the cache.  `room` has insn_scratch_size bytes. */
void insn_decode(uint64_t rip, struct insn *ret_insn, void *room);
/* "mov eax, [rbx+0x14]" for a message.  Uses several KiB of stack. */
void insn_format(uint64_t rip, char *text, size_t size);

#endif
