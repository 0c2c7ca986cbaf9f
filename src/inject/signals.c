/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtualised signals.
 *
 * Our handler runs on the client's alternate stack if it has one, with everything blocked
 * but the signals that faults raise: a device model that runs inside it copies from the
 * client's memory, and such a copy may fault in turn.
 *
 * A signal that is not ours goes to the client's handler as a plain call from ours, on
 * the same frame: whatever the handler changes in the context takes effect when ours
 * returns, and one that leaves by siglongjmp leaves ours too.  Before the call the mask
 * becomes what it would have been in the client's handler.
 *
 * The default action is the kernel's: the real disposition is set to default and the
 * instruction faults again, so that core dump and exit status are genuine; a signal that
 * was sent is sent again.
 *
 * As long as no other signal has a handler, or may be raised by a limit, the rest of the runtime
 * need not block them: see core/signal_mask.h.
 *
 * The table is read in handlers, so it is a sequence lock; writers exclude each other by
 * a spin lock with signals blocked.
 */
#include "inject/signals.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "core/signal_mask.h"
#include "core/syscall.h"
#include "core/user.h"
#include "inject/kernel_signal.h"
#include "inject/threads.h"
#include "memory/lock.h"

#define BIT(signal) ((uint64_t)1 << ((signal)-1))
#define OURS        (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGSYS))
/* Never blocked in our handler: they come from instructions. */
#define SYNCHRONOUS   (OURS | BIT(SIGILL) | BIT(SIGFPE) | BIT(SIGTRAP))
#define SIGNALS       64
#define LIBC_FIRST    32 /* from here to SIGRTMIN they are libc's */
#define HANDLER_DEPTH (256u << 10) /* bytes of stack a handler may use */

struct shown {
	_Atomic uint32_t sequence;
	_Atomic uint64_t word[4];
};

static struct shown table[3];
static atomic_flag writing = ATOMIC_FLAG_INIT;
static bool taken;
static signal_claim_fn *claim_signal;
/* Which of the three this thread has asked to block. */
static __thread uint64_t believed __attribute__((tls_model("initial-exec")));
/*
 * Which of them the kernel would block besides because a handler of the client's runs,
 * and the context that handler was given.  A handler may end by longjmp without telling
 * us, so this is only believed deeper on the stack than that context, and is only shown:
 * a second fault in a handler runs it again, until the stack is used up.
 */
static __thread struct {
	uint64_t mask;
	const void *context;
} handling __attribute__((tls_model("initial-exec")));

static struct shown *shown_of(int signal)
{
	return &table[signal == SIGSEGV ? 0 : signal == SIGBUS ? 1 : 2];
}

bool signals_own(int signal)
{
	return taken && (signal == SIGSEGV || signal == SIGBUS || signal == SIGSYS);
}

