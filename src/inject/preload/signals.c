/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals, once the runtime is loaded.
 *
 * SIGSEGV, SIGBUS and SIGSYS are the runtime's, and the client's dispositions for them
 * are kept there.  They must never be blocked, since a blocked one that is raised by an
 * instruction kills: they are taken out of every mask on its way to the kernel, be it a
 * thread's, a handler's (sa_mask) or one for the time of a wait.  What was taken out of a
 * thread's mask or a handler's is shown again when the client asks for it.
 */
#include <string.h>
#include <sys/syscall.h>

#include "inject/x86_64/raw.h"
#include "next.h"

static const int kept[] = {SIGSEGV, SIGBUS, SIGSYS};
#define N_KEPT (sizeof(kept) / sizeof(kept[0]))

/* Which of them the client's sa_mask of each signal has: bit i for kept[i]. */
static _Atomic unsigned char handler_masks[NSIG];

/* ---- masks ---- */

static unsigned mask_take(sigset_t *set)
{
	unsigned taken = 0;

	for (size_t i = 0; i < N_KEPT; i++) {
		if (sigismember(set, kept[i]) > 0 && live()->owns_signal(kept[i])) {
			sigdelset(set, kept[i]);
			taken |= 1u << i;
		}
	}
	return taken;
}

static void mask_give(sigset_t *set, unsigned taken)
{
	for (size_t i = 0; i < N_KEPT; i++) {
		if (taken & (1u << i))
			sigaddset(set, kept[i]);
	}
}

/* The mask of a wait: `copy` backs the result. */
const sigset_t *mask_to_wait_with(const sigset_t *set, sigset_t *copy)
{
	if (!set)
		return NULL;
	*copy = *set;
	mask_take(copy);
	return copy;
}

typedef int set_mask_fn(int how, const sigset_t *set, sigset_t *old);

static int set_mask(set_mask_fn *next, int how, const sigset_t *set, sigset_t *old)
{
	const struct runtime *rt = live();
	sigset_t filtered, believed;
	int ret;

	if (set && how != SIG_BLOCK && how != SIG_UNBLOCK && how != SIG_SETMASK)
		return next(how, set, old);
	/* What it was, before it becomes what `set` says. */
	sigemptyset(&believed);
	if (old)
		rt->mask_show(&believed);
	if (set) {
		filtered = *set;
		rt->mask_filter(how, &filtered);
	}
	ret = next(how, set ? &filtered : NULL, old);
	if (ret == 0 && old) {
		for (size_t i = 0; i < N_KEPT; i++) {
			if (sigismember(&believed, kept[i]) > 0)
				sigaddset(old, kept[i]);
		}
	}
	return ret;
}

int live_sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return set_mask(next_sigprocmask, how, set, old);
}

int live_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	return set_mask(next_pthread_sigmask, how, set, old);
}

static int set_one(int how, int signal)
{
	sigset_t set;

	sigemptyset(&set);
	if (sigaddset(&set, signal) < 0)
		return -1;
	return live_sigprocmask(how, &set, NULL);
}

int live_sighold(int signal)
{
	return set_one(SIG_BLOCK, signal);
}

int live_sigrelse(int signal)
{
	return set_one(SIG_UNBLOCK, signal);
}

/* BSD's masks are the first 32 signals as the bits of an int. */
static int set_bits(int how, int mask)
{
	sigset_t set, old;
	int ret = 0;

	sigemptyset(&set);
	for (int signal = 1; signal <= 32; signal++) {
		if ((unsigned)mask >> (signal - 1) & 1)
			sigaddset(&set, signal);
	}
	if (live_sigprocmask(how, &set, &old) < 0)
		return -1;
	for (int signal = 1; signal <= 32; signal++) {
		if (sigismember(&old, signal) > 0)
			ret |= (int)(1u << (signal - 1));
	}
	return ret;
}

int live_sigblock(int mask)
{
	return set_bits(SIG_BLOCK, mask);
}

