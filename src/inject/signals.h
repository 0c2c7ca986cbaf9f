/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inject/signals.h - SIGSEGV, SIGBUS and SIGSYS: ours in the kernel's eyes, the client's in
 * its own.
 *
 * Once taken, the three have our handler.  What the client had installed and what it
 * installs later is kept in a table; it is shown that, and it gets the signals that are
 * not ours.  The three are never blocked for real (a fault while its signal is blocked
 * kills), so masks are filtered, and each thread remembers what it believes is blocked.
 */
#ifndef STANDIN_INJECT_SIGNALS_H
#define STANDIN_INJECT_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

/* Whether the signal was ours and is done with; else it goes to the client. */
typedef bool signal_claim_fn(int signal, siginfo_t *info, ucontext_t *uc);

/* Takes the three.  Idempotent.  0 or -errno. */
int signals_take(signal_claim_fn *claim);

bool signals_own(int signal);
/* The client's sigaction(2) on one of the three: 0 or -errno. */
int signals_action(int signal, const struct sigaction *act, struct sigaction *old);
/*
 * Takes the three out of a mask that is about to be set with `how` (SIG_BLOCK, SIG_UNBLOCK,
 * SIG_SETMASK), remembering per thread; any other `how` only takes them out, for masks of
 * other signals' actions.
 */
void signals_mask_filter(int how, sigset_t *set);
/* Puts back what the client believes is blocked. */
void signals_mask_show(sigset_t *old);

/*
 * Finds out whether signals can be left open (core/signal_mask.h).  For who reports, by
 * signals_matter(), what the client does about them from now on.
 */
void signals_look(void);
/*
 * From now on a signal may do more than end the process: the client is about to install a handler,
 * or a limit that raises one.  Ordinary context.
 */
void signals_matter(void);

/* Gives the signal to the client as the kernel would have. */
void signals_deliver(int signal, siginfo_t *info, ucontext_t *uc);
/* The same for a fault that raised another signal than `signal`, which the client is to get. */
void signals_instead(int signal, siginfo_t *info, ucontext_t *uc);
/* A synchronous signal of another number, pending for this thread when the handler returns. */
void signals_raise(int signal, int code, void *address);
/* Restores the default action: the next occurrence ends the process. */
void signals_default(int signal);

#endif