static void shown_get(int signal, struct kernel_action *ret)
{
	struct shown *s = shown_of(signal);
	uint64_t word[4];
	uint32_t before;

	do {
		before = atomic_load_explicit(&s->sequence, memory_order_acquire);
		for (int i = 0; i < 4; i++)
			word[i] = atomic_load_explicit(&s->word[i], memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
	} while (before & 1 || atomic_load_explicit(&s->sequence, memory_order_relaxed) != before);
	memcpy(ret, word, sizeof(word));
}

/* Signals must be blocked, so that no handler on this thread waits for us. */
static void shown_set(int signal, const struct kernel_action *action)
{
	struct shown *s = shown_of(signal);
	uint64_t word[4];
	uint32_t before;

	memcpy(word, action, sizeof(word));
	while (atomic_flag_test_and_set_explicit(&writing, memory_order_acquire))
		host_syscall(SYS_sched_yield);
	before = atomic_load_explicit(&s->sequence, memory_order_relaxed);
	atomic_store_explicit(&s->sequence, before + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (int i = 0; i < 4; i++)
		atomic_store_explicit(&s->word[i], word[i], memory_order_relaxed);
	atomic_store_explicit(&s->sequence, before + 2, memory_order_release);
	atomic_flag_clear_explicit(&writing, memory_order_release);
}

/* ---- delivery ---- */

void signals_default(int signal)
{
	struct kernel_action action = {.handler = SIG_DFL};
	uint64_t mask = BIT(signal);

	kernel_action(signal, &action, NULL);
	kernel_mask(SIG_UNBLOCK, &mask, NULL);
}

void signals_raise(int signal, int code, void *address)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = signal;
	info.si_code = code;
	info.si_addr = address;
	host_syscall(SYS_rt_tgsigqueueinfo, host_syscall(SYS_getpid), host_syscall(SYS_gettid),
		     signal, &info);
}

/* Sent by somebody, not raised by an instruction of this thread. */
static bool was_sent(const siginfo_t *info)
{
	return info->si_code <= 0;
}

static void default_action(int signal, siginfo_t *info)
{
	signals_default(signal);
	/* A fault happens again by itself; a refused system call does not. */
	if (was_sent(info) || signal == SIGSYS)
		host_syscall(SYS_rt_tgsigqueueinfo, host_syscall(SYS_getpid),
			     host_syscall(SYS_gettid), signal, info);
}

static void call_handler(int signal, const struct kernel_action *action, siginfo_t *info,
			 ucontext_t *uc)
{
	void (*handler)(int, siginfo_t *, void *) =
		(void (*)(int, siginfo_t *, void *))(uintptr_t)action->handler;
	uint64_t *frame_mask = (uint64_t *)&uc->uc_sigmask, mask;
	__typeof__(handling) outer = handling;

	/* The mask of the handler, and what it is shown of the interrupted one. */
	mask = *frame_mask | action->mask;
	if (!(action->flags & SA_NODEFER))
		mask |= BIT(signal);
	handling.mask = mask & OURS;
	handling.context = uc;
	mask &= ~OURS;
	*frame_mask |= believed;
	kernel_mask(SIG_SETMASK, &mask, NULL);
	handler(signal, info, uc);
	handling = outer;
	/* What it left in the context is the mask from now on. */
	believed = *frame_mask & OURS;
	*frame_mask &= ~OURS;
}

static bool in_handler(void)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t context = (uintptr_t)handling.context;

	return here < context && context - here < HANDLER_DEPTH;
}

void signals_deliver(int signal, siginfo_t *info, ucontext_t *uc)
{
	struct kernel_action action;
	bool forced = !was_sent(info);

	shown_get(signal, &action);
	if (action.handler == SIG_IGN && !forced)
		return;
	/* A fault whose signal is ignored or blocked can't be put off: it kills. */
	if (action.handler == SIG_DFL || action.handler == SIG_IGN ||
	    (forced && (believed & BIT(signal)))) {
		default_action(signal, info);
		return;
	}
	if (action.flags & SA_RESETHAND) {
		struct kernel_action none = action;

		none.handler = SIG_DFL;
		shown_set(signal, &none);
	}
	call_handler(signal, &action, info, uc);
}

void signals_instead(int signal, siginfo_t *info, ucontext_t *uc)
{
	struct kernel_action action;

	shown_get(signal, &action);
	if (action.handler != SIG_DFL && action.handler != SIG_IGN && !(believed & BIT(signal))) {
		signals_deliver(signal, info, uc);
		return;
	}
	/* The access would raise the other one again. */
	signals_default(signal);
	signals_raise(signal, info->si_code, info->si_addr);
}

static void entry(int signal, siginfo_t *info, void *context)
{
	int saved = errno;

	if (!claim_signal(signal, info, context))
		signals_deliver(signal, info, context);
	errno = saved;
}

/* ---- what the client sees ---- */