int live_sigsetmask(int mask)
{
	return set_bits(SIG_SETMASK, mask);
}

int live_siggetmask(void)
{
	return set_bits(SIG_BLOCK, 0);
}

int live_sigsuspend(const sigset_t *set)
{
	sigset_t copy;

	return next_sigsuspend(mask_to_wait_with(set, &copy));
}

int live_pthread_attr_setsigmask_np(pthread_attr_t *attributes, const sigset_t *set)
{
	sigset_t copy;

	return next_pthread_attr_setsigmask_np(attributes, mask_to_wait_with(set, &copy));
}

/* ---- dispositions ---- */

/* Before an action is installed. */
static void note_handler(sighandler_t handler)
{
	if (handler != SIG_DFL && handler != SIG_IGN)
		live()->signals_matter();
}

/* Before a limit is set: from there on writing to a file raises SIGXFSZ. */
static void note_limit(int resource, const struct rlimit *limit)
{
	if (resource == RLIMIT_FSIZE && limit)
		live()->signals_matter();
}

int live_setrlimit(int resource, const struct rlimit *limit)
{
	note_limit(resource, limit);
	return next_setrlimit(resource, limit);
}

int live_prlimit(pid_t process, int resource, const struct rlimit *limit, struct rlimit *old)
{
	note_limit(resource, limit);
	return next_prlimit(process, resource, limit, old);
}

int live_sigaction(int signal, const struct sigaction *act, struct sigaction *old)
{
	const struct runtime *rt = live();
	struct sigaction filtered;
	unsigned taken = 0, before;
	int ret;

	if (rt->owns_signal(signal))
		return (int)result(rt->sigaction(signal, act, old));
	if (signal < 1 || signal >= NSIG)
		return next_sigaction(signal, act, old);
	before = handler_masks[signal];
	if (act) {
		filtered = *act;
		note_handler(filtered.sa_handler);
		taken = mask_take(&filtered.sa_mask);
	}
	ret = next_sigaction(signal, act ? &filtered : NULL, old);
	if (ret < 0)
		return ret;
	if (act)
		handler_masks[signal] = (unsigned char)taken;
	if (old)
		mask_give(&old->sa_mask, before);
	return 0;
}

/* The signals whose handlers siginterrupt() said shall interrupt: for the three alone. */
static _Atomic unsigned interrupts;

static unsigned kept_bit(int signal)
{
	for (size_t i = 0; i < N_KEPT; i++) {
		if (kept[i] == signal)
			return 1u << i;
	}
	return 0;
}

static sighandler_t set_handler(int signal, sighandler_t handler, int flags, bool blocks)
{
	struct sigaction act, old;

	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	memset(&act, 0, sizeof(act));
	act.sa_handler = handler;
	act.sa_flags = flags;
	if (blocks)
		sigaddset(&act.sa_mask, signal);
	if (live_sigaction(signal, &act, &old) < 0)
		return SIG_ERR;
	return old.sa_handler;
}

sighandler_t live_signal(int signal, sighandler_t handler)
{
	if (!live()->owns_signal(signal)) {
		note_handler(handler);
		return next_signal(signal, handler);
	}
	return set_handler(signal, handler, interrupts & kept_bit(signal) ? 0 : SA_RESTART, true);
}

sighandler_t live_sysv_signal(int signal, sighandler_t handler)
{
	if (!live()->owns_signal(signal)) {
		note_handler(handler);
		return next_sysv_signal(signal, handler);
	}
	return set_handler(signal, handler, (int)(SA_RESETHAND | SA_NODEFER), false);
}

