/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine as a whole: who is told what, and what a fault is.
 *
 * A fault on a page that isn't away may have met a move in its middle, when the page was
 * PROT_NONE or empty for a moment, or missing and held.  By the time the handler has the lock that
 * is over, so the kernel is asked whether the access would do now; if so it is made again.
 */
#include "memory/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "core/hostfd.h"
#include "core/syscall.h"
#include "memory/backed.h"
#include "memory/own.h"
#include "memory/server.h"
#include "memory/watch.h"
#include "memory/watch_call.h"

#define AGAIN_MAX 1000u /* times in a row that one access is made again */

static _Atomic bool active;
static memory_fault_fn *owners[MEMORY_OWNERS];
static struct memory_notifier *notifiers;
static memory_forking_fn *forking;
static uint64_t fork_signals;
static _Atomic bool in_fork;
static bool filled;     /* during the fork, pages have come back without the engine's knowledge */
static uint8_t *parent; /* the child of a fork finds 0 there */
static int poison_code = BUS_ADRERR;

/* The last access of this thread that was made again without that anything was done. */
static __thread struct {
	uintptr_t address;
	unsigned times;
} again __attribute__((tls_model("initial-exec")));

bool memory_active(void)
{
	return atomic_load_explicit(&active, memory_order_relaxed);
}

