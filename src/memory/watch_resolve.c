/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * System calls that are given what is missing.
 *
 * The kernel would meet a trap there and refuse, so what it would ask for is asked for before the
 * call, page after page.  Each is waited for without the lock, and then looked at again, since
 * anything may have happened meanwhile.
 */
#include "core/signal_mask.h"
#include "memory/lock.h"
#include "memory/watch_call.h"
#include "memory/watch_private.h"

/* What is asked for at `address`: a ticket, or NULL. */
static void *ask(uintptr_t address, bool write)
{
	const struct watch_range *r;
	unsigned reason;

	if (watch_classify(address, write, &reason, &r) != WATCH_ASK)
		return NULL;
	return watch_ops->fault(r->owner, address, reason | WATCH_BY_KERNEL, write);
}

/* The first page from *at on that is asked for; else *at is `end`.  Without `all`, what is served
 * is left to the kernel. */
static void *ask_next(uintptr_t *at, uintptr_t end, bool write, bool all)
{
	const struct watch_range *r;
	void *ticket = NULL;

	while (*at < end && !ticket) {
		r = watch_find(*at);
		if (!r || r->start >= end) {
			*at = end;
			break;
		}
		*at = *at > r->start ? *at : r->start;
		if (r->served && !all) {
			*at = r->end;
			continue;
		}
		ticket = ask(*at, write);
		if (!ticket)
			*at = (*at & ~(r->page_size - 1)) + r->page_size;
	}
	return ticket;
}

static void resolve(const void *address, size_t size, bool write, bool all)
{
	uintptr_t at = (uintptr_t)address, end = at + size;
	uint64_t before, signals;
	void *ticket;

	if (!watch_any() || end < at)
		return;
	signal_mask_block(&before);
	do {
		memory_lock(&signals);
		ticket = ask_next(&at, end, write, all);
		memory_unlock(&signals);
		if (ticket)
			watch_ops->wait(ticket, NULL);
	} while (ticket);
	signal_mask_restore(&before);
}

void watch_resolve(const void *address, size_t size, bool write)
{
	resolve(address, size, write, true);
}

void watch_reach(const void *address, size_t size, bool write)
{
	resolve(address, size, write, false);
}