int live_sigignore(int signal)
{
	if (!live()->owns_signal(signal))
		return next_sigignore(signal);
	return set_handler(signal, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
}

sighandler_t live_sigset(int signal, sighandler_t handler)
{
	struct sigaction act;
	sigset_t set, old;
	sighandler_t ret;

	if (!live()->owns_signal(signal)) {
		note_handler(handler);
		return next_sigset(signal, handler);
	}
	sigemptyset(&set);
	sigaddset(&set, signal);
	if (handler == SIG_HOLD) {
		if (live_sigprocmask(SIG_BLOCK, &set, &old) < 0 ||
		    live_sigaction(signal, NULL, &act) < 0)
			return SIG_ERR;
		return sigismember(&old, signal) > 0 ? SIG_HOLD : act.sa_handler;
	}
	ret = set_handler(signal, handler, 0, false);
	if (ret == SIG_ERR || live_sigprocmask(SIG_UNBLOCK, &set, &old) < 0)
		return SIG_ERR;
	return sigismember(&old, signal) > 0 ? SIG_HOLD : ret;
}

int live_siginterrupt(int signal, int interrupt)
{
	struct sigaction act;

	if (!live()->owns_signal(signal))
		return next_siginterrupt(signal, interrupt);
	if (live_sigaction(signal, NULL, &act) < 0)
		return -1;
	if (interrupt) {
		interrupts |= kept_bit(signal);
		act.sa_flags &= ~SA_RESTART;
	} else {
		interrupts &= ~kept_bit(signal);
		act.sa_flags |= SA_RESTART;
	}
	return live_sigaction(signal, &act, NULL);
}

/* ---- the same through syscall(2), where sets are words and the handler's restorer shows ---- */

struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

static void set_from_word(sigset_t *set, unsigned long word)
{
	sigemptyset(set);
	memcpy(set, &word, sizeof(word));
}

static unsigned long word_from_set(const sigset_t *set)
{
	unsigned long word;

	memcpy(&word, set, sizeof(word));
	return word;
}

long syscall_rt_sigaction(int signal, const void *act, void *old, size_t size)
{
	struct kernel_sigaction in, out;
	struct sigaction given, shown;
	const struct runtime *rt = live();

	if (!rt || size != sizeof(unsigned long) || !rt->owns_signal(signal)) {
		if (rt && act)
			rt->signals_matter();
		return result(raw4(SYS_rt_sigaction, signal, act, old, size));
	}
	if (act) {
		memcpy(&in, act, sizeof(in));
		memset(&given, 0, sizeof(given));
		given.sa_handler = (sighandler_t)in.handler;
		given.sa_flags = (int)in.flags;
		given.sa_restorer = (void (*)(void))in.restorer;
		set_from_word(&given.sa_mask, in.mask);
	}
	if (rt->sigaction(signal, act ? &given : NULL, old ? &shown : NULL) < 0)
		return result(-EINVAL);
	if (old) {
		out.handler = (void *)shown.sa_handler;
		out.flags = (unsigned)shown.sa_flags;
		out.restorer = (void *)shown.sa_restorer;
		out.mask = word_from_set(&shown.sa_mask);
		memcpy(old, &out, sizeof(out));
	}
	return 0;
}

static int next_word_mask(int how, const sigset_t *set, sigset_t *old)
{
	unsigned long in = set ? word_from_set(set) : 0, out = 0;
	long ret = raw4(SYS_rt_sigprocmask, how, set ? &in : NULL, old ? &out : NULL, sizeof(in));

	if (ret == 0 && old)
		set_from_word(old, out);
	return (int)result(ret);
}

long syscall_rt_sigprocmask(int how, const void *set, void *old, size_t size)
{
	sigset_t given, shown;
	unsigned long word;

	if (!live() || size != sizeof(word))
		return result(raw4(SYS_rt_sigprocmask, how, set, old, size));
	if (set) {
		memcpy(&word, set, sizeof(word));
		set_from_word(&given, word);
	}
	if (set_mask(next_word_mask, how, set ? &given : NULL, old ? &shown : NULL) < 0)
		return -1;
	if (old) {
		word = word_from_set(&shown);
		memcpy(old, &word, sizeof(word));
	}
	return 0;
}
