/* SPDX-License-Identifier: BSD-3-Clause */
/* inject/segv.h - faults that are ours: guarded copies and register pages. */
#ifndef STANDIN_INJECT_SEGV_H
#define STANDIN_INJECT_SEGV_H

#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

/* Before the signals are taken.  0 or -errno. */
int segv_setup(void);
void segv_forked(void);
/*
 * Whether a SIGSEGV or SIGBUS was ours and has been dealt with.  May change `info` to what
 * the client should see when an instruction that began in a register page faults outside.
 */
bool segv_claim(int signal, siginfo_t *info, ucontext_t *uc);

#endif
