/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/stack.h - room to work in a signal handler.
 *
 * Programs give their threads alternate signal stacks of 8 KiB, most of which the kernel's
 * frame takes; a device model that works inside the handler needs more.
 */
#ifndef STANDIN_INJECT_STACK_H
#define STANDIN_INJECT_STACK_H

#include <ucontext.h>

/* 0 or -errno. */
int stack_setup(void);
void stack_forked(void);
/*
 * Calls function(argument), on a stack of our own if the handler that was given `uc` runs
 * on a small one.  function must return, and run no code of the client's.
 */
void stack_run(ucontext_t *uc, void (*function)(void *), void *argument);

#endif