static int find_poison_code(void)
{
	int fd = host_open("/proc/sys/vm/memory_failure_recovery", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return BUS_ADRERR;
	host_close(fd);
	return BUS_MCEERR_AR;
}

int memory_poison_code(void)
{
	return poison_code;
}

static int start_parent(void)
{
	if (!parent)
		parent = own_alloc(MEMORY_PAGE);
	if (!parent)
		return -ENOMEM;
	*parent = 1;
	return (int)host_syscall(SYS_madvise, parent, MEMORY_PAGE, MADV_WIPEONFORK);
}

int memory_start(enum memory_traps traps)
{
	uint64_t signals;
	int ret = 0;

	if (memory_active())
		return 0;
	memory_lock(&signals);
	if (!memory_active()) {
		poison_code = find_poison_code();
		ret = memory_vma_start();
		if (ret == 0)
			ret = start_parent();
		if (ret == 0)
			ret = memory_traps_set(traps);
		atomic_store(&active, ret == 0);
	}
	memory_unlock(&signals);
	return ret;
}

/* ---- pages that went without a word ---- */

static void vanished(uintptr_t at)
{
	memory_notify(at, at + MEMORY_PAGE, MEMORY_CLEAR, NULL);
	memory_forget(at);
}

#define LOOK 512u /* pages at once */

/* Of pages that trap by markers. */
static void validate_guarded(uintptr_t start, uintptr_t end)
{
	static uint8_t states[LOOK];

	if (memory_states(start, end, states) < 0)
		return;
	for (uintptr_t at = start; at < end; at += MEMORY_PAGE)
		if (!(states[(at - start) / MEMORY_PAGE] & memory_marker_state()))
			vanished(at);
}

static void validate_protected(uintptr_t start, uintptr_t end)
{
	uintptr_t to;

	for (; start < end; start = to) {
		int protection = memory_vma_protection(start, &to);

		to = to < end ? to : end;
		for (uintptr_t at = start; at < to && protection != PROT_NONE; at += MEMORY_PAGE)
			vanished(at);
	}
}

void memory_validate(uintptr_t start, uintptr_t end)
{
	uint64_t first;

	while ((start = pages_next(start, end, &first)) < end) {
		uintptr_t limit =
			end - start > LOOK * MEMORY_PAGE ? start + LOOK * MEMORY_PAGE : end;
		uintptr_t to = pages_run(start, limit, first, 0, PAGE_TRAPPED | PAGE_PROTECTED);

		if (page_is_protected(first))
			validate_protected(start, to);
		else if (page_is_trapped(first))
			validate_guarded(start, to);
		start = to;
	}
}

/* ---- faults ---- */

void memory_owner_register(unsigned owner, memory_fault_fn *fault)
{
	owners[owner] = fault;
}

static bool permits(int protection, bool write, bool fetch)
{
	if (fetch)
		return protection & PROT_EXEC;
	return protection & (write ? PROT_WRITE : PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* Whether the access that faulted would not fault now. */
static bool would_do(uintptr_t address, bool write, bool fetch, bool missing)
{
	uintptr_t start = address & ~(MEMORY_PAGE - 1);
	struct memory_vma v;
	uint8_t state;

	if (!memory_vma_find(address, &v) || v.start > address ||
	    !permits(v.protection, write, fetch) || (missing && v.kind != MEMORY_ANON))
		return false;
	if (memory_states(start, start + MEMORY_PAGE, &state) < 0 || (state & MEMORY_GUARDED))
		return false;
	again.times = again.address == address ? again.times + 1 : 0;
	again.address = address;
	return again.times < AGAIN_MAX;
}

/* What has come back is there in the child as well. */
static void validate_filled(void)
{
	if (filled)
		memory_validate(0, MEMORY_LIMIT);
	filled = false;
}

/* In a child that has not got to memory_fork_child() yet. */
static void settle_child(void)
{
	if (!in_fork || *parent)
		return;
	in_fork = false;
	*parent = 1;
	memory_lock_forked();
	notifiers = NULL;
	backed_forked();
	memory_vma_forked();
	memory_vma_start();
	server_forked();
	validate_filled();
	watch_forked();
}

/* An access to a page that the engine has not taken away. */
static enum memory_verdict resolve_other(const struct memory_access *a, void **ret_ticket)
{
	const struct watch_range *range;
	enum watch_verdict verdict = WATCH_NOT_OURS;
	unsigned reason;

	if (watch_any())
		verdict = watch_classify(a->address, a->write, &reason, &range);
	if (verdict != WATCH_NOT_OURS && a->fetch && range && !(range->protection & PROT_EXEC))
		return MEMORY_NOT_OURS;
	switch (verdict) {
	case WATCH_NOT_OURS:
		return would_do(a->address, a->write, a->fetch, a->missing) ? MEMORY_RETRY
									    : MEMORY_NOT_OURS;
	case WATCH_RETRY:
		return MEMORY_RETRY;
	case WATCH_POISONED:
		return MEMORY_POISONED;
	case WATCH_BEYOND:
		return MEMORY_SIGBUS;
	case WATCH_ASK:
		break;
	}
	if (!a->signals)
		reason |= WATCH_BY_KERNEL;
	*ret_ticket = watch_ops->fault(range->owner, a->address, reason, a->write);
	if (*ret_ticket)
		return MEMORY_RETRY;
	return a->signals ? MEMORY_SIGBUS : MEMORY_NOT_OURS;
}

/*
 * There are as many mappings as may be (vm.max_map_count), so the page can't be made one of its
 * own. All that traps around it comes back, from either end, where it becomes part of its
 * neighbour.
 */
static void back_with_neighbours(uintptr_t start)
{
	uintptr_t low = start, end = start + MEMORY_PAGE;

	while (page_is_protected(pages_get(low - MEMORY_PAGE)))
		low -= MEMORY_PAGE;
	while (page_is_protected(pages_get(end)))
		end += MEMORY_PAGE;
	memory_validate(low, end);
	memory_notify(low, end, MEMORY_CLEAR, NULL);
	memory_back(low, end);
	for (; end > start && page_is_trapped(pages_get(start)); end -= MEMORY_PAGE)
		memory_back(end - MEMORY_PAGE, end);
}

static enum memory_verdict resolve(const struct memory_access *a, void **ret_ticket)
{
	uintptr_t start = a->address & ~(MEMORY_PAGE - 1);
	uint64_t page;

	memory_validate(start, start + MEMORY_PAGE);
	page = pages_get(start);
	if (!page_is_trapped(page))
		return resolve_other(a, ret_ticket);
	if (!permits(page_protection(page), a->write, a->fetch))
		return MEMORY_NOT_OURS;
	owners[page_owner(page)](start, page);
	if (page_is_trapped(pages_get(start)))
		back_with_neighbours(start);
	again.times = 0;
	return page_is_trapped(pages_get(start)) ? MEMORY_NOT_OURS : MEMORY_RETRY;
}

static bool still_traps(uintptr_t start, uint64_t page)
{
	uintptr_t end;
	uint8_t state;

	if (page_is_protected(page))
		return memory_vma_protection(start, &end) == PROT_NONE;
	return memory_states(start, start + MEMORY_PAGE, &state) == 0 &&
	       (state & memory_marker_state());
}

/*
 * While a fork is made, from whose middle the child begins.  What is watched is looked at
 * afterwards: the access is made again until then.
 */
static enum memory_verdict resolve_borrowed(const struct memory_access *a)
{
	uintptr_t start = a->address & ~(MEMORY_PAGE - 1);
	enum memory_verdict verdict = MEMORY_RETRY;
	const struct watch_range *range;
	uint64_t page;

	if (!memory_borrow())
		return MEMORY_RETRY;
	page = pages_get(start);
	range = watch_find(start);
	if (!page_is_trapped(page) || !still_traps(start, page)) {
		bool watched = range && range->start <= start && !memory_lock_mine();

		if (!would_do(a->address, a->write, a->fetch, a->missing) && !watched)
			verdict = MEMORY_NOT_OURS;
	} else if (permits(page_protection(page), a->write, a->fetch)) {
		filled = true;
		memory_fill(start, page);
	} else {
		verdict = MEMORY_NOT_OURS;
	}
	memory_borrow_end();
	return verdict;
}

enum memory_verdict memory_fault(const struct memory_access *access)
{
	enum memory_verdict verdict;
	void *ticket = NULL;

	if (!memory_active() || access->address >= MEMORY_LIMIT)
		return MEMORY_NOT_OURS;
	settle_child();
	/* With the lock, an access to the client's memory is a guarded one or made in a fork. */
	if (memory_lock_mine() && !in_fork)
		return MEMORY_NOT_OURS;
	if (memory_lock_mine() || !memory_lock_for_fault())
		return resolve_borrowed(access);
	verdict = resolve(access, &ticket);
	memory_unlock_for_fault();
	if (ticket)
		watch_ops->wait(ticket, access->signals);
	return verdict;
}

void memory_make_resident(const void *address, size_t size)
{
	uintptr_t at = (uintptr_t)address & ~(MEMORY_PAGE - 1), end = (uintptr_t)address + size;
	uint64_t signals, page;

	if (!pages_any())
		return;
	if (end < at || end > MEMORY_LIMIT)
		end = MEMORY_LIMIT;
	settle_child();
	memory_lock(&signals);
	memory_validate(at, end);
	for (; (at = pages_next(at, end, &page)) < end; at += MEMORY_PAGE)
		if (page_is_trapped(page) && page_protection(page) != PROT_NONE)
			owners[page_owner(page)](at, page);
	memory_unlock(&signals);
}

void memory_reach(const void *address, size_t size, bool write)
{
	memory_make_resident(address, size);
	watch_reach(address, size, write);
}

bool memory_moved_since(uint64_t moves)
{
	uint64_t signals;

	if (!memory_active())
		return false;
	/* What goes on now has its end before. */
	memory_lock(&signals);
	memory_unlock(&signals);
	return atomic_load(&memory_moves) != moves;
}

/* ---- notifiers ---- */

void memory_notifier_add(struct memory_notifier *n)
{
	n->next = notifiers;
	notifiers = n;
}

void memory_notifier_remove(struct memory_notifier *n)
{
	for (struct memory_notifier **link = &notifiers; *link; link = &(*link)->next) {
		if (*link != n)
			continue;
		*link = n->next;
		return;
	}
}

void memory_notify(uintptr_t start, uintptr_t end, enum memory_event event, const void *source)
{
	for (struct memory_notifier *n = notifiers; n; n = n->next)
		n->invalidate(n, start, end, event, source);
}

/* ---- fork ---- */

void memory_forking_register(memory_forking_fn *f)
{
	forking = f;
}

/* Private memory becomes shared with the child, read-only until it is written to. */
static void share(void)
{
	struct memory_vma v;
	uint64_t page;
	uintptr_t at = 0;

	for (; notifiers && memory_vma_find(at, &v); at = v.end)
		if (v.kind == MEMORY_ANON || v.kind == MEMORY_FILE)
			memory_notify(v.start, v.end, MEMORY_PROTECTION, NULL);
	for (at = pages_next(0, MEMORY_LIMIT, &page); at < MEMORY_LIMIT;
	     at = pages_next(at + MEMORY_PAGE, MEMORY_LIMIT, &page))
		if (!page_is_trapped(page))
			pages_set(at, page | PAGE_SHARED_MARK);
}

int memory_fork_begin(void)
{
	uint64_t signals;
	int ret;

	if (!backed_any())
		return 0;
	memory_lock(&signals);
	ret = backed_take_out_all();
	memory_unlock(&signals);
	return ret;
}

void memory_fork_prepare(void)
{
	if (!memory_active())
		return;
	memory_lock(&fork_signals);
	backed_take_out_all();
	if (forking)
		forking();
	share();
	in_fork = true;
	memory_lock_lend();
}

void memory_fork_parent(void)
{
	if (!memory_lock_mine() || !in_fork)
		return;
	memory_lock_reclaim();
	in_fork = false;
	validate_filled();
	memory_unlock(&fork_signals);
}

void memory_fork_child(void)
{
	if (!memory_active())
		memory_lock_renumber();
	settle_child();
	if (memory_lock_mine())
		memory_unlock(&fork_signals);
}
