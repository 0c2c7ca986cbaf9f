/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/x86_64/outofline.h - running a client's instruction on a copy of its memory operand.
 *
 * Slots are scratch space for one emulation: the client may be on a signal stack of a few
 * KiB, so what is big lies here.  Taking one never fails; when all are busy the thread
 * waits for one, which is short, as no slot is held while client code runs.
 */
#ifndef STANDIN_INJECT_X86_64_OUTOFLINE_H
#define STANDIN_INJECT_X86_64_OUTOFLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

struct insn;
struct slot;

/* Makes the slots.  0 or -errno. */
int outofline_setup(void);
/* Not where a security policy forbids memory that is written and executed. */
bool outofline_possible(void);
/* In the child of a fork nobody else holds a slot. */
void outofline_forked(void);

struct slot *slot_take(void);
void slot_release(struct slot *s);
/* Room for insn_decode(). */
void *slot_scratch(struct slot *s);
/* The copy of the memory operand, INSN_OPERAND_MAX bytes, 64-byte aligned. */
uint8_t *slot_operand(struct slot *s);

/*
 * Runs insn's copy with the registers, flags and vector state of `uc` and puts the results
 * back there, except the instruction pointer.
 */
void outofline(struct slot *s, const struct insn *insn, ucontext_t *uc);

#endif
