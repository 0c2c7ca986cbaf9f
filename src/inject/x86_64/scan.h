/* SPDX-License-Identifier: BSD-3-Clause */
/* inject/x86_64/scan.h - does text hold system call instructions? */
#ifndef STANDIN_INJECT_X86_64_SCAN_H
#define STANDIN_INJECT_X86_64_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether a `syscall` instruction is in the text.  The two bytes also occur inside other
 * instructions; what counts is where decoding from before leads to.
 */
bool scan_text(const void *text, size_t size);

#endif
