/* SPDX-License-Identifier: BSD-3-Clause */
/* inject/x86_64/guarded.h - the copy that survives faults; see guarded_copy.S. */
#ifndef STANDIN_INJECT_X86_64_GUARDED_H
#define STANDIN_INJECT_X86_64_GUARDED_H

#include <stddef.h>
#include <stdint.h>

struct user_copy;

/* 0, or `size` if it faulted. */
size_t guarded_copy(void *to, const void *from, size_t size);
/* Sets bits atomically: 0, or 1 if the byte can't be stored to. */
size_t guarded_or(uint8_t *byte, uint8_t bits);
extern const char guarded_copy_fixup[];
/* How many copies were done before one faulted; all: `n`. */
unsigned guarded_copies(const struct user_copy *copies, unsigned n);
extern const char guarded_copies_fixup[];
/* Whether the processor has AVX2, which long copies use: set before the first. */
extern uint8_t guarded_wide;
/* What the kernel is given as SA_RESTORER. */
extern const char signal_restorer[];

#endif