int signals_action(int signal, const struct sigaction *act, struct sigaction *old)
{
	struct kernel_action now, next;
	struct sigaction copy;
	uint64_t signals;

	if (act && copy_from_user(&copy, act, sizeof(copy)) < 0)
		return -EFAULT;
	shown_get(signal, &now);
	if (act) {
		next.handler = (void *)(uintptr_t)copy.sa_sigaction;
		next.flags = (uint32_t)copy.sa_flags | KERNEL_SA_RESTORER;
		next.restorer = signal_restorer;
		memcpy(&next.mask, &copy.sa_mask, sizeof(next.mask));
		next.mask &= ~(BIT(SIGKILL) | BIT(SIGSTOP));
		signal_mask_block(&signals);
		shown_set(signal, &next);
		signal_mask_restore(&signals);
	}
	if (old) {
		memset(&copy, 0, sizeof(copy));
		copy.sa_sigaction = (void (*)(int, siginfo_t *, void *))(uintptr_t)now.handler;
		copy.sa_flags = (int)now.flags;
		copy.sa_restorer = (void (*)(void))(uintptr_t)now.restorer;
		memcpy(&copy.sa_mask, &now.mask, sizeof(now.mask));
		if (copy_to_user(old, &copy, sizeof(copy)) < 0)
			return -EFAULT;
	}
	return 0;
}

void signals_mask_filter(int how, sigset_t *set)
{
	uint64_t *mask = (uint64_t *)set, ours = *mask & OURS;

	if (!taken)
		return;
	switch (how) {
	case SIG_BLOCK:
		believed |= ours;
		break;
	case SIG_UNBLOCK:
		believed &= ~ours;
		handling.mask &= ~ours;
		break;
	case SIG_SETMASK:
		believed = ours;
		handling.mask = 0;
		break;
	}
	if (how != SIG_UNBLOCK)
		*mask &= ~OURS;
}

void signals_mask_show(sigset_t *old)
{
	if (taken)
		*(uint64_t *)old |= believed | (in_handler() ? handling.mask : 0);
}

/* libc's own don't count, which cancel threads and change users. */
static bool is_libcs(int signal)
{
	return signal >= LIBC_FIRST && signal < SIGRTMIN;
}

void signals_look(void)
{
	struct kernel_action action;
	bool any = false;

	for (int signal = 1; signal <= SIGNALS && !any; signal++)
		any = !signals_own(signal) && !is_libcs(signal) &&
		      kernel_action(signal, NULL, &action) == 0 && action.handler != SIG_DFL &&
		      action.handler != SIG_IGN;
	atomic_store(&signal_mask_idle, !any);
}

void signals_matter(void)
{
	uint64_t signals;

	if (!atomic_exchange(&signal_mask_idle, false))
		return;
	/* Who has it may have left them open. */
	memory_lock(&signals);
	memory_unlock(&signals);
}

/* ---- taking ---- */

/*
 * Handlers that the client installed before block what they like while they run, our three
 * included, and may touch registers: their masks are filtered like later ones.
 */
static void filter_other_actions(void)
{
	struct kernel_action action;

	for (int signal = 1; signal <= SIGNALS; signal++) {
		if (BIT(signal) & (OURS | BIT(SIGKILL) | BIT(SIGSTOP)))
			continue;
		if (kernel_action(signal, NULL, &action) < 0 || !(action.mask & OURS))
			continue;
		action.mask &= ~OURS;
		kernel_action(signal, &action, NULL);
	}
}

static int take(int signal)
{
	struct kernel_action action, before;
	int result = kernel_action(signal, NULL, &before);

	if (result < 0)
		return result;
	shown_set(signal, &before);
	kernel_action_init(&action, entry, SA_SIGINFO | SA_ONSTACK | SA_NODEFER, ~SYNCHRONOUS);
	return kernel_action(signal, &action, NULL);
}

static void note_blocked(uint64_t blocked)
{
	believed |= blocked;
}

int signals_take(signal_claim_fn *claim)
{
	uint64_t signals, mask = OURS;
	int result;

	if (taken)
		return 0;
	claim_signal = claim;
	signal_mask_block(&signals);
	result = take(SIGSEGV);
	if (result == 0)
		result = take(SIGBUS);
	if (result == 0)
		result = take(SIGSYS);
	taken = result == 0;
	filter_other_actions();
	signal_mask_restore(&signals);
	kernel_mask(SIG_UNBLOCK, &mask, &signals);
	believed = signals & OURS;
	if (result == 0)
		threads_unblock(OURS, note_blocked);
	return result;
}
